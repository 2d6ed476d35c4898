"""The Laplace distribution: as a likelihood, its error is the absolute error."""

import math

from keras import ops

from kerasae.engine import noise
from kerasae.probability.distribution import (
    Distribution,
    Tensor,
    check_fits,
    numbers,
)


class Laplace(Distribution):
    """The density e^(−|z − μ|/b) / 2b of each number: as a likelihood, the absolute error.

        log p(z) = −Σ (|z − μ|/b + log 2b)

    Args:
        mean: μ.
        log_scale: log b, which broadcasts to the mean. The standard deviation is √2 b.
        event_axes: Number of last axes that are one example.

    Example:

    >>> p = Laplace([0.0, 0.0])
    >>> round(float(p.log_prob([1.0, -1.0])), 4)
    -3.3863
    """

    def __init__(
        self, mean: Tensor, log_scale: Tensor | float = 0.0, event_axes: int | None = None
    ) -> None:
        self.mean, self.log_scale = numbers("mean", mean), numbers("log_scale", log_scale)
        super().__init__(self.mean, event_axes)
        check_fits("log_scale", self.log_scale, "mean", self.mean)

    def sample(self, count=None, seed=None):
        # The difference of two exponentially distributed numbers, −log u each.
        first = ops.log(self._noise(noise.uniform, self.mean, count, seed))
        seed = noise.derived_seed(seed)
        second = ops.log(self._noise(noise.uniform, self.mean, count, seed))
        return self.mean + ops.exp(self.log_scale) * (second - first)

    def log_prob(self, value):
        distance = ops.abs(self._value(value) - self.mean) * ops.exp(-self.log_scale)
        return -self._sum(distance + self.log_scale + math.log(2))

    def _closed_kl(self, other):
        if not isinstance(other, Laplace):
            return None
        # With δ = |μ − m|: (b e^(−δ/b) + δ)/c − 1 − log b/c.
        distance = ops.abs(self.mean - other.mean)
        log_ratio = self.log_scale - other.log_scale
        inside = ops.exp(log_ratio - distance * ops.exp(-self.log_scale))
        return self._sum(inside + distance * ops.exp(-other.log_scale) - 1 - log_ratio)
