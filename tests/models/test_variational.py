import math
import warnings

import keras
import numpy as np
import pytest
from contract import assert_contract
from keras import ops

from kerasae import VariationalAutoencoder, callbacks, likelihoods, nets, posteriors, priors

SHAPE = (8, 8, 1)


def number(value):
    return float(ops.convert_to_numpy(value))


def vae(posterior="diagonal", code_size=3, units=(16,), shape=SHAPE, **kwargs):
    networks = nets.mlp(shape, code_size, units, posterior=posterior)
    return VariationalAutoencoder(*networks, posterior=posterior, seed=5, **kwargs)


@pytest.fixture
def bits(x):
    return (x > 0.5).astype("float32")


# The contract, for each posterior, prior and likelihood.

MODELS = {
    "diagonal": lambda: vae(),
    "full": lambda: vae(
        "full",
        likelihood=likelihoods.Normal(0.5, learned=True),
        prior=priors.MixturePrior(4, learned=True),
        corruption=keras.layers.GaussianNoise(0.1, seed=1),
    ),
    "deviation": lambda: vae(
        posteriors.Deviation(),
        likelihood=likelihoods.Laplace(0.5),
        prior=priors.PseudoInputs(4),
        importance_samples=3,
    ),
}


@pytest.mark.parametrize(
    "name",
    [
        "diagonal",
        pytest.param("full", marks=pytest.mark.home("tensorflow")),
        pytest.param("deviation", marks=pytest.mark.home("torch")),
    ],
)
def test_contract(name, x, other_backends, tmp_path):
    assert_contract(
        MODELS[name],
        x,
        other_backends,
        tmp_path,
        loss="binary_crossentropy" if name == "diagonal" else None,
        compiled={"metrics": ["mae"]},
        others={"likelihood": "laplace", "seed": 3},
    )


# The bound.


def by_hand(model, x, epsilon):
    """−E log p(x|z) and KL, for a Bernoulli VAE of one hidden layer, in NumPy."""
    (w1, b1, w2, b2), (w3, b3, w4, b4) = (
        [w.astype("float64") for w in network.get_weights()]
        for network in (model.encoder, model.decoder)
    )
    x = x.reshape(len(x), -1).astype("float64")
    numbers = np.maximum(x @ w1 + b1, 0) @ w2 + b2
    mean, log_variance = np.split(numbers, 2, axis=1)
    z = mean + np.exp(log_variance / 2) * epsilon
    logits = np.maximum(z @ w3 + b3, 0) @ w4 + b4
    reconstruction = np.sum(np.logaddexp(0, logits) - x * logits, axis=-1)
    kl = 0.5 * np.sum(np.exp(log_variance) + mean**2 - 1 - log_variance, axis=1)
    log_weights = -reconstruction + 0.5 * np.sum(epsilon**2 + log_variance - z**2, axis=-1)
    return reconstruction, kl, log_weights


