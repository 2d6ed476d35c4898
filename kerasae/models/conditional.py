"""The conditional variational autoencoder: a model of p(x|c), with many answers to one c.

    z ~ p(z|c)          prior: learned, fixed, or none
    p(x|z, c)           decoder and likelihood
    q(z|x, c)           encoder: the approximate posterior

All three distributions are conditioned on c (a label, an image, or a network's output for one);
the variational autoencoder's mathematics is unchanged,

    log p(x|c) = E_q log p(x|z, c) − KL(q(z|x, c)‖p(z|c)) + KL(q(z|x, c)‖p(z|x, c))

Training maximizes all terms except the last divergence, the bound's gap. If several x are right
for one c, for example if c is the visible part of an image, a network from c to x that minimizes
an error predicts their average; here z distinguishes them.

Sohn, Lee & Yan, "Learning structured output representation using deep conditional generative
models" (2015).
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae.engine import internals
from kerasae.engine.streams import predictions
from kerasae.models import completion, conditional_prior, conditions
from kerasae.models.conditional_base import ConditionalBase
from kerasae.models.latent_variable import Densities
from kerasae.probability import priors
from kerasae.probability.distribution import Distribution

Tensor = Any


@keras.saving.register_keras_serializable("kerasae")
class ConditionalVariationalAutoencoder(ConditionalBase):
    """The conditional VAE, which maximizes E_q log p(x|z, c) − β KL(q(z|x, c)‖p(z|c)).

    Data are a dict `{"x": x, "condition": c}` of arrays, or streams of such dicts; for arrays,
    `fit(x, c)`, `evaluate(x, c)` and `validation_data=(x, c)` are equivalent. A condition is a
    label, with `classes`; else an array, which the networks take unchanged, or after
    `condition_network`. The networks' input is called c′ here.

    To complete an image from its visible part, `kerasae.corruptions.hide` makes the condition c of
    an image and marks the visible pixels. With `complete` only the hidden pixels are modelled: the
    bound is that of their log-likelihood, and all outputs contain the visible pixels unchanged.

    Args:
        encoder: A Keras model from `[x, c′]` to the posterior's parameters.
            `kerasae.nets.conditional_mlp` makes both networks.
        decoder: A Keras model from `[z, c′]` to the likelihood's parameters.
        classes: Number of classes, if conditions are labels: c′ is then the one-hot vector.
        condition_network: A Keras model from the condition to c′, trained with the other networks,
            such as `kerasae.nets.convolutional_encoder`; or `None`.
        condition_corruption: A layer that hides parts of the condition, drawn anew in each
            training step, such as `kerasae.corruptions.QuadrantMask` with conditions made by
            `kerasae.corruptions.with_mask`. It acts in training only: mask conditions for
            validation and sampling with `hide`.
        prior: `"learned"`, N(μ(c), σ(c)²); `"fixed"`, N(0, I) for every c, or one of
            `kerasae.priors`; or `"none"`: the loss omits the divergence and is no bound, but
            `sample` draws from N(0, I).
        prior_network: For the learned prior, a Keras model from c′ to μ and log σ²; a hidden layer
            of 256 by default.
        complete: If True, the condition is a part of x that the model completes.
        **kwargs: Arguments of `VariationalAutoencoder`: `posterior`, `likelihood`, `beta`,
            `importance_samples`, `corruption` (of x), `seed`.

    Example:

    >>> import numpy as np
    >>> from kerasae import ConditionalVariationalAutoencoder, nets
    >>> networks = nets.conditional_mlp((28, 28, 1), (10,), code_size=2)
    >>> model = ConditionalVariationalAutoencoder(*networks, classes=10)
    >>> model.compile(optimizer="adam")
    >>> x = np.random.default_rng(0).random((64, 28, 28, 1), dtype="float32")
    >>> labels = np.arange(64) % 10
    >>> history = model.fit(x, labels, epochs=1, verbose=0)
    >>> model.sample([3, 1, 4], count=5).shape, model.reconstruct(x, labels).shape
    ((3, 5, 28, 28, 1), (64, 28, 28, 1))
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        classes: int | None = None,
        condition_network: keras.Model | None = None,
        condition_corruption: keras.layers.Layer | None = None,
        prior: str | priors.Prior = "learned",
        prior_network: keras.Model | None = None,
        complete: bool = False,
        **kwargs,
    ) -> None:
        kind, fixed = conditional_prior.kind_and_prior(prior)
        super().__init__(
            encoder,
            decoder,
            classes,
            condition_network,
            condition_corruption,
            complete,
            prior=fixed,
            **kwargs,
        )
        conditional_prior.check_arguments(kind, prior_network, self.importance_samples)
        self.prior_kind = kind
        self.prior_network = prior_network

    def build(self, input_shape: dict[str, tuple[int | None, ...]]) -> None:
        """Build the networks and check that their shapes match."""
        shapes = conditions.split(input_shape)
        x, condition = (keras.KerasTensor((None, *shape[1:])) for shape in shapes)
        encoded = self.conditions.build(condition)  # c′
        parameters = conditions.output_of("encoder", self.encoder, x, encoded)
        code_shape = self.posterior_layer.code_shape(tuple(parameters.shape[1:]))
        code = keras.KerasTensor((None, *code_shape))
        output = conditions.output_of("decoder", self.decoder, code, encoded)
        if self.corruption is not None:
            self.corruption(x)
        self.prior.build(code.shape, x.shape)
        if self.prior_kind == "learned":
            self.prior_network = conditional_prior.network_for(self.prior_network, encoded, code)
        if self.complete:
            completion.check_condition(condition.shape[1:], output.shape[1:])
        tensors = {"input": x, "condition": condition, "code": code, "output": output}
        self._shapes = {name: tuple(tensor.shape[1:]) for name, tensor in tensors.items()}
        self._check_logits()
        self.built = True
        internals.mark_called(self)

    # The three distributions, each conditioned on c: `x` holds the examples and c′.

    def posterior(self, x: Any, training: bool = False) -> Distribution:
        """Return q(z|x, c), for a batch of examples and their conditions."""
        x = self.read(x, training)
        parameters = self.encoder([x.x, x.condition], training=training)
        return self.posterior_layer.distribution(parameters)

    def prior_at(self, x: Any) -> Distribution:
        """Return p(z|c); for the prior "none", N(0, I), which `sample` draws from."""
        if self.prior_kind != "learned":
            return self.prior.distribution()
        x = self.read(x)
        return conditional_prior.normal(self.prior_network(x.condition, training=x.training))

    def likelihood_at(self, z: Tensor, x: Any, training: bool = False) -> Distribution:
        """Return p(x|z, c), for samples z of shape (k, n, …)."""
        return super().likelihood_at(z, self.read(x, training), training)

    def _prior_samples(self, condition, count, seed, batch_size):
        if self.prior_kind == "learned":
            encoded = self._encoded_array(condition, batch_size)
            parameters = predictions(self.prior_network, encoded, batch_size)
            z = conditional_prior.normal(parameters).sample(count, seed)
            return np.moveaxis(ops.convert_to_numpy(z), 0, 1)
        z = ops.convert_to_numpy(self.prior.distribution().sample(len(condition) * count, seed))
        return z.reshape((len(condition), count, *z.shape[1:]))

    def log_densities(self, x: Any, count: int = 1, seed: Any = None) -> Densities:
        """Draw z_i ~ q(z|x, c); return them, and log p(x|z_i, c), log p(z_i|c), log q(z_i|x, c).

        Args:
            x: A batch, `{"x": x, "condition": c}`.
            count: The number k of samples per example.
            seed: Seed of the samples.
        """
        if self.prior_kind == "none":
            raise ValueError(
                "`prior` is 'none', expected 'learned', 'fixed' or one of `kerasae.priors`: "
                "without p(z|c) there is no bound of log p(x|c), and no estimate of it."
            )
        return super().log_densities(self.read(x), count, seed)

    def _decode_all(self, z, x, count, training):
        condition = x.condition
        if count > 1:  # sample 1 of all examples, then sample 2 of all, …
            condition = ops.tile(condition, (count,) + (1,) * (len(condition.shape) - 1))
        return self.decoder([z, condition], training=training)

    def _likelihood(self, decoded, x):
        return self._distribution(decoded, x.image, len(decoded.shape) - 2)

    def _mean(self, decoded, x):
        return self._distribution(decoded, x.image, len(decoded.shape) - 1).mean

    def _distribution(self, decoded, image, event_axes):
        if not self.complete:
            return self.likelihood.distribution(decoded, event_axes)
        pixels = self.likelihood.distribution(decoded, 1)
        return completion.Completed(pixels, decoded, event_axes, image)

    def _divergence_weight(self):
        return 0.0 if self.prior_kind == "none" else super()._divergence_weight()
