"""Presets: write a model to a folder, and read it.

A preset is a folder of three files, the layout that KerasHub uses:

    config.json         the model's class and configuration
    metadata.json       versions, number of parameters, SHA-256 of all three files; how it was
                        made, if it is of the zoo
    model.weights.h5    the weights

and a card with its pictures, `README.md`, if it is of the zoo. It is found by its name, if it ships
with the package, by its folder, or as `hf://owner/name` on the Hugging Face hub. A preset contains
no code, and nothing is unpickled.

A preset is read as it was saved, or not at all: files with another SHA-256 are refused. Presets
without checksums, which earlier versions wrote, are also read. No configuration gets more memory
than its weights file justifies: the model is first built without values, and its shapes are
compared with the header of the file.
"""

import contextlib
import difflib
import json
import os
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import keras

from kerasae import checks
from kerasae.engine.randomness import random_states
from kerasae.storage import files, folders, manifest, places, weights
from kerasae.storage.archives import one_line
from kerasae.storage.manifest import CONFIG, FILES, METADATA, WEIGHTS

# Arguments of layers that Keras 3.12 does not have, and their defaults.
LATE_ARGUMENTS = {
    "input_axes": None,
    "output_axes": None,
    "quantization_config": None,
    "renorm": False,
    "renorm_clipping": None,
    "renorm_momentum": 0.99,
}
WRITTEN = ("keras_version", "kerasae_version", "parameter_count")  # in every `metadata.json`
CARD = "README.md"
SHIPPED = Path(__file__).parent / "zoo" / "presets"
HUB = "hf://"
ATTEMPTS = 5  # to read a preset that other processes are writing


def names() -> list[str]:
    """Return the names of the presets that ship with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{WEIGHTS}"))


def find(name: str | Path) -> Path:
    """Return the folder of a preset.

    Args:
        name: One of `names()`, a folder (a `Path`, or a string that is no such name), or
            `hf://owner/name`, with or without `@revision`, which `huggingface_hub` downloads and
            caches.

    Raises:
        FileNotFoundError: If there is none, or a file is missing in it.
        ImportError: If `huggingface_hub` is needed and not installed.
        ValueError: If `name` is neither a string nor a path.
    """
    path = places.path("name", name)
    if isinstance(name, str) and name.startswith(HUB):
        folder = _fetched(name)
    elif isinstance(name, str) and name in names():
        folder = SHIPPED / name
    else:
        folder = path
    try:
        for _ in range(2):  # another process may rename the folder between two accesses
            current = folders.current(folder)
            missing = [file for file in FILES if not (current / file).is_file()]
            if not missing:
                return current
    except (OSError, RuntimeError) as error:  # a name too long, no permission, a loop of links
        raise FileNotFoundError(
            f"`name` is {places.as_line(name)}, expected a preset or its folder "
            f"({places.reason(error)}): give another name."
        ) from error
    expected = f"a folder with {', '.join(missing)}"
    if not folder.exists():
        close = difflib.get_close_matches(str(name)[:100], names(), 1, 0.4)
        expected += f", or a preset of the zoo{f', such as {close[0]!r}' if close else ''}"
        expected += " (`python -m kerasae list` shows them)"
    text = places.printable(str(name))
    raise FileNotFoundError(f"`{text}` is not a preset: expected {expected}.")


def _fetched(handle: str) -> Path:
    """Return the local copy of a repository on the hub."""
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
            f"reached, or was fetched before ({places.printable(one_line(error))})."
        ) from error
    return Path(folder)


def metadata(name: str | Path) -> dict[str, Any]:
    """Return the content of a preset's `metadata.json`, without reading the model.

    Args:
        name: As in `find`.

    Raises:
        ValueError: If the file is not a JSON object.
    """
    return manifest.read(find(name) / METADATA)


def backend_version() -> str:
    """Return the version of the engine that Keras runs on."""
    # By its distribution: TensorFlow's has several names.
    return version(packages_distributions()[keras.backend.backend()][0])


def place(folder: str | Path) -> Path:
    """Return a folder's absolute path if `save` may write there; for a check before training.

    Args:
        folder: A new or empty folder, or that of an earlier preset.

    Raises:
        ValueError: If it is not a path, or the folder holds anything but a preset.
        OSError: If it cannot be written to.
    """
    return places.writable(folder, _foreign)


def _foreign(folder: Path) -> str:
    """Describe an item of a folder that `save` did not write; return "" if there is none."""
    if not os.path.lexists(folder):
        return ""
    if not folder.is_dir():
        return "a file"
    for path in sorted(folder.iterdir()):
        if path.name not in FILES or not path.is_file():
            return places.as_line(path.name)
    try:
        if any(folder.iterdir()) and not manifest.read(folder / METADATA).keys() >= {*WRITTEN}:
            return "a metadata.json of another kind"
    except (ValueError, FileNotFoundError):
        return "files without a metadata.json that can be read"
    return ""


def save(model: keras.Model, folder: str | Path, dtype: str = "float32") -> None:
    """Write a model's preset, whole or not at all.

    Args:
        model: A built Keras model with a registered class.
        folder: Folder of the preset; an older preset there is replaced, anything else is kept.
        dtype: Type of the weights on disk: `"float16"` needs half the bytes and keeps three digits.
            The types of the model that is read are those of its configuration.

    Raises:
        ValueError: If the model has no weights yet or NaN in them, or the folder holds other files.
        OSError: If the folder cannot be written.
    """
    if not model.built:
        raise ValueError(
            f"{type(model).__name__} has no weights yet, expected a built model: fit it first, or "
            "call `build(input_shape)`."
        )
    checks.one_of("dtype", dtype, ("float32", "float16"))
    target = place(folder)
    if weight := weights.not_finite(model):
        raise ValueError(
            f"`model` has NaN or infinite values in {weight}, expected finite weights: train it "
            "again, with a lower learning rate."
        )
    config = keras.saving.serialize_keras_object(model)
    config.pop("compile_config", None)  # as with the optimizer's variables
    config = _for_older_keras(config)
    about = {
        "keras_version": keras.version(),
        "kerasae_version": version("kerasae"),
        "parameter_count": model.count_params(),
    }
    try:
        with folders.writing(target) as part:
            files.write(part / CONFIG, json.dumps(config, indent=2))
            files.write(part / WEIGHTS, [weights.content(model, dtype == "float16")])
            if weights.missing(weights.header(part / WEIGHTS), model):
                raise ValueError(
                    f"`model` is a {type(model).__name__} with layers that do not save all of "
                    'their weights, expected plain layers: use `model.save("model.keras")`.'
                )
            manifest.write(part, about)
    except OSError as error:
        raise places.unwritable(folder, error) from error


def _for_older_keras(config: Any) -> Any:
    """Return the configuration without new arguments of Keras that have their default.

    Keras writes them even so, and its older versions refuse them.
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


