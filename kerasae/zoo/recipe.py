"""A recipe: data, and a function that builds and compiles a model; how to train and measure it.

train       recipe → model → preset with its card; resumable
evaluate    preset → the numbers of its card, measured again
"""

import inspect
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from kerasae import checks, datasets, files, presets
from kerasae.datasets import Split
from kerasae.datasets.load import REAL
from kerasae.training.resume import resumable_fit
from kerasae.zoo import catalogue, measures
from kerasae.zoo.catalogue import Measured

Model = Any
EQUAL = 0.01  # greatest difference of outputs with float16 and with float32 weights


class Budget(NamedTuple):
    """The amount of training."""

    images: int
    epochs: int


FAST = Budget(6000, 4)


class Inputs(NamedTuple):
    """The arguments of `fit` and `evaluate`."""

    x: Any
    y: Any = None


def images(data: Split) -> Inputs:
    """Return the images alone."""
    return Inputs(data.x)


def title_of(function: Callable) -> str:
    """Return the first line of a function's docstring, as a title."""
    if function.__doc__ is None:
        raise ValueError(
            f"`{function.__name__}` has no docstring to take a title from, expected one, and "
            "Python without `-OO`, which takes docstrings out."
        )
    return inspect.getdoc(function).splitlines()[0].rstrip(".")


@dataclass(frozen=True)
class Recipe:
    """A recipe for presets of one kind.

    Args:
        build: Function that returns a compiled model for the training data and the number of
            steps. Its name is the recipe's; the first line of its docstring is the title.
        paper: Publication of the model.
        measures: Functions of the model and the test data by name; the first is the headline.
        pictures: Functions of the model and the test data by name.
        full: Amount of training for a preset of the zoo.
        fast: Amount of training for a first idea, in about a minute.
        data: Name of the data set; `"digits"` stands for any set of digits.
        size: Side of the images, if the set has several.
        inputs: Function that returns the inputs of the model for a split.
        validation: Function that returns the inputs for validation; by default `inputs`.
        fit: Function that trains the model, with the arguments of `resumable_fit`.
        batch_size: Number of images in a batch.
    """

    build: Callable[[Split, int], Model]
    paper: str
    measures: Mapping[str, Callable[[Model, Split], Measured]]
    pictures: Mapping[str, Callable[[Model, Split], Any]]
    full: Budget
    fast: Budget = FAST
    data: str = "digits"
    size: int | None = None
    inputs: Callable[[Split], Inputs] = images
    validation: Callable[[Split], Inputs] | None = None
    fit: Callable[..., keras.callbacks.History] = resumable_fit
    batch_size: int = 128

    @property
    def name(self) -> str:
        """Return the name of the function that builds the model."""
        return self.build.__name__

    @property
    def title(self) -> str:
        """Return the first line of the function's docstring."""
        return title_of(self.build)

    @property
    def embedded(self) -> str:
        """Return the name of the data set that is always available."""
        return "strokes" if self.data == "digits" else self.data

    def load(self, dataset: str, train: int | None = None) -> tuple[Split, Split]:
        """Load the training and the test data; for the full budget, all of a real set."""
        count = None if dataset in REAL and train == self.full.images else train
        return datasets.load(dataset, train=count, size=self.size)

    def asked(self, test: Split) -> Inputs:
        """Return the inputs for validation and for `outputs`."""
        return (self.validation or self.inputs)(test)


