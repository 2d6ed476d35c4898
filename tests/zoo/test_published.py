"""Published numbers beside ours: what counts as reproduced, and runs that are resumed."""

import json
import os
import sys

import keras
import numpy as np
import pytest

from kerasae import Autoencoder, StackedAutoencoder, __main__, nets, plots
from kerasae.zoo import published
from kerasae.zoo.published import (
    RESULTS,
    deterministic,
    pages,
    pretraining,
    retrieval,
    runs,
    variational,
)
from kerasae.zoo.published.result import MARKS, Published, Result, Work

by_name = pytest.mark.parametrize("name", RESULTS)
x = np.random.default_rng(0).random((32, 4), dtype="float32")


def toy(stop_at: str = "", **data) -> Result:
    """Two short trainings, the second of which may be interrupted."""

    def build():
        model = Autoencoder(*nets.mlp((4,), 2, units=()))
        model.compile(optimizer="adam")
        return model

    def pause(epoch, logs):
        if epoch == 1 and stop_at:
            raise KeyboardInterrupt

    def toy_result(work):
        """A toy.

        And its story.
        """
        stop = keras.callbacks.LambdaCallback(on_epoch_end=pause)
        first = work.fit("first", build, x, epochs=3, batch_size=8)
        again = [stop] if stop_at else []
        work.fit("second", build, x, epochs=work.amount(3, 4), batch_size=8, callbacks=again)
        work.picture = plots.curves({"a": [1, 2]}, "x", "y")
        loss = work.histories["second"]["loss"][-1]
        return {"loss": loss, "other": first.reconstruct(x).mean()}

    defaults = {
        "source": "Nobody (1900)",
        "setting": "Noise.",
        "published": {"loss": Published(0.1, "memory", within=1.0)},
        "trend": lambda ours: True,
        "needs_mnist": False,
    }
    return Result(toy_result, **defaults | data)


def entry(budget="full", **numbers):
    return {"budget": budget, "numbers": numbers}


@pytest.mark.parametrize(
    "said, ours, agrees",
    [
        (Published(10, "seen", within=0.5), 10.4, True),
        (Published(10, "seen", within=0.5), 9.4, False),
        (Published(3, "seen", at_most=3), 2.0, True),
        (Published(3, "seen", at_most=3), 3.1, False),
        (Published(3, "seen"), 99.0, True),
        (Published(3, "seen", within=1), float("nan"), False),
    ],
)
@pytest.mark.home("torch")
def test_agreement(said, ours, agrees):
    assert said.agrees(ours) is agrees


@pytest.mark.home("torch")
def test_verdict():
    found = toy(
        published={"loss": Published(1.0, "seen", within=0.1)}, trend=lambda ours: ours["loss"] < 5
    )
    assert found.verdict([entry(loss=1.05), entry(loss=0.95)]) == "reproduced"
    assert found.verdict([entry(loss=1.05), entry(loss=1.2)]) == "trend reproduced"
    assert found.verdict([entry("fast", loss=1.0)]) == "trend reproduced"
    assert found.verdict([entry(loss=1.05), entry(loss=6.0)]) == "fell short"
    assert toy(trend_only=True).verdict([entry(loss=0.1)]) == "trend reproduced"


@pytest.mark.home("torch")
def test_a_run_writes_numbers_pictures_and_a_card(tmp_path):
    result = runs.run(toy(), tmp_path / "toy_result", "full", seed=3, verbose=0)
    backend = keras.backend.backend()
    stored = json.loads((tmp_path / "toy_result" / f"{backend}-full-3.json").read_text())
    assert stored == result and stored["epochs"] == {"first": 3, "second": 4}
    page = (tmp_path / "toy_result" / "README.md").read_text()
    assert page.startswith("# A toy\n\n**Reproduced.** Noise.")
    assert "| loss | 0.1 | from memory |" in page and "And its story." in page
    assert f"| {backend} " in page and "| measured by us alone |" in page and "| other | " in page
    names = {path.name for path in (tmp_path / "toy_result").iterdir()}
    assert names == {f"{backend}-full-3.json", "README.md", "picture.png", "curves.png"}
    both = [(toy(), [result]), (toy(published={"loss": Published(0.1, "theory")}), [result])]
    lines = pages.table(both, "there", "published")
    assert len(lines) == 3 and lines[2].endswith("| reproduced |")
    assert "[A toy](there/toy_result/README.md) | loss | 0.1 | from memory |" in lines[2]
    assert "| theorem |" in pages.table(both, "there", "expected")[2]
    # A second run, with another seed, joins the first.
    runs.run(toy(), tmp_path / "toy_result", "fast", seed=4, verbose=0)
    assert len(runs.entries(tmp_path / "toy_result")) == 1  # the full one counts
    runs.run(toy(), tmp_path / "toy_result", "full", seed=4, verbose=0)
    assert len(runs.entries(tmp_path / "toy_result")) == 2


