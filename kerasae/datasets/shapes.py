"""Coloured shapes on a dark ground, drawn from seven known factors: images on a small manifold.

A shape is the set {p : d(p) ≤ 0} of its signed distance d, negative inside. A pixel shows the part
of it that the shape covers, which for a straight edge is a ramp one pixel wide:

    coverage(p) = clip(½ − d(p) / pixel, 0, 1)

so that an image changes smoothly with every continuous factor. If k factors vary and the others
are fixed, the images lie on a manifold of k dimensions. No factor is periodic (angle and hue
stay inside an interval without repetition), so k numbers are enough to name a point of it.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from kerasae.datasets.canvas import (
    check_size,
    chunks,
    column,
    complete_factors,
    coverage,
    draw_factors,
    paint,
    palette,
    pixel_centres,
    rotate,
    to_bytes,
)

VERSION = "1.0.0"

KINDS = ("disc", "square", "triangle", "star", "ring")

# name -> (low, high, meaning), or (categories, meaning) for a factor that is an index.
FACTORS = {
    "kind": (KINDS, "which shape, as an index"),
    "hue": (0.0, 1.0, "colour, blue over violet, red, orange, yellow to mint; ever lighter"),
    "x": (0.33, 0.67, "centre, as a fraction of the width from the left"),
    "y": (0.33, 0.67, "centre, as a fraction of the height from the top"),
    "size": (0.12, 0.24, "radius, as a fraction of the width"),
    "angle": (-0.4, 0.4, "rotation in radians, clockwise"),
    "background": (0.0, 1.0, "brightness of the ground, night to dusk"),
}

DEFAULTS = {
    "kind": 1,
    "hue": 0.5,
    "x": 0.5,
    "y": 0.5,
    "size": 0.2,
    "angle": 0.0,
    "background": 0.5,
}

# Lightness rises along the hue: a grey picture shows the colour, as colorization needs.
HUES = ("3a55d9", "7d4fe0", "c44ad0", "f0506e", "ff8a3d", "ffd13f", "b6f5c8")
NIGHT, DUSK = ("12162a", "3b4160")


def sample_factors(
    n: int, seed: int = 0, vary: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """Draw the factors of n images, independent and uniform.

    Image i of a seed is the same for every n, and a factor's values do not depend on which other
    factors vary.

    Args:
        n: Number of images.
        seed: A non-negative integer.
        vary: Names of the factors that vary; the others keep their value in `DEFAULTS`. If None,
            all vary.

    Returns:
        One array of shape (n,) for each name in `FACTORS`.

    Example:
        >>> factors = sample_factors(100, vary=("x", "y"))
        >>> factors["x"].shape, set(factors["kind"].tolist())
        ((100,), {1})
    """
    return draw_factors(FACTORS, DEFAULTS, n, seed, vary)


def render(factors: Mapping[str, object], size: int = 32) -> np.ndarray:
    """Draw the images of any points of the factor space.

    Args:
        factors: Values by name, numbers or arrays of shape (n,); single numbers hold for all images
            and missing names take their value in `DEFAULTS`.
        size: Width and height in pixels, at least 8.

    Returns:
        Images, uint8 of shape (n, size, size, 3).

    Example:
        >>> render({"kind": 3, "x": np.linspace(0.33, 0.67, 5)}).shape
        (5, 32, 32, 3)
    """
    size = check_size(size)
    complete = complete_factors(FACTORS, DEFAULTS, factors)
    images = np.empty((len(complete["kind"]), size, size, 3), np.uint8)
    for kind, name in enumerate(KINDS):
        for chunk in chunks(np.flatnonzero(complete["kind"] == kind), size):
            images[chunk] = _draw(name, {key: complete[key][chunk] for key in FACTORS}, size)
    return images


def generate(
    n: int, seed: int = 0, size: int = 32
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Draw n random images; the label is the kind of shape, an index into `KINDS`.

    Args:
        n: Number of images.
        seed: A non-negative integer.
        size: Width and height in pixels, at least 8.

    Returns:
        Images uint8 (n, size, size, 3), labels int64 (n,), and the true factors by name.

    Example:
        >>> images, labels, factors = generate(10)
        >>> images.shape, labels.shape, sorted(factors)[0]
        ((10, 32, 32, 3), (10,), 'angle')
    """
    factors = sample_factors(n, seed)
    return render(factors, size), factors["kind"].astype(np.int64), factors


def _draw(kind: str, factors: dict[str, np.ndarray], size: int) -> np.ndarray:
    """Draw images of one kind."""
    f = {name: column(values) for name, values in factors.items()}
    across, down = pixel_centres(size, 0.0, 1.0)

    # The shape's own frame: its centre is 0, its radius 1, its top stands up at angle 0.
    u, v = rotate((across - f["x"]) / f["size"], (down - f["y"]) / f["size"], -f["angle"])
    shape = coverage(_signed_distance(kind, u, v) * f["size"], 1 / size)

    # A slight gradient makes the ground less flat, a light from the shape's top shows its angle.
    ground = palette((NIGHT, DUSK), f["background"]) * (1.12 - 0.24 * down)
    light = 1.0 - 0.14 * np.clip(v, -1, 1)
    canvas = np.broadcast_to(ground, (3, *shape.shape)).copy()
    paint(canvas, shape, np.minimum(palette(HUES, f["hue"]) * light, 1.0))
    return to_bytes(canvas)


def _signed_distance(kind: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return the signed distance to a shape of radius about 1, with corners up to 1.25."""
    if kind == "disc":
        return np.hypot(u, v) - 1.0
    if kind == "ring":
        return np.abs(np.hypot(u, v) - 0.76) - 0.27
    if kind == "square":
        return np.maximum(np.abs(u), np.abs(v)) - 0.86
    # Fold the plane into half a sector, from a corner at angle 0 to the middle of the next side.
    sector = math.pi / (3 if kind == "triangle" else 5)
    radius, turn = np.hypot(u, v), np.arctan2(u, -v)
    turn = np.abs((turn + sector) % (2 * sector) - sector)
    if kind == "triangle":
        side = radius * np.cos(turn - sector) - 1.25 * math.cos(sector)
        return np.maximum(side, radius - 1.25)
    # A star's side runs from the corner (1.25, 0) to the notch, at half that radius in the middle.
    slope = math.atan2(0.5 * math.sin(sector), 0.5 * math.cos(sector) - 1)
    a, b = math.sin(slope), -math.cos(slope)
    side = a * (radius * np.cos(turn) - 1.25) + b * radius * np.sin(turn)
    return np.maximum(side, radius - 1.25)
