"""Bad input, from the array to the method of every class that takes it."""

import keras
import numpy as np
import pytest

import kerasae
from kerasae import checks, nets
from kerasae.engine import arguments
from kerasae.losses import EachLoss

SHAPE = (4, 4, 1)
X = np.random.default_rng(0).random((8, *SHAPE), dtype="float32")
LABELS = np.arange(8) % 3
CODES, ONE = np.zeros((8, 2), "float32"), np.zeros((8, 5), "float32")
HALF = np.full(8, 0.5, "float32")

# Of each class: how to make one, its data, and its methods with the arguments that hold numbers.
OF_AUTOENCODERS = {
    "predict": {"x": X},
    "encode": {"x": X},
    "decode": {"code": CODES},
    "reconstruct": {"x": X},
    "corrupt": {"x": X},
    "interpolate": {"start": X, "end": X},
}
OF_PAIRS = {
    "encode": {"x": X, "condition": LABELS},
    "decode": {"code": CODES, "condition": LABELS},
    "reconstruct": {"x": X, "condition": LABELS},
    "sample": {"condition": LABELS},
    "interpolate": {"start": X, "end": X, "condition": LABELS},
    "grid": {"condition": LABELS},
}


OF_PATHS = {
    "log_prob": {"x": X, "labels": LABELS},
    "to_noise": {"x": X, "labels": LABELS},
    "denoise": {"x": np.zeros((8, 4), "float32"), "noise": HALF, "labels": LABELS},
    "sample": {"labels": LABELS},
    "generate": {"noise": np.zeros((8, 4), "float32"), "labels": LABELS},
    "interpolate": {"start": X, "end": X, "labels": LABELS},
}


def mlp(code_size=2, **arguments):
    return nets.mlp(SHAPE, code_size, units=(4,), **arguments)


def quantized():
    networks = nets.convolutional(SHAPE, None, (4, 2))
    return kerasae.VectorQuantizedAutoencoder(*networks, kerasae.quantizers.VectorQuantizer(3))


def flat():
    return kerasae.Autoencoder(*mlp(4))


def sparse():
    return kerasae.SparseAutoencoder(*mlp(), keras.regularizers.L1(0.1))


pytestmark = pytest.mark.filterwarnings("ignore:The posterior has collapsed")

