import itertools
import sys

import numpy as np
import pytest

from kerasae.evaluation import pairs
from kerasae.evaluation.retrieval import Index, binary_codes

pytestmark = pytest.mark.home("tensorflow")


@pytest.fixture
def bits():
    """60 codes of 11 bits, of which many are equally far from each other."""
    return np.random.default_rng(0).random((60, 11)) < 0.5


@pytest.fixture
def reals():
    return np.random.default_rng(1).normal(size=(60, 5)).astype("float32")


@pytest.fixture
def labels():
    return np.random.default_rng(2).integers(0, 3, 60)


def distances(one, two):
    """Euclidean, or of bits the number of those that differ, by brute force."""
    difference = one[:, None].astype("float64") - two[None].astype("float64")
    return np.sqrt((difference**2).sum(-1)) if one.dtype != bool else np.abs(difference).sum(-1)


def average_precision(related):
    """Of one ranking: the mean of the precision at each relative."""
    precision = np.cumsum(related) / (1 + np.arange(len(related)))
    return precision[np.asarray(related, bool)].mean()


def all_orders(away, related):
    """Every ranking that sorts by distance, as the relatives' 0s and 1s."""
    groups = [related[away == value] for value in np.unique(away)]
    for orders in itertools.product(*(itertools.permutations(group) for group in groups)):
        yield np.concatenate(orders)


@pytest.mark.parametrize("width", [1, 8, 9, 32, 33, 64, 65, 200, 300])
def test_hamming_distances_of_packed_bits(width):
    rng = np.random.default_rng(width)
    codes, queries = rng.random((40, width)) < 0.5, rng.random((7, width)) < 0.5
    index = Index(codes, binary=True)
    indices, found = index.query(queries, k=40)
    expected = distances(queries, codes)
    np.testing.assert_array_equal(found, np.sort(expected, axis=1))
    np.testing.assert_array_equal(indices, np.argsort(expected, axis=1, kind="stable"))


def test_opposite_codes_are_as_far_as_there_are_bits():
    """Also where the count fills the type that it is held in."""
    for width in (254, 255, 256):
        codes = np.array([[0] * width, [1] * width])
        indices, found = Index(codes, binary=True).query(k=1)
        assert indices.tolist() == [[1], [0]] and found.tolist() == [[width], [width]]


def test_bits_are_counted_without_numpy_2(bits, monkeypatch):
    expected = Index(bits, binary=True).query(k=5)
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    found = Index(bits, binary=True).query(k=5)
    np.testing.assert_array_equal(expected, found)


def test_memory():
    codes = np.zeros((100, 32), "float32")
    assert Index(codes).bytes == 100 * 32 * 4
    for bits, size in [(1, 1), (8, 1), (9, 2), (16, 2), (17, 4), (32, 4), (33, 8), (65, 16)]:
        assert Index(np.zeros((100, bits), bool), binary=True).bytes == 100 * size
    assert len(Index(codes)) == 100


def test_neighbours_of_real_codes(reals):
    pytest.importorskip("sklearn")
    index = Index(reals[:50])
    indices, found = index.query(reals[50:], k=4)
    expected = distances(reals[50:], reals[:50])
    np.testing.assert_array_equal(indices, np.argsort(expected, axis=1)[:, :4])
    np.testing.assert_allclose(found, np.sort(expected, axis=1)[:, :4], rtol=1e-5)


@pytest.mark.parametrize("binary", [False, True])
def test_the_database_asks_for_others_than_itself(binary, bits, reals):
    if not binary:
        pytest.importorskip("sklearn")
    codes = bits if binary else reals
    codes = np.concatenate([codes[:20], codes[:20]])  # each has a copy, which is another
    indices, found = Index(codes, binary).query(k=1)
    assert (indices[:, 0] != np.arange(40)).all() and (found == 0).all()


def test_images_of_codes_are_vectors(reals, labels):
    flat = Index(reals).mean_average_precision(labels)
    assert Index(reals.reshape(60, 1, 5)).mean_average_precision(labels) == flat


