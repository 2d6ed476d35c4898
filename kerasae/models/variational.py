"""The variational autoencoder: an autoencoder that is a model of p(x).

    z ~ p(z)                        prior
    p(x|z)                          decoder and likelihood
    q(z|x) = N(μ(x), BBᵀ)           encoder: the approximate posterior
    z = μ(x) + Bε,  ε ~ N(0, I)     a sample of it that gradients pass through

p(x) = ∫ p(x|z) p(z) dz has no closed form, so training maximises a bound of it,

    log p(x) ≥ E_q log p(x|z) − β KL(q(z|x)‖p(z))        at β = 1

or, with k importance samples, the tighter log 1/k Σ_i p(x|z_i) p(z_i) / q(z_i|x).

Kingma & Welling, "Auto-encoding variational Bayes" (2014); Higgins et al., "beta-VAE" (2017);
Burda et al., "Importance weighted autoencoders" (2016).
"""

import math
import statistics
import warnings
from typing import Any, NamedTuple, Self

import keras
import numpy as np
from keras import ops

from kerasae import checks, likelihoods, nets, posteriors, priors, surgery
from kerasae.distributions import Distribution
from kerasae.models.autoencoder import Autoencoder
from kerasae.models.base import batch_mean, target

Tensor = Any

COLLAPSED = 0.01  # nats a number of the code: below, the code says next to nothing about x


class Pass(NamedTuple):
    """What a pass through the networks computed, for the loss to use it again."""

    output: Tensor  # what `call` returned
    q: Distribution
    z: Tensor | None  # samples of q, (k, n, …); none outside training
    decoded: Tensor | None  # what the decoder gave for them


class Densities(NamedTuple):
    """Samples z_i ~ q(z|x), and what each of the three distributions says of them."""

    z: Tensor  # (k, n, …)
    likelihood: Tensor  # log p(x|z_i), (k, n)
    prior: Tensor  # log p(z_i), (k, n)
    posterior: Tensor  # log q(z_i|x), (k, n)


