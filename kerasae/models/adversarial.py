"""The adversarial autoencoder: a discriminator gives the codes the shape of a prior.

    L(x, g(f(x̃)))                              reconstruction: the encoder f and the decoder g
    −½ E log D(z) − ½ E log(1 − D(f(x̃)))        discriminator: a sample z ~ p(z), or a code?
    −½ E log D(f(x̃))                           generator: the encoder fools D

The three take turns. Where D can tell no difference the aggregated posterior q(z), which is the
distribution of the codes of all examples, equals p(z): what KL(q‖p) does in a variational
autoencoder, D does here. All it asks of p(z) is samples, so that p(z) may be a ring or a spiral.

With labels c, D sees c beside the code, and each class takes its part p(z|c) of the prior. Or the
code has two parts, z and a class, each with its own discriminator, and few labels are enough:

    h = (z, p(c|x)),    z against p(z),   p(c|x) against one-hot samples of Cat(1/K)
    −log p(c|x)                           classifier: the encoder, for examples with a label

Makhzani et al., "Adversarial autoencoders" (2016).
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from kerasae import checks, nets, priors
from kerasae.distributions import Categorical
from kerasae.distributions.base import another
from kerasae.models import gan
from kerasae.models.autoencoder import Autoencoder
from kerasae.training.alternating import AlternatingModel
from kerasae.training.replicas import unscaled

Tensor = Any
UNITS = (256, 256)  # hidden layers of a discriminator where none is given


class Batch(NamedTuple):
    """What a round is played with."""

    x: Tensor
    z: Tensor | None  # samples of the prior, where they come with the data
    target: Tensor | None  # what to reconstruct, if not x
    label: Tensor | None
    sample_weight: Tensor | None


@keras.saving.register_keras_serializable("kerasae")
class AdversarialAutoencoder(AlternatingModel, Autoencoder):
    """Three players: `reconstruction` minimises L + Ω, `discriminator` and `generator` play.

    `fit(x)` draws samples of the prior afresh; `fit({"x": x, "z": z})` brings them along, for runs
    that are to be compared exactly. With `classes`, `fit(x, labels)` takes whole numbers, −1 for
    an example without a label: its code is held against the whole prior, and D sees an extra
    class. Without, `fit(x, y)` reconstructs y. A `sample_weight` counts for all three. Validation
    draws the same z each time, so that its numbers can be compared.

    The encoder is deterministic, unless a `corruption` makes it a stochastic one: q(z|x) is then
    the distribution of f(x̃). `compile` takes one optimizer or one for each player.

    Metrics: `loss` (the sum of the three losses), `reconstruction` (L), `penalty` (Ω, if there
    is one), `discriminator` and `generator` (both ½ log 2 = 0.35 or, of the former, log 2 = 0.69
    where D can tell no difference).

    Args:
        encoder: f, a Keras model from the input to the code.
        decoder: g, a Keras model from the code to the reconstruction.
        discriminator: A Keras model from a code to one logit; with `classes`, from `[code, one-hot
            label]`, the label being of `classes + 1` numbers, the last one for no label. `None`
            for two hidden layers of 256.
        prior: p(z), one of `kerasae.priors` that has nothing to learn, or `None` for N(0, I).
            `SamplesPrior` takes any points to draw from.
        classes: How many classes there are, where D is to see labels. The prior must have a
            component for each: a mixture, or samples with labels.
        corruption: C, as in `Autoencoder`.
        penalty: Ω, as in `Autoencoder`.
        seed: Of the samples, or `None`.

    Example:

    >>> import numpy as np
    >>> from kerasae import nets
    >>> from kerasae.priors import MixturePrior
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

    matches = ("",)  # what the names of an adversary's metrics begin with

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
        *,
        build: bool = True,
        **kwargs,
    ) -> None:
        super().__init__(encoder, decoder, corruption, penalty, build=False, **kwargs)
        self.prior = priors.get("prior", prior)
        self.discriminator = _network_or_none("discriminator", discriminator)
        self.classes = None if classes is None else checks.positive("classes", classes, least=2)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.trackers = {
            name: keras.metrics.Mean(name=name)
            for match in self.matches
            for name in (f"{match}discriminator", f"{match}generator")
        }
        if build:
            self._build_early()

    def build(self, input_shape):
        """Builds and checks the networks and the prior, and makes what was not given."""
        super().build(input_shape)
        self._build_game(input_shape)
        if self.prior.trainable_variables:
            raise ValueError(
                f"`prior` is a {type(self.prior).__name__} with weights to learn, expected a fixed "
                "one: here codes go to the prior, and it does not come to them."
            )

    def _build_game(self, input_shape) -> None:
        """Builds the prior and the discriminator for the code."""
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

    def player_variables(self) -> dict[str, list[keras.Variable]]:
        """The encoder belongs to two players."""
        encoder = self.encoder.trainable_variables
        return {
            "reconstruction": encoder + self.decoder.trainable_variables,
            "discriminator": self.discriminator.trainable_variables if self.discriminator else [],
            "generator": encoder,
        }

    def call(self, x, training=False):
        """The reconstruction x̂ = g(f(x̃))."""
        return super().call(gan.examples_and_noise(x)[0], training)

    # Training.

    def compile(self, optimizer: Any = None, loss: Any = "mse", **kwargs) -> None:
        """Compiles as `AlternatingModel.compile` does; `loss` is the reconstruction term L.

        Without `optimizer`, every player has Adam with a learning rate of 1e-3 and β₁ = 0.5. The
        codes go round the prior rather than into it while the rates stay what they are: a
        schedule that falls, such as `keras.optimizers.schedules.CosineDecay`, lets them settle.
        """
        if optimizer is None:
            optimizer = keras.optimizers.Adam(1e-3, beta_1=0.5)
        super().compile(optimizer=optimizer, loss=loss, **kwargs)

    def play(self, x, y, sample_weight):
        """Plays one step of each player in turn."""
        losses = self._turns(self._batch(x, y, sample_weight))
        return sum(self.minimize(loss_fn, player) for player, loss_fn in losses.items())

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The sum of the players' losses."""
        losses = self._turns(self._batch(x, y, sample_weight), y_pred, training)
        return sum(loss_fn() for loss_fn in losses.values())

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Updates the compiled metrics; without `y` they compare with the input."""
        if y_pred is None:  # no metrics were given to `compile`
            return self.get_metrics_result()
        x, target = gan.examples_and_noise(x)[0], None if self.classes else y
        return super().compute_metrics(x, target, y_pred, sample_weight)

    def _batch(self, x, y, sample_weight) -> Batch:
        x, z = gan.examples_and_noise(x)
        if self.classes is None:
            return Batch(x, z, y, None, sample_weight)
        return Batch(x, z, None, ops.reshape(ops.cast(y, "int32"), (-1,)), sample_weight)

    def _turns(
        self, batch: Batch, y_pred: Tensor | None = None, training: bool = True
    ) -> dict[str, Callable[[], Tensor]]:
        """Each player's loss, in the order of play."""
        return {
            "reconstruction": lambda: self._reconstruction_loss(batch, y_pred, training),
            "discriminator": lambda: self._discriminator_loss(batch, training),
            "generator": lambda: self._generator_loss(batch, training),
        }

    def _reconstruction_loss(self, batch, y_pred, training):
        """L + Ω, and what regularizers in the encoder and the decoder add."""
        x, _, target, _, sample_weight = batch
        if y_pred is None:
            y_pred = self(x, training=training)
        loss = Autoencoder.compute_loss(self, x, target, y_pred, sample_weight, training)
        # Keras counts the regularizers of all weights; the discriminator's are that player's own.
        return unscaled(loss) - gan.regularization(self._networks())

    def _discriminator_loss(self, batch, training):
        """−½ E log D(z) − ½ E log(1 − D(f(x̃)))."""
        code = ops.stop_gradient(self._code_of(batch.x, training))
        total = gan.regularization(self._networks())
        for match, logit, real, fake in self._adversaries(batch, code, training):
            each = gan.cross_entropy(logit(real), logit(fake))
            total = total + self._mean(f"{match}discriminator", each, batch)
        return total

    def _generator_loss(self, batch, training):
        """−½ E log D(f(x̃))."""
        code, total = self._code_of(batch.x, training), 0.0
        for match, logit, _, fake in self._adversaries(batch, code, training):
            each = gan.LOSSES["non_saturating"].generator(logit(fake))
            total = total + self._mean(f"{match}generator", each, batch)
        return total

    def _adversaries(self, batch: Batch, code: Tensor, training: bool) -> Iterator[tuple]:
        """Each adversary's name, its logits as a function, the prior's samples and the codes."""
        z = batch.z
        if z is None:
            seed = self.seed_generator if training else 0
            z = self._drawn(ops.shape(batch.x)[0], batch.label, seed)
        extra = []
        if self.classes is not None:
            label = ops.where(batch.label < 0, self.classes, batch.label)
            extra = [ops.one_hot(label, self.classes + 1)]
        yield "", lambda h: _logit(self.discriminator, h, training, *extra), z, code

    def _code_of(self, x, training):
        """The codes f(x̃), in float32."""
        code = self.encoder(self._corrupted(x, training), training=training)
        return ops.cast(code, "float32")

    def _drawn(self, count, label, seed):
        """Samples z ~ p(z), or z ~ p(z|c) for each label."""
        z = self.prior.distribution().sample(count, seed)
        if label is None:
            return z
        part = self.prior.component(ops.maximum(label, 0)).sample(seed=another(seed))
        return ops.where(ops.expand_dims(label < 0, -1), z, part)

    def _mean(self, name, each, batch):
        """The weighted mean over the batch, which is tracked."""
        weight = batch.sample_weight
        if weight is not None:
            each = each * ops.reshape(ops.cast(weight, "float32"), (-1,))
        loss = ops.mean(each)
        self.track(self.trackers[name], loss, batch.x)
        return loss

    def _networks(self) -> list[keras.Model]:
        """The discriminators."""
        return [self.discriminator]

    # Data.

    def check_batch(self, x: Any, y: Any, sample_weight: Any) -> None:
        """Checks the examples, the prior's samples and the labels."""
        x, z = gan.examples_and_noise(x)
        if z is not None:
            checks.array("z", z, self.prior.code_shape if self.built else None)
            checks.same_length(x=x, z=z)
        if self.classes is None:
            return super().check_batch(x, y, sample_weight)
        super().check_batch(x, None, sample_weight)
        if y is None:
            raise ValueError(
                "`y` is None, expected a label for each example, −1 where it has none."
            )
        checks.labels("y", y, self.classes, unlabelled=True)
        checks.same_length(x=x, y=y)

    # Use.

    def sample(
        self, count: int, labels: Any = None, seed: int | None = None, batch_size: int = 256
    ) -> np.ndarray:
        """New examples: z ~ p(z), then the decoder's output.

        Args:
            count: How many.
            labels: With `classes`: one label for all, or one for each, −1 or `None` for any.
            seed: Of the draw; `None` for another one each time.
            batch_size: Examples at a time.
        """
        return self.decode(self.sample_prior(count, labels, seed), batch_size)

    def sample_prior(self, count: int, labels: Any = None, seed: int | None = None) -> np.ndarray:
        """The codes that `sample` decodes, with its arguments."""
        count = checks.positive("count", count)
        self._need_weights("sample")
        seed = self.seed_generator if seed is None else checks.positive("seed", seed, least=0)
        return ops.convert_to_numpy(self._sampled(count, labels, seed))

    def _sampled(self, count, labels, seed):
        if labels is not None:
            labels = ops.convert_to_tensor(self._labels(labels, count), "int32")
        return self._drawn(count, labels, seed)

    def _labels(self, labels: Any, count: int) -> np.ndarray:
        """One label for each of `count` samples."""
        if self.classes is None:
            raise ValueError(
                f"`labels` are given, expected none: this {type(self).__name__} has no `classes`."
            )
        return checks.label_of_each("labels", labels, count, self.classes, unlabelled=True)

    def get_config(self) -> dict[str, Any]:
        """Everything `from_config` needs, the networks included."""
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "discriminator": serialize(self.discriminator),
            "prior": serialize(self.prior),
            "classes": self.classes,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable("kerasae")
