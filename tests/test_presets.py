import json
import os
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from kerasae import Autoencoder, nets, presets
from kerasae.corruptions import MaskingNoise


@pytest.fixture
def model():
    return Autoencoder(*nets.mlp((6,), code_size=2, units=(4,)))


def test_layout(model, tmp_path):
    model.save_to_preset(tmp_path / "new" / "preset")
    files = {path.name for path in (tmp_path / "new" / "preset").iterdir()}
    assert files == {"config.json", "metadata.json", "model.weights.h5"}
    assert list((tmp_path / "new").iterdir()) == [tmp_path / "new" / "preset"]  # no leftovers
    metadata = json.loads((tmp_path / "new" / "preset" / "metadata.json").read_text())
    assert metadata["parameter_count"] == model.count_params()
    assert metadata["keras_version"] == keras.version()


def test_overwrites_a_preset_but_nothing_else(model, tmp_path):
    model.save_to_preset(tmp_path / "preset")
    x = np.ones((1, 6))
    model.decoder.layers[-1].bias.assign(np.ones(6))
    model.save_to_preset(tmp_path / "preset")
    restored = Autoencoder.from_preset(tmp_path / "preset")
    np.testing.assert_array_equal(restored.reconstruct(x), model.reconstruct(x))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="is not a preset"):
        model.save_to_preset(tmp_path / "home")
    assert (tmp_path / "home" / "thesis.tex").read_text() == "years of work"


def test_a_failing_save_keeps_the_old_preset(model, tmp_path, monkeypatch):
    model.save_to_preset(tmp_path / "preset")
    before = (tmp_path / "preset" / "model.weights.h5").read_bytes()

    def fail(self, path):
        raise OSError("No space left on device")

    monkeypatch.setattr(keras.Model, "save_weights", fail)
    with pytest.raises(OSError, match="No space"):
        model.save_to_preset(tmp_path / "preset")
    assert (tmp_path / "preset" / "model.weights.h5").read_bytes() == before
    assert list(tmp_path.iterdir()) == [tmp_path / "preset"]


def test_an_interrupt_between_the_two_renames_keeps_the_old_preset(model, tmp_path, monkeypatch):
    model.save_to_preset(tmp_path / "preset")
    before = (tmp_path / "preset" / "model.weights.h5").read_bytes()
    replace, calls = os.replace, []

    def interrupted(source, target):
        calls.append(target)
        if len(calls) == 2:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.save_to_preset(tmp_path / "preset")
    assert (tmp_path / "preset" / "model.weights.h5").read_bytes() == before
    assert list(tmp_path.iterdir()) == [tmp_path / "preset"]


def test_unbuilt_models_have_nothing_to_save(tmp_path):
    layers = keras.layers
    model = Autoencoder(keras.Sequential([layers.Dense(2)]), keras.Sequential([layers.Dense(6)]))
    with pytest.raises(ValueError, match="has no weights yet"):
        model.save_to_preset(tmp_path / "preset")


def test_not_a_preset(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected a folder with config\.json"):
        Autoencoder.from_preset("no_such_preset")
    with pytest.raises(FileNotFoundError, match=r"config.json, metadata.json, model.weights.h5"):
        Autoencoder.from_preset(tmp_path)


@pytest.mark.parametrize(
    "file, content",
    [
        ("config.json", b"{"),
        ("config.json", b'{"class_name": "Nothing", "config": {}, "module": "os"}'),
        ("config.json", b"[1, 2]"),
        ("model.weights.h5", b""),
        ("model.weights.h5", b"\x80\x04pickled"),
    ],
)
def test_broken_files_are_named(file, content, model, tmp_path):
    model.save_to_preset(tmp_path / "preset")
    (tmp_path / "preset" / file).write_bytes(content)
    with pytest.raises(ValueError, match=file):
        Autoencoder.from_preset(tmp_path / "preset")


def test_truncated_weights(model, tmp_path):
    model.save_to_preset(tmp_path / "preset")
    weights = tmp_path / "preset" / "model.weights.h5"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ValueError, match=r"model.weights.h5` is broken"):
        Autoencoder.from_preset(tmp_path / "preset")


def test_weights_of_another_model(model, tmp_path):
    model.save_to_preset(tmp_path / "one")
    other = Autoencoder(*nets.mlp((6,), code_size=3, units=(5,)))
    other.save_to_preset(tmp_path / "two")
    (tmp_path / "two" / "model.weights.h5").replace(tmp_path / "one" / "model.weights.h5")
    with pytest.raises(ValueError, match="belongs to another model"):
        Autoencoder.from_preset(tmp_path / "one")


