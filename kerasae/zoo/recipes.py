"""The recipes of all presets of the zoo, with which more of their kind can be made.

Each is a few lines over the public API. The decorator holds data: the amount of training, measures
and pictures. `python -m kerasae train NAME` runs one.
"""

import math

import keras
import numpy as np
from keras.optimizers.schedules import CosineDecay

from kerasae import (
    GAN,
    AdversarialAutoencoder,
    Autoencoder,
    ConditionalVariationalAutoencoder,
    DenoisingAutoencoder,
    StackedAutoencoder,
    VariationalAutoencoder,
    checks,
    nets,
)
from kerasae.corruptions import QUADRANTS, MaskingNoise, QuadrantMask, hide, with_mask
from kerasae.datasets import Split
from kerasae.datasets.load import DIGITS
from kerasae.penalties import Contractive, MeanActivation
from kerasae.probability.likelihoods import Normal
from kerasae.probability.priors import MixturePrior
from kerasae.zoo import measures, pictures
from kerasae.zoo.training import Budget, Inputs, Recipe, images

KINGMA = 'Kingma & Welling, "Auto-encoding variational Bayes" (2014)'

RECIPES: dict[str, Recipe] = {}


def recipe(**data):
    """Make a recipe of a function that builds and compiles a model, and of its data."""

    def decorated(build):
        RECIPES[build.__name__] = Recipe(build, **data)
        return build

    return decorated


def adam(rate: float, steps: int, **options) -> keras.optimizers.Adam:
    """Return Adam with a learning rate that falls to 0 along a cosine."""
    return keras.optimizers.Adam(CosineDecay(rate, steps), **options)


# Deterministic autoencoders.


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


# Variational autoencoders.

BOUND = {
    "negative bound": measures.negative_bound(images),
    "Fréchet distance of samples": measures.frechet("digits"),
}
SIXTEEN = {
    "paper": KINGMA,
    "measures": BOUND | {"squared error": measures.squared_error},
    "pictures": {"samples": pictures.samples, "reconstructions": pictures.reconstructed},
    "full": Budget(60_000, 40),
}


def vae(train: Split, steps: int, size: int, units, posterior="diagonal", **options):
    """Return a compiled variational autoencoder of dense layers, with a code of `size` numbers."""
    networks = nets.mlp(train.x.shape[1:], size, units, posterior=posterior)
    model = VariationalAutoencoder(*networks, posterior=posterior, **options)
    model.compile(optimizer=adam(1e-3, steps))
    return model


@recipe(
    paper=KINGMA,
    measures=BOUND,
    pictures={"manifold": pictures.manifold, "codes": pictures.codes},
    full=Budget(60_000, 40),
)
def vae_2(train: Split, steps: int) -> VariationalAutoencoder:
    """Variational autoencoder with a code of two numbers: a map of all digits."""
    return vae(train, steps, 2, (256, 128))


@recipe(**SIXTEEN)
def vae_16(train: Split, steps: int) -> VariationalAutoencoder:
    """Variational autoencoder with a code of sixteen numbers."""
    return vae(train, steps, 16, (256,))


@recipe(**SIXTEEN)
def vae_16_full(train: Split, steps: int) -> VariationalAutoencoder:
    """Variational autoencoder of sixteen numbers with full covariance: it gives B, BBᵀ = Σ."""
    return vae(train, steps, 16, (256,), posterior="full")


@recipe(
    paper='Dilokthanakul et al., "Deep unsupervised clustering with Gaussian mixture variational '
    'autoencoders" (2016)',
    measures=BOUND,
    pictures={"codes": pictures.codes, "samples": pictures.samples},
    full=Budget(60_000, 40),
)
def vae_mixture(train: Split, steps: int) -> VariationalAutoencoder:
    """Variational autoencoder whose prior is a mixture of twenty normals, learned with the rest."""
    return vae(train, steps, 2, (256, 128), prior=MixturePrior(20, learned=True))


def whole(data: Split) -> Inputs:
    """Return images, and the same as conditions: the model itself hides parts of these."""
    return Inputs({"x": data.x, "condition": with_mask(data.x)})


def quadrant(data: Split) -> Inputs:
    """Return images, and a quadrant of each as condition, the four quadrants in turn."""
    condition = with_mask(data.x)
    for start, seen in enumerate(QUADRANTS):
        condition[start::4] = hide(data.x[start::4], QuadrantMask([seen]))
    return Inputs({"x": data.x, "condition": condition})


@recipe(
    paper='Sohn et al., "Learning structured output representation using deep conditional '
    'generative models" (2015)',
    measures={"negative bound of the hidden pixels": measures.negative_bound(quadrant)},
    pictures={"answers": pictures.answers},
    inputs=whole,
    validation=quadrant,
    full=Budget(60_000, 40),
)
def cvae_quadrants(train: Split, steps: int) -> ConditionalVariationalAutoencoder:
    """Conditional variational autoencoder: the digit from one of its quadrants."""
    shape = train.x.shape[1:]
    seen = (*shape[:2], shape[2] + 1)  # and whether a pixel is seen
    condition_network = nets.mlp_encoder(seen, 128, units=(256,), name="condition_network")
    networks = nets.conditional_mlp(shape, (128,), code_size=32, units=(256,))
    model = ConditionalVariationalAutoencoder(
        *networks,
        condition_network=condition_network,
        condition_corruption=QuadrantMask(visible=1),
        complete=True,
    )
    model.compile(optimizer=adam(1e-3, steps))
    return model