# A class without an entry is made from an encoder and a decoder, and called like any autoencoder.
PUBLIC = [name for name in kerasae.__all__ if name[0].isupper()]
CLASSES = {
    name: (lambda name=name: getattr(kerasae, name)(*mlp()), (X,), OF_AUTOENCODERS)
    for name in PUBLIC
} | {
    "StackedAutoencoder": (
        lambda: kerasae.StackedAutoencoder((4, 2), input_shape=SHAPE),
        (X,),
        {**OF_AUTOENCODERS, "fit_layerwise": {"x": X}},
    ),
    "DenoisingAutoencoder": (
        lambda: kerasae.DenoisingAutoencoder(*mlp(), keras.layers.GaussianNoise(0.1)),
        (X,),
        {**OF_AUTOENCODERS, "score_field": {"x": X}, "project": {"x": X}},
    ),
    "SparseAutoencoder": (sparse, (X,), OF_AUTOENCODERS),
    "VariationalAutoencoder": (
        lambda: kerasae.VariationalAutoencoder(*mlp(posterior="diagonal")),
        (X,),
        {**OF_AUTOENCODERS, "sample": {}},
    ),
    "ConditionalVariationalAutoencoder": (
        lambda: kerasae.ConditionalVariationalAutoencoder(
            *nets.conditional_mlp(SHAPE, (3,), 2, (4,)), classes=3
        ),
        (X, LABELS),
        OF_PAIRS,
    ),
    "AdversarialAutoencoder": (
        lambda: kerasae.AdversarialAutoencoder(
            *mlp(), prior=kerasae.priors.MixturePrior.ring(3), classes=3
        ),
        (X, LABELS),
        {**OF_AUTOENCODERS, "sample": {"labels": LABELS}, "sample_prior": {"labels": LABELS}},
    ),
    "SemiSupervisedAdversarialAutoencoder": (
        lambda: kerasae.SemiSupervisedAdversarialAutoencoder(*mlp(5), classes=3),
        (X, LABELS),
        {
            **OF_AUTOENCODERS,
            "decode": {"code": ONE},
            "classify": {"x": X},
            "sample": {"labels": LABELS},
        },
    ),
    "GAN": (
        lambda: kerasae.GAN.mlp(SHAPE, 2, (4,), classes=3),
        (X, LABELS),
        {
            "sample": {"labels": LABELS},
            "generate": {"z": CODES, "labels": LABELS},
            "discriminate": {"x": X, "labels": LABELS},
            "interpolate": {"start": CODES, "end": CODES, "labels": LABELS},
        },
    ),
    "CodePrior": (
        lambda: kerasae.CodePrior(
            nets.causal_transformer((1, 1), 3, classes=3, width=4), quantized(), classes=3
        ),
        (X, LABELS),
        {
            "log_prob": {"x": X, "labels": LABELS},
            "compress": {"x": X, "labels": LABELS},
            "sample": {"labels": LABELS},
        },
    ),
    "Diffusion": (
        lambda: kerasae.Diffusion(
            nets.residual_mlp((4,), 4, 1, classes=3), autoencoder=flat(), classes=3
        ),
        (X, LABELS),
        OF_PATHS,
    ),
    "FlowMatching": (
        lambda: kerasae.FlowMatching(
            nets.residual_mlp((4,), 4, 1, classes=3), autoencoder=flat(), classes=3
        ),
        (X, LABELS),
        OF_PATHS,
    ),
    "VectorQuantizedAutoencoder": (
        quantized,
        (X,),
        {**OF_AUTOENCODERS, "decode": {"code": np.zeros((8, 1, 1), "int32")}},
    ),
    "PredictiveSparseDecomposition": (
        lambda: kerasae.PredictiveSparseDecomposition(SHAPE, 2),
        (X,),
        {
            **OF_AUTOENCODERS,
            "infer": {"x": X, "start": CODES},
            "objective": {"x": X, "code": CODES},
        },
    ),
    "Classifier": (
        lambda: kerasae.Classifier(mlp()[0], 3),
        (X, LABELS),
        {"predict": {"x": X}, "encode": {"x": X}, "classify": {"x": X}},
    ),
}
BATCHED = ("predict", "encode", "decode", "reconstruct", "sample", "generate", "discriminate")
OTHERS = {"sample": {"count": 8}, "sample_prior": {"count": 8}, "fit_layerwise": {"verbose": 0}}


def made(name):
    make, data, methods = CLASSES[name]
    model = make()
    model.compile()
    return model, data, methods


def called(model, method, arguments):
    """What a method gives; a conditional model takes `count` in another sense."""
    others = OTHERS.get(method, {}) if "condition" not in arguments else {}
    return getattr(model, method)(**arguments, **others)


def masked(values, hides=True):
    mask = np.zeros(values.shape, bool)
    mask.flat[3] = hides
    return np.ma.MaskedArray(values, mask)


def refused(message, call, *arguments, **named):
    with pytest.raises(ValueError, match=message) as error:
        call(*arguments, **named)
    assert "\n" not in str(error.value) and ". " not in str(error.value), error.value


def test_every_class_is_public():
    assert set(CLASSES) == set(PUBLIC)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.home("torch")
def test_a_mask_that_hides_anything_is_refused(name):
    model, data, methods = made(name)
    for index, part in enumerate(data):
        broken = [*data[:index], masked(part), *data[index + 1 :]]
        for fit in (model.fit, model.evaluate):
            refused(r"`(x|y|condition)` is a masked array that hides 1 of ", fit, *broken)
    weights = np.ones(8, "float32")
    refused("`sample_weight` is a masked array", model.fit, *data, sample_weight=masked(weights))
    for method, passed in methods.items():
        for argument, values in passed.items():
            given = {**passed, argument: masked(values)}
            said = "x" if argument in ("start", "end") and values is X else argument
            refused(f"`{said}` is a masked array that hides 1 of", called, model, method, given)
    model.fit(*(masked(part, hides=False) for part in data), verbose=0)


@pytest.mark.home("torch")
def test_predict_of_a_game_looks_at_its_noise():
    model, *_ = made("GAN")
    hot = np.eye(3)[LABELS]
    refused("`x` is a masked array that hides 1 of 16", model.predict, [masked(CODES), hot])
    refused("`x` is None, expected an array", model.predict, None)
    for size in SIZES:
        refused("`batch_size` is .*, expected", model.predict, [CODES, hot], batch_size=size)
    swapped = model.predict([CODES.astype(">f4") + 1, hot], verbose=0)
    np.testing.assert_allclose(swapped, model.predict([CODES + 1, hot], verbose=0), rtol=1e-6)


