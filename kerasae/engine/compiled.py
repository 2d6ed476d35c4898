"""Compile functions of tensors, pure ones and those that read weights, as each engine does it."""

from collections.abc import Callable
from typing import Any

import keras

if keras.backend.backend() == "jax":
    import jax

    def _compiled(function: Callable) -> Callable:
        return jax.jit(function)

    def _reading(function: Callable, variables: list[keras.Variable]) -> Callable:
        @jax.jit
        def pure(values: list[Any], *args: Any) -> Any:
            with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
                return function(*args)

        return lambda *args: pure([variable.value for variable in variables], *args)

elif keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    def _compiled(function: Callable) -> Callable:
        return tf.function(function, reduce_retracing=True, autograph=False)

    def _reading(function: Callable, variables: list[keras.Variable]) -> Callable:
        return _compiled(function)

else:
    import torch

    def _compiled(function: Callable) -> Callable:
        return function

    def _reading(function: Callable, variables: list[keras.Variable]) -> Callable:
        return torch.no_grad()(function)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of tensors that is traced once; on PyTorch, as it is.

    Example:

    >>> import numpy as np
    >>> double = compiled(lambda x: 2 * x)
    >>> float(double(np.float32(3.0)))
    6.0
    """
    return _compiled(function)


def reading(function: Callable[..., Any], variables: list[keras.Variable]) -> Callable[..., Any]:
    """Return a function that is traced once and reads the variables' values anew at each call.

    Example:

    >>> import numpy as np
    >>> weight = keras.Variable(2.0)
    >>> times = reading(lambda x: weight * x, [weight])
    >>> _ = weight.assign(3.0)
    >>> float(times(np.float32(1.0)))
    3.0
    """
    return _reading(function, variables)
