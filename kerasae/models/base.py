"""The base class of all models: a model defines its mathematics, this class everything else.

    found = compute(x)                      the output, and other results of the networks
    L_t   = terms(x, y, found)              the named terms of the loss, a number for each example
    L     = combine(terms)                  their sum by default
    loss  = (1/N) Σ_i w_i L_i  +  the losses of layers and regularizers

This file weights, averages, tracks and differentiates them, once for all models. A game is a model
with several players, each with its own networks and loss; an autoencoder has one player.
"""

import dataclasses
import functools
import inspect
import math
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Self

import keras
import numpy as np
from keras import ops

from kerasae import checks, presets
from kerasae.engine import arguments, devices, graphs, internals
from kerasae.engine.noise import Places
from kerasae.engine.optimizer_group import OptimizerGroup, portable
from kerasae.engine.randomness import random_states
from kerasae.engine.step import Stepper, accumulate
from kerasae.engine.streams import is_stream, predictions, stream
from kerasae.engine.views import View

Tensor = Any
Found = dict[str, Any]

RANDOM = "random"  # the name under which a file holds the state of the random numbers


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


class Outcome(NamedTuple):
    """A player's results on a batch."""

    loss: Tensor | Among  # a number for each example
    terms: dict[str, Tensor | Among]  # the loss's parts: tracked, with the examples' weights
    measures: Mapping[str, Tensor | Among] = MappingProxyType({})  # tracked without weights
    output: Tensor | None = None  # `y_pred` of compiled metrics
    target: Tensor | None = None  # `y_true` of compiled metrics


class Player(NamedTuple):
    """Networks, and the loss that is differentiated with respect to their variables."""

    networks: list[keras.layers.Layer]
    turn: Callable[["Batch", bool], Outcome]  # (batch, training) ↦ results


@dataclasses.dataclass
class _Aside:
    """A model's state that Keras must neither track nor save."""

    arguments: dict[str, Any]  # of the constructor
    compiled: dict[str, Any] = dataclasses.field(default_factory=dict)  # arguments of `compile`
    loss: keras.metrics.Mean | None = None  # the metric `loss`
    variables: dict[str, list[keras.Variable]] = dataclasses.field(default_factory=dict)
    views: dict[str, Any] = dataclasses.field(default_factory=dict)


class _Constructed(type(keras.Model)):
    """Metaclass that finishes a model after the last line of its class's constructor."""

    def __call__(cls, *args, **kwargs):
        model = super().__call__(*args, **kwargs)
        model._finish(_arguments(cls, args, kwargs))
        return model


