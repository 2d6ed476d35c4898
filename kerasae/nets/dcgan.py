"""The generator and the discriminator of DCGAN, for images of any size that its strides allow."""

import keras
from keras import layers

from kerasae import checks
from kerasae.engine import arguments
from kerasae.layers import Conv2DTranspose
from kerasae.nets import sizes
from kerasae.nets.sizes import Shape


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
    height, width, _ = sizes.shape(name, shape)
    halvings = 0
    while height % 2 == 0 and width % 2 == 0 and min(height, width) >= 8:
        height, width, halvings = height // 2, width // 2, halvings + 1
    if halvings == 0 or not 4 <= min(height, width) <= 7:
        raise ValueError(
            f"`{name}` is {shape!r}, expected sides of 4 to 7 times a power of two, such as 28, 32 "
            "or 64."
        )
    return height, width, halvings
