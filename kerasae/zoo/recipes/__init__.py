"""The recipes of all presets of the zoo, with which more of their kind can be made.

Each is a few lines over the public API. The decorator holds data: the amount of training, measures
and pictures. `python -m kerasae train NAME` runs one.
"""

from kerasae import checks
from kerasae.datasets.load import DIGITS
from kerasae.zoo.recipes import deterministic, discrete, games, paths, variational
from kerasae.zoo.recipes.recipe import RECIPES, adam
from kerasae.zoo.training import Recipe

__all__ = ["RECIPES", "adam", "deterministic", "discrete", "find", "games", "paths", "variational"]


def find(name: str, dataset: str | None = None) -> tuple[Recipe, str, str]:
    """Return a recipe, its data set, and the name of its preset.

    Args:
        name: Name of a recipe, such as `"vae_2"`, or of a preset, such as `"vae_2_mnist"`.
        dataset: Name of the data set; by default that of the name, or else strokes or faces.
    """
    for data in (*DIGITS, "faces"):
        if name.endswith(f"_{data}") and name not in RECIPES:
            if dataset not in (None, data):
                raise ValueError(f"`dataset` is {dataset!r}, expected {data!r} for {name!r}.")
            name, dataset = name.removesuffix(f"_{data}"), data
            break
    recipe = RECIPES[checks.one_of("recipe", name, tuple(RECIPES))]
    digits = recipe.data == "digits"
    dataset = recipe.embedded if dataset is None else dataset
    checks.one_of("dataset", dataset, DIGITS if digits else (recipe.data,))
    return recipe, dataset, f"{name}_{dataset}" if digits else name
