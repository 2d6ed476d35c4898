import os
import signal
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
from keras import ops

from kerasae import StackedAutoencoder, checks
from kerasae.penalties import MeanActivation

DENSE = {"units": (10, 5)}
CONVOLUTIONAL = {"filters": (4,), "units": (6,)}
# Where compiling is not tested, it only takes time; run eagerly, JAX compiles each operation.
EAGER = keras.backend.backend() != "jax"


@pytest.fixture
def x():
    return np.random.default_rng(0).random((40, 8, 8, 1), dtype="float32")


def make(seed=1, corruption=True, penalty=None, run_eagerly=EAGER, **arguments):
    keras.utils.set_random_seed(seed)
    noise = [keras.layers.GaussianNoise(0.1), keras.layers.Dropout(0.2)]
    model = StackedAutoencoder(
        **{**DENSE, "input_shape": (8, 8, 1), **arguments},
        corruption=keras.Sequential(noise) if corruption else None,
        penalty=penalty,
    )
    model.compile(keras.optimizers.Adam(0.01), "mse", run_eagerly=run_eagerly)
    return model


def fit(model, x, **arguments):
    defaults = {"epochs": 2, "batch_size": 16, "seed": 3, "verbose": 0}
    return model.fit_layerwise(x, **defaults | arguments).history


def assert_same(model, other):
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("architecture", "tied", "run_eagerly"),
    [(DENSE, True, False), (CONVOLUTIONAL, True, EAGER), (CONVOLUTIONAL, False, EAGER)],
)
def test_two_ways_one_result(architecture, tied, run_eagerly, x):
    results = []
    for one_graph in (False, True):
        penalty = keras.regularizers.L1(1e-3)
        model = make(tied=tied, penalty=penalty, run_eagerly=run_eagerly, **architecture)
        history = fit(model, x, one_graph=one_graph, validation_data=x[:20], fine_tuning_epochs=1)
        results.append((model.get_weights(), history))
    (copied, copied_history), (graph, graph_history) = results
    for one, two in zip(copied, graph, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)
    assert list(copied_history) == list(graph_history)
    for name, values in copied_history.items():
        assert values == pytest.approx(graph_history[name], rel=1e-5), name


class Watch(keras.callbacks.Callback):
    """The stack's weights at the begin and at the end of each phase."""

    def __init__(self, stack, phase, seen):
        super().__init__()
        self.stack, self.phase, self.seen = stack, phase, seen

    def on_train_begin(self, logs=None):
        self.before = self.values()

    def on_train_end(self, logs=None):
        self.seen[self.phase] = {
            path for path, value in self.values().items() if (value != self.before[path]).any()
        }

    def values(self):
        named = {}
        for layer in (*self.stack.encoder.layers, *self.stack.decoder.layers):
            for weight in layer.weights:
                owner = "kernel of " if weight is getattr(layer, "kernel", None) else "bias of "
                value = ops.convert_to_numpy(weight.value).copy()
                named[owner + layer.name] = value
        return named


@pytest.mark.parametrize("tied", [True, False])
def test_only_the_phases_variables_move(tied, x):
    model, seen = make(tied=tied), {}
    fit(model, x, one_graph=True, callbacks=lambda phase: [Watch(model, phase, seen)])
    for phase, names in (
        ("phase_1", ("hidden_1", "outputs")),
        ("phase_2", ("hidden_2", "hidden_3")),
    ):
        assert seen[phase] == {f"{part} of {name}" for part in ("kernel", "bias") for name in names}


