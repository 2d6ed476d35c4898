import keras
import numpy as np
import pytest
from keras import layers, ops

from kerasae import nets
from kerasae.engine import derivatives
from kerasae.engine.derivatives import directional, gradient, jacobian, squared_jacobian_norm
from kerasae.engine.noise import Places

RNG = np.random.default_rng(0)
SELU = 1.0507009873554805, 1.6732632423543772

# The mathematics again, in NumPy and float64.
ACTIVATIONS = {
    "linear": lambda a: a,
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "tanh": np.tanh,
    "softplus": lambda a: np.log1p(np.exp(a)),
    "softsign": lambda a: a / (1 + np.abs(a)),
    "exponential": np.exp,
    "relu": lambda a: np.maximum(a, 0),
    "relu6": lambda a: np.clip(a, 0, 6),
    "leaky_relu": lambda a: np.where(a > 0, a, 0.2 * a),
    "elu": lambda a: np.where(a > 0, a, np.expm1(a)),
    "selu": lambda a: SELU[0] * np.where(a > 0, a, SELU[1] * np.expm1(a)),
    "silu": lambda a: a / (1 + np.exp(-a)),
    "softmax": lambda a: np.exp(a) / np.exp(a).sum(-1, keepdims=True),
}


def entry_by_entry(f, x, step=1e-5):
    """The Jacobian (n, code, input) of a NumPy function, by central differences in float64."""
    x = np.asarray(x, "float64")
    columns = []
    for axis in np.eye(x[0].size):
        move = step * axis.reshape(x.shape[1:])
        columns.append(((f(x + move) - f(x - move)) / (2 * step)).reshape(len(x), -1))
    return np.stack(columns, axis=-1)


def values(*shape):
    return RNG.normal(size=shape).astype("float32")


def randomized(model):
    """The model with no weight left at 0 or 1, where a mistake would not be seen."""
    for weight in model.weights:
        if "seed" not in weight.path:
            noise = RNG.normal(size=weight.shape) * 0.3
            weight.assign(np.exp(noise) if "variance" in weight.path else noise)
    return model


def numpy_dense(layer, h):
    kernel, bias = (w.astype("float64") for w in layer.get_weights())
    return ACTIVATIONS[layer.activation.__name__](h @ kernel + bias)


def numpy_chain(model):
    """What a model of dense layers, and layers between them that do nothing, computes."""
    dense = [layer for layer in model._flatten_layers() if isinstance(layer, layers.Dense)]

    def f(x):
        h = x.reshape(len(x), -1)
        for layer in dense:
            h = numpy_dense(layer, h)
        return h

    return f


