"""The pictures of the course, one function each, in one style.

Each function returns a `matplotlib.figure.Figure`. As the last line of a notebook's cell it is
shown; `figure.savefig(path)` writes it. Every docstring ends with an example that draws one, and
`python -m kerasae.plots build/plots` draws them all.
"""

from kerasae.plots.architecture import Box, Network, architecture, layers
from kerasae.plots.curves import curves, draw_curves, histograms, history, label_curves, spectra
from kerasae.plots.film import film
from kerasae.plots.images import (
    features,
    image_blocks,
    image_rows,
    image_sheet,
    reconstructions,
    searches,
    show_image,
    tile,
)
from kerasae.plots.networks import network, number_grids
from kerasae.plots.spaces import codes, cubes, cuts, planes, vector_field
from kerasae.plots.style import (
    BLACK,
    BLUE,
    COLOURS,
    GREEN,
    MARKERS,
    ORANGE,
    PINK,
    RED,
    SKY,
    STYLE,
    YELLOW,
    figure,
    use_style,
)

__all__ = [
    "BLACK",
    "BLUE",
    "COLOURS",
    "GREEN",
    "MARKERS",
    "ORANGE",
    "PINK",
    "RED",
    "SKY",
    "STYLE",
    "YELLOW",
    "Box",
    "Network",
    "architecture",
    "codes",
    "cubes",
    "curves",
    "cuts",
    "draw_curves",
    "features",
    "figure",
    "film",
    "histograms",
    "history",
    "image_blocks",
    "image_rows",
    "image_sheet",
    "label_curves",
    "layers",
    "network",
    "number_grids",
    "planes",
    "reconstructions",
    "searches",
    "show_image",
    "spectra",
    "tile",
    "use_style",
    "vector_field",
]
