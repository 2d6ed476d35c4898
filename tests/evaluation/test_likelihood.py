import math

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from kerasae import likelihoods, nets, priors
from kerasae.evaluation import likelihood
from kerasae.evaluation.likelihood import aggregated_samples, elbo, log_likelihood
from kerasae.models.base import Model
from kerasae.models.variational import VariationalAutoencoder

pytestmark = pytest.mark.home("torch")


class LinearGaussian:
    """z ~ N(0, I), x = Wz + b + σε, and q(z|x) = N(Ax + a, BBᵀ) of one's choice.

    All that the library estimates has a closed form here.
    """

    def __init__(self, size=3, code_size=2, sigma=0.5, seed=0):
        rng = np.random.default_rng(seed)
        self.w, self.b = rng.normal(size=(size, code_size)), rng.normal(size=size)
        self.sigma, self.size, self.code_size = sigma, size, code_size
        self.precision = np.eye(code_size) + self.w.T @ self.w / sigma**2
        self.covariance = np.linalg.inv(self.precision)  # of p(z|x)
        self.gain = self.covariance @ self.w.T / sigma**2
        self.a_matrix, self.a = self.gain, -self.gain @ self.b  # the true mean, to begin with
        self.factor = np.linalg.cholesky(self.covariance)
        z = rng.normal(size=(40, code_size))
        self.x = (z @ self.w.T + self.b + sigma * rng.normal(size=(40, size))).astype("float32")

    def model(self, posterior, **kwargs):
        d = self.code_size
        numbers = [2 * np.log(np.diag(self.factor))]
        if posterior == "full":
            numbers.append(self.factor[np.tril_indices(d, -1)])
        numbers = np.concatenate(numbers)
        encoder = keras.Sequential(
            [keras.Input((self.size,)), keras.layers.Dense(d + len(numbers))]
        )
        kernel = np.hstack([self.a_matrix.T, np.zeros((self.size, len(numbers)))])
        encoder.set_weights([kernel, np.concatenate([self.a, numbers])])
        decoder = keras.Sequential([keras.Input((d,)), keras.layers.Dense(self.size)])
        decoder.set_weights([self.w.T, self.b])
        likelihood = likelihoods.Normal(self.sigma)
        return VariationalAutoencoder(encoder, decoder, posterior, likelihood=likelihood, **kwargs)

    def log_p(self):
        covariance = self.w @ self.w.T + self.sigma**2 * np.eye(self.size)
        return stats.multivariate_normal(self.b, covariance).logpdf(self.x)

    def means(self):
        return self.x @ self.a_matrix.T + self.a

    def divergence(self, means, covariance):
        """KL(q(z|x)‖N(means, covariance)) of each example."""
        s, precision = self.factor @ self.factor.T, np.linalg.inv(covariance)
        distance = self.means() - means
        square = np.einsum("ni,ij,nj->n", distance, precision, distance)
        log_ratio = np.linalg.slogdet(covariance)[1] - np.linalg.slogdet(s)[1]
        return 0.5 * (np.trace(precision @ s) + square - self.code_size + log_ratio)

    def reconstruction(self):
        s = self.factor @ self.factor.T
        rest = self.x - self.b - self.means() @ self.w.T
        square = (rest**2).sum(1) + np.trace(self.w @ s @ self.w.T)
        return -0.5 * (square / self.sigma**2 + self.size * np.log(2 * np.pi * self.sigma**2))


@pytest.fixture
def exact():
    return LinearGaussian()


@pytest.fixture(params=["diagonal", "full"])
def near(request):
    """A posterior that is not the true one, and its model."""
    linear = LinearGaussian()
    linear.a = linear.a + 0.15
    linear.factor = 1.2 * linear.factor
    if request.param == "diagonal":
        linear.factor = np.diag(np.diag(linear.factor))
    return linear, linear.model(request.param)