def test_phase_2_minimises_mse_of_hidden_3_and_hidden_1(x):
    """MSE(hidden 3 − hidden 1), with every layer written out in NumPy."""
    model = make(corruption=False, code_activation="tanh")
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape) / 4)
    w1, b1 = model.encoder.get_layer("hidden_1").get_weights()
    w2, b2 = model.encoder.get_layer("hidden_2").get_weights()
    c2 = ops.convert_to_numpy(model.decoder.get_layer("hidden_3").bias.value)

    def elu(z):
        return np.where(z > 0, z, np.expm1(np.minimum(z, 0)))

    hidden_1 = elu(x.reshape(40, 64).astype("float64") @ w1 + b1)
    hidden_3 = elu(np.tanh(hidden_1 @ w2 + b2) @ w2.T + c2)
    expected = np.mean((hidden_3 - hidden_1) ** 2)

    network = model.phase_network(2)
    network.compile(loss="mse")
    values = network.evaluate(x, verbose=0, return_dict=True)
    assert values["phase_2_loss"] == pytest.approx(expected, rel=1e-5)
    copy = model.phase_network(2, copied=True)
    copy.compile(loss="mse")
    values = copy.evaluate(hidden_1.astype("float32"), verbose=0, return_dict=True)
    assert values["phase_2_loss"] == pytest.approx(expected, rel=1e-5)
    history = fit(model, x, epochs=[1, 1], optimizer=["adam", keras.optimizers.SGD(0.0)])
    assert len(history["phase_2_loss"]) == 1


@pytest.mark.home("torch")
def test_phases_learn_and_say_their_names(x, capsys):
    model = make(units=(10, 7, 5))
    compilation = {"loss": "binary_crossentropy", "metrics": ["mae"], "run_eagerly": EAGER}
    model.compile(keras.optimizers.Adam(0.01), **compilation)
    begin = model.evaluate(x, verbose=0)
    history = fit(
        model, x, epochs=[3, 2, 4], fine_tuning_epochs=2, validation_data=(x[:16],), verbose=2
    )
    parts = ("loss", "mae", "reconstruction")
    phases = {"phase_1": 3, "phase_2": 2, "phase_3": 4, "fine_tuning": 2}
    assert {name: len(values) for name, values in history.items()} == {
        f"{prefix}{phase}_{part}": epochs
        for phase, epochs in phases.items()
        for part in parts
        for prefix in ("", "val_")
    }
    assert all(history[f"{phase}_loss"][-1] < history[f"{phase}_loss"][0] for phase in phases)
    assert model.evaluate(x, verbose=0) < begin
    text = capsys.readouterr().out
    assert "Phase 1 of 4: 8×8×1 → 10 → 8×8×1\n" in text
    assert "Phase 3 of 4: 7 → 5 → 7, with H1, H2 fixed\n" in text
    assert "Phase 4 of 4: fine-tuning 8×8×1 → 10 → 7 → 5 → 7 → 10 → 8×8×1\n" in text
    assert " - phase_2_loss: " in text and " - val_fine_tuning_loss: " in text


@pytest.mark.home("torch")
def test_the_models_own_training_is_left_alone(x):
    model = make()
    optimizer = model.optimizer
    fit(model, x, fine_tuning_epochs=1)
    assert model.optimizer is optimizer and int(ops.convert_to_numpy(optimizer.iterations)) == 0
    assert set(model.fit(x, epochs=1, verbose=0).history) == {"loss", "reconstruction"}
    assert all(layer.trainable for layer in model.encoder.layers)


