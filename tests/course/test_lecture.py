"""What a teacher needs of each notebook: its page, its slides, links that lead somewhere."""

import re
from pathlib import Path

import pytest
from course import read, slides

pytestmark = pytest.mark.home("tensorflow")

PATHS = read.notebooks()
every_notebook = pytest.mark.parametrize("path", PATHS, ids=[path.stem for path in PATHS])
HEADS = ["Minutes", "At the picture", "On the board", "Common wrong answers", "Quiz"]


def anchors(path: Path) -> set[str]:
    """The anchors of a notebook's headings, as GitHub, Jupyter and the book write them."""
    if path.suffix != ".ipynb":
        texts = [path.read_text(encoding="utf-8")]
    else:
        texts = [cell["source"] for cell in read.cells(path) if cell["cell_type"] == "markdown"]
    heads = [head for text in texts for head in re.findall(r"(?m)^#+ +(.*)$", text)]
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@every_notebook
def test_page_for_teachers(path):
    text = read.teaching(path).read_text(encoding="utf-8")
    assert text.startswith(f"# {read.title(path)}\n")
    assert re.findall(r"(?m)^## (.*)$", text) == HEADS
    quiz = text.split("## Quiz")[1]
    assert re.findall(r"(?m)^(\d)\. ", quiz) == list("12345")
    assert len(re.findall(r"(?m)^ +\*\*Answer\.\*\* \S", quiz)) == 5
    assert "$" in text.split("## On the board")[1].split("## ")[0]


@every_notebook
def test_slides(path):
    chosen = [cell for cell, _ in slides.chosen(path)]
    assert 6 <= len(chosen) <= 14
    assert any("signature" in cell["metadata"]["tags"] for cell in chosen)
    page = slides.page(path)
    assert page.count("<section>") == 1 + len(chosen)
    pictures = [
        output
        for cell in chosen
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    shown = re.findall(r"data:image/(?:png|gif);base64,", page)
    assert len(shown) == len(pictures) > 0
    beside = {f"{each.stem}.html" for each in read.notebooks()}
    for link in re.findall(r'<a [^>]*href="([^"]*)"', page):
        assert link in beside or link.startswith("https://"), link


@every_notebook
def test_references_are_linked(path):
    texts = [cell["source"] for cell in read.cells(path) if cell["cell_type"] == "markdown"]
    (references,) = re.findall(r"(?m)^\*\*References\.\*\* (.*)$", "\n".join(texts))
    for reference in references.split(" · "):
        assert re.search(r"\]\(https://", reference), reference


def test_networks_are_drawn():
    drawn = [path for path in PATHS if "plots.architecture(" in path.read_text(encoding="utf-8")]
    assert len(drawn) >= 14


@every_notebook
def test_cross_references_lead_to_a_section(path):
    pages = [cell["source"] for cell in read.cells(path) if cell["cell_type"] == "markdown"]
    for text in pages:
        for name, anchor in re.findall(r"\]\(([\w/]+\.(?:ipynb|md))(?:#([^)]*))?\)", text):
            target = path.parent / name
            assert target.exists(), name
            assert not anchor or anchor.lower() in anchors(target), f"{name}#{anchor}"
