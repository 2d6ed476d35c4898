"""Fill the disk of runs, make room and run them again, compare with an undisturbed run.

    python tests/faults/fill.py --fills 4 --backend torch           all cases
    python tests/faults/fill.py train reproduce --fills 8           some of them

The cases are those of `kill.py`. Each run writes to a small disk of its own, a tmpfs, which only
root can mount. A file takes all of it but a random number of bytes, from the start or from a random
moment on. Only runs that fail for want of room count. A run must fail in one sentence and leave no
unfinished files; with the file gone, the same command must end as an undisturbed run, bit for bit.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import kill

SIZE = 8 << 20  # bytes of a disk
BALLAST = "ballast"
FULL = "No space left on device"
UNFINISHED = (".part", ".old", ".lock")
SENTENCES = {  # how the last line on stderr begins
    "preset": "OSError: `folder` is ",
    "train": "python -m kerasae train: `",
    "reproduce": "python -m kerasae reproduce: `",
}


class End(NamedTuple):
    """How a run ended: its exit code and last words, seconds, the most bytes on the disk."""

    code: int
    said: str
    seconds: float
    bytes: int


@contextlib.contextmanager
def disk(folder: Path) -> Iterator[None]:
    """Mount a small disk on a folder until the block ends."""
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", folder]
    subprocess.run(mount, check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def room(folder: Path) -> int:
    """Return how many bytes are free."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def fill(folder: Path, free: int) -> None:
    """Take all bytes but so many."""
    with open(folder / BALLAST, "wb") as file:
        for taken in range(0, room(folder) - free, 4096):
            try:
                os.posix_fallocate(file.fileno(), taken, 4096)
            except OSError:  # the run was quicker
                break


def run(case: str, folder: Path, backend: str, free: int = 0, moment: float | None = None) -> End:
    """Run a case, and leave so many bytes free at a moment after its imports."""
    most = 0
    with kill.started(case, folder, backend) as process:
        begun = time.monotonic()
        while process.returncode is None:
            seconds = time.monotonic() - begun
            if seconds > kill.LIMIT:
                raise TimeoutError(f"{case} in {folder} takes more than {kill.LIMIT} s.")
            if moment is not None and seconds > moment:
                fill(folder, free)
                moment = None
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=0.001)
            most = max(most, SIZE - room(folder))
    said = folder.with_suffix(".errors").read_text()
    return End(process.returncode, said, seconds, most)


def failed_well(case: str, end: End, folder: Path) -> str:
    """Return what is wrong with the end of a run whose disk was full."""
    lines = end.said.strip().splitlines()
    if case in ("train", "reproduce") and "Traceback" in end.said:
        return "a traceback"
    begin = SENTENCES.get(case, "OSError")
    if end.code != 1 or not lines[-1].startswith(begin) or FULL not in lines[-1]:
        return f"exit code {end.code}, {lines[-1]!r}"
    unfinished = [name for name in kill.names(folder) if name.endswith(UNFINISHED)]
    return f"unfinished: {unfinished}" if unfinished else ""


def chains(case: str, backend: str, fills: int, where: Path, moments: random.Random) -> list:
    """Fill the disks of a case until enough runs have failed; return a row of the table."""
    before, whole = where / f"{case}-before", where / f"{case}-undisturbed"
    before.mkdir()
    kill.prepare(case, before, backend)
    with disk(whole):
        shutil.copytree(before, whole, dirs_exist_ok=True)
        end = run(case, whole, backend)
        if end.code:
            raise RuntimeError(f"{case} failed with room enough: {end.said}")
        begun = resumed = landed = good = 0
        while landed < fills:
            folder = where / f"{case}-{landed}"
            with disk(folder):
                shutil.copytree(before, folder, dirs_exist_ok=True)
                free = moments.randrange(end.bytes - (SIZE - room(folder)))
                moment = moments.choice([None, moments.uniform(0, end.seconds / 2)])
                if moment is None:
                    fill(folder, free)
                found = run(case, folder, backend, free, moment)
                if FULL not in found.said:
                    if found.code:
                        raise RuntimeError(f"{case} failed with {found.code}: {found.said}")
                    continue
                landed += 1
                begun += moment is None
                resumed += any(folder.rglob("*.npz"))
                wrong = failed_well(case, found, folder)
                (folder / BALLAST).unlink()
                kill.run(case, folder, backend)
                wrong = wrong or kill.differs(folder, whole)
                if wrong:
                    print(f"{case}: {free} bytes free at {moment}: {wrong}", flush=True)
                good += not wrong
    return [case, backend, begun, resumed, landed, good]


def main() -> int:
    """Print the table; return 1 if a chain was not good, or no disk can be mounted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # to unmount then too
    try:
        with tempfile.TemporaryDirectory() as where, disk(Path(where, "disk")):
            pass
    except (OSError, subprocess.CalledProcessError):
        print("A tmpfs cannot be mounted, expected Linux and the rights of root.", file=sys.stderr)
        return 1
    heads = "case | backend | full at the start | with a checkpoint | fills | equal to undisturbed"
    return kill.table(__doc__, "fills", heads, chains)


if __name__ == "__main__":
    sys.exit(main())
