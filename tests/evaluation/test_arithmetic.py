import numpy as np
import pytest

from kerasae.evaluation.arithmetic import analogy, around, attribute_vector
from kerasae.interpolation import spherical

pytestmark = pytest.mark.home("tensorflow")


def rotation(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


@pytest.mark.parametrize("angle", [1e-9, 1e-4, 0.3, np.pi / 2, 3.0, np.pi - 1e-4])
def test_the_arc_in_a_plane_is_a_rotation(angle):
    start = np.array([[0.6, 0.8]])
    path = spherical(start, start @ rotation(angle).T, steps=5)
    expected = [start @ rotation(share * angle).T for share in (0, 0.25, 0.5, 0.75, 1)]
    np.testing.assert_allclose(path[0], np.concatenate(expected), atol=1e-11)


@pytest.mark.parametrize("size", [2, 3, 100])
def test_it_is_shoemakes_formula_with_lengths_in_between(size):
    start, end = np.random.default_rng(size).normal(size=(2, 20, size))
    u, v = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (start, end))
    angle = np.arccos(np.sum(u * v, axis=1, keepdims=True))
    path = spherical(start, end, steps=4)
    for step, t in enumerate((0, 1 / 3, 2 / 3, 1)):
        direction = (np.sin((1 - t) * angle) * u + np.sin(t * angle) * v) / np.sin(angle)
        length = (1 - t) * np.linalg.norm(start, axis=1) + t * np.linalg.norm(end, axis=1)
        np.testing.assert_allclose(path[:, step], direction * length[:, None], atol=1e-9)


def test_the_sphere_is_not_left_where_a_line_leaves_it():
    start, end = np.random.default_rng(0).normal(size=(2, 50, 100))
    halfway = spherical(start, end, steps=3)[:, 1]
    both = np.linalg.norm(start, axis=1) + np.linalg.norm(end, axis=1)
    np.testing.assert_allclose(np.linalg.norm(halfway, axis=1), both / 2)
    straight = np.linalg.norm((start + end) / 2, axis=1)
    assert abs(np.mean(straight / (both / 2)) - np.sqrt(0.5)) < 0.02


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ends_are_exact_and_the_way_back_is_the_same(dtype):
    start, end = np.random.default_rng(1).normal(size=(2, 30, 4, 2)).astype(dtype)
    path = spherical(start, end, steps=6)
    assert path.shape == (30, 6, 4, 2) and path.dtype == dtype
    assert np.array_equal(path[:, 0], start) and np.array_equal(path[:, -1], end)
    np.testing.assert_allclose(spherical(end, start, steps=6), path[:, ::-1], atol=1e-6)


def test_parallel_equal_and_zero_codes_go_straight():
    start = np.array([[1.0, 2.0], [1.0, 2.0], [0.0, 0.0], [3.0, 0.0], [0.0, 0.0]])
    end = np.array([[2.0, 4.0], [1.0, 2.0], [3.0, 4.0], [0.0, 0.0], [0.0, 0.0]])
    t = np.linspace(0, 1, 5)[:, None]
    straight = (1 - t) * start[:, None] + t * end[:, None]
    np.testing.assert_allclose(spherical(start, end, steps=5), straight, atol=1e-12)


def test_opposite_codes_have_no_shortest_arc():
    start = np.array([[1.0, 0.0], [1.0, 1.0]])
    with pytest.raises(ValueError, match="opposite directions at example 1, expected"):
        spherical(start, np.array([[0.0, 1.0], [-2.0, -2.0]]))


@pytest.fixture
def faces():
    """Codes that add up from attributes that go together: smiles mostly wear glasses."""
    rng = np.random.default_rng(0)
    glasses = rng.random(400) < 0.5
    smile = np.where(rng.random(400) < 0.85, glasses, ~glasses)
    skin = rng.normal(size=400) + smile
    hair = rng.integers(0, 3, 400)
    directions = rng.normal(size=(4, 5))
    codes = np.outer(smile, directions[0]) + np.outer(glasses, directions[1])
    codes = codes + np.outer(skin, directions[2]) + (hair == 1)[:, None] * directions[3]
    return codes, smile, {"glasses": glasses, "skin": skin, "hair": hair}, directions


def test_without_others_it_is_the_difference_of_means(faces):
    codes, smile, _, _ = faces
    expected = codes[smile].mean(axis=0) - codes[~smile].mean(axis=0)
    np.testing.assert_allclose(attribute_vector(codes, smile), expected)


