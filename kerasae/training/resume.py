"""Training that can be resumed: an interrupted run ends as an uninterrupted one does.

    order and noise of an epoch = function(seed, phase, epoch)

An epoch depends on the state at its beginning and on these three numbers, and on nothing else. So
a file with the state at the end of each epoch is enough: weights, optimizer variables and history.
A resumed run repeats the interrupted epoch, and ends with the same weights and the same history,
bit for bit on the same backend and machine.

It is Keras's own `fit`, with a data set in the right order and one callback.
"""

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import tree

from kerasae import checks
from kerasae.engine.randomness import global_randomness, random_states, seed_globally
from kerasae.engine.streams import Rows
from kerasae.storage import files
from kerasae.training import checkpoint


def resumable_fit(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    epochs: int,
    batch_size: int = 32,
    seed: int = 0,
    phase: int = 1,
    folder: str | Path | None = None,
    settings: dict[str, Any] | None = None,
    sample_weight: Any = None,
    validation_data: Any = None,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    verbose: Any = "auto",
    checked: bool = False,
) -> keras.callbacks.History:
    """Train as `model.fit` does, with order and noise drawn from (seed, phase, epoch).

    With a `folder` the state after each epoch is kept in `folder/phase_<phase>.npz`. A call with
    the same settings and data resumes after the last epoch found there, or returns the result if
    all epochs are done. Numbers and lists of weights that callbacks hold are restored, such as
    those of `keras.callbacks.EarlyStopping`. Two runs cannot write one file.

    Args:
        model: Any compiled model, with any optimizer.
        x: Array of examples, or a dict or tuple of such arrays.
        y: Targets, as the model's `fit` takes them.
        epochs: Number of epochs, those before an interruption included.
        batch_size: Number of examples in a batch; a short last batch is kept.
        seed: Seed of order and noise. Random states are set from it at the beginning of each
            epoch, those of corruptions and dropout included.
        phase: Number of this part of a longer training; each has its own order and file.
        folder: Folder for the state, or `None`.
        settings: Settings that must be equal if a run is to be resumed, beside shapes,
            compilation, seed and sizes; `None` for the data and the model's own configuration.
        sample_weight: Weight of each example.
        validation_data: As in `fit`.
        callbacks: As in `fit`.
        verbose: As in `fit`.
        checked: If True, the caller has checked the data, which are not scanned again.

    Returns:
        The history of all epochs, those before an interruption included.

    Example:

    >>> import tempfile
    >>> from kerasae import Autoencoder, nets
    >>> x = np.random.default_rng(0).random((20, 4), dtype="float32")
    >>> model = Autoencoder(*nets.mlp((4,), code_size=2, units=()))
    >>> model.compile()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first = resumable_fit(model, x, epochs=3, folder=folder, verbose=0)
    ...     again = resumable_fit(model, x, epochs=3, folder=folder, verbose=0)  # only looks
    >>> len(first.history["loss"]), first.history == again.history
    (3, True)
    """
    data = _arrays(x, y, sample_weight)
    if hasattr(model, "check_batch") and not checked:
        model.check_batch(*data)
    if not model.built:
        model.build(tree.map_structure(lambda array: (None, *array.shape[1:]), data[0]))
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    batches = Batches(
        data,
        checks.whole_number("batch_size", batch_size),
        checks.whole_number("seed", seed, 0),
        phase,
    )
    if settings is None:
        settings = {"data": checkpoint.fingerprint(data), "model": _configuration(model)}
    settings = {
        "backend": keras.backend.backend(),
        "seed": seed,
        "batch_size": batch_size,
        "epochs": checks.whole_number("epochs", epochs),
        "weights": [list(weight.shape) for weight in model.weights],
        "compilation": model.get_compile_config(),
        "validation_data": checkpoint.fingerprint(validation_data),
        **settings,
    }
    callbacks = list(callbacks)
    path = None if folder is None else Path(folder) / f"phase_{phase}.npz"
    checkpointer = Checkpointer(model, batches, callbacks, path, settings)
    with files.lock(path):
        checkpointer.restore()
        if checkpointer.finished:
            checkpointer.restore_callbacks()
        else:
            with global_randomness():
                model.fit(
                    batches,
                    epochs=epochs,
                    initial_epoch=epochs if checkpointer.stopped else checkpointer.epoch,
                    shuffle=False,  # `batches` already has the order of the epoch
                    validation_data=validation_data,
                    validation_batch_size=batch_size,
                    callbacks=[*callbacks, checkpointer],
                    verbose=verbose,
                )
            checkpointer.finished = True
            checkpointer.save()
    history = keras.callbacks.History()
    history.set_model(model)
    history.epoch, history.history = list(range(checkpointer.epoch)), checkpointer.history
    return history


