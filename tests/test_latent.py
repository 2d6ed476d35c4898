import numpy as np
import pytest

from kerasae.evaluation.latent import linear_probe


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
