"""Every image set of the course by its name, drawn, local or downloaded.

A `Split` comes from one of three sources:

    embedded    strokes, shapes, faces: drawn on this machine from a seed, and kept in `folder()`
    local       <name>.npz with x_train, y_train, x_test, y_test, in $KERASAE_DATA or in `folder()`
    prepared    TensorFlow Datasets, downloaded and prepared in `folder()`

"digits" is strokes, or the set of digits that $KERASAE_DATASET names.
"""

import difflib
import importlib
import operator
import os
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Union

import numpy as np

from kerasae.datasets import drawn, store
from kerasae.datasets.split import Split, scaled
from kerasae.storage import archives

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

# Name in TensorFlow Datasets: shape of an image and number of classes.
REAL = {
    "mnist": ((28, 28, 1), 10),
    "fashion_mnist": ((28, 28, 1), 10),
    "kmnist": ((28, 28, 1), 10),
    "cifar10": ((32, 32, 3), 10),
    "cifar100": ((32, 32, 3), 100),
    "svhn_cropped": ((32, 32, 3), 10),
}
DIGITS = ("strokes", *(name for name, kind in REAL.items() if kind == REAL["mnist"]))
DRAWN = {"train": 12_000, "test": 2_000}

Arrays = tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]


def names() -> tuple[str, ...]:
    """Return the names that `load` and `stream` take.

    Example:
        >>> names()[:4]
        ('digits', 'strokes', 'shapes', 'faces')
    """
    return ("digits", *drawn.NAMES, *REAL)


def load(
    name: str,
    *,
    train: int | None = None,
    test: int | None = None,
    seed: int = 0,
    size: int | None = None,
    via: str | None = None,
) -> tuple[Split, Split]:
    """Load the training and the test images of a data set.

    Embedded sets are drawn the first time and read from `folder()` afterwards. If a file is
    damaged, it is drawn again; if the folder cannot be written, the set is drawn each time; both
    with a warning. Training and test images come from different random streams.

    Args:
        name: Name of the set, one of `names()`.
        train: Number of training images. None means 12,000 of an embedded set and all of a real
            one; a number takes the first ones of a real set.
        test: Number of test images. None means 2,000 of an embedded set and all of a real one.
        seed: Seed of an embedded set; a real set does not depend on it.
        size: Side of the images of an embedded set that has several.
        via: If "tfds", TensorFlow Datasets is used, also for an embedded set; None takes
            the first source that has it.

    Raises:
        ValueError: If an argument is wrong, or a file is damaged; the message names it.
        FileNotFoundError: If a real set is not here and cannot be downloaded; the message says
            where to put which file.
        ImportError: If `via` is "tfds" for an embedded set, and TensorFlow is not installed.

    Example:
        >>> train, test = load("strokes", train=20, test=10)
        >>> train.x.shape, test.x.dtype.name
        ((20, 28, 28, 1), 'float32')
    """
    name = _resolved(name)
    counts = {"train": _count("train", train), "test": _count("test", test)}
    seed = _seed(seed)
    if via not in (None, "tfds"):
        raise ValueError(f"`via` is {via!r}, expected None or 'tfds'.")
    _check_size(name, size)
    if name in drawn.NAMES:
        counts = {split: n or DRAWN[split] for split, n in counts.items()}
        if via == "tfds":
            parts = _builders(name).drawn_arrays(name, **counts, seed=seed, size=size)
        else:
            kwargs = {"seed": seed, "size": size}
            parts = []
            for split, n in counts.items():  # a loop, so that a warning names the caller's line
                parts.append(drawn.prepared(name, n, split=split, **kwargs))
    elif via is None and (path := _local(name)):
        arrays = _read_local(path, name)
        parts = [_first(name, split, *arrays[split], n) for split, n in counts.items()]
    else:
        parts = _builders(name).real_arrays(name, counts, _what_to_do(name))
    train_part, test_part = (Split(scaled(x), y.astype(np.int64), f) for x, y, f in parts)
    return train_part, test_part


def stream(
    name: str,
    batch_size: int = 128,
    *,
    split: str = "train",
    n: int | None = None,
    seed: int = 0,
    size: int | None = None,
    labels: bool = False,
) -> Union["keras.utils.PyDataset", "tf.data.Dataset"]:
    """Return a data set that yields batches, for sets that do not fit in memory.

    `model.fit` takes it on every backend. Batches are float32 images in [0, 1], or pairs (x, y).

    - An embedded set is a `keras.utils.PyDataset` that draws batch i from (seed, split, i) on
      demand: a million images need no memory. The images differ from those of `load`.
    - A local `.npz` is a `keras.utils.PyDataset` over the array; the order of training images is
      drawn from (seed, pass), anew for each pass.
    - Any other set is the `tf.data.Dataset` that TensorFlow Datasets has prepared; training images
      are shuffled from `seed` in a buffer of 10,000, anew in each epoch.

    Test images always keep their order.

    Args:
        name: Name of the set, one of `names()`.
        batch_size: Number of images in a batch; the last one may be shorter.
        split: Either "train" or "test".
        n: Number of images. None means as many as `load` has.
        seed: Seed of an embedded set's images, or of a real set's order.
        size: Side of the images of an embedded set that has several.
        labels: If True, a batch is (x, y) instead of x.

    Raises:
        ValueError: If an argument is wrong, or a file is damaged; the message names it.
        FileNotFoundError: If a real set is not here and cannot be downloaded.

    Example:
        >>> batches = stream("strokes", 32, n=1_000_000)
        >>> len(batches), batches[7].shape
        (31250, (32, 28, 28, 1))
    """
    name = _resolved(name)
    batch_size = _count("batch_size", batch_size)
    n, seed = _count("n", n), _seed(seed)
    if batch_size is None:
        raise ValueError("`batch_size` is None, expected a whole number of at least 1.")
    if split not in drawn.SPLITS:
        raise ValueError(f"`split` is {split!r}, expected 'train' or 'test'.")
    _check_size(name, size)
    order = seed if split == "train" else None
    if name in drawn.NAMES or (path := _local(name)):
        from kerasae.datasets import batches

        if name in drawn.NAMES:
            kwargs = {"split": split, "seed": seed, "size": size, "labels": labels}
            return batches.Drawn(name, n or DRAWN[split], batch_size, **kwargs)
        x, y, _ = _first(name, "n", *_read_local(path, name)[split], n)
        return batches.Stored(x, y.astype(np.int64), batch_size, seed=order, labels=labels)
    kwargs = {"split": split, "n": n, "seed": order, "labels": labels}
    return _builders(name).real_batches(name, batch_size, **kwargs, advice=_what_to_do(name))


