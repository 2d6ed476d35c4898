"""The autoencoder: the slides' formula, L(x, g(f(x̃))) + Ω(h, x).

    x̃ ~ C(x̃|x)     corruption: any layer that acts in training only
    h = f(x̃)        encoder
    x̂ = g(h)        decoder
    L(x, x̂)         reconstruction: the loss given to `compile`
    Ω(h)             penalty: any regularizer, on the code

Rumelhart, Hinton & Williams, "Learning internal representations by error propagation" (1986).
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae import checks
from kerasae.models.base import Model


@keras.saving.register_keras_serializable("kerasae")
class Autoencoder(Model):
    """Minimises L(x, g(f(x̃))) + Ω(h) over the examples x.

    The loss given to `compile` is L; Keras's mean squared error and binary cross entropy
    average over all numbers of an example, so a loss of 0.01 means 0.01 per pixel. Ω is
    averaged over the batch, as Keras does with activity regularizers.

    Metrics: `loss`, `reconstruction` (L), `penalty` (Ω, if there is one).

    Args:
        encoder: f, a Keras model from the input to the code.
        decoder: g, a Keras model from the code to the reconstruction.
        corruption: C, a layer such as `keras.layers.GaussianNoise` or one of
            `kerasae.corruptions`, or `None`.
        penalty: Ω, a `keras.regularizers.Regularizer` of the code, or `None`.

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

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        corruption: keras.layers.Layer | None = None,
        penalty: keras.regularizers.Regularizer | None = None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.encoder = checks.network("encoder", encoder)
        self.decoder = checks.network("decoder", decoder)
        self.corruption = corruption
        self.penalty = keras.regularizers.get(penalty)
        self.reconstruction_tracker = keras.metrics.Mean(name="reconstruction")
        self.penalty_tracker = keras.metrics.Mean(name="penalty") if penalty else None
        if encoder.built and getattr(encoder, "inputs", None):  # else Keras builds on first use
            self.build(encoder.input_shape)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Builds both networks and checks that one takes what the other gives."""
        code = self.encoder(keras.KerasTensor(input_shape))
        expected = self.decoder.input_shape if self.decoder.built else code.shape
        if tuple(expected[1:]) != tuple(code.shape[1:]):
            raise ValueError(
                f"`decoder` takes codes of shape {tuple(expected[1:])}, but `encoder` gives codes "
                f"of shape {tuple(code.shape[1:])}: expected the same shape."
            )
        self.decoder(code)
        if self.corruption is not None:
            self.corruption(keras.KerasTensor(input_shape))
        self.built = True

    def call(self, x, training=False):
        """The reconstruction x̂ = g(f(x̃)), with x̃ = x outside training."""
        if self.corruption is not None:
            x = self.corruption(x, training=training)  # x̃ ~ C(x̃|x)
        code = self.encoder(x, training=training)  # h = f(x̃)
        if self.penalty is not None:
            code32 = ops.cast(code, "float32")  # a sum over a batch overflows float16
            self.add_loss(self.penalty(code32) / ops.cast(ops.shape(code)[0], "float32"))
        return self.decoder(code, training=training)  # x̂ = g(h)

    def compile(self, optimizer="adam", loss="mse", **kwargs) -> None:
        """Compiles as `keras.Model.compile` does; `loss` is the reconstruction term L."""
        super().compile(optimizer=optimizer, loss=loss, **kwargs)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """L(x, x̂) + Ω(h), plus what regularizers inside the networks add."""
        penalties = ops.sum([ops.sum(loss) for loss in self.losses]) if self.losses else 0.0
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        self.track(self.reconstruction_tracker, loss - penalties, x)
        if self.penalty is not None:
            self.track(self.penalty_tracker, penalties, x)
        return loss

    def check_batch(self, x: Any, y: Any, sample_weight: Any) -> None:
        """Checks shapes, lengths, finiteness and, under cross entropy, the range [0, 1]."""
        shape = self.encoder.input_shape[1:] if self.built else None
        bernoulli = checks.needs_unit_interval(getattr(self, "loss", None))
        checks.array("x", x, shape, unit_interval=bernoulli and y is None)
        output_shape = self.decoder.output_shape[1:] if self.built else None
        if y is not None:
            checks.array("y", y, output_shape, unit_interval=bernoulli)
            checks.same_length(x=x, y=y)
        elif self.built and tuple(x.shape[1:]) != tuple(output_shape):
            raise ValueError(
                f"`decoder` gives reconstructions of shape {output_shape}, but `x` has examples of "
                f"shape {tuple(x.shape[1:])}: expected the same shape, or targets in `y`."
            )
        if sample_weight is not None:
            checks.array("sample_weight", sample_weight)
            checks.same_length(x=x, sample_weight=sample_weight)

    def encode(self, x: Any, batch_size: int = 256) -> np.ndarray:
        """The codes h = f(x), without corruption."""
        checks.array("x", x, self.encoder.input_shape[1:] if self.built else None)
        return self.encoder.predict(x, batch_size=batch_size, verbose=0)

    def decode(self, code: Any, batch_size: int = 256) -> np.ndarray:
        """The decoder's output x̂ = g(h) at the given codes."""
        checks.array("code", code, self.decoder.input_shape[1:] if self.built else None)
        return self.decoder.predict(code, batch_size=batch_size, verbose=0)

    def reconstruct(self, x: Any, batch_size: int = 256) -> np.ndarray:
        """The reconstructions g(f(x)), without corruption."""
        return self.decode(self.encode(x, batch_size), batch_size)

    def interpolate(self, start: Any, end: Any, steps: int = 8) -> np.ndarray:
        """Decodes the straight line between the codes of two examples.

        Args:
            start: Examples at which the lines begin, `(n, …)`.
            end: Examples at which they end, as many.
            steps: Points on each line, both ends included.

        Returns:
            Array of shape `(n, steps, …)`.
        """
        first, last = self.encode(start), self.encode(end)
        checks.same_length(start=first, end=last)
        weight = np.linspace(0, 1, checks.positive("steps", steps), dtype="float32")
        weight = weight.reshape((1, -1) + (1,) * (first.ndim - 1))
        path = (1 - weight) * first[:, None] + weight * last[:, None]
        images = self.decode(path.reshape((-1, *first.shape[1:])))
        return images.reshape((*path.shape[:2], *images.shape[1:]))

    def get_config(self) -> dict[str, Any]:
        """Everything `from_config` needs, the networks included."""
        serialize = keras.saving.serialize_keras_object
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": serialize(self.dtype_policy),
            "encoder": serialize(self.encoder),
            "decoder": serialize(self.decoder),
            "corruption": serialize(self.corruption),
            "penalty": serialize(self.penalty),
        }
