import keras
import numpy as np
import pytest
from contract import assert_contract
from keras import ops

from kerasae import Autoencoder, SparseAutoencoder, nets
from kerasae.corruptions import MaskingNoise
from kerasae.engine import derivatives
from kerasae.layers import TopK
from kerasae.penalties import MeanActivation

JAX = keras.backend.backend() == "jax"  # float64 is off there
FLOAT = "float32" if JAX else "float64"
TIGHT = {"rtol": 1e-4, "atol": 1e-6} if JAX else {"rtol": 1e-9, "atol": 1e-12}
MEANS = ("batch", "running", "set")


def tensor(values):
    return ops.convert_to_tensor(np.asarray(values), dtype=FLOAT)


def number(value):
    return float(ops.convert_to_numpy(value))


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def kl(target, share):
    return target * np.log(target / share) + (1 - target) * np.log((1 - target) / (1 - share))


def kl_slope(target, share):
    return -target / share + (1 - target) / (1 - share)


def squared(target, share):
    return (share - target) ** 2


def squared_slope(target, share):
    return 2 * (share - target)


DISTANCES = {"kl": (kl, kl_slope), "squared": (squared, squared_slope)}


# The formula.


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("interval", [(0, 1), (-1, 1), (0, 6)])
@pytest.mark.parametrize("shape", [(5,), (2, 3, 4)])
def test_value_is_the_sum_over_units(distance, interval, shape):
    low, high = interval
    h = np.random.default_rng(0).uniform(low, high, (30, *shape))
    share = (h.mean(axis=0) - low) / (high - low)
    expected = 3 * DISTANCES[distance][0](0.2, share).sum()
    for mean in MEANS:  # the batch's own mean stands for what is not measured yet
        penalty = MeanActivation(3, 0.2, distance, mean, interval, dtype=FLOAT)
        assert number(penalty(tensor(h))) == pytest.approx(expected, rel=1e-5)


def test_divergence_is_0_at_the_target_and_grows_towards_both_ends():
    shares = np.array([1e-9, 0.01, 0.1, 0.2, 0.3, 0.6, 0.9, 0.99, 1])
    penalty = MeanActivation(1, target=0.2)
    values = [number(penalty(tensor([[share]]))) for share in shares]
    assert values[3] == pytest.approx(0, abs=1e-7)
    assert (np.diff(values[:4]) < 0).all() and (np.diff(values[3:]) > 0).all()


@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("interval", [(0, 1), (-1, 1)])
@pytest.mark.home("torch")
def test_gradient_is_the_decks_delta(mean, distance, interval):
    """δ_j gets β (∂D/∂ρ̂_j) f'(z_j), averaged over the examples; the slide leaves f' off."""
    low, high = interval
    z = np.random.default_rng(0).normal(size=(12, 5))
    h = sigmoid(z) if low == 0 else np.tanh(z)
    slope_of_f = h * (1 - h) if low == 0 else 1 - h**2
    penalty = MeanActivation(3, 0.2, distance, mean, interval, dtype=FLOAT)
    penalty.build((None, 5))
    measured = h.mean(axis=0)
    if mean == "set":
        measured = np.random.default_rng(1).uniform(low, high, 5)  # any other than the batch's
        penalty.measure(measured)
    slope = DISTANCES[distance][1](0.2, (measured - low) / (high - low)) / (high - low)
    f = ops.sigmoid if low == 0 else ops.tanh
    found = derivatives.gradient(lambda z: penalty(f(z)), tensor(z))
    found = ops.convert_to_numpy(found)
    np.testing.assert_allclose(found, 3 * slope * slope_of_f / len(z), **TIGHT)
    as_printed = np.broadcast_to(3 * slope / len(z), z.shape)
    assert np.abs(found - as_printed).max() > 0.1 * np.abs(as_printed).max()


