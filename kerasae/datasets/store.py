"""The folder in which data sets are kept."""

import os
from pathlib import Path


def folder() -> Path:
    """Return the folder in which data sets are prepared.

    It is ``data/`` of the checkout if the package runs from one, and ``$KERAS_HOME/kerasae``
    (``~/.keras/kerasae``) if it is installed.

    Example:
        >>> folder().name in ("data", "kerasae")
        True
    """
    checkout = Path(__file__).resolve().parents[2]
    project = checkout / "pyproject.toml"
    if project.is_file() and 'name = "kerasae"' in project.read_text(encoding="utf-8"):
        return checkout / "data"
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "kerasae"
