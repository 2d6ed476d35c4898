import contextlib
import json
import os
import shutil
import threading
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from kerasae import Autoencoder, nets, presets
from kerasae.corruptions import MaskingNoise
from kerasae.storage import manifest, weights

FLIPS, CUTS = 50, 30


@pytest.fixture
def model():
    return Autoencoder(*nets.mlp((6,), code_size=2, units=(4,)))


def sign(folder):
    """Set the checksums to those of the files, as one who means harm would."""
    path = folder / "metadata.json"
    manifest.write(folder, json.loads(path.read_text()))


def unsign(folder):
    """Take the checksums away, as if an earlier version had written the preset."""
    path = folder / "metadata.json"
    about = json.loads(path.read_text())
    del about["sha256"]
    path.write_text(json.dumps(about))


def test_layout(model, tmp_path):
    model.save_to_preset(tmp_path / "new" / "preset")
    files = {path.name for path in (tmp_path / "new" / "preset").iterdir()}
    assert files == {"config.json", "metadata.json", "model.weights.h5"}
    assert list((tmp_path / "new").iterdir()) == [tmp_path / "new" / "preset"]  # no leftovers
    metadata = json.loads((tmp_path / "new" / "preset" / "metadata.json").read_text())
    assert metadata["parameter_count"] == model.count_params()
    assert metadata["keras_version"] == keras.version()
    assert metadata["sha256"].keys() == files


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


def test_no_hdf5_file_is_open_after_a_write_that_failed(model, tmp_path):
    """HDF5 would write it again at the end of the process, which crashes on a full disk."""
    resource = pytest.importorskip("resource")
    model.save_to_preset(tmp_path / "preset")
    largest = (tmp_path / "preset" / "model.weights.h5").stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest - 1, limits[1]))
    try:
        with pytest.raises(OSError, match=r"`folder` is .* \(File too large\)"):
            model.save_to_preset(tmp_path / "preset")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE) == 0
    assert Autoencoder.from_preset(tmp_path / "preset")


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
    with pytest.raises(ValueError, match=f"{file}` is broken or was changed: its SHA-256"):
        Autoencoder.from_preset(tmp_path / "preset")
    unsign(tmp_path / "preset")
    with pytest.raises(ValueError, match=f"{file}` (is broken|holds)"):
        Autoencoder.from_preset(tmp_path / "preset")


def test_truncated_weights(model, tmp_path):
    model.save_to_preset(tmp_path / "preset")
    weights = tmp_path / "preset" / "model.weights.h5"
    weights.write_bytes(weights.read_bytes()[:-1000])
    unsign(tmp_path / "preset")
    with pytest.raises(ValueError, match=r"model.weights.h5` is broken"):
        Autoencoder.from_preset(tmp_path / "preset")


def test_weights_of_another_model(model, tmp_path):
    model.save_to_preset(tmp_path / "one")
    other = Autoencoder(*nets.mlp((6,), code_size=3, units=(5,)))
    other.save_to_preset(tmp_path / "two")
    (tmp_path / "two" / "model.weights.h5").replace(tmp_path / "one" / "model.weights.h5")
    with pytest.raises(ValueError, match=r"model\.weights\.h5` is broken or was changed"):
        Autoencoder.from_preset(tmp_path / "one")
    unsign(tmp_path / "one")
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
    sign(tmp_path / "preset")
    with pytest.raises(ValueError, match=r"config\.json` is broken or of a foreign class"):
        presets.load(Autoencoder, tmp_path / "preset")


def test_foreign_classes_are_not_called(model, tmp_path):
    model.save_to_preset(tmp_path / "preset")
    path = tmp_path / "preset" / "config.json"
    ours = json.loads(path.read_text())
    arguments = {"args": ["touch", str(tmp_path / "broken in")]}
    foreign = {"module": "subprocess", "class_name": "Popen", "config": arguments}
    for config in (foreign, {**ours, "config": {**ours["config"], "corruption": foreign}}):
        path.write_text(json.dumps(config))
        sign(tmp_path / "preset")
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


# What was saved, or an error.


