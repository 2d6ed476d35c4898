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


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (16, 24, 2)])
def test_convolutional_mirrors(shape):
    encoder, decoder = nets.convolutional(shape, code_size=5, filters=(4, 8))
    assert encoder.output_shape == (None, 5)
    assert decoder.output_shape == (None, *shape)
    maps = [layer.output.shape[1:] for layer in encoder.layers if "conv2d" in layer.name]
    assert maps == [(shape[0] // 2, shape[1] // 2, 4), (shape[0] // 4, shape[1] // 4, 8)]
    ups = [layer.output.shape[1:] for layer in decoder.layers if "transpose" in layer.name]
    assert ups == [(shape[0] // 2, shape[1] // 2, 4), shape]


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
        (lambda: nets.convolutional((30, 30, 1), 2), "divisible by 4"),
        (lambda: nets.convolutional((28, 28), 2), r"expected \(height, width, channels\)"),
        (lambda: nets.convolutional((28, 28, 1), 2, filters=()), "`filters` is empty"),
        (lambda: nets.convolutional((28, 28, 1), 2, filters=(0,)), "`filters` is 0, expected"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
