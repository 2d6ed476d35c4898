import numpy as np
import pytest

from kerasae.datasets import load
from kerasae.evaluation import latent
from kerasae.evaluation.latent import (
    active_units,
    aggregated_moments,
    linear_probe,
    mutual_information_gap,
    variance_explained,
)

pytestmark = pytest.mark.home("tensorflow")


@pytest.fixture
def clouds():
    """Three clouds of 60 points in 5 dimensions: codes, labels, test codes, test labels."""
    rng = np.random.default_rng(0)
    centres = 1.5 * rng.normal(size=(3, 5))
    labels, test_labels = rng.integers(0, 3, 60), rng.integers(0, 3, 400)
    codes = centres[labels] + rng.normal(size=(60, 5))
    test_codes = centres[test_labels] + rng.normal(size=(400, 5))
    return codes, labels, test_codes, test_labels


def test_it_is_the_least_squares_classifier(clouds):
    codes, labels, test_codes, test_labels = clouds
    with_bias = np.hstack([codes, np.ones((60, 1))])
    weights = np.linalg.lstsq(with_bias, np.eye(3)[labels], rcond=None)[0]
    answers = np.argmax(np.hstack([test_codes, np.ones((400, 1))]) @ weights, axis=1)
    assert linear_probe(*clouds, ridge=0) == np.mean(answers == test_labels)


def test_the_ridge_is_the_one_of_the_formula(clouds):
    codes, labels, test_codes, test_labels = clouds
    codes, test_codes = codes - codes.mean(0), test_codes - codes.mean(0)
    targets = np.eye(3)[labels]
    gram = codes.T @ codes + 2.0 * 60 * codes.var(axis=0).mean() * np.eye(5)
    weights = np.linalg.solve(gram, codes.T @ (targets - targets.mean(0)))
    answers = np.argmax(test_codes @ weights + targets.mean(0), axis=1)
    expected = np.mean(answers == test_labels)
    assert linear_probe(*clouds, ridge=2.0) == expected != linear_probe(*clouds, ridge=0)


def test_it_separates_what_a_line_separates_and_nothing_else():
    corners, xor = np.array([[0, 0], [0, 1], [1, 0], [1, 1.0]]), np.array([0, 1, 1, 0])
    assert linear_probe(corners, xor, corners, xor) <= 0.75
    lifted = np.hstack([corners, corners[:, :1] * corners[:, 1:]])
    assert linear_probe(lifted, xor, lifted, xor, ridge=0) == 1


def test_no_invertible_linear_map_changes_it_without_a_ridge(clouds):
    codes, labels, test_codes, test_labels = clouds
    mixed = np.random.default_rng(1).normal(size=(5, 8))  # injective: five numbers into eight
    assert linear_probe(
        codes @ mixed + 3, labels, test_codes @ mixed + 3, test_labels, ridge=0
    ) == linear_probe(*clouds, ridge=0)


def test_no_scale_changes_it_with_a_ridge(clouds):
    codes, labels, test_codes, test_labels = clouds
    scaled = linear_probe(1e-3 * codes, labels, 1e-3 * test_codes, test_labels, ridge=0.5)
    assert scaled == linear_probe(*clouds, ridge=0.5) != linear_probe(*clouds, ridge=0)


def test_labels_need_not_be_consecutive_and_codes_may_be_images(clouds):
    codes, labels, test_codes, test_labels = clouds
    names = np.array([7, 3, 100])
    renamed = linear_probe(
        codes.reshape(60, 1, 5), names[labels], test_codes.reshape(400, 1, 5), names[test_labels]
    )
    assert renamed == linear_probe(*clouds) > 0.7


def test_constant_and_missing_numbers_do_no_harm():
    codes = np.array([[1.0, 5], [2, 5], [-1, 5], [-2, 5]])
    labels = np.array([1, 1, 0, 0])
    assert linear_probe(codes, labels, codes, labels, ridge=0) == 1
    same = np.ones((4, 2))
    assert linear_probe(same, labels, same, labels) == 0.5


@pytest.mark.parametrize(
    "change, message",
    [
        ({"labels": np.zeros(59, int)}, "`codes` has 60, `labels` has 59"),
        ({"test_labels": np.zeros(400)}, "`test_labels` is float64 of shape"),
        ({"test_codes": np.zeros((400, 4))}, "`test_codes` have 4 numbers each, expected 5"),
        ({"codes": np.full((60, 5), np.nan)}, "`codes` holds NaN"),
        ({"ridge": -1.0}, "`ridge` is -1.0"),
        ({"ridge": float("nan")}, "`ridge` is nan"),
    ],
)
def test_bad_input_is_named(clouds, change, message):
    arguments = dict(zip(("codes", "labels", "test_codes", "test_labels"), clouds, strict=True))
    with pytest.raises(ValueError, match=message):
        linear_probe(**arguments | change)


def test_active_units_are_those_whose_mean_varies():
    rng = np.random.default_rng(0)
    means = rng.normal(size=(500, 2, 3)) * [[1, 0.2, 0.11], [0.05, 0, 0.09]] + 7
    assert active_units(means).tolist() == [[True, True, True], [False, False, False]]
    assert active_units(means, threshold=0.02).sum() == 2