class SemiSupervisedAdversarialAutoencoder(AdversarialAutoencoder):
    """A code of two parts, h = (z, p(c|x)): how it looks, and what it is.

    The encoder gives the numbers of z and then K logits; the decoder takes z and the K
    probabilities. A second discriminator holds p(c|x) against one-hot vectors, so that the encoder
    commits itself to one class, and to each equally often; a fourth player, `classifier`,
    minimises −log p(c|x) over those examples of a batch that have a label. `fit(x, y)` takes whole
    numbers, −1 for no label. Where few have one, repeat them in the data, so that each batch has
    some, and let `classifier` learn faster than the others, lest the classes be settled before the
    labels are heard. `fit({"x": x, "z": z}, y)` brings samples along, each of z and a one-hot
    vector in a row.

    Metrics: those of `AdversarialAutoencoder`, `class_discriminator` and `class_generator` for the
    second game, `cross_entropy` and `accuracy` over the examples with a label.

    Args:
        encoder: A Keras model from the input to the numbers of z and K logits, one vector.
        decoder: A Keras model from z and K probabilities, one vector, to the reconstruction.
        classes: K.
        discriminator: For z, a Keras model from z to one logit, or `None` for two hidden layers.
        class_discriminator: For p(c|x), the same from K numbers.
        prior: p(z), as in `AdversarialAutoencoder`.
        corruption: C, as in `Autoencoder`.
        seed: Of the samples, or `None`.

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

    matches = ("", "class_")

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
        *,
        build: bool = True,
        **kwargs,
    ) -> None:
        classes = checks.positive("classes", classes, least=2)
        super().__init__(
            encoder,
            decoder,
            discriminator,
            prior,
            classes,
            corruption,
            seed=seed,
            build=False,
            **kwargs,
        )
        self.class_discriminator = _network_or_none("class_discriminator", class_discriminator)
        self.cross_entropy_tracker = keras.metrics.Mean(name="cross_entropy")
        self.accuracy_tracker = keras.metrics.Mean(name="accuracy")
        if build:
            self._build_early()

    def _build_game(self, input_shape):
        shape = self._shapes["code"]
        if len(shape) != 1 or shape[0] <= self.classes:
            raise ValueError(
                f"`encoder` gives codes of shape {shape}, expected a vector of more than "
                f"{self.classes} numbers: z and a logit for each of {self.classes} `classes`."
            )
        self.style = shape[0] - self.classes  # how many numbers z has
        self.prior.build((None, self.style), input_shape)
        self.discriminator = _discriminator("discriminator", self.discriminator, (self.style,))
        self.class_discriminator = _discriminator(
            "class_discriminator", self.class_discriminator, (self.classes,)
        )

    def player_variables(self):
        """The classifier is the encoder too."""
        players = super().player_variables()
        if self.class_discriminator:
            players["discriminator"] += self.class_discriminator.trainable_variables
        return {**players, "classifier": self.encoder.trainable_variables}

    def _networks(self):
        return [self.discriminator, self.class_discriminator]

    def call(self, x, training=False):
        """The reconstruction g(z, p(c|x̃))."""
        code = self._code_of(gan.examples_and_noise(x)[0], training)
        return self.decoder(code, training=training)

    def _code_of(self, x, training):
        """The two parts, z and p(c|x̃), in float32."""
        z, logits = self._parts(x, training)
        return ops.concatenate([z, ops.softmax(logits)], axis=-1)

    def _parts(self, x, training):
        """What the encoder gives: z and the logits of the classes."""
        numbers = super()._code_of(x, training)
        return numbers[:, : self.style], numbers[:, self.style :]

    def _adversaries(self, batch, code, training):
        drawn = batch.z
        if drawn is None:
            seed = self.seed_generator if training else 0
            drawn = self._sampled(ops.shape(batch.x)[0], None, seed)
        for match, network, part in (
            ("", self.discriminator, slice(None, self.style)),
            ("class_", self.class_discriminator, slice(self.style, None)),
        ):

            def logit(h, network=network):
                return _logit(network, h, training)

            yield match, logit, drawn[:, part], code[:, part]

    def _turns(self, batch, y_pred=None, training=True):
        losses = super()._turns(batch, y_pred, training)
        return {**losses, "classifier": lambda: self._classifier_loss(batch, training)}

    def _classifier_loss(self, batch, training):
        """−log p(c|x̃), a mean over the examples that have a label."""
        _, logits = self._parts(batch.x, training)
        labelled = ops.cast(batch.label >= 0, "float32")
        label = ops.maximum(batch.label, 0)
        count = ops.sum(labelled)
        share = labelled / ops.maximum(count, 1.0)  # 1 / labelled examples, 0 without a label
        right = ops.cast(ops.cast(ops.argmax(logits, axis=-1), "int32") == label, "float32")
        self.accuracy_tracker.update_state(ops.sum(share * right), sample_weight=count)
        if batch.sample_weight is not None:
            share = share * ops.reshape(ops.cast(batch.sample_weight, "float32"), (-1,))
        each = keras.losses.sparse_categorical_crossentropy(label, logits, from_logits=True)
        loss = ops.sum(share * each)
        self.cross_entropy_tracker.update_state(loss, sample_weight=count)
        return loss

    def encode(self, x: Any, batch_size: int = 256) -> np.ndarray:
        """The codes (z, p(c|x)), without corruption, of `style + classes` numbers."""
        numbers = super().encode(x, batch_size).astype("float32")
        logits = numbers[:, self.style :]
        scores = np.exp(logits - logits.max(axis=1, keepdims=True))
        numbers[:, self.style :] = scores / scores.sum(axis=1, keepdims=True)
        return numbers

    def classify(self, x: Any, batch_size: int = 256) -> np.ndarray:
        """The most probable class of each example, `(n,)`."""
        return self.encode(x, batch_size)[:, self.style :].argmax(axis=1)

    def _sampled(self, count, labels, seed):
        """Samples z ~ p(z), each beside a one-hot class, which is given or drawn."""
        z = self.prior.distribution().sample(count, seed)
        uniform = Categorical(ops.zeros((self.classes,))).sample(count, another(seed))
        if labels is not None:
            label = self._labels(labels, count)
            given = np.eye(self.classes, dtype="float32")[label]
            uniform = ops.where(label[:, None] < 0, uniform, given)
        return ops.concatenate([z, uniform], axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Everything `from_config` needs, the networks included."""
        config = super().get_config()
        del config["penalty"]
        serialize = keras.saving.serialize_keras_object
        return {**config, "class_discriminator": serialize(self.class_discriminator)}


def _logit(network: keras.Model, code: Tensor, training: bool, *label: Tensor) -> Tensor:
    """a, in float32, of which σ(a) = D."""
    logit = network([code, *label] if label else code, training=training)
    return ops.reshape(ops.cast(logit, "float32"), (-1,))


def _network_or_none(name: str, value: Any) -> keras.Model | None:
    return None if value is None else checks.network(name, value)


def _discriminator(
    name: str, network: keras.Model | None, shape: tuple[int, ...], label: tuple[int, ...] = ()
) -> keras.Model:
    """The discriminator of codes of that shape, beside such a label: the given one, if it fits."""
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