@pytest.mark.parametrize("file", ["config.json", "metadata.json", "model.weights.h5"])
@pytest.mark.home("torch")
def test_a_damaged_file_is_never_taken_for_what_was_saved(file, model, tmp_path):
    """Flip a byte, or cut the file: what loads is what was saved, else the error names the file."""
    model.save_to_preset(tmp_path / "preset")
    path, x = tmp_path / "preset" / file, np.linspace(0, 1, 12, dtype="float32").reshape(2, 6)
    whole, expected, rng = path.read_bytes(), model.reconstruct(x), np.random.default_rng(0)
    about = presets.metadata(tmp_path / "preset")
    damaged = []
    for _ in range(FLIPS):
        flipped = bytearray(whole)
        flipped[rng.integers(len(whole))] ^= rng.integers(1, 256)
        damaged.append(bytes(flipped))
    damaged += [whole[:size] for size in rng.integers(0, len(whole), CUTS)]
    refused = 0
    for content in damaged:
        path.write_bytes(content)
        try:
            found = Autoencoder.from_preset(tmp_path / "preset").reconstruct(x)
        except ValueError as error:
            refused += 1
            assert str(error).startswith(f"`{tmp_path / 'preset'}/") and "\n" not in str(error)
            assert "metadata.json" in str(error)  # by its name, or as the home of the checksum
            if file != "metadata.json":
                assert str(error).startswith(f"`{path}` is broken or was changed: its SHA-256")
        else:
            np.testing.assert_array_equal(found, expected)
            loaded = presets.metadata(tmp_path / "preset")
            assert file == "metadata.json" and (loaded == about or "sha256" not in loaded)
    assert refused >= FLIPS + CUTS - 5 * (file == "metadata.json")  # another blank changes nothing


def test_presets_without_checksums_are_read(model, tmp_path):
    model.save_to_preset(tmp_path / "preset")
    unsign(tmp_path / "preset")
    assert Autoencoder.from_preset(tmp_path / "preset").built


@pytest.mark.parametrize("sums", [None, 3, [], {}, {"config.json": "0"}, {"a": 1, "b": 2}])
@pytest.mark.home("torch")
def test_broken_checksums(sums, model, tmp_path):
    model.save_to_preset(tmp_path / "preset")
    path = tmp_path / "preset" / "metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "sha256": sums}))
    with pytest.raises(ValueError, match=r"metadata\.json` is broken: `sha256` is .* expected the"):
        Autoencoder.from_preset(tmp_path / "preset")


@pytest.mark.parametrize("count", [None, "30", 3, 1e30, [], {}])
@pytest.mark.home("torch")
def test_another_number_of_parameters(count, model, tmp_path):
    model.save_to_preset(tmp_path / "preset")
    about = presets.metadata(tmp_path / "preset")
    manifest.write(tmp_path / "preset", {**about, "parameter_count": count})
    with pytest.raises(ValueError, match=r"metadata\.json` is broken or .*`parameter_count` is"):
        Autoencoder.from_preset(tmp_path / "preset")


@pytest.mark.parametrize("text", ["", "3", "null", "[]", "[" * 100_000, "\x00", '{"a": 1'])
@pytest.mark.home("torch")
def test_not_metadata(text, model, tmp_path):
    model.save_to_preset(tmp_path / "preset")
    (tmp_path / "preset" / "metadata.json").write_text(text)
    for read in (Autoencoder.from_preset, presets.metadata):
        with pytest.raises(ValueError, match=r"metadata\.json` (is broken|holds .*), expected"):
            read(tmp_path / "preset")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite(value, model, tmp_path):
    model.save_to_preset(tmp_path / "preset")
    with h5py.File(tmp_path / "preset" / "model.weights.h5", "r+") as file:
        found = []
        file.visititems(lambda name, item: found.append(name) if hasattr(item, "dtype") else None)
        weights = next(name for name in found if file[name].shape == (4, 2))
        file[weights][1, 1] = value
    sign(tmp_path / "preset")
    with pytest.raises(ValueError, match=r"model\.weights\.h5` holds NaN or infinite values for"):
        Autoencoder.from_preset(tmp_path / "preset")
    model.decoder.layers[-1].bias.assign(np.full(6, value))
    with pytest.raises(ValueError, match=r"`model` has NaN or infinite values in .*bias, expected"):
        model.save_to_preset(tmp_path / "other")
    assert not (tmp_path / "other").exists()


# Kills, full disks, other processes.

CALLS = ("rename", "replace", "mkdir", "unlink", "rmdir", "fsync")


class Killed(BaseException):
    """The end of a process, after which no clean-up changes anything on the disk."""


