"""The drawn digits: same seed same images, factors that do what they say, MNIST's manners."""

import os
from pathlib import Path

import numpy as np
import pytest

from kerasae.datasets import strokes

pytestmark = pytest.mark.home("tensorflow")

ALL_STYLES = [(digit, style) for digit in range(10) for style in range(len(strokes.STYLES[digit]))]


def moments(images):
    """Ink, centre and second moments (rows, columns, mixed) of every image."""
    ink = images[..., 0] / 255.0
    total = ink.sum((1, 2))
    row, column = (np.arange(28.0) for _ in range(2))
    y, x = (ink.sum(2) @ row / total, ink.sum(1) @ column / total)
    dy, dx = row - y[:, None], column - x[:, None]
    yy = (ink.sum(2) * dy**2).sum(1) / total
    xx = (ink.sum(1) * dx**2).sum(1) / total
    yx = np.einsum("nrc,nr,nc->n", ink, dy, dx) / total
    return total, y, x, yy, xx, yx


def pieces(image):
    """The number of 4-connected regions of paper: 1 more than the closed loops."""
    paper = np.pad(image[..., 0] < 100, 1, constant_values=True)
    count = 0
    while paper.any():
        region = np.zeros_like(paper)
        region[tuple(np.argwhere(paper)[0])] = True
        while True:
            grown = region.copy()
            grown[1:] |= region[:-1]
            grown[:-1] |= region[1:]
            grown[:, 1:] |= region[:, :-1]
            grown[:, :-1] |= region[:, 1:]
            grown &= paper
            if (grown == region).all():
                break
            region = grown
        paper &= ~region
        count += 1
    return count


@pytest.fixture(scope="module")
def drawn():
    return strokes.generate(1000, seed=3)


def test_shapes_and_types(drawn):
    images, labels, factors = drawn
    assert images.shape == (1000, 28, 28, 1) and images.dtype == np.uint8
    assert labels.shape == (1000,) and labels.dtype == np.int64
    assert set(factors) == {*strokes.FACTORS, "wobble"}
    assert factors["wobble"].shape == (1000, strokes.WOBBLE)
    assert all(factors[name].shape == (1000,) for name in strokes.FACTORS)
    assert np.array_equal(labels, factors["digit"])
    assert isinstance(strokes.VERSION, str)
    assert strokes.generate(0)[0].shape == (0, 28, 28, 1)


def test_same_seed_same_bits_and_another_seed_another_set(drawn):
    images, labels, factors = drawn
    again, labels_again, factors_again = strokes.generate(1000, seed=3)
    assert np.array_equal(images, again) and np.array_equal(labels, labels_again)
    assert all(np.array_equal(factors[k], factors_again[k]) for k in factors)
    assert not np.array_equal(images, strokes.generate(1000, seed=4)[0])


@pytest.mark.parametrize("n", [1, 7, 10, 333])
def test_a_larger_set_begins_with_the_smaller_one(drawn, n):
    images, labels, factors = strokes.generate(n, seed=3)
    assert np.array_equal(images, drawn[0][:n]) and np.array_equal(labels, drawn[1][:n])
    assert all(np.array_equal(factors[k], drawn[2][k][:n]) for k in factors)


def test_drawing_is_a_function_of_each_image_s_own_factors(drawn):
    images, _, factors = drawn
    order = np.random.default_rng(0).permutation(1000)[:50]
    assert np.array_equal(strokes.render({k: v[order] for k, v in factors.items()}), images[order])
    one = strokes.render({k: v[17] for k, v in factors.items()})
    assert np.array_equal(one, images[17:18])


def test_every_ten_labels_hold_every_digit_in_an_order_of_their_own(drawn):
    tens = drawn[1].reshape(100, 10)
    assert (np.sort(tens, axis=1) == np.arange(10)).all()
    assert len(np.unique(tens, axis=0)) == 100


def test_factors_of_the_set_lie_in_their_ranges_and_use_every_style():
    factors = strokes.sample_factors(8000, seed=1)
    for name, factor in strokes.FACTORS.items():
        assert factor.low <= factors[name].min() and factors[name].max() <= factor.high, name
        assert factor.low <= factor.neutral <= factor.high, name
    assert set(zip(factors["digit"], factors["style"], strict=True)) == set(ALL_STYLES)
    assert strokes.FACTORS["style"].high == max(style for _, style in ALL_STYLES)
    assert abs(factors["wobble"][:, -32:].std() - 1) < 0.01


