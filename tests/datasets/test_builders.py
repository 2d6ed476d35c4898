import os
import signal
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
import warnings
from pathlib import Path

import numpy as np
import pytest

from kerasae.datasets import drawn, load, store, stream, strokes
from kerasae.storage import files

pytest.importorskip("tensorflow", reason="TensorFlow Datasets reads through TensorFlow")
tfds = pytest.importorskip("tensorflow_datasets", reason="tensorflow-datasets is not installed")

from kerasae.datasets import builders  # noqa: E402
from kerasae.datasets.load import REAL  # noqa: E402

pytestmark = pytest.mark.home("tensorflow")

tfds.disable_progress_bar()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty data folder, nothing chosen from outside, and no network."""

    def unreachable(*args, **kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(store, "folder", lambda: tmp_path / "data")
    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    monkeypatch.delenv("KERASAE_DATA", raising=False)
    monkeypatch.delenv("KERASAE_DATASET", raising=False)
    return tmp_path / "data" / "tensorflow_datasets"


def equal(first, second) -> bool:
    return all(
        np.array_equal(one.x, two.x)
        and np.array_equal(one.y, two.y)
        and one.factors.keys() == two.factors.keys()
        and all(np.array_equal(one.factors[name], two.factors[name]) for name in one.factors)
        for one, two in zip(first, second, strict=True)
    )


def small(name="strokes", via="tfds", **kwargs):
    return load(name, train=20, test=10, via=via, **kwargs)


def record_file(home: Path, name: str = "strokes", split: str = "train") -> Path:
    (path,) = home.glob(f"{name}/**/[0-9]*/*{split}.tfrecord*")
    return path


def cut_between_records(content: bytes, n: int) -> bytes:
    """The first n records: a length (8 bytes), its CRC (4), the record, its CRC (4)."""
    end = 0
    for _ in range(n):
        end += 8 + 4 + struct.unpack_from("<Q", content, end)[0] + 4
    return content[:end]


class Mnist(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Stands for the real digits: the same name and features, and no download."""

    name = "mnist"
    VERSION = tfds.core.Version("3.0.1")
    images = np.random.default_rng(0).integers(0, 256, (30, 28, 28, 1), "uint8")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(28, 28, 1)),
            "label": tfds.features.ClassLabel(num_classes=10),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), disable_shuffling=True
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(30), "test": self._generate_examples(15)}

    def _generate_examples(self, n):
        for i in range(n):
            yield i, {"image": self.images[i], "label": i % 10}


@pytest.fixture
def offline_mnist(monkeypatch):
    monkeypatch.setattr(tfds, "builder", lambda name, data_dir: Mnist(data_dir=data_dir))


# ---- embedded sets -------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "size"), [("strokes", None), ("shapes", None), ("faces", 32)])
def test_the_long_road_gives_the_same_images_as_the_short_one(name, size):
    first = small(name, size=size)
    assert equal(first, small(name, size=size, via=None))
    with warnings.catch_warnings(action="error"):
        assert equal(small(name, size=size), first)


def test_builders_are_registered(home):
    assert tfds.builder_cls("strokes") is builders.Strokes
    config = builders.Request("three", train=3, test=2, seed=7)
    dataset = tfds.load("strokes", data_dir=home, split="train", builder_kwargs={"config": config})
    records = list(tfds.as_numpy(dataset))
    images, labels, factors = drawn.draw("strokes", 3, split="train", seed=7)
    assert np.array_equal([record["image"] for record in records], images)
    assert np.array_equal([record["label"] for record in records], labels)
    for name, values in factors.items():
        assert np.array_equal([record["factors"][name] for record in records], values)


@pytest.mark.parametrize("keep", [0, 5, 0.5, -1, "between two records"])
def test_a_truncated_record_file_is_drawn_again(home, keep):
    first = small()
    path = record_file(home)
    whole = path.read_bytes()
    if keep == "between two records":
        path.write_bytes(cut_between_records(whole, 13))
    else:
        path.write_bytes(whole[: int(len(whole) * keep) if keep == 0.5 else keep])
    with pytest.warns(UserWarning, match=r"is damaged \(.+\); strokes is prepared again\.$"):
        assert equal(small(), first)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("file", ["dataset_info.json", "metadata.json", "record"])
