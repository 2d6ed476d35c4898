"""Drawings of architectures: boxes for layers and values, arrows for what flows between them."""

import math
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, FancyArrowPatch, FancyBboxPatch, Patch

from kerasae.plots.style import BLUE, GREEN, RED, styled

GREY, DARK = "#888888", "#555555"
KINDS: dict[str, dict[str, Any]] = {
    "data": {"facecolor": "#eeeeee", "edgecolor": GREY},
    "trained": {"facecolor": "#cfe5f5", "edgecolor": BLUE},
    "fixed": {"facecolor": "#f3e3c3", "edgecolor": "#a87400", "hatch": "////"},
    "copy": {"facecolor": "white", "edgecolor": BLUE, "linestyle": (0, (4, 2))},
    "noise": {"facecolor": "#f9dccb", "edgecolor": RED},
    "sample": {"facecolor": "#d3efe5", "edgecolor": GREEN},
    "loss": {"facecolor": "none", "edgecolor": "none"},
}
MEANINGS = {
    "data": "values",
    "trained": "trained",
    "fixed": "fixed",
    "copy": "the same weights again",
    "noise": "noise",
    "sample": "sampled",
}
COLUMN, GAP = 1.5, 0.55  # distance of columns, space between rows
LETTER, LINE = 0.115, 0.22  # width of a letter, height of a line
INCH = 0.75  # of one unit of these distances
PAPER = {"boxstyle": "square,pad=0.05", "facecolor": "white", "edgecolor": "none"}


class Box(NamedTuple):
    """A layer or a value in a drawing.

    Args:
        name: Text in the box; `links` of a `Network` refer to it.
        size: Number of units, a shape `(height, width, channels)`, or any text. A number sets the
            height of the box, a shape its height and its width.
        kind: A key of `plots.architecture.KINDS`: "data" (values), "trained", "fixed", "copy" (the
            same weights again, dashed), "noise" (a circle), "sample", or "loss" (text, no box).

    Example:

    >>> Box("code", 32)
    Box(name='code', size=32, kind='trained')
    """

    name: str
    size: int | tuple[int, ...] | str = ""
    kind: str = "trained"


@dataclass(frozen=True)
class Network:
    """Boxes on a grid, and arrows between them.

    Args:
        rows: Rows from top to bottom. Neighbours in a row are joined by an arrow, a text between
            two boxes is the label of theirs. `None` leaves a place empty and joins nothing.
        links: More arrows `(from, to)`, `(from, to, label)` or `(from, to, label, "dashed")`,
            by the names of the boxes.
        title: Title above the network.

    Example:

    >>> row = [Box("x", 784, "data"), "W", Box("h", 32), "Wᵀ", Box("x̂", 784, "copy")]
    >>> tied = Network([row], title="tied")
    """

    rows: Sequence[Sequence[Box | str | None]]
    links: Sequence[tuple[str, ...]] = ()
    title: str = ""


def layers(model: Any, names: Sequence[str] = ()) -> list[Box]:
    """Return the boxes of a built Keras network, for a row of a `Network`.

    A layer has a box if it has weights, changes the shape, or is noise. A layer that is not
    trainable is "fixed".

    Args:
        model: A `Sequential` or functional model, or any layer; models inside it are opened.
        names: Names of the boxes, instead of the classes of the layers.

    Example:

    >>> import keras
    >>> net = keras.Sequential([keras.Input((784,)), keras.layers.Dense(32)])
    >>> layers(net)
    [Box(name='Dense', size=32, kind='trained')]
    """
    boxes = [box for layer in _flat(model) if (box := _box(layer)) is not None]
    if not names:
        return boxes
    if len(names) != len(boxes):
        raise ValueError(f"`names` has {len(names)} names for {len(boxes)} boxes: {boxes}")
    return [box._replace(name=name) for box, name in zip(boxes, names, strict=True)]


def _flat(layer: Any) -> list[Any]:
    inner = getattr(layer, "layers", None)
    return [layer] if not inner else [leaf for child in inner for leaf in _flat(child)]


