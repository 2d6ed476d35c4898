"""Arithmetic with codes: paths between codes, attribute vectors, analogies.

    z(t) = r(t) [m cos((t − ½)ω) + d sin((t − ½)ω)]     on the sphere; ω is the angle between the
                                                        directions u₀ and u₁ of the ends, m and d
                                                        the unit vectors along u₁ + u₀ and u₁ − u₀
    v = mean of z with an attribute − mean without      attribute vector
    z = smiling woman − neutral woman + neutral man     analogy, the mean of three picks of each
    z + ε,  ε ~ U(−0.25, 0.25)                          around a centre

Normal codes of many dimensions lie near a sphere of radius √d, and a straight line between two of
them passes through its empty inside: halfway it is at 0.7 √d. The arc stays on the sphere.

Shoemake, "Animating rotation with quaternion curves" (1985); White, "Sampling generative networks"
(2016); Radford, Metz & Chintala, "Unsupervised representation learning with deep convolutional
generative adversarial networks" (2015).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from kerasae import checks
from kerasae.evaluation import pairs
from kerasae.evaluation.factors import columns


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
    start, end = pairs.equals("start", start, "end", end)
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
    start, end = map(_floating, pairs.equals("start", start, "end", end))
    steps = checks.whole_number("steps", steps, least=2)
    flat_start, flat_end = (_flat(codes) for codes in (start, end))
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


def attribute_vector(
    codes: np.ndarray, has: np.ndarray, others: np.ndarray | Mapping[str, np.ndarray] | None = None
) -> np.ndarray:
    """Return the direction of an attribute: the mean code with it minus the mean code without.

    If attributes are correlated in the data (most who smile wear glasses), that difference contains
    a share of each. With `others` the vector is the attribute's coefficient in a linear regression

        z ≈ b + v · has + W · others

    which compares examples that agree in the others; without others it is the difference of means.
    An average of the differences within groups of equal others would need examples with and
    without the attribute in every group, and a few others already make too many groups.

    Args:
        codes: Codes, `(n, …)`.
        has: True for each example with the attribute, booleans `(n,)`.
        others: Attributes to keep constant: numbers `(n,)` or `(n, k)`, or values by name, such as
            a split's `factors` without this attribute, where whole numbers are categories.

    Returns:
        Array of one code's shape.

    Example:

    >>> codes = np.array([[0.0, 0.0], [1.0, 5.0], [1.0, 5.0], [0.0, 5.0]])
    >>> smiles, glasses = codes[:, 0] == 1, codes[:, 1]
    >>> attribute_vector(codes, smiles).tolist()
    [1.0, 2.5]
    >>> attribute_vector(codes, smiles, others=glasses).round(6).tolist()
    [1.0, 0.0]
    """
    codes, has = _codes("codes", codes), checks.to_numpy("has", has)
    if has.dtype != bool or has.shape != (len(codes),):
        raise ValueError(
            f"`has` is {has.dtype} of shape {has.shape}, expected one boolean for each of the "
            f"{len(codes)} `codes`."
        )
    if has.all() or not has.any():
        raise ValueError(
            f"`has` is {bool(has[0])} throughout, expected examples with the attribute and without."
        )
    others = columns("others", {} if others is None else others, len(codes))
    design = np.hstack([np.ones((len(codes), 1)), others])
    # v is the coefficient of the residual of `has` after regression on the others (Frisch & Waugh).
    rest = has - design @ np.linalg.lstsq(design, has.astype(float), rcond=None)[0]
    if np.sum(rest**2) < 1e-9 * len(codes):
        raise ValueError(
            "`others` determine `has`, expected examples that differ in it and are alike in them."
        )
    vector = rest @ _flat(codes) / np.sum(rest**2)
    return vector.reshape(codes.shape[1:]).astype(codes.dtype)


def analogy(having: np.ndarray, lacking: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """Transfer an attribute by the means of selected codes: `having` − `lacking` + `onto`.

    A single selected code gives unclear pictures; the mean of three of a kind is stable.

    Args:
        having: Codes of samples with an attribute (smiling women), `(n, …)`.
        lacking: Codes of similar samples without it (neutral women).
        onto: Codes of samples that receive it (neutral men).

    Returns:
        One code (of a smiling man).

    Example:

    >>> smiling_woman, neutral_woman = [[1.0, 1.0], [3.0, 1.0]], [[0.0, 1.0]]
    >>> analogy(smiling_woman, neutral_woman, onto=[[0.0, -1.0], [0.0, -3.0]]).tolist()
    [2.0, -2.0]
    """
    picks = {"having": having, "lacking": lacking, "onto": onto}
    picks = {name: _codes(name, codes) for name, codes in picks.items()}
    size = picks["having"].shape[1:]
    for name, codes in picks.items():
        if codes.shape[1:] != size:
            raise ValueError(
                f"`{name}` has codes of shape {codes.shape[1:]}, expected {size} as in `having`."
            )
    means = {name: codes.mean(axis=0) for name, codes in picks.items()}
    return means["having"] - means["lacking"] + means["onto"]


def around(
    centre: np.ndarray, noise: float = 0.25, rows: int = 3, columns: int = 3, seed: int = 0
) -> np.ndarray:
    """Return a grid of codes with a centre in the middle, and the centre plus noise elsewhere.

    Args:
        centre: One code.
        noise: Bound of the noise, which is uniform between −`noise` and `noise`.
        rows: Number of rows of the grid, odd.
        columns: Number of columns of the grid, odd.
        seed: Seed of the noise.

    Returns:
        Array of shape `(rows · columns, …)`, row by row, ready to be decoded.

    Example:

    >>> grid = around(np.zeros(100))
    >>> grid.shape, bool(np.abs(grid).max() < 0.25), bool((grid[4] == 0).all())
    ((9, 100), True, True)
    """
    centre = _codes("centre", centre)
    noise = checks.not_negative("noise", noise)
    for name, count in (("rows", rows), ("columns", columns)):
        if checks.whole_number(name, count) % 2 == 0:
            raise ValueError(f"`{name}` is {count}, expected an odd number: one is in the middle.")
    shifts = np.random.default_rng(checks.whole_number("seed", seed, least=0)).uniform(
        -noise, noise, (rows * columns, *centre.shape)
    )
    shifts[len(shifts) // 2] = 0
    return centre + shifts.astype(centre.dtype)


def _codes(name: str, codes: Any) -> np.ndarray:
    """Return codes as an array of float32 or float64, checked."""
    return _floating(checks.to_numpy(name, codes))


def _floating(codes: np.ndarray) -> np.ndarray:
    return codes if codes.dtype == np.float64 else codes.astype(np.float32)


def _flat(codes: np.ndarray) -> np.ndarray:
    return codes.reshape(len(codes), -1).astype(np.float64)


def _norm(codes: np.ndarray) -> np.ndarray:
    return np.linalg.norm(codes, axis=1, keepdims=True)


def _unit(codes: np.ndarray) -> np.ndarray:
    """Divide each code by its length; a code of length 0 stays 0."""
    norm = _norm(codes)
    return codes / np.where(norm > 0, norm, 1)
