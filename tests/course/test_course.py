"""Running notebooks: one that fails or dies is named, and the others run all the same."""

import json

import keras
import nbformat
import numpy as np
import pytest
from course import calibrate, read, run, student

pytestmark = pytest.mark.home("tensorflow")


def write(folder, name, *sources):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    title = nbformat.v4.new_markdown_cell(f"# {name}\n\nA promise.")
    cells.append(nbformat.v4.new_markdown_cell("*A caption.*"))
    notebook = nbformat.v4.new_notebook(cells=[title, *cells])
    notebook.cells[1].metadata.tags = ["signature"]
    nbformat.write(notebook, folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"


PICTURE = """
from IPython.display import Image, display
from PIL import Image as Pixels
import io
stream = io.BytesIO()
Pixels.new("RGB", (30, 20), "red").save(stream, "PNG")
display(Image(stream.getvalue()))
"""


def test_run(tmp_path, capsys):
    paths = [
        write(tmp_path, "1_fails", "1 / 0"),
        write(tmp_path, "2_dies", "import os", "os._exit(1)"),
        write(tmp_path, "3_good", PICTURE),
    ]
    output = tmp_path / "out"
    assert run.run(paths, output) == 1
    printed = capsys.readouterr().out
    assert "ZeroDivisionError" in printed and "1 passed, 2 failed" in printed
    stored = json.loads((output / "3_good.ipynb").read_text())
    assert stored["cells"][1]["execution_count"] == 1
    assert stored["cells"][1]["metadata"] == {"tags": ["signature"]}
    assert (output / "3_good.png").exists() and not (output / "1_fails.png").exists()
    page = (output / "gallery.html").read_text()
    assert 'alt="A caption."' in page and "3_good" in page and "1_fails" not in page


def test_a_failure_in_place_keeps_the_good_notebook(tmp_path, monkeypatch):
    path = write(tmp_path, "1_fails", "1 / 0")
    before = path.read_text()
    monkeypatch.setattr(run, "HERE", tmp_path)
    assert run.run([path], tmp_path) == 1
    assert path.read_text() == before


def test_a_copy_for_students_keeps_the_exercise_and_not_its_solution(tmp_path):
    path = write(tmp_path, "1_good", "answer = 41 + 1", "print(answer)")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[2].metadata.tags = ["solution"]
    told = nbformat.v4.new_markdown_cell("It is 42.", metadata={"tags": ["solution"]})
    notebook.cells.insert(3, told)
    nbformat.write(notebook, path)
    student.copy([path], tmp_path / "students")
    copied = nbformat.read(tmp_path / "students" / "1_good.ipynb", as_version=4)
    assert copied.cells[1].source == "answer = 41 + 1"
    assert copied.cells[2].source == "# Exercise 1: yours"
    assert copied.cells[3].source == "*A caption.*"
    assert "print(answer)" in path.read_text()
    with pytest.raises(SystemExit, match="expected another"):
        student.copy([path], read.HERE)


CLAIM = """
from kerasae.notebook import claim, setup
seed = setup()
claim("98.1", "It is so.", {holds}, measured=[0.123456, seed], many=list(range(20)))
"""


def test_calibration_keeps_evidence_of_claims_that_fail_too(tmp_path, monkeypatch, capsys):
    cells = CLAIM.format(holds="seed < 1"), 'claim("98.2", "On.", True)', "1 / (1 - seed)"
    path = write(tmp_path, "98_test", *cells)
    ledger = {"98_test": {"claims": ["98.1"]}}
    monkeypatch.setattr(calibrate, "TABLE", tmp_path / "calibration.jsonl")
    monkeypatch.setattr(calibrate, "LEDGER", ledger)
    backend = calibrate.BACKENDS[["jax", "tensorflow", "torch"].index(keras.backend.backend())]
    assert calibrate.calibrate([path], [backend], [0, 1]) == 1
    row = next(row for row in calibrate.read() if row["claim"] == "98.1")
    assert row["seeds"] == [0, 1] and row["holds"] == [True, False]
    assert row["evidence"] == {
        "measured": [[0.1235, 0], [0.1235, 1]],
        "many": [[0.0, 9.5, 19.0]] * 2,
    }
    assert calibrate.checked(path) == {
        name: next(row["checked"] for row in calibrate.read() if row["claim"] == name)
        for name in ("98.1", "98.2")
    }
    said = capsys.readouterr().out.splitlines()
    assert said == [
        f"98_test {backend} 98.1: 1 of 2 seeds",
        f"98_test {backend} seed 1: ZeroDivisionError: division by zero",
    ]


def test_a_change_before_a_claim_makes_its_calibration_out_of_date(tmp_path):
    def digests(*cells):
        return calibrate.checked(write(tmp_path, "98_test", *cells))

    first, second = CLAIM.format(holds=True), 'claim("98.2", "On.", True)'
    before = digests("train(8)", first, second)
    assert digests("train(9)", first, second).keys() == before.keys() == {"98.1", "98.2"}
    assert all(digests("train(9)", first, second)[name] != before[name] for name in before)
    after = digests("train(8)", first, "plot()", second)
    assert after["98.1"] == before["98.1"] and after["98.2"] != before["98.2"]
    assert digests("train(8)", first, second, "plot()") == before


def test_a_backend_that_differs_more_than_seeds_do_is_reported():
    draw = np.random.default_rng(0).normal

    def rows(torch, **evidence):
        same = {"error": [*draw(5, 0.1, 4)], "gaps": [[*draw(size=3)] for _ in range(4)]}
        return [
            {"claim": "98.1", "backend": "jax", "evidence": same | evidence},
            {"claim": "98.1", "backend": "torch", "evidence": {**same, **torch, **evidence}},
        ]

    assert list(calibrate.differences(rows({}))) == []
    assert list(calibrate.differences(rows({"error": [*draw(5.1, 0.1, 4)]}))) == []
    (found,) = calibrate.differences(rows({"error": [*draw(7, 0.1, 4)]}))
    assert found.startswith("98.1: `error` is ") and found.endswith("more than seeds differ")
    exact = [{"exact": [1.0] * 4}, {"exact": [1.0 + 1e-7] * 4}, {"exact": [1.1] * 4}]
    table = [{"claim": "98.2", "backend": b, "evidence": e} for b, e in zip("abc", exact, strict=1)]
    assert [line[:20] for line in calibrate.differences(table)] == ["98.2: `exact` is 1 a"] * 2


def test_a_new_calibration_takes_the_place_of_the_old(tmp_path, monkeypatch):
    monkeypatch.setattr(calibrate, "TABLE", tmp_path / "calibration.jsonl")
    old, other = ({"claim": name, "backend": "jax", "holds": [True]} for name in ("98.1", "98.2"))
    calibrate.merge([old, other])
    calibrate.merge([{**old, "holds": [False]}])
    assert calibrate.read() == [{**old, "holds": [False]}, other]


def test_a_claim_that_is_checked_twice_is_named(tmp_path):
    path = write(tmp_path, "98_test", *[CLAIM.format(holds=True)] * 2)
    with pytest.raises(ValueError, match=r"98_test.ipynb checks claim 98.1 twice, expected once"):
        read.claims(path)
