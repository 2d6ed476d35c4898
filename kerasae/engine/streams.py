"""Batches of arrays, where an engine is slow to make them.

On TensorFlow Keras makes a pipeline of tf.data for an array, whose threads compete with the step:
on two cores a small network waits a third of its time for them, and some 40 ms more each time an
epoch begins. On PyTorch it makes a data loader, which costs a tenth of such a step. On JAX it takes
rows out of the arrays, which costs a copy of them; here it does so on every engine.

Batches are the same, a short last one included; the order of a shuffled epoch comes from NumPy's
generator, as on JAX. On PyTorch, `Rows` of arrays in an order of their own are taken in the same
way. Where several devices of TensorFlow share a batch, where several steps are taken at once, and
for everything else, data stay as they are.

So do `Rows` on TensorFlow. Its optimizer of graphs may add numbers in another order each time that
a step is traced outside of Keras's pipeline: in some of a hundred runs the last bit of a loss is
another, and a run that is resumed must be the same bit for bit.
"""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from kerasae.engine import internals

ADAPTERS = internals.adapters() if keras.backend.backend() != "jax" else None


class Rows(keras.utils.PyDataset):
    """Batches of arrays that are at hand: no thread needs to load them."""


class _Passes:
    """A pass over the data whenever it is iterated over."""

    def __init__(self, begin: Callable[[], Iterator]) -> None:
        self.begin = begin

    def __iter__(self) -> Iterator:
        return self.begin()


class _Stream:
    """An adapter of Keras's, without pipeline and loader.

    `fit`, `evaluate` and `predict` take it as it is.
    """

    def get_tf_dataset(self) -> _Passes:
        return _Passes(self.get_numpy_iterator)

    def get_torch_dataloader(self) -> _Passes:
        return _Passes(self.get_numpy_iterator)


if ADAPTERS is not None:
    of_arrays, of_data_sets = ADAPTERS

    class _Arrays(_Stream, of_arrays.ArrayDataAdapter):
        """Keras's own batches of arrays."""

    class _Rows(_Stream, of_data_sets.PyDatasetAdapter):
        """Keras's own batches of a data set."""


if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    def _serves(model: keras.Model, data: tuple) -> bool:
        """Return whether the data are arrays, and the model takes them batch by batch."""
        with model.distribute_strategy.scope():
            alone = not tf.distribute.has_strategy()
        return alone and model.steps_per_execution == 1 and of_arrays.can_convert_arrays(data)

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
        data: Examples, and perhaps their targets and weights or `None`: arrays, or nests of arrays;
            or `Rows`.
        batch_size: Examples in a batch, by default 32.
        shuffle: As in `fit`.
    """
    if ADAPTERS is None:
        return data
    if isinstance(data[0], Rows) and keras.backend.backend() == "torch":
        return _Rows(data[0], shuffle=shuffle), *data[1:]
    if not _serves(model, data):
        return data
    return _Arrays(*data, batch_size=batch_size, shuffle=shuffle), *(None for _ in data[1:])


def is_stream(x: Any) -> bool:
    """Return whether the data were made by `stream`."""
    return isinstance(x, _Stream)


def predictions(network: keras.Model, x: Any, batch_size: int) -> Any:
    """Return what a network says to all examples of an array, in NumPy's arrays."""
    (x,) = stream(network, (x,), batch_size)
    return network.predict(x, batch_size=batch_size, verbose=0)
