"""Call a network in a step; on PyTorch, plain layers without what Keras does around them.

`Layer.__call__` looks for masks, dtypes, specifications and arguments at each call, which costs a
small network a tenth of its step where nothing is compiled. A graph of Keras's own layers in
float32 needs none of it, nor do corruptions and penalties: `call` of each gives the same.
Everything else is called as it is.
"""

import weakref
from typing import Any, NamedTuple

import keras

from kerasae.engine import graphs, internals, platform

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


class Step(NamedTuple):
    """A plain layer of a graph."""

    layer: keras.layers.Layer
    places: tuple[int, ...]  # of what it takes
    policy: Any
    kernel: keras.Variable | None  # of a dense layer, which looks through six modes for it
    bias: keras.Variable | None


Steps = list[Step]

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
    for layer, places, _, kernel, bias in steps:
        x = values[places[0]]
        if kernel is not None:
            x = platform.affine(x, internals.tensor(kernel), internals.tensor(bias))
            x = layer.activation(x)
        elif type(layer) in _TRAINING or type(layer).__module__ in _OURS_TRAINING:
            x = layer.call(x, *others, training=training, **named)
        elif type(layer) in _OF_SEVERAL:
            x = layer.call([values[place] for place in places])
        else:
            x = layer.call(x)
        values.append(x)
    return values[-1]


def _steps(network: keras.layers.Layer) -> Steps | None:
    """Return the layers of a graph if all are plain, else `None`."""
    if not network.built:
        return None  # not yet
    if not isinstance(network, keras.Model):
        return _plain_steps(network)  # its step, kept, would keep it
    count = len(network.layers)  # a Sequential may grow
    known = _KNOWN.get(network)
    if known is None or known[0] != count:
        _KNOWN[network] = known = count, _plain_steps(network)
    return known[1]


def _plain_steps(network: keras.layers.Layer) -> Steps | None:
    program = graphs.program(network)
    if program is None or not all(_is_plain(*step) for step in program):
        return None
    return [_step(*step) for step in program]


def _step(layer: keras.layers.Layer, places: tuple[int, ...]) -> Step:
    dense = type(layer) is keras.layers.Dense
    weights = (layer.kernel, layer.bias) if dense else (None, None)
    return Step(layer, places, layer.dtype_policy, *weights)


def _is_plain(layer: Any, places: tuple[int, ...]) -> bool:
    known = type(layer) in _ALWAYS + _TRAINING
    ours = type(layer).__module__ in (*_OURS, *_OURS_TRAINING)
    if not (type(layer) in _OF_SEVERAL or ((known or ours) and len(places) == 1)):
        return False  # an operation of a graph may be no layer
    policy = layer.dtype_policy
    float32 = policy.compute_dtype == policy.variable_dtype == "float32"
    adapted = policy.quantization_mode is not None or getattr(layer, "lora_enabled", False)
    mapped = isinstance(policy, keras.dtype_policies.DTypePolicyMap)  # changes in place
    return float32 and not (adapted or mapped or layer.activity_regularizer)


def _as_it_was(steps: Steps, *batches: Tensor) -> bool:
    """Return whether nothing has changed that a layer's own call would look at."""
    if internals.in_stateless_scope():
        return False
    for batch in batches:
        if not platform.is_float32(batch) or batch.is_meta:  # or stands for a shape
            return False
    for layer, _, policy, kernel, _ in steps:
        if (
            layer.dtype_policy is not policy
            or layer._forward_hooks
            or layer._forward_pre_hooks
            or (kernel is not None and layer.lora_enabled)
        ):
            return False
    return True