class Model(Stepper, metaclass=_Constructed):
    """A `keras.Model` that is defined by its mathematics.

    A subclass defines `compute` and `terms`, and names the terms in `parts`. It may define
    `combine`, `measures` (named in `measured`), `target`, `build`, `check_batch`, and for a game
    `players`. Its configuration is its constructor's arguments.

    Example:

    >>> class Line(Model):
    ...     parts = ("squares",)
    ...     def __init__(self, **kwargs):
    ...         super().__init__(**kwargs)
    ...         self.slope = self.add_weight(shape=(), name="slope")
    ...     def compute(self, x, training):
    ...         return {"output": self.slope * x}
    ...     def terms(self, x, y, found):
    ...         return {"squares": ops.sum(ops.square(y - found["output"]), axis=-1)}
    >>> line = Line()
    >>> line.compile(keras.optimizers.SGD(0.1))
    >>> x = np.ones((8, 1), "float32")
    >>> history = line.fit(x, 3 * x, epochs=50, verbose=0)
    >>> round(float(line.slope), 3)
    3.0
    """

    parts: tuple[str, ...] = ()  # names of the terms; the smaller, the better
    # Names of the measures, and which direction is better, "max" or "min".
    measured: Mapping[str, str | None] = MappingProxyType({})
    loss_is = "the constructor's arguments define the loss and its weights"

    def __init_subclass__(cls, **kwargs) -> None:
        super().__init_subclass__(**kwargs)
        if "compute_loss" in vars(cls):
            raise TypeError(f"`compute_loss` of {cls.__name__} is never called: define `terms`.")

    # A model defines these.

    def compute(self, x: Any, training: bool) -> Found:
        """Return the results of the networks: `output`, and whatever `terms` needs."""
        raise NotImplementedError(f"{type(self).__name__} does not define `compute`.")

    def terms(self, x: Any, y: Any, found: Found) -> dict[str, Tensor | Among]:
        """Return the terms of the loss by their names, each of shape `(n,)`.

        A term may also be a number for the whole batch, `()`, several samples of each example,
        `(k, n)`, which are averaged, or an `Among` for a mean over some of the examples.
        `found["training"]` is True in a training step. The base class applies the examples'
        weights.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define `terms`.")

    def combine(self, terms: dict[str, Tensor], found: Found) -> Tensor:
        """Return the loss of each example: the sum of the terms."""
        return sum(_one_each(term) for term in terms.values())

    def measures(self, x: Any, y: Any, found: Found) -> dict[str, Tensor | Among]:
        """Return numbers to track beside the loss, in the same shapes as terms."""
        return {}

    def target(self, x: Any, y: Any, found: Found) -> Any:
        """Return the target of the output: `y`, or the input if there is no `y`.

        Compiled metrics call this again with the target as `y`, which must return it unchanged.
        Before the first step Keras calls it with the original `y`. In both calls `found` holds only
        the output.
        """
        return x if y is None else y

    def players(self) -> dict[str, Player]:
        """Return the players by their names, in the order of play."""
        return {"model": Player([self], self.turn)}

    def play(self, batch: Batch) -> list[tuple]:
        """Play a round: each player takes a step in turn. Return the results of `move`."""
        return [result for player in self.players() for result in self.move(batch, player)]

    def input_shape_of_networks(self) -> Any:
        """Return the shape to build the model with, `None` if the networks do not determine it."""
        return None

    def check_batch(self, x: Any, y: Any, sample_weight: Any) -> None:
        """Raise `ValueError` for bad examples: all of an array, or a stream's first batch."""
        checks.check_array("x", x)

    # The base class defines the rest.

    def _finish(self, arguments: dict[str, Any]) -> None:
        object.__setattr__(self, "aside", _Aside(arguments))
        names = (*self.parts, *self.measured)
        self.trackers = {name: keras.metrics.Mean(name=name) for name in names}
        shape = self.input_shape_of_networks()
        if shape is not None and not self.built:
            self.build(shape)

    def call(self, x, training=False):
        """Return the output of `compute`."""
        return self.found(x, training)["output"]

    def all_terms(self, x: Any, y: Any, found: Found) -> dict[str, Tensor | Among]:
        """Return the terms, and those that a class of models adds to every subclass's."""
        return self.terms(x, y, found)

    def found(self, x: Any, training: bool) -> Found:
        """Return the results of `compute` and `training`."""
        return {"training": training, **self.compute(x, training)}

    def noise(self, training: bool) -> Any:
        """Return the seed of the model's noise.

        In training every draw is new. In evaluation the noise depends on an example's position
        only: it is the same in each evaluation, whatever the batches are.
        """
        if training:
            return self.seed_generator
        return Places(self.aside.loss.count if self.compiled else 0)

    def turn(self, batch: Batch, training: bool) -> Outcome:
        """Return the loss of the model's only player."""
        x, y, weights = batch
        found = self.found(x, training)
        if weights is not None and len(weights.shape) > 1:
            found["weights"] = weights
        target = self.target(x, y, found)
        terms = self.all_terms(x, target, found)
        each = {name: _spread(term, batch.count) for name, term in terms.items()}
        loss = self.combine(each, found)
        return Outcome(loss, terms, self.measures(x, y, found), found["output"], target)

    def move(self, batch: Batch, *players: str) -> list[tuple]:
        """Take a step of one player, or of several at once with all gradients at one point.

        Return the batch's sum of the loss, the output and the target of each.
        """
        steps = []
        for name in players:
            loss_fn = functools.partial(self._loss, name, batch, True)
            optimizer = self.optimizer
            if isinstance(optimizer, OptimizerGroup):
                optimizer = optimizer[name]
            variables = self.aside.variables or self.player_variables()
            steps.append((loss_fn, optimizer, variables[name]))
        return [result for _, result in self.descend(*steps)]

    def _loss(self, name: str, batch: Batch, training: bool) -> tuple[Tensor, tuple]:
        """Return the loss to differentiate; and the batch's sum of losses, output and target."""
        with internals.whole_call(self):
            outcome = self.players()[name].turn(batch, training)
        size, weight = batch.count, batch.weight
        for part, term in outcome.terms.items():
            _add(self.trackers[part], *_sum(term, size, weight))
        for part, value in outcome.measures.items():
            _add(self.trackers[part], *_sum(value, size, None))
        loss = _one_each(_spread(outcome.loss, size))
        if not len(loss.shape):
            loss = ops.broadcast_to(loss, (batch.size,))
        whole = ops.sum(loss if weight is None else weight * loss)
        added = self._added(name)
        (count,) = devices.totals(size)
        scalar = whole / count + added / devices.copies()  # gradients are summed over devices
        return scalar, (whole + added * size, outcome.output, outcome.target)

    def _added(self, name: str) -> Tensor:
        """Return the losses that a player's layers and regularizers add to its own.

        A layer that belongs to several players adds to the loss of the first.
        """
        players = self.players()
        if len(players) == 1:
            return _total(self.losses)
        names = list(players)
        earlier = [n for other in names[: names.index(name)] for n in players[other].networks]
        seen = {id(layer) for network in earlier for layer in graphs.layers_of(network)}
        added = 0.0
        for network in players[name].networks:
            layers = graphs.layers_of(network)
            own = [layer for layer in layers if id(layer) not in seen]
            added = added + _total(
                network.losses
                if len(own) == len(layers)
                else [loss for layer in own for loss in layer.losses]
            )
        return added

    def learn(self, x, y, sample_weight):
        """Play a round on a batch and return the logs."""
        batch = Batch(x, y, sample_weight)
        return self._logs(batch, self.play(batch))

    def judge(self, x, y, sample_weight):
        """Evaluate every player's loss on a batch and return the logs."""
        batch = Batch(x, y, sample_weight)
        return self._logs(batch, [self._loss(name, batch, False)[1] for name in self.players()])

    def _logs(self, batch: Batch, results: list) -> dict[str, Tensor]:
        """Update the metrics with the first player's output and return the logs."""
        whole = sum(whole for whole, *_ in results)
        _add(self.aside.loss, whole, batch.count)
        _, output, target = results[0]
        return self.compute_metrics(batch.x, target, output, batch.sample_weight)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Update the compiled metrics."""
        if y_pred is not None:
            y = self.target(x, y, {"output": y_pred})
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def view(self, method: str) -> Callable[[Any, int], Any]:
        """Return a method of a batch as a function of (x, batch size) that returns NumPy arrays."""
        views = self.aside.views
        if method not in views:
            views[method] = View(self, getattr(self, method))

        def run(x: Any, batch_size: int) -> Any:
            return predictions(views[method], x, checks.whole_number("batch_size", batch_size))

        return run

    # Training, with Keras's interface.

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
        given = {"jit_compile": jit_compile, "auto_scale_loss": auto_scale_loss}
        self.aside.compiled = kwargs | given
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
        found = {}
        for name, player in self.players().items():
            variables = [v for network in player.networks for v in network.trainable_variables]
            found[name] = list({id(variable): variable for variable in variables}.values())
        return found

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
        callbacks = self._directed(callbacks)
        x, y, sample_weight = data
        history = super().fit(
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
        losses = history.history.get("loss", [0.0])
        if not math.isfinite(losses[-1]):
            first = next(i for i, value in enumerate(losses) if not math.isfinite(value))
            warnings.warn(
                f"The loss is {losses[-1]} from epoch {history.epoch[first] + 1} on, expected "
                "finite numbers: a smaller learning rate, or data of a smaller range, may help.",
                stacklevel=2,
            )
        return history

    def _directed(self, callbacks: Any) -> Any:
        """Set the `mode` of callbacks that monitor a term or measure.

        Keras infers it for `loss` and for compiled metrics only.
        """
        ways = {**dict.fromkeys(self.parts, "min"), **self.measured}
        each = getattr(callbacks, "callbacks", callbacks)
        for callback in keras.tree.flatten(each or []):
            way = ways.get(str(getattr(callback, "monitor", "")).removeprefix("val_"))
            if way is not None and getattr(callback, "mode", None) == "auto":
                callback.mode = way
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
                y = x["x"] if named else x  # Keras drops the weights if there is no target.
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

    # Files.

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, with networks and other Keras objects serialized."""
        serialize = keras.saving.serialize_keras_object
        base = {"name": self.name, "trainable": self.trainable, "dtype": self.dtype_policy}
        config = {**base, **self.aside.arguments}
        return {name: serialize(value) for name, value in config.items()}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects=None) -> Self:
        """Make a model from `get_config()`, its networks included."""
        return cls(
            **{
                name: keras.saving.deserialize_keras_object(value, custom_objects)
                for name, value in config.items()
            }
        )

    def save_own_variables(self, store: Any) -> None:
        """Save the model's own variables and the state of the random numbers, which Keras omits."""
        super().save_own_variables(store)
        states = [ops.convert_to_numpy(state) for state in random_states(self)]
        if states:
            store[RANDOM] = np.stack(states).astype("int64")

    def load_own_variables(self, store: Any) -> None:
        """Load the variables and the random state, so that training resumes with the next noise."""
        states = random_states(self)
        if RANDOM in store.keys() and len(store[RANDOM]) == len(states):
            for state, saved in zip(states, np.asarray(store[RANDOM]), strict=True):
                state.assign(saved)
        super().load_own_variables({key: store[key] for key in store.keys() if key != RANDOM})

    def save_to_preset(self, folder: str | Path, dtype: str = "float32") -> None:
        """Write `config.json`, `metadata.json` and `model.weights.h5` to `folder`.

        Args:
            folder: A new folder, or the folder of an earlier preset.
            dtype: Type of the weights on disk: `"float16"` halves the size and keeps three
                digits.
        """
        presets.save(self, folder, dtype)

    @classmethod
    def from_preset(cls, name: str | Path) -> Self:
        """Read a model of this class or of a subclass.

        Args:
            name: A preset of the zoo (`kerasae.zoo.presets()` lists them), a folder that
                `save_to_preset` wrote, or `hf://owner/name` on the Hugging Face hub.
        """
        return presets.load(cls, name)


