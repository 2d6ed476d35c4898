"""The semi-supervised adversarial autoencoder: the code has two parts, a style z and a class.

    h = (z, p(c|x))                              the encoder's vector: z, and K logits of p(c|x)
    z against p(z)                               discriminator, as in `adversarial.py`
    p(c|x) against one-hot samples of Cat(1/K)   class discriminator
    −log p(c|x)                                  classifier: the encoder, for examples with a label

Each part has its own discriminator; then few labels are enough.

Makhzani et al., "Adversarial autoencoders" (2016).
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae import checks
from kerasae.engine import calls
from kerasae.engine.noise import derived_seed
from kerasae.models import adversaries, games, labels
from kerasae.models.adversarial import AdversarialAutoencoder
from kerasae.models.batch import Batch
from kerasae.models.players import Outcome, Player
from kerasae.probability import priors
from kerasae.probability.discrete import Categorical


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
    discriminator_terms = ("discriminator", "class_discriminator")
    generator_terms = ("generator", "class_generator")
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
        classes = checks.whole_number("classes", classes, least=2)
        super().__init__(
            encoder, decoder, discriminator, prior, classes, corruption, seed=seed, **kwargs
        )
        self.class_discriminator = adversaries.optional("class_discriminator", class_discriminator)

    def _build_game(self, input_shape):
        """Build the prior of z, and a discriminator for each part of the code."""
        shape = self._shapes["code"]
        if len(shape) != 1 or shape[0] <= self.classes:
            raise ValueError(
                f"`encoder` gives codes of shape {shape}, expected a vector of more than "
                f"{self.classes} numbers: z and a logit for each of {self.classes} `classes`."
            )
        self.style_size = shape[0] - self.classes  # the dimension of z
        self.prior.build((None, self.style_size), input_shape)
        self.discriminator = adversaries.discriminator_of_codes(
            "discriminator", self.discriminator, (self.style_size,)
        )
        self.class_discriminator = adversaries.discriminator_of_codes(
            "class_discriminator", self.class_discriminator, (self.classes,)
        )

    # The mathematics.

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

    def _seen_labels(self, y):
        """Return `None`: the discriminators compare p(c|x) with any class."""
        return None

    def _logits(self, code, label, training):
        """Return the logits of the discriminators of z and of the class."""
        z, c = code[:, : self.style_size], code[:, self.style_size :]
        return (
            games.logit(self.discriminator, z, None, training),
            games.logit(self.class_discriminator, c, None, training),
        )

    def _draw(self, count, label, seed):
        """Draw z ~ p(z), each with a one-hot class, which is given or drawn."""
        z = self.prior.distribution().sample(count, seed)
        uniform = Categorical(ops.zeros((self.classes,)))  # Cat(1/K)
        c = uniform.sample(count, derived_seed(seed))
        if label is not None:
            one_hot = ops.one_hot(ops.maximum(label, 0), self.classes, dtype="float32")
            c = ops.where(ops.expand_dims(label < 0, -1), c, one_hot)
        return ops.concatenate([z, c], axis=-1)

    def classify_batch(self, batch: Batch, training: bool) -> Outcome:
        """Return −log p(c|x̃) and the accuracy, over the examples that have a label."""
        x, _ = games.examples_and_noise(batch.x)
        logits = self.encoding(self.corrupted(x, training), training)["logits_c"]
        loss, accuracy = labels.cross_entropy(batch.y, logits), labels.accuracy(batch.y, logits)
        return Outcome(loss, {"cross_entropy": loss}, {"accuracy": accuracy})

    # Use.

    def classify(self, x: Any, batch_size: int = 256) -> np.ndarray:
        """Return the most probable class of each example, `(n,)`."""
        return self.encode(x, batch_size)[:, self.style_size :].argmax(axis=1)
