"""Shapes: what is drawn is what the factors say."""

import math

import numpy as np
import pytest

from kerasae.datasets import canvas, shapes

pytestmark = pytest.mark.home("tensorflow")

BLACK_ON_DARK = {"background": 0.0, "hue": 0.7}
AREAS = {  # of a shape of radius 1, in closed form
    "disc": math.pi,
    "square": 4 * 0.86**2,
    "triangle": 3 * math.sqrt(3) / 4 * 1.25**2,
    "star": 5 * 1.25 * 0.625 * math.sin(math.pi / 5),
    "ring": math.pi * (1.03**2 - 0.49**2),
}


def mask(factors: dict, size: int = 128) -> np.ndarray:
    """The pixels of one shape, far brighter in red than the darkest ground."""
    return shapes.render({**BLACK_ON_DARK, **factors}, size)[0, :, :, 0] > 128


def centroid(inside: np.ndarray) -> tuple[float, float]:
    rows, columns = np.nonzero(inside)
    return (columns.mean() + 0.5) / inside.shape[1], (rows.mean() + 0.5) / inside.shape[0]


def test_generate_has_the_promised_form():
    images, labels, factors = shapes.generate(40, seed=3)
    assert images.shape == (40, 32, 32, 3) and images.dtype == np.uint8
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(labels, factors["kind"])
    assert set(factors) == set(shapes.FACTORS) == set(shapes.DEFAULTS)
    assert shapes.generate(0)[0].shape == (0, 32, 32, 3)
    np.testing.assert_array_equal(images, shapes.render(factors))


def test_an_image_depends_on_its_seed_and_place_only():
    few, many = shapes.generate(7, seed=11), shapes.generate(1500, seed=11)
    np.testing.assert_array_equal(few[0], many[0][:7])
    for name in shapes.FACTORS:
        np.testing.assert_array_equal(few[2][name], many[2][name][:7])
    assert np.any(few[0] != shapes.generate(7, seed=12)[0])


def test_factors_fill_their_ranges_independently():
    factors = shapes.sample_factors(4000, seed=1)
    for name, entry in shapes.FACTORS.items():
        if canvas.is_category(entry):
            counts = np.bincount(factors[name], minlength=len(entry[0]))
            assert counts.min() > 0.8 * 4000 / len(entry[0])
        else:
            low, high = entry[:2]
            np.testing.assert_allclose(
                np.quantile(factors[name], [0, 0.5, 1]),
                [low, (low + high) / 2, high],
                atol=0.04 * (high - low),
            )
    correlation = np.corrcoef([factors[name] for name in shapes.FACTORS])
    assert np.abs(correlation - np.eye(len(correlation))).max() < 0.06


def test_vary_freezes_the_others_and_changes_nothing_else():
    everything = shapes.sample_factors(50, seed=2)
    some = shapes.sample_factors(50, seed=2, vary=("x", "hue"))
    for name in shapes.FACTORS:
        if name in ("x", "hue"):
            np.testing.assert_array_equal(some[name], everything[name])
        else:
            np.testing.assert_array_equal(some[name], np.full(50, shapes.DEFAULTS[name], "f4"))
    assert len(set(shapes.sample_factors(50, vary="kind")["kind"].tolist())) == 5
    still = shapes.sample_factors(3, vary=())
    assert all(np.ptp(values) == 0 for values in still.values())


@pytest.mark.parametrize("kind", range(5))
def test_area_and_place_are_those_of_the_factors(kind):
    factors = {"kind": kind, "x": 0.41, "y": 0.62, "size": 0.2, "angle": 0.3}
    inside = mask(factors, size=256)
    assert inside.mean() == pytest.approx(AREAS[shapes.KINDS[kind]] * 0.2**2, rel=0.015)
    assert centroid(inside) == pytest.approx((0.41, 0.62), abs=0.002)


def test_corners_turn_clockwise_with_the_angle():
    rows, columns = np.nonzero(mask({"kind": 2, "size": 0.24, "angle": 0.4}, size=256))
    u, v = (columns + 0.5) / 256 - 0.5, (rows + 0.5) / 256 - 0.5
    # A triangle's corner lies 1.25 radii along its top, the opposite side 0.625 the other way.
    along = (u * math.sin(0.4) - v * math.cos(0.4)) / 0.24
    assert along.max() == pytest.approx(1.25, abs=0.04)
    assert along.min() == pytest.approx(-0.625, abs=0.02)


