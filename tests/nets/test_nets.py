import keras
import numpy as np
import pytest

from kerasae import nets


def test_mlp_mirrors():
    encoder, decoder = nets.mlp((28, 28, 1), code_size=30, units=(100, 50))
    sizes = [layer.units for net in (encoder, decoder) for layer in net.layers if is_dense(layer)]
    assert sizes == [100, 50, 30, 50, 100, 784]
    assert encoder.count_params() == 785 * 100 + 101 * 50 + 51 * 30
    assert decoder.count_params() == 31 * 50 + 51 * 100 + 101 * 784
    assert decoder(encoder(np.zeros((2, 28, 28, 1)))).shape == (2, 28, 28, 1)


def is_dense(layer):
    return type(layer).__name__ == "Dense"


def test_mlp_without_hidden_layers_and_for_vectors():
    encoder, decoder = nets.mlp((8,), code_size=3, units=(), code_activation="sigmoid")
    assert encoder.count_params() == 27 and decoder.count_params() == 32
    code = encoder.predict(np.full((1, 8), 100.0), verbose=0)
    assert ((code >= 0) & (code <= 1)).all()


def maps(network, kind):
    """Shapes of the maps that a network's convolutions take and give."""
    return [
        (tuple(layer.input.shape[1:]), tuple(layer.output.shape[1:]))
        for layer in network.layers
        if type(layer).__name__ == kind
    ]


@pytest.mark.parametrize(
    "shape, code_size, strides",
    [
        ((28, 28, 1), 5, 2),
        ((16, 24, 2), 5, (2, 4)),
        ((30, 45, 3), 5, (3, 5)),
        ((32, 32, 3), None, 2),
        ((7, 9, 3), None, 1),
    ],
)
def test_convolutional_mirrors(shape, code_size, strides):
    """What each layer takes and gives on the way down, its mirror gives and takes on the way up."""
    encoder, decoder = nets.convolutional(
        shape, code_size, filters=(4, 8), kernel_size=5, strides=strides
    )
    one, two = strides if isinstance(strides, tuple) else (strides, strides)
    middle = (shape[0] // one, shape[1] // one, 4)
    smallest = (shape[0] // (one * two), shape[1] // (one * two), 8)
    down, up = maps(encoder, "Conv2D"), maps(decoder, "Conv2DTranspose")
    assert down == [(shape, middle), (middle, smallest)]
    assert up == [(output, input) for input, output in reversed(down)]
    code = smallest if code_size is None else (5,)
    assert encoder.output_shape == decoder.input_shape == (None, *code)
    assert encoder.layers[-1].name == "code"
    images = np.random.default_rng(0).random((2, *shape), dtype="float32")
    assert decoder.predict(encoder.predict(images, verbose=0), verbose=0).shape == images.shape


def test_convolutional_parameters():
    encoder, decoder = nets.convolutional((28, 28, 3), code_size=5, filters=(4, 8))
    kernels = 9 * 3 * 4 + 9 * 4 * 8
    assert encoder.count_params() == kernels + 4 + 8 + (7 * 7 * 8 + 1) * 5
    assert decoder.count_params() == kernels + 4 + 3 + (5 + 1) * 7 * 7 * 8
    encoder, decoder = nets.convolutional((28, 28, 3), code_size=None, filters=(4, 8))
    assert encoder.count_params() == kernels + 4 + 8
    assert decoder.count_params() == kernels + 4 + 3


def test_activations_stand_where_they_belong():
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype("float32")
    for code_size in (6, None):
        encoder, decoder = nets.convolutional(
            (8, 8, 1), code_size, (4, 8), code_activation="tanh", output_activation="linear"
        )
        activations = [layer.activation.__name__ for layer in encoder.layers[1:3]]
        assert activations == ["relu", "relu" if code_size else "tanh"]
        code = encoder.predict(images, verbose=0)
        assert (np.abs(code) < 1).all() and code.min() < 0
        assert decoder.layers[-1].activation.__name__ == "linear"


def convolve(f, g):
    """(f∗g)(i, j) = Σ_a Σ_b f(a, b) g(i − a, j − b), for every (i, j) where all of g lies in f."""
    height, width = (f.shape[axis] - g.shape[axis] + 1 for axis in (0, 1))
    result = np.zeros((height, width))
    for i in range(height):
        for j in range(width):
            last_i, last_j = i + g.shape[0] - 1, j + g.shape[1] - 1
            result[i, j] = sum(
                f[a, b] * g[last_i - a, last_j - b]
                for a in range(i, last_i + 1)
                for b in range(j, last_j + 1)
            )
    return result


def test_a_convolution_flips_its_kernel_and_conv2d_does_not():
    rng = np.random.default_rng(0)
    f, g = rng.normal(size=(7, 6)), rng.normal(size=(3, 2))

    def layer(kernel):
        conv = keras.layers.Conv2D(1, kernel.shape, use_bias=False)
        conv.build((None, *f.shape, 1))
        conv.set_weights([kernel[..., None, None]])
        return keras.ops.convert_to_numpy(conv(f[None, ..., None].astype("float32")))[0, ..., 0]

    np.testing.assert_allclose(layer(g[::-1, ::-1]), convolve(f, g), atol=1e-5)
    assert np.abs(layer(g) - convolve(f, g)).max() > 0.5


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: nets.mlp((28, 28, 1), 0), "`code_size` is 0, expected a whole number"),
        (lambda: nets.mlp((28, 28, 1), 2.5), "`code_size` is 2.5, expected a whole number"),
        (lambda: nets.mlp((), 2), r"`input_shape` is \(\), expected the shape"),
        (lambda: nets.mlp(784, 2), "`input_shape` is 784, expected the shape of one example"),
        (lambda: nets.mlp((8,), 2, units=(4, -1)), "`units` is -1, expected a whole number"),
        (lambda: nets.mlp((8,), 2, units=4), "`units` is 4, expected a tuple of whole numbers"),
        (lambda: nets.mlp("28", 2), "`input_shape` is '28', expected the shape of one example"),
        (lambda: nets.convolutional((8, 8, 1), 2, filters=4), "`filters` is 4, expected a tuple"),
        (
            lambda: nets.convolutional((30, 30, 1), 2),
            r"`input_shape` is \(30, 30, 1\), expected a height and width divisible by 4, the "
            r"product of the 2 layers' strides\.$",
        ),
        (lambda: nets.convolutional((28, 28, 1), 2, strides=3), "divisible by 9, the product"),
        (lambda: nets.convolutional_decoder(2, (30, 30, 1)), "`output_shape` is .* divisible by 4"),
        (lambda: nets.convolutional((28, 28, 1), 2, strides=(2,)), r"`strides` is \(2,\), .*: 2\."),
        (lambda: nets.convolutional((28, 28, 1), 2, strides=0), "`strides` is 0, expected a whole"),
        (lambda: nets.convolutional((28, 28, 1), 0), "`code_size` is 0, expected a whole number"),
        (
            lambda: nets.convolutional((32, 32, 1), 2, strides=4),
            "`kernel_size` is 3, expected at least the largest of `strides`, 4",
        ),
        (lambda: nets.convolutional((28, 28), 2), r"expected \(height, width, channels\)"),
        (lambda: nets.convolutional((28, 28, 1), 2, filters=()), "`filters` is empty"),
        (lambda: nets.convolutional((28, 28, 1), 2, filters=(0,)), "`filters` is 0, expected"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
