"""What the commands of `python -m kerasae` do.

What needs matplotlib is imported where it is used: `list` and `show` work without it.
"""

import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from kerasae import checks, presets
from kerasae.storage import files
from kerasae.storage.places import printable
from kerasae.zoo import catalogue

if TYPE_CHECKING:
    from kerasae.zoo.training import Recipe


def list_presets() -> None:
    """Print the catalogue as a table."""
    rows = [
        (preset.name, preset.model, preset.headline, f"{preset.bytes / 1e6:.1f} MB", preset.title)
        for preset in catalogue.presets()
    ]
    rows = [("preset", "model", "measured on test images", "size", "what it is"), *rows]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for *cells, last in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)), last)
    print("\nModel.from_preset(NAME) loads one; `python -m kerasae train NAME` makes it again.")


def show(name: str) -> None:
    """Print the card of a preset.

    Args:
        name: Name or folder of the preset.
    """
    card = presets.find(name) / presets.CARD
    if not card.is_file():
        raise ValueError(
            f"`{name}` has no card, expected a preset of the zoo, or one that `train` has made."
        )
    for line in card.read_text(encoding="utf-8").splitlines():
        print(printable(line))  # a card may come from elsewhere
    print(f"In {card.parent}")


def train(name: str, dataset: str | None, budget: str, seed: int, output: Path) -> None:
    """Train a recipe and write a preset with its card.

    Args:
        name: Name of a recipe or a preset.
        dataset: Data set to train on; `None` for that of the name.
        budget: Either `"full"` or `"fast"`.
        seed: Seed of the weights, the order and the noise.
        output: Folder of the preset's folder.
    """
    from kerasae.zoo import recipes

    recipe, data, preset = recipes.find(name, dataset)
    amount = getattr(recipe, budget)
    print(
        f"{preset}: {recipe.title}\n{amount.images:,} images, {amount.epochs} epochs, on", end=" "
    )
    print(keras.backend.backend(), end="")
    shipped = {each.name: each for each in catalogue.presets()}.get(preset)
    if shipped and budget == "full":
        print(f"; the zoo's took {shipped.seconds:.0f} s of one core on {shipped.backend}", end="")
    print(flush=True)
    made = make(recipe, data, output / preset, budget, seed, _verbose())
    for measure, value in made.measures.items():
        comparison = ""
        if shipped and measure in shipped.measures:
            comparison = f", the zoo's {shipped.measures[measure].value:.4g}"
        print(f"{measure}: {value}{comparison}")
    print(f'{made.model}.from_preset("{output / preset}")')


