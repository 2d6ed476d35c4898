"""Sizes of networks: of inputs, codes and maps, checked."""

import math
from collections.abc import Sequence
from typing import Any

from kerasae import checks
from kerasae.probability import posteriors

Shape = tuple[int, ...]


def shape(name: str, shape: Shape) -> Shape:
    """Return the shape of one example, if it is one."""
    if not isinstance(shape, (tuple, list)) or len(shape) == 0:
        raise ValueError(f"`{name}` is {shape!r}, expected the shape of one example, a tuple.")
    return checks.sizes(name, shape)


def of_code(code_size: int, posterior: str | posteriors.Posterior | None) -> int:
    """Return the number of the encoder's outputs: the code, or its posterior's parameters."""
    size = checks.whole_number("code_size", code_size)
    return size if posterior is None else posteriors.get("posterior", posterior).parameters(size)


def last_activation(activation: Any, posterior: str | posteriors.Posterior | None) -> Any:
    """Return the decoder's last activation; the default depends on the kind of model."""
    return ("sigmoid" if posterior is None else "linear") if activation is None else activation


def strides(
    strides: int | Sequence[int], filters: Sequence[int], kernel_size: int | None = None
) -> tuple[int, ...]:
    """Return one stride for each of `filters`."""
    if len(checks.sizes("filters", filters)) == 0:
        raise ValueError("`filters` is empty, expected the channels of at least one layer.")
    if not isinstance(strides, (tuple, list)):
        strides = (checks.whole_number("strides", strides),) * len(filters)
    strides = checks.sizes("strides", strides)
    if len(strides) != len(filters):
        raise ValueError(
            f"`strides` is {strides!r}, expected as many as `filters` has: {len(filters)}."
        )
    if kernel_size is not None and checks.whole_number("kernel_size", kernel_size) < max(strides):
        raise ValueError(
            f"`kernel_size` is {kernel_size}, expected at least the largest of `strides`, "
            f"{max(strides)}: otherwise pixels between the kernels are skipped."
        )
    return strides


def smallest_map(name: str, shape: Shape, strides: Sequence[int]) -> tuple[int, int]:
    """Return height and width, divided by the product of `strides`."""
    if not isinstance(shape, (tuple, list)) or len(shape) != 3:
        raise ValueError(f"`{name}` is {shape!r}, expected (height, width, channels).")
    height, width, _ = checks.sizes(name, shape)
    factor = math.prod(strides)
    if height % factor or width % factor:
        raise ValueError(
            f"`{name}` is {shape!r}, expected a height and width divisible by {factor}, the "
            f"product of the {len(strides)} layers' strides."
        )
    return height // factor, width // factor
