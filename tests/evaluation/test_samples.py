import math

import keras
import numpy as np
import pytest
import scipy.linalg
import scipy.stats

from kerasae.datasets import faces, load, toys
from kerasae.evaluation import pairs, samples
from kerasae.evaluation.copies import copying, nearest
from kerasae.evaluation.reconstruction import gradient_energy
from kerasae.evaluation.samples import (
    energy_distance,
    frechet_distance,
    frechet_of_normals,
    mmd,
    modes_covered,
    two_sample,
)

pytestmark = pytest.mark.home("tensorflow")


def by_hand(x, y, k):
    """E k(x, x') + E k(y, y') − 2 E k(x, y), pair by pair."""
    within = [
        np.mean([k(a, b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j])
        for z in (x, y)
    ]
    return sum(within) - 2 * np.mean([k(a, b) for a in x for b in y])


@pytest.fixture
def sets():
    rng = np.random.default_rng(0)
    return rng.normal(size=(13, 2, 3)), rng.normal(0.5, 2, size=(9, 2, 3))


@pytest.fixture(params=[pairs.NUMBERS, 30])
def blocks(request, monkeypatch):
    """In one block, and in blocks of one or two rows."""
    monkeypatch.setattr(pairs, "NUMBERS", request.param)


def test_the_energy_distance_is_its_formula(sets, blocks):
    expected = by_hand(*sets, lambda a, b: -np.linalg.norm(a - b))
    assert energy_distance(*sets) == pytest.approx(expected, abs=1e-12)
    assert energy_distance(*sets[::-1]) == pytest.approx(expected, abs=1e-12)


def test_mmd_is_its_formula(sets, blocks):
    def kernel(a, b):
        square = np.sum((a - b) ** 2)
        return np.mean([np.exp(-square / (2 * s**2)) for s in (0.5, 3)])

    assert mmd(*sets, bandwidths=(0.5, 3)) == pytest.approx(by_hand(*sets, kernel), abs=1e-12)


def test_mmds_own_widths_are_around_the_median_distance(sets, blocks):
    both = np.concatenate(sets).reshape(22, -1)
    median = np.median([np.linalg.norm(a - b) for i, a in enumerate(both) for b in both[:i]])
    expected = mmd(*sets, bandwidths=median * np.array([0.5, 1, 2]))
    assert mmd(*sets) == pytest.approx(expected, abs=1e-12)
    assert mmd(*sets) == pytest.approx(mmd(*(1e3 * z - 7 for z in sets)), abs=1e-9)


@pytest.mark.parametrize("shift", [0.0, 0.7, 2.0])
def test_the_energy_distance_of_normals_has_a_closed_form(shift):
    x, y = (toys.iid_gaussian(2000, 1, seed) for seed in (0, 1))

    def mean_distance(mean):  # E|d|, d ~ N(mean, 2)
        phi = scipy.stats.norm.cdf(-mean / math.sqrt(2))
        return 2 / math.sqrt(math.pi) * math.exp(-(mean**2) / 4) + mean * (1 - 2 * phi)

    expected = 2 * mean_distance(shift) - 2 * mean_distance(0)
    assert energy_distance(x, y + shift) == pytest.approx(expected, abs=0.05 * shift + 2e-3)


def test_scipys_one_dimensional_energy_distance_is_the_root_with_pairs_of_equals(sets):
    x, y = (z.ravel() for z in sets)
    n, m = len(x), len(y)
    gap = 2 * np.abs(x[:, None] - y).mean() - energy_distance(x, y)
    within = [np.abs(z[:, None] - z).sum() for z in (x, y)]
    assert gap == pytest.approx(within[0] / (n * (n - 1)) + within[1] / (m * (m - 1)))
    biased = 2 * np.abs(x[:, None] - y).mean() - within[0] / n**2 - within[1] / m**2
    assert scipy.stats.energy_distance(x, y) ** 2 == pytest.approx(biased)


@pytest.mark.parametrize("distance", [energy_distance, mmd])
def test_equal_distributions_are_at_distance_0_on_average(distance):
    found = [distance(*np.random.default_rng(seed).normal(size=(2, 30, 2))) for seed in range(200)]
    assert abs(np.mean(found)) < 3 * np.std(found) / math.sqrt(200)
    assert np.min(found) < 0 < np.max(found)


@pytest.mark.parametrize("distance", ["energy", "mmd"])
def test_the_p_value_of_equal_distributions_is_uniform_and_small_for_others(distance):
    rng = np.random.default_rng(0)
    found = [two_sample(*rng.normal(size=(2, 20, 2)), distance, 99, seed) for seed in range(500)]
    values = np.array([sample.p_value for sample in found])
    assert scipy.stats.kstest(values, "uniform").pvalue > 0.01
    # Of 99 mixed distances and the one that came, each is as likely to be among the 5 largest;
    # three standard deviations of 500 draws are 0.03.
    assert abs(np.mean(values <= 0.05) - 0.05) < 0.03
    assert abs(np.mean([sample.distance > sample.chance for sample in found]) - 0.05) < 0.04
    x, y = rng.normal(size=(2, 40, 2))
    assert two_sample(x, 2 * y, distance).p_value < 0.05


def test_the_test_reports_the_distance_itself_and_is_repeatable(sets, blocks):
    found = two_sample(*sets, permutations=50, seed=3)
    assert found.distance == pytest.approx(energy_distance(*sets), abs=1e-12)
    assert found == two_sample(*sets, permutations=50, seed=3)
    assert two_sample(*sets, "mmd").distance == pytest.approx(mmd(*sets), abs=1e-12)


def test_a_splits_distance_is_the_distance_of_the_mixed_sets(sets, blocks):
    both = np.concatenate(sets).reshape(22, -1)
    split = np.random.default_rng(5).permutation(22)
    found = samples._distances(both[:13], both[13:], samples._minus_distance, [split[:13]])
    expected = energy_distance(both[split[:13]], both[split[13:]])
    assert found[0] == pytest.approx(expected, abs=1e-12)


def covariance(rng, size, rank=None):
    factor = rng.normal(size=(size, rank or size))
    return factor @ factor.T


@pytest.mark.parametrize("size", [1, 5, 64])
def test_the_frechet_distance_agrees_with_scipys_matrix_root(size):
    rng = np.random.default_rng(size)
    mean_x, mean_y = rng.normal(size=(2, size))
    sigma, tau = covariance(rng, size, size + 5), covariance(rng, size, size + 5)
    root = scipy.linalg.sqrtm(sigma @ tau).real
    expected = np.sum((mean_x - mean_y) ** 2) + np.trace(sigma + tau - 2 * root)
    assert frechet_of_normals(mean_x, sigma, mean_y, tau) == pytest.approx(expected, rel=1e-8)


def test_where_covariances_commute_deviations_are_subtracted():
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    s, t = rng.uniform(0, 2, size=(2, 6))
    s[0] = t[1] = 0  # singular, too
    found = frechet_of_normals(
        np.zeros(6), turn @ np.diag(s**2) @ turn.T, np.ones(6), turn @ np.diag(t**2) @ turn.T
    )
    # An eigenvalue that should be 0 is off by some ε, and its root by √ε.
    assert found == pytest.approx(6 + np.sum((s - t) ** 2), abs=10 * np.finfo(float).eps ** 0.5)


def test_the_frechet_distance_is_symmetric_and_0_to_itself_even_of_low_rank():
    rng = np.random.default_rng(0)
    sigma, tau = covariance(rng, 20, rank=3), covariance(rng, 20)
    mean = np.zeros(20)
    assert frechet_of_normals(mean, sigma, mean, sigma) < 1e-9
    there, back = (
        frechet_of_normals(mean, *pair) for pair in ((sigma, mean, tau), (tau, mean, sigma))
    )
    assert there == pytest.approx(back, rel=1e-9)


def test_the_frechet_distance_is_of_means_and_covariances(sets):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 4)), rng.normal(size=(60, 2, 2))
    flat = y.reshape(60, 4)
    expected = frechet_of_normals(x.mean(0), np.cov(x.T), flat.mean(0), np.cov(flat.T))
    assert frechet_distance(x, flat, network=None) == pytest.approx(expected, rel=1e-12)
    column = x[:, :1]
    assert frechet_distance(column, column + 2, network=None) == pytest.approx(4)


