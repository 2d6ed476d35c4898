"""Every picture is drawn from its docstring, shows something, and cuts none of its words off."""

import inspect
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from kerasae import plots
from kerasae.plots import __main__ as gallery

FUNCTIONS = [
    name
    for name in plots.__all__
    if inspect.isfunction(getattr(plots, name))
    and inspect.signature(getattr(plots, name)).return_annotation is Figure
]


@pytest.fixture(scope="module")
def examples():
    return gallery.examples()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_example_shows_its_picture(name, examples):
    canvas = FigureCanvasAgg(examples[name])
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba(), dtype="float32")[..., :3]
    assert (pixels < 200).any(axis=-1).mean() > 0.003
    # The outermost pixels stay white, but for a sheet of images that fills its figure.
    width, height = canvas.get_width_height()
    box = examples[name].get_tightbbox(canvas.get_renderer())
    scale = examples[name].dpi
    assert box.x0 * scale > -2 and box.y0 * scale > -2
    assert box.x1 * scale < width + 2 and box.y1 * scale < height + 2


def test_reconstructions_name_their_error():
    x = np.zeros((1, 8, 8, 1))
    picture = plots.reconstructions(x, {"off": x + 0.1, "same": x}, {"seen": x + 1})
    labels = [axis.get_xlabel() for axis in picture.axes]
    assert labels == ["", "0.0 dB", "20.0 dB", "exact"]


def test_features_scale_each_image_by_itself():
    images = np.stack([np.eye(4), -1e-3 * np.eye(4), np.zeros((4, 4))])
    drawn = [axis.images[0].get_array() for axis in plots.features(images).axes if axis.images]
    assert [float(image[0, 0]) for image in drawn] == [1.0, 0.0, 0.5]
    assert float(drawn[0][0, 1]) == 0.5


def test_vector_field_keeps_the_proportions():
    arrows = np.array([[1.0, 0.0], [0.0, 0.5]])
    picture = plots.vector_field(np.eye(2), arrows)
    (quiver,) = picture.axes[0].collections
    np.testing.assert_allclose(np.stack([quiver.U, quiver.V], axis=1), arrows)
    walks = np.arange(24.0).reshape(3, 4, 2)
    lines = plots.vector_field(np.eye(2), arrows, paths=walks).axes[0].lines
    np.testing.assert_array_equal([line.get_xydata() for line in lines], walks)
    still = plots.vector_field(np.eye(2), np.zeros((2, 2)))  # no arrow, no division by 0
    FigureCanvasAgg(still).draw()


def test_label_curves_draw_the_mean_and_the_extremes():
    scores = np.array([[0.1, 0.5], [0.3, 0.7]])
    axis = plots.label_curves({"one": scores}, [10, 100]).axes[0]
    np.testing.assert_allclose(axis.lines[0].get_ydata(), [0.2, 0.6])
    band = axis.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == 0.1 and band[:, 1].max() == 0.7


def test_lines_are_told_apart_when_the_colours_come_again():
    lines = {str(n): [n, n] for n in range(2 * len(plots.COLOURS))}
    drawn = plots.curves(lines, "x", "y").axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in drawn}) == len(lines)


def test_histograms_add_up_to_one():
    values = {"few": np.array([0.0, 1.0]), "many": np.linspace(0, 1, 1000)}
    axis = plots.histograms(values, bins=10).axes[0]
    for patch in axis.patches:
        assert patch.get_data().values.sum() == pytest.approx(1)


def test_gallery(tmp_path):
    command = [sys.executable, "-m", "kerasae.plots"]
    written = subprocess.run([*command, tmp_path / "new"], capture_output=True, text=True)
    assert len(written.stdout.split()) == len(list((tmp_path / "new").glob("*.png"))) >= 17
    usage = subprocess.run(command, capture_output=True, text=True)
    assert usage.returncode == 1  # an engine may have something of its own to say before
    assert usage.stderr.endswith("usage: python -m kerasae.plots FOLDER\n")