def test_a_damaged_file_is_drawn_again(home, file):
    first = small()
    path = record_file(home)
    path = path if file == "record" else path.with_name(file)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content if file == "record" else content[: len(content) // 2])
    with pytest.warns(UserWarning, match=r"is damaged \(.+\); strokes is prepared again\.$"):
        assert equal(small(), first)


def test_a_wrong_number_in_the_description_is_seen(home, offline_mnist):
    first = small()
    load("mnist")
    for name, number in (("strokes", "20"), ("mnist", "30")):
        path = record_file(home, name).with_name("dataset_info.json")
        path.write_text(path.read_text().replace(f'"{number}"', '"10"'))
    with pytest.warns(UserWarning, match=r"is damaged \(.+\); strokes is prepared again\.$"):
        assert equal(small(), first)
    for way in (load, stream):
        with pytest.raises(ValueError, match=r"mnist.* is damaged \(\d+ of \d+ bytes in train\)"):
            way("mnist")


def test_an_edited_drawing_is_prepared_again(monkeypatch):
    before = small()[0]
    generate = strokes.generate

    def inverted(n, seed=0):
        images, labels, factors = generate(n, seed)
        return 255 - images, labels, factors

    monkeypatch.setattr(strokes, "generate", inverted)
    monkeypatch.setattr(drawn.inspect, "getsource", lambda module: "edited")
    with pytest.warns(UserWarning, match="drawn by other code.*; strokes is prepared again"):
        after = small()[0]
    assert np.allclose(after.x, 1 - before.x)


def test_another_process_may_be_faster(monkeypatch):
    expected = small(via=None)
    examples, inner = builders.Strokes._generate_examples, []

    def overtaken(self, split):
        if not inner:
            inner.append(None)
            inner.append(small())  # prepares all of it while this preparation is half done
        yield from examples(self, split)

    monkeypatch.setattr(builders.Strokes, "_generate_examples", overtaken)
    with warnings.catch_warnings(action="error"):
        assert equal(small(), expected) and equal(inner[1], expected)


def test_no_space_left(home, monkeypatch):
    def full(self, split):
        raise OSError(28, "No space left on device")
        yield

    monkeypatch.setattr(builders.Strokes, "_generate_examples", full)
    with pytest.raises(OSError, match=r"strokes cannot be prepared in .*No space left") as error:
        small()
    assert "\n" not in str(error.value) and not list(home.glob("strokes/**/*1.0.0"))
    monkeypatch.undo()


def test_killed_while_preparing(home, tmp_path):
    script = f"""
import pathlib, sys, time
from kerasae import datasets
from kerasae.datasets import builders, store
store.folder = lambda: pathlib.Path({str(tmp_path / "data")!r})
examples = builders.Strokes._generate_examples
def slow(self, split):
    for i, example in examples(self, split):
        if split == "test" and i == 5:
            print("now", flush=True)
            time.sleep(60)
        yield i, example
builders.Strokes._generate_examples = slow
datasets.load("strokes", train=20, test=10, via="tfds")
"""
    command = [sys.executable, "-c", script]
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    backend = os.environ | {"KERAS_BACKEND": "tensorflow"}  # the one that is imported anyway
    with subprocess.Popen(command, env=backend, **quiet) as process:
        assert any(line.endswith("now\n") for line in process.stdout)
        process.send_signal(signal.SIGKILL)
    (part,) = home.glob("strokes/*/*")
    assert part.name.startswith("incomplete.") and list(part.glob("*train.tfrecord*"))

    assert equal(small(), small(via=None))
    assert part.exists()  # it might belong to a process at work
    yesterday = time.time() - 2 * files.ABANDONED
    os.utime(part, (yesterday, yesterday))
    record_file(home).unlink()
    with pytest.warns(UserWarning, match="is prepared again"):
        small()
    assert not part.exists()


# ---- real sets -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REAL)
def test_real_sets_have_the_form_that_local_files_must_have(name, home):
    features = tfds.builder(name, data_dir=home).info.features
    assert (features["image"].shape, features["label"].num_classes) == REAL[name]


@pytest.mark.parametrize("way", [load, stream])
def test_offline_and_not_prepared_is_one_sentence_at_once(home, way):
    start = time.monotonic()
    with pytest.raises(FileNotFoundError) as error:
        way("mnist")
    message = str(error.value)
    assert "mnist is not here and cannot be downloaded" in message and "no network" in message
    assert f"put mnist.npz with x_train, y_train, x_test, y_test into {home.parent}" in message
    assert "\n" not in message and time.monotonic() - start < 5
    assert not list(home.glob("mnist/*"))


def test_a_download_that_breaks_off_is_one_sentence(home, monkeypatch, offline_mnist):
    def broken(self, dl_manager):
        raise ConnectionError("connection reset\nby peer")

    monkeypatch.setattr(Mnist, "_split_generators", broken)
    with pytest.raises(FileNotFoundError, match=r"\(connection reset\): go online, or put"):
        load("mnist")
    assert not list(home.glob("mnist/*"))


def test_real_set_prepared_and_read(home, monkeypatch, offline_mnist):
    train, test = load("mnist")
    assert np.array_equal(train.x, Mnist.images / np.float32(255))
    assert train.y.dtype == np.int64 and test.y.tolist() == [i % 10 for i in range(15)]
    assert train.factors == {}
    monkeypatch.setenv("KERASAE_DATASET", "mnist")
    first, second = load("digits", train=7, test=3)
    assert np.array_equal(first.x, train.x[:7]) and np.array_equal(second.x, test.x[:3])
    with pytest.raises(ValueError, match=r"`test` is 16, expected at most 15 for mnist\."):
        load("mnist", test=16)
    with pytest.raises(ValueError, match=r"`n` is 31, expected at most 30 for mnist\."):
        stream("mnist", n=31)


@pytest.mark.parametrize("keep", [0.5, -1, "between two records"])
def test_a_truncated_real_set_says_what_to_delete(home, offline_mnist, keep):
    load("mnist")
    path = record_file(home, "mnist")
    whole = path.read_bytes()
    if keep == "between two records":
        path.write_bytes(cut_between_records(whole, 13))
    else:
        path.write_bytes(whole[: int(len(whole) * keep) if keep == 0.5 else keep])
    for way in (load, stream):
        with pytest.raises(ValueError, match=r"is damaged \(.+\): delete it and load") as error:
            way("mnist")
        assert str(path.parent) in str(error.value) and "\n" not in str(error.value)


def test_a_flipped_bit_in_a_real_set_says_what_to_delete(home, offline_mnist):
    load("mnist")
    path = record_file(home, "mnist")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"is damaged \(.*\): delete it and load again\."):
        load("mnist")
    with pytest.raises(Exception, match="corrupted"):
        list(stream("mnist", 8))


def test_stream_of_a_real_set(offline_mnist):
    import keras

    whole, _ = load("mnist")

    def epoch(batches):
        return np.concatenate([np.asarray(x) for x in batches])

    batches = stream("mnist", 8, seed=3)
    first = epoch(batches)
    assert first.shape == (30, 28, 28, 1) and first.dtype == np.float32
    assert {image.tobytes() for image in first} == {image.tobytes() for image in whole.x}
    assert not np.array_equal(first, whole.x) and not np.array_equal(epoch(batches), first)
    assert np.array_equal(epoch(stream("mnist", 8, seed=3)), first)
    assert np.array_equal(epoch(stream("mnist", 8, split="test", n=12)), whole.x[:12])
    pairs = stream("mnist", 8, labels=True)
    x, y = next(iter(tfds.as_numpy(pairs)))
    known = {image.tobytes(): label for image, label in zip(whole.x, whole.y, strict=True)}
    assert [known[image.tobytes()] for image in x] == y.tolist()
    layers = [keras.layers.Flatten(), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((28, 28, 1)), *layers])
    model.compile("sgd", "mse")
    assert np.isfinite(model.fit(pairs, epochs=2, verbose=0).history["loss"]).all()
