"""Executes notebooks, and shows their pictures on one page."""

import base64
import html
import io
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from course.read import HERE, signature, title


def run(paths: list[Path], output: Path) -> int:
    """Executes notebooks one by one into `output`; returns how many failed."""
    import nbformat
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

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

        try:
            execute(document, on_cell_start=progress if sys.stdout.isatty() else None)
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


def execute(document, env: dict[str, str] | None = None, **options) -> None:
    """Executes a notebook in an environment, with options of `NotebookClient`."""
    from nbclient import NotebookClient

    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # else TensorFlow prints a notice
    client = NotebookClient(
        document,
        timeout=None if os.environ.get("KERASAE_BUDGET") == "full" else 600,
        extra_arguments=["--log-level=ERROR"],  # no warning about how kernels talk
        resources={"metadata": {"path": str(HERE)}},
        record_timing=False,  # times would change the stored notebook in every run
        **options,
    )
    # In a thread: in the main one, the client would take Ctrl-C for itself.
    with ThreadPoolExecutor(1) as pool:
        # Stored notebooks have pictures where a reader has sliders.
        env = {**(env or os.environ), "KERASAE_STILL": "1"}
        done = pool.submit(client.execute, env=env)
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
