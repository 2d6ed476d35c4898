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
    code_size: int | None,
    filters: Sequence[int] = (32, 64),
    kernel_size: int = 3,
    strides: int | Sequence[int] = 2,
    activation: str = "relu",
    code_activation: str = "linear",
    output_activation: str = "sigmoid",
) -> tuple[keras.Model, keras.Model]:
    """Convolutional encoder and decoder, mirrored: strides down, transposed convolutions up.

    Args:
        input_shape: Height, width and channels; each layer divides height and width by its
            stride, so they must be divisible by the product of the strides.
        code_size: Numbers in the code, or `None` for a code that stays a map: what the last
            convolution gives, of shape (height / product, width / product, last of `filters`).
        filters: Channels of each layer, in the encoder's order.
        kernel_size: Side of the kernels, at least the stride: smaller ones skip pixels.
        strides: Of each layer, in the encoder's order, or one number for all.
        activation: Of the hidden layers.
        code_activation: Of the code.
        output_activation: Of the reconstruction.

    Returns:
        The encoder and the decoder.

    Example:

    >>> encoder, decoder = convolutional((32, 32, 3), code_size=16)
    >>> encoder.output_shape, decoder.output_shape
    ((None, 16), (None, 32, 32, 3))
    >>> encoder, decoder = convolutional((32, 32, 3), None, filters=(16, 8, 4), strides=(2, 2, 1))
    >>> encoder.output_shape, decoder.output_shape
    ((None, 8, 8, 4), (None, 32, 32, 3))
    """
    filters = checks.sizes("filters", filters)
    strides = _strides(strides, filters)
    encoder = convolutional_encoder(
        input_shape, code_size, filters, kernel_size, strides, activation, code_activation
    )
    decoder = convolutional_decoder(
        code_size,
        input_shape,
        filters[::-1],
        kernel_size,
        strides[::-1],
        activation,
        output_activation,
    )
    return encoder, decoder


def convolutional_encoder(
    input_shape: Shape,
    code_size: int | None,
    filters: Sequence[int] = (32, 64),
    kernel_size: int = 3,
    strides: int | Sequence[int] = 2,
    activation: str = "relu",
    code_activation: str = "linear",
    name: str = "encoder",
) -> keras.Model:
    """Convolutional encoder: the first half of `convolutional`, with its arguments.

    Example:

    >>> convolutional_encoder((28, 28, 1), code_size=16).output_shape
    (None, 16)
    """
    strides = _strides(strides, filters, kernel_size)
    _smallest_map("input_shape", input_shape, strides)
    inputs = keras.Input(input_shape)
    x = inputs
    for layer, (channels, stride) in enumerate(zip(filters, strides, strict=True), start=1):
        last = code_size is None and layer == len(filters)
        x = layers.Conv2D(
            channels,
            kernel_size,
            stride,
            "same",
            activation=code_activation if last else activation,
            name="code" if last else None,
        )(x)
    if code_size is not None:
        x = layers.Flatten()(x)
        size = checks.positive("code_size", code_size)
        x = layers.Dense(size, activation=code_activation, name="code")(x)
    return keras.Model(inputs, x, name=name)


def convolutional_decoder(
    code_size: int | None,
    output_shape: Shape,
    filters: Sequence[int] = (64, 32),
    kernel_size: int = 3,
    strides: int | Sequence[int] = 2,
    activation: str = "relu",
    output_activation: str = "sigmoid",
    name: str = "decoder",
) -> keras.Model:
    """Decoder by project-and-reshape, then transposed convolutions that multiply the sides.

    `filters` and `strides` are in the order in which they stand, from the code outwards. A code
    that is a map already (`code_size=None`) has nothing to project.

    Example:

    >>> convolutional_decoder(16, (28, 28, 1)).output_shape
    (None, 28, 28, 1)
    """
    strides = _strides(strides, filters, kernel_size)
    smallest = (*_smallest_map("output_shape", output_shape, strides), filters[0])
    if code_size is None:
        code = x = keras.Input(smallest)
    else:
        code = keras.Input((checks.positive("code_size", code_size),))
        x = layers.Dense(math.prod(smallest), activation=activation)(code)
        x = layers.Reshape(smallest)(x)
    for channels, stride in zip(filters[1:], strides[:-1], strict=True):
        x = layers.Conv2DTranspose(channels, kernel_size, stride, "same", activation=activation)(x)
    outputs = layers.Conv2DTranspose(
        output_shape[-1], kernel_size, strides[-1], "same", activation=output_activation
    )(x)
    return keras.Model(code, outputs, name=name)


def _shape(name: str, shape: Shape) -> Shape:
    if not isinstance(shape, (tuple, list)) or len(shape) == 0:
        raise ValueError(f"`{name}` is {shape!r}, expected the shape of one example, a tuple.")
    return checks.sizes(name, shape)


def _strides(
    strides: int | Sequence[int], filters: Sequence[int], kernel_size: int | None = None
) -> tuple[int, ...]:
    """One stride for each of `filters`."""
    if len(checks.sizes("filters", filters)) == 0:
        raise ValueError("`filters` is empty, expected the channels of at least one layer.")
    if not isinstance(strides, (tuple, list)):
        strides = (checks.positive("strides", strides),) * len(filters)
    strides = checks.sizes("strides", strides)
    if len(strides) != len(filters):
        raise ValueError(
            f"`strides` is {strides!r}, expected as many as `filters` has: {len(filters)}."
        )
    if kernel_size is not None and checks.positive("kernel_size", kernel_size) < max(strides):
        raise ValueError(
            f"`kernel_size` is {kernel_size}, expected at least the largest of `strides`, "
            f"{max(strides)}: pixels between the kernels would go unseen."
        )
    return strides


def _smallest_map(name: str, shape: Shape, strides: Sequence[int]) -> tuple[int, int]:
    """Height and width after each of `strides` has divided them."""
    if not isinstance(shape, (tuple, list)) or len(shape) != 3:
        raise ValueError(f"`{name}` is {shape!r}, expected (height, width, channels).")
    height, width, _ = _shape(name, shape)
    factor = math.prod(strides)
    if height % factor or width % factor:
        raise ValueError(
            f"`{name}` is {shape!r}, expected a height and width divisible by {factor}, the "
            f"product of the {len(strides)} layers' strides."
        )
    return height // factor, width // factor
