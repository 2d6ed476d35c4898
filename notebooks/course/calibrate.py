"""Runs claims on three backends with several seeds, and keeps what they measured in one table.

A row of `calibration.jsonl` is a claim on a backend: whether it held, and its evidence, one number
a seed. `checked` is a digest of the claim's cell: a row whose claim has changed since is out of
date. Exercises are left out: they prove nothing.
"""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from course.read import HERE, LEDGER, cells
from course.run import execute

TABLE = HERE / "calibration.jsonl"
BACKENDS = ("jax", "tensorflow", "torch")
SEEDS = (0, 1, 2, 3)
LONGEST = 12  # longer lists of evidence are kept as their least, median and largest number


def calibrate(
    paths: Iterable[Path], backends: Iterable[str] = BACKENDS, seeds: Iterable[int] = SEEDS
) -> int:
    """Runs each notebook on each backend with each seed; returns how many claims failed."""
    failed = 0
    for path in paths:
        digests = checked(path)
        for backend in backends:
            lines = [line for seed in seeds for line in evidence(path, backend, seed)]
            for name in LEDGER[path.stem]["claims"]:
                holds = [line["holds"] for line in lines if line["claim"] == name]
                failed += not holds or not all(holds)
                verdict = f"{sum(holds)} of {len(holds)} seeds" if holds else "was not reached"
                print(f"{path.stem} {backend} {name}: {verdict}", flush=True)
            merge(rows(lines, digests))
    return failed


def evidence(path: Path, backend: str, seed: int) -> list[dict]:
    """One run of a notebook without its exercises: what each claim recorded."""
    import nbformat

    document = nbformat.read(path, as_version=4)
    document.cells = [c for c in document.cells if "solution" not in c.metadata.get("tags", [])]
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "evidence.jsonl"
        settings = {
            "KERAS_BACKEND": backend,
            "KERASAE_SEED": str(seed),
            "KERASAE_EVIDENCE": str(record),
        }
        before = dict(os.environ)
        os.environ.update(settings)
        try:
            # A false claim is evidence too, and must not keep the later ones from being checked.
            execute(document, allow_errors=True)
        finally:
            os.environ.clear()
            os.environ.update(before)
        text = record.read_text(encoding="utf-8") if record.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def rows(lines: Iterable[dict], digests: dict[str, str]) -> list[dict]:
    """What `claim` recorded in several runs, one row for each claim on a backend."""
    table = {}
    for line in sorted(lines, key=lambda line: (line["claim"], line["backend"], line["seed"])):
        key = line["claim"], line["backend"]
        row = table.setdefault(
            key,
            {
                "claim": key[0],
                "backend": key[1],
                "checked": digests[key[0]],
                "seeds": [],
                "holds": [],
                "evidence": {},
            },
        )
        row["seeds"].append(line["seed"])
        row["holds"].append(line["holds"])
        for name in line.keys() - {"claim", "backend", "seed", "holds"}:
            row["evidence"].setdefault(name, []).append(_short(line[name]))
    return list(table.values())


def merge(new: list[dict]) -> None:
    """Puts rows into the table, in the place of older ones of the same claim and backend."""
    table = {(row["claim"], row["backend"]): row for row in [*read(), *new]}
    lines = [json.dumps(table[key], ensure_ascii=False, sort_keys=True) for key in sorted(table)]
    TABLE.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def read() -> list[dict]:
    """The rows of the table."""
    if not TABLE.exists():
        return []
    return [json.loads(line) for line in TABLE.read_text(encoding="utf-8").splitlines()]


def checked(path: Path) -> dict[str, str]:
    """For each claim of a notebook, a digest of the cell that checks it."""
    sources = [cell["source"] for cell in cells(path) if cell["cell_type"] == "code"]
    digests = {}
    for source in sources:
        for name in re.findall(r"\bclaim\(\s*\"(\d\d\.\d)\"", source):
            digests[name] = hashlib.sha256(source.encode()).hexdigest()[:12]
    return digests


def _short(value: object) -> object:
    """Four digits are enough to judge a margin by."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, list):
        flat = np.ravel(value)
        if flat.size > LONGEST and np.issubdtype(flat.dtype, np.number):
            value = [float(flat.min()), float(np.median(flat)), float(flat.max())]
        return [_short(item) for item in value]
    return value
