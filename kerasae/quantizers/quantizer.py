"""What all quantizers have: the straight-through gradient, and vectors and indices of a code."""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from kerasae import checks

Tensor = Any


class Quantized(NamedTuple):
    """A quantized batch of codes."""

    vectors: Tensor  # q, of the shape of z, with the straight-through gradient
    indices: Tensor  # whole numbers, of the shape of z without its last axis
    loss: Tensor  # what the quantizer adds to the loss of each example, `(n,)`


class Quantizer(keras.layers.Layer):
    """A layer that maps vectors, the last axis of its input, to one of `size` vectors.

    It computes in float32 under every policy, because a rounded index is another one. Inside a
    Keras model it adds its own loss; `nearest` returns it instead.

    Args:
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})

    @property
    def size(self) -> int:
        """Return K, the number of different vectors."""
        raise NotImplementedError(f"{type(self).__name__} does not define `size`.")

    @property
    def index_shape(self) -> tuple[int, ...]:
        """Return the shape of the index of one vector: a number, `()`, or several, `(stages,)`."""
        return ()

    def nearest(self, z: Tensor, training: bool = False) -> Quantized:
        """Return vectors, indices and the loss of each example for codes `(n, …, d)`."""
        raise NotImplementedError(f"{type(self).__name__} does not define `nearest`.")

    def vectors(self, indices: Tensor) -> Tensor:
        """Return the vectors of indices."""
        raise NotImplementedError(f"{type(self).__name__} does not define `vectors`.")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Add the weight that says whether `start` was called, so that files know it."""
        self.is_started = self.number("is_started", (), "zeros")
        super().build(input_shape)

    def number(
        self, name: str, shape: tuple[int, ...], initializer: Any, trainable: bool = False
    ) -> keras.Variable:
        """Return a new weight in float32."""
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            trainable=trainable,
            dtype="float32",
            autocast=False,
        )

    def start(self, codes: Any, seed: int = 0) -> None:
        """Fit the quantizer to codes, `(…, d)`, before training."""
        codes = checks.to_numpy("codes", codes).astype("float32")
        if not self.built:
            self.build(codes.shape)
        self._start(codes.reshape(-1, codes.shape[-1]), seed)
        self.is_started.assign(1.0)

    def _start(self, vectors: np.ndarray, seed: int) -> None:
        """Fit the quantizer to vectors, `(n, d)`."""

    @property
    def started(self) -> bool:
        """Return whether `start` was called."""
        return self.built and bool(ops.convert_to_numpy(self.is_started))

    def call(self, z: Tensor, training: bool = False) -> Tensor:
        """Return the quantized vectors, and add the loss."""
        result = self.nearest(z, training)
        self.add_loss(ops.mean(result.loss))
        return result.vectors

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape


def straight_through(z: Tensor, quantized: Tensor) -> Tensor:
    """Return the quantized values, with the gradient of z: z + sg(q − z)."""
    return z + ops.stop_gradient(quantized - z)


def mean_of_each(values: Tensor) -> Tensor:
    """Average over all axes but the first."""
    return ops.mean(values, axis=tuple(range(1, len(values.shape))))