def _box(layer: Any) -> Box | None:
    name = type(layer).__name__
    if name == "InputLayer":
        return None
    size = tuple(layer.output.shape[1:])
    is_noise = "Noise" in name or "Dropout" in name
    if not (layer.weights or is_noise or size != tuple(layer.input.shape[1:])):
        return None
    weighted = "trained" if layer.trainable else "fixed"
    kind = "noise" if is_noise else weighted if layer.weights else "data"
    return Box(name, size if len(size) > 1 else size[0], kind)


@styled
def architecture(
    *networks: Network, title: str = "", stacked: bool = False, scale: float = 1.0
) -> Figure:
    """Draw networks as boxes and arrows, with a legend of the kinds of boxes.

    A box is as high as the logarithm of its units says, on one scale for all networks; a feature
    map is as high as its height and as wide as the logarithm of its channels says.

    Args:
        networks: Networks, side by side.
        title: Title above all networks.
        stacked: Draw the networks one above the other.
        scale: Factor of the figure's size.

    Example:

    >>> x, prediction = Box("x", 784, "data"), Box("x̂", 784, "data")
    >>> hidden = [Box("h₁", 300, "fixed"), Box("h₂", 150), Box("h₃", 300, "fixed")]
    >>> noisy = [x, Box("ν", "", "noise"), *hidden, prediction]
    >>> picture = architecture(
    ...     Network([[x, Box("h₁", 300), prediction]], title="phase 1"),
    ...     Network([noisy], links=[("h₁", "h₃", "error")], title="phase 2"),
    ... )
    """
    if not networks:
        raise ValueError("`architecture` needs at least one `Network`")
    boxes = [box for network in networks for box, _, _ in _places(network)]
    for box in boxes:
        if box.kind not in KINDS:
            raise ValueError(f'"{box.kind}" of {box} is not one of {", ".join(KINDS)}')
    drawings = [_Drawing(network, boxes, scale) for network in networks]
    columns = [drawing.columns for drawing in drawings]
    head = 0.5 * any(network.title for network in networks)
    heights = [drawing.height + head for drawing in drawings]
    kinds = [kind for kind in MEANINGS if kind != "data" and any(kind == b.kind for b in boxes)]
    width = COLUMN * (max(columns) if stacked else sum(columns))
    height = (sum(heights) if stacked else max(heights)) * INCH * scale
    height += 0.4 * bool(title) + 0.35 * (len(kinds) > 1)
    picture = Figure(figsize=(width * INCH * scale + 0.2, height))
    shape = (len(networks), 1) if stacked else (1, len(networks))
    ratios = {"height_ratios": heights} if stacked else {"width_ratios": columns}
    axes = picture.subplots(*shape, squeeze=False, gridspec_kw=ratios).ravel()
    if title:
        picture.suptitle(title, x=0.01, ha="left")
    for axis, drawing in zip(axes, drawings, strict=True):
        drawing.draw(axis)
        right = max(columns) if stacked else drawing.columns
        low = drawing.height if stacked else max(heights) - head
        axis.set(xlim=(-COLUMN / 2, (right - 0.5) * COLUMN), ylim=(-low, 0), aspect="equal")
        axis.set_axis_off()
        axis.set_title(drawing.network.title)
    if len(kinds) > 1:
        handles = [Patch(**KINDS[kind], label=MEANINGS[kind]) for kind in kinds]
        picture.legend(handles=handles, loc="outside lower center", ncols=len(kinds))
    return picture


