"""What models hand to Keras: the same batches, on TensorFlow from streams that cost little."""

from inspect import signature

import keras
import numpy as np
import pytest
from keras import ops

from kerasae.engine.streams import predictions
from kerasae.models.base import Model
from kerasae.training.resume import resumable_fit

ON_TENSORFLOW = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="what it saves is only slow on TensorFlow"
)
EXAMPLES, BATCH = 10, 4  # two whole batches and one of two examples
NUMBERS = np.arange(EXAMPLES, dtype="float32")[:, None]


class Sees(Model):
    """Example i is the number i. Counts how often each was learned from, and in which steps."""

    parts = ("squares",)

    def __init__(self):
        super().__init__()
        self.scale = self.add_weight(shape=(), initializer="ones")
        self.step = self.add_weight(shape=(), initializer="zeros", trainable=False)
        self.times = self.add_weight((EXAMPLES,), initializer="zeros", trainable=False)
        self.steps = self.add_weight((EXAMPLES,), initializer="zeros", trainable=False)

    def compute(self, x, training):
        if training:
            seen = ops.sum(ops.one_hot(ops.cast(x[:, 0], "int32"), EXAMPLES), axis=0)
            self.step.assign(self.step + 1)
            self.times.assign(self.times + seen)
            self.steps.assign(self.steps + self.step * seen)
        return {"output": self.scale * x}

    def terms(self, x, y, found):
        return {"squares": ops.mean(ops.square(found["output"] - y), axis=-1)}


def epochs(count, **arguments):
    """(how often each example was seen, in which steps) of each epoch."""
    keras.utils.set_random_seed(3)
    model = Sees()
    model.build((None, 1))
    compiled = {"optimizer": "sgd", "steps_per_execution": 1}
    model.compile(**{key: arguments.pop(key, compiled[key]) for key in compiled})
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
    model.compile(keras.optimizers.SGD(1e-3))
    losses = []
    alone = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: losses.append(model.evaluate(NUMBERS, 2 * NUMBERS, verbose=0)[0])
    )
    data = {"validation_data": (NUMBERS, 2 * NUMBERS), "validation_batch_size": 3}
    history = model.fit(NUMBERS, 3 * NUMBERS, BATCH, 3, 0, [alone], **data).history
    np.testing.assert_allclose(history["val_loss"], losses, rtol=1e-6)
    assert len(set(losses)) == 3


@ON_TENSORFLOW
def test_no_pipeline_of_tf_data_is_made_of_arrays(monkeypatch):
    import tensorflow as tf

    monkeypatch.delattr(tf.data.Dataset, "__iter__")
    epochs(2, validation_data=(NUMBERS,))
    model = Sees()
    model.build((None, 1))
    model.compile()
    model.predict(NUMBERS, verbose=0)
    model.evaluate(NUMBERS, verbose=0)
    predictions(model, NUMBERS, BATCH)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="elsewhere Keras's own are taken")
def test_no_loader_is_made_of_rows(monkeypatch):
    import torch

    monkeypatch.delattr(torch.utils.data.DataLoader, "__iter__")
    model = Sees()
    model.build((None, 1))
    model.compile()
    resumable_fit(model, NUMBERS, epochs=2, batch_size=BATCH, verbose=0)
    np.testing.assert_array_equal(ops.convert_to_numpy(model.times), 2)


@ON_TENSORFLOW
def test_a_step_is_traced_once(monkeypatch):
    traced = []
    compute = Sees.compute
    monkeypatch.setattr(Sees, "compute", lambda *a, **k: traced.append(a) or compute(*a, **k))
    epochs(2, optimizer="adam")  # which has variables of its own
    assert len(traced) == 1


def two_inputs():
    x, c = keras.Input((2,)), keras.Input((3,))
    hidden = keras.layers.Concatenate()([x, c])
    return keras.Model([x, c], {"sum": keras.layers.Dense(2)(hidden), "as it was": x})


@pytest.mark.parametrize("count", [1, 4, 8, 10])  # less than a batch of 4, whole ones, a short last
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_predictions_are_those_of_keras(count, dtype):
    network = two_inputs()
    rng = np.random.default_rng(0)
    arrays = [rng.uniform(0, 9, (count, size)).astype(dtype) for size in (2, 3)]
    ours, keras_own = predictions(network, arrays, 4), network.predict(arrays, 4, verbose=0)
    assert ours.keys() == keras_own.keys()
    np.testing.assert_array_equal(ours["as it was"], arrays[0].astype("float32"))
    np.testing.assert_allclose(ours["sum"], keras_own["sum"], rtol=1e-6)


@pytest.mark.parametrize("weights", [None, np.linspace(0, 1, EXAMPLES, dtype="float32")])
@pytest.mark.parametrize("targets", [None, 3 * NUMBERS])
def test_an_evaluation_is_that_of_keras(weights, targets):
    model = Sees()
    model.build((None, 1))
    model.compile(weighted_metrics=["mae"])
    model.scale.assign(0.5)
    found = model.evaluate(NUMBERS, targets, BATCH, 0, weights, return_dict=True)
    expected = NUMBERS if targets is None else targets
    keras_own = keras.Model.evaluate(model, NUMBERS, expected, BATCH, 0, weights, return_dict=True)
    assert found.keys() == keras_own.keys() == {"loss", "squares", "mae"}
    for name in found:
        np.testing.assert_allclose(found[name], keras_own[name], rtol=1e-6)
    squares = (0.5 * NUMBERS - expected)[:, 0] ** 2
    loss = np.mean(squares if weights is None else weights * squares)
    np.testing.assert_allclose([found["loss"], found["squares"]], loss, rtol=1e-6)
    few = model.evaluate(NUMBERS, targets, BATCH, 0, steps=1)[0]  # counted by Keras
    np.testing.assert_allclose(few, np.mean((0.5 * NUMBERS - expected)[:BATCH] ** 2), rtol=1e-6)


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
def test_arguments_have_the_order_of_keras(method):
    ours, keras_own = (
        [p for p in signature(getattr(each, method)).parameters if p != "kwargs"]
        for each in (Model, keras.Model)
    )
    assert ours == keras_own[: len(ours)]


def test_arrays_may_be_views_that_run_backwards():
    model = Sees()
    model.compile("sgd")
    flipped, copy = NUMBERS[::-1], NUMBERS[::-1].copy()
    assert min(flipped.strides) < 0
    assert model.evaluate(flipped, verbose=0) == model.evaluate(copy, verbose=0)
    np.testing.assert_array_equal(model.predict(flipped, verbose=0), copy)
    model.train_on_batch(flipped, flipped)
