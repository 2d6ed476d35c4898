"""A prior over codes of whole numbers: each number given those before it.

    p(k|y) = Π_i p(k_i | k_1, …, k_{i−1}, y)        y a label, if the prior has classes
    L = −log p(k|y)                                  the nats of a code

A new code is drawn number by number, k_i ~ softmax(logits_i / τ). A known one is written in
−log₂ p(k|y) bits by an entropy coder with the same probabilities. Over the codes of an autoencoder
this makes a generative model, p(x) = Σ_k p(k) p(x|k), and a compressor.

van den Oord, Vinyals & Kavukcuoglu, "Neural discrete representation learning" (2017); van den Oord
et al., "Conditional image generation with PixelCNN decoders" (2016).
"""

import math
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae import checks
from kerasae.engine import arguments
from kerasae.models import codes, compression, inputs
from kerasae.models.over_codes import OverCodes
from kerasae.models.vector_quantized import VectorQuantizedAutoencoder
from kerasae.models.walk import Walk, softmax

Tensor = Any


@keras.saving.register_keras_serializable("kerasae")
class CodePrior(OverCodes):
    """The autoregressive prior over codes of whole numbers.

    `fit(codes)` learns from codes, `fit(codes, labels)` from codes of given classes. With an
    `autoencoder`, which is fixed from then on, examples stand in the place of codes everywhere:
    `fit(x)` encodes them, `sample` decodes what it has drawn.

    Metrics: `loss`, the nats of a code, and `nats_per_number`.

    Args:
        network: A Keras model from codes `(n, …)`, or `[codes, one-hot labels]`, to logits
            `(n, …, K)`, those of each number independent of it and all after it:
            `nets.causal_transformer` or `nets.masked_convolutional`.
        autoencoder: A trained `VectorQuantizedAutoencoder` whose codes these are, or `None`.
        classes: Number of classes, for a prior conditional on labels.

    Example:

    >>> import numpy as np
    >>> from kerasae import CodePrior, nets
    >>> prior = CodePrior(nets.causal_transformer((4, 4), 8, width=16))
    >>> prior.compile(optimizer="adam")
    >>> codes = np.random.default_rng(0).integers(8, size=(64, 4, 4))
    >>> history = prior.fit(codes, verbose=0)
    >>> prior.sample(3, seed=0).shape, prior.log_prob(codes).shape
    ((3, 4, 4), (64,))
    >>> bool((prior.decompress(prior.compress(codes)) == codes).all())
    True
    """

    parts = ("nats",)
    measured = MappingProxyType({"nats_per_number": "min"})
    loss_is = "it is −log p(k)"

    def __init__(
        self,
        network: keras.Model,
        autoencoder: VectorQuantizedAutoencoder | None = None,
        classes: int | None = None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.network = arguments.network("network", network)
        self.classes = None if classes is None else checks.whole_number("classes", classes, 2)
        self.code_shape, self.size = codes.shape_and_size(network, self.classes)
        if autoencoder is not None:
            codes.check_autoencoder(autoencoder, self.code_shape, self.size)
        self._fix(autoencoder)
        self.seed_generator = keras.random.SeedGenerator()

    # The mathematics.

    def compute(self, x, training):
        indices, label = self._read(x)
        indices = ops.cast(indices, "int32")
        logits = self.network(inputs.with_label(indices, label), training=training)
        return {"codes": indices, "output": logits}

    def terms(self, x, y, found):
        return {"nats": self._nats(found)}

    def measures(self, x, y, found):
        return {"nats_per_number": self._nats(found) / math.prod(self.code_shape)}

    def _nats(self, found: dict[str, Tensor]) -> Tensor:
        """Return −log p(k|y) of each code: the sum over its numbers."""
        nats = ops.sparse_categorical_crossentropy(
            found["codes"], ops.cast(found["output"], "float32"), from_logits=True
        )
        return ops.sum(nats, axis=tuple(range(1, len(nats.shape))))

    def _encoded(self, x):
        return self.autoencoder.encoding(x, False)["indices"]

    def check_codes(self, name, value):
        checks.check_codes(name, value, self.code_shape, self.size)

    # Use.

    def log_prob(self, x: Any, labels: Any = None, batch_size: int = 256) -> np.ndarray:
        """Return log p(k|y) of codes, or of the codes of examples, in nats.

        Args:
            x: Codes, or with an autoencoder examples.
            labels: A label for each, if the prior has classes.
            batch_size: Number of codes at a time.
        """
        return self.view("_log_prob")(self._inputs(x, labels), batch_size)

    def _log_prob(self, x):
        return -self._nats(self.compute(x, False))

    def sample(
        self,
        count: int,
        labels: Any = None,
        temperature: float = 1.0,
        seed: int | None = None,
        beginning: Any = None,
        decode: bool = True,
        batch_size: int = 256,
    ) -> np.ndarray:
        """Draw codes, and decode them if there is an autoencoder.

        Args:
            count: Number of samples.
            labels: For a prior with classes: one label for all, or one for each; `None` for each
                class in turn.
            temperature: τ; below 1 likely numbers become more likely.
            seed: Seed of the draw; `None` for a new draw each time.
            beginning: First numbers of the codes, in rows, `(count, m)`; or `None`.
            decode: If False, codes are returned even if there is an autoencoder.
            batch_size: Number of codes drawn at a time.

        Returns:
            Array of shape `(count, …)`.
        """
        checks.whole_number("count", count)
        if checks.not_negative("temperature", temperature) == 0:
            raise ValueError("`temperature` is 0, expected a number above 0, such as 0.01.")
        given = self._beginning(beginning, count)
        if checks.seed("seed", seed) is None:
            seed = ops.convert_to_numpy(self.seed_generator.next()).tolist()
        chances = np.random.default_rng(seed).random((count, math.prod(self.code_shape)))

        def draw(rows: slice, place: int, logits: np.ndarray) -> np.ndarray:
            if place < given.shape[1]:
                return given[rows, place]
            total = softmax(logits / temperature).cumsum(axis=1)
            return (total[:, :-1] <= chances[rows, place, None] * total[:, -1:]).sum(axis=1)

        labels = inputs.one_hot(labels, count, self.classes)
        return self._decoded(self._walk()(draw, count, labels, batch_size), decode)

    def _beginning(self, numbers: Any, count: int) -> np.ndarray:
        places = math.prod(self.code_shape)
        if numbers is None:
            return np.zeros((count, 0), "int32")
        numbers = checks.to_numpy("beginning", numbers)
        if numbers.ndim != 2 or len(numbers) != count or not 0 < numbers.shape[1] <= places:
            raise ValueError(
                f"`beginning` has shape {numbers.shape}, expected ({count}, at most {places})."
            )
        checks.check_labels("beginning", numbers.reshape(-1), self.size)
        return numbers

    def compress(self, x: Any, labels: Any = None, batch_size: int = 256) -> bytes:
        """Write codes, or the codes of examples, in about −log₂ p(k|y) bits.

        Args:
            x: Codes, or with an autoencoder examples.
            labels: A label for each, if the prior has classes; it is not written.
            batch_size: Number of codes at a time.

        Returns:
            The file's content. `decompress` needs the same model, labels and batch size, and
            probabilities that are equal to the last bit: in general the same backend and machine.
        """
        data = self._inputs(x, labels)
        known = np.asarray(self.view("_codes_of")(data, batch_size))
        labels = None if self.classes is None else checks.to_numpy("labels", labels).reshape(-1)
        labels = inputs.one_hot(labels, len(known), self.classes)
        return compression.compress(self._walk(), known, labels, batch_size)

    def decompress(
        self, data: bytes, labels: Any = None, decode: bool = True, batch_size: int = 256
    ) -> np.ndarray:
        """Read what `compress` wrote.

        Args:
            data: The file's content.
            labels: The labels that were given to `compress`.
            decode: If False, codes are returned even if there is an autoencoder.
            batch_size: As in `compress`.
        """
        labels = inputs.one_hot(labels, compression.count(data), self.classes)
        return self._decoded(compression.decompress(self._walk(), data, labels, batch_size), decode)

    def _decode(self, codes, batch_size):
        return self.autoencoder.decode(codes, batch_size)

    def _walk(self) -> Walk:
        """Return the walk through the network, compiled once."""
        if "walk" not in self.aside.views:
            self.aside.views["walk"] = Walk(self.network, self.code_shape, self.size)
        return self.aside.views["walk"]
