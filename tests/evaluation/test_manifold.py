import numpy as np
import pytest
from keras import ops

from kerasae import nets
from kerasae.evaluation import manifold

pytestmark = pytest.mark.home("tensorflow")

RNG = np.random.default_rng(0)


def linear(matrix):
    """x ↦ A x, for examples of any shape."""
    matrix = ops.convert_to_tensor(matrix.astype("float32"))
    return lambda x: ops.matmul(ops.reshape(x, (-1, matrix.shape[1])), ops.transpose(matrix))


@pytest.mark.parametrize("shape", [(3, 8), (8, 3)])
def test_spectrum_and_tangents_of_a_linear_map(shape):
    matrix = RNG.normal(size=shape)
    x = RNG.normal(size=(5, shape[1], 1)).astype("float32")
    _, singular, right = np.linalg.svd(matrix, full_matrices=False)
    found = manifold.spectrum(linear(matrix), x, batch_size=2)
    np.testing.assert_allclose(found, np.tile(singular, (5, 1)), rtol=1e-5)
    directions = manifold.tangents(linear(matrix), x, count=2, batch_size=2)
    assert directions.shape == (5, 2, shape[1], 1)
    cosines = np.abs(directions[..., 0] @ right[:2].T)  # either sign will do
    np.testing.assert_allclose(cosines, np.tile(np.eye(2), (5, 1, 1)), atol=1e-4)


def test_spectrum_of_a_network():
    """σ(Wᵀx + b): the singular values of diag(h (1 − h)) Wᵀ, in float64."""
    encoder, _ = nets.mlp((3, 4, 1), code_size=5, units=(), code_activation="sigmoid")
    x = RNG.random((6, 3, 4, 1)).astype("float32")
    kernel, bias = (weight.astype("float64") for weight in encoder.get_weights())
    h = 1 / (1 + np.exp(-(x.reshape(6, -1) @ kernel + bias)))
    jacobians = (h * (1 - h))[:, :, None] * kernel.T
    _, singular, right = np.linalg.svd(jacobians, full_matrices=False)
    np.testing.assert_allclose(manifold.spectrum(encoder, x), singular, rtol=1e-5)
    found = manifold.tangents(encoder, x, count=5)
    assert found.shape == (6, 5, 3, 4, 1)
    flat = found.reshape(6, 5, -1)
    np.testing.assert_allclose(
        flat @ flat.transpose(0, 2, 1), np.tile(np.eye(5), (6, 1, 1)), 0, 1e-9
    )
    projectors = [v.transpose(0, 2, 1) @ v for v in (flat[:, :2], right[:, :2])]
    np.testing.assert_allclose(*projectors, atol=1e-3)


def test_tangents_of_a_sphere():
    """x ↦ x / ‖x‖ does not see the radius: σ = 1/r across it, and 0 along x."""

    def encoder(x):
        return x / ops.sqrt(ops.sum(x**2, axis=1, keepdims=True))

    x = RNG.normal(size=(7, 4)).astype("float32")
    radius = np.linalg.norm(x, axis=1, keepdims=True)
    singular = manifold.spectrum(encoder, x)
    np.testing.assert_allclose(singular[:, :3], np.tile(1 / radius, (1, 3)), rtol=1e-5)
    np.testing.assert_allclose(singular[:, 3], 0, atol=1e-6)
    np.testing.assert_allclose(manifold.participation_ratio(singular), 3, rtol=1e-4)
    found = manifold.tangents(encoder, x, count=3)
    np.testing.assert_allclose(np.einsum("nki,ni->nk", found, x / radius), 0, atol=1e-5)


def test_participation_ratio():
    values = np.array([[5.0, 5, 5, 0], [1, 0, 0, 0], [0, 0, 0, 0], [1e-30] * 4])
    np.testing.assert_allclose(manifold.participation_ratio(values), [3, 1, 0, 4])
    squares = RNG.random((2, 3, 6)) ** 2
    expected = squares.sum(-1) ** 2 / (squares**2).sum(-1)
    np.testing.assert_allclose(manifold.participation_ratio(np.sqrt(squares)), expected)


def test_the_remainder_of_the_linearization_is_quadratic():
    """f(x) − f(x₀) − J (x − x₀) shrinks four times where the step halves."""
    encoder, _ = nets.mlp((4,), code_size=3, units=(8,), activation="tanh", code_activation="tanh")
    x0 = RNG.normal(size=(50, 4)).astype("float32")
    direction = RNG.normal(size=x0.shape).astype("float32")
    remainders = []
    for step in (0.4, 0.2, 0.1):
        x = x0 + np.float32(step) * direction
        found = manifold.linearized(encoder, x0, x, batch_size=16)
        assert found.shape == (50, 3)
        remainders.append(np.linalg.norm(encoder.predict(x, verbose=0) - found))
    ratios = np.divide(remainders[:-1], remainders[1:])
    assert (3.0 < ratios).all() and (ratios < 5.0).all()

    matrix = RNG.normal(size=(3, 4))
    exact = manifold.linearized(linear(matrix), x0, x)
    np.testing.assert_allclose(exact, x @ matrix.T, rtol=1e-3, atol=1e-5)


def test_displacement():
    codes = RNG.normal(size=(400, 3, 2))
    moved = codes + np.array([3.0, 0, 4]).reshape(1, 3, 1) / np.sqrt(2)
    spread = np.sqrt(((codes - codes.mean(0)) ** 2).sum((1, 2)).mean())
    np.testing.assert_allclose(manifold.displacement(codes, moved), 5 / spread)
    np.testing.assert_allclose(manifold.displacement(7 * codes, 7 * moved), 5 / spread)


def test_bad_input():
    x = np.ones((2, 4), "float32")
    encoder = linear(np.eye(3, 4))
    with pytest.raises(ValueError, match="`count` is 4, expected at most 3"):
        manifold.tangents(encoder, x, count=4)
    with pytest.raises(ValueError, match="`x` holds NaN"):
        manifold.spectrum(encoder, x * np.nan)
    with pytest.raises(ValueError, match=r"`x` has shape \(1, 4\), expected \(2, 4\) as `x0` has"):
        manifold.linearized(encoder, x, x[:1])
    with pytest.raises(ValueError, match=r"`moved` has shape \(1, 4\), expected \(2, 4\)"):
        manifold.displacement(x, x[:1])
    with pytest.raises(ValueError, match="`codes` are all the same, expected codes that have a"):
        manifold.displacement(x, x)
