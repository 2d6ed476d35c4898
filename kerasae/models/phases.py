"""The network of one phase of greedy training: a shallow autoencoder of a hidden layer.

L(g(f(h̃)), h) + Ω        h = h_{k−1}, computed by the fixed layers below, or given
"""

from typing import Any

import keras
from keras import layers, ops

from kerasae.callbacks import WholeSetMean
from kerasae.engine.streams import predictions
from kerasae.models.autoencoder import Autoencoder


class PhaseNetwork(Autoencoder):
    """One phase of greedy training, L(g(f(h̃)), h) + Ω: an autoencoder of a hidden layer h.

    The names of its metrics begin with the name of the phase.

    Args:
        encoder: f, from h to the next hidden layer.
        decoder: g, from this layer back to h.
        corruption: C, as in `Autoencoder`.
        penalty: Ω, as in `Autoencoder`.
        below: Fixed network x → h; its variables do not belong to this network. `None`: h = x.
        summary_line: Description of the phase in one line.
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        corruption: layers.Layer | None,
        penalty: Any,
        below: keras.Model | None,
        summary_line: str,
        **kwargs,
    ) -> None:
        super().__init__(encoder, decoder, corruption, penalty, **kwargs)
        object.__setattr__(self, "below", below)  # Keras must not track it as part of the network
        self.summary_line = summary_line

    def copy_to(self, other: "PhaseNetwork") -> None:
        """Copy the parameters into another network of the same phase."""
        other.encoder.set_weights(self.encoder.get_weights())
        other.decoder.set_weights(self.decoder.get_weights())

    @property
    def settings(self) -> dict[str, Any]:
        """Return the settings of a phase that its place in the stack does not determine."""
        parts = self.corruption, list(self.penalties)
        return {"phase": self.name, "parts": keras.saving.serialize_keras_object(parts)}

    def compute(self, x, training):
        h = self._hidden(x)
        return {"target": h, **super().compute(h, training)}

    def target(self, x, y, found):
        """Return h: in phase 2 the loss is the deck's MSE(hidden 3 − hidden 1)."""
        return found["target"] if "target" in found else self._hidden(x) if y is None else y

    def _hidden(self, x):
        return x if self.below is None else ops.stop_gradient(self.below(x, training=False))

    def get_metrics_result(self):
        """Return the metrics, named `phase_1_loss` and so on, also in the history."""
        return {
            f"{self.name}_{name}": value for name, value in super().get_metrics_result().items()
        }

    def fit(self, x=None, *args, callbacks=None, **kwargs):
        """Train as `Autoencoder.fit` does; a whole-set mean is measured on codes of h."""
        if self.below is not None and any(
            getattr(penalty, "needs_whole_set", False) for penalty in self.penalties
        ):
            callbacks = [WholeSetMean(_Hidden(x, self.below)), *(callbacks or [])]
        return super().fit(x, *args, callbacks=callbacks, **kwargs)

    def check_batch(self, x: Any, y: Any, sample_weight: Any) -> None:
        if self.below is None:
            super().check_batch(x, None, sample_weight)
        elif self._needs_unit_interval():  # the stack has checked x, but not h
            super().check_batch(predictions(self.below, x, 256), None, sample_weight)


class _Hidden(keras.utils.PyDataset):
    """A stream that turns batches of x into batches of h."""

    def __init__(self, batches: keras.utils.PyDataset, below: keras.Model) -> None:
        super().__init__()
        self.batches, self.below = batches, below

    def __len__(self) -> int:
        return self.batches.num_batches

    def __getitem__(self, index: int) -> tuple[Any]:
        return (self.below.predict_on_batch(self.batches[index][0]),)


def sides(shape: tuple[int, ...]) -> str:
    """Format a shape for a heading: `28×28×1`."""
    return "×".join(map(str, shape))


def fresh(part: Any) -> Any:
    """Return a copy of a layer or regularizer, or of a list of them, with its own state."""
    if isinstance(part, keras.Sequential):  # its configuration would keep the input's shape
        return keras.Sequential([fresh(layer) for layer in part.layers])
    if isinstance(part, (list, tuple)):
        return [fresh(item) for item in part]
    return type(part).from_config(part.get_config()) if hasattr(part, "get_config") else part
