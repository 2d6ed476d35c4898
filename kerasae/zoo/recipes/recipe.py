"""How a recipe is written: a function that builds a model, and its data in a decorator."""

import keras
from keras.optimizers.schedules import CosineDecay

from kerasae.zoo.training import Recipe

RECIPES: dict[str, Recipe] = {}


def recipe(**data):
    """Make a recipe of a function that builds and compiles a model, and of its data."""

    def decorated(build):
        RECIPES[build.__name__] = Recipe(build, **data)
        return build

    return decorated


def adam(rate: float, steps: int, **options) -> keras.optimizers.Adam:
    """Return Adam with a learning rate that falls to 0 along a cosine."""
    return keras.optimizers.Adam(CosineDecay(rate, steps), **options)
