"""The loss L(y, x̂) of each example, from any loss that `compile` takes.

Keras's losses average over the last axis of an example or over all of its numbers, and then over
the batch. The models need one number for each example, which they weight, average and track.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from kerasae.engine import platform

Tensor = Any


class EachLoss:
    """A function that returns L(y, x̂) of each example of a batch, `(n,)`, in float32.

    Args:
        name: Name of the argument, for error messages.
        loss: A Keras loss: a name, a function, an object, or one of these in a list.

    Example:

    >>> squared = EachLoss("loss", "mse")
    >>> tuple(squared(ops.ones((2, 3)), ops.zeros((2, 3))).shape)
    (2,)
    """

    def __init__(self, name: str, loss: Any) -> None:
        while isinstance(loss, (list, tuple)) and len(loss) == 1:
            (loss,) = loss
        try:
            keras_loss = None if isinstance(loss, (list, tuple)) else keras.losses.get(loss)
        except (TypeError, ValueError):
            keras_loss = None
        if keras_loss is None:
            raise ValueError(f"`{name}` is {loss!r}, expected a Keras loss such as 'mse'.")
        self.call: Callable = keras_loss
        self.sums, smoothing, from_logits = False, 0.0, False
        if isinstance(keras_loss, keras.losses.Loss):
            self.call = keras_loss.call
            if keras_loss.reduction not in ("sum_over_batch_size", "mean", "sum"):
                raise ValueError(
                    f"`{name}` has the reduction {keras_loss.reduction!r}, expected "
                    "'sum_over_batch_size' or 'sum'."
                )
            self.sums = keras_loss.reduction == "sum"
            smoothing = getattr(keras_loss, "label_smoothing", 0.0)
            from_logits = getattr(keras_loss, "from_logits", False)
        function, kind = keras.losses.binary_crossentropy, keras.losses.BinaryCrossentropy
        # Its targets lie in [0, 1].
        self.is_cross_entropy = keras_loss is function or isinstance(keras_loss, kind)
        # It can be computed from the logits of a sigmoid; a subclass may be another function.
        self.accepts_logits = not from_logits and (
            keras_loss is function or type(keras_loss) is kind
        )
        self.smoothing = smoothing
        # A sparse loss compares a distribution over classes with the number of a class.
        self.is_sparse = keras_loss is keras.losses.sparse_categorical_crossentropy or isinstance(
            keras_loss, keras.losses.SparseCategoricalCrossentropy
        )
        self.ignored = getattr(keras_loss, "ignore_class", None) if self.is_sparse else None

    def __call__(
        self,
        y: Tensor,
        output: Tensor,
        logits: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> Tensor:
        """Return L(y, x̂) of each example; a binary cross entropy uses logits if they are given.

        Args:
            y: Targets.
            output: Reconstructions x̂.
            logits: Logits if x̂ = σ(logits), else `None`: faster, and exact even if σ is 0 or 1.
            weights: Weights of an example's numbers. Only `w / mean(w)` is used here, because the
                mean is the weight of the example.
        """
        y = ops.convert_to_tensor(y)
        if logits is not None and self.accepts_logits:
            y = ops.cast(y, "float32")
            if self.smoothing:
                y = y * (1 - self.smoothing) + 0.5 * self.smoothing
            logits = ops.cast(logits, "float32")
            values = ops.mean(platform.binary_cross_entropy(y, logits), axis=-1)
        else:
            values = self.call(ops.cast(y, "float32"), ops.cast(output, "float32"))
        axes = tuple(range(1, len(values.shape)))
        if weights is not None:
            values = values * _shares(weights, len(values.shape))
        if self.sums:  # also over the batch: the models' mean over it is n times too small
            return ops.cast(ops.shape(values)[0], "float32") * ops.sum(values, axis=axes)
        return ops.mean(values, axis=axes) if axes else values


def _shares(weights: Tensor, rank: int) -> Tensor:
    """Return w / mean(w) of each example, with as many axes as the weighted values."""
    weights = ops.cast(weights, "float32")
    while len(weights.shape) > rank:
        weights = ops.squeeze(weights, axis=-1)
    while len(weights.shape) < rank:
        weights = ops.expand_dims(weights, -1)
    mean = ops.mean(weights, axis=tuple(range(1, rank)), keepdims=True)
    return weights / ops.where(mean == 0, 1.0, mean)
