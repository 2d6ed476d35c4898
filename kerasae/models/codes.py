"""Codes of whole numbers: their shape and size, and what gives them."""

from typing import Any

import keras

from kerasae import checks
from kerasae.engine import graphs
from kerasae.models.vector_quantized import VectorQuantizedAutoencoder


def shape_and_size(network: keras.Model, classes: int | None) -> tuple[tuple[int, ...], int]:
    """Return the shape of a code and K."""
    inputs = 1 if classes is None else 2
    if not graphs.is_built(network) or len(network.inputs) != inputs:
        what = "codes" if classes is None else "[codes, one-hot labels]"
        raise ValueError(f"`network` is {network.name!r}, expected one that takes {what}.")
    shape, output = tuple(network.inputs[0].shape[1:]), tuple(network.output_shape[1:])
    if output[:-1] != shape or None in output:
        raise ValueError(
            f"`network` takes codes of shape {shape} and gives {output}, expected logits of "
            "shape (*codes, K)."
        )
    return shape, output[-1]


def check_autoencoder(autoencoder: Any, shape: tuple[int, ...], size: int) -> None:
    """Raise `ValueError` unless an autoencoder gives such codes."""
    if not isinstance(autoencoder, VectorQuantizedAutoencoder):
        raise ValueError(
            f"`autoencoder` is {checks.as_text(autoencoder)}, expected a "
            "VectorQuantizedAutoencoder, whose codes are whole numbers."
        )
    found = autoencoder.index_shape, autoencoder.quantizer.size
    if found != (shape, size):
        raise ValueError(
            f"`autoencoder` gives codes of shape {found[0]} with {found[1]} codewords, but "
            f"`network` takes codes of shape {shape} with {size}: expected the same."
        )
