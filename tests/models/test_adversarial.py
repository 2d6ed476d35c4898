import functools

import keras
import numpy as np
import pytest
from contract import assert_round_trips
from contract_games import assert_game_contract, assert_goes_on_after_saving, compiled, fit

from kerasae import nets
from kerasae.datasets import toys
from kerasae.evaluation.samples import energy_distance
from kerasae.models.adversarial import AdversarialAutoencoder
from kerasae.models.semi_supervised import SemiSupervisedAdversarialAutoencoder
from kerasae.probability.priors import MixturePrior, PseudoInputs, SamplesPrior

PARTS = {"reconstruction", "discriminator", "generator"}
CLASS_PARTS = PARTS | {"class_discriminator", "class_generator", "cross_entropy", "accuracy"}


def networks(code_size=2):
    return nets.mlp((8, 8, 1), code_size, units=(16,))


def small(**arguments):
    return AdversarialAutoencoder(*networks(), nets.mlp_encoder((2,), 1, (16,)), **arguments)


def everything_on(**arguments):
    """Batch normalisation and dropout in the encoder and the discriminator, noise, a penalty."""
    layers = keras.layers
    encoder = [keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(16)]
    encoder += [layers.BatchNormalization(momentum=0.9), layers.LeakyReLU(), layers.Dense(2)]
    discriminator = [keras.Input((2,)), layers.Dense(16, "relu", kernel_regularizer="l2")]
    discriminator += [layers.Dropout(0.1, seed=2), layers.Dense(1)]
    return AdversarialAutoencoder(
        keras.Sequential(encoder),
        networks()[1],
        keras.Sequential(discriminator),
        corruption=layers.GaussianNoise(0.1, seed=4),
        penalty=keras.regularizers.L1(1e-3),
        **arguments,
    )


def labelled(prior=None):
    prior = prior or MixturePrior.ring(3)
    return AdversarialAutoencoder(*networks(), prior=prior, classes=3)


def semi_supervised(**arguments):
    return SemiSupervisedAdversarialAutoencoder(
        *networks(2 + 3),
        classes=3,
        discriminator=nets.mlp_encoder((2,), 1, (16,)),
        class_discriminator=nets.mlp_encoder((3,), 1, (16,)),
        **arguments,
    )


def labels(x):
    """Three classes, and −1 for every fourth example."""
    return np.where(np.arange(len(x)) % 4 == 0, -1, np.arange(len(x)) % 3)


def test_contract(x, other_backends, tmp_path):
    parts = PARTS | {"penalty"}
    assert_game_contract(
        everything_on,
        x,
        other_backends,
        tmp_path,
        parts,
        loss="binary_crossentropy",
        others={"seed": 3},
    )


@pytest.mark.home("tensorflow")
def test_contract_of_the_semi_supervised_one(x, other_backends, tmp_path):
    assert_game_contract(
        semi_supervised, x, other_backends, tmp_path, CLASS_PARTS, labels(x), loss="mse"
    )


@pytest.mark.parametrize("prior", ["mixture", "samples"])
@pytest.mark.home("torch")
def test_round_trips_with_labels(prior, x, other_backends, tmp_path):
    if prior == "mixture":
        make = labelled
    else:
        points = np.random.default_rng(0).normal(size=(9, 2))
        make = functools.partial(labelled, prior=SamplesPrior(points, np.arange(9) % 3))
    assert_goes_on_after_saving(functools.partial(compiled, make, "mse"), x, labels(x), tmp_path)
    model = compiled(make, "mse")
    fit(model, x, labels(x), epochs=1)
    assert_round_trips(model, x, other_backends, tmp_path, labels(x))


