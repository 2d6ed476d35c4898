"""What one engine does slowly on some machines, in a form that it does fast.

A transposed convolution adds a copy of its kernel w at every s-th place of the output, x(i) times:

    y(o) = Σ x(i) w(k)   over all i and k with o = s·i + k − p

(two indices each, and a sum over channels; `padding` decides p and how many o there are). Its
derivatives are sums over the same triples (o, i, k):

    ∂L/∂x(i) = Σ_k w(k) g(s·i + k − p)       g = ∂L/∂y
    ∂L/∂w(k) = Σ_i x(i) g(s·i + k − p)

The second one XLA writes as a convolution of x, with s − 1 zeros after each number, with g as its
kernel, for which its CPU code is some thirty times slower than for the output itself. But it is
also a convolution of g, with x as the kernel that skips s − 1 places: the gradient of an ordinary
convolution, g's, for its kernel. That one is fast.

The cross entropy of logits takes two logarithms of a sigmoid in Keras on JAX, where one logarithm
does, as the other engines know. Sums of the rows of each index take Keras five to twenty times as
long on PyTorch, where it makes an index for each number.
"""

import functools
import operator
from typing import Any

import keras
import numpy as np
from keras import ops

Tensor = Any
Pair = tuple[Tensor, Tensor]
Sides = tuple[int, ...]


def _conv_transpose(
    x: Tensor, w: Tensor, s: Sides, padding: str, data_format: str | None
) -> Tensor:
    return ops.conv_transpose(x, w, s, padding, data_format=data_format)


if keras.backend.backend() == "jax":
    import jax

    def slow_transposed_convolutions() -> bool:
        """Return whether what is computed now is compiled by XLA for a CPU."""
        device = jax.config.jax_default_device or jax.devices()[0]
        return getattr(device, "platform", device) == "cpu"

    # Not `custom_vjp`, which forward-mode derivatives (`directional`) cannot pass.
    _conv_transpose = jax.custom_jvp(_conv_transpose, nondiff_argnums=(2, 3, 4))

    @functools.partial(_conv_transpose.defjvp, symbolic_zeros=True)
    def _directional(
        s: Sides, padding: str, data_format: str | None, at: Pair, along: Pair
    ) -> Pair:
        (x, w), (dx, dw) = at, along
        y = _conv_transpose(x, w, s, padding, data_format)

        def by_kernel(g: Tensor) -> Tensor:  # ∂L/∂w as above, linear in g
            def convolve(w: Tensor) -> Tensor:
                return ops.conv(g, w, s, padding, data_format)

            return jax.linear_transpose(convolve, w)(x)[0]

        # y is linear in x and in w: along dw it is the transpose of what the gradient shall be.
        dy = []
        if not isinstance(dx, jax.custom_derivatives.SymbolicZero):
            dy.append(_conv_transpose(dx, w, s, padding, data_format))
        if not isinstance(dw, jax.custom_derivatives.SymbolicZero):
            dy.append(jax.linear_transpose(by_kernel, y)(dw)[0])
        return y, functools.reduce(operator.add, dy)

else:
    if keras.backend.backend() == "torch":
        import torch

    def slow_transposed_convolutions() -> bool:
        """Return whether what is computed now is compiled by XLA for a CPU."""
        return False


def is_float32(value: Any) -> bool:
    """Return whether a value is a tensor in float32.

    Example:

    >>> is_float32(ops.ones(3)), is_float32(3.0)
    (True, False)
    """
    if keras.backend.backend() == "torch":
        return isinstance(value, torch.Tensor) and value.dtype == torch.float32
    return ops.is_tensor(value) and keras.backend.standardize_dtype(value.dtype) == "float32"


def affine(x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """Return xW + b, on PyTorch in one pass.

    Example:

    >>> ops.convert_to_numpy(affine(ops.ones((1, 2)), ops.ones((2, 3)), ops.ones(3))).tolist()
    [[3.0, 3.0, 3.0]]
    """
    if bias is None:
        return ops.matmul(x, kernel)
    if keras.backend.backend() == "torch" and len(x.shape) == 2:
        bias, kernel = (getattr(each, "value", each) for each in (bias, kernel))
        return torch.addmm(bias, x, kernel)
    return ops.add(ops.matmul(x, kernel), bias)


def binary_cross_entropy(y: Tensor, logits: Tensor) -> Tensor:
    """Return −y log σ(a) − (1 − y) log(1 − σ(a)) of each number, from logits a.

    Example:

    >>> nats = binary_cross_entropy(np.ones(2), np.array([0.0, 100.0]))
    >>> [round(float(each), 3) for each in nats]
    [0.693, 0.0]
    """
    if keras.backend.backend() != "jax":
        return ops.binary_crossentropy(y, logits, from_logits=True)
    y, logits = ops.convert_to_tensor(y), ops.convert_to_tensor(logits)
    # a⁺ − ya + log(1 + e^(−|a|)), with |a| = 2a⁺ − a: so the derivative is right at 0 too.
    positive = ops.relu(logits)
    return positive - y * logits + ops.log1p(ops.exp(logits - 2 * positive))


def occurrences(indices: Tensor, size: int) -> Tensor:
    """Return how often each number below `size` occurs.

    Example:

    >>> ops.convert_to_numpy(occurrences(ops.array([[0, 2], [2, 3]]), 5)).tolist()
    [1.0, 0.0, 2.0, 1.0, 0.0]
    """
    flat = ops.reshape(indices, (-1,)) if len(indices.shape) > 1 else indices
    return segment_sum(ops.ones_like(flat, dtype="float32"), flat, size)


def segment_sum(values: Tensor, indices: Tensor, size: int) -> Tensor:
    """Return the sum of the values, `(n,)` or `(n, d)`, that have each index below `size`.

    Example:

    >>> sums = segment_sum(ops.array([1.0, 2.0, 4.0]), ops.array([0, 2, 0]), 3)
    >>> ops.convert_to_numpy(sums).tolist()
    [5.0, 0.0, 2.0]
    """
    if keras.backend.backend() != "torch":
        return ops.segment_sum(values, indices, num_segments=size)
    sums = torch.zeros((size, *values.shape[1:]), dtype=values.dtype, device=values.device)
    indices = indices.long().reshape(-1, *[1] * (len(values.shape) - 1))
    return sums.scatter_add_(0, indices.expand(values.shape), values)


def conv_transpose(
    inputs: Tensor,
    kernel: Tensor,
    strides: Sides,
    padding: str,
    output_padding: Sides | None = None,
    data_format: str | None = None,
    dilation_rate: Sides | int = 1,
) -> Tensor:
    """Return `keras.ops.conv_transpose` of the same arguments, with a fast gradient of the kernel.

    The result is the same to the last bit, and so is the gradient of the inputs. Keras's own
    gradient is left wherever it is fast, or the arguments are unusual.

    Example:

    >>> x, w = ops.ones((1, 3, 3, 2)), ops.ones((2, 2, 5, 2))
    >>> y = conv_transpose(x, w, strides=(2, 2), padding="same")
    >>> tuple(y.shape), float(y[0, 0, 0, 0])
    ((1, 6, 6, 5), 2.0)
    """
    usual = output_padding is None and np.max(dilation_rate) == 1
    if max(strides) == 1 or not usual or not slow_transposed_convolutions():
        return ops.conv_transpose(
            inputs, kernel, strides, padding, output_padding, data_format, dilation_rate
        )
    inputs, kernel = ops.convert_to_tensor(inputs), ops.convert_to_tensor(kernel)
    return _conv_transpose(inputs, kernel, tuple(strides), padding, data_format)
