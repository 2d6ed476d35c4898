"""Take a Keras network apart: list its layers, copy it, fix a part, cut it.

For transfer learning: the lower layers of one network become the encoder of another.
"""

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import keras

from kerasae.engine import internals


class _Function(keras.Operation):
    """A function of tensors as an operation of Keras."""

    def __init__(self, function: Callable) -> None:
        super().__init__()
        self.call = function


def symbolic(function: Callable, *inputs: keras.KerasTensor) -> Any:
    """Return what a function gives for symbolic tensors, whatever it computes with.

    Example:

    >>> symbolic(lambda x: x[:, :2], keras.Input((3,))).shape
    (None, 2)
    """
    return _Function(function)(*inputs)


def is_built(network: Any) -> bool:
    """Return whether a network is built as a graph of layers, which has inputs of known shapes.

    A function or `None` has no graph.
    """
    return bool(getattr(network, "built", False) and getattr(network, "inputs", None))


def input_shape(network: keras.layers.Layer) -> Any:
    """Return the shape of a batch that a network takes, of each input if there are several.

    `None` if it is not known yet.

    Example:

    >>> input_shape(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]))
    (None, 3)
    """
    return network.input_shape if is_built(network) else None


def layers_of(network: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Return the layers of a network in the order of its graph, those of networks inside included.

    A layer that is no network is its own only one.
    """
    if not isinstance(network, keras.Model):
        return [network]
    return [inner for layer in network.layers for inner in layers_of(layer)]


def chain(f: Any) -> list[Any] | None:
    """Return the layers that f applies one after the other, those of networks inside included.

    `None` if it does anything else.
    """
    steps = program(f)
    if steps is None or len(getattr(f, "inputs", None) or [f]) != 1:
        return None
    if any(places != (index,) for index, (_, places) in enumerate(steps)):
        return None
    return [layer for layer, _ in steps]


def program(f: Any) -> list[tuple[Any, tuple[int, ...]]] | None:
    """Return the layers that f applies, in order, each with the places of what it takes.

    The places count the inputs of f first, and then the results of the layers. The last result is
    the output. `None` if f is no graph of layers with one output.

    Example:

    >>> x = keras.Input((2,))
    >>> network = keras.Model(x, keras.layers.Add()([x, keras.layers.Dense(2)(x)]))
    >>> [(type(layer).__name__, places) for layer, places in program(network)]
    [('Dense', (0,)), ('Add', (0, 1))]
    """
    if not isinstance(f, keras.Model):
        return [(f, (0,))]
    # Only Keras's own two kinds, since a subclass may do something else with its layers.
    ours = isinstance(f, keras.Sequential) and type(f).__module__.startswith("kerasae.")
    known = ours or type(f).__module__.startswith("keras.")
    if not known or not is_built(f) or len(f.outputs) != 1:
        return None
    count, steps = len(f.inputs), []
    place = {id(tensor): index for index, tensor in enumerate(f.inputs)}

    def found(tensor: keras.KerasTensor) -> int | None:
        """Return the place of a tensor, after the steps that lead to it."""
        if id(tensor) in place:
            return place[id(tensor)]
        operation, sources = internals.origin(tensor)
        inner, given = program(operation), [found(source) for source in sources]
        if inner is None or None in given:
            return None
        several = not isinstance(operation, keras.Model)  # a layer takes all of them at once
        begin = count + len(steps) - len(given)
        for layer, places in inner:
            taken = (
                given if several else [given[p] if p < len(given) else begin + p for p in places]
            )
            steps.append((layer, tuple(taken)))
        place[id(tensor)] = count + len(steps) - 1 if inner else given[-1]
        return place[id(tensor)]

    return steps if found(f.outputs[0]) == count + len(steps) - 1 else None


def last_layer(network: keras.Model) -> keras.layers.Layer | None:
    """Return the layer that computes a network's output, `None` if its layers do not tell.

    Layers that only change the shape do not count.
    """
    for layer in reversed(network.layers if is_built(network) else []):
        if isinstance(layer, keras.Model):
            return last_layer(layer)
        if not isinstance(layer, (keras.layers.Flatten, keras.layers.Reshape)):
            return layer
    return None


def last_activation(network: keras.Model) -> Callable | None:
    """Return the function that a network's output comes out of, `None` if its layers do not tell.

    Example:

    >>> network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, "tanh")])
    >>> last_activation(network) is keras.activations.tanh
    True
    """
    return getattr(last_layer(network), "activation", None)


def reach(network: keras.Model) -> tuple[str | None, float, float]:
    """Return the name of a network's last activation, and the interval of its values.

    Example:

    >>> reach(keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, "tanh")]))
    ('tanh', -1, 1)
    """
    name = getattr(last_activation(network), "__name__", None)
    low, high = {"sigmoid": (0, 1), "tanh": (-1, 1)}.get(name, (-math.inf, math.inf))
    return name, low, high


def ends_in_sigmoid(network: keras.Model) -> bool:
    """Return whether logits can be taken from a network in the place of their sigmoid.

    That is if its last layer is one of Keras's or of this package's, and nothing looks at its
    output: a regularizer would see the logits.
    """
    layer = last_layer(network)
    return (
        getattr(layer, "activation", None) is keras.activations.sigmoid
        and type(layer).__module__.startswith(("keras.", "kerasae."))
        and layer.activity_regularizer is None
    )


@contextlib.contextmanager
def without_last_activation(network: keras.Model) -> Iterator[None]:
    """Let a network give what enters its last layer's activation, such as logits."""
    layer = last_layer(network)
    activation, layer.activation = layer.activation, keras.activations.linear
    try:
        yield
    finally:
        layer.activation = activation


