"""The engine that Keras runs on: one of three, and installed."""

import importlib.util
import os
import sys
import warnings

ENGINES = ("tensorflow", "jax", "torch")


def check() -> None:
    """Raise `ImportError` in one sentence if Keras has no engine that it can train on.

    It is called before Keras is imported, whose own message names a module only. The command line
    imports the package before its own first line; there only the sentence is printed.
    """
    try:
        _check()
    except ImportError as error:
        if sys.argv[0] != "-m":  # as Python has it while it looks for `python -m kerasae`
            raise
        print(f"python -m kerasae: {error}", file=sys.stderr)
        sys.exit(2)


def _check() -> None:
    chosen = os.environ.get("KERAS_BACKEND")
    if chosen and chosen not in ENGINES:
        raise ImportError(f"`KERAS_BACKEND` is {chosen!r}, expected {_either(ENGINES)}.")
    try:
        import keras
    except ModuleNotFoundError as error:
        missing = str(error.name).split(".")[0]
        if missing not in ENGINES:
            raise
        others = [name for name in ENGINES if importlib.util.find_spec(name)]
        instead = f", or `KERAS_BACKEND` set to {_either(others)}, installed here" if others else ""
        raise ImportError(
            f"Keras is to run on {missing}, which is not installed, expected "
            f'`pip install "kerasae[{missing}]"`{instead}.'
        ) from error
    backend = keras.backend.backend()  # from Keras's file of settings
    if backend not in ENGINES:
        raise ImportError(
            f"Keras runs on {backend!r}, expected `KERAS_BACKEND` set to {_either(ENGINES)}."
        )


def _either(names: tuple[str, ...] | list[str]) -> str:
    *first, last = [repr(name) for name in names]
    return f"{', '.join(first)} or {last}" if first else last


def warn_if_pictures_shift() -> None:
    """Warn if this Keras shifts transposed convolutions on PyTorch; nothing else reports it."""
    import keras

    version = tuple(int(number) for number in keras.version().split(".")[:2])
    if keras.backend.backend() == "torch" and version < (3, 15):
        warnings.warn(
            f"Keras is {keras.version()}, expected 3.15 or newer on PyTorch: an older one moves "
            "the output of transposed convolutions by a pixel, and shipped weights draw wrong.",
            stacklevel=2,
        )
