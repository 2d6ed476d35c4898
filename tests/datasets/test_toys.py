"""Toys: the samples against the truth that each set promises."""

import sys

import numpy as np
import pytest

from kerasae.datasets import toys

pytestmark = pytest.mark.home("tensorflow")

TWO = toys.Mixture(
    means=[[0.0, 0.0], [2.0, 1.0], [-1.0, 2.0]], sigmas=[0.5, 0.8, 0.3], weights=[0.5, 0.3, 0.2]
)
MIXTURES = [toys.line(), toys.line((-2, 0, 3), 0.5, (0.2, 0.5, 0.3)), TWO, toys.ring()]

SAMPLERS = {
    "plane": toys.plane,
    "gaussian": lambda n, seed: toys.gaussian(n, np.diag([1.0, 4.0]), seed),
    "iid_gaussian": lambda n, seed: toys.iid_gaussian(n, 5, seed),
    "correlated_gaussian": lambda n, seed: toys.correlated_gaussian(n, 6, 2, seed=seed),
    "mixture": TWO.sample,
    "circle": toys.circle,
    "spiral": toys.spiral,
    "swiss_roll": lambda n, seed: toys.swiss_roll(n, seed=seed)[0],
}


def grid(mixture: toys.Mixture, half: float = 6.0, steps: int = 401) -> tuple[np.ndarray, float]:
    """Points of a grid over [−half, half] in each dimension, and the volume of a cell."""
    axis = np.linspace(-half, half, steps)
    points = np.stack(np.meshgrid(*[axis] * mixture.dimension), -1).reshape(-1, mixture.dimension)
    return points, (axis[1] - axis[0]) ** mixture.dimension


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sample_depends_on_its_seed_and_place_only(name):
    def draw(n, seed):
        return SAMPLERS[name](n, seed=seed)

    many = draw(500, 4)
    assert many.dtype == np.float32 and many.shape[0] == 500
    # A matrix product may round differently for another number of rows: the last bit, no more.
    np.testing.assert_allclose(draw(20, 4), many[:20], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(draw(500, 4), many)
    assert np.abs(draw(20, 5) - many[:20]).max() > 0.1


def test_identity():
    np.testing.assert_array_equal(toys.identity(8), np.eye(8))
    patterns = toys.identity(4, low=0.1, high=0.9)
    assert patterns.dtype == np.float32
    np.testing.assert_allclose(patterns, np.full((4, 4), 0.1) + 0.8 * np.eye(4), rtol=1e-6)


def test_plane_lies_near_its_plane():
    np.testing.assert_allclose(toys.PLANE.T @ toys.PLANE, np.eye(2), atol=1e-12)
    points = toys.plane(20_000, noise=0.1, seed=1)
    covariance = toys.PLANE @ np.diag([1, 0.36]) @ toys.PLANE.T + 0.01 * np.eye(3)
    np.testing.assert_allclose(np.cov(points.T), covariance, atol=0.025)
    normal = np.cross(*toys.PLANE.T)
    np.testing.assert_allclose(toys.plane(50, noise=0.0) @ normal, 0, atol=1e-6)
    assert np.std(points @ normal) == pytest.approx(0.1, rel=0.03)


def test_gaussian_has_its_covariance():
    covariance = np.array([[2.0, 0.6, 0.0], [0.6, 1.0, -0.3], [0.0, -0.3, 0.5]])
    points = toys.gaussian(40_000, covariance, seed=2)
    np.testing.assert_allclose(np.cov(points.T), covariance, atol=0.05)
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=0.03)
    flat = toys.gaussian(100, np.ones((3, 3)), seed=2)  # singular: all features are the same
    np.testing.assert_allclose(flat - flat[:, :1], 0, atol=1e-5)


def test_only_the_correlation_differs():
    covariance = toys.correlated_covariance(20, rank=4, noise=0.05)
    np.testing.assert_allclose(np.diag(covariance), 1, atol=1e-12)
    np.testing.assert_allclose(np.linalg.eigvalsh(covariance)[:16], 0.05, atol=1e-12)
    assert toys.eigenvalue_tail(covariance, 4) == pytest.approx(16 * 0.05)
    assert toys.eigenvalue_tail(covariance, 20) == 0
    assert toys.eigenvalue_tail(np.eye(20), 4) == pytest.approx(16)
    correlated = toys.correlated_gaussian(30_000, 20, 4, seed=3)
    np.testing.assert_allclose(np.cov(correlated.T), covariance, atol=0.04)
    independent = toys.iid_gaussian(30_000, 20, seed=3)
    np.testing.assert_allclose(np.cov(independent.T), np.eye(20), atol=0.04)


