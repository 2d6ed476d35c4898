"""Pictures of numbers over one axis: curves with their spread, histories, spectra, histograms."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kerasae.plots.style import COLOURS, MARKERS, figure, styled


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
    """Draw named lines over one axis, such as losses over epochs or errors over code sizes.

    Args:
        lines: The y values of each line by name, or pairs (x values, y values).
        x_label: Label of the x axis.
        y_label: Label of the y axis, with the unit.
        title: Title above the panel.
        x: The x values of all lines without their own; counts from 1 by default.
        log: Logarithmic axes: `""`, `"x"`, `"y"` or `"xy"`.
        markers: If True, the measured points are marked.
        width: Width of the figure, in inches.

    Example:

    >>> size = np.array([2, 4, 8, 16, 32])
    >>> errors = {"linear": 0.1 / size**0.5, "deep": 0.08 / size**0.7}
    >>> picture = curves(errors, "code size", "error", x=size, log="xy", markers=True)
    """
    picture, axis = figure(width=width, height=3.8)
    draw_curves(axis, lines, x=x, markers=markers)
    axis.set(xlabel=x_label, ylabel=y_label, title=title)
    if "x" in log:
        axis.set_xscale("log")
        if x is not None and markers:  # the places that were measured, not the powers of ten
            axis.set_xticks(x, [f"{place:g}" for place in x])
            axis.minorticks_off()
    if "y" in log:
        axis.set_yscale("log")
    if len(lines) > 1:
        axis.legend()
    return picture


@styled
def draw_curves(
    axis: Axes, lines: Mapping[str, Any], x: Sequence[float] | None = None, markers: bool = False
) -> None:
    """Draw the lines of `curves` into a panel of a larger figure."""
    for index, (name, values) in enumerate(lines.items()):
        own = isinstance(values, tuple) and np.ndim(values[0]) == 1
        xs, ys = values if own else (x if x is not None else range(1, len(values) + 1), values)
        axis.plot(
            xs,
            ys,
            label=name,
            color=COLOURS[index % len(COLOURS)],
            linestyle=("-", "--", ":")[index // len(COLOURS) % 3],  # colours repeat
            marker=MARKERS[index % len(MARKERS)] if markers else None,
        )


@styled
def history(log: Any, names: Sequence[str] = ("loss",), title: str = "Training") -> Figure:
    """Draw the training curves of a `History`: solid for training data, dashed for validation.

    Args:
        log: The `History` that `fit` returned, or its `history`.
        names: Names of the metrics to draw.
        title: Title above the panel.

    Example:

    >>> epochs = np.arange(1, 21)
    >>> picture = history({"loss": 1 / epochs, "val_loss": 1 / epochs + 0.01 * epochs})
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
def label_curves(
    scores: Mapping[str, np.ndarray],
    counts: Sequence[int],
    x_label: str = "labelled examples",
    y_label: str = "test accuracy",
    title: str = "",
) -> Figure:
    """Draw the scores of several methods over the number of labels.

    A line is the mean over seeds; its band reaches from the worst seed to the best.

    Args:
        scores: Scores of each method by name, `(seeds, counts)`.
        counts: Numbers of labels, ascending.
        x_label: Label of the x axis.
        y_label: Label of the y axis.
        title: Title above the panel.

    Example:

    >>> seeds = np.array([[-0.02], [0.0], [0.02]])
    >>> scores = {"pretrained": [0.8, 0.88, 0.94] + seeds, "labels alone": [0.6, 0.8, 0.93] + seeds}
    >>> picture = label_curves(scores, [30, 100, 1000])
    """
    picture, axis = figure(width=6.4, height=4.0)
    for index, (name, values) in enumerate(scores.items()):
        values, colour = np.atleast_2d(values), COLOURS[index % len(COLOURS)]
        axis.fill_between(counts, values.min(0), values.max(0), color=colour, alpha=0.15, lw=0)
        marker = MARKERS[index % len(MARKERS)]
        axis.plot(counts, values.mean(0), color=colour, marker=marker, label=name)
    axis.set_xscale("log")
    axis.set_xticks(counts, [f"{count:,}" for count in counts])
    axis.minorticks_off()
    axis.set(xlabel=x_label, ylabel=y_label, title=title)
    axis.legend(loc="lower right")
    return picture


