"""A model to a folder and back.

A preset is a folder of three files, the layout that KerasHub uses:

    config.json         the model's class and configuration
    metadata.json       who wrote it: versions, number of parameters
    model.weights.h5    the weights

Nothing in it is code and nothing is unpickled.
"""

import json
import os
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras

from kerasae.training.resume import random_states

LATE_ARGUMENTS = ("input_axes", "output_axes", "quantization_config")  # none in Keras 3.12
CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"


def save(model: keras.Model, folder: str | Path) -> None:
    """Writes a model's preset, whole or not at all.

    Args:
        model: A built Keras model with a registered class.
        folder: Where to write; an older preset there is replaced, anything else is kept.

    Raises:
        ValueError: If the model has no weights yet, or the folder holds other files.
    """
    if not model.built:
        raise ValueError(
            f"{type(model).__name__} has no weights yet, expected a built model: fit it first, or "
            "call `build(input_shape)`."
        )
    folder = Path(folder).resolve()
    files = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if folder.is_file() or files - {CONFIG, METADATA, WEIGHTS}:
        raise ValueError(f"`{folder}` is not a preset, expected a new or an earlier preset folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Both beside the folder, on its file system, so that they can take each other's place.
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    old = partial.with_name(partial.name + "-old")
    try:
        config = keras.saving.serialize_keras_object(model)
        config.pop("compile_config", None)  # a preset is for use; `.keras` keeps the training
        config = _for_older_keras(config)
        metadata = {
            "keras_version": keras.version(),
            "kerasae_version": version("kerasae"),
            "parameter_count": model.count_params(),
        }
        (partial / CONFIG).write_text(json.dumps(config, indent=2), encoding="utf-8")
        (partial / METADATA).write_text(json.dumps(metadata, indent=2), encoding="utf-8")
        model.save_weights(partial / WEIGHTS)
        partial.chmod(0o755)
        if folder.exists():
            os.replace(folder, old)
        os.replace(partial, folder)
    except BaseException:
        if old.exists() and not folder.exists():
            os.replace(old, folder)
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _for_older_keras(config: Any) -> Any:
    """The configuration without arguments that Keras got lately, where they are `None`.

    Keras writes them down all the same, and its older versions refuse them.
    """
    if isinstance(config, list):
        return [_for_older_keras(item) for item in config]
    if not isinstance(config, dict):
        return config
    return {
        key: _for_older_keras(value)
        for key, value in config.items()
        if value is not None or key not in LATE_ARGUMENTS
    }


def load(cls: type, name: str | Path) -> Any:
    """Reads the model of class `cls` from a preset folder.

    Args:
        cls: The class that is expected; subclasses will do.
        name: The folder.

    Raises:
        FileNotFoundError: If there is no such folder, or a file is missing in it.
        ValueError: If a file is broken, or holds a model of another class.
    """
    folder = Path(name)
    missing = [file for file in (CONFIG, METADATA, WEIGHTS) if not (folder / file).is_file()]
    if missing:
        raise FileNotFoundError(
            f"`{name}` is not a preset: expected a folder with {', '.join(missing)}."
        )
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        model = keras.saving.deserialize_keras_object(config)
    except Exception as error:
        raise ValueError(
            f"`{folder / CONFIG}` is broken or of a foreign class, expected the configuration of "
            f"a registered {cls.__name__} ({error})."
        ) from error
    if not isinstance(model, cls):
        raise ValueError(
            f"`{folder / CONFIG}` holds a model of class {type(model).__name__}, expected "
            f"{cls.__name__}."
        )
    # A preset is where a new training begins: its noise is the new run's, not the old one's.
    noise = [(state, keras.ops.copy(state.value)) for state in random_states(model)]
    try:
        model.load_weights(folder / WEIGHTS)
    except Exception as error:
        raise ValueError(
            f"`{folder / WEIGHTS}` is broken or belongs to another model, expected the weights "
            f"of the {type(model).__name__} that {CONFIG} describes ({error})."
        ) from error
    for state, value in noise:
        state.assign(value)
    return model
