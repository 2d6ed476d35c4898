"""Recipes of paths from noise to data: flow matching of pixels, diffusion of codes."""

from typing import Any

import keras

from kerasae import Autoencoder, CodePrior, Diffusion, FlowMatching, nets
from kerasae.datasets import Split
from kerasae.training.resume import resumable_fit
from kerasae.zoo import measures, pictures
from kerasae.zoo.recipes.discrete import labelled
from kerasae.zoo.recipes.recipe import adam, recipe
from kerasae.zoo.training import Budget

LIPMAN = 'Lipman et al., "Flow matching for generative modeling" (2023)'
ROMBACH = 'Rombach et al., "High-resolution image synthesis with latent diffusion models" (2022)'


def encoded_once(
    model: Diffusion, x: Any, y: None, *, validation_data: tuple, **options
) -> keras.callbacks.History:
    """Encode all images, then train on their codes."""
    x, validation = (model.encoded(each)[0] for each in (x, validation_data[0]))
    model.start(x["code"])
    return resumable_fit(model, x, validation_data=(validation,), **options)


@recipe(
    paper=LIPMAN,
    measures={
        "Fréchet distance of 500 samples, 5 steps": measures.frechet("digits", count=500, steps=5)
    },
    pictures={
        "samples": pictures.drawn_by_class,
        "film": pictures.film,
        "completed": pictures.completed,
    },
    inputs=labelled,
    full=Budget(60_000, 6),
    fast=Budget(2000, 3),
)
def flow(train: Split, steps: int) -> FlowMatching:
    """Digits from noise, pixel by pixel, along straight paths."""
    network = nets.unet(train.x.shape[1:], (48, 96), classes=10, patch=2)
    model = FlowMatching(network, classes=10, interval=(0, 1))
    model.compile(adam(1e-3, steps))
    return model


@recipe(
    data="strokes",
    paper=ROMBACH,
    measures={
        "Fréchet distance of samples": measures.frechet("digits"),
        "Fréchet distance of guided samples": measures.frechet("digits", guidance=1.5),
        "share of guided samples of their class": measures.right_class(guidance=1.5),
        "share of samples nearer to a training image": measures.nearer_to_training,
    },
    pictures={
        "samples": pictures.drawn_by_class,
        "film": pictures.film,
        "interpolations": pictures.interpolated,
    },
    inputs=labelled,
    fit=encoded_once,
    full=Budget(60_000, 150),
    batch_size=256,
)
def latent_diffusion_strokes(train: Split, steps: int) -> Diffusion:
    """Digits from noise in the 32 numbers of a convolutional autoencoder's code."""
    autoencoder = Autoencoder.from_preset("convolutional_strokes")
    network = nets.residual_mlp((32,), 256, 4, classes=10)
    model = Diffusion(network, autoencoder=autoencoder, classes=10)
    model.compile(adam(2e-3, steps))
    return model


@recipe(
    data="faces",
    size=32,
    batch_size=64,
    paper=ROMBACH,
    measures={
        "Fréchet distance of 300 samples, 5 steps": measures.frechet("faces", count=300, steps=5),
    },
    pictures={"samples": pictures.samples, "film": pictures.film},
    fit=encoded_once,
    full=Budget(12_000, 30),
    fast=Budget(2000, 3),
)
def latent_diffusion_faces(train: Split, steps: int) -> Diffusion:
    """Faces of 32 × 32 pixels from noise in the 8 × 8 vectors of a quantized autoencoder."""
    autoencoder = CodePrior.from_preset("vq_faces").autoencoder
    model = Diffusion(nets.unet((8, 8, 16), (64, 128)), autoencoder=autoencoder)
    model.compile(adam(1e-3, steps))
    return model
