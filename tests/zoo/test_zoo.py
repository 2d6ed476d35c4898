"""The zoo: what ships is what its cards say, on every backend, and can be made again."""

import dataclasses
import os
import shutil

import keras
import numpy as np
import pytest
from other_backends import BACKENDS

from kerasae import Autoencoder, datasets, nets, presets, zoo
from kerasae.storage import manifest
from kerasae.training.resume import resumable_fit
from kerasae.zoo import (
    cards,
    catalogue,
    commands,
    measures,
    pictures,
    recipes,
    training,
)

PRESETS = zoo.presets()
by_name = pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)


@pytest.fixture(scope="module", autouse=True)
def no_old_models():
    yield
    keras.backend.clear_session()


def small(name, **data):
    """A recipe that takes a moment."""
    found, dataset, preset = recipes.find(name)
    few = training.Budget(96, 3)
    return dataclasses.replace(found, fast=few, batch_size=32, **data), dataset, preset


# What ships.


@pytest.mark.home("torch")
def test_every_recipe_has_a_preset_on_embedded_data():
    made = {(preset.recipe, preset.dataset) for preset in PRESETS}
    for name, found in recipes.RECIPES.items():
        assert (name, "strokes" if found.data == "digits" else found.data) in made


@pytest.mark.home("torch")
def test_the_catalogue_is_read_without_a_model(monkeypatch):
    monkeypatch.setattr(keras.saving, "deserialize_keras_object", None)
    assert [preset.name for preset in zoo.presets()] == presets.names()


@pytest.mark.home("torch")
def test_the_wheel_stays_small():
    sizes = [preset.bytes for preset in PRESETS]
    assert max(sizes) < 5e6 and sum(sizes) < 32e6


@by_name
@pytest.mark.home("torch")
def test_an_entry_says_how_the_preset_was_made(preset):
    assert recipes.find(preset.name) == (
        recipes.RECIPES[preset.recipe],
        preset.dataset,
        preset.name,
    )
    made_by = recipes.RECIPES[preset.recipe]
    assert preset.budget == "full" and preset.epochs == made_by.full.epochs
    assert (preset.title, preset.paper) == (made_by.title, made_by.paper)
    assert list(preset.measures) == list(made_by.measures)
    assert all(np.isfinite(found.value) for found in preset.measures.values())
    assert preset.backend in BACKENDS and preset.seconds > 1 and preset.seed >= 0
    assert preset.headline.startswith(next(iter(made_by.measures)))


@by_name
def test_outputs_are_those_of_the_backend_that_made_it(preset):
    model = presets.load(keras.Model, preset.name)
    assert type(model).__name__ == preset.model and model.count_params() == preset.parameters
    expected = presets.metadata(preset.name)["outputs"]
    found = training.outputs(recipes.RECIPES[preset.recipe], model)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert np.std(expected) > 1e-3  # they say something


def home(turn, preset):
    """All in turn, but PyTorch is quickest to draw number after number, and step after step."""
    slow = preset.model in ("CodePrior", "Diffusion", "FlowMatching")
    return "torch" if slow else BACKENDS[turn % 3]


@pytest.mark.parametrize(
    "preset",
    [
        pytest.param(preset, marks=pytest.mark.home(home(turn, preset)), id=preset.name)
        for turn, preset in enumerate(PRESETS)
    ],
)
def test_it_is_held_to_its_card(preset):
    if preset.dataset == "mnist" and not os.environ.get("KERASAE_DATA"):
        pytest.skip("$KERASAE_DATA is not set: no MNIST to measure on")
    found = training.evaluate(preset.name, recipes.RECIPES[preset.recipe], preset.dataset)
    assert found.keys() == preset.measures.keys()
    assert all(holds for _, holds in found.values()), (found, preset.measures)


@by_name
@pytest.mark.home("torch")
def test_its_recipe_builds_the_model_that_ships(preset):
    made_by = recipes.RECIPES[preset.recipe]
    embedded = "strokes" if made_by.data == "digits" else made_by.data
    few = datasets.load(embedded, train=2, test=1, size=made_by.size)[0]
    model = made_by.build(few, 10)
    shipped = presets.load(keras.Model, preset.name)
    shapes = [tuple(weight.shape) for weight in shipped.weights]
    assert [tuple(weight.shape) for weight in model.weights] == shapes
    assert model.compiled and not shipped.compiled


@by_name
@pytest.mark.home("torch")
def test_its_card_is_of_it(preset):
    page = (presets.find(preset.name) / presets.CARD).read_text(encoding="utf-8")
    assert page == cards.text(preset, recipes.RECIPES[preset.recipe])
    assert page.startswith(f"# {preset.name}\n") and preset.paper in page
    for name, found in preset.measures.items():
        assert f"| {name} | {found.value:.4g} |" in page
    if not (presets.SHIPPED.parents[2] / "Makefile").exists():
        return  # pictures are in the repository, not in the wheel
    for line in page.splitlines():
        if line.startswith("!["):
            picture = presets.find(preset.name) / line.split("(")[1].rstrip(")")
            assert picture.stat().st_size > 5000, picture


