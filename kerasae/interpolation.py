"""Codes between codes: straight lines, arcs on a sphere, squares of two dimensions.

    z(t) = (1 − t) z₀ + t z₁                            straight
    z(t) = r(t) [m cos((t − ½)ω) + d sin((t − ½)ω)]     on the sphere; ω is the angle between the
                                                        directions u₀ and u₁ of the ends, m and d
                                                        the unit vectors along u₁ + u₀ and u₁ − u₀

Normal codes of many dimensions lie near a sphere of radius √d, and a straight line between two of
them passes through its empty inside: halfway it is at 0.7 √d. The arc stays on the sphere.

Shoemake, "Animating rotation with quaternion curves" (1985).
"""

import math
import statistics

import numpy as np

from kerasae import checks


def straight(start: np.ndarray, end: np.ndarray, steps: int = 8) -> np.ndarray:
    """Return points on the straight lines from codes to other codes, both ends included.

    Args:
        start: Codes at which the lines begin, `(n, …)`.
        end: Codes at which they end, `(n, …)`.
        steps: Number of points on each line.

    Returns:
        Array of shape `(n, steps, …)`.

    Example:

    >>> straight(np.zeros((1, 2)), np.ones((1, 2)), steps=3)[0].tolist()
    [[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]]
    """
    start, end = checks.same_shape("start", start, "end", end)
    steps = checks.whole_number("steps", steps, least=2)
    return np.linspace(start, end, steps, axis=1, dtype="float32")


def spherical(start: np.ndarray, end: np.ndarray, steps: int = 8) -> np.ndarray:
    """Return points on the shortest arcs between codes, evenly spaced in angle.

    Lengths are interpolated linearly, r(t) = (1 − t) ‖z₀‖ + t ‖z₁‖. A code of length 0
    has no direction and takes the other one's.

    Args:
        start: Codes at which the arcs begin, `(n, …)`.
        end: Codes at which they end, `(n, …)`.
        steps: Number of points on each arc, both ends included.

    Returns:
        Array of shape `(n, steps, …)`; its ends are the given codes exactly.

    Example:

    >>> spherical([[1.0, 0.0]], [[0.0, 3.0]], steps=3).round(2).tolist()
    [[[1.0, 0.0], [1.41, 1.41], [0.0, 3.0]]]
    """
    start, end = map(floating, checks.same_shape("start", start, "end", end))
    steps = checks.whole_number("steps", steps, least=2)
    flat_start, flat_end = (
        codes.reshape(len(codes), -1).astype(np.float64) for codes in (start, end)
    )
    length_0, length_1 = (_norm(codes) for codes in (flat_start, flat_end))
    u_0, u_1 = _unit(flat_start), _unit(flat_end)
    u_0, u_1 = np.where(length_0 > 0, u_0, u_1), np.where(length_1 > 0, u_1, u_0)
    # The sum and the difference of two unit vectors are orthogonal, and either may vanish. The
    # angle from their lengths is also exact where the arc cosine of u₀ · u₁ is not.
    middle, across = u_1 + u_0, u_1 - u_0
    opposite = np.flatnonzero((_norm(middle) < 1e-6) & (_norm(across) > 0))
    if opposite.size:
        raise ValueError(
            f"`start` and `end` point in opposite directions at example {opposite[0]}, expected "
            "directions between which one arc is the shortest."
        )
    angle = 2 * np.arctan2(_norm(across), _norm(middle))[:, None]
    t = np.linspace(0, 1, steps)[:, None]
    length = (1 - t) * length_0[:, None] + t * length_1[:, None]
    turn = (t - 0.5) * angle
    path = length * (np.cos(turn) * _unit(middle)[:, None] + np.sin(turn) * _unit(across)[:, None])
    path = path.reshape(len(start), steps, *start.shape[1:])
    path = path.astype(np.result_type(start, end))
    path[:, 0], path[:, -1] = start, end
    return path


def square(
    shape: tuple[int | None, ...],
    side: int = 20,
    limit: float = 3.0,
    units: tuple[int, int] = (0, 1),
    spacing: str = "even",
) -> np.ndarray:
    """Return a square of codes in two of their dimensions; the other numbers are 0.

    Args:
        shape: Shape of a code, which must be a vector.
        side: Number of points along each side.
        limit: The square extends from −limit to limit.
        units: Indices of the two dimensions, which increase to the right and upwards.
        spacing: `"even"`, or `"quantile"` for points that divide N(0, 1), between the same
            limits, into equal probabilities.

    Returns:
        Array of shape `(side, side, size)`.

    Example:

    >>> square((2,), side=3, limit=1)[0].tolist()
    [[-1.0, 1.0], [0.0, 1.0], [1.0, 1.0]]
    """
    side = checks.whole_number("side", side, 2)
    limit = checks.between("limit", limit, 0, math.inf)
    checks.one_of("spacing", spacing, ("even", "quantile"))
    (size, *more) = shape
    pair = isinstance(units, (tuple, list)) and len(units) == 2
    if more or not pair or units[0] == units[1] or any(u not in range(size) for u in units):
        raise ValueError(
            f"`units` is {units!r}, expected two different numbers of the code, which has the "
            f"shape {shape}."
        )
    values = np.linspace(-limit, limit, side)
    if spacing == "quantile":
        normal = statistics.NormalDist()
        low = normal.cdf(-limit)
        values = np.array([normal.inv_cdf(p) for p in np.linspace(low, 1 - low, side)])
    codes = np.zeros((side, side, size), "float32")
    one, other = units
    codes[..., one], codes[..., other] = np.meshgrid(values, values[::-1])
    return codes


def floating(codes: np.ndarray) -> np.ndarray:
    """Return codes in float32, or in float64 if they are."""
    return codes if codes.dtype == np.float64 else codes.astype(np.float32)


def _norm(codes: np.ndarray) -> np.ndarray:
    return np.linalg.norm(codes, axis=1, keepdims=True)


def _unit(codes: np.ndarray) -> np.ndarray:
    """Divide each code by its length; a code of length 0 stays 0."""
    norm = _norm(codes)
    return codes / np.where(norm > 0, norm, 1)
