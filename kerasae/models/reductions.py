"""Sums and means over a batch, of terms that have a number for each example, or for some."""

from collections.abc import Iterable
from typing import Any

import keras
from keras import ops

from kerasae.engine import devices
from kerasae.engine.step import accumulate
from kerasae.models.players import Among

Tensor = Any


def total_and_count(
    term: Tensor | Among, size: Tensor, weight: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the sum of a term over the batch, and the number of examples in it."""
    if isinstance(term, Among):
        values, counts = term
        size = ops.sum(counts)
        values = counts * values
    else:
        values = mean_over_samples(term)
        if not len(values.shape):  # one number for the whole batch
            values = values * (size if weight is None else 1.0)
    return ops.sum(values if weight is None else weight * values), size


def add(trackers: list[keras.metrics.Mean], sums: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Add a batch's totals and counts to an epoch's, so that a shorter last batch counts less."""
    variables = [variable for tracker in trackers for variable in (tracker.total, tracker.count)]
    values = devices.totals(*(value for pair in sums for value in pair))
    for variable, value in zip(variables, values, strict=True):
        accumulate(variable, value)


def total(losses: list[Tensor]) -> Tensor:
    """Return the sum of the losses of layers, in float32."""
    return sum((ops.sum(ops.cast(loss, "float32")) for loss in losses), 0.0)


def mean_over_samples(term: Tensor) -> Tensor:
    """Average several samples of each example, `(k, n)`."""
    if len(term.shape) <= 1:
        return term
    return term[0] if term.shape[0] == 1 else ops.mean(term, axis=0)


def rescale_to_batch(term: Tensor | Among, size: Tensor) -> Tensor:
    """Rescale a mean over some examples, so that it is the mean of the result over all."""
    if not isinstance(term, Among):
        return term
    counts, size = devices.totals(ops.sum(term.counts), size)
    return term.values * term.counts * size / ops.maximum(counts, 1.0)
