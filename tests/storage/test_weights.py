"""Weights files from elsewhere: what a plain file can hold is read, and nothing else."""

import json
import random
import re
import resource
import sys

import h5py
import keras
import numpy as np
import pytest
from test_presets import sign

from kerasae import Autoencoder, nets, presets
from kerasae.storage import weights


@pytest.fixture
def preset(tmp_path):
    """A preset whose author can sign what he likes."""
    Autoencoder(*nets.mlp((6,), code_size=2, units=(4,))).save_to_preset(tmp_path / "preset")
    return tmp_path / "preset"


def kernel(file):
    """The name of the array of shape (4, 2)."""
    found = []
    file.visititems(lambda name, item: found.append(name) if hasattr(item, "dtype") else None)
    return next(name for name in found if file[name].shape == (4, 2))


def external_link(file, name, folder):
    with h5py.File(folder / "secret.h5", "w") as other:
        other["secret"] = np.full((4, 2), 42.0, "float32")
    del file[name]
    file[name] = h5py.ExternalLink(str(folder / "secret.h5"), "secret")


def soft_link(file, name, folder):
    values = file[name][()]
    del file[name]
    file["elsewhere"] = values
    file[name] = h5py.SoftLink("/elsewhere")


def dangling_link(file, name, folder):
    del file[name]
    file[name] = h5py.SoftLink("/nothing")


def external_storage(file, name, folder):
    (folder / "secret.bin").write_bytes(np.full((4, 2), 7.0, "float32").tobytes())
    del file[name]
    file.create_dataset(
        name, (4, 2), "float32", external=[(str(folder / "secret.bin"), 0, h5py.h5f.UNLIMITED)]
    )


def virtual(file, name, folder):
    with h5py.File(folder / "secret.h5", "w") as other:
        other["secret"] = np.full((4, 2), 42.0, "float32")
    layout = h5py.VirtualLayout((4, 2), "float32")
    layout[:] = h5py.VirtualSource(str(folder / "secret.h5"), "secret", (4, 2))
    del file[name]
    file.create_virtual_dataset(name, layout)


def compressed(file, name, folder):
    values = file[name][()]
    del file[name]
    file.create_dataset(name, data=values, compression="gzip")


def never_written(file, name, folder):
    del file[name]
    file.create_dataset(name, (23000, 23000), "float32")


def never_written_of_the_right_shape(file, name, folder):
    del file[name]
    file.create_dataset(name, (4, 2), "float32")


def of_type(dtype):
    def change(file, name, folder):
        values = file[name][()]
        del file[name]
        file[name] = values.astype(dtype)

    change.__name__ = np.dtype(dtype).name
    return change


def strings(file, name, folder):
    del file[name]
    file[name] = np.full((4, 2), b"abcd")


def long_strings(file, name, folder):
    del file[name]
    file.create_dataset(name, data=np.full((4, 2), "a", object), dtype=h5py.string_dtype())


def records(file, name, folder):
    del file[name]
    file[name] = np.zeros((4, 2), [("a", "f4"), ("b", "f4")])


def empty(file, name, folder):
    del file[name]
    file[name] = h5py.Empty("float32")


def loop(file, name, folder):
    file["loop"] = file["/"]


def two_names(file, name, folder):
    file["again"] = file[name]


def named_type(file, name, folder):
    file["type"] = np.dtype("float32")


def missing(file, name, folder):
    del file[name]


def of_another_shape(file, name, folder):
    values = file[name][()]
    del file[name]
    file[name] = values.T


def a_group(file, name, folder):
    del file[name]
    file.create_group(name)


