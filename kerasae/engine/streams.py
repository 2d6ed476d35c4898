"""Arrays as streams of batches, where TensorFlow is slow to make one.

    batches of epoch 1, batches of epoch 2, …      to learn from: one stream without an end
    batches of the array, in its order             to predict and to evaluate

For an array, `keras.Model.fit` makes two of tf.data's iterators every epoch and waits for the
threads of the last one to end: some 40 ms, in which a small network learns from a thousand
examples. From a stream without an end it makes one. `predict` and `evaluate` trace four functions
for each call, which slice what they are given: some 60 ms, where a hundred examples take one.

Batches are the same, a short last one included. On JAX and PyTorch, where several devices share a
batch, and for everything but arrays, data stay as they are.
"""

from typing import Any

import keras

from kerasae.engine import internals

ADAPTERS = internals.array_adapters() if keras.backend.backend() == "tensorflow" else None

if ADAPTERS is not None:
    import tensorflow as tf

    array_data_adapter, array_slicing = ADAPTERS

    def _untuned(dataset: Any) -> Any:
        """Rows of an array in memory leave tf.data nothing to tune."""
        options = tf.data.Options()
        options.autotune.enabled = False
        return dataset.with_options(options)

    class _Endless(array_data_adapter.ArrayDataAdapter):
        """Keras's own batches of arrays, again and again; `fit` takes it as it is."""

        def get_tf_dataset(self) -> Any:
            return _untuned(super().get_tf_dataset().repeat())

        @property
        def steps(self) -> int:
            return super().num_batches

        @property
        def num_batches(self) -> None:
            return None

    class _InOrder(array_data_adapter.ArrayDataAdapter):
        """Batches of arrays as they come, without a function to trace."""

        def get_tf_dataset(self) -> Any:
            arrays = array_slicing.convert_to_sliceable(self._inputs, target_backend="tensorflow")
            rows = tf.data.Dataset.from_tensor_slices(keras.tree.lists_to_tuples(arrays))
            return _untuned(rows.batch(self._batch_size))

    def _streams(model: keras.Model, data: tuple) -> bool:
        """Whether the data are arrays, and the model takes them batch by batch."""
        alone = model.distribute_strategy.num_replicas_in_sync == 1
        return alone and array_data_adapter.can_convert_arrays(data)


def endless(
    model: keras.Model, data: tuple, batch_size: int | None, shuffle: bool | str = False
) -> tuple[tuple, int | None]:
    """The data as `fit` takes them best, and the steps of an epoch, `None` where it finds out.

    Args:
        model: Whose `fit` it is; where it takes several steps at once, the data stay as they are.
        data: Examples, and their targets and weights or `None`: arrays, or nests of arrays.
        batch_size: Examples in a batch, by default 32.
        shuffle: As in `fit`.
    """
    if ADAPTERS is None or model.steps_per_execution > 1 or not _streams(model, data):
        return data, None
    stream = _Endless(*data, batch_size=batch_size, shuffle=shuffle)
    return (stream,), stream.steps


def is_ready(x: Any) -> bool:
    """Return whether the data were made by `endless` or `in_order`."""
    return ADAPTERS is not None and isinstance(x, _Endless | _InOrder)


def in_order(model: keras.Model, data: tuple, batch_size: int | None) -> tuple:
    """The data as `evaluate` takes them best, or, of examples alone, `predict`.

    Args:
        model: Whose `evaluate` or `predict` it is.
        data: Examples, and perhaps their targets and weights, as in `endless`.
        batch_size: Examples in a batch, by default 32.
    """
    if ADAPTERS is None or not _streams(model, data):
        return data
    return _InOrder(*data, batch_size=batch_size), *(None for _ in data[1:])


def predictions(network: keras.Model, x: Any, batch_size: int) -> Any:
    """What a network says to all examples of an array, in NumPy's arrays."""
    (stream,) = in_order(network, (x,), batch_size)
    return network.predict(stream, batch_size=batch_size, verbose=0)
