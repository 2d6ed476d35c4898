"""The step on JAX: a pure function of the state, and `jax.grad` of a pure function in it.

A `keras.StatelessScope` maps every variable to its value and collects what is assigned. The step
runs in one; the loss that is differentiated in another one inside, which does not see the outer
one and so maps all variables again.
"""

from collections.abc import Callable
from typing import Any

import jax
import keras

from kerasae.engine import internals

Tensor = Any
Variables = list[keras.Variable]


def _state(model: keras.Model) -> tuple[Variables, ...]:
    """Return all that a step may change, in the order in which Keras threads it."""
    return (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )


def differentiate(model: keras.Model, optimizer: Any, loss_fn: Any, variables: Variables) -> tuple:
    """Return what `loss_fn` returned, and the gradients of the loss."""
    state = [variable for part in _state(model) for variable in part]
    values = [variable.value for variable in state]

    def scaled_loss(player_values: list[Tensor]) -> tuple[Tensor, tuple]:
        # The player's variables once more: of two values for a variable, the later one counts.
        mapping = [*zip(state, values, strict=True)]
        mapping += zip(variables, player_values, strict=True)
        # What layers add to the loss can then be read as `losses` inside `loss_fn`.
        with keras.StatelessScope(mapping, collect_losses=True) as scope:
            loss, results = loss_fn()
            scaled = optimizer.scale_loss(loss)
        return scaled, (loss, results, [scope.get_current_value(variable) for variable in state])

    gradients, (loss, results, updated) = jax.grad(scaled_loss, has_aux=True)(
        [variable.value for variable in variables]
    )
    # Moving statistics, random states and metrics have moved on in the nested scope.
    for variable, value in zip(state, updated, strict=True):
        variable.assign(value)
    return (loss, results), gradients


def apply(optimizer: Any, gradients: list[Tensor], variables: Variables) -> None:
    """Take the optimizer's step."""
    if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer.apply(gradients, variables)
        return
    # Its `apply` assigns inside a traced condition, from which no value may leak.
    own = optimizer.variables
    new_values, new_own = optimizer.stateless_apply(
        [variable.value for variable in own],
        gradients,
        [variable.value for variable in variables],
    )
    for variable, value in zip([*variables, *own], [*new_values, *new_own], strict=True):
        variable.assign(value)


def accumulate(variable: keras.Variable, value: Tensor) -> None:
    """Add a value to a variable."""
    variable.assign_add(value)


class Step:
    """`train_step` and `test_step` as Keras calls them on JAX."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute as Keras does, which looks for layers and variables in its value.

        Only the state is set as it is: `fit` sets it at each step, and it holds fifty arrays.
        """
        if name == internals.STATE_OF_JAX:
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def train_step(self, state: tuple, data: Any) -> tuple[dict[str, Tensor], tuple]:
        """Take a step on a batch, as a pure function of the state."""
        return _stateless(self.learn, data, _state(self), state)

    def test_step(self, state: tuple, data: Any) -> tuple[dict[str, Tensor], tuple]:
        """Evaluate a batch, as a pure function of the state."""
        trainable, non_trainable, _, metrics = _state(self)
        return _stateless(self.judge, data, (trainable, non_trainable, metrics), state)


def _stateless(step: Callable, data: Any, parts: tuple, state: tuple) -> tuple:
    """Run a step with these values of the variables; return its logs and the new values."""
    pairs = zip(parts, state, strict=True)
    mapping = [pair for part, values in pairs for pair in zip(part, values, strict=True)]
    # Only in evaluation are losses read in this scope itself.
    with keras.StatelessScope(mapping, collect_losses=True) as scope:
        logs = step(*keras.utils.unpack_x_y_sample_weight(data))
    return logs, tuple([scope.get_current_value(v) for v in part] for part in parts)
