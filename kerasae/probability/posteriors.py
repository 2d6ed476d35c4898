"""The posterior q(z|x): a normal distribution whose parameters are the encoder's output.

    Diagonal       μ and log σ², each of the latent dimension
    Deviation      μ and σ itself, of any sign: log σ² is log(σ² + ε)
    Full           μ and a triangular B, which is learned directly: z = μ + Bε, BBᵀ = Σ

The decks' latent loss, ½ Σ (σ² + μ² − 1 − log(ε + σ²)), is the divergence of `Deviation` from
N(0, I). If the encoder's second half is log σ², it is the divergence of `Diagonal`.
"""

import math
from typing import Any

import keras
from keras import ops

from kerasae.probability import layer
from kerasae.probability.distribution import Distribution, float32
from kerasae.probability.normal import FullNormal, Normal, triangular

EPSILON = 1e-10  # the decks' eps: keeps the logarithm finite if σ is 0

Shape = tuple[int | None, ...]


class Posterior(layer.DistributionLayer):
    """A layer that turns an encoder's output into q(z|x)."""

    counts = "an even number of them"  # which numbers of parameters there are

    def parameters(self, size: int) -> int:
        """Return the number of parameters an encoder must give for a code of `size` (last axis).

        Example:

        >>> Diagonal().parameters(16), Full().parameters(16)
        (32, 152)
        """
        return 2 * size

    def size(self, count: int) -> int:
        """Return the size of the code of `count` parameters, rounded down if there is none."""
        return count // 2

    def code_shape(self, shape: Shape) -> Shape:
        """Return the shape of one code, for an encoder that gives an output of `shape`.

        Example:

        >>> Diagonal().code_shape((7, 7, 8)), Full().code_shape((152,))
        ((7, 7, 4), (16,))
        """
        size = self.size(shape[-1])
        if size < 1 or self.parameters(size) != shape[-1]:
            raise ValueError(
                f"`encoder` gives {shape[-1]} numbers, which are no parameters of a posterior "
                f"{self.label!r}, expected {self.counts}."
            )
        return (*shape[:-1], size)

    def distribution(self, output: Any) -> Distribution:
        """Return q(z|x) from the encoder's output for a batch; `code_shape` has checked its shape.

        Example:

        >>> q = Deviation().distribution([[1.0, 0.0, -2.0, 1.0]])
        >>> ops.convert_to_numpy(q.mean).tolist(), ops.convert_to_numpy(q.stddev).tolist()
        ([[1.0, 0.0]], [[2.0, 1.0]])
        """
        output = float32(output)
        size = self.size(output.shape[-1])
        return self.normal(output[..., :size], output[..., size:])

    def normal(self, mean: Any, rest: Any) -> Distribution:
        """Return the normal distribution of this mean, given the other parameters."""
        raise NotImplementedError(f"{type(self).__name__} has no `normal`.")

    @property
    def label(self) -> str:
        """Return the name by which `get` knows this kind."""
        return type(self).__name__.lower()


@keras.saving.register_keras_serializable("kerasae.posteriors")
class Diagonal(Posterior):
    """N(μ, diag σ²), by μ and log σ²."""

    def normal(self, mean, rest):
        return Normal(mean, rest)


@keras.saving.register_keras_serializable("kerasae.posteriors")
class Deviation(Posterior):
    """N(μ, diag σ²), by μ and σ: the decks' variant."""

    def normal(self, mean, rest):
        return Normal(mean, ops.log(ops.square(rest) + EPSILON))


@keras.saving.register_keras_serializable("kerasae.posteriors")
class Full(Posterior):
    """N(μ, BBᵀ), by μ and the triangular B."""

    counts = "2, 5, 9, … d(d + 3)/2"

    def parameters(self, size):
        return size * (size + 3) // 2

    def size(self, count):
        return (math.isqrt(8 * count + 9) - 3) // 2  # size (size + 3) / 2 = count

    def code_shape(self, shape):
        if len(shape) > 1:
            raise ValueError(
                f"`encoder` gives numbers of shape {shape}, expected a vector for a posterior with "
                "full covariance."
            )
        return super().code_shape(shape)

    def normal(self, mean, rest):
        return FullNormal(mean, triangular(rest))


KINDS = {"diagonal": Diagonal, "deviation": Deviation, "full": Full}


def get(name: str, value: Any) -> Posterior:
    """Return the posterior of that name, or `value` itself if it is one.

    Args:
        name: Name of the argument, for the error message.
        value: `"diagonal"`, `"deviation"`, `"full"`, or a posterior.
    """
    return layer.get(name, value, Posterior, KINDS, "kerasae.posteriors")
