"""One-hot patterns, the data of the 8-3-8 network: x = eᵢ."""

import numpy as np

from kerasae.datasets.canvas import check_count


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
