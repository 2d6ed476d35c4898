"""Fully connected encoders f and decoders g, mirrored.

h = f(x)    input → units → code
x̂ = g(h)    code → reversed units → input
"""

import math
from collections.abc import Sequence

import keras
from keras import layers

from kerasae import checks
from kerasae.engine import arguments
from kerasae.nets import sizes
from kerasae.nets.sizes import Shape
from kerasae.probability import posteriors


def mlp(
    input_shape: Shape,
    code_size: int,
    units: Sequence[int] = (256,),
    activation: arguments.Activation = "relu",
    code_activation: arguments.Activation = "linear",
    output_activation: arguments.Activation = None,
    posterior: str | posteriors.Posterior | None = None,
) -> tuple[keras.Model, keras.Model]:
    """Return a fully connected encoder and decoder: input → units → code → reversed units → input.

    Args:
        input_shape: Shape of one example, for instance `(28, 28, 1)`.
        code_size: Latent dimension; below the input's size the autoencoder is undercomplete,
            above it overcomplete.
        units: Sizes of the encoder's hidden layers; the decoder has them reversed. Empty for
            an autoencoder whose code is its only hidden layer.
        activation: Activation of the hidden layers.
        code_activation: Activation of the code.
        output_activation: Activation of the reconstruction: `"sigmoid"` for values in [0, 1], the
            meaning of `None`, `"linear"` for others. With a `posterior`, `None` means linear,
            because a likelihood takes logits or means.
        posterior: For variational models, the parameters that the encoder gives
            (`kerasae.posteriors`): `"diagonal"`, `"deviation"` or `"full"`. The encoder has as many
            outputs as a code of `code_size` has parameters.

    Returns:
        The encoder and the decoder.

    Example:

    >>> encoder, decoder = mlp((28, 28, 1), code_size=32)
    >>> encoder.output_shape, decoder.output_shape
    ((None, 32), (None, 28, 28, 1))
    """
    units = checks.sizes("units", units)
    numbers = sizes.of_code(code_size, posterior)
    output_activation = sizes.last_activation(output_activation, posterior)
    encoder = mlp_encoder(input_shape, numbers, units, activation, code_activation)
    decoder = mlp_decoder(code_size, input_shape, units[::-1], activation, output_activation)
    return encoder, decoder


def mlp_encoder(
    input_shape: Shape,
    code_size: int,
    units: Sequence[int] = (256,),
    activation: arguments.Activation = "relu",
    code_activation: arguments.Activation = "linear",
    name: str = "encoder",
) -> keras.Model:
    """Return a fully connected encoder, h = f(x): the first half of `mlp`, with its arguments.

    Example:

    >>> mlp_encoder((28, 28, 1), code_size=2).output_shape
    (None, 2)
    """
    activation = arguments.activation("activation", activation)
    code_activation = arguments.activation("code_activation", code_activation)
    inputs = keras.Input(sizes.shape("input_shape", input_shape))
    x = layers.Flatten()(inputs) if len(input_shape) > 1 else inputs
    for size in checks.sizes("units", units):
        x = layers.Dense(size, activation=activation)(x)
    size = checks.whole_number("code_size", code_size)
    code = layers.Dense(size, activation=code_activation, name="code")(x)
    return keras.Model(inputs, code, name=name)


def mlp_decoder(
    code_size: int,
    output_shape: Shape,
    units: Sequence[int] = (256,),
    activation: arguments.Activation = "relu",
    output_activation: arguments.Activation = "sigmoid",
    name: str = "decoder",
) -> keras.Model:
    """Return a fully connected decoder, x̂ = g(h): the second half of `mlp`.

    `units` are in the decoder's order, from the code outwards.

    Example:

    >>> mlp_decoder(2, (28, 28, 1)).output_shape
    (None, 28, 28, 1)
    """
    activation = arguments.activation("activation", activation)
    output_activation = arguments.activation("output_activation", output_activation)
    output_shape = sizes.shape("output_shape", output_shape)
    code = keras.Input((checks.whole_number("code_size", code_size),))
    x = code
    for size in checks.sizes("units", units):
        x = layers.Dense(size, activation=activation)(x)
    x = layers.Dense(math.prod(output_shape), activation=output_activation)(x)
    outputs = layers.Reshape(output_shape)(x) if len(output_shape) > 1 else x
    return keras.Model(code, outputs, name=name)