class _Drawing:
    """A network, and where its boxes are."""

    def __init__(self, network: Network, boxes: Sequence[Box], scale: float) -> None:
        self.network, self.scale = network, scale
        self.most = max((_units(box.size) for box in boxes), default=0.0) or 1.0
        self.tallest = max((box.size[0] for box in boxes if isinstance(box.size, tuple)), default=1)
        self.places, self.links = _places(network), network.links
        self.columns = 1 + max(column for _, column, _ in self.places)
        self.middles, self.height = [], 0.0
        for row in range(len(network.rows)):
            heights = [self.extent(box)[1] for box, _, place in self.places if place == row]
            half = (max(heights, default=0.0) + GAP) / 2
            above = max([half, *self.reaches(row)])
            self.middles.append(-self.height - above)
            self.height += above + half
        self.patches: dict[tuple[int, int], Patch] = {}

    def extent(self, box: Box) -> tuple[float, float]:
        """Return the width and the height of a box."""
        if box.kind == "noise":
            return 0.72, 0.72
        if isinstance(box.size, tuple) and len(box.size) == 3:
            return 0.35 + 0.1 * math.log2(1 + box.size[2]), 0.4 + 0.9 * box.size[0] / self.tallest
        if box.kind == "loss":  # as wide as its text
            return max(0.86, 0.1 + LETTER * max(map(len, box.name.split("\n")))), 0.42
        height = 0.42 + 0.8 * _units(box.size) / self.most
        lines = _wrapped(box.name, 0.86)
        return 0.86, max(height, 0.12 + 2 * LINE) if len(lines) == 2 else height

    def name(self, box: Box) -> tuple[str, bool]:
        """Return the lines of a box's name, and whether they fit into the box."""
        width, height = self.extent(box)
        lines = _wrapped(box.name, math.inf if box.kind == "loss" else width)
        if max(map(len, lines)) * LETTER < width + 0.1 and len(lines) * LINE < height + 0.1:
            return "\n".join(lines), True
        return "\n".join(_wrapped(box.name, math.inf)), box.kind == "loss"

    def top(self, box: Box) -> float:
        """Return how far a box and its name reach above the middle of the row."""
        name, fits = self.name(box)
        return self.extent(box)[1] / 2 + (0.0 if fits else 0.1 + LINE * (1 + name.count("\n")))

    def reaches(self, row: int) -> list[float]:
        """Return how far names above boxes, and arcs over boxes, reach above a row's middle."""
        names = [self.top(box) for box, _, place in self.places if place == row]
        links = [(self.place(start), self.place(end), more) for start, end, *more in self.links]
        arcs = [
            self.apex(start, end) + (0.1 + LINE if more and more[0] else 0.1)
            for start, end, more in links
            if start[1] == row
        ]
        return names + arcs

    def apex(self, start: tuple[int, int], end: tuple[int, int]) -> float:
        """Return how far an arrow along a row rises to pass over the boxes between its ends."""
        (left, right), row = sorted((start[0], end[0])), start[1]
        if row != end[1] or right - left < 2:
            return 0.0
        most = 0.225 * COLUMN * (right - left)
        for box, x, y in self.places:
            if y == row and left < x < right:  # at its outer edge the arc is lowest
                share = (min(x - left, right - x) - 0.3) / (right - left)
                most = max(most, (self.top(box) + 0.1) / (4 * share * (1 - share)))
        return most

    def draw(self, axis: Axes) -> None:
        for box, column, row in self.places:
            self.patches[column, row] = self.draw_box(axis, box, column * COLUMN, self.middles[row])
        for row, items in enumerate(self.network.rows):
            for start, end, label in _neighbours(items):
                self.draw_arrow(axis, (start, row), (end, row), label)
        for start, end, *more in self.links:
            label = more[0] if more else ""
            self.draw_arrow(axis, self.place(start), self.place(end), label, "dashed" in more[1:])

    def draw_box(self, axis: Axes, box: Box, x: float, y: float) -> Patch:
        width, height = self.extent(box)
        style = {**KINDS[box.kind], "linewidth": 1.4, "zorder": 2}
        if box.kind == "noise":
            patch: Patch = Ellipse((x, y), width, height, **style)
        else:
            corner = (x - width / 2, y - height / 2)
            patch = FancyBboxPatch(corner, width, height, "round,pad=0,rounding_size=.08", **style)
        patch.set(hatch_linewidth=0.4)
        axis.add_patch(patch)
        name, fits = self.name(box)
        place = {"y": y, "va": "center"} if fits else {"y": y + height / 2 + 0.05, "va": "bottom"}
        weight = "bold" if len(name) < 4 else "normal"
        axis.text(x, s=name, ha="center", size=10 * self.scale, weight=weight, zorder=4, **place)
        size = "×".join(map(str, box.size)) if isinstance(box.size, tuple) else str(box.size)
        below = {"x": x, "y": y - height / 2 - 0.06, "ha": "center", "va": "top"}
        axis.text(s=size, size=8.5 * self.scale, color=DARK, zorder=4, bbox=PAPER, **below)
        return patch

    def draw_arrow(
        self,
        axis: Axes,
        start: tuple[int, int],
        end: tuple[int, int],
        label: str,
        dashed: bool = False,
    ) -> None:
        patches = self.patches[start], self.patches[end]
        (x0, x1), (y0, y1) = (
            (COLUMN * start[0], COLUMN * end[0]),
            (
                self.middles[start[1]],
                self.middles[end[1]],
            ),
        )
        # The middle of the arc: a quadratic curve passes half of the way to its control point.
        bend = -2 * self.apex(start, end) / (x1 - x0) if x1 != x0 else 0.0
        arrow = FancyArrowPatch(
            (x0, y0), (x1, y1), patchA=patches[0], patchB=patches[1], shrinkA=1.5, shrinkB=1.5,
            connectionstyle=f"arc3,rad={bend}", arrowstyle="-|>", mutation_scale=10 * self.scale,
            color=DARK, linewidth=1.2, linestyle=(0, (3, 2)) if dashed else "-", zorder=1,
        )  # fmt: skip
        axis.add_patch(arrow)
        x, y = (x0 + x1) / 2, (y0 + y1) / 2 - bend / 2 * (x1 - x0)
        beside = {"x": x + 0.1, "y": y, "ha": "left", "va": "center"}
        above = {"x": x, "y": y + 0.07, "ha": "center", "va": "bottom"}
        place = beside if x0 == x1 else above
        axis.text(s=label, size=9 * self.scale, color=DARK, zorder=4, **place)

    def place(self, name: str) -> tuple[int, int]:
        """Return the column and the row of the one box of this name."""
        places = [(column, row) for box, column, row in self.places if box.name == name]
        if len(places) != 1:
            names = ", ".join(box.name for box, _, _ in self.places)
            raise ValueError(
                f'a link names "{name}", and {len(places)} boxes are called so: {names}'
            )
        return places[0]


