"""An encoder f, a decoder g and what stands around them, without a loss.

x̃ ~ C(x̃|x)      corruption, in training only
h = f(x̃)        encoder: the code
x̂ = g(h)        decoder: the reconstruction
Ω(h, x̃)         penalty of the code
"""

import warnings
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae import checks, penalties
from kerasae.callbacks import WholeSetMean
from kerasae.engine import arguments, calls, graphs, internals
from kerasae.interpolation import straight
from kerasae.models.base import Found, Model


class EncoderDecoder(Model):
    """Base class of all autoencoders, without a loss: an encoder f and a decoder g.

    A subclass defines `terms`. It may define `encoding` and `decoding`, the halves of `compute`, so
    that `encode`, `decode`, `reconstruct` and `predict` agree with each other, and `make_weights`.

    Args:
        encoder: f, a Keras model from the input to the code.
        decoder: g, a Keras model from the code to the reconstruction.
        corruption: C, a layer that acts in training only, or `None`.
        penalty: Ω, a regularizer of the code, one of `kerasae.penalties`, a list of several, which
            are added, or `None`.
    """

    between = ("_codes", "_outputs")  # the methods between which `interpolate` draws its lines

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        corruption: keras.layers.Layer | None = None,
        penalty: Any = None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.encoder = arguments.network("encoder", encoder)
        self.decoder = arguments.network("decoder", decoder)
        self.corruption = arguments.layer("corruption", corruption)
        self.penalties = penalties.get("penalty", penalty)

    def finish(self, arguments: dict[str, Any]) -> None:
        if self.penalties:
            self.parts = (*self.parts, "penalty")
        super().finish(arguments)

    # The mathematics.

    def compute(self, x, training):
        x = self.corrupted(x, training)  # x̃ ~ C(x̃|x)
        found = {"input": x, **self.encoding(x, training)}  # h = f(x̃)
        return found | self.decoding(found["code"], training)  # x̂ = g(h)

    def all_terms(self, x, y, found):
        terms = self.terms(x, y, found)
        if self.penalties:
            terms["penalty"] = sum(self._penalty(each, found) for each in self.penalties)  # Ω(h, x̃)
        return terms

    def corrupted(self, x: Any, training: bool) -> Any:
        """Return x̃ ~ C(x̃|x) in training, else x."""
        if self.corruption is None:
            return x
        if "int" in keras.backend.standardize_dtype(x.dtype):
            x = ops.cast(x, "float32")
        return calls.call(self.corruption, x, training)

    def encoding(self, x: Any, training: bool) -> Found:
        """Return `code`, h = f(x), and other results of the encoder that `terms` needs."""
        return {"code": calls.call(self.encoder, x, training)}

    def decoding(self, code: Any, training: bool) -> Found:
        """Return `output`, x̂ = g(h), and other results of the decoder that `terms` needs."""
        return {"output": calls.call(self.decoder, code, training)}

    def _penalty(self, penalty, found):
        code, training = found["code"], found["training"]
        if not isinstance(penalty, keras.layers.Layer):
            return penalties.of_each(penalty, code)
        noise = {"noise": self.noise(False)} if penalty.draws and not training else {}
        return calls.call(penalty, code, training, found["input"], encoder=self.encoder, **noise)

    def call(self, x, training=False):
        """Return the reconstruction g(f(x̃)), with x̃ = x outside training.

        Inside another Keras model, all terms except the reconstruction are added to its loss.
        """
        found = self.found(x, training)
        if len(self.parts) > 1 and internals.is_nested(self):
            # The target only has to have the right shape.
            terms = self.all_terms(x, ops.stop_gradient(found["output"]), found)
            terms["reconstruction"] = ops.zeros_like(terms["reconstruction"])
            self.add_loss(ops.mean(self.combine(terms, found)))
        return found["output"]

    # Construction.

    def input_shape_of_networks(self) -> Any:
        return graphs.input_shape(self.encoder)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Build both networks and check that their shapes match."""
        inputs = keras.KerasTensor(input_shape)
        code = self.encoder(inputs)
        if not isinstance(code, keras.KerasTensor):
            outputs = "a dict" if isinstance(code, dict) else f"{len(code)} outputs"
            raise ValueError(f"`encoder` gives {outputs}, expected one code: concatenate them.")
        if not hasattr(self, "_shapes"):  # a loaded model is built twice
            self.make_weights(tuple(code.shape[1:]))
        code = self._code(inputs, code)
        expected = graphs.input_shape(self.decoder)
        if expected is not None and not checks.fits(code.shape[1:], expected[1:]):
            raise ValueError(
                f"`decoder` takes codes of shape {tuple(expected[1:])}, but `encoder` gives "
                f"codes of shape {tuple(code.shape[1:])}: expected the same shape."
            )
        self.decoder(code)
        output = graphs.symbolic(lambda code: self.decoding(code, False)["output"], code)
        if self.corruption is not None:
            self.corruption(inputs)
        for penalty in self.penalties:
            if isinstance(penalty, penalties.Penalty):
                penalty.check_encoder(self.encoder)
            if isinstance(penalty, keras.layers.Layer) and not penalty.built:
                penalty.build(code.shape)
        shapes = [tuple(tensor.shape[1:]) for tensor in (inputs, code, output)]
        self._shapes = dict(zip(("input", "code", "output"), shapes, strict=True))
        self.built = True
        internals.mark_called(self)

    def make_weights(self, shape: tuple[int | None, ...]) -> None:
        """Add the model's own weights by `add_weight`; `shape` is of one output of the encoder.

        It is called once. Weights that must stay float32 under every policy need
        `autocast=False`.
        """

    def _code(self, inputs: keras.KerasTensor, output: keras.KerasTensor) -> keras.KerasTensor:
        """Return the code, given the input and the encoder's output for it."""
        return graphs.symbolic(lambda x: self.encoding(x, False)["code"], inputs)

    # Training.

    def fit(
        self, x=None, y=None, batch_size=None, epochs=1, verbose="auto", callbacks=None, **kwargs
    ):
        """Train as `keras.Model.fit` does, with `WholeSetMean` if a penalty needs it."""
        if x is not None and any(getattr(p, "needs_whole_set", False) for p in self.penalties):
            callbacks = keras.tree.flatten(callbacks or [])
            if not any(isinstance(callback, WholeSetMean) for callback in callbacks):
                split = kwargs.get("validation_split") or 0.0
                callbacks.insert(0, WholeSetMean(x, validation_split=split))
        return super().fit(x, y, batch_size, epochs, verbose, callbacks, **kwargs)

    def check_batch(self, x: Any, y: Any, sample_weight: Any) -> None:
        """Check shapes, lengths, finiteness and, under cross entropy, the range [0, 1]."""
        bernoulli = self._needs_unit_interval()
        name, ends = "x", self._check_input(x, unit_interval=bernoulli and y is None)
        output_shape = self._shape("output")
        if y is not None:
            checks.check_not_labels("y", y)
            name, ends = "y", checks.check_array("y", y, output_shape, bernoulli, integers=False)
            checks.check_same_length(x=x, y=y)
        elif output_shape is not None and not checks.fits(x.shape[1:], output_shape):
            raise ValueError(
                f"`decoder` gives reconstructions of shape {output_shape}, but `x` has examples of "
                f"shape {tuple(x.shape[1:])}: expected the same shape, or targets in `y`."
            )
        last, *_ = graphs.reach(self.decoder)
        integers = "int" in keras.backend.standardize_dtype(x.dtype)
        if y is None and integers and last in ("sigmoid", "tanh", "softmax"):  # at most 1
            otherwise = f"give scaled targets in `y`, because `decoder` ends in {last!r}"
            checks.check_array("x", x, integers=False, otherwise=otherwise)
        self._warn_if_out_of_reach(name, ends)
        self._check_weights(x, sample_weight)

    def _warn_if_out_of_reach(self, name: str, ends: tuple[float, float]) -> None:
        activation, low, high = graphs.reach(self.decoder)
        if ends[0] < low or ends[1] > high:
            warnings.warn(
                f"`{name}` holds values from {ends[0]:.4g} to {ends[1]:.4g}, but "
                f"`decoder` ends in {activation!r} and reaches only {low} to {high}: scale the "
                "data, or end it in 'linear'.",
                stacklevel=4,
            )

    def _check_weights(self, x: Any, sample_weight: Any, shape: Any = ()) -> None:
        if sample_weight is not None:
            checks.check_weights("sample_weight", sample_weight, shape)
            checks.check_same_length(x=x, sample_weight=sample_weight)

    def _needs_unit_interval(self) -> bool:
        """Return whether targets must lie in [0, 1]."""
        return False

    def _shape(self, name: str) -> tuple[int | None, ...] | None:
        """Return the shape of one `input`, `code` or `output`, once the networks are built."""
        return self._shapes[name] if self.built else None

    def _check_input(self, x: Any, unit_interval: bool = False) -> tuple[float, float]:
        """Check the encoder's examples, and return their smallest and their largest value."""
        return arguments.check_inputs("x", x, self.encoder, self._shape("input"), unit_interval)

    # Use.

    def predict(self, x: Any, *args, **kwargs) -> np.ndarray:
        """Predict as `keras.Model.predict` does: the reconstructions."""
        return super().predict(self._examples(x), *args, **kwargs)

    def encode(self, x: Any, batch_size: int = 256) -> np.ndarray:
        """Return the codes h = f(x), without corruption, of an array or of a stream."""
        return self.view("_codes")(self._examples(x), batch_size)

    def decode(self, code: Any, batch_size: int = 256) -> np.ndarray:
        """Return the decoder's output x̂ = g(h) at the given codes."""
        code = checks.as_array("code", code)
        checks.check_array("code", code, self._shape("code"))
        return self.view("_outputs")(code, batch_size)

    def reconstruct(self, x: Any, batch_size: int = 256) -> np.ndarray:
        """Return the reconstructions g(f(x)), without corruption."""
        return self.predict(x, batch_size=batch_size, verbose=0)

    def _codes(self, x):
        return self.encoding(x, False)["code"]

    def _outputs(self, code):
        return self.decoding(code, False)["output"]

    def _examples(self, x: Any) -> Any:
        """Return examples in the form that the networks take, checked if they are an array."""
        x = checks.examples("x", x)
        if checks.is_array(x):
            self._check_input(x)
        return x

    def corrupt(self, x: Any) -> np.ndarray:
        """Return the encoder's input in training, x̃ ~ C(x̃|x): a new draw each time."""
        x = checks.as_array("x", x)
        self._check_input(x)
        return ops.convert_to_numpy(self.corrupted(ops.cast(x, "float32"), training=True))

    def interpolate(self, start: Any, end: Any, steps: int = 8) -> np.ndarray:
        """Decode the straight line between the codes of two examples.

        Args:
            start: Examples at which the lines begin, `(n, …)`.
            end: Examples at which they end, `(n, …)`.
            steps: Number of points on each line, both ends included.

        Returns:
            Array of shape `(n, steps, …)`.
        """
        encode, decode = map(self.view, self.between)
        first, last = (encode(self._examples(x), 256) for x in (start, end))
        checks.check_same_length(start=first, end=last)
        path = straight(first, last, steps)
        images = decode(path.reshape((-1, *first.shape[1:])), 256)
        return images.reshape((*path.shape[:2], *images.shape[1:]))
