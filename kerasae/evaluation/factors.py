"""True factors as numbers: a category of k kinds becomes k columns, one for each kind.

Whole numbers and booleans name a category, as in `Split.factors`; floating-point numbers measure.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from kerasae import checks


def named(name: str, values: Any, count: int) -> dict[str, np.ndarray]:
    """Return factors by name, each of shape `(count,)`, checked.

    Example:

    >>> named("factors", {"slant": [0.1, 0.2]}, count=2)
    {'slant': array([0.1, 0.2])}
    """
    if not isinstance(values, Mapping):
        raise ValueError(
            f"`{name}` is of type {type(values).__name__}, expected names to values, as a split's "
            "`factors` are."
        )
    factors = {}
    for key, value in values.items():
        value = checks.to_numpy(argument := f"{name}[{key!r}]", value)
        if value.shape != (count,):
            raise ValueError(f"`{argument}` has shape {value.shape}, expected {(count,)}.")
        factors[key] = value
    return factors


def is_category(values: np.ndarray) -> bool:
    """Return whether a factor is a category and not a measurement.

    Example:

    >>> is_category(np.array([0, 2, 1])), is_category(np.array([0.5, 2.0]))
    (True, False)
    """
    return values.dtype.kind in "iub"


def one_hot(values: np.ndarray) -> np.ndarray:
    """Return one column for each kind that occurs, 1 for its examples.

    Example:

    >>> one_hot(np.array([3, 7, 3])).tolist()
    [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]
    """
    kinds, index = np.unique(values, return_inverse=True)
    return np.eye(len(kinds))[index]


def columns(name: str, values: Any, count: int) -> np.ndarray:
    """Return factors by name, or numbers `(count,)` or `(count, k)`, as columns of a regression.

    Example:

    >>> columns("others", {"slant": [0.5, 0.2], "digit": [3, 7]}, count=2).tolist()
    [[0.5, 1.0, 0.0], [0.2, 0.0, 1.0]]
    """
    if not isinstance(values, Mapping):
        values = checks.to_numpy(name, values)
        if values.ndim > 2 or len(values) != count:
            raise ValueError(
                f"`{name}` has shape {values.shape}, expected ({count},) or ({count}, any)."
            )
        return values.reshape(count, -1).astype(np.float64)
    parts = [
        one_hot(value) if is_category(value) else value[:, None].astype(np.float64)
        for value in named(name, values, count).values()
    ]
    return np.hstack([np.zeros((count, 0)), *parts])
