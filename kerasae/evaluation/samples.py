"""Measures of two sample sets: their distance, whether it is by chance, and modes covered.

    energy distance     D² = 2 E‖x − y‖ − E‖x − x'‖ − E‖y − y'‖
    MMD                 M² = E k(x, x') + E k(y, y') − 2 E k(x, y),   k a mean of Gaussians
    Fréchet             F² = ‖μ − ν‖² + tr(Σ + T − 2 (Σ T)^½)

The first two are 0 for equal distributions only. They are estimated without bias: two sets from one
distribution give 0 on average, sometimes less. The third compares means and covariances of
features, and has an upward bias that falls with the number of samples.

Székely & Rizzo, "Energy statistics: a class of statistics based on distances" (2013); Gretton et
al., "A kernel two-sample test" (2012); Heusel et al., "GANs trained by a two time-scale update
rule converge to a local Nash equilibrium" (2017).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from kerasae import checks
from kerasae.evaluation import copies, networks, pairs

Similarity = Callable[[np.ndarray], np.ndarray]  # of squared distances


def energy_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Estimate the energy distance of two sample sets, D² = 2 E‖x − y‖ − E‖x − x'‖ − E‖y − y'‖.

    For its values by chance, see `two_sample`.

    Args:
        x: Samples `(n, …)`, at least two.
        y: Samples `(m, …)`, at least two.

    Example:

    >>> x, y = np.random.default_rng(0).normal(size=(2, 1000, 3))
    >>> abs(energy_distance(x, y)) < 0.01 < energy_distance(x, y + 1)
    True
    """
    x, y = _samples(x, y)
    return float(_distances(x, y, _minus_distance, [np.arange(len(x))])[0])


def mmd(x: np.ndarray, y: np.ndarray, bandwidths: Sequence[float] | None = None) -> float:
    """Estimate the squared maximum mean discrepancy, M² = E k(x, x') + E k(y, y') − 2 E k(x, y).

    The kernel k is a mean of Gaussians. For its values by chance, see `two_sample`.

    Args:
        x: Samples `(n, …)`, at least two.
        y: Samples `(m, …)`, at least two.
        bandwidths: Widths s of the Gaussians; `None` for a half, one and two times the median
            distance between samples (the first 500 of each set).

    Example:

    >>> x, y = np.random.default_rng(0).normal(size=(2, 1000, 3))
    >>> abs(mmd(x, y)) < 0.01 < mmd(x, y + 1)
    True
    """
    x, y = _samples(x, y)
    return float(_distances(x, y, _gaussian(x, y, bandwidths), [np.arange(len(x))])[0])


class TwoSample(NamedTuple):
    """A distance beside its values by chance; see `two_sample`."""

    distance: float
    chance: float
    p_value: float


def two_sample(
    x: np.ndarray, y: np.ndarray, distance: str = "energy", permutations: int = 200, seed: int = 0
) -> TwoSample:
    """Test by permutations whether two sample sets differ by more than chance.

    Both sets are mixed and split many times. If they come from one distribution, the distance
    between them is like the distances between the mixed sets.

    Args:
        x: Samples `(n, …)`, at least two.
        y: Samples `(m, …)`, at least two.
        distance: Either `"energy"` or `"mmd"`.
        permutations: Number of splits.
        seed: Seed of the splits.

    Returns:
        The `distance`; `chance`, which 95 % of the mixed sets' distances do not exceed; the
        `p_value`, the share of them (and of the original sets) that reaches the distance.

    Example:

    >>> x, y = np.random.default_rng(0).normal(size=(2, 100, 3))
    >>> two_sample(x, y).p_value > 0.05 > two_sample(x, y + 1).p_value
    True
    """
    x, y = _samples(x, y)
    checks.one_of("distance", distance, ("energy", "mmd"))
    similarity = _minus_distance if distance == "energy" else _gaussian(x, y, None)
    rng, count = np.random.default_rng(checks.whole_number("seed", seed, least=0)), len(x) + len(y)
    splits = [np.arange(len(x))]
    for _ in range(checks.whole_number("permutations", permutations)):
        splits.append(rng.permutation(count)[: len(x)])
    original, *mixed = _distances(x, y, similarity, splits)
    # A split may be the sets again.
    reached = np.sum(np.array(mixed) >= original - 1e-12 * abs(original))
    return TwoSample(
        distance=float(original),
        chance=float(np.quantile(mixed, 0.95)),
        p_value=float((1 + reached) / (1 + permutations)),
    )


