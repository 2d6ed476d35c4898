"""A recipe: data, and a function that builds and compiles a model; how to train and measure it.

train       recipe → preset, and what its card needs; resumable
evaluate    preset → the numbers of its card, measured again
"""

import inspect
import math
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from kerasae import datasets, presets
from kerasae.datasets import Split
from kerasae.datasets.load import REAL
from kerasae.storage import manifest
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

    def validation_inputs(self, test: Split) -> Inputs:
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


class Trained(NamedTuple):
    """A trained preset, and what its card needs."""

    folder: Path
    recipe: Recipe
    model: Model  # as it is read from the folder
    test: Split
    history: dict[str, list]


def fit_from_seed(
    build: Callable[[], Model],
    train: Callable[..., keras.callbacks.History],
    inputs: tuple[Any, Any],
    *,
    seed: int,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    **options,
) -> tuple[Model, dict[str, list], float]:
    """Build a model from the seed and train it.

    Args:
        build: Function that makes and compiles the model.
        train: Function with the arguments of `resumable_fit` that trains it.
        inputs: Examples and targets.
        seed: Seed of the weights, the order and the noise.
        callbacks: Callbacks of the training.
        options: Options of `train`.

    Returns:
        The model, the history, and the seconds of training, those of interrupted runs included.
    """
    keras.utils.set_random_seed(seed)
    model, watch = build(), Stopwatch()
    history = train(model, *inputs, seed=seed, callbacks=[watch, *callbacks], **options).history
    return model, history, watch.seconds


def train(
    recipe: Recipe, dataset: str, name: str, state: Path, budget: str, seed: int, verbose: Any
) -> Trained:
    """Train a recipe, and write and measure a preset.

    A call with the same arguments resumes an interrupted run after its last epoch.

    Args:
        recipe: One of `kerasae.zoo.recipes.RECIPES`.
        dataset: Name of the data set to train on.
        name: Name of the preset.
        state: Folder for the checkpoints, and for the preset, which has no card yet.
        budget: Either `"full"` or `"fast"`.
        seed: Seed of the weights, the order and the noise.
        verbose: As in `fit`.
    """
    amount = getattr(recipe, budget)
    state.mkdir(parents=True, exist_ok=True)
    training, test = recipe.load(dataset, amount.images)
    steps = amount.epochs * math.ceil(len(training) / recipe.batch_size)
    model, history, seconds = fit_from_seed(
        lambda: recipe.build(training, steps),
        recipe.fit,
        recipe.inputs(training),
        seed=seed,
        epochs=amount.epochs,
        batch_size=recipe.batch_size,
        folder=state,
        validation_data=tuple(recipe.validation_inputs(test)),
        verbose=verbose,
    )
    folder = state / "preset"
    shutil.rmtree(folder, ignore_errors=True)
    loaded = _saved(model, recipe, folder)
    measured = {key: measure(loaded, test)._asdict() for key, measure in recipe.measures.items()}
    about = presets.metadata(folder) | {
        "name": name,
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
        "seconds": round(seconds, 1),
        "measures": measured,
        "outputs": outputs(recipe, loaded),
    }
    manifest.write(folder, about)
    return Trained(folder, recipe, loaded, test, history)


def is_of(folder: Path, recipe: Recipe, dataset: str, budget: str, seed: int) -> bool:
    """Return whether a run with these arguments has written the preset of a folder."""
    try:
        about = presets.metadata(folder)
    except (FileNotFoundError, ValueError):
        return False
    expected = {
        "recipe": recipe.name,
        "dataset": dataset,
        "budget": budget,
        "seed": seed,
        "backend": keras.backend.backend(),
    }
    return all(about.get(key) == value for key, value in expected.items())


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
    on_card = catalogue.preset(folder).measures
    model, test = presets.load(keras.Model, folder), recipe.load(dataset, train=1)[1]
    results = {}
    for key, measure in recipe.measures.items():
        measured = measure(model, test)
        results[key] = measured, abs(measured.value - on_card[key].value) <= on_card[key].tolerance
    return results


def outputs(recipe: Recipe, model: Model) -> list[float]:
    """Return sixteen numbers of a model's output for embedded images, equal on every backend."""
    if hasattr(model, "generate"):
        x = measures.drawn(model, 4)
    else:
        test = datasets.load(recipe.embedded, train=1, test=4, size=recipe.size)[1]
        x = model.predict(recipe.validation_inputs(test).x, verbose=0)
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
