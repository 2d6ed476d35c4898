"""Pictures of spaces: codes, vector fields, cubes, planes, the cuts of output units."""

from collections.abc import Mapping, Sequence
from itertools import combinations, product

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kerasae.plots.style import (
    BLACK,
    COLOURS,
    MARKERS,
    ORANGE,
    PINK,
    RED,
    SKY,
    YELLOW,
    figure,
    styled,
)

# Ten classes need ten colours: Tol's wine and olive and a grey; yellow is hard to see on white.
CLASS_COLOURS = (
    *(colour for colour in COLOURS if colour != YELLOW),
    "#882255",
    "#999933",
    "#999999",
)


@styled
def codes(
    points: np.ndarray,
    labels: np.ndarray,
    title: str = "",
    names: Sequence[str] | None = None,
) -> Figure:
    """Draw codes of two dimensions, each class with its colour and mark, named at its median.

    Args:
        points: Codes, `(n, 2)`.
        labels: Labels, `(n,)` integers.
        title: Title above the panel.
        names: Names of the classes; the integers themselves by default.

    Example:

    >>> labels = np.repeat(np.arange(10), 60)
    >>> centres = np.stack([np.cos(labels * 0.63), np.sin(labels * 0.63)], axis=1)
    >>> points = centres + np.random.default_rng(0).normal(0, 0.15, (600, 2))
    >>> picture = codes(points, labels, "Ten classes")
    """
    picture, axis = figure(width=6.2, height=5.6)
    for index, label in enumerate(np.unique(labels)):
        colour, marker = CLASS_COLOURS[index % len(CLASS_COLOURS)], MARKERS[index % len(MARKERS)]
        group = points[labels == label]
        axis.scatter(*group.T, s=11, color=colour, marker=marker, alpha=0.6, linewidths=0)
    for label in np.unique(labels):
        axis.text(
            *np.median(points[labels == label], axis=0),
            names[label] if names else str(label),
            weight="bold",
            size=13,
            ha="center",
            va="center",
            bbox={"boxstyle": "round,pad=0.2", "fc": "white", "ec": "none", "alpha": 0.75},
        )
    axis.set(xlabel="code, dimension 1", ylabel="code, dimension 2", title=title)
    return picture


@styled
def vector_field(
    points: np.ndarray,
    arrows: np.ndarray,
    data: np.ndarray | None = None,
    paths: np.ndarray | None = None,
    title: str = "",
    labels: tuple[str, str] = ("x₁", "x₂"),
    size: float = 5.6,
) -> Figure:
    """Draw arrows in the plane, such as an autoencoder's g(f(x)) − x, over the data.

    All arrows have one scale, on which the longest fills a cell of the grid; the shade shows the
    length too, so that short arrows are still seen.

    Args:
        points: Starts of the arrows, `(n, 2)`.
        arrows: Arrows, `(n, 2)`.
        data: Examples to draw underneath, `(m, 2)`, if any.
        paths: Walks through the field, `(walks, steps, 2)`, if any: from an open circle to a
            full one.
        title: Title above the panel.
        labels: Labels of the two axes.
        size: Side of the picture, in inches.

    Example:

    >>> angle = np.random.default_rng(0).uniform(0, 2 * np.pi, 300)
    >>> ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    >>> grid = np.stack(np.meshgrid(*[np.linspace(-1.6, 1.6, 15)] * 2), axis=-1).reshape(-1, 2)
    >>> home = grid / np.linalg.norm(grid, axis=1, keepdims=True).clip(1e-9)
    >>> picture = vector_field(grid, home - grid, ring, title="Back to the ring")
    """
    points, arrows = np.asarray(points, "float64"), np.asarray(arrows, "float64")
    picture, axis = figure(width=size, height=size)
    if data is not None:
        axis.scatter(*np.transpose(data), s=7, color=SKY, alpha=0.6, linewidths=0, zorder=1)
    lengths = np.linalg.norm(arrows, axis=1)
    extent = np.ptp(points, axis=0)
    cell = np.sqrt(extent.prod() / len(points))
    scale = lengths.max() / cell if lengths.max() > 0 else 1.0
    shades = matplotlib.colormaps["Greys"](0.35 + 0.6 * lengths / max(lengths.max(), 1e-12))
    axis.quiver(
        *points.T,
        *arrows.T,
        color=shades,
        angles="xy",
        scale_units="xy",
        scale=scale,
        width=0.0035,
        headwidth=4,
        zorder=2,
    )
    if paths is not None:
        for walk in np.asarray(paths):
            axis.plot(*walk.T, color=RED, linewidth=1.4, zorder=3)
            axis.scatter(*walk[:1].T, s=26, color="white", edgecolor=RED, zorder=4)
            axis.scatter(*walk[-1:].T, s=26, color=RED, zorder=4)
    axis.set(xlabel=labels[0], ylabel=labels[1], title=title, aspect="equal")
    return picture


