"""A model to a folder and back.

A preset is a folder of three files, the layout that KerasHub uses:

    config.json         the model's class and configuration
    metadata.json       who wrote it: versions, number of parameters; how, if it is of the zoo
    model.weights.h5    the weights

and a card with its pictures, `README.md`, if it is of the zoo. It is found by the name of a preset
that ships with the package, by its folder, or as `hf://owner/name` on the Hugging Face hub. Nothing
in it is code and nothing is unpickled.
"""

import difflib
import json
import os
import shutil
import tempfile
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from kerasae import checks
from kerasae.datasets.store import one_line
from kerasae.training.resume import random_states

# Arguments of layers that Keras 3.12 does not have, and their defaults.
LATE_ARGUMENTS = {
    "input_axes": None,
    "output_axes": None,
    "quantization_config": None,
    "renorm": False,
    "renorm_clipping": None,
    "renorm_momentum": 0.99,
}
CONFIG, METADATA, WEIGHTS = FILES = "config.json", "metadata.json", "model.weights.h5"
CARD = "README.md"
SHIPPED = Path(__file__).parent / "zoo" / "presets"
HUB = "hf://"


def names() -> list[str]:
    """The presets that ship with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{WEIGHTS}"))


def find(name: str | Path) -> Path:
    """The folder of a preset.

    Args:
        name: One of `names()`, a folder (a `Path`, or a string that is no such name), or
            `hf://owner/name` with `@revision` or without, which `huggingface_hub` fetches and
            keeps.

    Raises:
        FileNotFoundError: If there is none, or a file is missing in it.
        ImportError: If `huggingface_hub` is wanted and not installed.
    """
    if isinstance(name, str) and name.startswith(HUB):
        folder = _fetched(name)
    else:
        folder = SHIPPED / name if isinstance(name, str) and name in names() else Path(name)
    if missing := [file for file in FILES if not (folder / file).is_file()]:
        expected = f"a folder with {', '.join(missing)}"
        if not folder.exists():
            close = difflib.get_close_matches(str(name), names(), 1, 0.4)
            expected += f", or a preset of the zoo{f', such as {close[0]!r}' if close else ''}"
            expected += " (`python -m kerasae list` shows them)"
        raise FileNotFoundError(f"`{name}` is not a preset: expected {expected}.")
    return folder


def _fetched(handle: str) -> Path:
    """The local copy of a repository on the hub."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise ImportError(
            f"`{handle}` is on the Hugging Face hub, expected the package that fetches from it: "
            "`pip install huggingface_hub`."
        ) from error
    repository, _, revision = handle.removeprefix(HUB).partition("@")
    try:
        folder = huggingface_hub.snapshot_download(
            repository, revision=revision or None, allow_patterns=[*FILES]
        )
    except Exception as error:  # of many kinds: no network, no such repository, a bad name
        raise FileNotFoundError(
            f"`{handle}` cannot be fetched, expected `hf://owner/name` of a repository that can be "
            f"reached, or was fetched before ({one_line(error)})."
        ) from error
    return Path(folder)


def metadata(name: str | Path) -> dict[str, Any]:
    """What a preset's `metadata.json` says; the model is not read."""
    path = find(name) / METADATA
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"`{path}` is broken, expected JSON ({error}).") from error
    if not isinstance(found, dict):
        raise ValueError(f"`{path}` holds {type(found).__name__}, expected a JSON object.")
    return found


def backend_version() -> str:
    """The version of the engine that Keras runs on."""
    # By its distribution: TensorFlow's has several names.
    return version(packages_distributions()[keras.backend.backend()][0])


def save(model: keras.Model, folder: str | Path, dtype: str = "float32") -> None:
    """Writes a model's preset, whole or not at all.

    Args:
        model: A built Keras model with a registered class.
        folder: Where to write; an older preset there is replaced, anything else is kept.
        dtype: Of the weights on disk: `"float16"` takes half the bytes and keeps three digits.
            The model that is read has the types that its configuration says.

    Raises:
        ValueError: If the model has no weights yet, or the folder holds other files.
    """
    if not model.built:
        raise ValueError(
            f"{type(model).__name__} has no weights yet, expected a built model: fit it first, or "
            "call `build(input_shape)`."
        )
    checks.one_of("dtype", dtype, ("float32", "float16"))
    folder = Path(folder).resolve()
    files = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if folder.is_file() or files - set(FILES):
        raise ValueError(f"`{folder}` is not a preset, expected a new or an earlier preset folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Both beside the folder, on its file system, so that they can take each other's place.
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    old = partial.with_name(partial.name + "-old")
    try:
        config = keras.saving.serialize_keras_object(model)
        config.pop("compile_config", None)  # as `_slim` does with the optimizer
        config = _for_older_keras(config)
        metadata = {
            "keras_version": keras.version(),
            "kerasae_version": version("kerasae"),
            "parameter_count": model.count_params(),
        }
        (partial / CONFIG).write_text(json.dumps(config, indent=2), encoding="utf-8")
        (partial / METADATA).write_text(json.dumps(metadata, indent=2), encoding="utf-8")
        model.save_weights(partial / WEIGHTS)
        _slim(partial / WEIGHTS, dtype == "float16")
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
    """The configuration without arguments that Keras got lately, where they are the default.

    Keras writes them down all the same, and its older versions refuse them.
    """
    if isinstance(config, list):
        return [_for_older_keras(item) for item in config]
    if not isinstance(config, dict):
        return config
    return {
        key: _for_older_keras(value)
        for key, value in config.items()
        if key not in LATE_ARGUMENTS or value != LATE_ARGUMENTS[key]
    }


def _slim(path: Path, halve: bool) -> None:
    """Takes the optimizer out of a weights file and, if asked to, writes float32 as float16.

    Kept as they are: numbers that float16 has no room for.
    """
    slim = path.with_suffix(".slim")

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
            made = new.create_dataset(name, data=values)
        else:
            made = new.require_group(name)
        made.attrs.update(item.attrs)

    with h5py.File(path) as old, h5py.File(slim, "w") as new:
        new.attrs.update(old.attrs)
        old.visititems(copy)
    os.replace(slim, path)


def load(cls: type, name: str | Path) -> Any:
    """Reads the model of class `cls` from a preset.

    Args:
        cls: The class that is expected; subclasses will do.
        name: As in `find`.

    Raises:
        FileNotFoundError: If there is no such folder, or a file is missing in it.
        ValueError: If a file is broken, or holds a model of another class.
    """
    folder = find(name)
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        model = keras.saving.deserialize_keras_object(config)
    except Exception as error:
        raise ValueError(
            f"`{folder / CONFIG}` is broken or of a foreign class, expected the configuration of "
            f"a registered {cls.__name__} ({one_line(error)})."
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
            f"of the {type(model).__name__} that {CONFIG} describes ({one_line(error)})."
        ) from error
    for state, value in noise:
        state.assign(value)
    return model
