"""Normal distributions: z = μ + σε, and with correlations z = μ + Bε, with ε ~ N(0, I)."""

import math
from typing import Self

from keras import ops

from kerasae import checks
from kerasae.engine import noise
from kerasae.probability.distribution import (
    Distribution,
    Tensor,
    broadcast_with,
    broadcasts,
    check_fits,
    float32,
    numbers,
)


class Normal(Distribution):
    """N(μ, diag σ²): independent normal numbers, by their means and log σ².

        z = μ + σε,   log p(z) = −½ Σ [(z − μ)²/σ² + log σ² + log 2π]

    As a likelihood, −log p(x|z) is the squared error over 2σ² plus log σ, up to a constant.
    `log_variance` may be a fixed number, an output of the network, or a weight. A layer should
    add this weight with `autocast=False`, so that it stays float32 under mixed precision.

    Args:
        mean: μ.
        log_variance: log σ², which broadcasts to the mean.
        event_axes: Number of last axes that are one example.

    Example:

    >>> q = Normal(ops.zeros((5, 2)), ops.zeros((5, 2)))
    >>> z = q.sample(seed=0)
    >>> tuple(z.shape), tuple(q.log_prob(z).shape)
    ((5, 2), (5,))
    >>> p = Normal([1.0, 1.0], log_variance=math.log(2.0))
    >>> [round(float(nats), 4) for nats in q.kl(p)]
    [0.6931, 0.6931, 0.6931, 0.6931, 0.6931]
    """

    _is_standard = False

    def __init__(
        self, mean: Tensor, log_variance: Tensor | float = 0.0, event_axes: int | None = None
    ) -> None:
        self.mean = numbers("mean", mean)
        self.log_variance = numbers("log_variance", log_variance)
        super().__init__(self.mean, event_axes)
        check_fits("log_variance", self.log_variance, "mean", self.mean)

    @classmethod
    def standard(cls, *shape: int) -> Self:
        """Return N(0, I) for examples of the given shape.

        Example:

        >>> tuple(Normal.standard(2).sample(100, seed=0).shape)
        (100, 2)
        """
        zeros = ops.zeros(checks.sizes("shape", shape), "float32")
        normal = cls(zeros, zeros, len(shape))
        normal._is_standard = True
        return normal

    @property
    def stddev(self) -> Tensor:
        """Return σ, which broadcasts to the mean."""
        return ops.exp(0.5 * self.log_variance)

    def sample(self, count=None, seed=None):
        epsilon = self._noise(noise.normal, self.mean, count, seed)
        return self.mean + self.stddev * epsilon  # μ + σε

    def log_prob(self, value):
        # The distance is divided before it is squared: the square of a large one would overflow.
        distance = (self._value(value) - self.mean) * ops.exp(-0.5 * self.log_variance)
        return -0.5 * self._sum(distance**2 + self.log_variance + math.log(2 * math.pi))

    def _closed_kl(self, other):
        if isinstance(other, FullNormal):
            return FullNormal(self.mean, self._factor())._closed_kl(other)
        if not isinstance(other, Normal):
            return None
        # ½ Σ [(μ − m)²/s² + σ²/s² − 1 − log σ²/s²]; for N(0, I) that is ½ Σ (μ² + σ² − 1 − log σ²).
        distance, log_ratio = self.mean, self.log_variance
        if not other._is_standard:
            distance = (self.mean - other.mean) * ops.exp(-0.5 * other.log_variance)
            log_ratio = self.log_variance - other.log_variance
        return 0.5 * self._sum(distance**2 + ops.expm1(log_ratio) - log_ratio)

    def _factor(self) -> Tensor:
        """Return B = diag σ."""
        stddev = broadcast_with(self.stddev, self.mean)
        return stddev[..., None] * ops.eye(self.event_shape[-1], dtype="float32")

    def _whiten(self, columns: Tensor) -> Tensor:
        """Return B⁻¹ times the columns, with B = diag σ."""
        return columns * broadcast_with(ops.exp(-0.5 * self.log_variance), self.mean)[..., None]

    def _log_diagonal(self) -> Tensor:
        """Return the numbers log B_ii."""
        return 0.5 * broadcast_with(self.log_variance, self.mean)


