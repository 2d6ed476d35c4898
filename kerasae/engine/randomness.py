"""Random states: those of a model's seed generators, and an engine's own generator."""

import contextlib
from typing import Any

import keras
import numpy as np

if keras.backend.backend() == "torch":
    import torch

    def _seed(seed: int) -> None:
        torch.manual_seed(seed)

    def _preserved() -> Any:
        return torch.random.fork_rng()

else:

    def _seed(seed: int) -> None:
        pass

    def _preserved() -> Any:
        return contextlib.nullcontext()


def seed_globally(seed: int) -> None:
    """Seed PyTorch's global generator, from which a Dropout without a seed draws.

    The other engines draw nothing without a `keras.random.SeedGenerator`.
    """
    _seed(seed)


def global_randomness() -> Any:
    """Return a context after which the global generator is as it was before."""
    return _preserved()


def random_states(model: keras.Model) -> list[keras.Variable]:
    """Return the states of a model's seed generators: the variables that are no weights."""
    weights = {id(weight) for weight in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]


def next_seed(generator: keras.random.SeedGenerator) -> int:
    """Return a seed for NumPy, another one at each call, which a generator of Keras determines.

    Example:

    >>> one, two = (keras.random.SeedGenerator(3) for _ in range(2))
    >>> next_seed(one) == next_seed(two) != next_seed(one)
    True
    """
    state = keras.ops.convert_to_numpy(generator.next()).tolist()
    return int(np.random.default_rng(state).integers(2**31))
