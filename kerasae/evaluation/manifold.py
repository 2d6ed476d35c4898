"""The data's manifold as an encoder represents it: the singular values of its Jacobian.

    f(x) ≈ f(x₀) + J (x − x₀),    J = ∂f/∂x at x₀ = U diag(σ) Vᵀ

A contractive encoder has few large σ. Their right singular vectors, columns of V, are the
directions of the input that move the code: the tangents of the manifold of the data.

Rifai et al., "The manifold tangent classifier" (2011).
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from keras import ops

from kerasae import checks
from kerasae.engine import derivatives, graphs
from kerasae.evaluation import pairs

Encoder = Callable[[Any], Any]


def spectrum(encoder: Encoder, x: np.ndarray, batch_size: int = 16) -> np.ndarray:
    """Return the singular values of ∂f/∂x at each point, the largest first.

    Args:
        encoder: Encoder f, a Keras model (in inference mode) or a function of a batch.
        x: Points, `(n, …)`.
        batch_size: Number of points at a time; a Jacobian is held for each.

    Returns:
        Array of shape `(n, min(code, input))`.

    Example:

    >>> x = np.ones((2, 3), dtype="float32")
    >>> spectrum(lambda x: x * ops.array([1.0, 3.0, 2.0]), x).tolist()
    [[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]]
    """
    jacobians = _jacobians(encoder, x, batch_size)
    return np.concatenate([np.linalg.svd(j, compute_uv=False) for j in jacobians])


def tangents(encoder: Encoder, x: np.ndarray, count: int, batch_size: int = 16) -> np.ndarray:
    """Return the right singular vectors of ∂f/∂x: the inputs' directions that move the code most.

    Args:
        encoder: Encoder f, a Keras model (in inference mode) or a function of a batch.
        x: Points, `(n, …)`.
        count: Number of directions at each point, by falling singular value.
        batch_size: Number of points at a time; a Jacobian is held for each.

    Returns:
        Array of shape `(n, count, …)`: orthonormal at each point, with arbitrary signs.

    Example:

    >>> x = np.ones((1, 3), dtype="float32")
    >>> np.abs(tangents(lambda x: x * ops.array([1.0, 3.0, 2.0]), x, 2)).tolist()
    [[[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]]
    """
    directions, count = [], checks.whole_number("count", count)
    for jacobian in _jacobians(encoder, x, batch_size):
        if count > min(jacobian.shape[1:]):
            raise ValueError(
                f"`count` is {count}, expected at most {min(jacobian.shape[1:])}: a Jacobian of "
                f"shape {jacobian.shape[1:]} has no more singular vectors."
            )
        directions.append(np.linalg.svd(jacobian, full_matrices=False).Vh[:, :count])
    return np.concatenate(directions).reshape(-1, count, *np.shape(x)[1:])


def participation_ratio(singular_values: np.ndarray) -> np.ndarray:
    """Return the effective number of singular values, (Σ σ²)² / Σ σ⁴.

    It is k for k equal values and zeros, and 0 if all are 0.

    Args:
        singular_values: Singular values, `(…, size)`.

    Returns:
        Array of shape `(…)`.

    Example:

    >>> participation_ratio([[2.0, 2.0, 0.0], [1.0, 0.0, 0.0]]).tolist()
    [2.0, 1.0]
    """
    values = checks.to_numpy("singular_values", singular_values).astype(np.float64)
    largest = values.max(axis=-1, keepdims=True)
    shares = (values / np.where(largest > 0, largest, 1)) ** 2  # a scale changes nothing
    fourth = np.sum(shares**2, axis=-1)
    return np.sum(shares, axis=-1) ** 2 / np.where(fourth > 0, fourth, 1)


def linearized(
    encoder: Encoder, x0: np.ndarray, x: np.ndarray, batch_size: int = 256
) -> np.ndarray:
    """Return the code of x in the tangent plane at x₀, f(x₀) + J (x − x₀).

    Args:
        encoder: Encoder f, a Keras model (in inference mode) or a function of a batch.
        x0: Points at which to linearize, `(n, …)`.
        x: Points at which to evaluate the linear function, one for each of `x0`.
        batch_size: Number of points at a time.

    Returns:
        Array of shape `(n, …code)`.

    Example:

    >>> x0, x = np.array([[1.0], [2.0]], "float32"), np.array([[3.0], [2.5]], "float32")
    >>> linearized(lambda x: x**2, x0, x).tolist()
    [[5.0], [6.0]]
    """
    checks.same_shape("x0", x0, "x", x)
    x0, x = _points(encoder, "x0", x0), _points(encoder, "x", x)
    parts = [
        derivatives.directional(encoder, start, end - start)
        for start, end in zip(_batches(x0, batch_size), _batches(x, batch_size), strict=True)
    ]
    return np.concatenate([sum(map(ops.convert_to_numpy, part)) for part in parts])


def displacement(codes: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Return how far codes move, in units of their spread: ‖h′ − h‖ / √(mean ‖h − h̄‖²).

    It compares encoders whose codes have different scales: a code that shrinks towards 0 moves
    less, but has not become insensitive.

    Args:
        codes: Codes h of the examples, `(n, …)`.
        moved: Codes h′ of the same examples after a move of their inputs.

    Returns:
        Array of shape `(n,)`.

    Example:

    >>> displacement([[-1.0], [1.0]], [[-1.0], [1.5]]).tolist()
    [0.0, 0.5]
    """
    codes, moved = map(pairs.flat, checks.same_shape("codes", codes, "moved", moved))
    scale = np.sqrt(np.mean(np.sum((codes - codes.mean(0)) ** 2, axis=1)))
    if scale == 0:
        raise ValueError("`codes` are all the same, expected codes that have a spread.")
    return np.linalg.norm(moved - codes, axis=1) / scale


def _jacobians(encoder: Encoder, x: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Yield batches of Jacobians, `(points, code, input)`."""
    for batch in _batches(_points(encoder, "x", x), batch_size):
        jacobian = ops.convert_to_numpy(derivatives.jacobian(encoder, batch))
        yield jacobian.astype(np.float64).reshape(len(batch), -1, batch[0].size)


def _points(encoder: Any, name: str, x: Any) -> np.ndarray:
    """Return points in float32, checked: the encoder takes them."""
    if not callable(encoder):
        raise ValueError(
            f"`encoder` is of type {type(encoder).__name__}, expected a Keras model or a function "
            "of a batch."
        )
    shape = encoder.input_shape[1:] if graphs.is_built(encoder) else None
    return checks.to_numpy(name, x, shape).astype("float32")


def _batches(x: np.ndarray, batch_size: int) -> list[np.ndarray]:
    size = checks.whole_number("batch_size", batch_size)
    return [x[start : start + size] for start in range(0, len(x), size)]
