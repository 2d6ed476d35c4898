"""How many codewords a set of codes uses."""

from typing import Any

import numpy as np
from keras import ops

from kerasae import checks
from kerasae.engine import platform

Tensor = Any

TINY = 1e-30  # no share but 0 is so small that it would change


def perplexity(indices: Tensor, size: int) -> Tensor:
    """Return exp H of the codewords' shares in a batch: K if all are used equally, 1 if one is.

    Example:

    >>> float(perplexity(ops.convert_to_tensor([[0, 1], [2, 3]]), 8))
    4.0
    """
    counts = platform.occurrences(indices, size)
    shares = counts / ops.sum(counts)
    return ops.exp(-ops.sum(shares * ops.log(shares + TINY)))


def usage(indices: Any, size: int) -> dict[str, float]:
    """Return the share of codewords that occur in a set of indices, and their perplexity.

    Args:
        indices: Whole numbers below `size`, of any shape.
        size: K, the number of codewords.

    Example:

    >>> usage(np.array([0, 0, 1, 1]), 4)
    {'used': 0.5, 'perplexity': 2.0}
    """
    indices = np.asarray(indices)
    checks.check_labels("indices", indices.ravel(), checks.whole_number("size", size))
    counts = np.bincount(indices.ravel().astype("int64"), minlength=size)
    shares = counts[counts > 0] / counts.sum()
    entropy = -np.sum(shares * np.log(shares))
    return {"used": float((counts > 0).mean()), "perplexity": float(np.exp(entropy))}
