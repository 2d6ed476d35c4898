"""The book: how its pages are rewritten, and that its check finds what is broken."""

import importlib.util

import pytest
from book import docstrings, map, pages, reference
from course import read

pytestmark = pytest.mark.home("tensorflow")

PAGES = {"README.md", "notebooks/README.md", "notebooks/01_one.ipynb", "notebooks/02_two.ipynb"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[next](02_two.ipynb#how)", "[next](02_two.ipynb#how)"),
        ("[it](../README.md), [there](#here)", "[it](../README.md), [there](#here)"),
        ("[far](https://keras.io)", "[far](https://keras.io)"),
        (
            "[reader](course/read.py)",
            f"[reader]({read.repository()}/blob/main/notebooks/course/read.py)",
        ),
        ("[course](course)", f"[course]({read.repository()}/tree/main/notebooks/course)"),
        ("[dead](course/none.py)", "[dead](course/none.py)"),
        ("`a[0](course)`\n```\n[x](course)\n```\n", "`a[0](course)`\n```\n[x](course)\n```\n"),
        ("**[to come](99_later.ipynb)**.", "**to come**."),
        ("[misspelt](02_tow.ipynb)", "[misspelt](02_tow.ipynb)"),
        ("[![Open](https://a.b/c.svg)](https://d.e)", "[Open](https://d.e)"),
        (
            '<a href="01_one.ipynb"><img src="pictures/01.png" width="160" alt="A &quot;[1]"></a>',
            '[![A "\\[1\\]](pictures/01.png){width=160px}](01_one.ipynb)',
        ),
    ],
)
def test_links_lead_within_the_book_or_to_the_repository(text, expected):
    assert pages.rewritten(text, "notebooks/02_two.ipynb", PAGES) == expected


def test_the_map_has_every_notebook_and_every_arrow():
    text = '```mermaid\nflowchart LR\n    01["One & all"]\n    02["Two"]\n    01 --> 02\n```'
    svg = pages.rewritten(text, "notebooks/README.md", PAGES)
    assert svg == map.drawn(text, PAGES) and svg.count('class="arc"') == 1
    assert 'href="01_one.html"' in svg and "One &amp; all" in svg and "mermaid" not in svg


def test_a_notebook_folds_solutions_and_checks_and_describes_pictures():
    check = {"cell_type": "code", "metadata": {}, "source": ["claim(\n", '    "01.2",\n']}
    code = {"cell_type": "code", "metadata": {"tags": ["solution"]}, "source": ["1"]}
    caption = {"cell_type": "markdown", "source": ["*One\n", "line.*\n", "\n", "[b](03_x.ipynb)"]}
    document = {"metadata": {}, "cells": [check, code, caption]}
    pages.notebook(document, "notebooks/01_one.ipynb", PAGES)
    assert code["metadata"]["mystnb"]["image"] == {"alt": "One line."}
    assert "hide-cell" in code["metadata"]["tags"]
    assert check["metadata"]["tags"] == ["hide-input"]
    assert check["metadata"]["mystnb"]["code_prompt_show"] == "How 01.2 is checked"
    assert caption["source"] == "*One\nline.*\n\nb"


def test_docstrings_mean_what_they_say():
    lines = [
        "q(z|x), a_ of `b_`:",
        "",
        "    x*y | z",
        "",
        "Args:",
        "    x: One.",
        "",
        ">>> a | b",
        "c|d",
    ]
    assert docstrings.restructured(lines) == [
        *("q(z\\|x), a\\_ of `b_`:", "", ".. code-block:: text", "", "    x*y | z", ""),
        *("Args:", "    x: One.", "", ">>> a | b", "c|d"),
    ]
    fenced = docstrings.restructured(["So:", "```python", "a | b", "```"])
    assert fenced == ["So:", "", ".. code-block:: python", "", "    a | b"]


def test_every_model_has_a_page():
    written = reference.pages()
    for module, names in reference.models().items():
        assert all(f"autoclass:: kerasae.{name}\n" in written[f"api/{module}.md"] for name in names)
        assert f"]({module}.md)" in written["api/index.md"]


BROKEN = {
    "no picture: none.png": '<img src="none.png">',
    "console: oh": '<script>console.error("oh")</script>',
    "exception: ReferenceError": "<script>nobody()</script>",
    "network: http://localhost:9/x.js": '<script src="http://localhost:9/x.js"></script>',
    "dead link: none.html": '<a href="none.html">x</a>',
    "dead link: good.html#none": '<a href="good.html#none">x</a>',
    "mathematics: $a$": '<span class="math">$a$</span>',
    "markup left: ](x.md)": "<p>[x](x.md)</p>",
}


def test_the_check_finds_what_is_broken(tmp_path, capsys):
    if not importlib.util.find_spec("websocket"):
        pytest.skip("Chromium is spoken to by the package websocket-client, which is not installed")
    from book.check import check, program

    if program() is None:
        pytest.skip("the book is looked at in Chromium, which is not installed")

    good = '<h1 id="here">Good</h1><a href="good.html#here">x</a><a href="https://keras.io">y</a>'
    (tmp_path / "good.html").write_text(good)
    assert check(tmp_path) == 0
    for index, body in enumerate(BROKEN.values()):
        (tmp_path / f"{index}.html").write_text(f"<body>{body}</body>")
    assert check(tmp_path) == 1
    printed = capsys.readouterr().out
    for index, problem in enumerate(BROKEN):
        assert f"{index}.html: {problem}" in printed
    assert "good.html:" not in printed