def test_under_the_true_posterior_one_sample_says_it_all(exact):
    model = exact.model("full")
    for samples, batch_size in [(1, 1000), (8, 4)]:
        found = log_likelihood(model, exact.x, samples, batch_size)
        np.testing.assert_allclose(found.values, exact.log_p(), atol=1e-4)  # each its own
        np.testing.assert_allclose(found.effective_samples, samples, rtol=1e-4)
    assert found.errors.max() < 1e-4
    assert found.mean == pytest.approx(exact.log_p().mean(), abs=1e-5)
    error = exact.log_p().std(ddof=1) / math.sqrt(40)
    assert found.standard_error == pytest.approx(error, rel=1e-4)
    assert elbo(model, exact.x).elbo == pytest.approx(exact.log_p().mean(), abs=1e-5)


@pytest.mark.home("tensorflow", "jax", "torch")
def test_many_samples_find_the_likelihood_within_the_errors_they_name(near):
    linear, model = near
    found = log_likelihood(model, linear.x, samples=3000, batch_size=30000)
    assert found.errors.max() < 0.05
    scores = (found.values - linear.log_p()) / found.errors
    assert np.abs(scores).max() < 4 and 0.7 < scores.std() < 1.3


def test_errors_and_bias_are_those_of_repeated_estimates(near):
    linear, model = near
    x = np.repeat(linear.x[:1], 2000, axis=0)
    found = log_likelihood(model, x, samples=100, batch_size=20000)
    assert found.values.std() == pytest.approx(np.sqrt(np.mean(found.errors**2)), rel=0.1)
    bias = found.values.mean() - linear.log_p()[0]
    assert bias == pytest.approx(-0.5 * found.values.var(), abs=4 * found.standard_error)
    shares = found.effective_samples / 100
    assert 0 < shares.min() and shares.max() < 1


def test_the_bound_rises_with_k_to_the_likelihood(near):
    linear, model = near
    x, truth = np.tile(linear.x, (50, 1)), linear.log_p().mean()
    bounds = [log_likelihood(model, x, k, 20000).mean for k in (1, 5, 50)]
    assert bounds[0] < bounds[1] < bounds[2] < truth
    assert truth - bounds[2] < 0.1 * (truth - bounds[0])


def test_the_parts_of_the_bound_are_their_closed_forms(near):
    linear, model = near
    found = elbo(model, linear.x, samples=2000, batch_size=20000)
    entropy = linear.code_size / 2 * np.log(2 * np.pi * np.e)
    entropy += np.log(np.diag(linear.factor)).sum()
    kl = linear.divergence(np.zeros(2), np.eye(2)).mean()
    reconstruction = linear.reconstruction().mean()
    assert found.reconstruction == pytest.approx(reconstruction, abs=0.03)
    assert found.kl == pytest.approx(kl, abs=0.02)
    assert found.entropy == pytest.approx(entropy, abs=0.02)
    assert found.cross_entropy == pytest.approx(kl + entropy, abs=0.02)
    gap = linear.divergence(linear.x @ linear.gain.T - linear.gain @ linear.b, linear.covariance)
    assert found.elbo == pytest.approx((linear.log_p() - gap).mean(), abs=0.03)
    assert found.elbo < linear.log_p().mean() - 0.02
    each = linear.reconstruction() - linear.divergence(np.zeros(2), np.eye(2))
    assert found.standard_error == pytest.approx(each.std(ddof=1) / math.sqrt(40), rel=0.05)


