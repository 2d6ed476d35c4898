"""What people look at: every picture of the course, one function each, in one style.

Each function returns a `matplotlib.figure.Figure`. As the last line of a notebook's cell it is
shown; `figure.savefig(path)` writes it. Colours are Okabe and Ito's, which colour-blind readers
tell apart and which differ in brightness when printed in grey.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PINK, YELLOW, BLACK = "#56B4E9", "#CC79A7", "#F0E442", "#222222"
COLOURS = (BLUE, ORANGE, GREEN, RED, SKY, PINK, BLACK, YELLOW)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "axes.labelcolor": BLACK,
    "axes.labelsize": 11,
    "axes.prop_cycle": matplotlib.cycler(color=COLOURS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "figure.dpi": 110,
    "figure.facecolor": "white",
    "figure.titlesize": 14,
    "figure.titleweight": "bold",
    "font.size": 10.5,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.8,
    "image.cmap": "gray",
    "image.interpolation": "nearest",
    "legend.frameon": False,
    "lines.linewidth": 2.0,
    "lines.markersize": 6,
    "savefig.dpi": 110,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
}


styled = matplotlib.rc_context(STYLE)  # as a decorator: whoever calls need not set the style


def use_style() -> None:
    """Makes the course's style the default of every later figure."""
    matplotlib.rcParams.update(STYLE)


@styled
def figure(
    columns: int = 1,
    rows: int = 1,
    width: float = 5.0,
    height: float = 3.6,
    title: str = "",
    **subplots: Any,
) -> tuple[Figure, Any]:
    """An empty figure in the course's style.

    Args:
        columns: Panels side by side.
        rows: Panels one above the other.
        width: Of one panel, in inches.
        height: Of one panel, in inches.
        title: Above all panels.
        subplots: Passed to `Figure.subplots`, for instance `sharey=True` or
            `subplot_kw={"projection": "3d"}`.

    Returns:
        The figure and its axes: one `Axes`, or an array of them.

    Example:

    >>> picture, axes = figure(columns=2, title="Two panels")
    >>> axes.shape
    (2,)
    """
    picture = Figure(figsize=(columns * width, rows * height))
    axes = picture.subplots(rows, columns, **subplots)
    if title:
        picture.suptitle(title, x=0.01, ha="left")
    return picture, axes


@styled
def image_rows(
    rows: Mapping[str, np.ndarray],
    title: str = "",
    size: float = 0.85,
    column_titles: Sequence[str] = (),
    signed: Sequence[str] = (),
) -> Figure:
    """Rows of images under each other, each with its label: originals, reconstructions.

    Args:
        rows: Label to images, `(n, height, width)` or `(n, height, width, channels)`, n the same
            in each row, values in [0, 1].
        title: Above the rows.
        size: Side of one image, in inches.
        column_titles: One above each column, if any.
        signed: Labels of the rows that hold differences: blue below 0, red above.

    Example:

    >>> x = np.random.default_rng(0).random((6, 28, 28, 1))
    >>> picture = image_rows({"input": x, "reconstruction": x**2}, "Before and after")
    """
    count = len(next(iter(rows.values())))
    widest = max(len(line) for label in rows for line in label.split("\n"))
    margin = 0.085 * widest + 0.3
    picture, axes = figure(
        count, len(rows), (count * size + margin) / count, size * 1.04, title, squeeze=False
    )
    picture.set_figheight(len(rows) * size * 1.04 + 0.4 * bool(title) + 0.25 * bool(column_titles))
    picture.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0.02, hspace=0.03)
    for line, (label, images) in zip(axes, rows.items(), strict=True):
        for axis, image in zip(line, images, strict=True):
            show_image(axis, image, signed=label in signed)
        line[0].set_ylabel(label, rotation=0, ha="right", va="center")
    for axis, text in zip(axes[0], column_titles, strict=False):
        axis.set_title(text, loc="center", weight="normal", size=10)
    return picture


@styled
def show_image(axis: Axes, image: np.ndarray, signed: bool = False) -> None:
    """Draws one image, without ticks: grey or colour in [0, 1], or signed around 0."""
    image = np.squeeze(np.asarray(image, dtype="float32"))
    if signed:
        limit = max(float(np.abs(image).max()), 1e-6)
        axis.imshow(image, cmap="RdBu_r", vmin=-limit, vmax=limit)
    else:
        axis.imshow(np.clip(image, 0, 1), vmin=0, vmax=1)
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
    axis.spines[:].set(visible=True, color="#bbbbbb", linewidth=0.6)