class Batches(Rows):
    """The examples in batches, in an order that is drawn from seed, phase and epoch.

    Args:
        data: x, y and sample weights; arrays or nests of arrays, `None` if there are none.
        batch_size: Number of examples in a batch.
        seed: Seed of the run.
        phase: Phase of the run.
    """

    def __init__(self, data: Sequence[Any], batch_size: int, seed: int, phase: int) -> None:
        super().__init__()
        self.data = tuple(part for part in data if part is not None)
        self.batch_size, self.seed, self.phase = batch_size, seed, phase
        self.length = len(tree.flatten(self.data)[0])
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Draw the order of an epoch."""
        self.order = np.random.default_rng([self.seed, self.phase, epoch]).permutation(self.length)

    def random_state(self, epoch: int, index: int) -> int:
        """Return the seed, below 2³¹, of random generator number `index` in an epoch."""
        sequence = np.random.SeedSequence([self.seed, self.phase, epoch, index])
        return int(sequence.generate_state(1)[0] >> 1)

    def __len__(self) -> int:
        return math.ceil(self.length / self.batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        return tree.map_structure(lambda array: array[rows], self.data)


class Checkpointer(keras.callbacks.Callback):
    """Callback that sets order and noise before an epoch, and keeps the state after it.

    Args:
        trained: The model.
        batches: Data of the model.
        others: Callbacks whose state is kept as well.
        path: Path of the file, or `None`.
        settings: Settings with which a file must have been made.
    """

    def __init__(
        self,
        trained: keras.Model,
        batches: Batches,
        others: list[keras.callbacks.Callback],
        path: Path | None,
        settings: dict[str, Any],
    ) -> None:
        super().__init__()
        self.trained, self.batches, self.others = trained, batches, others
        self.path, self.settings = path, checkpoint.described(settings)
        self.epoch, self.history = 0, {}
        self.finished = self.stopped = False
        self.callback_states: list[tuple[str, dict[str, Any]]] = []  # class and attributes
        self.random = random_states(trained)

    def on_train_begin(self, logs=None):
        self.restore_callbacks()  # after the other callbacks, which reset themselves here
        if self.epoch == 0:
            self.save()  # the initial weights
        self.set_epoch(self.epoch)

    def on_epoch_begin(self, epoch, logs=None):
        self.set_epoch(epoch)  # again, because a callback before this one may have drawn something

    def on_epoch_end(self, epoch, logs=None):
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))
        self.epoch, self.stopped = epoch + 1, self.trained.stop_training
        self.save()
        self.set_epoch(epoch + 1)  # for draws of callbacks before this one at its beginning

    def restore_callbacks(self) -> None:
        """Restore the state of the callbacks."""
        for callback, (name, attributes) in zip(self.others, self.callback_states, strict=False):
            if type(callback).__name__ == name:
                for key, value in attributes.items():
                    if checkpoint.may_set(callback, key, value):
                        vars(callback)[key] = checkpoint.restored_value(value)

    def set_epoch(self, epoch: int) -> None:
        """Set order and noise of an epoch."""
        self.batches.set_epoch(epoch)
        seed_globally(self.batches.random_state(epoch, 0))
        for index, state in enumerate(self.random, start=1):
            state.assign([self.batches.random_state(epoch, index), 0])

    def save(self) -> None:
        """Write the state, whole or not at all."""
        if self.path is None:
            return
        progress = {
            "epoch": self.epoch,
            "history": self.history,
            "stopped": self.stopped,
            "finished": self.finished,
            "callbacks": [(type(c).__name__, checkpoint.numbers_of(c)) for c in self.others],
        }
        arrays = {"given": np.array(self.settings), "progress": np.array(json.dumps(progress))}
        for name, variables in self._state().items():
            for index, variable in enumerate(variables):
                arrays[f"{name}_{index}"] = checkpoint.portable_array(variable)
        for index, callback in enumerate(self.others):
            for name, values in checkpoint.weight_lists(callback).items():
                for place, value in enumerate(values):
                    arrays[f"callback/{index}/{name}/{place}"] = value
        checkpoint.write(self.path, arrays)

    def restore(self) -> None:
        """Read the state, if there is one.

        Raises:
            ValueError: If the file is damaged, or of a run with other settings or data.
        """
        arrays = None if self.path is None else checkpoint.read(self.path, self.settings)
        if arrays is None:
            return
        progress = json.loads(str(arrays["progress"]))
        for name, variables in self._state().items():
            for index, variable in enumerate(variables):
                variable.assign(arrays[f"{name}_{index}"])
        for name in ("epoch", "history", "stopped", "finished"):
            setattr(self, name, progress[name])
        self.callback_states = progress["callbacks"]
        for key, value in arrays.items():  # in the order in which they were written
            if key.startswith("callback/"):
                _, index, name, _ = key.split("/")
                self.callback_states[int(index)][1].setdefault(name, []).append(value)

    def _state(self) -> dict[str, list[keras.Variable]]:
        return {"weight": self.trained.weights, "optimizer": self.trained.optimizer.variables}


def _arrays(x: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
    """Return the data as NumPy arrays, of one length."""
    data = []
    for name, value in (("x", x), ("y", y), ("sample_weight", sample_weight)):
        for leaf in tree.flatten(value):
            if leaf is not None and not checks.is_array(leaf):
                raise ValueError(
                    f"`{name}` is of type {type(leaf).__name__}, expected an array: the order of a "
                    "stream cannot be drawn again."
                )
        data.append(tree.map_structure(_array, value))
    x, y, sample_weight = data
    if sample_weight is not None and y is None:
        y = x  # Keras drops the weights of examples that have no target.
    leaves = enumerate(tree.flatten((x, y, sample_weight)))
    checks.check_same_length(
        **{f"array {index}": leaf for index, leaf in leaves if leaf is not None}
    )
    return x, y, sample_weight


def _array(value: Any) -> np.ndarray | None:
    return None if value is None else checks.as_numpy(value)


def _configuration(model: keras.Model) -> Any:
    try:
        return model.get_config()
    except NotImplementedError:  # a user's model without a configuration
        return type(model).__name__