class Noise:
    """Stands for all normal noise, that of evaluations too: it is known."""

    def __init__(self, monkeypatch, shape):
        self.values = np.random.default_rng(3).normal(size=shape)
        noise = self.values.astype("float32")

        def known(*_, **__):
            return ops.convert_to_tensor(noise)

        monkeypatch.setattr("kerasae.engine.noise.normal", known)


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("samples", [1, 7])
@pytest.mark.home("tensorflow", "torch")
def test_loss_is_the_bound_as_written(x, monkeypatch, beta, samples):
    model = vae(beta=beta, importance_samples=samples)
    model.compile(run_eagerly=True)
    noise = Noise(monkeypatch, (samples, len(x), 3)).values
    reconstruction, kl, log_weights = by_hand(model, x, noise)
    expected = np.mean(reconstruction) + beta * np.mean(kl)
    if samples > 1:
        log_weights = -reconstruction + beta * (log_weights + reconstruction)
        expected = -np.mean(np.logaddexp.reduce(log_weights, axis=0) - math.log(samples))
    logs = model.evaluate(x, batch_size=len(x), verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(expected, rel=1e-5)
    assert logs["reconstruction"] == pytest.approx(np.mean(reconstruction), rel=1e-5)
    assert logs["kl"] == pytest.approx(np.mean(kl), rel=1e-4)
    logs = model.train_on_batch(x, return_dict=True)  # the loss before the step
    assert logs["loss"] == pytest.approx(expected, rel=1e-5)


def test_log_weights_are_their_formula(x, monkeypatch):
    model = vae()
    noise = Noise(monkeypatch, (6, len(x), 3)).values
    *_, expected = by_hand(model, x, noise)
    found = ops.convert_to_numpy(model.log_weights(x, 6))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.home("torch")
def test_more_importance_samples_give_a_higher_bound(x, bits):
    trained = vae()
    trained.compile(keras.optimizers.Adam(0.01))
    trained.fit(bits, batch_size=16, epochs=20, verbose=0)
    bounds = []
    for samples in (1, 5, 50):
        model = vae(importance_samples=samples)
        model.set_weights(trained.get_weights())
        model.compile()
        bounds.append(-model.evaluate(bits, batch_size=48, verbose=0, return_dict=True)["loss"])
    assert bounds[0] < bounds[1] < bounds[2]


def test_a_pass_is_computed_once(x):
    model = vae()
    model.compile(run_eagerly=True)
    model.train_on_batch(x)  # Keras traces a model once before it runs it eagerly
    model.test_on_batch(x)
    seen, encode = [], model.posterior
    model.posterior = lambda x, training=False: seen.append(training) or encode(x, training)
    model.train_on_batch(x)
    model.test_on_batch(x)
    assert seen == [True, False]


@pytest.mark.parametrize("posterior", ["diagonal", "deviation", "full"])
def test_gradients_reach_every_weight(x, posterior):
    model = vae(
        posterior,
        likelihood=likelihoods.Normal(learned=True),
        prior=priors.MixturePrior(3, learned=True),
    )
    model.compile(optimizer=keras.optimizers.SGD(0.001))
    before = [w.numpy().copy() for w in model.trainable_variables]
    model.fit(x, batch_size=16, epochs=2, verbose=0)
    for variable, start in zip(model.trainable_variables, before, strict=True):
        assert np.abs(variable.numpy() - start).max() > 0, variable.path


@pytest.mark.home("torch")
def test_learned_sigma_ends_at_the_mean_squared_error():
    """With a decoder that cannot reconstruct, σ² is the data's own variance."""
    x = np.random.default_rng(0).normal(0, 0.3, (256, 4)).astype("float32")
    encoder, decoder = nets.mlp((4,), 1, (), posterior="diagonal")
    decoder.trainable = False
    decoder.set_weights([0 * weight for weight in decoder.get_weights()])
    model = VariationalAutoencoder(encoder, decoder, likelihood=likelihoods.Normal(learned=True))
    model.compile(keras.optimizers.Adam(0.05))
    with pytest.warns(UserWarning, match="The posterior has collapsed: KL"):
        model.fit(x, batch_size=64, epochs=60, verbose=0)
    sigma = math.exp(number(model.likelihood.log_scale))
    assert sigma == pytest.approx(math.sqrt(np.mean(x**2)), rel=0.05)


@pytest.mark.home("torch")
def test_the_decks_latent_loss():
    """½ Σ (σ² + μ² − 1 − log(ε + σ²)), in both of its forms."""
    x = np.random.default_rng(0).random((4, 28, 28, 1), dtype="float32")
    for posterior in ("deviation", "diagonal"):
        networks = nets.mlp((28, 28, 1), 20, (500, 500), activation="elu", posterior=posterior)
        model = VariationalAutoencoder(*networks, posterior=posterior)
        model.compile()
        numbers = model.encoder.predict(x, verbose=0).astype("float64")
        mean, second = numbers[:, :20], numbers[:, 20:]
        squared = second**2 if posterior == "deviation" else np.exp(second)
        logarithm = np.log(1e-10 + second**2) if posterior == "deviation" else second
        expected = 0.5 * np.sum(squared + mean**2 - 1 - logarithm, axis=1).mean()
        logs = model.evaluate(x, verbose=0, return_dict=True)
        assert logs["kl"] == pytest.approx(expected, rel=1e-4)
        units = [w.shape[-1] for n in (model.encoder, model.decoder) for w in n.get_weights()[::2]]
        assert units == [500, 500, 40, 500, 500, 784]


# β.


def test_warm_up_moves_beta_and_the_loss_follows(x):
    model = vae()
    model.compile()
    seen = []
    spy = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(number(model.beta))
    )
    warm_up = callbacks.WarmUp(4, start=0.5, end=1.5)
    history = model.fit(x, epochs=6, callbacks=[warm_up, spy], verbose=0).history
    assert seen == [0.5, 0.75, 1.0, 1.25, 1.5, 1.5]
    for epoch, beta in enumerate(seen):
        expected = history["reconstruction"][epoch] + beta * history["kl"][epoch]
        assert history["loss"][epoch] == pytest.approx(expected, rel=1e-5)


def test_beta_is_saved_where_it_stands(x, tmp_path):
    model = vae()
    model.compile()
    model.fit(x, epochs=3, callbacks=[callbacks.WarmUp(4)], verbose=0)
    model.save(tmp_path / "model.keras")
    assert number(keras.saving.load_model(tmp_path / "model.keras").beta) == 0.5


