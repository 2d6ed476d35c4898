import math

import contract
import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from kerasae import Autoencoder, callbacks, likelihoods, nets, priors
from kerasae.corruptions import QuadrantMask, hide, with_mask
from kerasae.datasets import Split
from kerasae.evaluation.likelihood import elbo, log_likelihood
from kerasae.models.conditional import ConditionalVariationalAutoencoder

SHAPE = (8, 8, 1)
BACKEND = keras.backend.backend()
layers = keras.layers


def numpy(value):
    return ops.convert_to_numpy(value)


def cvae(condition_shape=(3,), units=(16,), posterior="diagonal", code_size=3, **kwargs):
    networks = nets.conditional_mlp(SHAPE, condition_shape, code_size, units, posterior=posterior)
    return ConditionalVariationalAutoencoder(*networks, posterior=posterior, seed=5, **kwargs)


def by_label(**kwargs):
    return cvae(classes=3, **kwargs)


def completing(**kwargs):
    return cvae((8, 8, 2), complete=True, **kwargs)


@pytest.fixture
def labels(x):
    return np.arange(len(x)) % 3


# The contract, for each kind of condition and prior.

MODELS = {
    "label": by_label,
    "part of the image": lambda: cvae(
        (6,),
        posterior="full",
        likelihood=likelihoods.Normal(0.5, learned=True),
        condition_network=nets.mlp_encoder((8, 8, 2), 6, ()),
        condition_corruption=QuadrantMask(2, seed=1),
        prior_network=nets.mlp_encoder((6,), 6, ()),
        importance_samples=2,
        complete=True,
    ),
    "vector": lambda: cvae(
        (2,),
        posterior="deviation",
        prior="none",
        corruption=layers.GaussianNoise(0.1, seed=1),
    ),
}


def conditions(name, x):
    if name == "vector":
        return np.stack([np.sin(np.arange(len(x))), x.mean((1, 2, 3))], 1).astype("float32")
    return with_mask(x) if name == "part of the image" else np.arange(len(x)) % 3


@pytest.mark.parametrize(
    "name",
    [
        "label",
        pytest.param("part of the image", marks=pytest.mark.home("tensorflow")),
        pytest.param("vector", marks=pytest.mark.home("torch")),
    ],
)
def test_contract(name, x, other_backends, tmp_path):
    make, c = MODELS[name], conditions(name, x)
    compiled, epochs = {"metrics": ["mae"]}, 3
    model, history = contract.trained(make, x, c, compiled, epochs)
    contract.assert_learns(model, history, {"reconstruction", "kl", "mae"})
    contract.assert_repeatable(make, x, c, compiled, epochs, model)
    contract.assert_round_trips(model, {"x": x, "condition": c}, other_backends, tmp_path)
    loss = None if name == "part of the image" else "binary_crossentropy"
    contract.assert_bad_input_is_refused(model, x, loss, c)
    seen = hide(x, QuadrantMask(2, seed=1)) if name == "part of the image" else c
    pair, others = {"x": x, "condition": seen}, {"likelihood": "laplace", "seed": 3}
    contract.assert_mathematics(model, pair, other_backends, tmp_path, others=others)


def test_weights_and_metrics(x, labels):
    model = by_label()
    model.compile(metrics=["mae"])
    data = {"x": x, "condition": labels}
    alone = model.evaluate(data, verbose=0, return_dict=True)
    assert model.evaluate(x, labels, verbose=0, return_dict=True) == alone
    assert model.evaluate(data, x, verbose=0, return_dict=True) == alone
    double = np.full(len(x), 2.0)
    twice = model.evaluate(x, labels, sample_weight=double, verbose=0, return_dict=True)
    for name, factor in {"loss": 2, "reconstruction": 2, "kl": 2, "mae": 1}.items():
        assert twice[name] == pytest.approx(factor * alone[name], rel=1e-5)
    assert alone["mae"] == pytest.approx(
        np.abs(model.predict(data, verbose=0) - x).mean(), rel=1e-4
    )
    assert alone["loss"] == pytest.approx(alone["reconstruction"] + alone["kl"], rel=1e-5)


