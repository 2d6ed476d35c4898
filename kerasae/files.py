"""Files that hold all of what was written to them, or what they held before.

    content → .name.XXXXXXXX.part → fsync → rename to name

A process may be killed, and a disk may be full, at any of these moments: under its own name a file
is whole. What a killed writer leaves behind is deleted by a later one.
"""

import contextlib
import os
import secrets
import time
from collections.abc import Iterable
from pathlib import Path

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
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise


def _sweep(where: Path) -> None:
    """Delete unfinished files that killed processes left behind long ago."""
    for part in where.glob(".*.part"):
        with contextlib.suppress(OSError):
            if time.time() - part.stat().st_mtime > ABANDONED:
                part.unlink()
