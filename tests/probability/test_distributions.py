import math

import keras
import numpy as np
import pytest
from keras import ops

from kerasae.engine.derivatives import gradient
from kerasae.probability import (
    Bernoulli,
    Categorical,
    Distribution,
    FullNormal,
    Laplace,
    Mixture,
    Normal,
    triangular,
)

RNG = np.random.default_rng(0)
FEW = 4000  # samples, where moments are compared


def values(*shape):
    return RNG.normal(size=shape).astype("float32")


def array(tensor):
    assert keras.backend.standardize_dtype(tensor.dtype) == "float32"
    return ops.convert_to_numpy(tensor).astype("float64")


def close(tensor, expected, rtol=1e-5):
    result = array(tensor)
    assert result.shape == np.shape(expected)
    np.testing.assert_allclose(result, expected, rtol=rtol, atol=rtol)


def near(samples, expected, errors=5):
    """Whether the mean over the first axis lies within some standard errors."""
    samples = np.asarray(samples)
    error = samples.std(axis=0) / np.sqrt(len(samples))
    assert np.all(np.abs(samples.mean(axis=0) - expected) <= errors * error + 1e-6)


def softmax(logits):
    weights = np.exp(logits.astype("float64"))
    return weights / weights.sum(-1, keepdims=True)


def full(*batch):
    return FullNormal(values(*batch, 3), triangular(values(*batch, 6)))


MEAN, LOGS, OTHER, OTHER_LOGS = values(5, 3), values(5, 3), values(5, 3), values(5, 3)
Z = values(4, 5, 3)  # four samples of each of five examples

CONTINUOUS = {
    "normal": lambda: Normal(MEAN, LOGS),
    "full": lambda: full(5),
    "laplace": lambda: Laplace(MEAN, LOGS),
    "mixture": lambda: Mixture(values(5, 2, 3), values(5, 2, 3), values(5, 2)),
}


# Densities, against SciPy in float64.


@pytest.mark.home("tensorflow", "torch")
def test_normal():
    stats = pytest.importorskip("scipy.stats")
    expected = stats.norm(MEAN, np.exp(LOGS.astype("float64") / 2)).logpdf(Z).sum(-1)
    close(Normal(MEAN, LOGS).log_prob(Z), expected)
    close(Normal.standard(3).log_prob(Z), stats.norm.logpdf(Z).sum(-1))


@pytest.mark.home("tensorflow", "torch")
def test_the_variance_is_fixed_or_learned_and_broadcasts():
    stats = pytest.importorskip("scipy.stats")
    x, mean = values(5, 4, 4, 1), values(5, 4, 4, 1)
    axes = (1, 2, 3)
    close(Normal(mean, 2 * np.log(0.1)).log_prob(x), stats.norm(mean, 0.1).logpdf(x).sum(axes))
    each = values(4, 4, 1)  # a σ for each pixel
    expected = stats.norm(mean, np.exp(each.astype("float64") / 2)).logpdf(x).sum(axes)
    close(Normal(mean, keras.Variable(each)).log_prob(x), expected)

    # A σ that is a weight: ∂ log p / ∂ log σ² = ½ Σ [(x − μ)²/σ² − 1].
    slope = gradient(lambda s: Normal(mean, s).log_prob(x), ops.convert_to_tensor([0.5]))
    squares = (x.astype("float64") - mean) ** 2
    close(slope, [0.5 * (squares * np.exp(-0.5) - 1).sum()])