@pytest.mark.home("torch")
def test_with_the_sets_mean_the_batches_gradients_average_to_the_sets():
    rng = np.random.default_rng(0)
    x, weights = rng.normal(size=(48, 6)), rng.normal(size=(6, 5))
    batches = [x[:20], x[20:40], x[40:]]
    h = sigmoid(x @ weights)

    def averaged(mean):
        penalty = MeanActivation(1, 0.05, mean=mean, dtype=FLOAT)
        penalty.build((None, 5))
        if mean == "set":
            penalty.measure(h.mean(axis=0))
        gradients, values = [], []
        for batch in batches:

            def omega(weights, batch=batch):  # `matmul` would be float32 on PyTorch
                return penalty(ops.sigmoid(ops.einsum("ni,ij->nj", tensor(batch), weights)))

            gradients.append(ops.convert_to_numpy(derivatives.gradient(omega, tensor(weights))))
            values.append(number(omega(tensor(weights))))
        counts = [len(batch) for batch in batches]
        return np.average(gradients, axis=0, weights=counts), np.average(values, weights=counts)

    share = h.mean(axis=0)
    of_set = x.T @ (kl_slope(0.05, share) * h * (1 - h)) / len(x)
    gradient, value = averaged("set")
    np.testing.assert_allclose(gradient, of_set, **TIGHT)
    assert value == pytest.approx(kl(0.05, share).sum(), rel=1e-6)
    gradient, value = averaged("batch")
    assert np.abs(gradient - of_set).max() > 0.01 * np.abs(of_set).max()
    assert value > kl(0.05, share).sum() * 1.001  # Jensen: a mini-batch's is too large


@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("end, interval", [(0, (0, 1)), (1, (0, 1)), (-1, (-1, 1)), (1, (-1, 1))])
def test_extreme_activations_stay_finite(mean, distance, end, interval):
    penalty = MeanActivation(1, 0.05, distance, mean, interval)
    penalty.build((None, 3))
    code = np.full((4, 3), end, "float32")
    if mean == "set":
        penalty.measure(code.mean(axis=0))
    value = number(penalty(code))
    gradient = ops.convert_to_numpy(derivatives.gradient(penalty, code))
    away = -1 if end == interval[0] else 1  # from the inactive end up, from the active one down
    assert np.isfinite(value) and value > 0
    assert np.isfinite(gradient).all() and (np.sign(gradient) == away).all()


# Over an epoch.


class Nothing(keras.layers.Layer):
    """A decoder's layer that always says 0: what moves the encoder is Ω alone."""

    def call(self, code):
        return ops.zeros_like(code[:, :1])


def penalised(mean, **arguments):
    keras.utils.set_random_seed(2)
    encoder = nets.mlp_encoder((6,), 5, units=(), code_activation="sigmoid")
    decoder = keras.Sequential([keras.Input((5,)), Nothing()])
    penalty = MeanActivation(0.5, 0.05, mean=mean, **arguments)
    model = SparseAutoencoder(encoder, decoder, penalty)
    model.compile(optimizer=keras.optimizers.SGD(1.0), loss="mse")
    return model


def by_hand(kernel, bias, batch, share):
    """One step of stochastic gradient descent at a given ρ̂."""
    h = sigmoid(batch @ kernel + bias)
    delta = 0.5 * kl_slope(0.05, share) * h * (1 - h) / len(batch)
    return kernel - batch.T @ delta, bias - delta.sum(axis=0)


