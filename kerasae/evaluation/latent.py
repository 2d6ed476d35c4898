"""Measures of codes: accuracy of probes, active units, and how factors are encoded.

    linear probe          W = arg min Σᵢ ‖yᵢ − Wᵀ(hᵢ − h̄) − ȳ‖² + ridge · n · s̄² ‖W‖²,
                          ŷ(h) = arg max Wᵀ(h − h̄) + ȳ
    active units          Var_x E[z_j|x] > 0.01
    variance explained    R² = 1 − Σ (v − v̂(z))² / Σ (v − v̄)²                  of a true factor v
    information gap       mean over v of (I(z_j; v) − max_{i≠j} I(z_i; v)) / H(v),  j the best unit

In the probe yᵢ is the one-hot label and s̄² the mean variance of a number of the code. All fits are
closed forms, so that a difference between two codes is a difference between the codes.

Alain & Bengio, "Understanding intermediate layers using linear classifier probes" (2016); Burda,
Grosse & Salakhutdinov, "Importance weighted autoencoders" (2015); Chen, Li, Grosse & Duvenaud,
"Isolating sources of disentanglement in variational autoencoders" (2018).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from kerasae import checks
from kerasae.evaluation import pairs
from kerasae.evaluation.factors import is_category, named, one_hot


def linear_probe(
    codes: np.ndarray,
    labels: np.ndarray,
    test_codes: np.ndarray,
    test_labels: np.ndarray,
    ridge: float = 1e-3,
) -> float:
    """Return the accuracy of a linear classifier on new codes after a fit to given codes.

    It is one least-squares fit for all classes. The ridge is relative to the scale of the code, so
    the result does not depend on that scale. Without a ridge it is invariant to every invertible
    linear map, if there are more examples than numbers in a code.

    Args:
        codes: Codes for the fit, `(n, …)`; flattened to one vector per example.
        labels: Labels of the codes, `(n,)` integers.
        test_codes: Codes for the measure, `(m, …)`.
        test_labels: Labels of the test codes, `(m,)` integers.
        ridge: Penalty on the weights, at least 0.

    Returns:
        The share of correctly classified test codes.

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


def active_units(means: np.ndarray, threshold: float = 0.01) -> np.ndarray:
    """Return which units of a code depend on the input: those whose mean E[z_j|x] varies with x.

    The posterior of a unit that the decoder does not use is its prior, with equal means for all x.

    Args:
        means: Means of the posteriors of at least two examples, `(n, …)`.
        threshold: Least variance over the examples of an active unit.

    Returns:
        Booleans of one code's shape; their sum is the number of active units.

    Example:

    >>> active_units([[0.0, 1.0], [0.1, -1.0]]).tolist()
    [False, True]
    """
    means = checks.to_numpy("means", means)
    if len(means) < 2:
        raise ValueError(f"`means` has shape {means.shape}, expected at least two examples.")
    return means.astype(np.float64).var(axis=0) > checks.not_negative("threshold", threshold)


