"""A model of examples, or of the codes of an autoencoder that is fixed from then on, by classes.

p(x|y), or p(k|y) with k the code of x        y a label, if the model has classes
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae import checks
from kerasae.engine import graphs, internals
from kerasae.models.base import Model

Tensor = Any
CODE = "code"  # the name of codes that are made already, in a batch with names


class OverCodes(Model):
    """Base class of models over an autoencoder's codes, or over examples without one.

    `fit(x)` learns from examples, `fit(x, labels)` from examples of given classes.

    A subclass sets `network` and `classes`, calls `_fix`, and defines `_encoded`, `_decode` and
    `check_codes`.
    """

    network: keras.Model
    classes: int | None
    autoencoder: keras.Model | None

    def _fix(self, autoencoder: keras.Model | None) -> None:
        """Take an autoencoder, which is fixed from then on."""
        self.autoencoder = autoencoder
        if autoencoder is not None:
            graphs.set_trainable(autoencoder, False)

    def _encoded(self, x: Tensor) -> Tensor:
        """Return the autoencoder's codes of a batch."""
        raise NotImplementedError(f"{type(self).__name__} does not define `_encoded`.")

    def _decode(self, codes: np.ndarray, batch_size: int) -> np.ndarray:
        """Return the autoencoder's output for codes."""
        raise NotImplementedError(f"{type(self).__name__} does not define `_decode`.")

    def check_codes(self, name: str, value: Any) -> None:
        """Raise `ValueError` for what is no code."""
        raise NotImplementedError(f"{type(self).__name__} does not define `check_codes`.")

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments; the autoencoder is without its own optimizer."""
        autoencoder = keras.saving.serialize_keras_object(self.autoencoder)
        if autoencoder is not None:
            autoencoder.pop("compile_config", None)
        return {**super().get_config(), "autoencoder": graphs.made_trainable(autoencoder)}

    def input_shape_of_networks(self):
        shape = self.network.input_shape
        return shape[0] if isinstance(shape, list) else shape

    def build(self, input_shape: Any = None) -> None:
        """Mark the model as built: its networks are already built."""
        self.built = True
        internals.mark_called(self)

    # Batches: codes or examples, with their labels.

    def turn(self, batch, training):
        if self.classes is not None and not isinstance(batch.x, Mapping):
            batch = batch._replace(x={"x": batch.x, "label": batch.y}, y=None)
        return super().turn(batch, training)

    def _read(self, x: Any) -> tuple[Tensor, Tensor | None]:
        """Return the codes of a batch, and one-hot labels or `None`."""
        label = x["label"] if isinstance(x, Mapping) and self.classes is not None else None
        if label is not None:
            label = ops.one_hot(ops.cast(ops.reshape(label, (-1,)), "int32"), self.classes)
        return self._codes_of(x), label

    def _codes_of(self, x: Any) -> Tensor:
        if isinstance(x, Mapping):
            if CODE in x:
                return x[CODE]
            x = x["x"]
        return x if self.autoencoder is None else self._encoded(x)

    def target(self, x, y, found):
        if "codes" in found:
            return found["codes"]
        return self._codes_of(x) if self._is_no_code(y) else y

    def _is_no_code(self, y: Any) -> bool:
        return y is None or tuple(y.shape[1:]) != self.code_shape

    # Data.

    def check_batch(self, x: Any, y: Any, sample_weight: Any) -> None:
        """Check that examples are codes, or what the autoencoder takes, with a label each."""
        label, name, coded = y, "y", False
        if isinstance(x, Mapping):
            coded = CODE in x
            known = {CODE if coded else "x"} | ({"label"} if self.classes is not None else set())
            if set(x) != known:
                raise ValueError(
                    f"`x` holds {', '.join(sorted(x))}, expected {' and '.join(sorted(known))}."
                )
            label, name = x.get("label"), "label"
            x = x[CODE if coded else "x"]
        if self.autoencoder is not None and not coded:
            self.autoencoder._check_input(x)
        else:
            self.check_codes("x", x)
        if self.classes is None and label is not None:
            raise ValueError(f"`{name}` is given, expected none: this model has no `classes`.")
        if self.classes is not None:
            if label is None:
                raise ValueError(f"`y` is None, expected labels: this model has {self.classes}.")
            checks.check_labels(name, label, self.classes)
            checks.check_same_length(**{"x": x, name: label})
        if sample_weight is not None:
            checks.check_weights("sample_weight", sample_weight)
            checks.check_same_length(x=x, sample_weight=sample_weight)

    def _inputs(self, x: Any, labels: Any) -> Any:
        x, labels = checks.as_array("x", x), checks.as_array("labels", labels)
        self.check_batch(x, labels, None)
        return x if labels is None else {"x": x, "label": labels}

    def _decoded(self, codes: np.ndarray, decode: bool, batch_size: int = 256) -> np.ndarray:
        return self._decode(codes, batch_size) if self.autoencoder and decode else codes