def test_fit_measures_the_set_before_each_epoch():
    x = np.random.default_rng(0).normal(size=(25, 6)).astype("float32")
    model = penalised("set")
    kernel, bias = model.encoder.get_weights()
    history = model.fit(x, np.zeros((25, 1)), 10, epochs=3, shuffle=False, verbose=0).history
    omegas = []
    for _ in range(3):
        share = sigmoid(x @ kernel + bias).mean(axis=0)  # frozen until the next epoch
        omegas.append(0.5 * kl(0.05, share).sum())
        for start in (0, 10, 20):
            kernel, bias = by_hand(kernel, bias, x[start : start + 10], share)
    np.testing.assert_allclose(model.encoder.get_weights()[0], kernel, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(history["penalty"], omegas, rtol=1e-4)
    again = model.evaluate(x, np.zeros((25, 1)), verbose=0, return_dict=True)
    assert again["penalty"] == pytest.approx(omegas[-1], rel=1e-4)  # ρ̂ as training left it


def test_running_mean_moves_in_training_only():
    x = np.random.default_rng(0).normal(size=(25, 6)).astype("float32")
    model = penalised("running", momentum=0.7)
    kernel, bias = model.encoder.get_weights()
    history = model.fit(x, np.zeros((25, 1)), 10, epochs=2, shuffle=False, verbose=0).history
    running, weight, omegas = 0.0, 0.0, []
    for start in (0, 10, 20) * 2:
        batch = x[start : start + 10]
        running = 0.7 * running + 0.3 * sigmoid(batch @ kernel + bias).mean(axis=0)
        weight = 0.7 * weight + 0.3
        omegas.append(0.5 * kl(0.05, running / weight).sum())
        kernel, bias = by_hand(kernel, bias, batch, running / weight)
    np.testing.assert_allclose(model.encoder.get_weights()[0], kernel, rtol=1e-4, atol=1e-6)
    last = np.average(omegas[3:], weights=[10, 10, 5])
    assert history["penalty"][-1] == pytest.approx(last, rel=1e-4)
    for _ in range(2):
        value = model.evaluate(x, np.zeros((25, 1)), verbose=0, return_dict=True)["penalty"]
        assert value == pytest.approx(omegas[-1], rel=1e-4)


@pytest.mark.parametrize("mean", MEANS)
def test_evaluation_before_any_training_takes_the_batchs_mean(mean):
    x = np.random.default_rng(0).normal(size=(25, 6)).astype("float32")
    model = penalised(mean)
    omega = model.evaluate(x, np.zeros((25, 1)), verbose=0, return_dict=True)["penalty"]
    expected = 0.5 * kl(0.05, model.encode(x).mean(axis=0)).sum()
    assert omega == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "mean, distance, activation, interval",
    [
        ("batch", "squared", "sigmoid", (0, 1)),
        ("running", "kl", "tanh", (-1, 1)),
        ("set", "kl", "sigmoid", (0, 1)),
        ("set", "squared", "tanh", (-1, 1)),
    ],
)
@pytest.mark.home("torch")
def test_units_come_to_the_target(mean, distance, activation, interval, x):
    networks = nets.mlp((8, 8, 1), 20, units=(), code_activation=activation)
    penalty = MeanActivation(0.5, 0.1, distance, mean, interval, momentum=0.5)
    model = SparseAutoencoder(*networks, penalty)
    model.compile(optimizer=keras.optimizers.Adam(0.003))
    low, high = interval
    assert np.mean(model.encode(x) - low) / (high - low) > 0.3  # before
    model.fit(x, epochs=40, batch_size=12, verbose=0)
    share = (model.encode(x).mean(axis=0) - low) / (high - low)
    np.testing.assert_allclose(share, 0.1, atol=0.05)


@pytest.mark.home("tensorflow", "torch")
def test_penalties_add_up_and_count_the_corrupted_code(x):
    networks = nets.mlp((8, 8, 1), 20, units=(), code_activation="sigmoid")
    omegas = [MeanActivation(0.5, mean="set"), keras.regularizers.L1(0.1)]
    model = SparseAutoencoder(*networks, omegas, corruption=MaskingNoise(1.0))
    model.compile(optimizer=keras.optimizers.SGD(0.0))
    history = model.fit(x, verbose=0).history
    code = model.encode(np.zeros_like(x[:1]))[0]  # all that the encoder ever sees
    expected = 0.5 * kl(0.05, code).sum() + 0.1 * code.sum()
    assert history["penalty"][0] == pytest.approx(expected, rel=1e-5)