def test_each_part_is_its_own_integral():
    linear = LinearGaussian(size=2, code_size=1)
    linear.x, linear.factor = linear.x[:6], linear.factor * 1.5
    z, step = np.linspace(-12, 12, 24001, retstep=True)
    log_q = stats.norm(linear.means()[:, 0], linear.factor[0, 0]).logpdf(z[:, None])  # (points, N)
    q, aggregated, p = np.exp(log_q), np.exp(log_q).mean(1), stats.norm.pdf(z)
    decoded = z[:, None] * linear.w[:, 0] + linear.b
    log_x = stats.norm(linear.x, linear.sigma).logpdf(decoded[:, None])  # (points, N, pixels)
    share = q / q.sum(1, keepdims=True)  # q(x_n|z)
    conditional = -np.sum(share * np.log(share), axis=1, where=share > 0)  # H(q(x|z))
    expected = {
        "reconstruction": (q * log_x.sum(2)).sum(0).mean() * step,
        "kl": (q * (log_q - np.log(p)[:, None])).sum(0).mean() * step,
        "entropy": (-q * log_q).sum(0).mean() * step,
        "cross_entropy": (-aggregated * np.log(p)).sum() * step,
        "information": math.log(6) - (aggregated * conditional).sum() * step,  # H(x) − E H(q(x|z))
        "marginal_kl": (aggregated * np.log(aggregated / p)).sum() * step,
    }
    expected["elbo"] = expected["reconstruction"] - expected["kl"]
    found = elbo(linear.model("diagonal"), linear.x, samples=20000, batch_size=20000)
    for name, value in expected.items():
        assert getattr(found, name) == pytest.approx(value, abs=0.01), name


@pytest.mark.parametrize(
    "posterior, prior",
    [("diagonal", None), ("full", None), ("full", priors.MixturePrior(3)), ("deviation", None)],
)
def test_the_three_forms_are_one_number(x, posterior, prior):
    networks = nets.mlp((8, 8, 1), 3, (16,), posterior=posterior)
    model = VariationalAutoencoder(*networks, posterior=posterior, prior=prior)
    found = elbo(model, x, samples=3, batch_size=72)
    one = found.reconstruction - found.kl
    two = found.reconstruction + found.entropy - found.cross_entropy
    three = found.reconstruction - found.information - found.marginal_kl
    np.testing.assert_allclose([one, two, three], found.elbo, rtol=1e-9)
    assert 0 < found.information <= math.log(48) + 1e-5


def test_codes_may_be_maps(x):
    encoder = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3, strides=4)])
    decoder = keras.Sequential([keras.Input((2, 2, 2)), keras.layers.Conv2DTranspose(1, 4, 4)])
    model = VariationalAutoencoder(encoder, decoder)
    assert aggregated_samples(model, x, samples=5, batch_size=3).shape == (5, 48, 2, 2, 2)
    assert elbo(model, x).information > 0


def test_blocks_of_examples_are_added_up(exact, monkeypatch):
    model = exact.model("full")
    whole = elbo(model, exact.x, samples=4, batch_size=160)
    monkeypatch.setattr("kerasae.evaluation.likelihood.NUMBERS", 4 * 20 * 8)
    draws = likelihood._draws
    monkeypatch.setattr(likelihood, "_draws", lambda *a: draws(*a[:3], 160, a[4]))  # the same z
    parts = elbo(model, exact.x, samples=4, batch_size=20)
    np.testing.assert_allclose(parts, whole, rtol=1e-5)


def test_information_is_what_the_codes_tell_of_the_example(exact):
    exact.factor = 1e-4 * np.eye(2)
    assert elbo(exact.model("full"), exact.x).information == pytest.approx(math.log(40), abs=1e-4)
    exact.a_matrix = 0 * exact.a_matrix
    assert elbo(exact.model("full"), exact.x).information == pytest.approx(0, abs=1e-4)


def test_samples_are_of_each_example_anew(exact):
    exact.factor = 0.5 * np.eye(2)
    model = exact.model("full")
    z = aggregated_samples(model, exact.x, samples=500, batch_size=1000)
    np.testing.assert_allclose(z.mean(0), exact.means(), atol=0.12)
    noise = (z - exact.means()).reshape(-1, 2)
    np.testing.assert_allclose(np.cov(noise.T), 0.25 * np.eye(2), atol=0.01)
    assert len(np.unique(noise[:, 0].round(6))) > 19000  # 20,000, but for rounding
    assert abs(np.corrcoef(noise[:-40, 0], noise[40:, 0])[0, 1]) < 0.05


