"""The catalogue: what ships, read from the presets' `metadata.json` alone.

No model is imported or built for it, and nothing is written down twice: the entry of a preset is
what the run that made it has left.
"""

from pathlib import Path
from typing import NamedTuple

from kerasae import presets as store


class Measured(NamedTuple):
    """A number, how far another run of the measurement may be from it, and its unit."""

    value: float
    tolerance: float
    unit: str = ""

    def __str__(self) -> str:
        return f"{self.value:.4g} {self.unit}".rstrip()


class Preset(NamedTuple):
    """How a preset was made, and what was measured of it."""

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
        """The first measure, with its value."""
        name, found = next(iter(self.measures.items()))
        return f"{name} {found}"


def presets() -> list[Preset]:
    """The presets that ship with the package, by name.

    Example:

    >>> [preset.model for preset in presets() if preset.name == "vae_2_strokes"]
    ['VariationalAutoencoder']
    """
    return [preset(store.SHIPPED / name) for name in store.names()]


def preset(name: str | Path) -> Preset:
    """The entry of one preset, of the zoo or of one's own making by a recipe.

    Args:
        name: As in `kerasae.presets.find`.

    Raises:
        ValueError: If no recipe made it.
    """
    folder = store.find(name)
    found = store.metadata(folder)
    if "recipe" not in found:
        raise ValueError(
            f"`{name}` was not made by a recipe, expected a preset of the zoo or one that "
            "`python -m kerasae train` has made."
        )
    values = {key: found[key] for key in Preset._fields if key in found}
    values["measures"] = {key: Measured(**value) for key, value in found["measures"].items()}
    size = (folder / store.WEIGHTS).stat().st_size
    return Preset(**values, parameters=found["parameter_count"], bytes=size)