def test_mixed_precision_stays_finite(x):
    keras.config.set_dtype_policy("mixed_float16")
    networks = nets.mlp((8, 8, 1), 20, units=(), code_activation="sigmoid")
    model = SparseAutoencoder(*networks, MeanActivation(1.0, mean="set"))
    model.compile()
    history = model.fit(x, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert np.isfinite(model.encode(x)).all()


# Top-k codes.


def largest(codes, k):
    kept = np.zeros_like(codes)
    for code, out in zip(codes, kept, strict=True):
        which = np.argsort(-code, kind="stable")[:k]
        out[which] = code[which]
    return kept


@pytest.mark.parametrize("k", [1, 3, 7])
def test_top_k_keeps_the_largest(k):
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(20, 7)).astype("float32")
    codes[10:] = rng.integers(0, 3, (10, 7))  # ties
    found = ops.convert_to_numpy(TopK(k)(codes))
    np.testing.assert_array_equal(found, largest(codes, k))
    shifted = ops.convert_to_numpy(TopK(k)(codes + 10))
    assert ((shifted > 0).sum(axis=1) == k).all()  # exactly k
    gradient = derivatives.gradient(lambda codes: TopK(k)(codes) ** 2, codes)
    np.testing.assert_allclose(ops.convert_to_numpy(gradient), 2 * found)


def test_top_k_of_a_convolutional_code_and_under_half_precision():
    codes = np.random.default_rng(0).normal(size=(5, 4, 4, 3)).astype("float32")
    flat = largest(codes.reshape(5, -1), 6)
    found = ops.convert_to_numpy(TopK(6)(codes))
    np.testing.assert_array_equal(found, flat.reshape(codes.shape))
    half = ops.convert_to_numpy(TopK(6, dtype="float16")(codes))
    np.testing.assert_array_equal(
        half.reshape(5, -1), largest(codes.astype("float16").reshape(5, -1), 6)
    )
    assert TopK(2).compute_output_shape((None, None, 3)) == (None, None, 3)
    with pytest.raises(ValueError, match=r"`k` is 13, expected at most 12, the numbers of a code"):
        TopK(13)(codes[:, :2, :2])
    with pytest.raises(ValueError, match="`k` is 0, expected a whole number of at least 1"):
        TopK(0)


@pytest.mark.home("torch")
def test_l1_makes_exact_zeros(x):
    zeros = []
    for weight in (0.0, 0.02):
        keras.utils.set_random_seed(4)
        networks = nets.mlp((8, 8, 1), 30, units=(), code_activation="relu")
        model = SparseAutoencoder(*networks, keras.regularizers.L1(weight))
        model.compile(optimizer=keras.optimizers.Adam(0.03))
        model.fit(x, epochs=30, batch_size=48, verbose=0)
        zeros.append((model.encode(x) == 0).mean())
    assert zeros[1] > zeros[0] + 0.2


# The contract.


def mean_activation(activation="sigmoid", **arguments):
    networks = nets.mlp((8, 8, 1), 12, units=(), code_activation=activation)
    return SparseAutoencoder(*networks, MeanActivation(1e-3, 0.1, **arguments))


def tanh():
    return mean_activation("tanh", mean="set", distance="squared", interval=(-1, 1))


def l1():
    networks = nets.mlp((8, 8, 1), 12, units=(), code_activation="relu")
    return SparseAutoencoder(*networks, keras.regularizers.L1(1e-4))


def top_k():
    encoder, decoder = nets.mlp((8, 8, 1), 12, units=())
    return SparseAutoencoder(keras.Sequential([encoder, TopK(3)]), decoder)


def convolutional():
    networks = nets.convolutional((8, 8, 1), None, filters=(4, 3), code_activation="sigmoid")
    penalties = [MeanActivation(1e-3, mean="set"), MeanActivation(1e-3, mean="running")]
    return SparseAutoencoder(*networks, penalties, corruption=keras.layers.GaussianNoise(0.1))