@pytest.mark.home("torch")
def test_a_run_that_was_stopped_goes_on(tmp_path):
    whole = runs.run(toy(), tmp_path / "whole", verbose=0)
    with pytest.raises(KeyboardInterrupt):
        runs.run(toy("second"), tmp_path / "parts", verbose=0)
    (state,) = (tmp_path / "parts").iterdir()
    assert {path.name for path in state.iterdir()} == {"first", "second"}
    resumed = runs.run(toy(), tmp_path / "parts", verbose=0)
    assert resumed["numbers"] == whole["numbers"] and not state.exists()


@pytest.mark.parametrize(
    "content", ["", '{"backend": "jax", "numb', "[]", '{"budget": "full"}', "3"]
)
@pytest.mark.home("torch")
def test_a_broken_run_is_left_out_and_done_again(content, tmp_path):
    folder, backend = tmp_path / "toy_result", keras.backend.backend()
    first = runs.run(toy(), folder, seed=1, verbose=0)
    page = (folder / "README.md").read_text()
    broken = folder / f"{backend}-full-0.json"
    broken.write_text(content)
    assert runs.is_done(folder, "full", 1) and not runs.is_done(folder, "full", 0)
    with pytest.warns(UserWarning, match="`.*-full-0.json` is broken, expected .*delete the file"):
        assert runs.entries(folder) == [first]
    with pytest.warns(UserWarning, match="is broken"):  # a neighbour is not disturbed
        second = runs.run(toy(), folder, seed=1, verbose=0)
    assert second["numbers"] == first["numbers"]
    assert len((folder / "README.md").read_text().splitlines()) == len(page.splitlines())
    again = runs.run(toy(), folder, seed=0, verbose=0)
    assert runs.entries(folder) == [again, second] and runs.is_done(folder, "full", 0)


@pytest.mark.home("torch")
def test_a_run_counts_when_all_of_it_is_written(tmp_path, monkeypatch):
    backend, write = keras.backend.backend(), runs.files.write
    assert not runs.is_done(tmp_path, "full", 0)
    for name in ("picture.png", "curves.png", "README.md", f"{backend}-full-0.json"):

        def killed(path, content, name=name):
            if path.name == name:
                raise KeyboardInterrupt
            write(path, content)

        with monkeypatch.context() as patch:
            patch.setattr(runs.files, "write", killed)
            with pytest.raises(KeyboardInterrupt):
                runs.run(toy(), tmp_path, verbose=0)
        assert not runs.is_done(tmp_path, "full", 0) and not runs.entries(tmp_path)
    runs.run(toy(), tmp_path, verbose=0)
    assert runs.is_done(tmp_path, "full", 0)
    (tmp_path / f".{backend}-full-0").mkdir()  # killed before its state was deleted
    assert not runs.is_done(tmp_path, "full", 0)
    runs.run(toy(), tmp_path, verbose=0)
    assert runs.is_done(tmp_path, "full", 0)


@pytest.mark.home("torch")
def test_training_in_phases_has_a_curve_for_each(tmp_path):
    def stack():
        model = StackedAutoencoder(units=(3, 2), input_shape=(4,))
        model.compile(optimizer="adam", loss="mse")
        return model

    def layer_by_layer(model, x, y, *, folder, **options):
        return model.fit_layerwise(x, resume=folder, **options)

    work = Work(None, None, seed=0, fast=True, folder=tmp_path, verbose=0)
    work.fit("pretraining", stack, x, train=layer_by_layer, epochs=2)
    curves = {name: len(history["loss"]) for name, history in work.histories.items()}
    assert curves == {"pretraining, phase 1": 2, "pretraining, phase 2": 2} and work.seconds > 0


# What they show is the same on each backend: on one, where they are quick.
HOMES = {
    "tensorflow": ("stacked_denoising", "score_of_a_normal"),
    "jax": ("identity_8_3_8", "binary_codes_for_search"),
    "torch": (
        "linear_is_pca",
        "deep_autoencoder",
        "few_labels",
        "regularized_autoencoders",
        "importance_weighting",
        "vae_of_keras",
        "vae_of_pytorch",
        "quadrants_of_pyro",
        "vector_quantization_of_keras",
        "denoisers_in_closed_form",
        "eight_gaussians_to_moons",
    ),
}