def named(argument: str, name: str, layers: list[keras.layers.Layer]) -> keras.layers.Layer:
    """Return the layer of that name, asked for by `argument`."""
    for layer in layers:
        if layer.name == name:
            return layer
    names = ", ".join(repr(layer.name) for layer in layers)
    raise ValueError(f"`{argument}` is {name!r}, expected the name of a layer: one of {names}.")


def copied(name: str, network: keras.Model) -> keras.Model:
    """Return a network of the same configuration and weights that shares nothing with it."""
    classes = {type(layer).__name__: type(layer) for layer in (network, *layers_of(network))}
    try:
        config = made_trainable(keras.saving.serialize_keras_object(network))
        # It is the caller's own object, not a file: its lambdas may run.
        twin = keras.saving.deserialize_keras_object(config, classes, safe_mode=False)
        twin.set_weights(network.get_weights())
    except Exception as error:
        reason = str(error).split("\n")[0].rstrip(".")
        # A tied decoder says itself how it is freed; shared, it could be trained but not saved.
        hint = "" if "untied()" in reason else ", or `copy=False` to train the given network itself"
        raise ValueError(
            f"`{name}` cannot be copied ({reason}), expected layers that can be saved{hint}."
        ) from error
    return twin


def made_trainable(config: Any) -> Any:
    """Return the configuration with every layer trainable, at any depth.

    On TensorFlow a variable that is created in a frozen layer never has a gradient again.
    """
    if isinstance(config, list):
        return [made_trainable(value) for value in config]
    if not isinstance(config, dict):
        return config
    config = {key: made_trainable(value) for key, value in config.items()}
    return {**config, "trainable": True} if "trainable" in config else config


def set_trainable(layer: keras.layers.Layer, value: bool) -> None:
    """Set `trainable` of a layer and of all layers in it.

    On TensorFlow an assignment that changes nothing is dropped, for the layers inside as well.
    """
    layer.trainable = not value
    layer.trainable = value


def input_of(name: str, network: keras.Model) -> Any:
    """Return the input of a network with a graph: one tensor, or a dictionary of them."""
    inputs = None if isinstance(network, keras.Sequential) else network.input
    if isinstance(inputs, dict):
        return inputs
    if len(network.inputs) > 1:
        raise ValueError(
            f"`{name}` takes {len(network.inputs)} inputs in a list, expected one or a dictionary."
        )
    return network.inputs[0]


def cut_at(network: keras.Model, cut: str | int | None) -> keras.KerasTensor:
    """Return the tensor at which a network is cut."""
    if cut is None:
        last = next((layer for layer in reversed(network.layers) if layer.weights), None)
        if last is None or last is network.layers[0]:
            raise ValueError("`trained` has one layer with weights, expected one to keep as well.")
        tensors = internals.call_of(network, last).input_tensors
    elif isinstance(cut, str):
        tensors = internals.call_of(network, named("cut", cut, network.layers)).outputs
    elif isinstance(cut, bool) or not isinstance(cut, int):
        raise ValueError(f"`cut` is {cut!r}, expected a layer's name, an index or None.")
    elif not -len(network.layers) <= cut < len(network.layers):
        raise ValueError(
            f"`cut` is {cut}, expected an index into the {len(network.layers)} layers of `trained`."
        )
    else:
        tensors = internals.call_of(network, network.layers[cut]).outputs
    if len(tensors) != 1:
        raise ValueError(f"`cut` is {cut!r}, where {len(tensors)} tensors pass, expected one.")
    return tensors[0]
