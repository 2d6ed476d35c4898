"""Measures of reconstructions: errors, sharpness, anomaly scores and their thresholds.

    squared         1/d Σᵢ (xᵢ − x̂ᵢ)²
    absolute        1/d Σᵢ |xᵢ − x̂ᵢ|
    cross entropy   −1/d Σᵢ [xᵢ log x̂ᵢ + (1 − xᵢ) log(1 − x̂ᵢ)]
    PSNR            10 log₁₀ (peak² / squared), in decibels

They are averages over the d numbers of each example, as Keras's losses are; NumPy in, NumPy out.
An example that an autoencoder reconstructs badly is unlike the training examples, so its error is
an anomaly score.
"""

from typing import Any

import numpy as np

from kerasae import checks

EPSILON = 1e-7  # Keras keeps probabilities this far from 0 and 1


def reconstruction_error(x: Any, reconstruction: Any, kind: str = "squared") -> np.ndarray:
    """Return the error of each example, `(n,)`.

    Args:
        x: Examples, `(n, …)`.
        reconstruction: Their reconstructions, of the same shape.
        kind: `"squared"`, `"absolute"` or `"cross_entropy"`, which needs values in [0, 1].

    Example:

    >>> reconstruction_error([[0.0, 1.0], [1.0, 1.0]], [[0.0, 0.0], [1.0, 1.0]])
    array([0.5, 0. ])
    """
    checks.one_of("kind", kind, ("squared", "absolute", "cross_entropy"))
    x, y = _pair(x, reconstruction, unit_interval=kind == "cross_entropy")
    if kind == "squared":
        errors = (x - y) ** 2
    elif kind == "absolute":
        errors = np.abs(x - y)
    else:
        y = np.clip(y, EPSILON, 1 - EPSILON)
        errors = -(x * np.log(y) + (1 - x) * np.log1p(-y))
    return errors.reshape(len(x), -1).mean(axis=1)


def squared_error(x: Any, reconstruction: Any) -> float:
    """Return ‖x − x̂‖², the sum over an example's numbers, the mean over the examples.

    Args:
        x: Originals, `(n, …)`.
        reconstruction: Reconstructions of the same shape.

    Example:

    >>> squared_error(np.zeros((3, 28, 28, 1)), np.ones((3, 28, 28, 1)))
    784.0
    """
    x, y = _pair(x, reconstruction)
    return float(np.sum((x - y) ** 2) / len(x))


def psnr(x: Any, reconstruction: Any, peak: float = 1.0) -> np.ndarray:
    """Return the peak signal-to-noise ratio of each example in decibels, `(n,)`.

    Args:
        x: Examples, `(n, …)`.
        reconstruction: Their reconstructions, of the same shape; if equal, the result is infinite.
        peak: Largest possible value of a pixel.

    Example:

    >>> psnr([[0.5, 0.5]], [[0.4, 0.6]]).round(3)
    array([20.])
    """
    if not checks.not_negative("peak", peak):
        raise ValueError("`peak` is 0, expected the largest value a pixel can have.")
    error = reconstruction_error(x, reconstruction)
    with np.errstate(divide="ignore"):
        return 10 * np.log10(peak**2 / error)


def hidden_pixel_error(x: Any, reconstruction: Any, mask: Any) -> np.ndarray:
    """Return the mean squared error of each example over its hidden numbers, `(n,)`.

    Args:
        x: Examples without hidden numbers, `(n, …)`.
        reconstruction: Their reconstructions, of the same shape.
        mask: True (or 1) where a number was hidden; of the shape of `x`, or of a shape that
            broadcasts to it: one mask for all, or one for all channels of a pixel.

    Example:

    >>> hidden_pixel_error([[1.0, 2.0, 3.0]], [[0.0, 0.0, 0.0]], [[True, False, True]])
    array([5.])
    """
    x, y = _pair(x, reconstruction)
    hidden = checks.to_numpy("mask", mask)
    try:
        hidden = np.broadcast_to(hidden, x.shape).reshape(len(x), -1) != 0
    except ValueError:
        raise ValueError(
            f"`mask` has shape {hidden.shape}, expected one that stretches to that of `x`, "
            f"{x.shape}."
        ) from None
    counts = hidden.sum(axis=1)
    if not counts.all():
        raise ValueError(
            f"`mask` hides nothing of example {int(np.argmin(counts))}, expected at least one "
            "hidden number in each."
        )
    errors = ((x - y) ** 2).reshape(len(x), -1)
    return (errors * hidden).sum(axis=1) / counts


