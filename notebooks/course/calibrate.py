"""Run claims on three backends with several seeds, keep the evidence in one table, and compare.

A row of `calibration.jsonl` is a claim on a backend: whether it held, and its evidence, one number
per seed. `checked` is a digest of the claim's cell and of all code before it, because the evidence
depends on all of it: a row whose code has changed since is out of date. Exercises are left out: no
claim depends on them.
"""

import hashlib
import itertools
import json
import math
import os
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from course.read import HERE, LEDGER, cells, checked_in, is_solution
from course.run import execute

TABLE = HERE / "calibration.jsonl"
BACKENDS = ("jax", "tensorflow", "torch")
SEEDS = (0, 1, 2, 3)
LONGEST = 12  # longer lists of evidence are kept as their least, median and largest number
FAR = 6.0  # standard errors; with four seeds each, one pair of equal backends in 1,000 is as far
ROUNDING = 1e-5, 0.02  # smaller differences between backends, absolute and relative, are rounding
TIMES = ("seconds", "milliseconds")  # evidence that backends need not agree on


class Run(NamedTuple):
    """What a run of a notebook recorded, and the errors that stopped its cells."""

    lines: list[dict]
    errors: list[str]


def calibrate(
    paths: Iterable[Path],
    backends: Iterable[str] = BACKENDS,
    seeds: Iterable[int] = SEEDS,
    jobs: int = 2,
) -> int:
    """Run each notebook on each backend with each seed; return how many claims failed."""
    failed = 0
    for path in paths:
        digests = checked(path)
        runs = list(itertools.product(backends, seeds))
        with ThreadPoolExecutor(jobs) as pool:
            results = list(pool.map(lambda run, path=path: evidence(path, *run), runs))
        for backend in backends:
            ours = [
                (seed, result)
                for (b, seed), result in zip(runs, results, strict=True)
                if b == backend
            ]
            lines = [line for _, result in ours for line in result.lines]
            for name in LEDGER[path.stem]["claims"]:
                holds = [line["holds"] for line in lines if line["claim"] == name]
                failed += len(holds) < len(ours) or not all(holds)
                verdict = f"{sum(holds)} of {len(ours)} seeds"
                print(f"{path.stem} {backend} {name}: {verdict}", flush=True)
            for seed, result in ours:
                for error in result.errors:
                    print(f"{path.stem} {backend} seed {seed}: {error}", flush=True)
            merge(rows(lines, digests))
        for difference in differences(row for row in read() if row["claim"] in digests):
            print(f"{path.stem} {difference}", flush=True)
    return failed


def evidence(path: Path, backend: str, seed: int) -> Run:
    """Run a notebook without its exercises."""
    import nbformat

    document = nbformat.read(path, as_version=4)
    document.cells = [cell for cell in document.cells if not is_solution(cell)]
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "evidence.jsonl"
        settings = {
            "KERAS_BACKEND": backend,
            "KERASAE_SEED": str(seed),
            "KERASAE_EVIDENCE": str(record),
        }
        # A false claim is evidence too, and must not keep the later ones from being checked.
        execute(document, env={**os.environ, **settings}, allow_errors=True)
        text = record.read_text(encoding="utf-8") if record.exists() else ""
    errors = [
        f"{output['ename']}: {output['evalue']}"
        for cell in document.cells
        for output in cell.get("outputs", [])
        if output["output_type"] == "error" and "[FAIL]" not in output["evalue"]
    ]
    return Run([json.loads(line) for line in text.splitlines()], errors)


def rows(lines: Iterable[dict], digests: dict[str, str]) -> list[dict]:
    """Return what `claim` recorded in several runs, one row for each claim on a backend."""
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
    """Put rows into the table, in the place of older ones of the same claim and backend."""
    table = {(row["claim"], row["backend"]): row for row in [*read(), *new]}
    lines = [json.dumps(table[key], ensure_ascii=False, sort_keys=True) for key in sorted(table)]
    TABLE.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def read() -> list[dict]:
    """Return the rows of the table."""
    if not TABLE.exists():
        return []
    return [json.loads(line) for line in TABLE.read_text(encoding="utf-8").splitlines()]


def checked(path: Path) -> dict[str, str]:
    """Return for each claim of a notebook a digest of its cell and of all code before it."""
    digests, code = {}, hashlib.sha256()
    for cell in cells(path):
        if cell["cell_type"] != "code" or is_solution(cell):
            continue
        code.update(cell["source"].encode() + b"\0")
        for name in checked_in(cell):
            digests[name] = code.hexdigest()[:12]
    return digests


def differences(table: Iterable[dict]) -> Iterator[str]:
    """Describe each evidence that differs more between two backends than between seeds.

    The difference of two means is compared with its standard error over the seeds. A wrong gradient
    on one backend shows here, even if every claim holds.
    """
    claims: dict[str, dict[str, dict]] = {}
    for row in table:
        claims.setdefault(row["claim"], {})[row["backend"]] = row["evidence"]
    for claim, backends in sorted(claims.items()):
        for (one, first), (two, second) in itertools.combinations(sorted(backends.items()), 2):
            for name in sorted((first.keys() & second.keys()) - {*TIMES}):
                a, b = _numbers(first[name]), _numbers(second[name])
                if a is None or b is None or a.shape[1:] != b.shape[1:] or min(len(a), len(b)) < 2:
                    continue
                gap = np.abs(a.mean(0) - b.mean(0))
                error = np.sqrt(a.var(0, ddof=1) / len(a) + b.var(0, ddof=1) / len(b))
                size = np.maximum(np.abs(a.mean(0)), np.abs(b.mean(0)))
                tests = max(gap.size, 1)  # of a list of evidence, the largest of many gaps
                limit = FAR + math.log(tests)
                far = (gap > limit * error) & (gap > ROUNDING[0] + ROUNDING[1] * size)
                if far.any():
                    worst = np.unravel_index(np.argmax(far * gap), gap.shape)
                    means = f"{a.mean(0)[worst]:.4g} and {b.mean(0)[worst]:.4g}"
                    yield f"{claim}: `{name}` is {means} on {one} and {two}, more than seeds differ"


def _numbers(values: list) -> np.ndarray | None:
    """Return evidence as an array, a row for each seed; `None` if it is no array of numbers."""
    try:
        array = np.asarray(values, dtype="float64")
    except (ValueError, TypeError):
        return None
    return array if np.isfinite(array).all() else None


def _short(value: object) -> object:
    """Keep four digits: they are enough to judge a margin by."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, list):
        flat = np.ravel(value)
        if flat.size > LONGEST and np.issubdtype(flat.dtype, np.number):
            value = [float(flat.min()), float(np.median(flat)), float(flat.max())]
        return [_short(item) for item in value]
    return value
