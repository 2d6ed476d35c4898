"""Masked convolutions over a grid of whole numbers: each place sees those before it.

    mask A: kernel places above, and to the left in the same row        the first layer
    mask B: the same, and the middle                                    all others

x ← x + W₂ relu(B * relu(W₁ relu x)) in a block. The logits of a place depend on nothing at or after
it in rows, from the top left. A stack of such masks does not see everything before a place: what
lies above it to the far right stays hidden.

van den Oord, Kalchbrenner & Kavukcuoglu, "Pixel recurrent neural networks" (2016).
"""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from kerasae import checks
from kerasae.nets import sizes
from kerasae.nets.sizes import Shape


def masked_convolutional(
    shape: Shape,
    size: int,
    classes: int | None = None,
    filters: int = 64,
    blocks: int = 3,
    kernel_size: int = 3,
) -> keras.Model:
    """Return masked convolutions over a grid, which take and give what `causal_transformer` does.

    Args:
        shape: Height and width of a code.
        size: K; a code holds whole numbers below it.
        classes: Number of classes, if the network also takes a one-hot label.
        filters: Channels between the blocks; half as many inside.
        blocks: Number of blocks.
        kernel_size: Side of the kernels inside the blocks; the first one's is 7.

    Example:

    >>> masked_convolutional((7, 7), 512, filters=16).output_shape
    (None, 7, 7, 512)
    """
    shape = sizes.shape("shape", shape)
    if len(shape) != 2:
        raise ValueError(f"`shape` is {shape}, expected the height and the width of a grid.")
    checks.whole_number("size", size, 2)
    half = checks.whole_number("filters", filters, 2) // 2
    code = keras.Input(shape, dtype="int32", name="code")
    # Most of the work is in the first kernel, so its input is narrow.
    x = layers.Embedding(size, max(filters // 4, 2), name="words")(code)
    x = MaskedConv2D(filters, 7, "A")(x)
    inputs = code
    if classes is not None:
        label = keras.Input((checks.whole_number("classes", classes, 2),), name="label")
        inputs = [code, label]
        x = x + layers.Reshape((1, 1, filters))(layers.Dense(filters, use_bias=False)(label))
    for _ in range(checks.whole_number("blocks", blocks)):
        hidden = layers.Conv2D(half, 1, activation="relu")(layers.ReLU()(x))
        hidden = MaskedConv2D(half, kernel_size, "B", activation="relu")(hidden)
        x = x + layers.Conv2D(filters, 1)(hidden)
    x = layers.Conv2D(filters, 1, activation="relu")(layers.ReLU()(x))
    logits = layers.Conv2D(size, 1, dtype="float32")(x)
    return keras.Model(inputs, logits, name="masked_convolutional")


@keras.saving.register_keras_serializable("kerasae")
class MaskedConv2D(layers.Conv2D):
    """`keras.layers.Conv2D` whose kernel is 0 where it would look ahead.

    Args:
        filters: Channels of the output.
        kernel_size: Side of the kernel, an odd number.
        mask: "A", without the middle, or "B", with it.

    Example:

    >>> layer = MaskedConv2D(1, 3, "A", kernel_initializer="ones")
    >>> ops.convert_to_numpy(layer(ops.ones((1, 2, 2, 1)))).reshape(2, 2).tolist()
    [[0.0, 1.0], [2.0, 3.0]]
    """

    def __init__(self, filters: int, kernel_size: int, mask: str = "B", **kwargs) -> None:
        kwargs.pop("padding", None)
        super().__init__(filters, kernel_size, padding="same", **kwargs)
        self.mask = checks.one_of("mask", mask, ("A", "B"))
        if any(side % 2 == 0 for side in self.kernel_size):
            raise ValueError(f"`kernel_size` is {kernel_size}, expected an odd number.")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        height, width = self.kernel_size
        places = np.arange(height * width)
        seen = places < places[len(places) // 2] + (self.mask == "B")
        self._seen = seen.reshape(height, width, 1, 1).astype("float32")

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, kernel * ops.cast(self._seen, kernel.dtype))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mask": self.mask}
