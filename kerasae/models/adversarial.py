"""The adversarial autoencoder: a discriminator makes the codes follow a prior.

    L(x, g(f(x̃)))                              reconstruction: the encoder f and the decoder g
    −½ E log D(z) − ½ E log(1 − D(f(x̃)))        discriminator: a sample z ~ p(z), or a code?
    −½ E log D(f(x̃))                           generator: the encoder fools D

The three players take turns. If the best D cannot distinguish codes from samples, the aggregated
posterior q(z), the distribution of the codes of all examples, equals p(z). D replaces the
divergence KL(q‖p) of a variational autoencoder. It needs only samples of p(z), so that p(z) may be
a ring or a spiral.

With labels c, D also sees c, and the codes of each class follow its component p(z|c) of the prior.
Alternatively the code has two parts, z and a class, each with its own discriminator; then few
labels are enough:

    h = (z, p(c|x)),    z against p(z),   p(c|x) against one-hot samples of Cat(1/K)
    −log p(c|x)                           classifier: the encoder, for examples with a label

Makhzani et al., "Adversarial autoencoders" (2016).
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae import checks, nets
from kerasae.engine import calls
from kerasae.engine.noise import another
from kerasae.models import gan
from kerasae.models.autoencoder import Autoencoder
from kerasae.models.base import Among, Batch, Outcome, Player
from kerasae.probability import priors
from kerasae.probability.discrete import Categorical

Tensor = Any
UNITS = (256, 256)  # hidden layers of a discriminator if none is given


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
        self.discriminator = _network_or_none("discriminator", discriminator)
        self.classes = None if classes is None else checks.positive("classes", classes, least=2)
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
        self.discriminator = _discriminator("discriminator", self.discriminator, shape, label)

    # The mathematics.

    def players(self):
        return {
            "reconstruction": Player([self.encoder, self.decoder], self.turn),
            "discriminator": Player([self.discriminator], self.discriminate_batch),
            "generator": Player([self.encoder], self.fool_batch),  # the encoder is in two players
        }

    def compute(self, x, training):
        return super().compute(gan.examples_and_noise(x)[0], training)

    def target(self, x, y, found):
        labels = self.classes is not None  # then y has no targets
        return super().target(gan.examples_and_noise(x)[0], None if labels else y, found)

    def discriminate_batch(self, batch: Batch, training: bool) -> Outcome:
        """Return −½ log D(z) − ½ log(1 − D(f(x̃))) of each sample and code."""
        x, z, label = self._examples_of(batch)
        code = ops.stop_gradient(self._code_of(x, training))
        if z is None:
            z = self._drawn(ops.shape(x)[0], label, self.noise(training))
        each = gan.cross_entropy(*(self._logit(h, label, training) for h in (z, code)))
        return Outcome(each, {"discriminator": each})

    def fool_batch(self, batch: Batch, training: bool) -> Outcome:
        """Return −½ log D(f(x̃)) of each code."""
        x, _, label = self._examples_of(batch)
        logit = self._logit(self._code_of(x, training), label, training)
        each = gan.LOSSES["non_saturating"].generator(logit)
        return Outcome(each, {"generator": each})

    def _examples_of(self, batch):
        """Return x, z or `None`, and labels or `None`."""
        x, z = gan.examples_and_noise(batch.x)
        y = None if self.classes is None else batch.y
        label = None if y is None else ops.reshape(ops.cast(y, "int32"), (-1,))
        return x, z, label

    def _code_of(self, x, training):
        """Return the codes f(x̃), in float32."""
        code = self.encoding(self.corrupted(x, training), training)["code"]
        return ops.cast(code, "float32")

    def _logit(self, code, label, training):
        """Return the logit a, D = σ(a); D sees the label too, with an extra class for no label."""
        if label is None:
            return _logit(self.discriminator, code, training)
        label = ops.one_hot(ops.where(label < 0, self.classes, label), self.classes + 1)
        return _logit(self.discriminator, code, training, label)

    def _drawn(self, count, label, seed):
        """Draw z ~ p(z), or z ~ p(z|c) for each label."""
        z = self.prior.distribution().sample(count, seed)
        if label is None:
            return z
        part = self.prior.component(ops.maximum(label, 0)).sample(seed=another(seed))
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
        x, z = gan.examples_and_noise(x)
        if z is not None:
            checks.array("z", z, self._shape("code"))
            checks.same_length(x=x, z=z)
        if self.classes is None:
            return super().check_batch(x, y, sample_weight)
        super().check_batch(x, None, sample_weight)
        if y is None:
            raise ValueError("`y` is None, expected a label for each example, −1 if it has none.")
        checks.labels("y", y, self.classes, unlabelled=True)
        checks.same_length(x=x, y=y)

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
        count = checks.positive("count", count)
        self._need_weights("sample")
        seed = self.seed_generator if seed is None else checks.seed("seed", seed)
        return ops.convert_to_numpy(self._sampled(count, labels, seed))

    def _sampled(self, count, labels, seed):
        if labels is not None:
            labels = ops.convert_to_tensor(self._labels(labels, count), "int32")
        return self._drawn(count, labels, seed)

    def _labels(self, labels: Any, count: int) -> np.ndarray:
        """Return one label for each of `count` samples."""
        if self.classes is None:
            raise ValueError(
                f"`labels` are given, expected none: this {type(self).__name__} has no `classes`."
            )
        return checks.label_of_each("labels", labels, count, self.classes, unlabelled=True)


@keras.saving.register_keras_serializable("kerasae")
class SemiSupervisedAdversarialAutoencoder(AdversarialAutoencoder):
    """The semi-supervised adversarial autoencoder: a code h = (z, p(c|x)) of style and class.

    The encoder gives the numbers of z and then K logits; the decoder takes z and the K
    probabilities. A second discriminator compares p(c|x) with one-hot vectors, so that the encoder
    decides for one class, and for each class equally often. A fourth player, `classifier`,
    minimizes −log p(c|x) over the examples of a batch that have a label. `fit(x, y)` takes whole
    numbers, −1 for no label. If few examples have a label, repeat them in the data, so that each
    batch has some, and give `classifier` a higher learning rate, otherwise classes form before the
    labels influence them. `fit({"x": x, "z": z}, y)` uses given samples, each the concatenation of
    z and a one-hot vector.

    Metrics: those of `AdversarialAutoencoder`, `class_discriminator` and `class_generator` for the
    second game, `cross_entropy` and `accuracy` over the examples with a label.

    Args:
        encoder: A Keras model from the input to the numbers of z and K logits, one vector.
        decoder: A Keras model from z and K probabilities, one vector, to the reconstruction.
        classes: Number K of classes.
        discriminator: A Keras model from z to one logit, or `None` for two hidden layers.
        class_discriminator: A Keras model from K numbers to one logit, or `None`, likewise.
        prior: p(z), as in `AdversarialAutoencoder`.
        corruption: C, as in `Autoencoder`.
        seed: Seed of the samples, or `None`.

    Example:

    >>> import numpy as np
    >>> from kerasae import nets
    >>> networks = nets.mlp((28, 28, 1), code_size=5 + 10)
    >>> model = SemiSupervisedAdversarialAutoencoder(*networks, classes=10)
    >>> model.compile(loss="binary_crossentropy")
    >>> x = np.random.default_rng(0).random((64, 28, 28, 1), dtype="float32")
    >>> history = model.fit(x, np.where(np.arange(64) < 20, np.arange(64) % 10, -1), verbose=0)
    >>> model.encode(x).shape, model.classify(x).shape, model.sample(5, labels=3).shape
    ((64, 15), (64,), (5, 28, 28, 1))
    """

    parts = (
        *AdversarialAutoencoder.parts,
        "class_discriminator",
        "class_generator",
        "cross_entropy",
    )
    measured: Mapping[str, str | None] = {"accuracy": "max"}

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        classes: int,
        discriminator: keras.Model | None = None,
        class_discriminator: keras.Model | None = None,
        prior: priors.Prior | None = None,
        corruption: keras.layers.Layer | None = None,
        seed: int | None = None,
        **kwargs,
    ) -> None:
        classes = checks.positive("classes", classes, least=2)
        super().__init__(
            encoder, decoder, discriminator, prior, classes, corruption, seed=seed, **kwargs
        )
        self.class_discriminator = _network_or_none("class_discriminator", class_discriminator)

    def _build_game(self, input_shape):
        shape = self._shapes["code"]
        if len(shape) != 1 or shape[0] <= self.classes:
            raise ValueError(
                f"`encoder` gives codes of shape {shape}, expected a vector of more than "
                f"{self.classes} numbers: z and a logit for each of {self.classes} `classes`."
            )
        self.style = shape[0] - self.classes  # the dimension of z
        self.prior.build((None, self.style), input_shape)
        self.discriminator = _discriminator("discriminator", self.discriminator, (self.style,))
        self.class_discriminator = _discriminator(
            "class_discriminator", self.class_discriminator, (self.classes,)
        )

    def players(self):
        players = super().players()
        networks = [self.discriminator, self.class_discriminator]
        players["discriminator"] = Player(networks, self.discriminate_batch)
        return {**players, "classifier": Player([self.encoder], self.classify_batch)}

    def encoding(self, x, training):
        """Return the code, z and p(c|x) side by side, and the logits of c, in float32."""
        numbers = ops.cast(calls.call(self.encoder, x, training), "float32")
        z, logits = numbers[:, : -self.classes], numbers[:, -self.classes :]
        return {"code": ops.concatenate([z, ops.softmax(logits)], axis=-1), "logits_c": logits}

    def discriminate_batch(self, batch, training):
        """Return both discriminators' losses of each sample and code."""
        x, drawn, _ = self._examples_of(batch)
        code = ops.stop_gradient(self._code_of(x, training))
        if drawn is None:
            drawn = self._sampled(ops.shape(x)[0], None, self.noise(training))
        pairs = zip(self._logits(drawn, training), self._logits(code, training), strict=True)
        each = [gan.cross_entropy(real, fake) for real, fake in pairs]
        return Outcome(sum(each), {"discriminator": each[0], "class_discriminator": each[1]})

    def fool_batch(self, batch, training):
        """Return both generators' losses of each code."""
        x, *_ = self._examples_of(batch)
        loss = gan.LOSSES["non_saturating"].generator
        each = [loss(logit) for logit in self._logits(self._code_of(x, training), training)]
        return Outcome(sum(each), {"generator": each[0], "class_generator": each[1]})

    def _logits(self, code, training):
        """Return the logits of the two discriminators for the two parts."""
        return (
            _logit(self.discriminator, code[:, : self.style], training),
            _logit(self.class_discriminator, code[:, self.style :], training),
        )

    def classify_batch(self, batch: Batch, training: bool) -> Outcome:
        """Return −log p(c|x̃) and the accuracy, over the examples that have a label."""
        x, _, label = self._examples_of(batch)
        logits = self.encoding(self.corrupted(x, training), training)["logits_c"]
        labelled = ops.cast(label >= 0, "float32")
        label = ops.maximum(label, 0)
        each = keras.losses.sparse_categorical_crossentropy(label, logits, from_logits=True)
        right = ops.cast(ops.cast(ops.argmax(logits, axis=-1), "int32") == label, "float32")
        loss = Among(each, labelled)
        return Outcome(loss, {"cross_entropy": loss}, {"accuracy": Among(right, labelled)})

    def classify(self, x: Any, batch_size: int = 256) -> np.ndarray:
        """Return the most probable class of each example, `(n,)`."""
        return self.encode(x, batch_size)[:, self.style :].argmax(axis=1)

    def _sampled(self, count, labels, seed):
        """Draw z ~ p(z), each with a one-hot class, which is given or drawn."""
        z = self.prior.distribution().sample(count, seed)
        uniform = Categorical(ops.zeros((self.classes,))).sample(count, another(seed))
        if labels is not None:
            label = self._labels(labels, count)
            given = np.eye(self.classes, dtype="float32")[label]
            uniform = ops.where(label[:, None] < 0, uniform, given)
        return ops.concatenate([z, uniform], axis=-1)


