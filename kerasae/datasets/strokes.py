"""Handwritten digits drawn from curves, with the true factors of every image.

A style of a digit is a skeleton: control points P on natural cubic splines, with corners where
the pen turns sharply and one stroke for every time it touches the paper. A drawing is

    P' = P + field(P) + jitter                        the hand is never twice the same: wobble
    q = R(rotation) S(slant) diag(width, 1) spline(P')                the affine factors
    F(p) = ∫ exp(-‖p - q(s)‖² / 2σ²) ds,   d² = -2σ² log(F / √(2π)σ)
    ink(p) = ramp(thickness / 2 - d)

For a straight stroke d is the exact distance from pixel p to the path of the pen, and where
strokes meet the ink flows together. A Gaussian of the plane is a product of two on the axes, so F
on all pixels is one product of two small matrices. As in MNIST, the ink fits a box of 20×20
pixels, aspect kept, and its centre of mass is the middle of the 28×28 image.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from kerasae.datasets import skeletons
from kerasae.datasets.skeletons import CLOSING as CLOSING
from kerasae.datasets.skeletons import STYLES as STYLES

VERSION = "1.0.0"  # of the drawing: the same version draws the same images

SIZE = 28  # side of an image, in pixels
BOX = 20.0  # side of the box that the ink fits, in pixels
CENTRE = 14.0  # row and column of the centre of mass; rows and columns are counted from 0


class Factor(NamedTuple):
    """A scalar factor: its range, both ends allowed, its neutral value and what it means."""

    low: float
    high: float
    neutral: float
    meaning: str


FACTORS: dict[str, Factor] = {
    "digit": Factor(0, 9, 0, "which digit, an integer"),
    "style": Factor(0, 11, 0, "which way of writing it, an integer: the place in STYLES[digit]"),
    "thickness": Factor(1.0, 6.0, 2.4, "width of the pen's line, in pixels of the final image"),
    "slant": Factor(-1.0, 1.0, 0.0, "shear, shift to the right per height; > 0 leans right"),
    "rotation": Factor(-0.8, 0.8, 0.0, "angle in radians; > 0 turns counter-clockwise"),
    "width": Factor(0.4, 2.0, 1.0, "horizontal stretch, before slant and rotation"),
    "closure": Factor(
        0.6,
        1.2,
        1.0,
        "share of the loop, or of the bar that joins, that is drawn: 1 closes it, less leaves a "
        "gap, more overshoots; no effect on styles outside CLOSING[digit]",
    ),
}


# Habits of the writers of a digit: median thickness, mean slant, median width, and how freely
# the shape bends, the standard deviation of the field in wobble.
_HABITS = {
    0: (2.7, 0.15, 1.0, 0.6),
    1: (2.6, 0.30, 1.0, 0.5),
    2: (2.35, 0.18, 1.0, 1.0),
    3: (2.35, 0.10, 0.97, 1.0),
    4: (2.2, 0.20, 0.97, 1.0),
    5: (2.35, 0.08, 1.0, 1.0),
    6: (2.35, 0.05, 0.97, 0.8),
    7: (2.35, 0.08, 0.97, 1.0),
    8: (2.2, 0.10, 0.97, 1.0),
    9: (2.2, 0.08, 1.0, 1.0),
}

# wobble is WOBBLE numbers, normal in the data set, 0 for the bare skeleton:
# a smooth field of the plane, cos(πix)·cos(πjy) along x, then along y; 2 ≤ i + j, because lower
# modes would be slant, rotation and width by another name; a step of every control point along x
# and y; cosines of the pen's pressure along its way; the grain of the paper, cosines and sines of
# plane waves that roughen the edge of the ink.
_MODES = np.array([(i, j) for i in range(4) for j in range(4) if 2 <= i + j <= 3])
_POINTS = 14
_PRESSURES = np.arange(1, 5)
_WAVES = np.random.default_rng(0).uniform(-2.4, 2.4, (16, 2))  # radians per pixel
_PARTS = np.array([2 * len(_MODES), 2 * _POINTS, len(_PRESSURES), 2 * len(_WAVES)])
WOBBLE = int(_PARTS.sum())
WOBBLE_LIMIT = 4.0

_FIELD = 0.05  # standard deviation of a mode of order 2, in heights of the digit
_JITTER = 0.012  # of a step of a control point, in heights of the digit
_PRESSURE = 0.06  # of a cosine of the pen's width, as a share of it
_GRAIN = 0.04  # of a wave of the grain, in pixels that the edge moves

_BLUR = 0.8  # σ, in pixels: small enough to keep loops open, wider than the samples' spacing
_RAMP = 1.4  # pixels over which the edge of the ink fades
_CHUNK = 256  # images drawn at once, so that the arrays stay in the processor's cache


@functools.cache
def _grain() -> np.ndarray:
    """Return the plane waves of the paper's grain at every pixel, (waves, pixels)."""
    phase = _WAVES @ np.indices((SIZE, SIZE)).reshape(2, -1)
    return np.concatenate([np.cos(phase), np.sin(phase)])


