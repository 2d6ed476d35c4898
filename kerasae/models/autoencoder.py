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
import numpy as np
from keras import ops

from kerasae import checks
from kerasae.callbacks import WholeSetMean
from kerasae.evaluation.arithmetic import straight
from kerasae.models.base import Model
from kerasae.penalties import Penalty
from kerasae.training.replicas import unscaled
from kerasae.training.streams import predictions


@keras.saving.register_keras_serializable("kerasae")
class Autoencoder(Model):
    """Minimises L(x, g(f(x̃))) + Ω(h, x̃) over the examples x.

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
            list of several, which add up, or `None`.

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

    _predicting = False  # whether `predict` is at work, which asks for no loss

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        corruption: keras.layers.Layer | None = None,
        penalty: Any = None,
        *,
        build: bool = True,
        **kwargs,
    ) -> None:
        # `build` is for subclasses that have further parts to add before anything is built.
        super().__init__(**kwargs)
        self.encoder = checks.network("encoder", encoder)
        self.decoder = checks.network("decoder", decoder)
        self.corruption = checks.layer("corruption", corruption)
        self.penalties = checks.penalties("penalty", penalty)
        self.reconstruction_tracker = keras.metrics.Mean(name="reconstruction")
        self.penalty_tracker = keras.metrics.Mean(name="penalty") if self.penalties else None
        if build:
            self._build_early()

    def _build_early(self) -> None:
        """Builds at once where the shapes are known; else Keras builds on first use."""
        if self.encoder.built and getattr(self.encoder, "inputs", None):
            self.build(self.encoder.input_shape)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Builds both networks and checks that one takes what the other gives."""
        inputs = keras.KerasTensor(input_shape)
        code = self.encoder(inputs)
        if not isinstance(code, keras.KerasTensor):
            raise ValueError(f"`encoder` gives {len(code)} outputs, expected one code.")
        code = self._code(code)
        if getattr(self.decoder, "inputs", None):  # else it has no shape of its own yet
            expected = self.decoder.input_shape
            if not checks.fits(code.shape[1:], expected[1:]):
                raise ValueError(
                    f"`decoder` takes codes of shape {tuple(expected[1:])}, but `encoder` gives "
                    f"codes of shape {tuple(code.shape[1:])}: expected the same shape."
                )
        output = self.decoder(code)
        if self.corruption is not None:
            self.corruption(inputs)
        for penalty in self.penalties:
            if isinstance(penalty, Penalty):
                penalty.check_encoder(self.encoder)
            if isinstance(penalty, keras.layers.Layer) and not penalty.built:
                penalty.build(code.shape)
        shapes = [tuple(tensor.shape[1:]) for tensor in (inputs, code, output)]
        self._shapes = dict(zip(("input", "code", "output"), shapes, strict=True))
        self.built = True

    def _code(self, output: keras.KerasTensor) -> keras.KerasTensor:
        """The code in what the encoder gives: all of it here."""
        return output

    def call(self, x, training=False):
        """The reconstruction x̂ = g(f(x̃)), with x̃ = x outside training."""
        x = self._corrupted(x, training)  # x̃ ~ C(x̃|x)
        code = self.encoder(x, training=training)  # h = f(x̃)
        if self.penalties and not self._predicting:
            self.add_loss(sum(self._penalty(each, code, x, training) for each in self.penalties))
        return self.decoder(code, training=training)  # x̂ = g(h)

    def _corrupted(self, x, training):
        return x if self.corruption is None else self.corruption(x, training=training)

    def _penalty(self, penalty, code, x, training):
        """Ω(h, x̃), averaged over the batch."""
        if isinstance(penalty, keras.layers.Layer):  # on JAX, Keras would not pass `training` on
            return penalty(code, x, encoder=self.encoder, training=training)
        code = ops.cast(code, "float32")  # a sum over a batch overflows float16
        return penalty(code) / ops.cast(ops.shape(code)[0], "float32")

    def compile(self, optimizer="adam", loss="mse", **kwargs) -> None:
        """Compiles as `keras.Model.compile` does; `loss` is the reconstruction term L."""
        if loss is None:
            raise ValueError("`loss` is None, expected the reconstruction term, such as 'mse'.")
        super().compile(optimizer=optimizer, loss=loss, **kwargs)

    def fit(
        self, x=None, y=None, batch_size=None, epochs=1, verbose="auto", callbacks=None, **kwargs
    ):
        """Trains as `keras.Model.fit` does, and measures first what a penalty asks for."""
        if x is not None and any(getattr(p, "needs_whole_set", False) for p in self.penalties):
            callbacks = keras.tree.flatten(callbacks or [])
            if not any(isinstance(callback, WholeSetMean) for callback in callbacks):
                split = kwargs.get("validation_split") or 0.0
                callbacks.insert(0, WholeSetMean(x, validation_split=split))
        return super().fit(x, y, batch_size, epochs, verbose, callbacks, **kwargs)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """L(x, x̂) + Ω(h), plus what regularizers inside the networks add."""
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        reconstruction = unscaled(loss)
        added = self.losses  # once: Keras walks through all layers for it
        if added:
            reconstruction = reconstruction - sum(ops.sum(each) for each in added)
        if self.penalties:
            # Keras lists a model's own losses, here Ω from `call`, before those of its layers;
            # there is none when it first traces the loss, to learn its shape.
            self.track(self.penalty_tracker, added[0] if added else 0.0, x)
        self.track(self.reconstruction_tracker, reconstruction, x)
        return loss

    def check_batch(self, x: Any, y: Any, sample_weight: Any) -> None:
        """Checks shapes, lengths, finiteness and, under cross entropy, the range [0, 1]."""
        bernoulli = self._needs_unit_interval()
        self._check_input(x, unit_interval=bernoulli and y is None)
        output_shape = self._shape("output")
        if y is not None:
            checks.not_labels("y", y)
            checks.array("y", y, output_shape, unit_interval=bernoulli, integers=False)
            checks.same_length(x=x, y=y)
        elif output_shape is not None and not checks.fits(x.shape[1:], output_shape):
            raise ValueError(
                f"`decoder` gives reconstructions of shape {output_shape}, but `x` has examples of "
                f"shape {tuple(x.shape[1:])}: expected the same shape, or targets in `y`."
            )
        if sample_weight is not None:
            checks.array("sample_weight", sample_weight)
            checks.same_length(x=x, sample_weight=sample_weight)

    def _needs_unit_interval(self) -> bool:
        """Whether targets must lie in [0, 1]."""
        return checks.needs_unit_interval(getattr(self, "loss", None))

    def _shape(self, name: str) -> tuple[int | None, ...] | None:
        """Shape of one `input`, `code` or `output`, once the networks are built."""
        return self._shapes[name] if self.built else None

    def _check_input(self, x: Any, unit_interval: bool = False) -> None:
        inputs = getattr(self.encoder, "inputs", None)
        tokens = bool(inputs) and "int" in inputs[0].dtype  # an encoder that embeds whole numbers
        checks.array("x", x, self._shape("input"), unit_interval, integers=tokens)

    def predict(self, x: Any, *args, **kwargs) -> np.ndarray:
        """Predicts as `keras.Model.predict` does: the reconstructions."""
        x = checks.as_array("x", x)
        if checks.is_array(x):
            self._check_input(x)
        self._predicting = True  # Ω may cost many times what a reconstruction does
        try:
            return super().predict(x, *args, **kwargs)
        finally:
            self._predicting = False

    def encode(self, x: Any, batch_size: int = 256) -> np.ndarray:
        """The codes h = f(x), without corruption."""
        x = checks.as_array("x", x)
        self._check_input(x)
        return predictions(self.encoder, x, batch_size)

    def decode(self, code: Any, batch_size: int = 256) -> np.ndarray:
        """The decoder's output x̂ = g(h) at the given codes."""
        code = checks.as_array("code", code)
        checks.array("code", code, self._shape("code"))
        return predictions(self.decoder, code, batch_size)

    def reconstruct(self, x: Any, batch_size: int = 256) -> np.ndarray:
        """The reconstructions g(f(x)), without corruption."""
        return self.decode(self.encode(x, batch_size), batch_size)

    def corrupt(self, x: Any) -> np.ndarray:
        """What the encoder is shown in training, x̃ ~ C(x̃|x): a new draw each time."""
        x = checks.as_array("x", x)
        self._check_input(x)
        return ops.convert_to_numpy(self._corrupted(ops.cast(x, "float32"), training=True))

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
        path = straight(first, last, steps)
        images = self.decode(path.reshape((-1, *first.shape[1:])))
        return images.reshape((*path.shape[:2], *images.shape[1:]))

    def get_config(self) -> dict[str, Any]:
        """Everything `from_config` needs, the networks included."""
        serialize = keras.saving.serialize_keras_object
        networks = {"encoder": serialize(self.encoder), "decoder": serialize(self.decoder)}
        return self._config_without_networks() | networks

    def _config_without_networks(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "corruption": serialize(self.corruption),
            "penalty": serialize(list(self.penalties)) or None,
        }
