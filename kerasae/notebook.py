"""Tools of the course's notebooks: a setup, a budget, claims and tables.

A claim is an executable sentence of the slides. It prints one fixed line, which is compared with
the stored one, and raises with its evidence if the sentence is false.
"""

import json
import logging
import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import keras
import numpy as np
from IPython import get_ipython
from IPython.display import Markdown, display
from matplotlib.figure import Figure

from kerasae import __version__, plots, presets

Value = TypeVar("Value")
_seed = 0  # chosen by `setup`; `claim` writes it beside the evidence


def setup(seed: int | None = None) -> int:
    """Seed every random generator, set the course's plot style and print the versions in use.

    Args:
        seed: Seed of the notebook; by default `$KERASAE_SEED`, or 0.

    Returns:
        The seed, for the notebook's own NumPy generators.
    """
    global _seed
    _seed = seed = int(os.environ.get("KERASAE_SEED", "0")) if seed is None else seed
    keras.utils.set_random_seed(seed)
    if shell := get_ipython():
        shell.run_line_magic("matplotlib", "inline")  # a figure on a cell's last line is shown
    plots.use_style()
    # TensorFlow warns, on the page, if several models predict one after the other.
    logging.getLogger("tensorflow").setLevel("ERROR")
    print(
        f"kerasae {__version__} · Keras {keras.version()} on {keras.backend.backend()} "
        f"{presets.backend_version()} · Python {platform.python_version()} · "
        f"seed {seed} · budget {_budget()}"
    )
    return seed


def budget(fast: Value, full: Value) -> Value:
    """Return `fast` by default, `full` if `$KERASAE_BUDGET` is "full".

    Args:
        fast: Value for a lecture: seconds.
        full: Value for a patient reader: minutes.

    Returns:
        One of the two.
    """
    return full if _budget() == "full" else fast


def claim(name: str, text: str, holds: bool, **evidence: Any) -> None:
    """Print `[PASS]` and the claim, or raise with the evidence against it.

    No measured number is printed, because the line must be the same in every run. Show numbers in a
    `table` beside it.

    Args:
        name: Identifier of the claim, for instance `"01.3"`.
        text: The claim, one sentence.
        holds: True if the claim is true.
        evidence: Measured values by name; shown if the claim is false, and appended to the file
            `$KERASAE_EVIDENCE`, if that is set, to calibrate margins over many runs.

    Raises:
        AssertionError: If the claim is false.
    """
    if not isinstance(holds, (bool, np.bool_)):
        raise TypeError(f"claim {name}: `holds` is {holds!r}, expected True or False.")
    _record(name, bool(holds), evidence)
    if not holds:
        measured = ", ".join(f"{key} = {_short(value)}" for key, value in evidence.items())
        raise AssertionError(f"[FAIL] {name} {text} ({measured or 'no evidence given'})")
    print(f"[PASS] {name} {text}")


def table(rows: Sequence[Mapping[str, Any]], caption: str = "") -> None:
    """Show measured numbers as a table; a row is a mapping from column to value.

    Args:
        rows: Rows of the table; the keys of the first one are the columns.
        caption: Line above the table.
    """
    columns = list(rows[0])

    def line(cells: Iterable[str]) -> str:
        return f"| {' | '.join(cell.replace('|', '∣') for cell in cells)} |"  # a bar ends a cell

    lines = [
        line(columns),
        f"|{'|'.join(':--' if isinstance(rows[0][c], str) else '--:' for c in columns)}|",
        *(line(_short(row[c]) for c in columns) for row in rows),
    ]
    display(Markdown("\n".join(([f"**{caption}**", ""] if caption else []) + lines)))


def halved(images: np.ndarray) -> np.ndarray:
    """Return images of half the side, `(n, height, width, channels)`: means of 2 × 2 blocks.

    Example:

    >>> halved(np.ones((3, 28, 28, 1))).shape
    (3, 14, 14, 1)
    """
    count, height, width, channels = images.shape
    return images.reshape(count, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))


def explore(draw: Callable[..., Figure], **values: Sequence[Any]) -> Any:
    """Show a picture with a slider for each of its arguments, or a still one.

    Sliders need `ipywidgets`. Without it, or with `$KERASAE_STILL` set, as in stored notebooks,
    the picture at the last value of each slider is shown.

    Args:
        draw: A function that returns the figure for one value of each argument.
        values: Values of each slider by the argument's name.

    Returns:
        The still picture; `None` if sliders are shown.
    """
    widgets = None if os.environ.get("KERASAE_STILL") else _widgets()
    if widgets is None:
        return draw(**{name: steps[-1] for name, steps in values.items()})
    sliders = {
        name: widgets.SelectionSlider(options=list(steps), value=steps[-1])
        for name, steps in values.items()
    }
    widgets.interact(lambda **chosen: display(draw(**chosen)), **sliders)
    return None


def _widgets() -> Any:
    try:
        import ipywidgets
    except ImportError:
        return None
    return ipywidgets


def _budget() -> str:
    name = os.environ.get("KERASAE_BUDGET", "fast")
    if name not in ("fast", "full"):
        raise ValueError(f"`$KERASAE_BUDGET` is {name!r}, expected 'fast' or 'full'.")
    return name


def _short(value: Any) -> str:
    if isinstance(value, (float, np.floating)):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple, np.ndarray)):
        return "[" + ", ".join(_short(item) for item in value) + "]"
    return str(value)


def _record(name: str, holds: bool, evidence: Mapping[str, Any]) -> None:
    path = os.environ.get("KERASAE_EVIDENCE")
    if not path:
        return
    line = {
        "claim": name,
        "backend": keras.backend.backend(),
        "seed": _seed,
        "holds": holds,
        **{key: np.asarray(value).tolist() for key, value in evidence.items()},
    }
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