def linear(rng, label=0):
    """Linear networks, of which every gradient is a line: h = xW, x̂ = hV, a = (h, label) u + b."""
    dense = functools.partial(keras.layers.Dense, use_bias=False)
    encoder = keras.Sequential([keras.Input((4,)), dense(2)])
    decoder = keras.Sequential([keras.Input((2,)), dense(4)])
    code = [keras.Input((2,))] + ([keras.Input((label,))] if label else [])
    joined = keras.layers.Concatenate()(code) if label else code[0]
    discriminator = keras.Model(code, keras.layers.Dense(1)(joined))
    for network in (encoder, decoder, discriminator):
        network.set_weights([rng.normal(size=w.shape) for w in network.get_weights()])
    return encoder, decoder, discriminator


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def softplus(a):
    return np.logaddexp(0, a)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_round_follows_the_mathematics(weighted):
    rng = np.random.default_rng(0)
    networks = linear(rng)
    (W,), (V,), (u, b) = ([w.astype("float64") for w in n.get_weights()] for n in networks)
    x, z = rng.normal(size=(8, 4)), rng.normal(size=(8, 2))
    w = rng.uniform(0.5, 2, size=8) if weighted else np.ones(8)
    model = AdversarialAutoencoder(*networks)
    rates = {"reconstruction": 0.3, "discriminator": 0.2, "generator": 0.1}
    model.compile({player: keras.optimizers.SGD(rate) for player, rate in rates.items()})
    history = model.fit(
        {"x": x.astype("float32"), "z": z.astype("float32")},
        sample_weight=w.astype("float32") if weighted else None,
        batch_size=8,
        verbose=0,
    ).history

    error = x @ W @ V - x  # L = mean of w error² over examples and their four numbers
    expected = {"reconstruction": (w[:, None] * error**2).mean()}
    slope = 2 * w[:, None] * error / error.size
    W, V = W - 0.3 * x.T @ slope @ V.T, V - 0.3 * (x @ W).T @ slope
    real, fake = z @ u[:, 0] + b, x @ W @ u[:, 0] + b  # the codes have moved
    expected["discriminator"] = (w * (softplus(-real) + softplus(fake)) / 2).mean()
    at_real, at_fake = -w * sigmoid(-real) / 16, w * sigmoid(fake) / 16
    u = u - 0.2 * (z.T @ at_real + (x @ W).T @ at_fake)[:, None]
    b = b - 0.2 * (at_real + at_fake).sum()
    fake = x @ W @ u[:, 0] + b  # and so has D
    expected["generator"] = (w * softplus(-fake) / 2).mean()
    W = W - 0.1 * np.outer(x.T @ (-w * sigmoid(-fake) / 16), u[:, 0])

    for network, weights in zip(networks, [[W], [V], [u, b]], strict=True):
        for found, value in zip(network.get_weights(), weights, strict=True):
            np.testing.assert_allclose(found, value, rtol=2e-5, atol=2e-6)
    for name, value in expected.items():
        np.testing.assert_allclose(history[name], [value], rtol=1e-5)
    np.testing.assert_allclose(history["loss"], [sum(expected.values())], rtol=1e-5)


def test_the_discriminator_sees_labels_and_the_class_of_none():
    rng = np.random.default_rng(0)
    networks = linear(rng, label=4)
    (W,), _, (u, b) = (network.get_weights() for network in networks)
    model = AdversarialAutoencoder(*networks, prior=MixturePrior.ring(3), classes=3)
    model.compile("sgd")
    x, z = (rng.normal(size=(8, size)).astype("float32") for size in (4, 2))
    y = np.array([0, 1, 2, -1, -1, 2, 1, 0])
    found = model.evaluate({"x": x, "z": z}, y, verbose=0, return_dict=True)
    of_label = u[2:, 0][y]  # −1 counts from the end: the last one is the class of none
    real, fake = z @ u[:2, 0] + of_label + b, x @ W @ u[:2, 0] + of_label + b
    expected = (softplus(-real) + softplus(fake)).mean() / 2
    assert found["discriminator"] == pytest.approx(expected, rel=1e-5)
    assert found["generator"] == pytest.approx(softplus(-fake).mean() / 2, rel=1e-5)


def test_regularizers_count_once_and_for_their_own_player(x):
    model = everything_on()
    model.compile("sgd", "mse", metrics=["mse"])
    found = model.evaluate(x, verbose=0, return_dict=True)
    l2 = 0.01 * np.square(model.discriminator.layers[0].kernel.numpy()).sum()
    parts = ("reconstruction", "penalty", "discriminator", "generator")
    assert found["loss"] == pytest.approx(sum(found[part] for part in parts) + l2, rel=1e-5)
    assert found["reconstruction"] == pytest.approx(found["mse"], rel=1e-5)
    penalty = 1e-3 * np.abs(model.encode(x)).sum(1).mean()
    assert found["penalty"] == pytest.approx(penalty, rel=1e-5)
    # The discriminator stands still but for its regularizer, where nothing else pulls.
    silent = np.zeros(len(x), "float32")
    kernel = model.discriminator.layers[0].kernel.numpy()
    model.compile(keras.optimizers.SGD(0.5), "mse")
    history = model.fit(x, sample_weight=silent, batch_size=len(x), verbose=0).history
    assert history["penalty"][0] == 0  # a weight counts for all terms
    moved = model.discriminator.layers[0].kernel.numpy()
    np.testing.assert_allclose(moved, kernel * (1 - 0.5 * 2 * 0.01), rtol=1e-5)


def test_validation_repeats_itself(x):
    for make, y in ((small, None), (semi_supervised, labels(x))):
        model = make()
        model.compile(loss="mse")
        once, again = (model.evaluate(x, y, verbose=0) for _ in range(2))
        assert once == again


def test_targets_and_streams(x):
    model = small()
    model.compile(loss="mse", metrics=["mae"])
    found = model.evaluate(x, 1 - x, verbose=0, return_dict=True)
    off = model.predict(x, verbose=0) - (1 - x)
    assert found["reconstruction"] == pytest.approx(np.square(off).mean(), rel=1e-4)
    assert found["mae"] == pytest.approx(np.abs(off).mean(), rel=1e-4)
    history = model.fit(((x[i : i + 16],) for i in (0, 16, 32)), verbose=0).history
    assert np.isfinite(history["loss"]).all()


def points(count=600, seed=0):
    """Three clusters in the plane, seen through a linear map to 6 numbers, and their classes."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, count)
    flat = rng.normal(size=(count, 2)) * [0.4, 0.7] + np.array([[-2, 0], [0.5, 2.5], [2, -1]])[y]
    return (flat @ np.random.default_rng(9).normal(size=(2, 6))).astype("float32"), y


def trained(prior=None, adversary=True, classes=None, epochs=25):
    keras.utils.set_random_seed(3)
    x, y = points()
    networks = nets.mlp((6,), 2, units=(64,), output_activation="linear")
    discriminator = None if classes else nets.mlp_encoder((2,), 1, (64, 64), "leaky_relu")
    model = AdversarialAutoencoder(*networks, discriminator, prior, classes)
    rates = {"reconstruction": 2e-3, "discriminator": 2e-3, "generator": 2e-3 if adversary else 0.0}
    optimizers = {player: keras.optimizers.Adam(rate, beta_1=0.5) for player, rate in rates.items()}
    model.compile(optimizers)
    model.fit(x, y if classes else None, batch_size=50, epochs=epochs, verbose=0)
    return model


@pytest.mark.parametrize(
    "prior",
    [None, MixturePrior.ring(3), SamplesPrior(2 * toys.spiral(2000))],
    ids=["normal", "ring", "spiral"],
)
@pytest.mark.home("jax")
def test_codes_take_the_shape_of_the_prior(prior):
    x, _ = points(seed=1)  # examples it was not trained on
    model, plain = trained(prior), trained(prior, adversary=False)
    drawn = model.sample_prior(len(x), seed=1)
    distance, without = (energy_distance(each.encode(x), drawn) for each in (model, plain))
    assert distance < 0.1 * without
    # And the code still says what x is: better than the mean does, which tells nothing.
    error = np.square(model.reconstruct(x) - x).mean()
    assert error < 0.2 * np.square(x - x.mean(0)).mean()


@pytest.mark.home("tensorflow")
def test_classes_take_their_parts_of_the_prior():
    """A generator that is faster than the others: 15 of 15 runs, where equal rates get 8 of 12."""

    def corners(seed):
        rng = np.random.default_rng(seed)
        y = rng.integers(0, 3, 600)
        return (2 * np.eye(6)[y] + 0.3 * rng.normal(size=(600, 6))).astype("float32"), y

    keras.utils.set_random_seed(3)
    networks = nets.mlp((6,), 2, units=(64,), output_activation="linear")
    model = AdversarialAutoencoder(*networks, prior=MixturePrior.ring(3), classes=3)
    rates = {"reconstruction": 1e-3, "discriminator": 2e-4, "generator": 2e-3}
    model.compile({name: keras.optimizers.Adam(rate, beta_1=0.5) for name, rate in rates.items()})
    model.fit(*corners(0), batch_size=50, epochs=40, verbose=0)
    centres = model.sample_prior(3 * 50, np.repeat(np.arange(3), 50), seed=0)
    centres = centres.reshape(3, 50, 2).mean(1)
    np.testing.assert_allclose(centres, model.prior.means, atol=0.3)
    x, y = corners(1)  # examples it was not trained on
    nearest = np.square(model.encode(x)[:, None] - centres).sum(-1).argmin(1)
    assert (nearest == y).mean() > 0.95
    # So a sample for a label looks like the examples of that class, and not like those of others.
    for label in range(3):
        sample = model.sample(100, label, seed=label)
        distances = [energy_distance(sample, x[y == each]) for each in range(3)]
        assert np.argmin(distances) == label


@pytest.mark.home("tensorflow")
def test_few_labels_are_enough():
    keras.utils.set_random_seed(3)
    x, y = points()
    few = np.where(np.arange(len(x)) < 12, y, -1)
    networks = nets.mlp((6,), 2 + 3, units=(64,), output_activation="linear")
    discriminators = [nets.mlp_encoder((n,), 1, (64,), "leaky_relu") for n in (2, 3)]
    model = SemiSupervisedAdversarialAutoencoder(*networks, 3, *discriminators)
    # With equal rates classes can be settled before the labels are heard: 2 of 18 runs, and none
    # of 10 where the classifier is faster.
    rates = {**dict.fromkeys(model.player_variables(), 2e-3), "classifier": 1e-2}
    model.compile({name: keras.optimizers.Adam(rate, beta_1=0.5) for name, rate in rates.items()})
    x_test, y_test = points(seed=1)
    x_all, y_all = np.concatenate([x, *[x[:12]] * 10]), np.concatenate([few, *[few[:12]] * 10])
    model.fit(x_all, y_all, batch_size=50, epochs=15, verbose=0)
    assert (model.classify(x_test) == y_test).mean() > 0.95
    found = model.evaluate(x_test, y_test, verbose=0, return_dict=True)
    assert found["accuracy"] == pytest.approx((model.classify(x_test) == y_test).mean(), abs=1e-6)
    # Each class has its examples' looks, whatever z is.
    for label in range(3):
        sample = model.sample(100, label, seed=label)
        distances = [energy_distance(sample, x[y == each]) for each in range(3)]
        assert np.argmin(distances) == label


@pytest.mark.home("torch")
def test_cross_entropy_is_of_labelled_examples_alone(x):
    model = semi_supervised()
    model.compile(loss="mse")
    y = labels(x)
    found = model.evaluate(x, y, verbose=0, return_dict=True)
    p = model.encode(x)[:, 2:][y >= 0]
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)
    y = y[y >= 0]
    assert found["cross_entropy"] == pytest.approx(-np.log(p[np.arange(len(y)), y]).mean(), 1e-4)
    assert found["accuracy"] == pytest.approx((p.argmax(1) == y).mean(), rel=1e-5)
    found = model.fit(x, np.full(len(x), -1), verbose=0).history
    assert found["cross_entropy"] == [0] and np.isfinite(found["loss"]).all()


@pytest.mark.home("tensorflow", "torch")
def test_samples(x):
    model = labelled()
    for labels, seed in ((None, 0), (2, 1), ([0, 1, 2, -1], None)):
        assert model.sample(4, labels, seed).shape == (4, 8, 8, 1)
    np.testing.assert_array_equal(model.sample(3, 1, seed=5), model.sample(3, [1, 1, 1], seed=5))
    assert np.abs(model.sample(3) - model.sample(3)).max() > 0
    codes = model.sample_prior(300, -1, seed=0)  # any class
    nearest = np.square(codes[:, None] - np.asarray(model.prior.means)).sum(-1).argmin(1)
    assert np.bincount(nearest, minlength=3).min() > 50
    model = semi_supervised()
    codes = model.sample_prior(300, [0] * 150 + [-1] * 150, seed=0)[:, 2:]
    assert (codes[:150].argmax(1) == 0).all() and set(codes.ravel()) == {0, 1}
    assert np.bincount(codes[150:].argmax(1)).min() > 30
    assert model.interpolate(x[:2], x[2:4], steps=3).shape == (2, 3, 8, 8, 1)


@pytest.mark.home("tensorflow", "torch")
def test_networks_without_shapes_and_codes_that_are_maps(x):
    layers = keras.layers
    encoder, decoder = keras.Sequential([layers.Flatten(), layers.Dense(2)]), networks()[1]
    model = AdversarialAutoencoder(encoder, decoder)
    with pytest.raises(ValueError, match="no weights yet, expected a built model"):
        model.sample(3)
    model.compile(loss="mse")
    model.fit(x, verbose=0)
    assert model.discriminator.input_shape == (None, 2)
    model = AdversarialAutoencoder(*nets.convolutional((8, 8, 1), None, (4, 2)))
    model.compile(loss="mse")
    assert np.isfinite(model.fit(x, verbose=0).history["loss"]).all()
    assert model.sample_prior(3).shape == (3, 2, 2, 2)


def discriminator(shape=(2,), size=1, activation="linear"):
    return nets.mlp_encoder(shape, size, (4,), code_activation=activation)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"discriminator": "mlp"}, "`discriminator` is of type str, expected a Keras model"),
        ({"discriminator": discriminator((3,))}, r"`discriminator` takes \[\(3,\)\], expected"),
        ({"discriminator": discriminator(size=2)}, r"gives \[\(2,\)\], expected \[\(1,\)\]"),
        ({"discriminator": discriminator(activation="sigmoid")}, "'sigmoid', expected the logit"),
        ({"discriminator": keras.Sequential()}, "`discriminator` has no inputs yet"),
        ({"prior": "normal"}, "`prior` is of type str, expected one of"),
        ({"prior": MixturePrior(3, learned=True)}, "`prior` is a MixturePrior with weights to"),
        ({"prior": PseudoInputs(3)}, "`prior` is a PseudoInputs with weights to learn"),
        ({"prior": SamplesPrior(np.zeros((5, 3)))}, r"points of shape \(3,\), but codes have \(2,"),
        ({"classes": 1}, "`classes` is 1, expected a whole number of at least 2"),
        ({"classes": 3}, "`prior` has no components, expected one for each of 3 `classes`"),
        ({"classes": 3, "prior": MixturePrior.ring(4)}, "`prior` has 4 components, expected"),
    ],
)
@pytest.mark.home("torch")
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        AdversarialAutoencoder(*networks(), **arguments)


@pytest.mark.home("torch")
def test_bad_arguments_of_the_semi_supervised_one():
    with pytest.raises(
        ValueError, match=r"codes of shape \(3,\), expected a vector of more than 3"
    ):
        SemiSupervisedAdversarialAutoencoder(*networks(3), classes=3)
    with pytest.raises(
        ValueError, match=r"`class_discriminator` takes \[\(2,\)\], expected \[\(3,"
    ):
        SemiSupervisedAdversarialAutoencoder(
            *networks(5), classes=3, class_discriminator=discriminator()
        )


@pytest.mark.home("torch")
def test_bad_data(x):
    model = small()
    model.compile(loss="mse")
    z = np.zeros((len(x), 2), "float32")
    for data, message in (
        ({"x": x}, r"`x` has the entries \['x'\], expected 'x' and 'z'"),
        ({"x": x, "z": z[1:]}, "`x` has 48, `z` has 47"),
        ({"x": x, "z": z[:, :1]}, r"`z` has shape \(48, 1\), expected \(examples, 2\)"),
        ({"x": x, "z": z + np.inf}, "`z` holds NaN or infinite values"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(data, verbose=0)
    with pytest.raises(ValueError, match="`labels` are given, expected none"):
        model.sample(3, labels=1)
    with pytest.raises(ValueError, match="`count` is 0, expected a whole number"):
        model.sample(0)
    for model in (labelled(), semi_supervised()):
        model.compile(loss="mse")
        with pytest.raises(ValueError, match="`y` is None, expected a label for each example"):
            model.fit(x, verbose=0)
        with pytest.raises(ValueError, match="from 0 to 3, expected whole numbers from 0 to 2"):
            model.fit(x, np.arange(len(x)) % 4, verbose=0)
        with pytest.raises(ValueError, match="`labels` has 2, expected 1 or 3"):
            model.sample(3, labels=[0, 1])


@pytest.mark.home("jax")
def test_style_tells_nothing_of_the_class():
    """Both are drawn from one number: the noise of the one must not be the other's."""
    networks = nets.mlp((8, 8, 1), code_size=2 + 2, units=())
    model = SemiSupervisedAdversarialAutoencoder(*networks, classes=2)
    code = model.sample_prior(2000, seed=0)
    for style in (code[:, 0], code[:, 1], code[:, 0] - code[:, 1]):
        assert abs(np.corrcoef(style, code[:, 2])[0, 1]) < 0.1
