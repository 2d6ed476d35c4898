import keras
import numpy as np
import pytest
from contract import assert_contract
from keras import layers, ops

from kerasae import Autoencoder, ContractiveAutoencoder, nets
from kerasae.corruptions import MaskingNoise
from kerasae.engine.derivatives import squared_jacobian_norm
from kerasae.penalties import Contractive


def dense(weight=0.01, **arguments):
    networks = nets.mlp((8, 8, 1), code_size=12, units=(), code_activation="sigmoid")
    return ContractiveAutoencoder(*networks, weight=weight, **arguments)


def deep(weight=0.01, **arguments):
    networks = nets.mlp((8, 8, 1), code_size=3, units=(16,), activation="tanh")
    return ContractiveAutoencoder(*networks, weight=weight, **arguments)


def convolutional(**arguments):
    networks = nets.convolutional((8, 8, 1), code_size=4, filters=(4, 8))
    return ContractiveAutoencoder(*networks, weight=1e-3, **arguments)


def normalised(activity=1e-4, **arguments):
    """An encoder with state, randomness and a loss of its own, unbuilt."""
    regularizer = keras.regularizers.L2(activity) if activity else None
    encoder = keras.Sequential(
        [
            layers.Flatten(),
            layers.Dense(16, "relu", activity_regularizer=regularizer),
            layers.BatchNormalization(momentum=0.5),
            layers.Dropout(0.1, seed=3),
            layers.Dense(3),
        ]
    )
    decoder = keras.Sequential([layers.Dense(64, "sigmoid"), layers.Reshape((8, 8, 1))])
    return ContractiveAutoencoder(encoder, decoder, weight=1e-3, **arguments)


@pytest.mark.parametrize(
    ("make_model", "method", "epochs"),
    [
        (dense, "exact", 3),
        pytest.param(convolutional, "exact", 3, marks=pytest.mark.home("torch")),
        pytest.param(normalised, "projections", 8, marks=pytest.mark.home("tensorflow")),
    ],
)
def test_contract(make_model, method, epochs, x, other_backends, tmp_path):
    def make():
        return make_model(method=method)

    of_class = make_model is dense
    others = {"method": "projections", "seed": 3}
    assert_contract(
        make, x, other_backends, tmp_path, epochs=epochs, of_class=of_class, others=others
    )


def finite_differences(f, array, entries, step=1e-4):
    """∂f/∂array at a few entries, in float64, by central differences."""
    found = []
    for entry in entries:
        kept = array[entry]
        array[entry] = kept + step
        above = f()
        array[entry] = kept - step
        found.append((above - f()) / (2 * step))
        array[entry] = kept
    return np.array(found)


def one_step(model, x, rate=0.1):
    """The gradient of Ω alone, as a compiled training step applies it."""
    model.compile(keras.optimizers.SGD(rate), lambda y, output: 0 * (y - output))
    before = [weight.copy() for weight in model.encoder.get_weights()]
    history = model.fit(x, batch_size=len(x), verbose=0).history
    after = model.encoder.get_weights()
    return history["penalty"][0], [(b - a) / rate for b, a in zip(before, after, strict=True)]


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def test_a_training_step_follows_the_formula(x):
    """λ Σ_j (h_j (1 − h_j))² Σ_i W_ij², averaged over the batch, and its gradient."""
    model = dense()
    kernel, bias = (weight.astype("float64") for weight in model.encoder.get_weights())
    flat = x.reshape(len(x), -1).astype("float64")

    def omega():
        h = sigmoid(flat @ kernel + bias)
        return 0.01 * np.mean(np.sum((h * (1 - h)) ** 2 * np.sum(kernel**2, axis=0), axis=1))

    value, (by_kernel, by_bias) = one_step(model, x)
    assert value == pytest.approx(omega(), rel=1e-5)
    entries = [(0, 0), (20, 5), (63, 11)]
    expected = finite_differences(omega, kernel, entries)
    np.testing.assert_allclose([by_kernel[e] for e in entries], expected, rtol=1e-2, atol=1e-7)
    expected = finite_differences(omega, bias, [0, 7])
    np.testing.assert_allclose(by_bias[[0, 7]], expected, rtol=1e-2, atol=1e-7)


