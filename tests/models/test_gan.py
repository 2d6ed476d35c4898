import keras
import numpy as np
import pytest
from contract_games import assert_game_contract, assert_modes_agree
from keras import ops
from scipy import stats

from kerasae import datasets, nets
from kerasae.models.games import LOSSES
from kerasae.models.gan import GAN

PARTS = {"discriminator_loss", "generator_loss", "real", "fake", "diversity"}


def small(**arguments):
    arguments = {"code_size": 3, "units": (16,), "output_activation": "sigmoid"} | arguments
    return GAN.mlp((8, 8, 1), **arguments)


def normalized(**arguments):
    """Batch normalisation and dropout on both sides."""
    layers = keras.layers
    generator = [keras.Input((3,)), layers.Dense(16), layers.BatchNormalization(momentum=0.9)]
    generator += [layers.ReLU(), layers.Dense(64, "sigmoid"), layers.Reshape((8, 8, 1))]
    discriminator = [keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(16)]
    discriminator += [layers.BatchNormalization(momentum=0.9), layers.LeakyReLU()]
    discriminator += [layers.Dropout(0.1, seed=2), layers.Dense(1)]
    return GAN(keras.Sequential(generator), keras.Sequential(discriminator), **arguments)


def test_contract(x, other_backends, tmp_path):
    def make():
        return normalized(average=0.9, discriminator_steps=2)

    z = np.random.default_rng(0).normal(size=(7, 3)).astype("float32")
    others = {"loss": "minimax", "latent": "uniform"}
    assert_game_contract(
        make, x, other_backends, tmp_path, PARTS, inputs=z, targets=False, others=others
    )


@pytest.mark.home("tensorflow")
def test_contract_with_classes(x, other_backends, tmp_path):
    def make():
        return small(classes=3, loss="hinge", simultaneous=True)

    labels = np.arange(len(x)) % 3
    z = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")
    inputs = [z, np.eye(3, dtype="float32")[labels[:6]]]
    assert_game_contract(make, x, other_backends, tmp_path, PARTS, labels, inputs)


def test_wasserstein_is_differentiated_twice_in_every_mode(x):

    def make():
        return small(loss="wasserstein", latent="uniform")

    assert_modes_agree(make, x, None, None)


def numbers(tensor):
    return ops.convert_to_numpy(tensor)


def log_sigmoid(a):
    return -np.logaddexp(0, -a)


# J(D) with one-sided smoothing s, and J(G), for each pair of logits, in float64.
FORMULAS = {
    "minimax": (None, lambda f: 0.5 * log_sigmoid(-f)),
    "non_saturating": (None, lambda f: -0.5 * log_sigmoid(f)),
    "maximum_likelihood": (
        None,
        lambda f: -0.5 * np.exp(log_sigmoid(f)) / np.exp(log_sigmoid(-f)),  # −½ D / (1 − D)
    ),
    "least_squares": (
        lambda r, f, s: 0.5 * (r - 1 + s) ** 2 + 0.5 * f**2,
        lambda f: 0.5 * (f - 1) ** 2,
    ),
    "hinge": (lambda r, f, s: np.maximum(0, 1 - r) + np.maximum(0, 1 + f), lambda f: -f),
    "wasserstein": (lambda r, f, s: f - r, lambda f: -f),
}


