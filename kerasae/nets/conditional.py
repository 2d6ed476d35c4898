"""Encoders and decoders that also take a condition.

h = f(x, c)    x̂ = g(h, c)
"""

import math
from collections.abc import Sequence

import keras
from keras import layers

from kerasae import checks
from kerasae.engine import arguments
from kerasae.nets import sizes
from kerasae.nets.mlp import mlp_decoder, mlp_encoder
from kerasae.nets.sizes import Shape
from kerasae.probability import posteriors


def conditional_mlp(
    input_shape: Shape,
    condition_shape: Shape,
    code_size: int,
    units: Sequence[int] = (256,),
    activation: arguments.Activation = "relu",
    code_activation: arguments.Activation = "linear",
    output_activation: arguments.Activation = None,
    posterior: str | posteriors.Posterior | None = "diagonal",
) -> tuple[keras.Model, keras.Model]:
    """Return `mlp` with a condition: the encoder takes `[x, c]`, the decoder `[code, c]`.

    Both see all numbers of the condition beside their own input.

    Args:
        input_shape: Shape of one example.
        condition_shape: Shape of one condition: `(10,)` for labels of ten classes, which a model
            passes as one-hot vectors, `(28, 28, 1)` for an image.
        code_size: Latent dimension.
        units: Sizes of the encoder's hidden layers.
        activation: Activation of the hidden layers.
        code_activation: Activation of the code.
        output_activation: Activation of the reconstruction, as in `mlp`.
        posterior: Parameters that the encoder gives, as in `mlp`.

    Returns:
        The encoder and the decoder.

    Example:

    >>> encoder, decoder = conditional_mlp((28, 28, 1), (10,), code_size=16)
    >>> encoder.input_shape, encoder.output_shape
    ([(None, 28, 28, 1), (None, 10)], (None, 32))
    >>> decoder.input_shape, decoder.output_shape
    ([(None, 16), (None, 10)], (None, 28, 28, 1))
    """
    input_shape = sizes.shape("input_shape", input_shape)
    condition_shape = sizes.shape("condition_shape", condition_shape)
    code_shape = (checks.whole_number("code_size", code_size),)
    units = checks.sizes("units", units)
    numbers = sizes.of_code(code_size, posterior)
    output_activation = sizes.last_activation(output_activation, posterior)

    def beside_condition(shape, network, name):
        inputs = [keras.Input(shape, name=name), keras.Input(condition_shape, name="condition")]
        flat = layers.Concatenate()([layers.Flatten()(each) for each in inputs])
        return keras.Model(inputs, network(flat), name=network.name)

    size = math.prod(condition_shape)
    inputs = (math.prod(input_shape) + size,)
    encoder = mlp_encoder(inputs, numbers, units, activation, code_activation)
    decoder = mlp_decoder(code_size + size, input_shape, units[::-1], activation, output_activation)
    return (
        beside_condition(input_shape, encoder, "x"),
        beside_condition(code_shape, decoder, "code"),
    )
