"""The adversarial autoencoder: a discriminator makes the codes follow a prior.

    L(x, g(f(x̃)))                              reconstruction: the encoder f and the decoder g
    −½ E log D(z) − ½ E log(1 − D(f(x̃)))        discriminator: a sample z ~ p(z), or a code?
    −½ E log D(f(x̃))                           generator: the encoder fools D

The three players take turns. If the best D cannot distinguish codes from samples, the aggregated
posterior q(z), the distribution of the codes of all examples, equals p(z). D replaces the
divergence KL(q‖p) of a variational autoencoder. It needs only samples of p(z), so that p(z) may be
a ring or a spiral.

With labels c, D also sees c, and the codes of each class follow its component p(z|c) of the prior.
If few examples have a label, see `semi_supervised.py`.

Makhzani et al., "Adversarial autoencoders" (2016).
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae import checks
from kerasae.engine.noise import Seed, derived_seed
from kerasae.models import adversaries, games
from kerasae.models.autoencoder import Autoencoder
from kerasae.models.batch import Batch
from kerasae.models.players import Outcome, Player
from kerasae.probability import priors

Tensor = Any


@keras.saving.register_keras_serializable("kerasae")
class AdversarialAutoencoder(Autoencoder):
    """The adversarial autoencoder: players `reconstruction`, `discriminator` and `generator`.

    `fit(x)` draws new samples of the prior; `fit({"x": x, "z": z})` uses given ones, for runs that
    must be compared exactly. With `classes`, `fit(x, labels)` takes whole numbers, −1 for an
    example without a label: its code is compared with the whole prior, and D sees an extra class.
    Without `classes`, `fit(x, y)` reconstructs y. A `sample_weight` applies to all three players.
    Validation draws the same z each time, so that its numbers can be compared.

    The encoder is deterministic without a `corruption`. With one, q(z|x) is the distribution of
    f(x̃). `compile` takes one optimizer or one for each player.

    Metrics: `loss` (the sum of the three losses), `reconstruction` (L), `penalty` (Ω, if there
    is one), `discriminator` (log 2 = 0.69 if D cannot distinguish codes from samples) and
    `generator` (then ½ log 2 = 0.35).

    Args:
        encoder: f, a Keras model from the input to the code.
        decoder: g, a Keras model from the code to the reconstruction.
        discriminator: A Keras model from a code to one logit; with `classes`, from `[code, one-hot
            label]`, a label of `classes + 1` numbers, of which the last one means no label. `None`
            for two hidden layers of 256.
        prior: p(z), one of `kerasae.priors` without trainable weights, or `None` for N(0, I).
            `SamplesPrior` takes any points to draw from.
        classes: Number of classes, if D is to see labels. The prior must have a component for
            each: a mixture, or samples with labels.
        corruption: C, as in `Autoencoder`.
        penalty: Ω, as in `Autoencoder`.
        seed: Seed of the samples, or `None`.

    Example:

    >>> import numpy as np
    >>> from kerasae import nets
    >>> from kerasae.probability.priors import MixturePrior
    >>> networks = nets.mlp((28, 28, 1), code_size=2)
    >>> model = AdversarialAutoencoder(*networks, prior=MixturePrior.ring(), classes=10)
    >>> model.compile(loss="binary_crossentropy")
    >>> x = np.random.default_rng(0).random((64, 28, 28, 1), dtype="float32")
    >>> history = model.fit(x, np.arange(64) % 10, verbose=0)
    >>> sorted(history.history)
    ['discriminator', 'generator', 'loss', 'reconstruction']
    >>> model.encode(x).shape, model.sample(5, labels=3).shape
    ((64, 2), (5, 28, 28, 1))
    """

    parts = ("reconstruction", "discriminator", "generator")
    discriminator_terms: tuple[str, ...] = ("discriminator",)  # J(D) of each discriminator
    generator_terms: tuple[str, ...] = ("generator",)  # J(G) against each

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        discriminator: keras.Model | None = None,
        prior: priors.Prior | None = None,
        classes: int | None = None,
        corruption: keras.layers.Layer | None = None,
        penalty: Any = None,
        seed: int | None = None,
        **kwargs,
    ) -> None:
        super().__init__(encoder, decoder, corruption, penalty, **kwargs)
        self.prior = priors.get("prior", prior)
        self.discriminator = adversaries.optional("discriminator", discriminator)
        self.classes = None if classes is None else checks.whole_number("classes", classes, least=2)
        self.seed_generator = keras.random.SeedGenerator(checks.seed("seed", seed))

    def build(self, input_shape):
        """Build and check the networks and the prior; create the discriminator if none is given."""
        super().build(input_shape)
        self._build_game(input_shape)
        if self.prior.trainable_variables:
            raise ValueError(
                f"`prior` is a {type(self.prior).__name__} with weights to learn, expected a fixed "
                "one: here the codes adapt to the prior."
            )

    def _build_game(self, input_shape) -> None:
        """Build the prior and the discriminator for the code."""
        shape, label = self._shapes["code"], ()
        self.prior.build((None, *shape), input_shape)
        if self.classes is not None:
            label = (self.classes + 1,)
            if self.prior.components != self.classes:
                raise ValueError(
                    f"`prior` has {self.prior.components or 'no'} components, expected one for "
                    f"each of {self.classes} `classes`: a mixture, or samples with labels."
                )
        self.discriminator = adversaries.discriminator_of_codes(
            "discriminator", self.discriminator, shape, label
        )

    # The mathematics.

    def players(self):
        return {
            "reconstruction": Player([self.encoder, self.decoder], self.turn),
            "discriminator": Player([self.discriminator], self.discriminate_batch),
            "generator": Player([self.encoder], self.fool_batch),  # the encoder is in two players
        }

    def compute(self, x, training):
        return super().compute(games.examples_and_noise(x)[0], training)

    def target(self, x, y, found):
        labels = self.classes is not None  # then y has no targets
        return super().target(games.examples_and_noise(x)[0], None if labels else y, found)

    def discriminate_batch(self, batch: Batch, training: bool) -> Outcome:
        """Return −½ log D(z) − ½ log(1 − D(f(x̃))) of each sample and code, for each D."""
        x, z = games.examples_and_noise(batch.x)
        label = self._seen_labels(batch.y)
        code = ops.stop_gradient(self._code_of(x, training))
        if z is None:
            z = self._draw(ops.shape(x)[0], label, self.noise(training))
        pairs = zip(*(self._logits(h, label, training) for h in (z, code)), strict=True)
        losses = [games.cross_entropy(real, fake) for real, fake in pairs]
        return Outcome(sum(losses), dict(zip(self.discriminator_terms, losses, strict=True)))

    def fool_batch(self, batch: Batch, training: bool) -> Outcome:
        """Return −½ log D(f(x̃)) of each code, for each D."""
        x, _ = games.examples_and_noise(batch.x)
        code, loss = self._code_of(x, training), games.LOSSES["non_saturating"].generator
        losses = [loss(logit) for logit in self._logits(code, self._seen_labels(batch.y), training)]
        return Outcome(sum(losses), dict(zip(self.generator_terms, losses, strict=True)))

    def _code_of(self, x, training):
        """Return the codes f(x̃), in float32."""
        code = self.encoding(self.corrupted(x, training), training)["code"]
        return ops.cast(code, "float32")

    def _seen_labels(self, y: Any) -> Tensor | None:
        """Return the labels that D sees, `(n,)`, or `None`."""
        if self.classes is None or y is None:
            return None
        return ops.reshape(ops.cast(y, "int32"), (-1,))

    def _logits(self, code: Tensor, label: Tensor | None, training: bool) -> tuple[Tensor, ...]:
        """Return the logit a of each discriminator; the class of no label is the last one."""
        if label is not None:
            label = ops.one_hot(ops.where(label < 0, self.classes, label), self.classes + 1)
        return (games.logit(self.discriminator, code, label, training),)

    def _draw(self, count: int | Tensor, label: Tensor | None, seed: Seed) -> Tensor:
        """Draw z ~ p(z), or z ~ p(z|c) for each label that is not −1."""
        z = self.prior.distribution().sample(count, seed)
        if label is None:
            return z
        part = self.prior.component(ops.maximum(label, 0)).sample(seed=derived_seed(seed))
        return ops.where(ops.expand_dims(label < 0, -1), z, part)

    # Training.

    def compile(self, optimizer: Any = None, loss: Any = "mse", **kwargs) -> None:
        """Compile with one optimizer, or one for each player; `loss` is the reconstruction term L.

        By default every player has Adam with a learning rate of 1e-3 and β₁ = 0.5. With constant
        rates the codes oscillate around the prior. With a decreasing schedule, such as
        `keras.optimizers.schedules.CosineDecay`, they converge.
        """
        if optimizer is None:
            optimizer = keras.optimizers.Adam(1e-3, beta_1=0.5)
        super().compile(optimizer=optimizer, loss=loss, **kwargs)

    # Data.

    def check_batch(self, x: Any, y: Any, sample_weight: Any) -> None:
        """Check the examples, the prior's samples and the labels."""
        x = games.checked_examples(x, self._shape("code"))
        if self.classes is None:
            return super().check_batch(x, y, sample_weight)
        super().check_batch(x, None, sample_weight)
        if y is None:
            raise ValueError("`y` is None, expected a label for each example, −1 if it has none.")
        checks.check_labels("y", y, self.classes, unlabelled=True)
        checks.check_same_length(x=x, y=y)

    # Use.

    def sample(
        self, count: int, labels: Any = None, seed: int | None = None, batch_size: int = 256
    ) -> np.ndarray:
        """Generate examples: draw z ~ p(z), then return the decoder's output.

        Args:
            count: Number of examples.
            labels: With `classes`: one label for all, or one for each, −1 or `None` for any.
            seed: Seed of the draw; `None` for a new draw each time.
            batch_size: Number of examples decoded at a time.
        """
        return self.decode(self.sample_prior(count, labels, seed), batch_size)

    def sample_prior(self, count: int, labels: Any = None, seed: int | None = None) -> np.ndarray:
        """Draw the codes that `sample` decodes, with its arguments."""
        count = checks.whole_number("count", count)
        self._need_weights("sample")
        seed = self.seed_generator if seed is None else checks.seed("seed", seed)
        if labels is not None:
            labels = ops.convert_to_tensor(self._labels(labels, count), "int32")
        return ops.convert_to_numpy(self._draw(count, labels, seed))

    def _labels(self, labels: Any, count: int) -> np.ndarray:
        """Return one label for each of `count` samples."""
        if self.classes is None:
            raise ValueError(
                f"`labels` are given, expected none: this {type(self).__name__} has no `classes`."
            )
        return checks.label_of_each("labels", labels, count, self.classes, unlabelled=True)
