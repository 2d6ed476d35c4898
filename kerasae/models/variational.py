"""The variational autoencoder: an autoencoder that is a model of p(x).

    z ~ p(z)                        prior
    p(x|z)                          decoder and likelihood
    q(z|x) = N(μ(x), BBᵀ)           encoder: the approximate posterior
    z = μ(x) + Bε,  ε ~ N(0, I)     a sample of it; gradients pass through μ and B

p(x) = ∫ p(x|z) p(z) dz has no closed form, so training maximizes a lower bound of its logarithm,

    log p(x) ≥ E_q log p(x|z) − β KL(q(z|x)‖p(z))        at β = 1

or, with k importance samples, the tighter log 1/k Σ_i p(x|z_i) p(z_i) / q(z_i|x).

Kingma & Welling, "Auto-encoding variational Bayes" (2014); Higgins et al., "beta-VAE" (2017);
Burda et al., "Importance weighted autoencoders" (2016).
"""

import math
import warnings
from typing import Any

import keras
from keras import ops

from kerasae import checks
from kerasae.engine import calls, graphs
from kerasae.models.latent_variable import LatentVariableModel
from kerasae.probability import likelihoods, posteriors, priors
from kerasae.probability.distribution import Distribution

Tensor = Any

COLLAPSED = 0.01  # nats per latent dimension; below, the code has hardly any information about x


