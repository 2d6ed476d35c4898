"""The vector-quantized autoencoder: a code that is a grid, or a list, of whole numbers.

    z = f(x),   q = e_k with k = argmin_k ‖z − e_k‖,   x̂ = g(q)
    L(x, x̂) + quantization        the commitment, and the codebook's own term if it has one

The gradient passes the quantizer as if q = z. A code has at most log K nats for each whole number;
a prior over the numbers needs fewer.

van den Oord, Vinyals & Kavukcuoglu, "Neural discrete representation learning" (2017); Mentzer,
Minnen, Agustsson & Tschannen, "Finite scalar quantization: VQ-VAE made simple" (2024).
"""

import math
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae import checks, quantizers
from kerasae.engine import arguments, calls
from kerasae.models.autoencoder import Autoencoder

FIRST, VECTORS = 256, 32  # a codebook starts from so many examples, and vectors a codeword


@keras.saving.register_keras_serializable("kerasae")
class VectorQuantizedAutoencoder(Autoencoder):
    """The autoencoder with a quantizer between encoder and decoder.

    `encode` gives the indices of the codewords, and `decode` takes them. `fit` starts a codebook
    from the encoder's outputs for the first examples, once.

    Metrics: `loss`, `reconstruction`, `quantization`, `perplexity` (of the codewords in a batch).

    Args:
        encoder: f, a Keras model from the input to vectors, `(n, …, d)`.
        decoder: g, a Keras model from such vectors to the reconstruction.
        quantizer: One of `kerasae.quantizers`.
        corruption: C, as in `Autoencoder`.
        penalty: Ω of the quantized vectors, as in `Autoencoder`.

    Example:

    >>> import numpy as np
    >>> from kerasae import VectorQuantizedAutoencoder, nets, quantizers
    >>> networks = nets.convolutional((28, 28, 1), None, filters=(8, 4))
    >>> model = VectorQuantizedAutoencoder(*networks, quantizers.VectorQuantizer(16))
    >>> model.compile(optimizer="adam", loss="mse")
    >>> x = np.random.default_rng(0).random((64, 28, 28, 1), dtype="float32")
    >>> history = model.fit(x, epochs=1, verbose=0)
    >>> model.encode(x).shape, model.decode(model.encode(x)).shape
    ((64, 7, 7), (64, 28, 28, 1))
    """

    parts = ("reconstruction", "quantization")
    measured = MappingProxyType({"perplexity": "max"})
    between = ("_vectors", "_from_vectors")

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        quantizer: quantizers.Quantizer,
        corruption: keras.layers.Layer | None = None,
        penalty: Any = None,
        **kwargs,
    ) -> None:
        super().__init__(encoder, decoder, corruption, penalty, **kwargs)
        if not isinstance(quantizer, quantizers.Quantizer):
            raise ValueError(
                f"`quantizer` is {checks.as_text(quantizer)}, expected one of "
                "`kerasae.quantizers`, such as `VectorQuantizer(512)`."
            )
        self.quantizer = quantizer

    def make_weights(self, shape):
        if not self.quantizer.built:
            self.quantizer.build((None, *shape))

    def encoding(self, x, training):
        z = calls.call(self.encoder, x, training)
        q, indices, loss = self.quantizer.nearest(z, training)
        return {"code": q, "indices": indices, "quantization": loss}

    def terms(self, x, y, found):
        return super().terms(x, y, found) | {"quantization": found["quantization"]}

    def measures(self, x, y, found):
        return {"perplexity": quantizers.perplexity(found["indices"], self.quantizer.size)}

    # Training.

    def fit(self, x=None, y=None, *args, **kwargs):
        """Train as `keras.Model.fit` does; before the first step the codebook starts from codes."""
        if x is not None and self.built and not self.quantizer.started:
            x = self._start(checks.as_array("x", x))
        return super().fit(x, y, *args, **kwargs)

    def _start(self, x):
        """Start the codebook from the first examples, and return what is to be read of x."""
        if checks.is_array(x):
            places = max(math.prod(self._shape("code")[:-1]), 1)
            first = x[: max(FIRST, math.ceil(VECTORS * self.quantizer.size / places))]
        else:
            batch, x = arguments.first_batch(x)
            first, *_ = keras.utils.unpack_x_y_sample_weight(batch)
        self.quantizer.start(self.view("_continuous")(self._examples(first), FIRST))
        return x

    def _continuous(self, x):
        return calls.call(self.encoder, x, False)

    # Use.

    @property
    def index_shape(self) -> tuple[int | None, ...] | None:
        """Return the shape of one code, once the networks are built."""
        shape = self._shape("code")
        return None if shape is None else (*shape[:-1], *self.quantizer.index_shape)

    def _codes(self, x):
        return self.encoding(x, False)["indices"]

    def _outputs(self, code):
        return self.decoding(self.quantizer.vectors(code), False)["output"]

    def decode(self, code: Any, batch_size: int = 256) -> np.ndarray:
        """Return the decoder's output for indices, as `encode` gives them."""
        code = checks.as_array("code", code)
        checks.check_codes("code", code, self.index_shape, self.quantizer.size)
        return self.view("_outputs")(ops.cast(code, "int32"), batch_size)

    def _vectors(self, x):
        return self.encoding(x, False)["code"]

    def _from_vectors(self, vectors):
        return self.decoding(vectors, False)["output"]
