import errno
import importlib
import inspect
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from kerasae import datasets
from kerasae.datasets import Split, drawn, names, store, stream, strokes
from kerasae.storage import archives, files

pytestmark = pytest.mark.home("tensorflow")

# `kerasae.datasets.load` is the function; this is its module.
module = importlib.import_module("kerasae.datasets.load")
load = datasets.load

OWN_DATA = os.environ.get("KERASAE_DATA")
PROJECT = Path(__file__).resolve().parents[2]

# Runs the data sets alone in another process: `import kerasae` would bring Keras with it.
ALONE = f"""
import sys, types, pathlib
package = types.ModuleType("kerasae")
package.__path__ = [{str(Path(datasets.__file__).parents[1])!r}]
sys.modules["kerasae"] = package
from kerasae import datasets
from kerasae.storage import files
from kerasae.datasets import store
folder = pathlib.Path(sys.argv[1])
store.folder = lambda: folder
"""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty data folder, and nothing chosen from outside."""
    where = tmp_path / "data"
    monkeypatch.setattr(store, "folder", lambda: where)
    monkeypatch.delenv("KERASAE_DATA", raising=False)
    monkeypatch.delenv("KERASAE_DATASET", raising=False)
    return where


def equal(first: Split, second: Split) -> bool:
    return (
        np.array_equal(first.x, second.x)
        and np.array_equal(first.y, second.y)
        and first.factors.keys() == second.factors.keys()
        and all(np.array_equal(first.factors[k], second.factors[k]) for k in first.factors)
    )


def small(name="strokes", **kwargs):
    return load(name, train=20, test=10, **kwargs)


def prepared_file(home: Path) -> Path:
    (path,) = home.glob("strokes-*-train-*.npz")
    return path


def forbid_drawing(monkeypatch):
    def refuse(n, seed=0):
        raise AssertionError("this must not be drawn again")

    monkeypatch.setattr(strokes, "generate", refuse)


# ---- embedded sets ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "size", "shape"),
    [
        ("strokes", None, (28, 28, 1)),
        ("shapes", None, (32, 32, 3)),
        ("faces", None, (64, 64, 3)),
        ("faces", 32, (32, 32, 3)),
    ],
)
def test_embedded_sets_have_the_promised_form(name, size, shape):
    train, test = small(name, size=size)
    for part, n in ((train, 20), (test, 10)):
        assert part.x.shape == (n, *shape) and part.x.dtype == np.float32
        assert part.y.shape == (n,) and part.y.dtype == np.int64
        assert 0 <= part.x.min() < part.x.max() <= 1
        assert part.factors and all(len(values) == n for values in part.factors.values())
    seen = {image.tobytes() for image in train.x}
    assert not any(image.tobytes() in seen for image in test.x)
    assert equal(small(name, size=size)[0], train)
    assert not np.array_equal(small(name, size=size, seed=1)[0].x, train.x)


def test_a_prepared_set_is_what_was_drawn():
    train, _ = small()
    images, labels, factors = drawn.draw("strokes", 20, split="train", seed=0)
    assert equal(train, Split(images / np.float32(255), labels, factors))


def test_embedded_default_is_12000_and_2000(monkeypatch):
    def generate(n, seed=0):
        return np.full((n, 28, 28, 1), seed % 256, "uint8"), np.zeros(n, "int64"), {}

    monkeypatch.setattr(strokes, "generate", generate)
    train, test = load("strokes")
    assert (len(train), len(test)) == (12_000, 2_000)
    assert not np.array_equal(train.x[0], test.x[0])


def test_prepared_set_is_read_and_not_drawn(monkeypatch, home):
    first = small()
    forbid_drawing(monkeypatch)
    with warnings.catch_warnings(action="error"):
        second = small()
    assert all(map(equal, first, second))
    with np.load(prepared_file(home), allow_pickle=False) as archive:  # opens like any .npz
        assert archive["images"].shape == (20, 28, 28, 1)


# ---- what may happen to a prepared file ----------------------------------------------------------


@pytest.mark.parametrize("keep", [0, 1, 31, 32, 33, 0.5, -33, -1])
def test_a_truncated_file_is_drawn_again_and_replaced(home, monkeypatch, keep):
    train, _ = small()
    path = prepared_file(home)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep) if keep == 0.5 else keep])
    with pytest.warns(UserWarning, match=f"{path.name} is damaged.*strokes is drawn again"):
        assert equal(small()[0], train)
    assert path.read_bytes() == whole
    forbid_drawing(monkeypatch)
    small()


def test_any_flipped_bit_is_seen(home):
    path = home / "flip.npz"
    archives.write(path, "origin", {"a": np.arange(12, dtype="uint8")})
    whole = path.read_bytes()
    for position in range(0, len(whole), 3):
        broken = bytearray(whole)
        broken[position] ^= 1 << position % 8
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=r"flip\.npz is damaged"):
            archives.read(path, "origin")
    path.write_bytes(whole)
    assert archives.read(path, "origin")["a"][11] == 11


def test_a_flipped_pixel_is_drawn_again(home):
    train, _ = small()
    path = prepared_file(home)
    broken = bytearray(path.read_bytes())
    broken[len(broken) // 2] ^= 4
    path.write_bytes(broken)
    with pytest.warns(UserWarning, match="strokes is drawn again"):
        assert equal(small()[0], train)


def test_a_file_under_the_wrong_name_is_not_believed(home):
    other, _ = small(seed=1)
    one = next(home.glob("strokes-*-train-20-seed1.npz"))
    os.replace(one, home / one.name.replace("seed1", "seed0"))
    train, _ = small()
    assert not np.array_equal(train.x, other.x)
    assert np.array_equal(
        train.x, drawn.draw("strokes", 20, split="train", seed=0)[0] / np.float32(255)
    )


@pytest.mark.parametrize("change", ["version", "source"])
def test_an_edited_drawing_never_shows_yesterdays_images(monkeypatch, change):
    before, _ = small()
    generate = strokes.generate

    def inverted(n, seed=0):
        images, labels, factors = generate(n, seed)
        return 255 - images, labels, factors

    monkeypatch.setattr(strokes, "generate", inverted)
    if change == "version":
        monkeypatch.setattr(strokes, "VERSION", "999.0.0")
    else:
        source = inspect.getsource(strokes)
        monkeypatch.setattr(inspect, "getsource", lambda what: source + "# edited")
    after, _ = small()
    assert np.allclose(after.x, 1 - before.x)


def refuse(*args, **kwargs):
    raise PermissionError(errno.EACCES, "Permission denied")


def no_space(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("call", "failure", "reason"),
    [
        ("mkdir", refuse, "Permission denied"),
        ("open", refuse, "Permission denied"),
        ("fsync", no_space, "No space left"),
        ("replace", refuse, "Permission denied"),
    ],
)
def test_a_folder_that_cannot_be_written_only_costs_time(home, monkeypatch, call, failure, reason):
    expected = drawn.draw("strokes", 20, split="train", seed=0)[0] / np.float32(255)
    if call == "mkdir":
        monkeypatch.setattr(Path, "mkdir", failure)
    elif call == "open":
        monkeypatch.setattr(files, "open", failure, raising=False)
    else:
        monkeypatch.setattr(os, call, failure)
    with pytest.warns(UserWarning, match=f"strokes cannot be kept .*{reason}") as record:
        train, test = small()
    assert np.array_equal(train.x, expected) and len(test) == 10
    assert len(record) == 2  # one sentence a split, and nothing else
    assert not home.exists() or list(home.iterdir()) == []


def test_a_disk_that_fills_up_in_the_middle_leaves_nothing(home, monkeypatch):
    class Full(type(open(os.devnull, "wb", buffering=0))):
        def write(self, body):
            super().write(body[:100])
            no_space()

    monkeypatch.setattr(files, "open", lambda path, mode: Full(path, mode), raising=False)
    with pytest.warns(UserWarning, match="No space left"):
        small()
    assert list(home.iterdir()) == []


def test_a_data_folder_that_is_a_file(home):
    home.write_text("not a folder")
    with pytest.warns(UserWarning, match="strokes cannot be kept"):
        train, _ = small()
    assert len(train) == 20 and home.read_text() == "not a folder"


def test_a_prepared_file_that_is_a_folder(home):
    train, _ = small()
    path = prepared_file(home)
    path.unlink()
    path.mkdir()
    with pytest.warns(UserWarning, match="strokes cannot be kept"):
        assert equal(small()[0], train)


@pytest.mark.parametrize("moment", ["half of the bytes", "all of the bytes"])
def test_killed_while_writing(home, monkeypatch, moment):
    script = (
        ALONE
        + {
            "half of the bytes": """
