"""A recipe: data, and a function that builds and compiles a model; how to train and measure it.

train       recipe → model → preset with its card, resumable after a kill
evaluate    preset → what its card says, measured again
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
EQUAL = 0.01  # how far an output with float16 weights may be from the one with float32


class Budget(NamedTuple):
    """How much to train."""

    images: int
    epochs: int


FAST = Budget(6000, 4)


class Inputs(NamedTuple):
    """What `fit` and `evaluate` take."""

    x: Any
    y: Any = None


def images(data: Split) -> Inputs:
    """The images alone."""
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
    """How presets of one kind are made.

    Args:
        build: From the training data and the number of steps to a compiled model. Its name is the
            recipe's, the first line of its docstring the title.
        paper: Where the model comes from.
        measures: Name to function of the model and the test data; the first is the headline.
        pictures: Name to function of the model and the test data.
        full: How much makes a preset of the zoo.
        fast: How much gives a first idea, in about a minute.
        data: `"digits"`, which can be any set of digits, or another set.
        size: Side of the images, where the set has several.
        inputs: What of a split the model learns from.
        validation: What of a split it is validated on; the same as `inputs` if left out.
        fit: How it is trained, with the arguments of `resumable_fit`.
        batch_size: Images in a batch.
        backend: On which the zoo's preset was made; any will do.
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
        """As the function that builds the model is called."""
        return self.build.__name__

    @property
    def title(self) -> str:
        """What the function says that it builds."""
        return title_of(self.build)

    @property
    def embedded(self) -> str:
        """The data set that is always there."""
        return "strokes" if self.data == "digits" else self.data

    def load(self, dataset: str, train: int | None = None) -> tuple[Split, Split]:
        """The training and the test data, of which real sets have what they have."""
        count = None if dataset in REAL and train == self.full.images else train
        return datasets.load(dataset, train=count, size=self.size)

    def asked(self, test: Split) -> Inputs:
        """What the model is validated on and asked."""
        return (self.validation or self.inputs)(test)


class Stopwatch(keras.callbacks.Callback):
    """Seconds of training, those before a kill included: the checkpoint keeps them."""

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
    """Trains a recipe and writes a preset with its card.

    Killed, and called again with the same arguments, it goes on with the last epoch. What it has
    learned so far lies beside the preset's folder until that is written.

    Args:
        recipe: One of `kerasae.zoo.recipes.RECIPES`.
        dataset: The data set to train on.
        folder: Of the preset, a new one; its name is the preset's. One run at a time can write it.
        budget: `"full"` or `"fast"`.
        seed: Of the weights, the order and the noise.
        verbose: As in `fit`.

    Returns:
        The entry of the preset, as the catalogue has it.
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
        shutil.rmtree(state)  # or else what a run has left that was killed when all else was done
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
    """Write a preset and its card to a folder, with checkpoints in `state` on the way."""
    from kerasae.zoo import card  # here, for it needs matplotlib

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
    """Measures a preset again.

    Args:
        name: The preset's name or folder.
        recipe: The recipe that made it.
        dataset: The data set to measure on: the one it was trained on, to hold it to its card.

    Returns:
        Name of a measure to what was found, and whether it is what the card says.
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
    """Sixteen numbers of what a model makes of embedded images: the same on any backend."""
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
    """Writes the preset in half the bytes, where its outputs stay the same, and reads it."""
    presets.save(model, folder, dtype="float16")
    loaded = presets.load(keras.Model, folder)
    pair = outputs(recipe, model), outputs(recipe, loaded)
    if np.abs(np.subtract(*pair)).max() > EQUAL:
        presets.save(model, folder)
        loaded = presets.load(keras.Model, folder)
    return loaded