@styled
def spectra(
    values: Mapping[str, np.ndarray],
    title: str = "",
    x_label: str = "singular value, in order of size",
    y_label: str = "singular value of ∂f/∂x",
    log: bool = True,
) -> Figure:
    """Draw singular values in falling order: the median over examples, its middle half as a band.

    Args:
        values: Singular values by name, `(n, k)`, each row falling.
        title: Title above the panel.
        x_label: Label of the x axis.
        y_label: Label of the y axis.
        log: If True, the y axis is logarithmic.

    Example:

    >>> rng = np.random.default_rng(0)
    >>> flat = np.sort(rng.uniform(0.5, 1, (50, 20)))[:, ::-1]
    >>> steep = flat * np.exp(-np.arange(20) / 3)
    >>> picture = spectra({"plain": flat, "contractive": steep}, "Few directions stay")
    """
    picture, axis = figure(width=6.4, height=4.0)
    for index, (name, rows) in enumerate(values.items()):
        low, middle, high = np.percentile(np.atleast_2d(rows), (25, 50, 75), axis=0)
        order, colour = np.arange(1, len(middle) + 1), COLOURS[index % len(COLOURS)]
        axis.fill_between(order, low, high, color=colour, alpha=0.15, lw=0)
        marker = MARKERS[index % len(MARKERS)]
        axis.plot(order, middle, color=colour, marker=marker, markersize=4, label=name)
    if log:
        axis.set_yscale("log")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set(xlabel=x_label, ylabel=y_label, title=title)
    axis.legend()
    return picture


@styled
def histograms(
    values: Mapping[str, np.ndarray],
    x_label: str = "activation",
    y_label: str = "share of all activations",
    title: str = "",
    bins: int | Sequence[float] = 40,
    log: bool = False,
    marks: Mapping[str, float] | None = None,
) -> Figure:
    """Draw histograms of values, such as sparse or saturated activations.

    Args:
        values: Values of any shape, by name.
        x_label: Label of the x axis.
        y_label: Label of the y axis; the heights of each name add up to 1.
        title: Title above the panel.
        bins: Number of bins over the range of all values together, or their edges.
        log: If True, the y axis is logarithmic.
        marks: Values that a vertical line marks, by name, such as a target ρ.

    Example:

    >>> logits = np.random.default_rng(0).normal(size=5000)
    >>> values = {"plain": 1 / (1 + np.exp(-logits)), "saturated": 1 / (1 + np.exp(-6 * logits))}
    >>> picture = histograms(values, title="Pressed into the corners", marks={"½": 0.5})
    """
    flat = {name: np.ravel(value) for name, value in values.items()}
    edges = np.histogram_bin_edges(np.concatenate(list(flat.values())), bins)
    picture, axis = figure(width=6.4, height=3.8)
    for index, (name, value) in enumerate(flat.items()):
        heights = np.histogram(value, edges)[0] / len(value)
        colour = COLOURS[index % len(COLOURS)]
        axis.stairs(heights, edges, color=colour, fill=True, alpha=0.2)
        axis.stairs(heights, edges, color=colour, linewidth=2, label=name)
    for name, place in (marks or {}).items():
        axis.axvline(place, color="#444444", linestyle=":", label=name)
    if log:
        axis.set_yscale("log")
    axis.set(xlabel=x_label, ylabel=y_label, title=title)
    if len(flat) + len(marks or {}) > 1:
        axis.legend(frameon=True, edgecolor="white")  # a mark's line may run behind it
    return picture