class Stopwatch(keras.callbacks.Callback):
    """Callback that counts seconds of training; the checkpoint keeps them when a run is resumed."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds += time.monotonic() - self.started


def train(
    recipe: Recipe,
    dataset: str,
    folder: Path,
    budget: str = "full",
    seed: int = 0,
    verbose: Any = "auto",
) -> catalogue.Preset:
    """Train a recipe and write a preset with its card.

    A call with the same arguments resumes an interrupted run after its last epoch. The checkpoints
    lie beside the preset's folder until that is written.

    Args:
        recipe: One of `kerasae.zoo.recipes.RECIPES`.
        dataset: Name of the data set to train on.
        folder: New folder of the preset; its name is the preset's. One run at a time can write it.
        budget: Either `"full"` or `"fast"`.
        seed: Seed of the weights, the order and the noise.
        verbose: As in `fit`.

    Returns:
        The entry of the preset, as in the catalogue.
    """
    checks.one_of("budget", budget, ("full", "fast"))
    checks.positive("seed", seed, least=0)
    folder = Path(folder)
    state = folder.with_name(f".{folder.name}-{budget}-{seed}")
    with files.lock(folder):
        if not folder.exists():
            _train(recipe, dataset, folder, state, budget, seed, verbose)
        elif not (state.exists() and _is_of(folder, recipe, dataset, budget, seed)):
            raise ValueError(
                f"`{folder}` exists, expected a new folder: delete it, or choose another one."
            )
        shutil.rmtree(state)  # also that of a run which was killed when all else was done
    return catalogue.preset(folder)


def _train(
    recipe: Recipe,
    dataset: str,
    folder: Path,
    state: Path,
    budget: str,
    seed: int,
    verbose: Any,
) -> None:
    """Write a preset and its card to a folder, with checkpoints in `state` meanwhile."""
    from kerasae.zoo import card  # here, because it needs matplotlib

    amount = getattr(recipe, budget)
    state.mkdir(parents=True, exist_ok=True)
    training, test = recipe.load(dataset, amount.images)
    keras.utils.set_random_seed(seed)
    steps = amount.epochs * math.ceil(len(training) / recipe.batch_size)
    model = recipe.build(training, steps)
    inputs, validation = recipe.inputs(training), recipe.asked(test)
    watch = Stopwatch()
    history = recipe.fit(
        model,
        *inputs,
        epochs=amount.epochs,
        batch_size=recipe.batch_size,
        seed=seed,
        folder=state,
        validation_data=tuple(validation),
        callbacks=[watch],
        verbose=verbose,
    )
    about = {
        "name": folder.name,
        "title": recipe.title,
        "model": type(model).__name__,
        "dataset": dataset,
        "recipe": recipe.name,
        "paper": recipe.paper,
        "backend": keras.backend.backend(),
        "versions": {
            "kerasae": version("kerasae"),
            "keras": keras.version(),
            keras.backend.backend(): presets.backend_version(),
        },
        "seed": seed,
        "budget": budget,
        "images": len(training),
        "epochs": amount.epochs,
        "seconds": round(watch.seconds, 1),
    }
    finished = state / "preset"  # written and measured there, then moved: whole or not at all
    shutil.rmtree(finished, ignore_errors=True)
    loaded = _saved(model, recipe, finished)
    measured = {name: measure(loaded, test)._asdict() for name, measure in recipe.measures.items()}
    about |= {"measures": measured, "outputs": outputs(recipe, loaded)}
    known = presets.metadata(finished) | about
    files.write(finished / presets.METADATA, json.dumps(known, indent=2))
    card.write(finished, recipe, loaded, test, history.history)
    os.replace(finished, folder)


def _is_of(folder: Path, recipe: Recipe, dataset: str, budget: str, seed: int) -> bool:
    """Return whether a run with these arguments has written a preset."""
    try:
        found = presets.metadata(folder)
    except (FileNotFoundError, ValueError):
        return False
    asked = {
        "recipe": recipe.name,
        "dataset": dataset,
        "budget": budget,
        "seed": seed,
        "backend": keras.backend.backend(),
    }
    return all(found.get(key) == value for key, value in asked.items())


def evaluate(name: str | Path, recipe: Recipe, dataset: str) -> dict[str, tuple[Measured, bool]]:
    """Measure a preset again.

    Args:
        name: Name or folder of the preset.
        recipe: Recipe of the preset.
        dataset: Name of the data set to measure on; its card holds for that of the training.

    Returns:
        For each measure by name, the number, and whether it agrees with the card.
    """
    folder = presets.find(name)
    said = catalogue.preset(folder).measures
    model, test = presets.load(keras.Model, folder), recipe.load(dataset, train=1)[1]
    found = {}
    for key, measure in recipe.measures.items():
        measured = measure(model, test)
        found[key] = measured, abs(measured.value - said[key].value) <= said[key].tolerance
    return found


def outputs(recipe: Recipe, model: Model) -> list[float]:
    """Return sixteen numbers of a model's output for embedded images, equal on every backend."""
    if hasattr(model, "generate"):
        x = measures.drawn(model, 4)
    else:
        test = datasets.load(recipe.embedded, train=1, test=4, size=recipe.size)[1]
        x = model.reconstruct(recipe.asked(test).x)
    flat = np.asarray(x, "float64").reshape(-1)
    # Spread over the images by a step that shares no factor with their sides.
    places = (np.arange(16) * 7919 + len(flat) // 3) % len(flat)
    return [round(value, 6) for value in flat[places].tolist()]


def _saved(model: Model, recipe: Recipe, folder: Path) -> Model:
    """Write the preset in float16 if that keeps its outputs, else in float32, and read it."""
    presets.save(model, folder, dtype="float16")
    loaded = presets.load(keras.Model, folder)
    pair = outputs(recipe, model), outputs(recipe, loaded)
    if np.abs(np.subtract(*pair)).max() > EQUAL:
        presets.save(model, folder)
        loaded = presets.load(keras.Model, folder)
    return loaded
