import keras
import numpy as np
import pytest
from contract import assert_contract
from keras import ops

from kerasae import StackedAutoencoder
from kerasae.corruptions import MaskingNoise


def stacked(**arguments):
    return StackedAutoencoder(**{"units": (16, 6), "input_shape": (8, 8, 1), **arguments})


def kernels(model):
    """Pairs of an encoder's kernel and the decoder's at the mirrored place."""
    there = [layer for layer in model.encoder.layers if hasattr(layer, "kernel")]
    back = [layer for layer in model.decoder.layers if hasattr(layer, "kernel")]
    return list(zip(there, reversed(back), strict=True))


def assert_tied(model):
    assert len(kernels(model)) == model.depth
    assert all(first.kernel is last.kernel for first, last in kernels(model))


def convolutional(**arguments):
    return stacked(filters=(4, 8), units=(6,), **arguments)


def fully_convolutional(**arguments):
    return stacked(filters=(4, 8), units=(), **arguments)


def everything():
    """Built on the first fit; any depth, activation, corruption and several penalties."""
    return stacked(
        units=(20, 12, 8, 4),
        activation=keras.activations.tanh,
        code_activation="sigmoid",
        input_shape=None,
        corruption=keras.Sequential([keras.layers.GaussianNoise(0.1), MaskingNoise(0.2)]),
        penalty=[keras.regularizers.L1(1e-4), keras.regularizers.L2(1e-4)],
    )


@pytest.mark.parametrize(
    ("make_model", "loss"),
    [
        (stacked, "binary_crossentropy"),
        pytest.param(convolutional, "mse", marks=pytest.mark.home("tensorflow")),
        pytest.param(everything, "mse", marks=pytest.mark.home("torch")),
    ],
)
def test_contract(make_model, loss, x, other_backends, tmp_path):
    of_class = make_model is stacked
    others = {"activation": "relu", "code_activation": "tanh", "output_activation": "linear"}
    assert_contract(
        make_model, x, other_backends, tmp_path, loss, epochs=5, of_class=of_class, others=others
    )


def test_the_decks_architecture_and_parameter_count():
    """784-300-150-300-784, W3 = W2ᵀ, W4 = W1ᵀ."""
    model = StackedAutoencoder(units=(300, 150), input_shape=(784,))
    assert [layer.output.shape for layer in model.encoder.layers] == [(None, 300), (None, 150)]
    assert [layer.output.shape for layer in model.decoder.layers] == [(None, 300), (None, 784)]
    assert_tied(model)
    biases = 300 + 150 + 300 + 784
    assert model.count_params() == 784 * 300 + 300 * 150 + biases
    twin = StackedAutoencoder(units=(300, 150), input_shape=(784,), tied=False)
    assert twin.count_params() == 2 * (784 * 300 + 300 * 150) + biases
    names = [layer.name for layer in (*model.encoder.layers, *model.decoder.layers)]
    assert names == ["hidden_1", "hidden_2", "hidden_3", "outputs"]


