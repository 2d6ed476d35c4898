"""Classification if some examples have no label, which −1 marks.

    −log p(c|x)                    cross entropy
    [argmax_c p(c|x) = label]      accuracy

Both are means over the examples that have a label. p(c|x) is the softmax of the logits.
"""

from typing import Any

import keras
from keras import ops

from kerasae.models.batch import Among

Tensor = Any


def cross_entropy(y: Any, logits: Tensor) -> Among:
    """Return −log p(c|x) of the examples that have a label.

    Args:
        y: Labels, `(n,)` or `(n, 1)`; −1 for none.
        logits: Logits of the classes, `(n, classes)`.
    """
    labels, labelled = labels_and_weights(y)
    losses = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    return Among(losses, labelled)


def accuracy(y: Any, logits: Tensor) -> Among:
    """Return 1 if the class with the largest logit is the label, else 0; as `cross_entropy`."""
    labels, labelled = labels_and_weights(y)
    right = ops.cast(ops.argmax(logits, axis=-1), "int32") == labels
    return Among(ops.cast(right, "float32"), labelled)


def labels_and_weights(y: Any) -> tuple[Tensor, Tensor]:
    """Return labels `(n,)` with 0 instead of −1; and 1 for examples with a label, 0 for others."""
    labels = ops.cast(ops.reshape(y, (-1,)), "int32")
    return ops.maximum(labels, 0), ops.cast(labels >= 0, "float32")
