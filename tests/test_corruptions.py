import keras
import numpy as np
import pytest

from kerasae.corruptions import (
    QUADRANTS,
    BlockMask,
    MaskingNoise,
    QuadrantMask,
    SaltAndPepper,
    hide,
    with_mask,
)

X = np.random.default_rng(0).uniform(0.2, 0.8, (40, 12, 10, 2)).astype("float32")


def corrupt(layer, x=X, training=True):
    return keras.ops.convert_to_numpy(layer(x, training=training))


LAYERS = {
    "masking": lambda: MaskingNoise(0.3, seed=1),
    "salt and pepper": lambda: SaltAndPepper(0.3, seed=1),
    "masked pixels": lambda: MaskingNoise(0.3, whole_pixels=True, seed=1),
    "salt and pepper by channel": lambda: SaltAndPepper(0.3, [0.0, -1.0], [1.0, 2.0], seed=1),
    "block": lambda: BlockMask((5, 3), seed=1),
    "quadrants": lambda: QuadrantMask(3, seed=1),
}


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS.keys())
def test_every_corruption(make):
    """Off at inference, afresh each step, repeatable by seed, saved with its configuration."""
    layer = make()
    np.testing.assert_array_equal(corrupt(layer, training=False), X)
    np.testing.assert_array_equal(corrupt(layer, training=None), X)
    first, second = corrupt(layer), corrupt(layer)
    assert (first != second).any()
    np.testing.assert_array_equal(corrupt(make()), first)
    again = type(layer).from_config(layer.get_config())
    np.testing.assert_array_equal(corrupt(again), first)
    untouched = first == X
    assert 0.2 < untouched.mean() < 0.95


def test_masking_hides_a_fraction():
    noisy = corrupt(MaskingNoise(0.3, seed=2))
    hidden = noisy == 0
    # 9,600 draws: the standard deviation of the fraction is 0.0047.
    assert hidden.mean() == pytest.approx(0.3, abs=0.02)
    np.testing.assert_array_equal(noisy[~hidden], X[~hidden])
    assert corrupt(MaskingNoise(0.0)).min() > 0
    assert corrupt(MaskingNoise(1.0)).max() == 0


def test_salt_and_pepper_are_equally_likely():
    noisy = corrupt(SaltAndPepper(0.4, minimum=-1.0, maximum=2.0, seed=2))
    assert (noisy == -1).mean() == pytest.approx(0.2, abs=0.02)
    assert (noisy == 2).mean() == pytest.approx(0.2, abs=0.02)
    kept = (noisy != -1) & (noisy != 2)
    np.testing.assert_array_equal(noisy[kept], X[kept])


@pytest.mark.parametrize("layer", [MaskingNoise, SaltAndPepper])
def test_whole_pixels_are_hit_together(layer):
    for together in (True, False):
        hit = corrupt(layer(0.3, whole_pixels=together, seed=2)) != X
        assert hit.mean() == pytest.approx(0.3, abs=0.03)
        assert (hit[..., 0] == hit[..., 1]).all() == together
    if layer is SaltAndPepper:  # white or black, never coloured
        noisy = corrupt(layer(1.0, whole_pixels=True, seed=2))
        assert (noisy[..., 0] == noisy[..., 1]).all() and set(noisy.ravel()) == {0.0, 1.0}


def test_salt_and_pepper_by_feature():
    x = np.full((2000, 2), 0.5, "float32")
    noisy = corrupt(SaltAndPepper(0.4, minimum=[-1.0, 3.0], maximum=(2.0, 4.0), seed=2), x)
    for column, low, high in ((0, -1, 2), (1, 3, 4)):
        assert set(noisy[:, column]) == {low, 0.5, high}
        assert (noisy[:, column] == low).mean() == pytest.approx(0.2, abs=0.04)


def test_block_in_images_of_any_size():
    inputs = keras.Input((None, None, 2))
    model = keras.Model(inputs, BlockMask((5, 3), seed=2)(inputs))
    hidden = corrupt(model, np.ones_like(X)) == 0
    assert (hidden[..., 0].sum(axis=(1, 2)) == 15).all()


def test_block_hides_one_rectangle_anywhere():
    corners = set()
    noisy = corrupt(BlockMask((5, 3), seed=2), np.ones((400, 12, 10, 2), "float32"))
    for image in noisy:
        rows, columns = np.where(image[..., 0] == 0)
        assert len(rows) == 15
        assert rows.max() - rows.min() == 4 and columns.max() - columns.min() == 2
        assert (image[..., 0] == image[..., 1]).all()
        corners.add((int(rows.min()), int(columns.min())))
    assert {row for row, _ in corners} == set(range(8))
    assert {column for _, column in corners} == set(range(8))


