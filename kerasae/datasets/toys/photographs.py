"""Patches of natural images, whitened: x = E (Λ + ε I)^(−½) Eᵀ p."""

from functools import lru_cache

import numpy as np

from kerasae.datasets.canvas import check_count
from kerasae.datasets.toys.draws import check_amount, uniform

LUMA = (0.299, 0.587, 0.114)  # weights of red, green and blue in grey, as the eye sees it


def patches(
    n: int, size: int = 10, whiten: bool = True, epsilon: float = 0.1, seed: int = 0
) -> np.ndarray:
    """Cut patches out of the two photographs that scikit-learn ships, in grey.

    The mean of each patch is subtracted. Whitening then gives all directions about
    the same variance: with Σ = E Λ Eᵀ the covariance of 50,000 patches,
    x = E (Λ + ε λ̄ I)^(−½) Eᵀ p, λ̄ the mean eigenvalue. A direction keeps the variance
    λ / (λ + ε λ̄), so that fine structure, mostly noise of the camera, does not take over.

    Args:
        n: Number of patches, at random places.
        size: Width and height in pixels, 2 to 32.
        whiten: If False, return the grey values, 0 to 1, means included.
        epsilon: ε, as a part of the mean eigenvalue.
        seed: A non-negative integer for the places; the whitening is the same for every seed.

    Returns:
        float32 of shape (n, size, size, 1).

    Example:
        >>> patches(100, size=8).shape
        (100, 8, 8, 1)
    """
    if check_count(size, "size") not in range(2, 33):
        raise ValueError(f"`size` is {size}, expected 2 to 32 pixels.")
    cut = _cut(n, size, seed)
    if whiten:
        flat = cut.reshape(n, size**2)
        flat = flat - flat.mean(axis=1, keepdims=True)
        cut = (flat @ _whitening(size, check_amount("epsilon", epsilon))).reshape(cut.shape)
    return cut[..., None].astype(np.float32)


def _whitening(size: int, epsilon: float) -> np.ndarray:
    """Return E (Λ + ε λ̄ I)^(−½) Eᵀ for patches of a size."""
    flat = _cut(50_000, size, seed=0).reshape(-1, size**2)
    flat = flat - flat.mean(axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(flat.T @ flat / len(flat))
    # The direction of the subtracted mean has variance 0; it stays 0 without a division by 0.
    floor = np.maximum(values, 0) + max(epsilon, 1e-9) * values.mean()
    return (vectors / np.sqrt(floor)) @ vectors.T


def _cut(n: int, size: int, seed: int) -> np.ndarray:
    """Cut grey patches at random places of the photographs, (n, size, size)."""
    photographs = _photographs()
    places = uniform(n, 3, seed)
    which = (places[:, 0] * len(photographs)).astype(int)
    down = (places[:, 1] * (photographs.shape[1] - size + 1)).astype(int)
    across = (places[:, 2] * (photographs.shape[2] - size + 1)).astype(int)
    windows = np.lib.stride_tricks.sliding_window_view(photographs, (size, size), axis=(1, 2))
    return windows[which, down, across]


@lru_cache(maxsize=1)
def _photographs() -> np.ndarray:
    """Return both photographs in grey, 0 to 1, of shape (2, height, width)."""
    try:
        from sklearn.datasets import load_sample_images

        images = load_sample_images().images
    except ImportError as error:
        raise ImportError(
            "patches takes its photographs from scikit-learn and reads them with Pillow: "
            "pip install scikit-learn pillow."
        ) from error
    return np.stack(images) @ np.array(LUMA) / 255