@pytest.mark.home("torch")
def test_the_index_is_of_all():
    assert cards.INDEX.read_text(encoding="utf-8") == cards.index()
    for preset in PRESETS:
        assert f"[{preset.name}](presets/{preset.name}/README.md)" in cards.index()


# Making one.


@pytest.mark.parametrize("name", ["vae_2", "stacked_tied", "gan", "cvae_quadrants", "aae_ring"])
@pytest.mark.home("torch")
def test_training_writes_a_preset_with_its_card(name, tmp_path):
    found, dataset, preset = small(name, measures={"numbers": numbers})
    entry = commands.make(found, dataset, tmp_path / preset, "fast", seed=3, verbose=0)
    files = {path.name for path in (tmp_path / preset).iterdir()}
    assert files == {*presets.FILES, presets.CARD, "training.png"} | {
        f"{picture}.png" for picture in found.pictures
    }
    assert list(tmp_path.iterdir()) == [tmp_path / preset]  # nothing is left of the training
    assert (entry.name, entry.recipe, entry.seed, entry.budget) == (preset, name, 3, "fast")
    assert (entry.images, entry.epochs, entry.backend) == (96, 3, keras.backend.backend())
    assert entry == catalogue.preset(tmp_path / preset)
    _, holds = training.evaluate(tmp_path / preset, found, dataset)["numbers"]
    assert holds
    page = (tmp_path / preset / presets.CARD).read_text(encoding="utf-8")
    assert f"train {preset} --budget fast --seed 3" in page
    with pytest.raises(ValueError, match="exists, expected a new folder: delete it, or choose"):
        commands.make(found, dataset, tmp_path / preset, "fast")


def numbers(model, test):
    """A measure that is quick and exact."""
    return training.Measured(float(model.count_params()), 0.5)


