"""Call a function of NumPy arrays in a step, which an engine may have compiled."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

Tensor = Any
Function = Callable[..., np.ndarray]

if keras.backend.backend() == "jax":
    import jax

    def _on_host(function: Function, shape: tuple, dtype: str, *tensors: Tensor) -> Tensor:
        return jax.pure_callback(function, jax.ShapeDtypeStruct(shape, dtype), *tensors)

elif keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    def _on_host(function: Function, shape: tuple, dtype: str, *tensors: Tensor) -> Tensor:
        result = tf.numpy_function(function, tensors, dtype)
        return tf.ensure_shape(result, [size if isinstance(size, int) else None for size in shape])

else:
    import torch

    def _on_host(function: Function, shape: tuple, dtype: str, *tensors: Tensor) -> Tensor:
        arrays = [tensor.detach().cpu().numpy() for tensor in tensors]
        return torch.as_tensor(function(*arrays)).to(tensors[0].device)


def on_host(function: Function, shape: tuple, dtype: str, *tensors: Tensor) -> Tensor:
    """Return what a function of NumPy arrays gives for tensors; nothing is differentiated.

    Args:
        function: Takes arrays and returns an array.
        shape: Shape of the result.
        dtype: Type of the result.
        *tensors: What it is called with.

    Example:

    >>> x = keras.ops.convert_to_tensor([3.0, 1.0, 2.0])
    >>> order = on_host(lambda x: np.argsort(x).astype("int32"), (3,), "int32", x)
    >>> keras.ops.convert_to_numpy(order).tolist()
    [1, 2, 0]
    """
    return _on_host(function, shape, dtype, *tensors)
