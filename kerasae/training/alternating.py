"""Games: models whose players minimize different losses over different variables.

    alternating:      θ_1 ← θ_1 − update_1(∂L_1(θ_1, θ_2) / ∂θ_1), then
                      θ_2 ← θ_2 − update_2(∂L_2(θ_1, θ_2) / ∂θ_2), which sees the new θ_1
    simultaneous:     both gradients at the same (θ_1, θ_2), then both updates

(Goodfellow et al., "Generative Adversarial Networks", 2014: k steps of the discriminator for each
step of the generator.) A model writes its round once with `AlternatingModel.minimize`, which
differentiates one player's loss with respect to that player's variables only and applies that
player's optimizer. The three backends differ in how a gradient is taken and in nothing else.
"""

from collections.abc import Callable, Mapping
from typing import Any

import keras

from kerasae.training.optimizer_group import OptimizerGroup
from kerasae.training.replicas import replicas, unscaled

Tensor = Any
LossFunction = Callable[[], Tensor]
Optimizer = keras.optimizers.Optimizer
Variables = list[keras.Variable]

# `_differentiate` returns the loss and its gradient with respect to the variables, the loss scaled
# as the optimizer wants it; `_apply` takes the optimizer's step.

if keras.backend.backend() == "jax":
    import jax

    def _state(model: keras.Model) -> tuple[Variables, ...]:
        """Return all that a step may change, in the order in which Keras threads it."""
        return (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )

    def _differentiate(
        model: keras.Model, optimizer: Optimizer, loss_fn: LossFunction, variables: Variables
    ) -> tuple[Tensor, list[Tensor]]:
        state = [variable for part in _state(model) for variable in part]
        values = [variable.value for variable in state]

        def scaled_loss(player_values: list[Tensor]) -> tuple[Tensor, tuple[Tensor, list[Tensor]]]:
            # A nested scope does not see the outer one, so it maps the whole state, and then the
            # player's variables again: the later value counts.
            mapping = [*zip(state, values, strict=True)]
            mapping += zip(variables, player_values, strict=True)
            # What layers add to the loss can then be read as `self.losses` inside `loss_fn`.
            with keras.StatelessScope(mapping, collect_losses=True) as scope:
                loss = loss_fn()
                scaled = optimizer.scale_loss(loss)
            return scaled, (loss, [scope.get_current_value(variable) for variable in state])

        gradients, (loss, updated) = jax.grad(scaled_loss, has_aux=True)(
            [variable.value for variable in variables]
        )
        # Moving statistics, random states and metrics have moved on in the nested scope.
        for variable, value in zip(state, updated, strict=True):
            variable.assign(value)
        return loss, gradients

    def _apply(optimizer: Optimizer, gradients: list[Tensor], variables: Variables) -> None:
        if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            optimizer.apply(gradients, variables)
            return
        # Its `apply` assigns inside a traced condition, from which no value may leak.
        own, known = optimizer.variables, optimizer._trainable_variables
        gradient_of = {id(v): gradient for v, gradient in zip(variables, gradients, strict=True)}
        new_values, new_own = optimizer.stateless_apply(
            [variable.value for variable in own],
            [gradient_of.get(id(variable)) for variable in known],
            [variable.value for variable in known],
        )
        for variable, value in zip([*known, *own], [*new_values, *new_own], strict=True):
            variable.assign(value)

elif keras.backend.backend() == "torch":
    import torch

    def _differentiate(
        model: keras.Model, optimizer: Optimizer, loss_fn: LossFunction, variables: Variables
    ) -> tuple[Tensor, list[Tensor]]:
        loss = loss_fn()
        # Not `backward`, which would leave gradients behind for the next player.
        gradients = torch.autograd.grad(
            optimizer.scale_loss(loss), [v.value for v in variables], allow_unused=True
        )
        return loss.detach(), list(gradients)

    def _apply(optimizer: Optimizer, gradients: list[Tensor], variables: Variables) -> None:
        with torch.no_grad():
            optimizer.apply(gradients, variables)

