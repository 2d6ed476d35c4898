"""What every notebook of the course needs: a setup, a budget, claims and tables.

A claim is a sentence of the slides made executable. It prints one fixed line, which is
compared with the stored one, and raises with its evidence where the sentence is false.
"""

import json
import logging
import os
import platform
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import keras
import numpy as np
from IPython import get_ipython
from IPython.display import Markdown, display

from kerasae import __version__, plots, presets

Value = TypeVar("Value")
_seed = 0  # what `setup` chose, and `claim` writes beside the evidence


def setup(seed: int | None = None) -> int:
    """Seeds everything, sets the course's plot style and prints the versions in use.

    Args:
        seed: The seed; by default `$KERASAE_SEED`, or 0.

    Returns:
        The seed, for what the notebook draws with NumPy.
    """
    global _seed
    _seed = seed = int(os.environ.get("KERASAE_SEED", "0")) if seed is None else seed
    keras.utils.set_random_seed(seed)
    if shell := get_ipython():
        shell.run_line_magic("matplotlib", "inline")  # a figure on a cell's last line is shown
    plots.use_style()
    # It warns, on the page, wherever several models predict one after the other.
    logging.getLogger("tensorflow").setLevel("ERROR")
    print(
        f"kerasae {__version__} · Keras {keras.version()} on {keras.backend.backend()} "
        f"{presets.backend_version()} · Python {platform.python_version()} · "
        f"seed {seed} · budget {_budget()}"
    )
    return seed


def budget(fast: Value, full: Value) -> Value:
    """`fast` by default, `full` where `$KERASAE_BUDGET` says so.

    Args:
        fast: What fits a lecture: seconds.
        full: What a patient reader runs: minutes.

    Returns:
        One of the two.
    """
    return full if _budget() == "full" else fast


def claim(name: str, text: str, holds: bool, **evidence: Any) -> None:
    """Prints `[PASS]` and the claim, or raises with the evidence against it.

    No measured number is printed: the line must be the same in every run. Show numbers in a
    `table` beside it.

    Args:
        name: The claim's id, for instance `"01.3"`.
        text: The claim, one sentence.
        holds: Whether it is true.
        evidence: What was measured, by name; shown where the claim is false, and appended to
            the file `$KERASAE_EVIDENCE`, if that is set, to calibrate margins over many runs.

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
    """Shows measured numbers as a table, one row a mapping from column to value.

    Args:
        rows: The rows; the first one's keys are the columns.
        caption: One line above the table.
    """
    columns = list(rows[0])
    lines = [
        f"| {' | '.join(columns)} |",
        f"|{'|'.join(':--' if isinstance(rows[0][c], str) else '--:' for c in columns)}|",
        *(f"| {' | '.join(_short(row[c]) for c in columns)} |" for row in rows),
    ]
    display(Markdown("\n".join(([f"**{caption}**", ""] if caption else []) + lines)))


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