def test_with_others_nothing_of_them_is_left(faces):
    codes, smile, others, directions = faces
    np.testing.assert_allclose(attribute_vector(codes, smile, others), directions[0])
    assert np.abs(attribute_vector(codes, smile) - directions[0]).max() > 0.5


def test_others_may_be_an_array(faces):
    codes, smile, others, _ = faces
    hair = np.eye(3)[others["hair"]]
    array = np.column_stack([others["glasses"], others["skin"], hair])
    expected = attribute_vector(codes, smile, others)
    np.testing.assert_allclose(attribute_vector(codes, smile, array), expected)


def test_it_is_the_coefficient_of_a_regression(faces):
    codes, smile, others, _ = faces
    codes = codes + np.random.default_rng(1).normal(size=codes.shape)
    design = np.column_stack([np.ones(400), smile, others["glasses"]])
    expected = np.linalg.lstsq(design, codes, rcond=None)[0][1]
    np.testing.assert_allclose(attribute_vector(codes, smile, others["glasses"]), expected)


def test_codes_keep_their_shape_and_type(faces):
    codes, smile, others, directions = faces
    maps = codes[:, :4].astype("float32").reshape(400, 2, 2, 1)
    vector = attribute_vector(maps, smile, others)
    assert vector.shape == (2, 2, 1) and vector.dtype == np.float32
    np.testing.assert_allclose(vector.ravel(), directions[0, :4], rtol=1e-5)


def test_an_analogy_moves_by_the_difference_of_the_means():
    rng = np.random.default_rng(0)
    having, lacking, onto = rng.normal(size=(3, 3, 7))
    moved = analogy(having, lacking, onto)
    np.testing.assert_allclose(moved, onto.mean(0) + having.mean(0) - lacking.mean(0))
    np.testing.assert_allclose(analogy(having, having, onto), onto.mean(axis=0), atol=1e-15)


def test_noise_around_the_centre_is_uniform_and_the_middle_has_none():
    centre = np.full(2000, 3.0)
    grid = around(centre, noise=0.5, rows=5, columns=3, seed=4)
    assert grid.shape == (15, 2000) and np.array_equal(grid[7], centre)
    noise = np.delete(grid, 7, axis=0) - 3
    assert np.abs(noise).max() <= 0.5 and abs(noise.std() - 0.5 / np.sqrt(3)) < 0.01
    assert abs(noise.mean()) < 0.01 and len(np.unique(noise)) == noise.size
    assert np.array_equal(grid, around(centre, 0.5, 5, 3, seed=4))
    assert not np.array_equal(grid, around(centre, 0.5, 5, 3, seed=5))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda z: spherical(z, z[:3]), r"`end` has shape \(3, 2\), expected \(4, 2\)"),
        (lambda z: spherical(z, z, steps=1), "`steps` is 1"),
        (lambda z: spherical(z * np.nan, z), "`start` holds NaN"),
        (lambda z: attribute_vector(z, np.array([0, 1, 1, 0])), "`has` is int64 of shape"),
        (lambda z: attribute_vector(z, np.ones(3, bool)), r"`has` is bool of shape \(3,\)"),
        (lambda z: attribute_vector(z, np.ones(4, bool)), "`has` is True throughout"),
        (lambda z: attribute_vector(z, z[:, 0] > 1, z[:3]), r"`others` has shape \(3, 2\)"),
        (lambda z: attribute_vector(z, z[:, 0] > 1, z[:, 0] > 1), "`others` determine `has`"),
        (
            lambda z: attribute_vector(z, z[:, 0] > 1, {"skin": z[:3, 0]}),
            r"`others\['skin'\]` has shape \(3,\), expected \(4,\)",
        ),
        (lambda z: analogy(z, z[:, :1], z), r"`lacking` has codes of shape \(1,\)"),
        (lambda z: around(z[0], rows=2), "`rows` is 2, expected an odd number"),
        (lambda z: around(z[0], noise=-1), "`noise` is -1"),
    ],
)
def test_bad_input_is_named(call, message):
    codes = np.array([[1.0, 2.0], [2.0, 1.0], [0.0, 1.0], [3.0, 1.0]])
    with pytest.raises(ValueError, match=message):
        call(codes)
