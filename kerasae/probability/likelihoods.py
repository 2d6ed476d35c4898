"""The likelihood p(x|z): the distribution of an example, given by a decoder's output.

    Bernoulli    log p(x|z) = −Σ [x log(1 + e^(−l)) + (1 − x) log(1 + e^l)]    l: logits
    Normal       log p(x|z) = −Σ [(x − μ)²/2σ² + log σ + ½ log 2π]             μ: the output
    Laplace      log p(x|z) = −Σ [|x − μ|/b + log 2b]

All are in nats, summed over the numbers of an example. A likelihood is a small layer, so that its
scale can be learned with the networks.
"""

import math
from typing import Any

import keras

from kerasae import checks
from kerasae.probability import discrete, laplace, layer, normal

Tensor = Any


class Likelihood(layer.DistributionLayer):
    """A layer that turns a decoder's output into p(x|z)."""

    unit_interval = False  # if True, examples must lie in [0, 1]

    def distribution(self, output: Tensor, event_axes: int | None = None):
        """Return p(x|z), for the decoder's output at z.

        Args:
            output: Output of the decoder, for one example or for several along the first axes.
            event_axes: Number of last axes that are one example; all but the first by default.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `distribution`.")

    def mean(self, output: Tensor) -> Tensor:
        """Return the mean of p(x|z): the picture to show."""
        return self.distribution(output).mean


@keras.saving.register_keras_serializable("kerasae.likelihoods")
class Bernoulli(Likelihood):
    """Pixels that are on or off: the decoder gives logits, without a sigmoid.

    Grey values in [0, 1] count as the expectation of such pixels; then −log p(x|z) is the binary
    cross entropy.

    Example:

    >>> from keras import ops
    >>> ops.convert_to_numpy(Bernoulli().mean(ops.zeros((1, 2)))).tolist()
    [[0.5, 0.5]]
    """

    unit_interval = True

    def distribution(self, output, event_axes=None):
        return discrete.Bernoulli(output, event_axes)


class _Scaled(Likelihood):
    """A likelihood with one scale for all numbers, fixed or learned."""

    def __init__(self, scale: float, learned: bool, argument: str, **kwargs) -> None:
        super().__init__(**kwargs)
        self.learned = checks.flag("learned", learned)
        self._start = checks.between(argument, scale, 0, math.inf)
        self.log_scale = self.add_weight(
            name="log_scale",
            shape=(),
            initializer=keras.initializers.Constant(math.log(self._start)),
            trainable=self.learned,
            autocast=False,  # a weight of the likelihood stays float32 under every policy
        )


@keras.saving.register_keras_serializable("kerasae.likelihoods")
class Normal(_Scaled):
    """N(μ, σ²): the decoder gives the means, and one σ holds for all numbers.

    −log p(x|z) is ‖x − μ‖²/2σ² plus a constant, so that σ² sets the weight of the squared error
    relative to the divergence; σ² = ½ makes it ‖x − μ‖². A learned σ² converges to the mean
    squared error.

    Args:
        stddev: Standard deviation σ, or its initial value if it is learned.
        learned: If True, σ is learned.

    Example:

    >>> from keras import ops
    >>> p = Normal(stddev=0.5).distribution(ops.zeros((1, 2)))
    >>> round(float(p.log_prob(ops.ones((1, 2)))[0]), 4)  # −‖x − μ‖²/2σ² − 2 log σ − log 2π
    -4.4516
    """

    def __init__(self, stddev: float = 1.0, learned: bool = False, **kwargs) -> None:
        super().__init__(stddev, learned, "stddev", **kwargs)

    def distribution(self, output, event_axes=None):
        return normal.Normal(output, 2 * self.log_scale, event_axes)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "stddev": self._start, "learned": self.learned}


@keras.saving.register_keras_serializable("kerasae.likelihoods")
class Laplace(_Scaled):
    """The density e^(−|x − μ|/b) / 2b of each number: the absolute error as a likelihood.

    Args:
        scale: b, or its initial value if it is learned.
        learned: If True, b is learned.

    Example:

    >>> from keras import ops
    >>> p = Laplace().distribution(ops.zeros((1, 2)))
    >>> round(float(p.log_prob(ops.ones((1, 2)))[0]), 4)
    -3.3863
    """

    def __init__(self, scale: float = 1.0, learned: bool = False, **kwargs) -> None:
        super().__init__(scale, learned, "scale", **kwargs)

    def distribution(self, output, event_axes=None):
        return laplace.Laplace(output, self.log_scale, event_axes)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self._start, "learned": self.learned}


def get(name: str, value: Any) -> Likelihood:
    """Return the likelihood of that name, or `value` itself if it is one.

    Args:
        name: Name of the argument, for the error message.
        value: `"bernoulli"`, `"normal"`, `"laplace"`, or a likelihood.
    """
    known = {"bernoulli": Bernoulli, "normal": Normal, "laplace": Laplace}
    return layer.get(name, value, Likelihood, known, "kerasae.likelihoods")
