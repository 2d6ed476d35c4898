"""A published result: its numbers, and the work that reproduces them with our own models.

`RESULTS` holds all by name; the decorator `result` makes one of a function.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kerasae import checks
from kerasae.datasets import Split
from kerasae.training.resume import resumable_fit
from kerasae.zoo.training import fit_from_seed, title_of

MARKS = {
    "seen": "seen in the source",
    "quoted": "quoted by {by}",
    "memory": "from memory",
    "computed": "computed",
    "theory": "theorem",
}


@dataclass(frozen=True)
class Published:
    """A published number, and the condition under which ours agrees with it.

    Args:
        value: Published number, or one that a theorem or a computation expects.
        mark: Kind of evidence for it, one of `MARKS`.
        within: Greatest difference of ours; `None` if it is a bound or only for comparison.
        at_most: Upper bound of ours, if the number is one to be reached.
        note: Note for the comparison of the two.
        by: Source that quotes the number, if its mark is `"quoted"`.
    """

    value: float
    mark: str
    within: float | None = None
    at_most: float | None = None
    note: str = ""
    by: str = ""

    def __post_init__(self) -> None:
        checks.one_of("mark", self.mark, tuple(MARKS))
        if (self.mark == "quoted") != bool(self.by):
            raise ValueError(f"`by` is {self.by!r}, expected the source that quotes a number.")

    @property
    def known(self) -> str:
        """Return how the number is known, for a table."""
        return MARKS[self.mark].format(by=self.by)

    @property
    def kind(self) -> str:
        """Return `"published"`, or `"expected"` if it is computed or follows from a theorem."""
        return "expected" if self.mark in ("computed", "theory") else "published"

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
        model, history, seconds = fit_from_seed(
            build,
            train,
            (x, y),
            seed=self.seed,
            folder=self.folder / name,
            verbose=self.verbose,
            **options,
        )
        self.seconds += seconds
        if "loss" in history:
            self.histories[name] = history
        else:  # training in phases: a curve for each
            for key in history:
                if key.endswith("_loss"):
                    phase = key.removesuffix("_loss").replace("_", " ")
                    self.histories[f"{name}, {phase}"] = {"loss": history[key]}
        return model


@dataclass(frozen=True)
class Result:
    """A published result, and the work that reproduces it.

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

    @property
    def kind(self) -> str:
        """Return the kind of its numbers, `"published"` or `"expected"`."""
        return next((number.kind for number in self.published.values()), "published")

    def verdict(self, runs: list[dict[str, Any]]) -> str:
        """Return the result of runs: `reproduced`, `trend reproduced` or `fell short`."""
        numbers = [entry["numbers"] for entry in runs]
        if not all(self.trend(each) for each in numbers):
            return "fell short"
        agree = all(
            number.agrees(each[name]) for each in numbers for name, number in self.published.items()
        )
        full = not self.trend_only and all(entry["budget"] == "full" for entry in runs)
        return "reproduced" if agree and full else "trend reproduced"


RESULTS: dict[str, Result] = {}

Function = Callable[[Work], dict[str, float]]


def result(**data) -> Callable[[Function], Function]:
    """Make a published result of a function that does the work, and of its data."""

    def decorated(work):
        RESULTS[work.__name__] = Result(work, **data)
        return work

    return decorated


def find(name: str) -> Result:
    """Return a published result by its name.

    Args:
        name: One of `RESULTS`.

    Raises:
        ValueError: If there is none of this name.
    """
    if name not in RESULTS:
        raise ValueError(f"`{name}` is no reproduction, expected one of: {list(RESULTS)}.")
    return RESULTS[name]
