"""The runs of published results: numbers, curves and a picture in a folder; resumable."""

import io
import json
import shutil
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from kerasae import checks, datasets, plots, presets
from kerasae.storage import files
from kerasae.zoo.published import pages
from kerasae.zoo.published.result import Result, Work

SHIPPED = Path(__file__).parent / "results"
PARTS = {  # of the entry of a run
    "backend": str,
    "version": str,
    "keras": str,
    "seed": int,
    "budget": str,
    "epochs": dict,
    "seconds": (int, float),
    "numbers": dict,
}


def run(
    result: Result,
    folder: Path,
    budget: str = "full",
    seed: int = 0,
    verbose: Any = "auto",
) -> dict[str, Any]:
    """Reproduce a published result on the current backend and add the run to its folder.

    A call with the same arguments resumes an interrupted run after its last epoch.

    Args:
        result: One of `kerasae.zoo.published.RESULTS`.
        folder: Folder of its runs, its pictures and its card.
        budget: Either `"full"` or `"fast"`.
        seed: Seed of the weights, the order and the noise.
        verbose: As in `fit`.

    Returns:
        The entry of this run.
    """
    checks.one_of("budget", budget, ("full", "fast"))
    checks.whole_number("seed", seed, least=0)
    folder = Path(folder)
    with files.lock(file_of_run(folder, budget, seed)):
        return _run(result, folder, budget, seed, verbose)


def _run(result: Result, folder: Path, budget: str, seed: int, verbose: Any) -> dict[str, Any]:
    """Do the work of `run` in a folder that no other such run writes to."""
    train, test = datasets.load("mnist") if result.needs_mnist else (None, None)
    state = _state_of_run(folder, budget, seed)
    work = Work(train, test, seed, budget == "fast", state, verbose)
    begun = time.monotonic()
    numbers = result.work(work)
    elsewhere = time.monotonic() - begun  # of this call; `work.seconds` includes earlier calls
    entry = {
        "backend": keras.backend.backend(),
        "version": presets.backend_version(),
        "keras": keras.version(),
        "seed": seed,
        "budget": budget,
        "epochs": {name: len(history["loss"]) for name, history in work.histories.items()},
        "seconds": round(max(work.seconds, elsewhere), 1),
        "numbers": {name: float(value) for name, value in numbers.items()},
    }
    losses = {name: history["loss"] for name, history in work.histories.items()}
    lengths = [len(loss) for loss in losses.values()] or [1]
    log = "xy" if max(lengths) > 10 * min(lengths) else "y"  # else the short ones are not seen
    curves = plots.curves(losses, "epoch", "loss", title="Training", log=log, width=7.5)
    if len(losses) > 1:  # beside the lines, which can be anywhere
        curves.axes[0].legend(loc="upper left", bbox_to_anchor=(1, 1))
    pictures = {folder / pages.PICTURE: _drawn(work.picture), folder / pages.CURVES: _drawn(curves)}
    # Runs with other seeds may end at the same time: their cards are written one after the other.
    with files.lock(folder / pages.CARD, wait=60):
        for path, picture in pictures.items():
            files.sweep(path)
            files.write(path, picture)
        path = file_of_run(folder, budget, seed)
        files.write(folder / pages.CARD, pages.card(result, entries(folder, {path: entry})))
        # The numbers are written last, because a run is done when they are there.
        files.write(path, json.dumps(entry, indent=2) + "\n")
    if state.exists():  # not if nothing was trained
        shutil.rmtree(state)
    return entry


def _drawn(picture: Any) -> bytes:
    """Return a picture as the bytes of a file."""
    file = io.BytesIO()
    picture.savefig(file, format="png", dpi=90)
    return file.getvalue()


def file_of_run(folder: Path, budget: str, seed: int) -> Path:
    """Return the file of a run on the current backend."""
    return folder / f"{keras.backend.backend()}-{budget}-{seed}.json"


def _state_of_run(folder: Path, budget: str, seed: int) -> Path:
    """Return the folder for the checkpoints of a run on the current backend."""
    return folder / f".{file_of_run(folder, budget, seed).stem}"


def is_done(folder: Path, budget: str, seed: int) -> bool:
    """Return whether a run on the current backend has ended, with all its numbers written.

    A run that was interrupted, or whose file cannot be read, is not done: `run` does it again.

    Args:
        folder: Folder of the result's runs.
        budget: Either `"full"` or `"fast"`.
        seed: As in `run`.
    """
    entry = _entry(file_of_run(folder, budget, seed))
    return entry is not None and not _state_of_run(folder, budget, seed).exists()


def entries(folder: Path, new: Mapping[Path, dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    """Return the entries of the full runs, or of the fast ones if there is no full one.

    Args:
        folder: Folder of the runs.
        new: Entries of runs that are not written yet, by path.
    """
    by_path = dict(new or {})
    for path in folder.glob("*-*-*.json"):
        if path in by_path:
            continue
        entry = _entry(path)
        if entry is not None:
            by_path[path] = entry
        else:
            warnings.warn(
                f"`{path}` is broken, expected the numbers of a run: the run is left out; delete "
                "the file, or do that run again.",
                stacklevel=2,
            )
    every = [by_path[path] for path in sorted(by_path)]
    return [entry for entry in every if entry["budget"] == "full"] or every


def _entry(path: Path) -> dict[str, Any] | None:
    """Return the entry of a run in a file, or `None` if there is no file or it is not whole."""
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(entry, dict) and all(
        isinstance(entry.get(part), kind) for part, kind in PARTS.items()
    )
    return entry if whole else None
