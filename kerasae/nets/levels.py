"""Networks that also take a level of noise: a residual MLP, and a small U-Net.

    e = W sin(Fs + φ) (+ C y)            the level s, and perhaps the class y
    h ← h + W₂ swish((1 + γ(e)) norm h + β(e))      a block: the level scales and shifts

They take [x, s] or [x, s, y], s of shape (n, 1), y one-hot, and give numbers of x's shape. When all
examples have the same level, s may have the shape (1, 1): what depends on it alone is then computed
once.

Ho, Jain & Abbeel, "Denoising diffusion probabilistic models" (2020); Ronneberger, Fischer & Brox,
"U-Net: Convolutional networks for biomedical image segmentation" (2015).
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from kerasae import checks
from kerasae.nets import sizes
from kerasae.nets.sizes import Shape

Tensor = Any

FREQUENCIES = 16


def residual_mlp(
    shape: Shape,
    units: int = 256,
    blocks: int = 4,
    classes: int | None = None,
    embedding: int = 64,
) -> keras.Model:
    """Return a residual MLP of an example and its level of noise.

    Args:
        shape: Shape of one example.
        units: Width of the blocks.
        blocks: Number of blocks, of two dense layers each.
        classes: Number of classes, if the network also takes a one-hot label.
        embedding: Numbers that stand for the level and the class.

    Example:

    >>> network = residual_mlp((32,), units=16, classes=10)
    >>> network.input_shape, network.output_shape
    ([(None, 32), (None, 1), (None, 10)], (None, 32))
    """
    shape, units = sizes.shape("shape", shape), checks.whole_number("units", units)
    x, inputs, embedded = _inputs(shape, classes, embedding)
    h = layers.Flatten()(x) if len(shape) > 1 else x
    h = layers.Dense(units)(h)
    for _ in range(checks.whole_number("blocks", blocks)):
        inner = layers.LayerNormalization(center=False, scale=False)(h)
        inner = layers.Activation("swish")(_moved(inner, embedded, units))
        inner = layers.Activation("swish")(layers.Dense(units)(inner))
        h = layers.Add()([h, layers.Dense(units, kernel_initializer="zeros")(inner)])
    h = layers.Activation("swish")(layers.LayerNormalization()(h))
    output = layers.Dense(math.prod(shape), kernel_initializer="zeros", dtype="float32")(h)
    output = layers.Reshape(shape, dtype="float32")(output) if len(shape) > 1 else output
    return keras.Model(inputs, output, name="residual_mlp")


def unet(
    shape: Shape,
    filters: Sequence[int] = (32, 64, 64),
    blocks: int = 1,
    classes: int | None = None,
    embedding: int = 64,
    patch: int = 1,
) -> keras.Model:
    """Return a small U-Net of an image and its level of noise.

    Each resolution has residual blocks on the way down and on the way up, where the block also sees
    what the same resolution had on the way down. Between two resolutions the sides are halved, or
    doubled.

    Args:
        shape: Height, width and channels; the sides must be divisible by `patch`, and by 2 for
            each resolution after the first.
        filters: Channels of each resolution, the full one first; multiples of 4.
        blocks: Number of blocks of a resolution on each way.
        classes: Number of classes, if the network also takes a one-hot label.
        embedding: Numbers that stand for the level and the class.
        patch: Side of the squares of pixels that the network takes as one place: 2 costs a quarter.

    Example:

    >>> unet((28, 28, 1), filters=(8, 16)).output_shape
    (None, 28, 28, 1)
    """
    filters = checks.sizes("filters", filters)
    patch = checks.whole_number("patch", patch)
    sizes.smallest_map("shape", shape, (patch,) + (2,) * (len(filters) - 1))
    if not filters or any(channels % 4 for channels in filters):
        raise ValueError(f"`filters` is {filters}, expected multiples of 4.")
    blocks = checks.whole_number("blocks", blocks)
    x, inputs, embedded = _inputs(sizes.shape("shape", shape), classes, embedding)
    # Of patches, kernels overlap the neighbours by a pixel.
    h = layers.Conv2D(filters[0], patch + 2, patch, "same")(x)
    kept = [h]
    for index, channels in enumerate(filters):
        if index:
            h = layers.Conv2D(channels, 3, 2, "same")(h)
            kept.append(h)
        for _ in range(blocks):
            h = _convolved(h, embedded, channels)
            kept.append(h)
    h = _convolved(h, embedded, filters[-1])
    for index in reversed(range(len(filters))):
        for _ in range(blocks + 1):
            h = _convolved(layers.Concatenate()([h, kept.pop()]), embedded, filters[index])
        if index:
            h = layers.UpSampling2D(2)(h)
            h = layers.Conv2D(filters[index - 1], 3, padding="same")(h)
    h = layers.Activation("swish")(layers.GroupNormalization(4)(h))
    channels = patch**2 * shape[-1]
    output = layers.Conv2D(
        channels, 3, padding="same", kernel_initializer="zeros", dtype="float32"
    )(h)
    if patch > 1:
        height, width = (side // patch for side in shape[:2])
        output = layers.Reshape((height, width, patch, patch, shape[-1]))(output)
        output = layers.Reshape(shape)(layers.Permute((1, 3, 2, 4, 5))(output))
    return keras.Model(inputs, output, name="unet")


def _inputs(shape: Shape, classes: int | None, size: int) -> tuple[Tensor, list, Tensor]:
    """Return the input x, all inputs, and the embedding of the level and the class."""
    inputs = [keras.Input(shape, name="x"), keras.Input((1,), name="level")]
    size = checks.whole_number("embedding", size)
    embedded = layers.Dense(size)(Frequencies(FREQUENCIES)(inputs[1]))
    if classes is not None:
        label = keras.Input((checks.whole_number("classes", classes, 2),), name="label")
        inputs.append(label)
        embedded = layers.Add()([embedded, layers.Dense(size, use_bias=False)(label)])
    return inputs[0], inputs, layers.Activation("swish")(embedded)


def _moved(h: Tensor, embedded: Tensor, channels: int) -> Tensor:
    """Return (1 + γ) h + β, with γ and β of the level and the class."""
    scale, shift = (layers.Dense(channels)(embedded) for _ in range(2))
    if len(h.shape) > 2:
        shape = (1,) * (len(h.shape) - 2) + (channels,)
        scale, shift = (layers.Reshape(shape)(each) for each in (scale, shift))
    return layers.Add()([layers.Multiply()([h, scale]), h, shift])


def _convolved(h: Tensor, embedded: Tensor, channels: int) -> Tensor:
    """Return a block of two convolutions."""
    inner = layers.Activation("swish")(layers.GroupNormalization(4)(h))
    inner = layers.Conv2D(channels, 3, padding="same")(inner)
    inner = layers.GroupNormalization(4, center=False, scale=False)(inner)
    inner = layers.Activation("swish")(_moved(inner, embedded, channels))
    inner = layers.Conv2D(channels, 3, padding="same", kernel_initializer="zeros")(inner)
    if h.shape[-1] != channels:
        h = layers.Conv2D(channels, 1)(h)
    return layers.Add()([h, inner])


@keras.saving.register_keras_serializable("kerasae")
class Frequencies(layers.Layer):
    """Sines and cosines of a number, at frequencies from 1 to 64 in equal ratios.

    Args:
        count: Number of frequencies.

    Example:

    >>> tuple(Frequencies(4)(ops.zeros((3, 1))).shape)
    (3, 8)
    """

    def __init__(self, count: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.count = checks.whole_number("count", count)
        self._frequencies = np.geomspace(1, 64, self.count).astype("float32")[None]

    def call(self, level):
        angles = ops.cast(level, "float32") * ops.convert_to_tensor(self._frequencies)
        waves = ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=1)
        return ops.cast(waves, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], 2 * self.count)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "count": self.count}
