"""What every model of several players promises, asserted in one call.

    assert_game_contract(make_model, x, other_backends, tmp_path, parts)

The logs name every part of the loss, in training and validation alike, and they are finite; each
player moves its own variables and no others; eager, compiled and two-step execution agree; the
same seed gives the same run, also if it is saved in the middle and goes on from the file, or is
killed and goes on by `resumable_fit`; config, file and preset round trips give the same outputs,
under the other backends too; mixed precision trains; bad input is one sentence.

And the mathematics is there, as `contract.py` says: the loss is the sum of all players' parts.

Compiling takes most of the time, so what does not depend on it runs eagerly; but not on JAX, which
compiles every single operation then.
"""

import keras
import numpy as np
import pytest
from contract import assert_bad_input_is_refused, assert_mathematics, assert_round_trips

from kerasae.engine.optimizer_group import OptimizerGroup
from kerasae.training.resume import resumable_fit

BACKEND = keras.backend.backend()
BATCH = 16
FEW_STEPS = {"run_eagerly": BACKEND != "jax"}

# Eager steps on JAX compile each operation: `test_games` does that once, with a small game.
MODES = {
    **({} if BACKEND == "jax" else {"eager": {"run_eagerly": True}}),
    "default": {},
    **({"xla": {"jit_compile": True}} if BACKEND == "tensorflow" else {}),
    # Keras has no several steps per execution on PyTorch.
    **({} if BACKEND == "torch" else {"two_steps": {"steps_per_execution": 2}}),
}


def assert_game_contract(
    make_model,
    x,
    other_backends,
    tmp_path,
    parts,
    y=None,
    inputs=None,
    loss=None,
    targets=True,
    **mathematics,
):
    """Asserts the whole contract.

    Args:
        make_model: Returns a new, uncompiled model.
        x: Examples in [0, 1], 48 of them.
        other_backends: The fixture of that name.
        tmp_path: The fixture of that name.
        parts: Names of all metrics but `loss`.
        y: Labels, for a conditional model.
        inputs: What `predict` takes, if that is not `x`.
        loss: Reconstruction term to compile with, for a model that has one.
        targets: Whether `fit` takes what is to be reconstructed as y.
        **mathematics: Further arguments of `contract.assert_mathematics`.
    """
    inputs = x if inputs is None else inputs

    def start(**arguments):
        return compiled(make_model, loss, **arguments)

    model = start()
    assert_goes_on_after_saving(start, x, y, tmp_path, model)
    assert_logs(model, x, y, parts)
    assert_players_move_their_own(start, x, y)
    assert_modes_agree(make_model, x, y, loss)
    assert_goes_on_after_a_kill(start, x, y, tmp_path)
    assert_round_trips(model, inputs, other_backends, tmp_path, y, examples=x)
    assert_bad_input_is_refused(model, x, loss, y, targets)
    assert_mathematics(model, x, other_backends, tmp_path, y, loss, inputs, **mathematics)
    assert_mixed_precision_trains(start, x, y, "mixed_float16")
    assert_mixed_precision_trains(start, x, y, "mixed_bfloat16", **FEW_STEPS)


def compiled(make_model, loss=None, rate=2e-3, **arguments):
    """A new model, the same each time, with different optimizers for its players."""
    keras.utils.set_random_seed(7)
    model = make_model()
    optimizers = {
        player: keras.optimizers.Adam(rate / (1 + index), beta_1=0.5)
        for index, player in enumerate(model.player_variables())
    }
    model.compile(OptimizerGroup(optimizers), **({"loss": loss} if loss else {}), **arguments)
    return model


def few(count, *arrays):
    """The first `count` batches of each, of `None` nothing."""
    return [None if array is None else array[: count * BATCH] for array in arrays]


def fit(model, x, y, epochs=2, **arguments):
    return model.fit(
        x, y, batch_size=BATCH, epochs=epochs, shuffle=False, verbose=0, **arguments
    ).history


def everything(model):
    """Weights, random states, and the state of every optimizer."""
    return [variable.numpy() for variable in model.variables + model.optimizer.variables]


def assert_equal(ones, others, **tolerance):
    assert len(ones) == len(others)
    for one, other in zip(ones, others, strict=True):
        np.testing.assert_allclose(one, other, **(tolerance or {"rtol": 0, "atol": 0}))


def assert_logs(model, x, y, parts):
    """Trains the model on, with validation."""
    history = fit(model, x, y, validation_data=(x,) if y is None else (x, y))
    names = {"loss", *parts}
    assert set(model.evaluate(x, y, verbose=0, return_dict=True)) == names
    assert set(history) == names | {f"val_{name}" for name in names}
    assert all(np.isfinite(values).all() for values in history.values())
    assert {m.name for m in model.metrics} - {"compile_metrics"} == names


