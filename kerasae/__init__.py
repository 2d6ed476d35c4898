"""Autoencoders and generative models for Keras 3, and the course that goes with them."""

from kerasae import corruptions, datasets, nets
from kerasae.models.autoencoder import Autoencoder

__version__ = "0.1.0"

__all__ = ["Autoencoder", "corruptions", "datasets", "nets"]