@contextlib.contextmanager
def failing(monkeypatch, number, error, for_good):
    """Let the call number `number` that changes the disk fail and, if asked to, all later ones."""
    made = []

    def fails(call):
        def instead(*arguments, **options):
            made.append(call.__name__)
            if len(made) == number or (for_good and len(made) > number):
                raise error
            return call(*arguments, **options)

        return instead

    with monkeypatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, fails(getattr(os, name)))
        yield made


def weight(folder):
    """The number that tells the earlier preset from the later one."""
    bias = Autoencoder.from_preset(folder).decoder.layers[-1].bias
    return float(keras.ops.convert_to_numpy(bias)[0])


@pytest.mark.home("torch")
def test_a_save_that_is_killed_leaves_the_old_preset_or_the_new_one(model, tmp_path, monkeypatch):
    model.save_to_preset(tmp_path / "before")
    model.decoder.layers[-1].bias.assign(np.ones(6))
    found, killed = [], True
    while killed:
        number = len(found) + 1
        home = tmp_path / str(number)
        shutil.copytree(tmp_path / "before", home / "preset")
        with failing(monkeypatch, number, Killed(), True) as calls:
            try:
                model.save_to_preset(home / "preset")
            except Killed:
                pass
            killed = len(calls) >= number
        found.append(weight(home / "preset"))
        assert found[-1] in (0, 1)
        model.save_to_preset(home / "preset")  # sweeps
        assert weight(home / "preset") == 1 and list(home.iterdir()) == [home / "preset"]
    assert calls.count("rename") == 2 and found == sorted(found) and {*found} == {0, 1}


@pytest.mark.home("torch")
def test_a_save_that_fails_keeps_the_old_preset_and_names_the_folder(model, tmp_path, monkeypatch):
    model.save_to_preset(tmp_path / "before")
    model.decoder.layers[-1].bias.assign(np.ones(6))
    failures = []
    for error in (OSError(28, "No space left on device"), KeyboardInterrupt()):
        number, calls = 0, []
        while len(calls) >= number:
            number += 1
            home = tmp_path / f"{type(error).__name__}{number}"
            shutil.copytree(tmp_path / "before", home / "preset")
            with failing(monkeypatch, number, error, False) as calls:
                try:
                    model.save_to_preset(home / "preset")
                    continue  # a failure of the sweep alone
                except (OSError, KeyboardInterrupt) as raised:
                    failures.append(raised)
            assert weight(home / "preset") in (0, 1)
            if isinstance(failures[-1], OSError):
                assert weight(home / "preset") == 0 and list(home.iterdir()) == [home / "preset"]
                assert str(failures[-1]).startswith(f"`folder` is '{home / 'preset'}', expected a")
                assert "No space left on device" in str(failures[-1])
    assert {type(each) for each in failures} == {OSError, KeyboardInterrupt}
    assert len(failures) > 15


@pytest.mark.home("torch")
def test_who_reads_while_another_writes_gets_one_preset_or_the_other(model, tmp_path):
    model.save_to_preset(tmp_path / "preset")
    failures, seen, read, done = [], set(), threading.Event(), threading.Event()

    def writes():
        try:
            for turn in range(12):
                model.decoder.layers[-1].bias.assign(np.full(6, turn % 2))
                model.save_to_preset(tmp_path / "preset")
                read.clear()
                read.wait(60)  # for a reader who ends; the next one is disturbed at its begin
        except BaseException as error:
            failures.append(error)
        done.set()

    writer = threading.Thread(target=writes)
    writer.start()
    while not done.is_set():
        seen.add(weight(tmp_path / "preset"))
        read.set()
    writer.join()
    assert not failures and seen == {0, 1}


@pytest.mark.home("torch")
def test_a_preset_that_is_replaced_while_it_is_read_is_read_again(model, tmp_path, monkeypatch):
    model.save_to_preset(tmp_path / "preset")
    other = Autoencoder(*nets.mlp((6,), code_size=3, units=(5,)))
    outline, writes = weights.outline, []

    def outline_and_write(*arguments):
        if len(writes) < allowed:
            writes.append((model, other)[len(writes) % 2])
            writes[-1].save_to_preset(tmp_path / "preset")
        return outline(*arguments)

    monkeypatch.setattr(weights, "outline", outline_and_write)
    allowed = 2
    again = Autoencoder.from_preset(tmp_path / "preset")
    assert [tuple(each.shape) for each in again.weights] == [
        tuple(each.shape) for each in other.weights
    ]
    allowed = 100
    with pytest.raises(ValueError, match="was replaced 5 times while it was read, expected"):
        Autoencoder.from_preset(tmp_path / "preset")