def softmax_encoder(size, code_size):
    """An encoder without a closed form."""
    encoder = keras.Sequential([keras.Input((size,)), layers.Dense(code_size, "softmax")])
    decoder = keras.Sequential([keras.Input((code_size,)), layers.Dense(size)])
    return ContractiveAutoencoder(encoder, decoder, weight=1.0)


@pytest.mark.parametrize(("size", "code_size"), [(6, 3), (3, 6)])
def test_a_training_step_differentiates_any_encoder(size, code_size):
    """Reverse mode and forward mode, differentiated once more within the step."""
    model = softmax_encoder(size, code_size)
    kernel, bias = (weight.astype("float64") for weight in model.encoder.get_weights())
    x = np.random.default_rng(1).normal(size=(5, size)).astype("float32")

    def omega():
        h = np.exp(x @ kernel + bias)
        h /= h.sum(1, keepdims=True)
        inner = h[:, :, None] * np.eye(code_size) - h[:, :, None] * h[:, None, :]
        return np.mean(np.sum((inner @ kernel.T) ** 2, axis=(1, 2)))

    value, (by_kernel, _) = one_step(model, x)
    assert value == pytest.approx(omega(), rel=1e-5)
    entries = [(0, 0), (2, 1), (1, 2)]
    expected = finite_differences(omega, kernel, entries)
    np.testing.assert_allclose([by_kernel[e] for e in entries], expected, rtol=1e-3, atol=1e-6)


def test_projections_have_the_exact_gradient_on_average():
    exact = softmax_encoder(6, 3)
    random = ContractiveAutoencoder(
        exact.encoder, exact.decoder, 1.0, "projections", projections=4000, seed=1
    )
    start = exact.get_weights()
    x = np.random.default_rng(1).normal(size=(5, 6)).astype("float32")
    value, (expected, _) = one_step(exact, x)
    exact.set_weights(start)
    estimate, (found, _) = one_step(random, x)
    assert estimate == pytest.approx(value, rel=0.05)
    np.testing.assert_allclose(found, expected, atol=0.05 * np.abs(expected).max())


@pytest.mark.parametrize("method", ["exact", "projections"])
def test_the_encoder_runs_only_once_as_far_as_anyone_can_see(method, x):
    """One update of the moving statistics in a step, and one activity loss."""
    model = normalised(method=method)
    model.compile("sgd", "mse")
    model.build((None, 8, 8, 1))
    hidden, norm = model.encoder.layers[1:3]
    batch = ops.convert_to_numpy(hidden(x.reshape(len(x), -1)))
    model.fit(x, batch_size=len(x), epochs=1, verbose=0)
    # moving ← ½ · 0 + ½ · mean
    np.testing.assert_allclose(norm.moving_mean.numpy(), batch.mean(0) / 2, 1e-4, 1e-6)

    values = model.evaluate(x, batch_size=len(x), verbose=0, return_dict=True)
    hidden(x.reshape(len(x), -1))
    (activity,) = hidden.losses  # Keras 3.12 sums it over the batch, later versions average it
    activity = float(ops.convert_to_numpy(activity))
    total = values["reconstruction"] + values["penalty"] + activity
    assert values["loss"] == pytest.approx(total, rel=1e-5)
    assert values["reconstruction"] == pytest.approx(
        np.mean((model.reconstruct(x) - x) ** 2), rel=1e-4
    )


@pytest.mark.parametrize("method", ["exact", "projections"])
def test_taken_where_the_encoder_is_and_as_it_is_outside_training(method):
    """At x̃, without the encoder's own dropout: here h = x̃² / 2 and ∂h/∂x = x̃."""

    class Half(layers.Layer):
        def call(self, x, training=False):
            return x / 2 if training else x

    class Square(keras.Model):
        def call(self, x, training=False):
            return 1e3 * x if training else x**2 / 2

    decoder = keras.Sequential([layers.Dense(1)])
    penalty = Contractive(1.0, method, projections=3000, seed=0)
    model = Autoencoder(Square(), decoder, Half(), penalty)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    x = np.array([[1.0], [3.0]], "float32")
    values = model.fit(x, validation_data=(x,), verbose=0).history
    assert values["penalty"][0] == pytest.approx((0.25 + 2.25) / 2, rel=0.1)
    assert values["val_penalty"][0] == pytest.approx((1 + 9) / 2, rel=0.1)


