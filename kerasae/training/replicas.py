"""Several devices: how many copies of a model share a batch.

    gradient of a batch = Σ_r ∂(L_r / R)/∂θ      L_r: the mean loss of the examples that copy r sees

Under a `tf.distribute` strategy R copies each see a share of the batch, and optimizers add up
their gradients: what is differentiated must be divided by R. Keras divides the losses that it
takes means of itself, and no other. Elsewhere R = 1: on JAX a batch is one array, wherever its
parts lie, and on PyTorch the loop is the user's own.
"""

from typing import Any

import keras

Tensor = Any


def replicas() -> int:
    """How many copies of the model share a batch: R.

    Example:

    >>> replicas()
    1
    """
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def unscaled(loss: Tensor) -> Tensor:
    """The mean over this copy's examples, from a loss that Keras has divided by R.

    Example:

    >>> unscaled(2.0)
    2.0
    """
    return loss * replicas() if replicas() > 1 else loss
