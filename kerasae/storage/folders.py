"""Folders that hold all of what was written to them, or what they held before.

    content → .name.XXXXXXXX.part;  name → .name.old;  .name.XXXXXXXX.part → name;  delete .name.old

A process may be killed between any two of these steps. Between the two renames no folder has the
name: `current` then returns the earlier one. What a killed writer leaves behind is deleted by the
next one.
"""

import contextlib
import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from kerasae.storage import files

WAIT = 60.0  # seconds for another writer of the same folder


def current(folder: Path) -> Path:
    """Return the folder, or its earlier content if its writer was killed between two renames.

    Args:
        folder: The folder.
    """
    if os.path.lexists(folder):
        return folder
    old = _old(folder.resolve())
    return old if old.is_dir() else folder


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[Path]:
    """Give an empty folder to write to, which takes the place of `folder` when the block ends.

    Args:
        folder: The folder, resolved; what it holds is replaced.

    Raises:
        ValueError: If another process is writing the same folder and does not end.
    """
    with files.lock(folder, WAIT):
        _sweep(folder)
        part = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part")
        part.mkdir()
        try:
            yield part
            _rename(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(_old(folder), ignore_errors=True)


def _rename(part: Path, folder: Path) -> None:
    """Put a finished folder in the place of an earlier one, which stays beside it."""
    old = _old(folder)
    if folder.exists():
        os.rename(folder, old)
    try:
        os.rename(part, folder)
    except BaseException:
        if old.exists() and not folder.exists():
            os.rename(old, folder)
        raise


def _sweep(folder: Path) -> None:
    """Delete what killed writers left, but for the earlier folder if it is all that there is."""
    # Exactly so many digits: `.a.b.1234abcd.part` is of `a.b`, not of `a`.
    for part in folder.parent.glob(f".{glob.escape(folder.name)}.{'[0-9a-f]' * 8}.part"):
        shutil.rmtree(part, ignore_errors=True)
    if folder.exists():
        shutil.rmtree(_old(folder), ignore_errors=True)


def _old(folder: Path) -> Path:
    """Return where the earlier folder stays while the new one takes its place."""
    return folder.with_name(f".{folder.name}.old")