def _resolved(name: str) -> str:
    """Check a name and turn "digits" into the set it stands for."""
    if _one_of("name", name, names()) != "digits":
        return name
    return _one_of("$KERASAE_DATASET", os.environ.get("KERASAE_DATASET") or "strokes", DIGITS)


def _one_of(argument: str, value: str, options: tuple[str, ...]) -> str:
    """Return `value` if it is one of the options; the message names the most similar one."""
    if value not in options:
        close = difflib.get_close_matches(str(value).lower(), options, 1)
        hint = f' Did you mean "{close[0]}"?' if close else ""
        raise ValueError(f"`{argument}` is {value!r}, expected one of {', '.join(options)}.{hint}")
    return value


def _count(argument: str, n: int | None) -> int | None:
    """Return `n` as an integer if it is a number of images or None."""
    if n is not None and not _whole(n, 1):
        raise ValueError(f"`{argument}` is {n!r}, expected a whole number of at least 1 or None.")
    return None if n is None else operator.index(n)


def _seed(seed: int) -> int:
    """Return `seed` as an integer if it is a seed."""
    if not _whole(seed, 0):
        raise ValueError(f"`seed` is {seed!r}, expected a whole number of at least 0.")
    return operator.index(seed)


def _whole(value: object, least: int) -> bool:
    """Return whether a value is an integer of at least `least`."""
    try:
        return not isinstance(value, bool) and operator.index(value) >= least
    except TypeError:
        return False


def _check_size(name: str, size: int | None) -> None:
    """Check that a set has sizes to choose from."""
    if name in drawn.NAMES:
        drawn.full_size(name, size)
    elif size is not None:
        raise ValueError(f"`size` is {size!r}, expected None for {name}, which has one size.")


def _local_folders() -> list[Path]:
    """Return the folders of the user's own .npz files, in the order of search."""
    own = os.environ.get("KERASAE_DATA")
    return [*([Path(own)] if own else []), store.folder()]


def _local(name: str) -> Path | None:
    """Return the user's own file of a real set, if there is one."""
    paths = (where / f"{name}.npz" for where in _local_folders())
    return next((path for path in paths if path.exists()), None)


def _read_local(path: Path, name: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Read the user's own file of a real set, and check all of it."""
    keys = tuple(f"{letter}_{split}" for split in drawn.SPLITS for letter in "xy")
    arrays = archives.read_npz(path, keys)
    shape, classes = REAL[name]
    parts = {}
    for split in drawn.SPLITS:
        x, y = arrays[f"x_{split}"], arrays[f"y_{split}"]
        if x.ndim == 3:
            x = x[..., np.newaxis]
        if x.dtype != np.uint8 or x.shape[1:] != shape or len(x) == 0:
            raise ValueError(
                f"{path}: `x_{split}` is {x.dtype} of shape {x.shape}, "
                f"expected uint8 of shape {('n', *shape)}."
            )
        if y.dtype.kind not in "iu" or y.shape != x.shape[:1]:
            raise ValueError(
                f"{path}: `y_{split}` is {y.dtype} of shape {y.shape}, "
                f"expected integers of shape {x.shape[:1]}."
            )
        if y.min() < 0 or y.max() >= classes:
            raise ValueError(
                f"{path}: `y_{split}` holds labels from {y.min()} to {y.max()}, "
                f"expected 0 to {classes - 1}."
            )
        parts[split] = x, y
    return parts


def _first(name: str, argument: str, x: np.ndarray, y: np.ndarray, n: int | None) -> Arrays:
    """Return the first n images of a real set."""
    if n is not None and n > len(x):
        raise ValueError(f"`{argument}` is {n}, expected at most {len(x)} for {name}.")
    return x[:n], y[:n], {}


def _what_to_do(name: str) -> str:
    """Return the advice for a real set that is not here: which file to put where."""
    places = " or ".join(map(str, _local_folders()))
    return f"put {name}.npz with x_train, y_train, x_test, y_test into {places}"


def _builders(name: str) -> ModuleType:
    """Import the module on TensorFlow Datasets, or say in one sentence why it is impossible."""
    try:
        return importlib.import_module("kerasae.datasets.builders")
    except ImportError as error:
        reason = "tensorflow and tensorflow-datasets are not both installed"
        if name in drawn.NAMES:
            raise ImportError(f'{name} cannot be loaded via "tfds": {reason}.') from error
        sentence = f"{name} is not here and {reason}: install both, or {_what_to_do(name)}."
        raise FileNotFoundError(sentence) from error