@pytest.mark.home("tensorflow", "torch")
def test_full_normal():
    stats = pytest.importorskip("scipy.stats")
    q = full(5)
    mean, factor = array(q.mean), array(q.factor)
    assert np.all(np.triu(factor, 1) == 0)
    covariance = factor @ factor.swapaxes(1, 2)
    close(q.covariance, covariance)
    each = [stats.multivariate_normal(mean[i], covariance[i]).logpdf(Z[:, i]) for i in range(5)]
    close(q.log_prob(Z), np.stack(each, axis=1), rtol=1e-4)
    close(FullNormal(mean, factor + np.triu(np.ones((3, 3)), 1)).factor, factor)  # lower only

    turned = FullNormal(mean, factor * np.array([1, -1, 1], "float32"))  # BBᵀ is the same
    close(turned.log_prob(Z), array(q.log_prob(Z)))
    close(turned.kl(q), np.zeros(5))

    # One factor for the whole batch, and one mean for a batch of factors.
    close(FullNormal(mean, factor[0]).log_prob(mean)[1:], array(q.log_prob(mean)[0]).repeat(4))
    assert tuple(FullNormal(mean[0], factor).sample(seed=0).shape) == (5, 3)


@pytest.mark.home("tensorflow", "torch")
def test_triangular():
    numbers = np.arange(10) / 10
    factor = array(triangular(numbers))
    np.testing.assert_allclose(np.diag(factor), np.exp(numbers[:4] / 2), rtol=1e-6)
    np.testing.assert_allclose(factor[np.tril_indices(4, -1)], numbers[4:], rtol=1e-6)
    assert np.all(np.triu(factor, 1) == 0)
    # Without correlations the first numbers are log-variances.
    alone = FullNormal(MEAN, triangular(np.concatenate([LOGS, np.zeros((5, 3))], axis=1)))
    close(alone.log_prob(Z), array(Normal(MEAN, LOGS).log_prob(Z)))


@pytest.mark.home("tensorflow", "torch")
def test_mixture():
    stats = pytest.importorskip("scipy.stats")
    means, logs, logits = values(5, 2, 3), values(5, 2, 3), values(5, 2)
    p = Mixture(means, logs, logits)
    each = stats.norm(means, np.exp(logs.astype("float64") / 2)).logpdf(Z[:, :, None]).sum(-1)
    close(p.log_prob(Z), np.log((softmax(logits) * np.exp(each)).sum(-1)))
    close(p.weights, softmax(logits))
    close(p.mean, (softmax(logits)[..., None] * means).sum(1))


@pytest.mark.home("tensorflow", "torch")
def test_ring():
    p = Mixture.ring(10, radius=3.0, stddev=0.1)
    z = array(p.sample(FEW, seed=0))
    turns = np.arange(10) * 2 * np.pi / 10
    centres = 3 * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    distances = np.linalg.norm(z[:, None] - centres, axis=-1)
    share = np.bincount(distances.argmin(1), minlength=10) / FEW
    assert np.all(np.abs(share - 0.1) < 0.025)  # five standard errors
    near(distances.min(1) ** 2, 2 * 0.1**2)
    # A single centre with all the others out of reach: a tenth of its normal's density.
    close(p.log_prob(centres[:1]), [-np.log(10 * 2 * np.pi * 0.1**2)])


@pytest.mark.home("tensorflow", "torch")
def test_laplace():
    stats = pytest.importorskip("scipy.stats")
    expected = stats.laplace(MEAN, np.exp(LOGS.astype("float64"))).logpdf(Z).sum(-1)
    close(Laplace(MEAN, LOGS).log_prob(Z), expected)


def test_bernoulli():
    stats = pytest.importorskip("scipy.stats")
    logits, x = values(5, 4, 4, 1), RNG.integers(0, 2, (5, 4, 4, 1))
    p = 1 / (1 + np.exp(-logits.astype("float64")))
    close(Bernoulli(logits).log_prob(x), stats.bernoulli(p).logpmf(x).sum((1, 2, 3)))
    close(Bernoulli(logits).mean, p)
    grey = RNG.random((5, 4, 4, 1)).astype("float32")
    cross_entropy = -(grey * np.log(p) + (1 - grey) * np.log1p(-p))
    close(Bernoulli(logits).log_prob(grey), -cross_entropy.sum((1, 2, 3)))


