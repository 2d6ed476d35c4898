"""Random numbers of the toy sets, and checks of their arguments.

Numbers are drawn row by row: row i does not depend on how many follow. The places on a curve and
the noise around it come from two streams, so that they are independent.
"""

import numpy as np

from kerasae.datasets.canvas import check_count, check_seed


def normal(n: int, dimension: int, seed: int) -> np.ndarray:
    """Draw standard normal numbers, (n, dimension)."""
    generator = np.random.default_rng([check_seed(seed), 0])
    return generator.standard_normal((check_count(n), dimension))


def uniform(n: int, dimension: int, seed: int) -> np.ndarray:
    """Draw uniform numbers from [0, 1), (n, dimension)."""
    return np.random.default_rng([check_seed(seed), 1]).random((check_count(n), dimension))


def noisy(points: np.ndarray, noise: float, seed: int) -> np.ndarray:
    """Add normal noise of a standard deviation to points on a curve."""
    noise = check_amount("noise", noise)
    return (points + noise * normal(*points.shape, seed)).astype(np.float32)


def check_amount(name: str, value: float) -> float:
    """Return `value` if it is a finite number of at least 0."""
    if not np.isscalar(value) or not 0 <= value < np.inf:
        raise ValueError(f"`{name}` is {value!r}, expected a number of at least 0.")
    return float(value)


def check_points(x: np.ndarray, dimension: int) -> np.ndarray:
    """Return points in float64 if their shape fits."""
    x = np.asarray(x, np.float64)
    if x.ndim != 2 or x.shape[1] != dimension:
        raise ValueError(f"`x` has shape {x.shape}, expected (n, {dimension}).")
    return x