@pytest.mark.home("torch")
def test_a_training_that_is_killed_goes_on(tmp_path, monkeypatch):
    found, dataset, _ = small("vae_2", measures={"numbers": numbers}, pictures={})
    begin = training.Stopwatch.on_epoch_begin

    def killed(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt
        begin(self, epoch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(training.Stopwatch, "on_epoch_begin", killed)
        with pytest.raises(KeyboardInterrupt):
            commands.make(found, dataset, tmp_path / "killed", "fast", verbose=0)
    assert not (tmp_path / "killed").exists()
    commands.make(found, dataset, tmp_path / "killed", "fast", verbose=0)
    commands.make(found, dataset, tmp_path / "whole", "fast", verbose=0)
    for folder in ("killed", "whole"):
        assert catalogue.preset(tmp_path / folder).epochs == 3
    one, other = (presets.load(keras.Model, tmp_path / name) for name in ("killed", "whole"))
    for first, second in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(first, second, rtol=2e-3, atol=1e-4)  # of float16


@pytest.mark.home("torch")
def test_a_killed_card_leaves_no_half_of_a_preset(tmp_path, monkeypatch):
    found, dataset, _ = small("vae_2", measures={"numbers": numbers}, pictures={})
    with monkeypatch.context() as patch:
        patch.setattr(cards, "write", lambda made: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            commands.make(found, dataset, tmp_path / "preset", "fast", verbose=0)
    assert not (tmp_path / "preset").exists()
    commands.make(found, dataset, tmp_path / "preset", "fast", verbose=0)  # measures, and is done
    assert catalogue.preset(tmp_path / "preset").seconds > 0


@pytest.mark.home("torch")
def test_what_a_run_killed_at_its_end_has_left_is_swept(tmp_path, monkeypatch):
    found, dataset, _ = small("vae_2", measures={"numbers": numbers}, pictures={})
    folder = tmp_path / "made"
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", interrupted_at(shutil.rmtree, ".made"))
        with pytest.raises(KeyboardInterrupt):
            commands.make(found, dataset, folder, "fast", verbose=0)
    assert folder.exists() and (tmp_path / ".made-fast-0").exists()
    for other in ({"seed": 1}, {"budget": "full"}):  # these are other runs
        with pytest.raises(ValueError, match="exists, expected a new folder"):
            commands.make(found, dataset, folder, **{"budget": "fast"} | other)
    (tmp_path / ".made-fast-1").mkdir()
    with pytest.raises(ValueError, match="exists, expected a new folder"):
        commands.make(found, dataset, folder, "fast", seed=1)
    (tmp_path / ".made-fast-1").rmdir()
    entry = commands.make(found, dataset, folder, "fast")
    assert entry == catalogue.preset(folder) and list(tmp_path.iterdir()) == [folder]


def interrupted_at(function, start):
    """A function of a path that is interrupted at paths that begin so."""

    def interrupted(path, *arguments, **options):
        if path.name.startswith(start):
            raise KeyboardInterrupt
        return function(path, *arguments, **options)

    return interrupted


@pytest.mark.parametrize("allowed, exact", [(0.0, True), (1.0, False)])
@pytest.mark.home("torch")
def test_float16_is_refused_where_outputs_would_move(allowed, exact, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "EQUAL", allowed)
    found, dataset, _ = small("vae_2")
    model = found.build(found.load(dataset, 96)[0], 10)
    loaded = training._saved(model, found, tmp_path / "preset")
    pairs = zip(loaded.get_weights(), model.get_weights(), strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs) == exact


@pytest.mark.home("torch")
def test_a_card_that_lies_is_found_out(tmp_path):
    name = "sparse_strokes"
    shutil.copytree(presets.find(name), tmp_path / name)
    said = presets.metadata(name)
    for found in said["measures"].values():
        found["value"] += 2 * found["tolerance"]
    manifest.write(tmp_path / name, said)
    found = training.evaluate(tmp_path / name, recipes.RECIPES["sparse"], "strokes")
    assert not any(holds for _, holds in found.values())


@pytest.mark.home("torch")
def test_names():
    vae = recipes.RECIPES["vae_2"]
    assert recipes.find("vae_2") == (vae, "strokes", "vae_2_strokes")
    assert recipes.find("vae_2_mnist") == (vae, "mnist", "vae_2_mnist")
    assert recipes.find("vae_2", "mnist") == (vae, "mnist", "vae_2_mnist")
    assert recipes.find("dcgan_faces") == (recipes.RECIPES["dcgan_faces"], "faces", "dcgan_faces")
    with pytest.raises(ValueError, match="`recipe` is 'vae_3', expected"):
        recipes.find("vae_3")
    with pytest.raises(ValueError, match="`dataset` is 'kmnist', expected 'mnist'"):
        recipes.find("vae_2_mnist", "kmnist")
    with pytest.raises(ValueError, match="`dataset` is 'mnist', expected 'faces'"):
        recipes.find("dcgan_faces", "mnist")
    with pytest.raises(ValueError, match="`dataset` is 'cifar10', expected 'strokes'"):
        recipes.find("vae_2", "cifar10")


@pytest.mark.home("torch")
def test_a_preset_of_ones_own_has_no_entry(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    presets.save(model, tmp_path / "own")
    with pytest.raises(ValueError, match="was not made by a recipe"):
        catalogue.preset(tmp_path / "own")


@pytest.mark.home("torch")
def test_measures_are_as_tolerant_as_the_cards_say():
    class Grey:
        def reconstruct(self, x):
            return np.full_like(x, 0.5)

    test = datasets.load("strokes", train=1, test=10)[1]
    for measure in (measures.squared_error, measures.error_with_half_hidden):
        found = measure(Grey(), test)
        assert found.tolerance == pytest.approx(0.005 * found.value)
    for preset in PRESETS:
        said = preset.measures.get("squared error")
        assert said is None or said.tolerance == pytest.approx(0.005 * said.value)


@pytest.mark.home("torch")
def test_the_stopwatch_adds_up_epochs_and_runs(tmp_path, monkeypatch):
    x = np.random.default_rng(0).random((16, 4), dtype="float32")
    now = 0.0

    class Clock(keras.callbacks.Callback):
        """Two seconds an epoch; the third one of a run is killed."""

        def __init__(self, dies):
            super().__init__()
            self.dies = dies

        def on_train_batch_end(self, batch, logs=None):
            nonlocal now
            now += 1.0
            if self.dies and now == 5.0:
                raise KeyboardInterrupt

    def run(dies=False):
        model = Autoencoder(*nets.mlp((4,), 2, units=()))
        model.compile("adam")
        watch = training.Stopwatch()
        callbacks, phases = [watch, Clock(dies)], (1, 2)
        monkeypatch.setattr(training.time, "monotonic", lambda: now)
        for phase in phases:
            resumable_fit(
                model,
                x,
                epochs=2,
                batch_size=8,
                phase=phase,
                folder=tmp_path,
                callbacks=callbacks,
                verbose=0,
            )
        return watch.seconds

    with pytest.raises(KeyboardInterrupt):
        run(dies=True)
    assert now == 5.0
    assert run() == 8.0  # two phases of two epochs; the broken one's second does not count
    assert run() == 8.0  # nothing was left to do


@pytest.mark.home("torch")
def test_rates_end_at_rest():
    optimizer = recipes.adam(1e-3, steps=10)
    rates = []
    for step in (0, 5, 10):
        optimizer.iterations.assign(step)
        rates.append(float(keras.ops.convert_to_numpy(optimizer.learning_rate)))
    assert rates == pytest.approx([1e-3, 5e-4, 0.0], abs=1e-9)


@pytest.mark.home("torch")
def test_samples_stand_in_the_row_of_their_class():
    class Labelled:
        """Draws images that are as bright as their label."""

        classes = 3

        def sample(self, count, labels, seed):
            return np.broadcast_to(labels.reshape(-1, 1, 1, 1) / 4, (count, 4, 4, 1))

    axes = np.reshape(pictures.of_each_class(Labelled(), None).axes, (3, 8))
    for label, row in enumerate(axes):
        assert row[0].get_ylabel() == str(label)
        assert all((axis.images[0].get_array() == label / 4).all() for axis in row)