@keras.saving.register_keras_serializable("tests")
class OwnNetwork(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden, self.code = layers.Dense(6, "tanh"), layers.Dense(3, "sigmoid")

    def call(self, x):
        return self.code(self.hidden(x))


class Doubled(layers.Dense):
    """A dense layer only by name."""

    def call(self, x, training=None):
        return 2 * super().call(x)


def nested():
    inner = keras.Sequential([keras.Input((5,)), layers.Dense(4, "tanh"), layers.Dropout(0.5)])
    inputs = keras.Input((5,))
    return keras.Model(inputs, layers.Dense(3, "softplus")(inner(inputs)))


def stack(shape, *parts):
    return keras.Sequential([keras.Input(shape), *parts])


CHAINS = {
    "narrow": lambda: stack((9,), layers.Dense(4, "sigmoid")),
    "regularized": lambda: stack(
        (5,), layers.Dense(7, "tanh", kernel_regularizer="l2", activity_regularizer="l1")
    ),
    "to the code": lambda: nets.mlp((4, 4, 1), code_size=3, units=(8, 6), activation="elu")[0],
    "over the input": lambda: stack((6,), layers.Dense(9, "tanh"), layers.Dense(4, "selu")),
    "from the input": lambda: stack(
        (3,), layers.Dense(7, "softplus"), layers.Dense(6, "tanh"), layers.Dense(9, "sigmoid")
    ),
    "with layers between": lambda: stack(
        (2, 4),
        layers.GaussianNoise(0.3),
        layers.Flatten(),
        layers.Dense(6, "relu"),
        layers.Dropout(0.5),
        layers.Reshape((3, 2)),
        layers.Flatten(),
        layers.Dense(4, "linear"),
    ),
    "nested": nested,
}


@pytest.mark.parametrize("name", CHAINS)
def test_closed_form_of_dense_chains(name, monkeypatch):
    model = randomized(CHAINS[name]())
    x = values(6, *model.input_shape[1:])
    expected = entry_by_entry(numpy_chain(model), x)
    np.testing.assert_allclose(
        ops.convert_to_numpy(jacobian(model, x)).reshape(expected.shape), expected, 1e-4, 1e-5
    )
    monkeypatch.setattr(derivatives, "jacobian", None)  # it must not be needed
    norms = ops.convert_to_numpy(squared_jacobian_norm(model, x))
    np.testing.assert_allclose(norms, (expected**2).sum((1, 2)), 1e-4)
    assert len(model.losses) == (name == "regularized")  # of the kernel, not of the activity


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation(activation):
    model = randomized(stack((5,), layers.Dense(8, activation)))
    x = 3 * values(40, 5)
    expected = (entry_by_entry(numpy_chain(model), x) ** 2).sum((1, 2))
    norms = ops.convert_to_numpy(squared_jacobian_norm(model, x))
    np.testing.assert_allclose(norms, expected, 1e-4, 1e-6)


def numpy_convolution(layer, x):
    """A convolution without padding, one output pixel at a time."""
    kernel, bias = (w.astype("float64") for w in layer.get_weights())
    side, (height, width) = kernel.shape[0], x.shape[1:3]
    rows = [
        [
            np.tensordot(x[:, i : i + side, j : j + side], kernel, 3) + bias
            for j in range(width - side + 1)
        ]
        for i in range(height - side + 1)
    ]
    return np.tanh(np.stack([np.stack(row, axis=1) for row in rows], axis=1))


def convolutional(code_size):
    """A convolutional encoder, and the same in NumPy."""
    convolution, code = layers.Conv2D(2, 3, activation="tanh"), layers.Dense(code_size)
    model = randomized(stack((4, 4, 1), convolution, layers.Flatten(), code))
    return model, lambda x: numpy_dense(code, numpy_convolution(convolution, x).reshape(len(x), -1))


def feature_map():
    convolution = layers.Conv2D(3, 3, activation="tanh")
    model = randomized(stack((4, 5, 2), convolution))
    return model, lambda x: numpy_convolution(convolution, x)


def normalised():
    first, norm, last = layers.Dense(6, "silu"), layers.BatchNormalization(), layers.Dense(3)
    model = randomized(stack((5,), first, norm, layers.Dropout(0.5), last))
    gamma, beta, mean, variance = (w.astype("float64") for w in norm.get_weights())

    def f(x):
        h = (numpy_dense(first, x) - mean) / np.sqrt(variance + norm.epsilon) * gamma + beta
        return numpy_dense(last, h)

    return model, f


def subclassed():
    model = OwnNetwork()
    model(values(1, 5))
    return randomized(model), numpy_chain(model)


def unknown_dense():
    layer = Doubled(3, "tanh")
    return randomized(stack((5,), layer)), lambda x: 2 * numpy_dense(layer, x)


def shared_kernel():
    """A dense layer that reads several places of its input."""
    layer = layers.Dense(3, "tanh")
    return randomized(stack((4, 2), layer)), lambda x: numpy_dense(layer, x)


def two_branches():
    inputs = keras.Input((5,))
    one, two = layers.Dense(3, "tanh"), layers.Dense(3, "sigmoid")
    model = randomized(keras.Model(inputs, layers.Add()([one(inputs), two(inputs)])))
    return model, lambda x: numpy_dense(one, x) + numpy_dense(two, x)


GENERAL = {
    "smaller code": lambda: convolutional(3),
    "smaller input": lambda: convolutional(20),
    "feature map": feature_map,
    "normalised": normalised,
    "subclassed": subclassed,
    "unknown dense": unknown_dense,
    "shared kernel": shared_kernel,
    "two branches": two_branches,
}


@pytest.mark.parametrize("name", GENERAL)
def test_any_encoder(name):
    model, f = GENERAL[name]()
    shape = (5,) if name == "subclassed" else model.input_shape[1:]
    x = values(4, *shape)
    before = [weight.copy() for weight in model.get_weights()]
    expected = entry_by_entry(f, x)
    found = ops.convert_to_numpy(jacobian(model, x))
    assert found.shape == (4, *model(x).shape[1:], *shape)
    np.testing.assert_allclose(found.reshape(expected.shape), expected, 1e-4, 1e-5)
    norms = (expected**2).sum((1, 2))
    np.testing.assert_allclose(ops.convert_to_numpy(squared_jacobian_norm(model, x)), norms, 1e-4)
    for one, two in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_random_projections():
    """Unbiased, and as far from the truth as the singular values say: σ_rel² = 2 / (m r)."""
    model, f = convolutional(3)
    x = values(1, 4, 4, 1)
    (squares,) = np.linalg.svd(entry_by_entry(f, x), compute_uv=False) ** 2
    exact, ratio = squares.sum(), squares.sum() ** 2 / (squares**2).sum()
    for projections in (1, 4):
        draws = ops.convert_to_numpy(
            squared_jacobian_norm(model, np.repeat(x, 4000, axis=0), projections, seed=3)
        )
        deviation = exact * np.sqrt(2 / (projections * ratio))
        assert draws.mean() == pytest.approx(exact, abs=4 * deviation / np.sqrt(4000))
        assert draws.std() == pytest.approx(deviation, rel=0.1)


def test_projections_that_belong_to_an_examples_place():
    """In an evaluation an example has the same projections, whatever the batches are."""
    model, f = convolutional(3)
    x = np.repeat(values(1, 4, 4, 1), 4000, axis=0)
    whole, rest = (
        ops.convert_to_numpy(squared_jacobian_norm(model, part, 2, seed=Places(first)))
        for first, part in ((0, x), (3000, x[3000:]))
    )
    np.testing.assert_allclose(rest, whole[3000:], rtol=1e-5)
    exact = (entry_by_entry(f, x[:1]) ** 2).sum()
    assert whole.mean() == pytest.approx(exact, abs=4 * whole.std() / np.sqrt(4000))
    assert len(np.unique(whole)) > 3900  # each has its own


def test_gradient_and_direction():
    x, v = values(5, 3), values(5, 3)
    x64, v64 = x.astype("float64"), v.astype("float64")
    found = gradient(lambda x: ops.sum(ops.exp(x[:, :2]), axis=1) * x[:, 2], x)
    expected = np.exp(x64) * x64[:, 2:]
    expected[:, 2] = np.exp(x64[:, :2]).sum(1)
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, 1e-5)

    value, moved = directional(lambda x: x**3, x, v)
    np.testing.assert_allclose(ops.convert_to_numpy(value), x64**3, 1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(moved), 3 * x64**2 * v64, 1e-5)

    nothing = gradient(lambda x: ops.ones_like(x) * 2, x)
    np.testing.assert_array_equal(ops.convert_to_numpy(nothing), 0 * x)
    whole = gradient(lambda x: x**2, np.array([[3]]))
    assert ops.convert_to_numpy(whole).tolist() == [[6.0]]


