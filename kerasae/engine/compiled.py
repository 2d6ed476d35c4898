"""Compile a pure function of tensors, as each engine does it."""

from collections.abc import Callable
from typing import Any

import keras

if keras.backend.backend() == "jax":
    import jax

    def _compiled(function: Callable) -> Callable:
        return jax.jit(function)

elif keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    def _compiled(function: Callable) -> Callable:
        return tf.function(function, reduce_retracing=True)

else:

    def _compiled(function: Callable) -> Callable:
        return function


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of tensors that is traced once; on PyTorch, as it is.

    Example:

    >>> import numpy as np
    >>> double = compiled(lambda x: 2 * x)
    >>> float(double(np.float32(3.0)))
    6.0
    """
    return _compiled(function)
