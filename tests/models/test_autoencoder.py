import warnings

import keras
import numpy as np
import pytest
from contract import assert_contract

from kerasae import Autoencoder, nets
from kerasae.corruptions import MaskingNoise
from kerasae.penalties import MeanActivation


def mlp(**arguments):
    return Autoencoder(*nets.mlp((8, 8, 1), code_size=3, units=(16,)), **arguments)


def convolutional():
    return Autoencoder(*nets.convolutional((8, 8, 1), code_size=4, filters=(4, 8)))


def overcomplete_denoising_sparse():
    networks = nets.mlp((8, 8, 1), code_size=100, units=())
    return Autoencoder(*networks, MaskingNoise(0.3), keras.regularizers.L1(1e-4))


def own_networks():
    """Networks as a caller may bring them: unbuilt, with normalisation and dropout."""
    encoder = keras.Sequential(
        [
            keras.layers.Flatten(),
            keras.layers.Dense(16),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.1, seed=3),
            keras.layers.Dense(2),
        ]
    )
    decoder = keras.Sequential([keras.layers.Dense(64, "sigmoid"), keras.layers.Reshape((8, 8, 1))])
    return Autoencoder(encoder, decoder)


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    """A network as a caller may write it, without shapes of its own."""

    def __init__(self, units, shape, **kwargs):
        super().__init__(**kwargs)
        self.units, self.shape = units, tuple(shape)
        self.hidden = keras.layers.Dense(units)
        self.flatten, self.reshape = keras.layers.Flatten(), keras.layers.Reshape(self.shape)

    def call(self, x):
        return self.reshape(self.hidden(self.flatten(x)))

    def get_config(self):
        return {**super().get_config(), "units": self.units, "shape": self.shape}


def test_subclassed_networks(x, tmp_path):
    model = Autoencoder(Subclassed(3, (3,)), Subclassed(64, (8, 8, 1)))
    model.compile(loss="mse")
    model.fit(x, verbose=0)
    assert model.encode(x).shape == (48, 3)
    expected = model.reconstruct(x)
    with pytest.raises(ValueError, match=r"`x` has shape \(48, 8, 1\), expected"):
        model.encode(x[:, 0])
    model.save(tmp_path / "model.keras")
    model.save_to_preset(tmp_path / "preset")
    for again in (
        keras.saving.load_model(tmp_path / "model.keras"),
        Autoencoder.from_preset(tmp_path / "preset"),
    ):
        np.testing.assert_array_equal(again.reconstruct(x), expected)


def test_any_image_size(x):
    layers = keras.layers
    encoder = keras.Sequential([keras.Input((None, None, 1)), layers.Conv2D(2, 3, padding="same")])
    decoder = keras.Sequential([keras.Input((None, None, 2)), layers.Conv2D(1, 3, padding="same")])
    model = Autoencoder(encoder, decoder)
    model.compile()
    model.fit(x, verbose=0)
    assert model.encode(x[:, :4]).shape == (48, 4, 8, 2)


@pytest.mark.parametrize(
    "make_model, loss",
    [
        (mlp, "binary_crossentropy"),
        (convolutional, "mse"),
        pytest.param(overcomplete_denoising_sparse, "mse", marks=pytest.mark.home("torch")),
        pytest.param(own_networks, "binary_crossentropy", marks=pytest.mark.home("torch")),
    ],
)
def test_contract(make_model, loss, x, other_backends, tmp_path):
    of_class = make_model is mlp
    assert_contract(make_model, x, other_backends, tmp_path, loss, of_class=of_class)


def test_loss_is_reconstruction_plus_penalty(x):
    model = mlp(penalty=keras.regularizers.L1(0.01))
    model.compile(loss="mse")
    values = model.evaluate(x, batch_size=20, verbose=0, return_dict=True)  # 20 + 20 + 8
    code, output = model.encode(x), model.reconstruct(x)
    assert values["reconstruction"] == pytest.approx(((output - x) ** 2).mean(), rel=1e-5)
    assert values["penalty"] == pytest.approx(0.01 * np.abs(code).sum(axis=1).mean(), rel=1e-5)
    assert values["loss"] == pytest.approx(values["reconstruction"] + values["penalty"], rel=1e-6)


