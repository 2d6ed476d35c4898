"""Tools of the procedural pictures: drawing and checking of factors, pixels, colours.

A picture is a stack of layers of colour; α is the part of a pixel that a layer covers:

    c ← c + α (colour − c),    α = clip(½ − signed distance / pixel, 0, 1)
"""

from collections.abc import Mapping, Sequence

import numpy as np

CHUNK_PIXELS = 1 << 18  # a chunk's arrays fit a processor's cache, and memory stays small


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
            raise ValueError(f"`vary` holds {name!r}, expected some of {', '.join(table)}.")
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
        raise ValueError(f"`factors` is a {type(factors).__name__}, expected a dict of names.")
    for name in factors:
        if name not in table:
            raise ValueError(f"`factors` holds {name!r}, expected some of {', '.join(table)}.")
    arrays = {name: np.asarray(factors.get(name, defaults[name])) for name in table}
    lengths = {name: len(array) for name, array in arrays.items() if array.ndim == 1}
    if len(set(lengths.values()) - {1}) > 1:
        raise ValueError(f"`factors` has the lengths {lengths}, expected one length for all.")
    n = next((length for length in lengths.values() if length != 1), 1)
    return {
        name: np.broadcast_to(_check_factor(name, table[name], array), (n,))
        for name, array in arrays.items()
    }


def _check_factor(name: str, entry: tuple, array: np.ndarray) -> np.ndarray:
    """Check one factor's values against its entry of the table."""
    if array.ndim > 1 or array.dtype.kind not in "biuf":
        raise ValueError(
            f"`factors[{name!r}]` is {array.dtype} of shape {array.shape}, "
            "expected a number or a one-dimensional array of numbers."
        )
    if is_category(entry):
        good, count = np.isin(array, range(len(entry[0]))), len(entry[0])
        expected = f"an index from 0 to {count - 1} ({', '.join(entry[0])})"
    else:
        # Allow one part in a million, because the ends of a range may round past them in float32.
        low, high, _ = entry
        room = 1e-6 * (high - low)
        good, expected = (array >= low - room) & (array <= high + room), f"{low:g} to {high:g}"
    if not np.all(good):
        came = float(array.flat[np.argmin(good)])
        raise ValueError(f"`factors[{name!r}]` holds {came:g}, expected {expected}.")
    return array.astype(np.int64 if is_category(entry) else np.float32)


def is_category(entry: tuple) -> bool:
    """Return whether an entry of `FACTORS` is (categories, meaning), not (low, high, meaning)."""
    return isinstance(entry[0], tuple)


def check_count(n: int, name: str = "n") -> int:
    """Return `n` if it is a number of examples."""
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 0:
        raise ValueError(f"`{name}` is {n!r}, expected a whole number of at least 0.")
    return int(n)


def check_seed(seed: int) -> int:
    """Return `seed` if it is a whole number of at least 0."""
    return check_count(seed, "seed")


def check_size(size: int, smallest: int = 8) -> int:
    """Return `size` if it is the width of an image in pixels."""
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < smallest:
        raise ValueError(f"`size` is {size!r}, expected a whole number of at least {smallest}.")
    return int(size)


def chunks(indices: np.ndarray, size: int) -> list[np.ndarray]:
    """Cut indices of images into pieces that are drawn at once."""
    length = max(1, CHUNK_PIXELS // size**2)
    return [indices[start : start + length] for start in range(0, len(indices), length)]


def column(values: np.ndarray) -> np.ndarray:
    """Reshape (n,) to (n, 1, 1), to broadcast with (height, width)."""
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
    """Return the part of each pixel inside a shape, from the signed distance of its centre."""
    return np.clip(0.5 - distance / np.float32(pixel), 0.0, 1.0)


def palette(colours: Sequence[str], position: np.ndarray) -> np.ndarray:
    """Interpolate evenly spaced hexadecimal colours at positions in [0, 1]: (3, *positions)."""
    stops = np.array([list(bytes.fromhex(colour)) for colour in colours], np.float32) / 255
    places = np.linspace(0.0, 1.0, len(colours))
    channels = [np.interp(position, places, stops[:, channel]) for channel in range(3)]
    return np.stack(channels).astype(np.float32)


def paint(canvas: np.ndarray, cover: np.ndarray, colour: np.ndarray) -> None:
    """Paint a colour over a canvas of shape (3, n, height, width): c ← c + α (colour − c)."""
    canvas += cover * (colour - canvas)


def to_bytes(canvas: np.ndarray) -> np.ndarray:
    """Turn a canvas with values in [0, 1] into uint8 images (n, height, width, 3)."""
    return np.moveaxis((np.clip(canvas, 0.0, 1.0) * 255 + 0.5).astype(np.uint8), 0, -1)
