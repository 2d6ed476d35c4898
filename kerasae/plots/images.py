"""Pictures of images: rows, sheets, reconstructions, the features of a layer."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from kerasae.plots.style import RED, figure, styled


@styled
def image_rows(
    rows: Mapping[str, np.ndarray],
    title: str = "",
    size: float = 0.85,
    column_titles: Sequence[str] = (),
    signed: Sequence[str] = (),
) -> Figure:
    """Draw labelled rows of images, such as originals and reconstructions.

    Args:
        rows: Images by label, `(n, height, width)` or `(n, height, width, channels)`, n the same
            in each row, values in [0, 1].
        title: Title above the rows.
        size: Side of one image, in inches.
        column_titles: Titles of the columns, if any.
        signed: Labels of the rows that hold differences: blue below 0, red above.

    Example:

    >>> from kerasae import datasets
    >>> x = datasets.load("digits")[1].x[:8]
    >>> coarse = x.round()
    >>> rows = {"input": x, "black and white": coarse, "difference": coarse - x}
    >>> picture = image_rows(rows, "Before and after", signed=["difference"])
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
def reconstructions(
    x: np.ndarray,
    outputs: Mapping[str, np.ndarray],
    seen: Mapping[str, np.ndarray] | None = None,
    title: str = "",
    size: float = 0.95,
) -> Figure:
    """Draw originals and reconstructions, with the error under each reconstruction.

    The number is the peak signal-to-noise ratio, 10 log₁₀(1 / mean squared error), in decibels:
    3 dB more is half the error.

    Args:
        x: The originals, `(n, height, width)` or `(n, height, width, channels)`, in [0, 1].
        outputs: Reconstructions by label, of the same shape.
        seen: Inputs of the model by label, if they are not the originals (noise, half an image);
            drawn above the outputs, with their numbers too.
        title: Title above the rows.
        size: Side of one image, in inches.

    Example:

    >>> from kerasae import datasets
    >>> x = datasets.load("digits")[1].x[:8]
    >>> noise = np.random.default_rng(0).normal(0, 0.4, x.shape)
    >>> picture = reconstructions(x, {"half the noise": x + noise / 2}, {"noisy": x + noise})
    """
    rows = {**(seen or {}), **outputs}
    picture = image_rows({"original": x, **rows}, title, size)
    picture.set_figheight(picture.get_figheight() + 0.24 * len(rows))
    axes = np.reshape(picture.axes, (len(rows) + 1, len(x)))
    for line, images in zip(axes[1:], rows.values(), strict=True):
        for axis, original, image in zip(line, x, images, strict=True):
            error = np.mean((np.clip(image, 0, 1) - original) ** 2)
            text = f"{10 * np.log10(1 / error):.1f} dB" if error > 0 else "exact"
            axis.set_xlabel(text, size=8.5, labelpad=2)
    return picture


