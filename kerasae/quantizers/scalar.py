"""Finite scalar quantization: each number of a code is rounded to one of a few levels.

    b(z) = ½(L − 1) tanh(a(z − m) + s) − o     between the levels, o = ½ for an even L, else 0
    q    = round(b(z)) / ⌊L/2⌋                 straight through

with s = artanh(2o / (L − 1)), so that b(m) = 0. The grid of all levels is the codebook: Π L
vectors, nothing to learn and no loss.

The paper has m = 0 and a = 1. Then small codes are all rounded to 0, and nothing is learned.
`start` takes the mean m and the standard deviation σ of each number, and a = 0.851 / σ: then a
normal z uses all levels about equally, because tanh(0.851 z) is close to 2Φ(z) − 1.

Mentzer, Minnen, Agustsson & Tschannen, "Finite scalar quantization: VQ-VAE made simple" (2024).
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae import checks
from kerasae.quantizers.quantizer import Quantized, Quantizer, straight_through

Tensor = Any
INSIDE = 1 + 1e-3  # the outermost levels are reached
UNIFORM = 0.851  # tanh(0.851 z) ≈ 2Φ(z) − 1


@keras.saving.register_keras_serializable("kerasae")
class FiniteScalarQuantizer(Quantizer):
    """The nearest point of a grid.

    Args:
        levels: Number of levels of each number of the code, at least 2: (8, 5, 5, 5) are 1,000
            vectors of 4 numbers.

    Example:

    >>> layer = FiniteScalarQuantizer((8, 5, 5, 5))
    >>> q, indices, _ = layer.nearest(ops.zeros((2, 3, 4)))
    >>> layer.size, tuple(indices.shape), bool(ops.all(layer.vectors(indices) == q))
    (1000, (2, 3), True)
    """

    def __init__(self, levels: Sequence[int], **kwargs) -> None:
        super().__init__(**kwargs)
        self.levels = checks.sizes("levels", levels)
        for each in self.levels:
            checks.whole_number("levels", each, least=2)
        levels = np.array(self.levels)
        self._half = ((levels - 1) * INSIDE / 2).astype("float32")
        self._offset = np.where(levels % 2, 0.0, 0.5).astype("float32")
        self._shift = np.arctanh(self._offset / self._half).astype("float32")
        self._steps = (levels // 2).astype("int32")
        self._places = np.cumprod([1, *levels[:-1]]).astype("int32")

    @property
    def size(self) -> int:
        """Return Π L, the number of points of the grid."""
        return math.prod(self.levels)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if input_shape[-1] != len(self.levels):
            raise ValueError(
                f"`levels` has {len(self.levels)} numbers, but the vectors have "
                f"{input_shape[-1]}: expected one number of levels for each."
            )
        self.middle = self.number("middle", input_shape[-1:], "zeros")  # m
        self.factor = self.number("factor", input_shape[-1:], "ones")  # a
        super().build(input_shape)

    def _start(self, vectors, seed):
        """Standardize the codes."""
        self.middle.assign(vectors.mean(axis=0))
        self.factor.assign(UNIFORM / np.maximum(vectors.std(axis=0), 1e-6))

    def nearest(self, z: Tensor, training: bool = False) -> Quantized:
        """Return the nearest points of the grid and their indices; the loss is 0."""
        if not self.built:
            self.build(tuple(z.shape))
        z = self.factor * (ops.cast(z, "float32") - self.middle)
        bounded = ops.tanh(z + _tensor(self._shift)) * _tensor(self._half) - _tensor(self._offset)
        whole = ops.round(bounded)
        digits = ops.cast(whole, "int32") + _tensor(self._steps)  # 0 … L − 1
        indices = ops.cast(ops.sum(digits * _tensor(self._places), axis=-1), "int32")
        nothing = ops.zeros(ops.shape(z)[:1], "float32")
        vectors = straight_through(bounded, whole) / ops.cast(self._steps, "float32")
        return Quantized(vectors, indices, nothing)

    def vectors(self, indices: Tensor) -> Tensor:
        """Return the points of the grid of indices."""
        digits = ops.floor_divide(ops.cast(indices, "int32")[..., None], _tensor(self._places))
        digits = ops.mod(digits, _tensor(np.array(self.levels, "int32"))) - _tensor(self._steps)
        return ops.cast(digits, "float32") / ops.cast(self._steps, "float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "levels": list(self.levels)}


def _tensor(value: np.ndarray) -> Tensor:
    return ops.convert_to_tensor(value)
