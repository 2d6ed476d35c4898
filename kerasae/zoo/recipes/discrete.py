"""Recipes of discrete codes, with a prior to draw them from."""

from typing import Any

import keras
import numpy as np

from kerasae import CodePrior, VectorQuantizedAutoencoder, nets, quantizers
from kerasae.datasets import Split
from kerasae.training.resume import resumable_fit
from kerasae.zoo import measures, pictures
from kerasae.zoo.recipes.recipe import adam, recipe
from kerasae.zoo.training import Budget, Inputs

OORD = 'van den Oord et al., "Neural discrete representation learning" (2017)'
FIRST = 3  # a third of the epochs trains the autoencoder, the rest the prior


def labelled(data: Split) -> Inputs:
    """Return images with their labels."""
    return Inputs({"x": data.x, "label": data.y})


def autoencoder_first(
    model: CodePrior, x: Any, y: None, *, epochs: int, validation_data: tuple, **options
) -> keras.callbacks.History:
    """Train the autoencoder for a third of the epochs, then the prior on its codes."""
    first = epochs // FIRST
    model.autoencoder.trainable = True
    parts = {
        "autoencoder": resumable_fit(
            model.autoencoder,
            _images(x),
            epochs=first,
            validation_data=(_images(validation_data[0]),),
            phase=1,
            **options,
        )
    }
    model.autoencoder.trainable = False
    options |= {"validation_data": validation_data, "phase": 2}
    parts["prior"] = resumable_fit(model, x, epochs=epochs - first, **options)
    whole = keras.callbacks.History()
    whole.history = {
        f"{part}_{name}": values
        for part, found in parts.items()
        for name, values in found.history.items()
    }
    return whole


def _images(x: Any) -> np.ndarray:
    return x["x"] if isinstance(x, dict) else x


def of_codewords(shape: tuple[int, ...], size: int, classes: int | None = None) -> CodePrior:
    """Return a prior over a quarter of the pixels' grid each way, and its autoencoder."""
    encoder = nets.convolutional_encoder(shape, None, (32, 64, 16), 4, (2, 2, 1))
    decoder = nets.convolutional_decoder(None, shape, (16, 64, 32), 4, (1, 2, 2))
    autoencoder = VectorQuantizedAutoencoder(encoder, decoder, quantizers.VectorQuantizer(size))
    network = nets.causal_transformer(autoencoder.index_shape, size, classes, width=96)
    return CodePrior(network, autoencoder, classes)


def compiled(model: CodePrior, steps: int) -> CodePrior:
    """Compile the prior and its autoencoder, each for its part of the steps."""
    first = steps // FIRST
    model.autoencoder.compile(adam(2e-3, first), "binary_crossentropy")
    model.compile(adam(2e-3, steps - first))
    return model


@recipe(
    paper=OORD,
    measures={
        "Fréchet distance of samples": measures.frechet("digits"),
        "nats of an image, by its code and its pixels": measures.code_and_pixels,
        "share of codewords in use": measures.used,
        "squared error": measures.of_autoencoder(measures.squared_error),
    },
    pictures={
        "samples": pictures.drawn_by_class,
        "codewords": pictures.codewords,
        "reconstructions": pictures.reconstructed_from_codes,
    },
    inputs=labelled,
    fit=autoencoder_first,
    full=Budget(60_000, 18),
)
def vq(train: Split, steps: int) -> CodePrior:
    """Digits as 7 × 7 of 512 codewords, and a causal transformer that draws them."""
    return compiled(of_codewords(train.x.shape[1:], 512, classes=10), steps)


@recipe(
    data="faces",
    size=32,
    batch_size=64,
    fast=Budget(2000, 3),
    paper=OORD,
    measures={
        "Fréchet distance of samples": measures.frechet("faces"),
        "nats of a code": measures.nats_of_code,
        "share of codewords in use": measures.used,
        "squared error": measures.of_autoencoder(measures.squared_error),
    },
    pictures={
        "samples": pictures.samples,
        "codewords": pictures.codewords,
        "reconstructions": pictures.reconstructed_from_codes,
    },
    fit=autoencoder_first,
    full=Budget(12_000, 36),
)
def vq_faces(train: Split, steps: int) -> CodePrior:
    """Faces of 32 × 32 pixels as 8 × 8 of 512 codewords, and a causal transformer."""
    return compiled(of_codewords(train.x.shape[1:], 512), steps)
