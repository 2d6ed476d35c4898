"""f and g: encoders and decoders, mirrored.

    h = f(x)    encoder: from the input to the code
    x̂ = g(h)    decoder: from the code to the reconstruction

Every function returns plain Keras models that can be trained, saved and cut on their own;
`mlp` and `convolutional` return the pair (f, g), g being f's mirror image.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kerasae import checks, posteriors
from kerasae.layers import Conv2DTranspose

Shape = tuple[int, ...]


def mlp(
    input_shape: Shape,
    code_size: int,
    units: Sequence[int] = (256,),
    activation: str = "relu",
    code_activation: str = "linear",
    output_activation: str | None = None,
    posterior: str | None = None,
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
        output_activation: Of the reconstruction: `"sigmoid"` for values in [0, 1], which is what
            `None` means, `"linear"` for any others. With a `posterior`, `None` means linear: a
            likelihood takes logits or means.
        posterior: For variational models, how the encoder's numbers are to be read
            (`kerasae.posteriors`): `"diagonal"`, `"deviation"` or `"full"`. It gives as many as
            this takes for a code of `code_size`.

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
    activation: str = "relu",
    code_activation: str = "linear",
    name: str = "encoder",
) -> keras.Model:
    """Fully connected encoder, h = f(x): the first half of `mlp`, with its arguments.

    Example:

    >>> mlp_encoder((28, 28, 1), code_size=2).output_shape
    (None, 2)
    """
    activation = checks.activation("activation", activation)
    code_activation = checks.activation("code_activation", code_activation)
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
    activation = checks.activation("activation", activation)
    output_activation = checks.activation("output_activation", output_activation)
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
    output_activation: str | None = None,
    posterior: str | None = None,
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
        output_activation: Of the reconstruction, as in `mlp`.
        posterior: For variational models, as in `mlp`; the map that is a code without
            `code_size` has the parameters in its channels.

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
    activation: str = "relu",
    code_activation: str = "linear",
    name: str = "encoder",
) -> keras.Model:
    """Convolutional encoder: the first half of `convolutional`, with its arguments.

    Example:

    >>> convolutional_encoder((28, 28, 1), code_size=16).output_shape
    (None, 16)
    """
    activation = checks.activation("activation", activation)
    code_activation = checks.activation("code_activation", code_activation)
    strides = _strides(strides, filters, checks.positive("kernel_size", kernel_size))
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
    activation = checks.activation("activation", activation)
    output_activation = checks.activation("output_activation", output_activation)
    strides = _strides(strides, filters, checks.positive("kernel_size", kernel_size))
    smallest = (*_smallest_map("output_shape", output_shape, strides), filters[0])
    if code_size is None:
        code = x = keras.Input(smallest)
    else:
        code = keras.Input((checks.positive("code_size", code_size),))
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
    activation: str = "relu",
    code_activation: str = "linear",
    output_activation: str | None = None,
    posterior: str | None = "diagonal",
) -> tuple[keras.Model, keras.Model]:
    """`mlp` with a condition: the encoder takes `[x, c]`, the decoder `[code, c]`.

    Both see all numbers of the condition beside their own input.

    Args:
        input_shape: As in `mlp`.
        condition_shape: Shape of one condition: `(10,)` for labels of ten classes, which a model
            hands on as one-hot vectors, `(28, 28, 1)` for an image.
        code_size: As in `mlp`, like what follows.
        units: Sizes of the encoder's hidden layers.
        activation: Of the hidden layers.
        code_activation: Of the code.
        output_activation: Of the reconstruction.
        posterior: How the encoder's numbers are to be read.

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
    code_shape = (checks.positive("code_size", code_size),)
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
    output_activation: str = "sigmoid",
    name: str = "generator",
) -> keras.Model:
    """DCGAN's generator, x = G(z): project and reshape, then transposed convolutions.

    For 64 × 64 pixels the code becomes a map of 4 × 4 with 8 · `filters` channels, and four
    transposed convolutions double its sides and halve its channels; for 28 × 28 it begins at
    7 × 7. No pooling, no hidden dense layer, batch normalisation, ReLU. The paper's images lie in
    [−1, 1] and end in tanh; here images lie in [0, 1], and the last layer is a sigmoid, which is
    that tanh shifted and scaled. Kernels are 4 × 4, twice the stride, where the paper's are 5 × 5:
    each pixel is then reached by equally many, which leaves no checkerboard.

    Radford, Metz & Chintala, "Unsupervised representation learning with deep convolutional
    generative adversarial networks" (2015).

    Args:
        output_shape: Height, width and channels; the sides are 4 to 7 times a power of two, such
            as 28, 32 or 64.
        code_size: Numbers in z.
        filters: Channels of the last hidden map, doubled in each layer towards the code: the
            paper has 128.
        classes: For a conditional GAN, how many classes there are: the network then takes
            `[z, one-hot label]`.
        normalization: Whether to normalise each hidden layer over the batch.
        output_activation: Of the image; `"tanh"` for data in [−1, 1].
        name: The network's.

    Example:

    >>> dcgan_generator((64, 64, 3), filters=8).output_shape
    (None, 64, 64, 3)
    >>> dcgan_generator((28, 28, 1), filters=8, classes=10).input_shape
    [(None, 100), (None, 10)]
    """
    height, width, halvings = _dcgan_map("output_shape", output_shape)
    normalization = checks.flag("normalization", normalization)
    filters = checks.positive("filters", filters)
    code = x = keras.Input((checks.positive("code_size", code_size),), name="z")
    inputs = code
    if classes is not None:
        label = keras.Input((checks.positive("classes", classes, least=2),), name="label")
        inputs, x = [code, label], layers.Concatenate()([code, label])

    def hidden(x):
        if normalization:
            # The sampled images depend on the statistics soon, not after hundreds of steps.
            x = layers.BatchNormalization(momentum=0.9)(x)
        return layers.ReLU()(x)

    start = {"kernel_initializer": keras.initializers.RandomNormal(stddev=0.02)}  # the paper's
    bias = not normalization  # normalisation takes it out again
    channels = filters * 2 ** (halvings - 1)
    x = layers.Dense(height * width * channels, use_bias=bias, **start)(x)
    x = hidden(layers.Reshape((height, width, channels))(x))
    for layer in range(halvings - 2, -1, -1):
        x = Conv2DTranspose(filters * 2**layer, 4, 2, "same", use_bias=bias, **start)(x)
        x = hidden(x)
    x = Conv2DTranspose(output_shape[-1], 4, 2, "same", **start)(x)
    # Apart from the convolution, so that it stays in float32 where the policy is float16.
    activation = checks.activation("output_activation", output_activation)
    outputs = layers.Activation(activation, dtype="float32")(x)
    return keras.Model(inputs, outputs, name=name)