def test_directions_are_new_in_training_and_fixed_elsewhere():
    x = ops.ones((2, 3))
    penalty = Contractive(1.0, "projections", seed=5)
    penalty.build((None, 3))

    def draws(training):
        draws = [penalty(x, x, encoder=lambda x: x * x, training=training) for _ in range(3)]
        return [float(ops.convert_to_numpy(each)[0]) for each in draws]

    assert len(set(draws(True))) == 3
    assert len(set(draws(False))) == 1


def test_predict_asks_for_no_penalty(x):
    asked = []

    class Watched(Contractive):
        def call(self, code, x, encoder=None, training=False):
            asked.append(training)
            return super().call(code, x, encoder, training)

    model = Autoencoder(*nets.mlp((8, 8, 1), code_size=3), penalty=Watched(1.0))
    model.compile()
    assert model.predict(x, verbose=0).shape == x.shape
    assert not asked
    model.evaluate(x, verbose=0)
    assert asked


@pytest.mark.parametrize(
    ("make_model", "arguments"),
    [
        (deep, {}),
        (convolutional, {}),
        # Keras on TensorFlow cannot add an activity's loss in float16 to others in float32.
        (normalised, {"method": "projections", "activity": None}),
    ],
)
def test_mixed_precision(make_model, arguments, x):
    keras.config.set_dtype_policy("mixed_float16")
    model = make_model(**arguments)
    model.compile()
    history = model.fit(x, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all() and history["penalty"][0] > 0
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


@pytest.mark.home("torch")
def test_a_contractive_code_stands_still(x):
    """With λ, and a corruption beside it, ‖∂f/∂x‖² ends far below what it is without."""
    norms = []
    for weight in (0.0, 0.1):
        keras.utils.set_random_seed(1)
        model = dense(weight=weight, corruption=MaskingNoise(0.1))
        model.compile(keras.optimizers.Adam(0.01), "mse")
        model.fit(x, epochs=20, verbose=0)
        norms.append(np.mean(ops.convert_to_numpy(squared_jacobian_norm(model.encoder, x))))
    assert norms[1] < norms[0] / 4


def test_another_penalty_adds_up(x):
    model = dense(weight=0.1, penalty=keras.regularizers.L1(0.01))
    model.compile()
    omega = model.evaluate(x, verbose=0, return_dict=True)["penalty"]
    norms = ops.convert_to_numpy(squared_jacobian_norm(model.encoder, x))
    expected = 0.1 * norms.mean() + 0.01 * np.abs(model.encode(x)).sum(axis=1).mean()
    assert omega == pytest.approx(expected, rel=1e-5)
    again = ContractiveAutoencoder.from_config(model.get_config())
    assert [type(penalty).__name__ for penalty in again.penalties] == ["Contractive", "L1"]


@pytest.mark.home("torch")
def test_arguments():
    with pytest.raises(ValueError, match="`method` is 'fast', expected 'exact' or 'projections'"):
        Contractive(1.0, method="fast")
    with pytest.raises(ValueError, match="`projections` is 0, expected a whole number of at least"):
        Contractive(1.0, "projections", projections=0)
    with pytest.raises(ValueError, match="`weight` is -1, expected a number of at least 0"):
        ContractiveAutoencoder(*nets.mlp((4,), code_size=2), weight=-1)
    tokens = keras.Input((4,), dtype="int32")
    embedded = layers.Flatten()(layers.Embedding(10, 2)(tokens))
    with pytest.raises(ValueError, match="`encoder` takes int32 inputs, expected floating-point"):
        ContractiveAutoencoder(keras.Model(tokens, embedded), keras.Sequential([layers.Dense(4)]))
