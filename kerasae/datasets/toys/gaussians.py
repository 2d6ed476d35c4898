"""Normal distributions with a known truth, and mixtures of them.

points near a plane      x = A z + ε          A orthonormal, 3×2
correlated Gaussian      x ~ N(0, Σ)          Σᵢᵢ = 1, whatever the correlation
mixture of Gaussians     p(x) = Σₖ πₖ N(x; μₖ, σₖ² I)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kerasae.datasets.canvas import check_count, check_seed
from kerasae.datasets.toys.draws import check_amount, check_points, normal

# The plane's orthonormal directions, as columns; its normal is (2, −1, 2)/3.
PLANE = np.array([[1, 2], [-2, 2], [-2, -1]]) / 3


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
    draws = normal(n, 5, seed)
    flat = (draws[:, :2] * (1.0, 0.6)) @ PLANE.T
    return (flat + check_amount("noise", noise) * draws[:, 2:]).astype(np.float32)


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
    return (normal(n, len(values), seed) @ root).astype(np.float32)


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
    return normal(n, check_count(dimension, "dimension"), seed).astype(np.float32)


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
    if check_amount("noise", noise) > 1:
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
        noise = self.sigmas[modes, None] * normal(n, self.dimension, seed)
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
        sigmas = np.sqrt(self.sigmas**2 + check_amount("sigma", sigma) ** 2)
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
        return check_points(x, self.dimension)


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
