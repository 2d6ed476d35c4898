"""Encoders f and decoders g, mirrored.

    h = f(x)    encoder: from the input to the code
    x̂ = g(h)    decoder: from the code to the reconstruction

Every function returns plain Keras models that can be trained, saved and cut separately; `mlp` and
`convolutional` return the pair (f, g), where g mirrors f.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kerasae import checks
from kerasae.engine import arguments
from kerasae.layers import Conv2DTranspose
from kerasae.probability import posteriors

Shape = tuple[int, ...]


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
    numbers = _numbers(code_size, posterior)
    output_activation = _last(output_activation, posterior)
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
    inputs = keras.Input(_shape("input_shape", input_shape))
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
    output_shape = _shape("output_shape", output_shape)
    code = keras.Input((checks.whole_number("code_size", code_size),))
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
    strides = _strides(strides, filters)
    output_activation = _last(output_activation, posterior)
    numbers, channels = code_size, filters
    if code_size is not None:
        numbers = _numbers(code_size, posterior)
    else:
        channels = (*filters[:-1], _numbers(filters[-1], posterior))
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
    strides = _strides(strides, filters, checks.whole_number("kernel_size", kernel_size))
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
    strides = _strides(strides, filters, checks.whole_number("kernel_size", kernel_size))
    smallest = (*_smallest_map("output_shape", output_shape, strides), filters[0])
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
    input_shape = _shape("input_shape", input_shape)
    condition_shape = _shape("condition_shape", condition_shape)
    code_shape = (checks.whole_number("code_size", code_size),)
    units = checks.sizes("units", units)
    numbers = _numbers(code_size, posterior)
    output_activation = _last(output_activation, posterior)

    def beside_condition(shape, network, name):
        inputs = [keras.Input(shape, name=name), keras.Input(condition_shape, name="condition")]
        flat = layers.Concatenate()([layers.Flatten()(each) for each in inputs])
        return keras.Model(inputs, network(flat), name=network.name)

    size = math.prod(condition_shape)
    seen, told = math.prod(input_shape) + size, code_size + size
    encoder = mlp_encoder((seen,), numbers, units, activation, code_activation)
    decoder = mlp_decoder(told, input_shape, units[::-1], activation, output_activation)
    return (
        beside_condition(input_shape, encoder, "x"),
        beside_condition(code_shape, decoder, "code"),
    )


def dcgan_generator(
    output_shape: Shape,
    code_size: int = 100,
    filters: int = 64,
    classes: int | None = None,
    normalization: bool = True,
    output_activation: arguments.Activation = "sigmoid",
    name: str = "generator",
) -> keras.Model:
    """Return DCGAN's generator, x = G(z): project and reshape, then transposed convolutions.

    For 64 × 64 pixels the code becomes a map of 4 × 4 with 8 · `filters` channels, and four
    transposed convolutions double its sides and halve its channels; for 28 × 28 the first map is
    7 × 7. The network has batch normalization and ReLU, no pooling and no hidden dense layer. The
    paper's images lie in [−1, 1], with a last tanh; here images lie in [0, 1], with a sigmoid,
    which is a shifted and scaled tanh. Kernels are 4 × 4, twice the stride, instead of the paper's
    5 × 5: the same number of kernels then covers each pixel, which avoids a checkerboard pattern.

    Radford, Metz & Chintala, "Unsupervised representation learning with deep convolutional
    generative adversarial networks" (2015).

    Args:
        output_shape: Height, width and channels; the sides are 4 to 7 times a power of two, such
            as 28, 32 or 64.
        code_size: Dimension of z.
        filters: Channels of the last hidden map, doubled in each layer towards the code: the
            paper has 128.
        classes: Number of classes, for a conditional GAN: the network then takes
            `[z, one-hot label]`.
        normalization: If True, each hidden layer is normalized over the batch.
        output_activation: Activation of the image; `"tanh"` for data in [−1, 1].
        name: Name of the network.

    Example:

    >>> dcgan_generator((64, 64, 3), filters=8).output_shape
    (None, 64, 64, 3)
    >>> dcgan_generator((28, 28, 1), filters=8, classes=10).input_shape
    [(None, 100), (None, 10)]
    """
    height, width, halvings = _dcgan_map("output_shape", output_shape)
    normalization = checks.flag("normalization", normalization)
    filters = checks.whole_number("filters", filters)
    code = x = keras.Input((checks.whole_number("code_size", code_size),), name="z")
    inputs = code
    if classes is not None:
        label = keras.Input((checks.whole_number("classes", classes, least=2),), name="label")
        inputs, x = [code, label], layers.Concatenate()([code, label])

    def hidden(x):
        if normalization:
            # Sampling uses the moving statistics: they must follow in tens, not hundreds, of steps.
            x = layers.BatchNormalization(momentum=0.9)(x)
        return layers.ReLU()(x)

    start = {"kernel_initializer": keras.initializers.RandomNormal(stddev=0.02)}  # the paper's
    bias = not normalization  # normalization would cancel it
    channels = filters * 2 ** (halvings - 1)
    x = layers.Dense(height * width * channels, use_bias=bias, **start)(x)
    x = hidden(layers.Reshape((height, width, channels))(x))
    for layer in range(halvings - 2, -1, -1):
        x = Conv2DTranspose(filters * 2**layer, 4, 2, "same", use_bias=bias, **start)(x)
        x = hidden(x)
    x = Conv2DTranspose(output_shape[-1], 4, 2, "same", **start)(x)
    # A separate layer, so that it stays in float32 under a float16 policy.
    activation = arguments.activation("output_activation", output_activation)
    outputs = layers.Activation(activation, dtype="float32")(x)
    return keras.Model(inputs, outputs, name=name)


def dcgan_discriminator(
    input_shape: Shape,
    filters: int = 64,
    classes: int | None = None,
    normalization: bool = True,
    name: str = "discriminator",
) -> keras.Model:
    """Return DCGAN's discriminator, the logit a of D(x): strided convolutions.

    It mirrors the generator: no pooling, leaky ReLU of slope 0.2, batch normalization of all
    layers but the first, no sigmoid at the end.

    Args:
        input_shape: Height, width and channels, as in the generator.
        filters: Channels of the first map, doubled in each layer.
        classes: Number of classes, for a conditional GAN: the network then takes
            `[x, one-hot label]`, and sees the label as constant maps of 1 or 0.
        normalization: If True, layers are normalized over the batch. Use False for a critic with
            a gradient penalty, because the penalty is defined per example.
        name: Name of the network.

    Example:

    >>> dcgan_discriminator((32, 32, 3), filters=8).output_shape
    (None, 1)
    """
    *_, halvings = _dcgan_map("input_shape", input_shape)
    normalization = checks.flag("normalization", normalization)
    filters = checks.whole_number("filters", filters)
    image = x = inputs = keras.Input(input_shape, name="x")
    if classes is not None:
        classes = checks.whole_number("classes", classes, least=2)
        label = keras.Input((classes,), name="label")
        maps = layers.RepeatVector(input_shape[0] * input_shape[1])(label)
        maps = layers.Reshape((*input_shape[:2], classes))(maps)
        inputs, x = [image, label], layers.Concatenate()([image, maps])
    start = {"kernel_initializer": keras.initializers.RandomNormal(stddev=0.02)}
    for layer in range(halvings):
        normalized = normalization and layer > 0
        x = layers.Conv2D(filters * 2**layer, 4, 2, "same", use_bias=not normalized, **start)(x)
        if normalized:
            x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.LeakyReLU(0.2)(x)
    logit = layers.Dense(1, **start)(layers.Flatten()(x))
    return keras.Model(inputs, logit, name=name)


def _dcgan_map(name: str, shape: Shape) -> tuple[int, int, int]:
    """Return height and width of the smallest map, and how many times its sides are doubled."""
    if not isinstance(shape, (tuple, list)) or len(shape) != 3:
        raise ValueError(f"`{name}` is {shape!r}, expected (height, width, channels).")
    height, width, _ = _shape(name, shape)
    halvings = 0
    while height % 2 == 0 and width % 2 == 0 and min(height, width) >= 8:
        height, width, halvings = height // 2, width // 2, halvings + 1
    if halvings == 0 or not 4 <= min(height, width) <= 7:
        raise ValueError(
            f"`{name}` is {shape!r}, expected sides of 4 to 7 times a power of two, such as 28, 32 "
            "or 64."
        )
    return height, width, halvings


def _numbers(code_size: int, posterior: str | posteriors.Posterior | None) -> int:
    """Return the number of the encoder's outputs: the code, or its posterior's parameters."""
    size = checks.whole_number("code_size", code_size)
    return size if posterior is None else posteriors.get("posterior", posterior).parameters(size)


def _last(activation: Any, posterior: str | posteriors.Posterior | None) -> Any:
    """Return the decoder's last activation; the default depends on the kind of model."""
    return ("sigmoid" if posterior is None else "linear") if activation is None else activation