@pytest.mark.home("torch")
def test_masks_in_lists_and_streams():
    refused("`x` is a masked array", checks.as_array, "x", [masked(X[0]), X[1]])
    model, *_ = made("Autoencoder")
    refused("`x` is a masked array", model.fit, iter([(masked(X),)]))
    refused("`x` is a masked array that hides 1 of 8", checks.check_array, "x", masked(np.ones(8)))
    plain = checks.as_array("x", masked(X, hides=False))
    assert type(plain) is np.ndarray and plain.dtype == X.dtype


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.home("torch")] * (name not in ("Autoencoder", "GAN")))
        for name in CLASSES
    ],
)
def test_big_endian_arrays_are_the_numbers_they_hold(name):
    """On JAX, Keras would swap the bytes; on PyTorch it would raise."""
    model, data, methods = made(name)
    swapped = [part.astype(part.dtype.newbyteorder(">")) for part in data]
    weights = np.ones(8, ">f4")
    found = model.evaluate(*swapped, sample_weight=weights, verbose=0, return_dict=True)
    assert np.isfinite(model.fit(*swapped, sample_weight=weights, verbose=0).history["loss"]).all()
    for method in set(methods) & {"encode", "decode", "predict", "discriminate", "objective"}:
        given = methods[method]
        expected = called(model, method, given)
        given = {key: value.astype(value.dtype.newbyteorder(">")) for key, value in given.items()}
        np.testing.assert_allclose(called(model, method, given), expected, rtol=1e-6)
    assert np.isfinite(list(found.values())).all()


def test_big_endian_streams_are_refused():
    model, *_ = made("Autoencoder")
    refused(
        "`x` is a stream of arrays of type >f4, expected", model.fit, iter([(X.astype(">f4"),)])
    )


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.home("torch")
def test_numbers_beyond_float32_are_refused(name):
    model, data, methods = made(name)
    huge = np.full(X.shape, 1e300)
    refused(r"holds 1e\+300, expected numbers of at most 3.4e\+38", model.fit, huge, *data[1:])
    for method, passed in methods.items():
        for argument, values in passed.items():
            if values is LABELS:
                continue
            given = {**passed, argument: values.astype("float64") - 1e300}
            refused(r"holds -1e\+300, expected numbers of at most", called, model, method, given)


@pytest.mark.parametrize("value", [1e300, -1e39, np.longdouble(1e39)])
def test_the_range_is_that_of_float32(value):
    values = np.zeros((3, 4), np.asarray(value).dtype)
    values[1, 2] = value
    message = r"expected numbers of at most 3.4e\+38, the range of float32: 1 of 12, the first at "
    refused(message + r"`x\[1, 2\]`", checks.check_array, "x", values)
    refused(
        "`x` holds NaN or infinite", checks.check_array, "x", checks.as_array("x", values.tolist())
    )
    checks.check_array("x", np.full(3, 3.4e38))
    checks.check_array("x", np.array([2**63], "uint64"))


def test_long_doubles_are_numbers():
    model, *_ = made("Autoencoder")
    np.testing.assert_allclose(model.encode(X.astype(np.longdouble)), model.encode(X), rtol=1e-6)


@pytest.mark.home("torch")
def test_a_message_says_where_what_is_not_finite_lies():
    values = np.zeros((5, 4), "float32")
    values[2, 3], values[4, 0] = np.nan, np.inf
    message = r"expected finite numbers: 2 of 20, the first at `x\[2, 3\]`\.$"
    refused(message, checks.check_array, "x", values)
    refused(r"1 of 5, the first at `z\[2\]`", checks.check_array, "z", values[:, 3])


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.home("torch")
def test_negative_weights_are_refused(name):
    model, data, _ = made(name)
    weights = np.linspace(-0.5, 1, 8)
    message = "`sample_weight` holds -0.5, expected weights of at least 0"
    for method in (model.fit, model.evaluate):
        refused(message, method, *data, sample_weight=weights, verbose=0)
    refused(message, model.fit, *data, validation_data=(*_three(data), weights), verbose=0)


def _three(data):
    return data if len(data) == 2 else (*data, None)


