"""The skeletons of the digits: how the pen moves in each way of writing one.

path = B P for the control points P, with B the matrix of natural cubic splines.
"""

from __future__ import annotations

import functools
import itertools
from typing import NamedTuple

import numpy as np

SPACING = 0.045  # of the samples along a path, in heights of the digit

# A skeleton is text: "x,y" in hundredths of the digit's height, y downwards; "|" lifts the pen; "/"
# makes a corner of the point before it; equal points are one point, so strokes stay joined for
# every wobble. From the first "@" of a stroke (from its start if there is one "@" only) to the last
# "@" runs the loop that `closure` measures; the rest is drawn by overshooting only. The number in
# front is the style's share among the images of its digit; style 0 is a plain one.
SKELETONS: dict[int, dict[str, tuple[float, str]]] = {
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

STYLES: dict[int, tuple[str, ...]] = {digit: tuple(s) for digit, s in SKELETONS.items()}
CLOSING: dict[int, tuple[int, ...]] = {
    digit: tuple(k for k, (_, text) in enumerate(s.values()) if "@" in text)
    for digit, s in SKELETONS.items()
}


class Skeleton(NamedTuple):
    """The control points of a digit, and the path of the pen through them."""

    points: np.ndarray  # (points, 2), in heights of the digit
    basis: np.ndarray  # (samples, points): the path is basis @ points
    stroke: np.ndarray  # (samples,): the stroke that a sample belongs to
    loop: tuple[int, int, int] | None  # its stroke, first and last sample


def spline(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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
    pieces = np.maximum(np.ceil(h / SPACING).astype(int), 2)
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
def read(digit: int, style: int) -> Skeleton:
    """Return the skeleton of a style of a digit."""
    _, strokes = SKELETONS[digit][STYLES[digit][style]]
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
            matrix, places = spline(points[run])
            block = np.zeros((len(matrix), len(points)))
            np.add.at(block, (slice(None), run), matrix)
            sample[first : last + 1] = sample[first] + places if first else len(owner) + places
            blocks.append(block[first > 0 :])  # a corner ends one run and begins the next
            owner += [number] * len(blocks[-1])
        marks = [k for k, token in enumerate(tokens) if "@" in token]
        if marks:
            loop = number, int(sample[marks[0] if len(marks) > 1 else 0]), int(sample[marks[-1]])
    return Skeleton(points, np.concatenate(blocks), np.array(owner), loop)
