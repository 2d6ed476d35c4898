"""Players of a game, the batch that they play on, and the results of a turn."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import keras
from keras import ops

Tensor = Any


class Among(NamedTuple):
    """A term that only some examples have: their mean, weighted by `counts`, `(n,)`."""

    values: Tensor
    counts: Tensor


class Batch(NamedTuple):
    """A batch as `fit` gives it."""

    x: Any
    y: Any
    sample_weight: Tensor | None

    @property
    def size(self) -> Any:
        """Return the number of examples."""
        nested = isinstance(self.x, (Mapping, list, tuple))
        return ops.shape(keras.tree.flatten(self.x)[0] if nested else self.x)[0]

    @property
    def count(self) -> Any:
        """Return the number of examples as a float, or as a float32 tensor."""
        size = self.size
        return float(size) if isinstance(size, int) else ops.cast(size, "float32")

    @property
    def weight(self) -> Tensor | None:
        """Return the weight w of each example, `(n,)`: the mean, if each number has a weight."""
        if self.sample_weight is None:
            return None
        weight = ops.cast(self.sample_weight, "float32")
        return ops.mean(weight, axis=tuple(range(1, len(weight.shape))))


class Outcome(NamedTuple):
    """A player's results on a batch."""

    loss: Tensor | Among  # a number for each example
    terms: dict[str, Tensor | Among]  # the loss's parts: tracked, with the examples' weights
    measures: Mapping[str, Tensor | Among] = MappingProxyType({})  # tracked without weights
    output: Tensor | None = None  # `y_pred` of compiled metrics, `None` if none needs it
    target: Tensor | None = None  # `y_true` of compiled metrics


class Player(NamedTuple):
    """Networks, and the loss that is differentiated with respect to their variables."""

    networks: list[keras.layers.Layer]
    turn: Callable[["Batch", bool], Outcome]  # (batch, training) ↦ results
