"""Pictures of networks: units, weights, tables of activations."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from kerasae.plots.style import BLACK, BLUE, RED, figure, styled


@styled
def network(
    weights: Sequence[np.ndarray],
    names: Sequence[str],
    activations: Sequence[np.ndarray] = (),
    title: str = "",
    width: float = 7.0,
) -> Figure:
    """Draw a small fully connected network from left to right: its units and its weights.

    A line is a weight, red above 0 and dashed blue below; large weights have wide lines. Active
    units are dark.

    Args:
        weights: One matrix `(from, to)` for each pair of neighbouring layers.
        names: Names of the layers.
        activations: Activations in [0, 1] of each layer's units, if any.
        title: Title above the picture.
        width: Width of the figure, in inches.

    Example:

    >>> weights = np.random.default_rng(0).normal(size=(4, 2))
    >>> activations = [np.eye(4)[1], np.array([0.9, 0.2]), np.array([0.1, 0.8, 0.1, 0.0])]
    >>> picture = network([weights, weights.T], ["x", "h", "x̂"], activations, "Tied, 4-2-4")
    """
    sizes = [len(weights[0]), *(matrix.shape[1] for matrix in weights)]
    picture, axis = figure(width=width, height=0.42 * max(sizes) + 0.9, title=title)
    half_height = (max(sizes) - 1) / 2
    heights = [
        np.linspace(1, -1, size) * half_height * (0.55 if size < max(sizes) else 1)
        for size in sizes
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
        axis.text(layer, half_height + 0.75, name, ha="center", weight="bold")
    axis.set(xlim=(-0.3, len(weights) + 0.3), ylim=(-half_height - 0.6, half_height + 1.3))
    axis.set_axis_off()
    return picture


@styled
def number_grids(
    grids: Mapping[str, np.ndarray],
    row_names: Sequence[str],
    column_names: Sequence[str] = (),
    title: str = "",
    width: float = 2.6,
) -> Figure:
    """Draw small tables of numbers in [0, 1] side by side, each number on its own shade of grey.

    Args:
        grids: Numbers by title, `(rows, columns)`, the same rows in each.
        row_names: Names of the rows.
        column_names: Names of the columns, if any.
        title: Title above all tables.
        width: Width of one table, in inches.

    Example:

    >>> codes = np.random.default_rng(0).random((4, 3))
    >>> rows = ["first", "second", "third", "fourth"]
    >>> picture = number_grids({"codes": codes, "rounded": codes.round()}, rows)
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
