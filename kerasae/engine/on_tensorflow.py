"""The step on TensorFlow: a tape around the loss; the optimizer adds up what replicas found."""

from typing import Any

import keras
import tensorflow as tf

Tensor = Any
Variables = list[keras.Variable]


def differentiate(model: keras.Model, optimizer: Any, loss_fn: Any, variables: Variables) -> tuple:
    """Return what `loss_fn` returned, and the gradients of the loss."""
    values = [variable.value for variable in variables]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(values)
        loss, found = loss_fn()
        scaled = optimizer.scale_loss(loss)
    return (loss, found), tape.gradient(scaled, values)


def apply(optimizer: Any, gradients: list[Tensor], variables: Variables) -> None:
    """Take the optimizer's step."""
    optimizer.apply(gradients, variables)


def accumulate(variable: keras.Variable, value: Tensor) -> None:
    """Add a value to a variable."""
    variable.assign_add(value)


class Step:
    """`train_step` and `test_step` as Keras calls them on TensorFlow."""

    def train_step(self, data: Any) -> dict[str, Tensor]:
        """Take a step on a batch."""
        return self.learn(*keras.utils.unpack_x_y_sample_weight(data))

    def test_step(self, data: Any) -> dict[str, Tensor]:
        """Evaluate a batch."""
        return self.judge(*keras.utils.unpack_x_y_sample_weight(data))