def test_output_is_the_formula():
    """x̂ = σ(W1ᵀ φ(W2ᵀ h + c2) + c1), h = φ(W2 φ(W1 x + b1) + b2)."""
    model = StackedAutoencoder(units=(5, 3), activation="tanh", input_shape=(7,))
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape))
    (w1, b1), (w2, b2) = (layer.get_weights() for layer in model.encoder.layers)
    c2, c1 = (ops.convert_to_numpy(layer.bias.value) for layer in model.decoder.layers)
    x = rng.normal(size=(4, 7)).astype("float32")
    h = np.tanh(np.tanh(x @ w1 + b1) @ w2 + b2)
    np.testing.assert_allclose(model.encode(x), h, rtol=1e-5, atol=1e-6)
    output = 1 / (1 + np.exp(-(np.tanh(h @ w2.T + c2) @ w1.T + c1)))
    np.testing.assert_allclose(model.reconstruct(x), output, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.decode(h), output, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make_model", [stacked, convolutional, fully_convolutional])
def test_ties_hold_after_training_saving_and_loading(make_model, x, tmp_path):
    model = make_model()
    assert_tied(model)
    model.compile(keras.optimizers.Adam(0.01))
    before = model.decode(model.encode(x[:1]))
    start = [weight.copy() for weight in model.get_weights()]
    model.fit(x, epochs=2, verbose=0)
    assert_tied(model)
    assert all((old != new).any() for old, new in zip(start, model.get_weights(), strict=True))
    assert (model.decode(model.encode(x[:1])) != before).any()  # the decoder sees new kernels
    np.testing.assert_allclose(model.reconstruct(x), model.predict(x, verbose=0), rtol=1e-5)

    model.save(tmp_path / "model.keras")
    model.save_to_preset(tmp_path / "preset")
    model.save_weights(tmp_path / "model.weights.h5")
    fresh = make_model()
    fresh.load_weights(tmp_path / "model.weights.h5")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for other in (fresh, loaded, StackedAutoencoder.from_preset(tmp_path / "preset")):
        assert_tied(other)
        np.testing.assert_array_equal(other.predict(x, verbose=0), model.predict(x, verbose=0))
        assert other.count_params() == model.count_params()
    loaded.fit(x, epochs=1, verbose=0)
    assert_tied(loaded)


def test_a_tied_model_takes_half_the_room(tmp_path):
    for name, tied in (("tied", True), ("untied", False)):
        model = StackedAutoencoder((100, 50), tied, input_shape=(200,))
        model.save_weights(tmp_path / f"{name}.weights.h5")
    sizes = [(tmp_path / f"{name}.weights.h5").stat().st_size for name in ("tied", "untied")]
    assert sizes[1] - sizes[0] >= 4 * (200 * 100 + 100 * 50)


def test_encoder_is_a_plain_model(x, tmp_path):
    model = stacked()
    classifier = keras.Sequential([model.encoder, keras.layers.Dense(10, "softmax")])
    classifier.compile("adam", "sparse_categorical_crossentropy")
    start = model.encode(x)
    classifier.fit(x, np.arange(48) % 10, verbose=0)
    assert (model.encode(x) != start).any()  # the same layers
    classifier.save(tmp_path / "classifier.keras")
    loaded = keras.saving.load_model(tmp_path / "classifier.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), classifier.predict(x, verbose=0))
    assert_tied(model)
    np.testing.assert_allclose(model.reconstruct(x), model.predict(x, verbose=0), rtol=1e-5)


def test_decoder_trains_alone_and_takes_the_kernels_along(x):
    model = stacked()
    code = model.encode(x)
    kernel = model.encoder.get_layer("hidden_1").get_weights()[0]
    model.decoder.compile(keras.optimizers.Adam(0.01), "mse")
    losses = model.decoder.fit(code, x, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert (model.encoder.get_layer("hidden_1").get_weights()[0] != kernel).any()


@pytest.mark.parametrize("make_model", [stacked, convolutional, fully_convolutional])
def test_the_tied_decoder_is_not_saved_alone_but_untied(make_model, x, tmp_path):
    model = make_model(corruption=MaskingNoise(0.1))
    for attempt in (
        lambda: model.decoder.save(tmp_path / "decoder.keras"),
        lambda: model.decoder.save_weights(tmp_path / "decoder.weights.h5"),
        lambda: keras.models.clone_model(model.decoder),
    ):
        with pytest.raises(ValueError, match=r"expected to be saved.* with the model that ties"):
            attempt()
    free = model.untied()
    assert not any(first.kernel is last.kernel for first, last in kernels(free))
    np.testing.assert_allclose(free.reconstruct(x), model.reconstruct(x), rtol=1e-5, atol=1e-6)
    free.decoder.save(tmp_path / "decoder.keras")
    loaded = keras.saving.load_model(tmp_path / "decoder.keras")
    code = model.encode(x)
    np.testing.assert_allclose(loaded.predict(code, verbose=0), model.decode(code), rtol=1e-5)


def test_a_fully_convolutional_code_is_a_map(x):
    model = fully_convolutional()
    assert model.encode(x).shape == (48, 2, 2, 8)
    assert model.hidden_shapes == ((8, 8, 1), (4, 4, 4), (2, 2, 8))
    model = StackedAutoencoder(filters=(4,), units=(5, 3), kernel_size=5, input_shape=(6, 10, 3))
    assert model.hidden_shapes == ((6, 10, 3), (3, 5, 4), (5,), (3,))
    assert model.reconstruct(np.zeros((2, 6, 10, 3), "float32")).shape == (2, 6, 10, 3)
    assert model.count_params() == (25 * 3 * 4 + 4 + 3) + (60 * 5 + 5 + 60) + (15 + 3 + 5)


def test_hidden_is_the_encoder_up_to_a_layer(x):
    model = convolutional()
    assert model.hidden(1).output_shape == (None, 4, 4, 4)
    np.testing.assert_array_equal(model.hidden(3).predict(x, 32, verbose=0), model.encode(x, 32))
    with pytest.raises(ValueError, match="`k` is 4, expected a stage from 1 to 3"):
        model.hidden(4)


def test_mixed_precision_trains_in_half_and_keeps_whole_weights(x):
    model = stacked(dtype="mixed_float16", penalty=keras.regularizers.L1(1e-3))
    model.compile(keras.optimizers.Adam(0.01))
    losses = model.fit(x, epochs=3, verbose=0).history["loss"]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert all(layer.compute_dtype == "float16" for layer in model.decoder.layers)
    assert_tied(model)


@pytest.mark.home("torch")
def test_bad_arguments(x):
    with pytest.raises(ValueError, match="`units` and `filters` are empty, expected at least one"):
        StackedAutoencoder(units=())
    with pytest.raises(ValueError, match="`units` is 300, expected a tuple of whole numbers"):
        StackedAutoencoder(units=300)
    with pytest.raises(ValueError, match="`input_shape` is 784, expected a tuple"):
        StackedAutoencoder(input_shape=784)
    message = (
        r"`input_shape` is \(8, 6, 1\), expected .* width divisible by 4: each of the 2 layers"
    )
    with pytest.raises(ValueError, match=message):
        convolutional(input_shape=(8, 6, 1))
    with pytest.raises(ValueError, match=message):
        model = convolutional(input_shape=None)
        model.compile()
        model.fit(x[:, :, :6], verbose=0)
    with pytest.raises(ValueError, match="no layers yet, expected a built model"):
        stacked(input_shape=None).hidden(1)


def test_quantized_kernels_are_read_with_their_scale(x, tmp_path):
    model = stacked(output_activation="linear")
    model.compile("adam", "mse")
    model.fit(x, epochs=2, verbose=0)
    code, exact, loss = model.encode(x), model.reconstruct(x), model.evaluate(x, verbose=0)
    model.quantize("int8")
    assert not np.array_equal(model.encode(x), code)  # nothing compiled before is left
    found = model.reconstruct(x)
    assert not np.array_equal(found, exact)
    np.testing.assert_allclose(found, exact, atol=0.05)
    np.testing.assert_allclose(model.predict(x, verbose=0), found, atol=1e-5)
    np.testing.assert_allclose(model.evaluate(x, verbose=0)[0], loss[0], rtol=0.05)


def test_other_ways_of_quantizing_are_refused():
    with pytest.raises(
        ValueError, match="`mode` is 'int4', expected 'int8' for 'outputs', which has"
    ):
        stacked().quantize("int4")
