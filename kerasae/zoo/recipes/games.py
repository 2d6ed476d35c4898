"""Recipes of games: adversarial autoencoders and generative adversarial networks."""

import math

import keras

from kerasae import GAN, AdversarialAutoencoder, nets
from kerasae.datasets import Split
from kerasae.probability.priors import MixturePrior
from kerasae.zoo import measures, pictures
from kerasae.zoo.recipes.recipe import adam, recipe
from kerasae.zoo.training import Budget, Inputs


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
