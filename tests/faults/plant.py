"""Plant faults in the sources, one at a time, and prove that what CI runs catches each.

    python tests/faults/plant.py                      all faults of faults.toml, two at a time
    python tests/faults/plant.py NAME … --jobs 1      some of them, one after the other

A fault replaces a text that its file has exactly once, in a copy of the tree. It is caught if the
tests it names then fail on its backend (pytest's exit code 1), while without it they pass (0). All
other ends are errors: a test that is not there, or that CI leaves to another backend, catches
nothing. The interpreter must have what the tests need, but not this package: the copy is what the
tests, their subprocesses and the notebooks' kernels import.
"""

import argparse
import dataclasses
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLE = Path(__file__).with_name("faults.toml")
LIMIT = 900  # seconds, after which a run is given up

UNIT = ["--ci", "-x", "-q", "-p", "no:cacheprovider"]
NOTEBOOK = ["-p", "no:python", "-p", "no:cacheprovider", "--nbval-lax", "--nbval-current-env"]
NOTEBOOK += ["--nbval-cell-timeout=180", "--nbval-kernel-startup-timeout=120", "-x"]
THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


@dataclasses.dataclass(frozen=True)
class Fault:
    """A text to put in the place of another one, and the tests that must fail then."""

    name: str
    file: str
    old: str
    new: str
    backend: str
    tests: tuple[str, ...]
    why: str = ""

    @property
    def files(self) -> list[tuple[str, str]]:
        """The files of its tests, each with the backend."""
        return [(self.backend, test.split("::")[0]) for test in self.tests]


@dataclasses.dataclass(frozen=True)
class End:
    """How a run of tests ended: pytest's exit code, its first failing test, its last words."""

    code: int
    first: str
    said: str
    seconds: float


def read(names: list[str]) -> list[Fault]:
    """Read the faults of these names from the table, or all."""
    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))["fault"]
    faults = [Fault(**{**entry, "tests": tuple(entry["tests"])}) for entry in table]
    known = [fault.name for fault in faults]
    if len(set(known)) < len(known):
        sys.exit(f"{TABLE} has two faults of one name, expected a name for each.")
    if unknown := [name for name in names if name not in known]:
        sys.exit(f"{TABLE} has no fault {unknown[0]!r}, expected some of {', '.join(known)}.")
    return [fault for fault in faults if not names or fault.name in names]