LINK, PIECES = "which is a link", "which is virtual, compressed or in pieces"
FEW = r"belongs to another model: it holds too few arrays of floats of shape \(4, 2\), expected"
ATTACKS = [
    (external_link, LINK),
    (soft_link, LINK),
    (dangling_link, LINK),
    (external_storage, "whose numbers lie in another file"),
    (virtual, PIECES),
    (compressed, PIECES),
    (never_written, "which declares 2,116,000,000 bytes and does not hold them"),
    (never_written_of_the_right_shape, "which declares 32 bytes and does not hold them"),
    (of_type("complex64"), "of type complex64"),
    (of_type(">f4"), "of type >f4"),
    (of_type("int32"), FEW),
    (of_type("uint8"), FEW),
    (of_type("bool"), FEW),
    (strings, r"of type \|S4"),
    (long_strings, "of type object"),
    (records, "of type "),
    (empty, "without a shape"),
    (loop, "has another name too"),
    (two_names, "has another name too"),
    (named_type, "which is a Datatype"),
    (missing, FEW),
    (of_another_shape, FEW),
    (a_group, FEW),
]


@pytest.mark.parametrize(
    "attack, sentence", ATTACKS, ids=lambda each: getattr(each, "__name__", "")
)
@pytest.mark.home("torch")
def test_what_is_no_plain_array_is_refused_before_keras_reads(
    attack, sentence, preset, tmp_path, monkeypatch
):
    with h5py.File(preset / "model.weights.h5", "r+") as file:
        attack(file, kernel(file), tmp_path)
    assert (preset / "model.weights.h5").stat().st_size < 100_000
    sign(preset)
    monkeypatch.setattr(keras.Model, "load_weights", None)
    with pytest.raises(ValueError, match=r"model\.weights\.h5` .*" + sentence) as said:
        Autoencoder.from_preset(preset)
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("dtype", ["float16", "float64", "bfloat16"])
@pytest.mark.home("torch")
def test_floats_of_other_sizes_are_plain(dtype, preset, tmp_path):
    with h5py.File(preset / "model.weights.h5", "r+") as file:
        name = kernel(file)
        values = file[name][()]
        del file[name]
        if dtype == "bfloat16":
            half = (values.view("uint32") >> 16).astype("uint16").view("V2")
            file[name] = half
            file[name].attrs["dtype"] = "bfloat16"
        else:
            file[name] = values.astype(dtype)
    sign(preset)
    weights = Autoencoder.from_preset(preset).weights
    found = next(each for each in weights if tuple(each.shape) == (4, 2))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), values, rtol=1e-2)


@pytest.mark.home("torch")
def test_a_number_that_float32_has_no_room_for(preset):
    with h5py.File(preset / "model.weights.h5", "r+") as file:
        name = kernel(file)
        del file[name]
        file[name] = np.full((4, 2), 1e300)
    sign(preset)
    with pytest.raises(ValueError, match="holds NaN or infinite values for"):
        Autoencoder.from_preset(preset)


def grown(preset, size):
    """Let the configuration ask for `size` hidden units."""
    path = preset / "config.json"
    text = json.dumps(json.loads(path.read_text()))
    text = text.replace('"units": 4', f'"units": {size}').replace("[null, 4]", f"[null, {size}]")
    assert text.count(str(size)) > 2
    path.write_text(text)
    sign(preset)