def test_categorical():
    logits, labels = values(5, 6), np.array([0, 5, 2, 2, 1])
    expected = np.log(softmax(logits))[np.arange(5), labels]
    p = Categorical(logits)
    close(p.log_prob(labels), expected)
    close(p.log_prob(np.eye(6, dtype="float32")[labels]), expected)
    close(p.mean, softmax(logits))
    # A class for each pixel.
    pixels = Categorical(values(2, 4, 4, 6))
    assert tuple(pixels.log_prob(RNG.integers(0, 6, (2, 4, 4))).shape) == (2,)


def test_parameters_may_have_a_sample_axis():
    x, logits = RNG.integers(0, 2, (5, 4, 4, 1)), values(7, 5, 4, 4, 1)
    together = array(Bernoulli(logits, event_axes=3).log_prob(x))
    assert together.shape == (7, 5)
    close(Bernoulli(logits[6]).log_prob(x), together[6])
    normal = Normal(logits, event_axes=3).log_prob(x)
    close(Normal(logits[6]).log_prob(x), array(normal)[6])


# Sampling.


@pytest.mark.parametrize("name", CONTINUOUS)
@pytest.mark.home("tensorflow", "torch")
def test_samples_follow_the_density(name):
    p = CONTINUOUS[name]()
    z = array(p.sample(FEW, seed=1))
    assert z.shape == (FEW, 5, 3)
    near(z, array(p.mean))
    # ∫ r = 1 for every density r, here as E_p[r/p] with the r of a narrower normal.
    r = Normal(array(p.mean), np.log(z.var(axis=0)) - 1.0)
    near(np.exp(array(r.log_prob(z)) - array(p.log_prob(z))), 1.0)


@pytest.mark.home("tensorflow", "torch")
def test_moments():
    deviation = array(Normal(MEAN, LOGS).sample(FEW, seed=2)) - MEAN
    near(deviation**2, np.exp(LOGS))
    deviation = array(Laplace(MEAN, LOGS).sample(FEW, seed=2)) - MEAN
    near(np.abs(deviation), np.exp(LOGS))
    q = full()
    deviation = array(q.sample(FEW, seed=2)) - array(q.mean)
    near(deviation[:, :, None] * deviation[:, None, :], array(q.covariance))


def test_the_noise_does_not_depend_on_the_component():
    z = array(Mixture([[-9.0, 0.0], [9.0, 0.0]]).sample(FEW, seed=2))
    for side in (-1, 1):
        mode = z[np.sign(z[:, 0]) == side]
        near(mode, [9.0 * side, 0.0])


@pytest.mark.parametrize("kind", [Bernoulli, Categorical])
def test_discrete_samples(kind):
    p = kind(2 * values(5, 4))
    x = array(p.sample(FEW, seed=3))
    assert set(np.unique(x)) == {0.0, 1.0}
    near(x, array(p.mean))
    if kind is Categorical:
        assert np.all(x.sum(-1) == 1)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_seeds(name):
    p = CONTINUOUS[name]()
    assert np.all(array(p.sample(seed=4)) == array(p.sample(seed=4)))
    generator = keras.random.SeedGenerator(4)
    assert np.all(array(p.sample(seed=generator)) != array(p.sample(seed=generator)))


def test_gradients_pass_through_samples():
    # z = μ + σε: ∂z/∂μ = 1 and ∂z/∂ log σ² = ½σε.
    logs = ops.convert_to_tensor(LOGS)
    moved = array(Normal(MEAN, LOGS).sample(seed=5)) - MEAN
    close(gradient(lambda m: Normal(m, LOGS).sample(seed=5), ops.zeros((5, 3))), np.ones((5, 3)))
    close(gradient(lambda s: Normal(MEAN, s).sample(seed=5), logs), 0.5 * moved)
    # z_2 = μ_2 + B_21 ε_1 + B_22 ε_2: the numbers below the diagonal learn too.
    slope = gradient(
        lambda v: FullNormal([0.0, 0.0], triangular(v)).sample(seed=5), ops.zeros((3,))
    )
    noise = array(Normal.standard(2).sample(seed=5))
    close(slope, [0.5 * noise[0], 0.5 * noise[1], noise[0]])


# Divergences.


