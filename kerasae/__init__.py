"""Autoencoders and generative models for Keras 3, and the course that goes with them."""

from kerasae import callbacks, corruptions, datasets, layers, nets, penalties
from kerasae.models.autoencoder import Autoencoder
from kerasae.models.classifier import Classifier
from kerasae.models.contractive import ContractiveAutoencoder
from kerasae.models.denoising import DenoisingAutoencoder
from kerasae.models.predictive import PredictiveSparseDecomposition
from kerasae.models.sparse import SparseAutoencoder
from kerasae.models.stacked import StackedAutoencoder

__version__ = "0.1.0"

__all__ = [
    "Autoencoder",
    "Classifier",
    "ContractiveAutoencoder",
    "DenoisingAutoencoder",
    "PredictiveSparseDecomposition",
    "SparseAutoencoder",
    "StackedAutoencoder",
    "callbacks",
    "corruptions",
    "datasets",
    "layers",
    "nets",
    "penalties",
]