def _sum(term: Tensor | Among, size: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the sum of a term over the batch, and the number of examples in it."""
    if isinstance(term, Among):
        values, counts = term
        size = ops.sum(counts)
        values = counts * values
    else:
        values = _one_each(term)
        if not len(values.shape):  # one number for the whole batch
            values = values * (size if weight is None else 1.0)
    return ops.sum(values if weight is None else weight * values), size


def _add(tracker: keras.metrics.Mean, whole: Tensor, size: Tensor) -> None:
    """Add a batch's sum to an epoch's, so that a shorter last batch counts less."""
    whole, size = devices.totals(whole, size)
    accumulate(tracker.total, whole)
    accumulate(tracker.count, size)


def _total(losses: list[Tensor]) -> Tensor:
    return sum((ops.sum(ops.cast(loss, "float32")) for loss in losses), 0.0)


def _one_each(term: Tensor) -> Tensor:
    """Average several samples of each example, `(k, n)`."""
    return ops.mean(term, axis=0) if len(term.shape) > 1 else term


def _spread(term: Tensor | Among, size: Tensor) -> Tensor:
    """Rescale a mean over some examples, so that it is the mean of the result over all."""
    if not isinstance(term, Among):
        return term
    counts, size = devices.totals(ops.sum(term.counts), size)
    return term.values * term.counts * size / ops.maximum(counts, 1.0)


def _arguments(cls: type, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the constructor's arguments of a model, defaults included.

    An argument that a constructor passes on to its parent has the parent's default.
    """
    found: dict[str, Any] = {}
    for parent in cls.__mro__:
        if parent is Model:
            break
        if "__init__" not in vars(parent):
            continue
        parameters = list(inspect.signature(parent.__init__).parameters.values())[1:]
        named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        for parameter in named:
            if parameter.default is not parameter.empty:
                found.setdefault(parameter.name, parameter.default)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
    signature = inspect.signature(cls.__init__)
    first, *_ = signature.parameters  # the model itself
    for name, value in signature.bind(None, *args, **kwargs).arguments.items():
        handed_on = signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
        found |= value if handed_on else {name: value}
    del found[first]
    for name in ("name", "trainable", "dtype"):  # Keras's own arguments, which it may have changed
        found.pop(name, None)
    return found
