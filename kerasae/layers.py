"""Layers that Keras does not have: tied (transposed) layers and a top-k activation.

    forward      h = φ(xW + b)
    backwards    x̂ = φ(hWᵀ + c)      the same W, its own bias

The transpose of a convolution is a transposed convolution with the same kernel. Keras has such a
layer too; the one here also trains fast on JAX on a CPU.
"""

import math
from typing import Any

import keras
from keras import ops

from kerasae import checks
from kerasae.engine import arguments, platform


class _Tied(keras.layers.Layer):
    """A layer whose kernel belongs to another layer, which trains, freezes and saves it.

    The kernel is also among this layer's variables, so that a model made of such layers alone
    trains, and on JAX predicts, with the kernel's current value.
    """

    def __init__(
        self, source: keras.layers.Layer, activation: Any = None, use_bias: bool = True, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(source, self.runs_backwards):
            raise ValueError(
                f"`source` is {source!r}, expected a layer of class "
                f"keras.layers.{self.runs_backwards.__name__}."
            )
        # Not by plain assignment, because Keras would also track the source's bias here.
        object.__setattr__(self, "_source", source)
        self.activation = arguments.activation("activation", activation)
        self.use_bias = checks.flag("use_bias", use_bias)

    @property
    def kernel(self) -> keras.Variable:
        """Return the source's kernel: the same variable."""
        return self._source.kernel

    def matrix(self) -> Any:
        """Return W: the kernel, or the rescaled kernel of a quantized source."""
        source = self._source
        if isinstance(source, keras.layers.Dense) and source.quantization_mode == "int8":
            return ops.cast(self.kernel, self.compute_dtype) / source.kernel_scale
        return self.kernel

    def quantize(self, mode=None, type_check=True, config=None):
        """Check the mode: an `'int8'` kernel of the source is read with its scale."""
        mode = mode or getattr(config, "mode", None)
        if mode != "int8":
            raise ValueError(
                f"`mode` is {mode!r}, expected 'int8' for {self.name!r}, which has its kernel from "
                f"{self._source.name!r}."
            )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the bias: one number for each input of the source."""
        if not self._source.built:
            raise ValueError(
                f"`source` is the layer {self._source.name!r}, which has no weights yet, expected "
                "a built layer: call it first, or its `build`."
            )
        self.inputs_of_source = self.kernel.shape[-2]  # a kernel is (…, inputs, outputs)
        if self.use_bias:
            self.bias = self.add_weight((self.inputs_of_source,), "zeros", name="bias")

    @property
    def variables(self) -> list[keras.Variable]:
        """Return the bias and the kernel, which Keras counts only once in a model."""
        return [*self._kernel_if_any(), *super().variables]

    @property
    def weights(self) -> list[keras.Variable]:
        """Return the same without random states."""
        return [*self._kernel_if_any(), *super().weights]

    def _kernel_if_any(self) -> list[keras.Variable]:
        return [self.kernel] if self._source.built else []

    def get_config(self) -> dict[str, Any]:
        raise ValueError(
            f"{type(self).__name__} {self.name!r} has its kernel from {self._source.name!r}, "
            "expected to be saved or cloned with the model that ties the two, or without the tie: "
            "`untied()` of a StackedAutoencoder."
        )


class TiedDense(_Tied):
    """x̂ = φ(hWᵀ + c), with the W of a `keras.layers.Dense`.

    Args:
        source: The layer that owns W; it must be built first.
        activation: Activation φ.
        use_bias: If True, the layer has a bias c.

    Example:

    >>> dense = keras.layers.Dense(3)
    >>> code = dense(keras.ops.ones((2, 5)))
    >>> tied = TiedDense(dense)
    >>> tuple(tied(code).shape), tied.kernel is dense.kernel, len(tied.weights)
    ((2, 5), True, 2)
    """

    runs_backwards = keras.layers.Dense

    def call(self, inputs):
        kernel, bias = ops.transpose(self.matrix()), self.bias if self.use_bias else None
        return self.activation(platform.affine(inputs, kernel, bias))  # hWᵀ + c

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.inputs_of_source)


class TiedConv2DTranspose(_Tied):
    """x̂ = φ(Wᵀ h + c), with the W of a `keras.layers.Conv2D` written as a matrix.

    Without c and φ it is the convolution's adjoint, ⟨Wx, y⟩ = ⟨x, Wᵀy⟩, for every x whose sides
    the strides divide (with `padding="valid"`: whose sides minus the kernel's).

    Args:
        source: The layer that owns W; it must be built first.
        activation: Activation φ.
        use_bias: If True, the layer has a bias c, one number for each channel.

    Example:

    >>> convolution = keras.layers.Conv2D(4, 3, strides=2, padding="same")
    >>> code = convolution(keras.ops.ones((2, 8, 8, 1)))
    >>> tied = TiedConv2DTranspose(convolution)
    >>> tuple(code.shape), tuple(tied(code).shape)
    ((2, 4, 4, 4), (2, 8, 8, 1))
    """

    runs_backwards = keras.layers.Conv2D

    def build(self, input_shape):
        if self._source.groups != 1:
            raise ValueError(
                f"`source` is a convolution in {self._source.groups} groups, expected one group."
            )
        super().build(input_shape)

    def call(self, inputs):
        source = self._source
        outputs = platform.conv_transpose(  # Wᵀh
            inputs,
            self.matrix(),
            strides=source.strides,
            padding=source.padding,
            data_format=source.data_format,
            dilation_rate=source.dilation_rate,
        )
        if self.use_bias:
            outputs = ops.add(outputs, _of_channels(self.bias, source.data_format))
        return self.activation(outputs)


@keras.saving.register_keras_serializable("kerasae")
class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose`, with a gradient that is also fast on JAX on a CPU.

    With strides s and padding p, output o depends on input i through the kernel's number k:

        y(o) = φ(Σ x(i) W(k) + c)   over all i and k with o = s·i + k − p

    Arguments, weights, their names and results are those of Keras, and weights are
    interchangeable. Only the gradient of W is computed by another formula if Keras's is slow
    (`kerasae.engine.platform`): a training step of `nets.convolutional` took four times as long.

    Example:

    >>> images = Conv2DTranspose(1, 4, strides=2, padding="same")(keras.ops.ones((2, 7, 7, 3)))
    >>> tuple(images.shape)
    (2, 14, 14, 1)
    """

    def call(self, inputs):
        if not platform.slow_transposed_convolutions():
            return super().call(inputs)
        outputs = platform.conv_transpose(
            inputs,
            self.kernel,
            self.strides,
            self.padding,
            self.output_padding,
            self.data_format,
            self.dilation_rate,
        )
        if self.use_bias:
            outputs = ops.add(outputs, _of_channels(self.bias, self.data_format))
        return self.activation(outputs)


def _of_channels(bias, data_format: str):
    """Reshape a number for each channel, so that it can be added to feature maps."""
    shape = (1, 1, 1, -1) if data_format == "channels_last" else (1, -1, 1, 1)
    return ops.reshape(bias, shape)


@keras.saving.register_keras_serializable("kerasae")
class TopK(keras.layers.Layer):
    """A layer that keeps the k largest numbers of each code and sets the others to 0.

    The gradient passes only through the kept numbers. Exactly k are kept: the first ones of equal
    numbers, and negative ones if too few are positive. A convolutional code counts as one vector.

    Makhzani & Frey, "k-sparse autoencoders" (2013).

    Args:
        k: Number of units to keep, at most the size of a code.

    Example:

    >>> codes = keras.ops.convert_to_tensor([[0.1, 3.0, 2.0], [1.0, 1.0, 1.0]])
    >>> keras.ops.convert_to_numpy(TopK(2)(codes)).tolist()
    [[0.0, 3.0, 2.0], [1.0, 1.0, 0.0]]
    """

    def __init__(self, k: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.k = checks.whole_number("k", k)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Check that a code has at least k numbers."""
        units = tuple(input_shape[1:])
        if None not in units and self.k > math.prod(units):
            raise ValueError(
                f"`k` is {self.k}, expected at most {math.prod(units)}, the numbers of a code of "
                f"shape {units}."
            )

    def call(self, inputs):
        codes = ops.reshape(inputs, (ops.shape(inputs)[0], -1))
        least = ops.top_k(codes, self.k)[0][:, -1:]
        larger, equal = codes > least, codes == least
        places = self.k - ops.sum(ops.cast(larger, "int32"), axis=1, keepdims=True)
        first = ops.cumsum(ops.cast(equal, "int32"), axis=1) <= places
        kept = ops.logical_or(larger, ops.logical_and(equal, first))
        return ops.where(ops.reshape(kept, ops.shape(inputs)), inputs, ops.zeros_like(inputs))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "k": self.k}
