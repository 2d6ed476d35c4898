"""Toy sets with a known truth: patterns, planes, Gaussians, mixtures, curves and photographs.

    one-hot patterns         x = eᵢ
    points near a plane      x = A z + ε          A orthonormal, 3×2
    correlated Gaussian      x ~ N(0, Σ)          Σᵢᵢ = 1, whatever the correlation
    mixture of Gaussians     p(x) = Σₖ πₖ N(x; μₖ, σₖ² I)
    circle, spiral, roll     x = c(t) + ε         t uniform along the curve
    natural-image patches    x = E (Λ + ε I)^(−½) Eᵀ p

Samples are float32 and depend on the seed alone; row i does not depend on the number of rows.
Densities, scores and distances are the reference of experiments and stay in float64.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from kerasae.datasets.canvas import check_count, check_seed

# The plane's orthonormal directions, as columns; its normal is (2, −1, 2)/3.
PLANE = np.array([[1, 2], [-2, 2], [-2, -1]]) / 3
SPIRAL_TURNS = 1.75
LUMA = (0.299, 0.587, 0.114)  # weights of red, green and blue in grey, as the eye sees it


def identity(n: int = 8, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Return the n one-hot patterns, the data of the 8-3-8 network.

    Args:
        n: Number of patterns, and the length of each.
        low: Value of the other entries; a sigmoid never reaches 0, but it reaches 0.1.
        high: Value of the hot entry.

    Returns:
        float32 of shape (n, n).

    Example:
        >>> identity(2, low=0.1, high=0.9).tolist() == np.float32([[0.9, 0.1], [0.1, 0.9]]).tolist()
        True
    """
    eye = np.eye(check_count(n))
    return (low + (high - low) * eye).astype(np.float32)


def plane(n: int, noise: float = 0.05, seed: int = 0) -> np.ndarray:
    """Draw points near the plane through 0 that the columns of `PLANE` span.

    x = PLANE (z₁, 0.6 z₂) + noise · ε, with z and ε standard normal: the covariance has the
    eigenvalues 1, 0.36 and 0, each plus noise².

    Args:
        n: Number of points.
        noise: Standard deviation of the noise in all three directions.
        seed: A non-negative integer.

    Returns:
        float32 of shape (n, 3).

    Example:
        >>> plane(100).shape
        (100, 3)
    """
    draws = _normal(n, 5, seed)
    flat = (draws[:, :2] * (1.0, 0.6)) @ PLANE.T
    return (flat + _check_amount("noise", noise) * draws[:, 2:]).astype(np.float32)


def gaussian(n: int, covariance: np.ndarray, seed: int = 0) -> np.ndarray:
    """Draw from N(0, Σ) as x = Σ^½ z.

    Args:
        n: Number of points.
        covariance: Σ, symmetric and positive semi-definite, of shape (dimension, dimension).
        seed: A non-negative integer.

    Returns:
        float32 of shape (n, dimension).

    Example:
        >>> gaussian(100, np.eye(4)).shape
        (100, 4)
    """
    values, vectors = _spectrum(covariance)
    root = (vectors * np.sqrt(values)) @ vectors.T
    return (_normal(n, len(values), seed) @ root).astype(np.float32)


def iid_gaussian(n: int, dimension: int, seed: int = 0) -> np.ndarray:
    """Draw independent standard normal features: data without any structure.

    Args:
        n: Number of points.
        dimension: Number of features.
        seed: A non-negative integer.

    Returns:
        float32 of shape (n, dimension).

    Example:
        >>> iid_gaussian(100, 20).shape
        (100, 20)
    """
    return _normal(n, check_count(dimension, "dimension"), seed).astype(np.float32)


def correlated_gaussian(
    n: int, dimension: int, rank: int, noise: float = 0.05, seed: int = 0
) -> np.ndarray:
    """Draw features of variance 1 as in `iid_gaussian`, with `correlated_covariance` between them.

    Args:
        n: Number of points.
        dimension: Number of features.
        rank: Number of hidden causes that the features share.
        noise: Part of each feature's variance that no other feature shares.
        seed: A non-negative integer for the points; the covariance is the same for every seed.

    Returns:
        float32 of shape (n, dimension).

    Example:
        >>> correlated_gaussian(100, dimension=20, rank=4).shape
        (100, 20)
    """
    return gaussian(n, correlated_covariance(dimension, rank, noise), seed)


