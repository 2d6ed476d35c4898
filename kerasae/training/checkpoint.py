"""The file of an interrupted run: what it holds, and for which run it is.

It is an archive with a checksum: the settings of the run, the weights, the states of the optimizer
and of the callbacks. A file sets numbers and weights only: neither where a callback writes nor what
it calls.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from kerasae import checks
from kerasae.engine.optimizer_group import portable
from kerasae.storage import archives

ORIGIN = "a checkpoint of kerasae.training.resume, version 1"


def write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a file, whole or not at all."""
    try:
        archives.write(path, ORIGIN, arrays)
    except OSError as error:  # a full disk, for instance
        error.add_note("The last checkpoint is whole: the same call resumes from it.")
        raise


def read(path: Path, settings: str) -> dict[str, np.ndarray] | None:
    """Return the arrays of a file, `None` if there is no file.

    Raises:
        ValueError: If it is damaged, or of a run with other settings or data.
    """
    try:
        arrays = archives.read(path, ORIGIN)
    except OSError as error:
        raise ValueError(
            f"`{path}` cannot be read ({error.strerror}), expected a checkpoint: make it readable, "
            "or give another folder."
        ) from error
    except Exception as error:  # a damaged archive raises many kinds of errors
        raise ValueError(
            f"`{path}` is damaged, expected a whole checkpoint: delete it and start the same run "
            "again."
        ) from error
    if arrays is None:
        if path.exists():
            raise ValueError(f"`{path}` is no checkpoint, expected one, or another folder.")
        return None
    saved, expected = json.loads(str(arrays["given"])), json.loads(settings)
    for name in expected:
        if saved.get(name) != expected[name]:
            difference = f"another `{name}`"
            if isinstance(expected[name], int):
                difference = f"`{name}` {saved.get(name)}, expected {expected[name]}"
            raise ValueError(
                f"`{path}` is of a run with {difference}: give the same settings and data, or "
                "another folder."
            )
    return arrays


def begin(model: keras.Model, path: Path, settings: dict[str, Any]) -> None:
    """Write the initial weights of a run of several phases, or restore them.

    Args:
        model: The model, built.
        path: Path of the file.
        settings: Settings with which a file must have been made.
    """
    settings = described(settings)
    arrays = read(path, settings)
    if arrays is None:
        values = {str(index): portable_array(v) for index, v in enumerate(model.weights)}
        write(path, {"given": np.array(settings), **values})
    else:
        for index, variable in enumerate(model.weights):
            variable.assign(arrays[str(index)])


def portable_array(variable: keras.Variable) -> np.ndarray:
    """Return a variable's value in a type that NumPy's files have; bfloat16 becomes float32."""
    value = ops.convert_to_numpy(variable.value)
    return value if value.dtype.kind in "fiub" else value.astype("float32")


def fingerprint(data: Any) -> str:
    """Return a fingerprint of arrays, and of the types of all other leaves."""
    digest = hashlib.blake2b(digest_size=16)
    for leaf in tree.flatten(data):
        if checks.is_array(leaf):
            array = np.ascontiguousarray(ops.convert_to_numpy(leaf))
            digest.update(f"{array.shape} {array.dtype}".encode())
            digest.update(array.view("uint8") if array.size else b"")
        else:
            digest.update(type(leaf).__name__.encode())
    return digest.hexdigest()


def described(config: Any) -> str:
    """Return a configuration as JSON, independent of the numbers that Keras gives to names."""
    config = portable(config)
    names: dict[str, str] = {}

    def collect(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(value.get("name"), str):
                names.setdefault(value["name"], f"name {len(names)}")
            for item in value.values():
                collect(item)
        elif isinstance(value, (list, tuple)):
            for item in value:
                collect(item)

    def rename(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: rename(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [rename(item) for item in value]
        return names.get(value, value) if isinstance(value, str) else value

    collect(config)
    return json.dumps(rename(config), sort_keys=True, default=repr)


def numbers_of(callback: keras.callbacks.Callback) -> dict[str, Any]:
    """Return a callback's numbers, and the operations of `keras.ops` that it compares with."""
    numbers = {}
    for name, value in vars(callback).items():
        if isinstance(value, (int, float)):
            numbers[name] = value
        elif isinstance(value, np.number):
            numbers[name] = value.item()
        elif _is_operation(value):
            numbers[name] = {"ops": value.__name__}
    return numbers


def restored_value(value: Any) -> Any:
    """Return a value of `numbers_of` as the callback holds it."""
    return getattr(ops, value["ops"]) if isinstance(value, dict) else value


def may_set(callback: keras.callbacks.Callback, name: str, value: Any) -> bool:
    """Return whether a file may set an attribute of a callback to a value.

    Numbers, weights and operations of Keras replace only such values or None. So no file can set
    where a callback writes, or what it calls.
    """
    if isinstance(value, dict):
        value = getattr(ops, str(value.get("ops")), None)
        if not _is_operation(value):
            return False
    current = vars(callback).get(name, getattr(type(callback), name, None))
    return _is_storable(value) and (current is None or _is_storable(current))


def _is_storable(value: Any) -> bool:
    """Return whether a checkpoint keeps values of this kind."""
    arrays = isinstance(value, list) and all(isinstance(each, np.ndarray) for each in value)
    return arrays or isinstance(value, (int, float, np.number)) or _is_operation(value)


def _is_operation(value: Any) -> bool:
    return callable(value) and getattr(ops, getattr(value, "__name__", ""), None) is value


def weight_lists(callback: keras.callbacks.Callback) -> dict[str, list[np.ndarray]]:
    """Return the weights that a callback holds, such as the best ones so far."""
    return {
        name: value
        for name, value in vars(callback).items()
        if isinstance(value, list) and value and all(isinstance(v, np.ndarray) for v in value)
    }