import io, time
class Half(io.FileIO):
    def write(self, body):
        super().write(body[: len(body) // 2])
        print("now", flush=True)
        time.sleep(60)
files.open = lambda path, mode: Half(path, mode)
""",
            "all of the bytes": """
import os, time
def fsync(number):
    print("now", flush=True)
    time.sleep(60)
os.fsync = fsync
""",
        }[moment]
    )
    script += 'datasets.load("strokes", train=20, test=10)'
    command = [sys.executable, "-c", script, str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "now\n"
        process.send_signal(signal.SIGKILL)
    (part,) = home.iterdir()
    assert part.name.endswith(".part") and part.stat().st_size > 1000

    with warnings.catch_warnings(action="error"):
        train, _ = small()
    assert np.array_equal(
        train.x, drawn.draw("strokes", 20, split="train", seed=0)[0] / np.float32(255)
    )
    assert part.exists()  # it might belong to a process at work
    yesterday = time.time() - 2 * files.ABANDONED
    os.utime(part, (yesterday, yesterday))
    small(seed=1)
    assert not part.exists()
    forbid_drawing(monkeypatch)
    small()


def test_two_processes_prepare_at_once(home):
    script = ALONE + (
        "import hashlib, warnings\n"
        "warnings.simplefilter('error')\n"
        "total = hashlib.sha256()\n"
        "for seed in range(12):\n"
        "    for part in datasets.load('strokes', train=20, test=10, seed=seed):\n"
        "        total.update(part.x.tobytes())\n"
        "print(total.hexdigest())\n"
    )
    command = [sys.executable, "-c", script, str(home)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    sums = {process.communicate(timeout=60)[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0] and len(sums) == 1
    # Every file is whole, and nothing else is there.
    assert len(list(home.iterdir())) == 24
    for path in home.iterdir():
        with np.load(path, allow_pickle=False) as archive:
            origin = str(archive["origin"])
        assert archives.read(path, origin) is not None


# ---- real sets from the user's own file ----------------------------------------------------------


def numbers(n: int = 30, shape: tuple[int, ...] = (28, 28)) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (n, *shape), "uint8"),
        "y_train": np.arange(n, dtype="int32") % 10,
        "x_test": rng.integers(0, 256, (n // 2, *shape), "uint8"),
        "y_test": np.arange(n // 2, dtype="int32") % 10,
    }


def put(where: Path, name: str = "mnist", **arrays) -> Path:
    where.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(where / f"{name}.npz", **arrays)
    return where / f"{name}.npz"


@pytest.mark.parametrize(
    ("name", "shape", "full"),
    [
        ("mnist", (28, 28), (28, 28, 1)),
        ("kmnist", (28, 28, 1), (28, 28, 1)),
        ("cifar10", (32, 32, 3), (32, 32, 3)),
    ],
)
def test_local_file(home, name, shape, full):
    arrays = numbers(shape=shape)
    put(home, name, **arrays)
    train, test = load(name)
    assert train.x.shape == (30, *full) and test.x.shape == (15, *full)
    assert train.x.dtype == np.float32 and train.y.dtype == np.int64 and train.factors == {}
    expected = arrays["x_train"] / np.float32(255)
    assert np.array_equal(train.x.reshape(expected.shape), expected)
    assert np.array_equal(test.y, arrays["y_test"])
    first, _ = load(name, train=7, test=3)
    assert equal(first, train[:7])


def test_the_users_folder_comes_first_and_is_never_written(home, tmp_path, monkeypatch):
    put(home, **numbers(20))
    own = put(tmp_path / "own", **numbers(30)).parent
    monkeypatch.setenv("KERASAE_DATA", str(own))
    assert len(load("mnist")[0]) == 30
    small()
    assert [path.name for path in own.iterdir()] == ["mnist.npz"]


def changed(**changes):
    arrays = numbers() | changes
    return {name: values for name, values in arrays.items() if values is not None}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (changed(y_test=None), "lacks y_test, expected"),
        (changed(x_train=np.zeros((30, 28, 28))), "`x_train` is float64 .*, expected uint8"),
        (changed(x_test=np.zeros((15, 32, 32, 3), "uint8")), r"`x_test` is .*\(15, 32.*, expected"),
        (changed(x_test=np.zeros((15, 784), "uint8")), "`x_test` is uint8"),
        (changed(x_train=np.zeros((0, 28, 28), "uint8")), "`x_train` is uint8"),
        (
            changed(y_train=np.zeros(29, "int64")),
            r"`y_train` is .*, expected integers of shape \(30,\)",
        ),
        (
            changed(y_train=np.zeros((30, 1), "int64")),
            "`y_train` is int64 .*, expected integers of shape",
        ),
        (changed(y_train=np.zeros(30)), "`y_train` is float64 .*, expected integers"),
        (changed(y_test=np.full(15, 10)), "`y_test` holds labels from 10 to 10, expected 0 to 9"),
        (changed(y_test=np.full(15, -1)), "`y_test` holds labels from -1 to -1"),
        (changed(y_test=np.array([print] * 15)), "cannot be read: .*pickle"),
    ],
)
def test_a_wrong_local_file_is_one_sentence(home, arrays, message):
    path = put(home, **arrays)
    for way in (load, stream):
        with pytest.raises(ValueError, match=message) as error:
            way("mnist")
        assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_local_file_that_would_fill_the_memory_is_not_unpacked(home, monkeypatch):
    put(home, **numbers())
    monkeypatch.setattr(archives, "LARGEST", 30 * 28 * 28)  # less than the images and their header
    monkeypatch.setattr(np, "load", None)
    with pytest.raises(ValueError, match="x_train is of 23,648 bytes, expected at most 23,520"):
        load("mnist")


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.9, -1])
def test_a_truncated_local_file(home, keep):
    path = put(home, **numbers())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep) if 0 < keep < 1 else keep])
    with pytest.raises(ValueError, match=r"mnist\.npz cannot be read: .+\.$"):
        load("mnist")


def test_a_flipped_bit_in_a_local_file_never_changes_data(home):
    arrays = {"x_train": np.zeros((2, 28, 28), "uint8"), "y_train": np.array([1, 2])}
    arrays |= {"x_test": arrays["x_train"], "y_test": arrays["y_train"]}
    path = put(home, **arrays)
    good = load("mnist")
    whole, refused = path.read_bytes(), 0
    for position in range(0, len(whole), 3):
        broken = bytearray(whole)
        broken[position] ^= 1 << position % 8
        path.write_bytes(broken)
        try:
            # A bit of the archive that says nothing of the data, such as a date, may differ.
            assert all(map(equal, load("mnist"), good))
        except ValueError as error:
            refused += 1
            assert str(path) in str(error)
    assert refused > len(whole) // 3 // 2


def test_more_images_than_there_are(home):
    put(home, **numbers())
    with pytest.raises(ValueError, match=r"`train` is 31, expected at most 30 for mnist\."):
        load("mnist", train=31)
    with pytest.raises(ValueError, match=r"`n` is 31, expected at most 30 for mnist\."):
        stream("mnist", n=31)


def test_the_real_digits(monkeypatch):
    if not (OWN_DATA and (Path(OWN_DATA) / "mnist.npz").is_file()):
        pytest.skip("$KERASAE_DATA has no mnist.npz")
    monkeypatch.setenv("KERASAE_DATA", OWN_DATA)
    train, test = load("mnist")
    assert train.x.shape == (60_000, 28, 28, 1) and test.x.shape == (10_000, 28, 28, 1)
    assert np.bincount(train.y).tolist()[:3] == [5923, 6742, 5958]


# ---- names and arguments -------------------------------------------------------------------------


def test_names():
    assert {"digits", "strokes", "shapes", "faces", "mnist", "fashion_mnist"} <= set(names())


def test_digits_is_strokes_or_what_the_environment_names(home, monkeypatch):
    assert equal(small("digits")[0], small("strokes")[0])
    put(home, **numbers())
    monkeypatch.setenv("KERASAE_DATASET", "mnist")
    assert equal(load("digits")[0], load("mnist")[0])
    assert not np.array_equal(small("strokes")[0].x, small("digits")[0].x)
    monkeypatch.setenv("KERASAE_DATASET", "minst")
    with pytest.raises(ValueError, match=r"is 'minst', expected .* Did you mean \"mnist\""):
        load("digits")
    monkeypatch.setenv("KERASAE_DATASET", "faces")
    with pytest.raises(
        ValueError, match=r"KERASAE_DATASET` is 'faces', expected one of strokes, mnist"
    ):
        load("digits")


@pytest.mark.parametrize("way", [load, stream])
@pytest.mark.parametrize(
    ("typo", "meant"), [("stroke", "strokes"), ("MNIST", "mnist"), ("fases", "faces")]
)
def test_a_typo_gets_the_closest_name(way, typo, meant):
    with pytest.raises(
        ValueError, match=f"`name` is '{typo}', expected .* Did you mean \"{meant}\""
    ):
        way(typo)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train": 0}, "`train` is 0, expected a whole number of at least 1 or None"),
        ({"test": -1}, "`test` is -1"),
        ({"test": True}, "`test` is True"),
        ({"train": 2.5}, "`train` is 2.5"),
        ({"seed": -1}, "`seed` is -1, expected a whole number of at least 0"),
        ({"seed": None}, "`seed` is None"),
        ({"size": 32}, "`size` is 32, expected None for strokes, which has one size"),
        ({"via": "web"}, "`via` is 'web', expected None or 'tfds'"),
    ],
)
def test_bad_arguments_of_load(arguments, message):
    with pytest.raises(ValueError, match=message):
        load("strokes", **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "`batch_size` is 0, expected a whole number of at least 1"),
        ({"batch_size": None}, "`batch_size` is None, expected a whole number of at least 1"),
        ({"n": 0}, "`n` is 0"),
        ({"split": "valid"}, "`split` is 'valid', expected 'train' or 'test'"),
        ({"seed": "a"}, "`seed` is 'a'"),
        ({"size": 64}, "`size` is 64, expected None for strokes"),
    ],
)
def test_bad_arguments_of_stream(arguments, message):
    with pytest.raises(ValueError, match=message):
        stream("strokes", **arguments)


def test_size_belongs_to_embedded_sets():
    with pytest.raises(ValueError, match="`size` is 32, expected None for mnist"):
        load("mnist", size=32)


# ---- without TensorFlow --------------------------------------------------------------------------


@pytest.mark.parametrize("package", ["tensorflow", "tensorflow_datasets"])
def test_without_tensorflow(home, monkeypatch, package):
    monkeypatch.delitem(sys.modules, "kerasae.datasets.builders", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    for way in (load, stream):
        with pytest.raises(FileNotFoundError) as error:
            way("mnist")
        message = str(error.value)
        assert "not both installed" in message and "put mnist.npz with x_train, y_train" in message
        assert str(home) in message and "\n" not in message
    with pytest.raises(ImportError, match='strokes cannot be loaded via "tfds": tensorflow and'):
        small(via="tfds")
    assert len(small()[0]) == 20
    put(home, **numbers())
    assert len(load("mnist")[0]) == 30


def test_importing_needs_numpy_only(home):
    script = ALONE + (
        "heavy = {'keras', 'tensorflow', 'tensorflow_datasets', 'jax', 'torch', 'scipy', 'PIL'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "datasets.load('strokes', train=2, test=1)\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    command = [sys.executable, "-c", script, str(home)]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "[]\n[]\n"


# ---- streams -------------------------------------------------------------------------------------


def model(shape: tuple[int, ...]):
    import keras

    layers = [keras.layers.Flatten(), keras.layers.Dense(1)]
    built = keras.Sequential([keras.Input(shape), *layers])
    built.compile("sgd", "mse")
    return built


def test_stream_draws_any_batch_of_a_million():
    batches = stream("strokes", 16, n=1_000_000, labels=True)
    assert len(batches) == 62_500
    x, y = batches[62_499]
    assert x.shape == (16, 28, 28, 1) and x.dtype == np.float32 and y.dtype == np.int64
    assert 0 <= x.min() < x.max() <= 1
    again = stream("strokes", 16, n=1_000_000)  # x alone, the same whenever it is asked for
    assert np.array_equal(again[62_499], x)
    assert not np.array_equal(again[0], again[1])


def test_stream_of_an_embedded_set():
    batches = stream("strokes", 8, n=20, labels=True)
    parts = list(batches)
    assert [len(x) for x, _ in parts] == [8, 8, 4]
    for index in (-1, 3):
        with pytest.raises(IndexError, match=r"`index` is .*, expected 0 to 2"):
            batches[index]
    different = [
        stream("strokes", 8, n=20, labels=True)[0],
        stream("strokes", 8, n=20, seed=1, labels=True)[0],
        stream("strokes", 8, n=20, split="test", labels=True)[0],
        (load("strokes", train=8, test=8)[0].x, None),  # a whole split has a stream of its own
    ]
    assert len({x.tobytes() for x, _ in different}) == 4
    assert stream("faces", 2, size=32)[0].shape == (2, 32, 32, 3)
    assert len(stream("strokes")) == -(-12_000 // 128)
    history = model((28, 28, 1)).fit(batches, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all() and len(history["loss"]) == 2


def test_stream_of_a_local_file(home):
    arrays = numbers()
    put(home, **arrays)
    batches = stream("mnist", 8, labels=True, seed=3)

    def epoch():
        parts = list(batches)
        assert [len(x) for x, _ in parts] == [8, 8, 8, 6]
        return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])

    x, y = epoch()
    whole = load("mnist")[0]
    pairs = {image.tobytes(): label for image, label in zip(whole.x, whole.y, strict=True)}
    assert {image.tobytes() for image in x} == set(pairs)
    assert all(pairs[image.tobytes()] == label for image, label in zip(x, y, strict=True))
    batches.on_epoch_end()
    assert not np.array_equal(epoch()[0], x)  # another order in the next epoch
    again = stream("mnist", 8, seed=3)
    assert np.array_equal(np.concatenate(list(again)), x)
    ordered = np.concatenate(list(stream("mnist", 8, split="test", n=12)))
    assert np.array_equal(ordered, load("mnist")[1].x[:12])
    model((28, 28, 1)).fit(batches, epochs=2, verbose=0)
    assert batches.number >= 3  # two epochs more, and perhaps Keras's first look


# ---- Split and folder ----------------------------------------------------------------------------


def test_split():
    split = Split(np.zeros((9, 28, 28, 1), "float32"), np.arange(9), {"width": np.arange(9.0)})
    assert len(split) == 9
    assert repr(split) == "Split(9 images 28×28×1, labels 0–8, factors width)"
    assert split[2:4].y.tolist() == [2, 3] and split[2:4].factors["width"].tolist() == [2.0, 3.0]
    assert len(split[split.y > 5]) == 3 and "0 images" in repr(split[:0])
    with pytest.raises(TypeError, match="expected a slice or an array"):
        split[0]
    with pytest.raises(AttributeError):
        split.x = None


@pytest.mark.parametrize("count", [1, 3])
def test_per_class_takes_the_first_of_each(count):
    labels = np.random.default_rng(0).permutation(np.repeat([4, 7, 9], 5))
    split = Split(np.zeros((15, 2, 2, 1), "float32"), labels, {"place": np.arange(15)})
    few = split.per_class(count)
    assert few.y.tolist() == [label for label in (4, 7, 9) for _ in range(count)]
    expected = [place for label in (4, 7, 9) for place in np.flatnonzero(labels == label)[:count]]
    assert few.factors["place"].tolist() == expected
    for wrong in (0, 6):
        with pytest.raises(ValueError, match=f"`count` is {wrong}, expected 1 to 5"):
            split.per_class(wrong)
    with pytest.raises(ValueError, match="expected 1 to 0"):
        split[:0].per_class()


def test_folder(monkeypatch, tmp_path):
    monkeypatch.undo()
    assert datasets.folder() == PROJECT / "data" or datasets.folder().name == "kerasae"
    package = tmp_path / "site" / "kerasae" / "datasets"
    package.mkdir(parents=True)
    monkeypatch.setattr(store, "__file__", str(package / "store.py"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    assert store.folder() == tmp_path / "keras" / "kerasae"
    (tmp_path / "site" / "pyproject.toml").write_text('name = "another"\n')
    assert store.folder() == tmp_path / "keras" / "kerasae"
    (tmp_path / "site" / "pyproject.toml").write_text('name = "kerasae"\n')
    assert store.folder() == tmp_path / "site" / "data"
    monkeypatch.setenv("KERAS_HOME", "")
    (tmp_path / "site" / "pyproject.toml").unlink()
    assert store.folder() == Path.home() / ".keras" / "kerasae"
