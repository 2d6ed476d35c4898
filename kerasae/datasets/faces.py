"""Cartoon faces with known attributes, each drawn independently of the others.

A face is a stack of layers, painted from the back to the front. A layer is a signed distance d, a
colour and the share of each pixel that the layer covers:

    canvas ← canvas + α (colour − canvas),        α = clip(½ − d / pixel, 0, 1)

Soft light uses the same line with an α that falls off slowly. Coordinates run from −1 to 1, u to
the right and v down; the head is about 1.2 high.
"""

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

EXPRESSIONS = ("frown", "neutral", "smile")
HAIR_STYLES = ("short", "spiky", "curly", "bob", "long", "bun")
EXTRAS = ("none", "freckles", "earrings", "moustache", "beard")

# name -> (low, high, meaning), or (categories, meaning) for a factor that is an index.
FACTORS = {
    "smile": (-1.0, 1.0, "corners of the mouth, frown to smile"),
    "glasses": (("none", "glasses"), "whether glasses are worn"),
    "hair_style": (HAIR_STYLES, "how the hair is cut"),
    "hair_colour": (0.0, 1.0, "black over brown, chestnut and copper to blond"),
    "skin": (0.0, 1.0, "light to dark"),
    "gaze": (-1.0, 1.0, "where the eyes look, left to right of the picture"),
    "gaze_y": (-1.0, 1.0, "where the eyes look, up to down"),
    "mouth_open": (0.0, 1.0, "closed to open"),
    "eye_size": (-1.0, 1.0, "narrow to wide open eyes"),
    "brow": (-1.0, 1.0, "brows, low to raised"),
    "width": (-1.0, 1.0, "narrow to broad face"),
    "tilt": (-1.0, 1.0, "head leaning left to right of the picture, 9 degrees at the ends"),
    "extra": (EXTRAS, "one more thing about the face"),
    "shirt": (0.0, 1.0, "colour of the shirt, along a palette"),
    "background": (0.0, 1.0, "colour of the wall, along a palette"),
}

DEFAULTS = {
    "smile": 0.0,
    "glasses": 0,
    "hair_style": 0,
    "hair_colour": 0.4,
    "skin": 0.3,
    "gaze": 0.0,
    "gaze_y": 0.0,
    "mouth_open": 0.0,
    "eye_size": 0.0,
    "brow": 0.0,
    "width": 0.0,
    "tilt": 0.0,
    "extra": 0,
    "shirt": 0.5,
    "background": 0.5,
}

SKIN = ("fbdcc4", "f3c39c", "dda274", "b97a4f", "8a5636", "623a26")
SKIN_SHADOW = ("e9a98c", "dc9670", "bb7850", "935633", "683c25", "452718")
HAIR = ("26212b", "4a3128", "7c4526", "b8612b", "dd9a45", "f2d27c")
HAIR_SHADOW = ("15121b", "311f1d", "572d1c", "8c421f", "b3722f", "cfa351")
HAIR_SHINE = ("4b4658", "75503f", "ac6a3e", "e18f4f", "f6c475", "fdebb0")
SHIRTS = ("27526b", "2f7f86", "5fae8d", "f0c05a", "ee8a5c", "d9566b", "7c4a86")
WALLS = ("a9d4e6", "b7e0d2", "e3ecc0", "fbe7b8", "fbd0b5", "f5bcc4", "cfc0ea")
LIPS = ("cf5a5c", "c65352", "b94a4a", "ad4647", "a34547", "9a4446")
INK, WHITE, IRIS, PUPIL = "2a1f2b", "fffdf8", "5d3a2c", "20161b"
FRAME, LENS, GOLD = "2b2f4a", "d8f0ff", "ffcf4d"
MOUTH, TONGUE, BLUSH = "5b1a29", "e8747c", "f0606a"

EYE_U, EYE_V = 0.215, 0.03  # how far the eyes stand from the middle of the face, and how low
MOUTH_V, MOUTH_WIDTH = 0.36, 0.2
HEAD_V, HEAD_WIDTH, HEAD_HEIGHT = 0.06, 0.5, 0.6