@styled
def features(
    images: Mapping[str, np.ndarray] | np.ndarray,
    columns: int = 10,
    title: str = "",
    size: float = 0.5,
    names: Sequence[str] = (),
) -> Figure:
    """Draw an image for each unit of a layer: its weights, or the input of highest activation.

    Each image is scaled by its largest magnitude: grey is 0, black negative, white positive.
    Images with three channels keep their colours, around grey too.

    Args:
        images: Images, `(units, height, width)` or `(units, height, width, channels)`; or such
            images by title, drawn side by side, as before and after training.
        columns: Number of images in a row.
        title: Title above the picture.
        size: Side of one image, in inches.
        names: Names under the images, if any.

    Example:

    >>> y, x = np.mgrid[-1:1:16j, -1:1:16j]
    >>> angles = np.linspace(0, np.pi, 20, endpoint=False)[:, None, None]
    >>> along = x * np.cos(angles) + y * np.sin(angles)
    >>> edges = along * np.exp(-3 * (x**2 + y**2))
    >>> noise = np.random.default_rng(0).normal(size=edges.shape)
    >>> picture = features({"before training": noise, "after": edges}, columns=5)
    """
    sheets = images if isinstance(images, Mapping) else {"": images}
    height = 0.0
    for sheet in sheets.values():
        rows = -(-len(sheet) // columns)
        height = max(height, rows * size * sheet.shape[1] / sheet.shape[2])
    extra = 0.24 * bool(names) * -(-max(map(len, sheets.values())) // columns)
    labelled = 0.3 * any(sheets) + 0.4 * bool(title)
    picture = figure(width=columns * size * len(sheets), height=height + labelled + extra)[0]
    picture.clear()
    if title:
        picture.suptitle(title, x=0.01, ha="left")
    panels = picture.subfigures(1, len(sheets), squeeze=False, wspace=0.03)[0]
    picture.get_layout_engine().set(w_pad=0.015, h_pad=0.015, wspace=0.0, hspace=0.0)
    for panel, (name, sheet) in zip(panels, sheets.items(), strict=True):
        if name:
            panel.suptitle(name, x=0.02, ha="left", size=12)
        rows = -(-len(sheet) // columns)
        axes = panel.subplots(rows, columns, squeeze=False).ravel()
        for axis in axes[len(sheet) :]:
            axis.set_axis_off()
        for index, (axis, image) in enumerate(zip(axes, np.asarray(sheet), strict=False)):
            limit = max(float(np.abs(image).max()), 1e-12)
            show_image(axis, 0.5 + 0.5 * image / limit)
            if len(names):
                axis.set_xlabel(names[index], size=8.5, labelpad=2)
    return picture


@styled
def show_image(axis: Axes, image: np.ndarray, signed: bool = False) -> None:
    """Draw one image, without ticks: grey or colour in [0, 1], or signed around 0."""
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
    """Draw a contact sheet: many images without labels, in reading order.

    Args:
        images: Images in [0, 1], `(n, height, width)` or `(n, height, width, channels)`.
        columns: Number of images in a row.
        title: Title above the sheet.
        size: Side of one image, in inches.
        gap: Number of pixels between images.

    Example:

    >>> from kerasae import datasets
    >>> picture = image_sheet(datasets.load("shapes")[1].x[:32], columns=8)
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
    """Join many images into a large one, in reading order on white.

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
def image_blocks(
    blocks: Mapping[str, Mapping[str, np.ndarray]], title: str = "", size: float = 0.85
) -> Figure:
    """Draw several `image_rows` side by side with the same row labels.

    Args:
        blocks: Rows of each block by title; the rows have the same labels in every block, and
            all rows of a block have the same number of images.
        title: Title above all blocks.
        size: Side of one image, in inches.

    Example:

    >>> from kerasae import datasets
    >>> digits = datasets.load("digits")[1].x[:5]
    >>> noise = np.random.default_rng(0).random((3, 28, 28))
    >>> seen = {"input": digits, "squared": digits**2}
    >>> picture = image_blocks({"digits": seen, "noise": {"input": noise, "squared": noise**2}})
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
def searches(
    queries: np.ndarray,
    found: Mapping[str, np.ndarray],
    wrong: Mapping[str, np.ndarray] | None = None,
    title: str = "",
    size: float = 0.42,
) -> Figure:
    """Draw searches for similar images: a query in each row, and what each method found for it.

    Args:
        queries: Images in [0, 1], `(n, height, width)` or `(n, height, width, channels)`.
        found: Images that each method found, by its name, `(n, k, height, width)` or with
            channels, nearest first.
        wrong: Of each method, which found images are wrong, `(n, k)`; these have a frame.
        title: Title above the rows.
        size: Side of one image, in inches.

    Example:

    >>> from kerasae import datasets
    >>> _, test = datasets.load("digits")
    >>> found = {"pixels": test.x[8:20].reshape(3, 4, 28, 28)}
    >>> picture = searches(test.x[:3], found, {"pixels": np.eye(3, 4, dtype=bool)}, "Searches")
    """
    queries = np.asarray(queries, dtype="float32")
    rows, height, width = queries.shape[:3]
    shape, gap = (rows, -1, height, width, queries[0].size // (height * width)), 4
    columns, starts, column = [queries.reshape(shape)], {}, 1
    for name, images in found.items():
        images = np.asarray(images, dtype="float32").reshape(shape)
        columns += [np.ones_like(images[:, :1]), images]
        starts[name], column = column + 1, column + 1 + images.shape[1]
    sheet = tile(np.concatenate(columns, axis=1).reshape(-1, *shape[2:]), column, gap)
    picture, axis = figure(
        width=column * size,
        height=column * size * (sheet.shape[0] + 0.8 * height) / sheet.shape[1] + 0.4 * bool(title),
        title=title,
    )
    show_image(axis, sheet)
    for name, start in {"query": 0, **starts}.items():
        axis.text(start * (width + gap), -0.25 * height, name, weight="bold")
        for row, place in np.argwhere((wrong or {}).get(name, np.zeros((0, 0)))):
            corner = (start + place) * (width + gap) - 2, row * (height + gap) - 2
            axis.add_patch(Rectangle(corner, width + 3, height + 3, fill=False, ec=RED, lw=2))
    axis.set(xlim=(-4, sheet.shape[1] + 3), ylim=(sheet.shape[0] + 3, -4))
    axis.spines[:].set_visible(False)
    return picture