def test_a_network_of_ones_own_gives_the_features():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((2, 2))
    network = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(inputs)))
    x, y = np.random.default_rng(0).normal(size=(2, 30, 2, 2)).astype("float32")
    features = [network.predict(z, verbose=0) for z in (x, y)]
    expected = frechet_distance(*features, network=None)
    assert frechet_distance(x, y, network) == pytest.approx(expected, rel=1e-5)


@pytest.fixture(scope="module")
def digits():
    return load("strokes", train=400, test=400)


def test_worse_digits_are_further_in_the_features_of_digits(digits):
    real, same = digits[0].x, digits[1].x
    rng = np.random.default_rng(0)
    chance = frechet_distance(real, same)
    noisy = [
        frechet_distance(real, np.clip(same + rng.normal(0, s, same.shape), 0, 1))
        for s in (0.1, 0.3, 0.6)
    ]
    assert chance < noisy[0] < noisy[1] < noisy[2] and noisy[2] > 10 * chance
    blurred = (same + np.roll(same, 1, 1) + np.roll(same, 1, 2) + np.roll(same, (1, 1), (1, 2))) / 4
    one_digit = digits[1][digits[1].y == 3].x
    collapsed = np.resize(one_digit, same.shape)
    assert min(frechet_distance(real, blurred), frechet_distance(real, collapsed)) > 3 * chance


