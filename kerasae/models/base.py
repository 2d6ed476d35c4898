"""The base class of all models: a model defines its mathematics, this class everything else.

    found = compute(x)                      the output, and other results of the networks
    L_t   = terms(x, y, found)              the named terms of the loss, a number for each example
    L     = combine(terms)                  their sum by default
    loss  = (1/N) Σ_i w_i L_i  +  the losses of layers and regularizers

This file weights, averages, tracks and differentiates them, once for all models. A game is a model
with several players, each with its own networks and loss; an autoencoder has one player.
"""

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import keras
from keras import ops

from kerasae import checks
from kerasae.engine import devices, graphs, internals
from kerasae.engine.noise import Places
from kerasae.engine.optimizer_group import OptimizerGroup
from kerasae.engine.streams import predictions
from kerasae.engine.views import View
from kerasae.models.batch import Among, Batch, mean_over_samples, track
from kerasae.models.learner import Learner
from kerasae.models.players import Outcome, Player, Result

Tensor = Any
Found = dict[str, Any]


class Model(Learner):
    """A `keras.Model` that is defined by its mathematics.

    A subclass defines `compute` and `terms`, and names the terms in `parts`. It may define
    `combine`, `measures` (named in `measured`), `target`, `build`, `check_batch`, and for a game
    `players`. Its configuration is its constructor's arguments.

    Example:

    >>> import numpy as np
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
        return sum(mean_over_samples(term) for term in terms.values())

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

    def play(self, batch: Batch) -> list[Result]:
        """Play a round: each player takes a step in turn. Return the results of `move`."""
        return [result for player in self.players() for result in self.move(batch, player)]

    def input_shape_of_networks(self) -> Any:
        """Return the shape to build the model with, `None` if the networks do not determine it."""
        return None

    def check_batch(self, x: Any, y: Any, sample_weight: Any) -> None:
        """Raise `ValueError` for bad examples: all of an array, or a stream's first batch."""
        checks.check_array("x", x)

    # The base class defines the rest.

    def finish(self, arguments: dict[str, Any]) -> None:
        """Make a tracker for each part, and build the model if its shape is known."""
        super().finish(arguments)
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
        loss = self.combine({name: batch.rescaled(term) for name, term in terms.items()}, found)
        return Outcome(loss, terms, self.measures(x, y, found), found["output"], target)

    def move(self, batch: Batch, *players: str) -> list[Result]:
        """Take a step of one player, or of several at once with all gradients at one point."""
        steps = []
        for name in players:
            loss_fn = functools.partial(self._loss, name, batch, True)
            optimizer = self.optimizer
            if isinstance(optimizer, OptimizerGroup):
                optimizer = optimizer[name]
            variables = self.aside.variables or self.player_variables()
            steps.append((loss_fn, optimizer, variables[name]))
        return [result for _, result in self.descend(*steps)]

    def _loss(self, name: str, batch: Batch, training: bool) -> tuple[Tensor, Result]:
        """Return the loss to differentiate, and what to report."""
        with internals.whole_call(self):
            outcome = self.players()[name].turn(batch, training)
        weight = batch.weight
        sums = {part: batch.total(term, weight) for part, term in outcome.terms.items()}
        sums |= {part: batch.total(value, None) for part, value in outcome.measures.items()}
        whole, size = batch.total(batch.rescaled(outcome.loss), weight)
        added = self._added(name)
        (count,) = devices.totals(size)
        scalar = whole / count + added / devices.copies()  # gradients are summed over devices
        return scalar, Result(whole + added * size, sums, outcome.output, outcome.target)

    def _added(self, name: str) -> Tensor:
        """Return the losses that a player's layers and regularizers add to its own.

        A layer that belongs to several players adds to the loss of the first.
        """
        players, losses = self.players(), []
        if len(players) == 1:
            losses = self.losses
        else:
            names = list(players)
            earlier = [n for other in names[: names.index(name)] for n in players[other].networks]
            seen = {id(layer) for network in earlier for layer in graphs.layers_of(network)}
            for network in players[name].networks:
                layers = graphs.layers_of(network)
                own = [layer for layer in layers if id(layer) not in seen]
                whole = len(own) == len(layers)
                losses += (
                    network.losses if whole else [each for layer in own for each in layer.losses]
                )
        return sum((ops.sum(ops.cast(loss, "float32")) for loss in losses), 0.0)

    def learn(self, x, y, sample_weight):
        """Play a round on a batch and return the logs."""
        batch = Batch(x, y, sample_weight)
        return self._logs(batch, self.play(batch))

    def judge(self, x, y, sample_weight):
        """Evaluate every player's loss on a batch and return the logs."""
        batch = Batch(x, y, sample_weight)
        return self._logs(batch, [self._loss(name, batch, False)[1] for name in self.players()])

    def _logs(self, batch: Batch, results: list[Result]) -> dict[str, Tensor]:
        """Update the metrics, compiled ones with the first player's output; return the logs."""
        whole = sum(result.whole for result in results)
        sums = [(self.aside.loss, (whole, batch.count))]
        for result in results:
            sums += [(self.trackers[part], pair) for part, pair in result.sums.items()]
        track(sums)
        first = results[0]
        return self.compute_metrics(batch.x, first.target, first.output, batch.sample_weight)

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
