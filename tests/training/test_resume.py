import errno
import functools
import json

import keras
import numpy as np
import pytest

from kerasae import Autoencoder, nets
from kerasae.engine.randomness import random_states
from kerasae.models.base import Model
from kerasae.models.players import Outcome, Player
from kerasae.storage import archives
from kerasae.training import checkpoint, resume
from kerasae.training.resume import resumable_fit


@pytest.fixture
def x():
    return np.random.default_rng(0).random((50, 6), dtype="float32")


def make(seed, optimizer=None, rate=0.2):
    """All that has a state: Dropout, noise, moving statistics, moments, a rate that falls."""
    keras.utils.set_random_seed(seed)
    encoder = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(rate),  # without a seed: PyTorch draws from its global generator
            keras.layers.Dense(3),
        ]
    )
    decoder = nets.mlp_decoder(3, (6,), units=())
    model = Autoencoder(encoder, decoder, keras.layers.GaussianNoise(0.1))
    if optimizer is None:
        schedule = keras.optimizers.schedules.ExponentialDecay(0.02, 3, 0.9)
        optimizer = keras.optimizers.Adam(schedule)
    model.compile(optimizer)
    return model


class Kill(keras.callbacks.Callback):
    """Stops a run as a signal does, in the middle of an epoch or right after it."""

    def __init__(self, epoch, batch=2, after=False):
        super().__init__()
        self.epoch, self.batch, self.after = epoch, batch, after

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if not self.after and (self.now, batch) == (self.epoch, self.batch):
            raise KeyboardInterrupt

    def on_epoch_end(self, epoch, logs=None):
        if self.after and epoch == self.epoch:
            raise KeyboardInterrupt


def fit(model, x, **arguments):
    defaults = {"epochs": 5, "batch_size": 16, "seed": 3, "verbose": 0}
    if "validation_data" not in arguments:
        defaults["validation_data"] = (x[:20],)
    return resumable_fit(model, x, **defaults | arguments).history


def assert_same(model, other):
    for one, two in zip(
        [*model.weights, *model.optimizer.variables],
        [*other.weights, *other.optimizer.variables],
        strict=True,
    ):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(one), keras.ops.convert_to_numpy(two)
        )


def test_a_killed_run_ends_as_an_undisturbed_one(x, tmp_path):
    undisturbed = make(1)
    history = fit(undisturbed, x)
    assert len(history["loss"]) == len(history["val_loss"]) == 5

    for kill, seed in ((Kill(0), 1), (Kill(2), 2), (Kill(3, after=True), 3)):  # thrice, one run
        with pytest.raises(KeyboardInterrupt):
            fit(make(seed), x, folder=tmp_path, callbacks=[kill])
    resumed = make(4)
    assert fit(resumed, x, folder=tmp_path) == history
    assert_same(resumed, undisturbed)

    finished = make(5)
    assert fit(finished, x, folder=tmp_path) == history
    assert_same(finished, undisturbed)


@pytest.mark.home("torch")
def test_a_full_disk_leaves_a_run_to_resume(x, tmp_path, monkeypatch):
    undisturbed = make(1)
    history = fit(undisturbed, x)
    whole, written = archives.write, []

    def write(*arguments):
        written.append(arguments)
        if len(written) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole(*arguments)

    monkeypatch.setattr(archives, "write", write)
    with pytest.raises(OSError, match="No space left") as error:
        fit(make(1), x, folder=tmp_path)
    assert error.value.__notes__ == ["The last checkpoint is whole: the same call resumes from it."]
    resumed = make(3)
    assert fit(resumed, x, folder=tmp_path) == history
    assert_same(resumed, undisturbed)


@pytest.mark.home("torch")
def test_a_run_is_resumed_in_the_same_model(x, tmp_path):
    undisturbed, model = make(1), make(1)
    history = fit(undisturbed, x)
    with pytest.raises(KeyboardInterrupt):
        fit(model, x, folder=tmp_path, callbacks=[Kill(2)])
    assert fit(model, x, folder=tmp_path) == history
    assert_same(model, undisturbed)


