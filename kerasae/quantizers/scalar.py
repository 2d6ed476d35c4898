"""Finite scalar quantization: each number of a code is rounded to one of a few levels.

    b(z) = ½(L − 1) tanh(z + s) − o        between the levels, o = ½ for an even L, else 0
    q    = round(b(z)) / ⌊L/2⌋             straight through

with s = artanh(2o / (L − 1)), so that b(0) = 0; two levels have s = 0, where the sign of z decides.
The grid of all levels is the codebook: Π L vectors, nothing to learn and no loss. A further stage
divides what a level stands for into L parts:

    d = ⌊(r + ½) L⌋,  r = b(z) − round(b(z)),  and so on with r ← (r − (d + ½) / L + ½) L

As the paper has it, small codes are all rounded to 0, and a decoder of ReLU layers without biases
learns nothing from them. So each number is standardized over the batch first, as batch
normalization does it, and multiplied by 0.851: then a normal z uses all levels about equally,
because tanh(0.851 z) is close to 2Φ(z) − 1.

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
        stages: Number of indices of a vector. Each stage after the first divides the levels of the
            one before it, so n stages give (Π L)ⁿ vectors.
        standardize: Whether to standardize each number over the batch first.

    Example:

    >>> layer = FiniteScalarQuantizer((8, 5, 5, 5))
    >>> q, indices, _ = layer.nearest(ops.zeros((2, 3, 4)))
    >>> layer.size, tuple(indices.shape), bool(ops.all(layer.vectors(indices) == q))
    (1000, (2, 3), True)
    >>> tuple(FiniteScalarQuantizer((8, 8), stages=3).nearest(ops.zeros((5, 2))).indices.shape)
    (5, 3)
    """

    def __init__(
        self, levels: Sequence[int], stages: int = 1, standardize: bool = True, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        self.stages = checks.whole_number("stages", stages)
        self.standardize = checks.flag("standardize", standardize)
        self.statistics = None
        if standardize:
            self.statistics = keras.layers.BatchNormalization(
                momentum=0.9, epsilon=1e-8, center=False, scale=False, dtype="float32"
            )
        self.levels = checks.sizes("levels", levels)
        for each in self.levels:
            checks.whole_number("levels", each, least=2)
        levels = np.array(self.levels)
        self._half = ((levels - 1) * INSIDE / 2).astype("float32")
        self._offset = np.where(levels % 2, 0.0, 0.5).astype("float32")
        centred = np.arctanh(self._offset / self._half)
        self._shift = np.where(levels > 2, centred, 0.0).astype("float32")
        self._steps = (levels // 2).astype("int32")
        self._levels, self._scale = levels.astype("float32"), (levels // 2).astype("float32")
        self._places = np.cumprod([1, *levels[:-1]]).astype("int32")

    @property
    def size(self) -> int:
        """Return Π L, the number of points of the grid of a stage."""
        return math.prod(self.levels)

    @property
    def index_shape(self) -> tuple[int, ...]:
        return () if self.stages == 1 else (self.stages,)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if input_shape[-1] != len(self.levels):
            raise ValueError(
                f"`levels` has {len(self.levels)} numbers, but the vectors have "
                f"{input_shape[-1]}: expected one number of levels for each."
            )
        if self.standardize:
            self.statistics.build(input_shape)
        super().build(input_shape)

    def _start(self, vectors, seed):
        """Take the mean and the variance of each number."""
        if self.standardize:
            self.statistics.moving_mean.assign(vectors.mean(axis=0))
            self.statistics.moving_variance.assign(vectors.var(axis=0))

    def nearest(self, z: Tensor, training: bool = False) -> Quantized:
        """Return the nearest points of the grid and their indices; the loss is 0."""
        if not self.built:
            self.build(tuple(z.shape))
        z = ops.cast(z, "float32")
        if self.standardize:
            z = UNIFORM * self.statistics(z, training=training)
        bounded = ops.tanh(z + _tensor(self._shift)) * _tensor(self._half) - _tensor(self._offset)
        rest, digits = bounded - ops.round(bounded), []
        digits.append(ops.cast(ops.round(bounded), "int32") + _tensor(self._steps))  # 0 … L − 1
        for _ in range(self.stages - 1):
            levels = _tensor(self._levels)
            digit = ops.clip(ops.floor((rest + 0.5) * levels), 0, levels - 1)
            rest = (rest + 0.5) * levels - digit - 0.5  # from −½ to ½ again
            digits.append(ops.cast(digit, "int32"))
        places = _tensor(self._places)
        indices = [ops.cast(ops.sum(each * places, axis=-1), "int32") for each in digits]
        nothing = ops.zeros(ops.shape(z)[:1], "float32")
        vectors = straight_through(bounded, self._between(digits)) / _tensor(self._scale)
        return Quantized(vectors, self._joined(indices), nothing)

    def vectors(self, indices: Tensor) -> Tensor:
        """Return the points of the grid of indices."""
        indices = ops.cast(indices, "int32")
        each = [indices] if self.stages == 1 else ops.unstack(indices, axis=-1)
        places, levels = _tensor(self._places), _tensor(np.array(self.levels, "int32"))
        digits = [ops.mod(ops.floor_divide(index[..., None], places), levels) for index in each]
        return self._between(digits) / _tensor(self._scale)

    def _between(self, digits: list[Tensor]) -> Tensor:
        """Return the number that the digits of all stages stand for, in units of a level."""
        levels = _tensor(self._levels)
        value, width = ops.cast(digits[0] - _tensor(self._steps), "float32"), 1.0
        for digit in digits[1:]:
            value = value + width * ((ops.cast(digit, "float32") + 0.5) / levels - 0.5)
            width = width / levels
        return value

    def _joined(self, indices: list[Tensor]) -> Tensor:
        return indices[0] if self.stages == 1 else ops.stack(indices, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "levels": list(self.levels),
            "stages": self.stages,
            "standardize": self.standardize,
        }


def _tensor(value: np.ndarray) -> Tensor:
    return ops.convert_to_tensor(value)
