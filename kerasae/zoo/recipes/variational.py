"""Recipes of variational autoencoders."""

from kerasae import ConditionalVariationalAutoencoder, VariationalAutoencoder, nets
from kerasae.corruptions import QUADRANTS, QuadrantMask, hide, with_mask
from kerasae.datasets import Split
from kerasae.probability.likelihoods import Normal
from kerasae.probability.priors import MixturePrior
from kerasae.zoo import measures, pictures
from kerasae.zoo.recipes.recipe import adam, recipe
from kerasae.zoo.training import Budget, Inputs, images

KINGMA = 'Kingma & Welling, "Auto-encoding variational Bayes" (2014)'

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
