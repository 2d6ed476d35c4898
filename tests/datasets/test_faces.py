"""Faces: every attribute shows where it should, and nowhere else."""

import numpy as np
import pytest

from kerasae.datasets import faces
from kerasae.datasets.canvas import is_category

pytestmark = pytest.mark.home("tensorflow")

CONTINUOUS = [name for name, entry in faces.FACTORS.items() if not is_category(entry)]
# Where a factor may change a 64-pixel face: rows from, to, columns from, to.
PLACES = {
    "smile": (38, 54, 20, 44),
    "mouth_open": (40, 56, 20, 44),
    "gaze": (25, 40, 18, 46),
    "gaze_y": (25, 40, 18, 46),
    "eye_size": (25, 41, 18, 46),
    "brow": (20, 33, 17, 47),
    "glasses": (24, 44, 13, 51),
    "hair_style": (0, 64, 6, 58),
    "hair_colour": (6, 36, 11, 53),
    "skin": (10, 64, 10, 54),
    "shirt": (48, 64, 0, 64),
}


def test_generate_has_the_promised_form():
    images, labels, factors = faces.generate(30, seed=3)
    assert images.shape == (30, 64, 64, 3) and images.dtype == np.uint8
    assert labels.shape == (30,) and labels.dtype == np.int64
    assert set(factors) == set(faces.FACTORS) == set(faces.DEFAULTS)
    assert faces.generate(0, size=32)[0].shape == (0, 32, 32, 3)
    np.testing.assert_array_equal(images, faces.render(factors))


def test_the_label_is_the_expression():
    _, labels, factors = faces.generate(300, seed=1, size=16)
    expected = [0 if s < -1 / 3 else 1 if s < 1 / 3 else 2 for s in factors["smile"]]
    np.testing.assert_array_equal(labels, expected)
    assert np.bincount(labels, minlength=len(faces.EXPRESSIONS)).min() > 70


def test_a_face_depends_on_its_seed_and_place_only():
    few, many = faces.generate(9, seed=11), faces.generate(300, seed=11)
    np.testing.assert_array_equal(few[0], many[0][:9])
    for name in faces.FACTORS:
        np.testing.assert_array_equal(few[2][name], many[2][name][:9])
    assert np.any(few[0] != faces.generate(9, seed=12)[0])


def test_vary_freezes_the_others():
    everything = faces.sample_factors(50, seed=2)
    some = faces.sample_factors(50, seed=2, vary=("smile", "glasses"))
    for name in faces.FACTORS:
        if name in ("smile", "glasses"):
            np.testing.assert_array_equal(some[name], everything[name])
        else:
            np.testing.assert_array_equal(some[name], np.full(50, faces.DEFAULTS[name], "f4"))


def test_32_pixels_is_the_64_pixel_face_at_half_the_size():
    large, small = (faces.generate(20, seed=4, size=size)[0] for size in (64, 32))
    halved = large.reshape(20, 32, 2, 32, 2, 3).mean(axis=(2, 4))
    assert np.abs(halved - small).max() <= 1


@pytest.mark.parametrize("name", PLACES)
def test_a_factor_shows_in_its_place_only(name):
    entry = faces.FACTORS[name]
    ends = np.array((0, len(entry[0]) - 1) if is_category(entry) else entry[:2])
    pair = faces.render({name: ends, "hair_style": 0} if name != "hair_style" else {name: ends})
    change = np.abs(pair[1].astype(int) - pair[0]).max(axis=-1)
    top, bottom, left, right = PLACES[name]
    assert np.sum(change[top:bottom, left:right] > 40) >= 12
    change[top:bottom, left:right] = 0
    assert change.max() <= 2


@pytest.mark.parametrize("extra", range(1, 5))
def test_every_extra_shows(extra):
    pair = faces.render({"extra": [0, extra]}).astype(int)
    assert np.sum(np.abs(pair[1] - pair[0]).max(axis=-1) > 40) >= 8


@pytest.mark.parametrize("style", range(6))
def test_hair_styles_differ(style):
    styles = faces.render({"hair_style": np.arange(6)}).astype(int)
    others = np.delete(styles, style, axis=0)
    changed = np.abs(others - styles[style]).max(axis=-1) > 40
    assert changed.sum(axis=(1, 2)).min() > 60


def test_a_smile_lifts_the_corners_of_the_mouth():
    images = faces.render({"smile": np.linspace(-1, 1, 9)}, size=128).astype(float)
    lips = np.array(list(bytes.fromhex(faces.LIPS[1])))
    columns = images[:, 80:108, [53, 54, 73, 74, 63, 64]]  # nose to chin: corners, middle
    weight = np.maximum(90 - np.abs(columns - lips).sum(axis=-1), 0)
    row = (weight * np.arange(28)[:, None]).sum(axis=1) / weight.sum(axis=1)
    lift = row[:, 4:].mean(axis=1) - row[:, :4].mean(axis=1)  # rows count downwards
    assert np.all(np.diff(lift) > 0) and lift[0] < -4 and abs(lift[4]) <= 1 and lift[-1] > 4


def test_the_gaze_moves_the_pupils():
    images = faces.render({"gaze": [-1, 0, 1, 0, 0], "gaze_y": [0, 0, 0, -1, 1]}, size=128)
    dark = images[:, 58:79, 38:90].max(axis=-1) < 110  # inside both eyes
    down, across = np.indices(dark.shape[1:])
    x, y = ([(grid * d).sum() / d.sum() for d in dark] for grid in (across, down))
    assert x[0] < x[1] - 1.5 and x[2] > x[1] + 1.5
    assert y[3] < y[1] - 1 and y[4] > y[1] + 1


def test_attributes_can_be_read_from_the_pixels_whatever_the_others_are():
    # A linear reader of 32-pixel faces, ridge regression in its dual form, on held-out faces.
    images, _, factors = faces.generate(1300, seed=5, size=32)
    names = [*CONTINUOUS, "glasses"]
    targets = np.stack([(factors[k] - factors[k].mean()) / factors[k].std() for k in names], 1)
    pixels = images.reshape(1300, -1).astype(np.float32) / 255
    pixels -= pixels[:1000].mean(axis=0)
    gram = pixels @ pixels[:1000].T
    centre = targets[:1000].mean(axis=0)
    dual = np.linalg.solve(gram[:1000] + 3 * np.eye(1000), targets[:1000] - centre)
    error = gram[1000:] @ dual + centre - targets[1000:]
    explained = dict(zip(names, 1 - (error**2).mean(axis=0), strict=True))
    hard = {"brow": 0.35, "smile": 0.6, "mouth_open": 0.6}
    assert {k: r for k, r in explained.items() if r < hard.get(k, 0.75)} == {}


@pytest.mark.parametrize("size", [16, 48, 100])
def test_any_size(size):
    assert faces.generate(2, size=size)[0].shape == (2, size, size, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: faces.render({"hat": 1}),
            "`factors` holds 'hat', expected some of smile, glasses",
        ),
        (lambda: faces.render({"smile": 1.5}), r"factors\['smile'\]` holds 1.5, expected -1 to 1"),
        (lambda: faces.render({"glasses": 0.5}), "holds 0.5, expected an index from 0 to 1"),
        (lambda: faces.render({"hair_style": -1}), "holds -1, expected an index from 0 to 5"),
        (
            lambda: faces.render({}, size=15),
            "`size` is 15, expected a whole number of at least 16",
        ),
        (lambda: faces.generate(True), "`n` is True"),
        (lambda: faces.sample_factors(2, vary=["grin"]), "`vary` holds 'grin'"),
    ],
)
def test_bad_input_is_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