def test_warm_up_needs_a_variational_model(x):
    from kerasae import Autoencoder

    model = Autoencoder(*nets.mlp(SHAPE, 3, ()))
    model.compile()
    with pytest.raises(ValueError, match="Autoencoder has no `beta`, expected a variational"):
        model.fit(x, callbacks=[callbacks.WarmUp(2)], verbose=0)


@pytest.mark.home("torch")
def test_a_large_beta_collapses_the_posterior_and_is_told(x):
    model = vae(beta=1000.0)
    model.compile(keras.optimizers.Adam(0.01))
    with pytest.warns(UserWarning, match=r"collapsed: KL.* is .* nats.*`beta`"):
        model.fit(x, epochs=40, batch_size=16, verbose=0)
    healthy = vae()
    healthy.compile(keras.optimizers.Adam(0.01))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        healthy.fit(x, epochs=10, batch_size=16, verbose=0)


# Use.


def test_methods_give_means_and_pictures(x):
    model = vae()
    q = model.posterior(x)
    np.testing.assert_allclose(model.encode(x), ops.convert_to_numpy(q.mean), rtol=1e-5, atol=1e-6)
    logits = model.decoder.predict(model.encode(x), verbose=0)
    pictures = 1 / (1 + np.exp(-logits.astype("float64")))
    np.testing.assert_allclose(model.reconstruct(x), pictures, rtol=1e-5)
    np.testing.assert_allclose(model.predict(x, verbose=0), pictures, rtol=1e-5)
    assert model.interpolate(x[:2], x[2:4], steps=5).shape == (2, 5, *SHAPE)


@pytest.mark.home("tensorflow", "torch")
def test_samples_come_from_the_prior(x):
    """With p(x|z) = N(z, σ²), the mean of x is z itself."""
    encoder, _ = nets.mlp((2,), 2, (), posterior="diagonal")
    decoder = keras.Sequential([keras.Input((2,)), keras.layers.Identity()])
    model = VariationalAutoencoder(
        encoder, decoder, prior=priors.MixturePrior.ring(4, 3.0, 0.1), likelihood="normal"
    )
    z = model.sample(2000, seed=1)
    distance = np.linalg.norm(z, axis=1)
    assert np.abs(distance - 3).max() < 0.6
    assert np.abs(z.mean(axis=0)).max() < 0.2
    np.testing.assert_array_equal(z, model.sample(2000, seed=1))
    assert np.abs(z - model.sample(2000, seed=2)).max() > 1
    assert np.abs(model.sample(5) - model.sample(5)).max() > 0  # the model's own generator
    noisy = model.sample(2000, seed=1, pixels=True)
    assert np.std(noisy - z) == pytest.approx(1.0, abs=0.05)


def test_pixels_are_on_or_off():
    pixels = vae().sample(50, seed=0, pixels=True)
    assert set(np.unique(pixels)) == {0.0, 1.0}


@pytest.mark.home("torch")
def test_grid_decodes_the_square_of_codes():
    encoder, _ = nets.mlp((3,), 3, (), posterior="diagonal")
    decoder = keras.Sequential([keras.Input((3,)), keras.layers.Identity()])
    model = VariationalAutoencoder(encoder, decoder, likelihood="normal")
    grid = model.grid(side=5, limit=2.0, units=(2, 0))
    np.testing.assert_allclose(grid[0, :, 2], [-2, -1, 0, 1, 2])  # to the right
    np.testing.assert_allclose(grid[:, 0, 0], [2, 1, 0, -1, -2])  # upwards
    assert (grid[..., 1] == 0).all()
    values = model.grid(side=5, limit=2.0, spacing="quantile")[0, :, 0]
    shares = [0.5 * (1 + math.erf(value / math.sqrt(2))) for value in values]
    np.testing.assert_allclose(np.diff(shares), np.diff(shares)[0], rtol=1e-4)
    assert values[0] == pytest.approx(-2) and values[-1] == pytest.approx(2)


@pytest.mark.home("tensorflow", "torch")
def test_a_code_may_be_a_map(x):
    networks = nets.convolutional(SHAPE, None, filters=(4, 2), posterior="diagonal")
    model = VariationalAutoencoder(*networks)
    model.compile()
    assert np.isfinite(model.fit(x, verbose=0).history["loss"]).all()
    assert model.encode(x).shape == (len(x), 2, 2, 2) and model.sample(3).shape == (3, *SHAPE)
    assert model.log_weights(x, 2).shape == (2, len(x))


