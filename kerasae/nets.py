"""f and g: encoders and decoders, mirrored.

    h = f(x)    encoder: from the input to the code
    x̂ = g(h)    decoder: from the code to the reconstruction

Every function returns plain Keras models that can be trained, saved and cut on their own;
`mlp` and `convolutional` return the pair (f, g), g being f's mirror image.
"""

import math
from collections.abc import Sequence

import keras
from keras import layers

from kerasae import checks

Shape = tuple[int, ...]


def mlp(
    input_shape: Shape,
    code_size: int,
    units: Sequence[int] = (256,),
    activation: str = "relu",
    code_activation: str = "linear",
    output_activation: str = "sigmoid",
) -> tuple[keras.Model, keras.Model]:
    """Fully connected encoder and decoder: input → units → code → reversed units → input.

    Args:
        input_shape: Shape of one example, for instance `(28, 28, 1)`.
        code_size: Numbers in the code; below the input's size the autoencoder is
            undercomplete, above it overcomplete.
        units: Sizes of the encoder's hidden layers; the decoder has them reversed. Empty for
            an autoencoder whose code is its only hidden layer.
        activation: Of the hidden layers.
        code_activation: Of the code.
        output_activation: Of the reconstruction: `"sigmoid"` for values in [0, 1],
            `"linear"` for any others.

    Returns:
        The encoder and the decoder.

    Example:

    >>> encoder, decoder = mlp((28, 28, 1), code_size=32)
    >>> encoder.output_shape, decoder.output_shape
    ((None, 32), (None, 28, 28, 1))
    """
    units = checks.sizes("units", units)
    encoder = mlp_encoder(input_shape, code_size, units, activation, code_activation)
    decoder = mlp_decoder(code_size, input_shape, units[::-1], activation, output_activation)
    return encoder, decoder


def mlp_encoder(
    input_shape: Shape,
    code_size: int,
    units: Sequence[int] = (256,),
    activation: str = "relu",
    code_activation: str = "linear",
    name: str = "encoder",
) -> keras.Model:
    """Fully connected encoder, h = f(x): the first half of `mlp`, with its arguments.

    Example:

    >>> mlp_encoder((28, 28, 1), code_size=2).output_shape
    (None, 2)
    """
    inputs = keras.Input(_shape("input_shape", input_shape))
    x = layers.Flatten()(inputs) if len(input_shape) > 1 else inputs
    for size in checks.sizes("units", units):
        x = layers.Dense(size, activation=activation)(x)
    size = checks.positive("code_size", code_size)
    code = layers.Dense(size, activation=code_activation, name="code")(x)
    return keras.Model(inputs, code, name=name)


def mlp_decoder(
    code_size: int,
    output_shape: Shape,
    units: Sequence[int] = (256,),
    activation: str = "relu",
    output_activation: str = "sigmoid",
    name: str = "decoder",
) -> keras.Model:
    """Fully connected decoder, x̂ = g(h): the second half of `mlp`.

    `units` are in the order in which they stand, from the code outwards.

    Example:

    >>> mlp_decoder(2, (28, 28, 1)).output_shape
    (None, 28, 28, 1)
    """
    output_shape = _shape("output_shape", output_shape)
    code = keras.Input((checks.positive("code_size", code_size),))
    x = code
    for size in checks.sizes("units", units):
        x = layers.Dense(size, activation=activation)(x)
    x = layers.Dense(math.prod(output_shape), activation=output_activation)(x)
    outputs = layers.Reshape(output_shape)(x) if len(output_shape) > 1 else x
    return keras.Model(code, outputs, name=name)


