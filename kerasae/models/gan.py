"""The generative adversarial network: a generator that learns to fool a discriminator.

    x = G(z),  z ~ p(z)          generator: from noise to a sample
    D(x) = σ(a(x))               discriminator: the probability that x is real; a is its logit

    J(D) = −½ E log D(x) − ½ E log(1 − D(G(z)))      least at D = p / (p + q), q the density of G(z)

    J(G) = −J(D)                 minimax: the gradient vanishes if D(G(z)) is near 0
    J(G) = −½ E log D(G(z))      non-saturating: it does not vanish
    J(G) = −½ E e^a              maximum likelihood at the best D, which has e^a = p/q

Both take turns, k steps of D for each step of G, or both step at once. Falling losses do not
indicate progress: monitor D at real and at generated examples, and compare the differences
between samples with those between real examples.

Goodfellow et al., "Generative adversarial networks" (2014); Radford, Metz & Chintala,
"Unsupervised representation learning with deep convolutional generative adversarial networks"
(2015); Mirza & Osindero, "Conditional generative adversarial nets" (2014). `games.py` has all
losses.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from kerasae import checks, nets
from kerasae.engine import arguments, calls, noise
from kerasae.engine.streams import predictions
from kerasae.models import adversaries, averaging, games, inputs
from kerasae.models.batch import Batch
from kerasae.models.players import Outcome, Player
from kerasae.models.sampler import Sampler, diversity


@keras.saving.register_keras_serializable("kerasae")
class GAN(Sampler):
    """The GAN, a game of two players: D minimizes J(D), G minimizes J(G).

    `fit(x)` draws new noise z for each step of each player; a round of k discriminator steps and
    one generator step uses one batch of x. `fit({"x": x, "z": z})` uses given noise, for runs that
    must be compared exactly: all steps of a round then use the same z. With `classes` both
    networks also see a label, `fit(x, labels)`, and sample i of a batch is generated for the label
    of real example i. A `sample_weight` w counts an example and the sample of the same index w
    times, so that G learns the density w(x) p(x).

    `predict(z)` returns G(z); `sample`, `generate` and `interpolate` use the average of the
    generator's weights if there is one. By default `compile` uses Adam with DCGAN's learning rate
    of 2e-4 and β₁ = 0.5 for both players, which are called `discriminator` and `generator`.

    Metrics, also in validation, with the networks in inference mode: `loss`, the sum of
    `discriminator_loss` and `generator_loss`; `real` and `fake`, the mean of D(x) and D(G(z)), or
    of the scores a with the last three losses; `diversity`, the mean distance between a sample of
    a batch and the next, divided by that between real examples: near 1 if samples differ as much
    as the data, 0 if all are the same. With k > 1 the metrics of D are averaged over the k steps.

    Args:
        generator: G, a Keras model from z to x, or from `[z, one-hot label]`.
        discriminator: a, a Keras model from x to one logit, or from `[x, one-hot label]`.
        loss: `"minimax"`, `"non_saturating"`, `"maximum_likelihood"` (e^a only up to
            a = 40), `"least_squares"`, `"hinge"` or `"wasserstein"`.
        discriminator_steps: Number k of discriminator steps per generator step.
        simultaneous: If True, both gradients are computed before either step.
        label_smoothing: s; with 0.1, D's target for real examples is 0.9.
        gradient_penalty: λ of `"wasserstein"`, λ (‖∇a(x̂)‖ − 1)² at points x̂ between a real
            example and a sample.
        average: δ, such as 0.999, for the average θ̄ ← δ_t θ̄ + (1 − δ_t) θ of the generator's
            weights and moving statistics; or `None`. δ_t = min(δ, (1 + t) / (10 + t)) after t
            steps, so that the initial weights soon lose their influence.
        classes: Number of classes, for a GAN conditional on labels.
        latent: p(z), `"normal"`, N(0, I), or `"uniform"`, from −1 to 1.

    Example:

    >>> import numpy as np
    >>> from kerasae import datasets
    >>> model = GAN.mlp((2,), code_size=2, units=(32,))
    >>> model.compile()
    >>> history = model.fit(datasets.toys.ring().sample(100), verbose=0)
    >>> sorted(history.history)
    ['discriminator_loss', 'diversity', 'fake', 'generator_loss', 'loss', 'real']
    >>> model.sample(5).shape, model.generate(np.zeros((3, 2))).shape
    ((5, 2), (3, 2))
    """

    parts = ("discriminator_loss", "generator_loss")
    measured: Mapping[str, str | None] = {"real": None, "fake": None, "diversity": None}
    loss_is = "a GAN's loss is an argument of its constructor"

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        loss: str = "non_saturating",
        discriminator_steps: int = 1,
        simultaneous: bool = False,
        label_smoothing: float = 0.0,
        gradient_penalty: float = 10.0,
        average: float | None = None,
        classes: int | None = None,
        latent: str = "normal",
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.objective = games.get("loss", loss)
        self.discriminator_steps = checks.whole_number("discriminator_steps", discriminator_steps)
        self.simultaneous = checks.flag("simultaneous", simultaneous)
        if self.simultaneous and self.discriminator_steps > 1:
            raise ValueError(
                f"`discriminator_steps` is {discriminator_steps} and `simultaneous` is True, "
                "expected one step of each player if both step at once."
            )
        self.label_smoothing = checks.fraction("label_smoothing", label_smoothing)
        if self.label_smoothing and not self.objective.smooths:
            raise ValueError(
                f"`label_smoothing` is {label_smoothing}, expected 0 for the loss {loss!r}, which "
                "has no labels to smooth."
            )
        self.gradient_penalty = checks.not_negative("gradient_penalty", gradient_penalty)
        self.penalty = self.objective.penalty if self.gradient_penalty else None
        self.average = average
        self.classes = None if classes is None else checks.whole_number("classes", classes, least=2)
        self.latent = checks.one_of("latent", latent, ("normal", "uniform"))
        self.generator = arguments.network("generator", generator)
        self.discriminator = arguments.network("discriminator", discriminator)
        self.code_shape, self.example_shape = adversaries.check_pair(
            generator, discriminator, self.classes
        )
        if self.penalty is not None:
            adversaries.check_not_normalized("discriminator", discriminator, loss)
        self.averaged = averaging.start("generator", generator, average)
        self.seed_generator = keras.random.SeedGenerator()

    @classmethod
    def mlp(
        cls,
        shape: tuple[int, ...],
        code_size: int = 64,
        units: Sequence[int] = (256, 512),
        activation: arguments.Activation = "leaky_relu",
        output_activation: arguments.Activation = "linear",
        classes: int | None = None,
        **kwargs,
    ) -> Self:
        """Return a GAN of fully connected networks: `units` in G, and reversed in D.

        Args:
            shape: Shape of one example.
            code_size: Dimension of z.
            units: Sizes of the generator's hidden layers, from z on.
            activation: Activation of the hidden layers of both.
            output_activation: Activation of the sample: `"sigmoid"` for values in [0, 1].
            classes: Number of classes, as in the constructor.
            **kwargs: Further arguments of the constructor.
        """
        networks = adversaries.mlp(shape, code_size, units, activation, output_activation, classes)
        return cls(*networks, classes=classes, **kwargs)

    @classmethod
    def dcgan(
        cls,
        shape: tuple[int, int, int],
        code_size: int = 100,
        filters: int = 64,
        classes: int | None = None,
        loss: str = "non_saturating",
        **kwargs,
    ) -> Self:
        """Return the convolutional GAN of Radford et al. for images in [0, 1].

        With the loss `"wasserstein"` the discriminator has no batch normalization, because the
        gradient penalty is defined per example.

        Args:
            shape: Height, width and channels, as in `kerasae.nets.dcgan_generator`.
            code_size: Dimension of z.
            filters: Channels of the largest hidden maps; 128 in the paper's generator.
            classes: Number of classes, as in the constructor.
            loss: As in the constructor.
            **kwargs: Further arguments of the constructor.
        """
        generator = nets.dcgan_generator(shape, code_size, filters, classes)
        normalization = games.get("loss", loss).penalty is None
        discriminator = nets.dcgan_discriminator(shape, filters, classes, normalization)
        return cls(generator, discriminator, classes=classes, loss=loss, **kwargs)

    # The mathematics.

    def players(self):
        return {
            "discriminator": Player([self.discriminator], self.discriminate_batch),
            "generator": Player([self.generator], self.generate_batch),
        }

    def play(self, batch):
        """Play k steps of the discriminator and one of the generator, or one of both at once."""
        if self.simultaneous:
            results = self.move(batch, "discriminator", "generator")
        else:
            k = self.discriminator_steps
            results = [self.move(batch, "discriminator")[0] for _ in range(k)]
            results = [result._replace(whole=result.whole / k) for result in results]
            results += self.move(batch, "generator")
        if self.averaged is not None:
            optimizer = self.optimizer["generator"]
            averaging.update(self.averaged, self.generator, self.average, optimizer)
        return results

    def discriminate_batch(self, batch: Batch, training: bool) -> Outcome:
        """Return J(D) of real examples and the same number of samples."""
        x, z, label = self._drawn_batch(batch, training)
        fake = calls.call(self.generator, inputs.with_label(z, label), training)
        fake = ops.stop_gradient(ops.cast(fake, "float32"))
        a, a_fake = (self._logit(each, label, training) for each in (x, fake))
        loss = self.objective.discriminator(a, a_fake, self.label_smoothing)
        if self.penalty is not None:
            seed = noise.derived_seed(self.noise(training))
            penalty = self.penalty(lambda x: self._logit(x, label, False), x, fake, seed)
            loss = loss + self.gradient_penalty * penalty
        measures = {"real": self.objective.score(a), "fake": self.objective.score(a_fake)}
        return Outcome(loss, {"discriminator_loss": loss}, measures)

    def generate_batch(self, batch: Batch, training: bool) -> Outcome:
        """Return J(G) of as many samples as the batch has examples."""
        x, z, label = self._drawn_batch(batch, training)
        fake = calls.call(self.generator, inputs.with_label(z, label), training)
        loss = self.objective.generator(self._logit(fake, label, training))
        measures = {"diversity": diversity(ops.stop_gradient(fake), x)}
        return Outcome(loss, {"generator_loss": loss}, measures)

    def _drawn_batch(self, batch, training):
        """Return x, z, and one-hot labels or `None`."""
        x, z = games.examples_and_noise(batch.x)
        x, label = ops.cast(x, "float32"), None
        if self.classes is not None:
            label = ops.one_hot(ops.reshape(ops.cast(batch.y, "int32"), (-1,)), self.classes)
        if z is None:
            z = self._draw_noise(ops.shape(x)[0], self.noise(training))
        return x, z, label

    def _logit(self, x, label, training):
        return games.logit(self.discriminator, x, label, training)

    # Data and training.

    def compile(self, optimizer: Any = None, **kwargs) -> None:
        """Compile with one optimizer, or one for each player."""
        for name in ("metrics", "weighted_metrics"):
            if kwargs.get(name) is not None:
                raise ValueError(
                    f"`{name}` is given to `compile`, expected none: a GAN makes no prediction to "
                    "compare."
                )
        if optimizer is None:
            optimizer = keras.optimizers.Adam(2e-4, beta_1=0.5)
        super().compile(optimizer=optimizer, **kwargs)

    def check_batch(self, x: Any, y: Any, sample_weight: Any) -> None:
        """Check shapes, lengths, finiteness, labels, and that G can reach the data's range."""
        x = games.checked_examples(x, self.code_shape)
        ends = checks.check_array("x", x, self.example_shape, integers=False)
        adversaries.check_reachable(ends, self.generator)
        if self.classes is not None:
            if y is None:
                raise ValueError("`y` is None, expected a label for each example.")
            checks.check_labels("y", y, self.classes)
            checks.check_same_length(x=x, y=y)
        elif y is not None and sample_weight is None:  # weights come with y = x
            raise ValueError(
                "`y` is given, expected none, or `classes` in the GAN to make it conditional."
            )
        if sample_weight is not None:
            checks.check_weights("sample_weight", sample_weight)
            checks.check_same_length(x=x, sample_weight=sample_weight)

    # Use.

    def discriminate(self, x: Any, labels: Any = None, batch_size: int = 256) -> np.ndarray:
        """Return D(x) = σ(a) of examples, or the score a if σ(a) is no probability.

        Args:
            x: Examples, real or generated.
            labels: For a conditional GAN, labels as in `sample`.
            batch_size: Number of examples at a time.

        Returns:
            Array of shape `(n,)`.
        """
        x = checks.as_array("x", x)
        checks.check_array("x", x, self.example_shape, integers=False)
        checks.whole_number("batch_size", batch_size)
        given = inputs.with_label(x, inputs.one_hot(labels, len(x), self.classes))
        logit = predictions(self.discriminator, given, batch_size)
        logit = logit[:, 0].astype("float32")
        return 0.5 + 0.5 * np.tanh(0.5 * logit) if self.objective.probability else logit
