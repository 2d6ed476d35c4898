"""The course's one style: colours that colour-blind readers tell apart, and the empty figure.

The colours are Okabe and Ito's; they also differ in brightness when printed in grey.
"""

from typing import Any

import matplotlib
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


styled = matplotlib.rc_context(STYLE)  # as a decorator: the caller need not set the style


def use_style() -> None:
    """Make the course's style the default of every later figure."""
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
    """Return an empty figure in the course's style.

    Args:
        columns: Number of panels side by side.
        rows: Number of panels one above the other.
        width: Width of one panel, in inches.
        height: Height of one panel, in inches.
        title: Title above all panels.
        subplots: Arguments of `Figure.subplots`, for instance `sharey=True` or
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
