"""Callbacks: the whole set's mean activation, warm-up of β, extra metrics.

ρ̂ = (1/n) Σᵢ f(x⁽ⁱ⁾)     before each epoch, by a forward pass over the whole training set
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae import checks


class WholeSetMean(keras.callbacks.Callback):
    """A callback that measures the mean code over the whole training set before each epoch.

    It is for penalties that need this mean, such as
    `kerasae.penalties.MeanActivation(mean="set")`. `fit` of an autoencoder adds it automatically;
    to measure on other examples than the training set, pass one to `fit`. With a corruption, new
    corrupted examples are drawn.

    Args:
        x: Examples, or a stream of batches that can be read again: a `tf.data.Dataset`, a
            `keras.utils.PyDataset`, a PyTorch `DataLoader`. From a stream, as many batches are
            read as an epoch has.
        batch_size: Number of examples at a time, if `x` is an array.
        validation_split: Share of an array, at its end, that `fit` keeps for validation: it is not
            measured.

    Example:

    >>> from kerasae import Autoencoder, nets, penalties
    >>> networks = nets.mlp((4,), code_size=3, units=(), code_activation="sigmoid")
    >>> model = Autoencoder(*networks, penalty=penalties.MeanActivation(0.1, mean="set"))
    >>> model.compile()
    >>> x = np.random.default_rng(0).random((64, 4), dtype="float32")
    >>> history = model.fit(x[:16], callbacks=[WholeSetMean(x)], verbose=0)
    """

    def __init__(self, x: Any, batch_size: int = 1024, validation_split: float = 0.0) -> None:
        super().__init__()
        self.x = checks.examples("x", x)
        if checks.is_array(self.x):
            checks.check_array("x", self.x)
        if isinstance(self.x, Iterator):
            raise ValueError(
                "`x` is a generator, which can be read only once, expected an array or a stream "
                "that can be read again, because a penalty needs a pass over the whole set before "
                "each epoch."
            )
        self.batch_size = checks.whole_number("batch_size", batch_size)
        self.validation_split = checks.fraction("validation_split", validation_split)

    def on_epoch_begin(self, epoch, logs=None):
        model = self.model
        asking = [p for p in model.penalties if getattr(p, "needs_whole_set", False)]
        if not asking:
            return
        total, count = 0.0, 0
        for x in self._batches():
            x = x if model.corruption is None else model.corrupt(x)
            code = np.asarray(model.encoder.predict_on_batch(x), dtype="float64")
            total, count = total + code.sum(axis=0), count + len(code)
        for penalty in asking:
            penalty.measure(total / count)

    def _batches(self) -> Iterator[np.ndarray]:
        if checks.is_array(self.x):
            end = math.floor(len(self.x) * (1 - self.validation_split))  # as Keras rounds it
            for start in range(0, end, self.batch_size):
                yield ops.convert_to_numpy(self.x[start : min(start + self.batch_size, end)])
            return
        limit = (self.params or {}).get("steps")
        if isinstance(self.x, keras.utils.PyDataset):
            limit = limit or self.x.num_batches
            stream = (self.x[index] for index in range(limit))
        else:
            stream = iter(self.x)
        for batch, _ in zip(stream, range(limit or 2**63), strict=False):
            yield ops.convert_to_numpy(keras.utils.unpack_x_y_sample_weight(batch)[0])


class WarmUp(keras.callbacks.Callback):
    """A callback that changes β, the weight of a variational model's divergence, linearly.

        β = start + (end − start) · min(epoch / epochs, 1)

    While the decoder is not yet good, the loss is smallest if the code is ignored. With a small β
    at the beginning, the model learns to use the code before the divergence is penalized (Bowman
    et al., "Generating sentences from a continuous space", 2016).

    Args:
        epochs: Number of epochs until β reaches `end`; then it is constant.
        start: β in the first epoch.
        end: β from epoch `epochs` on.

    Example:

    >>> from kerasae import VariationalAutoencoder, nets
    >>> model = VariationalAutoencoder(*nets.mlp((4,), code_size=2, posterior="diagonal"))
    >>> model.compile()
    >>> x = np.random.default_rng(0).random((16, 4), dtype="float32")
    >>> history = model.fit(x, epochs=3, callbacks=[WarmUp(epochs=4)], verbose=0)
    >>> float(ops.convert_to_numpy(model.beta))  # of the third epoch
    0.5
    """

    def __init__(self, epochs: int, start: float = 0.0, end: float = 1.0) -> None:
        super().__init__()
        self.epochs = checks.whole_number("epochs", epochs)
        self.start = checks.not_negative("start", start)
        self.end = checks.not_negative("end", end)

    def on_train_begin(self, logs=None):
        if not hasattr(self.model, "beta"):
            raise ValueError(
                f"`callbacks` holds a WarmUp, but {type(self.model).__name__} has no `beta`, "
                "expected a variational model."
            )

    def on_epoch_begin(self, epoch, logs=None):
        share = min(epoch / self.epochs, 1.0)
        self.model.beta.assign(self.start + (self.end - self.start) * share)


class Record(keras.callbacks.Callback):
    """A callback that computes a number from the model after each epoch, for the history.

    Callbacks that come later in the list, such as `EarlyStopping`, can monitor it.

    Args:
        name: Name of the number in the history.
        function: A function that takes the model and returns a number.
        every: Number of epochs between two computations; in between, the history holds NaN.

    Example:

    >>> from kerasae import Autoencoder, nets
    >>> model = Autoencoder(*nets.mlp((4,), code_size=3, units=()))
    >>> model.compile()
    >>> x = np.random.default_rng(0).random((16, 4), dtype="float32")
    >>> spread = Record("spread", lambda model: model.encode(x).std(), every=2)
    >>> history = model.fit(x, epochs=4, callbacks=[spread], verbose=0).history["spread"]
    >>> np.isfinite(history).tolist()
    [False, True, False, True]
    """

    def __init__(self, name: str, function: Callable[[Any], float], every: int = 1) -> None:
        super().__init__()
        if not callable(function):
            raise ValueError(
                f"`function` is {function!r}, expected a function of the model that returns a "
                "number."
            )
        self.name, self.function = name, function
        self.every = checks.whole_number("every", every)

    def on_epoch_end(self, epoch, logs=None):
        if self.name in logs:
            raise ValueError(
                f"`name` is {self.name!r}, which the history has already, expected another name."
            )
        due = (epoch + 1) % self.every == 0
        logs[self.name] = float(self.function(self.model)) if due else math.nan
