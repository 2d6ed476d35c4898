"""Arithmetic with codes: attribute vectors, analogies.

    v = mean of z with an attribute − mean without      attribute vector
    z = smiling woman − neutral woman + neutral man     analogy, the mean of three picks of each
    z + ε,  ε ~ U(−0.25, 0.25)                          around a centre

White, "Sampling generative networks" (2016); Radford, Metz & Chintala, "Unsupervised representation
learning with deep convolutional generative adversarial networks" (2015).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from kerasae import checks, interpolation
from kerasae.evaluation.factors import columns


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
    return interpolation.floating(checks.to_numpy(name, codes))


def _flat(codes: np.ndarray) -> np.ndarray:
    return codes.reshape(len(codes), -1).astype(np.float64)
