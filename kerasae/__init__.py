"""Autoencoders and generative models for Keras 3, and the course that goes with them."""

__version__ = "0.1.0"
