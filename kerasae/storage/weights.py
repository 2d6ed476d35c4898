"""Weights files: their headers are checked before any array is read.

A weights file of Keras is an HDF5 file of groups and plain arrays. HDF5 can hold more: links to
other files, arrays in other files, compressed arrays, and arrays of any size that were never
written. A foreign file may use all of that, so only plain arrays are accepted:

    no links  ·  one uncompressed block each  ·  in this file, whole  ·  floats or whole numbers

Then all arrays together are not larger than the file.
"""

import contextlib
import io
import json
import math
import os
import random
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
from keras import ops

from kerasae.engine import internals
from kerasae.storage.archives import one_line

Arrays = Counter[tuple[tuple[int, ...], str]]  # (shape, "floats" or "whole numbers") → how many
ADVICE = "expected plain arrays, as `save_to_preset` writes them: do not use this file"


class _Refused(ValueError):
    """A reason to refuse a file."""


def header(path: Path) -> Arrays:
    """Return the shapes and kinds of a file's arrays, without reading an array.

    Args:
        path: Path of the weights file.

    Raises:
        ValueError: If the file is broken, or holds anything but plain arrays.
    """
    try:
        with h5py.File(path, "r") as file:
            return _plain(file, os.path.getsize(path))
    except _Refused as error:
        raise ValueError(f"`{path}` holds {error}, {ADVICE}.") from None
    except Exception as error:  # a broken file fails in many ways
        raise ValueError(
            f"`{path}` is broken, expected an HDF5 file of weights ({one_line(error)}): copy or "
            "download it again."
        ) from error


def _plain(file: h5py.File, room: int) -> Arrays:
    """Return the shapes and kinds of all arrays, and check that the file has room for them."""
    arrays: Arrays = Counter()
    total = 0
    for name, dataset in _datasets(file):
        layout = dataset.id.get_create_plist()
        if layout.get_external_count():
            raise _Refused(f"{name!r}, whose numbers lie in another file")
        if layout.get_layout() not in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT):
            raise _Refused(f"{name!r}, which is virtual, compressed or in pieces")
        kind = _kind(dataset)
        if kind is None:
            raise _Refused(f"{name!r} of type {dataset.dtype}")
        if dataset.shape is None:
            raise _Refused(f"{name!r} without a shape")
        size, begin = dataset.nbytes, dataset.id.get_offset() or 0
        total += size
        if dataset.id.get_storage_size() != size or begin + size > room or total > room:
            raise _Refused(f"{name!r}, which declares {size:,} bytes and does not hold them")
        arrays[dataset.shape, kind] += 1
    return arrays


def _datasets(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yield each array and its name.

    Nothing may be reached twice, because a loop of groups would never end.
    """
    seen = {h5py.h5o.get_info(file.id).addr}
    groups = [("", file)]
    while groups:
        above, group = groups.pop()
        for name in group:
            path = f"{above}/{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise _Refused(f"{path!r}, which is a link")
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                raise _Refused(f"{path!r}, which has another name too")
            seen.add(address)
            if isinstance(item, h5py.Group):
                groups.append((path, item))
            elif isinstance(item, h5py.Dataset):
                yield path, item
            else:
                raise _Refused(f"{path!r}, which is a {type(item).__name__}")


def _kind(dataset: h5py.Dataset) -> str | None:
    """Return the kind of an array, `None` for types that no weight has."""
    dtype = dataset.dtype
    if dtype.kind == "V" and dtype.itemsize == 2 and dataset.attrs.get("dtype") == "bfloat16":
        return "floats"
    if not dtype.isnative:  # JAX reads them as other numbers
        return None
    return {"f": "floats", "i": "whole numbers", "u": "whole numbers", "b": "whole numbers"}.get(
        dtype.kind
    )


def outline(text: bytes, room: float = math.inf) -> Any:
    """Return the model that a configuration describes; its weights have shapes and no values.

    Return `None` for a model that cannot be built without values, because it computes with them.

    Args:
        text: The configuration, JSON.
        room: Largest size, in numbers, of the weights of a model that cannot be built.

    Raises:
        ValueError: If such a model has more.
    """
    built: list[Any] = []
    variables: list[keras.Variable] = []

    def build(config: Any) -> None:
        scope = keras.StatelessScope(initialize_variables=False)
        with contextlib.suppress(Exception), scope:
            built.append(keras.saving.deserialize_keras_object(config))
        variables.extend(internals.without_values())

    state = random.getstate()  # initializers without a seed draw theirs from it
    with contextlib.suppress(ValueError, RecursionError):
        # The state that Keras keeps of weights without values ends with the thread.
        thread = threading.Thread(target=build, args=(json.loads(text),), daemon=True)
        thread.start()
        thread.join()
    random.setstate(state)
    count = sum(math.prod(weight.shape) for weight in variables)
    if not built and count > room:
        raise ValueError(f"its weights are {count:,} numbers or more, expected those of the file")
    return built[0] if built else None


def size(arrays: Arrays) -> int:
    """Return the number of numbers in arrays."""
    return sum(math.prod(shape) * count for (shape, _), count in arrays.items())


def missing(arrays: Arrays, model: keras.Model) -> str:
    """Return which arrays of a model a file lacks, or an empty string.

    Keras adds the weights of LoRA to others before it saves them: their room is that of the file.

    Args:
        arrays: Arrays that `header` returned.
        model: The model; its weights need no values yet.
    """
    remaining = arrays.copy()
    room = size(arrays)
    for weight in model.weights:
        floats = "float" in keras.backend.standardize_dtype(weight.dtype)
        expected = tuple(weight.shape), "floats" if floats else "whole numbers"
        if weight.name.startswith("lora_"):
            room -= math.prod(expected[0])
        else:
            remaining[expected] -= 1
        if room < 0 or remaining[expected] < 0:
            return f"too few arrays of {expected[1]} of shape {expected[0]}"
    return ""


def not_finite(model: keras.Model) -> str | None:
    """Return the path of a model's first weight with NaN or infinite values, if there is one."""
    for weight in model.weights:
        if "float" in keras.backend.standardize_dtype(weight.dtype):
            values = ops.convert_to_numpy(weight.value)
            if not np.isfinite(values.astype("float32", copy=False)).all():
                return weight.path
    return None


class Memory(io.BytesIO):
    """A file in memory: HDF5 on a full disk ends the process with a segmentation fault."""

    def __str__(self) -> str:
        return "memory.weights.h5"  # Keras asks for the end of the name


def content(model: keras.Model, halve: bool) -> memoryview:
    """Return a weights file without the optimizer and, if `halve` is True, float32 as float16.

    Arrays that float16 cannot represent are kept as they are.

    Args:
        model: The model.
        halve: If True, write float16.
    """
    saved, slimmed = Memory(), io.BytesIO()
    model.save_weights(saved)

    def copy(name: str, item: Any) -> None:
        if name.split("/")[0] == "optimizer":  # a preset is for use; `.keras` keeps the training
            return
        if isinstance(item, h5py.Dataset):
            values = item[()]
            if halve and values.dtype == np.float32:
                with np.errstate(over="ignore"):
                    half = values.astype(np.float16)
                if np.allclose(half, values, rtol=1e-3, atol=1e-7):
                    values = half
            new_item = new.create_dataset(name, data=values)
        else:
            new_item = new.require_group(name)
        new_item.attrs.update(item.attrs)

    with h5py.File(saved, "r") as old, h5py.File(slimmed, "w") as new:
        new.attrs.update(old.attrs)
        old.visititems(copy)
    return slimmed.getbuffer()
