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

from collections.abc import Mapping
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from kerasae import checks
from kerasae.engine import arguments, calls, graphs, internals
from kerasae.losses import EachLoss
from kerasae.models import inputs, labels, transfer
from kerasae.models.base import Model
from kerasae.training import unfreezing


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
        self.classes = checks.whole_number("classes", classes, least=2)
        copy = checks.flag("copy", copy)
        self.encoder = transfer.own_encoder(encoder, copy)
        self.decoder = None if decoder is None else transfer.own_network("decoder", decoder, copy)
        self.head = transfer.new_head(head, self.classes)
        self.corruption = arguments.layer("corruption", corruption)
        self.reconstruction_loss = reconstruction_loss
        self.error = EachLoss("reconstruction_loss", reconstruction_loss)
        self.reconstruction_weight = checks.not_negative(
            "reconstruction_weight", reconstruction_weight
        )
        self.fixed = fixed
        self.parts = ("cross_entropy", *([] if decoder is None else ["reconstruction"]))

    def input_shape_of_networks(self):
        return graphs.input_shape(self.encoder)

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
        encoder = transfer.lower_layers(trained, cut, copy)
        return cls(encoder, classes, head, fixed=fixed, copy=False, **kwargs)

    def build(self, input_shape: Any) -> None:
        """Build all networks, check that their shapes match, and fix layers."""
        x = inputs.symbolic(self.encoder, input_shape)
        if self.corruption is not None:
            self.corruption(x)
        code = self.encoder(x)
        if not isinstance(code, keras.KerasTensor):
            raise ValueError(f"`encoder` gives {len(code)} outputs, expected one code.")
        transfer.build_head(self.head, code, self.classes)
        if self.decoder is not None:
            transfer.build_decoder(self.decoder, x, code)
        self._input_shape = None if isinstance(x, dict) else tuple(x.shape[1:])
        self.built = True
        internals.mark_called(self)
        unfreezing.freeze(self.encoder, self.fixed)

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
        terms = {"cross_entropy": labels.cross_entropy(y, found["logits"])}  # −log p(c|x)
        if self.decoder is not None:
            terms["reconstruction"] = self.error(x, found["reconstruction"])  # L(x, g(f(x̃)))
        return terms

    def combine(self, terms, found):
        loss = terms["cross_entropy"]
        if self.decoder is not None:
            loss = loss + self.reconstruction_weight * terms["reconstruction"]
        return loss

    def measures(self, x, y, found):
        return {"accuracy": labels.accuracy(y, found["logits"])}

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
        y, weight = labels.labels_and_weights(y)
        if sample_weight is not None:
            weight = weight * ops.cast(ops.reshape(sample_weight, (-1,)), "float32")
        return super().compute_metrics(x, y, y_pred, weight)

    # Training.

    fit_gradually = unfreezing.fit_gradually

    def fix(self, fixed: str | int | None) -> None:
        """Change which of the encoder's layers are fixed, see `fixed` in the constructor.

        A compiled model is compiled again with the same arguments. Its optimizer is a new one with
        the same settings, because an optimizer's state belongs to the variables that it trains.
        """
        if self.built:
            unfreezing.freeze(self.encoder, fixed)
        self.fixed = fixed
        if self.compiled:
            fresh = type(self.optimizer).from_config(self.optimizer.get_config())
            self.compile(optimizer=fresh, **self.aside.compiled)

    def check_batch(self, x: Any, y: Any, sample_weight: Any) -> None:
        """Check the examples' shapes and values, and the labels."""
        self._check_input(x)
        if y is None:
            raise ValueError("`y` is None, expected a label for each example.")
        checks.check_labels("y", y, self.classes, unlabelled=self.decoder is not None)
        first = inputs.one_of(x)
        checks.check_same_length(x=first, y=y)
        if sample_weight is not None:
            checks.check_weights("sample_weight", sample_weight)
            checks.check_same_length(x=first, sample_weight=sample_weight)

    def _check_input(self, x: Any) -> None:
        shape = self._input_shape if self.built else None
        unit_interval = self.decoder is not None and self.error.is_cross_entropy
        inputs.check(x, self.encoder, shape, unit_interval)

    def predict(self, x: Any, *args, **kwargs) -> np.ndarray:
        """Predict as `keras.Model.predict` does: the probabilities p(c|x), `(n, classes)`."""
        x = inputs.as_arrays(x)
        if isinstance(x, dict) or checks.is_array(x):
            self._check_input(x)
        return super().predict(x, *args, **kwargs)

    def classify(self, x: Any, batch_size: int = 256) -> np.ndarray:
        """Return the most probable class of each example, `(n,)`."""
        return self.predict(x, batch_size=batch_size, verbose=0).argmax(axis=1)

    def encode(self, x: Any, batch_size: int = 256) -> np.ndarray:
        """Return the codes h = f(x), without corruption."""
        x = inputs.as_arrays(x)
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