def correlated_covariance(dimension: int, rank: int, noise: float = 0.05) -> np.ndarray:
    """Return a covariance with a unit diagonal and few strong directions.

    Σ = (1 − noise) F Fᵀ + noise I, with rows of F of length 1: every feature has variance 1, and
    all eigenvalues after the first `rank` are exactly `noise`.

    Args:
        dimension: Number of features.
        rank: Number of columns of F, from 1 to dimension.
        noise: Part of each feature's variance that no other feature shares, from 0 to 1.

    Returns:
        float64 of shape (dimension, dimension).

    Example:
        >>> covariance = correlated_covariance(20, rank=4, noise=0.05)
        >>> round(eigenvalue_tail(covariance, 4), 6)
        0.8
    """
    dimension, rank = check_count(dimension, "dimension"), check_count(rank, "rank")
    if not 1 <= rank <= dimension:
        raise ValueError(f"`rank` is {rank}, expected 1 to {dimension}, the dimension.")
    if _check_amount("noise", noise) > 1:
        raise ValueError(f"`noise` is {noise}, expected a part of the variance, 0 to 1.")
    loadings = np.random.default_rng([dimension, rank]).standard_normal((dimension, rank))
    loadings /= np.linalg.norm(loadings, axis=1, keepdims=True)
    return (1 - noise) * loadings @ loadings.T + noise * np.eye(dimension)


def eigenvalue_tail(covariance: np.ndarray, size: int) -> float:
    """Sum the eigenvalues after the `size` largest: λ₍size+1₎ + … + λ₍dimension₎.

    It is the expected squared error per point of the best linear code of that size.

    Args:
        covariance: Σ of shape (dimension, dimension).
        size: Size of the code.

    Returns:
        The sum.

    Example:
        >>> eigenvalue_tail(np.diag([3.0, 2.0, 1.0]), 1)
        3.0
    """
    values, _ = _spectrum(covariance)
    return float(np.sort(values)[::-1][check_count(size, "size") :].sum())


