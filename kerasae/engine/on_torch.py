"""The step on PyTorch: `autograd.grad`, a sum over processes, and a fused optimizer.

Not `backward`: it would leave gradients behind for the next player, and wake the hooks of a
`DistributedDataParallel`, which knows nothing of players.
"""

from typing import Any

import keras
import numpy as np
import torch

from kerasae.engine import devices, fused, internals

Tensor = Any
Variables = list[keras.Variable]

TINY = 1e-30  # less than any count but 0


def differentiate(model: keras.Model, optimizer: Any, loss_fn: Any, variables: Variables) -> tuple:
    """Return what `loss_fn` returned, and the gradients of the loss."""
    values = [internals.tensor(variable) for variable in variables]
    with torch.enable_grad():  # nothing else in a step is differentiated
        loss, results = loss_fn()
        gradients = torch.autograd.grad(optimizer.scale_loss(loss), values, allow_unused=True)
    gradients = devices.add_up_gradients(list(gradients))
    return (loss, results), gradients


def _as_tensors(data: Any) -> Any:
    """Return a batch as tensors: streams and `train_on_batch` give NumPy's arrays."""
    return keras.tree.map_structure(_as_tensor, data)


def _as_tensor(value: Any) -> Tensor | None:
    if value is None:
        return None
    plain = isinstance(value, np.ndarray) and value.dtype == np.float32
    if plain and value.flags.c_contiguous:  # not a flipped one, of which Keras makes a copy
        value = torch.as_tensor(value)  # at once: what Keras looks for is not in such an array
    return keras.ops.convert_to_tensor(value)


def apply(optimizer: Any, gradients: list[Tensor], variables: Variables) -> None:
    """Take the optimizer's step, by PyTorch's fused one where that is the same arithmetic."""
    if not fused.apply(optimizer, gradients, variables):
        optimizer.apply(gradients, variables)


def accumulate(variable: keras.Variable, value: Tensor) -> None:
    """Add a value to a variable, in place."""
    internals.tensor(variable).add_(value)


class AtOnce(keras.callbacks.Callback):
    """Makes Keras tell callbacks of a batch at once.

    Otherwise it wakes a thread for each batch, which takes a tenth of a small step from this one.
    """

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Do nothing: Keras asks only whether it is there."""


class Step:
    """`train_step` and `test_step` as Keras calls them on PyTorch."""

    def fit(self, *args, callbacks: Any = None, **kwargs) -> keras.callbacks.History:
        """Train as Keras does. A GPU is not waited for at each batch."""
        on_cpu = all(internals.tensor(each).device.type == "cpu" for each in self.variables)
        if on_cpu and not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = [*keras.tree.flatten(callbacks or []), AtOnce()]
        return super().fit(*args, callbacks=callbacks, **kwargs)

    def train_step(self, data: Any) -> dict[str, Tensor]:
        """Take a step on a batch."""
        with torch.no_grad():
            return self.learn(*keras.utils.unpack_x_y_sample_weight(_as_tensors(data)))

    def test_step(self, data: Any) -> dict[str, Tensor]:
        """Evaluate a batch."""
        return self.judge(*keras.utils.unpack_x_y_sample_weight(_as_tensors(data)))

    def get_metrics_result(self) -> dict[str, Tensor]:
        """Return the metrics' values; a mean takes Keras a dozen operations, and here two."""
        values = {}
        for metric in self.metrics:
            value = _mean(metric) if type(metric) is keras.metrics.Mean else metric.result()
            values |= value if isinstance(value, dict) else {metric.name: value}
        return values


def _mean(metric: keras.metrics.Mean) -> Tensor:
    """Return the mean, 0 if nothing was counted."""
    return internals.tensor(metric.total) / internals.tensor(metric.count).clamp(min=TINY)