def aggregated_moments(
    means: np.ndarray, log_variances: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance of the codes of all examples, q(z) = mean over x of q(z|x).

        E[z] = E[μ],   Cov[z] = Cov[μ] + E[diag σ²]

    If the model fits its prior N(0, I), they are 0 and I.

    Args:
        means: Means μ of diagonal normal posteriors, `(n, size)`.
        log_variances: Logarithms of their variances, log σ², `(n, size)`.

    Returns:
        Arrays of shape `(size,)` and `(size, size)`.

    Example:

    >>> mean, covariance = aggregated_moments([[-0.6], [0.6]], np.log([[0.64], [0.64]]))
    >>> mean.tolist(), covariance.round(6).tolist()
    ([0.0], [[1.0]])
    """
    means, log_variances = checks.same_shape("means", means, "log_variances", log_variances)
    checks.check_array("means", means, (None,))
    means, log_variances = means.astype(np.float64), log_variances.astype(np.float64)
    centred = means - means.mean(axis=0)
    within = np.diag(np.exp(log_variances).mean(axis=0))
    return means.mean(axis=0), centred.T @ centred / len(means) + within


def variance_explained(
    codes: np.ndarray, factors: Mapping[str, np.ndarray], examples: int = 2000, seed: int = 0
) -> dict[str, float]:
    """Return R² of each true factor as predicted from codes, on examples outside the fit.

    The prediction is a kernel ridge regression, linear or with Gaussians of one of four widths.
    Kernel and ridge are those of the smallest leave-one-out error among the examples of the fit.

    Args:
        codes: Codes of at least 20 examples, `(n, …)`.
        factors: Values `(n,)` by name, such as a split's `factors`. Whole numbers are categories,
            whose variance is that of all one-hot columns together.
        examples: Largest number of examples, half for the fit and half for the measure.
        seed: Seed of the split into halves.

    Returns:
        R² of each factor: 1 if the code determines it, about 0 if the code has no information on
        it, a little below 0 if the fit is due to chance.

    Example:

    >>> slant, width = np.random.default_rng(0).uniform(-1, 1, size=(2, 400))
    >>> codes = np.stack([slant**3, slant - 1], axis=1)
    >>> explained = variance_explained(codes, {"slant": slant, "width": width})
    >>> explained["slant"] > 0.99, abs(explained["width"]) < 0.1
    (True, True)
    """
    codes, factors = _codes_and_factors(codes, factors)
    if len(codes) < 20:
        raise ValueError(f"`codes` has {len(codes)} examples, expected at least 20.")
    order = np.random.default_rng(checks.whole_number("seed", seed, least=0)).permutation(
        len(codes)
    )
    order = order[: checks.whole_number("examples", examples, least=20)]
    fit, test = order[: len(order) // 2], order[len(order) // 2 :]
    parts = [
        one_hot(values) if is_category(values) else values[:, None].astype(np.float64)
        for values in factors.values()
    ]
    owner = np.repeat(np.arange(len(parts)), [part.shape[1] for part in parts])
    targets = np.hstack(parts)
    mean = targets[fit].mean(axis=0)
    predictions = _kernel_ridge(codes[fit], targets[fit] - mean, codes[test], owner) + mean
    residual = np.sum((targets[test] - predictions) ** 2, axis=0)
    total = np.sum((targets[test] - mean) ** 2, axis=0)
    return {
        name: float(1 - residual[owner == factor].sum() / total[owner == factor].sum())
        for factor, name in enumerate(factors)
    }


class InformationGap(NamedTuple):
    """The information gap between units of each factor; see `mutual_information_gap`."""

    score: float
    gaps: dict[str, float]
    information: dict[str, np.ndarray]


def mutual_information_gap(
    codes: np.ndarray, factors: Mapping[str, np.ndarray], bins: int = 20
) -> InformationGap:
    """Measure disentanglement: how much more one unit informs about a factor than any other.

        gap(v) = (I(z_j; v) − max_{i≠j} I(z_i; v)) / H(v),   j the unit with the most information

    Units and continuous factors are cut at their quantiles into bins of equally many examples, so
    the gap is invariant to increasing functions of a unit. Chance adds about bins² / 2n nats to a
    mutual information, which mostly cancels in the gap: use some thousand examples.

    Args:
        codes: Codes of at least two units, `(n, …)`.
        factors: Values `(n,)` by name, such as a split's `factors`. Whole numbers are categories.
        bins: Largest number of bins. Edges that cut through clusters of a unit lower the score, so
            that factors with different numbers of values cannot all have their own: give whole
            numbers for factors that are categories.

    Returns:
        The `score`, which is the mean of the `gaps` of the factors (1 if each has a unit of its
        own, 0 if each is spread evenly over two units or more, or over none), and for each
        factor the `information` of all units, I(z_j; v) / H(v), `(units,)`.

    Example:

    >>> slant, width = np.random.default_rng(0).normal(size=(2, 4000))
    >>> factors = {"slant": slant, "width": width}
    >>> apart, mixed = [slant, width], [slant + width, slant - width]
    >>> [mutual_information_gap(np.transpose(z), factors).score > 0.9 for z in (apart, mixed)]
    [True, False]
    """
    codes, factors = _codes_and_factors(codes, factors)
    if codes.shape[1] < 2:
        raise ValueError("`codes` have one unit, expected at least two: the gap is between units.")
    bins = checks.whole_number("bins", bins, least=2)
    units = [_binned(unit, bins) for unit in codes.T]
    information = {}
    for name, values in factors.items():
        values = values if is_category(values) else _binned(values.astype(np.float64), bins)
        values = np.unique(values, return_inverse=True)[1]
        nats = np.array([_mutual_information(unit, values) for unit in units])
        information[name] = nats / _mutual_information(values, values)  # I(v; v) = H(v)
    ranked = {name: np.sort(shares)[::-1] for name, shares in information.items()}
    gaps = {name: float(shares[0] - shares[1]) for name, shares in ranked.items()}
    return InformationGap(float(np.mean(list(gaps.values()))), gaps, information)


def _kernel_ridge(
    codes: np.ndarray, targets: np.ndarray, new_codes: np.ndarray, owner: np.ndarray
) -> np.ndarray:
    """Predict the targets of new codes, K' (K + λI)⁻¹ Y, with K and λ chosen for each factor.

    The leave-one-out residuals are (K + λI)⁻¹ Y / diag (K + λI)⁻¹ (Rasmussen & Williams, "Gaussian
    processes for machine learning", 2006, section 5.4.2).
    """
    centre, stddev = codes.mean(axis=0), codes.std(axis=0)
    codes, new_codes = codes - centre, new_codes - centre
    # Gaussian kernels use unscaled codes, so that near-constant units stay negligible. The linear
    # kernel standardizes them, because no scale matters to a linear function.
    scale = np.where(stddev > 1e-7 * stddev.max(), stddev, np.inf)
    kernels = [lambda a, b: (a / scale) @ (b / scale).T / codes.shape[1]]
    size = 2 * np.sum(stddev**2)  # the mean squared distance between two codes
    if size > 0:
        lengths = np.array([0.1, 0.3, 1.0, 3.0]) ** 2 * size
        kernels += [lambda a, b, s=s: np.exp(-_squares(a, b) / (2 * s)) for s in lengths]
    best = np.full(owner.max() + 1, np.inf)
    predictions = np.zeros((len(new_codes), len(owner)))
    for kernel in kernels:
        gram, new = kernel(codes, codes), kernel(new_codes, codes)
        for ridge in len(codes) * np.array([1e-7, 1e-5, 1e-3, 1e-1]):
            inverse = np.linalg.inv(gram + ridge * np.eye(len(codes)))
            weights = inverse @ targets
            residuals = weights / np.diag(inverse)[:, None]
            errors = np.bincount(owner, np.sum(residuals**2, axis=0))
            better = (errors < best)[owner]
            best = np.minimum(errors, best)
            predictions[:, better] = new @ weights[:, better]
    return predictions


def _squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.concatenate([part for _, part in pairs.squared_distances(a, b)])


def _binned(values: np.ndarray, bins: int) -> np.ndarray:
    """Return the bin of each value, cut at the quantiles; equal values share one."""
    edges = np.unique(np.quantile(values, np.arange(1, bins) / bins))
    return np.searchsorted(edges, values, side="right")


def _mutual_information(first: np.ndarray, second: np.ndarray) -> float:
    """Return I = Σ p(a, b) log (p(a, b) / p(a) p(b)) of two lists of whole numbers, in nats."""
    joint = np.zeros((first.max() + 1, second.max() + 1))
    np.add.at(joint, (first, second), 1 / len(first))
    apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0)
    there = joint > 0
    return max(0.0, float(np.sum(joint[there] * np.log(joint[there] / apart[there]))))


def _codes_and_factors(codes: Any, factors: Any) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return codes as float64 of shape (n, size) and the factors, none constant, checked."""
    codes = pairs.vectors("codes", codes)
    factors = named("factors", factors, len(codes))
    if not factors:
        raise ValueError("`factors` is empty, expected at least one true factor.")
    for name, values in factors.items():
        if values.min() == values.max():
            raise ValueError(
                f"`factors[{name!r}]` is {values[0]} throughout, expected a factor that varies."
            )
    return codes, factors


def _pair(
    codes_name: str, codes: np.ndarray, labels_name: str, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return codes as float64 of shape (n, size) and labels as (n,), checked."""
    codes, labels = pairs.vectors(codes_name, codes), checks.to_numpy(labels_name, labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(
            f"`{labels_name}` is {labels.dtype} of shape {labels.shape}, "
            "expected one whole number per example."
        )
    checks.check_same_length(**{codes_name: codes, labels_name: labels})
    return codes, labels