def test_networks_of_ones_own_are_built_on_first_use(x):
    layers = keras.layers
    encoder = keras.Sequential([layers.Flatten(), layers.Dense(6)])
    decoder = keras.Sequential([layers.Dense(64), layers.Reshape(SHAPE)])
    model = VariationalAutoencoder(encoder, decoder)
    with pytest.raises(ValueError, match="has no weights yet, expected a built model in `sample`"):
        model.sample(3)
    model.compile()
    model.fit(x, verbose=0)
    assert model.sample(3).shape == (3, *SHAPE)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_keeps_the_bound_in_float32(x, policy):
    keras.config.set_dtype_policy(policy)
    model = vae(likelihood=likelihoods.Normal(stddev=0.01))
    model.compile(keras.optimizers.Adam(0.01))
    history = model.fit(x, epochs=12, batch_size=16, verbose=0).history  # float16 skips some
    assert np.isfinite(history["loss"]).all() and history["loss"][-1] < history["loss"][0]
    assert history["loss"][0] > 65504  # where float16 ends
    assert "float32" in str(model.log_weights(x[:2], 1).dtype)


def test_huge_logits_stay_finite():
    model = vae(units=())
    kernel, bias = model.decoder.get_weights()
    model.decoder.set_weights([0 * kernel, bias + 1e4])
    model.compile()
    x = np.zeros((4, *SHAPE), "float32")
    logs = model.evaluate(x, verbose=0, return_dict=True)
    assert logs["reconstruction"] == pytest.approx(64 * 1e4, rel=1e-4)


MODES = {"eager": {"run_eagerly": True}, "default": {}}
if keras.backend.backend() != "torch":
    MODES["two_steps"] = {"steps_per_execution": 2}


def test_every_way_of_running_gives_the_same(x):
    ends = {}
    for mode, settings in MODES.items():
        keras.utils.set_random_seed(3)
        model = vae(beta=0.5, importance_samples=2)
        model.compile(keras.optimizers.SGD(1e-3), **settings)
        history = model.fit(x, batch_size=8, shuffle=False, epochs=2, verbose=0).history
        ends[mode] = [*model.get_weights(), *history.values()]
    for mode, values in ends.items():
        for one, other in zip(values, ends["eager"], strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5, err_msg=mode)


# Bad input.


@pytest.mark.home("torch")
def test_bad_arguments_are_one_sentence():
    encoder, decoder = nets.mlp(SHAPE, 4, (), posterior="diagonal")
    cases = {
        "`posterior` is 'diag', expected 'diagonal', 'deviation', 'full', or one": {
            "posterior": "diag"
        },
        "`prior` is of type str, expected one of `kerasae.priors`": {"prior": "normal"},
        "`likelihood` is 'gauss', expected 'bernoulli', 'normal', 'lap": {"likelihood": "gauss"},
        "`beta` is -1, expected a number of at least 0": {"beta": -1},
        "`importance_samples` is 0, expected a whole number": {"importance_samples": 0},
        "`encoder` gives 8 numbers, expected 14: the parameters of a poste": {"posterior": "full"},
        "`prior` has means of 2 numbers, but codes have 4": {"prior": priors.MixturePrior.ring()},
    }
    for message, arguments in cases.items():
        with pytest.raises(ValueError, match=message):
            VariationalAutoencoder(encoder, decoder, **arguments)
    plain = nets.mlp(SHAPE, 4)
    with pytest.raises(ValueError, match="`encoder` gives 4 numbers, expected 8"):
        VariationalAutoencoder(*plain)
    with pytest.raises(ValueError, match="`decoder` ends in a sigmoid, expected logits"):
        VariationalAutoencoder(encoder, plain[1])
    VariationalAutoencoder(encoder, plain[1], likelihood="normal")
    with pytest.raises(ValueError, match="`loss` is 'mse', expected none: the bound is the loss"):
        vae().compile(loss="mse")
    for units in ((0, 0), (0, 3), (-1, 0), 0, "01", (0,), None, (0, "1")):
        with pytest.raises(ValueError, match=r"`units` is .*, expected two different numbers"):
            vae().grid(units=units)
    full = vae("full", prior=priors.PseudoInputs(3))
    with pytest.raises(ValueError, match="`prior` is PseudoInputs, but the posterior is not a di"):
        full.log_weights(np.zeros((2, *SHAPE), "float32"))


def test_saved_in_the_middle_training_goes_on_exactly(x, tmp_path):
    settings = {"batch_size": 16, "shuffle": False, "verbose": 0}

    def started():
        keras.utils.set_random_seed(4)
        model = vae(prior=priors.MixturePrior(3, learned=True), importance_samples=2)
        model.compile(keras.optimizers.Adam(0.01))
        return model

    through = started()
    through.fit(x, epochs=4, **settings)
    half = started()
    half.fit(x, epochs=2, **settings)
    half.save(tmp_path / "half.keras")
    again = keras.saving.load_model(tmp_path / "half.keras")
    again.fit(x, epochs=4, initial_epoch=2, **settings)
    for one, other in zip(through.variables, again.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.path)
    for one, other in zip(through.optimizer.variables, again.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.path)
