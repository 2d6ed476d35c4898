"""What `fit` hands to Keras: the same batches, on TensorFlow from one iterator."""

from inspect import signature

import keras
import numpy as np
import pytest
from keras import ops

from kerasae.models.base import Model

EXAMPLES, BATCH = 10, 4  # two whole batches and one of two examples
NUMBERS = np.arange(EXAMPLES, dtype="float32")[:, None]


class Sees(Model):
    """Example i is the number i. Counts how often each was learned from, and in which steps."""

    def __init__(self):
        super().__init__()
        self.scale = self.add_weight(shape=(), initializer="ones")
        self.step = self.add_weight(shape=(), initializer="zeros", trainable=False)
        self.times = self.add_weight((EXAMPLES,), initializer="zeros", trainable=False)
        self.steps = self.add_weight((EXAMPLES,), initializer="zeros", trainable=False)

    def call(self, x, training=False):
        if training:
            seen = ops.sum(ops.one_hot(ops.cast(x[:, 0], "int32"), EXAMPLES), axis=0)
            self.step.assign(self.step + 1)
            self.times.assign(self.times + seen)
            self.steps.assign(self.steps + self.step * seen)
        return self.scale * x


def epochs(count, **arguments):
    """(how often each example was seen, in which steps) of each epoch."""
    keras.utils.set_random_seed(3)
    model = Sees()
    model.build((None, 1))
    model.compile("sgd", "mse", steps_per_execution=arguments.pop("steps_per_execution", 1))
    states = [(np.zeros(EXAMPLES), np.zeros(EXAMPLES))]
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: states.append((np.array(model.times), np.array(model.steps)))
    )
    model.fit(NUMBERS, None, BATCH, count, 0, [keep], **arguments)
    return np.diff(states, axis=0)


def test_an_epoch_has_every_example_once_in_an_order_of_its_own():
    seen = epochs(4)
    for epoch, (times, steps) in enumerate(seen):
        np.testing.assert_array_equal(times, 1)
        numbers, sizes = np.unique(steps, return_counts=True)
        np.testing.assert_array_equal(numbers, 3 * epoch + np.array([1, 2, 3]))
        np.testing.assert_array_equal(sizes, [4, 4, 2])
    assert len({str(steps - steps.min()) for _, steps in seen}) == 4
    np.testing.assert_array_equal(epochs(4), seen)  # the same seed, the same run


def test_without_shuffling_the_order_is_that_of_the_array():
    for epoch, (_, steps) in enumerate(epochs(2, shuffle=False)):
        np.testing.assert_array_equal(steps - 3 * epoch, [1, 1, 1, 1, 2, 2, 2, 2, 3, 3])


def test_what_keras_counts_itself_stays_with_keras():
    ((times, _),) = epochs(1, shuffle=False, steps_per_epoch=2)
    np.testing.assert_array_equal(times, [1] * 8 + [0] * 2)
    ((times, _),) = epochs(1, validation_split=0.4)
    np.testing.assert_array_equal(times, [1] * 6 + [0] * 4)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="Keras has it not on PyTorch")
def test_several_steps_at_once_end_with_the_epoch():
    for times, _ in epochs(2, steps_per_execution=2):
        np.testing.assert_array_equal(times, 1)


def test_validation_is_of_all_examples_at_the_end_of_each_epoch():
    model = Sees()
    model.build((None, 1))
    model.compile(keras.optimizers.SGD(1e-3), "mse")
    losses = []
    alone = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: losses.append(model.evaluate(NUMBERS, 2 * NUMBERS, verbose=0))
    )
    data = {"validation_data": (NUMBERS, 2 * NUMBERS), "validation_batch_size": 3}
    history = model.fit(NUMBERS, 3 * NUMBERS, BATCH, 3, 0, [alone], **data).history
    np.testing.assert_allclose(history["val_loss"], losses, rtol=1e-6)
    assert len(set(losses)) == 3


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only tf.data's are slow")
def test_one_iterator_serves_all_epochs(monkeypatch):
    import tensorflow as tf

    made = []
    make = tf.data.Dataset.__iter__
    monkeypatch.setattr(tf.data.Dataset, "__iter__", lambda data: made.append(data) or make(data))
    epochs(5)
    assert len(made) == 1
    epochs(5, validation_data=(NUMBERS,))  # for which Keras begins anew each time
    assert len(made) == 1 + 1 + 5


def test_arguments_have_the_order_of_keras():
    ours, keras_own = (list(signature(each.fit).parameters) for each in (Model, keras.Model))
    assert ours[:-1] == keras_own[: len(ours) - 1]