def make(
    recipe: "Recipe",
    dataset: str,
    folder: Path,
    budget: str = "full",
    seed: int = 0,
    verbose: Any = "auto",
) -> catalogue.Preset:
    """Train a recipe and write a preset with its card, whole or not at all.

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
    from kerasae.zoo import cards, training

    checks.one_of("budget", budget, ("full", "fast"))
    checks.whole_number("seed", seed, least=0)
    folder = Path(folder)
    state = folder.with_name(f".{folder.name}-{budget}-{seed}")
    with files.lock(folder):
        if not folder.exists():
            made = training.train(recipe, dataset, folder.name, state, budget, seed, verbose)
            cards.write(made)
            os.replace(made.folder, folder)
        elif not (state.exists() and training.is_of(folder, recipe, dataset, budget, seed)):
            raise ValueError(
                f"`{folder}` exists, expected a new folder: delete it, or choose another one."
            )
        shutil.rmtree(state)  # also that of a run which was killed when all else was done
    return catalogue.preset(folder)


def evaluate(name: str, dataset: str | None) -> None:
    """Measure a preset again, and exit with 1 if its card has other numbers.

    Args:
        name: Name or folder of the preset.
        dataset: Data set to measure on; `None` for that of the training.
    """
    from kerasae.zoo import recipes, training

    entry = catalogue.preset(name)
    recipe, data, _ = recipes.find(entry.recipe, entry.dataset if dataset is None else dataset)
    measured = training.evaluate(name, recipe, data)
    same = data == entry.dataset
    for measure, (value, holds) in measured.items():
        line = f"{measure}: {value}"
        if same:
            expected = entry.measures[measure]
            line += f", the card says {expected.value:.4g} ± {expected.tolerance:.2g}"
            line += "" if holds else ": NOT THE SAME"
        print(line)
    if same and not all(holds for _, holds in measured.values()):
        sys.exit(1)


def reproduce(name: str | None, budget: str, seed: int, output: Path) -> None:
    """Reproduce a published result and print both numbers, or list all results.

    Args:
        name: Name of a result, `"all"` for those that were not run yet, or `None`.
        budget: Either `"full"` or `"fast"`.
        seed: Seed of the weights, the order and the noise.
        output: Folder of the card's folder.
    """
    from kerasae.zoo import published
    from kerasae.zoo.published import pages, runs

    every = published.RESULTS
    if name is None:
        width = max(map(len, every))
        for key, result in every.items():
            print(f"{key.ljust(width)}  {result.title}")
        return
    names = [name]
    if name == "all":
        names = [key for key in every if not runs.is_done(output / key, budget, seed)]
    for key in names:
        result = published.find(key)
        print(f"{result.title}\n{result.setting}", flush=True)
        entry = runs.run(result, output / key, budget, seed, _verbose())
        for number, ours in entry["numbers"].items():
            comparison = ""
            if reference := result.published.get(number):
                comparison = f", {reference.kind} {reference.value:.5g} ({reference.known})"
            print(f"{number}: {ours:.5g}{comparison}")
        print(f"{result.verdict([entry])}, see {output / key / pages.CARD}")


def demo(output: Path, epochs: int, seed: int) -> None:
    """Train a denoising autoencoder on drawn digits and write three pictures.

    Args:
        output: Folder for `demo.png`, `sheet.png` and `walk.png`.
        epochs: Number of passes over the 12,000 training images.
        seed: Seed of the weights, the order and the noise.
    """
    from kerasae import datasets, nets, plots
    from kerasae.corruptions import MaskingNoise
    from kerasae.models.autoencoder import Autoencoder
    from kerasae.zoo.measures import half_hidden
    from kerasae.zoo.pictures import one_of_each

    epochs = checks.whole_number("epochs", epochs)
    started = time.monotonic()
    keras.utils.set_random_seed(seed)
    train, test = datasets.load("digits")
    encoder, decoder = nets.mlp(train.x.shape[1:], code_size=32, units=(512,))
    model = Autoencoder(encoder, decoder, corruption=MaskingNoise(0.5))
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="binary_crossentropy")
    model.fit(train.x, validation_data=(test.x,), batch_size=128, epochs=epochs)

    clean = one_of_each(test)
    broken = half_hidden(clean, seed)
    plots.image_rows(
        {
            "drawn": clean,
            "half the pixels off": broken,
            "restored from\n32 numbers": model.reconstruct(broken),
        },
        "A denoising autoencoder guesses what is not in the input",
    ).savefig(output / "demo.png")
    plots.image_sheet(train.x[:128], 16, "strokes: handwriting drawn from curves").savefig(
        output / "sheet.png"
    )
    walk = model.interpolate(clean[[2, 4, 7]], clean[[3, 9, 1]], steps=12)
    plots.image_rows(
        {"2 to 3": walk[0], "4 to 9": walk[1], "7 to 1": walk[2]}, "Straight lines between codes"
    ).savefig(output / "walk.png")
    print(f"{time.monotonic() - started:.0f} s; pictures in {output.resolve()}")


def _verbose() -> Any:
    """Return how `fit` prints: bars in a terminal, a line per epoch elsewhere."""
    return "auto" if sys.stdout.isatty() else 2
