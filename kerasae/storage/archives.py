"""Arrays in files that are read as a whole or not at all.

A prepared file is an ``.npz`` archive with its own SHA-256 behind it, which ``numpy.load`` opens:

    file = archive ‖ SHA-256(archive),    archive = npz(origin, arrays)

One missing or flipped byte changes the sum, and ``origin`` says how the arrays were made. A
file gets its name only when all of it is on the disk: it is written under another name first.
Nothing is ever unpickled.
"""

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np

from kerasae.storage import files

LARGEST = 2**28  # bytes of one array in a user's own file: five times MNIST's images


def write(path: Path, origin: str, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays such that `path` holds all of them, or its former content.

    Args:
        path: Path of the file; its folder is made if it is missing.
        origin: Text that says how the arrays were made; `read` needs the same one.
        arrays: Arrays by name, none of Python objects.

    Raises:
        OSError: If the file cannot be written; nothing is left behind.
    """
    archive = io.BytesIO()
    np.savez(archive, origin=np.array(origin), **arrays)
    body = archive.getbuffer()
    files.write(path, (body, hashlib.sha256(body).digest()))


def read(path: Path, origin: str) -> dict[str, np.ndarray] | None:
    """Read arrays that `write` has written; return None if there are none of this origin.

    Args:
        path: Path of the file.
        origin: The `origin` that was given to `write`.

    Raises:
        ValueError: If the file is damaged.
        OSError: If the file is there but cannot be read.
    """
    try:
        content = memoryview(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    body, checksum = content[:-32], content[-32:]
    if hashlib.sha256(body).digest() != checksum:
        raise ValueError(f"{path} is damaged: its checksum does not fit.")
    with np.load(io.BytesIO(body), allow_pickle=False) as archive:
        if str(archive["origin"]) != origin:
            return None
        return {name: archive[name] for name in archive.files if name != "origin"}


def read_npz(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Read named arrays from the user's own ``.npz`` file.

    Args:
        path: Path of the file.
        names: Names of the arrays to read; other arrays of the file are ignored.

    Raises:
        ValueError: If the file is damaged or an array is missing; the message names it.
    """
    arrays = {}
    try:
        with zipfile.ZipFile(path) as archive:
            missing = [name for name in names if f"{name}.npy" not in archive.namelist()]
            if not missing:
                for name in names:
                    size = archive.getinfo(f"{name}.npy").file_size
                    if size > LARGEST:
                        large = f"{name} is of {size:,} bytes, expected at most {LARGEST:,}"
                        raise ValueError(large)
                    # Reading a member to its end checks its CRC-32; np.load may stop before.
                    member = io.BytesIO(archive.read(f"{name}.npy"))
                    arrays[name] = np.load(member, allow_pickle=False)
    except Exception as error:  # a damaged archive raises many kinds of errors
        raise ValueError(f"{path} cannot be read: {one_line(error)}.") from error
    if missing:
        raise ValueError(f"`{path}` lacks {', '.join(missing)}, expected {', '.join(names)}.")
    return arrays


def one_line(error: BaseException) -> str:
    """Return an error's first line without its full stop, for use in a sentence.

    Example:
        >>> one_line(OSError("No space left."))
        'No space left'
    """
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(". ") if lines else type(error).__name__
