"""Players of a game, the outcome of a turn, and what is reported of it."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import keras

from kerasae.models.batch import Among, Batch

Tensor = Any


class Outcome(NamedTuple):
    """A player's results on a batch."""

    loss: Tensor | Among  # a number for each example
    terms: dict[str, Tensor | Among]  # the loss's parts: tracked, with the examples' weights
    measures: Mapping[str, Tensor | Among] = MappingProxyType({})  # tracked without weights
    output: Tensor | None = None  # `y_pred` of compiled metrics, `None` if none needs it
    target: Tensor | None = None  # `y_true` of compiled metrics


class Result(NamedTuple):
    """Sums over a batch of a player's loss and its parts, to report in the logs."""

    whole: Tensor  # of the loss
    sums: dict[str, tuple[Tensor, Tensor]]  # of each part and measure, with its number of examples
    output: Tensor | None
    target: Tensor | None


class Player(NamedTuple):
    """Networks, and the loss that is differentiated with respect to their variables."""

    networks: list[keras.layers.Layer]
    turn: Callable[[Batch, bool], Outcome]  # (batch, training) ↦ results