def test_ink_fits_the_box_and_is_centred(drawn):
    images = drawn[0][..., 0]
    # Half-white pixels mark the edge; a box that starts between two pixels touches 21.
    solid = images > 127
    extent = np.stack([solid.any(axis).sum(1) for axis in (1, 2)])
    assert extent.max() <= 21
    assert (extent.max(axis=0) >= 18).mean() > 0.99  # the thinnest pens never reach white
    _, y, x, *_ = moments(drawn[0])
    assert np.abs([y.mean() - strokes.CENTRE, x.mean() - strokes.CENTRE]).max() < 0.1
    assert np.median(np.hypot(y - strokes.CENTRE, x - strokes.CENTRE)) < 0.5
    border = np.concatenate([images[:, [0, -1]].reshape(-1), images[:, :, [0, -1]].reshape(-1)])
    assert border.max() < 128


def test_edges_are_soft_and_strokes_white(drawn):
    grey = drawn[0][drawn[0] > 0]
    assert 0.15 < (drawn[0] > 0).mean() < 0.25
    assert 0.25 < (grey > 250).mean() < 0.5
    assert len(np.unique(grey)) == 255


def test_every_style_draws_something_of_its_own():
    digit, style = np.array(ALL_STYLES).T
    images = strokes.render({"digit": digit, "style": style}).reshape(len(digit), -1) / 255
    assert images.sum(1).min() > 25
    apart = np.abs(images[:, None] - images).sum(2) + np.diag(np.full(len(digit), np.inf))
    assert apart.min() > 5


@pytest.mark.parametrize("digit", range(10))
def test_thicker_means_more_ink(digit):
    ink, *_ = moments(strokes.render({"digit": digit, "thickness": np.linspace(1, 6, 11)}))
    assert (np.diff(ink) > 0).all() and ink[-1] > 2 * ink[0]


def test_thickness_is_the_width_of_the_line_in_pixels():
    thickness = np.array([1.5, 2.5, 4.0])
    bars = strokes.render({"digit": 1, "thickness": thickness})[:, 14, :, 0] / 255
    np.testing.assert_allclose(bars.sum(1), thickness, atol=0.1)


@pytest.mark.parametrize("digit", range(10))
def test_slant_leans_to_the_right(digit):
    *_, yy, _, yx = moments(strokes.render({"digit": digit, "slant": np.linspace(-0.8, 0.8, 9)}))
    lean = -yx / yy  # columns gained per row upwards
    assert (np.diff(lean) > 0).all() and lean[-1] - lean[0] > 1


@pytest.mark.parametrize("digit", range(10))
def test_width_widens(digit):
    _, _, _, yy, xx, _ = moments(strokes.render({"digit": digit, "style": 0, "width": [0.5, 1, 2]}))
    aspect = xx / yy
    if digit == 1:  # a vertical line has no width to stretch
        np.testing.assert_allclose(aspect, aspect[1], rtol=0.01)
    else:
        assert aspect[1] > 2 * aspect[0] and aspect[2] > 2 * aspect[1]


def test_rotation_is_an_angle_counter_clockwise():
    angle = np.linspace(-0.6, 0.6, 7)
    _, _, _, yy, xx, yx = moments(strokes.render({"digit": 1, "rotation": angle}))
    # The axis of the greatest spread, from the vertical; its top goes left when the angle grows.
    axis = 0.5 * np.arctan2(2 * yx, yy - xx)
    np.testing.assert_allclose(axis, angle, atol=0.03)


@pytest.mark.parametrize(
    ("digit", "gap", "loops"), [(0, 0.9, 1), (6, 0.7, 1), (8, 0.85, 2), (9, 0.7, 1)]
)
def test_closure_opens_and_closes_the_loop(digit, gap, loops):
    images = strokes.render({"digit": digit, "thickness": 2.0, "closure": [gap, 1.0, 1.1]})
    assert [pieces(image) - 1 for image in images] == [loops - 1, loops, loops]


def test_closure_draws_more_of_the_styles_it_names_and_leaves_the_others():
    digit, style = np.array(ALL_STYLES).T
    short, full = (
        strokes.render({"digit": digit, "style": style, "closure": closure}) for closure in (0.7, 1)
    )
    changed = (short != full).any((1, 2, 3))
    assert [style in strokes.CLOSING[digit] for digit, style in ALL_STYLES] == changed.tolist()
    assert changed.any() and not changed.all()