def frechet_distance(
    x: np.ndarray, y: np.ndarray, network: str | keras.Model | None = "digits"
) -> float:
    """Return the squared Fréchet distance of two sets of images, in the features of a network.

    Each set is represented by the mean and the covariance of its features. FID is this distance
    with the features of another network. Numbers can be compared only if the network, the real
    images and the number of samples are the same.

    Args:
        x: Images `(n, …)`, more than there are features.
        y: Images `(m, …)`, more than there are features.
        network: `"digits"` or `"faces"` (see `kerasae.evaluation.networks`, 64 features each), a
            model that returns a vector for each image, or `None` if x and y are features.

    Example:

    >>> x, y = np.random.default_rng(0).normal(size=(2, 5000, 3))
    >>> round(frechet_distance(x, 2 * y + 1, network=None))  # 3 (1² + (2 − 1)²)
    6
    """
    if network is not None:
        x, y = networks.features(x, network), networks.features(y, network)
    x, y = _samples(x, y)
    for name, samples in (("x", x), ("y", y)):
        if len(samples) <= samples.shape[1]:
            raise ValueError(
                f"`{name}` has {len(samples)} examples and {samples.shape[1]} features, expected "
                "more examples than features: their covariance is singular."
            )
    sigma, tau = (np.atleast_2d(np.cov(features.T)) for features in (x, y))
    return frechet_of_normals(x.mean(0), sigma, y.mean(0), tau)


def frechet_of_normals(
    mean_x: np.ndarray, covariance_x: np.ndarray, mean_y: np.ndarray, covariance_y: np.ndarray
) -> float:
    """Return the squared Fréchet distance of two normals, ‖μ − ν‖² + tr(Σ + T − 2 (Σ T)^½).

    It is their squared Wasserstein-2 distance. (Σ T)^½ has the trace of (Σ^½ T Σ^½)^½, which is the
    sum of the singular values of Σ^½ T^½, so only roots of symmetric matrices are needed.

    Args:
        mean_x: Mean μ, `(d,)`.
        covariance_x: Covariance Σ, `(d, d)`.
        mean_y: Mean ν, `(d,)`.
        covariance_y: Covariance T, `(d, d)`.

    Example:

    >>> frechet_of_normals([0.0], [[4.0]], [3.0], [[1.0]])  # 3² + (2 − 1)²
    10.0
    """
    mu, nu = checks.same_shape("mean_x", mean_x, "mean_y", mean_y)
    gap = mu.astype(np.float64) - nu
    if gap.ndim != 1:
        raise ValueError(f"`mean_x` has shape {gap.shape}, expected one vector.")
    sigma = checks.to_numpy("covariance_x", covariance_x).astype(np.float64)
    tau = checks.to_numpy("covariance_y", covariance_y).astype(np.float64)
    for name, covariance in (("covariance_x", sigma), ("covariance_y", tau)):
        if covariance.shape != 2 * gap.shape:
            raise ValueError(
                f"`{name}` has shape {covariance.shape}, expected {2 * gap.shape} for means of "
                f"shape {gap.shape}."
            )
    overlap = np.linalg.svd(_root(sigma) @ _root(tau), compute_uv=False).sum()
    return float(max(gap @ gap + np.trace(sigma) + np.trace(tau) - 2 * overlap, 0))


class Modes(NamedTuple):
    """The modes that samples cover; see `modes_covered`."""

    covered: int
    counts: np.ndarray
    quality: float