def _path(skeleton: skeletons.Skeleton, f: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the pen's path, x and y of shape (n, samples), in heights of the digit, y down."""
    n, count = len(f["wobble"]), len(skeleton.points)
    field, jitter, *_ = np.split(f["wobble"], np.cumsum(_PARTS)[:-1], axis=1)
    # P' = P + field(P) + jitter; a mode of order i + j is damped by (2 / (i + j))².
    modes = np.prod(np.cos(np.pi * skeleton.points[:, None] * _MODES), axis=2)
    modes = modes * (2 / _MODES.sum(axis=1)) ** 2
    points = skeleton.points + _FIELD * (modes @ field.reshape(n, 2, -1).transpose(0, 2, 1))
    points = points + _JITTER * jitter.reshape(n, _POINTS, 2)[:, :count]
    path = skeleton.basis @ points
    # diag(width, 1), then S(slant) and R(rotation); up is -y, so both signs turn.
    cos, sin = np.cos(f["rotation"])[:, None], np.sin(f["rotation"])[:, None]
    x, y = f["width"][:, None] * path[..., 0], path[..., 1]
    x = x - f["slant"][:, None] * y
    return cos * x + sin * y, cos * y - sin * x


def _draw(digit: int, style: int, f: dict[str, np.ndarray]) -> np.ndarray:
    """Draw n images of one style, uint8 of shape (n, 28, 28)."""
    skeleton = skeletons.read(digit, style)
    x, y = _path(skeleton, f)
    _, _, pressure, grain = np.split(f["wobble"], np.cumsum(_PARTS)[:-1], axis=1)
    radius = f["thickness"][:, None] / 2

    # Lengths of the path to a sample and from it; zero where the pen is lifted.
    joined = skeleton.stroke[1:] == skeleton.stroke[:-1]
    step = np.hypot(np.diff(x), np.diff(y)) * joined
    before, after = np.pad(step, ((0, 0), (1, 0))), np.pad(step, ((0, 0), (0, 1)))

    # The share of a sample that is drawn falls from 1 to 0 where closure ends the stroke.
    drawn = np.ones_like(x)
    if skeleton.loop is not None:
        number, first, last = skeleton.loop
        mine = skeleton.stroke == number
        length = np.cumsum(before, axis=1)
        end = length[:, [first]] + f["closure"][:, None] * (length[:, [last]] - length[:, [first]])
        rest = (end - length) / np.maximum(before, after)
        drawn[:, mine] = np.clip(rest[:, mine] + 0.5, 0, 1)

    # Size: the longer side of the ink is 20 pixels, the pen's thickness and a soft edge included.
    low = [np.where(drawn > 0.5, v, np.inf).min(axis=1, keepdims=True) for v in (x, y)]
    high = [np.where(drawn > 0.5, v, -np.inf).max(axis=1, keepdims=True) for v in (x, y)]
    extent = np.maximum(high[0] - low[0], high[1] - low[1])
    scale = (BOX - 2 * radius - 0.2) / extent

    # A pen of width thickness · press. One small product an image, not one large one for all, so
    # that an image never depends on its neighbours, not even in its last bit.
    time = np.linspace(0, 1, x.shape[1])
    waves = np.cos(np.pi * _PRESSURES[:, None] * time)
    press = np.clip(1 + _PRESSURE * (pressure[:, None] @ waves)[:, 0], 0.5, 1.5)
    # Ink of a sample: half of the paths that meet in it. Where a stroke begins and ends the pen
    # rests, which rounds it: half of the ink that a line leaves on its own points, √(2π)σ / 2.
    line = np.sqrt(2 * np.pi) * _BLUR
    starts, stops = np.append(True, ~joined), np.append(~joined, True)
    ends = drawn - np.where(stops, 0, np.roll(drawn, -1, axis=1))
    mass = scale * drawn * (before + after) / 2 + line / 2 * (starts + ends)
    # Position: the centre of mass is the middle of the image, unless ink would be cut.
    share = mass * press
    share = share / share.sum(axis=1, keepdims=True)
    axes = []
    for v, smallest, largest in zip((x, y), low, high, strict=True):
        middle = (share * v).sum(axis=1, keepdims=True)
        least = radius + 1 - scale * (smallest - middle)
        most = SIZE - 2 - radius - scale * (largest - middle)
        place = scale * (v - middle) + np.clip(CENTRE, least, most)
        away = np.arange(SIZE, dtype=np.float32)[:, None] - place[:, None].astype(np.float32)
        axes.append(np.exp(away**2 / (-2 * _BLUR**2)))
    # The distance is compared with one radius, so more ink, exp((press² - 1) radius² / 2σ²), has
    # to stand for a wider pen.
    mass = mass * np.exp((press**2 - 1) * radius**2 / (2 * _BLUR**2))
    inks = (axes[1] * mass[:, None].astype(np.float32)) @ axes[0].transpose(0, 2, 1)
    distance = np.sqrt(np.maximum(-2 * _BLUR**2 * np.log(inks / line + 1e-30), 0))
    edge = radius + _GRAIN * (grain[:, None] @ _grain())[:, 0]
    ramp = np.clip(0.5 + (edge.reshape(distance.shape) - distance) / _RAMP, 0, 1)
    return np.rint(255 * ramp**2 * (3 - 2 * ramp)).astype(np.uint8)


def _checked(factors: Mapping[str, object]) -> dict[str, np.ndarray]:
    """Return all factors, checked, as arrays of one length."""
    shapes = {**dict.fromkeys(FACTORS, ()), "wobble": (WOBBLE,)}
    neutral = {name: factor.neutral for name, factor in FACTORS.items()}
    neutral["wobble"] = np.zeros(WOBBLE)
    if unknown := [name for name in factors if name not in shapes]:
        raise ValueError(f"`factors` holds the names {unknown}, expected some of {list(shapes)}.")
    values, lengths = {}, {}
    for name, shape in shapes.items():
        try:
            value = np.asarray(factors.get(name, neutral[name]), dtype=float)
        except (TypeError, ValueError):
            raise ValueError(
                f"`factors[{name!r}]` is {factors[name]!r}, expected numbers."
            ) from None
        if value.shape != shape:
            if value.ndim != len(shape) + 1 or value.shape[1:] != shape:
                expected = "a number or (n,)" if not shape else f"({WOBBLE},) or (n, {WOBBLE})"
                raise ValueError(
                    f"`factors[{name!r}]` has shape {value.shape}, expected {expected}."
                )
            lengths[name] = len(value)
        low, high, *_ = FACTORS.get(name, (-WOBBLE_LIMIT, WOBBLE_LIMIT))
        if not np.all((value >= low) & (value <= high)):
            worst = value[~((value >= low) & (value <= high))].flat[0]
            raise ValueError(f"`factors[{name!r}]` holds {worst}, expected {low} to {high}.")
        if name in ("digit", "style"):
            if np.any(value % 1):
                raise ValueError(f"`factors[{name!r}]` is {factors[name]!r}, expected integers.")
            value = value.astype(int)
        values[name] = value
    if len(set(lengths.values())) > 1:
        raise ValueError(f"`factors` has the lengths {lengths}, expected one length for all.")
    n = max(lengths.values(), default=1)
    f = {name: np.broadcast_to(v, (n, *shapes[name])) for name, v in values.items()}
    count = np.array([len(STYLES[digit]) for digit in range(10)])[f["digit"]]
    if np.any(f["style"] >= count):
        k = int(np.argmax(f["style"] >= count))
        raise ValueError(
            f"`factors['style']` holds {f['style'][k]}, "
            f"expected 0 to {count[k] - 1} for digit {f['digit'][k]}."
        )
    return f


def render(factors: Mapping[str, object]) -> np.ndarray:
    """Draw any point of the factor space.

    Args:
        factors: Values of `FACTORS` and of `wobble`, the deformation. A scalar factor is a number
            or an array of shape (n,), wobble has shape (WOBBLE,) or (n, WOBBLE); single ones are
            shared by all images. Missing factors are neutral.

    Returns:
        White ink on black, uint8 of shape (n, 28, 28, 1). An image depends on its own factors only.

    Example:
        >>> from kerasae.datasets import strokes
        >>> strokes.render({"digit": 3, "slant": [-0.4, 0.0, 0.4]}).shape
        (3, 28, 28, 1)
    """
    f = _checked(factors)
    images = np.zeros((len(f["digit"]), SIZE, SIZE, 1), np.uint8)
    for digit, styles in STYLES.items():
        for style in range(len(styles)):
            mine = np.flatnonzero((f["digit"] == digit) & (f["style"] == style))
            for k in range(0, len(mine), _CHUNK):
                chunk = mine[k : k + _CHUNK]
                some = {name: value[chunk] for name, value in f.items()}
                images[chunk, ..., 0] = _draw(digit, style, some)
    return images


def sample_factors(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Draw the factors of n images from the distribution of the data set.

    Ten images in a row contain every digit once, in random order. Styles have fixed shares;
    the other factors are independent given the digit: thickness and width log-normal, slant,
    rotation and closure normal, clipped to their ranges; wobble is standard normal, its field
    calmer for 0, 1 and 6.

    Args:
        n: Number of images.
        seed: Seed of the draw; image i of a seed is the same for every n > i.

    Returns:
        One array of length n for each of `FACTORS`, and `wobble` of shape (n, WOBBLE).

    Example:
        >>> from kerasae.datasets import strokes
        >>> sorted(strokes.sample_factors(10)["digit"].tolist())
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 0:
        raise ValueError(f"`n` is {n!r}, expected a whole number of at least 0.")
    uniform, normal = (np.random.default_rng([seed, stream]) for stream in (0, 1))
    # Rows are drawn one after the other, so the first rows do not depend on how many follow.
    u = uniform.random((-(-n // 10), 10, 2))
    digit = np.argsort(u[..., 0], axis=1).reshape(-1)[:n]
    u = u[..., 1].reshape(-1)[:n]
    g = normal.standard_normal((n, 5 + WOBBLE)).clip(-WOBBLE_LIMIT, WOBBLE_LIMIT)

    style = np.zeros(n, int)
    for k, styles in skeletons.SKELETONS.items():
        share = np.cumsum([share for share, _ in styles.values()])
        style[digit == k] = np.searchsorted(share / share[-1], u[digit == k], side="right")
    thickness, slant, width, free = np.array([_HABITS[k] for k in range(10)])[digit].T
    wobble = g[:, 5:]
    wobble[:, : _PARTS[0]] *= free[:, None]
    scalars = {
        "thickness": thickness * np.exp(0.30 * g[:, 0]),
        "slant": slant + 0.25 * g[:, 1],
        "rotation": 0.10 * g[:, 2],
        "width": width * np.exp(0.19 * g[:, 3]),
        "closure": 0.98 + 0.07 * g[:, 4],
    }
    clipped = {k: v.clip(FACTORS[k].low, FACTORS[k].high) for k, v in scalars.items()}
    return {"digit": digit, "style": style, **clipped, "wobble": wobble}


def generate(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Draw a data set: n images, their labels and their true factors.

    Args:
        n: Number of images.
        seed: Seed of the draw; image i of a seed is the same for every n > i.

    Returns:
        Images, uint8 of shape (n, 28, 28, 1); labels, int64 of shape (n,); the factors, such that
        `render(factors)` draws the images again.

    Example:
        >>> from kerasae.datasets import strokes
        >>> images, labels, factors = strokes.generate(100, seed=0)
        >>> images.shape, labels.shape, factors["wobble"].shape
        ((100, 28, 28, 1), (100,), (100, 78))
    """
    factors = sample_factors(n, seed)
    return render(factors), factors["digit"].astype(np.int64), factors