@pytest.mark.home("torch")
def test_every_result_has_a_home():
    assert sorted(name for names in HOMES.values() for name in names) == sorted(RESULTS)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.home(backend))
        for backend, names in HOMES.items()
        for name in names
    ],
)
def test_a_fast_run(name, tmp_path):
    found = RESULTS[name]
    if found.needs_mnist and not os.environ.get("KERASAE_DATA"):
        pytest.skip("the real MNIST: $KERASAE_DATA names no folder with mnist.npz")
    result = runs.run(found, tmp_path / name, "fast", verbose=0)
    assert set(found.published) <= set(result["numbers"])
    assert found.verdict([result]) == "trend reproduced"
    assert (tmp_path / name / "picture.png").exists()


@by_name
@pytest.mark.home("torch")
def test_what_ships_is_what_its_runs_say(name):
    folder, found = runs.SHIPPED / name, RESULTS[name]
    entries = runs.entries(folder)
    assert entries and all(each["budget"] == "full" for each in entries)
    assert (folder / "README.md").read_text(encoding="utf-8") == pages.card(found, entries)
    assert found.verdict(entries) != "fell short" or found.fell_short
    assert found.setting.endswith(".") and len(found.source) > 10
    assert all(said.mark in MARKS for said in found.published.values())


@pytest.mark.home("torch")
def test_the_command(tmp_path, monkeypatch, capsys):
    def command(*words):
        monkeypatch.setattr(sys, "argv", ["kerasae", "reproduce", *words])
        __main__.main()

    monkeypatch.setitem(RESULTS, "toy_result", toy())
    command("--output", str(tmp_path / "nothing"))
    assert "vae_of_pytorch" in capsys.readouterr().out and not (tmp_path / "nothing").exists()
    command("toy_result", "--output", str(tmp_path), "--seed", "2")
    printed = capsys.readouterr().out
    assert "published 0.1" in printed and "reproduced, see" in printed
    # Not by deleting from the dictionary: what is put back afterwards comes last.
    monkeypatch.setattr(published, "RESULTS", {"toy_result": toy()})
    command("all", "--output", str(tmp_path), "--seed", "2")
    assert not capsys.readouterr().out  # there is such a run already
    command("all", "--output", str(tmp_path), "--seed", "3")
    assert "reproduced, see" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        command("no_such", "--output", str(tmp_path))
    assert "`no_such` is no reproduction, expected one of" in capsys.readouterr().err


@pytest.mark.home("torch")
def test_the_longest_axes_come_first():
    examples = np.random.default_rng(0).normal(size=(500, 3)) * [1.0, 3.0, 2.0]
    mean, axes = deterministic.principal_axes(examples)
    np.testing.assert_allclose(np.abs(axes), np.eye(3)[:, [1, 2, 0]], atol=0.1)
    errors = [
        np.sum((examples - deterministic.projected(examples, mean, axes[:, :size])) ** 2)
        for size in range(4)
    ]
    assert errors[0] > 2 * errors[1] > 4 * errors[2] > 1e6 * errors[3]


@pytest.mark.home("torch")
def test_the_rotation_brings_components_near_to_their_signs():
    rng = np.random.default_rng(0)
    turned = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    components = (rng.choice([-1.0, 1.0], (500, 4)) + 0.1 * rng.normal(size=(500, 4))) @ turned

    def apart(rotation):
        found = components @ rotation
        return np.mean((found - np.sign(found)) ** 2)

    rotation = retrieval.quantising_rotation(components, seed=0)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(4), atol=1e-9)
    assert apart(rotation) < 0.02 < 0.1 < apart(np.eye(4))


@pytest.mark.home("torch")
def test_every_epoch_draws_its_own_pixels(monkeypatch):
    seen = []

    def watched(model, x, **options):
        seen.append((x, options["phase"]))
        history = keras.callbacks.History()
        history.history = {"loss": [0.0]}
        return history

    monkeypatch.setattr(variational, "resumable_fit", watched)
    grey = np.full((8, 4, 4, 1), 0.5, "float32")
    whole = variational.freshly_binarised(None, grey, None, epochs=3, seed=1)
    drawn, phases = zip(*seen, strict=True)
    assert phases == (1, 2, 3) and whole.history == {"loss": [0.0] * 3}
    assert all((one != other).any() for i, one in enumerate(drawn) for other in drawn[:i])
    assert set(np.unique(drawn)) == {0.0, 1.0}


@pytest.mark.home("torch")
def test_a_mean_norm_is_a_mean_of_norms():
    norm = pretraining.mean_jacobian_norm(lambda x: x**2, np.array([[1.0], [3.0]], "float32"))
    assert norm == pytest.approx(4.0)  # of 2 and 6; the root of the mean square is 4.47