def dcgan_discriminator(
    input_shape: Shape,
    filters: int = 64,
    classes: int | None = None,
    normalization: bool = True,
    name: str = "discriminator",
) -> keras.Model:
    """DCGAN's discriminator, a = D(x): strided convolutions down to one logit.

    The generator's mirror image: no pooling, leaky ReLU of slope 0.2, batch normalisation of all
    but the first layer, no sigmoid at the end.

    Args:
        input_shape: Height, width and channels, as the generator's.
        filters: Channels of the first map, doubled in each layer.
        classes: For a conditional GAN, how many classes there are: the network then takes
            `[x, one-hot label]`, and sees the label as maps that are 1 or 0 all over.
        normalization: Whether to normalise over the batch: not for a critic under a gradient
            penalty, which asks about each example alone.
        name: The network's.

    Example:

    >>> dcgan_discriminator((32, 32, 3), filters=8).output_shape
    (None, 1)
    """
    *_, halvings = _dcgan_map("input_shape", input_shape)
    normalization = checks.flag("normalization", normalization)
    filters = checks.positive("filters", filters)
    image = x = inputs = keras.Input(input_shape, name="x")
    if classes is not None:
        classes = checks.positive("classes", classes, least=2)
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
    """Height and width of the smallest map, and how often its sides are doubled."""
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


def _numbers(code_size: int, posterior: str | None) -> int:
    """How many numbers the encoder gives for a code, or for the parameters of its posterior."""
    size = checks.positive("code_size", code_size)
    return size if posterior is None else posteriors.parameters(posterior, size)


def _last(activation: Any, posterior: str | None) -> Any:
    """Return the decoder's last activation, given or by the kind of model."""
    return ("sigmoid" if posterior is None else "linear") if activation is None else activation


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