def discriminator_formula(r, f, s):
    real = (1 - s) * log_sigmoid(r) + s * log_sigmoid(-r)
    return -0.5 * real - 0.5 * log_sigmoid(-f)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_losses_are_their_formulas(name, smoothing):
    real, fake = np.random.default_rng(0).normal(0, 4, (2, 50))
    of_d, of_g = FORMULAS[name]
    loss = LOSSES[name]
    if smoothing and not loss.smooths:
        with pytest.raises(ValueError, match=r"`label_smoothing` is .*, expected 0 for the loss"):
            small(loss=name, label_smoothing=smoothing)
        return
    a, b = (values.astype("float32") for values in (real, fake))
    expected = (of_d or discriminator_formula)(real, fake, smoothing)
    np.testing.assert_allclose(
        numbers(loss.discriminator(a, b, smoothing)), expected, rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(numbers(loss.generator(b)), of_g(fake), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["minimax", "non_saturating"])
def test_losses_are_stable(name):
    a = np.array([-1e4, 0, 1e4], "float32")
    loss = LOSSES[name]
    assert np.isfinite(numbers(loss.discriminator(a, a[::-1].copy(), 0.1))).all()
    assert np.isfinite(numbers(loss.generator(a))).all()


def test_maximum_likelihood_is_finite_and_the_same_below():
    """−½ e^a up to a = 40, and −½ e⁴⁰ above: what it gives a player's optimizer stays finite."""
    a = np.array([-80, 0, 39, 100, 1e4], "float32")
    values = numbers(LOSSES["maximum_likelihood"].generator(a))
    np.testing.assert_allclose(values[:3], -0.5 * np.exp(a[:3].astype("float64")), rtol=1e-5)
    np.testing.assert_allclose(values[3:], -0.5 * np.exp(40.0), rtol=1e-5)
    for rate, optimizer in ((1e-9, keras.optimizers.SGD), (1e-3, keras.optimizers.Adam)):
        model = linear(b=100.0, loss="maximum_likelihood")
        model.compile(optimizer(rate))
        history = model.fit(pairs(), epochs=2, verbose=0).history
        assert history["fake"][0] == pytest.approx(1) and np.isfinite(history["loss"]).all()
        assert all(np.isfinite(weight).all() for weight in model.get_weights())


def linear(w=(1.5, -2.0), b=0.25, **arguments):
    """G(z) = z and a(x) = w·x + b in the plane."""
    generator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    discriminator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    generator.set_weights([np.eye(2), np.zeros(2)])
    discriminator.set_weights([np.array(w)[:, None], np.array([b])])
    return GAN(generator, discriminator, **arguments)


def pairs(count=12):
    rng = np.random.default_rng(3)
    return {name: rng.normal(size=(count, 2)).astype("float32") for name in ("x", "z")}


def sgd(model, rate=0.1, **arguments):
    model.compile(keras.optimizers.SGD(rate), **arguments)
    return model


@pytest.mark.parametrize("name", LOSSES)
def test_the_model_reports_the_formulas(name):
    """With z as data, against NumPy; ‖∇a‖ = ‖w‖ wherever the points between lie."""
    data, weight = pairs(), np.linspace(0, 2, 12, dtype="float32")
    model = sgd(linear(loss=name, gradient_penalty=3.0))
    found = model.evaluate(data, sample_weight=weight, verbose=0, return_dict=True)
    real, fake = (values @ [1.5, -2.0] + 0.25 for values in (data["x"], data["z"]))
    of_d, of_g = FORMULAS[name]
    of_d = (of_d or discriminator_formula)(real, fake, 0.0)
    of_d = of_d + (3 * (2.5 - 1) ** 2 if name == "wasserstein" else 0)  # ‖(1.5, −2)‖ = 2.5
    score = (lambda a: np.exp(log_sigmoid(a))) if LOSSES[name].probability else (lambda a: a)
    expected = {
        "discriminator_loss": (weight * of_d).mean(),
        "generator_loss": (weight * of_g(fake)).mean(),
        "real": score(real).mean(),
        "fake": score(fake).mean(),
    }
    expected["loss"] = expected["discriminator_loss"] + expected["generator_loss"]
    diversity = found.pop("diversity")
    assert found == pytest.approx(expected, rel=1e-4)
    distances = [np.linalg.norm(np.diff(a, axis=0), axis=1).sum() for a in (data["z"], data["x"])]
    assert diversity == pytest.approx(distances[0] / distances[1], rel=1e-5)


def test_the_gradient_penalty_is_taken_between_real_and_generated():
    """a(x) = ½ ‖x‖², ∇a = x, on a line from (2, 0), generated, to (3, 0), real."""
    image = keras.Input((2,))
    logit = keras.layers.Dense(1, use_bias=False)(keras.layers.Multiply()([image, image]))
    discriminator = keras.Model(image, logit)
    discriminator.set_weights([np.full((2, 1), 0.5)])
    model = GAN(linear().generator, discriminator, loss="wasserstein", gradient_penalty=1.0)
    data = {name: np.tile([[end, 0.0]], (2000, 1)) for name, end in (("z", 2.0), ("x", 3.0))}
    found = sgd(model).evaluate(data, batch_size=2000, verbose=0, return_dict=True)
    penalty = found["discriminator_loss"] - (2.0**2 / 2 - 3.0**2 / 2)
    assert penalty == pytest.approx(7 / 3, abs=0.1)  # E (1 + ε)², ε uniform; 1 and 4 at the ends


@pytest.mark.parametrize("turns", ["alternating", "twice", "simultaneous"])
def test_steps_follow_the_mathematics(turns):
    """Least squares of linear players: gradients by hand, in float64."""
    data, rate = pairs(), 0.1
    arguments = {"discriminator_steps": 2 if turns == "twice" else 1}
    model = sgd(linear(loss="least_squares", simultaneous=turns == "simultaneous", **arguments))
    model.fit(data, batch_size=12, verbose=0)
    x, z = (data[name].astype("float64") for name in ("x", "z"))
    w, b, v, c = np.array([1.5, -2.0]), 0.25, np.eye(2), np.zeros(2)

    def step_of_d(w, b):
        real, fake, sample = x @ w + b, (z @ v + c) @ w + b, z @ v + c
        slope = (real - 1) @ x + fake @ sample
        return w - rate * slope / 12, b - rate * np.mean(real - 1 + fake)

    before = w, b
    for _ in range(arguments["discriminator_steps"]):
        w, b = step_of_d(w, b)
    seen_w, seen_b = before if turns == "simultaneous" else (w, b)
    slope = ((z @ v + c) @ seen_w + seen_b - 1)[:, None] * seen_w / 12  # ∂J(G)/∂G(z)
    v, c = v - rate * z.T @ slope, c - rate * slope.sum(0)
    found = [*model.discriminator.get_weights(), *model.generator.get_weights()]
    for one, two in zip(found, [w[:, None], [b], v, c], strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


@pytest.mark.home("tensorflow")
def test_the_best_discriminator_is_p_over_p_plus_q():
    """p = N(1, 1) and q = N(−1, 1): D = p / (p + q) = σ(2x), within the error of 8,000 samples."""
    rng = np.random.default_rng(0)
    generator = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    generator.set_weights([np.ones((1, 1)), -np.ones(1)])
    discriminator = nets.mlp_encoder((1,), 1, (16,), "tanh")
    model = GAN(generator, discriminator)
    model.compile({"discriminator": keras.optimizers.Adam(0.01), "generator": "sgd"})
    model.optimizer["generator"].learning_rate = 0.0
    x = (1 + rng.normal(size=(8000, 1))).astype("float32")
    for rate in (0.01, 0.001):
        model.optimizer["discriminator"].learning_rate = rate
        model.fit(x, batch_size=200, epochs=4, verbose=0)
    points = np.linspace(-2.5, 2.5, 41, dtype="float32")[:, None]
    p, q = stats.norm(1, 1).pdf(points[:, 0]), stats.norm(-1, 1).pdf(points[:, 0])
    np.testing.assert_allclose(model.discriminate(points), p / (p + q), atol=0.06)
    # At D = p / (p + q) the loss of maximum likelihood is −½ E_q p/q = −½.
    z = rng.normal(size=(20000, 1)).astype("float32")
    d = model.discriminate(z - 1)
    assert np.mean(d / (1 - d)) == pytest.approx(1, abs=0.25)


def test_the_average_follows_its_formula():
    model = sgd(normalized(average=0.5))
    seen = []
    record = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(model.generator.get_weights())
    )
    mean = model.averaged.get_weights()
    x = np.random.default_rng(0).random((64, 8, 8, 1), dtype="float32")
    model.fit(x, batch_size=64, epochs=8, callbacks=[record], verbose=0)
    for t, weights in enumerate(seen, start=1):
        decay = min(0.5, (1 + t) / (10 + t))
        mean = [decay * m + (1 - decay) * w for m, w in zip(mean, weights, strict=True)]
    assert len(mean) == 8  # two dense layers, scale and shift, mean and variance
    for one, two in zip(model.averaged.get_weights(), mean, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)
    z = np.zeros((2, 3), "float32")
    np.testing.assert_allclose(model.generate(z), model.averaged.predict(z, verbose=0))
    assert np.abs(model.generate(z) - model.predict(z, verbose=0)).max() > 0


@pytest.mark.home("tensorflow")
def test_covers_the_ring_of_ten_modes():
    """The non-saturating loss, 2,000 steps; 4,000 place the samples better."""
    keras.utils.set_random_seed(0)
    target = datasets.toys.ring()
    model = GAN.mlp((2,), code_size=16, units=(128, 128), average=0.99)
    model.compile(keras.optimizers.Adam(1e-3, beta_1=0.5))
    history = model.fit(target.sample(128 * 500), batch_size=128, epochs=4, verbose=0).history
    samples = model.sample(2000, seed=1)
    distance = np.linalg.norm(samples[:, None] - np.asarray(target.means)[None], axis=2)
    nearest = distance.argmin(1)[distance.min(1) < 3 * 0.15]
    assert (np.bincount(nearest, minlength=10) >= 20).sum() == 10  # a tenth of a fair share
    assert len(nearest) > 0.7 * len(samples)
    assert history["diversity"][-1] == pytest.approx(1, abs=0.1)


def test_diversity_shows_collapse():
    model = sgd(linear(), 0.0)
    model.generator.set_weights([np.zeros((2, 2)), np.ones(2)])
    history = model.fit(pairs()["x"], validation_data=(pairs()["x"],), verbose=0).history
    assert history["diversity"] == history["val_diversity"] == [0]
    # The last batch has one example, and no say.
    data = pairs(5)
    found = sgd(linear(), 0.0).evaluate(data, batch_size=4, verbose=0, return_dict=True)
    four = sgd(linear(), 0.0).evaluate(
        {name: values[:4] for name, values in data.items()}, verbose=0, return_dict=True
    )
    assert found["diversity"] == pytest.approx(four["diversity"], rel=1e-5)


def test_weights_count_an_example_and_its_sample():
    data = pairs()
    weight = np.repeat([1.0, 0.0], 6).astype("float32")
    half = {name: values[:6] for name, values in data.items()}
    ends = []
    for rate, examples, weights in ((0.2, data, weight), (0.1, half, None)):
        model = sgd(linear(), rate)
        model.fit(examples, sample_weight=weights, batch_size=12, verbose=0)
        ends.append(model.get_weights())
    for one, two in zip(*ends, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


def test_regularizers_count_for_their_player():
    network = linear()
    layers = [keras.Input((2,)), keras.layers.Dense(1, kernel_regularizer=keras.regularizers.L2(2))]
    discriminator = keras.Sequential(layers)
    discriminator.set_weights(network.discriminator.get_weights())
    data = pairs()
    plain = sgd(network).evaluate(data, verbose=0, return_dict=True)
    model = sgd(GAN(network.generator, discriminator))
    found = model.evaluate(data, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(plain["loss"] + 2 * 2.5**2, rel=1e-5)
    assert found["discriminator_loss"] == pytest.approx(plain["discriminator_loss"], rel=1e-5)


@pytest.mark.home("tensorflow")
def test_classes_reach_both_networks():
    """Class c lies at c: the samples go where their label says."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 6000)
    x = (labels[:, None] + 0.1 * rng.normal(size=(6000, 1))).astype("float32")
    model = GAN.mlp((1,), code_size=4, units=(32,), classes=3, average=0.99)
    model.compile(keras.optimizers.Adam(3e-3, beta_1=0.5))
    model.fit(x, labels, batch_size=64, epochs=6, verbose=0)
    for label in range(3):
        samples = model.sample(300, labels=label, seed=1)
        assert samples.mean() == pytest.approx(label, abs=0.3)
    in_turn = model.sample(6, seed=1)
    given = model.sample(6, labels=[0, 1, 2, 0, 1, 2], seed=1)
    np.testing.assert_array_equal(in_turn, given)
    path = model.interpolate(np.ones((2, 4)), -np.eye(4)[:2], steps=5, labels=[2, 0])
    assert path.shape == (2, 5, 1) and path[0].mean() > path[1].mean() + 1
    right, wrong = (model.discriminate(x[:300], y) for y in (labels[:300], (labels[:300] + 1) % 3))
    assert right.mean() > wrong.mean()


def test_samples_and_interpolations():
    model = small()
    assert (model.sample(4) != model.sample(4)).any()
    np.testing.assert_array_equal(model.sample(4, seed=3), model.sample(4, seed=3))
    start, end = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
    for spherical in (True, False):
        path = model.interpolate(start, end, steps=3, spherical=spherical)
        assert path.shape == (5, 3, 8, 8, 1)
        np.testing.assert_allclose(path[:, 0], model.generate(start), atol=1e-6)
        np.testing.assert_allclose(path[:, 2], model.generate(end), atol=1e-6)
    np.testing.assert_allclose(path[:, 1], model.generate((start + end) / 2), atol=1e-6)
    arc = linear().interpolate([[1.0, 0.0]], [[0.0, 1.0]], steps=3)  # by default, with G(z) = z
    np.testing.assert_allclose(arc[0, 1], np.sqrt([0.5, 0.5]), atol=1e-6)
    draws = numbers(small(latent="uniform")._draw_noise(1000, 0))
    assert -1 <= draws.min() < -0.95 and 0.95 < draws.max() <= 1
    assert np.std(numbers(model._draw_noise(1000, 0))) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    "shape, start, maps", [((28, 28, 1), 7, 2), ((32, 32, 3), 4, 3), ((64, 64, 3), 4, 4)]
)
@pytest.mark.home("torch")
def test_dcgan_networks(shape, start, maps):
    generator, discriminator = (
        nets.dcgan_generator(shape, 10, 4),
        nets.dcgan_discriminator(shape, 4),
    )
    assert generator.output_shape == (None, *shape)
    assert discriminator.output_shape == (None, 1)
    kinds = [type(layer).__name__ for layer in (*generator.layers, *discriminator.layers)]
    assert not [kind for kind in kinds if "Pool" in kind]
    assert kinds.count("Conv2DTranspose") == kinds.count("Conv2D") == maps
    assert kinds.count("BatchNormalization") == maps + (maps - 1)
    reshape = next(each for each in generator.layers if isinstance(each, keras.layers.Reshape))
    assert reshape.target_shape == (start, start, 4 * 2 ** (maps - 1))
    images = generator.predict(np.zeros((1, 10)), verbose=0)
    assert 0 <= images.min() and images.max() <= 1


def test_dcgan_trains_under_wasserstein_and_with_classes():
    x = np.random.default_rng(0).random((8, 8, 8, 1), dtype="float32")
    model = GAN.dcgan((8, 8, 1), 5, 2, classes=2, loss="wasserstein", discriminator_steps=2)
    model.compile()
    assert np.isfinite(model.fit(x, np.arange(8) % 2, batch_size=4, verbose=0).history["loss"])
    assert model.sample(3).shape == (3, 8, 8, 1)
    assert model.optimizer["generator"].beta_1 == 0.5


def test_streams_bring_examples_noise_and_labels(x):
    z = np.zeros((48, 3), "float32")

    def batches(*parts):
        for i in range(0, 48, 16):
            rows = slice(i, i + 16)
            yield tuple(
                {name: values[rows] for name, values in part.items()}
                if isinstance(part, dict)
                else part[rows]
                for part in parts
            )

    def loss(model, *data):
        return sgd(model, 0.0).fit(*data, batch_size=16, shuffle=False, verbose=0).history["loss"]

    for arguments, parts in (({}, ()), ({"classes": 2}, (np.arange(48) % 2,))):
        model = small(**arguments)
        expected = loss(model, {"x": x, "z": z}, *parts)
        assert loss(model, batches({"x": x, "z": z}, *parts)) == pytest.approx(expected, rel=1e-5)


def ends_in(activation):
    return keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), activation])


def built(*shapes):
    return keras.Sequential([keras.Input(shapes[0]), keras.layers.Dense(shapes[1])])


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: small(loss="log"), "`loss` is 'log', expected 'minimax', "),
        (lambda: small(average=1.0), "`average` is 1.0, expected a number between 0 and 1"),
        (lambda: small(latent="cauchy"), "`latent` is 'cauchy', expected 'normal' or 'uniform'"),
        (
            lambda: small(discriminator_steps=2, simultaneous=True),
            "`discriminator_steps` is 2 and `simultaneous` is True, expected one step",
        ),
        (
            lambda: GAN(small().generator, ends_in(keras.layers.Dense(1, "sigmoid"))),
            "`discriminator` ends in the activation 'sigmoid', expected the logit itself",
        ),
        (
            lambda: GAN(small().generator, ends_in(keras.layers.Dense(2))),
            r"`discriminator` gives \[\(2,\)\], expected \[\(1,\)\]: one logit",
        ),
        (
            lambda: GAN(built((3,), 2), built((3,), 1)),
            r"`discriminator` takes examples of shape \(3,\), but `generator` gives \(2,\)",
        ),
        (
            lambda: GAN(keras.Sequential([keras.layers.Dense(2)]), built((2,), 1)),
            "`generator` has no inputs yet, expected a functional or built Sequential model",
        ),
        (lambda: GAN(built((3,), 2), built((2,), 1), classes=4), "expected one input for "),
        (lambda: GAN(None, built((2,), 1)), "`generator` is of type NoneType, expected a Keras"),
        (
            lambda: normalized(loss="wasserstein"),
            "`discriminator` has batch normalization, expected none",
        ),
        (lambda: small().compile(loss="mse"), "`loss` is 'mse', expected none: a GAN's"),
        (lambda: small().compile(metrics=["mae"]), "`metrics` is given to `compile`"),
        (lambda: small().sample(0), "`count` is 0, expected a whole number of at least 1"),
        (lambda: small().sample(2, labels=1), "`labels` are given, expected none"),
        (lambda: small(classes=2).sample(2, labels=2), "`labels` holds labels from 2 to 2"),
        (lambda: small(classes=2).sample(3, labels=[1, 0]), "`labels` has 2, expected 1 or 3"),
        (lambda: small().generate(np.zeros((2, 4))), r"`z` has shape \(2, 4\), expected"),
        (lambda: nets.dcgan_generator((30, 31, 1)), r"`output_shape` is \(30, 31, 1\), expected"),
        (lambda: nets.dcgan_discriminator((28, 28)), r"`input_shape` is \(28, 28\), expected"),
    ],
)
@pytest.mark.home("torch")
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.home("torch")
def test_bad_data(x):
    z, labels = np.zeros((48, 3), "float32"), np.arange(48) % 2
    model, conditional = sgd(small()), sgd(small(classes=2))
    for fit, data, message in [
        (model.fit, ({"x": x},), r"`x` has the entries \['x'\], expected 'x' and 'z'"),
        (model.fit, ({"x": x, "z": z[:, :2]},), r"`z` has shape \(48, 2\), expected"),
        (model.fit, ({"x": x, "z": z[:9]},), "`x` has 48, `z` has 9"),
        (model.fit, ({"x": x, "z": z + np.nan},), "`z` holds NaN"),
        (model.fit, (x, labels), "`y` is given, expected none, or `classes`"),
        (model.fit, (2 * x - 1,), "expected values from 0 to 1, as `generator` ends in"),
        (conditional.fit, (x,), "`y` is None, expected a label for each example"),
        (conditional.fit, (x, labels + 1), "`y` holds labels from 1 to 2, expected whole numbers"),
        (conditional.fit, (x, labels[:9]), "`x` has 48, `y` has 9"),
    ]:
        with pytest.raises(ValueError, match=message):
            fit(*data, verbose=0)
    for method, name, values in ((model.discriminate, "x", x), (model.generate, "z", z + 0.9)):
        with pytest.raises(ValueError, match=f"`{name}` holds integers up to 229, expected scaled"):
            method((255 * values).astype("uint8"))