def load(cls: type, name: str | Path) -> Any:
    """Return the model of class `cls` that a preset holds.

    Args:
        cls: Expected class of the model; a subclass is accepted.
        name: As in `find`.

    Raises:
        FileNotFoundError: If there is no such folder, or a file is missing in it.
        ValueError: If a file is broken, or holds a model of another class.
    """
    for _ in range(ATTEMPTS):
        folder = find(name)
        before = _state(folder)
        model, failure = None, None
        try:
            model = _read(cls, folder)
        except (ValueError, OSError) as error:
            failure = error
        if _state(folder) == before:  # no other process has written it in the meantime
            break
    else:
        failure = ValueError(
            f"`{folder}` was replaced {ATTEMPTS} times while it was read, expected a preset that "
            "no other process writes: wait for it."
        )
    if failure is not None:
        raise failure
    return model


def _state(folder: Path) -> list[tuple[int, ...]]:
    """Return numbers that change when a preset is replaced."""
    state = []
    for name in FILES:
        with contextlib.suppress(OSError):
            status = os.stat(folder / name)
            state.append((status.st_ino, status.st_size, status.st_mtime_ns))
    return state


def _read(cls: type, folder: Path) -> Any:
    """Return the model in a folder."""
    about, path = manifest.read(folder / METADATA), folder / WEIGHTS
    manifest.compare(folder, about)
    arrays = weights.header(path)
    text = (folder / CONFIG).read_bytes()
    try:
        outline = weights.outline(text, weights.size(arrays))
    except ValueError as error:
        raise ValueError(
            f"`{folder / CONFIG}` is broken or belongs to another weights file: {error}."
        ) from error
    if outline is not None:
        _check_class(cls, outline, folder)
        _check_weights(arrays, outline, path)
    try:
        model = keras.saving.deserialize_keras_object(json.loads(text))
    except Exception as error:
        raise ValueError(
            f"`{folder / CONFIG}` is broken or of a foreign class, expected the configuration of "
            f"a registered {cls.__name__} ({places.printable(one_line(error))})."
        ) from error
    _check_class(cls, model, folder)
    _check_weights(arrays, model, path)
    # A preset begins a new training, so the noise is the new run's, not the old one's.
    noise = [(state, keras.ops.copy(state.value)) for state in random_states(model)]
    try:
        model.load_weights(path)
    except Exception as error:
        raise ValueError(
            f"`{path}` is broken or belongs to another model, expected the weights of the "
            f"{type(model).__name__} that {CONFIG} describes "
            f"({places.printable(one_line(error))})."
        ) from error
    if weight := weights.not_finite(model):
        raise ValueError(
            f"`{path}` holds NaN or infinite values for {places.printable(weight)}, expected "
            "finite weights: do not use this file."
        )
    if about.get("parameter_count", count := model.count_params()) != count:
        raise ValueError(
            f"`{folder / METADATA}` is broken or belongs to another model: `parameter_count` is "
            f"{places.as_line(about['parameter_count'])}, expected {count}: copy or download the "
            "preset again."
        )
    for state, value in noise:
        state.assign(value)
    return model


def _check_class(cls: type, model: Any, folder: Path) -> None:
    """Check that a configuration is one of a model of class `cls`."""
    if not isinstance(model, cls):
        raise ValueError(
            f"`{folder / CONFIG}` holds a model of class {type(model).__name__}, expected "
            f"{cls.__name__}."
        )


def _check_weights(arrays: weights.Arrays, model: keras.Model, path: Path) -> None:
    """Check that a weights file holds an array for each weight of a model."""
    if few := weights.missing(arrays, model):
        raise ValueError(
            f"`{path}` is broken or belongs to another model: it holds {few}, expected the weights "
            f"of the {type(model).__name__} that {CONFIG} describes."
        )
