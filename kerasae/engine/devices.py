"""Several devices share a batch: sums over all of them.

    loss of a batch = Σ_r Σ_{i on r} w_i L_i / N,    N examples in all, on the devices r = 1 … R

Each device differentiates its own part of this sum, and the gradients are added up: the result is
that of one device, also if the parts have different lengths. Under a `tf.distribute` strategy the
optimizer adds up; on PyTorch, with a process group, the engine does; on JAX a batch is one array,
wherever its parts lie, and nothing is left to add.
"""

from typing import Any

import keras
from keras import ops

Tensor = Any

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    def _rank() -> Tensor:
        context = tf.distribute.get_replica_context()
        return 0 if context is None else context.replica_id_in_sync_group

    def _add_up(values: list[Tensor]) -> list[Tensor]:
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, values)

elif keras.backend.backend() == "torch":
    import torch.distributed

    def _rank() -> Tensor:
        return torch.distributed.get_rank()

    def _add_up(values: list[Tensor]) -> list[Tensor]:
        whole = torch.cat([value.detach().reshape(-1) for value in values])  # one message for all
        torch.distributed.all_reduce(whole)
        parts = whole.split([value.numel() for value in values])
        return [part.reshape(value.shape) for part, value in zip(parts, values, strict=True)]


def copies() -> int:
    """Return R, the number of copies of the model that share a batch.

    Example:

    >>> copies()
    1
    """
    if keras.backend.backend() == "tensorflow":
        return tf.distribute.get_strategy().num_replicas_in_sync
    if keras.backend.backend() == "torch":
        started = torch.distributed.is_available() and torch.distributed.is_initialized()
        return torch.distributed.get_world_size() if started else 1
    return 1


def rank() -> Tensor:
    """Return the number of this copy of the model, from 0."""
    return _rank() if copies() > 1 else 0


def totals(*values: Tensor) -> list[Tensor]:
    """Return the sum of each value over all copies of the model, as a constant.

    Example:

    >>> totals(3.0, 4.0)
    [3.0, 4.0]
    """
    if copies() == 1:
        return list(values)
    return _add_up([ops.convert_to_tensor(value) for value in values])


def add_up_gradients(gradients: list[Tensor | None]) -> list[Tensor | None]:
    """Return the sum of each gradient over all processes; TensorFlow's optimizers do it themselves.

    What has no gradient here has none in any process.
    """
    if keras.backend.backend() != "torch" or copies() == 1:
        return gradients
    sums = iter(_add_up([gradient for gradient in gradients if gradient is not None]))
    return [None if gradient is None else next(sums) for gradient in gradients]


def begin_alike(variables: list[keras.Variable]) -> None:
    """Give every process the first one's values; under a strategy of TensorFlow they have them."""
    if keras.backend.backend() == "torch" and copies() > 1:
        for variable in variables:
            torch.distributed.broadcast(variable.value.data, 0)