@styled
def cubes(paths: Mapping[str, np.ndarray], title: str = "", size: float = 5.2) -> Figure:
    """Draw the paths of codes of three dimensions in [0, 1] through the unit cube, a cube a panel.

    Args:
        paths: Positions over time by title, `(steps, n, 3)`; the last step of a code has its
            number, from 1, and a dotted line to the corner that it rounds to.
        title: Title above all panels.
        size: Side of one panel, in inches.

    Example:

    >>> time = np.linspace(0, 1, 20)[:, None, None]
    >>> corners = np.array([[0.1, 0.1, 0.9], [0.9, 0.9, 0.9], [0.9, 0.1, 0.1], [0.2, 0.9, 0.2]])
    >>> picture = cubes({"from the middle to four corners": 0.5 + time**2 * (corners - 0.5)})
    """
    picture, axes = figure(
        len(paths), 1, size, size, title, squeeze=False, subplot_kw={"projection": "3d"}
    )
    corners = np.array(list(product((0, 1), repeat=3)))
    for axis, (name, path) in zip(axes[0], paths.items(), strict=True):
        for one, other in combinations(corners, 2):
            if np.abs(one - other).sum() == 1:
                axis.plot(*np.stack([one, other]).T, color="#bbbbbb", linewidth=1, zorder=0)
        for corner in corners:
            outside = corner + 0.13 * (corner - 0.5)
            axis.text(*outside, "".join(map(str, corner)), color="#888888", ha="center", size=10)
        for index, track in enumerate(np.moveaxis(np.asarray(path), 1, 0)):
            colour = COLOURS[index % len(COLOURS)]
            axis.plot(*track.T, color=colour, linewidth=1.8, alpha=0.85)
            axis.scatter(*track[-1:].T, s=210, color=colour, edgecolor="white", depthshade=False)
            nearest = np.stack([track[-1], np.round(track[-1])])
            axis.plot(*nearest.T, ":", color=BLACK, linewidth=1.4)
            _number(axis, track[-1], index, colour, zorder=50)
        axis.set_title(name, pad=16)
        axis.set(xlim=(0, 1), ylim=(0, 1), zlim=(0, 1))
        axis.set_box_aspect((1, 1, 1), zoom=1)
        axis.view_init(elev=17, azim=-62)
        axis.set_axis_off()
    return picture


@styled
def cuts(
    points: np.ndarray,
    normals: np.ndarray,
    offsets: np.ndarray,
    paths: np.ndarray | None = None,
    title: str = "",
) -> Figure:
    """Draw codes of two dimensions in [0, 1], and the line by which each output unit separates one.

    Output unit i is σ(h · vᵢ + cᵢ): it is ½ on the line h · vᵢ + cᵢ = 0, above ½ on one side.

    Args:
        points: Codes h, `(n, 2)`, numbered from 1.
        normals: Weights vᵢ as columns, `(2, n)`.
        offsets: Biases cᵢ, `(n,)`.
        paths: Former positions of the codes, `(steps, n, 2)`, if they are to be drawn.
        title: Title above the panel.

    Example:

    >>> corners = np.array([[0.1, 0.1], [0.9, 0.1], [0.1, 0.9], [0.9, 0.9]])
    >>> outwards = np.transpose(corners - 0.5)
    >>> offsets = -0.5 * outwards.sum(axis=0) - 0.1
    >>> picture = cuts(corners, outwards, offsets, title="Each corner cut off")
    """
    picture, axis = figure(width=5.6, height=5.6)
    for index, (point, normal, offset) in enumerate(
        zip(points, np.transpose(normals), np.ravel(offsets), strict=True)
    ):
        colour = COLOURS[index % len(COLOURS)]
        foot = point - normal * (point @ normal + offset) / (normal @ normal)
        along = np.array([-normal[1], normal[0]]) / np.linalg.norm(normal)
        axis.plot(*np.stack([foot - 2 * along, foot + 2 * along]).T, color=colour, linewidth=1.6)
        if paths is not None:
            axis.plot(*np.transpose(paths[:, index]), ":", color=colour, linewidth=1.4)
        axis.scatter(*point, s=230, color=colour, edgecolor="white", zorder=3)
        _number(axis, point, index, colour, zorder=4)
    axis.set(xlim=(-0.12, 1.12), ylim=(-0.12, 1.12), aspect="equal", title=title)
    axis.set(xlabel="code, dimension 1", ylabel="code, dimension 2")
    return picture