def test_a_model_of_another_class(model, tmp_path):
    class Special(Autoencoder):
        pass

    model.save_to_preset(tmp_path / "preset")
    with pytest.raises(ValueError, match="a model of class Autoencoder, expected Special"):
        Special.from_preset(tmp_path / "preset")


def test_code_in_a_configuration_is_not_run(model, tmp_path):
    model.save_to_preset(tmp_path / "preset")
    evil = keras.Sequential([keras.Input((6,)), keras.layers.Lambda(lambda x: x)])
    config = json.loads((tmp_path / "preset" / "config.json").read_text())
    config["config"]["corruption"] = keras.saving.serialize_keras_object(evil)
    (tmp_path / "preset" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"config\.json"):
        presets.load(Autoencoder, tmp_path / "preset")


def test_foreign_classes_are_not_called(model, tmp_path):
    model.save_to_preset(tmp_path / "preset")
    path = tmp_path / "preset" / "config.json"
    ours = json.loads(path.read_text())
    arguments = {"args": ["touch", str(tmp_path / "broken in")]}
    foreign = {"module": "subprocess", "class_name": "Popen", "config": arguments}
    for config in (foreign, {**ours, "config": {**ours["config"], "corruption": foreign}}):
        path.write_text(json.dumps(config))
        with pytest.raises(ValueError, match=r"config\.json` is broken or of a foreign class"):
            Autoencoder.from_preset(tmp_path / "preset")
    assert not (tmp_path / "broken in").exists()


def test_a_name_of_the_zoo_or_a_folder(model, tmp_path, monkeypatch):
    model.save_to_preset(tmp_path / "shipped" / "ours")
    model.decoder.layers[-1].bias.assign(np.ones(6))
    model.save_to_preset(tmp_path / "here" / "ours")
    monkeypatch.setattr(presets, "SHIPPED", tmp_path / "shipped")
    monkeypatch.chdir(tmp_path / "here")
    assert presets.names() == ["ours"]
    for name, bias in (("ours", 0), (Path("ours"), 1), ("./ours", 1), (tmp_path / "here/ours", 1)):
        assert (Autoencoder.from_preset(name).decoder.layers[-1].bias.numpy() == bias).all()
    with pytest.raises(FileNotFoundError, match="or a preset of the zoo, such as 'ours'"):
        Autoencoder.from_preset("our")


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_weights_on_disk(dtype, model, tmp_path):
    model.compile(optimizer="adam")
    model.fit(np.random.default_rng(0).random((8, 6), dtype="float32"), verbose=0)
    model.encoder.layers[-1].bias.assign([1e-9, 1e5])  # float16 has room for neither
    model.save_to_preset(tmp_path / "preset", dtype)
    types = {}
    with h5py.File(tmp_path / "preset" / "model.weights.h5") as file:
        file.visititems(lambda name, item: types.update({name: getattr(item, "dtype", None)}))
    assert not any(name.startswith("optimizer") for name in types)
    found = [str(each) for each in types.values() if each is not None]
    assert found.count("float16") == (7 if dtype == "float16" else 0) and "float32" in found
    again = Autoencoder.from_preset(tmp_path / "preset")
    assert all(weight.dtype == "float32" for weight in again.weights)
    for one, other in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-7)
    with pytest.raises(ValueError, match="`dtype` is 'int8', expected 'float32' or 'float16'"):
        model.save_to_preset(tmp_path / "preset", "int8")


def test_nothing_is_written_that_an_older_keras_refuses(tmp_path):
    layers = keras.layers
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2), layers.BatchNormalization()])
    presets.save(model, tmp_path / "preset")
    text = (tmp_path / "preset" / "config.json").read_text()
    assert not any(name in text for name in presets.LATE_ARGUMENTS)
    assert '"bias_regularizer": null' in text  # what every version knows stays


def test_a_preset_begins_with_noise_of_its_own(tmp_path):
    """A new training must not repeat the noise with which an old one ended."""
    networks = nets.mlp((6,), code_size=2, units=())
    model = Autoencoder(*networks, corruption=MaskingNoise(0.5, seed=5))
    model.compile()
    model.fit(np.ones((8, 6), "float32"), verbose=0)
    model.save_to_preset(tmp_path / "preset")
    again = Autoencoder.from_preset(tmp_path / "preset")
    states = [each.corruption.seed_generator.state for each in (model, again)]
    trained, fresh = (keras.ops.convert_to_numpy(state).tolist() for state in states)
    assert fresh == [5, 0] and trained[1] > 0