@styled
def image_sheet(
    images: np.ndarray, columns: int = 16, title: str = "", size: float = 0.5, gap: int = 2
) -> Figure:
    """A contact sheet: many images without labels, in reading order.

    Args:
        images: `(n, height, width)` or `(n, height, width, channels)`, values in [0, 1].
        columns: Images in a row.
        title: Above the sheet.
        size: Side of one image, in inches.
        gap: Pixels between images.

    Example:

    >>> sheet = image_sheet(np.zeros((32, 8, 8, 3)), columns=8)
    """
    mosaic = tile(images, columns, gap)
    picture, axis = figure(
        width=columns * size,
        height=columns * size * mosaic.shape[0] / mosaic.shape[1] + 0.4 * bool(title),
        title=title,
    )
    show_image(axis, mosaic)
    axis.spines[:].set_visible(False)
    return picture


def tile(images: np.ndarray, columns: int, gap: int = 0) -> np.ndarray:
    """One large image made of many, in reading order on white.

    Example:

    >>> tile(np.zeros((10, 8, 8, 1)), columns=5).shape
    (16, 40, 1)
    """
    images = np.asarray(images, dtype="float32")
    if images.ndim == 3:
        images = images[..., None]
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    sheet = np.ones((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), "f4")
    for index, image in enumerate(images):
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


@styled
def curves(
    lines: Mapping[str, Any],
    x_label: str,
    y_label: str,
    title: str = "",
    x: Sequence[float] | None = None,
    log: str = "",
    markers: bool = False,
    width: float = 6.4,
) -> Figure:
    """Named lines over one axis: losses over epochs, errors over code sizes.

    Args:
        lines: Name to y values, or to a pair (x values, y values).
        x_label: What is varied.
        y_label: What is measured, with its unit.
        title: Above the panel.
        x: The x values of all lines that do not bring their own; counts from 1 by default.
        log: Logarithmic axes: `""`, `"x"`, `"y"` or `"xy"`.
        markers: Whether the points were measured one by one and should be seen.
        width: Of the figure, in inches.

    Example:

    >>> picture = curves({"training": [3, 2, 1], "test": [3, 2.5, 2]}, "epoch", "loss")
    """
    picture, axis = figure(width=width, height=3.8)
    draw_curves(axis, lines, x=x, markers=markers)
    axis.set(xlabel=x_label, ylabel=y_label, title=title)
    if "x" in log:
        axis.set_xscale("log")
    if "y" in log:
        axis.set_yscale("log")
    if len(lines) > 1:
        axis.legend()
    return picture


@styled
def draw_curves(
    axis: Axes, lines: Mapping[str, Any], x: Sequence[float] | None = None, markers: bool = False
) -> None:
    """Draws the lines of `curves` into a panel of a larger figure."""
    for index, (name, values) in enumerate(lines.items()):
        own = isinstance(values, tuple) and np.ndim(values[0]) == 1
        xs, ys = values if own else (x if x is not None else range(1, len(values) + 1), values)
        axis.plot(
            xs,
            ys,
            label=name,
            color=COLOURS[index % len(COLOURS)],
            marker=MARKERS[index % len(MARKERS)] if markers else None,
        )


@styled
def history(log: Any, names: Sequence[str] = ("loss",), title: str = "Training") -> Figure:
    """Training curves of a `History`: solid on training data, dashed on validation data.

    Args:
        log: What `fit` returned, or its `history`.
        names: The metrics to draw.
        title: Above the panel.

    Example:

    >>> picture = history({"loss": [0.2, 0.1], "val_loss": [0.3, 0.2]})
    """
    log = getattr(log, "history", log)
    picture, axis = figure(width=6.0, height=3.4)
    for name, colour in zip(names, itertools.cycle(COLOURS), strict=False):
        epochs = np.arange(1, len(log[name]) + 1)
        axis.plot(epochs, log[name], color=colour, label=f"{name}, training")
        if f"val_{name}" in log:
            axis.plot(epochs, log[f"val_{name}"], "--", color=colour, label=f"{name}, validation")
    axis.set(xlabel="epoch", ylabel=" and ".join(names), title=title)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.legend()
    return picture


@styled
def codes(
    points: np.ndarray,
    labels: np.ndarray,
    title: str = "",
    names: Sequence[str] | None = None,
) -> Figure:
    """Codes of two numbers as a scatter, coloured by class, each class named at its median.

    Args:
        points: `(n, 2)`.
        labels: `(n,)` integers.
        title: Above the panel.
        names: The classes' names; the integers themselves by default.

    Example:

    >>> picture = codes(np.zeros((4, 2)), np.array([0, 0, 1, 1]))
    """
    picture, axis = figure(width=6.2, height=5.6)
    palette = matplotlib.colormaps["tab10"]
    for label in np.unique(labels):
        group = points[labels == label]
        axis.scatter(*group.T, s=7, color=palette(int(label) % 10), alpha=0.55, linewidths=0)
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
    axis.set(xlabel="code, first number", ylabel="code, second number", title=title)
    return picture


