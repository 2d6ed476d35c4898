"""One iterator for all epochs, on TensorFlow.

    batches of epoch 1, batches of epoch 2, …      one stream, and how many steps an epoch has

For an array, `keras.Model.fit` makes two of tf.data's iterators every epoch and waits for the
threads of the last one to end: some 40 ms, in which a small network learns from a thousand
examples. From a stream without an end it makes one. Batches are the same, a short last one
included, and each epoch has an order of its own.
"""

from typing import Any

import keras

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
    from keras.src.trainers.data_adapters import array_data_adapter

    class _Endless(array_data_adapter.ArrayDataAdapter):
        """Keras's own batches of arrays, again and again; `fit` takes it as it is."""

        def get_tf_dataset(self) -> Any:
            options = tf.data.Options()
            options.autotune.enabled = False  # rows of an array in memory: nothing to tune
            return super().get_tf_dataset().repeat().with_options(options)

        @property
        def steps(self) -> int:
            return super().num_batches

        @property
        def num_batches(self) -> None:
            return None


def endless(
    model: keras.Model, data: tuple, batch_size: int | None, shuffle: bool | str = False
) -> tuple[tuple, int | None]:
    """The data as `fit` takes them best, and the steps of an epoch, `None` where it finds out.

    Args:
        model: Whose `fit` it is. Where it takes several steps at once, or several devices share a
            batch, the data stay as they are; on JAX and PyTorch always.
        data: Examples, and their targets and weights or `None`: arrays, or nests of arrays.
        batch_size: Examples in a batch, by default 32.
        shuffle: As in `fit`.
    """
    if (
        keras.backend.backend() != "tensorflow"
        or model.steps_per_execution > 1
        or model.distribute_strategy.num_replicas_in_sync > 1
        or not array_data_adapter.can_convert_arrays(data)
    ):
        return data, None
    stream = _Endless(*data, batch_size=batch_size, shuffle=shuffle)
    return (stream,), stream.steps
