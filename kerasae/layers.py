"""The few layers that Keras does not have: a layer run backwards, with the weights of another.

    forward      h = φ(xW + b)
    backwards    x̂ = φ(hWᵀ + c)      the same W, a bias of its own

For a convolution the transposed kernel is a transposed convolution with the same kernel.
"""

from typing import Any

import keras
from keras import ops


class _Tied(keras.layers.Layer):
    """A layer whose kernel is another layer's, which owns, trains and saves it."""

    def __init__(
        self, source: keras.layers.Layer, activation: Any = None, use_bias: bool = True, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        # Not by plain assignment: Keras would count the source's weights here a second time.
        object.__setattr__(self, "_source", source)
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias

    @property
    def kernel(self) -> keras.Variable:
        """The source's kernel: the same variable."""
        return self._source.kernel

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError(
            f"{type(self).__name__} {self.name!r} has its weights from {self._source.name!r}, "
            "expected to be saved with the model that ties them, such as a StackedAutoencoder."
        )


class TiedDense(_Tied):
    """x̂ = φ(hWᵀ + c), with the W of a `keras.layers.Dense`.

    Args:
        source: The layer that owns W; it must be built first.
        activation: φ.
        use_bias: Whether there is a c.

    Example:

    >>> dense = keras.layers.Dense(3)
    >>> code = dense(keras.ops.ones((2, 5)))
    >>> tied = TiedDense(dense)
    >>> tuple(tied(code).shape), tied.kernel is dense.kernel, len(tied.weights)
    ((2, 5), True, 1)
    """

    def build(self, input_shape):
        if self.use_bias:
            self.bias = self.add_weight(shape=(self.kernel.shape[0],), name="bias")

    def call(self, inputs):
        outputs = ops.matmul(inputs, ops.transpose(self.kernel))  # hWᵀ
        return self.activation(outputs + self.bias if self.use_bias else outputs)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.kernel.shape[0])
