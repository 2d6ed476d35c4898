"""Call a network in a step; on PyTorch, a plain chain without what Keras does around layers.

`Layer.__call__` looks for masks, dtypes, specifications and arguments at each call, which costs a
small network a tenth of its step where nothing is compiled. A chain of Keras's own layers in
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
)
_TRAINING = (
    keras.layers.Dropout,
    keras.layers.GaussianNoise,
    keras.layers.BatchNormalization,
)
# Modules of this package, whose layers are all of the first or of the second kind.
_OURS, _OURS_TRAINING = "kerasae.layers", ("kerasae.corruptions", "kerasae.penalties")


_CHAINS: Any = weakref.WeakKeyDictionary()  # network → how many layers it had, and its chain


def call(
    network: keras.layers.Layer, x: Tensor, training: bool, *others: Tensor, **named: Any
) -> Tensor:
    """Return `network(x, *others, training=training, **named)`.

    Args:
        network: A network, or a corruption or a penalty.
        x: A batch.
        training: Whether the network is in training.
        *others: Further batches that a penalty takes.
        **named: Further arguments that a penalty takes.
    """
    layers = _chain(network) if keras.backend.backend() == "torch" else None
    if layers is None or not _as_it_was(layers, x, *others):
        return network(x, *others, training=training, **named)
    for layer in layers:
        if type(layer) is keras.layers.Dense:
            x = layer.activation(platform.affine(x, layer.kernel, layer.bias))
        elif type(layer) in _TRAINING or type(layer).__module__ in _OURS_TRAINING:
            x = layer.call(x, *others, training=training, **named)
        else:
            x = layer.call(x)
    return x


def _chain(network: keras.layers.Layer) -> list[keras.layers.Layer] | None:
    """Return the layers of a plain chain, or `None`."""
    count = len(getattr(network, "layers", ()))  # a Sequential may grow
    known = _CHAINS.get(network)
    if known is None or known[0] != count:
        if not network.built:
            return None  # not yet
        layers = graphs.chain(network)
        plain = layers is not None and all(map(_is_plain, layers))
        _CHAINS[network] = known = count, layers if plain else None
    return known[1]


def _is_plain(layer: keras.layers.Layer) -> bool:
    known = type(layer) in _ALWAYS + _TRAINING
    ours = type(layer).__module__ in (_OURS, *_OURS_TRAINING)
    return (known or ours) and layer.activity_regularizer is None


def _as_it_was(layers: list[keras.layers.Layer], *batches: Tensor) -> bool:
    """Return whether nothing has changed that a layer's own call would look at."""
    return all(platform.is_float32(batch) for batch in batches) and all(
        layer.compute_dtype == layer.variable_dtype == "float32"
        and layer.quantization_mode is None
        and not (layer._forward_hooks or layer._forward_pre_hooks)
        for layer in layers
    )
