"""Generate examples from noise.

    x = G(z),  z ~ p(z)                          also on paths from one z to another
    Σ ‖G(z_i+1) − G(z_i)‖ / Σ ‖x_i+1 − x_i‖      diversity of samples, relative to the data

White, "Sampling generative networks" (2016), for the arcs between two z.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae import checks, interpolation
from kerasae.engine import internals, noise
from kerasae.engine.streams import predictions
from kerasae.models import inputs
from kerasae.models.base import Model
from kerasae.models.batch import Among

Tensor = Any


class Sampler(Model):
    """Base class of models with a network that generates examples from noise.

    A subclass sets these attributes in its constructor.

    Attributes:
        generator: G, a Keras model from z to x, or from `[z, one-hot label]`.
        averaged: A copy of G with averaged weights, which then generates, or `None`.
        code_shape: Shape of z.
        latent: p(z), `"normal"`, N(0, I), or `"uniform"`, from −1 to 1.
        classes: Number of classes, if G takes labels, or `None`.
        seed_generator: Source of z.
    """

    generator: keras.Model
    averaged: keras.Model | None
    code_shape: tuple[int, ...]
    latent: str
    classes: int | None
    seed_generator: keras.random.SeedGenerator

    def input_shape_of_networks(self):
        return self.generator.input_shape

    def build(self, input_shape: Any = None) -> None:
        """Mark the model as built: its networks are already built."""
        self.built = True
        internals.mark_called(self)

    # The mathematics.

    def compute(self, z, training):
        """Return the samples G(z); for a conditional model z is `[z, one-hot label]`."""
        return {"output": self.generator(z, training=training)}

    def _draw_noise(self, count: int | Tensor, seed: noise.Seed) -> Tensor:
        """Draw z ~ p(z)."""
        shape = (count, *self.code_shape)
        if self.latent == "uniform":
            return 2 * noise.uniform(shape, seed) - 1
        return noise.normal(shape, seed)

    # Use.

    def sample(self, count: int, labels: Any = None, seed: int | None = None) -> np.ndarray:
        """Draw samples G(z), z ~ p(z).

        Args:
            count: Number of samples.
            labels: For a conditional GAN: one label for all, or one for each; `None` for each
                class in turn.
            seed: Seed of z; `None` for new samples each time.

        Returns:
            Array of shape `(count, …)`.
        """
        seed = self.seed_generator if seed is None else checks.seed("seed", seed)
        z = self._draw_noise(checks.whole_number("count", count), seed)
        return self.generate(ops.convert_to_numpy(z), labels)

    def generate(self, z: Any, labels: Any = None, batch_size: int = 256) -> np.ndarray:
        """Return the samples G(z) for given z, with labels as in `sample`."""
        z = checks.as_array("z", z)
        otherwise = "pass whole numbers of p(z)'s own scale as float32"
        checks.check_array("z", z, self.code_shape, integers=False, otherwise=otherwise)
        network = self.generator if self.averaged is None else self.averaged
        checks.whole_number("batch_size", batch_size)
        given = inputs.with_label(z, inputs.one_hot(labels, len(z), self.classes))
        return predictions(network, given, batch_size)

    def interpolate(
        self, start: Any, end: Any, steps: int = 8, spherical: bool = True, labels: Any = None
    ) -> np.ndarray:
        """Generate samples along paths from some codes z to others.

        Args:
            start: Codes z at which the paths begin, `(n, …)`.
            end: Codes at which they end, `(n, …)`.
            steps: Number of points on each path, both ends included.
            spherical: If True, the path is an arc, which stays at the typical length of normal z
                in high dimensions; else a straight line.
            labels: For a conditional GAN, labels of the paths, as in `sample`.

        Returns:
            Array of shape `(n, steps, …)`.
        """
        start, end = (checks.as_array(name, z) for name, z in (("start", start), ("end", end)))
        checks.check_array("start", start, self.code_shape)
        checks.check_array("end", end, self.code_shape)
        checks.check_same_length(start=start, end=end)
        between = interpolation.spherical if spherical else interpolation.straight
        path = between(np.asarray(start), np.asarray(end), steps)
        if self.classes is not None:
            labels = np.repeat(inputs.one_hot(labels, len(path), self.classes).argmax(1), steps)
        samples = self.generate(path.reshape((-1, *self.code_shape)), labels)
        return samples.reshape((*path.shape[:2], *samples.shape[1:]))


def diversity(samples: Tensor, x: Tensor) -> Among:
    """Return the mean distance between a sample and the next, divided by that between examples."""
    # A batch of one example has no distances, and its weight is 0.
    ratio = _distances(samples) / ops.maximum(_distances(x), 1e-12)
    count = ops.cast(ops.shape(x)[0] - 1, "float32")
    return Among(ops.reshape(ratio, (1,)), ops.reshape(count, (1,)))


def _distances(x: Tensor) -> Tensor:
    """Return the sum of the distances between each example of a batch and the next."""
    # Of n − 1 pairs only: all pairs would cost more than the other metrics together.
    differences = ops.cast(x[1:], "float32") - ops.cast(x[:-1], "float32")
    squares = ops.sum(ops.square(differences), axis=tuple(range(1, len(x.shape))))
    return ops.sum(ops.sqrt(squares))
