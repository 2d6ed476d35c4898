"""The step on PyTorch: `autograd.grad`, a sum over processes, and a fused optimizer.

Not `backward`: it would leave gradients behind for the next player, and wake the hooks of a
`DistributedDataParallel`, which knows nothing of players.
"""

from typing import Any

import keras
import torch

from kerasae.engine import devices, fused

Tensor = Any
Variables = list[keras.Variable]


def differentiate(model: keras.Model, optimizer: Any, loss_fn: Any, variables: Variables) -> tuple:
    """Return what `loss_fn` returned, and the gradients of the loss."""
    loss, results = loss_fn()
    values = [variable.value for variable in variables]
    gradients = torch.autograd.grad(optimizer.scale_loss(loss), values, allow_unused=True)
    gradients = devices.add_up_gradients(list(gradients))
    return (loss.detach(), _detached(results)), gradients


def _detached(value: Any) -> Any:
    if isinstance(value, tuple | list | dict):
        return keras.tree.map_structure(_detached, value)
    return value.detach() if isinstance(value, torch.Tensor) else value


def _as_tensors(data: Any) -> Any:
    """Return a batch as tensors: streams and `train_on_batch` give NumPy's arrays."""
    return keras.tree.map_structure(
        lambda value: value if value is None else keras.ops.convert_to_tensor(value), data
    )


def apply(optimizer: Any, gradients: list[Tensor], variables: Variables) -> None:
    """Take the optimizer's step, by PyTorch's fused one where that is the same arithmetic."""
    with torch.no_grad():
        if not fused.apply(optimizer, gradients, variables):
            optimizer.apply(gradients, variables)


def accumulate(variable: keras.Variable, value: Tensor) -> None:
    """Add a value to a variable, in place."""
    variable.value.data.add_(_detached(value))


class Step:
    """`train_step` and `test_step` as Keras calls them on PyTorch."""

    def train_step(self, data: Any) -> dict[str, Tensor]:
        """Take a step on a batch."""
        return self.learn(*keras.utils.unpack_x_y_sample_weight(_as_tensors(data)))

    def test_step(self, data: Any) -> dict[str, Tensor]:
        """Evaluate a batch."""
        return self.judge(*keras.utils.unpack_x_y_sample_weight(_as_tensors(data)))
