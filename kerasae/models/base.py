"""What every model of the zoo shares: checked data, the input as its own target, presets."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from kerasae import checks, presets
from kerasae.training.optimizer_group import portable
from kerasae.training.resume import random_states
from kerasae.training.streams import endless, in_order

RANDOM = "random"  # the name under which a file holds where the random numbers stand


class Model(keras.Model):
    """A `keras.Model` that checks its data, learns from x alone and knows its presets.

    A subclass says what its data look like in `check_batch`, and has a `get_config` in which
    Keras objects are serialized; `from_config` brings them back.
    """

    def check_batch(self, x: Any, y: Any, sample_weight: Any) -> None:
        """Raises `ValueError` for bad examples: all of an array, or a stream's first batch."""
        checks.array("x", x)

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        class_weight=None,
        sample_weight=None,
        **kwargs,
    ):
        """Trains as `keras.Model.fit` does; without `y` the target is the input."""
        if class_weight is not None:
            raise ValueError(
                "`class_weight` is given, expected `sample_weight`: one weight for each example."
            )
        data = self._checked(x, y, sample_weight)
        if not kwargs.get("steps_per_epoch") and not validation_split:
            data, kwargs["steps_per_epoch"] = endless(self, data, batch_size, shuffle)
        if validation_data is not None:
            unpacked = keras.utils.unpack_x_y_sample_weight(validation_data)
            validation_data = self._checked(*unpacked)
            if not kwargs.get("validation_steps"):
                validation_batch_size = kwargs.get("validation_batch_size") or batch_size
                validation_data, kwargs["validation_steps"] = endless(
                    self, validation_data, validation_batch_size
                )
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        return super().fit(
            x,
            y,
            batch_size,
            epochs,
            verbose,
            callbacks,
            validation_split,
            validation_data=validation_data,
            shuffle=shuffle,
            sample_weight=sample_weight,
            **kwargs,
        )

    def evaluate(
        self,
        x=None,
        y=None,
        batch_size=None,
        verbose="auto",
        sample_weight=None,
        steps=None,
        **kwargs,
    ):
        """Evaluates as `keras.Model.evaluate` does; without `y` the target is the input."""
        if not kwargs.get("_use_cached_eval_dataset"):  # `fit` has checked its validation data
            x, y, sample_weight = self._checked(x, y, sample_weight)
            if steps is None:
                x, y, sample_weight = in_order(self, (x, y, sample_weight), batch_size)
        return super().evaluate(x, y, batch_size, verbose, sample_weight, steps, **kwargs)

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """Predicts as `keras.Model.predict` does."""
        if steps is None:
            (x,) = in_order(self, (x,), batch_size)
        return super().predict(x, batch_size, verbose, steps, callbacks)

    def _checked(self, x, y, sample_weight):
        """The data to hand to Keras, after a look at them."""
        if x is None:
            raise ValueError("`x` is None, expected an array of examples or a stream of batches.")
        named = isinstance(x, Mapping)  # of several arrays, such as examples and their noise
        if named:
            x = {name: checks.as_array(name, value) for name, value in x.items()}
        else:
            x = checks.as_array("x", x)
        y, sample_weight = checks.as_array("y", y), checks.as_array("sample_weight", sample_weight)
        if named or checks.is_array(x):
            self.check_batch(x, y, sample_weight)
            if y is None and sample_weight is not None:
                y = x["x"] if named else x  # Keras drops the weights of what has no target.
        else:
            batch, x = checks.first_batch(x)
            self.check_batch(*keras.utils.unpack_x_y_sample_weight(batch))
        return x, y, sample_weight

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The compiled loss, and what the layers add; without `y` it compares with the input."""
        sample_weight = per_example(sample_weight, y_pred)
        return super().compute_loss(x, target(x, y), y_pred, sample_weight, training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Updates the compiled metrics; without `y` they compare with the input."""
        sample_weight = per_example(sample_weight, y_pred)
        return super().compute_metrics(x, target(x, y), y_pred, sample_weight)

    def track(self, tracker: keras.metrics.Mean, value: Any, x: Any) -> None:
        """Adds a batch's mean to an epoch's, a short last batch counting for less."""
        # What `update_state` comes to with a weight, in fewer steps: they are a cost on PyTorch.
        count = ops.cast(ops.shape(keras.tree.flatten(x)[0])[0], "float32")
        tracker.total.assign_add(count * ops.cast(value, "float32"))
        tracker.count.assign_add(count)

    def compile(self, *args, jit_compile: bool | str = "auto", **kwargs) -> None:
        """Compiles as `keras.Model.compile` does."""
        self._asked_jit_compile = jit_compile
        super().compile(*args, jit_compile=jit_compile, **kwargs)

    def get_compile_config(self) -> dict[str, Any]:
        """What `compile` was given, in words that every backend understands."""
        config = portable(super().get_compile_config())
        if config:  # Keras keeps what "auto" came to, which is another thing on another backend
            config["jit_compile"] = self._asked_jit_compile
        return config

    def make_train_function(self, force: bool = False) -> Any:
        """Makes the step that `fit` repeats, as Keras does, with the optimizer ready before it.

        Keras on TensorFlow would leave the optimizer's variables to the first step, and whatever
        makes variables there is traced twice: half of what a short training takes.
        """
        if self.built and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        return super().make_train_function(force)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles a loaded model as it was when saved, with its optimizer's variables."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def _need_weights(self, method: str) -> None:
        if not self.built:
            raise ValueError(
                f"{type(self).__name__} has no weights yet, expected a built model in `{method}`: "
                "fit it first, or call `build(input_shape)`."
            )

    def get_config(self) -> dict[str, Any]:
        """What every model is made with; a subclass adds its own."""
        dtype = keras.saving.serialize_keras_object(self.dtype_policy)
        return {"name": self.name, "trainable": self.trainable, "dtype": dtype}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects=None) -> Self:
        """Rebuilds a model from `get_config()`, its networks included."""
        return cls(
            **{
                name: keras.saving.deserialize_keras_object(value, custom_objects)
                for name, value in config.items()
            }
        )

    def save_own_variables(self, store: Any) -> None:
        """Saves where the random numbers stand too, which Keras leaves out of its files."""
        super().save_own_variables(store)
        states = [ops.convert_to_numpy(state) for state in random_states(self)]
        if states:
            store[RANDOM] = np.stack(states).astype("int64")

    def load_own_variables(self, store: Any) -> None:
        """Loads them, so that training goes on with the noise that would have come next."""
        states = random_states(self)
        if RANDOM in store.keys() and len(store[RANDOM]) == len(states):
            for state, saved in zip(states, np.asarray(store[RANDOM]), strict=True):
                state.assign(saved)
        super().load_own_variables({key: store[key] for key in store.keys() if key != RANDOM})

    def save_to_preset(self, folder: str | Path, dtype: str = "float32") -> None:
        """Writes `config.json`, `metadata.json` and `model.weights.h5` to `folder`.

        Args:
            folder: A new folder, or an earlier preset's.
            dtype: Of the weights on disk: `"float16"` takes half the bytes and keeps three digits.
        """
        presets.save(self, folder, dtype)

    @classmethod
    def from_preset(cls, name: str | Path) -> Self:
        """Reads a model of this class, or of one that derives from it.

        Args:
            name: A preset of the zoo (`kerasae.zoo.presets()` lists them), a folder that
                `save_to_preset` wrote, or `hf://owner/name` on the Hugging Face hub.
        """
        return presets.load(cls, name)


def target(x: Any, y: Any) -> Any:
    """What a reconstruction is held against: `y` where there is one, else the input."""
    return x if y is None else y


class _Mean(keras.losses.Loss):
    """The loss of an example is the value that is given for it."""

    def call(self, y_true, y_pred):
        return y_pred


def batch_mean(values: Any, sample_weight: Any = None) -> Any:
    """The mean of one value for each example, as Keras takes it of its own losses.

    That is in float32, times the example's weight, and divided by the number of replicas.
    """
    return _Mean(name="mean", dtype="float32")(values, values, sample_weight)


def per_example(sample_weight: Any, y_pred: Any) -> Any:
    """Weights of shape (n,) as (n, 1, …): a loss per pixel would match them with the columns."""
    if sample_weight is None or len(sample_weight.shape) != 1:
        return sample_weight
    return ops.reshape(sample_weight, (-1,) + (1,) * (len(y_pred.shape) - 2))
