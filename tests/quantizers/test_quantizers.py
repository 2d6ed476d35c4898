"""Quantizers: the nearest vector, its index there and back, gradients, and codebooks in use."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from kerasae.engine import derivatives
from kerasae.quantizers import (
    FiniteScalarQuantizer,
    ResidualQuantizer,
    VectorQuantizer,
    perplexity,
    usage,
)

RNG = np.random.default_rng(0)
SIZE, DIMENSION = 8, 3


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def filled(codebook, **arguments):
    layer = VectorQuantizer(len(codebook), seed=0, **arguments)
    layer.build((None, codebook.shape[1]))
    layer.codebook.assign(codebook)
    if layer.update == "average":
        layer.sums.assign(codebook)
    return layer


def residual(stages=3):
    layer = ResidualQuantizer([VectorQuantizer(SIZE, seed=seed) for seed in range(stages)])
    layer.start(RNG.normal(size=(500, DIMENSION)))
    return layer


MAKERS = {
    "vectors": lambda: filled(RNG.normal(size=(SIZE, DIMENSION)).astype("float32")),
    "cosine": lambda: filled(
        RNG.normal(size=(SIZE, DIMENSION)).astype("float32"), distance="cosine"
    ),
    "gradient": lambda: filled(
        RNG.normal(size=(SIZE, DIMENSION)).astype("float32"), update="gradient"
    ),
    "scalars": lambda: FiniteScalarQuantizer((4, 3, 5), standardize=False),
    "scalars in stages": lambda: FiniteScalarQuantizer((4, 3, 5), stages=2, standardize=False),
    "residual": residual,
}
every_kind = pytest.mark.parametrize("kind", MAKERS)


@every_kind
def test_shapes_ranges_and_indices_there_and_back(kind):
    layer, z = MAKERS[kind](), RNG.normal(size=(5, 4, DIMENSION)).astype("float32")
    q, indices, loss = layer.nearest(ops.convert_to_tensor(z))
    assert tuple(q.shape) == z.shape and tuple(loss.shape) == (5,)
    assert tuple(indices.shape) == (5, 4, *layer.index_shape)
    assert "int32" in str(indices.dtype)
    assert 0 <= numpy(indices).min() and numpy(indices).max() < layer.size
    np.testing.assert_allclose(numpy(layer.vectors(indices)), numpy(q), atol=1e-6)
    np.testing.assert_allclose(numpy(layer(ops.convert_to_tensor(z))), numpy(q), atol=1e-6)


@pytest.mark.parametrize("kind", ["vectors", "cosine", "gradient"])
def test_a_codeword_is_its_own_nearest(kind):
    layer = MAKERS[kind]()
    q, indices, loss = layer.nearest(layer.codewords())
    assert numpy(indices).tolist() == list(range(SIZE))
    np.testing.assert_allclose(numpy(q), numpy(layer.codewords()), atol=1e-6)
    np.testing.assert_allclose(numpy(loss), 0, atol=1e-6)


def test_the_nearest_codeword_is_the_nearest():
    layer, z = MAKERS["vectors"](), RNG.normal(size=(50, DIMENSION)).astype("float32")
    distances = np.linalg.norm(z[:, None] - numpy(layer.codebook), axis=-1)
    assert numpy(layer.nearest(z).indices).tolist() == distances.argmin(axis=1).tolist()
    loss = numpy(layer.nearest(z).loss)
    np.testing.assert_allclose(loss, 0.25 * distances.min(axis=1) ** 2 / DIMENSION, rtol=1e-4)


@pytest.mark.parametrize("order", [RNG.permutation(SIZE) for _ in range(5)], ids=str)
def test_a_permuted_codebook_permutes_the_indices(order):
    codebook = np.random.default_rng(1).normal(size=(SIZE, DIMENSION)).astype("float32")
    z = np.random.default_rng(2).normal(size=(20, DIMENSION)).astype("float32")
    before = numpy(filled(codebook).nearest(z).indices)
    after = numpy(filled(codebook[order]).nearest(z).indices)
    assert [order[index] for index in after] == before.tolist()


@pytest.mark.parametrize(
    "levels", [RNG.integers(2, 10, size=count).tolist() for count in (1, 2, 2, 3, 4, 5)], ids=str
)
def test_every_point_of_the_grid_is_reached_and_comes_back(levels):
    layer = FiniteScalarQuantizer(levels, standardize=False)
    indices = np.arange(layer.size)[:500].astype("int32")
    points = numpy(layer.vectors(indices))
    assert len(np.unique(points, axis=0)) == len(points) and np.abs(points).max() <= 1
    # The code that is mapped to each point: the formula solved for z.
    half = (np.array(levels) - 1) * 1.001 / 2
    offset = np.where(np.array(levels) % 2, 0, 0.5)
    inside = (points * (np.array(levels) // 2) + offset) / half
    shift = np.where(np.array(levels) > 2, np.arctanh(offset / half), 0.0)
    z = np.arctanh(np.clip(inside, -0.9999, 0.9999)) - shift
    layer.build((None, len(levels)))
    q, back, _ = layer.nearest(z.astype("float32"))
    assert numpy(back).tolist() == indices.tolist()
    np.testing.assert_allclose(numpy(q), points, atol=1e-6)


def test_of_two_levels_the_sign_decides():
    layer = FiniteScalarQuantizer((2,), standardize=False)
    z = np.float32([[-3.0], [-0.1], [0.1], [3.0]])
    assert numpy(layer.nearest(z).indices).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("levels", [(2,), (3,), (8,), (4, 5)], ids=str)
def test_each_stage_divides_the_levels_of_the_one_before(levels):
    z = np.random.default_rng(3).normal(size=(400, len(levels))).astype("float32")
    fine = FiniteScalarQuantizer(levels, stages=8, standardize=False)
    exact, indices, _ = map(numpy, fine.nearest(z))
    size, before = np.array(levels), np.inf
    for stages in range(1, 5):
        layer = FiniteScalarQuantizer(levels, stages=stages, standardize=False)
        error = np.abs(numpy(layer.nearest(z).vectors) - exact)
        assert (error <= 0.501 * size / size**stages / (size // 2)).all()  # half a level's part
        assert error.mean() < 0.8 * before
        first = numpy(layer.nearest(z).indices).reshape(400, -1)
        np.testing.assert_array_equal(first, indices[:, :stages])
        before = error.mean()


def test_standardized_numbers_use_all_levels_about_equally():
    layer = FiniteScalarQuantizer((8, 5))
    z = ops.convert_to_tensor(RNG.normal((3, -1), (0.01, 50), size=(4000, 2)).astype("float32"))
    shares = usage(numpy(layer.nearest(z, training=True).indices), 40)
    assert shares["used"] == 1 and shares["perplexity"] > 0.85 * 40
    layer.start(numpy(z))  # in evaluation, too
    assert usage(numpy(layer.nearest(z).indices), 40)["perplexity"] > 0.85 * 40


def test_more_stages_leave_less():
    z = RNG.normal(size=(500, DIMENSION)).astype("float32")
    left = []
    for stages in range(1, 5):
        layer = ResidualQuantizer([VectorQuantizer(SIZE, seed=seed) for seed in range(stages)])
        layer.start(z)
        left.append(np.mean((z - numpy(layer.nearest(z).vectors)) ** 2))
    assert all(later < 0.6 * earlier for earlier, later in itertools.pairwise(left))


@every_kind
def test_the_gradient_passes_straight_through(kind):
    layer, z = MAKERS[kind](), RNG.normal(size=(6, DIMENSION)).astype("float32")
    direction = RNG.normal(size=z.shape).astype("float32")
    _, change = derivatives.directional(
        lambda z: layer.nearest(z).vectors,
        ops.convert_to_tensor(z),
        ops.convert_to_tensor(direction),
    )
    if kind.startswith("scalars"):  # of the bounded value, tanh included
        half, levels = (np.array((4, 3, 5)) - 1) * 1.001 / 2, np.array((4, 3, 5)) // 2
        shift = np.arctanh(np.where(np.array((4, 3, 5)) % 2, 0, 0.5) / half)
        direction = direction * half / levels / np.cosh(z + shift) ** 2
    if kind == "cosine":  # of the vector of length 1
        length = np.linalg.norm(z, axis=1, keepdims=True)
        along = (direction * z).sum(axis=1, keepdims=True) * z / length**2
        direction = (direction - along) / length
    np.testing.assert_allclose(numpy(change), direction, rtol=1e-3, atol=1e-5)


def test_moving_averages_are_k_means():
    z = RNG.normal(size=(400, 2)).astype("float32")
    layer = filled(z[:SIZE].copy(), decay=0.0, restart=None)
    centres = z[:SIZE].copy()
    for _ in range(5):
        layer.nearest(ops.convert_to_tensor(z), training=True)
        owner = np.linalg.norm(z[:, None] - centres, axis=-1).argmin(axis=1)
        centres = np.stack([z[owner == k].mean(axis=0) for k in range(SIZE)])
        np.testing.assert_allclose(numpy(layer.codebook), centres, rtol=1e-4, atol=1e-5)


def test_a_moving_average_remembers():
    layer = filled(np.float32([[0.0], [10.0]]), decay=0.75, restart=None)
    layer.nearest(ops.convert_to_tensor(np.float32([[1.0], [2.0], [9.0]])), training=True)
    # N = ¾ + ¼ n and m = ¾ m + ¼ Σ z
    np.testing.assert_allclose(numpy(layer.counts), [0.75 + 0.5, 0.75 + 0.25], rtol=1e-6)
    expected = [[0.25 * 3 / 1.25], [(7.5 + 0.25 * 9) / 1.0]]
    np.testing.assert_allclose(numpy(layer.codebook), expected, rtol=1e-6)
    before = numpy(layer.codebook)
    layer.nearest(ops.convert_to_tensor(np.float32([[5.0]])))  # not in evaluation
    np.testing.assert_array_equal(numpy(layer.codebook), before)


def test_an_unused_codeword_is_revived():
    z = ops.convert_to_tensor(RNG.normal(size=(64, 2)).astype("float32"))
    codebook = np.concatenate([numpy(z[:4]), np.full((4, 2), 100.0)]).astype("float32")
    dead, revived = (filled(codebook.copy(), restart=restart) for restart in (None, 3))
    for layer in (dead, revived):
        for _ in range(3):
            layer.nearest(z, training=True)
    assert usage(numpy(dead.nearest(z).indices), SIZE)["used"] == 0.5
    assert np.abs(numpy(dead.codebook)[4:]).min() > 50
    assert usage(numpy(revived.nearest(z).indices), SIZE)["used"] > 0.8
    # Its new place is a vector of the batch.
    distances = np.linalg.norm(numpy(revived.codebook)[4:, None] - numpy(z), axis=-1)
    np.testing.assert_allclose(distances.min(axis=1), 0, atol=1e-6)


def test_a_gradient_moves_a_codebook_to_its_vectors():
    z = np.concatenate([RNG.normal(c, 0.1, size=(50, 2)) for c in (-2, 2)]).astype("float32")
    layer = filled(np.float32([[-1, 0], [1, 0]]), update="gradient")
    model = keras.Sequential([keras.Input((2,)), layer])
    model.compile(keras.optimizers.SGD(0.5), loss=lambda y, q: 0 * q)  # the layer's own loss
    model.fit(z, z, epochs=40, batch_size=100, verbose=0)
    np.testing.assert_allclose(numpy(layer.codebook), [[-2, -2], [2, 2]], atol=0.1)


def test_in_anybodys_network(tmp_path):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 4))
    q = VectorQuantizer(16, seed=0, name="quantizer")(keras.layers.Dense(3)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(4)(q))
    model.compile(keras.optimizers.Adam(0.01), "mse")
    x = RNG.normal(size=(64, 6, 4)).astype("float32")
    history = model.fit(x, x, epochs=10, verbose=0).history["loss"]
    assert history[-1] < 0.95 * history[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)
    assert not loaded.get_layer("quantizer").started


@every_kind
def test_half_precision_changes_no_index(kind):
    z = RNG.normal(size=(20, DIMENSION)).astype("float16")
    layer = MAKERS[kind]()
    expected = numpy(layer.nearest(ops.convert_to_tensor(z.astype("float32"))).indices)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        result = layer.nearest(ops.convert_to_tensor(z))
    finally:
        keras.config.set_dtype_policy("float32")
    np.testing.assert_array_equal(numpy(result.indices), expected)
    assert "float32" in str(result.vectors.dtype)


def test_perplexity_counts_equally_used_codewords():
    indices = np.array([0, 0, 1, 1, 2, 2, 2, 2])
    shares = np.array([0.25, 0.25, 0.5])
    expected = np.exp(-np.sum(shares * np.log(shares)))
    assert float(perplexity(ops.convert_to_tensor(indices), 10)) == pytest.approx(expected)
    assert usage(indices, 10) == pytest.approx({"used": 0.3, "perplexity": expected})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VectorQuantizer(0), "`size` is 0, expected"),
        (lambda: VectorQuantizer(8, decay=1.5), "`decay` is 1.5, expected"),
        (lambda: VectorQuantizer(8, update="mean"), "`update` is 'mean', expected"),
        (lambda: VectorQuantizer(8, distance="l1"), "`distance` is 'l1', expected"),
        (lambda: VectorQuantizer(8, restart=0), "`restart` is 0, expected"),
        (lambda: FiniteScalarQuantizer((1, 3)), "`levels` is 1, expected"),
        (lambda: FiniteScalarQuantizer((3,), stages=0), "`stages` is 0, expected"),
        (lambda: FiniteScalarQuantizer((3, 3)).nearest(ops.ones((2, 3))), "`levels` has 2 numbers"),
        (lambda: ResidualQuantizer([]), "`stages` have the sizes"),
        (lambda: ResidualQuantizer([FiniteScalarQuantizer((3,))]), "`stages` holds"),
        (lambda: usage([0, 9], 4), "`indices` holds labels from 0 to 9"),
        (lambda: VectorQuantizer(4).start(np.full((3, 2), np.nan)), "`codes` holds"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
