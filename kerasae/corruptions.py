"""Corruptions C(x̃|x) of the input, drawn anew in each step, off at inference.

Any Keras layer that acts in training only can be a corruption: the decks use
`keras.layers.GaussianNoise` and `keras.layers.Dropout`. This module has the others of Vincent et
al., "Stacked Denoising Autoencoders" (2010), and masks for structured output. Combine several in a
`keras.Sequential`.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae import checks
from kerasae.engine import arguments, noise

QUADRANTS = ("top left", "top right", "bottom left", "bottom right")


class _Corruption(keras.layers.Layer):
    """A layer that replaces its input by `corrupt(input)` in training."""

    def __init__(self, seed: int | None = None, **kwargs) -> None:
        super().__init__(**kwargs)
        self.seed = checks.seed("seed", seed)
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        return self.corrupt(inputs) if training else inputs

    def uniform(self, shape):
        # Never in half precision: its steps near 0 would change the share that is corrupted.
        return noise.uniform(shape, self.seed_generator)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


class _Fraction(_Corruption):
    """A corruption of each number, or each pixel of an image, with probability ν."""

    def __init__(
        self, fraction: float, seed: int | None = None, whole_pixels: bool = False, **kwargs
    ) -> None:
        super().__init__(seed, **kwargs)
        self.fraction = checks.fraction("fraction", fraction)
        self.whole_pixels = checks.flag("whole_pixels", whole_pixels)

    def build(self, input_shape):
        if self.whole_pixels and len(input_shape) != 4:
            raise ValueError(
                f"`{type(self).__name__}` got input of shape {tuple(input_shape)}, expected images "
                "(examples, height, width, channels) under `whole_pixels`."
            )

    def draw(self, inputs):
        """Draw uniform numbers, one for each number or pixel."""
        shape = tuple(ops.shape(inputs))
        return self.uniform((*shape[:-1], 1) if self.whole_pixels else shape)

    def get_config(self):
        config = {"fraction": self.fraction, "whole_pixels": self.whole_pixels}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable("kerasae")
class MaskingNoise(_Fraction):
    """A layer that sets each number to 0 with probability ν: x̃_i = m_i x_i, m_i ~ Bernoulli(1 − ν).

    Unlike `keras.layers.Dropout` it does not rescale the other numbers: they are unchanged.

    Args:
        fraction: ν, the probability that a number is masked.
        seed: Seed of the mask, or `None`.
        whole_pixels: If True, all channels of a pixel are masked together.

    Example:

    >>> import numpy as np
    >>> noisy = MaskingNoise(0.5, seed=0)(np.ones((1, 1000)), training=True)
    >>> bool(400 < keras.ops.sum(noisy) < 600)
    True
    """

    def corrupt(self, inputs):
        return ops.where(self.draw(inputs) < self.fraction, ops.zeros_like(inputs), inputs)


@keras.saving.register_keras_serializable("kerasae")
class SaltAndPepper(_Fraction):
    """A layer that sets each number with probability ν to its minimum or maximum, equally likely.

    Args:
        fraction: ν, the probability that a number is replaced.
        minimum: Value of pepper: one number, or one for each feature or channel.
        maximum: Value of salt: one number, or one for each feature or channel.
        seed: Seed of the noise, or `None`.
        whole_pixels: If True, all channels of a pixel are replaced together, all by the minimum or
            all by the maximum.

    Example:

    >>> import numpy as np
    >>> noisy = SaltAndPepper(1.0, seed=0)(np.full((1, 100), 0.5), training=True)
    >>> sorted(set(keras.ops.convert_to_numpy(noisy).ravel().tolist()))
    [0.0, 1.0]
    """

    def __init__(
        self,
        fraction: float,
        minimum: Any = 0.0,
        maximum: Any = 1.0,
        seed: int | None = None,
        whole_pixels: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(fraction, seed, whole_pixels, **kwargs)
        for name, value in (("minimum", minimum), ("maximum", maximum)):
            finite = np.size(value) and np.asarray(value).dtype.kind in "fiu"
            if not (finite and np.isfinite(value).all()):
                raise ValueError(f"`{name}` is {value!r}, expected finite numbers.")
        if not np.all(np.less(minimum, maximum)):
            raise ValueError(f"`minimum` is {minimum}, expected less than `maximum`, {maximum}.")
        self.minimum, self.maximum = np.asarray(minimum).tolist(), np.asarray(maximum).tolist()

    def build(self, input_shape):
        super().build(input_shape)
        for name in ("minimum", "maximum"):
            shape = np.shape(getattr(self, name))
            if shape not in ((), (input_shape[-1],)):
                raise ValueError(
                    f"`{name}` has shape {shape}, expected one number, or {input_shape[-1]} for "
                    f"input of shape {tuple(input_shape)}."
                )

    def corrupt(self, inputs):
        # One draw decides both: below ν/2 pepper, from ν/2 to ν salt, above ν the input.
        draw = self.draw(inputs)
        salt = ops.convert_to_tensor(self.maximum, dtype=inputs.dtype)
        pepper = ops.convert_to_tensor(self.minimum, dtype=inputs.dtype)
        salted = ops.where(draw < self.fraction, salt, inputs)
        return ops.where(draw < self.fraction / 2, pepper, salted)

    def get_config(self):
        return {**super().get_config(), "minimum": self.minimum, "maximum": self.maximum}


@keras.saving.register_keras_serializable("kerasae")
class BlockMask(_Corruption):
    """A layer that sets one rectangle of each image, at a random position, to 0.

    Args:
        size: Height and width of the block in pixels, or one number for a square.
        seed: Seed of the position, or `None`.

    Example:

    >>> import numpy as np
    >>> noisy = BlockMask(4, seed=0)(np.ones((1, 10, 10, 1)), training=True)
    >>> float(keras.ops.sum(noisy))
    84.0
    """

    def __init__(self, size: int | tuple[int, int], seed: int | None = None, **kwargs) -> None:
        super().__init__(seed, **kwargs)
        self.size = checks.sizes("size", size if isinstance(size, (tuple, list)) else (size, size))
        if len(self.size) != 2:
            raise ValueError(f"`size` is {size!r}, expected a height and a width, or one number.")

    def build(self, input_shape):
        if len(input_shape) != 4 or any(
            side is not None and side < block
            for side, block in zip(input_shape[1:3], self.size, strict=True)
        ):
            raise ValueError(
                f"`BlockMask` got input of shape {tuple(input_shape)}, expected images "
                f"(examples, height, width, channels) of at least {self.size} pixels."
            )

    def corrupt(self, inputs):
        count, height, width, _ = ops.shape(inputs)
        rows = self._hidden(count, height, self.size[0])[:, :, None, None]
        columns = self._hidden(count, width, self.size[1])[:, None, :, None]
        return ops.where(ops.logical_and(rows, columns), ops.zeros_like(inputs), inputs)

    def _hidden(self, count, side, block):
        """Return which of `side` rows (or columns) the block covers, for each image."""
        start = ops.floor(self.uniform((count, 1)) * ops.cast(side - block + 1, "float32"))
        place = ops.arange(side, dtype="float32")
        return ops.logical_and(place >= start, place < start + block)

    def get_config(self):
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable("kerasae")
class QuadrantMask(_Corruption):
    """A layer that sets some quadrants of each image to 0; the others stay visible.

    Args:
        visible: Number of visible quadrants, from 0 to 4, which are drawn for each image; or the
            names of those that are visible in all images, of `"top left"`, `"top right"`,
            `"bottom left"`, `"bottom right"`.
        seed: Seed of the draw, or `None`.

    Example:

    >>> import numpy as np
    >>> layer = QuadrantMask(["bottom left"])
    >>> keras.ops.convert_to_numpy(layer(np.ones((1, 4, 4, 1)), training=True))[0, ..., 0].tolist()
    [[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]]
    """

    def __init__(
        self, visible: int | str | list[str] = 1, seed: int | None = None, **kwargs
    ) -> None:
        super().__init__(seed, **kwargs)
        if isinstance(visible, str):
            visible = [visible]
        if not isinstance(visible, (tuple, list)):
            visible = checks.whole_number("visible", visible, 0)
        elif any(name not in QUADRANTS for name in visible):
            named = ", ".join(map(repr, QUADRANTS))
            raise ValueError(f"`visible` is {visible!r}, expected a number, or some of {named}.")
        if isinstance(visible, int) and visible > 4:
            raise ValueError(f"`visible` is {visible}, expected at most 4 quadrants.")
        self.visible = visible if isinstance(visible, int) else list(visible)

    def build(self, input_shape):
        _check_images(self, input_shape)

    def corrupt(self, inputs):
        count, height, width, _ = ops.shape(inputs)
        if isinstance(self.visible, int):  # the quadrants with the smallest random numbers
            ranks = ops.argsort(ops.argsort(self.uniform((count, 4)), axis=-1), axis=-1)
            seen = ranks < self.visible
        else:
            seen = ops.convert_to_tensor([[name in self.visible for name in QUADRANTS]])
        seen = ops.reshape(seen, (-1, 2, 2))  # (image, top or bottom, left or right)
        rows = ops.cast(ops.arange(height) >= height // 2, "int32")
        columns = ops.cast(ops.arange(width) >= width // 2, "int32")
        seen = ops.take(ops.take(seen, rows, axis=1), columns, axis=2)[..., None]
        return ops.where(seen, inputs, ops.zeros_like(inputs))

    def get_config(self):
        return {**super().get_config(), "visible": self.visible}


def _check_images(layer, input_shape):
    if len(input_shape) != 4:
        raise ValueError(
            f"`{type(layer).__name__}` got input of shape {tuple(input_shape)}, expected images "
            "(examples, height, width, channels)."
        )


def with_mask(x: Any) -> np.ndarray:
    """Return images with one more channel, which marks visible pixels: 1 everywhere at first.

    A corruption of whole pixels, such as `BlockMask`, `QuadrantMask` or `MaskingNoise` with
    `whole_pixels`, sets that channel to 0 with the others, so that a network can distinguish
    hidden pixels from black ones.

    Example:

    >>> with_mask(np.zeros((5, 28, 28, 1))).shape
    (5, 28, 28, 2)
    """
    x = ops.convert_to_numpy(x)
    checks.check_array("x", x, (None, None, None), integers=False)
    x = x.astype("float32")
    return np.concatenate([x, np.ones_like(x[..., :1])], axis=-1)


def hide(x: Any, corruption: keras.layers.Layer) -> np.ndarray:
    """Return images with hidden parts, and a last channel that is 1 if a pixel is visible, else 0.

    This is the condition of structured output: the whole image from its visible part.

    Args:
        x: Images, `(n, height, width, channels)`.
        corruption: A layer that hides whole pixels, see `with_mask`.

    Example:

    >>> condition = hide(np.ones((5, 28, 28, 1)), QuadrantMask(visible=1, seed=0))
    >>> condition.shape, float(condition[0].sum())  # a quarter of 784, seen, and marked as seen
    ((5, 28, 28, 2), 392.0)
    """
    if arguments.layer("corruption", corruption) is None:
        raise ValueError("`corruption` is None, expected a Keras layer such as `QuadrantMask(1)`.")
    return ops.convert_to_numpy(corruption(with_mask(x), training=True))