def test_regularizers_inside_the_networks_count(x):
    encoder, _ = nets.mlp((8, 8, 1), code_size=3, units=())
    decoder = keras.Sequential(
        [
            keras.layers.Dense(64, kernel_regularizer=keras.regularizers.L2(0.1)),
            keras.layers.Reshape((8, 8, 1)),
        ]
    )
    model = Autoencoder(encoder, decoder)
    model.compile()
    values = model.evaluate(x, verbose=0, return_dict=True)
    decay = 0.1 * (keras.ops.convert_to_numpy(decoder.layers[0].kernel.value) ** 2).sum()
    assert values["loss"] - values["reconstruction"] == pytest.approx(decay, rel=1e-4)

    both = Autoencoder(encoder, decoder, penalty=keras.regularizers.L1(0.01))
    both.compile()
    values = both.evaluate(x, verbose=0, return_dict=True)
    omega = 0.01 * np.abs(both.encode(x)).sum(axis=1).mean()
    assert values["penalty"] == pytest.approx(omega, rel=1e-5)
    rest = values["loss"] - values["reconstruction"] - values["penalty"]
    assert rest == pytest.approx(decay, rel=1e-4)


def test_corruption_acts_in_training_only(x):
    model = mlp(corruption=MaskingNoise(1.0))
    plain = Autoencoder(model.encoder, model.decoder)
    np.testing.assert_array_equal(model.predict(x, verbose=0), plain.predict(x, verbose=0))
    blank = keras.ops.convert_to_numpy(model(x, training=True))
    np.testing.assert_allclose(blank, model.reconstruct(np.zeros_like(x)), rtol=1e-5)


def test_methods_are_batched_deterministic_numpy(x):
    model = mlp(corruption=keras.layers.GaussianNoise(0.5))
    code, output = model.encode(x, batch_size=7), model.reconstruct(x, batch_size=7)
    assert isinstance(code, np.ndarray) and code.shape == (48, 3)
    assert isinstance(output, np.ndarray) and output.shape == x.shape
    np.testing.assert_array_equal(output, model.reconstruct(x, batch_size=7))
    np.testing.assert_allclose(output, model.predict(x, verbose=0), rtol=1e-5)
    line = model.interpolate(x[:2], x[2:4], steps=5)
    assert line.shape == (2, 5, 8, 8, 1)
    np.testing.assert_allclose(line[:, 0], output[:2], rtol=1e-5)
    np.testing.assert_allclose(line[:, -1], output[2:4], rtol=1e-5)
    np.testing.assert_allclose(
        line[:, 2], model.decode((code[:2] + code[2:4]) / 2), rtol=1e-4, atol=1e-6
    )


def test_noisy_and_clean_pairs(x):
    model = mlp()
    model.compile(loss="mse")
    noisy = np.clip(x + 0.1, 0, 1)
    loss = model.evaluate(noisy, x, verbose=0, return_dict=True)["loss"]
    assert loss == pytest.approx(((model.reconstruct(noisy) - x) ** 2).mean(), rel=1e-5)


@pytest.mark.home("torch")
def test_decoder_must_take_the_encoders_code():
    encoder, _ = nets.mlp((8, 8, 1), code_size=3)
    _, decoder = nets.mlp((8, 8, 1), code_size=4)
    with pytest.raises(ValueError, match=r"codes of shape \(4,\).*codes of shape \(3,\)"):
        Autoencoder(encoder, decoder)
    with pytest.raises(ValueError, match="`decoder` is of type str, expected a Keras model"):
        Autoencoder(encoder, "decoder")


@pytest.mark.parametrize(
    "loss",
    [
        keras.losses.BinaryCrossentropy(name="bce"),
        keras.losses.binary_crossentropy,
        ["binary_crossentropy"],
    ],
)
def test_cross_entropy_by_any_name_needs_the_unit_interval(loss, x):
    model = mlp()
    model.compile(loss=loss)
    with pytest.raises(ValueError, match="expected values from 0 to 1"):
        model.fit(x * 255, verbose=0)


@pytest.mark.home("torch")
def test_arguments_that_are_no_model(x):
    with pytest.raises(ValueError, match=r"several at once: a `keras\.Sequential` of them"):
        mlp(corruption=[MaskingNoise(0.5)])
    with pytest.raises(ValueError, match="expected a Keras layer"):
        mlp(corruption=MaskingNoise)
    with pytest.raises(ValueError, match="which is a penalty, expected a layer that corrupts"):
        mlp(corruption=MeanActivation(0.1))
    for penalty in (MaskingNoise(0.5), keras.layers.Dense(4), "l3", 0.1):
        with pytest.raises(ValueError, match="expected a regularizer of the code such as"):
            mlp(penalty=penalty)
    with pytest.raises(ValueError, match="`loss` is None, expected the reconstruction term"):
        mlp().compile(loss=None)
    with pytest.raises(ValueError, match="`steps` is 1, expected a whole number of at least 2"):
        mlp().interpolate(x, x, steps=1)
    two = keras.Input((8, 8, 1))
    flat = keras.layers.Flatten()(two)
    with pytest.raises(ValueError, match="`encoder` gives 2 outputs, expected one code"):
        Autoencoder(keras.Model(two, [flat, flat]), nets.mlp_decoder(64, (8, 8, 1)))
    with pytest.raises(ValueError, match="`encoder` gives a dict, expected one code"):
        Autoencoder(keras.Model(two, {"mean": flat}), nets.mlp_decoder(64, (8, 8, 1)))


