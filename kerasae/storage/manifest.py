"""The `metadata.json` of a preset: what it is, and the SHA-256 of all its files.

The checksums, of the configuration, of the weights and of the metadata's own content, show whether
a file is the one that was saved. Presets without checksums, which earlier versions wrote, are also
read.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from kerasae.storage import files, places
from kerasae.storage.archives import one_line

CONFIG, METADATA, WEIGHTS = FILES = "config.json", "metadata.json", "model.weights.h5"
CHECKSUMS = "sha256"


def read(path: Path) -> dict[str, Any]:
    """Return the content of a `metadata.json`; raise `ValueError` if it was changed."""
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"`{path}` is broken, expected JSON ({one_line(error)}).") from error
    if not isinstance(about, dict):
        raise ValueError(f"`{path}` holds {type(about).__name__}, expected a JSON object.")
    sums = about.get(CHECKSUMS)
    if isinstance(sums, dict) and METADATA in sums and sums[METADATA] != _checksum_of(about):
        raise ValueError(
            f"`{path}` is broken or was changed: its content does not fit its SHA-256, expected "
            "the file that was saved: copy or download the preset again."
        )
    return about


def write(folder: Path, about: dict[str, Any]) -> None:
    """Write a preset's `metadata.json`, with the SHA-256 of its files and of its own content.

    Example:

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in (CONFIG, WEIGHTS):
    ...     _ = (folder / name).write_text("…")
    >>> write(folder, {"title": "A map of all digits"})
    >>> sorted(read(folder / METADATA)["sha256"])
    ['config.json', 'metadata.json', 'model.weights.h5']
    """
    sums = {name: _checksum(folder / name) for name in (CONFIG, WEIGHTS)}
    about = {**about, CHECKSUMS: sums}
    sums[METADATA] = _checksum_of(about)
    files.write(folder / METADATA, json.dumps(about, indent=2))


def compare(folder: Path, about: dict[str, Any]) -> None:
    """Compare the files with the SHA-256 in `metadata.json`, if it has any."""
    if CHECKSUMS not in about:
        return
    sums = about[CHECKSUMS]
    if not isinstance(sums, dict) or sums.keys() - {METADATA} != {CONFIG, WEIGHTS}:
        raise ValueError(
            f"`{folder / METADATA}` is broken: `{CHECKSUMS}` is {places.as_line(sums)}, expected "
            f"the checksums of {CONFIG} and {WEIGHTS}: copy or download the preset again."
        )
    for name in (CONFIG, WEIGHTS):
        if _checksum(folder / name) != sums[name]:
            raise ValueError(
                f"`{folder / name}` is broken or was changed: its SHA-256 is not the one in "
                f"{METADATA}, expected the file that was saved: copy or download the preset again."
            )


def _checksum_of(about: dict[str, Any]) -> str:
    """Return the SHA-256 of metadata without their own, in an order that does not matter."""
    sums = {name: value for name, value in about[CHECKSUMS].items() if name != METADATA}
    text = json.dumps({**about, CHECKSUMS: sums}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _checksum(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
