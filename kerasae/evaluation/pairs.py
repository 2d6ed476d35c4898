"""Read the arrays that a measure compares: as numbers of float64, of shapes that fit."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from kerasae import checks

NUMBERS = 2**22  # distances that are held at once


def vectors(name: str, values: Any) -> np.ndarray:
    """Return examples as float64 of shape `(n, size)`, checked.

    Example:

    >>> vectors("codes", [[[1, 2], [3, 4]]])
    array([[1., 2., 3., 4.]])
    """
    return flat(checks.to_numpy(name, values))


def flat(values: np.ndarray) -> np.ndarray:
    """Return examples that are checked already as float64 of shape `(n, size)`.

    Example:

    >>> flat(np.ones((2, 3, 1), bool)).shape
    (2, 3)
    """
    return values.reshape(len(values), -1).astype(np.float64)


def pair(first_name: str, first: Any, name: str, second: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return two arrays of examples of one shape as `vectors` does; their numbers may differ.

    Example:

    >>> [part.shape for part in pair("x", np.zeros((5, 2, 2)), "y", np.ones((3, 2, 2)))]
    [(5, 4), (3, 4)]
    """
    first, second = checks.to_numpy(first_name, first), checks.to_numpy(name, second)
    if second.shape[1:] != first.shape[1:]:
        raise ValueError(
            f"`{name}` has examples of shape {second.shape[1:]}, expected {first.shape[1:]} as in "
            f"`{first_name}`."
        )
    return flat(first), flat(second)


def squared_distances(
    x: np.ndarray, y: np.ndarray, later: bool = False
) -> Iterator[tuple[int, np.ndarray]]:
    """Compute ‖x − y‖² = ‖x‖² + ‖y‖² − 2xy in chunks of x, each with its first index.

    Args:
        x: Vectors `(n, size)`.
        y: Vectors `(m, size)`.
        later: If True, leave out the vectors of y before the first index of the chunk.

    Example:

    >>> [(start, part.tolist()) for start, part in squared_distances(np.zeros((1, 2)), np.eye(2))]
    [(0, [[1.0, 1.0]])]
    """
    centre = y.mean(axis=0)  # a difference of squares loses fewer digits near 0
    x, y = x - centre, y - centre
    lengths = np.sum(y**2, axis=1)
    rows = max(1, NUMBERS // len(y))
    for start in range(0, len(x), rows):
        chunk = x[start : start + rows]
        first = start if later else 0
        squares = np.sum(chunk**2, axis=1)[:, None] + lengths[first:] - 2 * chunk @ y[first:].T
        yield start, np.maximum(squares, 0)
