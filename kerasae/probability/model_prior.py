"""A prior p(z) that is a model of codes, trained after the autoencoder: a diffusion, a flow."""

from typing import Any, Self

import keras
from keras import ops

from kerasae import checks
from kerasae.engine.randomness import next_seed
from kerasae.probability.distribution import Distribution
from kerasae.probability.prior import Prior


class _Modelled(Distribution):
    """The distribution of a trained model of codes."""

    def __init__(self, model: Any, zero: Any) -> None:
        self.model = model
        super().__init__(zero, len(zero.shape))

    def sample(self, count=None, seed=None):
        if isinstance(seed, keras.random.SeedGenerator):
            seed = next_seed(seed)
        drawn = ops.convert_to_tensor(self.model.sample(1 if count is None else count, seed=seed))
        return drawn[0] if count is None else drawn

    def log_prob(self, value):
        value = ops.convert_to_numpy(self._value(value))
        codes = value.reshape(-1, *self.event_shape)
        found = self.model.log_prob(codes).reshape(value.shape[: -self.event_axes])
        return ops.convert_to_tensor(found.astype("float32"))


@keras.saving.register_keras_serializable("kerasae")
class ModelPrior(Prior):
    """The distribution of a model of codes, such as `Diffusion` or `FlowMatching`, fixed.

    Codes z ~ q(z|x) of a trained variational autoencoder seldom have the distribution of its
    prior. A model that is fitted to them afterwards makes a better prior for the same encoder and
    decoder, to draw samples and to evaluate the bound. It works in NumPy: nothing is trained
    through it.

    Args:
        model: A trained model with `sample` and `log_prob`.

    Example:

    >>> from kerasae import FlowMatching, nets
    >>> flow = FlowMatching(nets.residual_mlp((2,), units=8))
    >>> prior = ModelPrior(flow)
    >>> prior.build((None, 2))
    >>> tuple(prior.distribution().sample(3, seed=0).shape)
    (3, 2)
    """

    def __init__(self, model: keras.Model, **kwargs) -> None:
        super().__init__(**kwargs)
        if not (hasattr(model, "sample") and hasattr(model, "log_prob")):
            raise ValueError(
                f"`model` is {checks.as_text(model)}, expected a trained model with `sample` and "
                "`log_prob`, such as a `Diffusion` of codes."
            )
        self.model = model
        self.trainable = False

    def build(self, code_shape, input_shape=None):
        super().build(code_shape)
        if not checks.fits(self.model.code_shape, self.code_shape):
            raise ValueError(
                f"`model` has codes of shape {self.model.code_shape}, but the autoencoder's have "
                f"{self.code_shape}, expected the same."
            )

    def distribution(self, posterior=None):
        return _Modelled(self.model, ops.zeros(self.code_shape))

    def get_config(self) -> dict[str, Any]:
        model = keras.saving.serialize_keras_object(self.model)
        model.pop("compile_config", None)
        return {**super().get_config(), "model": model}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Make a prior from `get_config()`."""
        model = keras.saving.deserialize_keras_object(config["model"])
        return cls(**{**config, "model": model})
