"""Recipes of deterministic autoencoders."""

import math

import keras
import numpy as np

from kerasae import Autoencoder, DenoisingAutoencoder, StackedAutoencoder, nets
from kerasae.corruptions import MaskingNoise
from kerasae.datasets import Split
from kerasae.penalties import Contractive, MeanActivation
from kerasae.zoo import measures, pictures
from kerasae.zoo.recipes.recipe import adam, recipe
from kerasae.zoo.training import Budget


def layer_by_layer(
    model: StackedAutoencoder, x: np.ndarray, y: None, *, epochs: int, folder, **options
):
    """Train half of the epochs in greedy phases, and half as the whole stack."""
    each = math.ceil(epochs / 2 / model.depth)
    fine_tuning = epochs - epochs // 2
    steps = fine_tuning * math.ceil(len(x) / options["batch_size"])
    return model.fit_layerwise(
        x,
        epochs=each,
        fine_tuning_epochs=fine_tuning,
        fine_tuning_optimizer=adam(1e-3, steps),
        resume=folder,
        **options,
    )


@recipe(
    paper='Bengio et al., "Greedy layer-wise training of deep networks" (2007)',
    measures={"squared error": measures.squared_error},
    pictures={"reconstructions": pictures.reconstructed, "units": pictures.units},
    fit=layer_by_layer,
    full=Budget(60_000, 40),
)
def stacked_tied(train: Split, steps: int) -> StackedAutoencoder:
    """Tied stack 784-300-150-300-784, trained layer by layer, then as a whole."""
    model = StackedAutoencoder(units=(300, 150), input_shape=train.x.shape[1:])
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="binary_crossentropy")
    return model


@recipe(
    paper='Vincent et al., "Extracting and composing robust features with denoising '
    'autoencoders" (2008)',
    measures={
        "squared error with half the pixels hidden": measures.error_with_half_hidden,
        "squared error": measures.squared_error,
    },
    pictures={"restored": pictures.half_restored},
    full=Budget(60_000, 40),
)
def denoising(train: Split, steps: int) -> DenoisingAutoencoder:
    """Denoising autoencoder that is shown half of the pixels."""
    networks = nets.mlp(train.x.shape[1:], code_size=64, units=(256,))
    model = DenoisingAutoencoder(*networks, corruption=MaskingNoise(0.5))
    model.compile(optimizer=adam(1e-3, steps), loss="binary_crossentropy")
    return model


@recipe(
    paper='Ng, "Sparse autoencoder", CS294A lecture notes (2011)',
    measures={
        "squared error": measures.squared_error,
        "mean activation": measures.mean_activation,
    },
    pictures={"reconstructions": pictures.reconstructed, "units": pictures.units},
    full=Budget(60_000, 20),
)
def sparse(train: Split, steps: int) -> StackedAutoencoder:
    """Sparse autoencoder, tied: 256 units of which each is active for few images."""
    model = StackedAutoencoder(
        units=(256,),
        activation="sigmoid",
        input_shape=train.x.shape[1:],
        penalty=MeanActivation(3e-3, target=0.05),
    )
    model.compile(optimizer=adam(2e-3, steps), loss="binary_crossentropy")
    return model


@recipe(
    paper='Rifai et al., "Contractive auto-encoders: explicit invariance during feature '
    'extraction" (2011)',
    measures={"squared error": measures.squared_error},
    pictures={"reconstructions": pictures.reconstructed, "units": pictures.units},
    full=Budget(60_000, 20),
)
def contractive(train: Split, steps: int) -> StackedAutoencoder:
    """Contractive autoencoder, tied: 144 units that stand still when the input moves."""
    # Without the tie half of the units die: saturated from the first steps on, for all inputs.
    model = StackedAutoencoder(
        units=(144,),
        activation="sigmoid",
        input_shape=train.x.shape[1:],
        penalty=Contractive(1e-3),
    )
    model.compile(optimizer=adam(2e-3, steps), loss="binary_crossentropy")
    return model


@recipe(
    paper='Masci et al., "Stacked convolutional auto-encoders for hierarchical feature '
    'extraction" (2011)',
    measures={"squared error": measures.squared_error},
    pictures={"reconstructions": pictures.reconstructed},
    full=Budget(60_000, 15),
    fast=Budget(6000, 3),
)
def convolutional(train: Split, steps: int) -> Autoencoder:
    """Convolutional autoencoder with a code of 32 numbers."""
    networks = nets.convolutional(train.x.shape[1:], 32, filters=(16, 32), kernel_size=4)
    model = Autoencoder(*networks)
    model.compile(optimizer=adam(2e-3, steps), loss="binary_crossentropy")
    return model