else:
    import tensorflow as tf

    def _differentiate(
        model: keras.Model, optimizer: Optimizer, loss_fn: LossFunction, variables: Variables
    ) -> tuple[Tensor, list[Tensor]]:
        values = [variable.value for variable in variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            loss = loss_fn()
            scaled = optimizer.scale_loss(loss) / replicas()  # whose gradients are added up
        return loss, tape.gradient(scaled, values)

    def _apply(optimizer: Optimizer, gradients: list[Tensor], variables: Variables) -> None:
        optimizer.apply(gradients, variables)


class AlternatingModel(keras.Model):
    """A model whose players take turns.

    A subclass defines `player_variables`, `play`, `call`, and `compute_loss` for validation. It
    also combines with another model class: `class AdversarialAutoencoder(AlternatingModel,
    Autoencoder)`. Every part of the loss is a `keras.metrics.Mean` made in `__init__` and updated
    in both `play` and `compute_loss`: it appears under its own name in the logs, averaged over
    the epoch, in training and validation alike.

    A loss is a plain mean over the batch. Where several devices share the batch, it is over each
    device's part, and gradients are averaged; a loss that Keras took the mean of goes through
    `kerasae.training.replicas.unscaled` first.

    Example:

    ```python
    class GAN(AlternatingModel):
        def __init__(self, generator, discriminator):
            super().__init__()
            self.generator, self.discriminator = generator, discriminator
            self.seed = keras.random.SeedGenerator()

        def player_variables(self):
            return {
                "discriminator": self.discriminator.trainable_variables,
                "generator": self.generator.trainable_variables,
            }

        def call(self, z, training=False):
            return self.generator(z, training=training)

        def fake_score(self, x):
            z = keras.random.normal(keras.ops.shape(x), seed=self.seed)
            return self.discriminator(self.generator(z, training=True), training=True)

        def play(self, x, y, sample_weight):
            d_loss = self.minimize(
                lambda: keras.ops.mean(
                    keras.ops.softplus(self.fake_score(x))
                    + keras.ops.softplus(-self.discriminator(x, training=True))
                ),
                "discriminator",
            )
            g_loss = self.minimize(
                lambda: keras.ops.mean(keras.ops.softplus(-self.fake_score(x))), "generator"
            )
            return d_loss + g_loss


    networks = [keras.Sequential([keras.Input((2,)), keras.layers.Dense(n)]) for n in (2, 1)]
    gan = GAN(*networks)
    gan.compile(optimizer={"generator": "adam", "discriminator": keras.optimizers.Adam(4e-4)})
    history = gan.fit(keras.random.normal((64, 2)), verbose=0)
    ```
    """

    # Whether `call` takes the examples of `fit`. A GAN's takes noise: in validation it is not
    # called, and `compute_loss` gets no `y_pred`.
    takes_examples = True

    def player_variables(self) -> dict[str, Variables]:
        """Return player name → the trainable variables which that player moves.

        A variable may belong to several players.
        """
        raise NotImplementedError(
            f"{type(self).__name__} does not define `player_variables`: expected a method that "
            "returns a dict from each player's name to its trainable variables."
        )

    def play(self, x: Tensor, y: Tensor | None, sample_weight: Tensor | None) -> Tensor:
        """Play one round on a batch with `minimize` and return the scalar to log as `loss`."""
        raise NotImplementedError(
            f"{type(self).__name__} does not define `play`: expected a method that takes "
            "(x, y, sample_weight), calls `minimize`, and returns the loss to log."
        )

    def minimize(
        self, loss_fn: LossFunction, player: str, variables: Variables | None = None
    ) -> Tensor:
        """Take one step of one player down its loss.

        Args:
            loss_fn: a function of nothing that returns the player's scalar loss. All that the
                gradient must pass through is computed inside it.
            player: whose variables and whose optimizer.
            variables: some of the player's variables, to move those only.

        Returns:
            The loss before the step.
        """
        optimizer = self.optimizer[player]
        if variables is None:
            variables = self.optimizer.player_variables(player)
        loss, gradients = _differentiate(self, optimizer, loss_fn, variables)
        _apply(optimizer, gradients, variables)
        return loss

    def minimize_together(self, losses: Mapping[str, LossFunction]) -> dict[str, Tensor]:
        """Take one step of several players, with all gradients at the same point.

        Args:
            losses: player name → the function that returns its scalar loss, as in `minimize`.

        Returns:
            Player name → its loss before the step.
        """
        values, updates = {}, []
        for player, loss_fn in losses.items():
            optimizer = self.optimizer[player]
            variables = self.optimizer.player_variables(player)
            values[player], gradients = _differentiate(self, optimizer, loss_fn, variables)
            updates.append((optimizer, gradients, variables))
        for update in updates:
            _apply(*update)
        return values

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        *,
        auto_scale_loss: bool = True,
        **kwargs: Any,
    ) -> None:
        """Configure training; arguments not named here are Keras's.

        Args:
            optimizer: player name → optimizer, or one optimizer, cloned for each player, or an
                `OptimizerGroup`, used as it is.
            loss: as in Keras, for a `compute_loss` that uses it.
            auto_scale_loss: under the policy mixed_float16, wrap each player's optimizer in a
                `keras.optimizers.LossScaleOptimizer`.
            **kwargs: further arguments of `keras.Model.compile`.
        """
        players = tuple(self.player_variables())
        if not isinstance(optimizer, OptimizerGroup):
            optimizer = (
                OptimizerGroup(optimizer)
                if isinstance(optimizer, Mapping)
                else OptimizerGroup.cloned(optimizer, players)
            )
            if auto_scale_loss and self.dtype_policy.name == "mixed_float16":
                optimizer.scale_losses()
        if set(optimizer.players) != set(players):
            raise ValueError(
                f"`optimizer` names the players {', '.join(optimizer.players) or 'none'}: "
                f"expected {', '.join(players)}."
            )
        super().compile(optimizer=optimizer, loss=loss, auto_scale_loss=False, **kwargs)
        optimizer.split = self.player_variables

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as the saved config says and make the optimizers ready for their saved state."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.player_variables())

    def compute_loss(
        self,
        x: Tensor = None,
        y: Tensor | None = None,
        y_pred: Tensor | None = None,
        sample_weight: Tensor | None = None,
        training: bool = True,
    ) -> Tensor:
        """Return the loss that validation reports; the model (or `compile(loss=...)`) defines it.

        Training does not call it: there, `play` says what happens.
        """
        inherited = super().compute_loss
        if inherited.__func__ is keras.Model.compute_loss and self.loss is None:
            raise NotImplementedError(
                f"{type(self).__name__} has no loss to validate with: expected it to define "
                "`compute_loss`, or `loss` in `compile`."
            )
        return unscaled(inherited(x, y, y_pred, sample_weight, training=training))

    def _play_and_log(self, data: Any) -> dict[str, Tensor]:
        """Play one round on a batch, update the metrics and return the logs."""
        if not self.optimizer.built:  # TensorFlow leaves this to the first step
            self._symbolic_build(data_batch=data)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        loss = self.play(x, y, sample_weight)
        batch_size = keras.ops.shape(keras.tree.flatten(x)[0])[0]
        self._loss_tracker.update_state(loss, sample_weight=batch_size)
        # A round makes no prediction of its own: metrics given to `compile` cost a pass.
        y_pred = None if self._compile_metrics is None else self(x, training=False)
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def _validate_and_log(self, data: Any) -> dict[str, Tensor]:
        """Hold a batch against `compute_loss` and return the logs."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        y_pred = self(x, training=False) if self.takes_examples else None
        loss = self.compute_loss(x, y, y_pred, sample_weight, training=False)
        batch_size = keras.ops.shape(keras.tree.flatten(x)[0])[0]
        self._loss_tracker.update_state(loss, sample_weight=batch_size)
        return self.compute_metrics(x, y, y_pred, sample_weight)

    if keras.backend.backend() == "jax":

        def train_step(self, state: tuple, data: Any) -> tuple[dict[str, Tensor], tuple]:
            """Run one round on a batch, as a pure function of the state."""
            return self._stateless(self._play_and_log, data, _state(self), state)

        def test_step(self, state: tuple, data: Any) -> tuple[dict[str, Tensor], tuple]:
            """Validate on a batch, as a pure function of the state."""
            if self.takes_examples:
                return super().test_step(state, data)
            trainable, non_trainable, _, metrics = _state(self)
            parts = trainable, non_trainable, metrics
            return self._stateless(self._validate_and_log, data, parts, state)

        def _stateless(
            self, step: Callable, data: Any, parts: tuple[Variables, ...], state: tuple
        ) -> tuple[dict[str, Tensor], tuple]:
            """Run a step with these values of the variables; return its logs and the new values."""
            mapping = [
                pair
                for part, values in zip(parts, state, strict=True)
                for pair in zip(part, values, strict=True)
            ]
            with keras.StatelessScope(mapping) as scope:
                logs = step(data)
            return logs, tuple([scope.get_current_value(v) for v in part] for part in parts)

    else:

        def train_step(self, data: Any) -> dict[str, Tensor]:
            """Run one round on a batch."""
            return self._play_and_log(data)

        def test_step(self, data: Any) -> dict[str, Tensor]:
            """Validate on a batch."""
            return self._validate_and_log(data)
