"""The embedded sets: drawn from a seed, kept on disk, drawn again if the disk fails.

Every split and every batch of a stream has a random stream of its own,

    images = generate(n, seed = h(seed, split)),    batch i = generate(b, seed = h(seed, split, i)),

where h is NumPy's SeedSequence, so that training and test images never come from the same numbers.
"""

import hashlib
import importlib
import inspect
import json
import warnings
from types import ModuleType

import numpy as np

from kerasae.datasets import canvas, skeletons, store
from kerasae.storage import archives

NAMES = ("strokes", "shapes", "faces")
SPLITS = ("train", "test")

Drawing = tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]


def module(name: str) -> ModuleType:
    """Return the module that draws an embedded set."""
    return importlib.import_module(f"kerasae.datasets.{name}")


def full_size(name: str, size: int | None) -> int | None:
    """Return the side of an embedded set's images, or None if it has only one size.

    Example:
        >>> full_size("strokes", None)
    """
    parameter = inspect.signature(module(name).generate).parameters.get("size")
    if parameter is None:
        if size is not None:
            raise ValueError(f"`size` is {size!r}, expected None for {name}, which has one size.")
        return None
    return parameter.default if size is None else canvas.check_size(size)


def draw(
    name: str, n: int, *, split: str, seed: int, size: int | None = None, batch: int | None = None
) -> Drawing:
    """Draw images of an embedded set.

    Args:
        name: Name of the set.
        n: Number of images.
        split: Either "train" or "test".
        seed: The set's seed.
        size: Side of the images, for sets that have several.
        batch: Index of the batch in a stream; None for a whole split.

    Returns:
        uint8 images (n, height, width, channels), int64 labels (n,), and a dict of true factors.

    Example:
        >>> draw("strokes", 3, split="test", seed=0)[0].shape
        (3, 28, 28, 1)
    """
    key = (SPLITS.index(split),) if batch is None else (SPLITS.index(split), batch)
    stream = int(np.random.SeedSequence(seed, spawn_key=key).generate_state(1, np.uint64)[0])
    size = full_size(name, size)
    return module(name).generate(n, seed=stream, **({} if size is None else {"size": size}))


def origin(name: str, **arguments: int | str | None) -> dict[str, int | str | None]:
    """Return all that an embedded set's arrays depend on: its drawing and the arguments."""
    # The source as well as the version, because an edited drawing must not load old images. All
    # the sources, because one drawing uses another.
    sources = map(inspect.getsource, (canvas, skeletons, *map(module, NAMES)))
    source = hashlib.sha256("".join(sources).encode()).hexdigest()
    version = module(name).VERSION
    return {"name": name, "version": version, "source": source, **arguments}


def prepared(name: str, n: int, *, split: str, seed: int, size: int | None = None) -> Drawing:
    """Return one split of an embedded set: read its prepared file, or draw it and keep it.

    A damaged file is drawn again and replaced, with a warning. If the data folder cannot be
    written, the images are drawn each time, with a warning.

    Args:
        name: Name of the set.
        n: Number of images.
        split: Either "train" or "test".
        seed: The set's seed.
        size: Side of the images, for sets that have several.
    """
    size = full_size(name, size)
    made_from = origin(name, split=split, n=n, seed=seed, size=size)
    stem = f"{name}-{made_from['version']}-{split}-{n}-seed{seed}"
    path = store.folder() / f"{stem}{'' if size is None else f'-size{size}'}.npz"
    text = json.dumps(made_from, sort_keys=True)
    try:
        arrays = archives.read(path, text)
    except (OSError, ValueError) as error:
        warnings.warn(f"{archives.one_line(error)}; {name} is drawn again.", stacklevel=3)
        arrays = None
    if arrays is not None:
        images, labels = arrays.pop("images"), arrays.pop("labels")
        return images, labels, {key.removeprefix("factor."): v for key, v in arrays.items()}
    images, labels, factors = draw(name, n, split=split, seed=seed, size=size)
    arrays = {"images": images, "labels": labels}
    arrays |= {f"factor.{key}": values for key, values in factors.items()}
    try:
        archives.write(path, text, arrays)
    except OSError as error:
        message = f"{name} cannot be kept in {path.parent} and is drawn each time: "
        warnings.warn(message + f"{archives.one_line(error)}.", stacklevel=3)
    return images, labels, factors