@pytest.mark.parametrize(
    "make_model",
    [
        mean_activation,
        pytest.param(tanh, marks=pytest.mark.home("torch")),
        pytest.param(l1, marks=pytest.mark.home("torch")),
        pytest.param(top_k, marks=pytest.mark.home("tensorflow")),
        pytest.param(convolutional, marks=pytest.mark.home("torch")),
    ],
)
def test_contract(make_model, x, other_backends, tmp_path):
    of_class = make_model is mean_activation
    assert_contract(make_model, x, other_backends, tmp_path, of_class=of_class)


@pytest.mark.parametrize("mean", ["running", "set"])
def test_the_mean_is_saved_with_the_model(mean, x, tmp_path):
    model = mean_activation(mean=mean)
    model.compile()
    model.fit(x, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    kept = [ops.convert_to_numpy(each.penalties[0].share) for each in (model, loaded)]
    np.testing.assert_array_equal(*kept)
    assert kept[0].shape == (12,) and (kept[0] > 0).all()


# Bad arguments.


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"weight": -1}, "`weight` is -1, expected a number of at least 0"),
        ({"target": 0}, "`target` is 0, expected a number between 0 and 1"),
        ({"target": 1.0}, "`target` is 1.0, expected a number between 0 and 1"),
        ({"distance": "l2"}, "`distance` is 'l2', expected 'kl' or 'squared'"),
        ({"mean": "all"}, "`mean` is 'all', expected 'batch', 'running' or 'set'"),
        ({"interval": (1, 0)}, r"`interval` is \(1, 0\), expected a pair \(low, high\)"),
        ({"interval": "tanh"}, r"`interval` is 'tanh', expected a pair \(low, high\)"),
        ({"momentum": 1}, "`momentum` is 1, expected a number between 0 and 1"),
    ],
)
@pytest.mark.home("torch")
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        MeanActivation(**{"weight": 1.0, **arguments})


@pytest.mark.home("torch")
def test_codes_that_do_not_fit_are_refused(x):
    with pytest.raises(ValueError, match=r"comes out of 'tanh', expected its range \(-1.0, 1.0\)"):
        mean_activation("tanh")
    with pytest.raises(ValueError, match=r"`interval` is \(-1.0, 1.0\).*'sigmoid', expected its"):
        mean_activation("sigmoid", interval=(-1, 1))
    for activation in ("relu", "linear"):
        with pytest.raises(ValueError, match=f"`distance` is 'kl', but the code .*{activation!r}"):
            mean_activation(activation)
    mean_activation("relu", distance="squared")  # may well have a mean of ρ
    layers = keras.layers
    encoder = keras.Sequential(
        [layers.Flatten(), layers.Dense(3), layers.Activation("tanh"), layers.Reshape((3,))]
    )
    decoder = keras.Sequential([layers.Dense(64), layers.Reshape((8, 8, 1))])
    model = Autoencoder(keras.Sequential([encoder]), decoder, penalty=MeanActivation(1.0))
    model.compile()
    # Keras 3.12 wraps what is raised while it builds a model, and repeats the sentence.
    with pytest.raises((ValueError, RuntimeError), match="the code comes out of 'tanh'"):
        model.fit(x, verbose=0)


def test_codes_of_any_size_have_no_lasting_mean():
    layers = keras.layers
    encoder = keras.Sequential(
        [keras.Input((None, None, 1)), layers.Conv2D(2, 3, activation="sigmoid")]
    )
    decoder = keras.Sequential([keras.Input((None, None, 2)), layers.Conv2DTranspose(1, 3)])
    SparseAutoencoder(encoder, decoder, MeanActivation(1.0))
    with pytest.raises(
        ValueError, match=r"`mean` is 'set', but the code has shape \(None, None, 2\)"
    ):
        SparseAutoencoder(encoder, decoder, MeanActivation(1.0, mean="set"))


@pytest.mark.home("torch")
def test_something_must_make_it_sparse():
    with pytest.raises(ValueError, match="`penalty` is None, expected an Ω such as"):
        SparseAutoencoder(*nets.mlp((8, 8, 1), 12))