def convolutional(
    input_shape: Shape,
    code_size: int,
    filters: Sequence[int] = (32, 64),
    kernel_size: int = 3,
    activation: str = "relu",
    code_activation: str = "linear",
    output_activation: str = "sigmoid",
) -> tuple[keras.Model, keras.Model]:
    """Convolutional encoder and decoder, mirrored: strides of 2 down, transposed up.

    Args:
        input_shape: Height, width and channels; each `filters` entry halves both sides, so
            they must be divisible by 2 as often.
        code_size: Numbers in the code.
        filters: Channels after each halving, in the encoder's order.
        kernel_size: Side of the kernels.
        activation: Of the hidden layers.
        code_activation: Of the code.
        output_activation: Of the reconstruction.

    Returns:
        The encoder and the decoder.

    Example:

    >>> encoder, decoder = convolutional((32, 32, 3), code_size=16)
    >>> encoder.output_shape, decoder.output_shape
    ((None, 16), (None, 32, 32, 3))
    """
    filters = checks.sizes("filters", filters)
    encoder = convolutional_encoder(
        input_shape, code_size, filters, kernel_size, activation, code_activation
    )
    decoder = convolutional_decoder(
        code_size, input_shape, filters[::-1], kernel_size, activation, output_activation
    )
    return encoder, decoder


def convolutional_encoder(
    input_shape: Shape,
    code_size: int,
    filters: Sequence[int] = (32, 64),
    kernel_size: int = 3,
    activation: str = "relu",
    code_activation: str = "linear",
    name: str = "encoder",
) -> keras.Model:
    """Convolutional encoder: the first half of `convolutional`, with its arguments.

    Example:

    >>> convolutional_encoder((28, 28, 1), code_size=16).output_shape
    (None, 16)
    """
    _smallest_map("input_shape", input_shape, filters)
    inputs = keras.Input(input_shape)
    x = inputs
    for channels in filters:
        x = layers.Conv2D(channels, kernel_size, 2, "same", activation=activation)(x)
    x = layers.Flatten()(x)
    size = checks.positive("code_size", code_size)
    code = layers.Dense(size, activation=code_activation, name="code")(x)
    return keras.Model(inputs, code, name=name)


def convolutional_decoder(
    code_size: int,
    output_shape: Shape,
    filters: Sequence[int] = (64, 32),
    kernel_size: int = 3,
    activation: str = "relu",
    output_activation: str = "sigmoid",
    name: str = "decoder",
) -> keras.Model:
    """Decoder by project-and-reshape, then transposed convolutions that double the sides.

    `filters` are in the order in which they stand, from the code outwards.

    Example:

    >>> convolutional_decoder(16, (28, 28, 1)).output_shape
    (None, 28, 28, 1)
    """
    height, width = _smallest_map("output_shape", output_shape, filters)
    code = keras.Input((checks.positive("code_size", code_size),))
    x = layers.Dense(height * width * filters[0], activation=activation)(code)
    x = layers.Reshape((height, width, filters[0]))(x)
    for channels in filters[1:]:
        x = layers.Conv2DTranspose(channels, kernel_size, 2, "same", activation=activation)(x)
    outputs = layers.Conv2DTranspose(
        output_shape[-1], kernel_size, 2, "same", activation=output_activation
    )(x)
    return keras.Model(code, outputs, name=name)


def _shape(name: str, shape: Shape) -> Shape:
    if not isinstance(shape, (tuple, list)) or len(shape) == 0:
        raise ValueError(f"`{name}` is {shape!r}, expected the shape of one example, a tuple.")
    return checks.sizes(name, shape)


def _smallest_map(name: str, shape: Shape, filters: Sequence[int]) -> tuple[int, int]:
    """Height and width after each of `filters` has halved them."""
    if len(checks.sizes("filters", filters)) == 0:
        raise ValueError("`filters` is empty, expected the channels of at least one layer.")
    if not isinstance(shape, (tuple, list)) or len(shape) != 3:
        raise ValueError(f"`{name}` is {shape!r}, expected (height, width, channels).")
    height, width, _ = _shape(name, shape)
    factor = 2 ** len(filters)
    if height % factor or width % factor:
        raise ValueError(
            f"`{name}` is {shape!r}, expected a height and width divisible by {factor}: "
            f"each of the {len(filters)} layers of `filters` halves them."
        )
    return height // factor, width // factor
