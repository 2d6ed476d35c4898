"""Mixtures of normal distributions: a prior with several modes."""

import math
from typing import Self

from keras import ops

from kerasae import checks
from kerasae.engine import noise
from kerasae.probability.discrete import Categorical
from kerasae.probability.distribution import (
    Distribution,
    Tensor,
    broadcast_with,
    check_fits,
    numbers,
)
from kerasae.probability.normal import Normal


class Mixture(Distribution):
    """Σ_c π_c N(μ_c, diag σ_c²): a mixture of diagonal normals.

        log p(z) = log Σ_c exp(log π_c + log N(z; μ_c, σ_c²))

    The mixture is fixed if its parameters are numbers, and learned if they are weights. Through
    `sample`, gradients reach the means and variances, but not the choice of a component, thus
    not π.

    Args:
        means: μ_c, `(…, components, d)`.
        log_variances: log σ_c², which broadcasts to the means.
        logits: log π_c up to a constant, `(…, components)`; `None` for equal weights.

    Example:

    >>> p = Mixture([[-1.0], [1.0]], log_variances=-4.0)
    >>> round(float(p.log_prob([1.0])), 3), tuple(p.sample(100, seed=0).shape)
    (0.388, (100, 1))
    """

    def __init__(
        self, means: Tensor, log_variances: Tensor | float = 0.0, logits: Tensor | None = None
    ) -> None:
        means, log_variances = numbers("means", means), numbers("log_variances", log_variances)
        if len(means.shape) < 2:
            raise ValueError(
                f"`means` has the shape {tuple(means.shape)}, expected (…, components, d)."
            )
        check_fits("log_variances", log_variances, "means", means)
        self.components = Normal(means, log_variances, 1)
        logits = (
            ops.zeros_like(means[..., 0])
            if logits is None
            else numbers("logits", logits, finite=False)
        )
        check_fits("logits", logits, "means without its last axis", means[..., 0])
        self.choice = Categorical(broadcast_with(logits, means[..., 0]), 1)
        super().__init__(means[..., 0, :], 1)

    @classmethod
    def ring(cls, modes: int = 10, radius: float = 4.0, stddev: float = 0.5) -> Self:
        """Return equal modes in the plane on a circle around 0, the first of them at (radius, 0).

        Args:
            modes: Number of modes.
            radius: Radius of the circle that their centres lie on.
            stddev: Standard deviation σ of each mode.

        Example:

        >>> tuple(Mixture.ring().sample(1000, seed=0).shape)
        (1000, 2)
        """
        radius = checks.between("radius", radius, 0, math.inf)
        turn = 2 * math.pi / checks.whole_number("modes", modes)
        centres = [
            [radius * math.cos(turn * mode), radius * math.sin(turn * mode)]
            for mode in range(modes)
        ]
        return cls(centres, 2 * math.log(checks.between("stddev", stddev, 0, math.inf)))

    @property
    def weights(self) -> Tensor:
        """Return π_c, whose sum is 1."""
        return self.choice.mean

    @property
    def mean(self) -> Tensor:
        """Return Σ_c π_c μ_c."""
        return ops.sum(self.weights[..., None] * self.components.mean, axis=-2)

    def sample(self, count=None, seed=None):
        chosen = self.choice.sample(count, seed)[..., None]
        log_variances = broadcast_with(self.components.log_variance, self.components.mean)
        mean = ops.sum(chosen * self.components.mean, axis=-2)
        stddev = ops.exp(0.5 * ops.sum(chosen * log_variances, axis=-2))
        one, seed = self.components.mean[..., 0, :], noise.derived_seed(seed)
        return mean + stddev * self._noise(noise.normal, one, count, seed)

    def log_prob(self, value):
        value = self._value(value)[..., None, :]  # an axis for the components
        return ops.logsumexp(self.choice.log_weights + self.components.log_prob(value), axis=-1)