def quadrants(images):
    """The four of each image, in the order of their names."""
    return [images[:, :6, :5], images[:, :6, 5:], images[:, 6:, :5], images[:, 6:, 5:]]


def test_as_many_quadrants_are_seen_as_asked_for():
    x = np.ones((400, 12, 10, 2), "float32")
    for visible in range(5):
        seen = np.stack([q.mean((1, 2, 3)) for q in quadrants(corrupt(QuadrantMask(visible), x))])
        assert set(seen.ravel()) <= {0.0, 1.0}
        assert (seen.sum(axis=0) == visible).all()
        # 400 draws: the standard deviation of a share is at most 0.025.
        np.testing.assert_allclose(seen.mean(axis=1), visible / 4, atol=0.12)


def test_quadrants_by_name():
    noisy = corrupt(QuadrantMask(["bottom left", "top right"]))
    for name, found, given in zip(QUADRANTS, quadrants(noisy), quadrants(X), strict=True):
        seen = name in ("bottom left", "top right")
        np.testing.assert_array_equal(found, given if seen else 0 * given)
    np.testing.assert_array_equal(corrupt(QuadrantMask([])), 0)
    layer = QuadrantMask("top left")
    assert layer.visible == ["top left"]
    np.testing.assert_array_equal(quadrants(corrupt(layer))[0], quadrants(X)[0])


def test_the_mask_says_what_is_hidden():
    assert with_mask(X).shape == (40, 12, 10, 3)
    np.testing.assert_array_equal(with_mask(X)[..., :2], X)
    several = keras.Sequential([BlockMask(3, seed=1), MaskingNoise(0.2, whole_pixels=True, seed=2)])
    for layer in (QuadrantMask(1, seed=1), several):
        condition = hide(X, layer)
        seen = condition[..., 2:]
        assert set(seen.ravel()) == {0.0, 1.0}
        np.testing.assert_array_equal(condition[..., :2], X * seen)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_hits_as_much(dtype):
    x = np.full((200, 1000), 0.5, "float32")
    # 200,000 draws: the standard deviation of the count is 14.
    assert (corrupt(MaskingNoise(0.001, seed=2, dtype=dtype), x) == 0).sum() == pytest.approx(
        200, abs=70
    )
    noisy = corrupt(SaltAndPepper(0.002, seed=2, dtype=dtype), x)
    assert (noisy == 0).sum() == pytest.approx(200, abs=70)
    assert (noisy == 1).sum() == pytest.approx(200, abs=70)
    images = np.ones((8, 600, 700, 1), "float32")
    hidden = corrupt(BlockMask(100, seed=2, dtype=dtype), images) == 0
    assert (hidden.sum(axis=(1, 2, 3)) == 100 * 100).all()


def test_several_at_once():
    both = keras.Sequential([MaskingNoise(0.5, seed=1), keras.layers.GaussianNoise(0.1, seed=1)])
    np.testing.assert_array_equal(corrupt(both, training=False), X)
    noisy = corrupt(both)
    assert (np.abs(noisy) < 0.5).mean() > 0.5 and (noisy != X).all()


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: MaskingNoise(1.5), r"`fraction` is 1.5, expected a number from 0 to 1"),
        (lambda: MaskingNoise("half"), "`fraction` is 'half', expected a number from 0 to 1"),
        (lambda: SaltAndPepper(0.1, 1.0, 0.0), "`minimum` is 1.0, expected less than `maximum`"),
        (
            lambda: SaltAndPepper(0.1, [0.0, 1.0], [1.0, 1.0]),
            r"`minimum` is \[0.0, 1.0\], expected less than `maximum`",
        ),
        (
            lambda: SaltAndPepper(0.1, maximum=[1.0, 1.0, 1.0])(X),
            r"`maximum` has shape \(3,\), expected one number, or 2 for input",
        ),
        (
            lambda: MaskingNoise(0.1, whole_pixels=True)(X[..., 0]),
            "`MaskingNoise` got input of shape .*, expected images .* under `whole_pixels`",
        ),
        (lambda: BlockMask((3, 4, 5)), "expected a height and a width, or one number"),
        (lambda: BlockMask(0), "`size` is 0, expected a whole number of at least 1"),
        (lambda: BlockMask(13)(X), "expected images .* of at least"),
        (lambda: BlockMask(3)(X[..., 0]), "expected images"),
        (lambda: QuadrantMask(5), "`visible` is 5, expected at most 4 quadrants"),
        (lambda: QuadrantMask(-1), "`visible` is -1, expected a whole number of at least 0"),
        (lambda: QuadrantMask("left"), r"`visible` is \['left'\], expected a number, or some of"),
        (lambda: QuadrantMask(1)(X[..., 0]), "expected images"),
        (lambda: with_mask(X[..., 0]), "`x` has shape .*, expected"),
        (lambda: hide(X, None), "`corruption` is None, expected a Keras layer"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