def test_a_seed_repeats_and_the_model_is_left_alone(near):
    linear, model = near
    before = [np.array(w) for w in model.get_weights()]
    state = ops.convert_to_numpy(model.seed_generator.state)
    one, same, other = (log_likelihood(model, linear.x, 10, 100, seed).values for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).min() > 0
    np.testing.assert_array_equal(state, ops.convert_to_numpy(model.seed_generator.state))
    for w, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(w, old)


class Known(Model):
    """A model whose log weights are told: those of x, times a condition where there is one."""

    def __init__(self):
        super().__init__()
        self.built = True

    def check_batch(self, x, y, sample_weight):
        pass

    def log_weights(self, x, count, seed):
        if isinstance(x, dict):
            x = x["x"] * x["condition"][:, :1]
        return ops.transpose(x)[:count]


def test_weights_are_added_stably():
    x = np.array([[-7.84e6, -7.84e6, -7.84e6 + 1], [9e4, 0, 0], [-np.inf, -np.inf, 0], [1, 2, 3]])
    found = log_likelihood(Known(), x, samples=3)
    expected = np.logaddexp.reduce(x.astype("float32").astype("float64"), axis=1) - math.log(3)
    np.testing.assert_allclose(found.values, expected, rtol=1e-12)
    w = np.exp(x[3] - 3)
    assert found.effective_samples[3] == pytest.approx(w.sum() ** 2 / (w**2).sum())
    assert found.errors[3] == pytest.approx(w.std(ddof=1) / math.sqrt(3) / w.mean())
    np.testing.assert_allclose(found.effective_samples[1:3], 1)
    one = log_likelihood(Known(), x, samples=1)
    assert np.isnan(one.errors).all() and one.values[2] == -np.inf


def test_inputs_may_have_names():
    x = {"x": np.ones((5, 2)), "condition": np.arange(5.0)[:, None]}
    found = log_likelihood(Known(), x, samples=2, batch_size=4)
    np.testing.assert_allclose(found.values, np.arange(5.0), rtol=1e-6)


def test_half_precision_changes_little(x):
    networks = nets.mlp((8, 8, 1), 2, (16,), posterior="diagonal")
    model = VariationalAutoencoder(*networks)
    keras.config.set_dtype_policy("mixed_float16")
    half = VariationalAutoencoder(*nets.mlp((8, 8, 1), 2, (16,), posterior="diagonal"))
    half.set_weights(model.get_weights())
    one, other = (log_likelihood(m, x, samples=10).values for m in (model, half))
    np.testing.assert_allclose(one, other, atol=0.1)
    assert other.dtype == "float64"


@pytest.mark.parametrize(
    "change, message",
    [
        ({"model": keras.Sequential()}, "`model` is of type Sequential, expected one with"),
        ({"samples": 0}, "`samples` is 0, expected"),
        ({"batch_size": 0}, "`batch_size` is 0, expected"),
        ({"seed": -1}, "`seed` is -1, expected"),
        ({"x": np.zeros((3, 4))}, r"`x` has shape \(3, 4\), expected"),
        ({"x": np.zeros((0, 3))}, "expected at least one example"),
        ({"x": np.full((3, 3), np.nan)}, "`x` holds NaN"),
    ],
)
@pytest.mark.parametrize("function", [log_likelihood, elbo, aggregated_samples])
def test_bad_input_is_named(exact, function, change, message):
    arguments = {"model": exact.model("full"), "x": exact.x, **change}
    with pytest.raises(ValueError, match=message):
        function(**arguments)


def test_a_model_without_weights_is_named():
    encoder = keras.Sequential([keras.layers.Dense(4)])
    model = VariationalAutoencoder(encoder, keras.Sequential([keras.layers.Dense(3)]))
    with pytest.raises(ValueError, match="`model` has no weights yet, expected a built one"):
        elbo(model, np.zeros((2, 3)))
