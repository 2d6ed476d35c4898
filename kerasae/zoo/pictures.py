"""The pictures of a preset: functions of the model and test data; docstrings make captions."""

from typing import TYPE_CHECKING, Any

import numpy as np

from kerasae import plots
from kerasae.corruptions import QuadrantMask, hide
from kerasae.datasets import Split
from kerasae.evaluation import arithmetic, codebook, features
from kerasae.zoo import measures

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def reconstructed(model: Any, test: Split) -> "Figure":
    """Draw ten images and their reconstructions."""
    x = one_of_each(test)
    size = model.encode(x[:1]).size
    return plots.reconstructions(x, {f"from {size} numbers": model.reconstruct(x)})


def half_restored(model: Any, test: Split) -> "Figure":
    """Draw ten images, a random half of each, and the reconstructions of that."""
    x = one_of_each(test)
    seen = measures.half_hidden(x)
    return plots.reconstructions(x, {"restored": model.reconstruct(seen)}, {"half is hidden": seen})


def units(model: Any, test: Split) -> "Figure":
    """Draw what the units of the first layer look for."""
    weights = features.first_layer_features(model.encoder)[:100]
    return plots.features(weights.reshape(-1, *test.x.shape[1:3]), columns=20, size=0.4)


def manifold(model: Any, test: Split) -> "Figure":
    """Draw a square of codes, decoded."""
    square = model.grid(side=16, limit=2.5, spacing="quantile")
    return plots.image_sheet(square.reshape(-1, *square.shape[2:]), columns=16, size=0.42)


def samples(model: Any, test: Split) -> "Figure":
    """Draw new images."""
    x = measures.drawn(model, 72)
    return plots.image_sheet(x, columns=12, size=0.6 if x.shape[-1] == 1 else 0.75)


def codes(model: Any, test: Split) -> "Figure":
    """Draw where the codes of the test images lie."""
    return plots.codes(model.encode(test.x), test.y)


def of_each_class(model: Any, test: Split) -> "Figure":
    """Draw new images by class: the rows' z, a column each, come from their part of the prior."""
    return _rows_of_classes(model, 8)


def drawn_by_class(model: Any, test: Split) -> "Figure":
    """Draw new images of each class, a row each."""
    return _rows_of_classes(model, 12)


def _rows_of_classes(model: Any, count: int) -> "Figure":
    classes = np.arange(model.classes)
    x = model.sample(count * len(classes), labels=np.repeat(classes, count), seed=0)
    rows = x.reshape(len(classes), count, *x.shape[1:])
    return plots.image_rows({str(label): row for label, row in zip(classes, rows, strict=True)})


def codewords(model: Any, test: Split) -> "Figure":
    """Draw the mean of the image patches that each codeword stands for, sorted by brightness."""
    means = codebook.patches(model.autoencoder, test.x)
    means = means[np.argsort(means.sum(axis=(1, 2, 3)))]
    return plots.image_sheet(means, columns=32, size=0.25, gap=1)


def reconstructed_from_codes(model: Any, test: Split) -> "Figure":
    """Draw ten images and their reconstructions from whole numbers."""
    return reconstructed(model.autoencoder, test)


def answers(model: Any, test: Split) -> "Figure":
    """Draw a quadrant of each image, several answers to it, and the image it is of."""
    x = one_of_each(test)
    seen = hide(x, QuadrantMask(["bottom left"]))
    several = model.sample(seen, count=4, seed=0)
    rows = {f"answer {index + 1}": several[:, index] for index in range(4)}
    return plots.image_rows({"seen": seen[..., :1], **rows, "the image": x})


def attributes(model: Any, test: Split) -> "Figure":
    """Draw faces, and the same with an attribute's vector added to their codes."""
    z, factors = model.encode(test.x), test.factors
    plain = np.flatnonzero((factors["smile"] < -0.3) & (factors["glasses"] == 0))[:8]
    rows = {"image": test.x[plain], "decoded": model.decode(z[plain])}
    has = {
        "smile": factors["smile"] > 0.3,
        "glasses": factors["glasses"] == 1,
        "hair_colour": factors["hair_colour"] > 0.7,
    }
    for name, which in has.items():
        others = {other: values for other, values in factors.items() if other != name}
        vector = arithmetic.attribute_vector(z, which, others)
        label = "blond" if name == "hair_colour" else name
        rows[f"+ {label}"] = model.decode(z[plain] + 1.5 * vector)
    return plots.image_rows(rows, size=1.0)


def film(model: Any, test: Split) -> "Figure":
    """Draw what the network takes for the image at each step, from noise, left, to images."""
    noise = np.random.default_rng(3).normal(size=(8, *model.code_shape)).astype("float32")
    path = model.generate(noise, steps=12, path="clean").clip(0, 1)
    return plots.image_sheet(path.reshape(-1, *path.shape[2:]), columns=12, size=0.6)


def completed(model: Any, test: Split) -> "Figure":
    """Draw the upper halves of images, and several completions of each."""
    x = one_of_each(test)
    known = np.arange(x.shape[1])[:, None, None] < x.shape[1] // 2
    labels = np.arange(10)
    rows = {
        f"completion {index + 1}": model.inpaint(x, known, labels, steps=20, repeats=2, seed=index)
        for index in range(3)
    }
    return plots.image_rows({"known": np.where(known, x, 0.0), **rows, "the image": x})


def interpolated(model: Any, test: Split) -> "Figure":
    """Draw images on the way from some to others of their class, between the ends' noises."""
    rows = [np.flatnonzero(test.y == label)[:2] for label in range(6)]
    starts, ends = zip(*rows, strict=True)
    path = model.interpolate(
        test.x[list(starts)], test.x[list(ends)], 10, labels=np.arange(len(rows))
    )
    return plots.image_sheet(path.reshape(-1, *path.shape[2:]), columns=10, size=0.6)


def interpolations(model: Any, test: Split) -> "Figure":
    """Draw images on the way from some z to others."""
    z = np.random.default_rng(1).normal(size=(2, 4, *model.code_shape)).astype("float32")
    path = model.interpolate(*z, steps=10)
    return plots.image_sheet(path.reshape(-1, *path.shape[2:]), columns=10, size=0.8)


def one_of_each(test: Split) -> np.ndarray:
    """Return ten images: one of each digit, or else the first ten."""
    labels = np.unique(test.y)
    if len(labels) < 10:
        return test.x[:10]
    return test.per_class().x[:10]
