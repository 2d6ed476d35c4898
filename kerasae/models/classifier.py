"""A classifier on a pretrained encoder: semi-supervised and transfer learning.

    h = f(x)                    encoder: fixed, trained further, or unfrozen from the top down
    p(c|x) = softmax(head(h))   head: one new layer, or any network

    L = mean over labelled x of −log p(c|x)  +  λ · mean over all x of L(x, g(f(x)))

The second term needs a decoder g; then examples without a label, marked −1, also train the
encoder. An encoder that is pretrained on all data and then trained on the few labels is the
lecture's semi-supervised learning. The lower layers of another task's classifier give transfer
learning.

Bengio, Lamblin, Popovici & Larochelle, "Greedy layer-wise training of deep networks" (2006);
Yosinski, Clune, Bengio & Lipson, "How transferable are features in deep neural networks?" (2014);
Howard & Ruder, "Universal language model fine-tuning for text classification" (2018), for the
gradual unfreezing.
"""

import math
from collections.abc import Mapping
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from kerasae import checks
from kerasae.engine import calls, graphs, internals
from kerasae.losses import EachLoss
from kerasae.models.base import Among, Model


@keras.saving.register_keras_serializable("kerasae")
class Classifier(Model):
    """A classifier that minimizes the labelled examples' cross entropy + λ · L(x, g(f(x))) of all.

    The classifier trains copies of the given networks, as the lecture draws it: the autoencoder
    they come from keeps its weights and stays trainable, and several classifiers can start from
    the same one. `Autoencoder(classifier.encoder, classifier.decoder)` is the autoencoder after
    joint training.

    Labels are whole numbers from 0 to `classes` − 1. With a decoder, −1 marks an example
    without a label. A batch's cross entropy is averaged over its labelled examples, and is 0
    if there are none; the reconstruction is averaged over all examples. With
    `sample_weight` w each example's terms count w times in these averages.

    A call of the model returns the probabilities p(c|x), as `predict` does.

    Metrics: `loss` (Keras's average of the batches' losses), `cross_entropy` and `accuracy`,
    which are averages over the labelled examples of an epoch, and with a decoder
    `reconstruction`. `compile` takes no loss. With a decoder, further metrics are
    `weighted_metrics`, in which examples without a label have the weight 0.

    Args:
        encoder: f, a trained Keras model from the input to the code.
        classes: Number of classes.
        head: A Keras network or layer from the code to one logit per class, without a softmax;
            by default one dense layer on the flattened code. It is not copied.
        decoder: g, for joint training with the reconstruction, or `None`.
        fixed: The encoder's layers that are not trained. `None`: none, all are fine-tuned.
            `"all"`: the encoder is a fixed function; it runs in inference mode, so that
            BatchNormalization keeps its statistics and its noise layers are off. A layer's name:
            this layer and all before it. A number n: the first n layers that have weights, or,
            if n is negative, all but the last −n.
        reconstruction_loss: L, a Keras loss.
        reconstruction_weight: λ, at least 0.
        corruption: C, a layer that corrupts the encoder's input in training only, or `None`;
            the target of the reconstruction is the clean input.
        copy: If False, the given networks themselves are trained, not copies: for networks that
            are too large to hold twice or cannot be copied. They then share the classifier's
            weights and its fixed layers.

    Example:

    >>> import numpy as np
    >>> from kerasae import Autoencoder, nets
    >>> x = np.random.default_rng(0).random((64, 8, 8, 1), dtype="float32")
    >>> y = np.arange(64) % 3
    >>> y[16:] = -1  # most examples have no label
    >>> autoencoder = Autoencoder(*nets.mlp((8, 8, 1), code_size=4))
    >>> autoencoder.compile()
    >>> history = autoencoder.fit(x, verbose=0)
    >>> model = Classifier(autoencoder.encoder, classes=3, fixed="all")
    >>> model.compile(optimizer="adam")
    >>> history = model.fit(x[:16], y[:16], verbose=0)
    >>> model.predict(x, verbose=0).shape, model.classify(x).shape, model.encode(x).shape
    ((64, 3), (64,), (64, 4))
    >>> joint = Classifier(autoencoder.encoder, classes=3, decoder=autoencoder.decoder)
    >>> joint.compile(optimizer="adam")
    >>> sorted(joint.fit(x, y, verbose=0).history)
    ['accuracy', 'cross_entropy', 'loss', 'reconstruction']
    """

    measured: Mapping[str, str | None] = {"accuracy": "max"}
    loss_is = "it is the cross entropy, and with a decoder also `reconstruction_loss`"

    def __init__(
        self,
        encoder: keras.Model,
        classes: int = 10,
        head: keras.layers.Layer | None = None,
        decoder: keras.Model | None = None,
        fixed: str | int | None = None,
        reconstruction_loss: Any = "mse",
        reconstruction_weight: float = 1.0,
        corruption: keras.layers.Layer | None = None,
        copy: bool = True,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.classes = checks.positive("classes", classes, least=2)
        encoder = checks.network("encoder", encoder)
        if isinstance(getattr(encoder, "encoder", None), keras.Model):
            raise ValueError(
                f"`encoder` is a {type(encoder).__name__}, expected the encoder in it: pass its "
                "`.encoder`."
            )
        copy = checks.flag("copy", copy)
        self.encoder = graphs.copied("encoder", encoder) if copy else encoder
        if decoder is not None:
            decoder = checks.network("decoder", decoder)
            decoder = graphs.copied("decoder", decoder) if copy else decoder
        self.decoder = decoder
        self.head = _head(head, self.classes)
        self.corruption = checks.layer("corruption", corruption)
        self.reconstruction_loss = reconstruction_loss
        self.error = EachLoss("reconstruction_loss", reconstruction_loss)
        self.reconstruction_weight = checks.not_negative(
            "reconstruction_weight", reconstruction_weight
        )
        self.fixed = fixed
        self.parts = ("cross_entropy", *([] if decoder is None else ["reconstruction"]))

    def input_shape_of_networks(self):
        built = self.encoder.built and getattr(self.encoder, "inputs", None)
        return self.encoder.input_shape if built else None

    @classmethod
    def from_classifier(
        cls,
        trained: keras.Model,
        cut: str | int | None = None,
        classes: int = 10,
        head: keras.layers.Layer | None = None,
        fixed: str | int | None = "all",
        copy: bool = True,
        **kwargs,
    ) -> Self:
        """Return a classifier for a new task on the lower layers of a trained one.

        Args:
            trained: Any trained Keras model with a graph of layers: functional, Sequential, one
                of `keras.applications`, a backbone or classifier of KerasHub. It is not changed.
            cut: The name of the layer whose output is the code, or its index in `trained.layers`.
                `None`: the code is the input of the last layer that has weights, so that all
                layers but the output layer are kept.
            classes: Number of classes of the new task.
            head: New upper layers, as in the constructor.
            fixed: The kept layers that are not trained, as in the constructor; by default all.
            copy: If False, `trained` itself is trained, as in the constructor.
            **kwargs: Further arguments of the constructor.

        Example:

        >>> import numpy as np
        >>> layers = [keras.Input((5,)), keras.layers.Dense(4), keras.layers.Dense(10, "softmax")]
        >>> trained = keras.Sequential(layers)
        >>> model = Classifier.from_classifier(trained, classes=3)
        >>> model.encode(np.ones((2, 5))).shape, model.predict(np.ones((2, 5)), verbose=0).shape
        ((2, 4), (2, 3))
        """
        trained = checks.network("trained", trained)
        if not getattr(trained, "inputs", None):
            raise ValueError(
                f"`trained` is a {type(trained).__name__} without a graph of layers, expected a "
                "functional or built Sequential model, or its encoder given to the constructor."
            )
        if copy:
            trained = graphs.copied("trained", trained)
        inputs, code = graphs.input_of("trained", trained), graphs.cut_at(trained, cut)
        whole = len(trained.outputs) == 1 and trained.outputs[0] is code
        encoder = trained if whole else keras.Model(inputs, code, name="encoder")
        return cls(encoder, classes, head, fixed=fixed, copy=False, **kwargs)

    def build(self, input_shape: Any) -> None:
        """Build all networks, check that their shapes match, and fix layers."""
        if getattr(self.encoder, "inputs", None):
            inputs = graphs.input_of("encoder", self.encoder)
        elif isinstance(input_shape, dict):
            inputs = {name: keras.KerasTensor(shape) for name, shape in input_shape.items()}
        else:
            inputs = keras.KerasTensor(input_shape)
        if self.corruption is not None:
            self.corruption(inputs)
        code = self.encoder(inputs)
        if not isinstance(code, keras.KerasTensor):
            raise ValueError(f"`encoder` gives {len(code)} outputs, expected one code.")
        try:
            logits = self.head(code)
        except ValueError as error:  # for instance a dense layer on a map of unknown size
            raise ValueError(
                f"`head` does not take the encoder's codes of shape {tuple(code.shape[1:])}, "
                "expected one that does, such as pooling and a dense layer."
            ) from error
        if tuple(logits.shape[1:]) != (self.classes,):
            raise ValueError(
                f"`head` gives outputs of shape {tuple(logits.shape[1:])} for codes of shape "
                f"{tuple(code.shape[1:])}, expected one logit for each of {self.classes} classes."
            )
        self._reconstructs(inputs, code)
        self._input_shape = None if isinstance(inputs, dict) else tuple(inputs.shape[1:])
        self.built = True
        internals.called(self)
        self._fix()

    def _reconstructs(self, inputs: Any, code: keras.KerasTensor) -> None:
        """Build the decoder and check that it maps the code to the input's shape."""
        if self.decoder is None:
            return
        if isinstance(inputs, dict):
            raise ValueError("`decoder` is given, expected none for an encoder of several inputs.")
        takes = self.decoder.input_shape[1:] if getattr(self.decoder, "inputs", None) else None
        if takes is not None and not checks.fits(code.shape[1:], takes):
            raise ValueError(
                f"`decoder` takes codes of shape {tuple(takes)}, but `encoder` gives codes of "
                f"shape {tuple(code.shape[1:])}: expected the same shape."
            )
        output = self.decoder(code)
        if not checks.fits(output.shape[1:], inputs.shape[1:]):
            raise ValueError(
                f"`decoder` gives reconstructions of shape {tuple(output.shape[1:])}, expected the "
                f"shape of the input, {tuple(inputs.shape[1:])}."
            )

    # The mathematics.

    def compute(self, x, training):
        if self.corruption is not None:
            x = self.corruption(x, training=training)  # x̃ ~ C(x̃|x)
        code = calls.call(self.encoder, x, training and self.fixed != "all")  # h = f(x̃)
        logits = ops.cast(self.head(code, training=training), "float32")
        found = {"code": code, "logits": logits, "output": ops.softmax(logits)}  # p(c|x̃)
        if self.decoder is not None:
            found["reconstruction"] = calls.call(self.decoder, code, training)  # x̂ = g(h)
        return found

    def terms(self, x, y, found):
        labels, labelled = _labels(y)
        each = keras.losses.sparse_categorical_crossentropy(
            labels, found["logits"], from_logits=True
        )
        terms = {"cross_entropy": Among(each, labelled)}  # −log p(c|x)
        if self.decoder is not None:
            terms["reconstruction"] = self.error(x, found["reconstruction"])  # L(x, g(f(x̃)))
        return terms

    def combine(self, terms, found):
        loss = terms["cross_entropy"]
        if self.decoder is not None:
            loss = loss + self.reconstruction_weight * terms["reconstruction"]
        return loss

    def measures(self, x, y, found):
        labels, labelled = _labels(y)
        right = ops.cast(ops.argmax(found["logits"], axis=-1), "int32") == labels
        return {"accuracy": Among(ops.cast(right, "float32"), labelled)}

    def compile(self, optimizer="adam", metrics=None, **kwargs) -> None:
        """Compile as `keras.Model.compile` does; the loss is defined by the class."""
        if metrics and self.decoder is not None:
            raise ValueError(
                "`metrics` are given, expected `weighted_metrics`: there examples without a label "
                "have the weight 0."
            )
        super().compile(optimizer=optimizer, metrics=metrics, **kwargs)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Update the compiled metrics; an example without a label has the weight 0."""
        labels, weight = _labels(y)
        if sample_weight is not None:
            weight = weight * _flat(sample_weight, "float32")
        return super().compute_metrics(x, labels, y_pred, weight)

    def fix(self, fixed: str | int | None) -> None:
        """Change which of the encoder's layers are fixed, see `fixed` in the constructor.

        A compiled model is compiled again with the same arguments. Its optimizer is a new one with
        the same settings, because an optimizer's state belongs to the variables that it trains.
        """
        before, self.fixed = self.fixed, fixed
        if self.built:
            try:
                self._fix()
            except ValueError:
                self.fixed = before
                raise
        if self.compiled:
            fresh = type(self.optimizer).from_config(self.optimizer.get_config())
            self.compile(optimizer=fresh, **self.aside.compiled)

    def _fix(self) -> None:
        """Set every layer's `trainable`."""
        layers = graphs.layers_of(self.encoder)
        count = self._fixed_count(layers)
        graphs.set_trainable(self.encoder, self.fixed != "all")
        for index, layer in enumerate(layers):
            graphs.set_trainable(layer, index >= count)

    def _fixed_count(self, layers: list[keras.layers.Layer]) -> int:
        """Return the number of the encoder's layers, from the input on, that are fixed."""
        if self.fixed is None:
            return 0
        if isinstance(self.fixed, str):
            if self.fixed == "all":
                return len(layers)
            return layers.index(graphs.named("fixed", self.fixed, layers)) + 1
        weighted = [index for index, layer in enumerate(layers) if layer.weights]
        if isinstance(self.fixed, bool) or not isinstance(self.fixed, int):
            raise ValueError(
                f"`fixed` is {self.fixed!r}, expected 'all', None, a layer's name or a number."
            )
        if abs(self.fixed) > len(weighted):
            raise ValueError(
                f"`fixed` is {self.fixed}, but `encoder` has {len(weighted)} layers with weights, "
                f"expected a number from {-len(weighted)} to {len(weighted)}."
            )
        count = self.fixed if self.fixed >= 0 else len(weighted) + self.fixed
        return weighted[count - 1] + 1 if count else 0

    def fit_gradually(
        self, x: Any, y: Any = None, epochs: int = 1, layers: int = 1, **kwargs
    ) -> keras.callbacks.History:
        """Train the head alone, then with more and more of the encoder, from the top down.

        Stage 0 trains the head with the encoder fixed, stage s the head and the encoder's upper
        `s · layers` layers that have weights, the last stage everything. Each stage is a separate
        `fit` with a new optimizer of the same settings (see `fix`): a learning-rate schedule starts
        again, and callbacks see one training per stage, with consecutive epoch numbers. For other
        stages call `fix` and `fit` in turn.

        Args:
            x: Examples, or a stream that can be read more than once.
            y: Labels.
            epochs: Number of epochs of each stage.
            layers: Number of layers that each stage adds.
            **kwargs: Further arguments of `fit`.

        Returns:
            One history of all stages.
        """
        epochs, layers = checks.positive("epochs", epochs), checks.positive("layers", layers)
        if not self.built:
            raise ValueError("The encoder has no weights yet, expected a pretrained one.")
        count = sum(bool(layer.weights) for layer in graphs.layers_of(self.encoder))
        whole = keras.callbacks.History()
        whole.set_model(self)
        whole.on_train_begin()
        for stage in range(1 + math.ceil(count / layers)):
            free = stage * layers
            self.fix("all" if free == 0 else None if free >= count else -free)
            start = stage * epochs
            part = self.fit(x, y, epochs=start + epochs, initial_epoch=start, **kwargs)
            whole.epoch += part.epoch
            for name, values in part.history.items():
                whole.history.setdefault(name, []).extend(values)
        self.history = whole
        return whole

    def check_batch(self, x: Any, y: Any, sample_weight: Any) -> None:
        """Check the examples' shapes and values, and the labels."""
        self._check_input(x)
        if y is None:
            raise ValueError("`y` is None, expected a label for each example.")
        checks.labels("y", y, self.classes, unlabelled=self.decoder is not None)
        first = next(iter(x.values())) if isinstance(x, dict) else x
        checks.same_length(x=first, y=y)
        if sample_weight is not None:
            checks.weights("sample_weight", sample_weight)
            checks.same_length(x=first, sample_weight=sample_weight)

    def _check_input(self, x: Any) -> None:
        network = self.encoder
        if isinstance(x, dict):  # for instance a text encoder's tokens and padding mask
            names = [tensor.name for tensor in getattr(network, "inputs", None) or []]
            if names and sorted(names) != sorted(x):
                raise ValueError(f"`x` has entries {sorted(x)}, expected {sorted(names)}.")
            for name, value in x.items():
                checks.array(f"x[{name!r}]", value, integers=True)
            checks.same_length(**{f"x[{name!r}]": value for name, value in x.items()})
            return
        bernoulli = self.decoder is not None and checks.needs_unit_interval(
            self.reconstruction_loss
        )
        shape = self._input_shape if self.built else None
        checks.inputs("x", x, network, shape, bernoulli)

    def _checked(self, x, y, sample_weight):
        if not isinstance(x, dict):
            return super()._checked(x, y, sample_weight)
        x = _arrays(x)
        y, sample_weight = checks.as_array("y", y), checks.as_array("sample_weight", sample_weight)
        self.check_batch(x, y, sample_weight)
        return x, y, sample_weight

    def predict(self, x: Any, *args, **kwargs) -> np.ndarray:
        """Predict as `keras.Model.predict` does: the probabilities p(c|x), `(n, classes)`."""
        x = _arrays(x)
        if isinstance(x, dict) or checks.is_array(x):
            self._check_input(x)
        return super().predict(x, *args, **kwargs)

    def classify(self, x: Any, batch_size: int = 256) -> np.ndarray:
        """Return the most probable class of each example, `(n,)`."""
        return self.predict(x, batch_size=batch_size, verbose=0).argmax(axis=1)

    def encode(self, x: Any, batch_size: int = 256) -> np.ndarray:
        """Return the codes h = f(x), without corruption."""
        x = _arrays(x)
        self._check_input(x)
        return self.view("_codes")(x, batch_size)

    def _codes(self, x):
        return self.encoder(x, training=False)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, with the model's own networks and `copy=False`."""
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "encoder": graphs.made_trainable(serialize(self.encoder)),  # `fixed` freezes it again
            "head": serialize(self.head),
            "decoder": serialize(self.decoder),
            "fixed": self.fixed,
            "copy": False,
        }