def test_training_goes_on_where_it_stood(x, tmp_path):
    """Two epochs, a file, two more: the weights of four, bit for bit."""
    c = with_mask(x)

    def start():
        keras.utils.set_random_seed(5)
        model = MODELS["part of the image"]()
        model.compile("adam")
        return model

    def train(model, epochs):
        model.fit(x, c, epochs=epochs, batch_size=16, shuffle=False, verbose=0)
        return model

    whole = train(start(), 4)
    train(start(), 2).save(tmp_path / "model.keras")
    keras.utils.set_random_seed(99)
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for one, two in zip(train(loaded, 2).get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def generator(data, labels):
    for start in range(0, len(data), 16):
        rows = slice(start, start + 16)
        yield ({"x": data[rows], "condition": labels[rows]},)


def dataset(data, labels):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices({"x": data, "condition": labels}).batch(16)


def loader(data, labels):
    torch = pytest.importorskip("torch")
    pairs = [({"x": x, "condition": c},) for x, c in zip(data, labels, strict=True)]
    return torch.utils.data.DataLoader(pairs, batch_size=16)


class Batches(keras.utils.PyDataset):
    def __init__(self, data, labels):
        super().__init__()
        self.batches = list(generator(data, labels))

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[index]


@pytest.mark.parametrize("stream", [generator, dataset, loader, Batches])
def test_streams(stream, x, labels):
    model = by_label()
    model.compile()
    expected = model.evaluate(x, labels, batch_size=16, verbose=0, return_dict=True)
    found = model.evaluate(stream(x, labels), verbose=0, return_dict=True)
    assert found == pytest.approx(expected, rel=1e-5)
    assert np.isfinite(model.fit(stream(x, labels), verbose=0).history["loss"]).all()


# The bound.


def linear(inputs, size, name):
    inputs = [keras.Input((each,)) for each in inputs]
    joined = layers.Concatenate()(inputs) if len(inputs) > 1 else inputs[0]
    return keras.Model(
        inputs if len(inputs) > 1 else inputs[0], layers.Dense(size)(joined), name=name
    )


class LinearGaussian:
    """z|c ~ N(Ac + a, S), x|z, c ~ N(Wz + Vc + b, σ²I): everything in closed form, in NumPy."""

    def __init__(self, posterior, seed=0):
        rng = np.random.default_rng(seed)
        self.x_size, self.c_size, self.z_size, self.sigma = 5, 3, 2, 0.8
        draw = lambda *shape: rng.normal(0, 0.6, shape).astype("float32")  # noqa: E731
        self.A, self.a, self.log_s = draw(2, 3), draw(2), draw(2)
        self.W, self.V, self.b = draw(5, 2), draw(5, 3), draw(5)
        numbers = 4 if posterior == "diagonal" else 5
        encoder, decoder = linear((5, 3), numbers, "encoder"), linear((2, 3), 5, "decoder")
        prior_network = linear((3,), 4, "prior_network")
        self.model = ConditionalVariationalAutoencoder(
            encoder,
            decoder,
            posterior=posterior,
            prior_network=prior_network,
            likelihood=likelihoods.Normal(self.sigma),
        )
        decoder.set_weights([np.concatenate([self.W, self.V], 1).T, self.b])
        kernel = np.concatenate([self.A.T, np.zeros((3, 2))], 1)
        prior_network.set_weights([kernel, np.concatenate([self.a, self.log_s])])
        encoder.set_weights(self.encoder_weights(posterior))
        self.c = rng.normal(size=(50, 3)).astype("float32")
        z = self.prior_mean() + np.exp(self.log_s / 2) * rng.normal(size=(50, 2))
        noise = self.sigma * rng.normal(size=(50, 5))
        self.x = (z @ self.W.T + self.c @ self.V.T + self.b + noise).astype("float32")
        self.data = {"x": self.x, "condition": self.c}

    def prior_mean(self):
        return self.c.astype("float64") @ self.A.T + self.a

    def true_covariance(self):
        precision = np.diag(np.exp(-self.log_s)) + self.W.T @ self.W / self.sigma**2
        return np.linalg.inv(precision.astype("float64"))

    def true_mean(self):
        """E[z|x, c] = C (S⁻¹(Ac + a) + Wᵀ(x − Vc − b)/σ²)."""
        residual = self.x - self.c @ self.V.T - self.b
        pull = self.prior_mean() / np.exp(self.log_s) + residual @ self.W / self.sigma**2
        return pull @ self.true_covariance()

    def encoder_weights(self, posterior):
        """Of p(z|x, c) where the covariance may be full, else near it and wider."""
        covariance = self.true_covariance()
        to_x = covariance @ self.W.T / self.sigma**2
        to_c = covariance @ (self.A / np.exp(self.log_s)[:, None]) - to_x @ self.V
        bias = covariance @ (self.a / np.exp(self.log_s)) - to_x @ self.b
        kernel = np.concatenate([to_x, to_c], axis=1).T
        if posterior == "diagonal":
            kernel, bias = 0.8 * kernel, bias + 0.2
            spread = np.log(1.5 * np.diag(covariance))
        else:
            B = np.linalg.cholesky(covariance)
            spread = np.array([*2 * np.log(np.diag(B)), B[1, 0]])
        kernel = np.concatenate([kernel, np.zeros((8, len(spread)))], axis=1)
        return [kernel, np.concatenate([bias, spread])]

    def log_p(self):
        covariance = self.W @ np.diag(np.exp(self.log_s)) @ self.W.T + self.sigma**2 * np.eye(5)
        mean = self.prior_mean() @ self.W.T + self.c @ self.V.T + self.b
        return stats.multivariate_normal(np.zeros(5), covariance).logpdf(self.x - mean)


def test_the_bound_and_its_gap_are_log_p():
    """log p(x|c) = E_q log p(x|z, c) − KL(q‖p(z|c)) + KL(q‖p(z|x, c)), to rounding."""
    world = LinearGaussian("diagonal")
    model = world.model
    q = model.posterior(world.data)
    mean, stddev = numpy(q.mean), numpy(q.stddev)
    # log p(x|z, c) is quadratic in z: its mean over these 2d points is that over q.
    steps = math.sqrt(2) * np.eye(2)[:, None] * stddev
    z = np.concatenate([mean + steps, mean - steps]).astype("float32")
    expected = numpy(model.likelihood_at(ops.convert_to_tensor(z), world.data).log_prob(world.x))
    kl = numpy(q.kl(model.prior_at(world.data)))
    C = world.true_covariance()
    distance, precision = mean - world.true_mean(), np.linalg.inv(C)
    ratio = stddev**2 @ np.diag(precision) + np.sum(distance @ precision * distance, axis=1)
    gap = 0.5 * (ratio - 2 + np.linalg.slogdet(C)[1] - 2 * np.log(stddev).sum(axis=1))
    assert gap.min() > 0.01 and kl.min() > 0.01
    np.testing.assert_allclose(expected.mean(axis=0) - kl + gap, world.log_p(), rtol=1e-4)


@pytest.mark.home("torch")
def test_importance_weights_tend_to_log_p():
    world = LinearGaussian("diagonal")
    bound = numpy(world.model.log_weights(world.data, 1000, seed=1)).mean()
    found = log_likelihood(world.model, world.data, samples=4000)
    truth = world.log_p()
    assert bound < truth.mean() - 0.1
    z_scores = (found.values - truth) / found.errors
    assert np.abs(z_scores).max() < 5 and np.abs(found.values - truth).mean() < 0.1
    parts = elbo(world.model, world.data, samples=200)
    assert parts.elbo == pytest.approx(bound, abs=0.1)


@pytest.mark.home("torch")
def test_the_exact_posterior_leaves_no_gap():
    """With q = p(z|x, c) every weight is log p(x|c), whatever was drawn."""
    world = LinearGaussian("full")
    weights = numpy(world.model.log_weights(world.data, 7))
    np.testing.assert_allclose(weights, np.tile(world.log_p(), (7, 1)), rtol=1e-4, atol=1e-4)
    answers = world.model.sample(world.c, count=4000, seed=0)
    means = world.prior_mean() @ world.W.T + world.c @ world.V.T + world.b
    np.testing.assert_allclose(answers.mean(axis=1), means, atol=0.12)
    numbers = world.model.sample(world.c[:1], 20_000, seed=0, pixels=True)[0]
    covariance = world.W @ np.diag(np.exp(world.log_s)) @ world.W.T + world.sigma**2 * np.eye(5)
    np.testing.assert_allclose(np.cov(numbers.T), covariance, atol=0.08)


@pytest.mark.home("torch")
def test_training_finds_the_conditional_density():
    """From a wrong prior, all else right: the learned prior finds p(z|c), the fixed one cannot."""
    world = LinearGaussian("full")
    model = world.model
    rng = np.random.default_rng(1)
    world.c = rng.normal(size=(2000, 3)).astype("float32")
    z = world.prior_mean() + np.exp(world.log_s / 2) * rng.normal(size=(2000, 2))
    noise = world.sigma * rng.normal(size=(2000, 5))
    world.x = (z @ world.W.T + world.c @ world.V.T + world.b + noise).astype("float32")
    right = model.prior_network.get_weights()
    model.prior_network.set_weights([0 * weight for weight in right])
    model.encoder.trainable = model.decoder.trainable = False
    model.compile(keras.optimizers.Adam(0.05))
    before = model.evaluate(world.x, world.c, batch_size=500, verbose=0, return_dict=True)
    model.fit(world.x, world.c, epochs=150, batch_size=2000, verbose=0)
    after = model.evaluate(world.x, world.c, batch_size=500, verbose=0, return_dict=True)
    assert after["reconstruction"] == pytest.approx(before["reconstruction"], rel=1e-5)
    assert after["kl"] < before["kl"]
    for found, expected in zip(model.prior_network.get_weights(), right, strict=True):
        np.testing.assert_allclose(found, expected, atol=0.12)


@pytest.mark.home("tensorflow", "torch")
def test_three_priors():
    x = np.random.default_rng(0).random((6, *SHAPE)).astype("float32")
    c = np.arange(6) % 3
    data = {"x": x, "condition": c}
    learned, fixed, none = (by_label(prior=prior) for prior in ("learned", "fixed", "none"))
    assert np.ptp(numpy(learned.prior_at(data).mean), axis=0).max() > 1e-3  # different for each c
    moved = []
    for model in (fixed, none):
        assert numpy(model.prior_at(data).mean).tolist() == [0, 0, 0]
        assert model.prior_network is None
    for model in (learned, fixed, none):
        model.compile(keras.optimizers.SGD(0.0))
        logs = model.evaluate(data, verbose=0, return_dict=True)
        kl = numpy(model.posterior(data).kl(model.prior_at(data))).mean()
        assert logs["kl"] == pytest.approx(kl, rel=1e-5)
        counted = 0 if model is none else logs["kl"]
        assert logs["loss"] == pytest.approx(logs["reconstruction"] + counted, rel=1e-5)
        moved.append(kl)
    assert min(moved) > 1e-3
    none.beta.assign(3.0)  # as a warm-up would
    assert none.evaluate(data, verbose=0, return_dict=True)["loss"] == pytest.approx(logs["loss"])
    for estimate in (none.log_weights, lambda data: log_likelihood(none, data)):
        with pytest.raises(ValueError, match=r"`prior` is 'none', expected .*no bound"):
            estimate(data)


def test_warm_up_and_two_importance_samples(x, labels):
    model = by_label(importance_samples=3)
    model.compile("adam")
    history = model.fit(x, labels, epochs=3, callbacks=[callbacks.WarmUp(2)], verbose=0).history
    assert np.isfinite(history["loss"]).all()


# Structured output.


@pytest.mark.home("tensorflow", "torch")
def test_only_what_is_hidden_counts(x):
    """With `complete`, log p(x|c) is of the hidden pixels, and the visible ones come back."""
    model = completing()
    c = hide(x, QuadrantMask(["bottom left"]))
    data = {"x": x, "condition": c}
    hidden = np.ones(SHAPE)
    hidden[4:, :4] = 0
    z = np.random.default_rng(0).normal(size=(2, len(x), 3)).astype("float32")
    logits = np.stack([model.decoder.predict([each, c], verbose=0) for each in z])
    each = x * logits - np.logaddexp(0, logits)
    found = model.likelihood_at(ops.convert_to_tensor(z), data)
    expected = (hidden * each).sum((2, 3, 4))
    np.testing.assert_allclose(numpy(found.log_prob(x)), expected, rtol=1e-5)
    for answer in (
        model.reconstruct(data)[:, None],
        model.predict(data, verbose=0)[:, None],
        model.sample(c, 4, seed=0),
        model.sample(c, 4, seed=0, pixels=True),
        model.decode(z[0], c)[:, None],
        model.interpolate(x, x[::-1], c, steps=3),
    ):
        np.testing.assert_array_equal(
            answer[:, :, 4:, :4], np.repeat(x[:, None], answer.shape[1], 1)[:, :, 4:, :4]
        )
        assert (answer[:, :, :4] != x[:, None, :4]).any()
    several = model.sample(c, 4, seed=0)
    assert several[:, :, :4].std(axis=1).max() > 1e-3
    everything = with_mask(x)
    seen = model.likelihood_at(ops.convert_to_tensor(z), {"x": x, "condition": everything})
    assert not numpy(seen.log_prob(x)).any()


def test_the_loss_sees_the_part_that_was_drawn(x):
    """Everything hidden or nothing: the condition's corruption decides what counts."""
    losses = []
    for visible in (4, 0):
        model = completing(condition_corruption=QuadrantMask(visible))
        model.compile(keras.optimizers.SGD(0.0))
        losses.append(model.fit(x, with_mask(x), verbose=0).history["reconstruction"][0])
        # Outside training conditions stay as they come: all is seen here.
        assert model.evaluate(x, with_mask(x), verbose=0, return_dict=True)["reconstruction"] == 0
    assert losses[0] == 0 and losses[1] > 64 * 0.3
    half = completing(condition_corruption=QuadrantMask(2))
    half.compile(keras.optimizers.SGD(0.0))
    found = half.fit(x, with_mask(x), verbose=0).history["reconstruction"][0]
    assert found == pytest.approx(losses[1] / 2, rel=0.2)


def two_answers(count, seed=0):
    """The left half is dark; of the right half either the top or the bottom is bright."""
    x = np.zeros((count, *SHAPE), "float32")
    top = np.random.default_rng(seed).random(count) < 0.5
    x[top, :4, 4:], x[~top, 4:, 4:] = 1, 1
    return x


@pytest.mark.home("torch")
def test_several_answers_where_a_deterministic_network_gives_their_average():
    """The model by hand: every hidden pixel has the logit 40 z or −40 z, z ~ N(0, 1)."""
    x = two_answers(200)
    c = hide(x, QuadrantMask(["top left", "bottom left"]))
    model = completing(units=(), code_size=1, prior="fixed")
    top, bottom = np.zeros(SHAPE), np.zeros(SHAPE)
    top[:4, 4:], bottom[4:, 4:] = 1, 1
    sign = (top - bottom).ravel()
    kernel = np.zeros((129, 64))
    kernel[0] = 40 * sign
    model.decoder.set_weights([kernel, np.zeros(64)])
    kernel = np.zeros((192, 2))
    kernel[:64, 0] = sign / 16  # μ is 1 or −1
    model.encoder.set_weights([kernel, np.zeros(2)])
    plain = Autoencoder(nets.mlp_encoder((8, 8, 2), 4, ()), nets.mlp_decoder(4, SHAPE, ()))
    plain.compile(keras.optimizers.Adam(0.03), loss="binary_crossentropy")
    hidden = 1 - c[..., 1]  # the same likelihood, of the same pixels
    plain.fit(c, x, sample_weight=hidden, epochs=60, batch_size=200, verbose=0)
    blurred = plain.reconstruct(c[:1])[0, :, 4:]
    np.testing.assert_allclose(blurred, 0.5, atol=0.1)
    answers = model.sample(c[:1], 1000, seed=0)[0, :, :, 4:]
    np.testing.assert_allclose(answers.mean(axis=0), blurred, atol=0.13)
    tops = answers[:, :4].mean(axis=(1, 2, 3))
    assert np.mean((tops < 0.1) | (tops > 0.9)) > 0.9  # one or the other
    # log p(x|c) = log ∫ N(z; 0, 1) σ(40 z)³² dz, near log ½; independent pixels have 32 log ½.
    z = np.linspace(-8, 8, 100_001)
    log_p = stats.norm.logpdf(z) - 32 * np.logaddexp(0, -40 * z)
    truth = np.log(np.sum(np.exp(log_p)) * (z[1] - z[0]))
    found = log_likelihood(model, {"x": x, "condition": c}, samples=500)
    assert found.mean == pytest.approx(truth, abs=5 * np.mean(found.errors) / math.sqrt(200))
    deterministic = 64 * plain.evaluate(c, x, sample_weight=hidden, verbose=0)[0]
    assert -found.mean < 1 and deterministic == pytest.approx(32 * math.log(2), rel=0.02)


# Use.


def test_labels_of_any_form(x, labels):
    model = by_label()
    expected = model.encode(x, labels)
    for form in (labels.astype("float32"), labels[:, None], labels.tolist(), ops.array(labels)):
        np.testing.assert_array_equal(model.encode(x, form), expected)
    np.testing.assert_array_equal(model.encode({"x": x, "condition": labels}), expected)
    plain = cvae((3,))
    plain.set_weights(model.get_weights())
    one_hot = np.eye(3, dtype="float32")[labels]
    np.testing.assert_allclose(plain.encode(x, one_hot), expected, rtol=1e-6)


@pytest.mark.home("tensorflow", "torch")
def test_samples_follow_the_prior_of_their_condition(x):
    """A decoder that hands z on shows where the codes of each condition are."""
    encoder, _ = nets.conditional_mlp((2,), (2,), 2, ())
    z, c = keras.Input((2,)), keras.Input((2,))
    decoder = keras.Model([z, c], z + 0 * c)
    prior = nets.mlp_encoder((2,), 4, ())
    prior.set_weights([np.array([[5.0, 0, 0, 0], [0, -5, 2, 2]]), np.array([0.0, 0, -2, -2])])
    model = ConditionalVariationalAutoencoder(
        encoder, decoder, prior_network=prior, likelihood="normal"
    )
    first, second = model.sample(np.eye(2, dtype="float32"), 4000, seed=0)
    for found, mean, stddev in ((first, (5, 0), math.exp(-1)), (second, (0, -5), 1)):
        np.testing.assert_allclose(found.mean(axis=0), mean, atol=5 * stddev / math.sqrt(4000))
        np.testing.assert_allclose(found.std(axis=0), stddev, rtol=0.06)
    again = model.sample(np.eye(2, dtype="float32"), 4000, seed=0)
    np.testing.assert_array_equal(again[0], first)
    assert (model.sample(np.eye(2), 3) != model.sample(np.eye(2), 3)).any()
    grid = model.grid(np.eye(2), side=3, limit=1.0)
    assert grid.shape == (2, 3, 3, 2)
    np.testing.assert_allclose(grid[1, 0], [[-1, 1], [0, 1], [1, 1]])
    mixture = ConditionalVariationalAutoencoder(
        encoder, decoder, prior=priors.MixturePrior.ring(4, 4.0, 0.1), likelihood="normal"
    )
    radii = np.linalg.norm(mixture.sample(np.eye(2), 500, seed=0), axis=-1)
    np.testing.assert_allclose(radii, 4, atol=0.6)


def test_networks_of_ones_own_are_built_on_first_use(x, labels):
    class Joined(keras.Model):
        def __init__(self, *parts):
            super().__init__()
            self.flat, self.parts = layers.Flatten(), keras.Sequential(parts)

        def build(self, input_shape):
            (_, *first), (_, second) = input_shape
            self.parts.build((None, math.prod(first) + second))
            self.built = True

        def call(self, inputs):
            return self.parts(ops.concatenate([self.flat(inputs[0]), inputs[1]], axis=-1))

    encoder = Joined(layers.Dense(6))
    decoder = Joined(layers.Dense(64), layers.Reshape(SHAPE))
    model = ConditionalVariationalAutoencoder(encoder, decoder, classes=3)
    with pytest.raises(ValueError, match="has no weights yet, expected a built model in `sample`"):
        model.sample(labels)
    model.compile()
    model.fit(x, labels, verbose=0)
    assert model.sample(labels[:2], 3).shape == (2, 3, *SHAPE)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision(x, policy):
    keras.config.set_dtype_policy(policy)
    model = completing()
    model.compile(keras.optimizers.Adam(0.01))
    c = hide(x, QuadrantMask(1, seed=0))
    history = model.fit(x, c, epochs=12, batch_size=16, verbose=0).history
    assert np.isfinite(history["loss"]).all() and history["loss"][-1] < history["loss"][0]
    assert "float32" in str(model.log_weights({"x": x[:2], "condition": c[:2]}, 1).dtype)
    assert model.sample(c[:2], 2).shape == (2, 2, *SHAPE)


# Eager steps on JAX compile each operation: the variational model does that for both.
MODES = {"default": {}}
if BACKEND != "jax":
    MODES["eager"] = {"run_eagerly": True}
if BACKEND != "torch":
    MODES["two_steps"] = {"steps_per_execution": 2}


def test_every_way_of_running_gives_the_same(x):
    ends = {}
    for mode, settings in MODES.items():
        keras.utils.set_random_seed(3)
        # By name: XLA on TensorFlow draws other uniform numbers from the same seed.
        mask = QuadrantMask(["top left"])
        model = completing(condition_corruption=mask, importance_samples=2)
        model.compile(keras.optimizers.SGD(1e-3), **settings)
        data = {"x": x, "condition": with_mask(x)}
        history = model.fit(data, batch_size=8, shuffle=False, epochs=2, verbose=0).history
        ends[mode] = [*model.get_weights(), *history.values()]
    for mode, values in ends.items():
        for one, other in zip(values, ends["default"], strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5, err_msg=mode)


# Bad input.


@pytest.mark.home("torch")
def test_bad_data_is_one_sentence(x, labels):
    model, image = by_label(), completing()
    for each in (model, image):
        each.compile()
    c = hide(x, QuadrantMask(1))
    cases = {
        "`condition` is None, expected one for each example": (model, (x,)),
        "`condition` holds labels from 0 to 3, expected whole numbers from": (
            model,
            (x, labels + (labels == 2)),
        ),
        "`condition` holds 0.5, expected whole numbers from 0 to 2": (model, (x, labels + 0.5)),
        "`condition` has shape .*, as one-hot labels have": (model, (x, np.eye(3)[labels])),
        r"`condition` has shape \(48, 8, 8, 1\), expected \(examples, 8, 8, 2\)": (image, (x, x)),
        r"`condition` has shape \(48,\), expected \(examples, 8, 8, 2\)": (image, (x, labels)),
        "`condition` holds integers up to 255, expected scaled": (
            image,
            (x, (255 * c).astype(int)),
        ),
        "`condition` holds NaN": (image, (x, np.where(c > 2, c, np.nan))),
        "`x` has 48, `condition` has 47": (model, (x, labels[:-1])),
        r"`x` is a dict of \['c', 'x'\], expected of 'x' and 'condition'": (
            model,
            ({"x": x, "c": labels},),
        ),
        "`condition` is a Split, expected its images": (image, (x, Split(c, labels))),
        "`y` has shape .*, as labels have": (model, ({"x": x, "condition": labels}, labels)),
        "`x` is of type ndarray, expected a dict of examples and conditions": (
            model,
            (Bare(x),),
        ),
    }
    for message, (each, data) in cases.items():
        for method in (each.fit, each.evaluate):
            with pytest.raises(ValueError, match=message) as error:
                method(*data, verbose=0)
            assert contract._one_sentence(str(error.value)), error.value
    with pytest.raises(ValueError, match="`condition` is None, expected one for each example"):
        model.fit(x, labels, validation_data=(x,), verbose=0)
    with pytest.raises(ValueError, match="`condition` is given beside a dict in `x`"):
        model.encode({"x": x, "condition": labels}, labels)
    with pytest.raises(ValueError, match="`code` has 3, `condition` has 2"):
        model.decode(np.zeros((3, 3)), [0, 1])
    with pytest.raises(ValueError, match="`condition` holds labels from 7"):
        model.sample([7])
    with pytest.raises(ValueError, match="`x` is of type ndarray, expected a dict"):
        model.log_weights(x)


class Bare(keras.utils.PyDataset):
    """A stream of examples without conditions."""

    def __init__(self, x):
        super().__init__()
        self.x = x

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return (self.x,)


@pytest.mark.home("torch")
def test_bad_arguments_are_one_sentence():
    encoder, decoder = nets.conditional_mlp(SHAPE, (3,), 4, ())
    image = nets.conditional_mlp(SHAPE, SHAPE, 4, ())
    own = nets.mlp_encoder((3,), 6, ())
    other = nets.mlp_encoder((5,), 4, ())
    make = ConditionalVariationalAutoencoder
    cases = {
        "`prior` is 'normal', expected 'learned', 'fixed', 'none'": {"prior": "normal"},
        "`prior` is None, expected 'learned', 'fixed', 'none'": {"prior": None},
        "`prior` is PseudoInputs, which have no conditions": {"prior": priors.PseudoInputs(3)},
        "`classes` is 1, expected a whole number of at least 2": {"classes": 1},
        r"`encoder` takes conditions of shape \(3,\), but is given .* \(5,\)": {"classes": 5},
        r"`encoder` takes conditions of shape \(3,\), but is given .* \(4,\)": {
            "condition_network": other
        },
        "`condition_network` is of type Dense, expected a Keras model": {
            "condition_network": layers.Dense(3)
        },
        r"`prior_network` gives numbers of shape \(6,\), expected \(8,\)": {"prior_network": own},
        "`prior_network` is given with the prior 'fixed'": {"prior": "fixed", "prior_network": own},
        "`importance_samples` is 2 with the prior 'none', expected 1": {
            "prior": "none",
            "importance_samples": 2,
        },
        r"`complete` is True, but conditions have the shape \(3,\)": {"complete": True},
        "`complete` is given with `classes`, expected conditions of numbers": {
            "complete": True,
            "classes": 3,
        },
        "`condition_corruption` is given with `classes`": {
            "condition_corruption": QuadrantMask(),
            "classes": 3,
        },
        "`condition_corruption` is 3, expected a Keras layer": {"condition_corruption": 3},
    }
    for message, arguments in cases.items():
        with pytest.raises(ValueError, match=message) as error:
            make(encoder, decoder, **arguments)
        assert contract._one_sentence(str(error.value)), error.value
    with pytest.raises(
        ValueError, match=r"`complete` is True, but .* expected images with one more"
    ):
        make(*image, complete=True)
    plain = nets.mlp(SHAPE, 4, (), posterior="diagonal")
    with pytest.raises(
        ValueError, match=r"`encoder` takes 1 input, expected two, \[x, condition\]"
    ):
        make(plain[0], decoder)
    with pytest.raises(
        ValueError, match=r"`decoder` takes 1 input, expected two, \[code, condition"
    ):
        make(encoder, plain[1])
    with pytest.raises(ValueError, match=r"`decoder` takes codes of shape \(5,\), but is given"):
        make(encoder, nets.conditional_mlp(SHAPE, (3,), 5, ())[1])
    with pytest.raises(
        ValueError, match=r"`decoder` takes conditions of shape \(2,\), but is given"
    ):
        make(encoder, nets.conditional_mlp(SHAPE, (2,), 4, ())[1])
    sigmoid = nets.conditional_mlp(SHAPE, (3,), 4, (), output_activation="sigmoid")
    with pytest.raises(ValueError, match="`decoder` ends in a sigmoid, expected logits"):
        make(*sigmoid)
    with pytest.raises(ValueError, match="`loss` is 'mse', expected none"):
        make(encoder, decoder).compile(loss="mse")