def assert_players_move_their_own(start, x, y):
    """One step for each player, in which the others' learning rates are 0."""
    model = start(**FEW_STEPS)
    optimizers = {player: model.optimizer[player] for player in model.player_variables()}
    rates = {player: float(each.learning_rate) for player, each in optimizers.items()}
    for player, variables in model.player_variables().items():
        own = {id(variable) for variable in variables}
        before = [variable.numpy() for variable in model.trainable_variables]
        for other, optimizer in optimizers.items():
            optimizer.learning_rate = rates[other] if other == player else 0.0
        fit(model, *few(1, x, y), epochs=1)
        for variable, value in zip(model.trainable_variables, before, strict=True):
            moved = np.abs(variable.numpy() - value).max() > 0
            if id(variable) not in own:
                assert not moved, f"{player}: {variable.path}"
            elif len(variable.shape) > 1:  # a bias may have no gradient: of a score, for one
                assert moved, f"{player}: {variable.path}"
    steps = [int(optimizer.iterations) for optimizer in optimizers.values()]
    assert all(step >= len(optimizers) for step in steps)


def assert_modes_agree(make_model, x, y, loss):
    # SGD: where a gradient is 0 up to rounding, Adam makes a whole step of its sign.
    runs = {}
    for mode, arguments in MODES.items():
        model = compiled(make_model, loss, **arguments)
        players = model.optimizer.players
        sgd = {player: keras.optimizers.SGD(0.02, momentum=0.5) for player in players}
        model.compile(sgd, **({"loss": loss} if loss else {}), **arguments)
        history = fit(model, *few(2, x, y), epochs=1)
        runs[mode] = [*everything(model), *(history[name] for name in sorted(history))]
    for mode in runs:
        if mode == "xla":  # in which TensorFlow draws other numbers from the same seed
            assert all(np.isfinite(value).all() for value in runs[mode])
        else:
            assert_equal(runs[mode], runs["default"], rtol=1e-4, atol=1e-5)


def assert_goes_on_after_saving(start, x, y, tmp_path, whole=None):
    """Two epochs in one go equal one, a file, and another one, bit for bit.

    The two begin with the same seed, so that this is also the promise to repeat a run.
    """
    whole = whole or start()
    fit(whole, x, y, epochs=2)
    half = start()
    fit(half, x, y, epochs=1)
    half.save(tmp_path / "half.keras")
    keras.utils.set_random_seed(99)
    loaded = keras.saving.load_model(tmp_path / "half.keras")
    assert_equal(everything(loaded), everything(half))
    fit(loaded, x, y, epochs=1)
    assert_equal(everything(loaded), everything(whole))


class Kill(keras.callbacks.Callback):
    """Stops the program in the second batch of the third epoch."""

    def on_train_batch_begin(self, batch, logs=None):
        if self.epoch == 2 and batch == 1:
            raise KeyboardInterrupt

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch


def assert_goes_on_after_a_kill(start, x, y, tmp_path):
    """Training that is killed and begun again equals training that ran through."""
    x, y = few(2, x, y)
    arguments = {"epochs": 4, "batch_size": BATCH, "seed": 3, "verbose": 0}
    whole = start(**FEW_STEPS)
    expected = resumable_fit(whole, x, y, **arguments).history
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        resumable_fit(start(**FEW_STEPS), x, y, folder=folder, callbacks=[Kill()], **arguments)
    keras.utils.set_random_seed(99)
    resumed = start(**FEW_STEPS)
    history = resumable_fit(resumed, x, y, folder=folder, **arguments).history
    assert history == expected
    assert_equal(
        [v.numpy() for v in resumed.weights + resumed.optimizer.variables],
        [v.numpy() for v in whole.weights + whole.optimizer.variables],
    )


def assert_mixed_precision_trains(start, x, y, policy, **arguments):
    keras.config.set_dtype_policy(policy)
    try:
        model = start(**arguments)
        before = [variable.numpy() for variable in model.trainable_variables]
        history = fit(model, x, y, epochs=1)
        assert all(np.isfinite(values).all() for values in history.values())
        moved = []
        for variable, value in zip(model.trainable_variables, before, strict=True):
            assert variable.dtype == "float32" and np.isfinite(variable.numpy()).all()
            if len(variable.shape) > 1:
                moved.append(np.abs(variable.numpy() - value).max() > 0)
        assert moved and all(moved)
    finally:
        keras.config.set_dtype_policy("float32")