def test_average_precision_is_scikit_learns(reals, labels):
    metrics = pytest.importorskip("sklearn.metrics")
    away = distances(reals[40:], reals[:40])
    expected = [
        metrics.average_precision_score(labels[:40] == label, -row)
        for row, label in zip(away, labels[40:], strict=True)
    ]
    found = Index(reals[:40]).mean_average_precision(labels[:40], reals[40:], labels[40:])
    assert found == pytest.approx(np.mean(expected), rel=1e-12)


def test_average_precision_within_the_database(reals, labels):
    away = distances(reals, reals)
    expected = []
    for i in range(60):
        order = np.argsort(away[i])
        order = order[order != i]
        expected.append(average_precision(labels[order] == labels[i]))
    found = Index(reals).mean_average_precision(labels)
    assert found == pytest.approx(np.mean(expected), rel=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_among_equals_it_is_the_mean_over_all_orders(seed):
    rng = np.random.default_rng(seed)
    codes, query = rng.random((7, 2)) < 0.5, rng.random((1, 2)) < 0.5
    labels = rng.permutation([0, 0, 0, 1, 1, 1, 1])
    away, related = distances(query, codes)[0], labels == 1
    rankings = list(all_orders(away, related))
    assert len(rankings) > 10
    index = Index(codes, binary=True)
    found = index.mean_average_precision(labels, query, [1])
    assert found == pytest.approx(np.mean([average_precision(r) for r in rankings]), rel=1e-12)
    for k in range(1, 8):
        found = index.precision_at_k(labels, k, query, [1])
        assert found == pytest.approx(np.mean([r[:k].mean() for r in rankings]), rel=1e-12)


def test_all_equal_is_chance():
    """A code that says nothing: the expected precision is the share of relatives at any k."""
    labels = np.array([0] * 30 + [1] * 10)
    index = Index(np.zeros((40, 4)), binary=True)
    queries = np.zeros((1, 4))
    assert index.precision_at_k(labels, 5, queries, [0]) == pytest.approx(30 / 40)
    first_come = average_precision(labels == 0)
    assert first_come == 1 != index.mean_average_precision(labels, queries, [0])


@pytest.mark.parametrize("binary", [False, True])
def test_the_order_of_the_database_is_of_no_account(binary, bits, reals, labels):
    codes = bits if binary else np.repeat(reals[:15], 4, axis=0)  # four copies of each
    order = np.random.default_rng(3).permutation(60)
    for queries, query_labels in ((None, None), (codes[:20], labels[:20])):
        one, two = Index(codes, binary), Index(codes[order], binary)
        for name in ("precision_at_k", "mean_average_precision"):
            first = getattr(one, name)(labels, queries=queries, query_labels=query_labels)
            second = getattr(two, name)(labels[order], queries=queries, query_labels=query_labels)
            assert first == pytest.approx(second, rel=1e-12)


@pytest.mark.parametrize("size", [129, 784])
def test_copies_of_real_codes_tie_despite_rounding(size):
    """Four copies of one code and three of another, which matrix products tell apart."""
    rng = np.random.default_rng(7 * size)
    codes = np.repeat(rng.normal(size=(1, size)), 7, axis=0)
    codes[::2] += rng.normal(size=(1, size))
    query, labels = rng.normal(size=(1, size)), np.array([0, 0, 1, 1, 0, 0, 1])
    away = distances(query, codes)[0]
    assert len(np.unique(away)) == 2
    expected = [average_precision(ranking) for ranking in all_orders(away, labels == 1)]
    found = Index(codes).mean_average_precision(labels, query, [1])
    assert found == pytest.approx(np.mean(expected), rel=1e-12)


def test_precision_is_by_brute_force(reals, labels):
    away = distances(reals[40:], reals[:40])
    nearest = np.argsort(away, axis=1)[:, :5]
    expected = (labels[:40][nearest] == labels[40:, None]).mean()
    found = Index(reals[:40]).precision_at_k(labels[:40], 5, reals[40:], labels[40:])
    assert found == pytest.approx(expected, rel=1e-12)


def test_perfect_and_hopeless():
    codes = np.array([[0.0], [0.1], [5.0], [5.1]])
    assert Index(codes).mean_average_precision([0, 0, 1, 1]) == 1
    assert Index(codes).precision_at_k([0, 0, 1, 1], 1) == 1
    assert Index(codes).precision_at_k([0, 1, 0, 1], 1) == 0
    # A query that has no relative counts in the precision, and has no average precision.
    assert Index(codes[:3]).mean_average_precision([0, 0, 1]) == 1
    assert Index(codes[:3]).precision_at_k([0, 0, 1], 1) == pytest.approx(2 / 3)


def test_in_chunks_or_at_once(bits, labels, monkeypatch):
    index = Index(bits, binary=True)
    whole = index.query(k=7), index.precision_at_k(labels), index.mean_average_precision(labels)
    monkeypatch.setattr(pairs, "NUMBERS", 60 * 11)
    parts = index.query(k=7), index.precision_at_k(labels), index.mean_average_precision(labels)
    np.testing.assert_array_equal(whole[0], parts[0])
    assert whole[1:] == pytest.approx(parts[1:], rel=1e-12)


def test_binary_codes():
    codes = np.array([[0.1, 0.5, 0.9], [0.6, 0.2, 0.7]])
    assert binary_codes(codes).tolist() == [[False, False, True], [True, False, True]]
    medians = binary_codes(codes, threshold=np.median(codes, axis=0))
    assert medians.tolist() == [[False, True, True], [True, False, False]]
    with pytest.raises(ValueError, match=r"`threshold` has shape \(2,\), expected one number or"):
        binary_codes(codes, threshold=[0.5, 0.5])
    with pytest.raises(ValueError, match="`codes` holds NaN"):
        binary_codes(codes * np.nan)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda i: i.query(np.zeros((2, 4), bool)), r"`queries` has shape \(2, 4\), expected"),
        (lambda i: i.query(np.full((2, 11), 0.5)), "`queries` holds other values than 0 and 1"),
        (lambda i: i.query(k=0), "`k` is 0, expected a whole number"),
        (lambda i: i.query(k=60), "`k` is 60, expected at most 59"),
        (lambda i: i.query(np.zeros((1, 11)), k=61), "`k` is 61, expected at most 60"),
        (lambda i: i.precision_at_k(np.zeros(60, int), k=60), "`k` is 60, expected at most 59"),
        (lambda i: i.precision_at_k(np.zeros(59, int)), "`codes` has 60, `labels` has 59"),
        (lambda i: i.precision_at_k(np.eye(60)), r"`labels` has shape \(60, 60\), expected one"),
        (
            lambda i: i.mean_average_precision(np.full(60, 0.5)),
            "`labels` holds 0.5, expected whole",
        ),
        (lambda i: i.mean_average_precision(np.arange(60)), "`labels` give no query a relative"),
        (
            lambda i: i.mean_average_precision(np.zeros(60), np.zeros((2, 11))),
            "One of `queries` and `query_labels` is None, expected both",
        ),
        (
            lambda i: i.precision_at_k(np.zeros(60), 1, np.zeros((2, 11)), [1]),
            "`queries` has 2, `query_labels` has 1",
        ),
        (lambda i: Index(np.zeros((0, 3))), "`codes` has shape"),
        (lambda i: Index(np.full((2, 3), np.inf)), "`codes` holds NaN or infinite"),
    ],
)
def test_bad_input_is_named(call, message, bits):
    with pytest.raises(ValueError, match=message):
        call(Index(bits, binary=True))


def test_without_scikit_learn(reals, bits, labels, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.neighbors", None)
    with pytest.raises(ImportError, match="scikit-learn is not installed, expected it for the"):
        Index(reals).query(k=2)
    Index(bits, binary=True).query(k=2)
    Index(reals).mean_average_precision(labels)
