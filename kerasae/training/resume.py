"""Training that can be resumed: an interrupted run ends as an uninterrupted one does.

    order and noise of an epoch = function(seed, phase, epoch)

An epoch depends on the state at its beginning and on these three numbers, and on nothing else. So
a file with the state at the end of each epoch is enough: weights, optimizer variables and history.
A resumed run repeats the interrupted epoch, and ends with the same weights and the same history,
bit for bit on the same backend and machine.

It is Keras's own `fit`, with a data set in the right order and one callback.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from kerasae import checks, files
from kerasae.datasets import store
from kerasae.engine.optimizer_group import portable
from kerasae.engine.randomness import global_randomness, seed_globally

ORIGIN = "a checkpoint of kerasae.training.resume, version 1"


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
    if hasattr(model, "check_batch"):
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
        settings = {"data": fingerprint(data), "model": _configuration(model)}
    given = {
        "backend": keras.backend.backend(),
        "seed": seed,
        "batch_size": batch_size,
        "epochs": checks.whole_number("epochs", epochs),
        "weights": [list(weight.shape) for weight in model.weights],
        "compilation": model.get_compile_config(),
        "validation_data": fingerprint(validation_data),
        **settings,
    }
    callbacks = list(callbacks)
    path = None if folder is None else Path(folder) / f"phase_{phase}.npz"
    keeper = Keeper(model, batches, callbacks, path, given)
    with files.lock(path):
        keeper.restore()
        if keeper.finished:
            keeper.recall()
        else:
            with global_randomness():
                model.fit(
                    batches,
                    epochs=epochs,
                    initial_epoch=epochs if keeper.stopped else keeper.epoch,
                    shuffle=False,  # `batches` already has the order of the epoch
                    validation_data=validation_data,
                    validation_batch_size=batch_size,
                    callbacks=[*callbacks, keeper],
                    verbose=verbose,
                )
            keeper.finished = True
            keeper.save()
    history = keras.callbacks.History()
    history.set_model(model)
    history.epoch, history.history = list(range(keeper.epoch)), keeper.history
    return history


class Batches(keras.utils.PyDataset):
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


class Keeper(keras.callbacks.Callback):
    """Callback that sets order and noise before an epoch, and keeps the state after it.

    Args:
        trained: The model.
        batches: Data of the model.
        others: Callbacks whose state is kept as well.
        path: Path of the file, or `None`.
        given: Settings with which a file must have been made.
    """

    def __init__(
        self,
        trained: keras.Model,
        batches: Batches,
        others: list[keras.callbacks.Callback],
        path: Path | None,
        given: dict[str, Any],
    ) -> None:
        super().__init__()
        self.trained, self.batches, self.others = trained, batches, others
        self.path, self.given = path, _described(given)
        self.epoch, self.history = 0, {}
        self.finished = self.stopped = False
        self.remembered: list[tuple[str, dict[str, Any]]] = []  # class and attributes
        self.random = random_states(trained)

    def on_train_begin(self, logs=None):
        self.recall()  # after the other callbacks, which reset themselves here
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

    def recall(self) -> None:
        """Restore the state of the callbacks."""
        for callback, (name, attributes) in zip(self.others, self.remembered, strict=False):
            if type(callback).__name__ == name:
                known = {k: v for k, v in attributes.items() if _may_hold(callback, k, v)}
                vars(callback).update({k: _recalled(value) for k, value in known.items()})

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
            "callbacks": [(type(c).__name__, _remembered(c)) for c in self.others],
        }
        arrays = {"given": np.array(self.given), "progress": np.array(json.dumps(progress))}
        for name, variables in self._state().items():
            for index, variable in enumerate(variables):
                arrays[f"{name}_{index}"] = _portable_array(variable)
        for index, callback in enumerate(self.others):
            for name, values in _weight_lists(callback).items():
                for place, value in enumerate(values):
                    arrays[f"callback/{index}/{name}/{place}"] = value
        store.write(self.path, ORIGIN, arrays)

    def restore(self) -> None:
        """Read the state, if there is one.

        Raises:
            ValueError: If the file is damaged, or of a run with other settings or data.
        """
        arrays = None if self.path is None else _read(self.path, self.given)
        if arrays is None:
            return
        progress = json.loads(str(arrays["progress"]))
        for name, variables in self._state().items():
            for index, variable in enumerate(variables):
                variable.assign(arrays[f"{name}_{index}"])
        for name in ("epoch", "history", "stopped", "finished"):
            setattr(self, name, progress[name])
        self.remembered = progress["callbacks"]
        for key, value in arrays.items():  # in the order in which they were written
            if key.startswith("callback/"):
                _, index, name, _ = key.split("/")
                self.remembered[int(index)][1].setdefault(name, []).append(value)

    def _state(self) -> dict[str, list[keras.Variable]]:
        return {"weight": self.trained.weights, "optimizer": self.trained.optimizer.variables}


def random_states(model: keras.Model) -> list[keras.Variable]:
    """Return the states of a model's seed generators: the variables that are no weights."""
    weights = {id(weight) for weight in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]


