"""The autoencoder: the slides' formula, L(x, g(f(x̃))) + Ω(h, x̃).

    x̃ ~ C(x̃|x)     corruption: any layer that acts in training only
    h = f(x̃)        encoder
    x̂ = g(h)        decoder
    L(x, x̂)         reconstruction: the loss given to `compile`
    Ω(h, x̃)          penalty: any regularizer of the code, or one of `kerasae.penalties`

Rumelhart, Hinton & Williams, "Learning internal representations by error propagation" (1986).
"""

from typing import Any

import keras
from keras import ops

from kerasae import checks
from kerasae.engine import calls, graphs
from kerasae.losses import EachLoss
from kerasae.models.encoder_decoder import EncoderDecoder


@keras.saving.register_keras_serializable("kerasae")
class Autoencoder(EncoderDecoder):
    """The autoencoder, which minimizes L(x, g(f(x̃))) + Ω(h, x̃) over the examples x.

    The loss given to `compile` is L; Keras's mean squared error and binary cross entropy
    average over all numbers of an example, so a loss of 0.01 means 0.01 per pixel. Ω is
    averaged over the batch, as Keras does with activity regularizers.

    Metrics: `loss`, `reconstruction` (L), `penalty` (Ω, if there is one).

    Args:
        encoder: f, a Keras model from the input to the code.
        decoder: g, a Keras model from the code to the reconstruction.
        corruption: C, a layer such as `keras.layers.GaussianNoise` or one of
            `kerasae.corruptions`, or `None`.
        penalty: Ω, a `keras.regularizers.Regularizer` of the code, one of `kerasae.penalties`, a
            list of several, which are added, or `None`.

    Example:

    >>> import numpy as np
    >>> from kerasae import Autoencoder, nets
    >>> model = Autoencoder(*nets.mlp((28, 28, 1), code_size=32))
    >>> model.compile(optimizer="adam", loss="binary_crossentropy")
    >>> x = np.random.default_rng(0).random((64, 28, 28, 1), dtype="float32")
    >>> history = model.fit(x, epochs=1, verbose=0)
    >>> model.encode(x).shape, model.reconstruct(x).shape
    ((64, 32), (64, 28, 28, 1))
    """

    parts = ("reconstruction",)
    error = EachLoss("loss", "mse")  # L, until `compile` sets it
    _from_logits = False  # if True, L is computed from logits

    def terms(self, x, y, found):
        error = self.error(y, found["output"], found.get("logits"), found.get("weights"))
        return {"reconstruction": error}  # L(x, x̂)

    def decoding(self, code, training):
        if not self._from_logits:
            return super().decoding(code, training)
        with graphs.without_last_activation(self.decoder):
            logits = calls.call(self.decoder, code, training)
        return {"output": ops.sigmoid(logits), "logits": logits}

    def build(self, input_shape):
        """Build both networks and check that their shapes match."""
        super().build(input_shape)
        self._choose_logits()

    def compile(self, optimizer: Any = "adam", loss: Any = "mse", **kwargs) -> None:
        """Compile as `keras.Model.compile` does; `loss` is the reconstruction term L."""
        if loss is None:
            raise ValueError("`loss` is None, expected the reconstruction term, such as 'mse'.")
        self.error = EachLoss("loss", loss)
        super().compile(optimizer=optimizer, **kwargs)
        self.loss = loss
        self._choose_logits()

    def check_batch(self, x: Any, y: Any, sample_weight: Any) -> None:
        """Check as every autoencoder does; with a sparse loss, targets are whole numbers."""
        if not self.error.is_sparse:
            return super().check_batch(x, y, sample_weight)
        self._check_input(x)
        name, targets = ("x", x) if y is None else ("y", y)
        checks.check_tokens(name, targets, self._shape("output"), self.error.ignored)
        checks.check_same_length(**{"x": x, name: targets})
        self._check_weights(x, sample_weight)

    def _check_weights(self, x, sample_weight, shape=None):
        super()._check_weights(x, sample_weight, shape)  # each number may have its own weight

    def _choose_logits(self) -> None:
        self._from_logits = self.error.accepts_logits and graphs.ends_in_sigmoid(self.decoder)

    def _needs_unit_interval(self):
        return self.error.is_cross_entropy
