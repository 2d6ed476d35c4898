"""The networks of adversarial games: generators and discriminators, made and checked.

x = G(z)        generator: from noise, or from noise and a one-hot label
a(x)            discriminator: one logit for an example, or for an example and a label
"""

import math
from collections.abc import Sequence

import keras

from kerasae import checks, nets
from kerasae.engine import arguments, graphs

Shape = tuple[int | None, ...]
UNITS = (256, 256)  # hidden layers of a discriminator of codes if none is given


def mlp(
    shape: tuple[int, ...],
    code_size: int,
    units: Sequence[int],
    activation: arguments.Activation,
    output_activation: arguments.Activation,
    classes: int | None,
) -> tuple[keras.Model, keras.Model]:
    """Return the fully connected G and D that `GAN.mlp` describes."""
    if classes is not None:
        checks.whole_number("classes", classes, least=2)
    label_size, size = classes or 0, math.prod(checks.sizes("shape", shape))
    code_size = checks.whole_number("code_size", code_size)
    generator = nets.mlp_decoder(
        code_size + label_size, shape, units, activation, output_activation, name="generator"
    )
    discriminator = nets.mlp_encoder(
        shape if classes is None else (size + label_size,),
        1,
        units[::-1],
        activation,
        name="discriminator",
    )
    if classes is None:
        return generator, discriminator
    label = keras.Input((classes,))
    z, x = keras.Input((code_size,)), keras.Input(shape)
    flat = keras.layers.Reshape((size,))(x)
    join = keras.layers.Concatenate
    return (
        keras.Model([z, label], generator(join()([z, label]))),
        keras.Model([x, label], discriminator(join()([flat, label]))),
    )


def optional(name: str, network: keras.Model | None) -> keras.Model | None:
    """Return `network` if it is a Keras model or `None`."""
    return None if network is None else arguments.network(name, network)


def discriminator_of_codes(
    name: str, network: keras.Model | None, shape: Shape, label: Shape = ()
) -> keras.Model:
    """Return the given discriminator if its inputs match, or a new one for `None`.

    Args:
        name: Name of the argument, and of a new network.
        network: The given network or `None`.
        shape: Shape of a code.
        label: Shape of a one-hot label, `()` if D sees none.
    """
    if network is None:
        if not label:
            return nets.mlp_encoder(shape, 1, UNITS, "leaky_relu", name=name)
        inputs = [keras.Input(shape), keras.Input(label)]
        joined = keras.layers.Concatenate()([keras.layers.Flatten()(inputs[0]), inputs[1]])
        rest = nets.mlp_encoder(joined.shape[1:], 1, UNITS, "leaky_relu", name="logit")
        return keras.Model(inputs, rest(joined), name=name)
    shapes = input_shapes(name, network)
    expected = [shape, label] if label else [shape]
    if len(shapes) != len(expected) or not all(map(checks.fits, shapes, expected)):
        described = "a code and a label" if label else "a code"
        raise ValueError(f"`{name}` takes {shapes}, expected {expected}: {described}.")
    check_logit(name, network)
    return network


def check_pair(
    generator: keras.Model, discriminator: keras.Model, classes: int | None
) -> tuple[Shape, Shape]:
    """Check that G takes z, that D takes G's output, and that D gives one logit.

    Returns:
        Shapes of z and of an example.
    """
    code_shape = _shape_beside_label("generator", generator, "z", classes)
    example_shape = _shape_beside_label("discriminator", discriminator, "x", classes)
    if None in code_shape:
        raise ValueError(f"`generator` takes z of shape {code_shape}, expected a size to draw.")
    sample_shape = tuple(generator.outputs[0].shape[1:])
    if len(generator.outputs) > 1 or not checks.fits(sample_shape, example_shape):
        raise ValueError(
            f"`discriminator` takes examples of shape {example_shape}, but `generator` gives "
            f"{sample_shape}: expected the same shape."
        )
    check_logit("discriminator", discriminator)
    return code_shape, example_shape


def _shape_beside_label(name: str, network: keras.Model, symbol: str, classes: int | None) -> Shape:
    """Return the shape of the first input; with classes, the second one is a one-hot label."""
    shapes = input_shapes(name, network)
    label = [] if classes is None else [(classes,)]
    if shapes[1:] != label:
        expected = f"[{symbol}, one-hot label of {classes}]" if label else symbol
        raise ValueError(f"`{name}` takes {shapes}, expected one input for {expected}.")
    return shapes[0]


def input_shapes(name: str, network: keras.Model) -> list[Shape]:
    """Return the shape of each input of a network that has inputs."""
    if not graphs.is_built(network):
        raise ValueError(
            f"`{name}` has no inputs yet, expected a functional or built Sequential model."
        )
    return [tuple(each.shape[1:]) for each in network.inputs]


def check_logit(name: str, network: keras.Model) -> None:
    """Raise `ValueError` unless a discriminator gives one logit for each example."""
    shapes = [tuple(each.shape[1:]) for each in network.outputs]
    if shapes != [(1,)]:
        raise ValueError(f"`{name}` gives {shapes}, expected [(1,)]: one logit.")
    last = graphs.last_activation(network)
    if last not in (None, keras.activations.linear):
        raise ValueError(
            f"`{name}` ends in the activation {last.__name__!r}, expected the logit itself: a last "
            "layer without an activation."
        )


def check_reachable(ends: tuple[float, float], generator: keras.Model) -> None:
    """Raise `ValueError` if examples lie outside the range of a generator's last activation.

    Args:
        ends: The smallest and the largest value of the examples.
        generator: The network that is to generate such examples.
    """
    last, low, high = graphs.reach(generator)
    if ends[0] < low or ends[1] > high:
        raise ValueError(
            f"`x` holds values from {ends[0]:.4g} to {ends[1]:.4g}, expected values "
            f"from {low} to {high}, as `generator` ends in the activation {last!r}."
        )


def check_not_normalized(name: str, network: keras.Model, loss: str) -> None:
    """Raise `ValueError` if a discriminator normalizes over the batch."""
    layers = graphs.layers_of(network)
    if any(isinstance(layer, keras.layers.BatchNormalization) for layer in layers):
        raise ValueError(
            f"`{name}` has batch normalization, expected none: the gradient penalty of the loss "
            f"{loss!r} is defined per example."
        )