SIZES = (0, -1, "x", [], {}, np.nan)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.home("torch")
def test_epochs_and_sizes_of_batches_are_counts(name):
    model, data, _ = made(name)
    for epochs in (-1, 0, 1.5, None, "x", True):
        message = f"`epochs` is {epochs!r}, expected a whole number of at least 1"
        refused(message, model.fit, *data, epochs=epochs, verbose=0)
    for size in SIZES:
        for method in (model.fit, model.evaluate):
            message = "`batch_size` is .*, expected a whole number of at least 1"
            refused(message, method, *data, batch_size=size, verbose=0)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.home("torch")
def test_sizes_of_batches_are_counts_in_every_method(name):
    model, _, methods = made(name)
    for method in sorted(set(methods) & set(BATCHED)):
        if (name, method) == ("GAN", "sample"):  # has no `batch_size`
            continue
        for size in SIZES:
            given = {**methods[method], "batch_size": size}
            refused("`batch_size` is .*, expected a whole", called, model, method, given)


@pytest.mark.home("torch")
def test_what_is_no_array_is_named():
    model, *_ = made("Autoencoder")
    for x in (5, object()):
        refused("`x` is of type .*, expected an array of examples or a stream", model.fit, x)
    for x in (b"x", {1, 2}, memoryview(X)):
        for method in (model.fit, model.evaluate, model.encode, model.predict):
            refused("`x` is a .*, expected an array of examples", method, x)
    refused("`y` is of type int, expected an array", model.fit, X, 5)
    classifier, *_ = made("Classifier")
    refused("`y` is of type int, expected an array", classifier.fit, X, 5)
    refused(
        "`kind` is of type ndarray, expected 'a' or 'b'", checks.one_of, "kind", CODES, ("a", "b")
    )


@pytest.mark.parametrize(
    "layers, takes",
    [
        ([keras.Input((4,), dtype="int32"), keras.layers.Dense(2)], True),
        ([keras.Input((4,), dtype="uint8"), keras.layers.Dense(2)], True),
        ([keras.Input((4,)), keras.layers.Rescaling(1 / 255)], True),
        ([keras.layers.Flatten(), keras.layers.Rescaling(1 / 255)], True),
        ([keras.layers.Normalization()], True),
        ([keras.layers.Embedding(9, 2), keras.layers.Flatten()], True),
        ([keras.Sequential([keras.layers.Embedding(9, 2)]), keras.layers.GRU(2)], True),
        ([keras.Input((4,)), keras.layers.Dense(2), keras.layers.Rescaling(2.0)], False),
        ([keras.layers.Dense(2)], False),
        ([keras.Input((4,)), keras.layers.Flatten()], False),
    ],
)
@pytest.mark.home("torch")
def test_networks_that_scale_or_embed_take_integers(layers, takes):
    network = keras.Sequential(layers)
    assert arguments.takes_integers(network) == takes
    values = np.full((2, 4), 200, "uint8")
    if takes:
        arguments.check_inputs("x", values, network)
    else:
        message = r"or begin the network with `keras.Input\(..., dtype=\"uint8\"\)` if it scales"
        refused(message, arguments.check_inputs, "x", values, network)


@pytest.mark.home("torch")
def test_targets_of_a_sparse_loss():
    y = np.array([[0, 4, -1], [2, 3, 1]])
    for kind in ("int64", "float32"):
        checks.check_tokens("y", y.astype(kind), (3, 5), ignored=-1)
        refused(
            "`y` holds -1.*, expected whole numbers from 0 to 4",
            checks.check_tokens,
            "y",
            y,
            (3, 5),
        )
    refused("`y` holds 4.* from 0 to 3", checks.check_tokens, "y", y, (3, 4), -1)
    refused("`y` holds 0.5, expected whole", checks.check_tokens, "y", y + 0.5, (3, 9))
    refused(
        r"`y` has shape \(2, 3\), expected \(examples, 4\)", checks.check_tokens, "y", y, (4, 5)
    )
    refused("`y` holds -1, expected whole numbers under", checks.check_tokens, "y", y)
    sparse = keras.losses.SparseCategoricalCrossentropy(ignore_class=-1)
    assert EachLoss("loss", sparse).ignored == -1
    for loss in (
        "sparse_categorical_crossentropy",
        keras.losses.sparse_categorical_crossentropy,
        [keras.losses.SparseCategoricalCrossentropy(from_logits=True)],
    ):
        each = EachLoss("loss", loss)
        assert each.is_sparse and each.ignored is None
    assert not EachLoss("loss", "categorical_crossentropy").is_sparse