@pytest.mark.parametrize(
    ("q", "p"),
    [
        (lambda: Normal(MEAN, LOGS), lambda: Normal.standard(3)),
        (lambda: Normal(MEAN, LOGS), lambda: Normal(OTHER, OTHER_LOGS)),
        (lambda: Normal(MEAN, 0.3), lambda: full()),
        (lambda: full(5), lambda: Normal.standard(3)),
        (lambda: full(), lambda: Normal(OTHER, OTHER_LOGS)),
        (lambda: full(5), lambda: full(5)),
        (lambda: full(5), lambda: full()),
        (lambda: Laplace(MEAN, LOGS), lambda: Laplace(OTHER, OTHER_LOGS)),
        (lambda: Bernoulli(MEAN), lambda: Bernoulli(OTHER)),
        (lambda: Categorical(MEAN), lambda: Categorical(OTHER)),
    ],
)
@pytest.mark.home("tensorflow", "torch")
def test_closed_forms_are_the_mean_over_samples(q, p):
    q, p = q(), p()
    z = q.sample(FEW, seed=6)
    if not q.batch_shape:
        z = z[:, None]  # against p's whole batch
    exact = array(q.kl(p))
    assert exact.shape == (5,)
    near(array(q.log_prob(z)) - array(p.log_prob(z)), exact)
    assert np.all(exact > 0)
    assert np.all(np.abs(array(q.kl(q))) < 1e-5)


def test_the_divergence_from_the_standard_normal():
    mean, logs = MEAN.astype("float64"), LOGS.astype("float64")
    latent_loss = 0.5 * (np.exp(logs) + mean**2 - 1 - logs).sum(1)
    close(Normal(MEAN, LOGS).kl(Normal.standard(3)), latent_loss)


@pytest.mark.home("tensorflow", "torch")
def test_no_closed_form():
    q, p = Normal(MEAN[:, :2], -2.0), Mixture.ring()
    few, many = (array(q.kl(p, count=count, seed=7)) for count in (FEW, 4 * FEW))
    assert few.shape == (5,)
    np.testing.assert_allclose(few, many, atol=0.2)
    # All modes in one place are one normal, for which there is a closed form.
    one = Mixture(np.tile(OTHER[:, None], (1, 4, 1)), np.tile(OTHER_LOGS[:, None], (1, 4, 1)))
    q = Normal(MEAN, LOGS)
    exact = array(q.kl(Normal(OTHER, OTHER_LOGS)))
    z = q.sample(FEW, seed=8)
    close(q.kl(one, count=FEW, seed=8), (array(q.log_prob(z)) - array(one.log_prob(z))).mean(0))
    near(array(q.log_prob(z)) - array(one.log_prob(z)), exact)

    # One q, a batch of mixtures: as many samples as examples must not pair them off.
    q, p = Normal.standard(3), Mixture(values(5, 2, 3))
    z = array(q.sample(5, seed=8))
    each = [array(q.log_prob(one)) - array(p.log_prob(one)) for one in np.tile(z[:, None], (5, 1))]
    close(q.kl(p, count=5, seed=8), np.mean(each, axis=0))


# Extremes.


def finite(f, x):
    x = ops.convert_to_tensor(np.asarray(x, "float32"))
    assert np.all(np.isfinite(array(f(x))))
    assert np.all(np.isfinite(array(gradient(f, x))))