def _logit(network: keras.Model, code: Tensor, training: bool, *label: Tensor) -> Tensor:
    """Return the logit a, σ(a) = D, in float32."""
    logit = calls.call(network, [code, *label] if label else code, training)
    return ops.reshape(ops.cast(logit, "float32"), (-1,))


def _network_or_none(name: str, value: Any) -> keras.Model | None:
    return None if value is None else checks.network(name, value)


def _discriminator(
    name: str, network: keras.Model | None, shape: tuple[int, ...], label: tuple[int, ...] = ()
) -> keras.Model:
    """Return the given discriminator if its inputs match, or a new one for `None`."""
    if network is None:
        if not label:
            return nets.mlp_encoder(shape, 1, UNITS, "leaky_relu", name=name)
        inputs = [keras.Input(shape), keras.Input(label)]
        joined = keras.layers.Concatenate()([keras.layers.Flatten()(inputs[0]), inputs[1]])
        rest = nets.mlp_encoder(joined.shape[1:], 1, UNITS, "leaky_relu", name="logit")
        return keras.Model(inputs, rest(joined), name=name)
    if not (network.built and getattr(network, "inputs", None)):
        raise ValueError(
            f"`{name}` has no inputs yet, expected a functional or built Sequential model."
        )
    takes = [tuple(each.shape[1:]) for each in network.inputs]
    wanted = [shape, label] if label else [shape]
    if len(takes) != len(wanted) or not all(map(checks.fits, takes, wanted)):
        raise ValueError(
            f"`{name}` takes {takes}, expected {wanted}: a code{' and a label' * bool(label)}."
        )
    gan.check_logit(name, network)
    return network