def _shape(name: str, shape: Shape) -> Shape:
    if not isinstance(shape, (tuple, list)) or len(shape) == 0:
        raise ValueError(f"`{name}` is {shape!r}, expected the shape of one example, a tuple.")
    return checks.sizes(name, shape)


def _strides(
    strides: int | Sequence[int], filters: Sequence[int], kernel_size: int | None = None
) -> tuple[int, ...]:
    """Return one stride for each of `filters`."""
    if len(checks.sizes("filters", filters)) == 0:
        raise ValueError("`filters` is empty, expected the channels of at least one layer.")
    if not isinstance(strides, (tuple, list)):
        strides = (checks.whole_number("strides", strides),) * len(filters)
    strides = checks.sizes("strides", strides)
    if len(strides) != len(filters):
        raise ValueError(
            f"`strides` is {strides!r}, expected as many as `filters` has: {len(filters)}."
        )
    if kernel_size is not None and checks.whole_number("kernel_size", kernel_size) < max(strides):
        raise ValueError(
            f"`kernel_size` is {kernel_size}, expected at least the largest of `strides`, "
            f"{max(strides)}: otherwise pixels between the kernels are skipped."
        )
    return strides


def _smallest_map(name: str, shape: Shape, strides: Sequence[int]) -> tuple[int, int]:
    """Return height and width, divided by the product of `strides`."""
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
