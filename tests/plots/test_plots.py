"""Every picture is drawn from its docstring, shows something, and cuts none of its words off."""

import inspect
import sys

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from kerasae import plots
from kerasae.plots import __main__ as gallery

pytestmark = pytest.mark.home("tensorflow")

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


def test_gallery(tmp_path, monkeypatch, capsys, examples):
    monkeypatch.setattr(gallery, "examples", lambda: examples)
    monkeypatch.setattr(sys, "argv", ["plots", str(tmp_path / "new")])
    gallery.main()
    written = capsys.readouterr().out.split()
    assert len(written) == len(list((tmp_path / "new").glob("*.png"))) >= 17
    monkeypatch.setattr(sys, "argv", ["plots"])
    with pytest.raises(SystemExit, match=r"^usage: python -m kerasae\.plots FOLDER$"):
        gallery.main()


def test_spectra_draw_the_median_and_the_middle_half():
    rows = np.arange(1.0, 102.0)[:, None] * np.ones((1, 3))
    axis = plots.spectra({"one": rows}).axes[0]
    np.testing.assert_allclose(axis.lines[0].get_ydata(), 51)
    band = axis.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == 26 and band[:, 1].max() == 76


def test_a_history_counts_epochs_from_1_in_training_and_validation():
    lines = plots.history({"loss": [2, 1], "val_loss": [3, 2]}).axes[0].lines
    assert [line.get_xdata().tolist() for line in lines] == [[1, 2], [1, 2]]
    assert [list(line.get_ydata()) for line in lines] == [[2, 1], [3, 2]]


def test_a_network_shows_the_sign_and_the_size_of_a_weight():
    lines = plots.network([np.array([[1.0], [-2.0]])], ["x", "h"]).axes[0].lines
    assert [line.get_color() for line in lines] == [plots.RED, plots.BLUE]
    assert [line.get_linestyle() for line in lines] == ["-", "--"]
    assert lines[0].get_linewidth() < lines[1].get_linewidth()


def test_a_cut_runs_where_its_unit_is_undecided():
    normals, offsets = np.array([[2.0, -1.0], [1.0, 3.0]]), np.array([-1.5, 0.4])
    lines = plots.cuts(np.array([[0.9, 0.8], [0.1, 0.2]]), normals, offsets).axes[0].lines
    for line, normal, offset in zip(lines, normals.T, offsets, strict=True):
        np.testing.assert_allclose(line.get_xydata() @ normal + offset, 0, atol=1e-12)


def test_codes_are_named_at_their_median():
    points = np.array([[0.0, 0.0], [0.0, 0.0], [9.0, 6.0], [5.0, 5.0]])
    texts = plots.codes(points, np.array([0, 0, 0, 1]), names=["a", "b"]).axes[0].texts
    assert [(text.get_text(), text.get_position()) for text in texts] == [
        ("a", (0.0, 0.0)),
        ("b", (5.0, 5.0)),
    ]


def test_architecture_reads_the_network_and_its_links():
    import keras

    net = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Dropout(0.5), keras.layers.Conv2D(4, 3, 2, "same")]
    )
    net.layers[1].trainable = False
    boxes = plots.layers(net, ["ν", "h"])
    assert boxes == [plots.Box("ν", (8, 8, 3), "noise"), plots.Box("h", (4, 4, 4), "fixed")]
    picture = plots.architecture(plots.Network([[*boxes, plots.Box("again", 9, "copy")]]))
    words = [text.get_text() for text in picture.axes[0].texts]
    assert {"ν", "h", "4×4×4", "again", "9"} <= set(words)
    legend = [text.get_text() for text in picture.legends[0].get_texts()]
    assert legend == ["fixed", "the same weights again", "noise"]
    with pytest.raises(ValueError, match='"z", and 0 boxes'):
        plots.architecture(plots.Network([boxes], links=[("h", "z")]))
    with pytest.raises(ValueError, match="1 names for 2 boxes"):
        plots.layers(net, ["one"])


def test_architecture_keeps_room_for_arcs_and_names():
    box = plots.Box
    row = [box("a", 9), box("Conv2DTranspose", (28, 28, 1)), box("two words", 500), box("b", 9)]
    links = [("a", "b", "error"), ("b", "a")]
    axis = plots.architecture(plots.Network([row], links=links)).axes[0]
    axis.figure.canvas.draw()
    room = axis.get_window_extent()
    arcs = axis.patches[-2:]
    for artist in (*axis.texts, *arcs):
        extent = artist.get_window_extent()
        assert room.y0 <= extent.y0 and extent.y1 <= room.y1, artist
    words = {text.get_text(): text for text in axis.texts}
    boxes = axis.patches[1].get_window_extent(), axis.patches[2].get_window_extent()
    assert words["Conv2D\nTranspose"].get_window_extent().y0 > boxes[0].y1  # above a narrow box
    inside = words["two\nwords"].get_window_extent()
    assert boxes[1].y0 < inside.y0 and inside.y1 < boxes[1].y1
    name = words["Conv2D\nTranspose"].get_window_extent()
    for arc in arcs:  # it passes over the names
        x, y = arc.get_path().interpolated(50).vertices.T
        below = axis.transData.transform(np.stack([x, y], axis=1))
        over = below[(name.x0 < below[:, 0]) & (below[:, 0] < name.x1)]
        assert len(over) and over[:, 1].min() > name.y1
    vertical = plots.Network([[box("a", 1)], [box("b", 1)]], links=[("a", "b", "KL")])
    label = next(t for t in plots.architecture(vertical).axes[0].texts if t.get_text() == "KL")
    assert label.get_position()[0] > 0  # beside the arrow, which runs along x = 0


def test_searches_frame_what_is_wrong():
    found = {"near": np.zeros((2, 3, 4, 4)), "far": np.ones((2, 3, 4, 4, 1))}
    wrong = {"far": np.array([[False, True, False], [True, True, False]])}
    (axis,) = plots.searches(np.zeros((2, 4, 4)), found, wrong).axes
    assert [text.get_text() for text in axis.texts] == ["query", "near", "far"]
    # Columns: query, gap, three near, gap, three far; an image and its gap take 8 pixels.
    frames = [frame.get_xy() for frame in axis.patches]
    assert frames == [(7 * 8 - 2, -2), (6 * 8 - 2, 6), (7 * 8 - 2, 6)]


def test_a_film_moves_and_has_its_last_frame():
    import base64
    import io

    from PIL import Image

    frames = []
    for height in range(4):
        picture, axis = plots.figure(width=2, height=1.5)
        axis.bar([0], [height], color=plots.BLUE)
        axis.set(ylim=(0, 4))
        frames.append(picture)
    film = plots.film(frames, seconds=0.1, hold=1.0)
    moving = Image.open(io.BytesIO(film.gif))
    assert (moving.n_frames, moving.info["duration"]) == (4, 100)
    blue = []
    for index in range(4):
        moving.seek(index)
        pixels = np.asarray(moving.convert("RGB")).astype(int)
        blue.append((abs(pixels - (0, 0x72, 0xB2)).sum(axis=-1) < 60).sum())
    assert blue == sorted(blue) and blue[-1] > blue[1] > blue[0]
    shown = film._repr_mimebundle_()
    assert base64.b64encode(film.gif).decode() in shown["text/html"]
    assert Image.open(io.BytesIO(base64.b64decode(shown["image/png"]))).size == moving.size
    with pytest.raises(ValueError, match="`frames` has 1 figures, expected at least 2"):
        plots.film(frames[:1])
    with pytest.raises(ValueError, match="have the sizes"):
        plots.film([*frames, plots.figure(width=3)[0]])