@pytest.mark.home("torch")
def test_early_stopping_and_falling_rates_are_resumed_too(x, tmp_path):
    def callbacks():
        return [
            keras.callbacks.EarlyStopping("val_loss", 0.5, patience=4, restore_best_weights=True),
            keras.callbacks.ReduceLROnPlateau("val_loss", min_delta=0.5, patience=2),
        ]

    undisturbed = make(1, keras.optimizers.Adam(0.02))
    history = fit(undisturbed, x, epochs=9, callbacks=callbacks())
    assert len(history["loss"]) == 5  # nothing gains 0.5: stopped after the first and 4 more
    assert history["learning_rate"][-1] < history["learning_rate"][0]
    with pytest.raises(KeyboardInterrupt):
        model = make(1, keras.optimizers.Adam(0.02))
        fit(model, x, epochs=9, folder=tmp_path, callbacks=[*callbacks(), Kill(3)])
    for _ in range(2):
        resumed = make(3, keras.optimizers.Adam(0.02))
        assert fit(resumed, x, epochs=9, folder=tmp_path, callbacks=callbacks()) == history
        assert_same(resumed, undisturbed)


def test_every_epoch_has_an_order_of_its_own_and_sees_all(x):
    orders = []
    for seed, phase, epoch in ((0, 1, 0), (0, 1, 1), (0, 2, 0), (1, 1, 0)):
        batches = resume.Batches((x, None, None), 16, seed, phase)
        batches.set_epoch(epoch)
        parts = [batches[index][0] for index in range(len(batches))]
        assert [len(part) for part in parts] == [16, 16, 16, 2]
        orders.append(np.concatenate(parts))
        np.testing.assert_array_equal(np.sort(orders[-1], axis=0), np.sort(x, axis=0))
    assert all((a != b).any() for i, a in enumerate(orders) for b in orders[:i])


def test_training_sees_that_order(x):
    """The same as steps by hand, batch by batch: no batch of the next epoch comes early."""
    arguments = {"settings": {}, "batch_size": 16, "epochs": 3, "seed": 3, "verbose": 0}
    models = []
    for _ in range(2):
        keras.utils.set_random_seed(1)
        models.append(Autoencoder(*nets.mlp((6,), code_size=3, units=())))
        models[-1].compile(keras.optimizers.SGD(1.0, momentum=0.9))
    weight = np.linspace(0, 2, len(x), dtype="float32")
    resumable_fit(models[0], x, 1 - x, sample_weight=weight, **arguments)
    batches = resume.Batches((x, 1 - x, weight), 16, seed=3, phase=1)
    for epoch in range(3):
        batches.set_epoch(epoch)
        for index in range(len(batches)):
            models[1].train_on_batch(*batches[index])
    for one, two in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


class Game(Model):
    """Two players with noise, and moments each."""

    parts = ("a_loss", "b_loss")

    def __init__(self):
        super().__init__()
        self.first = keras.Sequential([keras.Input((6,)), keras.layers.Dense(6)])
        self.second = keras.Sequential([keras.Input((6,)), keras.layers.Dense(6)])
        self.blur = keras.layers.GaussianNoise(0.5)

    def players(self):
        return {
            name: Player([network], functools.partial(self.error, name))
            for name, network in (("a", self.first), ("b", self.second))
        }

    def compute(self, x, training):
        return {"output": self.first(self.blur(x, training=training))}

    def error(self, name, batch, training):
        output = self.second(self.compute(batch.x, training)["output"])
        loss = keras.ops.mean((output - batch.x) ** 2, axis=-1)
        return Outcome(loss, {f"{name}_loss": loss})