def test_the_aggregated_posterior_has_the_moments_of_its_samples():
    rng = np.random.default_rng(0)
    mixing = np.array([[1.0, 0.5, 0], [0, 1, 0], [0, 0, 0.1]])
    means, log_variances = rng.normal(size=(300, 3)) @ mixing, rng.normal(size=(300, 3)) - 1
    which = rng.integers(0, 300, 200_000)
    samples = means[which] + np.exp(log_variances[which] / 2) * rng.normal(size=(200_000, 3))
    mean, covariance = aggregated_moments(means, log_variances)
    np.testing.assert_allclose(mean, samples.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(covariance, np.cov(samples.T), atol=0.03)


@pytest.fixture
def codes():
    """600 codes of three units."""
    return np.random.default_rng(0).normal(size=(600, 3))


def test_what_is_a_function_of_the_code_is_explained_whole(codes):
    factors = {
        "linear": codes @ [1.0, -2.0, 0.5] + 4,
        "curved": np.sin(2 * codes[:, 0]) + codes[:, 1] ** 2,
        "sign": codes[:, 2] > 0,
        "kind": np.digitize(codes[:, 0], [-0.5, 0.5]) + 7,
    }
    found = variance_explained(codes, factors)
    assert list(found) == list(factors)
    assert found["linear"] > 0.999 and found["curved"] > 0.95
    assert 0.8 < found["sign"] < 1 and 0.8 < found["kind"] < 1


def test_what_the_code_says_nothing_about_is_not_explained(codes):
    rng = np.random.default_rng(1)
    factors = {"number": rng.normal(size=600), "kind": rng.integers(0, 4, 600)}
    assert all(abs(value) < 0.1 for value in variance_explained(codes, factors).values())
    same = variance_explained(np.ones((600, 3)), {"number": codes[:, 0]})
    assert abs(same["number"]) < 0.1


@pytest.mark.parametrize("noise", [0.5, 2.0])
def test_noise_takes_its_share(codes, noise):
    rng = np.random.default_rng(2)
    factor = codes[:, 0] + noise * rng.normal(size=600)
    found = variance_explained(codes, {"factor": factor})["factor"]
    assert found == pytest.approx(1 / (1 + noise**2), abs=0.1)


def test_the_reading_keeps_its_hands_off_the_measured_half(codes):
    """With as many units as examples fitted to, anything could be fitted, and nothing read."""
    wide = np.random.default_rng(3).normal(size=(200, 100))
    factor = np.random.default_rng(4).normal(size=200)
    assert variance_explained(wide, {"factor": factor})["factor"] < 0.2


def test_scale_and_rotation_change_nothing_and_the_seed_decides(codes):
    codes = codes[:200]
    factors = {"curved": np.sin(2 * codes[:, 0]) + codes[:, 1] ** 2}
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    found = variance_explained(codes, factors)["curved"]
    moved = variance_explained(1e-3 * codes @ turn + 5, factors)["curved"]
    assert moved == pytest.approx(found, abs=1e-4)
    assert variance_explained(codes, factors)["curved"] == found
    assert variance_explained(codes, factors, seed=1)["curved"] != found


def test_leave_one_out_and_ridge_are_those_of_scikit_learn(codes):
    """The same choice by brute force: each example left out in turn."""
    from sklearn.kernel_ridge import KernelRidge

    codes, new = codes[:40], codes[40:60]
    target = np.sin(codes[:, 0]) + 0.1 * np.random.default_rng(0).normal(size=40)
    size = 2 * codes.var(axis=0).sum()
    gammas = [1 / (2 * share**2 * size) for share in (0.1, 0.3, 1.0, 3.0)]
    standard, new_standard = (
        (z - codes.mean(axis=0)) / codes.std(axis=0) / np.sqrt(3) for z in (codes, new)
    )
    best = np.inf
    for kernel in [{"kernel": "linear"}] + [{"kernel": "rbf", "gamma": g} for g in gammas]:
        x, x_new = (standard, new_standard) if kernel["kernel"] == "linear" else (codes, new)
        for ridge in (1e-7, 1e-5, 1e-3, 1e-1):
            model = KernelRidge(alpha=40 * ridge, **kernel)
            error = 0
            for left_out in range(40):
                rest = np.arange(40) != left_out
                guess = model.fit(x[rest], target[rest]).predict(x[[left_out]])
                error += (guess[0] - target[left_out]) ** 2
            if error < best:
                best, expected = error, model.fit(x, target).predict(x_new)
    found = latent._kernel_ridge(codes, target[:, None], new, np.array([0]))
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-5)


