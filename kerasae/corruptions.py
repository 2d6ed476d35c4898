"""C(x̃|x): corruptions of the input, drawn afresh each step, off at inference.

Any Keras layer that acts in training only will do: `keras.layers.GaussianNoise` and
`keras.layers.Dropout` are the decks' own. Here are the others of Vincent et al., "Stacked
Denoising Autoencoders" (2010), and a block mask for structured output. Several at once are
a `keras.Sequential` of them.
"""

import keras
from keras import ops

from kerasae import checks


class _Corruption(keras.layers.Layer):
    """A layer that replaces its input by `corrupt(input)` in training."""

    def __init__(self, seed: int | None = None, **kwargs) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        return self.corrupt(inputs) if training else inputs

    def uniform(self, shape):
        # Never in half precision: its steps near 0 would change how much is hit.
        return keras.random.uniform(shape, dtype="float32", seed=self.seed_generator)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


@keras.saving.register_keras_serializable("kerasae")
class MaskingNoise(_Corruption):
    """Sets each number to 0 with probability ν: x̃_i = m_i x_i, m_i ~ Bernoulli(1 − ν).

    Unlike `keras.layers.Dropout` it does not scale up what is left, so the picture that
    remains is a part of the original.

    Args:
        fraction: ν, the share of numbers that are masked.
        seed: Seed of the mask, or `None`.

    Example:

    >>> import numpy as np
    >>> noisy = MaskingNoise(0.5, seed=0)(np.ones((1, 1000)), training=True)
    >>> bool(400 < keras.ops.sum(noisy) < 600)
    True
    """

    def __init__(self, fraction: float, seed: int | None = None, **kwargs) -> None:
        super().__init__(seed, **kwargs)
        self.fraction = checks.fraction("fraction", fraction)

    def corrupt(self, inputs):
        keep = self.uniform(ops.shape(inputs)) >= self.fraction
        return ops.where(keep, inputs, ops.zeros_like(inputs))

    def get_config(self):
        return {**super().get_config(), "fraction": self.fraction}


@keras.saving.register_keras_serializable("kerasae")
class SaltAndPepper(_Corruption):
    """Sets each number with probability ν to its minimum or maximum, equally likely.

    Args:
        fraction: ν, the share of numbers that are hit.
        minimum: Value of pepper.
        maximum: Value of salt.
        seed: Seed of the noise, or `None`.

    Example:

    >>> import numpy as np
    >>> noisy = SaltAndPepper(1.0, seed=0)(np.full((1, 100), 0.5), training=True)
    >>> sorted(set(keras.ops.convert_to_numpy(noisy).ravel().tolist()))
    [0.0, 1.0]
    """

    def __init__(
        self,
        fraction: float,
        minimum: float = 0.0,
        maximum: float = 1.0,
        seed: int | None = None,
        **kwargs,
    ) -> None:
        super().__init__(seed, **kwargs)
        self.fraction = checks.fraction("fraction", fraction)
        if not minimum < maximum:
            raise ValueError(f"`minimum` is {minimum}, expected less than `maximum`, {maximum}.")
        self.minimum, self.maximum = minimum, maximum

    def corrupt(self, inputs):
        # One draw decides both: below ν/2 pepper, from ν/2 to ν salt, above it the input.
        draw = self.uniform(ops.shape(inputs))
        salted = ops.where(draw < self.fraction, ops.full_like(inputs, self.maximum), inputs)
        return ops.where(draw < self.fraction / 2, ops.full_like(inputs, self.minimum), salted)

    def get_config(self):
        return {
            **super().get_config(),
            "fraction": self.fraction,
            "minimum": self.minimum,
            "maximum": self.maximum,
        }


@keras.saving.register_keras_serializable("kerasae")
class BlockMask(_Corruption):
    """Sets one rectangle of each image, at a random place, to 0.

    Args:
        size: Height and width of the block in pixels, or one number for a square.
        seed: Seed of the place, or `None`.

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
            side < block for side, block in zip(input_shape[1:3], self.size, strict=True)
        ):
            raise ValueError(
                f"`BlockMask` got input of shape {tuple(input_shape)}, expected images "
                f"(examples, height, width, channels) of at least {self.size} pixels."
            )

    def corrupt(self, inputs):
        count, height, width = ops.shape(inputs)[0], inputs.shape[1], inputs.shape[2]
        rows = self._hidden(count, height, self.size[0])[:, :, None, None]
        columns = self._hidden(count, width, self.size[1])[:, None, :, None]
        return ops.where(ops.logical_and(rows, columns), ops.zeros_like(inputs), inputs)

    def _hidden(self, count, side, block):
        """Which of `side` rows (or columns) the block covers, for each image."""
        start = ops.floor(self.uniform((count, 1)) * (side - block + 1))
        place = ops.arange(side, dtype="float32")
        return ops.logical_and(place >= start, place < start + block)

    def get_config(self):
        return {**super().get_config(), "size": self.size}
