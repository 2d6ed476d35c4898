import subprocess
import sys

import keras
import numpy as np
import pytest

from kerasae import presets
from kerasae.datasets import faces, load
from kerasae.evaluation import networks
from kerasae.evaluation.networks.__main__ import make


def by_hand(model, images):
    """The features as NumPy computes them, in float64."""
    x = images.astype("float64")
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            kernel, bias = (np.asarray(w, "float64") for w in layer.get_weights())
            # Stride 2 with kernels of 3: a row and a column are added at the end of an even side,
            # and on both ends of an odd one.
            pad = (x.shape[1] % 2, 1)
            padded = np.pad(x, ((0, 0), pad, pad, (0, 0)))
            windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
            x = np.einsum("nijchw,hwck->nijk", windows[:, ::2, ::2], kernel) + bias
            x = np.maximum(x, 0)
    kernel, bias = (np.asarray(w, "float64") for w in model.get_layer("features").get_weights())
    return x.reshape(len(x), -1) @ kernel + bias


@pytest.fixture(scope="module")
def digits():
    return load("strokes", train=1, test=500)[1]


@pytest.fixture(scope="module")
def portraits():
    images, _, factors = faces.generate(200, seed=7)
    return (images / 255).astype("float32"), factors


@pytest.mark.parametrize("name", networks.NAMES)
def test_features_are_those_of_numpy_on_every_backend(name):
    model = networks.load(name)
    x = np.random.default_rng(0).random((20, *model.input_shape[1:]))
    found = networks.features(x, name)
    assert found.shape == (20, networks.FEATURES) and found.dtype == np.float32
    np.testing.assert_allclose(found, by_hand(model, x), rtol=1e-4, atol=1e-4)
    sums = presets.metadata(networks.FOLDER / name)["sha256"]  # `load` has compared them
    assert sums.keys() == set(presets.FILES)


@pytest.mark.home("torch")
def test_digits_are_told(digits):
    told = networks.attributes(digits.x, "digits")
    assert list(told) == ["digit", "thickness", "slant", "rotation", "width"]
    np.testing.assert_allclose(told["digit"].sum(axis=1), 1, rtol=1e-5)
    assert np.mean(told["digit"].argmax(axis=1) == digits.y) > 0.95
    assert told["thickness"].shape == (500,)
    assert np.corrcoef(told["thickness"], digits.factors["thickness"])[0, 1] > 0.95
    assert np.corrcoef(told["slant"], digits.factors["slant"])[0, 1] > 0.85


@pytest.mark.home("torch")
def test_attributes_of_faces_are_told_in_their_own_units(portraits):
    images, factors = portraits
    told = networks.attributes(images)
    assert list(told) == list(faces.FACTORS)
    for name, truth in factors.items():
        if truth.dtype.kind == "i":
            assert np.mean(told[name].argmax(axis=1) == truth) > 0.9
        else:
            assert np.mean((told[name] - truth) ** 2) < 0.12 * truth.var()


@pytest.mark.home("torch")
def test_faces_of_64_pixels_are_averaged_down(portraits):
    images = portraits[0]
    small = images.reshape(-1, 32, 2, 32, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(
        networks.features(images, "faces"), networks.features(small, "faces"), rtol=1e-4, atol=1e-4
    )


@pytest.mark.home("torch")
def test_a_network_of_ones_own_is_used_as_it_is(digits):
    network = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten()])
    found = networks.features(digits.x, network)
    assert np.array_equal(found, digits.x.reshape(500, -1))
    maps = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.AveragePooling2D(2)])
    with pytest.raises(ValueError, match="`network` gives no array"):
        networks.features(digits.x, maps)


@pytest.mark.home("torch")
def test_the_networks_are_fixed_small_and_kept_in_memory():
    for name in networks.NAMES:
        model = networks.load(name)
        assert model is networks.load(name) and not model.trainable_variables
        files = {path.name: path.stat().st_size for path in (networks.FOLDER / name).iterdir()}
        assert set(files) == {"config.json", "metadata.json", "model.weights.h5"}
        assert files["model.weights.h5"] < 300_000


def test_a_mixed_precision_run_leaves_them_in_float32(digits):
    before = networks.features(digits.x[:5], "digits")
    networks.load.cache_clear()
    keras.config.set_dtype_policy("mixed_float16")
    assert np.array_equal(networks.features(digits.x[:5], "digits"), before)


@pytest.mark.home("torch")
def test_the_command_makes_the_same_network_again(tmp_path):
    arguments = ["--images", "64", "--epochs", "1", "--folder", str(tmp_path), "--only", "digits"]
    command = [sys.executable, "-m", "kerasae.evaluation.networks", *arguments]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "digit: accuracy" in printed and "thickness: R²" in printed
    written = presets.load(keras.Model, tmp_path / "digits")
    layout = [
        [(w.path, w.shape) for w in model.weights] for model in (written, networks.load("digits"))
    ]
    assert layout[0] == layout[1]
    here = make("digits", images=64, epochs=1)
    for weights, same in zip(written.get_weights(), here.get_weights(), strict=True):
        np.testing.assert_allclose(weights, same, atol=1e-6)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: networks.load("mnist"), "`name` is 'mnist', expected 'digits' or 'faces'"),
        (
            lambda: networks.features(np.zeros((2, 32, 32, 3))),
            r"`images` has shape \(2, 32, 32, 3\), expected \(examples, 28, 28, 1\)",
        ),
        (lambda: networks.features(np.full((2, 28, 28, 1), 255)), "`images` holds values from 255"),
        (lambda: networks.attributes(np.zeros((0, 32, 32, 3))), "expected at least one example"),
        (lambda: networks.features(np.zeros((1, 28, 28, 1)), batch_size=0), "`batch_size` is 0"),
    ],
)
@pytest.mark.home("torch")
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.home("torch")
def test_what_is_measured_counts_in_units_of_its_variance(monkeypatch):
    given, compile = {}, keras.Model.compile

    def watched(self, *arguments, **options):
        given.update(options.get("loss_weights") or {})
        compile(self, *arguments, **options)

    monkeypatch.setattr(keras.Model, "compile", watched)
    make("digits", images=64, epochs=1)
    factors = load("strokes", train=64, test=6)[0].factors
    expected = {name: 1 / factors[name].var() for name in given if name != "digit"}
    assert given == pytest.approx({"digit": 1.0, **expected}) and len(given) == 5