class FullNormal(Distribution):
    """N(μ, BBᵀ), with correlations: B is lower triangular, without a 0 on its diagonal.

        z = μ + Bε,   log p(z) = −½ ‖B⁻¹(z − μ)‖² − Σ log |B_ii| − ½ d log 2π

    An example is a vector: the last axis of the mean.

    Args:
        mean: μ, `(…, d)`.
        factor: B, `(…, d, d)`. Only its lower triangle is read. `triangular` makes it from a
            network's output.

    Example:

    >>> q = FullNormal([1.0, 2.0], [[2.0, 0.0], [1.0, 0.5]])
    >>> ops.convert_to_numpy(q.covariance).tolist()
    [[4.0, 2.0], [2.0, 1.25]]
    >>> round(float(q.kl(Normal.standard(2))), 3), tuple(q.sample(100, seed=0).shape)
    (4.125, (100, 2))
    """

    def __init__(self, mean: Tensor, factor: Tensor) -> None:
        mean, factor = numbers("mean", mean), numbers("factor", factor)
        size = mean.shape[-1] if len(mean.shape) else None
        if size is None or tuple(factor.shape[-2:]) != (size, size):
            raise ValueError(
                f"`factor` has the shape {tuple(factor.shape)}, expected (…, d, d) with a mean "
                f"(…, d), which has the shape {tuple(mean.shape)}."
            )
        if not broadcasts(mean.shape[:-1], factor.shape[:-2]):
            raise ValueError(
                f"`factor` has the shape {tuple(factor.shape)}, expected axes before the last two "
                f"that broadcast with the mean's {tuple(mean.shape[:-1])}."
            )
        self.factor = ops.tril(factor)
        self.mean = broadcast_with(mean, self.factor[..., 0])
        super().__init__(self.mean, 1)

    @property
    def covariance(self) -> Tensor:
        """Return Σ = BBᵀ."""
        return ops.matmul(self.factor, ops.swapaxes(self.factor, -1, -2))

    def sample(self, count=None, seed=None):
        epsilon = self._noise(noise.normal, self.mean, count, seed)
        return self.mean + ops.matmul(self.factor, epsilon[..., None])[..., 0]  # μ + Bε

    def log_prob(self, value):
        distance = self._whiten((self._value(value) - self.mean)[..., None])[..., 0]
        normalizer = 2 * self._log_diagonal() + math.log(2 * math.pi)
        return -0.5 * self._sum(distance**2 + normalizer)

    def _closed_kl(self, other):
        if not isinstance(other, (Normal, FullNormal)):
            return None
        # With other = N(m, CCᵀ) and M = C⁻¹B, which is triangular with M_ii = B_ii / C_ii:
        # ½ (‖M‖² + ‖C⁻¹(μ − m)‖² − d − 2 Σ log M_ii); the diagonal's terms are added together.
        below = other._whiten(self.factor) * ops.tril(
            ops.ones(self.factor.shape[-2:], "float32"), -1
        )
        distance = other._whiten((self.mean - other.mean)[..., None])[..., 0]
        log_ratio = 2 * (self._log_diagonal() - other._log_diagonal())
        diagonal = ops.expm1(log_ratio) - log_ratio
        return 0.5 * self._sum(ops.sum(below**2, axis=-1) + distance**2 + diagonal)

    def _whiten(self, columns: Tensor) -> Tensor:
        """Return B⁻¹ times the columns, by forward substitution."""
        # Backends differ in what they broadcast.
        factor = broadcast_with(self.factor, columns[..., :1])
        return ops.solve_triangular(factor, broadcast_with(columns, factor[..., :1]), lower=True)

    def _log_diagonal(self) -> Tensor:
        """Return the numbers log |B_ii|."""
        return ops.log(ops.abs(ops.diagonal(self.factor, axis1=-2, axis2=-1)))


def triangular(values: Tensor) -> Tensor:
    """Return the factor B of a `FullNormal` from any d(d + 1)/2 numbers.

    The first d numbers v give the diagonal, B_ii = exp(½ v_i): they are log-variances if the
    others are 0. The others fill the triangle below the diagonal, row by row.

    Args:
        values: `(…, d(d + 1)/2)`, such as the output of a dense layer.

    Returns:
        Tensor of shape `(…, d, d)`.

    Example:

    >>> ops.convert_to_numpy(triangular([0.0, 0.0, 5.0])).tolist()
    [[1.0, 0.0], [5.0, 1.0]]
    """
    values = float32(values)
    count = (values.shape[-1] if len(values.shape) else 0) or 0
    size = (math.isqrt(8 * count + 1) - 1) // 2
    if not count or size * (size + 1) // 2 != count:
        raise ValueError(
            f"`values` has the shape {tuple(values.shape)}, expected a last axis of d(d + 1)/2 "
            "numbers: 1, 3, 6, 10, …"
        )
    numbers = ops.concatenate(
        [ops.exp(0.5 * values[..., :size]), values[..., size:], ops.zeros_like(values[..., :1])],
        axis=-1,
    )
    below = iter(range(size, count))
    places = [
        [next(below) if column < row else row if column == row else count for column in range(size)]
        for row in range(size)
    ]
    return ops.take(numbers, ops.convert_to_tensor(places, "int32"), axis=-1)
