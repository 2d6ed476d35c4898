"""The layer that makes a distribution, for a model that trains and saves it."""

from typing import Any

import keras

from kerasae.probability.distribution import Distribution


class DistributionLayer(keras.layers.Layer):
    """Base class of posteriors q(z|x), priors p(z) and likelihoods p(x|z), always in float32.

    Each makes a distribution of what a network gives, or of its own weights, in `distribution`.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.built = True  # one that has to know the code's shape builds itself when it knows

    def distribution(self, *args, **kwargs) -> Distribution:
        """Return the distribution."""
        raise NotImplementedError(f"{type(self).__name__} has no `distribution`.")


def get(
    name: str, value: Any, kind: type[DistributionLayer], known: dict[str, type], where: str
) -> Any:
    """Return the layer of that name, or `value` itself if it is one.

    Args:
        name: Name of the argument, for the error message.
        value: A name or a layer.
        kind: Class of the layers.
        known: Names to classes.
        where: Module of the layers, for the error message.
    """
    if isinstance(value, kind):
        return value
    if isinstance(value, str) and value in known:
        return known[value]()
    names = ", ".join(map(repr, known))
    raise ValueError(f"`{name}` is {value!r}, expected {names}, or one of `{where}`.")
