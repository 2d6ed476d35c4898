"""Batches of arrays, where an engine is slow to make them.

On TensorFlow Keras makes a pipeline of tf.data for an array, whose threads compete with the step:
on two cores a small network waits a third of its time for them, and some 40 ms more each time an
epoch begins. On PyTorch it makes a data loader, which costs a tenth of such a step. On JAX it takes
rows out of the arrays, which costs a copy of them; here it does so on every engine.

Batches are the same, a short last one included; the order of a shuffled epoch comes from NumPy's
generator, as on JAX. Where several devices of TensorFlow share a batch, where several steps are
taken at once, and for everything but arrays, data stay as they are.
"""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from kerasae.engine import internals

ADAPTER = internals.array_adapter() if keras.backend.backend() != "jax" else None


class _Passes:
    """A pass over the data whenever it is iterated over."""

    def __init__(self, begin: Callable[[], Iterator]) -> None:
        self.begin = begin

    def __iter__(self) -> Iterator:
        return self.begin()


if ADAPTER is not None:

    class _Stream(ADAPTER.ArrayDataAdapter):
        """Keras's own batches of arrays; `fit`, `evaluate` and `predict` take it as it is."""

        def get_tf_dataset(self) -> _Passes:
            return _Passes(self.get_numpy_iterator)

        def get_torch_dataloader(self) -> _Passes:
            return _Passes(self.get_numpy_iterator)


if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    def _serves(model: keras.Model, data: tuple) -> bool:
        """Return whether the data are arrays, and the model takes them batch by batch."""
        with model.distribute_strategy.scope():
            alone = not tf.distribute.has_strategy()
        return alone and model.steps_per_execution == 1 and ADAPTER.can_convert_arrays(data)

else:

    def _serves(model: keras.Model, data: tuple) -> bool:
        """Return whether the data are arrays of NumPy."""
        return all(isinstance(part, np.ndarray | type(None)) for part in keras.tree.flatten(data))


def stream(
    model: keras.Model, data: tuple, batch_size: int | None, shuffle: bool | str = False
) -> tuple:
    """Return data as `fit`, `evaluate` and `predict` take them best.

    Args:
        model: The model that takes them.
        data: Examples, and perhaps their targets and weights or `None`: arrays, or nests of arrays.
        batch_size: Examples in a batch, by default 32.
        shuffle: As in `fit`.
    """
    if ADAPTER is None or not _serves(model, data):
        return data
    return _Stream(*data, batch_size=batch_size, shuffle=shuffle), *(None for _ in data[1:])


def is_stream(x: Any) -> bool:
    """Return whether the data were made by `stream`."""
    return ADAPTER is not None and isinstance(x, _Stream)


def predictions(network: keras.Model, x: Any, batch_size: int) -> Any:
    """Return what a network says to all examples of an array, in NumPy's arrays."""
    (x,) = stream(network, (x,), batch_size)
    return network.predict(x, batch_size=batch_size, verbose=0)