@pytest.mark.home("torch")
def test_a_whole_set_penalty_goes_on_as_well(x, tmp_path):
    """It measures before each epoch, with noise of its own: in both ways, and after a kill."""
    results = []
    for one_graph in (False, True):
        arguments = {"one_graph": one_graph, "epochs": 3}

        def sparse(seed):
            penalty = MeanActivation(0.1, mean="set")
            return make(seed, penalty=penalty, activation="sigmoid")

        undisturbed = sparse(1)
        history = fit(undisturbed, x, **arguments)
        folder = tmp_path / str(one_graph)
        with pytest.raises(KeyboardInterrupt):
            fit(sparse(1), x, **arguments, resume=folder, callbacks=killing("phase_2", 2))
        resumed = sparse(2)
        assert fit(resumed, x, **arguments, resume=folder) == history
        assert_same(resumed, undisturbed)
        results.append(undisturbed.get_weights())
    for one, two in zip(*results, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


@pytest.mark.home("torch")
def test_corruption_per_phase(x):
    """With noise of its own each phase learns another thing; without any, what it is given."""
    results = []
    noise = keras.layers.GaussianNoise(0.3)
    for corruption in ("model", None, [None, noise], [noise, noise]):
        model = make(corruption=False)
        fit(model, x, corruption=corruption)
        results.append([layer.get_weights()[0] for layer in model.encoder.layers[1:]])
    own, none, second, both = results
    for one, two in zip(own, none, strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(none[0], second[0])
    assert (none[1] != second[1]).any() and (second[0] != both[0]).any()


class Killed(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.now, batch) == (self.epoch, 1):
            raise KeyboardInterrupt


def killing(phase, epoch):
    """Callbacks that stop a phase within an epoch, or with `None` before it begins."""

    def callbacks(name):
        if name != phase:
            return []
        if epoch is None:
            raise KeyboardInterrupt
        return [Killed(epoch)]

    return callbacks


@pytest.mark.parametrize(
    ("one_graph", "places"),
    [
        (False, [("phase_1", 1), ("phase_2", None), ("phase_2", 1), ("fine_tuning", 1)]),
        (True, [("phase_2", 1)]),
    ],
)
def test_a_killed_run_ends_as_an_undisturbed_one(one_graph, places, x, tmp_path):
    arguments = {"one_graph": one_graph, "fine_tuning_epochs": 2, "validation_data": x[:10]}
    undisturbed = make(1)
    history = fit(undisturbed, x, **arguments)
    for seed, place in enumerate(places, start=1):  # one run, killed several times
        with pytest.raises(KeyboardInterrupt):
            fit(
                make(seed),
                x,
                **arguments,
                resume=tmp_path,
                callbacks=killing(*place),
            )
    resumed = make(9)
    assert fit(resumed, x, **arguments, resume=tmp_path) == history
    assert_same(resumed, undisturbed)


SCRIPT = """
    import os, signal, sys

    import keras, numpy as np
    sys.path.insert(0, {tests!r})
    from test_layerwise import fit, make

    class Kill(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.second = epoch == 1

        def on_train_batch_end(self, batch, logs=None):
            if self.model.name == "phase_2" and self.second and batch == 1:
                os.kill(os.getpid(), signal.SIGKILL)

    x = np.load({x!r})
    fit(make(1, run_eagerly=False), x, resume={folder!r}, callbacks=[Kill()])
"""


@pytest.mark.home("torch")
def test_a_run_that_dies_by_a_signal_goes_on(x, tmp_path):
    folder = tmp_path / "run"
    np.save(tmp_path / "x.npy", x)
    script = textwrap.dedent(SCRIPT).format(
        tests=os.path.dirname(__file__), x=str(tmp_path / "x.npy"), folder=str(folder)
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert process.returncode == -signal.SIGKILL, process.stderr
    found = {path.name for path in folder.glob("*.npz")}
    assert found == {"begin.npz", "phase_1.npz", "phase_2.npz"}
    undisturbed, resumed = make(1, run_eagerly=False), make(2, run_eagerly=False)
    history = fit(undisturbed, x)
    assert fit(resumed, x, resume=folder) == history
    assert_same(resumed, undisturbed)


@pytest.mark.home("torch")
def test_another_run_is_refused(x, tmp_path):
    fit(make(), x, epochs=1, resume=tmp_path)
    for message, model, arguments in (
        ("begin.npz` is of a run with another `x`", make(), {"x": x[::-1]}),
        ("begin.npz` is of a run with another `stack`", make(units=(10, 6)), {"x": x}),
        ("begin.npz` is of a run with .*one_graph", make(), {"x": x, "one_graph": True}),
        ("phase_1.npz` is of a run with `batch_size` 16", make(), {"x": x, "batch_size": 8}),
        ("phase_1.npz` .* another `phase`", make(), {"x": x, "corruption": None}),
        ("phase_1.npz` .* another `compilation`", make(), {"x": x, "optimizer": "sgd"}),
    ):
        with pytest.raises(ValueError, match=message):
            fit(model, **{"epochs": 1, **arguments}, resume=tmp_path)


@pytest.mark.home("torch")
def test_a_penalty_of_the_last_code_only(x):
    model = make(code_activation="sigmoid", penalty=MeanActivation(1e-3))
    with pytest.raises(ValueError, match=r"phase 1 .* in a list with one for each phase: .*'elu'"):
        fit(model, x, epochs=1)
    history = fit(model, x, epochs=1, penalty=[None, MeanActivation(1e-3)])
    assert "phase_2_penalty" in history and "phase_1_penalty" not in history


@pytest.mark.home("torch")
def test_metrics_of_the_callers_own(x):
    def peak(y, y_pred):
        return keras.ops.max(y_pred)

    model = make()
    model.compile(loss="mse", metrics=[peak])
    history = model.fit_layerwise(x, epochs=1, verbose=0).history
    assert {"phase_1_peak", "phase_2_peak"} <= set(history)


@pytest.mark.home("torch")
def test_bad_arguments(x):
    model = make()
    for message, arguments in {
        "`epochs` is a list of 3, expected 2, one for each phase": {"epochs": [1, 1, 1]},
        "`corruption` is a list of 1, expected 2": {"corruption": [None]},
        "`epochs` is 0, expected a whole number of at least 1": {"epochs": 0},
        "`fine_tuning_epochs` is -1, expected": {"fine_tuning_epochs": -1},
        "`corruption` is 'noise', expected a Keras layer": {"corruption": "noise"},
        "`x` holds NaN": {"x": x * np.nan},
        "`x` is of type generator, expected an array": {"x": (row for row in x)},
        r"`x` has shape \(40, 8, 1\), expected": {"x": x[:, 0]},
        "values from .* expected values from 0 to 1": {
            "loss": "binary_crossentropy",
            "one_graph": True,
        },
    }.items():
        with pytest.raises(ValueError, match=message):
            fit(model, **{"x": x, "epochs": 1, **arguments})
    before = model.get_weights()
    for message, arguments in {
        "`epochs` is 0, expected": {"epochs": [1, 0]},
        "adma": {"optimizer": ["adam", "adma"]},
        "`batch_size` is 0, expected": {"batch_size": 0},
        "`corruption` is 'noise', expected": {"corruption": [None, "noise"]},
    }.items():  # all before the first phase moves anything
        with pytest.raises(ValueError, match=message):
            fit(model, **{"x": x, "epochs": 1, **arguments})
    for one, two in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    with pytest.raises(ValueError, match="not compiled, expected a call of `compile` first"):
        StackedAutoencoder().fit_layerwise(x)


@pytest.mark.home("torch")
def test_fine_tuning_takes_the_optimizer_that_it_is_given(x):
    pretrained, tuned = make(corruption=False), make(corruption=False)
    fit(pretrained, x, epochs=1)
    at_rest = keras.optimizers.SGD(0.0)
    fit(tuned, x, epochs=1, fine_tuning_epochs=1, fine_tuning_optimizer=at_rest)
    assert_same(tuned, pretrained)


@pytest.mark.home("torch")
@pytest.mark.parametrize("one_graph", [False, True])
def test_the_examples_are_scanned_once(x, one_graph, monkeypatch):
    scanned = []
    check = checks.check_array

    def counting(name, value, *arguments, **named):
        scanned.append(len(value))
        return check(name, value, *arguments, **named)

    monkeypatch.setattr(checks, "check_array", counting)
    model = StackedAutoencoder((4, 3), input_shape=x.shape[1:])
    model.compile()
    model.fit_layerwise(x, 1, batch_size=8, fine_tuning_epochs=1, one_graph=one_graph, verbose=0)
    assert scanned.count(len(x)) == 1
