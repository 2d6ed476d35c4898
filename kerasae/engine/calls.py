"""Call a network in a step; on PyTorch, plain layers without what Keras does around them.

`Layer.__call__` looks for masks, dtypes, specifications and arguments at each call, which costs a
small network a tenth of its step where nothing is compiled. A graph of Keras's own layers in
float32 needs none of it, nor do corruptions and penalties: `call` of each gives the same.
Everything else is called as it is.
"""

import weakref
from typing import Any

import keras

from kerasae.engine import graphs, platform

Tensor = Any

# Their `call` is all that they do; the second kind behaves otherwise in training.
_ALWAYS = (
    keras.layers.Dense,
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.Activation,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.MaxPooling2D,
    keras.layers.UpSampling2D,
    keras.layers.Permute,
    keras.layers.LayerNormalization,
    keras.layers.GroupNormalization,
)
_OF_SEVERAL = (keras.layers.Add, keras.layers.Multiply, keras.layers.Concatenate)
_TRAINING = (
    keras.layers.Dropout,
    keras.layers.GaussianNoise,
    keras.layers.BatchNormalization,
)
# Modules of this package, whose layers are all of the first or of the second kind.
_OURS = "kerasae.layers", "kerasae.nets.levels"
_OURS_TRAINING = "kerasae.corruptions", "kerasae.penalties"

Steps = list[tuple[keras.layers.Layer, tuple[int, ...]]]

_KNOWN: Any = weakref.WeakKeyDictionary()  # network → how many layers it had, and its steps


def call(
    network: keras.layers.Layer,
    x: Tensor | list[Tensor],
    training: bool,
    *others: Tensor,
    **named: Any,
) -> Tensor:
    """Return `network(x, *others, training=training, **named)`.

    Args:
        network: A network, or a corruption or a penalty.
        x: A batch, or a list of them for a network with several inputs.
        training: Whether the network is in training.
        *others: Further batches that a penalty takes.
        **named: Further arguments that a penalty takes.
    """
    steps = _steps(network) if keras.backend.backend() == "torch" else None
    values = list(x) if isinstance(x, list) else [x]
    if steps is None or not _as_it_was(steps, *values, *others):
        return network(x, *others, training=training, **named)
    for layer, places in steps:
        x = values[places[0]]
        if type(layer) is keras.layers.Dense:
            x = layer.activation(platform.affine(x, layer.kernel, layer.bias))
        elif type(layer) in _TRAINING or type(layer).__module__ in _OURS_TRAINING:
            x = layer.call(x, *others, training=training, **named)
        elif type(layer) in _OF_SEVERAL:
            x = layer.call([values[place] for place in places])
        else:
            x = layer.call(x)
        values.append(x)
    return values[-1]


def _steps(network: keras.layers.Layer) -> Steps | None:
    """Return the plain layers of a graph, each with the places of what it takes, or `None`."""
    count = len(getattr(network, "layers", ()))  # a Sequential may grow
    known = _KNOWN.get(network)
    if known is None or known[0] != count:
        if not network.built:
            return None  # not yet
        steps = graphs.program(network)
        plain = steps is not None and all(_is_plain(*step) for step in steps)
        _KNOWN[network] = known = count, steps if plain else None
    return known[1]


def _is_plain(layer: Any, places: tuple[int, ...]) -> bool:
    known = type(layer) in _ALWAYS + _TRAINING
    ours = type(layer).__module__ in (*_OURS, *_OURS_TRAINING)
    taken = type(layer) in _OF_SEVERAL or ((known or ours) and len(places) == 1)
    return taken and layer.activity_regularizer is None


def _as_it_was(steps: Steps, *batches: Tensor) -> bool:
    """Return whether nothing has changed that a layer's own call would look at."""
    return all(platform.is_float32(batch) for batch in batches) and all(
        layer.compute_dtype == layer.variable_dtype == "float32"
        and layer.quantization_mode is None
        and not (layer._forward_hooks or layer._forward_pre_hooks)
        for layer, _ in steps
    )
