"""Files that hold all of what was written to them, or what they held before.

    content → .name.XXXXXXXX.part → fsync → rename to name

A process may be killed, and a disk may be full, at any of these moments: under its own name a file
is whole. What a killed writer leaves behind is deleted by a later one. A lock keeps two runs out of
one output.
"""

import contextlib
import glob
import math
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

ABANDONED = 24 * 3600  # seconds after which nobody still writes to an unfinished file


def write(path: Path, content: str | bytes | Iterable[bytes]) -> None:
    """Write a file so that `path` holds all of the content, or what it held before.

    Args:
        path: The file; its folder is made if it is missing.
        content: Text, bytes, or bytes in several parts.

    Raises:
        OSError: If the file cannot be written; nothing is left behind.
    """
    if isinstance(content, str):
        content = content.encode()
    parts = [content] if isinstance(content, bytes) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent)
    # A name of its own for every writer: two processes at once finish one after the other.
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(unfinished, "xb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        if isinstance(error, OSError):
            error.filename = str(path)  # of a full disk the system names no file
        raise


@contextlib.contextmanager
def lock(path: Path | None, wait: float = 0.0) -> Iterator[None]:
    """Keep every other run out of `path` until the block ends.

    The operating system holds the lock, on an empty file beside `path`, and releases it when the
    process ends, also when the process is killed. A file system without locks, or one that cannot
    be written to, gives none: the block runs all the same. What killed writers of `path` left
    behind is deleted first.

    Args:
        path: The file or folder that the block writes, or `None` for none.
        wait: Seconds to wait for another run.

    Raises:
        ValueError: If another run holds the lock.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, lock(Path(folder, "output")):
        ...     [each.name for each in Path(folder).iterdir()]
        ['.output.lock']
    """
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    beside, end = path.with_name(f".{path.name}.lock"), time.monotonic() + wait
    while True:
        try:
            file = _locked(beside)
            break
        except BlockingIOError as error:
            if time.monotonic() >= end:
                raise ValueError(
                    f"`{path}` is being written by another run, expected one at a time: wait for "
                    "it, or choose another folder."
                ) from error
            time.sleep(0.05)
    if file is None:
        yield
        return
    try:
        sweep(path)
        yield
    finally:
        _release(beside, file)


def sweep(path: Path) -> None:
    """Delete the unfinished files of `path` that killed processes left behind.

    Only the holder of a lock may call it: another process at work would lose its file.
    """
    _sweep(path.parent, glob.escape(path.name), -math.inf)


def _locked(beside: Path) -> BinaryIO | None:
    """Return a file with a lock on it, or `None` if locks cannot be had.

    Raises:
        BlockingIOError: If another one has the lock.
    """
    for _ in range(10):
        try:
            file = open(beside, "ab")
        except OSError:  # a full or read-only disk: the first write says so
            return None
        try:
            _lock(file)
        except (BlockingIOError, PermissionError) as error:
            file.close()
            raise BlockingIOError from error
        except (ImportError, OSError):  # a system, or a file system, without locks
            _release(beside, file)
            return None
        # The holder before may have deleted the file after it was opened here: that lock is void.
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(file.fileno()), beside.stat()):
                return file
        file.close()
    return None


def _lock(file: BinaryIO) -> None:
    """Lock a file for this process, or raise an error at once."""
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _release(beside: Path, file: BinaryIO) -> None:
    """Delete a lock's file and close it, which ends the lock."""
    try:
        with contextlib.suppress(OSError):
            beside.unlink()  # while the lock is held, so that it is nobody else's
    finally:
        file.close()
    if os.name == "nt":  # Windows deletes no open file, and refuses if another run has it open
        with contextlib.suppress(OSError):
            beside.unlink()


def _sweep(where: Path, name: str = "*", age: float = ABANDONED) -> None:
    """Delete unfinished files that killed processes left behind long ago."""
    for part in where.glob(f".{name}.*.part"):
        with contextlib.suppress(OSError):
            if time.time() - part.stat().st_mtime > age:
                part.unlink()
