import keras
import numpy as np
import pytest
from keras import ops

from kerasae import nets
from kerasae.engine import platform
from kerasae.engine.derivatives import gradient
from kerasae.layers import Conv2DTranspose, TiedConv2DTranspose, TiedDense


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


@pytest.fixture
def fast(monkeypatch):
    """The fast path on every engine and device; the list grows with each call that takes it."""
    calls, conv_transpose = [], platform._conv_transpose
    monkeypatch.setattr(platform, "slow_transposed_convolutions", lambda: True)
    monkeypatch.setattr(
        platform, "_conv_transpose", lambda *args: calls.append(args) or conv_transpose(*args)
    )
    return calls


def pair(input_shape, *args, **kwargs):
    """Keras's layer and ours, with the same weights."""
    both = [each(*args, **kwargs) for each in (keras.layers.Conv2DTranspose, Conv2DTranspose)]
    for layer in both:
        layer.build(input_shape)
        layer.set_weights([normal(*weight.shape) for weight in layer.weights])
    return both


def close(ours, theirs, tolerance=1e-5):
    """Within so much of the largest number."""
    ours, theirs = (numpy(each).astype("float32") for each in (ours, theirs))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max())


KERNELS = [  # kernel_size, strides, padding, sides of the input
    (1, 2, "same", (3, 4)),
    (2, 2, "same", (5, 3)),
    (3, 2, "same", (7, 7)),
    (4, 2, "same", (5, 8)),
    (5, 2, "same", (4, 1)),
    (2, 3, "same", (3, 5)),
    (5, 3, "same", (4, 7)),
    (8, 2, "same", (2, 3)),
    ((3, 5), (2, 3), "same", (4, 3)),
    ((4, 2), (1, 2), "same", (3, 3)),
    (1, 3, "valid", (3, 4)),
    (2, 2, "valid", (3, 4)),
    (3, 2, "valid", (5, 4)),
    (4, 3, "valid", (3, 6)),
    ((2, 5), (3, 2), "valid", (4, 3)),
]


@pytest.mark.parametrize(("kernel_size", "strides", "padding", "sides"), KERNELS)
def test_the_transposed_convolution_is_kerass(fast, kernel_size, strides, padding, sides):
    """In value, and in gradients with respect to the input, the kernel and the bias."""
    x = normal(3, *sides, 2)
    theirs, ours = pair(x.shape, 4, kernel_size, strides, padding, activation="tanh")
    y = theirs(x)
    assert ours(x).shape == y.shape and len(fast) == 1
    close(ours(x), y, 1e-6)
    g = ops.convert_to_tensor(normal(*y.shape))
    values = [ops.convert_to_tensor(x), *(weight.value for weight in theirs.weights)]

    def derivative(layer, argument):
        def score(value):
            given = [*values[:argument], value, *values[argument + 1 :]]
            return ops.sum(layer.stateless_call(given[1:], [], given[0])[0] * g)

        return gradient(score, values[argument])

    for argument in range(3):
        close(derivative(ours, argument), derivative(theirs, argument))


@pytest.mark.parametrize(("kernel_size", "strides", "padding", "sides"), KERNELS[2::4])
def test_derivatives_of_the_transposed_convolution_are_kerass(
    fast, kernel_size, strides, padding, sides
):
    """Along a direction, and of a gradient."""
    x, v = normal(2, *sides, 3), normal(3, *sides, 2)[:2, ..., :1] * np.ones(3, "float32")
    theirs, ours = pair(x.shape, 2, kernel_size, strides, padding, activation="tanh")
    w, dw = (normal(*theirs.kernel.shape[:3], 3) * factor for factor in (1, 0.5))
    x, v, w, dw = map(ops.convert_to_tensor, (x, v, w, dw))
    found = []
    for layer in (theirs, ours):

        def f(x, w, layer=layer):
            return layer.stateless_call([w, layer.bias.value], [], x)[0]

        def penalty(w, f=f):
            return ops.sum(gradient(lambda x: f(x, w), x) ** 2)

        along_both = ops.jvp(f, (x, w), (v, dw))[1]
        along_x = ops.jvp(lambda x, f=f: f(x, w), (x,), (v,))[1]
        along_w = ops.jvp(lambda w, f=f: f(x, w), (w,), (dw,))[1]
        close(along_x + along_w, along_both)
        found.append((along_x, along_w, gradient(penalty, w)))
    assert fast
    for one, other in zip(*found, strict=True):
        close(other, one, 1e-4)


def test_jax_alone_is_slow_and_on_a_cpu_alone():
    with keras.device("cpu:0"):
        assert platform.slow_transposed_convolutions() == (keras.backend.backend() == "jax")