def test_a_corner_ends_one_curve_and_begins_the_next():
    flag = strokes.STYLES[1].index("flag")
    stem = strokes.render({"digit": 1, "style": flag})[0, 14:22, :, 0] / 255.0
    middle = stem @ np.arange(28) / stem.sum(1)
    assert np.ptp(middle) < 0.05  # a curve through the corner would swing to the right


def test_wobble_moves_the_drawing_smoothly():
    direction = strokes.sample_factors(1, seed=5)["wobble"]
    drawing = strokes.render({"digit": 5, "wobble": np.linspace(0, 1, 21)[:, None] * direction})
    drawing = drawing.astype(float).reshape(21, -1) / 255
    steps = np.linalg.norm(np.diff(drawing, axis=0), axis=1)
    assert np.linalg.norm(drawing[-1] - drawing[0]) > 3
    assert steps.max() < 1.5
    neutral = strokes.render({"digit": 5}).astype(float).reshape(-1) / 255
    np.testing.assert_array_equal(drawing[0], neutral)


def test_scalars_broadcast_and_missing_factors_are_neutral():
    slants = np.linspace(-0.4, 0.4, 7)
    images = strokes.render({"digit": 3, "slant": slants})
    assert images.shape == (7, 28, 28, 1)
    neutral = {name: factor.neutral for name, factor in strokes.FACTORS.items()}
    spelt = strokes.render({**neutral, "digit": [3] * 7, "slant": slants, "wobble": np.zeros(78)})
    assert np.array_equal(images, spelt)
    assert np.array_equal(images[3:4], strokes.render({"digit": 3}))
    assert strokes.render({}).shape == (1, 28, 28, 1)
    assert strokes.render({"digit": np.zeros(0, int)}).shape == (0, 28, 28, 1)


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ({"digit": 3, "slope": 1}, r"`factors` holds the names \['slope'\]"),
        ({"slant": 3.0}, r"'slant'\]` holds 3.0, expected -1.0 to 1.0"),
        ({"thickness": [2.0, np.nan]}, r"'thickness'\]` holds nan, expected 1.0 to 6.0"),
        ({"digit": 10}, r"'digit'\]` holds 10.0, expected 0 to 9"),
        ({"digit": 2.5}, r"'digit'\]` is 2.5, expected integers"),
        ({"digit": "three"}, r"'digit'\]` is 'three', expected numbers"),
        ({"digit": [0, 1], "style": 5}, r"'style'\]` holds 5, expected 0 to 2 for digit 1"),
        ({"digit": [[1]]}, r"'digit'\]` has shape \(1, 1\), expected a number or \(n,\)"),
        ({"wobble": np.zeros(5)}, r"'wobble'\]` has shape \(5,\), expected \(78,\) or \(n, 78\)"),
        ({"wobble": np.full(78, 9.0)}, r"'wobble'\]` holds 9.0, expected -4.0 to 4.0"),
        (
            {"digit": [1, 2], "width": [1, 1, 1]},
            r"lengths .*'digit': 2, 'width': 3.*, expected one length",
        ),
    ],
)
def test_bad_factors_are_named_in_one_sentence(factors, message):
    with pytest.raises(ValueError, match=message):
        strokes.render(factors)


@pytest.mark.parametrize("n", [-1, 2.5, True, "ten"])
def test_a_bad_number_of_images_is_named(n):
    with pytest.raises(ValueError, match=r"`n` is .*, expected a whole number of at least 0"):
        strokes.generate(n)


def neighbours(images):
    """Images at half the resolution, blurred, of unit length: what a nearest neighbour compares."""
    pixels = images.reshape(-1, 28, 28).astype(np.float32)
    pixels = sum(np.roll(pixels, (a, b), (1, 2)) for a in (-1, 0, 1) for b in (-1, 0, 1))
    pixels = pixels[:, 1::2, 1::2].reshape(len(images), -1)
    return pixels / np.linalg.norm(pixels, axis=1, keepdims=True)


def test_a_nearest_neighbour_among_strokes_reads_real_digits():
    folder = os.environ.get("KERASAE_DATA")
    path = Path(folder or ".") / "mnist.npz"
    if not folder or not path.is_file():
        pytest.skip("reads real digits: KERASAE_DATA names no folder that holds mnist.npz")
    with np.load(path) as real:
        digits, names = real["x_train"][20000:22000], real["y_train"][20000:22000]
    images, labels, _ = strokes.generate(8000, seed=0)
    nearest = (neighbours(digits) @ neighbours(images).T).argmax(axis=1)
    assert (labels[nearest] == names).mean() > 0.90
