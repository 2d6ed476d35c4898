"""A reproduction: a published number, and the work that finds it with our own models.

run     reproduction → numbers, curves and a picture in a folder; resumable
card    the folder of a reproduction → a page with both numbers
"""

import inspect
import io
import json
import shutil
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasae import checks, datasets, files, plots, presets
from kerasae.datasets import Split
from kerasae.training.resume import resumable_fit
from kerasae.zoo.recipe import Stopwatch, title_of

SHIPPED = Path(__file__).parent / "reproduced"
CARD, PICTURE, CURVES = "README.md", "picture.png", "curves.png"
MARKS = {
    "seen": "seen in the primary source",
    "quoted": "quoted second-hand",
    "memory": "from memory, not looked up",
    "computed": "computed from the data",
    "theory": "a theorem",
}
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


@dataclass(frozen=True)
class Published:
    """A published number, and the condition under which ours agrees with it.

    Args:
        value: Published number.
        mark: Kind of evidence for it, one of `MARKS`.
        within: Greatest difference of ours; `None` if it is a bound or only for comparison.
        at_most: Upper bound of ours, if the number is one to be reached.
        note: Note for the comparison of the two.
    """

    value: float
    mark: str = "seen"
    within: float | None = None
    at_most: float | None = None
    note: str = ""

    def agrees(self, ours: float) -> bool:
        """Return whether a number of ours agrees with this one."""
        limit = np.inf if self.at_most is None else self.at_most
        return ours <= limit and (self.within is None or abs(ours - self.value) <= self.within)


@dataclass
class Work:
    """The data and settings of a reproduction, and its results.

    Args:
        train: Training split of MNIST, `None` if it is not needed.
        test: Test split of MNIST, `None` if it is not needed.
        seed: Seed of weights, order and noise.
        fast: If True, a first idea is enough.
        folder: Folder for the state of the training.
        verbose: As in `fit`.
    """

    train: Split | None
    test: Split | None
    seed: int
    fast: bool
    folder: Path
    verbose: Any
    histories: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    picture: Any = None
    seconds: float = 0.0

    def amount(self, fast: int, full: int) -> int:
        """Return `fast` or `full`, by the budget."""
        return fast if self.fast else full

    def fit(
        self,
        name: str,
        build: Callable[[], Any],
        x: Any,
        y: Any = None,
        train: Callable[..., Any] = resumable_fit,
        **options,
    ) -> Any:
        """Build a model from the seed and train it; resume an interrupted training.

        Args:
            name: Name of the training and its curve, a different one for each.
            build: Function that makes and compiles the model.
            x: Examples.
            y: Targets.
            train: Function with the arguments of `resumable_fit` that trains, and returns the
                history.
            options: Options of `train`.
        """
        keras.utils.set_random_seed(self.seed)
        model, folder = build(), self.folder / name
        watch = Stopwatch()
        history = train(
            model,
            x,
            y,
            seed=self.seed,
            folder=folder,
            callbacks=[watch, *options.pop("callbacks", ())],
            verbose=self.verbose,
            **options,
        ).history
        self.seconds += watch.seconds
        if "loss" in history:
            self.histories[name] = history
        else:  # training in phases: a curve for each
            for key in history:
                if key.endswith("_loss"):
                    phase = key.removesuffix("_loss").replace("_", " ")
                    self.histories[f"{name}, {phase}"] = {"loss": history[key]}
        return model


@dataclass(frozen=True)
class Reproduction:
    """The reproduction of published numbers.

    Args:
        work: Function that does the training and returns numbers by name.
        source: Publication of the numbers.
        setting: Data, split, meaning of grey values, estimator.
        published: Published numbers by name.
        trend: Function that returns whether our numbers show the trend of the source.
        needs_mnist: If True, it needs the real MNIST.
        trend_only: If True, the setting is smaller than the source's, so numbers do not compare.
        fell_short: Reason why numbers were not reached, for the card.
    """

    work: Callable[[Work], dict[str, float]]
    source: str
    setting: str
    published: Mapping[str, Published]
    trend: Callable[[Mapping[str, float]], bool]
    needs_mnist: bool = True
    trend_only: bool = False
    fell_short: str = ""

    @property
    def name(self) -> str:
        """Return the name of the function that does the work."""
        return self.work.__name__

    @property
    def title(self) -> str:
        """Return the first line of the function's docstring."""
        return title_of(self.work)

    @property
    def story(self) -> str:
        """Return the rest of the function's docstring."""
        return "\n".join(inspect.getdoc(self.work).splitlines()[2:])

    def verdict(self, runs: list[dict[str, Any]]) -> str:
        """Return the result of runs: `reproduced`, `trend reproduced` or `fell short`."""
        numbers = [entry["numbers"] for entry in runs]
        if not all(self.trend(each) for each in numbers):
            return "fell short"
        agree = all(
            said.agrees(each[name]) for each in numbers for name, said in self.published.items()
        )
        full = not self.trend_only and all(entry["budget"] == "full" for entry in runs)
        return "reproduced" if agree and full else "trend reproduced"


def run(
    reproduction: Reproduction,
    folder: Path,
    budget: str = "full",
    seed: int = 0,
    verbose: Any = "auto",
) -> dict[str, Any]:
    """Run a reproduction on the current backend and add it to the folder of its runs.

    A call with the same arguments resumes an interrupted run after its last epoch.

    Args:
        reproduction: One of `kerasae.zoo.reproductions.REPRODUCTIONS`.
        folder: Folder of its runs, its pictures and its card.
        budget: Either `"full"` or `"fast"`.
        seed: Seed of the weights, the order and the noise.
        verbose: As in `fit`.

    Returns:
        The entry of this run.
    """
    checks.one_of("budget", budget, ("full", "fast"))
    checks.positive("seed", seed, least=0)
    folder = Path(folder)
    with files.lock(file_of_run(folder, budget, seed)):
        return _run(reproduction, folder, budget, seed, verbose)


