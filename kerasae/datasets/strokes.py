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
import itertools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

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

# A skeleton is text: "x,y" in hundredths of the digit's height, y downwards; "|" lifts the pen; "/"
# makes a corner of the point before it; equal points are one point, so strokes stay joined for
# every wobble. From the first "@" of a stroke (from its start if there is one "@" only) to the last
# "@" runs the loop that `closure` measures; the rest is drawn by overshooting only. The number in
# front is the style's share among the images of its digit; style 0 is a plain one.
_SKELETONS: dict[int, dict[str, tuple[float, str]]] = {
    0: {
        "oval": (4, "52,0@ 22,14 8,50 22,86 50,100 80,86 92,50 80,14 52,0@ 28,8 14,30"),
        "from the right": (3, "70,5@ 36,3 10,32 8,70 30,98 62,94 88,64 92,28 70,5@ 48,0 30,6"),
        "clockwise": (1.5, "34,6@ 68,0 90,24 90,64 64,98 30,96 10,68 12,28 34,6@ 58,-2 76,6"),
        "hooked": (1.5, "84,-6 60,3@ 30,12 9,44 16,82 46,100 78,84 90,46 82,14 60,3@ 44,4 36,14"),
        "curled": (1.5, "50,24 62,6 44,0 12,34 10,72 36,99 70,90 90,54 84,18 62,6 42,18@ 34,32"),
        "pointed": (1.5, "58,0@ 32,24 10,60 18,92 46,100 74,84 82,50 74,18 58,0@ 44,0 34,14"),
        "narrow": (1, "46,0@ 28,18 20,52 26,86 46,100 66,84 72,48 64,14 46,0@ 34,6 28,20"),
        "slashed": (0.4, "66,5@ 36,3 10,32 8,70 30,98 62,94 88,64 90,28 66,5@ 52,2 | 86,2 14,98"),
    },
    1: {
        "plain": (9, "50,0 50,50 50,100"),
        "flag": (0.8, "24,24 52,0/ 52,50 52,100"),
        "flag and foot": (0.5, "24,22 52,0/ 52,50 52,100 | 18,100 52,99 86,100"),
    },
    2: {
        "plain": (3, "10,24 26,5 56,1 76,20 66,52 38,80 8,98/ 50,96 92,97"),
        "loop": (3, "10,22 34,2 66,4 78,26 64,56 40,84 18,96 6,87 18,76 44,86 68,96 96,90"),
        "wide loop": (1.5, "14,18 38,0 62,6 66,30 52,64 26,96 4,92 8,70 34,70 60,90 80,98 96,88"),
        "wave": (1.5, "8,26 30,3 64,4 74,28 54,60 26,86 10,98 34,92 66,95 96,86"),
        "hook": (1, "28,30 12,26 20,6 56,0 76,22 60,56 34,82 10,98/ 50,94 90,98"),
        "deep hook": (1, "34,44 12,40 14,14 46,0 72,16 70,50 44,86 16,98 8,86 30,80 62,94 98,88"),
        "flat": (1, "8,8 40,2 72,8 74,28 48,60 8,98/ 50,98 94,98"),
        "foot": (1, "8,20 34,0 60,10 56,46 34,80 8,96/ 34,74 54,84 72,98 98,94"),
        "long base": (1.5, "10,26 26,6 48,4 58,24 44,56 22,82 6,96 40,92 80,90 120,86"),
        "short base": (0.8, "14,24 30,2 58,2 68,26 54,56 34,82 22,98/ 40,98 62,98"),
        "curl": (1, "12,16 34,0 58,8 58,34 38,72 18,97 4,84 18,68 46,74 84,70 106,60"),
        "high loop": (1, "14,24 24,4 56,0 70,22 60,56 36,88 12,98 0,82 14,62 44,68 72,84 96,92"),
    },
    3: {
        "round": (4, "12,14 38,0 70,8 68,32 38,46/ 70,54 80,76 52,99 8,90"),
        "flat top": (1.5, "10,6 40,3 76,2/ 58,22 40,40/ 72,50 80,76 48,100 8,90"),
        "bump": (3, "10,12 40,0 72,14 62,36 44,46 66,56 78,76 54,98 8,92"),
        "middle loop": (2, "12,14 40,0 72,12 62,38 36,50 30,44 42,42 70,54 80,78 48,100 8,90"),
        "small head": (1.5, "20,10 44,0 66,10 58,28 36,38/ 74,46 86,72 52,100 4,86"),
        "big head": (1.5, "6,20 38,0 78,10 76,38 38,56/ 66,60 72,80 46,98 14,92"),
        "hooks": (1, "16,26 14,8 46,0 72,16 60,40 36,46/ 68,52 78,78 44,100 12,88 20,74"),
        "straight tail": (1, "10,12 40,0 66,10 56,32 34,42/ 62,46 72,58 52,80 18,100"),
        "wide": (1, "4,20 30,0 66,6 70,24 46,44/ 84,52 84,80 44,100 0,92"),
    },
    4: {
        "open": (3, "18,4 12,30 12,54/ 40,56 84,50 | 78,0 72,50 66,100"),
        "round": (3, "26,4 12,38 20,54 48,56 88,46 | 78,4 68,52 60,100"),
        "closed": (1.5, "98,62 66,64@ 6,66/ 36,32 66,0@ 76,-10 | 66,0 65,50 64,100"),
        "one line": (2, "18,6 8,40 22,56 50,52 78,36 | 84,0 78,36 66,100"),
        "low bar": (1.5, "30,0 16,32 4,62/ 50,64 96,58 | 70,20 64,62 58,100"),
        "short stem": (1, "16,0 12,30 8,58/ 44,60 80,56 | 66,30 62,60 60,100"),
        "fork": (1.2, "16,4 24,30 38,46 58,40 70,24 | 84,0 70,24 50,62 36,100"),
        "square": (0.8, "10,4 8,34 8,60/ 40,60 76,60/ 76,62 | 76,0 76,60 76,100"),
        "narrow top": (0.4, "94,54 68,56@ 8,56/ 36,24 62,2@ 70,-6 | 74,4 68,56 60,100"),
    },
    5: {
        "two strokes": (
            3,
            "28,4 24,24 20,44/ 48,36 78,50 78,80 46,100 6,90 | 94,0 60,3 28,4@ 16,5",
        ),
        "one stroke": (3, "88,3 56,3 28,5/ 24,24 22,44/ 52,38 80,58 72,90 38,100 6,92"),
        "cursive": (2, "92,4 54,2 30,12 30,34 56,52 66,74 46,96 22,98 4,88"),
        "no shoulder": (2, "94,2 60,3 34,6/ 28,38 54,50 70,72 50,96 6,96"),
        "rising bar": (
            2,
            "30,14 26,30 22,46/ 48,44 64,62 58,86 32,100 4,92 | 96,-2 62,6 30,14@ 20,17",
        ),
        "long bar": (1.5, "100,0 66,4 36,8/ 30,28 22,46/ 46,44 56,62 46,86 24,98 2,92"),
        "round belly": (1, "82,4 50,4 26,6/ 24,28 26,46/ 60,44 80,66 62,94 28,98 12,80 22,70"),
        "small head": (1, "64,6 44,2 26,8/ 22,18 18,30/ 60,30 84,56 66,90 30,100 4,84"),
        "thin": (1, "84,0 58,10 44,24/ 40,34 38,46/ 54,52 58,72 44,92 20,100"),
        "fat belly": (1, "78,0 46,4 24,10/ 18,28 14,46/ 44,36 78,46 82,74 54,98 20,94 6,78"),
    },
    6: {
        "plain": (3, "64,0 34,26 14,58 10,74@ 22,95 48,100 74,87 72,67 46,61 10,74@ 6,89"),
        "bent": (1, "82,11 58,0 26,24 10,61@ 20,93 48,100 78,85 76,63 48,54 10,61@ 4,74"),
        "straight": (3, "46,0 28,37 12,69@ 16,93 42,100 68,87 70,71 46,63 12,69@ 2,78"),
        "spiral": (2, "62,0 32,26 12,61 18,91@ 50,99 78,83 76,63 54,58 32,72 18,91@ 24,98"),
        "bowl": (2, "36,0 12,39 4,74 24,99@ 62,96 88,76 82,56 56,54 34,74 24,99@ 30,109"),
        "low loop": (1.5, "66,0 40,30 18,63 8,87@ 24,100 52,98 68,83 60,71 34,74 8,87@ 0,94"),
        "slim": (1, "44,0 36,32 24,69@ 28,94 44,100 58,89 58,72 44,67 24,69@ 14,74"),
        "tall bowl": (1, "58,0 22,24 4,60 14,91@ 50,100 84,80 80,48 54,41 26,61 14,91@ 16,104"),
    },
    7: {
        "plain": (4, "6,8 44,6 88,4/ 66,44 46,100"),
        "bar": (1.5, "6,8 44,6 88,4/ 64,46 44,100 | 28,54 56,50 86,48"),
        "serif": (2, "6,26 10,7/ 46,6 82,3/ 62,46 46,100"),
        "round": (2.35, "6,16 34,6 72,4 84,16 68,50 52,100"),
        "bent": (1, "4,12 40,10 80,4/ 62,30 48,60 44,100"),
        "hook": (2, "14,30 12,14 24,8 50,10 78,2/ 62,46 46,100"),
        "rising": (1.5, "8,28 40,16 78,0/ 60,46 40,100"),
        "wave and bar": (0.7, "8,22 16,6 46,10 82,3/ 64,46 50,100 | 30,58 56,52 84,46"),
        "narrow": (1.5, "18,12 38,10 64,4/ 56,40 50,70 46,100"),
        "long bar": (0.8, "4,6 40,8 82,4/ 62,46 46,100 | 14,58 52,52 100,48"),
        "curved": (1, "4,20 30,4 66,0 84,12 82,40 62,66 40,100"),
    },
    8: {
        "from the right": (
            3,
            "78,12@ 48,0 22,14 34,38 64,58 74,80 48,100 22,84 34,60 66,36 78,12@ 70,0",
        ),
        "from the top": (
            2,
            "52,0@ 26,14 34,38 66,60 74,82 48,100 24,84 36,58 68,38 76,14 52,0@ 36,4",
        ),
        "two rings": (
            1.5,
            "50,44 26,28 36,3 62,3 72,28 50,44 | 50,44@ 26,62 22,86 48,99 76,88 76,62 50,44@ 34,50",
        ),
        "from the middle": (
            1.5,
            "46,46@ 26,24 46,0 72,10 68,32 46,46 24,66 24,92 50,100 70,84 66,62 46,46@ 36,36",
        ),
        "ribbon": (3, "88,6@ 52,0 26,14 38,38 58,58 60,82 36,100 14,86 28,62 60,38 88,6@ 98,-4"),
        "open": (2.5, "72,12 48,0 22,14 36,38 64,60 66,84 40,100 16,84 30,62 62,36 96,4"),
        "slim foot": (
            1.5,
            "76,14@ 48,0 24,16 38,42 54,62 54,86 42,100 32,86 42,60 66,38 76,14@ 72,2",
        ),
        "tail": (1.5, "82,10 46,2 16,20 38,44 58,62 56,86 36,100 18,86 34,62 64,40 90,4"),
        "slim head": (
            1,
            "62,12@ 48,0 36,14 46,38 72,64 76,86 50,100 22,86 28,62 56,38 62,12@ 58,0",
        ),
        "wide": (1, "84,14@ 50,0 14,14 30,38 70,58 92,80 50,100 6,82 28,58 72,36 84,14@ 72,2"),
    },
    9: {
        "straight": (3, "60,100 66,51 72,18@ 56,2 28,9 14,31 32,45 58,38 72,18@ 78,7"),
        "curved": (1.5, "16,93 44,99 68,71 74,20@ 58,2 30,5 12,25 28,45 58,40 74,20@ 80,9"),
        "flat": (1.5, "62,100 68,45 76,7@ 46,0 16,16 14,38 36,43 60,32 76,7@ 80,-4"),
        "leaning": (3, "44,100 60,56 72,20@ 62,3 36,2 18,22 28,40 54,38 72,20@ 80,11"),
        "hook": (1, "30,85 40,99 58,91 68,47 72,16@ 52,0 24,9 14,32 34,45 58,36 72,16@ 78,7"),
        "small head": (2, "56,100 64,45 66,14@ 50,0 30,9 22,25 34,36 54,29 66,14@ 72,5"),
        "round back": (1.5, "40,100 66,62 74,31@ 66,5 38,0 16,18 26,40 52,41 74,31@ 84,23"),
        "open": (1, "54,100 64,51 72,23/ 76,9 46,0 18,16 14,38 32,45 54,38 70,25"),
        "big head": (1, "74,100 80,56 84,22@ 66,2 32,2 6,25 10,54 40,62 70,45 84,22@ 88,7"),
        "bent stem": (1, "34,100 56,67 66,36 68,16@ 52,0 28,4 14,23 28,38 54,32 68,16@ 76,7"),
        "slim": (1, "50,100 56,56 62,18@ 54,0 36,5 24,27 32,43 50,36 62,18@ 66,7"),
    },
}