@pytest.mark.home("tensorflow", "torch")
def test_log_variances_of_20():
    # Every pair of log-variances with every other pair.
    pairs = np.array([[-20, 20], [20, -20], [20, 20], [-20, -20]], "float32")
    logs, other = np.repeat(pairs, 4, axis=0), np.tile(pairs, (4, 1))
    far, origin = np.full((16, 2), 3.0), np.zeros((16, 2))
    for f in (
        lambda s: Normal(far, s).log_prob(origin),
        lambda s: Normal(far, s).kl(Normal(origin, other)),
        lambda s: Normal(origin, other).kl(Normal(far, s)),
        lambda s: Normal(far, s).sample(seed=0),
        lambda s: Laplace(far, s).log_prob(origin),
        lambda s: Laplace(far, s).kl(Laplace(origin, other)),
        lambda s: Mixture(far, s).log_prob([1.0, 1.0])[None],
    ):
        finite(f, logs)
    for f in (
        lambda v: FullNormal(far, triangular(v)).log_prob(origin),
        lambda v: FullNormal(far, triangular(v)).kl(Normal(origin, other)),
        lambda v: Normal(origin, other).kl(FullNormal(far, triangular(v))),
    ):
        finite(f, np.concatenate([logs, np.ones((16, 1))], axis=1))
    exact = 0.5 * (np.exp(20.0) - 1 - 20)
    close(Normal([0.0], 20.0).kl(Normal.standard(1)), exact)


@pytest.mark.home("tensorflow", "torch")
def test_logits_of_10000():
    extremes = [[1e4, -1e4, 0.0, 1e4]]
    for x in ([1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]):
        finite(lambda logits, x=x: Bernoulli(logits).log_prob(x), extremes)
    finite(lambda logits: Bernoulli(logits).kl(Bernoulli([-1e4, 1e4, 1e4, 1e4])), extremes)
    finite(lambda logits: Categorical(logits).log_prob([0.0, 1.0, 0.0, 0.0]), extremes)
    finite(lambda logits: Categorical(logits).kl(Categorical([-1e4, 1e4, 0.0, 0.0])), extremes)
    finite(
        lambda logits: Mixture(values(4, 2), 0.0, logits[0]).log_prob([1.0, 1.0])[None], extremes
    )
    close(Bernoulli([1e4, -1e4]).log_prob([0.0, 0.0]), -1e4)
    close(Bernoulli([1e4, -1e4]).kl(Bernoulli([-1e4, 1e4])), 2e4)
    close(Bernoulli([1e4, -1e4]).log_prob([1.0, 0.0]), 0.0)
    close(Categorical([1e4, -1e4]).log_prob([0.0, 1.0]), -2e4)
    p = Categorical([[0.0, 0.0, -math.inf]] * 5)
    assert array(p.log_prob([0, 2, -1, 3, 1])).round(4).tolist() == [
        -0.6931,
        -math.inf,
        -math.inf,
        -math.inf,
        -0.6931,
    ]
    close(p.log_prob([[0.0, 1.0, 0.0]] * 5), [-math.log(2)] * 5)
    close(p.kl(Categorical([0.0, 0.0, 0.0])), [math.log(3 / 2)] * 5)
    assert array(Bernoulli([1e4, -1e4]).sample(seed=0)).tolist() == [1.0, 0.0]
    assert array(Categorical([-1e4, 1e4]).sample(seed=0)).tolist() == [0.0, 1.0]
    # Rare, not impossible: log p = −log(1 + e^−12), of which 1 − p would keep two digits.
    np.testing.assert_allclose(array(Bernoulli([12.0]).log_prob([1.0])), -6.1441934e-06, rtol=1e-5)


@pytest.fixture
def mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy("float32")


def test_always_float32(mixed_precision):
    x = np.ones((2, 28, 28, 1), "float16")
    half = ops.zeros((2, 28, 28, 1), "float16")
    # Σ x² e^12 / 2 = 6e7 overflows float16.
    for p in (Normal(half, ops.cast(-12.0, "float16")), Bernoulli(half), Laplace(half)):
        assert np.all(np.isfinite(array(p.log_prob(x))))
        array(p.sample(seed=0))  # which is float32
        array(p.kl(type(p)(half + 1)))
    vector = ops.zeros((2, 3), "float16")
    for p in (FullNormal(vector[:, :2], triangular(vector)), Mixture(vector[:, None])):
        array(p.log_prob(p.sample(seed=0)))
        array(p.kl(Normal.standard(p.event_shape[0]), seed=0))