def test_lists_of_numbers_are_examples():
    model = Autoencoder(*nets.mlp((3,), code_size=2, units=()))
    model.compile()
    model.fit([[0.1, 0.2, 0.3]] * 8, sample_weight=[1.0] * 8, verbose=0)
    assert model.encode([[0.1, 0.2, 0.3]]).shape == (1, 2)
    assert model.decode(np.array([[1, 2]])).shape == (1, 3)  # codes may be whole numbers


def test_reconstruction_of_another_shape_needs_targets(x):
    encoder, _ = nets.mlp((8, 8, 1), code_size=3)
    _, decoder = nets.mlp((8, 8, 3), code_size=3)
    model = Autoencoder(encoder, decoder)
    model.compile()
    with pytest.raises(ValueError, match="expected the same shape, or targets in `y`"):
        model.fit(x, verbose=0)
    colour = np.repeat(x, 3, axis=-1)
    assert np.isfinite(model.fit(x, colour, verbose=0).history["loss"][0])


class Stream(keras.utils.PyDataset):
    def __init__(self, x, batch_size=16):
        super().__init__()
        self.x, self.batch_size = x, batch_size

    def __len__(self):
        return len(self.x) // self.batch_size

    def __getitem__(self, index):
        return self.x[index * self.batch_size : (index + 1) * self.batch_size]


def generator(x):
    for start in range(0, len(x), 16):
        yield x[start : start + 16]


def loader(x):
    torch = pytest.importorskip("torch")
    tensors = torch.utils.data.TensorDataset(torch.from_numpy(x))
    return torch.utils.data.DataLoader(tensors, batch_size=16)


def dataset(x):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices(x).batch(16)


@pytest.mark.parametrize("stream", [Stream, generator, loader, dataset])
def test_streams(stream, x):
    """Every kind of stream gives what the array gives, and is checked by its first batch."""
    losses = []
    for data in (x, stream(x)):
        keras.utils.set_random_seed(3)
        model = mlp()
        model.compile(optimizer="sgd")
        model.fit(data, batch_size=16, shuffle=False, verbose=0)
        losses.append(model.evaluate(x, verbose=0))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    with pytest.raises(ValueError, match="`x` holds NaN"):
        model.fit(stream(x * np.nan), verbose=0)


def test_bare_tensors_from_a_loader_are_refused(x):
    torch = pytest.importorskip("torch")
    model = mlp()
    model.compile()
    with pytest.raises(ValueError, match="DataLoader that yields bare tensors"):
        model.fit(torch.utils.data.DataLoader(torch.from_numpy(x), batch_size=16), verbose=0)


def test_weights_count_by_example_even_where_shapes_would_broadcast(x):
    """A batch of 8 images of width 8: weights must not match the columns."""
    model = mlp()
    model.compile(loss="mse", weighted_metrics=["mae"])
    x, weight = x[:8], np.arange(8, dtype="float32")
    values = model.evaluate(x, sample_weight=weight, verbose=0, return_dict=True)
    difference = model.reconstruct(x) - x
    each = (difference**2).mean(axis=(1, 2, 3))
    assert values["loss"] == pytest.approx((weight * each).mean(), rel=1e-5)
    each = np.abs(difference).mean(axis=(1, 2, 3))
    assert values["mae"] == pytest.approx((weight * each).sum() / weight.sum(), rel=1e-5)


TOKENS = np.random.default_rng(0).integers(0, 20, (24, 6))


def of_tokens(lazy=False):
    layers = keras.layers
    encoder = [layers.Embedding(20, 8), layers.Flatten(), layers.Dense(4)]
    encoder = encoder if lazy else [keras.Input((6,), dtype="int32"), *encoder]
    decoder = [keras.Input((4,)), layers.Dense(120), layers.Reshape((6, 20)), layers.Softmax()]
    return Autoencoder(keras.Sequential(encoder), keras.Sequential(decoder))


@pytest.mark.parametrize(
    "loss, lazy",
    [
        ("sparse_categorical_crossentropy", False),
        (keras.losses.sparse_categorical_crossentropy, True),
        (keras.losses.SparseCategoricalCrossentropy(ignore_class=-1), False),
    ],
)
def test_a_sparse_loss_compares_distributions_with_whole_numbers(loss, lazy):
    model = of_tokens(lazy)
    model.compile(keras.optimizers.Adam(0.05), loss, metrics=["accuracy"])
    history = model.fit(TOKENS, TOKENS, epochs=8, validation_data=(TOKENS,), verbose=0).history
    assert history["loss"][-1] < 0.9 * history["loss"][0]
    weight = np.linspace(0, 2, 24).astype("float32")
    output = model.reconstruct(TOKENS)
    each = -np.log(np.take_along_axis(output, TOKENS[..., None], axis=2)).mean(axis=(1, 2))
    for data in ((TOKENS,), (TOKENS, TOKENS), (TOKENS, TOKENS.astype("float32"))):
        found = model.evaluate(*data, sample_weight=weight, verbose=0, return_dict=True)
        assert found["loss"] == pytest.approx((weight * each).mean(), rel=1e-4)
        assert found["accuracy"] == pytest.approx((output.argmax(-1) == TOKENS).mean(), rel=1e-5)