def test_worse_faces_are_further_in_the_features_of_faces():
    real, same = (faces.generate(150, seed)[0] / 255 for seed in (0, 1))
    chance = frechet_distance(real, same, "faces")
    smiling = faces.render({**faces.sample_factors(150, 1), "smile": 1.0}) / 255
    grey = np.broadcast_to(same.mean(axis=3, keepdims=True), same.shape)
    assert 1.1 * chance < frechet_distance(real, smiling, "faces")
    assert 3 * chance < frechet_distance(real, grey, "faces")


def test_the_nearest_are_the_nearest(blocks):
    rng = np.random.default_rng(0)
    samples, training = rng.normal(size=(20, 3, 2)), rng.normal(size=(35, 3, 2))
    all_distances = np.linalg.norm((samples[:, None] - training).reshape(20, 35, 6), axis=2)
    indices, distances = nearest(samples, training, count=4)
    assert np.array_equal(indices, np.argsort(all_distances, axis=1)[:, :4])
    np.testing.assert_allclose(distances, np.sort(all_distances, axis=1)[:, :4])
    assert np.array_equal(nearest(samples, training, 35)[0], np.argsort(all_distances, axis=1))


def test_a_copy_is_at_distance_0_exactly():
    training = np.random.default_rng(0).random((300, 28, 28, 1)).astype("float32") + 100
    indices, distances = nearest(training[[5, 250]], training)
    assert indices.ravel().tolist() == [5, 250] and not distances.any()


def test_the_error_of_copying_is_what_chance_does_to_an_honest_model():
    rng = np.random.default_rng(0)
    # Few examples and many samples: these share their neighbours, and √(¼ / n) would be too small.
    found = [copying(rng.normal(size=(300, 2)), *rng.normal(size=(2, 20, 2))) for _ in range(200)]
    shares, errors = (np.array([getattr(f, key) for f in found]) for key in ("share", "error"))
    assert abs(shares.mean() - 0.5) < 0.02
    assert errors.mean() == pytest.approx(shares.std(), rel=0.15)
    assert errors.mean() > 1.5 * math.sqrt(0.25 / 300)
    assert np.median([f.ratio for f in found]) == pytest.approx(1, abs=0.1)


def test_copies_are_found_out_and_a_larger_training_set_alone_is_none():
    rng = np.random.default_rng(0)
    training, held_out, samples = (rng.normal(size=(n, 5)) for n in (400, 100, 300))
    honest = copying(samples, training, held_out)
    assert abs(honest.share - 0.5) < 3 * honest.error
    near = training[:100] + 0.1 * rng.normal(size=(100, 5))
    caught = copying(near, training[:100], held_out)
    assert caught.share > 0.5 + 4 * caught.error and caught.ratio < 0.5
    exact = copying(training[:100], training[:100], held_out)
    assert exact.share == 1 and exact.ratio == 0
    ties = copying(samples, training, training)
    assert ties.share == 0.5 and ties.ratio == 1