@pytest.mark.parametrize("mixture", MIXTURES)
def test_density_integrates_to_one(mixture):
    points, volume = grid(mixture)
    assert mixture.density(points).sum() * volume == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("mixture", MIXTURES)
def test_score_is_the_slope_of_the_log_density(mixture):
    points = np.random.default_rng(0).uniform(-3, 3, (200, mixture.dimension))
    slopes = []
    for axis in np.eye(mixture.dimension) * 1e-5:
        rise = mixture.log_density(points + axis) - mixture.log_density(points - axis)
        slopes.append(rise / 2e-5)
    np.testing.assert_allclose(mixture.score(points), np.stack(slopes, 1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mixture", MIXTURES)
def test_samples_have_the_moments_of_the_density(mixture):
    points, volume = grid(mixture)
    mass = mixture.density(points) * volume
    mean = mass @ points
    sample = mixture.sample(60_000, seed=1)
    np.testing.assert_allclose(sample.mean(axis=0), mean, atol=0.03)
    np.testing.assert_allclose(sample.var(axis=0), mass @ (points - mean) ** 2, rtol=0.03)


@pytest.mark.parametrize("mixture", [toys.line(), TWO])
def test_smoothed_is_the_density_of_noisy_samples(mixture):
    # E over ε of p(x − σ ε) by Monte Carlo, against the closed form.
    noise = 0.4 * np.random.default_rng(1).standard_normal((100_000, mixture.dimension))
    smooth = mixture.smoothed(0.4)
    for point in np.linspace(-1.5, 2.0, 5)[:, None] * np.ones(mixture.dimension):
        expected = mixture.density(point - noise).mean()
        assert smooth.density(point[None])[0] == pytest.approx(expected, rel=0.03, abs=1e-4)
    np.testing.assert_array_equal(mixture.smoothed(0).sigmas, mixture.sigmas)


def test_log_density_far_away_does_not_underflow():
    # One mode is left of the sum: log π − |x − μ|²/2σ² − log(σ √2π).
    value = toys.line((-1.0, 1.0), 0.1).log_density([[101.0]])
    expected = np.log(0.5) - 0.5 * 1000**2 - np.log(0.1 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(value, expected, rtol=1e-12)


def test_responsibilities_name_the_mode():
    ring = toys.ring(modes=10, radius=3.0, sigma=0.1)
    np.testing.assert_allclose(np.linalg.norm(ring.means, axis=1), 3.0)
    gaps = np.linalg.norm(ring.means - np.roll(ring.means, 1, axis=0), axis=1)
    np.testing.assert_allclose(gaps, 2 * 3.0 * np.sin(np.pi / 10))
    nearest = ring.responsibilities(ring.sample(5000, seed=2))
    np.testing.assert_allclose(nearest.sum(axis=1), 1)
    assert np.bincount(nearest.argmax(axis=1), minlength=10).min() > 400


def test_the_valley_of_two_modes_survives_a_little_noise_and_not_much():
    middle, beside = [[0.0]], [[0.1]]
    for sigma, valley in ((0.3, True), (1.5, False)):
        smooth = toys.line((-1.0, 1.0), 0.4).smoothed(sigma)
        assert smooth.score(middle)[0, 0] == pytest.approx(0, abs=1e-12)
        assert (smooth.density(beside)[0] > smooth.density(middle)[0]) == valley


def test_circle_and_its_distance():
    np.testing.assert_allclose(toys.distance_to_circle(toys.circle(200, noise=0.0)), 0, atol=1e-6)
    np.testing.assert_allclose(toys.distance_to_circle([[0.0, 0.0], [0.0, -3.0]]), [1, 2])
    spread = toys.distance_to_circle(toys.circle(20_000, noise=0.1, seed=1))
    assert np.sqrt(np.mean(spread**2)) == pytest.approx(0.1, rel=0.05)


def test_spiral_and_its_distance():
    curve = toys.spiral_curve(np.linspace(0, 1, 20_001))
    np.testing.assert_allclose(np.linalg.norm(curve[[0, -1]], axis=1), [0.15, 1])
    steps = np.linalg.norm(np.diff(curve, axis=0), axis=1)
    np.testing.assert_allclose(steps, steps.mean(), rtol=0.01)  # even along the length
    np.testing.assert_allclose(toys.distance_to_spiral(curve), 0, atol=2e-6)
    points = np.random.default_rng(0).uniform(-1.3, 1.3, (60, 2))
    brute = np.linalg.norm(points[:, None] - curve, axis=2).min(axis=1)
    np.testing.assert_allclose(toys.distance_to_spiral(points), brute, atol=1e-4)


def test_swiss_roll_lies_on_its_sheet():
    points, sheet = toys.swiss_roll(300, noise=0.0, seed=1)
    np.testing.assert_allclose(points[:, :2], toys.spiral_curve(sheet[:, 0]), atol=1e-5)
    np.testing.assert_allclose(points[:, 2], sheet[:, 1], atol=1e-6)
    assert sheet.min(axis=0) == pytest.approx([0, -1], abs=0.02)
    assert sheet.max(axis=0) == pytest.approx([1, 1], abs=0.02)


def test_patches_come_from_the_photographs():
    datasets = pytest.importorskip("sklearn.datasets", reason="the photographs are scikit-learn's")
    pytest.importorskip("PIL", reason="Pillow reads the photographs")
    grey = toys.patches(40, size=12, whiten=False, seed=3)
    assert grey.shape == (40, 12, 12, 1) and grey.dtype == np.float32
    images = np.stack(datasets.load_sample_images().images) @ [0.299, 0.587, 0.114] / 255
    windows = np.lib.stride_tricks.sliding_window_view(images, (12, 12), axis=(1, 2))
    for patch in grey[:5, :, :, 0]:
        assert np.abs(windows[..., 0, 0] - patch[0, 0]).min() < 1e-6
        corner = np.argwhere(np.abs(windows[..., 0, 0] - patch[0, 0]) < 1e-6)
        assert min(np.abs(windows[tuple(place)] - patch).max() for place in corner) < 1e-6


def test_whitening_evens_out_the_spectrum():
    pytest.importorskip("sklearn", reason="the photographs are scikit-learn's")
    pytest.importorskip("PIL", reason="Pillow reads the photographs")
    raw = toys.patches(20_000, size=6, whiten=False, seed=1).reshape(20_000, 36)
    raw -= raw.mean(axis=1, keepdims=True)
    white = toys.patches(20_000, size=6, epsilon=0.1, seed=1).reshape(20_000, 36)
    np.testing.assert_allclose(white.mean(axis=1), 0, atol=1e-3)
    before, directions = np.linalg.eigh(np.cov(raw.T))
    assert before[-1] > 20 * before[1]
    # Along each direction the variance is λ / (λ + ε λ̄); the mean's own direction stays empty.
    after = np.var(white @ directions, axis=0)
    np.testing.assert_allclose(after[1:], (before / (before + 0.1 * before.mean()))[1:], rtol=0.1)
    sharp = toys.patches(20_000, size=6, epsilon=0.0, seed=1).reshape(20_000, 36)
    np.testing.assert_allclose(np.var(sharp @ directions, axis=0)[1:], 1, rtol=0.1)
    np.testing.assert_allclose(toys.patches(5, size=6, seed=1).reshape(5, 36), white[:5], atol=1e-4)


@pytest.mark.parametrize("missing", ["sklearn.datasets", "PIL"])
def test_patches_without_their_packages_say_so(missing, monkeypatch):
    toys.photographs._photographs.cache_clear()
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match="pip install scikit-learn pillow"):
        toys.patches(1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: toys.identity(-1), "`n` is -1, expected a whole number of at least 0"),
        (lambda: toys.plane(5, noise=-0.1), "`noise` is -0.1, expected a number of at least 0"),
        (lambda: toys.circle(5, noise=np.nan), "`noise` is nan"),
        (lambda: toys.spiral(5, seed=-1), "`seed` is -1"),
        (lambda: toys.gaussian(5, np.ones((2, 3))), r"`covariance` has shape \(2, 3\)"),
        (lambda: toys.gaussian(5, [[1, 0.5], [0, 1]]), "`covariance` is not symmetric"),
        (lambda: toys.gaussian(5, np.diag([1.0, -1.0])), "`covariance` has the eigenvalue -1"),
        (lambda: toys.correlated_covariance(5, 6), "`rank` is 6, expected 1 to 5"),
        (lambda: toys.correlated_covariance(5, 2, 1.5), "`noise` is 1.5"),
        (lambda: toys.Mixture([0.0, 1.0], 1.0), r"`means` has shape \(2,\)"),
        (lambda: toys.Mixture([[0.0], [1.0]], [1.0, 0.0]), "`sigmas` is"),
        (lambda: toys.Mixture([[0.0], [1.0]], 1.0, [0.7, 0.7]), "expected 2 positive numbers"),
        (lambda: toys.line().score([0.0, 1.0]), r"`x` has shape \(2,\), expected \(n, 1\)"),
        (lambda: toys.line().smoothed(-1), "`sigma` is -1"),
        (lambda: toys.distance_to_circle([1.0, 0.0]), r"`x` has shape \(2,\)"),
        (lambda: toys.patches(3, size=1), "`size` is 1, expected 2 to 32 pixels"),
    ],
)
def test_bad_input_is_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
