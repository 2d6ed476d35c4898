"""What a code is good for: a linear classifier that reads the labels off it.

    W = arg min Σᵢ ‖yᵢ − Wᵀ(hᵢ − h̄) − ȳ‖² + ridge · n · s̄² ‖W‖²,   ŷ(h) = arg max Wᵀ(h − h̄) + ȳ

yᵢ is the one-hot label and s̄² the mean variance of a number of the code. The fit is a closed
form, so that a difference between two codes is a difference between the codes.

Alain & Bengio, "Understanding intermediate layers using linear classifier probes" (2016).
"""

import numpy as np

from kerasae import checks


def linear_probe(
    codes: np.ndarray,
    labels: np.ndarray,
    test_codes: np.ndarray,
    test_labels: np.ndarray,
    ridge: float = 1e-3,
) -> float:
    """The accuracy of a linear classifier that was fitted to codes, on other codes.

    One least-squares fit against all classes at once. The ridge is relative to the code's own
    scale: multiplying a code by a number changes nothing. Without a ridge no invertible linear
    map changes anything, as long as there are more examples than numbers.

    Args:
        codes: `(n, …)`, to fit to; flattened to one vector per example.
        labels: `(n,)` integers.
        test_codes: `(m, …)`, to measure on.
        test_labels: `(m,)` integers.
        ridge: Penalty on the weights, at least 0.

    Returns:
        The share of the test labels that are read off right.

    Example:

    >>> codes = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    >>> labels = np.array([0, 0, 1, 1])
    >>> linear_probe(codes, labels, test_codes=[[-3.0], [0.5]], test_labels=[0, 0])
    0.5
    """
    codes, labels = _pair("codes", codes, "labels", labels)
    test_codes, test_labels = _pair("test_codes", test_codes, "test_labels", test_labels)
    if test_codes.shape[1] != codes.shape[1]:
        raise ValueError(
            f"`test_codes` have {test_codes.shape[1]} numbers each, "
            f"expected {codes.shape[1]} as in `codes`."
        )
    ridge = checks.not_negative("ridge", ridge)
    classes, index = np.unique(labels, return_inverse=True)
    targets = np.eye(len(classes))[index]
    centre, mean_target = codes.mean(0), targets.mean(0)
    # With H = U S Vᵀ: W = V S/(S² + ridge · n · s̄²) Uᵀ Y, and 0 where the codes do not vary.
    left, singular, right = np.linalg.svd(codes - centre, full_matrices=False)
    penalty = ridge * np.sum(singular**2) / codes.shape[1]
    varies = singular > 1e-7 * max(singular[0], 1e-30)
    gain = np.where(varies, singular / np.where(varies, singular**2 + penalty, 1.0), 0.0)
    weights = right.T @ (gain[:, None] * (left.T @ (targets - mean_target)))
    answers = classes[np.argmax((test_codes - centre) @ weights + mean_target, axis=1)]
    return float(np.mean(answers == test_labels))


def _pair(
    codes_name: str, codes: np.ndarray, labels_name: str, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Codes as float64 of shape (n, size) and labels as (n,), checked."""
    codes, labels = np.asarray(codes), np.asarray(labels)
    checks.array(codes_name, codes)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(
            f"`{labels_name}` is {labels.dtype} of shape {labels.shape}, "
            "expected one whole number per example."
        )
    checks.same_length(**{codes_name: codes, labels_name: labels})
    return codes.reshape(len(codes), -1).astype(np.float64), labels