def _places(network: Network) -> list[tuple[Box, int, int]]:
    """Return each box of a network with its column and its row."""
    return [
        (item, column, row)
        for row, items in enumerate(network.rows)
        for column, item in enumerate(item for item in items if not isinstance(item, str))
        if item is not None
    ]


def _wrapped(name: str, width: float) -> list[str]:
    """Return the lines of a name: at the words of a class, at commas, at spaces, as is needed."""
    words = re.sub(r"(?<=[a-zD])(?=[A-Z][a-z])", "\n", name).split("\n")
    if width == math.inf:
        return words
    letters, lines = int((width + 0.1) / LETTER), []
    for line in words:
        for part in re.split("(?<=,) ", line) if len(line) > letters else [line]:
            lines += textwrap.wrap(part, letters, break_long_words=False) or [""]
    return lines


def _units(size: Any) -> float:
    return math.log1p(size) if isinstance(size, int) else 0.0


def _neighbours(items: Sequence[Box | str | None]) -> list[tuple[int, int, str]]:
    """Return the columns of neighbours in a row, and the label between them."""
    pairs, column, joins, label = [], -1, False, ""
    for item in items:
        if isinstance(item, str):
            label = item
            continue
        column += 1
        if item is not None and joins:
            pairs.append((column - 1, column, label))
        joins, label = item is not None, ""
    return pairs
