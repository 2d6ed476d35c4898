"""What the codewords of a vector-quantized autoencoder stand for, as pictures."""

from typing import Any

import numpy as np

from kerasae import checks


def patches(autoencoder: Any, x: np.ndarray, around: int = 1) -> np.ndarray:
    """Return the mean of the image patches that each codeword stands for.

    Args:
        autoencoder: A `VectorQuantizedAutoencoder` whose codes are grids.
        x: Images, `(n, height, width, channels)`.
        around: Number of places of the grid that a patch shows on each side of its own; what lies
            outside of an image is 0.

    Returns:
        Array of shape `(K, side, side, channels)`; 0 for codewords that do not occur.

    Example:

    >>> from kerasae import VectorQuantizedAutoencoder, nets, quantizers
    >>> networks = nets.convolutional((28, 28, 1), None, filters=(8, 4))
    >>> model = VectorQuantizedAutoencoder(*networks, quantizers.VectorQuantizer(16))
    >>> patches(model, np.zeros((3, 28, 28, 1))).shape
    (16, 12, 12, 1)
    """
    codes = autoencoder.encode(x)
    if codes.ndim != 3:
        raise ValueError(f"`autoencoder` gives codes of shape {codes.shape[1:]}, expected grids.")
    checks.whole_number("around", around, least=0)
    height, width = (
        pixels // side for pixels, side in zip(x.shape[1:3], codes.shape[1:], strict=True)
    )
    edges = [(around * side, around * side) for side in (height, width)]
    padded = np.pad(x, [(0, 0), *edges, (0, 0)])
    span, size = 2 * around + 1, autoencoder.quantizer.size
    sums = np.zeros((size, span * height, span * width, x.shape[-1]))
    for i, j in np.ndindex(codes.shape[1:]):
        rows = slice(i * height, (i + span) * height)
        columns = slice(j * width, (j + span) * width)
        np.add.at(sums, codes[:, i, j], padded[:, rows, columns])
    counts = np.bincount(codes.ravel(), minlength=size)
    return (sums / np.maximum(counts, 1)[:, None, None, None]).astype("float32")
