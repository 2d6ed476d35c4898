"""Published numbers beside ours: what counts as reproduced, and runs that are resumed."""

import json
import os
import sys

import keras
import numpy as np
import pytest

from kerasae import Autoencoder, StackedAutoencoder, __main__, nets, plots
from kerasae.zoo import reproduction, reproductions
from kerasae.zoo.reproduction import Published, Reproduction

REPRODUCTIONS = reproductions.REPRODUCTIONS
TURN = ("tensorflow", "jax", "torch").index(keras.backend.backend())
by_name = pytest.mark.parametrize("name", REPRODUCTIONS)
x = np.random.default_rng(0).random((32, 4), dtype="float32")


def toy(stop_at: str = "", **data) -> Reproduction:
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
    return Reproduction(toy_result, **defaults | data)


def entry(budget="full", **numbers):
    return {"budget": budget, "numbers": numbers}


@pytest.mark.parametrize(
    "published, ours, agrees",
    [
        (Published(10, within=0.5), 10.4, True),
        (Published(10, within=0.5), 9.4, False),
        (Published(3, at_most=3), 2.0, True),
        (Published(3, at_most=3), 3.1, False),
        (Published(3), 99.0, True),
        (Published(3, within=1), float("nan"), False),
    ],
)
def test_agreement(published, ours, agrees):
    assert published.agrees(ours) is agrees


def test_verdict():
    found = toy(published={"loss": Published(1.0, within=0.1)}, trend=lambda ours: ours["loss"] < 5)
    assert found.verdict([entry(loss=1.05), entry(loss=0.95)]) == "reproduced"
    assert found.verdict([entry(loss=1.05), entry(loss=1.2)]) == "trend reproduced"
    assert found.verdict([entry("fast", loss=1.0)]) == "trend reproduced"
    assert found.verdict([entry(loss=1.05), entry(loss=6.0)]) == "fell short"
    assert toy(trend_only=True).verdict([entry(loss=0.1)]) == "trend reproduced"


def test_a_run_writes_numbers_pictures_and_a_card(tmp_path):
    result = reproduction.run(toy(), tmp_path / "toy_result", "full", seed=3, verbose=0)
    backend = keras.backend.backend()
    stored = json.loads((tmp_path / "toy_result" / f"{backend}-full-3.json").read_text())
    assert stored == result and stored["epochs"] == {"first": 3, "second": 4}
    page = (tmp_path / "toy_result" / "README.md").read_text()
    assert page.startswith("# A toy\n\n**Reproduced.** Noise.")
    assert "| loss | 0.1 | from memory, not looked up |" in page and "And its story." in page
    assert f"| {backend} " in page and "| other | – | ours alone |" in page
    names = {path.name for path in (tmp_path / "toy_result").iterdir()}
    assert names == {f"{backend}-full-3.json", "README.md", "picture.png", "curves.png"}
    lines = reproduction.table({"toy_result": toy(), "never_run": toy()}, tmp_path).splitlines()
    assert len(lines) == 3 and lines[2].endswith("| reproduced |")
    # A second run, with another seed, joins the first.
    reproduction.run(toy(), tmp_path / "toy_result", "fast", seed=4, verbose=0)
    assert len(reproduction.runs(tmp_path / "toy_result")) == 1  # the full one counts
    reproduction.run(toy(), tmp_path / "toy_result", "full", seed=4, verbose=0)
    assert len(reproduction.runs(tmp_path / "toy_result")) == 2


def test_a_run_that_was_stopped_goes_on(tmp_path):
    whole = reproduction.run(toy(), tmp_path / "whole", verbose=0)
    with pytest.raises(KeyboardInterrupt):
        reproduction.run(toy("second"), tmp_path / "parts", verbose=0)
    (state,) = (tmp_path / "parts").iterdir()
    assert {path.name for path in state.iterdir()} == {"first", "second"}
    resumed = reproduction.run(toy(), tmp_path / "parts", verbose=0)
    assert resumed["numbers"] == whole["numbers"] and not state.exists()


def test_training_in_phases_has_a_curve_for_each(tmp_path):
    def stack():
        model = StackedAutoencoder(units=(3, 2), input_shape=(4,))
        model.compile(optimizer="adam", loss="mse")
        return model

    def layer_by_layer(model, x, y, *, folder, **options):
        return model.fit_layerwise(x, resume=folder, **options)

    work = reproduction.Work(None, None, seed=0, fast=True, folder=tmp_path, verbose=0)
    work.fit("pretraining", stack, x, train=layer_by_layer, epochs=2)
    curves = {name: len(history["loss"]) for name, history in work.histories.items()}
    assert curves == {"pretraining, phase 1": 2, "pretraining, phase 2": 2} and work.seconds > 0


# Each on one backend in turn: what they show is the same on all three, and takes a while.
@pytest.mark.parametrize(
    "name", [name for turn, name in enumerate(REPRODUCTIONS) if turn % 3 == TURN]
)
def test_a_fast_run(name, tmp_path):
    found = REPRODUCTIONS[name]
    if found.needs_mnist and not os.environ.get("KERASAE_DATA"):
        pytest.skip("the real MNIST: $KERASAE_DATA names no folder with mnist.npz")
    result = reproduction.run(found, tmp_path / name, "fast", verbose=0)
    assert set(found.published) <= set(result["numbers"])
    assert found.verdict([result]) == "trend reproduced"
    assert (tmp_path / name / "picture.png").exists()


@by_name
def test_what_ships_is_what_its_runs_say(name):
    folder, found = reproduction.SHIPPED / name, REPRODUCTIONS[name]
    entries = reproduction.runs(folder)
    assert entries and all(each["budget"] == "full" for each in entries)
    assert (folder / "README.md").read_text(encoding="utf-8") == reproduction.card(found, folder)
    assert found.verdict(entries) != "fell short" or found.fell_short
    assert found.setting.endswith(".") and len(found.source) > 10
    assert all(said.mark in reproduction.MARKS for said in found.published.values())


def test_the_command(tmp_path, monkeypatch, capsys):
    def command(*words):
        monkeypatch.setattr(sys, "argv", ["kerasae", "reproduce", *words])
        __main__.main()

    monkeypatch.setitem(REPRODUCTIONS, "toy_result", toy())
    command("--output", str(tmp_path / "nothing"))
    assert "vae_of_pytorch" in capsys.readouterr().out and not (tmp_path / "nothing").exists()
    command("toy_result", "--output", str(tmp_path), "--seed", "2")
    printed = capsys.readouterr().out
    assert "published 0.1" in printed and "reproduced, see" in printed
    # Not by deleting from the dictionary: what is put back afterwards comes last.
    monkeypatch.setattr(reproductions, "REPRODUCTIONS", {"toy_result": toy()})
    command("all", "--output", str(tmp_path), "--seed", "2")
    assert not capsys.readouterr().out  # there is such a run already
    command("all", "--output", str(tmp_path), "--seed", "3")
    assert "reproduced, see" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        command("no_such", "--output", str(tmp_path))
    assert "`no_such` is no reproduction, expected one of" in capsys.readouterr().err
