"""Convolutional encoders and decoders, mirrored: each layer strides, each mirror transposes."""

import math
from collections.abc import Sequence

import keras
from keras import layers

from kerasae import checks
from kerasae.engine import arguments
from kerasae.layers import Conv2DTranspose
from kerasae.nets import sizes
from kerasae.nets.sizes import Shape
from kerasae.probability import posteriors


def convolutional(
    input_shape: Shape,
    code_size: int | None,
    filters: Sequence[int] = (32, 64),
    kernel_size: int = 3,
    strides: int | Sequence[int] = 2,
    activation: arguments.Activation = "relu",
    code_activation: arguments.Activation = "linear",
    output_activation: arguments.Activation = None,
    posterior: str | posteriors.Posterior | None = None,
) -> tuple[keras.Model, keras.Model]:
    """Return a convolutional encoder and its mirror image, with transposed convolutions.

    Args:
        input_shape: Height, width and channels; each layer divides height and width by its
            stride, so they must be divisible by the product of the strides.
        code_size: Latent dimension, or `None` for a code that is the last convolution's feature
            map, of shape (height / product, width / product, last of `filters`).
        filters: Channels of each layer, in the encoder's order.
        kernel_size: Side of the kernels, at least the stride: smaller ones skip pixels.
        strides: Stride of each layer, in the encoder's order, or one number for all.
        activation: Activation of the hidden layers.
        code_activation: Activation of the code.
        output_activation: Activation of the reconstruction, as in `mlp`.
        posterior: Parameters of variational models, as in `mlp`; without `code_size` they are
            channels of the feature map.

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
    strides = sizes.strides(strides, filters)
    output_activation = sizes.last_activation(output_activation, posterior)
    numbers, channels = code_size, filters
    if code_size is not None:
        numbers = sizes.of_code(code_size, posterior)
    else:
        channels = (*filters[:-1], sizes.of_code(filters[-1], posterior))
    encoder = convolutional_encoder(
        input_shape, numbers, channels, kernel_size, strides, activation, code_activation
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
    activation: arguments.Activation = "relu",
    code_activation: arguments.Activation = "linear",
    name: str = "encoder",
) -> keras.Model:
    """Return a convolutional encoder: the first half of `convolutional`, with its arguments.

    Example:

    >>> convolutional_encoder((28, 28, 1), code_size=16).output_shape
    (None, 16)
    """
    activation = arguments.activation("activation", activation)
    code_activation = arguments.activation("code_activation", code_activation)
    strides = sizes.strides(strides, filters, checks.whole_number("kernel_size", kernel_size))
    sizes.smallest_map("input_shape", input_shape, strides)
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
        size = checks.whole_number("code_size", code_size)
        x = layers.Dense(size, activation=code_activation, name="code")(x)
    return keras.Model(inputs, x, name=name)


def convolutional_decoder(
    code_size: int | None,
    output_shape: Shape,
    filters: Sequence[int] = (64, 32),
    kernel_size: int = 3,
    strides: int | Sequence[int] = 2,
    activation: arguments.Activation = "relu",
    output_activation: arguments.Activation = "sigmoid",
    name: str = "decoder",
) -> keras.Model:
    """Return a convolutional decoder: a projection to a map, then transposed convolutions.

    `filters` and `strides` are in the decoder's order, from the code outwards. A code that is a
    feature map (`code_size=None`) is not projected.

    Example:

    >>> convolutional_decoder(16, (28, 28, 1)).output_shape
    (None, 28, 28, 1)
    """
    activation = arguments.activation("activation", activation)
    output_activation = arguments.activation("output_activation", output_activation)
    strides = sizes.strides(strides, filters, checks.whole_number("kernel_size", kernel_size))
    smallest = (*sizes.smallest_map("output_shape", output_shape, strides), filters[0])
    if code_size is None:
        code = x = keras.Input(smallest)
    else:
        code = keras.Input((checks.whole_number("code_size", code_size),))
        x = layers.Dense(math.prod(smallest), activation=activation)(code)
        x = layers.Reshape(smallest)(x)
    for channels, stride in zip(filters[1:], strides[:-1], strict=True):
        x = Conv2DTranspose(channels, kernel_size, stride, "same", activation=activation)(x)
    outputs = Conv2DTranspose(
        output_shape[-1], kernel_size, strides[-1], "same", activation=output_activation
    )(x)
    return keras.Model(code, outputs, name=name)
