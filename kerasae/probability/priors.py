"""The prior p(z): the distribution of codes before an example is seen.

    StandardNormal    N(0, I)
    MixturePrior      Σ_c π_c N(μ_c, σ_c²), fixed or learned
    PseudoInputs      1/K Σ_k q(z|u_k): the mean posterior of K learned examples u_k
    SamplesPrior      no formula, but points to draw from: a spiral, a Swiss roll
    ModelPrior        a model of codes that was trained afterwards: a diffusion, a flow

A prior is a small layer, so that its weights are trained and saved with the model.

Tomczak & Welling, "VAE with a VampPrior" (2018), for the pseudo-inputs.
"""

from typing import Any, Self

import keras
import numpy as np
from keras import ops

from kerasae import checks
from kerasae.engine import noise
from kerasae.probability.distribution import Distribution, noise_shape
from kerasae.probability.mixture import Mixture
from kerasae.probability.model_prior import ModelPrior as ModelPrior  # one of `priors` too
from kerasae.probability.normal import Normal
from kerasae.probability.prior import Prior


@keras.saving.register_keras_serializable("kerasae")
class StandardNormal(Prior):
    """N(0, I), the decks' prior.

    Example:

    >>> prior = StandardNormal()
    >>> prior.build((None, 2))
    >>> tuple(prior.distribution().sample(100, seed=0).shape)
    (100, 2)
    """

    def distribution(self, posterior=None):
        return Normal.standard(*self.code_shape)


