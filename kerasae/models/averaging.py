"""The average of a network's weights over the steps of its training.

θ̄ ← δ_t θ̄ + (1 − δ_t) θ,   δ_t = min(δ, (1 + t) / (10 + t))   after t steps
"""

import keras
from keras import ops

from kerasae import checks
from kerasae.engine import graphs


def start(name: str, network: keras.Model, average: float | None) -> keras.Model | None:
    """Return a copy of a network that will have the averaged weights, or `None` without δ.

    Args:
        name: Name of the network's argument.
        network: The network.
        average: δ, or `None`.
    """
    if average is None:
        return None
    checks.between("average", average, 0, 1)
    copy = graphs.copied(name, network)
    graphs.set_trainable(copy, False)
    return copy


def update(
    averaged: keras.Model,
    network: keras.Model,
    average: float,
    optimizer: keras.optimizers.Optimizer,
) -> None:
    """Update the averaged weights after a step of the optimizer."""
    t = ops.cast(optimizer.iterations, "float32")
    decay = ops.minimum(average, (1 + t) / (10 + t))
    for mean, weight in zip(averaged.weights, network.weights, strict=True):
        value = decay * ops.cast(mean, "float32") + (1 - decay) * ops.cast(weight, "float32")
        mean.assign(ops.cast(value, mean.dtype))