@styled
def image_blocks(
    blocks: Mapping[str, Mapping[str, np.ndarray]], title: str = "", size: float = 0.85
) -> Figure:
    """Several `image_rows` side by side under the same row labels: known data, foreign data.

    Args:
        blocks: Title of a block to its rows; the rows have the same labels in every block, and
            the images of a block are the same number in each row.
        title: Above all blocks.
        size: Side of one image, in inches.

    Example:

    >>> x = np.random.default_rng(0).random((5, 28, 28, 1))
    >>> rows = {"input": x, "reconstruction": x**2}
    >>> picture = image_blocks({"seen": rows, "new": {k: v[:3] for k, v in rows.items()}})
    """
    labels = list(next(iter(blocks.values())))
    counts = [len(rows[labels[0]]) for rows in blocks.values()]
    gap = 0.25  # between blocks, in images
    widths = [w for count in counts for w in (*[1.0] * count, gap)][:-1]
    margin = 0.085 * max(len(line) for label in labels for line in label.split("\n")) + 0.3
    total = sum(widths) * size + margin
    picture, axes = figure(
        len(widths),
        len(labels),
        total / len(widths),
        size * 1.04,
        title,
        squeeze=False,
        gridspec_kw={"width_ratios": widths},
    )
    picture.set_figheight(len(labels) * size * 1.04 + 0.3 + 0.4 * bool(title))
    picture.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0.02, hspace=0.03)
    left = 0
    for count, (name, rows) in zip(counts, blocks.items(), strict=True):
        for line, label in zip(axes, labels, strict=True):
            for axis, image in zip(line[left : left + count], rows[label], strict=True):
                show_image(axis, image)
            if left == 0:
                line[0].set_ylabel(label, rotation=0, ha="right", va="center")
            if left + count < len(widths):
                line[left + count].set_axis_off()
        axes[0][left].set_title(name, size=11)
        left += count + 1
    return picture


@styled
def number_grids(
    grids: Mapping[str, np.ndarray],
    row_names: Sequence[str],
    column_names: Sequence[str] = (),
    title: str = "",
    width: float = 2.6,
) -> Figure:
    """Small tables of numbers in [0, 1] side by side, each number on its own shade of grey.

    Args:
        grids: Title to numbers, `(rows, columns)`, the same rows in each.
        row_names: One for each row.
        column_names: One for each column, if any.
        title: Above all tables.
        width: Of one table, in inches.

    Example:

    >>> picture = number_grids({"codes": np.eye(3)}, ["a", "b", "c"])
    """
    picture, axes = figure(
        len(grids), 1, width, 0.34 * len(row_names) + 0.9, title, squeeze=False, sharey=True
    )
    for axis, (name, numbers) in zip(axes[0], grids.items(), strict=True):
        numbers = np.asarray(numbers, dtype="float64")
        digits = 0 if np.array_equal(numbers, numbers.round()) else 2
        axis.imshow(numbers, cmap="Greys", vmin=0, vmax=1.25, aspect="auto")
        for (row, column), number in np.ndenumerate(numbers):
            colour = "white" if number > 0.6 else BLACK
            axis.text(column, row, f"{number:.{digits}f}", ha="center", va="center", color=colour)
        names = column_names or [""] * numbers.shape[1]
        axis.set(title=name, xticks=range(numbers.shape[1]), xticklabels=names)
        axis.set(yticks=range(len(row_names)), yticklabels=row_names)
        axis.tick_params(length=0)
        axis.grid(False)
        axis.spines[:].set_visible(False)
    return picture