# Games.


def labelled(data: Split) -> Inputs:
    """Return images and their labels."""
    return Inputs(data.x, data.y)


@recipe(
    paper='Makhzani et al., "Adversarial autoencoders" (2015)',
    measures={
        "energy distance of codes to the prior": measures.prior_distance,
        "squared error": measures.squared_error,
    },
    pictures={"codes": pictures.codes, "samples": pictures.of_each_class},
    inputs=labelled,
    full=Budget(60_000, 20),
)
def aae_ring(train: Split, steps: int) -> AdversarialAutoencoder:
    """Adversarial autoencoder: each digit's codes fill one of ten normals on a ring."""
    networks = nets.mlp(train.x.shape[1:], 2, (256, 128))
    model = AdversarialAutoencoder(*networks, prior=MixturePrior.ring(), classes=10)
    model.compile(optimizer=adam(1e-3, steps, beta_1=0.5), loss="binary_crossentropy")
    return model


@recipe(
    paper='Goodfellow et al., "Generative adversarial networks" (2014)',
    measures={"Fréchet distance": measures.frechet("digits")},
    pictures={"samples": pictures.samples},
    full=Budget(60_000, 40),
)
def gan(train: Split, steps: int) -> GAN:
    """Generative adversarial network of fully connected layers."""
    shape, layers = train.x.shape[1:], keras.layers

    def hidden(units, between):
        return [layers.Dense(units), between, layers.LeakyReLU(0.2)]

    generator = keras.Sequential(
        [
            keras.Input((64,)),
            *hidden(256, layers.BatchNormalization(momentum=0.9)),
            *hidden(256, layers.BatchNormalization(momentum=0.9)),
            layers.Dense(math.prod(shape), activation="sigmoid"),
            layers.Reshape(shape),
        ]
    )
    # Without dropout D wins within an epoch, and all samples become equal.
    discriminator = keras.Sequential(
        [
            keras.Input(shape),
            layers.Flatten(),
            *hidden(512, layers.Dropout(0.5, seed=1)),
            *hidden(256, layers.Dropout(0.5, seed=2)),
            layers.Dense(1),
        ]
    )
    model = GAN(generator, discriminator, average=0.999)
    model.compile(optimizer=adam(4e-4, steps, beta_1=0.5))
    return model


@recipe(
    data="faces",
    size=64,
    batch_size=64,
    fast=Budget(1000, 2),
    paper='Radford et al., "Unsupervised representation learning with deep convolutional '
    'generative adversarial networks" (2015)',
    measures={"Fréchet distance": measures.frechet("faces")},
    pictures={"samples": pictures.samples, "way": pictures.interpolations},
    full=Budget(12_000, 30),
)
def dcgan_faces(train: Split, steps: int) -> GAN:
    """DCGAN: faces of 64 × 64 pixels from 100 numbers."""
    model = GAN.dcgan(train.x.shape[1:], 100, filters=16, average=0.999)
    model.compile(optimizer=adam(2e-4, steps, beta_1=0.5))
    return model


@recipe(
    data="faces",
    size=32,
    batch_size=32,
    fast=Budget(2000, 4),
    paper=KINGMA,
    measures={
        "squared error": measures.squared_error,
        "correlation of the smile with its reconstruction": measures.smile_correlation,
    },
    pictures={"attributes": pictures.attributes, "reconstructions": pictures.reconstructed},
    full=Budget(12_000, 60),
)
def vae_faces(train: Split, steps: int) -> VariationalAutoencoder:
    """Variational autoencoder of faces, for arithmetic with smiles and glasses."""
    networks = nets.convolutional(
        train.x.shape[1:],
        48,
        filters=(32, 64, 128),
        kernel_size=4,
        posterior="diagonal",
        output_activation="sigmoid",
    )
    # A smile is a few pixels: coding it pays only after σ has become small.
    model = VariationalAutoencoder(*networks, likelihood=Normal(0.1, learned=True))
    model.compile(optimizer=adam(2e-3, steps))
    return model


def find(name: str, dataset: str | None = None) -> tuple[Recipe, str, str]:
    """Return a recipe, its data set, and the name of its preset.

    Args:
        name: Name of a recipe, such as `"vae_2"`, or of a preset, such as `"vae_2_mnist"`.
        dataset: Name of the data set; by default that of the name, or else strokes or faces.
    """
    for data in (*DIGITS, "faces"):
        if name.endswith(f"_{data}") and name not in RECIPES:
            if dataset not in (None, data):
                raise ValueError(f"`dataset` is {dataset!r}, expected {data!r} for {name!r}.")
            name, dataset = name.removesuffix(f"_{data}"), data
            break
    recipe = RECIPES[checks.one_of("recipe", name, tuple(RECIPES))]
    digits = recipe.data == "digits"
    dataset = recipe.embedded if dataset is None else dataset
    checks.one_of("dataset", dataset, DIGITS if digits else (recipe.data,))
    return recipe, dataset, f"{name}_{dataset}" if digits else name
