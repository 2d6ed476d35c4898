"""What the course's pages and checks know about its notebooks: read from them, and from the ledger.

`ledger.json` lists the notebooks: which others each needs, the backend on which CI runs it and how
many seconds it takes there, its picture in a few words, and the claims that it must check. A
notebook's signature picture is the output of the cell with the tag `signature`; the text under it
is the picture's caption.
"""

import ast
import base64
import itertools
import json
import re
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
LEDGER = json.loads((HERE / "ledger.json").read_text(encoding="utf-8"))


def notebooks(names: list[str] | None = None) -> list[Path]:
    """The course's notebooks in order, or those whose name starts with one of `names`."""
    paths = [HERE / f"{name}.ipynb" for name in LEDGER]
    chosen = [path for path in paths if not names or path.name.startswith(tuple(names))]
    if not chosen:
        sys.exit(f"No notebook starts with {' or '.join(names)}, expected some of: {list(LEDGER)}.")
    return chosen


def cells(path: Path) -> list[dict]:
    """A notebook's cells, each with its source as one string."""
    document = json.loads(path.read_text(encoding="utf-8"))
    return [{**cell, "source": "".join(cell["source"])} for cell in document["cells"]]


def title(path: Path) -> str:
    """The first heading, for instance `01 · Autoencoder basics`."""
    return cells(path)[0]["source"].splitlines()[0].removeprefix("# ")


def promise(path: Path) -> str:
    """The sentence under the first heading."""
    paragraphs = [part.strip() for part in cells(path)[0]["source"].split("\n\n")]
    return " ".join(paragraphs[1].split())


def claims(path: Path) -> dict[str, str]:
    """Id and text of each claim, in the order in which they are checked."""
    found = {}
    for cell in cells(path):
        if cell["cell_type"] != "code" or "claim(" not in cell["source"]:
            continue
        for node in ast.walk(ast.parse(re.sub(r"(?m)^(\s*)%.*$", r"\1pass", cell["source"]))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "claim":
                name, text = (ast.literal_eval(argument) for argument in node.args[:2])
                if name in found:
                    raise ValueError(f"{path.name} checks claim {name} twice, expected once.")
                found[name] = text
    return found


def signature(path: Path) -> tuple[bytes | None, str]:
    """PNG and caption of the cell tagged `signature`; `None` where it has not been run."""
    all_cells = cells(path)
    for cell, after in itertools.pairwise(all_cells):
        if "signature" in cell["metadata"].get("tags", []):
            pictures = [
                base64.b64decode(output["data"]["image/png"])
                for output in cell.get("outputs", [])
                if "image/png" in output.get("data", {})
            ]
            text = after["source"].split("\n\n")[0].strip("*_ \n").replace("\n", " ")
            return (pictures[-1] if pictures else None), text
    return None, ""


def checked_in(cell: dict) -> list[str]:
    """The ids of the claims that a cell checks."""
    return re.findall(r"\bclaim\(\s*\"(\d\d\.\d)\"", "".join(cell["source"]))


def is_solution(cell: dict) -> bool:
    """Whether a cell is part of an exercise's solution."""
    return "solution" in cell["metadata"].get("tags", [])


def teaching(path: Path) -> Path:
    """The page for teachers of a notebook."""
    return HERE / "teaching" / f"{path.stem}.md"


def caption(cell: dict) -> str:
    """The caption that a cell of text begins with, a paragraph in italics; "" if there is none."""
    if cell["cell_type"] != "markdown":
        return ""
    found = re.match(r"\*([^*].*?)\*\n", cell["source"].split("\n\n")[0] + "\n", re.S)
    return " ".join(found[1].split()) if found else ""


def repository() -> str:
    """The project's address, from the one place where it is written."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    return project["project"]["urls"]["Repository"]


def colab(path: Path) -> str:
    """A badge that opens the notebook in Colab."""
    badge = "https://colab.research.google.com/assets/colab-badge.svg"
    slug = repository().removeprefix("https://github.com/")
    link = f"https://colab.research.google.com/github/{slug}/blob/main/notebooks/{path.name}"
    return f"[![Open in Colab]({badge})]({link})"


def slides(path: Path) -> str:
    """The decks and their topics, as the notebook's head names them."""
    return _head(path)[0]


def duration(path: Path) -> str:
    """The time that the notebook's head announces, for instance `half a minute`."""
    return _head(path)[1]


def _head(path: Path) -> tuple[str, str]:
    found = re.search(
        r"\*\*Decks?\*\* (.+) · \*\*Time\*\* about (.+) on a laptop's CPU", cells(path)[0]["source"]
    )
    if not found:
        raise ValueError(f"{path.name} does not name decks and time in its first cell.")
    return found.group(1), found.group(2)
