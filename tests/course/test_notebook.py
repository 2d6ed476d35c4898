import json
import random
import sys

import keras
import numpy as np
import pytest

from kerasae import notebook, plots

pytestmark = pytest.mark.home("tensorflow")


def test_a_true_claim_prints_one_fixed_line(capsys):
    notebook.claim("01.5", "more units, less error", np.bool_(True), error=0.25)
    assert capsys.readouterr().out == "[PASS] 01.5 more units, less error\n"


def test_a_false_claim_raises_with_its_evidence():
    with pytest.raises(AssertionError, match=r"\[FAIL\] 01.5 .* \(error = 0.3333, n = \[1, 2\]\)"):
        notebook.claim("01.5", "more units, less error", False, error=1 / 3, n=[1, 2])


@pytest.mark.parametrize("holds", [np.array([True, False]), 1, None, "yes"])
def test_a_claim_is_true_or_false(holds):
    with pytest.raises(TypeError, match="expected True or False"):
        notebook.claim("01.5", "text", holds)


def test_evidence_is_recorded(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASAE_EVIDENCE", str(tmp_path / "evidence.jsonl"))
    notebook.claim("01.5", "text", True, errors=np.array([1.0, 2.0]))
    with pytest.raises(AssertionError):
        notebook.claim("01.6", "text", False)
    lines = [json.loads(x) for x in (tmp_path / "evidence.jsonl").read_text().splitlines()]
    assert [line["holds"] for line in lines] == [True, False]
    assert lines[0]["errors"] == [1.0, 2.0]
    assert lines[0]["backend"] == keras.backend.backend()


def test_evidence_names_the_seed_in_use(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASAE_EVIDENCE", str(tmp_path / "evidence.jsonl"))
    monkeypatch.setenv("KERASAE_SEED", "3")
    for chosen, used in ((5, 5), (None, 3)):
        assert notebook.setup(chosen) == used
        notebook.claim("01.5", "text", True)
    lines = [json.loads(x) for x in (tmp_path / "evidence.jsonl").read_text().splitlines()]
    assert [line["seed"] for line in lines] == [5, 3]


def test_budget(monkeypatch):
    monkeypatch.delenv("KERASAE_BUDGET", raising=False)
    assert notebook.budget(fast=1, full=2) == 1
    monkeypatch.setenv("KERASAE_BUDGET", "full")
    assert notebook.budget(fast=1, full=2) == 2
    monkeypatch.setenv("KERASAE_BUDGET", "fulll")
    with pytest.raises(ValueError, match="'fulll', expected 'fast' or 'full'"):
        notebook.budget(fast=1, full=2)


def test_setup_seeds_and_tells_versions(monkeypatch, capsys):
    monkeypatch.setenv("KERASAE_SEED", "5")
    assert notebook.setup() == 5
    first = keras.layers.Dense(3)(np.ones((1, 2))), random.random()
    line = capsys.readouterr().out
    assert f"on {keras.backend.backend()}" in line and "seed 5" in line
    notebook.setup()
    second = keras.layers.Dense(3)(np.ones((1, 2))), random.random()
    assert first[1] == second[1]
    one, two = (keras.ops.convert_to_numpy(keras.ops.stop_gradient(x[0])) for x in (first, second))
    np.testing.assert_array_equal(one, two)


def test_table(capsys):
    notebook.table([{"code": "two", "error": 0.123456}], "Errors")
    assert "Markdown" in capsys.readouterr().out  # outside a notebook, its repr


def test_pictures_are_drawn(tmp_path):
    x = np.random.default_rng(0).random((6, 8, 8, 3))
    pictures = {
        "rows": plots.image_rows({"a": x, "b\nc": x - 0.5}, "t", signed=["b\nc"]),
        "sheet": plots.image_sheet(x, columns=4),
        "curves": plots.curves({"a": [3, 2, 1], "b": ([1, 2], [1, 2])}, "x", "y", log="xy"),
        "history": plots.history({"loss": [2, 1], "val_loss": [3, 2]}),
        "codes": plots.codes(x[:, 0, :2, 0], np.arange(6) // 2, "t"),
    }
    for name, picture in pictures.items():
        picture.savefig(tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 2000


def test_tile():
    images = np.arange(1, 4, dtype="float32").reshape(3, 1, 1) * np.ones((1, 2, 2))
    sheet = plots.tile(images, columns=2, gap=1)
    assert sheet.shape == (5, 5, 1)
    assert sheet[0, 0, 0] == 1 and sheet[0, 3, 0] == 2 and sheet[3, 0, 0] == 3
    assert (sheet[2] == 1).all() and (sheet[3:, 2:] == 1).all()  # white between and behind


def test_explore_shows_a_still_picture_or_sliders(monkeypatch):
    from kerasae.plots import figure

    drawn = []

    def draw(angle, kind):
        drawn.append((angle, kind))
        return figure(title=f"{angle} {kind}")[0]

    ranges = {"angle": range(5), "kind": ("flat", "round")}
    monkeypatch.setenv("KERASAE_STILL", "1")
    assert notebook.explore(draw, **ranges).get_suptitle() == "4 round"
    monkeypatch.delenv("KERASAE_STILL")
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    assert notebook.explore(draw, **ranges).get_suptitle() == "4 round"
    monkeypatch.undo()
    widgets, shown = pytest.importorskip("ipywidgets"), []
    monkeypatch.setattr(widgets, "interact", lambda *given, **sliders: shown.append(sliders))
    assert notebook.explore(draw, **ranges) is None
    (sliders,) = shown
    assert sliders["angle"].options == (0, 1, 2, 3, 4) and sliders["angle"].value == 4


def test_halved_images_are_means_of_blocks():
    images = np.arange(32.0).reshape(1, 4, 4, 2)
    small = notebook.halved(images)
    assert small.shape == (1, 2, 2, 2)
    assert small[0, 1, 0, 1] == images[0, 2:, :2, 1].mean()
