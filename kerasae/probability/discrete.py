"""Discrete distributions by logits: Bernoulli (on or off) and categorical (one of k classes)."""

import math

import keras
from keras import ops

from kerasae.engine import noise, platform
from kerasae.probability.distribution import (
    Distribution,
    Tensor,
    broadcast_with,
    numbers,
)


class Bernoulli(Distribution):
    """Numbers that are 1 with probability p = 1/(1 + e^(−l)), else 0; by the logits l.

        log p(x) = −Σ [x log(1 + e^(−l)) + (1 − x) log(1 + e^l)]

    For grey values x in [0, 1] this is the negative cross entropy. Samples are 0 or 1 and carry
    no gradient.

    Args:
        logits: l, the decoder's output before a sigmoid.
        event_axes: Number of last axes that are one example.

    Example:

    >>> images = Bernoulli(ops.zeros((5, 28, 28, 1)))
    >>> x = ops.ones((5, 28, 28, 1))
    >>> round(float(images.log_prob(x)[0]) / 784, 4), tuple(images.sample(seed=0).shape)
    (-0.6931, (5, 28, 28, 1))
    """

    continuous = False
    shaped_by = "logits"

    def __init__(self, logits: Tensor, event_axes: int | None = None) -> None:
        self.logits = numbers("logits", logits, finite=False)
        super().__init__(self.logits, event_axes)

    @property
    def mean(self) -> Tensor:
        """Return the probabilities p."""
        return ops.sigmoid(self.logits)

    def sample(self, count=None, seed=None):
        uniform = self._noise(noise.uniform, self.logits, count, seed)
        return ops.cast(uniform < self.mean, "float32")

    def log_prob(self, value):
        x, logits = self._value(value), self.logits
        for _ in range(len(logits.shape) - len(x.shape)):
            x = x[None]
        if tuple(x.shape) != tuple(logits.shape):
            x, logits = broadcast_with(x, logits), broadcast_with(logits, x)
        return -self._sum(platform.binary_cross_entropy(x, logits))

    def _closed_kl(self, other):
        if not isinstance(other, Bernoulli):
            return None
        on = ops.softplus(-other.logits) - ops.softplus(-self.logits)  # log p/p', p' the other's
        off = ops.softplus(other.logits) - ops.softplus(self.logits)  # log (1 − p)/(1 − p')
        return self._sum(self.mean * on + ops.sigmoid(-self.logits) * off)


class Categorical(Distribution):
    """One of several classes, with the probabilities softmax(l); by the logits l.

        log p(x) = Σ x log softmax(l)

    Values are one-hot vectors in float32, along the last axis. `log_prob` also takes labels,
    which are recognized by their integer dtype. Samples carry no gradient.

    Args:
        logits: l, `(…, classes)`.
        event_axes: Number of last axes that are one example, the classes' axis included.

    Example:

    >>> p = Categorical(ops.zeros((5, 10)))
    >>> tuple(p.sample(seed=0).shape), round(float(p.log_prob([3, 1, 4, 1, 5])[0]), 4)
    ((5, 10), -2.3026)
    """

    continuous = False
    shaped_by = "logits"

    def __init__(self, logits: Tensor, event_axes: int | None = None) -> None:
        self.logits = numbers("logits", logits, finite=False)
        super().__init__(self.logits, event_axes)
        self.log_weights = ops.log_softmax(self.logits)

    @property
    def mean(self) -> Tensor:
        """Return the probabilities softmax(l)."""
        return ops.softmax(self.logits)

    def sample(self, count=None, seed=None):
        # The largest of l + gumbel noise is class c with probability softmax(l)_c.
        uniform = self._noise(noise.uniform, self.logits, count, seed)
        gumbel = -ops.log(-ops.log(uniform))
        return ops.one_hot(
            ops.argmax(self.logits + gumbel, axis=-1), self.event_shape[-1], dtype="float32"
        )

    def log_prob(self, value):
        value = ops.convert_to_tensor(value)
        if "int" not in keras.backend.standardize_dtype(value.dtype):
            return self._sum(_times(self._value(value), self.log_weights))
        is_class = ops.equal(value[..., None], ops.arange(self.event_shape[-1], dtype=value.dtype))
        log_weights = _times(self._value(is_class), self.log_weights)
        known = ops.any(is_class, axis=-1, keepdims=True)  # any other number has probability 0
        return self._sum(ops.where(known, log_weights, -math.inf))

    def _closed_kl(self, other):
        if not isinstance(other, Categorical):
            return None
        return self._sum(_times(self.mean, self.log_weights - other.log_weights))


def _times(share: Tensor, log_weight: Tensor) -> Tensor:
    """Return the product, 0 if the share is 0: 0 log 0 = 0."""
    return share * ops.where(share == 0, 0.0, log_weight)