def copy_tree(target: Path) -> Path:
    """Copy all files that git does not ignore, tracked or not, with their times."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():  # else it is deleted, and not committed yet
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


def run(tree: Path, backend: str, tests: Iterable[str]) -> End:
    """Run tests in a copy of the tree as CI does."""
    tests = list(tests)
    options = NOTEBOOK if tests[0].endswith(".ipynb") else UNIT
    environment = {key: os.environ[key] for key in os.environ if key != "PYTHONDONTWRITEBYTECODE"}
    environment |= dict.fromkeys(THREADS, "1")
    environment |= {
        "KERAS_BACKEND": backend,
        "PYTHONPATH": str(tree),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_ENABLE_ONEDNN_OPTS": "0",
        # What one fault's tests have compiled, the next one's need not.
        "JAX_COMPILATION_CACHE_DIR": str(tree.parent / "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    begun = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *tests],
            cwd=tree,
            env=environment,
            timeout=LIMIT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        code, text = done.returncode, done.stdout
    except subprocess.TimeoutExpired:
        code, text = -1, f"not done after {LIMIT} seconds"
    failed = re.search(r"(?m)^(?:FAILED|ERROR) (.+?)(?: - .*)?$", text)
    said = (text.strip().splitlines() or [f"no test of CI on {backend}"])[-1]
    return End(code, failed.group(1) if failed else "", said, time.monotonic() - begun)


def unharmed(tree: Path, backend: str, tests: Iterable[str]) -> End:
    """Run tests without a fault, and print how they ended."""
    end = run(tree, backend, tests)
    verdict, file = "fails" if end.code else "passes", next(iter(tests)).split("::")[0]
    print(f"{verdict:8}{end.seconds:4.0f} s  {file} on {backend}, without a fault", flush=True)
    return end


def planted(tree: Path, fault: Fault) -> End:
    """Plant a fault in a copy, run its tests there and take it out again."""
    path = tree / fault.file
    text, times = path.read_text(encoding="utf-8"), path.stat()
    path.write_text(text.replace(fault.old, fault.new), encoding="utf-8")
    try:
        return run(tree, fault.backend, fault.tests)
    finally:
        path.write_text(text, encoding="utf-8")
        # With its old time: Python must not take what it has compiled of the fault.
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        if fault.file.startswith("kerasae/datasets/"):
            shutil.rmtree(tree / "data", ignore_errors=True)  # it may have drawn there


def asked(faults: Iterable[Fault]) -> dict[tuple[str, str], list[str]]:
    """Collect what the faults ask of each file on a backend: what must pass without them."""
    found: dict[tuple[str, str], list[str]] = {}
    for fault in faults:
        for file, test in zip(fault.files, fault.tests, strict=True):
            found.setdefault(file, []).append(test)
    return {
        file: [file[1]] if file[1] in tests else sorted(set(tests)) for file, tests in found.items()
    }


def wrong(tree: Path, fault: Fault) -> str:
    """Say why a fault cannot be planted, in a sentence; nothing if it can."""
    path = tree / fault.file
    count = path.read_text(encoding="utf-8").count(fault.old) if path.is_file() else 0
    if count != 1:
        return f"`old` stands {count} times in {fault.file}, expected once."
    ledger = json.loads((tree / "notebooks" / "ledger.json").read_text(encoding="utf-8"))
    for test in fault.tests:
        home = ledger.get(Path(test).stem, {"backend": fault.backend})["backend"]
        if home != fault.backend:
            return f"CI runs {test} on {home}, expected that instead of {fault.backend}."
    return "" if fault.old != fault.new else "`new` is `old`, expected another text."


def main() -> int:
    """Plant the faults that are asked for; return 1 if one slipped through or erred."""
    parser = argparse.ArgumentParser(prog="plant.py", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="of faults; all by default")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (%(default)s)")
    arguments = parser.parse_args()
    faults, begun = read(arguments.names), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        trees: queue.Queue[Path] = queue.Queue()
        trees.put(first := copy_tree(Path(folder, "tree")))
        for number in range(1, arguments.jobs):
            trees.put(shutil.copytree(first, Path(folder, f"tree{number}")))
        problems = {fault: wrong(first, fault) for fault in faults}

        def borrowed(work, *given) -> End:
            tree = trees.get()
            try:
                return work(tree, *given)
            finally:
                trees.put(tree)

        def judged(fault: Fault) -> str:
            problem, end = problems[fault], None
            for file in fault.files if not problem else ():
                if (found := clean[file].result()).code != 0:
                    problem = f"without it, {file[1]} does not pass: {found.first or found.said}"
            if not problem:
                end = borrowed(planted, fault)
                if end.code not in (0, 1):
                    problem = f"pytest ended with {end.code}: {end.first or end.said}"
            verdict = "error" if problem else ("slipped", "caught")[end.code]
            seconds = f"{end.seconds:4.0f} s" if end else "      "
            what = problem or end.first or f"{' '.join(fault.tests)} pass on {fault.backend}"
            print(f"{verdict:8}{seconds}  {fault.name}: {what}", flush=True)
            return verdict

        with ThreadPoolExecutor(arguments.jobs) as pool:
            sound = asked(fault for fault in faults if not problems[fault])
            clean = {
                file: pool.submit(borrowed, unharmed, file[0], tests)
                for file, tests in sound.items()
            }
            verdicts = list(pool.map(judged, faults))
    counts = {verdict: verdicts.count(verdict) for verdict in ("caught", "slipped", "error")}
    print(
        f"{counts['caught']} caught, {counts['slipped']} slipped through"
        + f", {counts['error']} errors" * bool(counts["error"])
        + f" in {time.monotonic() - begun:.0f} s"
    )
    return int(counts["caught"] < len(faults))


if __name__ == "__main__":
    sys.exit(main())