@styled
def planes(points: np.ndarray, bases: Mapping[str, np.ndarray], title: str = "") -> Figure:
    """Draw points in space with planes through their mean, and a view from above the first plane.

    Args:
        points: Points, `(n, 3)`.
        bases: Two vectors that span each plane, as columns, `(3, 2)`, by name. They are drawn as
            arrows in the view from above, whose axes are the first plane's; no other plane may be
            perpendicular to it.
        title: Title above the picture.

    Example:

    >>> points = np.random.default_rng(0).normal(size=(200, 3)) * [2, 1, 0.2]
    >>> floor = np.eye(3)[:, :2]
    >>> picture = planes(points, {"floor": floor, "ramp": floor + [[0, 0], [0, 0], [0, 0.5]]})
    """
    centred = points - points.mean(axis=0)
    axes, triangle = np.linalg.qr(next(iter(bases.values())))
    axes = axes * np.sign(np.diag(triangle))
    normal = np.cross(*axes.T)
    normal = normal if normal[2] > 0 else -normal
    flat = centred @ axes
    half = 1.15 * np.abs(flat).max(axis=0)
    corners = half * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1], [-1, -1]])
    picture, panels = figure(columns=2, width=5.6, height=4.6, title=title)
    panels[0].remove()
    space, above = picture.add_subplot(1, 2, 1, projection="3d", computed_zorder=False), panels[1]
    for index, (name, basis) in enumerate(bases.items()):
        colour = COLOURS[index % len(COLOURS)]
        # The first plane's rectangle, moved along its normal onto this plane.
        own = np.cross(*np.transpose(basis))
        corner = corners @ axes.T
        corner = corner - np.outer(corner @ own / (normal @ own), normal)
        grid = corner[[0, 1, 3, 2]].reshape(2, 2, 3).transpose(2, 0, 1)
        space.plot_surface(*grid, color=colour, alpha=0.2, zorder=1)
        space.plot(*corner.T, "-" if index == 0 else "--", color=colour, label=name, zorder=3)
        for vector in np.transpose(basis) @ axes:
            tip = half.min() * vector / np.linalg.norm(vector)
            arrow = {"arrowstyle": "-|>", "color": colour, "lw": 2.8, "mutation_scale": 18}
            above.annotate("", tip, (0, 0), arrowprops=arrow, zorder=4)
        above.plot([], [], color=colour, linewidth=2.8, label=f"axes: {name}")
    space.scatter(*centred.T, s=10, color=BLACK, alpha=0.6, linewidths=0, zorder=2)
    reach = 0.8 * np.abs(corners @ axes.T).max()
    space.set(xlim=(-reach, reach), ylim=(-reach, reach), zlim=(-reach, reach))
    space.set(xlabel="x₁", ylabel="x₂", zlabel="x₃")
    for axis in (space.xaxis, space.yaxis, space.zaxis):  # their labels would meet at a corner
        axis.set_ticklabels([])
        axis.labelpad = -10
    space.set_box_aspect((1, 1, 1), zoom=1.15)
    # Look at the plane at a slant, from a level side: both its flatness and its spread are seen.
    level = np.cross(normal, (0, 0, 1)) if abs(normal[2]) < 0.99 else np.array([1, 0, 0])
    eye = 0.4 * normal + 0.7 * level / np.linalg.norm(level) + np.array([0, 0, 0.3])
    eye = eye / np.linalg.norm(eye)
    space.view_init(np.degrees(np.arcsin(eye[2])), np.degrees(np.arctan2(eye[1], eye[0])))
    space.legend(loc="upper left", bbox_to_anchor=(0.74, 1.04))  # beside the cube
    above.scatter(*flat.T, s=12, color=BLACK, alpha=0.4, linewidths=0)
    above.set(xlim=(-half[0], half[0]), ylim=(-1.5 * half[1], 1.8 * half[1]), aspect="equal")
    above.set(xlabel=f"first axis of {next(iter(bases))}", ylabel="second axis")
    above.legend(loc="upper right")
    return picture


def _number(axis: Axes, point: np.ndarray, index: int, colour: str, zorder: int) -> None:
    """Write a pattern's number, from 1, on its dot: white on the dark colours."""
    dark = colour not in (ORANGE, SKY, YELLOW, PINK)
    style = {"weight": "bold", "ha": "center", "va": "center"}
    axis.text(*point, str(index + 1), color="white" if dark else BLACK, zorder=zorder, **style)