@keras.saving.register_keras_serializable("kerasae")
class VariationalAutoencoder(Autoencoder):
    """Maximises E_q log p(x|z) − β KL(q(z|x)‖p(z)) over the examples x.

    In nats: sums over all numbers of an example, averages over the batch. In the bound by
    importance weights, β multiplies log p(z) − log q(z|x).

    The code, in `encode` and `reconstruct`, is the posterior's mean; a decoder's output is the
    likelihood's parameters, and `decode`, `reconstruct` and `sample` return the mean of p(x|z).
    Training and `train_on_batch` draw new noise at each step; validation draws the same each
    time, so that its numbers can be compared.

    Metrics: `loss`, `reconstruction` (−E log p(x|z)), `kl`. A warning is given when `fit` ends
    with a collapsed posterior, one that equals the prior whatever x is.

    Args:
        encoder: A Keras model from the input to the posterior's parameters. `kerasae.nets` makes
            one with `posterior="diagonal"`.
        decoder: A Keras model from the code to the likelihood's parameters; for a Bernoulli
            likelihood these are logits: no sigmoid at the end.
        posterior: How the encoder's numbers are read: `"diagonal"` (μ, log σ²), `"deviation"`
            (μ, σ: the decks' variant) or `"full"` (μ, B), as `kerasae.posteriors` says.
        prior: p(z), one of `kerasae.priors`, or `None` for N(0, I).
        likelihood: p(x|z): `"bernoulli"`, `"normal"`, `"laplace"`, or one of
            `kerasae.likelihoods`.
        beta: β to begin with; `kerasae.callbacks.WarmUp` moves it.
        importance_samples: k, how many z are drawn for an example in training.
        corruption: C, as in `Autoencoder`: the encoder sees x̃, the bound is x's.
        seed: Of the noise, or `None`.

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

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        posterior: str = "diagonal",
        prior: priors.Prior | None = None,
        likelihood: str | likelihoods.Likelihood = "bernoulli",
        beta: float = 1.0,
        importance_samples: int = 1,
        corruption: keras.layers.Layer | None = None,
        seed: int | None = None,
        *,
        build: bool = True,
        **kwargs,
    ) -> None:
        super().__init__(encoder, decoder, corruption, build=False, **kwargs)
        self.posterior_kind = checks.one_of("posterior", posterior, posteriors.KINDS)
        self.prior = priors.get("prior", prior)
        self.likelihood = likelihoods.get("likelihood", likelihood)
        self.importance_samples = checks.positive("importance_samples", importance_samples)
        self._beta = checks.not_negative("beta", beta)
        self.beta = self.add_weight(
            name="beta",
            shape=(),
            initializer=keras.initializers.Constant(self._beta),
            trainable=False,
            autocast=False,
        )
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.kl_tracker = keras.metrics.Mean(name="kl")
        self._pass: Pass | None = None
        if build:
            self._build_early()

    @classmethod
    def of_the_deck(cls, posterior: str = "deviation", **kwargs) -> Self:
        """The lecture's network: five hidden layers, 784-500-500-20-500-500-784, and its loss.

        Its latent loss ½ Σ (σ² + μ² − 1 − log(ε + σ²)) belongs to an encoder that gives σ,
        `posterior="deviation"`; with `"diagonal"` it gives log σ², the lecture's second variant.

        Args:
            posterior: Which of the two.
            **kwargs: As in the class.
        """
        networks = nets.mlp((28, 28, 1), 20, (500, 500), activation="elu", posterior=posterior)
        return cls(*networks, posterior=posterior, **kwargs)

    def build(self, input_shape):
        """Builds and checks the networks, then the prior, which may hold inputs."""
        super().build(input_shape)
        if not self.prior.built:  # a loaded model is built once more
            self.prior.build((None, *self._shapes["code"]), input_shape)
        self._check_logits()

    def _check_logits(self):
        if (
            self.likelihood.unit_interval
            and surgery.last_activation(self.decoder) is keras.activations.sigmoid
        ):
            raise ValueError(
                "`decoder` ends in a sigmoid, expected logits for a Bernoulli likelihood: a last "
                "layer without an activation (`output_activation='linear'` in `kerasae.nets`)."
            )

    def _code(self, output):
        shape, kind = tuple(output.shape[1:]), self.posterior_kind
        expected = getattr(self.decoder, "inputs", None) and self.decoder.input_shape[1:]
        if expected and (numbers := posteriors.parameters(kind, expected[-1])) != shape[-1]:
            raise ValueError(
                f"`encoder` gives {shape[-1]} numbers, expected {numbers}: the parameters of a "
                f"posterior {kind!r} over the {expected[-1]} numbers that `decoder` takes."
            )
        return keras.KerasTensor((None, *posteriors.code_shape(kind, shape)))

    # The three distributions.

    def posterior(self, x: Tensor, training: bool = False) -> Distribution:
        """q(z|x), for a batch of examples."""
        return posteriors.distribution(self.posterior_kind, self.encoder(x, training=training))

    def prior_at(self, x: Tensor) -> Distribution:
        """p(z): the same for every x here, p(z|c) in a conditional model."""
        return self.prior.distribution(self.posterior)

    def likelihood_at(self, z: Tensor, x: Tensor, training: bool = False) -> Distribution:
        """p(x|z), for samples z of shape (k, n, …)."""
        return self._likelihood(self._decoded(z, x, training), x)

    def log_densities(self, x: Any, count: int = 1, seed: Any = None) -> Densities:
        """Samples z_i ~ q(z|x), and log p(x|z_i), log p(z_i), log q(z_i|x).

        Args:
            x: A batch of examples.
            count: k, how many samples of each.
            seed: Of the samples.
        """
        q = self.posterior(x)
        z = q.sample(count, seed)
        log_likelihood = self.likelihood_at(z, x).log_prob(self._example(x))
        return Densities(z, log_likelihood, self.prior_at(x).log_prob(z), q.log_prob(z))

    def log_weights(self, x: Any, count: int = 1, seed: Any = None) -> Tensor:
        """The log weights log p(x|z_i) + log p(z_i) − log q(z_i|x), z_i ~ q(z|x).

        Their mean is the bound, and log 1/k Σ exp of them tends to log p(x).

        Args:
            x: A batch of examples.
            count: k.
            seed: Of the samples.

        Returns:
            Tensor of shape (count, n).
        """
        found = self.log_densities(x, count, seed)
        return found.likelihood + found.prior - found.posterior

    def _decoded(self, z, x, training):
        """What the decoder gives for z of shape (k, n, …)."""
        flat = self._decode_all(ops.reshape(z, (-1, *z.shape[2:])), x, z.shape[0], training)
        return ops.reshape(flat, (z.shape[0], -1, *flat.shape[1:]))

    def _decode_all(self, z, x, count, training):
        """What the decoder gives for z of shape (kn, …); it may look at what x is given with."""
        return self.decoder(z, training=training)

    def _likelihood(self, decoded, x):
        """p(x|z), for what the decoder gave for z of shape (k, n, …)."""
        return self.likelihood.distribution(decoded, len(decoded.shape) - 2)

    def _mean(self, decoded, x):
        """The mean of p(x|z), for what the decoder gave for one z of each example."""
        return self.likelihood.mean(decoded)

    def _divergence_weight(self):
        """β; a conditional model without a prior has none."""
        return ops.convert_to_tensor(self.beta)

    def _example(self, x):
        """The example in what the model is given: all of it here."""
        return x

    # Training.

    def call(self, x, training=False):
        """The mean of p(x|z), at a sample z ~ q(z|x̃) in training, elsewhere at its mean."""
        q = self.posterior(self._corrupted(x, training), training=training)
        if training:
            z = q.sample(self.importance_samples, self.seed_generator)  # z = μ + Bε
            decoded = self._decoded(z, x, training)
            found = Pass(self._mean(decoded[0], x), q, z, decoded)
        else:
            output = self._mean(self._decode_all(q.mean, x, 1, training), x)
            found = Pass(output, q, None, None)
        # Kept for the loss, which is asked next, and only there: Keras passes it nothing else.
        self._pass = None if self._predicting else found
        return found.output

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """−E_q log p(x|z) + β KL(q(z|x)‖p(z)), plus what layers of the networks add."""
        found, self._pass = self._pass, None
        if found is None or found.output is not y_pred:  # Keras traces the loss alone at first
            q = self.posterior(self._corrupted(x, training), training=training)
            found = Pass(y_pred, q, None, None)
        q, p, z, decoded = found.q, self.prior_at(x), found.z, found.decoded
        if z is None:
            z = q.sample(self.importance_samples, self.seed_generator if training else 0)
            decoded = self._decoded(z, x, training)
        example = self._example(target(x, y))
        log_likelihood = self._likelihood(decoded, x).log_prob(example)  # (k, n)
        reconstruction = -ops.mean(log_likelihood, axis=0)
        kl = q.kl(p, z=z)
        beta = self._divergence_weight()
        if self.importance_samples == 1:
            bound = -reconstruction - beta * kl
        else:
            log_weights = log_likelihood + beta * (p.log_prob(z) - q.log_prob(z))
            bound = ops.logsumexp(log_weights, axis=0) - math.log(self.importance_samples)
        weight = 1.0 if sample_weight is None else ops.reshape(sample_weight, (-1,))
        self.track(self.reconstruction_tracker, ops.mean(weight * reconstruction), x)
        self.track(self.kl_tracker, ops.mean(weight * kl), x)
        loss = batch_mean(-bound, sample_weight)
        for added in self.losses:
            loss = loss + batch_mean(ops.reshape(added, (1,)))
        return loss

    def compile(self, optimizer="adam", loss=None, **kwargs) -> None:
        """Compiles as `keras.Model.compile` does; the loss is the bound."""
        if loss is not None:
            raise ValueError(
                f"`loss` is {loss!r}, expected none: the bound is the loss, and `likelihood` says "
                "what a reconstruction is held against."
            )
        super(Autoencoder, self).compile(optimizer=optimizer, **kwargs)

    def fit(self, *args, **kwargs):
        """Trains as `keras.Model.fit` does, and warns of a posterior that has collapsed."""
        history = super().fit(*args, **kwargs)
        last = history.history.get("kl", [math.inf])[-1]
        if last < COLLAPSED * math.prod(self._shapes["code"]):
            warnings.warn(
                f"The posterior has collapsed: KL(q‖p) is {last:.2g} nats, so that the code says "
                "next to nothing about x; a smaller `beta`, or `kerasae.callbacks.WarmUp`, "
                "lets it say more.",
                stacklevel=2,
            )
        return history

    def _needs_unit_interval(self):
        return self.likelihood.unit_interval

    # Use.

    def encode(self, x: Any, batch_size: int = 256) -> np.ndarray:
        """The codes: the means μ(x) of the posteriors."""
        numbers = super().encode(x, batch_size)
        return ops.convert_to_numpy(posteriors.distribution(self.posterior_kind, numbers).mean)

    def decode(self, code: Any, batch_size: int = 256) -> np.ndarray:
        """The means of p(x|z) at the given codes."""
        decoded = super().decode(code, batch_size)
        return ops.convert_to_numpy(self.likelihood.mean(decoded))

    def sample(
        self, count: int, seed: int | None = None, pixels: bool = False, batch_size: int = 256
    ) -> np.ndarray:
        """New examples: z ~ p(z), then the mean of p(x|z).

        Args:
            count: How many.
            seed: Of the draw; `None` for another one each time.
            pixels: Whether to draw x ~ p(x|z) too, instead of its mean.
            batch_size: Examples at a time.
        """
        checks.positive("count", count)
        self._need_weights("sample")
        seed = keras.random.SeedGenerator(seed) if seed is not None else self.seed_generator
        z = ops.convert_to_numpy(self.prior_at(None).sample(count, seed))
        return self._drawn(super().decode(z, batch_size), pixels, seed)

    def _drawn(self, decoded, pixels, seed):
        """A sample of p(x|z), or its mean."""
        p = self.likelihood.distribution(decoded)
        return ops.convert_to_numpy(p.sample(seed=seed) if pixels else p.mean)

    def grid(
        self,
        side: int = 20,
        limit: float = 3.0,
        units: tuple[int, int] = (0, 1),
        spacing: str = "even",
    ) -> np.ndarray:
        """Decodes a square of codes: the picture of the manifold.

        Args:
            side: Points along each side.
            limit: The square goes from −limit to limit in two numbers of the code; the others
                are 0.
            units: Which two; a code of one number gives a line.
            spacing: `"even"`, or `"quantile"` for points that cut N(0, 1), between the same
                limits, into equal shares.

        Returns:
            Array of shape `(side, side, …)`, the first unit growing from left to right, the second
            upwards.
        """
        codes = self._square(side, limit, units, spacing)
        images = self.decode(codes.reshape(-1, codes.shape[-1]))
        return images.reshape((*codes.shape[:2], *images.shape[1:]))

    def _square(self, side, limit, units, spacing):
        """The codes of `grid`, (side, side, …)."""
        side = checks.positive("side", side, 2)
        limit = checks.between("limit", limit, 0, math.inf)
        checks.one_of("spacing", spacing, ("even", "quantile"))
        self._need_weights("grid")
        (size, *more) = self._shapes["code"]
        one, other = units
        if more or not (0 <= one < size and 0 <= other < size and one != other):
            raise ValueError(
                f"`units` is {units!r}, expected two different numbers of the code, which has the "
                f"shape {self._shapes['code']}."
            )
        values = np.linspace(-limit, limit, side)
        if spacing == "quantile":
            normal = statistics.NormalDist()
            low = normal.cdf(-limit)
            values = np.array([normal.inv_cdf(p) for p in np.linspace(low, 1 - low, side)])
        codes = np.zeros((side, side, size), "float32")
        codes[..., one], codes[..., other] = np.meshgrid(values, values[::-1])
        return codes

    def get_config(self) -> dict[str, Any]:
        """Everything `from_config` needs, the networks included."""
        config = super().get_config()
        del config["penalty"]
        serialize = keras.saving.serialize_keras_object
        return {
            **config,
            "posterior": self.posterior_kind,
            "prior": serialize(self.prior),
            "likelihood": serialize(self.likelihood),
            "beta": self._beta,
            "importance_samples": self.importance_samples,
            "seed": self.seed,
        }
