import keras
import numpy as np
import pytest
from keras import ops

from kerasae.layers import TiedConv2DTranspose, TiedDense


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def normal(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype("float32")


def test_tied_dense_is_the_formula():
    dense = keras.layers.Dense(3, name="dense")
    dense.build((None, 5))
    tied = TiedDense(dense, activation="tanh")
    h = normal(4, 3)
    tied.build(h.shape)
    tied.bias.assign(normal(5))
    expected = np.tanh(h @ numpy(dense.kernel.value).T + normal(5))
    np.testing.assert_allclose(numpy(tied(h)), expected, rtol=1e-5, atol=1e-6)
    assert tied.compute_output_shape((None, 3)) == (None, 5)

    dense.kernel.assign(normal(5, 3))
    expected = np.tanh(h @ normal(5, 3).T + normal(5))
    np.testing.assert_allclose(numpy(tied(h)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    ("strides", "padding", "sides"),
    [(2, "same", (8, 12)), (1, "same", (5, 7)), (3, "same", (6, 9))],
)
def test_tied_convolution_is_the_adjoint(kernel_size, strides, padding, sides):
    """⟨conv(x), y⟩ = ⟨x, tied(y)⟩."""
    convolution = keras.layers.Conv2D(4, kernel_size, strides, padding, use_bias=False)
    x = normal(2, *sides, 3)
    h = numpy(convolution(x))
    y = normal(*h.shape)
    back = numpy(TiedConv2DTranspose(convolution, use_bias=False)(y))
    assert back.shape == x.shape
    inner = np.sum(h.astype("float64") * y)
    assert inner == pytest.approx(np.sum(x.astype("float64") * back), rel=1e-4, abs=1e-3)


def test_tied_convolution_without_padding_is_the_adjoint():
    convolution = keras.layers.Conv2D(4, 3, 2, "valid", use_bias=False)
    x = normal(2, 7, 9, 3)
    h = numpy(convolution(x))
    y = normal(*h.shape)
    back = numpy(TiedConv2DTranspose(convolution, use_bias=False)(y))
    assert np.sum(h * y) == pytest.approx(np.sum(x * back), rel=1e-4)


def test_tied_convolution_has_bias_and_activation():
    convolution = keras.layers.Conv2D(2, 3, 2, "same")
    convolution.build((None, 8, 8, 3))
    tied = TiedConv2DTranspose(convolution, activation="relu")
    h = normal(1, 4, 4, 2)
    plain = numpy(TiedConv2DTranspose(convolution, use_bias=False)(h))
    tied.build(h.shape)
    tied.bias.assign([1.0, -1.0, 0.5])
    expected = np.maximum(plain + np.array([1.0, -1.0, 0.5]), 0)
    np.testing.assert_allclose(numpy(tied(h)), expected, rtol=1e-5, atol=1e-6)


def test_the_kernel_belongs_to_its_source():
    dense = keras.layers.Dense(3)
    dense.build((None, 5))
    tied = TiedDense(dense)
    tied.build((None, 3))
    assert tied.kernel is dense.kernel
    assert [id(v) for v in tied.variables] == [id(dense.kernel), id(tied.bias)]
    assert [id(v) for v in tied.trainable_weights] == [id(dense.kernel), id(tied.bias)]
    tied.trainable = False
    assert dense.kernel.trainable and tied.trainable_variables == []
    both = keras.Sequential([keras.Input((5,)), dense, tied])
    assert both.count_params() == 15 + 3 + 5


def test_a_network_of_tied_layers_sees_the_kernel_as_it_stands():
    """On JAX a variable that is no part of a network would be compiled in as a constant."""
    dense = keras.layers.Dense(3)
    dense.build((None, 5))
    decoder = keras.Sequential([keras.Input((3,)), TiedDense(dense)])
    h = normal(4, 3)
    decoder.predict(h, verbose=0)
    dense.kernel.assign(normal(5, 3))
    output = decoder.predict(h, verbose=0)
    np.testing.assert_allclose(output, h @ normal(5, 3).T, rtol=1e-5, atol=1e-6)


def test_mixed_precision_casts_the_kernel():
    dense = keras.layers.Dense(3, dtype="mixed_float16")
    dense.build((None, 5))
    tied = TiedDense(dense, dtype="mixed_float16")
    output = tied(normal(4, 3))
    assert keras.backend.standardize_dtype(output.dtype) == "float16"
    assert keras.backend.standardize_dtype(tied.kernel.dtype) == "float32"
    expected = normal(4, 3) @ numpy(dense.kernel.value).T
    np.testing.assert_allclose(numpy(output).astype("float32"), expected, rtol=5e-3, atol=5e-3)


def test_bad_sources():
    with pytest.raises(ValueError, match=r"`source` is the layer 'late'.* expected a built layer"):
        TiedDense(keras.layers.Dense(3, name="late"))(normal(2, 3))
    with pytest.raises(ValueError, match=r"expected a layer of class keras\.layers\.Conv2D"):
        TiedConv2DTranspose(keras.layers.Dense(3))
    grouped = keras.layers.Conv2D(4, 3, groups=2)
    grouped.build((None, 8, 8, 2))
    with pytest.raises(ValueError, match="a convolution in 2 groups, expected one group"):
        TiedConv2DTranspose(grouped)(normal(1, 6, 6, 4))


def test_a_tied_layer_alone_is_not_saved(tmp_path):
    dense = keras.layers.Dense(3, name="dense")
    dense.build((None, 5))
    decoder = keras.Sequential([keras.Input((3,)), TiedDense(dense, name="tied")])
    for attempt in (
        lambda: decoder.save(tmp_path / "decoder.keras"),
        lambda: keras.models.clone_model(decoder),
    ):
        with pytest.raises(ValueError, match="'tied' has its kernel from 'dense', expected to be"):
            attempt()
