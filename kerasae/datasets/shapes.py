"""Coloured shapes on a dark ground, drawn from seven known factors: images on a small manifold.

A shape is the set {p : d(p) ≤ 0} of its signed distance d, negative inside. A pixel shows the part
of it that the shape covers, which for a straight edge is a ramp one pixel wide:

    coverage(p) = clip(½ − d(p) / pixel, 0, 1)

so that an image moves smoothly with every continuous factor. Let k factors vary and freeze the
others, and the images lie on a manifold of k dimensions. No factor runs in a circle (angle and hue
stay inside an interval without repetition), so that k numbers are enough to name a point of it.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

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

# Lightness rises along the hue: a grey picture tells the colour, as colorization needs.
HUES = ("3a55d9", "7d4fe0", "c44ad0", "f0506e", "ff8a3d", "ffd13f", "b6f5c8")
NIGHT, DUSK = ("12162a", "3b4160")

CHUNK_PIXELS = 1 << 18  # a chunk's arrays fit a processor's cache, and memory stays small


def sample_factors(
    n: int, seed: int = 0, vary: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """Draw the factors of n images, independent and uniform.

    Image i of a seed is the same for every n, and a factor's values do not depend on which other
    factors vary.

    Args:
        n: How many images.
        seed: A non-negative integer.
        vary: The names of the factors that vary; the others stay at their value in `DEFAULTS`.
            None lets all vary.

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
        factors: Values by name, numbers or arrays of shape (n,); single numbers serve all images
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
        n: How many images.
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
    """Signed distance to a shape of radius about 1; corners reach out to 1.25."""
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


# What every procedural picture needs: factors, pixels, colours.


def draw_factors(
    table: Mapping[str, tuple],
    defaults: Mapping[str, float],
    n: int,
    seed: int,
    vary: Sequence[str] | None,
) -> dict[str, np.ndarray]:
    """Draw n independent uniform values of each factor in a table such as `FACTORS`."""
    n, seed = check_count(n), check_seed(seed)
    vary = tuple(table) if vary is None else (vary,) if isinstance(vary, str) else tuple(vary)
    for name in vary:
        if name not in table:
            raise ValueError(f"vary names {name!r}, expected some of {', '.join(table)}.")
    factors = {}
    for index, (name, entry) in enumerate(table.items()):
        # One stream a factor: its first n numbers do not depend on n or on the other factors.
        uniform = np.random.default_rng([seed, index]).random(n)
        if is_category(entry):
            values = np.floor(uniform * len(entry[0])).astype(np.int64)
        else:
            values = (entry[0] + (entry[1] - entry[0]) * uniform).astype(np.float32)
        factors[name] = values if name in vary else np.full_like(values, defaults[name])
    return factors


def complete_factors(
    table: Mapping[str, tuple], defaults: Mapping[str, float], factors: Mapping[str, object]
) -> dict[str, np.ndarray]:
    """Check factors, fill in the missing ones and bring all to one length."""
    if not isinstance(factors, Mapping):
        raise ValueError(f"factors is a {type(factors).__name__}, expected a dict of names.")
    for name in factors:
        if name not in table:
            raise ValueError(f"factors has {name!r}, expected some of {', '.join(table)}.")
    arrays = {name: np.asarray(factors.get(name, defaults[name])) for name in table}
    lengths = {name: len(array) for name, array in arrays.items() if array.ndim == 1}
    if len(set(lengths.values()) - {1}) > 1:
        raise ValueError(f"factors have the lengths {lengths}, expected one length for all.")
    n = next((length for length in lengths.values() if length != 1), 1)
    return {
        name: np.broadcast_to(_check_factor(name, table[name], array), (n,))
        for name, array in arrays.items()
    }


def _check_factor(name: str, entry: tuple, array: np.ndarray) -> np.ndarray:
    """Check one factor's values against its entry of the table."""
    if array.ndim > 1 or array.dtype.kind not in "biuf":
        raise ValueError(
            f"factors[{name!r}] is {array.dtype} of shape {array.shape}, "
            "expected a number or a one-dimensional array of numbers."
        )
    if is_category(entry):
        good, count = np.isin(array, range(len(entry[0]))), len(entry[0])
        expected = f"an index from 0 to {count - 1} ({', '.join(entry[0])})"
    else:
        # One part in a million of room: float32 values of a range's ends may round past them.
        low, high, _ = entry
        room = 1e-6 * (high - low)
        good, expected = (array >= low - room) & (array <= high + room), f"{low:g} to {high:g}"
    if not np.all(good):
        came = float(array.flat[np.argmin(good)])
        raise ValueError(f"factors[{name!r}] holds {came:g}, expected {expected}.")
    return array.astype(np.int64 if is_category(entry) else np.float32)


def is_category(entry: tuple) -> bool:
    """Whether an entry of `FACTORS` is (categories, meaning), not (low, high, meaning)."""
    return isinstance(entry[0], tuple)


def check_count(n: int, name: str = "n") -> int:
    """Return a count of examples, or raise."""
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 0:
        raise ValueError(f"{name} is {n!r}, expected a non-negative integer.")
    return int(n)


def check_seed(seed: int) -> int:
    """Return a seed, or raise."""
    return check_count(seed, "seed")


def check_size(size: int, smallest: int = 8) -> int:
    """Return an image's width in pixels, or raise."""
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < smallest:
        raise ValueError(f"size is {size!r}, expected a whole number of pixels from {smallest} up.")
    return int(size)


def chunks(indices: np.ndarray, size: int) -> list[np.ndarray]:
    """Cut indices of images into pieces that are drawn at once."""
    length = max(1, CHUNK_PIXELS // size**2)
    return [indices[start : start + length] for start in range(0, len(indices), length)]


def column(values: np.ndarray) -> np.ndarray:
    """Shape (n,) to (n, 1, 1), to stand against (height, width)."""
    return values[:, None, None]


def pixel_centres(size: int, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a row and a column with the coordinates of pixel centres between low and high."""
    centres = (low + (high - low) * (np.arange(size) + 0.5) / size).astype(np.float32)
    return centres[None, None, :], centres[None, :, None]


def rotate(u: np.ndarray, v: np.ndarray, angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotate points by an angle (u to the right, v down, clockwise as seen)."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return cosine * u - sine * v, sine * u + cosine * v


def coverage(distance: np.ndarray, pixel: float) -> np.ndarray:
    """Part of each pixel that lies inside a shape, from the signed distance of its centre."""
    return np.clip(0.5 - distance / np.float32(pixel), 0.0, 1.0)


def palette(colours: Sequence[str], position: np.ndarray) -> np.ndarray:
    """Colours at positions in [0, 1] along evenly spaced hexadecimal ones, as (3, *positions)."""
    stops = np.array([list(bytes.fromhex(colour)) for colour in colours], np.float32) / 255
    places = np.linspace(0.0, 1.0, len(colours))
    channels = [np.interp(position, places, stops[:, channel]) for channel in range(3)]
    return np.stack(channels).astype(np.float32)


def paint(canvas: np.ndarray, cover: np.ndarray, colour: np.ndarray) -> None:
    """Lay a colour over a canvas of shape (3, n, height, width): c ← c + α (colour − c)."""
    canvas += cover * (colour - canvas)


def to_bytes(canvas: np.ndarray) -> np.ndarray:
    """Turn a canvas with values in [0, 1] into uint8 images (n, height, width, 3)."""
    return np.moveaxis((np.clip(canvas, 0.0, 1.0) * 255 + 0.5).astype(np.uint8), 0, -1)
