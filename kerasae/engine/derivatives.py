"""Derivatives of a function with respect to its input, inside a loss or outside.

    gradient                 ∇ₓ s(x)       of a score
    directional              (∂f/∂x) v     along a direction
    jacobian                 ∂f/∂x         of each example, over the smaller of code and input
    squared_jacobian_norm    ‖∂f/∂x‖²_F    exact, for dense encoders in closed form;
                             E_v‖∂f/∂x v‖², v ~ N(0, I), by random projections

They can be differentiated again, with respect to weights or to x. The function runs without
leaving traces: what it would change (moving statistics, random states) and the losses that its
layers would add are dropped, since it runs only to be differentiated.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import activations, ops

from kerasae.engine import graphs, noise

Tensor = Any
Function = Callable[[Tensor], Tensor]

# `_input_gradient` returns the gradient with respect to x of the number f(x).

if keras.backend.backend() == "jax":
    import jax

    def _input_gradient(f: Function, x: Tensor) -> Tensor:
        return jax.grad(f)(x)

elif keras.backend.backend() == "torch":
    import torch

    def _input_gradient(f: Function, x: Tensor) -> Tensor:
        graph = torch.is_grad_enabled()  # else the caller wants no graph
        with torch.enable_grad():
            # A view: x itself may be a leaf, or have a history that f shares.
            x = x.view_as(x) if x.requires_grad else x.detach().requires_grad_()
            value = f(x)
            if not value.requires_grad:  # f is constant
                return torch.zeros_like(x)
            return torch.autograd.grad(value, x, create_graph=graph, materialize_grads=True)[0]

else:
    import tensorflow as tf

    def _input_gradient(f: Function, x: Tensor) -> Tensor:
        x = tf.identity(x)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            value = f(x)
        return tape.gradient(value, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def gradient(f: Function, x: Tensor) -> Tensor:
    """Return the gradient of a score with respect to its input, ∇ₓ s(x), for each example.

    It is the gradient of Σᵢ f(x)ᵢ: with scores that depend on their own example only, the
    examples do not mix.

    Args:
        f: Takes a batch and returns a tensor, such as one score per example; a function or a
            Keras model or layer, which is called with `training=False`.
        x: Batch of examples.

    Returns:
        Tensor of x's shape.

    Example:

    >>> x = ops.convert_to_tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> ops.convert_to_numpy(gradient(lambda x: ops.sum(x**2, axis=1), x)).tolist()
    [[2.0, 4.0], [6.0, 8.0]]
    """
    x = _floating(x)
    f = _traceless(f, x)
    return _input_gradient(lambda x: ops.sum(ops.cast(f(x), "float32")), x)


def directional(f: Function, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Return the value f(x) and its derivative along a direction, (∂f/∂x) v, for each example.

    Args:
        f: Takes a batch; a function or a Keras model or layer, which is called with
            `training=False`.
        x: Batch of examples.
        v: A direction for each, of x's shape.

    Returns:
        Two tensors of the shape of f(x).

    Example:

    >>> x, v = ops.convert_to_tensor([[3.0]]), ops.convert_to_tensor([[2.0]])
    >>> [float(value[0, 0]) for value in directional(lambda x: x**2, x, v)]
    [9.0, 12.0]
    """
    x = _floating(x)
    # PyTorch takes no views of repeated numbers here.
    return ops.jvp(_traceless(f, x), (ops.copy(x),), (ops.copy(ops.cast(v, x.dtype)),))