def test_derivatives_of_derivatives():
    """With respect to x again: ∇ ½‖∇s‖² = H ∇s, and ∇‖J‖² of both kinds."""
    x = values(4, 3)
    matrix = values(3, 3)
    matrix = matrix + matrix.T

    def score(x):
        return ops.sum(ops.matmul(x, matrix) * x, axis=1) / 2

    found = gradient(lambda x: ops.sum(gradient(score, x) ** 2, axis=1) / 2, x)
    np.testing.assert_allclose(ops.convert_to_numpy(found), x @ matrix @ matrix, 1e-4, 1e-5)
    for size in (2, 5):  # of the code: reverse and forward mode
        kernel = values(3, size)
        found = gradient(
            lambda x, k=kernel: ops.sum(jacobian(lambda x: ops.matmul(x**2, k), x) ** 2), x
        )
        expected = 8 * x * (kernel**2).sum(1)  # ‖J‖² = Σ 4 x_i² k_ij²
        np.testing.assert_allclose(ops.convert_to_numpy(found), expected, 1e-4, 1e-5)


def test_nothing_is_left_behind():
    """Neither losses, nor random states, nor moving statistics, even with training=True."""
    model = stack(
        (3,),
        layers.Dense(4, "tanh", activity_regularizer="l2"),
        layers.BatchNormalization(),
        layers.Dropout(0.5, seed=1),
    )
    before = [ops.convert_to_numpy(v.value) for v in model.variables]
    for f in (model, lambda x: model(x, training=True)):
        gradient(f, values(4, 3))
        jacobian(f, values(4, 3))
        squared_jacobian_norm(f, values(4, 3), projections=2, seed=1)
    for one, two in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(one, ops.convert_to_numpy(two.value))
    assert model.losses == []


def test_layers_that_are_not_built():
    x = values(2, 3)
    layer = layers.Dense(2, "tanh")
    assert tuple(gradient(layer, x).shape) == (2, 3)
    assert tuple(squared_jacobian_norm(layers.Dense(2), x).shape) == (2,)