@keras.saving.register_keras_serializable("kerasae")
class MixturePrior(Prior):
    """Σ_c π_c N(μ_c, σ_c²): a prior with several modes.

    Args:
        means: The μ_c, `(components, d)`; or the number of components, with μ_c drawn from
            N(0, I).
        stddev: σ_c: one number, or an array that broadcasts to the means.
        weights: The π_c, `(components,)`; equal ones by default.
        learned: If True, μ, σ and π are learned.
        seed: Seed of means that are drawn.

    Example:

    >>> prior = MixturePrior.ring(modes=10)
    >>> prior.build((None, 2))
    >>> tuple(prior.distribution().sample(100, seed=0).shape)
    (100, 2)
    >>> round(float(prior.component(3).mean[0]), 3)  # 4 cos(3 · 36°)
    -1.236
    """

    def __init__(
        self,
        means: Any = 10,
        stddev: Any = 1.0,
        weights: Any = None,
        learned: bool = False,
        seed: int = 0,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.means = means if np.ndim(means) == 0 else _numbers("means", means, 2)
        self.components = (
            checks.whole_number("means", means) if np.ndim(means) == 0 else len(self.means)
        )
        self.stddev = np.asarray(_numbers("stddev", stddev))
        if not (self.stddev.size and (self.stddev > 0).all()):
            raise ValueError(f"`stddev` is {stddev!r}, expected positive numbers.")
        self.weights_given = None if weights is None else _numbers("weights", weights, 1)
        if self.weights_given is not None and (
            len(self.weights_given) != self.components or not (self.weights_given > 0).all()
        ):
            raise ValueError(
                f"`weights` is {np.asarray(weights).tolist()}, expected {self.components} positive "
                "numbers, one for each component."
            )
        self.learned, self.seed = (
            checks.flag("learned", learned),
            checks.whole_number("seed", seed, 0),
        )

    @classmethod
    def ring(cls, modes: int = 10, radius: float = 4.0, stddev: float = 0.5, **kwargs) -> Self:
        """Return `kerasae.probability.Mixture.ring` as a prior: equal modes on a circle."""
        ring = Mixture.ring(modes, radius, stddev)
        return cls(ops.convert_to_numpy(ring.components.mean), stddev, **kwargs)

    def build(self, code_shape, input_shape=None):
        super().build(code_shape)
        if len(self.code_shape) != 1:
            raise ValueError(
                f"`prior` is a mixture, but codes have the shape {self.code_shape}, expected "
                "vectors."
            )
        size = self.code_shape[0]
        means = self.means
        if np.ndim(means) == 0:
            means = np.random.default_rng(self.seed).normal(size=(self.components, size))
        if means.shape[1] != size:
            raise ValueError(
                f"`prior` has means of {means.shape[1]} numbers, but codes have {size}, expected "
                "the same."
            )
        try:
            stddev = np.broadcast_to(self.stddev, means.shape)
        except ValueError:
            raise ValueError(
                f"`stddev` has the shape {self.stddev.shape}, expected one that broadcasts to the "
                f"means' {means.shape}."
            ) from None
        if hasattr(self, "mu"):  # one prior may serve several models
            return
        weights = np.ones(self.components) if self.weights_given is None else self.weights_given
        self.mu = self._weight("mean", means)
        self.log_variance = self._weight("log_variance", 2 * np.log(stddev))
        self.logits = self._weight("logits", np.log(weights / weights.sum()))

    def _weight(self, name, value):
        weight = self.add_weight(
            name=name, shape=value.shape, trainable=self.learned, autocast=False
        )
        weight.assign(value.astype("float32"))
        return weight

    def distribution(self, posterior=None):
        return Mixture(
            ops.convert_to_tensor(self.mu),
            ops.convert_to_tensor(self.log_variance),
            ops.convert_to_tensor(self.logits),
        )

    def component(self, index: Any) -> Normal:
        """Return N(μ_c, σ_c²) of one component, or one for each number of an integer array."""
        index = ops.convert_to_tensor(index, "int32")
        means, log_variances = (ops.take(w, index, axis=0) for w in (self.mu, self.log_variance))
        return Normal(means, log_variances, 1)

    def get_config(self) -> dict[str, Any]:
        plain = {"stddev": self.stddev, "weights": self.weights_given, "means": self.means}
        arrays = {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in plain.items()
        }
        return {**super().get_config(), **arrays, "learned": self.learned, "seed": self.seed}


@keras.saving.register_keras_serializable("kerasae")
class PseudoInputs(Prior):
    """p(z) = 1/K Σ_k q(z|u_k) with learned u_k: a prior that follows the posteriors.

    The best prior for the bound is the aggregated posterior, the mean of q(z|x) over all
    examples; this mixture approximates it at a lower cost. The encoder must give a diagonal
    posterior.

    Args:
        count: The number K of pseudo-inputs; or examples to begin with, `(K, …)`, which is better.
        interval: Range of the numbers of an input, or `None` for no limits.
        seed: Seed of pseudo-inputs that are drawn.

    Example:

    >>> prior = PseudoInputs(5)
    >>> prior.build((None, 2), (None, 28, 28, 1))
    >>> tuple(prior.inputs.shape)
    (5, 28, 28, 1)
    """

    def __init__(
        self,
        count: Any = 50,
        interval: tuple[float, float] | None = (0.0, 1.0),
        seed: int = 0,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        examples = None if np.ndim(count) == 0 else _numbers("count", count)
        if examples is not None and (examples.ndim < 2 or not len(examples)):
            raise ValueError(
                f"`count` has shape {examples.shape}, expected a whole number, or examples (K, …)."
            )
        self.count = checks.whole_number("count", count) if examples is None else len(examples)
        self.interval = None if interval is None else checks.interval("interval", interval)
        self.seed = checks.whole_number("seed", seed, 0)
        self._examples = examples

    def build(self, code_shape, input_shape=None):
        super().build(code_shape)
        shape = (self.count, *input_shape[1:])
        start = self._examples
        if start is None:
            start = np.random.default_rng(self.seed).normal(-2 if self.interval else 0, 1, shape)
        elif start.shape != shape:
            raise ValueError(
                f"`count` holds examples of shape {start.shape[1:]}, expected {shape[1:]}, the "
                "encoder's input."
            )
        elif self.interval:
            low, high = self.interval
            share = np.clip((start - low) / (high - low), 0.01, 0.99)
            start = np.log(share / (1 - share))
        self.raw = self.add_weight(name="pseudo_inputs", shape=shape, autocast=False)
        self.raw.assign(start.astype("float32"))

    @property
    def inputs(self) -> Any:
        """Return the u_k: w itself, or low + (high − low) σ(w) if there is an interval."""
        raw = ops.convert_to_tensor(self.raw)
        if self.interval is None:
            return raw
        low, high = self.interval
        return low + (high - low) * ops.sigmoid(raw)

    def distribution(self, posterior=None):
        q = posterior(self.inputs)
        if not isinstance(q, Normal) or q.event_axes != 1:
            raise ValueError(
                "`prior` is PseudoInputs, but the posterior is not a diagonal normal distribution "
                "of vectors, expected one: `posterior='diagonal'`."
            )
        return Mixture(q.mean, q.log_variance)

    def get_config(self) -> dict[str, Any]:
        own = {"count": self.count, "interval": self.interval, "seed": self.seed}
        return {**super().get_config(), **own}


class _Rows(Distribution):
    """The uniform distribution over `size` rows of a table, from `first` on.

    Both may be numbers, or tensors with a number for each of several draws.
    """

    continuous = False  # there is no density

    def __init__(self, rows: Any, first: Any, size: Any) -> None:
        self.rows, self.first = rows, ops.convert_to_tensor(first, "int32")
        self.size = ops.convert_to_tensor(size, "int32")
        super().__init__(ops.take(rows, self.first, axis=0), len(rows.shape) - 1)

    def sample(self, count=None, seed=None):
        share = noise.uniform(noise_shape(self.size, count), seed)  # in (0, 1)
        step = ops.cast(share * ops.cast(self.size, "float32"), "int32")
        step = ops.minimum(step, self.size - 1)  # the product may have been rounded up
        return ops.take(self.rows, self.first + step, axis=0)


@keras.saving.register_keras_serializable("kerasae")
class SamplesPrior(Prior):
    """A prior that is known by samples only: each draw is one of the given points.

    It is for models that need samples and no density, such as an `AdversarialAutoencoder`. A few
    thousand points are enough; they are kept in the configuration.

    Args:
        points: Array `(n, …)`.
        labels: Whole numbers from 0 on, one for each point, if the prior has a component p(z|c)
            for each class; `None` if not.

    Example:

    >>> from kerasae.datasets import toys
    >>> prior = SamplesPrior(toys.spiral(1000))
    >>> prior.build((None, 2))
    >>> tuple(prior.distribution().sample(100, seed=0).shape)
    (100, 2)
    """

    def __init__(self, points: Any, labels: Any = None, **kwargs) -> None:
        super().__init__(**kwargs)
        points = _numbers("points", points).astype("float32")
        if points.ndim < 2 or not len(points):
            raise ValueError(f"`points` has shape {points.shape}, expected at least one row.")
        self.labels = None
        if labels is not None:
            labels = np.asarray(labels)
            checks.check_labels("labels", labels)
            checks.check_same_length(points=points, labels=labels)
            labels = labels.reshape(-1).astype("int64")
            if labels.min() < 0 or (np.bincount(labels) == 0).any():
                raise ValueError(
                    "`labels` leaves a class without points, expected whole numbers from 0 on, "
                    "each of them at least once."
                )
            order = np.argsort(labels, kind="stable")  # the points of a class lie together
            points, self.labels = points[order], labels[order]
            self.components = int(labels.max()) + 1
        self.points = points

    def build(self, code_shape, input_shape=None):
        super().build(code_shape)
        if not checks.fits(self.points.shape[1:], self.code_shape):
            raise ValueError(
                f"`prior` has points of shape {self.points.shape[1:]}, but codes have "
                f"{self.code_shape}, expected the same."
            )

    def distribution(self, posterior=None):
        return _Rows(ops.convert_to_tensor(self.points), 0, len(self.points))

    def component(self, index: Any) -> Distribution:
        """Return p(z|c), the points of a class, or one for each number of an integer array."""
        if self.labels is None:
            raise ValueError("`labels` is None, expected a label for each point, to have parts.")
        sizes = np.bincount(self.labels).astype("int32")
        firsts = np.cumsum(sizes, dtype="int32") - sizes
        index = ops.convert_to_tensor(index, "int32")
        first, size = (ops.take(ops.convert_to_tensor(v), index, axis=0) for v in (firsts, sizes))
        return _Rows(ops.convert_to_tensor(self.points), first, size)

    def get_config(self) -> dict[str, Any]:
        labels = None if self.labels is None else self.labels.tolist()
        return {**super().get_config(), "points": self.points.tolist(), "labels": labels}


def get(name: str, value: Any) -> Prior:
    """Return the prior itself, or N(0, I) for `None`.

    Args:
        name: Name of the argument, for the error message.
        value: A prior or `None`.
    """
    if value is None:
        return StandardNormal()
    if not isinstance(value, Prior):
        raise ValueError(
            f"`{name}` is of type {type(value).__name__}, expected one of `kerasae.priors`, or "
            "None for N(0, I)."
        )
    return value


def _numbers(name: str, value: Any, rank: int | None = None) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError:  # of unequal parts
        array = np.array(None)
    numeric = array.dtype.kind in "fiu" and np.isfinite(array).all()
    if not numeric or (rank is not None and array.ndim != rank):
        what = {1: "a list of numbers", 2: "rows of numbers"}.get(rank, "numbers")
        raise ValueError(f"`{name}` is {value!r}, expected {what}.")
    return array.astype("float64")