@pytest.mark.home("jax")
@pytest.mark.skipif(keras.backend.backend() != "jax", reason="JAX alone has the fast path")
def test_the_gradient_has_no_slow_convolution(fast):
    """None with zeros between the numbers, but for the output itself; Keras's has two."""
    import jax

    x, w = ops.ones((2, 7, 7, 3)), ops.ones((4, 4, 5, 3))

    def dilated(conv_transpose):
        loss = jax.grad(lambda w: ops.sum(conv_transpose(x, w, (2, 2), "same") ** 2))
        return str(jax.make_jaxpr(loss)(w)).count("lhs_dilation=(2, 2)")

    assert (dilated(platform.conv_transpose), dilated(ops.conv_transpose)) == (1, 2)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_the_transposed_convolution_in_mixed_precision(fast, policy):
    x, y = normal(8, 5, 5, 3), normal(8, 10, 10, 2)
    steps = []
    for layer in pair(x.shape, 2, 3, 2, "same", dtype=policy):
        before = layer.get_weights()
        model = keras.Sequential([keras.Input(x.shape[1:]), layer])
        assert keras.backend.standardize_dtype(model(x).dtype) == policy.removeprefix("mixed_")
        model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
        model.fit(x, y, batch_size=8, verbose=0)
        steps.append([new - old for new, old in zip(layer.get_weights(), before, strict=True)])
    assert fast
    for theirs, ours in zip(*steps, strict=True):
        assert ours.dtype == "float32" and np.abs(ours).max() > 0
        close(ours, theirs, 0.02)


def test_unusual_transposed_convolutions_are_left_to_keras(fast):
    x = normal(2, 4, 5, 3)
    cases = [
        {"strides": 2, "output_padding": 1, "padding": "same"},
        {"strides": 2, "output_padding": 0},
        {"strides": 1},
    ]
    if keras.backend.backend() != "tensorflow":  # which has no dilation on a CPU without oneDNN
        cases.append({"dilation_rate": 2})
    for unusual in cases:
        theirs, ours = pair(x.shape, 2, 3, **unusual)
        close(ours(x), theirs(x), 1e-6)
        assert tuple(ours(x).shape) == tuple(ours.compute_output_shape(x.shape))
    assert not fast


def test_where_it_is_fast_keras_does_it(monkeypatch):
    monkeypatch.setattr(platform, "slow_transposed_convolutions", lambda: False)
    monkeypatch.setattr(platform, "conv_transpose", None)
    theirs, ours = pair((2, 4, 5, 3), 2, 3, 2, "same", activation="relu")
    close(ours(normal(2, 4, 5, 3)), theirs(normal(2, 4, 5, 3)), 1e-6)


def test_channels_first(fast):
    if keras.backend.backend() == "tensorflow":
        pytest.skip("TensorFlow's convolutions on a CPU have the channels last")
    x = normal(2, 3, 4, 5)
    theirs, ours = pair(x.shape, 2, 3, 2, "same", data_format="channels_first")
    close(ours(x), theirs(x), 1e-6)
    assert fast


@pytest.mark.parametrize("kernel_size", [2, 3, 5])
def test_a_tied_convolution_takes_the_fast_path(fast, kernel_size, monkeypatch):
    convolution = keras.layers.Conv2D(4, kernel_size, 2, "same", use_bias=False)
    x = ops.convert_to_tensor(normal(2, 6, 8, 3))
    h = convolution(x)
    tied = TiedConv2DTranspose(convolution, activation="tanh")
    tied(h)
    assert len(fast) == 1

    def score(w):
        return ops.sum(tied.stateless_call([w, tied.bias.value], [], h)[0] * x)

    ours = gradient(score, convolution.kernel.value)
    monkeypatch.setattr(platform, "slow_transposed_convolutions", lambda: False)
    close(ours, gradient(score, convolution.kernel.value))


def test_the_transposed_convolution_survives_its_config():
    layer = Conv2DTranspose(
        4, (3, 5), (2, 3), "same", activation="relu", kernel_initializer="zeros", name="up"
    )
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is Conv2DTranspose and again.get_config() == layer.get_config()
    theirs = keras.layers.Conv2DTranspose.from_config(layer.get_config())
    assert theirs.get_config() == layer.get_config()


def test_kerass_layers_load_and_their_weights_fit_ours(tmp_path, fast):
    """A network of before, and its weights in one of now."""
    keras.utils.clear_session()
    _, decoder = nets.convolutional((8, 12, 1), 5, (4, 8), kernel_size=4)
    theirs = {each: each for each in decoder.layers if isinstance(each, Conv2DTranspose)}
    assert [each.name for each in theirs] == ["conv2d_transpose", "conv2d_transpose_1"]

    def old(layer):
        kind = keras.layers.Conv2DTranspose if layer in theirs else type(layer)
        return kind.from_config(layer.get_config())

    before = keras.models.clone_model(decoder, clone_function=old)
    paths = [[weight.path for weight in model.weights] for model in (before, decoder)]
    assert paths[0] == paths[1]
    before.set_weights([normal(*weight.shape) for weight in before.weights])
    before.save(tmp_path / "before.keras")
    before.save_weights(tmp_path / "before.weights.h5")
    loaded = keras.saving.load_model(tmp_path / "before.keras")
    assert {type(each) for each in loaded.layers} & {Conv2DTranspose} == set()
    decoder.load_weights(tmp_path / "before.weights.h5")
    codes = normal(3, 5)
    expected = before(codes)
    assert not fast
    close(loaded(codes), expected, 1e-6)
    close(decoder(codes), expected, 1e-6)
    assert len(fast) == 2
    decoder.save(tmp_path / "now.keras")
    close(keras.saving.load_model(tmp_path / "now.keras")(codes), expected, 1e-6)
    assert len(fast) == 4
