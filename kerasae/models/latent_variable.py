"""A model with a latent variable: its distributions, its samples, and its log weights.

p(x) = ∫ p(x|z) p(z) dz = E_q [p(x|z) p(z) / q(z|x)]        for any q(z|x)
"""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from kerasae import checks, interpolation
from kerasae.engine.streams import predictions
from kerasae.models.encoder_decoder import EncoderDecoder

Tensor = Any


class Densities(NamedTuple):
    """Samples z_i ~ q(z|x), and their log densities under the three distributions."""

    z: Tensor  # (k, n, …)
    likelihood: Tensor  # log p(x|z_i), (k, n)
    prior: Tensor  # log p(z_i), (k, n)
    posterior: Tensor  # log q(z_i|x), (k, n)


class LatentVariableModel(EncoderDecoder):
    """A model of p(x) by p(z), p(x|z) and q(z|x).

    A subclass defines `posterior`, q(z|x), `prior_at`, p(z), `likelihood_at`, p(x|z), and has a
    `likelihood` and a `seed_generator`.
    """

    def log_densities(self, x: Any, count: int = 1, seed: Any = None) -> Densities:
        """Draw z_i ~ q(z|x); return them, and log p(x|z_i), log p(z_i), log q(z_i|x).

        Args:
            x: A batch of examples.
            count: The number k of samples per example.
            seed: Seed of the samples.
        """
        q = self.posterior(x)
        z = q.sample(count, seed)
        log_likelihood = self.likelihood_at(z, x).log_prob(self._example(x))
        return Densities(z, log_likelihood, self.prior_at(x).log_prob(z), q.log_prob(z))

    def log_weights(self, x: Any, count: int = 1, seed: Any = None) -> Tensor:
        """Return the log weights log p(x|z_i) + log p(z_i) − log q(z_i|x), z_i ~ q(z|x).

        Their mean is the bound, and log 1/k Σ exp of them tends to log p(x).

        Args:
            x: A batch of examples.
            count: The number k of samples per example.
            seed: Seed of the samples.

        Returns:
            Tensor of shape (count, n).
        """
        densities = self.log_densities(x, count, seed)
        return densities.likelihood + densities.prior - densities.posterior

    def _example(self, x):
        """Return the examples of a batch; here the batch is the examples."""
        return x

    def sample(
        self, count: int, seed: int | None = None, pixels: bool = False, batch_size: int = 256
    ) -> np.ndarray:
        """Generate examples: draw z ~ p(z), then return the mean of p(x|z).

        Args:
            count: Number of examples.
            seed: Seed of the draw; `None` for a new draw each time.
            pixels: If True, draw x ~ p(x|z) instead of returning its mean.
            batch_size: Number of examples decoded at a time.
        """
        checks.whole_number("count", count)
        self._need_weights("sample")
        seed = self._source(seed)
        z = ops.convert_to_numpy(self.prior_at(None).sample(count, seed))
        return self._drawn(
            predictions(self.decoder, z, checks.whole_number("batch_size", batch_size)),
            pixels,
            seed,
        )

    def _source(self, seed: int | None) -> keras.random.SeedGenerator:
        """Return a seed generator, which draws anew for z and for x: of a seed, or the model's."""
        if seed is None:
            return self.seed_generator
        return keras.random.SeedGenerator(checks.seed("seed", seed))

    def _drawn(self, decoded, pixels, seed):
        """Return a sample of p(x|z), or its mean."""
        p = self.likelihood.distribution(decoded)
        return ops.convert_to_numpy(p.sample(seed=seed) if pixels else p.mean)

    def grid(
        self,
        side: int = 20,
        limit: float = 3.0,
        units: tuple[int, int] = (0, 1),
        spacing: str = "even",
    ) -> np.ndarray:
        """Decode a square grid of codes: the picture of the manifold.

        Args:
            side: Number of points along each side.
            limit: The square extends from −limit to limit in two dimensions of the code; the others
                are 0.
            units: Indices of these two dimensions. For a latent dimension of 1, `decode` a line
                of codes.
            spacing: `"even"`, or `"quantile"` for points that divide N(0, 1), between the same
                limits, into equal probabilities.

        Returns:
            Array of shape `(side, side, …)`; the first unit increases from left to right, the
            second upwards.
        """
        self._need_weights("grid")
        codes = interpolation.square(self._shapes["code"], side, limit, units, spacing)
        images = self.decode(codes.reshape(-1, codes.shape[-1]))
        return images.reshape((*codes.shape[:2], *images.shape[1:]))
