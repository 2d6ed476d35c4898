"""The catalogue of shipped presets, read from their `metadata.json` alone.

It imports and builds no model, and nothing is written twice: the entry of a preset is the record
of the run that made it.
"""

import numbers
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from kerasae import presets as store
from kerasae.storage.places import as_line, printable


class Measured(NamedTuple):
    """A measured number, the tolerance for another run of the measurement, and the unit."""

    value: float
    tolerance: float
    unit: str = ""

    def __str__(self) -> str:
        return f"{self.value:.4g} {self.unit}".rstrip()


class Preset(NamedTuple):
    """The record of a preset: how it was made, and its measures."""

    name: str
    title: str
    model: str  # its class
    dataset: str
    recipe: str
    paper: str
    measures: dict[str, Measured]  # the first is the headline
    backend: str
    versions: dict[str, str]
    seed: int
    budget: str
    images: int  # trained on
    epochs: int
    seconds: float  # of training
    parameters: int
    bytes: int  # of the weights on disk

    @property
    def headline(self) -> str:
        """Return the first measure, with its value."""
        name, measure = next(iter(self.measures.items()))
        return f"{name} {measure}"


def _text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _name(value: Any) -> bool:
    return isinstance(value, str) and value.replace("-", "_").isidentifier()


def _number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _versions(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_text, value.values()))


def _measures(value: Any) -> bool:
    return isinstance(value, dict) and value != {} and all(map(_measure, value.values()))


def _measure(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and {"value", "tolerance"} <= value.keys() <= {*Measured._fields}
        and _number(value["value"])
        and _number(value["tolerance"])
        and isinstance(value.get("unit", ""), str)
    )


# Required entries of `metadata.json`, beside those that `presets.save` writes.
EXPECTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("name", "title", "paper"), (_text, "a text")),
    **dict.fromkeys(
        ("model", "dataset", "recipe", "backend", "budget"),
        (_name, "a name of letters, digits and underscores"),
    ),
    "versions": (_versions, "an object of name and version"),
    **dict.fromkeys(
        ("seed", "images", "epochs", "parameter_count"), (_count, "a whole number of at least 0")
    ),
    "seconds": (_number, "a number"),
    "measures": (_measures, "an object of name and {value, tolerance, unit}"),
}


def presets() -> list[Preset]:
    """Return the presets that ship with the package, by name.

    Example:

    >>> [preset.model for preset in presets() if preset.name == "vae_2_strokes"]
    ['VariationalAutoencoder']
    """
    return [preset(store.SHIPPED / name) for name in store.names()]


def preset(name: str | Path) -> Preset:
    """Return the entry of one preset, of the zoo or made by the user with a recipe.

    Characters that control a terminal are escaped in it.

    Args:
        name: As in `kerasae.presets.find`.

    Raises:
        ValueError: If no recipe made it, or its `metadata.json` is incomplete.
    """
    folder = store.find(name)
    about = store.metadata(folder)
    if "recipe" not in about:
        raise ValueError(
            f"`{printable(str(name))}` was not made by a recipe, expected a preset of the zoo or "
            "one that `python -m kerasae train` has made."
        )
    _check(about, folder / store.METADATA)
    values = {key: _printable(about[key]) for key in Preset._fields if key in about}
    values["measures"] = {key: Measured(**measure) for key, measure in values["measures"].items()}
    size = (folder / store.WEIGHTS).stat().st_size
    values |= {"parameters": about["parameter_count"], "bytes": size}
    return Preset(**values)


def _check(about: dict[str, Any], path: Path) -> None:
    """Check that `metadata.json` has all parts of an entry; each defect is one sentence."""
    defects = []
    for key, (accepts, expected) in EXPECTED.items():
        if key not in about:
            defects.append(f"`{key}` is missing, expected {expected}.")
        elif not accepts(about[key]):
            defects.append(f"`{key}` is {as_line(about[key])}, expected {expected}.")
    if defects:
        raise ValueError(f"`{path}` is broken: {' '.join(defects)}")


def _printable(value: Any) -> Any:
    """Return a JSON value with printable texts."""
    if isinstance(value, dict):
        return {printable(key): _printable(item) for key, item in value.items()}
    return printable(value) if isinstance(value, str) else value