@styled
def cubes(paths: Mapping[str, np.ndarray], title: str = "", size: float = 5.2) -> Figure:
    """How codes of three numbers in [0, 1] travelled through the unit cube, one cube a panel.

    Args:
        paths: Title to positions over time, `(steps, n, 3)`; the last step carries its number,
            from 1, and a dotted line to the corner that it rounds to.
        title: Above all panels.
        size: Side of one panel, in inches.

    Example:

    >>> picture = cubes({"standing still": np.full((2, 1, 3), 0.5)})
    """
    from itertools import combinations, product

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
def network(
    weights: Sequence[np.ndarray],
    names: Sequence[str],
    activations: Sequence[np.ndarray] = (),
    title: str = "",
    width: float = 7.0,
) -> Figure:
    """A small fully connected network from left to right: its units and its weights.

    A line is a weight, red above 0 and dashed blue below, the wider the larger. A unit is the
    darker the more active it is.

    Args:
        weights: One matrix `(from, to)` for each pair of neighbouring layers.
        names: One for each layer.
        activations: Values in [0, 1] of each layer's units, if any.
        title: Above the picture.
        width: Of the figure, in inches.

    Example:

    >>> picture = network([np.ones((3, 2)), -np.ones((2, 3))], ["x", "h", "x̂"])
    """
    sizes = [len(weights[0]), *(matrix.shape[1] for matrix in weights)]
    picture, axis = figure(width=width, height=0.42 * max(sizes) + 0.9, title=title)
    spread = (max(sizes) - 1) / 2
    heights = [
        np.linspace(1, -1, size) * spread * (0.55 if size < max(sizes) else 1) for size in sizes
    ]
    for layer, matrix in enumerate(weights):
        limit = np.abs(matrix).max()
        for (start, end), weight in np.ndenumerate(matrix):
            axis.plot(
                [layer, layer + 1],
                [heights[layer][start], heights[layer + 1][end]],
                color=RED if weight > 0 else BLUE,
                linestyle="-" if weight > 0 else (0, (4, 2)),
                linewidth=0.2 + 2.6 * abs(weight) / limit,
                alpha=0.7,
                zorder=1,
            )
    for layer, (name, height) in enumerate(zip(names, heights, strict=True)):
        values = activations[layer] if len(activations) else np.zeros(len(height))
        shades = matplotlib.colormaps["Greys"](0.85 * np.asarray(values))
        axis.scatter(
            np.full(len(height), layer), height, s=330, c=shades, edgecolor=BLACK, zorder=2
        )
        if len(activations):
            for y, value in zip(height, values, strict=True):
                axis.text(
                    layer,
                    y,
                    f"{value:.1f}".removeprefix("0") if value < 0.95 else "1",
                    color="white" if value > 0.5 else BLACK,
                    ha="center",
                    va="center",
                    size=8.5,
                    zorder=3,
                )
        axis.text(layer, spread + 0.75, name, ha="center", weight="bold")
    axis.set(xlim=(-0.3, len(weights) + 0.3), ylim=(-spread - 0.6, spread + 1.3))
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
    """Codes of two numbers in [0, 1], and the line with which each output unit cuts its own off.

    Output unit i is σ(h · vᵢ + cᵢ): it is ½ on the line h · vᵢ + cᵢ = 0, above ½ on one side.

    Args:
        points: The codes h, `(n, 2)`, numbered from 1.
        normals: The vᵢ as columns, `(2, n)`.
        offsets: The cᵢ, `(n,)`.
        paths: How the codes came there, `(steps, n, 2)`, if it is to be seen.
        title: Above the panel.

    Example:

    >>> picture = cuts(np.array([[0, 0], [1, 1]]), np.array([[-1, 1], [-1, 1]]), np.array([1, -1]))
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
    axis.set(xlabel="code, first number", ylabel="code, second number")
    return picture


@styled
def planes(points: np.ndarray, bases: Mapping[str, np.ndarray], title: str = "") -> Figure:
    """Points in space with planes through their mean, and the points seen from above the first.

    Args:
        points: `(n, 3)`.
        bases: Name to two vectors that span the plane, as columns, `(3, 2)`. They are drawn as
            arrows in the view from above, whose axes are the first plane's; no other plane may
            stand upright on it.
        title: Above the picture.

    Example:

    >>> floor = np.eye(3)[:, :2]
    >>> picture = planes(np.eye(3), {"floor": floor, "ramp": floor + [[0, 0], [0, 0], [0, 0.5]]})
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
    space.tick_params(labelsize=8)
    space.set_box_aspect((1, 1, 1), zoom=1.02)
    # Look at the plane at a slant, from a level side: both its flatness and its spread are seen.
    level = np.cross(normal, (0, 0, 1)) if abs(normal[2]) < 0.99 else np.array([1, 0, 0])
    eye = 0.4 * normal + 0.7 * level / np.linalg.norm(level) + np.array([0, 0, 0.3])
    eye = eye / np.linalg.norm(eye)
    space.view_init(np.degrees(np.arcsin(eye[2])), np.degrees(np.arctan2(eye[1], eye[0])))
    space.legend(loc="upper left", bbox_to_anchor=(-0.05, 1.04))
    above.scatter(*flat.T, s=12, color=BLACK, alpha=0.4, linewidths=0)
    above.set(xlim=(-half[0], half[0]), ylim=(-1.5 * half[1], 1.8 * half[1]), aspect="equal")
    above.set(xlabel=f"first axis of {next(iter(bases))}", ylabel="second axis")
    above.legend(loc="upper right")
    return picture


def _number(axis: Axes, point: np.ndarray, index: int, colour: str, zorder: int) -> None:
    """Writes a pattern's number, from 1, on its dot: white on the dark colours."""
    dark = colour not in (ORANGE, SKY, YELLOW, PINK)
    style = {"weight": "bold", "ha": "center", "va": "center"}
    axis.text(*point, str(index + 1), color="white" if dark else BLACK, zorder=zorder, **style)