def jacobian(f: Function, x: Tensor) -> Tensor:
    """Return the Jacobian ∂f/∂x of each example, for an f that treats examples one by one.

    Where the input is smaller than the code, one directional derivative for each number of the
    input (forward mode), else one gradient for each number of the code (reverse mode). All of
    them run at once, so that memory grows with their number too.

    Args:
        f: Takes a batch and returns the codes, `(n, …code)`; a function or a Keras model or
            layer, which is called with `training=False`.
        x: Batch of examples, `(n, …input)`.

    Returns:
        Tensor of shape `(n, …code, …input)`.

    Example:

    >>> x = ops.convert_to_tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> def f(x):
    ...     return ops.stack([x[:, 0] * x[:, 1], 5 * x[:, 0], x[:, 1] ** 2], axis=1)
    >>> ops.convert_to_numpy(jacobian(f, x)).tolist()
    [[[2.0, 1.0], [5.0, 0.0], [0.0, 4.0]], [[4.0, 3.0], [5.0, 0.0], [0.0, 8.0]]]
    """
    x = _floating(x)
    f = _traceless(f, x)
    input_shape, code_shape = tuple(x.shape[1:]), tuple(f(x).shape[1:])
    input_size, code_size = math.prod(input_shape), math.prod(code_shape)
    if input_size < code_size:
        # Example i, again and again, each time moved along another axis: (∂f/∂x) e_j.
        axes = ops.reshape(ops.eye(input_size, dtype=x.dtype), (-1, *input_shape))
        _, columns = directional(f, *_all_pairs(x, axes))
        columns = ops.reshape(columns, (-1, input_size, code_size))
        rows = ops.transpose(columns, (0, 2, 1))
    else:
        # Example i, again and again, each time another number of its code: ∇ₓ f_j(x).
        repeated, axes = _all_pairs(x, ops.eye(code_size))

        def chosen(x):
            return ops.sum(ops.reshape(ops.cast(f(x), "float32"), (-1, code_size)) * axes)

        rows = _input_gradient(chosen, repeated)
    return ops.reshape(rows, (-1, *code_shape, *input_shape))


def squared_jacobian_norm(
    f: Function,
    x: Tensor,
    projections: int | None = None,
    seed: noise.Seed = None,
) -> Tensor:
    """Return the squared Frobenius norm ‖∂f/∂x‖²_F of each example's Jacobian, in float32.

    Exact by default. For a chain of dense layers h_l = φ_l(h_{l−1} W_l + b_l) it needs no
    Jacobian: one layer has

        ‖∂h/∂x‖²_F = Σ_j φ'(a_j)² Σ_i W_ij²,

    where φ' is a function of h (a sigmoid's is h(1 − h)), and a deeper one multiplies matrices
    of the layers' sizes. In general it sums the squares of `jacobian`.

    With `projections` it is the mean of ‖∂f/∂x v‖² over that many v ~ N(0, I), whose
    expectation is the exact value: E vᵀJᵀJv = tr JᵀJ. Its standard deviation, relative to that,
    is √(2 / (projections · r)), where r = (Σσ²)² / Σσ⁴ ≥ 1 says how many singular values count.

    Args:
        f: Takes a batch and returns the codes; a function or a Keras model or layer, which is
            called with `training=False`.
        x: Batch of examples.
        projections: How many, or `None` for the exact value.
        seed: Of the projections.

    Returns:
        Tensor of shape `(n,)`.

    Example:

    >>> x = ops.convert_to_tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> ops.convert_to_numpy(squared_jacobian_norm(lambda x: x**2, x)).tolist()
    [20.0, 100.0]
    """
    x = _floating(x)
    if projections is not None:
        shape = (ops.shape(x)[0], projections, *x.shape[1:])
        directions = ops.cast(noise.normal(shape, seed), x.dtype)
        repeated = ops.repeat(x, projections, axis=0)
        _, moved = directional(f, repeated, ops.reshape(directions, (-1, *x.shape[1:])))
        return _squares(ops.reshape(moved, (-1, projections, *moved.shape[1:]))) / projections
    exact = _dense_norm(f, x)
    return _squares(jacobian(f, x)) if exact is None else exact


def _all_pairs(x: Tensor, axes: Tensor) -> tuple[Tensor, Tensor]:
    """Return every example with every axis: both of length n · len(axes), all axes of x₁ first."""
    count = ops.shape(x)[0]
    repeated = ops.repeat(x, axes.shape[0], axis=0)
    return repeated, ops.tile(axes, (count, *[1] * (len(axes.shape) - 1)))


def _squares(values: Tensor) -> Tensor:
    """Return the sum of the squares of each example's numbers."""
    values = ops.cast(values, "float32")  # squares overflow float16
    return ops.sum(ops.square(values), axis=tuple(range(1, len(values.shape))))


def _floating(x: Tensor) -> Tensor:
    """Return x as a tensor that has derivatives: whole numbers become floating point."""
    x = ops.convert_to_tensor(x)
    return x if "float" in keras.backend.standardize_dtype(x.dtype) else ops.cast(x, "float32")


# Functions that leave nothing behind.


class _Traceless(keras.StatelessScope):
    """A scope that drops updates and losses, and reads the variables of the surrounding scope."""

    def __init__(self) -> None:
        super().__init__(initialize_variables=False)

    def get_current_value(self, variable: keras.Variable) -> Tensor | None:
        value = super().get_current_value(variable)
        if value is None and self.original_scope is not None:
            # On JAX training runs in a scope of its own, which holds the weights' values.
            value = self.original_scope.get_current_value(variable)
        return value