def test_images_are_compared_as_vectors():
    rng = np.random.default_rng(0)
    samples, training, held_out = (rng.normal(size=(n, 3, 2, 1)) for n in (40, 30, 30))
    flat = [part.reshape(len(part), 6) for part in (samples, training, held_out)]
    assert copying(samples, training, held_out) == copying(*flat)
    assert two_sample(samples, training) == two_sample(*flat[:2])
    found, expected = modes_covered(samples, training, 1.5), modes_covered(*flat[:2], 1.5)
    assert found.quality == expected.quality and found.counts.tolist() == expected.counts.tolist()


def test_the_ring_is_covered_by_its_own_samples():
    ring = toys.ring(10)
    found = modes_covered(ring.sample(5000), ring.means, radius=3 * 0.15, least=400)
    assert found.covered == 10 and found.counts.sum() == round(found.quality * 5000)
    assert found.quality == pytest.approx(1 - math.exp(-4.5), abs=0.005)


def test_missing_modes_and_stray_samples_are_told():
    ring = toys.ring(10)
    samples = np.concatenate([np.repeat(ring.means[:4], 5, axis=0), [[0.0, 0.0]] * 5])
    found = modes_covered(samples, ring.means, radius=0.45)
    assert found.covered == 4 and found.quality == 0.8
    assert found.counts.tolist() == [5] * 4 + [0] * 6
    assert modes_covered(samples, ring.means, radius=0.45, least=6).covered == 0


def test_gradient_energy_is_its_formula_and_falls_when_images_are_averaged():
    x = np.random.default_rng(0).random((4, 5, 6, 3))
    down, right = x[:, 1:] - x[:, :-1], x[:, :, 1:] - x[:, :, :-1]
    expected = [np.mean(d**2) + np.mean(r**2) for d, r in zip(down, right, strict=True)]
    np.testing.assert_allclose(gradient_energy(x), expected)
    np.testing.assert_allclose(gradient_energy(x[..., 0]), gradient_energy(x[..., :1]))
    assert gradient_energy(x.mean(axis=0, keepdims=True)) < 0.5 * gradient_energy(x).min()
    assert not gradient_energy(np.ones((2, 4, 4))).any()


def test_large_sets_are_taken_in_blocks():
    """2,000 × 2,000 distances would be 32 MB; blocks hold a quarter of a MB."""
    import tracemalloc

    x, y = np.random.default_rng(0).normal(size=(2, 1000, 2))
    numbers, pairs.NUMBERS = pairs.NUMBERS, 2**15
    try:
        tracemalloc.start()
        energy_distance(x, y)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        pairs.NUMBERS = numbers
    assert peak < 4e6


X = np.arange(12.0).reshape(6, 2)


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: energy_distance(X, X[:, :1]),
            r"`y` has examples of shape \(1,\), expected \(2,\)",
        ),
        (lambda: energy_distance(X[:1], X), "`x` has one example, expected at least two"),
        (lambda: mmd(X, X, bandwidths=[0.0]), r"`bandwidths` is \[0.0\], expected"),
        (lambda: mmd(X, X + np.inf), "`y` holds NaN"),
        (lambda: two_sample(X, X, "euclid"), "`distance` is 'euclid', expected 'energy' or 'mmd'"),
        (lambda: two_sample(X, X, permutations=0), "`permutations` is 0"),
        (lambda: frechet_distance(X[:2], X, network=None), "`x` has 2 examples and 2 features"),
        (lambda: frechet_distance(X, X, "mnist"), "`network` is 'mnist', expected 'digits' or"),
        (lambda: frechet_distance(X, X), r"`images` has shape \(6, 2\), expected \(examples, 28"),
        (
            lambda: frechet_of_normals([0.0, 0.0], np.eye(2), [0.0, 0.0], np.eye(3)),
            r"`covariance_y` has shape \(3, 3\), expected \(2, 2\)",
        ),
        (lambda: nearest(X, X, count=7), "`count` is 7, expected at most 6"),
        (lambda: nearest(X, X[:0]), "`training` has shape"),
        (lambda: copying(X, X, X[:, :1]), "`held_out` has examples of shape"),
        (lambda: modes_covered(X, X[0], 1.0), "`centres` has examples of shape"),
        (lambda: modes_covered(X, X, -1.0), "`radius` is -1.0"),
        (lambda: modes_covered(X, X, 1.0, least=0), "`least` is 0"),
        (lambda: gradient_energy(X), r"`images` has shape \(6, 2\), expected \(n, height"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
