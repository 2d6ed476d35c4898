"""Bad arguments of models: networks, layers, activations, and the examples that networks take."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from kerasae import checks
from kerasae.engine import graphs

Activation = str | Callable | None  # as Keras's layers take it

# Layers that make numbers of another scale, or of another kind, of their input.
SCALING = (keras.layers.Rescaling, keras.layers.Normalization, keras.layers.Embedding)
RESHAPING = (
    keras.layers.InputLayer,
    keras.layers.Flatten,
    keras.layers.Permute,
    keras.layers.Reshape,
)


def activation(name: str, value: Any) -> Callable:
    """Return the function that Keras knows by this name, or the given one."""
    shape = (None, 3)
    try:
        function = keras.activations.get(value)
        is_layer = isinstance(function, keras.layers.Layer)
        output_shape = function.compute_output_shape(shape) if is_layer else shape
    except (TypeError, ValueError, NotImplementedError):
        function, output_shape = None, None
    if output_shape != shape:
        raise ValueError(
            f"`{name}` is {checks.as_text(value)}, expected a function, or its name in Keras such "
            "as 'relu'."
        )
    return function


def network(name: str, value: Any) -> keras.Model:
    """Return `value` if it is a Keras model, as encoders and decoders are."""
    if not isinstance(value, keras.Model):
        raise ValueError(
            f"`{name}` is of type {type(value).__name__}, expected a Keras model "
            "(`keras.Sequential`, a functional or a subclassed `keras.Model`)."
        )
    return value


def layer(name: str, value: Any) -> keras.layers.Layer | None:
    """Return `value` if it is a Keras layer or `None`, as corruptions are."""
    if value is not None and not isinstance(value, keras.layers.Layer):
        raise ValueError(
            f"`{name}` is {value!r}, expected a Keras layer such as "
            "`keras.layers.GaussianNoise(0.1)` (several at once: a `keras.Sequential` of them) "
            "or None."
        )
    if hasattr(value, "check_encoder"):
        raise ValueError(
            f"`{name}` is a {type(value).__name__}, which is a penalty, expected a layer that "
            "corrupts the input, and the penalty in `penalty`."
        )
    return value


def check_inputs(
    name: str,
    value: Any,
    network: keras.layers.Layer,
    shape: tuple[int | None, ...] | None = None,
    unit_interval: bool = False,
) -> tuple[float, float]:
    """Check the examples that a network takes: integers if it scales or embeds them itself.

    Args:
        name: Name of the argument, for the message.
        value: As in `checks.check_array`.
        network: The network.
        shape: As in `checks.check_array`.
        unit_interval: As in `checks.check_array`.

    Returns:
        The smallest and the largest value.
    """
    return checks.check_array(
        name,
        value,
        shape,
        unit_interval,
        integers=takes_integers(network),
        otherwise='begin the network with `keras.Input(..., dtype="uint8")` if it scales them',
    )


def takes_integers(network: keras.layers.Layer) -> bool:
    """Return whether a network takes whole numbers: it says so, or first scales or embeds them.

    Example:

    >>> takes_integers(keras.Sequential([keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]))
    True
    """
    if graphs.is_built(network) and "int" in network.inputs[0].dtype:
        return True
    layers = graphs.layers_of(network)
    first = next((layer for layer in layers if not isinstance(layer, RESHAPING)), None)
    return isinstance(first, SCALING)


def first_batch(stream: Any) -> tuple[Any, Any]:
    """Look at a stream's first batch.

    Args:
        stream: `keras.utils.PyDataset`, `tf.data.Dataset`, PyTorch `DataLoader` or generator.

    Returns:
        The batch, and the stream to read from: a generator would otherwise be one batch short.
    """
    if isinstance(stream, keras.utils.PyDataset):
        if stream.num_batches == 0:
            raise ValueError("`x` is a data set without batches, expected at least one.")
        return _readable(stream[0]), stream
    iterator = iter(checks.examples("x", stream))
    try:
        batch = next(iterator)
    except StopIteration:
        raise ValueError("`x` is a data set without batches, expected at least one.") from None
    if type(stream).__module__.startswith("torch.") and checks.is_array(batch):
        raise ValueError(
            "`x` is a DataLoader that yields bare tensors, expected one that yields tuples, as a "
            "loader over `torch.utils.data.TensorDataset` does."  # Keras would slice the batch
        )
    _readable(batch)
    if isinstance(stream, Iterator):
        # Keras takes generators, and nothing else that merely iterates, and tuples from them.
        stream = itertools.chain([batch], iterator)
        return batch, (item if isinstance(item, tuple) else (item,) for item in stream)
    return batch, stream


def _readable(batch: Any) -> Any:
    """Return a stream's batch if every engine reads its arrays alike: as they go to Keras."""
    for part in keras.tree.flatten(batch):
        checks.plain("x", part)
        if isinstance(part, np.ndarray) and not part.dtype.isnative:
            raise ValueError(
                f"`x` is a stream of arrays of type {part.dtype.str}, expected them in the "
                'machine\'s byte order (`batch.astype("float32")`).'
            )
    return batch