@dataclass(frozen=True, eq=False)
class Mixture:
    """A mixture of round Gaussians, p(x) = Σₖ πₖ N(x; μₖ, σₖ² I), known exactly.

    Args:
        means: Centres μₖ, of shape (modes, dimension).
        sigmas: Standard deviations σₖ, one number or one for each mode.
        weights: The weights πₖ, positive and of sum 1; None makes them equal.

    Example:
        >>> mixture = Mixture(means=[[-1.0], [1.0]], sigmas=0.3)
        >>> mixture.sample(5).shape, mixture.score([[0.0]]).tolist()
        ((5, 1), [[0.0]])
    """

    means: np.ndarray
    sigmas: np.ndarray | float
    weights: np.ndarray | None = None

    def __post_init__(self):
        means = np.asarray(self.means, np.float64)
        if means.ndim != 2 or means.size == 0:
            raise ValueError(f"`means` has shape {means.shape}, expected (modes, dimension).")
        modes = len(means)
        sigmas = np.asarray(self.sigmas, np.float64)
        if sigmas.shape not in ((), (modes,)) or not np.all(sigmas > 0):
            raise ValueError(f"`sigmas` is {self.sigmas}, expected 1 or {modes} positive numbers.")
        weights = np.full(modes, 1 / modes) if self.weights is None else np.asarray(self.weights)
        if weights.shape != (modes,) or np.any(weights <= 0) or abs(weights.sum() - 1) > 1e-6:
            raise ValueError(
                f"`weights` is {self.weights}, expected {modes} positive numbers of sum 1."
            )
        object.__setattr__(self, "means", means)
        object.__setattr__(self, "sigmas", np.broadcast_to(sigmas, (modes,)))
        object.__setattr__(self, "weights", weights / weights.sum())

    @property
    def dimension(self) -> int:
        """Return the number of coordinates of a point."""
        return self.means.shape[1]

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """Draw n points, float32 of shape (n, dimension)."""
        uniform = np.random.default_rng([check_seed(seed), 1]).random(check_count(n))
        # The last mode also takes what rounding leaves above the sum of all weights.
        modes = np.searchsorted(np.cumsum(self.weights)[:-1], uniform, side="right")
        noise = self.sigmas[modes, None] * _normal(n, self.dimension, seed)
        return (self.means[modes] + noise).astype(np.float32)

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Return log p(x) in nats, of shape (n,)."""
        joint = self._log_joint(x)
        top = joint.max(axis=1)  # log Σ exp a = top + log Σ exp(a − top)
        return top + np.log(np.exp(joint - top[:, None]).sum(axis=1))

    def density(self, x: np.ndarray) -> np.ndarray:
        """Return p(x), of shape (n,)."""
        return np.exp(self.log_density(x))

    def responsibilities(self, x: np.ndarray) -> np.ndarray:
        """Return p(k | x) = πₖ N(x; μₖ, σₖ² I) / p(x), of shape (n, modes)."""
        return np.exp(self._log_joint(x) - self.log_density(x)[:, None])

    def score(self, x: np.ndarray) -> np.ndarray:
        """Return ∇ log p(x) = Σₖ p(k | x) (μₖ − x) / σₖ², of shape (n, dimension)."""
        x = self._points(x)
        pull = self.responsibilities(x) / self.sigmas**2
        return pull @ self.means - pull.sum(axis=1, keepdims=True) * x

    def smoothed(self, sigma: float) -> "Mixture":
        """Return the density of x + ε, ε ~ N(0, σ² I): variances add, σₖ² + σ²."""
        sigmas = np.sqrt(self.sigmas**2 + _check_amount("sigma", sigma) ** 2)
        return Mixture(self.means, sigmas, self.weights)

    def _log_joint(self, x: np.ndarray) -> np.ndarray:
        """Return log πₖ + log N(x; μₖ, σₖ² I), of shape (n, modes)."""
        gap = self._points(x)[:, None, :] - self.means
        return (
            np.log(self.weights)
            - 0.5 * np.sum(gap**2, axis=2) / self.sigmas**2
            - 0.5 * self.dimension * np.log(2 * np.pi * self.sigmas**2)
        )

    def _points(self, x: np.ndarray) -> np.ndarray:
        """Return points in float64 if their shape fits."""
        return _check_points(x, self.dimension)


def line(
    means: Sequence[float] = (-1.0, 1.0),
    sigma: float = 0.4,
    weights: Sequence[float] | None = None,
) -> Mixture:
    """Return a one-dimensional mixture, by default two modes with a valley between them.

    Args:
        means: Centres of the modes.
        sigma: Standard deviation of every mode.
        weights: Weights of the modes; None makes them equal.

    Returns:
        A `Mixture` of dimension 1.

    Example:
        >>> line((-2.0, 0.0, 2.0)).sample(10).shape
        (10, 1)
    """
    return Mixture(np.reshape(np.asarray(means, np.float64), (-1, 1)), sigma, weights)


def ring(modes: int = 10, radius: float = 2.0, sigma: float = 0.15) -> Mixture:
    """Return a two-dimensional mixture with equal modes evenly spaced on a circle.

    Args:
        modes: Number of modes.
        radius: Radius of the circle; the first mode lies at (radius, 0).
        sigma: Standard deviation of every mode.

    Returns:
        A `Mixture` of dimension 2.

    Example:
        >>> ring(8).sample(10).shape
        (10, 2)
    """
    angles = 2 * np.pi * np.arange(check_count(modes, "modes")) / modes
    return Mixture(radius * np.stack([np.cos(angles), np.sin(angles)], axis=1), sigma)


def circle(n: int, noise: float = 0.05, seed: int = 0) -> np.ndarray:
    """Draw points near the unit circle.

    Args:
        n: Number of points.
        noise: Standard deviation of the noise in both directions.
        seed: A non-negative integer.

    Returns:
        float32 of shape (n, 2).

    Example:
        >>> circle(100).shape
        (100, 2)
    """
    angles = 2 * np.pi * _uniform(n, 1, seed)[:, 0]
    return _noisy(np.stack([np.cos(angles), np.sin(angles)], axis=1), noise, seed)


def distance_to_circle(x: np.ndarray) -> np.ndarray:
    """Return the distance of points to the unit circle, | |x| − 1 |.

    Args:
        x: Points of shape (n, 2).

    Returns:
        float64 of shape (n,).

    Example:
        >>> distance_to_circle([[2.0, 0.0]]).tolist()
        [1.0]
    """
    return np.abs(np.linalg.norm(_check_points(x, 2), axis=1) - 1)


def spiral(n: int, noise: float = 0.02, seed: int = 0) -> np.ndarray:
    """Draw points near a spiral of 1¾ turns that ends at radius 1, uniform along its length.

    Args:
        n: Number of points.
        noise: Standard deviation of the noise in both directions.
        seed: A non-negative integer.

    Returns:
        float32 of shape (n, 2).

    Example:
        >>> spiral(100).shape
        (100, 2)
    """
    return _noisy(spiral_curve(_uniform(n, 1, seed)[:, 0]), noise, seed)


def spiral_curve(position: np.ndarray) -> np.ndarray:
    """Return the spiral's points at positions along it, 0 its inner and 1 its outer end.

    c(r) = r (cos φ, sin φ), φ = 2π · 1.75 · r, for r from 0.15 to 1.

    Args:
        position: Parts of the whole length, of shape (n,).

    Returns:
        float64 of shape (n, 2).

    Example:
        >>> float(np.hypot(*spiral_curve([1.0])[0]).round(6))
        1.0
    """
    radius, length, _ = _spiral_table()
    return _spiral_at(np.interp(np.asarray(position), length / length[-1], radius))


def distance_to_spiral(x: np.ndarray) -> np.ndarray:
    """Return the distance of points to the spiral, ends included.

    The curve is cut into 4096 chords, each within 10⁻⁶ of it.

    Args:
        x: Points of shape (n, 2).

    Returns:
        float64 of shape (n,).

    Example:
        >>> bool(distance_to_spiral(spiral(100, noise=0.0)).max() < 1e-5)
        True
    """
    x, (_, _, curve) = _check_points(x, 2), _spiral_table()
    distance = np.empty(len(x))
    for start in range(0, len(x), 1024):
        part = x[start : start + 1024]
        nearest = np.argmin(
            np.sum(curve**2, axis=1) - 2 * part @ curve.T, axis=1
        )  # |x − c|² less |x|²
        # The foot of the point lies on one of the two chords that meet there.
        before = _distance_to_chord(part, curve[np.maximum(nearest - 1, 0)], curve[nearest])
        after = _distance_to_chord(
            part, curve[np.minimum(nearest + 1, len(curve) - 1)], curve[nearest]
        )
        distance[start : start + 1024] = np.minimum(before, after)
    return distance


def swiss_roll(n: int, noise: float = 0.02, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw points near a rolled-up sheet in 3-D, the spiral extended along the third axis.

    Args:
        n: Number of points.
        noise: Standard deviation of the noise in all three directions.
        seed: A non-negative integer.

    Returns:
        Points float32 (n, 3), and their place on the sheet, float32 (n, 2): the position
        along the spiral from 0 to 1 and the height from −1 to 1.

    Example:
        >>> points, sheet = swiss_roll(100)
        >>> points.shape, sheet.shape
        ((100, 3), (100, 2))
    """
    sheet = _uniform(n, 2, seed) * (1, 2) - (0, 1)
    points = np.concatenate([spiral_curve(sheet[:, 0]), sheet[:, 1:]], axis=1)
    return _noisy(points, noise, seed), sheet.astype(np.float32)