def _labels(y: Any) -> tuple[Any, Any]:
    """Return labels (n,) with 0 instead of −1, and 1 for labelled examples, 0 for others."""
    labels = _flat(y, "int32")
    return ops.maximum(labels, 0), ops.cast(labels >= 0, "float32")


def _flat(values: Any, dtype: str) -> Any:
    """Return one number per example, `(n,)`, for values of shape (n,) or (n, 1)."""
    return ops.cast(ops.reshape(values, (-1,)), dtype)


def _arrays(x: Any) -> Any:
    """Convert lists of numbers to arrays, also in a dict of inputs."""
    if isinstance(x, dict):
        return {name: checks.as_array(f"x[{name!r}]", value) for name, value in x.items()}
    return checks.as_array("x", x)


def _head(head: Any, classes: int) -> keras.layers.Layer:
    """Return the network from the code to the logits."""
    if head is None:
        layers = [keras.layers.Flatten(), keras.layers.Dense(classes, name="logits")]
        return keras.Sequential(layers, name="head")
    if not isinstance(head, keras.layers.Layer):
        raise ValueError(f"`head` is {head!r}, expected a Keras network, a layer or None.")
    last = head.layers[-1] if isinstance(head, keras.Model) and head.layers else head
    softmax = getattr(last, "activation", None) is keras.activations.softmax
    if softmax or isinstance(last, keras.layers.Softmax):
        raise ValueError("`head` ends in a softmax, expected logits: the classifier adds its own.")
    return head
