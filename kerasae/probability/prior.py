"""The base class of priors p(z)."""

from collections.abc import Callable
from typing import Any

from kerasae.probability.distribution import Distribution
from kerasae.probability.layer import DistributionLayer

Posterior = Callable[[Any], Distribution]


class Prior(DistributionLayer):
    """A layer that holds the parameters of p(z)."""

    components: int | None = None  # the number of components p(z|c), which `component` returns

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.built = False  # until the code's shape is known

    def build(self, code_shape, input_shape=None):
        """Create the weights, for codes `(None, d)` and inputs `(None, …)`."""
        self.code_shape = tuple(code_shape[1:])
        self.built = True

    def get_build_config(self):
        """Return nothing: the model that has the prior builds it."""

    def build_from_config(self, config):
        """Do nothing: a loaded model builds its prior, as a new model does."""

    def distribution(self, posterior: Posterior | None = None) -> Distribution:
        """Return p(z).

        Args:
            posterior: x ↦ q(z|x), for a prior that is made of posteriors.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `distribution`.")