def _run(
    reproduction: Reproduction, folder: Path, budget: str, seed: int, verbose: Any
) -> dict[str, Any]:
    """Do the work of `run` in a folder that no other such run writes to."""
    train, test = datasets.load("mnist") if reproduction.needs_mnist else (None, None)
    state = _state_of_run(folder, budget, seed)
    work = Work(train, test, seed, budget == "fast", state, verbose)
    begun = time.monotonic()
    numbers = reproduction.work(work)
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
    pictures = {folder / PICTURE: _drawn(work.picture), folder / CURVES: _drawn(curves)}
    # Runs with other seeds may end at the same time: their cards are written one after the other.
    with files.lock(folder / CARD, wait=60):
        for path, picture in pictures.items():
            files.sweep(path)
            files.write(path, picture)
        path = file_of_run(folder, budget, seed)
        files.write(folder / CARD, card(reproduction, folder, {path: entry}))
        # The numbers are written last, because a run is done when they are there.
        files.write(path, json.dumps(entry, indent=2) + "\n")
    if state.exists():  # not if nothing was trained
        shutil.rmtree(state)
    return entry


def _drawn(picture: Any) -> bytes:
    """Return a picture as the bytes of a file."""
    drawn = io.BytesIO()
    picture.savefig(drawn, format="png", dpi=90)
    return drawn.getvalue()


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
        folder: Folder of the reproduction's runs.
        budget: Either `"full"` or `"fast"`.
        seed: As in `run`.
    """
    entry = _entry(file_of_run(folder, budget, seed))
    return entry is not None and not _state_of_run(folder, budget, seed).exists()


def runs(folder: Path, new: Mapping[Path, dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    """Return the entries of the full runs, or of the fast ones if there is no full one.

    Args:
        folder: Folder of the runs.
        new: Entries of runs that are not written yet, by path.
    """
    found = dict(new or {})
    for path in folder.glob("*-*-*.json"):
        if path in found:
            continue
        entry = _entry(path)
        if entry is not None:
            found[path] = entry
        else:
            warnings.warn(
                f"`{path}` is broken, expected the numbers of a run: the run is left out; delete "
                "the file, or do that run again.",
                stacklevel=2,
            )
    entries = [found[path] for path in sorted(found)]
    return [entry for entry in entries if entry["budget"] == "full"] or entries


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


def card(
    reproduction: Reproduction, folder: Path, new: Mapping[Path, dict[str, Any]] | None = None
) -> str:
    """Return the page of a reproduction: both numbers, every run, and the story.

    Args:
        reproduction: The reproduction.
        folder: Folder of its runs.
        new: As in `runs`.
    """
    entries = runs(folder, new)
    lines = [
        f"# {reproduction.title}",
        "",
        f"**{reproduction.verdict(entries).capitalize()}.** {reproduction.setting}",
        "",
        "| number | published | known as | ours, median | least to largest | runs |",
        "|---|--:|---|--:|--:|--:|",
    ]
    for name in entries[0]["numbers"]:
        ours = [entry["numbers"][name] for entry in entries]
        said = reproduction.published.get(name)
        theirs = "– | ours alone"
        if said:
            theirs = f"{said.value:.5g} | {MARKS[said.mark]}{said.note and '; ' + said.note}"
        lines.append(
            f"| {name} | {theirs} | {np.median(ours):.5g} "
            f"| {min(ours):.5g} to {max(ours):.5g} | {len(ours)} |"
        )
    lines += ["", f"Published in: {reproduction.source}.", ""]
    if reproduction.story:
        lines += [reproduction.story, ""]
    if reproduction.fell_short:
        lines += [f"**Where it falls short.** {reproduction.fell_short}", ""]
    lines += ["| backend | seed | budget | epochs | seconds |", "|---|--:|---|---|--:|"]
    for entry in entries:
        counts = sorted(set(entry["epochs"].values()))
        lines.append(
            f"| {entry['backend']} {entry['version']}, Keras {entry['keras']} | {entry['seed']} "
            f"| {entry['budget']} | {', '.join(map(str, counts)) or '–'} | {entry['seconds']:.0f} |"
        )
    lines += ["", "```bash", f"python -m kerasae reproduce {reproduction.name}", "```", ""]
    for picture in (PICTURE, CURVES):
        lines += [f"![{reproduction.title}]({picture})", ""]
    return "\n".join(lines)


def table(reproductions: Mapping[str, Reproduction], folder: Path = SHIPPED) -> str:
    """Return the table of all reproductions that were run: published numbers beside ours.

    Args:
        reproductions: Reproductions by name.
        folder: Folder that contains theirs.
    """
    lines = ["| result | number | published | ours | |", "|---|---|--:|--:|---|"]
    for name, reproduction in reproductions.items():
        entries = runs(folder / name)
        verdict = reproduction.verdict(entries) if entries else ""
        link = f"[{reproduction.title}]({folder.name}/{name}/{CARD})"
        for key, said in reproduction.published.items() if entries else ():
            ours = np.median([entry["numbers"][key] for entry in entries])
            lines.append(f"| {link} | {key} | {said.value:.5g} | {ours:.5g} | {verdict} |")
            link = verdict = ""
    return "\n".join(lines)
