"""Runs the course and writes its index.

    python notebooks/course.py run --output build/notebooks    execute all, with a gallery
    python notebooks/course.py run --in-place                  refresh the committed outputs
    python notebooks/course.py index                           rewrite its tables of contents

`ledger.json` lists the notebooks and the claims that each must check. A notebook's signature
picture is the cell with the tag `signature`; the text under it is the picture's caption.
"""

import argparse
import ast
import base64
import html
import io
import itertools
import json
import os
import re
import signal
import sys
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
LEDGER = json.loads((HERE / "ledger.json").read_text(encoding="utf-8"))


def main() -> int:
    """Reads the command line and does what it says; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    run_parser = commands.add_parser("run", help="execute the notebooks")
    where = run_parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--output", type=Path, help="folder for executed notebooks and gallery")
    where.add_argument("--in-place", action="store_true", help="replace the stored outputs")
    run_parser.add_argument("names", nargs="*", help="only notebooks whose name starts like this")
    commands.add_parser("index", help="rewrite notebooks/README.md and the table in README.md")
    arguments = parser.parse_args()
    if arguments.command == "index":
        (HERE / "README.md").write_text(index(), encoding="utf-8")
        readme = HERE.parent / "README.md"
        readme.write_text(with_contents(readme.read_text(encoding="utf-8")), encoding="utf-8")
        return 0
    return run(notebooks(arguments.names), HERE if arguments.in_place else arguments.output)


def notebooks(names: list[str] | None = None) -> list[Path]:
    """The course's notebooks in order, or those whose name starts with one of `names`."""
    paths = [HERE / f"{name}.ipynb" for name in LEDGER]
    chosen = [path for path in paths if not names or path.name.startswith(tuple(names))]
    if not chosen:
        sys.exit(f"No notebook starts with {' or '.join(names)}, expected some of: {list(LEDGER)}.")
    return chosen


def run(paths: list[Path], output: Path) -> int:
    """Executes notebooks one by one into `output`; returns how many failed."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # else TensorFlow prints a notice
    output.mkdir(parents=True, exist_ok=True)
    started, failed = time.monotonic(), 0
    for number, path in enumerate(paths, 1):
        document = nbformat.read(path, as_version=4)
        begun = time.monotonic()
        label = f"[{number}/{len(paths)}] {path.stem}"
        total = len(document.cells)

        def progress(cell, cell_index, label=label, total=total, begun=begun):
            seconds = time.monotonic() - begun
            print(f"\r{label}  cell {cell_index + 1}/{total}  {seconds:3.0f} s", end="", flush=True)

        client = NotebookClient(
            document,
            timeout=None if os.environ.get("KERASAE_BUDGET") == "full" else 600,
            extra_arguments=["--log-level=ERROR"],  # no warning about how kernels talk
            resources={"metadata": {"path": str(HERE)}},
            record_timing=False,  # times would change the stored notebook in every run
            on_cell_start=progress if sys.stdout.isatty() else None,
        )
        try:
            _execute(client)
            verdict = "ok"
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            verdict, failed = f"FAILED\n{error}", failed + 1
        except KeyboardInterrupt:
            print(f"\n{label}  stopped; the notebooks before it are in {output}")
            return 130
        if verdict == "ok" or output != HERE:  # never over a good notebook
            _clean(document)
            nbformat.write(document, output / path.name)
        print(f"\r{label}  {time.monotonic() - begun:.0f} s  {verdict}            ", flush=True)
    if output != HERE:
        print(f"gallery: {gallery(paths, output)}")
    print(f"{len(paths) - failed} passed, {failed} failed in {time.monotonic() - started:.0f} s")
    return min(failed, 1)


def _execute(client) -> None:
    """Runs a notebook in a thread: in the main one, its client would take Ctrl-C for itself."""
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(client.execute)
        try:
            done.result()
        except KeyboardInterrupt:
            if provisioner := getattr(client.km, "provisioner", None):
                os.kill(provisioner.pid, signal.SIGTERM)
            raise


def _clean(document) -> None:
    """Leaves in a notebook only what its readers and the comparison need."""
    document.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in document.cells:
        cell.metadata = {"tags": cell.metadata.tags} if cell.metadata.get("tags") else {}
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = _smaller(output.data["image/png"])


def _smaller(picture: str) -> str:
    """The same PNG with a palette of 256 colours, a third of the size."""
    from PIL import Image

    stream = io.BytesIO()
    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    image.quantize(256).save(stream, "PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode()


def gallery(paths: list[Path], output: Path) -> Path:
    """Writes each notebook's signature picture and one page that shows them all."""
    figures = []
    for path in paths:
        picture, caption = signature(output / path.name)
        if picture is None:
            continue
        (output / f"{path.stem}.png").write_bytes(picture)
        figures.append(
            f'<figure><a href="{path.name}"><img src="{path.stem}.png" '
            f'alt="{html.escape(caption, quote=True)}"></a>'
            f"<figcaption><b>{html.escape(title(path))}</b><br>{html.escape(caption)}</figcaption>"
            "</figure>"
        )
    page = output / "gallery.html"
    page.write_text(
        "<!doctype html><html lang=en><meta charset=utf-8><title>kerasae: the gallery</title>"
        "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;"
        "padding:0 1rem}figure{margin:0 0 3rem}img{max-width:100%}</style>"
        "<h1>kerasae: the gallery</h1>" + "\n".join(figures) + "</html>\n",
        encoding="utf-8",
    )
    return page


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
            caption = after["source"].split("\n\n")[0].strip("*_ \n").replace("\n", " ")
            return (pictures[-1] if pictures else None), caption
    return None, ""


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


def contents(folder: str = "") -> str:
    """The table of notebooks, as the project's README and the course's index show it."""
    lines = ["| notebook | what it shows | decks | claims | |", "|---|---|---|---|---|"]
    for name, entry in LEDGER.items():
        path = HERE / f"{name}.ipynb"
        lines.append(
            f"| [{title(path)}]({folder}{name}.ipynb) | {promise(path)} "
            f"| {' '.join(entry['decks'])} | {len(entry['claims'])} | {colab(path)} |"
        )
    return "\n".join(lines)


def with_contents(readme: str) -> str:
    """The project's README with today's table of notebooks."""
    begin, end = "<!-- notebooks -->\n", "\n<!-- end of notebooks -->"
    before, rest = readme.split(begin)
    return before + begin + contents("notebooks/") + end + rest.split(end)[1]


def index() -> str:
    """The course index: the notebooks, and every claim they check."""
    parts = [
        "# The course",
        "One executable notebook for each topic of the slides. Every claim below is a cell that "
        "computes, and fails where the sentence is false. This page is generated by "
        "`python notebooks/course.py index`.",
        contents(),
    ]
    for name in LEDGER:
        path = HERE / f"{name}.ipynb"
        listed = "\n".join(f"- **{key}** {text}" for key, text in sorted(claims(path).items()))
        parts.append(f"## [{title(path)}]({name}.ipynb)\n\n{promise(path)}\n\n{listed}")
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.exit(main())