def modes_covered(samples: np.ndarray, centres: np.ndarray, radius: float, least: int = 1) -> Modes:
    """Count the known modes that a sample set covers, and the samples that lie in one.

    A sample belongs to the nearest centre, and is good if it lies within the radius of it: three
    standard deviations hold 98.9 % of a round normal distribution in two dimensions.

    Srivastava et al., "VEEGAN: reducing mode collapse in GANs using implicit variational learning"
    (2017).

    Args:
        samples: Samples `(n, …)`.
        centres: Centres of the modes, `(modes, …)`.
        radius: Greatest distance of a good sample from its centre.
        least: Least number of good samples of a covered mode.

    Returns:
        The number of `covered` modes; the `counts` of good samples, `(modes,)`; the `quality`,
        which is the share of good samples.

    Example:

    >>> modes_covered([[0.1], [0.2], [5.3], [7.0]], centres=[[0.0], [5.0], [9.0]], radius=0.5)
    Modes(covered=2, counts=array([2, 1, 0]), quality=0.75)
    """
    radius, least = checks.not_negative("radius", radius), checks.whole_number("least", least)
    samples, centres = pairs.pair("samples", samples, "centres", centres)
    mode, distance = (column[:, 0] for column in copies.nearest(samples, centres))
    counts = np.bincount(mode[distance <= radius], minlength=len(centres))
    return Modes(int(np.sum(counts >= least)), counts, float(np.mean(distance <= radius)))


def _distances(
    x: np.ndarray, y: np.ndarray, similarity: Similarity, splits: Sequence[np.ndarray]
) -> np.ndarray:
    """Return E k(a, a') + E k(b, b') − 2 E k(a, b) for splits of all samples into a and b.

    A split is the indices of a. If k is −‖x − y‖, this is the energy distance.
    """
    pooled, n, m = np.concatenate([x, y]), len(x), len(y)
    inside = np.zeros((len(pooled), len(splits)))
    for column, split in enumerate(splits):
        inside[split, column] = 1
    total, to_a, within = 0.0, 0.0, 0.0
    for start, squares in pairs.squared_distances(pooled, pooled, later=True):
        k = np.triu(similarity(squares), 1)  # each pair once, and no sample with itself
        rows = inside[start : start + len(k)]
        sums = k @ inside[start:]
        total += 2 * k.sum()
        to_a += sums.sum(axis=0) + k.sum(axis=1) @ rows
        within += 2 * np.sum(sums * rows, axis=0)
    between = to_a - within
    rest = total - within - 2 * between
    return within / (n * (n - 1)) + rest / (m * (m - 1)) - 2 * between / (n * m)


def _minus_distance(squares: np.ndarray) -> np.ndarray:
    return -np.sqrt(squares)


def _gaussian(x: np.ndarray, y: np.ndarray, bandwidths: Sequence[float] | None) -> Similarity:
    """Return the kernel, a mean of Gaussians of several widths."""
    if bandwidths is None:
        some = np.concatenate([x[:500], y[:500]])
        squares = np.concatenate([part for _, part in pairs.squared_distances(some, some)])
        median = np.sqrt(np.median(squares[np.triu_indices(len(some), 1)]))
        bandwidths = [0.5 * median, median, 2 * median] if median > 0 else [1.0]
    widths = checks.to_numpy("bandwidths", bandwidths).astype(np.float64)
    if widths.ndim != 1 or widths.size == 0 or not np.all((widths > 0) & np.isfinite(widths)):
        raise ValueError(f"`bandwidths` is {bandwidths!r}, expected a list of positive numbers.")
    return lambda squares: sum(np.exp(squares / (-2 * s**2)) for s in widths) / len(widths)


def _root(covariance: np.ndarray) -> np.ndarray:
    """Return the symmetric square root; eigenvalues below 0 by rounding count as 0."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def _samples(x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return two sample sets as float64 of shape (n, size), checked."""
    x, y = pairs.pair("x", x, "y", y)
    for name, samples in (("x", x), ("y", y)):
        if len(samples) < 2:
            raise ValueError(f"`{name}` has one example, expected at least two.")
    return x, y