def peak():
    """The most memory that the process has had, in MB."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (1e6 if sys.platform == "darwin" else 1e3)


def test_a_configuration_gets_no_more_memory_than_its_weights_file_holds(preset):
    """A layer of 20 million units would take 640 MB on its way to the first comparison."""
    grown(preset, 20_000_000)
    before = peak()
    with pytest.raises(ValueError, match=r"too few arrays of floats of shape \(6, 20000000\)"):
        Autoencoder.from_preset(preset)
    assert peak() - before < 300


def test_nor_does_one_that_cannot_be_built(preset):
    path = preset / "config.json"
    path.write_text(path.read_text().replace('"units": 4', '"units": 20000000'))
    sign(preset)
    before = peak()
    with pytest.raises(ValueError, match=r"config\.json` .* are 1\d\d,\d{3},\d{3} numbers or more"):
        Autoencoder.from_preset(preset)
    assert peak() - before < 300


def test_an_outline_leaves_nothing_behind(preset):
    """Neither weights without values, which Keras would fill later, nor used random numbers."""
    grown(preset, 20_000_000)
    state = random.getstate()  # seeds of initializers are drawn from it
    outline = weights.outline((preset / "config.json").read_bytes())
    assert sum(np.prod(each.shape) for each in outline.weights) > 2e8
    assert random.getstate() == state
    before = peak()
    with keras.StatelessScope():  # at whose end Keras gives values to all weights that have none
        pass
    assert peak() - before < 300


@pytest.mark.home("torch")
def test_a_class_that_needs_values_while_it_is_built_is_read_without_an_outline(tmp_path):
    @keras.saving.register_keras_serializable("test_weights_file")
    class Eager(keras.layers.Layer):
        def build(self, shape):
            self.scale = keras.Variable(np.ones(3, "float32"), name="scale")

        def call(self, x):
            return x * self.scale

    model = keras.Sequential([keras.Input((3,)), Eager()])
    presets.save(model, tmp_path / "preset")
    assert weights.outline((tmp_path / "preset" / "config.json").read_bytes()) is None
    assert presets.load(keras.Model, tmp_path / "preset").count_params() == 3


def test_all_shipped_configurations_have_an_outline():
    for name in presets.names():
        outline = weights.outline((presets.find(name) / "config.json").read_bytes())
        assert outline.count_params() == presets.metadata(name)["parameter_count"]


@pytest.mark.home("torch")
def test_names_of_a_file_cannot_control_the_terminal(preset):
    with h5py.File(preset / "model.weights.h5", "r+") as file:
        file["a\x1b[31m\nb"] = h5py.SoftLink("/nothing")
    sign(preset)
    with pytest.raises(ValueError, match=re.escape(r"\x1b[31m\nb")) as said:
        Autoencoder.from_preset(preset)
    assert str(said.value).isprintable()


@pytest.mark.home("torch")
@pytest.mark.parametrize("change", ["lora", "int8"])
def test_weights_of_other_kinds_come_back(change, tmp_path):
    """Keras adds the weights of LoRA to the kernel, and leaves them out of its files."""
    networks = nets.mlp((6,), code_size=2, units=(4,))
    if change == "lora":
        networks[0].layers[-1].enable_lora(2)
    else:
        networks[0].quantize("int8")
    model = Autoencoder(*networks)
    model.save_to_preset(tmp_path / "preset")
    again, x = Autoencoder.from_preset(tmp_path / "preset"), np.ones((1, 6), "float32")
    np.testing.assert_allclose(again.encode(x), model.encode(x), rtol=1e-5)


@pytest.mark.home("torch")
def test_weights_of_lora_get_no_more_memory_either(tmp_path):
    networks = nets.mlp((6,), code_size=2, units=(4,))
    networks[0].layers[-1].enable_lora(2)
    Autoencoder(*networks).save_to_preset(tmp_path / "preset")
    path = tmp_path / "preset" / "config.json"
    path.write_text(path.read_text().replace('"lora_rank": 2', '"lora_rank": 2000000'))
    sign(tmp_path / "preset")
    with pytest.raises(ValueError, match=r"too few arrays of floats of shape \(4, 2000000\)"):
        Autoencoder.from_preset(tmp_path / "preset")


@pytest.mark.home("torch")
def test_a_layer_that_keeps_weights_to_itself_cannot_be_saved(tmp_path):
    @keras.saving.register_keras_serializable("test_weights_file")
    class Secret(keras.layers.Dense):
        def save_own_variables(self, store):
            pass

    model = keras.Sequential([keras.Input((3,)), Secret(2)])
    with pytest.raises(ValueError, match=r"^`model` is a Sequential with layers that do not save"):
        presets.save(model, tmp_path / "preset")
    assert not list(tmp_path.iterdir())
