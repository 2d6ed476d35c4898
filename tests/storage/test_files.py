"""Files are whole or not there, and runs end as undisturbed ones do, whatever fails in between."""

import builtins
import contextlib
import errno
import io
import json
import os
import subprocess
import sys
import time

import h5py
import keras
import numpy as np
import pytest

from kerasae import Autoencoder, StackedAutoencoder, datasets, nets, plots, presets
from kerasae.storage import archives, files
from kerasae.training import checkpoint
from kerasae.training.resume import resumable_fit
from kerasae.zoo import commands, training
from kerasae.zoo.published import runs
from kerasae.zoo.published.result import Result

pytestmark = pytest.mark.home("torch")
x = np.random.default_rng(0).random((16, 4), dtype="float32")


class Killed(BaseException):
    """What happens to a process that is killed: from here on it does nothing more."""


class Faults:
    """Counts what is done to files, and lets one of these operations fail.

    A full disk makes the operation fail, and what follows works again. A kill makes it and all
    that would follow fail: no `finally` tidies up. Of a write, half is done.
    """

    OPERATIONS = ("mkdir", "replace", "rename", "fsync", "unlink", "rmdir")

    def __init__(self, patch):
        self.count, self.at, self.kill = 0, None, False
        for name in self.OPERATIONS:
            patch.setattr(os, name, self.counted(getattr(os, name)))
        for module in (builtins, io):  # the latter is pathlib's
            patch.setattr(module, "open", self.opener(open))

    def strikes(self):
        self.count += 1
        dead = self.kill and self.at is not None and self.count > self.at
        return self.count == self.at or dead

    def strike(self):
        raise Killed if self.kill else OSError(errno.ENOSPC, "No space left on device")

    def counted(self, function):
        def operation(*arguments, **options):
            if self.strikes():
                self.strike()
            return function(*arguments, **options)

        return operation

    def opener(self, function):
        counted = self.counted(function)

        def opened(file, mode="r", *arguments, **options):
            if not set(mode) & set("wxa+"):
                return function(file, mode, *arguments, **options)
            return Written(self, counted(file, mode, *arguments, **options))

        return opened


