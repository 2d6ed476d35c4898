"""Training with Keras's interface: `compile`, `fit`, `evaluate` and `predict`, on checked data."""

import math
import warnings
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from kerasae import checks
from kerasae.engine import arguments, devices, internals
from kerasae.engine.optimizer_group import OptimizerGroup, portable
from kerasae.engine.step import Stepper
from kerasae.engine.streams import is_stream, stream
from kerasae.models.configured import Configured


class Learner(Stepper, Configured):
    """A model of several players, of which each has an optimizer; most models have one.

    `models.base.Model` defines the players' steps, and what a model's subclasses define.
    """

    def compile(
        self,
        optimizer: Any = "adam",
        *,
        jit_compile: bool | str = "auto",
        auto_scale_loss: bool = True,
        **kwargs,
    ) -> None:
        """Compile as `keras.Model.compile` does.

        Args:
            optimizer: An optimizer, of which each player has its own copy; or a dict from players
                to optimizers; or an `OptimizerGroup`, which is not copied.
            jit_compile: As in Keras, whose "auto" disables XLA for TensorFlow on a CPU. Here
                "auto" enables it for a `fit` of 3,000 steps or more of dense layers, whose steps
                it makes a fifth to a third faster.
            auto_scale_loss: If True, each optimizer is wrapped in a
                `keras.optimizers.LossScaleOptimizer` under the policy mixed_float16.
            **kwargs: Further arguments of `keras.Model.compile`.
        """
        for name in ("loss", "loss_weights"):
            value = kwargs.pop(name, None)
            if value is not None:
                raise ValueError(f"`{name}` is {value!r}, expected none: {self.loss_is}.")
        own = {"jit_compile": jit_compile, "auto_scale_loss": auto_scale_loss}
        self.aside.compiled = kwargs | own
        players = tuple(self.players())
        if len(players) > 1:
            optimizer = self._optimizers(optimizer, players, auto_scale_loss)
        super().compile(
            optimizer=optimizer,
            jit_compile=jit_compile,
            auto_scale_loss=auto_scale_loss and len(players) == 1,
            **kwargs,
        )
        self.aside.loss = internals.loss_tracker(self)
        if len(players) > 1:
            optimizer.split = self.player_variables

    @property
    def has_metrics(self) -> bool:
        """Return whether the model is compiled with metrics, which need its output."""
        given = self.aside.compiled
        return bool(given.get("metrics") or given.get("weighted_metrics"))

    def _optimizers(self, optimizer: Any, players: tuple[str, ...], scale: bool) -> OptimizerGroup:
        if not isinstance(optimizer, OptimizerGroup):
            if isinstance(optimizer, Mapping):
                optimizer = OptimizerGroup(optimizer)
            else:
                optimizer = OptimizerGroup.cloned(optimizer, players)
            if scale and self.dtype_policy.name == "mixed_float16":
                optimizer.scale_losses()
        if set(optimizer.players) != set(players):
            raise ValueError(
                f"`optimizer` names the players {', '.join(optimizer.players) or 'none'}: "
                f"expected {', '.join(players)}."
            )
        return optimizer

    def player_variables(self) -> dict[str, list[keras.Variable]]:
        """Return the trainable variables of each player; a variable may belong to several."""
        by_player = {}
        for name, player in self.players().items():
            variables = [v for network in player.networks for v in network.trainable_variables]
            by_player[name] = list({id(variable): variable for variable in variables}.values())
        return by_player

    def get_compile_config(self) -> dict[str, Any]:
        """Return the arguments of `compile` in a form that every backend understands."""
        config = portable(super().get_compile_config())
        if config:  # Keras stores what "auto" was resolved to, which differs by backend
            config["jit_compile"] = self.aside.compiled["jit_compile"]
            config["loss"] = keras.saving.serialize_keras_object(self.loss)
        return config

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile a loaded model as it was when saved, with its optimizer's variables."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self._build_optimizer()

    def _build_optimizer(self) -> None:
        if self.built and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)

    def make_train_function(self, force: bool = False) -> Any:
        """Make the step that `fit` repeats; everything it needs is built before it is traced."""
        self._build_optimizer()
        self.aside.variables = self.player_variables()
        devices.begin_alike(self.variables)
        return super().make_train_function(force)

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
        """Train as `keras.Model.fit` does; without `y` the target is the input."""
        if class_weight is not None:
            raise ValueError(
                "`class_weight` is given, expected `sample_weight`: one weight for each example."
            )
        checks.whole_number("epochs", epochs)
        if batch_size is not None:
            checks.whole_number("batch_size", batch_size)
        data = self._checked(x, y, sample_weight)
        if not validation_split:
            data = stream(self, data, batch_size, shuffle)
            self.steps_to_come = 0
            if is_stream(data[0]) and self.aside.compiled["jit_compile"] == "auto":
                batches = kwargs.get("steps_per_epoch") or data[0].num_batches
                self.steps_to_come = epochs * batches
        if validation_data is not None:
            unpacked = keras.utils.unpack_x_y_sample_weight(validation_data)
            validation_batch_size = kwargs.get("validation_batch_size") or batch_size
            validation_data = stream(self, self._checked(*unpacked), validation_batch_size)
        callbacks = self._with_modes(callbacks)
        x, y, sample_weight = data
        history = super().fit(
            x,
            y,
            batch_size,
            epochs,
            verbose,
            callbacks=callbacks,
            validation_split=validation_split,
            validation_data=validation_data,
            shuffle=shuffle,
            sample_weight=sample_weight,
            **kwargs,
        )
        losses = history.history.get("loss", [0.0])
        if not math.isfinite(losses[-1]):
            first = next(i for i, value in enumerate(losses) if not math.isfinite(value))
            warnings.warn(
                f"The loss is {losses[-1]} from epoch {history.epoch[first] + 1} on, expected "
                "finite numbers: a smaller learning rate, or data of a smaller range and "
                "without NaN, may help.",
                stacklevel=2,
            )
        return history

    def _with_modes(self, callbacks: Any) -> Any:
        """Set the `mode` of callbacks that monitor a term or measure.

        Keras infers it for `loss` and for compiled metrics only.
        """
        modes = {**dict.fromkeys(self.parts, "min"), **self.measured}
        listed = getattr(callbacks, "callbacks", callbacks)
        for callback in keras.tree.flatten(listed or []):
            mode = modes.get(str(getattr(callback, "monitor", "")).removeprefix("val_"))
            if mode is not None and getattr(callback, "mode", None) == "auto":
                callback.mode = mode
        return callbacks

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
        """Evaluate as `keras.Model.evaluate` does; without `y` the target is the input."""
        # `fit` has checked its validation data; Keras's private argument marks this call.
        if not (kwargs.get("_use_cached_eval_dataset") or is_stream(x)):
            if batch_size is not None:
                checks.whole_number("batch_size", batch_size)
            x, y, sample_weight = stream(self, self._checked(x, y, sample_weight), batch_size)
        return super().evaluate(x, y, batch_size, verbose, sample_weight, steps, **kwargs)

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """Predict as `keras.Model.predict` does."""
        if batch_size is not None:
            checks.whole_number("batch_size", batch_size)
        if not is_stream(x):
            several = isinstance(x, (list, tuple)) and any(map(checks.is_array, x))
            if several or isinstance(x, Mapping):
                x = keras.tree.map_structure(lambda part: checks.as_array("x", part), x)
            else:
                x = checks.examples("x", x)
            (x,) = stream(self, (x,), batch_size)
        return super().predict(x, batch_size, verbose, steps, callbacks)

    def _checked(self, x, y, sample_weight):
        """Check the data and return them in the form to pass to Keras."""
        named = isinstance(x, Mapping)  # of several arrays, such as examples and their noise
        if named:
            x = {name: checks.as_array(name, value) for name, value in x.items()}
        else:
            x = checks.examples("x", x)
        y, sample_weight = checks.as_array("y", y), checks.as_array("sample_weight", sample_weight)
        if checks.is_array(sample_weight) and sample_weight.shape[1:] == (1,):
            sample_weight = ops.reshape(sample_weight, (-1,))
        if named or checks.is_array(x):
            self.check_batch(x, y, sample_weight)
            first = x
            if y is None and sample_weight is not None:
                # Keras drops the weights if there is no target.
                y = x.get("x", next(iter(x.values()))) if named else x
        else:
            batch, x = arguments.first_batch(x)
            first, *_ = unpacked = keras.utils.unpack_x_y_sample_weight(batch)
            self.check_batch(*unpacked)
        if not self.built:
            self._build_for(first)
        return x, y, sample_weight

    def _build_for(self, x: Any) -> None:
        """Build the model for these examples: by `build` if it has one, else by a call."""
        if type(self).build is not keras.Model.build:
            self.build(keras.tree.map_structure(lambda part: (None, *part.shape[1:]), x))
        else:
            self(keras.tree.map_structure(lambda v: keras.KerasTensor((None, *v.shape[1:])), x))

    def quantize(self, *args, **kwargs) -> None:
        """Quantize as `keras.Model.quantize` does, and discard functions compiled before."""
        super().quantize(*args, **kwargs)
        self.aside.views.clear()
        for layer in self.layers:
            if isinstance(layer, keras.Model):
                layer.predict_function = None

    def _need_weights(self, method: str) -> None:
        if not self.built:
            raise ValueError(
                f"{type(self).__name__} has no weights yet, expected a built model in `{method}`: "
                "fit it first, or call `build(input_shape)`."
            )
