"""Slides for the lecture hall: the cells of a notebook with the tag `slide`, one page each.

A cell of text is a slide; what stands above its heading, it says of the cell before, and is left
out. A cell of code is a slide of its outputs, with the caption below it; if it has none, its code
is shown. Arrow keys and the space bar turn the pages, and a browser prints
them as handouts.
"""

import html
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

from course.read import caption, cells, title

STYLE = """
body { margin: 0; font: 1.5rem/1.45 system-ui, sans-serif; color: #222; background: #ddd; }
section { box-sizing: border-box; min-height: 100vh; padding: 3vh 6vw; background: #fff;
  display: flex; flex-direction: column; justify-content: center; break-after: page; }
section > * { max-width: 70rem; margin: .5em auto; width: 100%; }
h1, h2, h3 { line-height: 1.2; }
img { max-height: 74vh; max-width: 100%; width: auto; margin: auto; display: block; }
pre { font-size: 1.05rem; line-height: 1.35; overflow-x: auto; background: #f5f5f5; padding: 1em; }
mjx-container[display=true] svg { max-width: 100%; height: auto; }
table { border-collapse: collapse; font-size: 1.2rem; } td, th { padding: .2em .8em; }
figcaption, footer { font-size: 1.1rem; color: #555; }
footer { text-align: right; }
@media print { section { min-height: auto; height: 100vh; } }
"""
SCRIPT = """
const slides = [...document.querySelectorAll("section")];
const at = () => slides.findIndex(s => s.getBoundingClientRect().bottom > innerHeight / 2);
addEventListener("keydown", event => {
  const step = {ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1, ArrowLeft: -1, ArrowUp: -1,
    PageUp: -1}[event.key];
  if (!step) return;
  event.preventDefault();
  slides[Math.min(Math.max(at() + step, 0), slides.length - 1)].scrollIntoView();
});
"""
MATHJAX = "tex-svg-full.js"
ELSEWHERE = f"https://cdn.jsdelivr.net/npm/mathjax@3/es5/{MATHJAX}"


def write(paths: list[Path], output: Path) -> int:
    """Write one page of slides for each notebook, and MathJax beside them if it is installed."""
    output.mkdir(parents=True, exist_ok=True)
    mathjax = ELSEWHERE
    if found := find_spec("sphinx-mathjax-offline"):  # comes with the book's packages
        source = Path(found.submodule_search_locations[0], "static", "mathjax", MATHJAX)
        shutil.copy(source, output / MATHJAX)
        mathjax = MATHJAX
    for path in paths:
        (output / f"{path.stem}.html").write_text(page(path, mathjax), encoding="utf-8")
    print(f"{len(paths)} sets of slides: {output}")
    return 0


def page(path: Path, mathjax: str = ELSEWHERE) -> str:
    """Return the slides of a notebook as an HTML page."""
    head = "\n\n".join(cells(path)[0]["source"].split("\n\n")[:2])
    slides = [_html(head), *(_slide(cell, after) for cell, after in chosen(path))]
    sections = "\n".join(
        f"<section>{slide}<footer>{number} / {len(slides)}</footer></section>"
        for number, slide in enumerate(slides, 1)
    )
    setup = "MathJax = {tex: {inlineMath: [['$', '$'], ['\\\\(', '\\\\)']]}}"
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f"<title>{html.escape(title(path))}</title><style>{STYLE}</style>"
        f'<script>{setup}</script><script async src="{mathjax}"></script>'
        f"<body>{sections}<script>{SCRIPT}</script></body></html>\n"
    )


def chosen(path: Path) -> list[tuple[dict, str]]:
    """Return the cells with the tag `slide`, each with the caption below it."""
    everything = cells(path)
    return [
        (cell, caption(everything[place + 1]) if place + 1 < len(everything) else "")
        for place, cell in enumerate(everything)
        if "slide" in cell["metadata"].get("tags", [])
    ]


def _slide(cell: dict, below: str) -> str:
    if cell["cell_type"] == "markdown":
        return _html(re.sub(r"\A.*?(?=^#)", "", cell["source"], flags=re.M | re.S))
    shown = [part for output in cell["outputs"] if (part := _shown(output.get("data", {})))]
    if not shown:
        return f"<pre>{html.escape(cell['source'])}</pre>"
    words = f"<figcaption>{_html(below)}</figcaption>" if below else ""
    return f"<figure>{''.join(shown)}{words}</figure>"


def _html(markdown: str) -> str:
    """Return Markdown as HTML, with links to other notebooks' slides, without those to a heading.

    The heading may be on no slide.
    """
    from nbconvert.filters import markdown2html

    markdown = re.sub(r"(?<=\]\()(\d\d_\w+)\.ipynb(#[^)]*)?(?=\))", r"\1.html", markdown)
    markdown = re.sub(r"\[([^\]]*)\]\(#[^)]*\)", r"\1", markdown)
    return re.sub(r'<a class="anchor-link".*?</a>', "", markdown2html(markdown))


def _shown(data: dict) -> str:
    if "data:image/gif" in (film := "".join(data.get("text/html", ""))):
        return film
    if "image/png" in data:
        return f'<img alt="" src="data:image/png;base64,{"".join(data["image/png"]).strip()}">'
    return _html("".join(data["text/markdown"])) if "text/markdown" in data else ""
