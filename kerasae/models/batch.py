"""A batch, and sums and means over it of terms that have a number for each example, or for some."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import keras
from keras import ops

from kerasae.engine import devices
from kerasae.engine.step import accumulate

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

    def rescaled(self, term: Tensor | Among) -> Tensor:
        """Rescale a mean over some examples, so that it is the mean of the result over all."""
        if not isinstance(term, Among):
            return term
        counts, size = devices.totals(ops.sum(term.counts), self.count)
        return term.values * term.counts * size / ops.maximum(counts, 1.0)

    def total(self, term: Tensor | Among, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the sum of a term over the batch, and the number of examples in it."""
        if isinstance(term, Among):
            size, values = ops.sum(term.counts), term.counts * term.values
        else:
            size, values = self.count, mean_over_samples(term)
            if not len(values.shape):  # one number for the whole batch
                values = values * (size if weight is None else 1.0)
        return ops.sum(values if weight is None else weight * values), size


def mean_over_samples(term: Tensor) -> Tensor:
    """Average several samples of each example, `(k, n)`."""
    if len(term.shape) <= 1:
        return term
    return term[0] if term.shape[0] == 1 else ops.mean(term, axis=0)


def track(sums: Iterable[tuple[keras.metrics.Mean, tuple[Tensor, Tensor]]]) -> None:
    """Add a batch's totals and counts to an epoch's, so that a shorter last batch counts less."""
    variables, values = [], []
    for tracker, pair in sums:
        variables += (tracker.total, tracker.count)
        values += pair
    for variable, value in zip(variables, devices.totals(*values), strict=True):
        accumulate(variable, value)
