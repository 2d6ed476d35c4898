"""Log-likelihood estimates of latent variable models, and the parts of their bound; in nats.

    log p(x) ≈ log 1/k Σ_i w_i,   w_i = p(x|z_i) p(z_i) / q(z_i|x),   z_i ~ q(z|x)

For k = 1 the estimate's mean is the bound; it rises with k, and tends to log p(x). Over the
examples x, with H the entropy and q(z) = 1/N Σ_n q(z|x_n) the aggregated distribution, the bound is

    E log p(x|z) − KL(q(z|x)‖p(z))
    E log p(x|z) + H(q(z|x)) − E_q(z) [−log p(z)]         conditional entropy, cross entropy
    E log p(x|z) − I(x; z) − KL(q(z)‖p(z))                mutual information, marginal divergence

Burda et al., "Importance weighted autoencoders" (2016); Hoffman & Johnson, "ELBO surgery: yet
another way to carve up the variational evidence lower bound" (2016).
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from kerasae import checks
from kerasae.probability.normal import FullNormal

Draw = Callable[[Any, int, keras.random.SeedGenerator], Any]

NUMBERS = 2**22  # held at once for the densities of all codes under all posteriors


class LogLikelihood(NamedTuple):
    """Estimates of log p(x), and their errors; see `log_likelihood`."""

    values: np.ndarray
    errors: np.ndarray
    effective_samples: np.ndarray
    mean: float
    standard_error: float


def log_likelihood(
    model: keras.Model, x: Any, samples: int = 1000, batch_size: int = 1000, seed: int = 0
) -> LogLikelihood:
    """Estimate log p(x) of each example by log 1/k Σ w_i; log p(x|c) if there are conditions.

    By Jensen's inequality the estimate is too low on average, by about half its squared error.
    The weights themselves give that error if they are many. If few of them dominate the sum (a
    small number of effective samples), the estimate and its error are both too low.

    Args:
        model: A model with `log_weights`, such as `VariationalAutoencoder`.
        x: Examples `(n, …)`, or for a conditional model its inputs by name.
        samples: Number k of samples of each example.
        batch_size: Number of z that are decoded at once.
        seed: Seed of the samples, which also depend on `batch_size`.

    Returns:
        For each example, `(n,)`: the estimates, `values`; their standard `errors` by the delta
        method, √(Var w / k) / w̄, NaN for k = 1; `effective_samples`, (Σ w)² / Σ w², from 1 to k.
        Over the examples: their `mean`, and its `standard_error` as an estimate of the mean over
        the data distribution.

    Example:

    >>> from kerasae import nets
    >>> from kerasae.models.variational import VariationalAutoencoder
    >>> networks = nets.mlp((8, 8, 1), 2, (32,), posterior="diagonal")
    >>> model = VariationalAutoencoder(*networks)
    >>> x = np.random.default_rng(0).random((10, 8, 8, 1), dtype="float32")
    >>> estimate = log_likelihood(model, x, samples=100)
    >>> estimate.values.shape, bool(estimate.errors.max() < 1)
    ((10,), True)
    """
    x = _checked(model, "log_weights", x)
    total = square = -np.inf  # log Σ w and log Σ w²
    for log_w in _draws(model.log_weights, x, samples, batch_size, seed):
        log_w = log_w.astype("float64")
        total = np.logaddexp(total, np.logaddexp.reduce(log_w, axis=0))
        square = np.logaddexp(square, np.logaddexp.reduce(2 * log_w, axis=0))
    values = total - math.log(samples)
    with np.errstate(invalid="ignore"):  # 0/0 for one sample, and where all weights are 0
        effective = np.exp(2 * total - square)
        # s²/k w̄², s² = Σ (w − w̄)² / (k − 1), in terms of (Σ w)² / Σ w²
        errors = np.sqrt(np.maximum(samples / effective - 1, 0) / np.float64(samples - 1))
        error = _standard_error(values)
    return LogLikelihood(values, errors, effective, float(values.mean()), error)


class Bound(NamedTuple):
    """The bound and its parts, means over the examples; see `elbo`."""

    elbo: float
    standard_error: float
    reconstruction: float
    kl: float
    entropy: float
    cross_entropy: float
    information: float
    marginal_kl: float


def elbo(
    model: keras.Model, x: Any, samples: int = 1, batch_size: int = 1000, seed: int = 0
) -> Bound:
    """Estimate the bound of log p(x) and its parts, averages over examples and samples of each.

    All parts are averages over the same samples z ~ q(z|x), so the three forms of the bound agree
    to rounding:

        elbo = reconstruction − kl
             = reconstruction + entropy − cross_entropy
             = reconstruction − information − marginal_kl

    The aggregated distribution is that of the given examples, summed over all N of them for each
    sample: kN² densities. The information of z is about which of the N examples it came from, at
    most log N; it rises with the number of examples, and the marginal divergence falls.

    Args:
        model: A `VariationalAutoencoder`, or another model with `log_densities`.
        x: Examples `(N, …)`, or for a conditional model its inputs by name.
        samples: Number k of samples of each example.
        batch_size: Number of z that are decoded at once.
        seed: Seed of the samples, which also depend on `batch_size`.

    Returns:
        `elbo`, with its `standard_error` as an estimate of the mean over the data distribution;
        `reconstruction`, E log p(x|z); `kl`, E log q(z|x)/p(z), by samples for every prior;
        `entropy`, H(q(z|x)) = −E log q(z|x); `cross_entropy`, −E log p(z); `information`,
        I(x; z) = E log q(z|x)/q(z); `marginal_kl`, KL(q(z)‖p(z)) = E log q(z)/p(z).

    Example:

    >>> from kerasae import nets
    >>> from kerasae.models.variational import VariationalAutoencoder
    >>> networks = nets.mlp((8, 8, 1), 2, (32,), posterior="diagonal")
    >>> model = VariationalAutoencoder(*networks)
    >>> x = np.random.default_rng(0).random((10, 8, 8, 1), dtype="float32")
    >>> bound = elbo(model, x)
    >>> third = bound.reconstruction - bound.information - bound.marginal_kl
    >>> bool(abs(bound.elbo - third) < 1e-3), bool(bound.information <= math.log(10))
    (True, True)
    """
    x = _checked(model, "log_densities", x)
    draws = _draws(model.log_densities, x, samples, batch_size, seed)
    z, *densities = (np.concatenate(parts) for parts in zip(*draws, strict=True))
    likelihood, prior, posterior = (log_p.astype("float64") for log_p in densities)
    aggregated = _log_aggregated(model, x, z, batch_size)
    bounds = (likelihood + prior - posterior).mean(axis=0)
    return Bound(
        elbo=float(bounds.mean()),
        standard_error=_standard_error(bounds),
        reconstruction=float(likelihood.mean()),
        kl=float((posterior - prior).mean()),
        entropy=float(-posterior.mean()),
        cross_entropy=float(-prior.mean()),
        information=float((posterior - aggregated).mean()),
        marginal_kl=float((aggregated - prior).mean()),
    )


def aggregated_samples(
    model: keras.Model, x: Any, samples: int = 1, batch_size: int = 1000, seed: int = 0
) -> np.ndarray:
    """Draw codes from the aggregated distribution q(z) = 1/N Σ q(z|x_n): some of each example.

    Args:
        model: A `VariationalAutoencoder`, or another model with a `posterior`.
        x: Examples `(N, …)`, or for a conditional model its inputs by name.
        samples: Number of codes of each example.
        batch_size: Number of codes that are drawn at once.
        seed: Seed of the samples, which also depend on `batch_size`.

    Returns:
        Array of shape `(samples, N, …)`.

    Example:

    >>> from kerasae import nets
    >>> from kerasae.models.variational import VariationalAutoencoder
    >>> networks = nets.mlp((8, 8, 1), 2, (32,), posterior="diagonal")
    >>> model = VariationalAutoencoder(*networks)
    >>> aggregated_samples(model, np.zeros((10, 8, 8, 1)), samples=5).shape
    (5, 10, 2)
    """
    x = _checked(model, "posterior", x)

    def draw(x, count, seed):
        return model.posterior(x).sample(count, seed)

    return np.concatenate([*_draws(draw, x, samples, batch_size, seed)])


def _draws(draw: Draw, x: Any, samples: int, batch_size: int, seed: int) -> Iterator[Any]:
    """Yield draws for all examples, `(count, n, …)`, until there are all samples of each."""
    checks.whole_number("samples", samples)
    count = min(samples, checks.whole_number("batch_size", batch_size))
    generator = keras.random.SeedGenerator(checks.whole_number("seed", seed, least=0))
    for done in range(0, samples, count):
        parts = [
            keras.tree.map_structure(
                ops.convert_to_numpy, draw(batch, min(count, samples - done), generator)
            )
            for batch in _batches(x, batch_size // count)
        ]
        yield keras.tree.map_structure(lambda *values: np.concatenate(values, axis=1), *parts)


def _batches(x: Any, size: int) -> Iterator[Any]:
    """Yield some examples at a time, of an array or of several by name."""
    for start in range(0, len(keras.tree.flatten(x)[0]), size):
        rows = slice(start, start + size)
        yield keras.tree.map_structure(lambda values: ops.convert_to_tensor(values[rows]), x)  # noqa: B023


def _log_aggregated(model: keras.Model, x: Any, z: np.ndarray, batch_size: int) -> np.ndarray:
    """Return the aggregated log 1/N Σ_n q(z|x_n) at codes z `(k, N, …)`, over every example."""
    shape = z.shape[:2]
    z = z.reshape(-1, *z.shape[2:])
    total = np.full(len(z), -np.inf)
    for batch in _batches(x, batch_size):
        q = model.posterior(batch)
        numbers = math.prod(q.event_shape) ** (2 if isinstance(q, FullNormal) else 1)
        step = max(1, NUMBERS // (numbers * q.batch_shape[0]))
        for first in range(0, len(z), step):
            codes = slice(first, first + step)
            log_q = ops.logsumexp(q.log_prob(z[codes, None]), axis=1)
            total[codes] = np.logaddexp(total[codes], ops.convert_to_numpy(log_q))
    return total.reshape(shape) - math.log(shape[1])


def _checked(model: Any, method: str, x: Any) -> Any:
    """Return the examples, after a check of them and of the model."""
    if not hasattr(model, method):
        raise ValueError(
            f"`model` is of type {type(model).__name__}, expected one with `{method}`, such as "
            "`VariationalAutoencoder`."
        )
    if not model.built:
        raise ValueError("`model` has no weights yet, expected a built one: fit it first.")
    x = x if isinstance(x, Mapping) else checks.as_array("x", x)
    model.check_batch(x, None, None)
    return keras.tree.map_structure(_numbers, x)


def _numbers(values: Any) -> np.ndarray:
    """Return an array in float32, or unchanged if it holds whole numbers, such as labels."""
    values = ops.convert_to_numpy(values)
    return values if values.dtype.kind in "iub" else values.astype("float32")


def _standard_error(values: np.ndarray) -> float:
    """Return s/√n, NaN for one value."""
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan
