import keras
import numpy as np
import pytest
from keras import layers

from kerasae import nets
from kerasae.evaluation.features import (
    activation_statistics,
    first_layer_features,
    most_exciting,
    saturation,
)


def dense(activation, scale=1.0):
    encoder = nets.mlp_encoder((4, 5, 1), 6, units=(), code_activation=activation)
    rng = np.random.default_rng(0)
    encoder.set_weights([scale * rng.normal(size=(20, 6)), rng.normal(size=6)])
    return encoder


def in_closed_form(encoder):
    kernel = encoder.get_weights()[0]
    return (kernel / np.linalg.norm(kernel, axis=0)).T.reshape(6, 4, 5, 1)


def height(encoder, x):
    """z of each unit at its own inputs, `(units, starts)`."""
    kernel, bias = encoder.get_weights()[:2]
    x = x.reshape(*x.shape[:2], -1).astype("float64")
    return np.einsum("jsi,ij->js", x, kernel.astype("float64")) + bias[:, None]


# A scale of 20 saturates the sigmoid: from most starts it is exactly 0 or 1, without a slope.
@pytest.mark.parametrize(
    "activation, scale", [("sigmoid", 1), ("sigmoid", 20), ("tanh", 1), ("relu", 1), ("linear", 1)]
)
def test_ascent_ends_at_the_weights_and_never_above(activation, scale):
    encoder = dense(activation, scale)
    expected = in_closed_form(encoder)
    np.testing.assert_allclose(first_layer_features(encoder), expected, rtol=1e-5)
    found = most_exciting(encoder, starts=12, every_start=True)
    assert found.shape == (6, 12, 4, 5, 1)
    np.testing.assert_allclose(np.linalg.norm(found.reshape(72, -1), axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(found, np.repeat(expected[:, None], 12, axis=1), atol=2e-3)
    best = height(encoder, expected[:, None])
    assert (height(encoder, found) <= best + 1e-5 * np.abs(best)).all()


@pytest.mark.home("torch")
def test_units_batches_and_seeds():
    encoder = dense("sigmoid")
    every = most_exciting(encoder, starts=3, steps=5)
    some = most_exciting(encoder, units=[4, 1], starts=3, steps=5)
    assert some.shape == (2, 4, 5, 1) and every.shape == (6, 4, 5, 1)
    again = most_exciting(encoder, starts=3, steps=5, batch_size=6)
    np.testing.assert_allclose(again, every, rtol=1e-4, atol=1e-5)
    ends = [most_exciting(encoder, starts=3, steps=1, seed=seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(ends[0], ends[1])
    assert np.abs(ends[0] - ends[2]).max() > 0.05  # one step is too few to forget the start
    ends = most_exciting(encoder, starts=3, steps=1, every_start=True)
    heights = height(encoder, ends)
    assert (np.diff(heights, axis=1) <= 1e-6).all()  # the best first


def test_any_encoder():
    """h = max of two directions: two local maxima, of which several starts find the higher."""
    first = layers.Dense(2, "relu", use_bias=False)
    second = layers.Dense(1, use_bias=False)
    encoder = keras.Sequential([keras.Input((3,)), first, second])
    first.set_weights([np.array([[1.0, -1.0], [0.0, 0.0], [0.0, 0.0]])])
    second.set_weights([np.array([[1.0], [2.0]])])
    ends = most_exciting(encoder, starts=20, every_start=True)[0]
    np.testing.assert_allclose(ends[0], [-1, 0, 0], atol=1e-3)
    np.testing.assert_allclose(np.abs(ends[:, 0]), 1, atol=1e-3)
    assert (ends[:, 0] > 0).any() and (ends[:, 0] < 0).any()


@keras.saving.register_keras_serializable("tests")
class OwnNetwork(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden = layers.Dense(2)

    def call(self, x):
        return self.hidden(x)


def test_convolutional_normalised_and_subclassed_encoders():
    encoder = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            layers.Conv2D(2, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Conv2D(3, 3, activation="sigmoid"),
        ]
    )
    weights = encoder.get_weights()
    found = most_exciting(encoder, units=[0, 11], starts=2, steps=5)
    assert found.shape == (2, 6, 6, 1) and np.isfinite(found).all()
    for before, after in zip(weights, encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    random = np.random.default_rng(0).normal(size=(100, 6, 6, 1))
    random /= np.linalg.norm(random.reshape(100, -1), axis=1)[:, None, None, None]
    at_random = encoder.predict(random, verbose=0).reshape(100, -1)
    at_found = encoder.predict(found, verbose=0).reshape(2, -1)
    assert at_found[0, 0] > at_random[:, 0].max() and at_found[1, 11] > at_random[:, 11].max()

    found = most_exciting(OwnNetwork(), starts=1, steps=1, input_shape=(4,))
    assert found.shape == (2, 4)


@pytest.mark.home("torch")
def test_encoders_that_do_not_fit():
    with pytest.raises(
        ValueError, match=r"`encoder` begins with <Conv2D .*expected a `keras.layers"
    ):
        first_layer_features(nets.convolutional_encoder((8, 8, 1), 4))
    with pytest.raises(
        ValueError, match=r"expected a `keras.layers.Dense` with a rising activation"
    ):
        first_layer_features(dense("gelu"))
    with pytest.raises(ValueError, match="`encoder` takes inputs of shape None, expected sizes"):
        most_exciting(OwnNetwork())
    with pytest.raises(ValueError, match="`encoder` is of type str, expected a Keras model"):
        most_exciting("encoder")
    for units in ([6], [-1], [0.5]):
        with pytest.raises(ValueError, match=r"`units` is .*, expected whole numbers from 0 to 5"):
            most_exciting(dense("linear"), units)


@pytest.mark.home("torch")
def test_activation_statistics():
    codes = np.random.default_rng(0).normal(size=(40, 2, 4)).clip(0)
    codes[:, 0, 0], codes[:, 0, 1], codes[3] = (
        0,
        0.5,
        0,
    )  # a dead unit, a constant one, an empty code
    statistics = activation_statistics(codes)
    flat = codes.reshape(40, 8)
    np.testing.assert_allclose(statistics.mean, flat.mean(axis=0))
    np.testing.assert_allclose(statistics.inactive, (flat == 0).mean(axis=0))
    np.testing.assert_allclose(statistics.active, (flat > 0).mean(axis=1))
    assert statistics.dead.tolist() == [True] + [False] * 7
    unit = flat[:, 5]
    expected = (1 - unit.mean() ** 2 / (unit**2).mean()) / (1 - 1 / 40)
    assert statistics.lifetime_sparseness[5] == pytest.approx(expected)
    code = flat[7]
    expected = (1 - code.mean() ** 2 / (code**2).mean()) / (1 - 1 / 8)
    assert statistics.population_sparseness[7] == pytest.approx(expected)
    assert statistics.lifetime_sparseness[0] == 0 and statistics.population_sparseness[3] == 0
    tanh = activation_statistics(2 * codes - 1, inactive=-1)
    np.testing.assert_allclose(tanh.lifetime_sparseness, statistics.lifetime_sparseness, atol=1e-12)
    np.testing.assert_array_equal(tanh.dead, statistics.dead)


@pytest.mark.home("torch")
def test_sparseness_runs_from_0_to_1():
    one_hot = activation_statistics(np.eye(6))
    np.testing.assert_allclose(one_hot.lifetime_sparseness, 1)
    np.testing.assert_allclose(one_hot.population_sparseness, 1)
    equal = activation_statistics(np.ones((6, 5)))
    np.testing.assert_allclose(equal.lifetime_sparseness, 0)
    near = activation_statistics(np.full((6, 5), 1e-3), tolerance=1e-2)
    assert near.dead.all() and (near.inactive == 1).all() and (near.active == 0).all()
    single = activation_statistics(np.array([[1.0], [2.0]]))
    np.testing.assert_array_equal(single.population_sparseness, [0, 0])
    with pytest.raises(ValueError, match="expected at least two examples"):
        activation_statistics(np.eye(6)[:1])
    with pytest.raises(ValueError, match="`codes` holds NaN"):
        activation_statistics(np.eye(6) * np.nan)


@pytest.mark.home("torch")
def test_saturation():
    codes = np.linspace(0, 1, 2001)[None]
    assert saturation(codes) == pytest.approx(0.1, abs=2e-3)
    assert saturation(codes, margin=0.2) == pytest.approx(0.4, abs=2e-3)
    assert saturation(2 * codes - 1, (-1, 1)) == pytest.approx(0.1, abs=2e-3)
    assert saturation(np.array([[0.0, 1.0], [0.5, 0.6]])) == 0.5
    with pytest.raises(ValueError, match="holds values from -1 to 1, expected values in the"):
        saturation(2 * codes - 1)
    with pytest.raises(ValueError, match=r"`margin` is 0.5, expected a number between 0 and 0.5"):
        saturation(codes, margin=0.5)