@pytest.fixture
def three():
    """Three independent factors of 8,000 examples, one of them a category."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 5, 8000)
    return {"slant": rng.normal(size=8000), "width": rng.uniform(size=8000), "kind": kind}


def test_a_unit_for_each_factor_has_a_gap_of_1(three):
    codes = np.stack([three["kind"], np.exp(three["slant"]), -three["width"]], axis=1)
    found = mutual_information_gap(codes, three)
    assert found.score > 0.97 and min(found.gaps.values()) > 0.97
    assert found.information["slant"].argmax() == 1
    assert found.information["kind"] == pytest.approx([1, 0, 0], abs=0.02)


def test_a_factor_told_by_two_units_has_no_gap(three):
    codes = np.stack([three["slant"], -2 * three["slant"], three["width"]], axis=1)
    found = mutual_information_gap(codes, three)
    assert found.gaps["slant"] == pytest.approx(0, abs=0.02) and found.gaps["width"] > 0.97
    assert found.gaps["kind"] < 0.02 and max(found.information["kind"]) < 0.02
    assert found.score == pytest.approx(np.mean(list(found.gaps.values())))


def test_rotated_units_have_no_gap_but_explain_all(three):
    plane = np.stack([three["slant"], 3.46 * (three["width"] - 0.5)], axis=1)
    rotated = plane @ np.array([[1, 1], [-1, 1]]) / np.sqrt(2)
    factors = {name: three[name] for name in ("slant", "width")}
    assert mutual_information_gap(plane, factors).score > 0.97
    assert mutual_information_gap(rotated, factors).score < 0.1
    assert min(variance_explained(rotated, factors, examples=400).values()) > 0.99


def test_information_is_that_of_normal_variables():
    """I = −½ log(1 − ρ²), less what 20 bins lose and with what chance adds."""
    rng = np.random.default_rng(0)
    factor, noise = rng.normal(size=(2, 40_000))
    for rho in (0.0, 0.5, 0.8):
        unit = rho * factor + np.sqrt(1 - rho**2) * noise
        codes = np.stack([unit, rng.normal(size=40_000)], axis=1)
        told = mutual_information_gap(codes, {"factor": factor}).information["factor"][0]
        assert told * np.log(20) == pytest.approx(-0.5 * np.log(1 - rho**2), abs=0.03)


def test_it_is_scikit_learns_mutual_information(three):
    from sklearn.metrics import mutual_info_score

    rng = np.random.default_rng(1)
    codes = rng.integers(0, 4, size=(8000, 2)) + three["kind"][:, None]
    found = mutual_information_gap(codes, {"kind": three["kind"]}, bins=100).information["kind"]
    entropy = mutual_info_score(three["kind"], three["kind"])
    expected = [mutual_info_score(unit, three["kind"]) / entropy for unit in codes.T]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_rising_functions_of_units_change_nothing_and_dead_units_tell_nothing(three):
    codes = np.stack([three["slant"] + three["width"], three["width"], three["width"] * 0], axis=1)
    bent = np.stack([np.exp(codes[:, 0]), codes[:, 1] ** 3, codes[:, 2] + 1], axis=1)
    found, same = (mutual_information_gap(z, three) for z in (codes, bent))
    assert found.gaps == pytest.approx(same.gaps)
    assert found.information["slant"][2] == 0


def test_the_true_factors_of_strokes_are_their_own_best_code():
    names = ("thickness", "slant", "rotation", "width")
    train, _ = load("strokes", train=3000, test=1)
    factors = {name: train.factors[name] for name in names}
    true = np.stack(list(factors.values()), axis=1)
    pixels = train.x.reshape(3000, -1)
    principal = pixels @ np.linalg.eigh(np.cov(pixels.T))[1][:, -4:]
    assert mutual_information_gap(true, factors).score > 0.95
    assert mutual_information_gap(principal, factors).score < 0.1
    explained = variance_explained(principal, factors, examples=600)
    assert explained["thickness"] > 0.5 > explained["rotation"]


Z = np.random.default_rng(0).normal(size=(30, 2))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: active_units(Z[:1]), r"`means` has shape \(1, 2\), expected at least two"),
        (lambda: active_units(Z, threshold=-1), "`threshold` is -1"),
        (lambda: aggregated_moments(Z, Z[:, :1]), r"`log_variances` has shape \(30, 1\)"),
        (
            lambda: aggregated_moments(Z, Z[:7]),
            r"`log_variances` has shape \(7, 2\), expected \(30, 2\)",
        ),
        (lambda: variance_explained(Z, Z), "`factors` is of type ndarray, expected names to"),
        (lambda: variance_explained(Z, {}), "`factors` is empty"),
        (lambda: variance_explained(Z, {"a": Z[:, 0] * np.nan}), r"`factors\['a'\]` holds NaN"),
        (lambda: variance_explained(Z, {"a": Z}), r"has shape \(30, 2\), expected \(30,\)"),
        (lambda: variance_explained(Z, {"a": np.ones(30)}), r"is 1.0 throughout, expected a fac"),
        (lambda: variance_explained(Z[:9], {"a": Z[:9, 0]}), "9 examples, expected at least 20"),
        (lambda: variance_explained(Z, {"a": Z[:, 0]}, examples=5), "`examples` is 5"),
        (lambda: mutual_information_gap(Z[:, :1], {"a": Z[:, 0]}), "`codes` have one unit"),
        (lambda: mutual_information_gap(Z, {"a": Z[:, 0]}, bins=1), "`bins` is 1"),
    ],
)
def test_other_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