@keras.saving.register_keras_serializable("kerasae")
class VariationalAutoencoder(LatentVariableModel):
    """The variational autoencoder, which maximizes E_q log p(x|z) − β KL(q(z|x)‖p(z)).

    All numbers are in nats: sums over all numbers of an example, averages over the batch. In the
    importance-weighted bound, β multiplies log p(z) − log q(z|x).

    The code in `encode` and `reconstruct` is the posterior's mean. The decoder's output is the
    likelihood's parameters; `decode`, `reconstruct` and `sample` return the mean of p(x|z).
    Training and `train_on_batch` draw new noise at each step. Validation draws the same noise each
    time, so that its numbers can be compared.

    Metrics: `loss`, `reconstruction` (−E log p(x|z)), `kl`. `fit` warns if the posterior has
    collapsed: it then equals the prior for every x.

    Args:
        encoder: A Keras model from the input to the posterior's parameters. `kerasae.nets` makes
            one with `posterior="diagonal"`.
        decoder: A Keras model from the code to the likelihood's parameters; for a Bernoulli
            likelihood these are logits: no sigmoid at the end.
        posterior: Parameters that the encoder gives: `"diagonal"` (μ, log σ²), `"deviation"`
            (μ, σ: the decks' variant), `"full"` (μ, B), or one of
            `kerasae.posteriors`.
        prior: p(z), one of `kerasae.priors`, or `None` for N(0, I).
        likelihood: p(x|z): `"bernoulli"`, `"normal"`, `"laplace"`, or one of
            `kerasae.likelihoods`.
        beta: Initial β; `kerasae.callbacks.WarmUp` changes it.
        importance_samples: The number k of samples z per example.
        corruption: C, as in `Autoencoder`: the encoder sees x̃, the bound is that of x.
        seed: Seed of the noise, or `None`.

    Example:

    >>> import numpy as np
    >>> from kerasae import VariationalAutoencoder, nets
    >>> networks = nets.mlp((28, 28, 1), code_size=2, posterior="diagonal")
    >>> model = VariationalAutoencoder(*networks)
    >>> model.compile(optimizer="adam")
    >>> x = np.random.default_rng(0).random((64, 28, 28, 1), dtype="float32")
    >>> history = model.fit(x, epochs=1, verbose=0)
    >>> model.encode(x).shape, model.sample(5).shape, model.grid(side=3).shape
    ((64, 2), (5, 28, 28, 1), (3, 3, 28, 28, 1))
    """

    parts = ("reconstruction", "kl")
    loss_is = "the bound is the loss, and the constructor's `likelihood` is its reconstruction term"

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        posterior: str | posteriors.Posterior = "diagonal",
        prior: priors.Prior | None = None,
        likelihood: str | likelihoods.Likelihood = "bernoulli",
        beta: float = 1.0,
        importance_samples: int = 1,
        corruption: keras.layers.Layer | None = None,
        seed: int | None = None,
        **kwargs,
    ) -> None:
        super().__init__(encoder, decoder, corruption, **kwargs)
        self.posterior_layer = posteriors.get("posterior", posterior)
        self.prior = priors.get("prior", prior)
        self.likelihood = likelihoods.get("likelihood", likelihood)
        self.importance_samples = checks.whole_number("importance_samples", importance_samples)
        self.beta = self.add_weight(
            name="beta",
            shape=(),
            initializer=keras.initializers.Constant(checks.not_negative("beta", beta)),
            trainable=False,
            autocast=False,
        )
        self.seed_generator = keras.random.SeedGenerator(checks.seed("seed", seed))

    def build(self, input_shape):
        """Build and check the networks, then the prior, which may hold inputs."""
        super().build(input_shape)
        if not self.prior.built:  # a loaded model is built twice
            self.prior.build((None, *self._shapes["code"]), input_shape)
        self._check_logits()

    def _check_logits(self):
        if (
            self.likelihood.unit_interval
            and graphs.last_activation(self.decoder) is keras.activations.sigmoid
        ):
            raise ValueError(
                "`decoder` ends in a sigmoid, expected logits for a Bernoulli likelihood: a last "
                "layer without an activation (`output_activation='linear'` in `kerasae.nets`)."
            )

    def _code(self, inputs, output):
        shape, posterior = tuple(output.shape[1:]), self.posterior_layer
        expected = graphs.is_built(self.decoder) and self.decoder.input_shape[1:]
        if expected and (numbers := posterior.parameters(expected[-1])) != shape[-1]:
            raise ValueError(
                f"`encoder` gives {shape[-1]} numbers, expected {numbers}: the parameters of a "
                f"posterior {posterior.label!r} over the {expected[-1]} numbers that `decoder` "
                "takes."
            )
        return keras.KerasTensor((None, *posterior.code_shape(shape)))

    # The mathematics.

    def compute(self, x, training):
        """Return the mean of p(x|z), at a sample z ~ q(z|x̃) in training, else at q's mean."""
        x = self.read(x, training)
        found = {"x": x, "input": self.corrupted(x, training)}
        found |= self.encoding(found["input"], training)  # q(z|x̃)
        if not training:
            return found | self.decoding(found["code"], training, x)
        found |= self._draw(found["q"], x, training)
        return found | {"output": self._mean(found["decoded"][0], x)}

    def terms(self, x, y, found):
        q, x = found["q"], found["x"]
        if "z" not in found:  # outside training the output is that of q's mean
            found |= self._draw(q, x, False)
        found["prior"] = self.prior_at(x)
        log_likelihood = self._likelihood(found["decoded"], x).log_prob(y)  # log p(x|z), (k, n)
        return {"reconstruction": -log_likelihood, "kl": q.kl(found["prior"], z=found["z"])}

    def combine(self, terms, found):
        if self.importance_samples == 1:  # −E_q log p(x|z) + β KL(q(z|x)‖p(z))
            terms = {**terms, "kl": self._divergence_weight() * terms["kl"]}
            return super().combine(terms, found)
        # −log 1/k Σ_i p(x|z_i) (p(z_i) / q(z_i|x))^β
        z, prior, q = found["z"], found["prior"], found["q"]
        log_ratio = prior.log_prob(z) - q.log_prob(z)
        log_weights = self._divergence_weight() * log_ratio - terms["reconstruction"]
        bound = ops.logsumexp(log_weights, axis=0) - math.log(self.importance_samples)
        return terms.get("penalty", 0.0) - bound

    def _draw(self, q, x, training):
        """Draw samples z = μ + Bε of q, (k, n, …), and decode them."""
        z = q.sample(self.importance_samples, self.noise(training))
        return {"z": z, "decoded": self._decoded(z, x, training)}

    def encoding(self, x, training):
        q = self.posterior(x, training)
        return {"q": q, "code": q.mean}

    def decoding(self, code, training, x=None):
        return {"output": self._mean(self._decode_all(code, x, 1, training), x)}

    # The three distributions.

    def posterior(self, x: Tensor, training: bool = False) -> Distribution:
        """Return q(z|x), for a batch of examples."""
        return self.posterior_layer.distribution(calls.call(self.encoder, x, training))

    def prior_at(self, x: Tensor) -> Distribution:
        """Return p(z), the same for every x; in a conditional model, p(z|c)."""
        return self.prior.distribution(self.posterior)

    def likelihood_at(self, z: Tensor, x: Tensor, training: bool = False) -> Distribution:
        """Return p(x|z), for samples z of shape (k, n, …)."""
        return self._likelihood(self._decoded(z, x, training), x)

    def read(self, x: Any, training: bool = False) -> Any:
        """Return a batch in the form that the three distributions take; here it is unchanged."""
        return x

    def _decoded(self, z, x, training):
        """Return the decoder's output for z of shape (k, n, …)."""
        if z.shape[0] == 1:
            return self._decode_all(z[0], x, 1, training)[None]
        flat = self._decode_all(ops.reshape(z, (-1, *z.shape[2:])), x, z.shape[0], training)
        return ops.reshape(flat, (z.shape[0], -1, *flat.shape[1:]))

    def _decode_all(self, z, x, count, training):
        """Return the decoder's output for z of shape (kn, …); a subclass may use x's condition."""
        return calls.call(self.decoder, z, training)

    def _likelihood(self, decoded, x):
        """Return p(x|z) from the decoder's output for z of shape (k, n, …)."""
        return self.likelihood.distribution(decoded, len(decoded.shape) - 2)

    def _mean(self, decoded, x):
        """Return the mean of p(x|z) from the decoder's output for one z per example."""
        return self.likelihood.mean(decoded)

    def _divergence_weight(self):
        """Return β; a conditional model without a prior returns 0."""
        return ops.convert_to_tensor(self.beta)

    # Training.

    def fit(self, *args, **kwargs):
        """Train as `keras.Model.fit` does, and warn if the posterior has collapsed."""
        history = super().fit(*args, **kwargs)
        last = history.history.get("kl", [math.inf])[-1]
        if last < COLLAPSED * math.prod(self._shapes["code"]):
            warnings.warn(
                f"The posterior has collapsed: KL(q‖p) is {last:.2g} nats, so that the code has "
                "hardly any information about x; a smaller `beta`, or `kerasae.callbacks.WarmUp`, "
                "may help.",
                stacklevel=2,
            )
        return history

    def _needs_unit_interval(self):
        return self.likelihood.unit_interval
