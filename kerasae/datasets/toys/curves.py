"""Points near curves and a rolled sheet: x = c(t) + ε, t uniform along the curve."""

from functools import lru_cache

import numpy as np

from kerasae.datasets.toys.draws import check_points, noisy, uniform

SPIRAL_TURNS = 1.75


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
    angles = 2 * np.pi * uniform(n, 1, seed)[:, 0]
    return noisy(np.stack([np.cos(angles), np.sin(angles)], axis=1), noise, seed)


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
    return np.abs(np.linalg.norm(check_points(x, 2), axis=1) - 1)


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
    return noisy(spiral_curve(uniform(n, 1, seed)[:, 0]), noise, seed)


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
    x, (_, _, curve) = check_points(x, 2), _spiral_table()
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
    sheet = uniform(n, 2, seed) * (1, 2) - (0, 1)
    points = np.concatenate([spiral_curve(sheet[:, 0]), sheet[:, 1:]], axis=1)
    return noisy(points, noise, seed), sheet.astype(np.float32)


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