@pytest.mark.home("torch")
def test_several_writers_at_once(model, tmp_path):
    failures = []

    def writes():
        try:
            model.save_to_preset(tmp_path / "preset")
        except BaseException as error:
            failures.append(error)

    writers = [threading.Thread(target=writes) for _ in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert not failures and list(tmp_path.iterdir()) == [tmp_path / "preset"]
    assert weight(tmp_path / "preset") == 0


@pytest.mark.home("torch")
def test_leftovers_of_another_preset_stay(model, tmp_path):
    """Only what has exactly this preset's name is swept."""
    for name in (".a.b.0123abcd.part", ".a.b.old", ".ab.old", ".a-old"):
        (tmp_path / name).mkdir()
    model.save_to_preset(tmp_path / "a")
    assert len(list(tmp_path.iterdir())) == 5


# Bad places.


@pytest.mark.parametrize(
    "foreign", ["folder", "folder in a preset", "config", "list", "file", "no metadata", "link"]
)
@pytest.mark.home("torch")
def test_what_save_did_not_write_is_not_replaced(foreign, model, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    if foreign == "folder in a preset":
        model.save_to_preset(home)
        (home / "config.json").unlink()
    if foreign.startswith("folder"):
        (home / "config.json").mkdir()
        (home / "config.json" / "thesis.tex").write_text("years of work")
    elif foreign == "config":
        (home / "config.json").write_text("{}")
    elif foreign == "list":
        (home / "metadata.json").write_text("[]")
    elif foreign == "file":
        home.rmdir()
        home.write_text("years of work")
    elif foreign == "no metadata":
        model.save_to_preset(home)
        (home / "metadata.json").write_text('{"author": "me"}')
    else:
        (home / "model.weights.h5").symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.rglob("*"))
    sentence = r"^`folder` is '.*home', which is not a preset \(it holds .*\), expected a new"
    with pytest.raises(ValueError, match=sentence):
        model.save_to_preset(home)
    assert sorted(tmp_path.rglob("*")) == before


BAD = (None, 3, 2.5, True, b"preset", [], {}, ("a",), "", "a\x00b", "a\nb", "a\x1b[31mb", "\x7f")


@pytest.mark.parametrize("bad", BAD, ids=repr)
@pytest.mark.home("torch")
def test_what_is_no_path(bad, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for argument, call in (
        ("folder", lambda: model.save_to_preset(bad)),
        ("folder", lambda: presets.place(bad)),
        ("name", lambda: Autoencoder.from_preset(bad)),
        ("name", lambda: presets.metadata(bad)),
    ):
        with pytest.raises(ValueError, match=f"^`{argument}` is .*, expected a string or") as said:
            call()
        assert str(said.value).isprintable()
    assert not list(tmp_path.iterdir())


@pytest.mark.home("torch")
def test_places_that_cannot_be(model, tmp_path):
    (tmp_path / "file").write_text("text")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    long, deep = "n" * 5000, "n/" * 3000
    for name in (tmp_path / ("n" * 300), long, deep, tmp_path / "loop", "/proc/x", "/"):
        with pytest.raises((OSError, ValueError), match=r"^`folder` is '.*expected a") as said:
            model.save_to_preset(name)
        assert len(str(said.value)) < 700 and ".part" not in str(said.value)
    for name in (tmp_path / "file" / "preset", "/dev/null/preset"):
        with pytest.raises(OSError, match=r"^`folder` is '.*', expected a folder that can be wri"):
            model.save_to_preset(name)
    for name in (long, deep, tmp_path / "loop", tmp_path / "file", "../../etc"):
        with pytest.raises(FileNotFoundError, match=r"expected a") as said:
            Autoencoder.from_preset(name)
        assert len(str(said.value)) < 7000 and str(said.value).isprintable()


@pytest.mark.home("torch")
def test_a_place_is_judged_before_the_work(model, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    for call in (presets.place, model.save_to_preset):
        with pytest.raises(PermissionError, match=r"^`folder` is .*cannot be written to"):
            call(tmp_path / "new" / "preset")
    assert not list(tmp_path.iterdir())