def patches(
    n: int, size: int = 10, whiten: bool = True, epsilon: float = 0.1, seed: int = 0
) -> np.ndarray:
    """Cut patches out of the two photographs that scikit-learn ships, in grey.

    The mean of each patch is subtracted. Whitening then gives all directions about
    the same variance: with Σ = E Λ Eᵀ the covariance of 50,000 patches,
    x = E (Λ + ε λ̄ I)^(−½) Eᵀ p, λ̄ the mean eigenvalue. A direction keeps the variance
    λ / (λ + ε λ̄), so that fine structure, mostly noise of the camera, does not take over.

    Args:
        n: Number of patches, at random places.
        size: Width and height in pixels, 2 to 32.
        whiten: If False, return the grey values, 0 to 1, means included.
        epsilon: ε, as a part of the mean eigenvalue.
        seed: A non-negative integer for the places; the whitening is the same for every seed.

    Returns:
        float32 of shape (n, size, size, 1).

    Example:
        >>> patches(100, size=8).shape
        (100, 8, 8, 1)
    """
    if check_count(size, "size") not in range(2, 33):
        raise ValueError(f"`size` is {size}, expected 2 to 32 pixels.")
    cut = _cut(n, size, seed)
    if whiten:
        flat = cut.reshape(n, size**2)
        flat = flat - flat.mean(axis=1, keepdims=True)
        cut = (flat @ _whitening(size, _check_amount("epsilon", epsilon))).reshape(cut.shape)
    return cut[..., None].astype(np.float32)