def begin(model: keras.Model, path: Path, given: dict[str, Any]) -> None:
    """Write the initial weights of a run of several phases, or restore them.

    Args:
        model: The model, built.
        path: Path of the file.
        given: Settings with which a file must have been made.
    """
    given = _described(given)
    arrays = _read(path, given)
    if arrays is None:
        values = {str(index): _portable_array(v) for index, v in enumerate(model.weights)}
        store.write(path, ORIGIN, {"given": np.array(given), **values})
    else:
        for index, variable in enumerate(model.weights):
            variable.assign(arrays[str(index)])


def _read(path: Path, given: str) -> dict[str, np.ndarray] | None:
    """Return the arrays of a file, `None` if there is no file.

    Raises:
        ValueError: If it is damaged, or of a run with other settings or data.
    """
    try:
        arrays = store.read(path, ORIGIN)
    except OSError as error:
        raise ValueError(
            f"`{path}` cannot be read ({error.strerror}), expected a checkpoint: make it readable, "
            "or give another folder."
        ) from error
    except Exception as error:  # a damaged archive raises many kinds of errors
        raise ValueError(
            f"`{path}` is damaged, expected a whole checkpoint: delete it and start the same run "
            "again."
        ) from error
    if arrays is None:
        if path.exists():
            raise ValueError(f"`{path}` is no checkpoint, expected one, or another folder.")
        return None
    came, expected = json.loads(str(arrays["given"])), json.loads(given)
    for name in expected:
        if came.get(name) != expected[name]:
            what = f"another `{name}`"
            if isinstance(expected[name], int):
                what = f"`{name}` {came.get(name)}, expected {expected[name]}"
            raise ValueError(
                f"`{path}` is of a run with {what}: give the same settings and data, or another "
                "folder."
            )
    return arrays


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
    return None if value is None else ops.convert_to_numpy(value)


def _portable_array(variable: keras.Variable) -> np.ndarray:
    """Return a variable's value in a type that NumPy's files have; bfloat16 becomes float32."""
    value = ops.convert_to_numpy(variable.value)
    return value if value.dtype.kind in "fiub" else value.astype("float32")


def fingerprint(data: Any) -> str:
    """Return a fingerprint of arrays, and of the types of all other leaves."""
    digest = hashlib.blake2b(digest_size=16)
    for leaf in tree.flatten(data):
        if checks.is_array(leaf):
            array = np.ascontiguousarray(ops.convert_to_numpy(leaf))
            digest.update(f"{array.shape} {array.dtype}".encode())
            digest.update(array.view("uint8") if array.size else b"")
        else:
            digest.update(type(leaf).__name__.encode())
    return digest.hexdigest()


def _configuration(model: keras.Model) -> Any:
    try:
        return model.get_config()
    except NotImplementedError:  # a user's model without a configuration
        return type(model).__name__


def _described(config: Any) -> str:
    """Return a configuration as JSON, independent of the numbers that Keras gives to names."""
    config = portable(config)
    names: dict[str, str] = {}

    def collect(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(value.get("name"), str):
                names.setdefault(value["name"], f"name {len(names)}")
            for item in value.values():
                collect(item)
        elif isinstance(value, (list, tuple)):
            for item in value:
                collect(item)

    def rename(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: rename(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [rename(item) for item in value]
        return names.get(value, value) if isinstance(value, str) else value

    collect(config)
    return json.dumps(rename(config), sort_keys=True, default=repr)


def _remembered(callback: keras.callbacks.Callback) -> dict[str, Any]:
    """Return a callback's numbers, and the operations of `keras.ops` that it compares with."""
    found = {}
    for name, value in vars(callback).items():
        if isinstance(value, (int, float)):
            found[name] = value
        elif isinstance(value, np.number):
            found[name] = value.item()
        elif _is_operation(value):
            found[name] = {"ops": value.__name__}
    return found


def _recalled(value: Any) -> Any:
    return getattr(ops, value["ops"]) if isinstance(value, dict) else value


def _may_hold(callback: keras.callbacks.Callback, name: str, value: Any) -> bool:
    """Return whether a file may set an attribute of a callback to a value.

    Numbers, weights and operations of Keras replace only such values or None. So no file can set
    where a callback writes, or what it calls.
    """
    if isinstance(value, dict):
        value = getattr(ops, str(value.get("ops")), None)
        if not _is_operation(value):
            return False
    there = vars(callback).get(name, getattr(type(callback), name, None))
    return _is_kept(value) and (there is None or _is_kept(there))


def _is_kept(value: Any) -> bool:
    """Return whether a checkpoint keeps values of this kind."""
    arrays = isinstance(value, list) and all(isinstance(each, np.ndarray) for each in value)
    return arrays or isinstance(value, (int, float, np.number)) or _is_operation(value)


def _is_operation(value: Any) -> bool:
    return callable(value) and getattr(ops, getattr(value, "__name__", ""), None) is value


def _weight_lists(callback: keras.callbacks.Callback) -> dict[str, list[np.ndarray]]:
    """Return the weights that a callback holds, such as the best ones so far."""
    return {
        name: value
        for name, value in vars(callback).items()
        if isinstance(value, list) and value and all(isinstance(v, np.ndarray) for v in value)
    }