def _traceless(f: Function, x: Tensor) -> Function:
    """Return f without its side effects, and a layer as it is outside training."""
    arguments = {}
    if isinstance(f, keras.layers.Layer):
        arguments = {"training": False}
        if not f.built:
            f(x)  # its variables cannot be created where nothing may be left behind

    def traceless(x: Tensor) -> Tensor:
        with _Traceless():
            return f(x, **arguments)

    return traceless


# The closed form for dense encoders.

# φ'(a) where h = φ(a), as a function of h.
_SLOPES = {
    activations.linear: ops.ones_like,
    activations.sigmoid: lambda h: h * (1 - h),
    activations.tanh: lambda h: 1 - h**2,
    activations.softplus: lambda h: 1 - ops.exp(-h),
    activations.softsign: lambda h: (1 - ops.abs(h)) ** 2,
    activations.exponential: lambda h: h,
    activations.relu: lambda h: ops.cast(h > 0, h.dtype),
    activations.relu6: lambda h: ops.cast(ops.logical_and(h > 0, h < 6), h.dtype),
    activations.leaky_relu: lambda h: ops.where(h > 0, 1.0, 0.2),
    activations.elu: lambda h: ops.where(h > 0, ops.ones_like(h), h + 1),
    activations.selu: lambda h: ops.where(h > 0, 1.0507009873554805, h + 1.7580993408473766),
}

# Layers that do nothing outside training, or only say where in the array a number stands.
_PASSING = (
    keras.layers.InputLayer,
    keras.layers.Identity,
    keras.layers.Reshape,
    keras.layers.Dropout,
    keras.layers.AlphaDropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.ActivityRegularization,
)


def _dense_norm(f: Function, x: Tensor) -> Tensor | None:
    """‖∂f/∂x‖²_F if f is a chain of dense layers, else `None`."""
    layers = graphs.chain(f)
    if not layers or not all(map(_has_closed_form, layers)):
        return None
    kernels, slopes = [], []
    with _Traceless():
        h = x
        for layer in layers:
            dense = type(layer) is keras.layers.Dense
            if dense and len(h.shape) != 2:
                return None  # one kernel for several places
            h = layer(h, training=False)
            if dense:
                kernels.append(ops.cast(layer.kernel, "float32"))
                slopes.append(_SLOPES[layer.activation](ops.cast(h, "float32")))
    return _chain_norm(kernels, slopes) if kernels else None


def _chain_norm(kernels: list[Tensor], slopes: list[Tensor]) -> Tensor:
    """‖D_L W_Lᵀ ⋯ D_1 W_1ᵀ‖²_F, with D_l the diagonal matrix of an example's slopes φ'_l."""
    first, last = kernels[0], kernels[-1]
    if len(kernels) == 1:
        return ops.matmul(slopes[0] ** 2, ops.sum(first**2, axis=0))  # Σ_j φ'_j² Σ_i W_ij²
    if first.shape[0] < last.shape[1]:
        # From the input on, one row for each of its numbers: Jᵀ = W_1 D_1 ⋯ W_L D_L.
        product = first * slopes[0][:, None, :]
        for kernel, slope in zip(kernels[1:], slopes[1:], strict=True):
            product = ops.matmul(product, kernel) * slope[:, None, :]
        return _squares(product)
    # From the code back, one row for each of its numbers: M = D_L W_Lᵀ ⋯ W_2ᵀ D_1.
    product = slopes[-1][:, :, None] * ops.transpose(last)
    for kernel, slope in zip(kernels[-2:0:-1], slopes[-2:0:-1], strict=True):
        product = ops.matmul(product * slope[:, None, :], ops.transpose(kernel))
    product = product * slopes[0][:, None, :]
    if first.shape[0] < first.shape[1]:
        return _squares(ops.matmul(product, ops.transpose(first)))
    # ‖M W_1ᵀ‖² = Σ M ⊙ M(W_1ᵀW_1), which never has the input's size.
    gram = ops.matmul(ops.transpose(first), first)
    return ops.sum(product * ops.matmul(product, gram), axis=(1, 2))


def _has_closed_form(layer: Any) -> bool:
    kind = type(layer)
    if kind is keras.layers.Dense:
        return layer.activation in _SLOPES and layer.quantization_mode is None
    if kind is keras.layers.Flatten:
        return layer.data_format == "channels_last"  # else it changes the order
    return kind in _PASSING
