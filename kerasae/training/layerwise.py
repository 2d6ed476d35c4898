"""Greedy layerwise training: a stack of autoencoders, one phase after the other.

    phase k        min L(ĥ_{k−1}, h_{k−1})      over stage k alone; h_{k−1} is fixed by then
    fine-tuning    min L(x̂, x)                  over the whole stack

There are two ways with one result: each phase has its own network, which is trained on the hidden
outputs of the layer below and copied into the stack afterwards; or all phases are in one graph, in
which the layers below are fixed. For n = 2 the loss of phase 2 is the deck's
MSE(hidden 3 − hidden 1).

Hinton & Salakhutdinov, "Reducing the dimensionality of data with neural networks" (2006);
Bengio, Lamblin, Popovici & Larochelle, "Greedy layer-wise training of deep networks" (2007).
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import keras

from kerasae import checks
from kerasae.engine.streams import predictions
from kerasae.storage import files
from kerasae.training import checkpoint
from kerasae.training.resume import resumable_fit

Callbacks = Iterable[keras.callbacks.Callback]


def fit_layerwise(
    model: Any,
    x: Any,
    epochs: int | list[int] = 10,
    batch_size: int = 32,
    *,
    one_graph: bool = False,
    optimizer: Any = None,
    loss: Any = None,
    corruption: Any = "model",
    penalty: Any = "model",
    fine_tuning_epochs: int = 0,
    fine_tuning_optimizer: Any = None,
    validation_data: Any = None,
    callbacks: Callbacks | Callable[[str], Callbacks] = (),
    seed: int = 0,
    resume: str | Path | None = None,
    verbose: Any = "auto",
) -> keras.callbacks.History:
    """Train a stack phase by phase, then as a whole.

    Arguments per phase take one value for all phases, or a list with one per phase. By default a
    phase takes the model's compile arguments. Each phase has an optimizer of its own, so that the
    model's optimizer does not change.

    Order and noise are drawn from the seed, the phase and the epoch: both ways end with the same
    weights, to float precision.

    Args:
        model: A compiled `kerasae.StackedAutoencoder`.
        x: Array of examples.
        epochs: Number of epochs per phase.
        batch_size: Number of examples in a batch.
        one_graph: If True, phases train in the stack itself; else in their own networks, on
            hidden outputs that are computed once for each phase.
        optimizer: Optimizer per phase; `None` for the compiled one.
        loss: Loss per phase; `None` for the compiled one in phase 1, and the mean squared error
            between hidden outputs in the others.
        corruption: Corruption of the input per phase; `"model"` for new copies of the model's.
        penalty: Penalty of the code per phase; `"model"` for new copies of the model's.
        fine_tuning_epochs: Number of epochs of the whole stack at the end.
        fine_tuning_optimizer: Optimizer of the whole stack; `None` for the compiled one.
        validation_data: Array of examples on which every phase is validated, or `(x,)`.
        callbacks: Callbacks of every phase, or a function that returns them for the name of a
            phase (`"phase_1"`, `"fine_tuning"`). Callbacks that monitor a metric need an explicit
            `mode`, such as `mode="min"` for `"val_phase_1_loss"`.
        seed: Seed of order and noise.
        resume: A folder; an interrupted run is resumed after the last epoch found there. Only one
            run at a time can write to it.
        verbose: As in `fit`; if 0, the phases are not announced either.

    Returns:
        The history of all phases: `phase_1_loss`, `val_phase_1_loss`, …, `fine_tuning_loss`.

    Example:

    >>> import numpy as np
    >>> from kerasae.models.stacked import StackedAutoencoder
    >>> model = StackedAutoencoder(units=(8, 4))
    >>> model.compile(optimizer="adam", loss="mse")
    >>> x = np.random.default_rng(0).random((32, 16), dtype="float32")
    >>> history = model.fit_layerwise(x, epochs=[2, 1], fine_tuning_epochs=3, verbose=0)
    >>> len(history.history["phase_1_loss"]), len(history.history["fine_tuning_loss"])
    (2, 3)
    """
    if not model.compiled:
        raise ValueError("The model is not compiled, expected a call of `compile` first.")
    x = checks.as_array("x", x)
    model.check_batch(x, None, None)
    if validation_data is not None:
        validation_data = keras.utils.unpack_x_y_sample_weight(validation_data)[0]
        validation_data = checks.as_array("validation_data", validation_data)
        model.check_batch(validation_data, None, None)
    checks.whole_number("batch_size", batch_size)
    checks.whole_number("seed", seed, least=0)
    loss = [model.loss] + ["mse"] * (model.depth - 1) if loss is None else loss
    by_name = {"optimizer": optimizer, "loss": loss, "corruption": corruption, "penalty": penalty}
    phases = _phases(model.depth, epochs=epochs, **by_name)
    for phase in phases:  # before any training
        phase.network(model, not one_graph).compile(**phase.compilation(model))
    checks.whole_number("fine_tuning_epochs", fine_tuning_epochs, least=0)
    last = Phase(model.depth + 1, fine_tuning_epochs, fine_tuning_optimizer, model.loss)
    last.compilation(model)
    settings = {"stack": model.get_config(), "x": checkpoint.fingerprint(x), "one_graph": one_graph}
    beginning = None if resume is None else Path(resume) / "begin.npz"
    options = {"batch_size": batch_size, "seed": seed, "folder": resume, "verbose": verbose}
    history: dict[str, list[float]] = {}

    def train(network, phase, x, validation_data):
        network.compile(**phase.compilation(model))
        if verbose:
            count = model.depth + bool(last.epochs)
            print(f"Phase {phase.number} of {count}: {network.summary_line}")
        validation = None if validation_data is None else (validation_data,)
        phase_callbacks = callbacks(network.name) if callable(callbacks) else callbacks
        own = settings | {"phase": network.settings}
        part = phase.fit(network, x, validation, phase_callbacks, settings=own, **options)
        history.update(part.history)

    with files.lock(beginning):
        if beginning is not None:
            checkpoint.begin(model, beginning, settings)
        h, h_validation = x, validation_data
        for phase in phases:
            network = phase.network(model, not one_graph)
            train(network, phase, h, h_validation)
            if not one_graph:
                model.put_back(phase.number, network)
                # The data of the next phase, computed once.
                h = predictions(network.encoder, h, batch_size)
                if h_validation is not None:
                    h_validation = predictions(network.encoder, h_validation, batch_size)
        if last.epochs:
            train(model.fine_tuning_network(), last, x, validation_data)
    result = keras.callbacks.History()
    result.set_model(model)
    result.history = history
    return result


class Phase(NamedTuple):
    """The settings of one phase."""

    number: int
    epochs: int
    optimizer: Any = None
    loss: Any = None
    corruption: Any = "model"
    penalty: Any = "model"

    def network(self, model: Any, copied: bool) -> Any:
        """Return the phase's network, of copies or of the stack's own layers."""
        return model.phase_network(self.number, copied, self.corruption, self.penalty)

    def fit(self, network, x, validation_data, callbacks, **options) -> keras.callbacks.History:
        """Train the phase's network with Keras's `fit`, unless a file says that it is done."""
        return resumable_fit(
            network,
            x,
            epochs=self.epochs,
            phase=self.number,
            validation_data=validation_data,
            callbacks=callbacks,
            # The stack has checked x, and has just computed h: only their range may not suit.
            checked=not network.error.is_cross_entropy,
            **options,
        )

    def compilation(self, model: Any) -> dict[str, Any]:
        """Return compile arguments: copies of the model's, this optimizer and this loss."""
        config = model.get_compile_config()
        # The caller's own functions cannot be deserialized.
        del config["loss"]
        metrics = keras.tree.flatten(model.aside.compiled)
        known = {f.__name__: f for f in metrics if callable(f) and hasattr(f, "__name__")}
        config = keras.saving.deserialize_keras_object(config, known)
        if self.optimizer is not None:
            optimizer = keras.optimizers.get(self.optimizer)
            config["optimizer"] = type(optimizer).from_config(optimizer.get_config())
        return config | {"loss": self.loss}


def _phases(count: int, **settings: Any) -> list[Phase]:
    """Return the phases, from 1, given one value for all or a list with one for each."""
    by_name = {name: _per_phase(name, value, count) for name, value in settings.items()}
    for epochs in by_name["epochs"]:
        checks.whole_number("epochs", epochs)
    rows = zip(*by_name.values(), strict=True)
    return [Phase(k, **dict(zip(by_name, row, strict=True))) for k, row in enumerate(rows, start=1)]


def _per_phase(name: str, value: Any, count: int) -> list[Any]:
    """Return a list with one value for each phase."""
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise ValueError(
            f"`{name}` is a list of {len(value)}, expected {count}, one for each phase, or one "
            "value for all."
        )
    return list(value)
