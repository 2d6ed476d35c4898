"""One step of learning, the same on every engine.

    θ ← θ − update(∂L / ∂θ)

`descend` differentiates one loss with respect to some variables and applies an optimizer; a game
calls it once for each player. The engines differ in how a gradient is taken and in how Keras
threads the state through a step, and in nothing else.
"""

from collections.abc import Callable
from typing import Any

import keras

Tensor = Any
Variables = list[keras.Variable]
LossFunction = Callable[[], tuple[Tensor, Any]]  # the loss, and any other results

# An engine's module has
#   differentiate(model, optimizer, loss_fn, variables): what `loss_fn` returned, and gradients of
#       the loss, which is scaled as the optimizer wants it;
#   apply(optimizer, gradients, variables): the optimizer's step;
#   accumulate(variable, value): the variable grows by the value;
#   Step: `train_step` and `test_step` as Keras calls them there.
if keras.backend.backend() == "jax":
    from kerasae.engine import on_jax as engine
elif keras.backend.backend() == "torch":
    from kerasae.engine import on_torch as engine
else:
    from kerasae.engine import on_tensorflow as engine


accumulate = engine.accumulate


class Stepper(engine.Step, keras.Model):
    """A Keras model that takes its steps itself.

    A subclass defines `learn` and `judge`, which run on every engine as they are written.
    """

    steps_to_come = 0  # of a `fit` whose compiling is left to the engine

    def learn(self, x: Any, y: Any, sample_weight: Any) -> dict[str, Tensor]:
        """Take a step on a batch and return the logs."""
        raise NotImplementedError(f"{type(self).__name__} does not define `learn`.")

    def judge(self, x: Any, y: Any, sample_weight: Any) -> dict[str, Tensor]:
        """Evaluate a batch and return the logs."""
        raise NotImplementedError(f"{type(self).__name__} does not define `judge`.")

    def descend(self, *steps: tuple[LossFunction, keras.optimizers.Optimizer, Variables]) -> list:
        """Take a step down each loss, with all gradients at the same point.

        Args:
            *steps: Triples of a function that returns the loss and anything else, of an
                optimizer, and of the variables that it moves. All that the gradient must pass
                through is computed inside the function. Without variables nothing moves.

        Returns:
            The results of each function, computed before the steps.
        """
        results, updates = [], []
        for loss_fn, optimizer, variables in steps:
            if not variables:  # a player that is frozen
                results.append(loss_fn())
                continue
            value, gradients = engine.differentiate(self, optimizer, loss_fn, variables)
            results.append(value)
            updates.append((optimizer, gradients, variables))
        for update in updates:
            engine.apply(*update)
        return results
