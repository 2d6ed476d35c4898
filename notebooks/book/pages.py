"""Gathers the book's pages from where they live in the repository, and rewrites what a site lacks.

Pages keep their place, so that links between them hold as they are written: notebooks, cards and
texts are copied to the same path under the folder that Sphinx reads. What is rewritten on the way:

    a link to a file of the repository that is no page   its address in the repository
    a badge, which is a picture from elsewhere           its text
    a thumbnail in HTML                                  the same in Markdown, checked by Sphinx
    the course's map, which GitHub draws                 the same map as a picture
    a link to a notebook whose number is yet to come     its text
"""

import itertools
import json
import posixpath
import re
from pathlib import Path, PurePosixPath

from book import reference
from book.map import drawn
from course import read

ROOT = read.HERE.parent
HERE = Path(__file__).resolve().parent
TEXTS = [
    "README.md",
    "data/README.md",
    "kerasae/engine/SCALING.md",
    "kerasae/models/WRITING.md",
    "kerasae/zoo/README.md",
    "kerasae/zoo/USING.md",
    "notebooks/ERRATA.md",
    "notebooks/README.md",
]
PICTURES = (".png", ".jpg", ".svg")


def gather(target: Path) -> None:
    """Writes every page and its pictures below `target`."""
    cards = sorted((ROOT / "kerasae/zoo/presets").glob("*/README.md"))
    runs = sorted((ROOT / "kerasae/zoo/published/results").glob("*/README.md"))
    teaching = [read.teaching(path) for path in read.notebooks()]
    paths = [ROOT / text for text in TEXTS] + cards + runs + read.notebooks() + teaching
    sources = {path.relative_to(ROOT).as_posix(): path for path in paths}
    pages = {name: _read(name, path, set(sources)) for name, path in sources.items()}
    files = {
        str(PurePosixPath(name).parent / picture): (ROOT / name).parent / picture
        for name, text in pages.items()
        for picture in _pictures(text)
    }
    contents = {name: path.read_bytes() for name, path in files.items() if path.exists()}
    for path in read.notebooks():
        contents[f"signatures/{path.stem}.png"] = read.signature(path)[0] or b""
    pages |= reference.pages() | {"index.md": start(cards, runs)}
    contents |= {name: text.encode() for name, text in pages.items()}
    for name, content in contents.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def rewritten(text: str, page: str, pages: set[str]) -> str:
    """A page's Markdown as the book shows it; `page` and `pages` are paths in the repository."""
    folder = PurePosixPath(page).parent
    there = {PurePosixPath(name).name[:2] for name in pages if name.endswith(".ipynb")}

    def promised(match: re.Match) -> str:
        return match[0] if match["number"] in there else match["text"]

    def thumbnail(match: re.Match) -> str:
        alt = match["alt"].replace("&quot;", '"').replace("[", "\\[").replace("]", "\\]")
        return f"[![{alt}]({match['src']}){{width={match['width']}px}}]({match['href']})"

    def target(match: re.Match) -> str:
        path = posixpath.normpath(folder / match[1])
        if path in pages or path.endswith(PICTURES) or not (ROOT / path).exists():
            return match[0]  # a dead link stays dead, and Sphinx says so
        kind = "tree" if (ROOT / path).is_dir() else "blob"
        return f"{read.repository()}/{kind}/main/{path}"

    text = re.sub(r"<!-- gallery -->.*<!-- end of gallery -->\n*", "", text, flags=re.S)
    text = re.sub(r"```mermaid\n(.*?)```", lambda match: drawn(match[1], pages), text, flags=re.S)
    text = re.sub(r"\[!\[([^\]]*)\]\(https?:[^)]*\)\]", r"[\1]", text)
    text = re.sub(
        r'<a href="(?P<href>[^"]*)"><img src="(?P<src>[^"]*)" width="(?P<width>\d+)" '
        r'alt="(?P<alt>[^"]*)"></a>',
        thumbnail,
        text,
    )
    link = r"\[(?P<text>[^\]]*)\]\((?P<number>\d\d)_\w+\.ipynb(#[^)]*)?\)"
    prose = re.split(r"(```.*?```|`[^`\n]*`)", re.sub(link, promised, text), flags=re.S)
    prose[::2] = [re.sub(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)", target, part) for part in prose[::2]]
    return "".join(prose)


def notebook(document: dict, page: str, pages: set[str]) -> dict:
    """A notebook as the book shows it: solutions and checks folded, pictures described."""
    cells = document["cells"]
    document["metadata"]["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
    solutions = itertools.count(1)
    for cell, after in zip(cells, [*cells[1:], {"cell_type": "end"}], strict=True):
        if cell["cell_type"] == "markdown":
            cell["source"] = rewritten("".join(cell["source"]), page, pages)
        elif cell["cell_type"] == "code":
            shown = cell["metadata"]["mystnb"] = {}
            if after["cell_type"] == "markdown":
                caption = read.caption({**after, "source": "".join(after["source"])})
                if caption:
                    shown["image"] = {"alt": caption}
            if read.is_solution(cell):
                fold, prompt = "hide-cell", f"Solution {next(solutions)}"
            elif claims := read.checked_in(cell):
                fold, prompt = "hide-input", f"How {' and '.join(claims)} is checked"
            else:
                continue
            cell["metadata"].setdefault("tags", []).append(fold)
            shown["code_prompt_show"] = shown["code_prompt_hide"] = prompt
    return document


def start(cards: list[Path], runs: list[Path]) -> str:
    """The start page: `index.md` here, with the pictures and the table of contents filled in."""
    course = [
        _figure(
            f"signatures/{path.stem}.png",
            f"notebooks/{path.name}",
            read.title(path),
            read.promise(path),
            read.signature(path)[1],
        )
        for path in read.notebooks()
    ]
    zoo = [path.parent for path in cards + runs]
    shown = []
    for path in cards:
        text = path.read_text(encoding="utf-8")
        alt, picture = re.search(r"!\[([^\]]*)\]\(([^)]*)\)", text).groups()
        card = path.relative_to(ROOT)
        title, promise = path.parent.name, text.split("\n\n")[1]
        shown.append(_figure(card.parent / picture, card, title, promise, alt))
    filled = {
        "COURSE": "\n".join(course),
        "ZOO": "\n".join(shown),
        "NOTEBOOKS": "\n".join(f"notebooks/{path.stem}" for path in read.notebooks()),
        "TEACHING": "\n".join(f"notebooks/teaching/{path.stem}" for path in read.notebooks()),
        "CARDS": "\n".join(f"{path.name} <{path.relative_to(ROOT)}/README>" for path in zoo),
    }
    text = (HERE / "index.md").read_text(encoding="utf-8")
    return re.sub(r"%([A-Z]+)%", lambda match: filled[match[1]], text)


def _read(name: str, path: Path, pages: set[str]) -> str:
    text = path.read_text(encoding="utf-8")
    if path.parent.name == "teaching":
        links = f'[The notebook](../{path.stem}.ipynb) · <a href="../../slides/{path.stem}.html">'
        text = text.replace("\n\n", f"\n\n{links}The slides</a>\n\n", 1)
    if path.suffix == ".ipynb":
        return json.dumps(notebook(json.loads(text), name, pages), ensure_ascii=False)
    return rewritten(text, name, pages)


def _pictures(text: str) -> set[str]:
    found = re.findall(r"!\[[^\]]*\]\((?!\w+:)([^)\s]+)\)", text)
    return {name for name in found if name.endswith(PICTURES)}


def _figure(picture: Path | str, target: Path | str, title: str, promise: str, alt: str) -> str:
    page = re.sub(r"\.\w+$", ".html", str(target))
    return (
        f"```{{figure}} {picture}\n:target: {page}\n:alt: {alt}\n\n"
        f"**[{title}]({target})** {promise}\n```\n"
    )