def test_every_players_optimizer_is_resumed(x, tmp_path):
    def play(**arguments):
        keras.utils.set_random_seed(1)
        game = Game()
        game.compile({"a": keras.optimizers.Adam(0.02), "b": keras.optimizers.Adam(0.01)})
        return game, fit(game, x, validation_data=None, **arguments)

    undisturbed, history = play()
    with pytest.raises(KeyboardInterrupt):
        play(folder=tmp_path, callbacks=[Kill(2)])
    resumed, again = play(folder=tmp_path)
    assert again == history
    assert len(undisturbed.optimizer.variables) > 10
    assert_same(resumed, undisturbed)


@pytest.mark.home("torch")
def test_another_run_is_refused(x, tmp_path):
    fit(make(1), x, folder=tmp_path, epochs=1)
    weights = make(2).get_weights()
    for message, arguments in {
        "`batch_size` 16, expected 8": {"batch_size": 8},
        "`seed` 3, expected 4": {"seed": 4},
        "`epochs` 1, expected 2": {"epochs": 2},
        "another `data`": {"x": x[::-1]},
        "another `validation_data`": {"validation_data": (x[:10],)},
        "another `compilation`": {"model": make(2, keras.optimizers.Adam(0.02))},
        "another `model`": {"model": make(2, rate=0.3)},
    }.items():
        arguments = {"model": make(2), "x": x, "epochs": 1, **arguments}
        with pytest.raises(ValueError, match=f"`.*phase_1.npz` is of a run with {message}"):
            fit(**arguments, folder=tmp_path)
        for one, two in zip(arguments["model"].get_weights(), weights, strict=True):
            np.testing.assert_array_equal(one, two)
    fit(make(2), x, folder=tmp_path, epochs=1, phase=2)  # another phase is another file

    path = tmp_path / "phase_1.npz"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ValueError, match=r"phase_1\.npz` is damaged, expected .*: delete it and"):
        fit(make(1), x, folder=tmp_path, epochs=1)
    path.unlink()
    path.mkdir()
    with pytest.raises(ValueError, match=r"phase_1\.npz` cannot be read \(Is a directory\)"):
        fit(make(1), x, folder=tmp_path, epochs=1)
    with pytest.raises(ValueError, match="`x` is of type generator, expected an array"):
        fit(make(1), (row for row in x), validation_data=None)
    with pytest.raises(ValueError, match="`x` holds NaN"):
        fit(make(1), x * np.nan)


@pytest.mark.home("torch")
def test_a_damaged_checkpoint_is_deleted_and_the_run_ends_as_before(x, tmp_path):
    undisturbed = make(1)
    history = fit(undisturbed, x, folder=tmp_path)
    path = tmp_path / "phase_1.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="delete it and start the same run again"):
        fit(make(1), x, folder=tmp_path)
    path.unlink()
    again = make(1)
    assert fit(again, x, folder=tmp_path) == history
    assert_same(again, undisturbed)


class Holder(keras.callbacks.Callback):
    """A callback with a number, a place to write to and a method."""

    def __init__(self, where="here"):
        super().__init__()
        self.count, self.best, self.where, self.later = 0, 0.0, where, None

    def on_epoch_end(self, epoch, logs=None):
        self.count, self.best, self.later = self.count + 1, logs["loss"], 2 * self.count