STYLES: dict[int, tuple[str, ...]] = {digit: tuple(s) for digit, s in _SKELETONS.items()}
CLOSING: dict[int, tuple[int, ...]] = {
    digit: tuple(k for k, (_, text) in enumerate(s.values()) if "@" in text)
    for digit, s in _SKELETONS.items()
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
_SPACING = 0.045  # of the samples along a path, in heights of the digit
_CHUNK = 256  # images drawn at once, so that the arrays stay in the processor's cache


class _Skeleton(NamedTuple):
    points: np.ndarray  # (points, 2), in heights of the digit
    basis: np.ndarray  # (samples, points): the path is basis @ points
    stroke: np.ndarray  # (samples,): the stroke that a sample belongs to
    loop: tuple[int, int, int] | None  # its stroke, first and last sample


def _spline(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the matrix B of a natural cubic spline, path = B @ points, and each point's sample."""
    count = len(points)
    h = np.linalg.norm(np.diff(points, axis=0), axis=1)
    # Second derivatives M at the points, M = 0 at both ends:
    # h₋M₋ + 2(h₋ + h)M + hM₊ = 6((P₊ - P) / h - (P - P₋) / h₋)
    left, right = np.eye(count), np.zeros((count, count))
    for k in range(1, count - 1):
        left[k, k - 1 : k + 2] = h[k - 1], 2 * (h[k - 1] + h[k]), h[k]
        right[k, k - 1 : k + 2] = 6 / h[k - 1], -6 / h[k - 1] - 6 / h[k], 6 / h[k]
    second = np.linalg.solve(left, right)
    pieces = np.maximum(np.ceil(h / _SPACING).astype(int), 2)
    rows = []
    for k, steps in enumerate(pieces):
        b = np.arange(steps)[:, None] / steps
        a = 1 - b
        # aP + bP₊ + ((a³ - a)M + (b³ - b)M₊) h² / 6
        row = ((a**3 - a) * second[k] + (b**3 - b) * second[k + 1]) * h[k] ** 2 / 6
        row[:, [k]] += a
        row[:, [k + 1]] += b
        rows.append(row)
    return np.concatenate([*rows, np.eye(count)[-1:]]), np.append(0, np.cumsum(pieces))


@functools.cache
def _skeleton(digit: int, style: int) -> _Skeleton:
    """Read the text of a skeleton."""
    _, strokes = _SKELETONS[digit][STYLES[digit][style]]
    names = list(dict.fromkeys(token.strip("/@") for token in strokes.replace("|", "").split()))
    points = np.array([[float(v) / 100 for v in name.split(",")] for name in names])
    blocks, owner, loop = [], [], None
    for number, stroke in enumerate(strokes.split("|")):
        tokens = stroke.split()
        ids = [names.index(token.strip("/@")) for token in tokens]
        sample = np.zeros(len(tokens), int)
        cuts = [0, *(k for k, token in enumerate(tokens) if "/" in token), len(tokens) - 1]
        for first, last in itertools.pairwise(cuts):
            run = ids[first : last + 1]
            matrix, places = _spline(points[run])
            block = np.zeros((len(matrix), len(points)))
            np.add.at(block, (slice(None), run), matrix)
            sample[first : last + 1] = sample[first] + places if first else len(owner) + places
            blocks.append(block[first > 0 :])  # a corner ends one run and begins the next
            owner += [number] * len(blocks[-1])
        marks = [k for k, token in enumerate(tokens) if "@" in token]
        if marks:
            loop = number, int(sample[marks[0] if len(marks) > 1 else 0]), int(sample[marks[-1]])
    return _Skeleton(points, np.concatenate(blocks), np.array(owner), loop)


@functools.cache
def _grain() -> np.ndarray:
    """Return the plane waves of the paper's grain at every pixel, (waves, pixels)."""
    phase = _WAVES @ np.indices((SIZE, SIZE)).reshape(2, -1)
    return np.concatenate([np.cos(phase), np.sin(phase)])


def _path(skeleton: _Skeleton, f: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
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
    skeleton = _skeleton(digit, style)
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
    for k, styles in _SKELETONS.items():
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
