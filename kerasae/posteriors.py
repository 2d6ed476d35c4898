"""The posterior q(z|x): a normal distribution whose parameters are the encoder's output.

    "diagonal"     μ and log σ², each of the latent dimension
    "deviation"    μ and σ itself, of any sign: log σ² is log(σ² + ε)
    "full"         μ and a triangular B, which is learned directly: z = μ + Bε, BBᵀ = Σ

The decks' latent loss, ½ Σ (σ² + μ² − 1 − log(ε + σ²)), is the divergence of "deviation" from
N(0, I). If the encoder's second half is log σ², it is the divergence of "diagonal".
"""

import math
from typing import Any

from keras import ops

from kerasae import checks
from kerasae.distributions import Distribution, FullNormal, Normal, triangular
from kerasae.distributions.base import float32

KINDS = ("diagonal", "deviation", "full")
EPSILON = 1e-10  # the decks' eps: keeps the logarithm finite if σ is 0

Shape = tuple[int | None, ...]


def parameters(kind: str, size: int) -> int:
    """Return the number of parameters an encoder must give for a code of `size` (its last axis).

    Example:

    >>> parameters("diagonal", 16), parameters("full", 16)
    (32, 152)
    """
    if checks.one_of("posterior", kind, KINDS) == "full":
        return size * (size + 3) // 2
    return 2 * size


def code_shape(kind: str, shape: Shape) -> Shape:
    """Return the shape of one code, for an encoder that gives an output of `shape` per example.

    Example:

    >>> code_shape("diagonal", (7, 7, 8)), code_shape("full", (152,))
    ((7, 7, 4), (16,))
    """
    checks.one_of("posterior", kind, KINDS)
    count = shape[-1]
    size = _size(kind, count)
    if kind == "full" and len(shape) > 1:
        raise ValueError(
            f"`encoder` gives numbers of shape {shape}, expected a vector for a posterior with "
            "full covariance."
        )
    if size < 1 or parameters(kind, size) != count:
        expected = "2, 5, 9, … d(d + 3)/2" if kind == "full" else "an even number of them"
        raise ValueError(
            f"`encoder` gives {count} numbers, which are no parameters of a posterior {kind!r}, "
            f"expected {expected}."
        )
    return (*shape[:-1], size)


def _size(kind: str, count: int) -> int:
    """Return the size of a code from the number of parameters."""
    if kind == "full":
        return (math.isqrt(8 * count + 9) - 3) // 2  # size (size + 3) / 2 = count
    return count // 2


def distribution(kind: str, values: Any) -> Distribution:
    """Return q(z|x) from the encoder's output for a batch; `code_shape` has checked its shape.

    Example:

    >>> q = distribution("deviation", [[1.0, 0.0, -2.0, 1.0]])
    >>> ops.convert_to_numpy(q.mean).tolist(), ops.convert_to_numpy(q.stddev).tolist()
    ([[1.0, 0.0]], [[2.0, 1.0]])
    """
    values = float32(values)
    size = _size(kind, values.shape[-1])
    mean, rest = values[..., :size], values[..., size:]
    if kind == "full":
        return FullNormal(mean, triangular(rest))
    if kind == "deviation":
        rest = ops.log(ops.square(rest) + EPSILON)
    return Normal(mean, rest)