def anomaly_scores(model: Any, x: Any, kind: str = "squared") -> np.ndarray:
    """Return the reconstruction error of each example, `(n,)`: high for anomalous ones.

    Args:
        model: Any model with `reconstruct`, such as an `Autoencoder`.
        x: Examples.
        kind: As in `reconstruction_error`.

    Example:

    >>> from kerasae import Autoencoder, nets
    >>> model = Autoencoder(*nets.mlp((6,), code_size=2))
    >>> anomaly_scores(model, np.ones((5, 6), "float32")).shape
    (5,)
    """
    if not hasattr(model, "reconstruct"):
        raise ValueError(
            f"`model` is of type {type(model).__name__}, expected one with `reconstruct`, such as "
            "`Autoencoder`."
        )
    return reconstruction_error(x, model.reconstruct(x), kind)


def anomaly_threshold(scores: Any, quantile: float = 0.95) -> float:
    """Return the score above which an example is anomalous: a quantile of normal scores.

    Args:
        scores: Scores of normal examples, outside the training set if there are enough.
        quantile: Share of them below the threshold; 1 − quantile are false alarms.

    Example:

    >>> threshold = anomaly_threshold(np.arange(101.0), quantile=0.9)
    >>> threshold, bool(95.0 > threshold)
    (90.0, True)
    """
    return float(np.quantile(_scores(scores), checks.fraction("quantile", quantile)))


def auc(scores: Any, anomalous: Any) -> float:
    """Return the area under the ROC curve: P(an anomalous example scores above a normal one).

    Ties count for one half (Mann & Whitney); 0.5 is chance, 1 is perfect.

    Args:
        scores: Scores, `(n,)`, high for examples that are expected to be anomalous.
        anomalous: Truths, `(n,)`, True (or 1) for the anomalous ones.

    Example:

    >>> auc([0.1, 0.4, 0.35, 0.8], [False, False, True, True])
    0.75
    """
    scores, truths = _scores(scores), checks.to_numpy("anomalous", anomalous)
    if truths.shape != scores.shape or not np.isin(truths, (0, 1)).all():
        raise ValueError(
            f"`anomalous` is {truths.dtype} of shape {truths.shape}, expected True or False for "
            f"each of the {len(scores)} scores."
        )
    truths = truths.astype(bool)
    positive, negative = int(truths.sum()), int((~truths).sum())
    if not positive or not negative:
        raise ValueError("`anomalous` holds one kind only, expected True for some, not for all.")
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]  # from 1, ties share their mean rank
    wins = ranks[truths].sum() - positive * (positive + 1) / 2
    return float(wins / (positive * negative))


def gradient_energy(images: np.ndarray) -> np.ndarray:
    """Measure the sharpness of images: the mean squared difference between neighbouring pixels.

        mean over pixels of (x_{i+1,j} − x_{i,j})² + (x_{i,j+1} − x_{i,j})²

    An average of several images is less sharp than each of them.

    Args:
        images: Images, `(n, height, width)` or `(n, height, width, channels)`.

    Returns:
        Array of shape `(n,)`.

    Example:

    >>> edge = np.repeat([[0.0, 0.0, 1.0, 1.0]], 4, axis=0)
    >>> gradient_energy([edge, np.repeat([[0.0, 0.25, 0.75, 1.0]], 4, axis=0)]).round(3).tolist()
    [0.333, 0.125]
    """
    images = checks.to_numpy("images", images)
    if images.ndim not in (3, 4) or min(images.shape[1:3]) < 2:
        raise ValueError(
            f"`images` has shape {images.shape}, expected (n, height, width) or (n, height, width, "
            "channels), with sides of at least 2."
        )
    images = images.astype(np.float64)
    return sum(
        np.mean(np.diff(images, axis=axis) ** 2, axis=tuple(range(1, images.ndim)))
        for axis in (1, 2)
    )


def _scores(scores: Any) -> np.ndarray:
    return checks.to_numpy("scores", scores, ()).astype(np.float64)


def _pair(x: Any, reconstruction: Any, unit_interval: bool = False) -> tuple:
    """Return both in float64, checked: as many, of the same shape."""
    x, y = checks.same_shape("x", x, "reconstruction", reconstruction)
    if unit_interval:
        checks.check_array("x", x, unit_interval=True)
        checks.check_array("reconstruction", y, unit_interval=True)
    return x.astype(np.float64), y.astype(np.float64)
