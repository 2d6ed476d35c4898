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

Goodfellow et al., "Generative adversarial networks" (2014); Goodfellow, "NIPS 2016 tutorial:
generative adversarial networks" (2016); Radford, Metz & Chintala, "Unsupervised representation
learning with deep convolutional generative adversarial networks" (2015); Mirza & Osindero,
"Conditional generative adversarial nets" (2014). Other losses: Mao et al., "Least squares
generative adversarial networks" (2017); Lim & Ye, "Geometric GAN" (2017); Arjovsky, Chintala &
Bottou, "Wasserstein GAN" (2017) and Gulrajani et al., "Improved training of Wasserstein GANs"
(2017). One-sided label smoothing: Salimans et al., "Improved techniques for training GANs" (2016).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import keras
import numpy as np
from keras import ops

from kerasae import checks, nets
from kerasae.engine import calls, derivatives, graphs, internals, noise
from kerasae.engine.streams import predictions
from kerasae.evaluation import arithmetic
from kerasae.models.base import Among, Batch, Model, Outcome, Player

Tensor = Any


# J of each example, given the logits a of a real and a generated one. With one-sided label
# smoothing s, D's target for real examples is 1 − s.


def cross_entropy(real: Tensor, fake: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return −½ [(1 − s) log D(x) + s log(1 − D(x))] − ½ log(1 − D(G(z))), D = σ(a)."""
    # −log σ(a) = softplus(−a), and −log(1 − σ(a)) = softplus(a) = a + softplus(−a).
    return 0.5 * (ops.softplus(-real) + smoothing * real + ops.softplus(fake))


def least_squares(real: Tensor, fake: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return ½ (a(x) − (1 − s))² + ½ a(G(z))²."""
    return 0.5 * (ops.square(real - (1 - smoothing)) + ops.square(fake))


def hinge(real: Tensor, fake: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return max(0, 1 − a(x)) + max(0, 1 + a(G(z)))."""
    return ops.relu(1 - real) + ops.relu(1 + fake)


def wasserstein(real: Tensor, fake: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return a(G(z)) − a(x), without the penalty λ (‖∇a(x̂)‖ − 1)²."""
    return fake - real


class Loss(NamedTuple):
    """J(D) and J(G) for each example, and the meaning of the logit."""

    discriminator: Callable[[Tensor, Tensor, float], Tensor]
    generator: Callable[[Tensor], Tensor]
    smooths: bool = True  # if True, labels can be smoothed
    probability: bool = True  # if True, σ(a) is a probability; else a is a score
    penalized: bool = False  # if True, the gradient penalty is added to J(D)


LOSSES = {
    # −J(D), without the term that G does not influence: ½ log(1 − D(G(z)))
    "minimax": Loss(cross_entropy, lambda fake: -0.5 * ops.softplus(fake)),
    # −½ log D(G(z))
    "non_saturating": Loss(cross_entropy, lambda fake: 0.5 * ops.softplus(-fake)),
    # −½ e^a = −½ D / (1 − D), which at the best D is −½ p/q. Above a = 40, −½ e⁴⁰: otherwise e^a
    # would overflow at a = 88, and the square of its gradient, which Adam computes, from a = 46 on.
    "maximum_likelihood": Loss(cross_entropy, lambda fake: -0.5 * ops.exp(ops.minimum(fake, 40.0))),
    # ½ (a(G(z)) − 1)²
    "least_squares": Loss(least_squares, lambda fake: 0.5 * ops.square(fake - 1), True, False),
    # −a(G(z))
    "hinge": Loss(hinge, lambda fake: -fake, False, False),
    "wasserstein": Loss(wasserstein, lambda fake: -fake, False, False, True),
}


@keras.saving.register_keras_serializable("kerasae")
class GAN(Model):
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
        self.game = LOSSES[checks.one_of("loss", loss, tuple(LOSSES))]
        self.discriminator_steps = checks.positive("discriminator_steps", discriminator_steps)
        self.simultaneous = checks.flag("simultaneous", simultaneous)
        if self.simultaneous and self.discriminator_steps > 1:
            raise ValueError(
                f"`discriminator_steps` is {discriminator_steps} and `simultaneous` is True, "
                "expected one step of each player if both step at once."
            )
        self.label_smoothing = checks.fraction("label_smoothing", label_smoothing)
        if self.label_smoothing and not self.game.smooths:
            raise ValueError(
                f"`label_smoothing` is {label_smoothing}, expected 0 for the loss {loss!r}, which "
                "has no labels to smooth."
            )
        self.gradient_penalty = checks.not_negative("gradient_penalty", gradient_penalty)
        self.average = None if average is None else checks.between("average", average, 0, 1)
        self.classes = None if classes is None else checks.positive("classes", classes, least=2)
        self.latent = checks.one_of("latent", latent, ("normal", "uniform"))
        self.generator = checks.network("generator", generator)
        self.discriminator = checks.network("discriminator", discriminator)
        self._check_networks()
        self.averaged = None
        if self.average is not None:
            self.averaged = graphs.copied("generator", generator)
            graphs.set_trainable(self.averaged, False)
        self.seed_generator = keras.random.SeedGenerator()

    @classmethod
    def mlp(
        cls,
        shape: tuple[int, ...],
        code_size: int = 64,
        units: Sequence[int] = (256, 512),
        activation: checks.Activation = "leaky_relu",
        output_activation: checks.Activation = "linear",
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
        if classes is not None:
            checks.positive("classes", classes, least=2)
        label_size, size = classes or 0, math.prod(checks.sizes("shape", shape))
        code_size = checks.positive("code_size", code_size)
        generator = nets.mlp_decoder(
            code_size + label_size, shape, units, activation, output_activation, name="generator"
        )
        discriminator = nets.mlp_encoder(
            shape if classes is None else (size + label_size,),
            1,
            units[::-1],
            activation,
            name="discriminator",
        )
        if classes is not None:
            label = keras.Input((classes,))
            z, x = keras.Input((code_size,)), keras.Input(shape)
            flat = keras.layers.Reshape((size,))(x)
            join = keras.layers.Concatenate
            generator = keras.Model([z, label], generator(join()([z, label])))
            discriminator = keras.Model([x, label], discriminator(join()([flat, label])))
        return cls(generator, discriminator, classes=classes, **kwargs)

    @classmethod
    def dcgan(
        cls,
        shape: tuple[int, int, int],
        code_size: int = 100,
        filters: int = 64,
        classes: int | None = None,
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
            **kwargs: Further arguments of the constructor.
        """
        generator = nets.dcgan_generator(shape, code_size, filters, classes)
        normalization = kwargs.get("loss") != "wasserstein"
        discriminator = nets.dcgan_discriminator(shape, filters, classes, normalization)
        return cls(generator, discriminator, classes=classes, **kwargs)

    def _check_networks(self) -> None:
        """Check that G takes z, that D takes G's output, and that D gives one logit."""
        label = [] if self.classes is None else [(self.classes,)]
        shapes = {}
        for name, first in (("generator", "z"), ("discriminator", "x")):
            network = getattr(self, name)
            if not (network.built and getattr(network, "inputs", None)):
                raise ValueError(
                    f"`{name}` has no inputs yet, expected a functional or built Sequential model."
                )
            shapes[name] = [tuple(each.shape[1:]) for each in network.inputs]
            if shapes[name][1:] != label:
                wanted = f"[{first}, one-hot label of {self.classes}]" if label else first
                raise ValueError(f"`{name}` takes {shapes[name]}, expected one input for {wanted}.")
        self.code_shape, self.example_shape = shapes["generator"][0], shapes["discriminator"][0]
        if None in self.code_shape:
            raise ValueError(
                f"`generator` takes z of shape {self.code_shape}, expected a size to draw."
            )
        given = tuple(self.generator.outputs[0].shape[1:])
        if len(self.generator.outputs) > 1 or not checks.fits(given, self.example_shape):
            raise ValueError(
                f"`discriminator` takes examples of shape {self.example_shape}, but `generator` "
                f"gives {given}: expected the same shape."
            )
        check_logit("discriminator", self.discriminator)
        normalized = any(
            isinstance(layer, keras.layers.BatchNormalization)
            for layer in graphs.layers_of(self.discriminator)
        )
        if self.game.penalized and self.gradient_penalty and normalized:
            raise ValueError(
                "`discriminator` has batch normalization, expected none: the gradient penalty "
                "of the loss 'wasserstein' is defined per example."
            )

    def input_shape_of_networks(self):
        return self.generator.input_shape

    def build(self, input_shape: Any = None) -> None:
        """Mark the model as built: both networks are already built."""
        self.built = True
        internals.called(self)

    # The mathematics.

    def compute(self, z, training):
        """Return the samples G(z); for a conditional GAN z is `[z, one-hot label]`."""
        return {"output": self.generator(z, training=training)}

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
            results = [(whole / k, *rest) for whole, *rest in results]
            results += self.move(batch, "generator")
        if self.averaged is not None:
            self._update_average()
        return results

    def discriminate_batch(self, batch: Batch, training: bool) -> Outcome:
        """Return J(D) of real examples and the same number of samples."""
        x, z, label = self._drawn_batch(batch, training)
        fake = calls.call(self.generator, _with(z, label), training)
        fake = ops.stop_gradient(ops.cast(fake, "float32"))
        a, a_fake = (self._logit(each, label, training) for each in (x, fake))
        loss = self.game.discriminator(a, a_fake, self.label_smoothing)
        if self.game.penalized and self.gradient_penalty:
            seed = noise.another(self.noise(training))
            loss = loss + self.gradient_penalty * self._gradient_penalty(x, fake, label, seed)
        sure = ops.sigmoid if self.game.probability else lambda a: a
        measures = {"real": sure(a), "fake": sure(a_fake)}
        return Outcome(loss, {"discriminator_loss": loss}, measures)

    def generate_batch(self, batch: Batch, training: bool) -> Outcome:
        """Return J(G) of as many samples as the batch has examples."""
        x, z, label = self._drawn_batch(batch, training)
        fake = calls.call(self.generator, _with(z, label), training)
        loss = self.game.generator(self._logit(fake, label, training))
        # A batch of one example has no distances, and its weight is 0.
        ratio = distances(ops.stop_gradient(fake)) / ops.maximum(distances(x), 1e-12)
        count = ops.cast(ops.shape(x)[0] - 1, "float32")
        diversity = Among(ops.reshape(ratio, (1,)), ops.reshape(count, (1,)))
        return Outcome(loss, {"generator_loss": loss}, {"diversity": diversity})

    def _drawn_batch(self, batch, training):
        """Return x, z, and one-hot labels or `None`."""
        x, z = examples_and_noise(batch.x)
        x, label = ops.cast(x, "float32"), None
        if self.classes is not None:
            label = ops.one_hot(ops.reshape(ops.cast(batch.y, "int32"), (-1,)), self.classes)
        if z is None:
            z = self._noise(ops.shape(x)[0], self.noise(training))
        return x, z, label

    def _logit(self, x, label, training):
        logit = calls.call(self.discriminator, _with(x, label), training)
        return ops.reshape(ops.cast(logit, "float32"), (-1,))

    def _gradient_penalty(self, x, fake, label, seed):
        """Return (‖∇a(x̂)‖ − 1)²,  x̂ = εx + (1 − ε) G(z),  ε ~ U(0, 1)."""
        count, ones = ops.shape(x)[0], (1,) * (len(x.shape) - 1)
        mix = noise.uniform((count, *ones), seed)
        between = mix * x + (1 - mix) * fake
        gradient = derivatives.gradient(lambda x: self._logit(x, label, False), between)
        square = ops.sum(ops.square(ops.reshape(gradient, (count, -1))), axis=1)
        return ops.square(ops.sqrt(square + 1e-12) - 1)  # the root has no derivative at 0

    def _update_average(self) -> None:
        """Update θ̄ ← δ_t θ̄ + (1 − δ_t) θ."""
        t = ops.cast(self.optimizer["generator"].iterations, "float32")
        decay = ops.minimum(self.average, (1 + t) / (10 + t))
        for mean, weight in zip(self.averaged.weights, self.generator.weights, strict=True):
            value = decay * ops.cast(mean, "float32") + (1 - decay) * ops.cast(weight, "float32")
            mean.assign(ops.cast(value, mean.dtype))

    def _noise(self, count, seed):
        """Draw z ~ p(z)."""
        shape = (count, *self.code_shape)
        if self.latent == "uniform":
            return 2 * noise.uniform(shape, seed) - 1
        return noise.normal(shape, seed)

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
        x, z = examples_and_noise(x)
        if z is not None:
            checks.array("z", z, self.code_shape)
            checks.same_length(x=x, z=z)
        checks.array("x", x, self.example_shape, integers=False)
        last = getattr(graphs.last_activation(self.generator), "__name__", None)
        low, values = {"sigmoid": 0, "tanh": -1}.get(last), ops.convert_to_numpy(x)
        if low is not None and (values.min() < low or values.max() > 1):
            raise ValueError(
                f"`x` holds values from {values.min():.4g} to {values.max():.4g}, expected values "
                f"from {low} to 1, as `generator` ends in the activation {last!r}."
            )
        if self.classes is not None:
            if y is None:
                raise ValueError("`y` is None, expected a label for each example.")
            checks.labels("y", y, self.classes)
            checks.same_length(x=x, y=y)
        elif y is not None and sample_weight is None:  # weights come with y = x
            raise ValueError(
                "`y` is given, expected none, or `classes` in the GAN to make it conditional."
            )
        if sample_weight is not None:
            checks.weights("sample_weight", sample_weight)
            checks.same_length(x=x, sample_weight=sample_weight)

    def sample(self, count: int, labels: Any = None, seed: int | None = None) -> np.ndarray:
        """Draw samples G(z), z ~ p(z).

        Args:
            count: Number of samples.
            labels: For a conditional GAN: one label for all, or one for each; `None` for each
                class in turn.
            seed: Seed of z; `None` for new samples each time.

        Returns:
            Array of shape `(count, …)`.
        """
        seed = self.seed_generator if seed is None else checks.seed("seed", seed)
        z = self._noise(checks.positive("count", count), seed)
        return self.generate(ops.convert_to_numpy(z), labels)

    def generate(self, z: Any, labels: Any = None, batch_size: int = 256) -> np.ndarray:
        """Return the samples G(z) for given z, with labels as in `sample`."""
        z = checks.as_array("z", z)
        wanted = "pass whole numbers of p(z)'s own scale as float32"
        checks.array("z", z, self.code_shape, integers=False, otherwise=wanted)
        network = self.generator if self.averaged is None else self.averaged
        checks.positive("batch_size", batch_size)
        inputs = _with(z, self._one_hot(labels, len(z)))
        return predictions(network, inputs, batch_size)

    def interpolate(
        self, start: Any, end: Any, steps: int = 8, spherical: bool = True, labels: Any = None
    ) -> np.ndarray:
        """Generate samples along paths from some codes z to others.

        Args:
            start: Codes z at which the paths begin, `(n, …)`.
            end: Codes at which they end, `(n, …)`.
            steps: Number of points on each path, both ends included.
            spherical: If True, the path is an arc, which stays at the typical length of normal z
                in high dimensions; else a straight line.
            labels: For a conditional GAN, labels of the paths, as in `sample`.

        Returns:
            Array of shape `(n, steps, …)`.
        """
        start, end = (checks.as_array(name, z) for name, z in (("start", start), ("end", end)))
        checks.array("start", start, self.code_shape)
        checks.array("end", end, self.code_shape)
        checks.same_length(start=start, end=end)
        way = arithmetic.spherical if spherical else arithmetic.straight
        path = way(np.asarray(start), np.asarray(end), steps)
        if self.classes is not None:
            labels = np.repeat(self._one_hot(labels, len(path)).argmax(1), steps)
        samples = self.generate(path.reshape((-1, *self.code_shape)), labels)
        return samples.reshape((*path.shape[:2], *samples.shape[1:]))

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
        checks.array("x", x, self.example_shape, integers=False)
        checks.positive("batch_size", batch_size)
        inputs = _with(x, self._one_hot(labels, len(x)))
        logit = predictions(self.discriminator, inputs, batch_size)
        logit = logit[:, 0].astype("float32")
        return 0.5 + 0.5 * np.tanh(0.5 * logit) if self.game.probability else logit

    def _one_hot(self, labels: Any, count: int) -> np.ndarray | None:
        """Return one-hot labels for `count` samples; `None` if there are no classes."""
        if self.classes is None:
            if labels is not None:
                raise ValueError("`labels` are given, expected none: this GAN has no `classes`.")
            return None
        if labels is None:
            labels = np.arange(count) % self.classes
        labels = checks.label_of_each("labels", labels, count, self.classes)
        return np.eye(self.classes, dtype="float32")[labels]


def examples_and_noise(x: Any) -> tuple[Any, Any]:
    """Return the examples, and z if the data are a dict, else `None`."""
    if not isinstance(x, Mapping):
        return x, None
    if set(x) != {"x", "z"}:
        raise ValueError(f"`x` has the entries {sorted(x)}, expected 'x' and 'z'.")
    return x["x"], x["z"]


def check_logit(name: str, network: keras.Model) -> None:
    """Raise `ValueError` unless a discriminator gives one logit for each example."""
    gives = [tuple(each.shape[1:]) for each in network.outputs]
    if gives != [(1,)]:
        raise ValueError(f"`{name}` gives {gives}, expected [(1,)]: one logit.")
    last = graphs.last_activation(network)
    if last not in (None, keras.activations.linear):
        raise ValueError(
            f"`{name}` ends in the activation {last.__name__!r}, expected the logit itself: a last "
            "layer without an activation."
        )


def distances(x: Tensor) -> Tensor:
    """Return the sum of the distances between each example of a batch and the next."""
    # Of n − 1 pairs only: all pairs would cost more than the other metrics together.
    steps = ops.cast(x[1:], "float32") - ops.cast(x[:-1], "float32")
    return ops.sum(ops.sqrt(ops.sum(ops.square(steps), axis=tuple(range(1, len(x.shape))))))


def _with(x: Any, label: Any) -> Any:
    """Return the input of a network: x, and the label if there is one."""
    return x if label is None else [x, label]
