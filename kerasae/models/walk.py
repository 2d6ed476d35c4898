"""A walk over the places of codes: at each, the logits given all before it, and a choice.

To draw, to write and to read a code are the same walk. Only the choice differs: by chance, from the
known code, or from the bits of a file.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae import checks
from kerasae.engine.compiled import reading
from kerasae.models import inputs

Tensor = Any
Choice = Callable[[slice, int, np.ndarray], np.ndarray]  # (which codes, place, logits) ↦ numbers


class Walk:
    """A function that goes through an autoregressive network place by place.

    Args:
        network: A Keras model from codes, or `[codes, one-hot labels]`, to logits.
        shape: Shape of a code.
        size: K, the number of logits at a place.
    """

    def __init__(self, network: keras.Model, shape: tuple[int, ...], size: int) -> None:
        self.network, self.shape, self.size = network, shape, size
        self.places = math.prod(shape)
        # A network of one layer that keeps what it has computed, such as a causal transformer.
        layers = [layer for layer in network.layers if layer.weights]
        self.stepping = layers[0] if len(layers) == 1 and hasattr(layers[0], "step") else None
        self.advance = reading(self._advance, network.variables)

    def __call__(
        self, choose: Choice, count: int, labels: np.ndarray | None, batch_size: int
    ) -> np.ndarray:
        """Return codes whose number at each place is what `choose` says, given the logits."""
        size = checks.whole_number("batch_size", batch_size)
        rows = [slice(start, min(start + size, count)) for start in range(0, count, size)]
        return np.concatenate(
            [self._batch(choose, each, None if labels is None else labels[each]) for each in rows]
        )

    def _batch(self, choose: Choice, rows: slice, labels: np.ndarray | None) -> np.ndarray:
        count = rows.stop - rows.start
        numbers = [np.zeros(count, "int32")]  # stands before the first place, where none is read
        state = nothing = ops.zeros((count, self.places), "int32")
        if self.stepping is not None:
            state = self.stepping.start(nothing)
        labels = None if labels is None else ops.convert_to_tensor(labels)
        for place in range(self.places):
            before = ops.convert_to_tensor(numbers[-1])
            here = ops.convert_to_tensor(np.int32(place))
            logits, state = self.advance(before, labels, state, here)
            logits = np.asarray(ops.convert_to_numpy(logits), "float64")
            numbers.append(np.asarray(choose(rows, place, logits), "int32"))
        return np.stack(numbers[1:], axis=1).reshape(count, *self.shape)

    def _advance(self, before: Tensor, label: Tensor | None, state: Any, place: Tensor) -> tuple:
        """Return the logits of a place, `(n, K)`, and the state after it."""
        if self.stepping is not None:
            return self.stepping.step(before, label, state, place)
        # The state is the code so far, over which any other network goes once more.
        last = ops.equal(ops.arange(self.places), place - 1)
        codes = ops.where(last, before[:, None], state)
        grid = ops.reshape(codes, (-1, *self.shape))
        logits = self.network(inputs.with_label(grid, label), training=False)
        logits = ops.reshape(logits, (-1, self.places, self.size))
        return ops.cast(ops.take(logits, place, axis=1), "float32"), codes


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the probabilities of each row.

    Example:

    >>> softmax(np.log([[1.0, 3.0]])).round(3).tolist()
    [[0.25, 0.75]]
    """
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)