@pytest.mark.home("torch")
def test_targets_of_a_sparse_loss_are_checked():
    model = of_tokens()
    model.compile(loss="sparse_categorical_crossentropy")
    for y, message in {
        "one-hot": (np.eye(20)[TOKENS], r"`y` has shape \(24, 6, 20\), expected \(examples, 6\)"),
        "too large": (TOKENS + 1, "`y` holds 20, expected whole numbers from 0 to 19 under a"),
        "halves": (TOKENS / 2, "`y` holds .*, expected whole numbers from 0 to 19 under a sparse"),
        "too few": (TOKENS[:9], "`x` has 24, `y` has 9"),
    }.values():
        with pytest.raises(ValueError, match=message):
            model.fit(TOKENS, y, verbose=0)
    with pytest.raises(ValueError, match="`x` holds 20, expected whole numbers from 0 to 19"):
        model.fit(TOKENS + 1, verbose=0)
    model.compile(loss="mse")
    with pytest.raises(ValueError, match=r"`y` has shape \(24, 6\), expected \(examples, 6, 20\)"):
        model.fit(TOKENS, TOKENS, verbose=0)


@pytest.mark.parametrize("lazy", [False, True])
def test_an_encoder_that_scales_takes_integers(lazy, x):
    pixels = (255 * x).astype("uint8")
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(3)]
    encoder = keras.Sequential(layers if lazy else [keras.Input((8, 8, 1)), *layers])
    model = Autoencoder(encoder, nets.mlp_decoder(3, (8, 8, 1)))
    model.compile(loss="binary_crossentropy")
    history = model.fit(pixels, pixels / 255, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    np.testing.assert_allclose(model.encode(pixels), model.encode(1.0 * pixels), rtol=1e-5)
    with pytest.raises(ValueError, match="values from 25 to 229, expected values from 0 to 1"):
        model.fit(pixels, verbose=0)
    with pytest.raises(ValueError, match="`y` holds integers up to 229, expected scaled numbers"):
        model.fit(pixels, pixels, verbose=0)
    model.compile(loss="mse")
    with pytest.raises(
        ValueError, match="or give scaled targets in `y`, because `decoder` ends in"
    ):
        model.fit(pixels, verbose=0)


@pytest.mark.home("torch")
def test_the_message_about_integers_names_the_way_out(x):
    pixels, model = (255 * x).astype("uint8"), mlp()
    model.compile()
    for method in (model.fit, model.encode):
        with pytest.raises(ValueError, match=r"`keras.Input\(..., dtype=\"uint8\"\)` if it scales"):
            method(pixels)
    inputs = keras.Input((8, 8, 1), dtype="uint8")
    scaled = keras.layers.Flatten()(keras.layers.Lambda(lambda x: x / 255)(inputs))
    model = Autoencoder(keras.Model(inputs, scaled), nets.mlp_decoder(64, (8, 8, 1)))
    model.compile()
    assert np.isfinite(model.fit(pixels, x, verbose=0).history["loss"]).all()


def test_a_loss_that_is_no_number_is_told_of(x):
    model = mlp()
    model.compile(keras.optimizers.SGD(1e30), "mse")
    with pytest.warns(UserWarning, match=r"The loss is nan from epoch \d on, expected finite"):
        model.fit(x, epochs=4, verbose=0)


def test_mixed_precision_keeps_the_penalty_finite(x):
    keras.config.set_dtype_policy("mixed_float16")
    model = mlp(penalty=keras.regularizers.L2(1.0))
    model.compile()
    history = model.fit(x, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "linear"])
def test_values_that_the_decoder_cannot_reach_are_told_of(activation):
    x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32") * 2
    model = Autoencoder(*nets.mlp((4,), 2, (), output_activation=activation))
    model.compile()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        model.fit(x, verbose=0)
        model.fit(x / np.abs(x).max() / 2 + 0.5, verbose=0)  # in [0, 1]
    messages = [str(each.message) for each in seen if "`x` holds values from" in str(each.message)]
    assert len(messages) == (activation != "linear")
    assert all(f"`decoder` ends in {activation!r}" in message for message in messages)