@pytest.mark.home("torch")
def test_a_checkpoint_sets_no_more_than_a_callback_keeps(x, tmp_path, monkeypatch):
    first = Holder()
    fit(make(1), x, folder=tmp_path, callbacks=[first])
    again = Holder("there")
    fit(make(1), x, folder=tmp_path, callbacks=[again])  # looks only, and gives back the numbers
    assert (again.count, again.best, again.later) == (5, first.best, 8) and again.where == "there"

    path, numbers = tmp_path / "phase_1.npz", {"count": 7, "later": 1.0}
    arrays = archives.read(path, checkpoint.ORIGIN)
    progress = json.loads(str(arrays["progress"]))
    ops = {"best": {"ops": "less"}, "count": {"ops": "no_such"}, "where": {"ops": "less"}}
    for attributes, kept in (
        (numbers, numbers),
        (numbers | {"where": "/elsewhere"}, numbers | {"where": "there"}),
        ({"where": 3, "on_epoch_end": 3, "later": "text"}, {"where": "there", "later": None}),
        (ops, {"best": keras.ops.less, "count": 0, "where": "there"}),
    ):
        progress["callbacks"] = [("Holder", attributes)]
        changed = arrays | {"progress": np.array(json.dumps(progress))}
        archives.write(path, checkpoint.ORIGIN, changed)
        callback = Holder("there")
        fit(make(1), x, folder=tmp_path, callbacks=[callback])
        assert {name: vars(callback)[name] for name in kept} == kept
        assert "on_epoch_end" not in vars(callback)


@pytest.mark.home("torch")
def test_the_file_holds_no_code_and_is_whole(x, tmp_path):
    fit(make(1), x, folder=tmp_path, epochs=1)
    assert [path.name for path in tmp_path.iterdir()] == ["phase_1.npz"]
    with np.load(tmp_path / "phase_1.npz", allow_pickle=False) as file:
        assert all(file[name].dtype.kind in "fiuU" for name in file.files)


def test_a_run_in_half_precision_is_resumed(x, tmp_path):
    keras.config.set_dtype_policy("bfloat16")
    undisturbed = make(1)
    history = fit(undisturbed, x)
    with pytest.raises(KeyboardInterrupt):
        fit(make(1), x, folder=tmp_path, callbacks=[Kill(2)])
    resumed = make(2)
    assert fit(resumed, x, folder=tmp_path) == history
    assert_same(resumed, undisturbed)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="no other has a global generator")
def test_the_callers_random_numbers_are_left_alone(x):
    import torch

    drawn = []
    for trains in (False, True):
        model = make(1)
        torch.manual_seed(5)
        if trains:
            fit(model, x, epochs=1)
        drawn.append(torch.rand(3).tolist())
    assert drawn[0] == drawn[1]


@pytest.mark.home("torch")
def test_two_layers_of_noise_draw_apart(x):
    noise = [keras.layers.GaussianNoise(1.0), keras.layers.GaussianNoise(1.0)]
    model = Autoencoder(*nets.mlp((6,), 3, units=()), corruption=keras.Sequential(noise))
    batches = resume.Batches((x, None, None), 16, seed=3, phase=1)
    checkpointer = resume.Checkpointer(model, batches, [], None, {})
    starts = set()
    for epoch in range(2):
        checkpointer.set_epoch(epoch)
        for state in random_states(model):
            starts.add(tuple(keras.ops.convert_to_numpy(state).tolist()))
    assert len(starts) == 4


@pytest.mark.home("torch")
def test_a_checkpoint_belongs_to_its_backend(x, tmp_path, monkeypatch):
    fit(make(1), x, folder=tmp_path, epochs=1)
    model = make(1)
    monkeypatch.setattr(keras.backend, "backend", lambda: "another")
    with pytest.raises(ValueError, match="is of a run with another `backend`"):
        fit(model, x, folder=tmp_path, epochs=1)


class KillAtTheEnd(keras.callbacks.Callback):
    def on_train_end(self, logs=None):
        raise KeyboardInterrupt


@pytest.mark.home("torch")
def test_a_run_that_had_stopped_early_stays_stopped(x, tmp_path):
    def stop():
        return keras.callbacks.EarlyStopping("loss", min_delta=9.0, patience=1)

    with pytest.raises(KeyboardInterrupt):  # after the last epoch, before it counts as finished
        fit(make(1), x, folder=tmp_path, callbacks=[stop(), KillAtTheEnd()])
    history = fit(make(2), x, folder=tmp_path, callbacks=[stop()])
    assert len(history["loss"]) == 2
