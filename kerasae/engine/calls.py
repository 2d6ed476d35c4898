"""Call a network in a step; on PyTorch, a plain chain without what Keras does around layers.

`Layer.__call__` looks for masks, dtypes, specifications and arguments at each call, which costs a
small network a tenth of its step where nothing is compiled. A chain of Keras's own layers in
float32 needs none of it: `call` of each gives the same. Everything else is called as it is.
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


_CHAINS: Any = weakref.WeakKeyDictionary()  # network → how many layers it had, and its chain


def call(network: keras.Model, x: Tensor, training: bool) -> Tensor:
    """Return `network(x, training=training)`."""
    layers = None
    if keras.backend.backend() == "torch" and not isinstance(x, (list, dict)):
        layers = _chain(network)
    if layers is None or not _as_it_was(layers, x):
        return network(x, training=training)
    for layer in layers:
        if type(layer) is keras.layers.Dense:
            x = layer.activation(platform.affine(x, layer.kernel, layer.bias))
        else:
            x = layer.call(x, training=training) if type(layer) in _TRAINING else layer.call(x)
    return x


def _chain(network: keras.Model) -> list[keras.layers.Layer] | None:
    """Return the layers of a plain chain, or `None`."""
    if not graphs.is_built(network):
        return None  # not yet
    count = len(network.layers)  # a Sequential may grow
    if network not in _CHAINS or _CHAINS[network][0] != count:
        layers = graphs.chain(network)
        plain = layers is not None and all(map(_is_plain, layers))
        _CHAINS[network] = count, layers if plain else None
    return _CHAINS[network][1]


def _is_plain(layer: keras.layers.Layer) -> bool:
    ours = type(layer).__module__ == "kerasae.layers"
    return (type(layer) in _ALWAYS + _TRAINING or ours) and layer.activity_regularizer is None


def _as_it_was(layers: list[keras.layers.Layer], x: Tensor) -> bool:
    """Return whether nothing has changed that a layer's own call would look at."""
    return (
        not isinstance(x, keras.KerasTensor)
        and keras.backend.standardize_dtype(x.dtype) == "float32"
        and all(
            layer.compute_dtype == layer.variable_dtype == "float32"
            and layer.quantization_mode is None
            and not (layer._forward_hooks or layer._forward_pre_hooks)
            for layer in layers
        )
    )
