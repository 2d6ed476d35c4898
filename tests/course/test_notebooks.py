"""The course against its ledger: every claim once, executed, with the output it promises."""

import json
import re
from pathlib import Path

import pytest
from course import calibrate, pages, read
from PIL import Image

pytestmark = pytest.mark.home("tensorflow")

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"

PATHS = read.notebooks()
NAMES = [path.stem for path in PATHS]
every_notebook = pytest.mark.parametrize("path", PATHS, ids=NAMES)

SETUP = """\
import os
import sys

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # or "jax", or "torch"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "google.colab" in sys.modules:
    %pip install -q "kerasae[notebooks] @ git+{repository}"\
"""


def test_the_ledger_lists_the_folder():
    assert sorted(NAMES) == sorted(path.stem for path in FOLDER.glob("*.ipynb"))


@every_notebook
def test_claims_are_those_of_the_ledger(path):
    assert sorted(read.claims(path)) == read.LEDGER[path.stem]["claims"]


@every_notebook
def test_claim_cells_are_executed_compared_and_alone(path):
    for cell in read.cells(path):
        if cell["cell_type"] != "code" or "claim(" not in cell["source"]:
            continue
        assert cell["source"].startswith("# NBVAL_CHECK_OUTPUT"), "nbval must compare its line"
        assert len(re.findall(r"\bclaim\(", cell["source"])) == 1
        assert cell["execution_count"], "nbval does not compare a cell that was never run"
        assert [output["output_type"] for output in cell["outputs"]] == ["stream"]
        text = "".join(cell["outputs"][0]["text"])
        name, sentence = re.search(r"\[PASS\] (\d\d\.\d) (.*)\n\Z", text).groups()
        assert read.claims(path)[name] == sentence and text.count("\n") == 1


@every_notebook
def test_stored_outputs(path):
    made_on = re.search(r"Keras [\d.]+ on (\w+)", path.read_text(encoding="utf-8"))[1]
    assert made_on == "tensorflow", "`make refresh` stores outputs of TensorFlow"
    code = [cell for cell in read.cells(path) if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in code)
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert not [output for output in outputs if "image/svg+xml" in output.get("data", {})]
    assert path.stat().st_size < 1_000_000


@every_notebook
def test_anatomy(path):
    cells = read.cells(path)
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert re.fullmatch(rf"{path.stem[:2]} · .+", read.title(path))
    assert read.promise(path).endswith(".")
    assert read.colab(path) in cells[0]["source"]
    assert code[0]["source"] == SETUP.format(repository=read.repository())
    listed = re.findall(r"\*\*(\d\d\.\d)\*\*", cells[1]["source"])
    assert listed == read.LEDGER[path.stem]["claims"]
    tags = [tag for cell in cells for tag in cell["metadata"].get("tags", [])]
    assert tags.count("signature") == 1 and tags.count("solution") >= 3
    picture, caption = read.signature(path)
    assert picture and len(caption) > 40
    assert 20 < len(read.LEDGER[path.stem]["picture"]) < 80


@every_notebook
def test_nothing_of_the_machine_is_stored(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"/(root|work|home|tmp|Users)/|ipykernel_\d+", text)
    assert "execution" not in json.loads(text)["cells"][0]["metadata"]


def test_the_pages_are_up_to_date():
    assert (FOLDER / "README.md").read_text(encoding="utf-8") == pages.index()
    assert (FOLDER / "ERRATA.md").read_text(encoding="utf-8") == pages.errata()
    readme = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    assert readme == pages.with_gallery(readme)


@every_notebook
def test_thumbnail(path):
    with Image.open(FOLDER / "pictures" / f"{path.stem[:2]}.png") as image:
        assert image.width == pages.THUMBNAIL and image.info["source"] == pages.digest(path)


def test_the_map_has_no_circle():
    numbers = [name[:2] for name in NAMES]  # the ledger's order is the order of reading
    for place, name in enumerate(NAMES):
        assert set(read.LEDGER[name]["needs"]) <= set(numbers[:place])


@every_notebook
def test_claims_were_calibrated(path):
    rows = {(row["claim"], row["backend"]): row for row in calibrate.read()}
    digests = calibrate.checked(path)
    for name in read.LEDGER[path.stem]["claims"]:
        for backend in calibrate.BACKENDS:
            row = rows[name, backend]
            assert row["checked"] == digests[name], f"{name} has changed: `make calibrate`"
            assert len(set(row["seeds"])) == len(row["holds"]) >= 4
            assert all(row["holds"]) and row["evidence"]


def test_no_backend_differs_more_than_seeds_do():
    explained = {name for path in PATHS for name in read.LEDGER[path.stem].get("differ", {})}
    for difference in calibrate.differences(calibrate.read()):
        claim, evidence = re.match(r"(\S+): `(\w+)`", difference).groups()
        assert f"{claim} {evidence}" in explained, difference


def test_the_calibration_is_of_these_claims():
    rows = [(row["claim"], row["backend"]) for row in calibrate.read()]
    claims = {name for path in PATHS for name in calibrate.checked(path)}
    assert len(rows) == len(set(rows)) and {name for name, _ in rows} == claims


def test_no_function_is_copied_between_notebooks():
    homes = {}
    for path in PATHS:
        for cell in read.cells(path):
            if cell["cell_type"] == "code":
                for name in re.findall(r"(?m)^def (\w+)\(", cell["source"]):
                    homes.setdefault(name, set()).add(path.stem)
    assert not {name: where for name, where in homes.items() if len(where) > 1}