def sample_factors(
    n: int, seed: int = 0, vary: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """Draw the factors of n faces, independent and uniform.

    Face i of a seed is the same for every n, and a factor's values do not depend on which other
    factors vary.

    Args:
        n: Number of faces.
        seed: A non-negative integer.
        vary: Names of the factors that vary; the others keep their value in `DEFAULTS`. If None,
            all vary.

    Returns:
        One array of shape (n,) for each name in `FACTORS`.

    Example:
        >>> factors = sample_factors(100, vary=("smile", "glasses"))
        >>> factors["smile"].shape, set(factors["hair_style"].tolist())
        ((100,), {0})
    """
    return draw_factors(FACTORS, DEFAULTS, n, seed, vary)


def render(factors: Mapping[str, object], size: int = 64) -> np.ndarray:
    """Draw the faces of any points of the factor space.

    Args:
        factors: Values by name, numbers or arrays of shape (n,); single numbers hold for all faces
            and missing names take their value in `DEFAULTS`.
        size: Width and height in pixels, at least 16. Below 64 a face is drawn at twice the size
            and each 2×2 block averaged, so that thin lines fade and do not break.

    Returns:
        Images, uint8 of shape (n, size, size, 3).

    Example:
        >>> render({"smile": np.linspace(-1, 1, 5), "glasses": 1}).shape
        (5, 64, 64, 3)
    """
    size = check_size(size, smallest=16)
    drawn = size if size >= 64 else 2 * size
    complete = complete_factors(FACTORS, DEFAULTS, factors)
    images = np.empty((len(complete["smile"]), size, size, 3), np.uint8)
    # Faces with the same layers are drawn together.
    layers = np.stack([complete["hair_style"], complete["extra"], complete["glasses"]])
    for kinds in np.unique(layers, axis=1).T:
        same = np.flatnonzero(np.all(layers == kinds[:, None], axis=0))
        for chunk in chunks(same, drawn):
            canvas = _draw(
                {name: column(values[chunk]) for name, values in complete.items()},
                HAIR_STYLES[kinds[0]],
                EXTRAS[kinds[1]],
                bool(kinds[2]),
                drawn,
            )
            if drawn != size:
                canvas = canvas.reshape(3, len(chunk), size, 2, size, 2).mean(axis=(3, 5))
            images[chunk] = to_bytes(canvas)
    return images


def generate(
    n: int, seed: int = 0, size: int = 64
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Draw n random faces; the label is the expression, an index into `EXPRESSIONS`.

    The three expressions are thirds of the range of `smile`, cut at −1/3 and 1/3.

    Args:
        n: Number of faces.
        seed: A non-negative integer.
        size: Width and height in pixels, at least 16.

    Returns:
        Images uint8 (n, size, size, 3), labels int64 (n,), and the true factors by name.

    Example:
        >>> images, labels, factors = generate(10)
        >>> images.shape, labels.shape, factors["glasses"].shape
        ((10, 64, 64, 3), (10,), (10,))
    """
    factors = sample_factors(n, seed)
    labels = np.digitize(factors["smile"], (-1 / 3, 1 / 3)).astype(np.int64)
    return render(factors, size), labels, factors


def _draw(f: dict[str, np.ndarray], style: str, extra: str, glasses: bool, size: int) -> np.ndarray:
    """Paint faces that share their layers, back to front, as (3, n, size, size)."""
    across, down = pixel_centres(size, -0.9, 0.9)
    down = down - 0.04
    canvas = np.empty((3, len(f["smile"]), size, size), np.float32)

    # The head turns about the neck; its own frame also makes room for broad and narrow faces.
    u, v = rotate(across, down - 0.7, -0.157 * f["tilt"])
    u, v = u / (1 + 0.1 * f["width"]), v + 0.7

    skin = tuple(palette(tones, f["skin"]) for tones in (SKIN, SKIN_SHADOW))
    hair = tuple(palette(tones, f["hair_colour"]) for tones in (HAIR, HAIR_SHADOW, HAIR_SHINE))
    head = _head(u, v)

    def layer(distance: np.ndarray, colour: np.ndarray, strength: float | np.ndarray = 1.0) -> None:
        paint(canvas, strength * coverage(distance, 1.8 / size), colour)

    _wall(canvas, across, down, f)
    _hair_behind(layer, style, u, v, hair)
    _body(layer, across, down, f, skin)
    _skin(layer, canvas, u, v, head, f, skin)
    if extra == "freckles":
        _freckles(layer, u, v, skin)
    if extra == "beard":
        _beard(layer, u, v, head, hair)
    _mouth(layer, u, v, f)
    if extra in ("moustache", "beard"):
        _moustache(layer, u, v, hair)
    _eyes(layer, u, v, f, skin)
    _hair(layer, canvas, style, u, v, head, skin, hair)
    _brows(layer, u, v, f, hair)
    if glasses:
        _glasses(layer, u, v)
    if extra == "earrings":
        _earrings(layer, u, v)
    return canvas


def _wall(canvas, across, down, f):
    """Paint a coloured wall with a soft light behind the head."""
    light = np.exp(-(across**2 + (down + 0.1) ** 2) / 0.8)
    canvas[:] = palette(WALLS, f["background"]) * (0.86 + 0.2 * light)


def _body(layer, across, down, f, skin):
    """Paint shoulders in a shirt, and the neck in the shadow of the chin."""
    shirt = palette(SHIRTS, f["shirt"])
    layer(_ellipse(across, down - 1.08, 0.8, 0.44), shirt * (1.05 - 0.25 * np.abs(across)))
    layer(_ellipse(across, down - 0.74, 0.27, 0.2), shirt * 0.78)
    neck = np.maximum(np.abs(across) - 0.19, np.abs(down - 0.65) - 0.12)
    layer(_union(neck, _ellipse(across, down - 0.74, 0.22, 0.15), 0.03), skin[1])


def _head(u, v):
    """Return the distance to the head, an egg: an ellipse, narrower below and wider above."""
    return _ellipse(u * (1 + 0.16 * (v - HEAD_V)), v - HEAD_V, HEAD_WIDTH, HEAD_HEIGHT)


def _skin(layer, canvas, u, v, head, f, skin):
    """Paint ears and head, lit from the upper left, with cheeks and a nose."""
    base, shadow = skin
    layer(_ellipse(np.abs(u) - 0.5, v - 0.12, 0.1, 0.14), base)
    layer(_ellipse(np.abs(u) - 0.51, v - 0.12, 0.05, 0.08), shadow)
    layer(head, base)
    inside = coverage(head, 0.04)
    rim = np.clip(1 + head / 0.3, 0, 1)  # 0 in the middle, 1 at the edge
    away = np.clip(0.55 + 0.6 * u + 0.35 * v, 0, 1)  # 0 on the side of the light
    paint(canvas, inside * (0.75 * rim**2 * away), shadow)
    cheeks = np.exp(-((np.abs(u) - 0.3) ** 2 + (v - 0.24) ** 2) / 0.012)
    paint(canvas, inside * cheeks * (0.36 - 0.14 * f["skin"]), _colour(BLUSH))
    nose = np.exp(-((u - 0.015) ** 2) / 0.004 - (v - 0.2) ** 2 / 0.0022)
    paint(canvas, 0.75 * nose, shadow)
    shine = np.exp(-((u + 0.015) ** 2) / 0.0012 - (v - 0.155) ** 2 / 0.004)
    paint(canvas, 0.35 * shine, _colour(WHITE))


def _freckles(layer, u, v, skin):
    """Paint a few dots on both cheeks."""
    for across, down in ((0.17, 0.2), (0.26, 0.175), (0.35, 0.195), (0.22, 0.265), (0.31, 0.26)):
        layer(np.hypot(np.abs(u) - across, v - down) - 0.021, 0.82 * skin[1], 0.9)


def _beard(layer, u, v, head, hair):
    """Paint a beard along the jaw, under the cheeks."""
    free = _ellipse(u, v - 0.12, 0.43, 0.24)
    beard = _overlap(head - 0.04, _overlap(0.1 - v, -free, 0.03), 0.03)
    layer(beard, hair[1])
    layer(beard + 0.035, hair[0], 0.75)


def _mouth(layer, u, v, f):
    """Paint a mouth between two lips that bend with the smile and part with the opening."""
    width = MOUTH_WIDTH * (1 + 0.12 * f["smile"])
    t = np.clip(u / width, -1, 1)
    # middle(t) = centre + bend·(½ − t²): at a full smile the corners stand 0.16 above the centre.
    bend, arch = 0.16 * f["smile"], 1 - t**2
    half = 0.1 * f["mouth_open"] * arch
    middle = MOUTH_V + bend * (arch - 0.5) + 0.5 * half
    # From the vertical distance to the distance at right angles to the curve, then round ends.
    lips = (np.abs(v - middle) - half) / np.hypot(1, 2 * bend * t / width)
    beyond = np.maximum(np.abs(u) - width, 0)
    lips = np.where(beyond > 0, np.hypot(beyond, np.maximum(lips, 0)), lips)
    layer(lips - 0.026, palette(LIPS, f["skin"]))
    inside = lips + 0.006
    layer(inside, _colour(MOUTH))
    layer(np.maximum(inside, middle + 0.35 * half - v), _colour(TONGUE))
    layer(np.maximum(inside, v - middle + 0.45 * half), _colour(WHITE))


def _moustache(layer, u, v, hair):
    """Paint a moustache between the nose and the mouth."""
    t = np.clip(np.abs(u) / 0.2, 0, 1)
    line = 0.268 + 0.03 * t**2
    distance = np.hypot(np.maximum(np.abs(u) - 0.2, 0), v - line) - 0.046 * (1 - 0.75 * t)
    layer(distance, hair[1])
    layer(distance + 0.03, hair[0])


def _eyes(layer, u, v, f, skin):
    """Paint two eyes under dark lids, with pupils in the direction of the gaze."""
    wide, high = 0.128 + 0.008 * f["eye_size"], 0.116 + 0.042 * f["eye_size"]
    side = np.where(u < 0, np.float32(-1), np.float32(1))
    eu, ev = u - side * EYE_U, v - EYE_V
    white = _ellipse(eu, ev, wide, high)
    layer(white - 0.02, skin[1])
    layer(np.maximum(white - 0.032, ev + 0.2 * high), _colour(INK))
    layer(white, _colour(WHITE))
    pu, pv = eu - 0.055 * f["gaze"], ev - 0.045 * f["gaze_y"]
    pupil = np.hypot(pu, pv)
    layer(np.maximum(pupil - 0.088, white), _colour(IRIS))
    layer(np.maximum(pupil - 0.055, white), _colour(PUPIL))
    layer(np.hypot(pu + 0.03, pv + 0.034) - 0.027, _colour(WHITE))


def _brows(layer, u, v, f, hair):
    """Paint two arched brows."""
    t = (np.abs(u) - EYE_U) / 0.13  # −1 at the nose, 1 at the temple
    beyond = 0.13 * np.maximum(np.abs(t) - 1, 0)
    t = np.clip(t, -1, 1)
    line = EYE_V - 0.17 - 0.06 * f["brow"] + 0.035 * t**2 + 0.008 * t
    layer(np.hypot(beyond, v - line) - (0.025 - 0.008 * t), hair[1])


def _glasses(layer, u, v):
    """Paint round glasses: tinted lenses, two frames, a bridge and temples."""
    lens = np.hypot(np.abs(u) - EYE_U, v - EYE_V - 0.01) - 0.185
    layer(lens, _colour(LENS), 0.16)
    bridge = np.maximum(np.abs(u) - 0.03, np.abs(v - EYE_V + 0.02) - 0.02)
    temple = np.maximum(np.abs(np.abs(u) - 0.44) - 0.05, np.abs(v - EYE_V + 0.01) - 0.02)
    frame = np.minimum(np.abs(lens) - 0.022, np.minimum(bridge, temple))
    layer(frame, _colour(FRAME))


def _earrings(layer, u, v):
    """Paint golden earrings below the ears."""
    layer(np.hypot(np.abs(u) - 0.54, v - 0.32) - 0.06, _colour(GOLD))
    layer(np.hypot(np.abs(u) - 0.53, v - 0.3) - 0.02, _colour(WHITE))


def _hair_behind(layer, style, u, v, hair):
    """Paint the hair behind head and neck, for the styles that have some."""
    if style in ("bob", "long", "curly"):
        layer(_outline(style, u, v), hair[1])


def _hair(layer, canvas, style, u, v, head, skin, hair):
    """Paint the hair over the forehead: its shadow on the face, the hair, its shade and shine."""
    front = _overlap(_outline(style, u, v), -_window(style, u, v), 0.04)
    drop = np.clip(0.5 - (front - 0.05) / 0.12, 0, 1) * coverage(head, 0.04)
    paint(canvas, 0.5 * drop, skin[1])
    layer(front, hair[0])
    inside = coverage(front + 0.02, 0.05)
    away = np.clip(0.35 + 0.6 * u + 0.3 * v, 0, 1)
    paint(canvas, 0.8 * inside * away, hair[1])
    arc = np.hypot(u + 0.08, v - 0.15) - 0.64
    shine = np.exp(-(arc**2) / 0.0022 - (u + 0.2) ** 2 / 0.05) * (v < 0)
    paint(canvas, 0.8 * inside * shine, hair[2])


def _outline(style, u, v):
    """Return the distance to the outline of the whole hair of a style."""
    cap = _ellipse(u, v - HEAD_V + 0.02, 0.555, 0.68)
    if style == "short":
        return _overlap(cap, v - 0.02, 0.03)
    if style == "spiky":
        angle = np.arctan2(u, 0.1 - v)
        spikes = 0.17 * (1 - np.abs(2 * ((2.5 * angle + 0.5) % 1) - 1))
        return _overlap(cap - spikes * np.clip(1.8 - np.abs(angle), 0, 1), v - 0.02, 0.03)
    if style == "curly":
        angle, radius = np.arctan2(u, -(v + 0.1)), np.hypot(u, v + 0.1)
        return radius - 0.67 - 0.035 * np.cos(11 * angle)
    if style == "bob":
        sides = _overlap(np.abs(u) - 0.58 - 0.08 * v, np.abs(v - 0.15) - 0.37, 0.12)
        return _union(cap - 0.03, sides, 0.1)
    if style == "long":
        waves = 0.02 * np.sin(12 * v)
        sides = _overlap(np.abs(u) - 0.57 - 0.06 * v - waves, np.abs(v - 0.4) - 0.52, 0.12)
        return _union(cap - 0.02, sides, 0.1)
    return _union(_overlap(cap, v - 0.02, 0.03), np.hypot(u, v + 0.7) - 0.19, 0.03)


def _window(style, u, v):
    """Return the distance to the opening in the hair that shows the face."""
    face = _ellipse(u, v - HEAD_V, 0.46, 0.56)
    if style == "short":  # swept to one side
        return _overlap(-0.29 + 0.09 * np.sin(3.6 * u - 0.5) - v, face, 0.15)
    if style == "spiky":  # a jagged fringe
        zigzag = 0.07 * np.abs(2 * ((4.5 * u) % 1) - 1)
        return _overlap(-0.3 - zigzag - v, face, 0.05)
    if style == "curly":
        return _overlap(-0.28 + 0.03 * np.cos(16 * u) - v, face, 0.1)
    if style == "bob":  # a straight fringe
        return _overlap(-0.18 - 0.1 * u**2 - v, np.abs(u) - 0.41, 0.08)
    if style == "long":  # parted in the middle
        curtain = 0.42 * np.sqrt(np.clip((v + 0.5) / 0.5, 0, 1))
        return np.maximum(np.abs(u + 0.04) - curtain, -0.5 - v)
    return _ellipse(u, v - 0.2, 0.46, 0.6)  # combed back into the bun


def _ellipse(u, v, wide, high):
    """Return about the signed distance to an ellipse: f / |∇f| for f = |(u/a, v/b)| − 1."""
    a, b = u / wide, v / high
    radius = np.hypot(a, b)
    return (radius - 1) * radius / np.maximum(np.hypot(a / wide, b / high), 1e-6)


def _union(first, second, blend):
    """Unite two shapes smoothly: their minimum, rounded where they are closer than blend."""
    near = np.maximum(blend - np.abs(first - second), 0)
    return np.minimum(first, second) - near**2 / (4 * blend)


def _overlap(first, second, blend):
    """Intersect two shapes smoothly."""
    return -_union(-first, -second, blend)


def _colour(code):
    """Return one fixed colour, to be painted on any canvas."""
    return palette((code, code), np.zeros((1, 1, 1)))
