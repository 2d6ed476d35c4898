"""Noise: in training from a seed of Keras, in an evaluation from an example's place.

    noise of example i = hash(stream, i, which of its numbers)

Validation draws noise too: a bound of log p(x) is an average over z ~ q(z|x). Here example i has
the same noise in each evaluation, whatever the batches are, and on every engine; no two examples
share theirs. Numbers come from an integer hash, so that there is no state to keep: "lowbias32" of
C. Wellons, "Prospecting for hash functions" (2018).
"""

import math
from typing import Any

import keras
from keras import ops

from kerasae.engine import devices

Tensor = Any

_TINY = 1e-30  # log of a uniform number must be finite; float32 has 1e-38


def _keras_normal(shape: tuple, seed: Any) -> Tensor:
    return keras.random.normal(shape, dtype="float32", seed=seed)


def _keras_uniform(shape: tuple, seed: Any) -> Tensor:
    return keras.random.uniform(shape, _TINY, 1.0, dtype="float32", seed=seed)


_normal, _uniform = _keras_normal, _keras_uniform


if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    # The same numbers, with the algorithm named: Keras leaves it to TensorFlow, whose choice under
    # XLA on a CPU takes thirty times as long. (Under XLA the numbers differ in both cases.)

    def _key(seed: keras.random.SeedGenerator) -> Tensor:
        return tf.cast(seed.next() % (2**31 - 2), "int32")

    def _normal(shape: tuple, seed: Any) -> Tensor:
        if not isinstance(seed, keras.random.SeedGenerator):
            return _keras_normal(shape, seed)
        return tf.random.stateless_normal(shape, _key(seed), alg="philox")

    def _uniform(shape: tuple, seed: Any) -> Tensor:
        if not isinstance(seed, keras.random.SeedGenerator):
            return _keras_uniform(shape, seed)
        return tf.random.stateless_uniform(shape, _key(seed), _TINY, 1.0, alg="philox")

elif keras.backend.backend() == "torch":
    import torch

    # The same numbers: Keras takes four operations for a seed, a tenth of a millisecond of a step.

    def _generator(seed: Any) -> torch.Generator | None:
        """Return a generator as Keras makes it of its state, or `None` if it must do so itself."""
        state = seed.state.value if isinstance(seed, keras.random.SeedGenerator) else None
        if state is None or state.device.type != "cpu":  # "meta" stands for shapes alone
            return None
        first, second = state.tolist()
        seed.state.assign(torch.tensor([first, second + 1], dtype=state.dtype))
        generator = torch.Generator()
        generator.manual_seed((first + second) % 2**32)
        return generator

    def _normal(shape: tuple, seed: Any) -> Tensor:
        generator = _generator(seed)
        return torch.randn(shape, generator=generator) if generator else _keras_normal(shape, seed)

    def _uniform(shape: tuple, seed: Any) -> Tensor:
        generator = _generator(seed)
        if generator is None:
            return _keras_uniform(shape, seed)
        return torch.rand(shape, generator=generator) + _TINY


class Places:
    """The source of noise of a batch in an evaluation, in the place of a seed.

    Args:
        first: Number of examples of the evaluation before this batch.
        stream: Another number, other noise.

    Example:

    >>> whole = Places(0).normal((5, 3))
    >>> part = Places(2).normal((3, 3))
    >>> bool(ops.all(whole[2:] == part))
    True
    """

    def __init__(self, first: Tensor, stream: int = 0) -> None:
        self.first, self.stream = first, stream

    def derived(self) -> "Places":
        """Return the source of a second draw for the same examples."""
        return Places(self.first, self.stream + 1)

    def uniform(self, shape: tuple, axis: int = 0) -> Tensor:
        """Draw from the interval (0, 1); `axis` of the shape counts the examples."""
        bits = ops.bitwise_and(ops.right_shift(self._bits(shape, axis), 9), 0x7FFFFF)
        return (ops.cast(bits, "float32") + 0.5) / 2**23  # exact in float32

    def normal(self, shape: tuple, axis: int = 0) -> Tensor:
        """Draw from N(0, 1), by Φ⁻¹(u) = √2 erf⁻¹(2u − 1)."""
        return math.sqrt(2) * ops.erfinv(2 * self.uniform(shape, axis) - 1)

    def _bits(self, shape: tuple, axis: int) -> Tensor:
        places = ops.cast(self.first, "int32") + ops.arange(shape[axis], dtype="int32")
        key = ops.cast(devices.rank(), "int32") * 0x3C6EF35F + self.stream * 0x27D4EB2F
        rows = _mixed(_mixed(places + 1) + key)
        others = [1 if place == axis else size for place, size in enumerate(shape)]
        numbers = ops.reshape(ops.arange(math.prod(others), dtype="int32"), others)
        rows = ops.reshape(rows, [-1 if place == axis else 1 for place in range(len(shape))])
        return _mixed(rows + numbers)


Seed = keras.random.SeedGenerator | Places | int | None


def normal(shape: tuple, seed: Seed, axis: int = 0) -> Tensor:
    """Draw from N(0, 1).

    Args:
        shape: Shape of the result.
        seed: Source of the draw.
        axis: Axis of the shape that counts the examples of a batch.

    Example:

    >>> tuple(normal((3, 2), seed=0).shape)
    (3, 2)
    """
    return seed.normal(shape, axis) if isinstance(seed, Places) else _normal(shape, seed)


def uniform(shape: tuple, seed: Seed, axis: int = 0) -> Tensor:
    """Draw from the interval (0, 1), with the arguments of `normal`."""
    return seed.uniform(shape, axis) if isinstance(seed, Places) else _uniform(shape, seed)


def derived_seed(seed: Seed) -> Seed:
    """Derive the seed of a second draw; a plain number again would repeat the first one."""
    if isinstance(seed, Places):
        return seed.derived()
    return (seed * 69069 + 12345) % 2**31 if isinstance(seed, int) else seed


def _mixed(x: Tensor) -> Tensor:
    """Hash 32 bits; products wrap round, and the sign is shifted in but masked away."""
    x = ops.bitwise_xor(x, ops.bitwise_and(ops.right_shift(x, 16), 0xFFFF))
    x = x * 0x7FEB352D
    x = ops.bitwise_xor(x, ops.bitwise_and(ops.right_shift(x, 15), 0x1FFFF))
    x = x * (0x846CA68B - 2**32)
    return ops.bitwise_xor(x, ops.bitwise_and(ops.right_shift(x, 16), 0xFFFF))