def _whitening(size: int, epsilon: float) -> np.ndarray:
    """Return E (Λ + ε λ̄ I)^(−½) Eᵀ for patches of a size."""
    flat = _cut(50_000, size, seed=0).reshape(-1, size**2)
    flat = flat - flat.mean(axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(flat.T @ flat / len(flat))
    # The direction of the subtracted mean has variance 0; it stays 0 without a division by 0.
    floor = np.maximum(values, 0) + max(epsilon, 1e-9) * values.mean()
    return (vectors / np.sqrt(floor)) @ vectors.T


def _cut(n: int, size: int, seed: int) -> np.ndarray:
    """Cut grey patches at random places of the photographs, (n, size, size)."""
    photographs = _photographs()
    places = _uniform(n, 3, seed)
    which = (places[:, 0] * len(photographs)).astype(int)
    down = (places[:, 1] * (photographs.shape[1] - size + 1)).astype(int)
    across = (places[:, 2] * (photographs.shape[2] - size + 1)).astype(int)
    windows = np.lib.stride_tricks.sliding_window_view(photographs, (size, size), axis=(1, 2))
    return windows[which, down, across]


@lru_cache(maxsize=1)
def _photographs() -> np.ndarray:
    """Return both photographs in grey, 0 to 1, of shape (2, height, width)."""
    try:
        from sklearn.datasets import load_sample_images

        images = load_sample_images().images
    except ImportError as error:
        raise ImportError(
            "patches takes its photographs from scikit-learn and reads them with Pillow: "
            "pip install scikit-learn pillow."
        ) from error
    return np.stack(images) @ np.array(LUMA) / 255


@lru_cache(maxsize=1)
def _spiral_table() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return radii along the spiral, the length up to each, and the points."""
    radius = np.linspace(0.15, 1.0, 4097)
    curve = _spiral_at(radius)
    steps = np.linalg.norm(np.diff(curve, axis=0), axis=1)
    return radius, np.concatenate([[0.0], np.cumsum(steps)]), curve


def _spiral_at(radius: np.ndarray) -> np.ndarray:
    """Return c(r) = r (cos φ, sin φ), φ = 2π · turns · r."""
    angle = 2 * np.pi * SPIRAL_TURNS * radius
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)


def _distance_to_chord(x: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the distance of each point to its own chord, which may be a single point."""
    chord, gap = end - start, x - start
    squared = np.maximum(np.sum(chord**2, axis=1), 1e-30)
    part = np.clip(np.sum(gap * chord, axis=1) / squared, 0, 1)
    return np.linalg.norm(gap - part[:, None] * chord, axis=1)


def _noisy(points: np.ndarray, noise: float, seed: int) -> np.ndarray:
    """Add normal noise of a standard deviation to points on a curve."""
    noise = _check_amount("noise", noise)
    return (points + noise * _normal(*points.shape, seed)).astype(np.float32)


# Two streams, so that the places on a curve and the noise around it are independent; drawn row by
# row, so that the first rows do not depend on how many follow.


def _normal(n: int, dimension: int, seed: int) -> np.ndarray:
    """Draw standard normal numbers, (n, dimension)."""
    generator = np.random.default_rng([check_seed(seed), 0])
    return generator.standard_normal((check_count(n), dimension))


def _uniform(n: int, dimension: int, seed: int) -> np.ndarray:
    """Draw uniform numbers from [0, 1), (n, dimension)."""
    return np.random.default_rng([check_seed(seed), 1]).random((check_count(n), dimension))


def _spectrum(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the eigenvalues and eigenvectors of a covariance, checked."""
    covariance = np.asarray(covariance, np.float64)
    if covariance.ndim != 2 or covariance.shape[0] != covariance.shape[1]:
        raise ValueError(f"`covariance` has shape {covariance.shape}, expected a square matrix.")
    if not np.allclose(covariance, covariance.T):
        raise ValueError("`covariance` is not symmetric, expected Σ = Σᵀ.")
    values, vectors = np.linalg.eigh(covariance)
    if values.min(initial=0) < -1e-8 * max(values.max(initial=0), 1):
        raise ValueError(
            f"`covariance` has the eigenvalue {values.min():.3g}, expected none below 0."
        )
    return np.maximum(values, 0), vectors


def _check_points(x: np.ndarray, dimension: int) -> np.ndarray:
    """Return points in float64 if their shape fits."""
    x = np.asarray(x, np.float64)
    if x.ndim != 2 or x.shape[1] != dimension:
        raise ValueError(f"`x` has shape {x.shape}, expected (n, {dimension}).")
    return x


def _check_amount(name: str, value: float) -> float:
    """Return `value` if it is a finite number of at least 0."""
    if not np.isscalar(value) or not 0 <= value < np.inf:
        raise ValueError(f"`{name}` is {value!r}, expected a number of at least 0.")
    return float(value)
