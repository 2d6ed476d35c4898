"""Autoencoders and generative models for Keras 3, and the course that goes with them."""

from kerasae.engine import installed

installed.check()

from kerasae import (
    callbacks,
    corruptions,
    datasets,
    layers,
    nets,
    penalties,
    probability,
    quantizers,
    schedules,
    zoo,
)
from kerasae.models.adversarial import AdversarialAutoencoder
from kerasae.models.autoencoder import Autoencoder
from kerasae.models.classifier import Classifier
from kerasae.models.code_prior import CodePrior
from kerasae.models.conditional import ConditionalVariationalAutoencoder
from kerasae.models.contractive import ContractiveAutoencoder
from kerasae.models.denoising import DenoisingAutoencoder
from kerasae.models.diffusion import Diffusion
from kerasae.models.flow_matching import FlowMatching
from kerasae.models.gan import GAN
from kerasae.models.predictive import PredictiveSparseDecomposition
from kerasae.models.semi_supervised import SemiSupervisedAdversarialAutoencoder
from kerasae.models.sparse import SparseAutoencoder
from kerasae.models.stacked import StackedAutoencoder
from kerasae.models.variational import VariationalAutoencoder
from kerasae.models.vector_quantized import VectorQuantizedAutoencoder
from kerasae.probability import likelihoods, posteriors, priors

__version__ = "0.2.0"

installed.warn_if_pictures_shift()

__all__ = [
    "GAN",
    "AdversarialAutoencoder",
    "Autoencoder",
    "Classifier",
    "CodePrior",
    "ConditionalVariationalAutoencoder",
    "ContractiveAutoencoder",
    "DenoisingAutoencoder",
    "Diffusion",
    "FlowMatching",
    "PredictiveSparseDecomposition",
    "SemiSupervisedAdversarialAutoencoder",
    "SparseAutoencoder",
    "StackedAutoencoder",
    "VariationalAutoencoder",
    "VectorQuantizedAutoencoder",
    "callbacks",
    "corruptions",
    "datasets",
    "layers",
    "likelihoods",
    "nets",
    "penalties",
    "posteriors",
    "priors",
    "probability",
    "quantizers",
    "schedules",
    "zoo",
]