class _Draw(keras.layers.Layer):
    """Everything at once, in a graph whose batch has no fixed size."""

    def __init__(self):
        super().__init__()
        self.seeds = keras.random.SeedGenerator(0)

    def call(self, x):
        q = FullNormal(x[:, :2], triangular(x[:, 2:]))
        z = q.sample(3, seed=self.seeds)
        total = q.kl(Normal.standard(2)) + q.kl(Mixture.ring(), 5, self.seeds)
        total += ops.sum(Normal(x).log_prob(x) + Laplace(x).log_prob(Laplace(x).mean))
        total += Bernoulli(x).kl(Bernoulli(ops.zeros_like(x)))
        total += Categorical(x).log_prob(Categorical(x).sample(seed=self.seeds))
        return total + ops.sum(q.log_prob(z), axis=0)


def test_in_a_graph():
    model = keras.Sequential([_Draw()])
    result = model.predict(values(5, 5), batch_size=2, verbose=0)  # the last batch is smaller
    assert result.shape == (5,)
    assert np.all(np.isfinite(result))


# Bad input.


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda: Normal(MEAN, values(4, 3)), r"`log_variance` has the shape \(4, 3\)"),
        (lambda: Normal(values(3), LOGS), r"`log_variance` has the shape \(5, 3\)"),
        (lambda: Laplace(MEAN, values(2)), r"`log_scale` has the shape \(2,\)"),
        (lambda: Normal(0.0), "`mean` of Normal is a number, expected a vector"),
        (lambda: Normal(MEAN, event_axes=3), "`event_axes` is 3, expected at most 2"),
        (lambda: Normal.standard(0), "`shape` is 0"),
        (lambda: Normal(MEAN).log_prob(values(5, 2)), r"`value` has the shape \(5, 2\)"),
        (lambda: Normal(MEAN).log_prob(values(4, 3)), r"`value` has the shape \(4, 3\)"),
        (
            lambda: Bernoulli(values(5, 4, 4, 1)).log_prob(values(5, 4, 4)),
            r"ends in \(4, 4, 1\)",
        ),
        (lambda: Normal(MEAN).sample(0), "`count` is 0"),
        (lambda: Normal(MEAN).kl(Normal.standard(2)), r"`other` has the event shape \(2,\)"),
        (lambda: Normal(MEAN).kl(Normal(values(4, 3))), r"`other` has the batch shape \(4,\)"),
        (lambda: Normal(MEAN).kl(MEAN), "`other` is of type ndarray"),
        (lambda: Normal(MEAN).kl(Bernoulli(MEAN)), "`other` is a Bernoulli"),
        (lambda: Bernoulli(MEAN).kl(Categorical(MEAN)), "`other` is a Categorical"),
        (lambda: FullNormal(MEAN, values(5, 3)), r"`factor` has the shape \(5, 3\)"),
        (lambda: FullNormal(MEAN, values(4, 3, 3)), r"`factor` has the shape \(4, 3, 3\)"),
        (lambda: triangular(values(5, 4)), r"`values` has the shape \(5, 4\)"),
        (lambda: Mixture(values(3)), r"`means` has the shape \(3,\)"),
        (lambda: Mixture(values(4, 2), logits=values(3)), r"`logits` has the shape \(3,\)"),
        (lambda: Mixture.ring(0), "`modes` is 0"),
        (lambda: Mixture.ring(stddev=0), "`stddev` is 0"),
    ],
)
@pytest.mark.home("tensorflow", "torch")
def test_bad_input(bad, message):
    with pytest.raises(ValueError, match=message):
        bad()


def test_a_distribution_of_ones_own_is_a_prior():
    class Uniform(Distribution):
        def log_prob(self, value):
            return 0 * self._sum(self._value(value))

    prior = Uniform(ops.zeros((3,)), None)
    q = Normal(MEAN, LOGS)
    entropy = 0.5 * (LOGS.astype("float64") + np.log(2 * np.pi) + 1).sum(1)
    np.testing.assert_allclose(array(q.kl(prior, FEW, seed=9)), -entropy, atol=0.15)
    with pytest.raises(NotImplementedError, match="Uniform has no `sample`"):
        prior.sample()
