"""Folders of presets: a bad argument is refused with one sentence before any work.

A message names the argument as the user gave it, never a hidden folder beside it.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kerasae.storage.archives import one_line

LONGEST = 200  # bytes of a folder's name; names of hidden folders beside it are longer


def printable(text: str) -> str:
    r"""Return text in which characters that control a terminal are escaped, line ends included.

    Args:
        text: Any text from a file.

    Example:
        >>> print(printable("red \x1b[31m, β"))
        red \x1b[31m, β
    """
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def path(argument: str, value: Any) -> Path:
    """Return `value` as a path, if it is one that can be written and shown.

    Raises:
        ValueError: If it is of another type, empty, or has control characters.
    """
    text = str(value) if isinstance(value, (str, Path)) else ""
    if not text or any(ord(each) < 32 or ord(each) == 127 for each in text):
        raise ValueError(
            f"`{argument}` is {as_line(value)}, expected a string or a `pathlib.Path` without "
            "control characters."
        )
    return Path(value)


def as_line(value: Any) -> str:
    """Return a value as one short line, for messages."""
    text = printable(repr(str(value) if isinstance(value, Path) else value))
    return text if len(text) <= 200 else f"{text[:60]}… ({len(text):,} characters)"


def reason(error: BaseException) -> str:
    """Return the reason of a system error, without the name of the file."""
    return getattr(error, "strerror", None) or one_line(error)


def writable(folder: str | Path, foreign: Callable[[Path], str]) -> Path:
    """Return a folder's absolute path if a preset may be written there.

    Args:
        folder: Folder, as the user gave it.
        foreign: Function that describes a folder's content beside a preset; empty if there is none.

    Raises:
        ValueError: If it is not a path, or the folder holds anything foreign.
        OSError: If it cannot be written to.
    """
    target = path("folder", folder)
    try:
        resolved = target.resolve()
        if not resolved.name or len(os.fsencode(resolved.name)) > LONGEST:
            raise ValueError(
                f"`folder` is {as_line(folder)}, expected a folder with a name of at most "
                f"{LONGEST} bytes."
            )
        holds = foreign(resolved)
        above = next(each for each in resolved.parents if os.path.lexists(each))
    except (OSError, RuntimeError) as error:
        raise unwritable(folder, error) from error
    if holds:
        raise ValueError(
            f"`folder` is {as_line(folder)}, which is not a preset (it holds {holds}), expected a "
            "new folder or an earlier preset: choose another folder."
        )
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise unwritable(folder, PermissionError(13, f"{above} cannot be written to"))
    return resolved


def unwritable(folder: Any, error: BaseException) -> OSError:
    """Return the error of a folder that cannot be written, of the same kind as the system's."""
    kind = type(OSError(getattr(error, "errno", None) or 0, ""))
    return kind(
        f"`folder` is {as_line(folder)}, expected a folder that can be written ({reason(error)}): "
        "choose another one, or make room."
    )
