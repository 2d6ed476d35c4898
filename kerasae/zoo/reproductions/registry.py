"""All reproductions by name, and the decorator that makes one of a function."""

from collections.abc import Callable

from kerasae.zoo.reproduction import Reproduction, Work

REPRODUCTIONS: dict[str, Reproduction] = {}

Function = Callable[[Work], dict[str, float]]


def reproduction(**data) -> Callable[[Function], Function]:
    """Make a reproduction of a function that does the work, and of its data."""

    def decorated(work):
        REPRODUCTIONS[work.__name__] = Reproduction(work, **data)
        return work

    return decorated


def find(name: str) -> Reproduction:
    """Return a reproduction by its name.

    Args:
        name: One of `REPRODUCTIONS`.

    Raises:
        ValueError: If there is none of this name.
    """
    if name not in REPRODUCTIONS:
        raise ValueError(f"`{name}` is no reproduction, expected one of: {list(REPRODUCTIONS)}.")
    return REPRODUCTIONS[name]