class Written:
    """A file, each write to which is counted."""

    def __init__(self, faults, file):
        self.faults, self.file = faults, file

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, content):
        if self.faults.strikes():
            if self.faults.count == self.faults.at:
                self.file.write(content[: len(content) // 2])
            self.faults.strike()
        return self.file.write(content)


def whole(folder):
    """Assert that each file under its own name is whole, but for a preset in the making."""
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix == ".npz":
            assert archives.read(path, checkpoint.ORIGIN) is not None
        elif path.suffix == ".json" and not hidden:
            json.loads(path.read_text())
        elif path.suffix == ".png" and not hidden:
            assert path.read_bytes() == Picture.content


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def assert_every_fault_is_survived(run, tmp_path, monkeypatch, step=1):
    """Let each operation on files fail once in a run; the same run again ends as undisturbed."""
    expected = run(tmp_path / "undisturbed")
    with monkeypatch.context() as patch:
        faults = Faults(patch)
        assert run(tmp_path / "counted") == expected
    assert faults.count > 20
    failed = 0
    for kill in (False, True):
        for at in range(1 + kill * (step // 2), faults.count + 1, step):
            folder, ended = tmp_path / f"{kill}-{at}", None
            with monkeypatch.context() as patch, contextlib.suppress(OSError, Killed):
                faults = Faults(patch)
                faults.at, faults.kill = at, kill
                ended = run(folder)
            failed += ended is None
            assert ended in (None, expected), (kill, at)
            whole(folder)
            assert run(folder) == expected, (kill, at)
            assert names(folder) == names(tmp_path / "undisturbed"), (kill, at)
    assert failed > faults.count / step  # more than every second one


def make():
    keras.utils.set_random_seed(1)
    model = Autoencoder(*nets.mlp((4,), 2, units=()), keras.layers.GaussianNoise(0.1))
    model.compile(keras.optimizers.Adam(0.02))
    return model


def weights(model):
    return [value.tolist() for value in model.get_weights()]


def test_an_error_names_the_file_that_was_asked_for(tmp_path, monkeypatch):
    """Of a write to a full disk the system names no file."""

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as said:
        files.write(tmp_path / "a.txt", "text")
    assert said.value.filename == str(tmp_path / "a.txt")


def test_every_fault_of_a_training_is_survived(tmp_path, monkeypatch):
    def run(folder):
        model = make()
        history = resumable_fit(model, x, epochs=2, batch_size=8, folder=folder, verbose=0)
        return history.history, weights(model)

    assert_every_fault_is_survived(run, tmp_path, monkeypatch)


def test_every_fault_of_a_training_layer_by_layer_is_survived(tmp_path, monkeypatch):
    def run(folder):
        keras.utils.set_random_seed(1)
        model = StackedAutoencoder(units=(3, 2), input_shape=(4,))
        model.compile(optimizer="adam", loss="mse")
        arguments = {"epochs": 1, "batch_size": 8, "fine_tuning_epochs": 1, "verbose": 0}
        return model.fit_layerwise(x, resume=folder, **arguments).history, weights(model)

    assert_every_fault_is_survived(run, tmp_path, monkeypatch, step=7)


class Picture:
    """A picture that takes no time."""

    content = b"a picture"

    def savefig(self, file, **options):
        if hasattr(file, "write"):
            file.write(self.content)
        else:
            file.write_bytes(self.content)


def tiny(train, steps):
    """A tiny model."""
    model = Autoencoder(*nets.mlp(train.x.shape[1:], 2, units=()))
    model.compile(keras.optimizers.Adam(0.02))
    return model


TINY = training.Recipe(
    build=tiny,
    paper="None.",
    measures={"numbers": lambda model, test: training.Measured(float(model.count_params()), 0.5)},
    pictures={},
    full=training.Budget(16, 2),
    fast=training.Budget(16, 1),
    batch_size=8,
)


def preset(folder):
    """The tiny preset, which is trained if it is not there."""
    output, left = folder / "tiny", list(folder.glob(".*"))
    if not output.exists() or left:
        try:
            assert commands.make(TINY, "strokes", output, "fast", verbose=0).name == "tiny"
        except ValueError as error:  # killed at the very end, when only the lock's file was left
            assert "exists" in str(error) and not any(path.is_dir() for path in left)
    found = presets.metadata(output)
    return found["outputs"], found["measures"], arrays(output / presets.WEIGHTS)


def arrays(path):
    """All numbers of a weights file; it has names as well, which Keras counts up."""
    found = {}

    def collect(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[()].tolist()

    with h5py.File(path) as file:
        file.visititems(collect)
    return found


@pytest.fixture
def few(monkeypatch):
    """Little data, and pictures that take no time."""
    images = datasets.load("strokes", train=16, test=4)
    monkeypatch.setattr(datasets, "load", lambda *arguments, **options: images)
    monkeypatch.setattr(presets, "backend_version", lambda: "1.0")  # looks through all packages
    for name in ("history", "curves"):
        monkeypatch.setattr(plots, name, lambda *arguments, **options: Picture())


def test_every_fault_of_a_recipe_is_survived(few, tmp_path, monkeypatch):
    assert_every_fault_is_survived(preset, tmp_path, monkeypatch, step=2)


def toy_result(work):
    """A toy."""
    model = work.fit("training", make, x, epochs=2, batch_size=8)
    work.picture = Picture()
    return {"mean": model.reconstruct(x).mean(), "loss": work.histories["training"]["loss"][-1]}


TOY = Result(
    toy_result,
    source="Nobody (1900)",
    setting="Noise.",
    published={},
    trend=lambda ours: True,
    needs_mnist=False,
)


def test_every_fault_of_a_reproduction_is_survived(few, tmp_path, monkeypatch):
    def run(folder):
        entry = runs.run(TOY, folder, verbose=0)
        assert runs.is_done(folder, "full", 0)
        assert runs.entries(folder) == [entry]
        return entry["numbers"], entry["epochs"]

    assert_every_fault_is_survived(run, tmp_path, monkeypatch)


# Locks.

HOLD = """
import runpy, sys, time
from pathlib import Path
lock = runpy.run_path(sys.argv[1])["lock"]  # alone: the package takes seconds
with lock(Path(sys.argv[2])):
    print("locked", flush=True)
    time.sleep(60)
"""


def test_a_lock_keeps_a_second_run_out(tmp_path):
    path = tmp_path / "output"
    with files.lock(path):
        begun = time.monotonic()
        with pytest.raises(ValueError, match="output` is being written by another run, expected"):
            with files.lock(path, wait=0.1):
                pass
        assert time.monotonic() - begun >= 0.1
        with files.lock(tmp_path / "another"):
            pass
        assert names(tmp_path) == [".output.lock"]
    assert not names(tmp_path)
    with pytest.raises(KeyboardInterrupt), files.lock(path):
        raise KeyboardInterrupt
    assert not names(tmp_path)
    with files.lock(path), files.lock(None):
        pass
    assert not names(tmp_path)


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    command = [sys.executable, "-c", HOLD, files.__file__, str(tmp_path / "output")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "locked\n"
        with pytest.raises(ValueError, match="is being written by another run"):
            with files.lock(tmp_path / "output"):
                pass
        process.kill()
    assert names(tmp_path) == [".output.lock"]
    with files.lock(tmp_path / "output"):
        pass
    assert not names(tmp_path)


def test_a_lock_on_a_deleted_file_is_void(tmp_path, monkeypatch):
    """Opened before the holder deleted it, locked afterwards: a third run would have its own."""
    beside, lock, opened = tmp_path / ".output.lock", files._lock, []

    def late(file):
        if not opened:
            beside.unlink()  # as the holder does at its end
        opened.append(file)
        lock(file)

    monkeypatch.setattr(files, "_lock", late)
    with files.lock(tmp_path / "output"):
        assert len(opened) == 2 and beside.exists()
        with pytest.raises(ValueError, match="is being written"), files.lock(tmp_path / "output"):
            pass


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOLCK, "No locks available"), ImportError("fcntl")]
)
def test_without_locks_the_run_goes_on(error, tmp_path, monkeypatch):
    def none(file):
        raise error

    monkeypatch.setattr(files, "_lock", none)
    part = tmp_path / ".output.01234567.part"
    part.touch()
    with files.lock(tmp_path / "output"):
        assert names(tmp_path) == [part.name]  # it might be of a run at work


def test_who_has_the_lock_sweeps(tmp_path):
    for name in (".output.01234567.part", ".output[1].01234567.part", ".other.01234567.part"):
        (tmp_path / name).touch()
    with files.lock(tmp_path / "output[1]"):
        pass
    assert names(tmp_path) == [".other.01234567.part", ".output.01234567.part"]
    with files.lock(tmp_path / "output"):
        pass
    assert names(tmp_path) == [".other.01234567.part"]


def test_two_runs_do_not_write_one_output(few, tmp_path):
    def second(run, path):
        with files.lock(path):
            with pytest.raises(ValueError, match=f"`{path}` is being written by another run"):
                run()

    second(lambda: commands.make(TINY, "strokes", tmp_path / "tiny", "fast"), tmp_path / "tiny")
    path = runs.file_of_run(tmp_path, "full", 0)
    second(lambda: runs.run(TOY, tmp_path), path)
    second(lambda: resumable_fit(make(), x, epochs=1, folder=tmp_path), tmp_path / "phase_1.npz")
    model = StackedAutoencoder(units=(3, 2), input_shape=(4,))
    model.compile(optimizer="adam", loss="mse")
    second(lambda: model.fit_layerwise(x, resume=tmp_path), tmp_path / "begin.npz")
    assert not names(tmp_path)
