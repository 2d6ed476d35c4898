"""Running notebooks: one that fails or dies is named, and the others run all the same."""

import json

import nbformat
from test_notebooks import course


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
    assert course.run(paths, output) == 1
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
    monkeypatch.setattr(course, "HERE", tmp_path)
    assert course.run([path], tmp_path) == 1
    assert path.read_text() == before