@pytest.mark.parametrize("kind", range(5))
def test_no_shape_is_cut_off_by_the_frame(kind):
    ends = np.array(np.meshgrid([0.33, 0.67], [0.33, 0.67], [-0.4, 0.0, 0.4])).reshape(3, -1)
    outer = {"kind": kind, "size": 0.24, "x": ends[0], "y": ends[1], "angle": ends[2]}
    middle = shapes.render({"kind": kind, "size": 0.12})[0]
    for image in shapes.render(outer):
        for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
            # A corner may graze the last pixel; a shape that is cut would fill some of them.
            assert np.abs(image[edge].astype(int) - middle[edge]).max() < 16


def test_edges_are_smooth():
    steps = shapes.render({"x": 0.5 + np.linspace(0, 1, 11) / 32, "kind": 3}).astype(int)
    change = np.abs(np.diff(steps, axis=0))
    assert np.all(change.reshape(10, -1).max(axis=1) > 0)  # a tenth of a pixel shows
    assert change.max() <= 0.1 * np.ptp(steps, axis=(1, 2)).max() + 2  # a tenth of the contrast


def test_grey_tells_the_hue():
    images = shapes.render({"hue": np.linspace(0, 1, 25), "size": 0.24})
    grey = images[:, 16, 16] @ [0.299, 0.587, 0.114]
    assert np.all(np.diff(grey) > 0)


@pytest.mark.parametrize("name", [name for name in shapes.FACTORS if name != "angle"])
def test_every_factor_shows(name):
    entry = shapes.FACTORS[name]
    ends = (0, 1) if canvas.is_category(entry) else entry[:2]
    pair = shapes.render({name: np.array(ends)}).astype(int)
    assert np.abs(pair[1] - pair[0]).max() > 30


@pytest.mark.parametrize("kind", range(5))
def test_the_angle_shows_on_every_kind(kind):
    turned, upright = shapes.render({"kind": kind, "angle": [0.4, 0.0], "size": 0.24}).astype(int)
    assert np.abs(turned - upright).max() > 8


@pytest.mark.parametrize("size", [8, 33, 64])
def test_any_size(size):
    assert shapes.generate(3, size=size)[0].shape == (3, size, size, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: shapes.render({"colour": 1}),
            "`factors` holds 'colour', expected some of kind, hue",
        ),
        (lambda: shapes.render({"x": 0.9}), r"factors\['x'\]` holds 0.9, expected 0.33 to 0.67"),
        (lambda: shapes.render({"x": np.nan}), r"factors\['x'\]` holds nan"),
        (lambda: shapes.render({"kind": 5}), r"holds 5, expected an index from 0 to 4 \(disc"),
        (lambda: shapes.render({"kind": 0.5}), "holds 0.5, expected an index"),
        (lambda: shapes.render({"kind": "disc"}), r"factors\['kind'\]` is <U4"),
        (lambda: shapes.render({"x": np.full((2, 2), 0.5)}), r"of shape \(2, 2\)"),
        (lambda: shapes.render({"x": [0.4, 0.5], "y": [0.4] * 3}), "'x': 2, 'y': 3"),
        (lambda: shapes.render([0.5]), "`factors` is a list, expected a dict"),
        (lambda: shapes.render({}, size=7), "`size` is 7, expected a whole number of at least 8"),
        (lambda: shapes.render({}, size=32.0), "`size` is 32.0"),
        (lambda: shapes.generate(-1), "`n` is -1, expected a whole number of at least 0"),
        (lambda: shapes.generate(2.5), "`n` is 2.5"),
        (lambda: shapes.generate(2, seed=-3), "`seed` is -3"),
        (lambda: shapes.sample_factors(2, vary=("x", "z")), "`vary` holds 'z', expected some of"),
    ],
)
def test_bad_input_is_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_light_comes_from_above():
    image = shapes.render({"background": 1.0}, size=32)[0].astype("float32")
    assert image[0].mean() > 1.15 * image[-1].mean()  # the ground
    assert image[12, 16].mean() > 1.1 * image[20, 16].mean()  # the shape
