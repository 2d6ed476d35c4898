"""The engine's own parts: noise by place, losses of each example, Keras's private names."""

import gc
import math
import statistics
import subprocess
import sys
import threading
import weakref
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import losses, ops

import kerasae
from kerasae.engine import calls, derivatives, devices, internals, noise, platform
from kerasae.engine.noise import Places
from kerasae.losses import EachLoss

TORCH = keras.backend.backend() == "torch"


def numpy(x):
    return ops.convert_to_numpy(x)


# Noise.


def test_noise_is_normal_and_independent():
    z = numpy(Places(0).normal((5000, 20)))
    other = numpy(Places(0).derived().normal((5000, 20)))
    error = 1 / math.sqrt(z.size)
    assert abs(z.mean()) < 4 * error and abs(z.std() - 1) < 4 * error
    assert abs((z**3).mean()) < 4 * math.sqrt(15) * error
    assert abs((z**4).mean() - 3) < 4 * math.sqrt(96) * error
    for pairs in (z * other, z[1:] * z[:-1], z[:, 1:] * z[:, :-1], z[:2500] * z[2500:]):
        assert abs(pairs.mean()) < 4 / math.sqrt(pairs.size)


def test_uniform_noise_is_uniform():
    u = np.sort(numpy(Places(3).uniform((10_000, 2))).ravel())
    assert 0 < u[0] and u[-1] < 1
    assert np.abs(u - np.arange(1, u.size + 1) / u.size).max() < 1.6 / math.sqrt(u.size)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_noise_belongs_to_the_place(axis):
    shape, part = [3, 4, 5], [3, 4, 5]
    shape[axis], part[axis] = 12, 7
    whole = numpy(Places(0).normal(tuple(shape), axis))
    found = numpy(Places(5).normal(tuple(part), axis))
    np.testing.assert_allclose(np.take(whole, range(5, 12), axis), found, rtol=1e-6)


@pytest.mark.parametrize("draw", ["normal", "uniform"])
def test_noise_of_a_seed_is_keras_s(draw):
    ours, keras_own = keras.random.SeedGenerator(5), keras.random.SeedGenerator(5)
    for shape in ((3, 4), (500,)):  # two draws, two states
        expected = numpy(getattr(keras.random, draw)(shape, seed=keras_own))
        found = numpy(getattr(noise, draw)(shape, ours))
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    for seed in (7, None):
        assert numpy(getattr(noise, draw)((5,), seed)).std() > 0


def mixed(x):
    """The hash in NumPy's unsigned numbers, which have no sign to mask away."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    return x ^ (x >> np.uint32(16))


def test_noise_is_the_hash_on_every_engine():
    with np.errstate(over="ignore"):
        rows = mixed(mixed(np.arange(8, 10, dtype="uint32")) + np.uint32(0x27D4EB2F))
        bits = mixed(rows[:, None] + np.arange(3, dtype="uint32"))
    uniform = ((bits >> np.uint32(9)) + 0.5) / 2**23
    expected = [[statistics.NormalDist().inv_cdf(u) for u in row] for row in uniform]
    np.testing.assert_allclose(numpy(Places(7, 1).normal((2, 3))), expected, rtol=1e-4)


# Losses.


@pytest.mark.parametrize(
    "loss",
    [
        "mse",
        losses.MeanAbsoluteError(),
        losses.huber,
        losses.BinaryCrossentropy(label_smoothing=0.1),
        [losses.LogCosh()],
    ],
)
@pytest.mark.parametrize("shape", [(5,), (4, 4, 1)])
def test_the_mean_of_each_is_keras_s_loss(loss, shape):
    rng = np.random.default_rng(0)
    y, output = rng.random((2, 6, *shape), dtype="float32")
    each = EachLoss("loss", loss)(y, ops.convert_to_tensor(output))
    assert tuple(each.shape) == (6,)
    one = loss[0] if isinstance(loss, list) else loss
    whole = losses.get(one) if isinstance(one, losses.Loss) else None
    expected = whole(y, output) if whole else ops.mean(losses.get(one)(y, output))
    np.testing.assert_allclose(numpy(each).mean(), numpy(expected), rtol=1e-5)


def test_a_sum_is_a_sum_over_the_batch():
    y, output = np.zeros((3, 4), "float32"), np.full((3, 4), 2.0, "float32")
    each = EachLoss("loss", losses.MeanSquaredError(reduction="sum"))(y, output)
    expected = losses.MeanSquaredError(reduction="sum")(y, output)
    np.testing.assert_allclose(numpy(each).mean(), numpy(expected), rtol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_from_logits_is_that_of_probabilities(smoothing):
    logits = np.linspace(-6, 6, 12, dtype="float32").reshape(3, 4)
    y = np.random.default_rng(1).random((3, 4), dtype="float32")
    each = EachLoss("loss", losses.BinaryCrossentropy(label_smoothing=smoothing))
    output = 1 / (1 + np.exp(-logits))
    found, expected = each(y, output, ops.convert_to_tensor(logits)), each(y, output)
    np.testing.assert_allclose(numpy(found), numpy(expected), rtol=1e-4)
    far = EachLoss("loss", "binary_crossentropy")
    exact = far(np.zeros((1, 1)), np.ones((1, 1)), ops.convert_to_tensor([[100.0]]))
    assert float(numpy(exact)[0]) == pytest.approx(100)  # where σ is 1 in float32


def test_weights_of_pixels_count_by_their_shares():
    y, output = np.random.default_rng(2).random((2, 5, 3, 3, 2), dtype="float32")
    weights = np.random.default_rng(3).random((5, 3, 3), dtype="float32")
    weights[2] = 0
    each = numpy(EachLoss("loss", "mse")(y, output, weights=ops.convert_to_tensor(weights)))
    expected = (weights * np.square(y - output).mean(-1)).mean((1, 2))
    np.testing.assert_allclose(each * weights.mean((1, 2)), expected, rtol=1e-5)
    assert np.isfinite(each).all()


@pytest.mark.parametrize("loss", ["mean squares", 3, ["mse", "mae"], None])
@pytest.mark.home("torch")
def test_what_is_no_loss_is_refused(loss):
    with pytest.raises(ValueError, match="expected a Keras loss such as 'mse'"):
        EachLoss("loss", loss)


@pytest.mark.home("torch")
def test_a_loss_that_is_not_reduced_is_refused():
    with pytest.raises(ValueError, match="has the reduction 'none', expected 'sum_over_batch_siz"):
        EachLoss("loss", losses.MeanSquaredError(reduction="none"))


# Keras's private names.


def small():
    keras.utils.set_random_seed(0)
    model = kerasae.Autoencoder(*kerasae.nets.mlp((4,), 2, (3,)))
    model.compile("adam")
    return model


def test_the_metric_called_loss_is_keras_s_own():
    model = small()
    assert internals.loss_tracker(model) is model._loss_tracker


@pytest.mark.skipif(not TORCH, reason="elsewhere a step is compiled")
def test_a_variable_s_own_tensor_is_its_value():
    variable = keras.Variable(np.ones(2, "float32"))
    assert internals.tensor(variable) is variable.value
    assert internals.tensor(SimpleNamespace(value=3)) == 3
    assert internals.tensor(None) is None
    with keras.StatelessScope():
        assert internals.in_stateless_scope()
    assert not internals.in_stateless_scope()


def test_the_moments_of_adam_are_found():
    model = small()
    model.make_train_function()
    moments = internals.adam_moments(model.optimizer, model.trainable_variables)
    for part in moments:
        shapes = [tuple(v.shape) for v in part]
        assert shapes == [tuple(v.shape) for v in model.trainable_variables]
    assert internals.adam_moments(keras.optimizers.SGD(), model.trainable_variables) is None


def test_calls_inside_a_whole_call_add_up_and_forget_what_was_before():
    layer = keras.layers.ActivityRegularization(l1=1.0)
    model = keras.Sequential([keras.Input((1,)), layer])
    one = np.ones((1, 1), "float32")
    with internals.whole_call(model):
        layer(one)
        layer(2 * one)
        assert float(sum(numpy(loss) for loss in model.losses)) == 3
    with internals.whole_call(model):
        assert model.losses == []


def test_a_model_without_keras_s_call_context_still_works(monkeypatch):
    model = small()
    monkeypatch.delattr(keras.layers.Layer, "_get_call_context")
    monkeypatch.setattr(keras.layers.Layer, "__call__", keras.layers.Layer.__call__)
    with internals.whole_call(model):
        pass


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="the others have no such state")
def test_the_state_between_two_steps_is_not_looked_through():
    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(getattr(self.model, internals.STATE_OF_JAX))

    model, seen = small(), []
    model.fit(np.zeros((4, 4), "float32"), batch_size=2, verbose=0, callbacks=[Look()])
    kinds = {type(seen[0]), *(type(part) for part in seen[0].values())}
    assert len(seen) == 2 and kinds == {dict, list}


def test_weight_decay_of_all_is_told_from_that_of_some():
    model = small()
    optimizer = keras.optimizers.AdamW(0.1)
    optimizer.build(model.trainable_variables)
    assert internals.decays_all(optimizer, model.trainable_variables)
    other = keras.optimizers.AdamW(0.1)
    other.exclude_from_weight_decay([model.trainable_variables[0]])
    other.build(model.trainable_variables)
    assert not internals.decays_all(other, model.trainable_variables)
    assert not internals.decays_all(object(), model.trainable_variables)


def test_where_a_tensor_comes_from():
    inputs = keras.Input((3,))
    dense = keras.layers.Dense(2)
    network = keras.Model(inputs, dense(inputs))
    layer, (source,) = internals.origin(network.outputs[0])
    assert layer is dense and source is inputs
    outer = keras.Sequential([keras.Input((3,)), network])
    call = internals.call_of(outer, network)
    assert call.outputs[0] is outer.outputs[0] is not network.outputs[0]


def test_optimizers_are_named_as_every_backend_knows_them():
    module = type(keras.optimizers.get("adam")).__module__
    known = "keras.optimizers" if TORCH else module
    assert internals.portable_module(module) == known
    assert internals.portable_module("my.module") == "my.module"


WITHOUT = """
import sys
import keras, numpy as np
sys.modules["keras.src.trainers.data_adapters.array_data_adapter"] = None
import kerasae
model = kerasae.Autoencoder(*kerasae.nets.mlp((4,), 2, (3,)))
model.compile()
x = np.ones((8, 4), "float32")
history = model.fit(x, epochs=2, validation_data=(x,), verbose=0).history
print(len(history["val_loss"]), model.encode(x).shape, model.evaluate(x, verbose=0) is not None)
"""


@pytest.mark.home("tensorflow")
def test_without_keras_s_adapters_models_still_train():
    run = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True)
    assert run.stdout.split("\n")[-2] == "2 (8, 2) True", run.stderr


# Plain chains.


@pytest.mark.skipif(not TORCH, reason="elsewhere a step is compiled")
def test_a_plain_chain_gives_what_its_network_gives():
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(3, 3, 2, "same", activation="relu"),
            layers.BatchNormalization(),
            kerasae.layers.Conv2DTranspose(2, 3, 2, "same"),
            layers.Flatten(),
            layers.Dense(5, "elu"),
            layers.Dropout(0.5, seed=3),
        ]
    )
    x = ops.convert_to_tensor(np.random.default_rng(0).random((4, 8, 8, 1), dtype="float32"))
    assert calls._steps(network) is not None
    for training in (False, True):
        twin = keras.models.clone_model(network)
        twin.set_weights(network.get_weights())
        expected = twin(x, training=training)
        found = calls.call(network, x, training)
        if not training:  # a Dropout draws anew
            np.testing.assert_allclose(numpy(found), numpy(expected), rtol=1e-5, atol=1e-6)
        for one, other in zip(network.get_weights(), twin.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.skipif(not TORCH, reason="elsewhere a step is compiled")
@pytest.mark.parametrize(
    "network",
    [
        lambda: kerasae.nets.residual_mlp((6,), 8, 2, classes=3),
        lambda: kerasae.nets.unet((8, 8, 2), (4, 8), classes=3, patch=2),
    ],
)
def test_a_plain_graph_gives_what_its_network_gives(network):
    network, rng = network(), np.random.default_rng(0)
    network.set_weights([rng.normal(size=each.shape) for each in network.get_weights()])
    shapes = [(4, *each.shape[1:]) for each in network.inputs]
    given = [ops.convert_to_tensor(rng.random(shape, dtype="float32")) for shape in shapes]
    assert calls._steps(network) is not None
    for level in (given[1], given[1][:1]):
        given[1] = level
        expected, found = network(given, training=True), calls.call(network, given, True)
        np.testing.assert_allclose(numpy(found), numpy(expected), rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not TORCH, reason="elsewhere a step is compiled")
def test_what_is_no_plain_chain_is_called_as_it_is():
    layers = keras.layers

    class Own(layers.Layer):
        def call(self, x):
            return x

    def network(*inner, **arguments):
        return keras.Sequential([keras.Input((3,)), *inner, layers.Dense(2, **arguments)])

    assert calls._steps(network()) is not None
    assert calls._steps(network(Own())) is None
    assert calls._steps(network(activity_regularizer="l2")) is None
    assert calls._steps(keras.Sequential([layers.Dense(2)])) is None  # has no shape yet
    x, y = keras.Input((3,)), keras.Input((3,))
    assert calls._steps(keras.Model([x, y], [layers.Dense(1)(x), layers.Dense(1)(y)])) is None
    assert calls._steps(keras.Model([x, y], layers.Average()([x, y]))) is None
    assert calls._steps(keras.Model([x, y], ops.silu(x) + layers.Dense(3)(y))) is None
    regularized = layers.Add(activity_regularizer="l2")([x, y])
    assert calls._steps(keras.Model([x, y], regularized)) is None
    assert calls._steps(network(dtype="mixed_float16")) is None
    x = ops.ones((1, 3))
    assert not calls._as_it_was(calls._steps(network()), ops.cast(x, "float16"))
    hooked = network()
    seen = []
    hooked.layers[-1].register_forward_hook(lambda *_: seen.append(1))
    calls.call(hooked, x, False)
    assert seen == [1]
    adapted = network()
    calls.call(adapted, x, False)
    adapted.layers[-1].enable_lora(1)
    adapted.set_weights([np.ones_like(each) for each in adapted.get_weights()])
    np.testing.assert_array_equal(numpy(calls.call(adapted, x, False)), numpy(adapted(x)))
    elsewhere = network()
    calls.call(elsewhere, x, False)
    with keras.StatelessScope([(weight, ops.ones_like(weight)) for weight in elsewhere.weights]):
        assert numpy(calls.call(elsewhere, x, False)).tolist() == [[4, 4]]
    grown = network()
    calls.call(grown, x, False)
    grown.add(layers.Dense(7))
    assert tuple(calls.call(grown, x, False).shape) == (1, 7)


@pytest.mark.skipif(not TORCH, reason="elsewhere a step is compiled")
@pytest.mark.parametrize("kind", ["layer", "network"])
def test_what_was_called_is_not_kept(kind):
    called = keras.layers.GaussianNoise(0.1)
    if kind == "network":
        called = keras.Sequential([keras.Input((3,)), called, keras.layers.Dense(2)])
    calls.call(called, ops.ones((2, 3)), True)  # which builds a layer
    calls.call(called, ops.ones((2, 3)), True)
    seen = weakref.ref(called)
    del called
    gc.collect()
    assert seen() is None


@pytest.mark.skipif(not TORCH, reason="elsewhere a thread for callbacks costs nothing")
def test_callbacks_hear_of_a_batch_at_once():
    class Listener(keras.callbacks.Callback):
        async_safe = True

        def on_train_batch_end(self, batch, logs=None):
            heard.append(threading.current_thread())

    heard, x = [], np.zeros((4, 4), "float32")
    for callbacks in (Listener(), [Listener()]):
        small().fit(x, batch_size=2, verbose=0, callbacks=callbacks)
    assert heard == 4 * [threading.main_thread()]


def test_each_kind_of_batch_has_its_step():
    rng = np.random.default_rng(0)
    x, weights = rng.random((5, 4), dtype="float32"), rng.random(5, dtype="float32")
    losses = {}
    for eager in (False, True):
        model = small()
        model.compile(keras.optimizers.SGD(0.0), run_eagerly=eager)
        fits = [(x,), (x, 1 - x), (x, x, weights), (x[:3], 1 - x[:3], weights[:3]), (x,)]
        each = [
            model.fit(x, y, sample_weight=w, batch_size=2, verbose=0).history["loss"][0]
            for x, y, w in ((*given, None, None)[:3] for given in fits)
        ]
        losses[eager] = [*each, model.evaluate(x, verbose=0)[0]]
    np.testing.assert_allclose(losses[False], losses[True], rtol=1e-6)
    assert len(np.unique(np.round(losses[True], 6))) == 4


# XLA on TensorFlow.


TENSORFLOW = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the rule of its own engine"
)


QUANTIZERS = {
    "codebook": lambda: kerasae.quantizers.VectorQuantizer(4, restart=2, k_means=False),
    "finite scalars": lambda: kerasae.quantizers.FiniteScalarQuantizer((4, 4)),
}


def of_kind(kind):
    keras.utils.set_random_seed(0)
    if kind == "variational":
        return kerasae.VariationalAutoencoder(
            *kerasae.nets.mlp((6,), 2, (3,), posterior="diagonal")
        )
    if kind in QUANTIZERS:
        networks = kerasae.nets.mlp((6,), 2, (3,))
        return kerasae.VectorQuantizedAutoencoder(*networks, QUANTIZERS[kind]())
    corruption = keras.layers.GaussianNoise(0.1) if kind == "noisy" else None
    return kerasae.Autoencoder(*kerasae.nets.mlp((6,), 2, (3,)), corruption=corruption)


@TENSORFLOW
@pytest.mark.parametrize(
    "kind, epochs, asked, by_xla",
    [
        ("plain", 2, "auto", [True]),
        ("plain", 1, "auto", [False]),  # too short
        ("plain", 2, False, [False]),
        ("plain", 1, True, [True]),
        ("variational", 2, "auto", [True]),
        ("codebook", 2, "auto", [True]),
        ("finite scalars", 2, "auto", [True]),
        ("noisy", 2, "auto", [True, False]),  # Keras's noise is slow by XLA: traced again without
    ],
)
def test_a_long_fit_of_dense_algebra_is_compiled_by_xla(monkeypatch, kind, epochs, asked, by_xla):
    import tensorflow as tf

    from kerasae.engine import on_tensorflow

    made, function = [], tf.function

    def spy(step=None, **arguments):
        if getattr(step, "__name__", "") == "train_step":
            made.append(arguments["jit_compile"])
        return function(step, **arguments)

    monkeypatch.setattr(tf, "function", spy)
    monkeypatch.setattr(on_tensorflow, "LONG", 6)
    x = np.random.default_rng(0).random((40, 6), dtype="float32")  # 3 steps an epoch
    model = of_kind(kind)
    model.compile("sgd", jit_compile=asked)
    losses = model.fit(x, batch_size=16, epochs=epochs, verbose=0).history["loss"]
    assert made == by_xla
    model.fit(x, batch_size=16, verbose=0)
    assert made == by_xla  # a short `fit` uses what is there
    if by_xla == [False] and asked == "auto":
        model.fit(x, batch_size=16, epochs=2, verbose=0)
        assert made == [False, True]
    if kind == "plain":
        model = of_kind(kind)
        model.compile("sgd", run_eagerly=True)
        expected = model.fit(x, batch_size=16, epochs=epochs, verbose=0).history["loss"]
        np.testing.assert_allclose(losses, expected, rtol=1e-5)


@TENSORFLOW
def test_noise_is_normal_under_xla_too():
    import tensorflow as tf

    seed = keras.random.SeedGenerator(1)
    draw = tf.function(lambda: noise.normal((5000, 20), seed), jit_compile=True)
    one, other = numpy(draw()), numpy(draw())
    for z in (one, other):
        error = 1 / math.sqrt(z.size)
        assert abs(z.mean()) < 4 * error and abs(z.std() - 1) < 4 * error
    assert abs((one * other).mean()) < 4 / math.sqrt(one.size)


# What an engine does fast.


@pytest.mark.parametrize("shape", [(6,), (6, 3)])
def test_sums_of_each_index_are_keras_s(shape):
    values = np.random.default_rng(0).normal(size=shape).astype("float32")
    indices = np.array([4, 0, 0, 2, 4, 4], "int32")
    values, indices = ops.convert_to_tensor(values), ops.convert_to_tensor(indices)
    expected = ops.segment_sum(values, indices, num_segments=6)
    np.testing.assert_array_equal(numpy(platform.segment_sum(values, indices, 6)), numpy(expected))


@pytest.mark.parametrize("shape", [(4, 3), (2, 4, 3)])
def test_affine_is_a_product_and_a_bias(shape):
    rng = np.random.default_rng(0)
    x, w, b = (rng.normal(size=size).astype("float32") for size in (shape, (3, 5), (5,)))
    tensors = [ops.convert_to_tensor(each) for each in (x, w, b)]
    expected, without = x @ w + b, x @ w
    np.testing.assert_allclose(numpy(platform.affine(*tensors)), expected, rtol=1e-5, atol=1e-6)
    tensors[2] = None
    np.testing.assert_allclose(numpy(platform.affine(*tensors)), without, rtol=1e-5, atol=1e-6)


def test_cross_entropy_of_logits_is_exact_and_so_is_its_gradient():
    logits = np.array([-200.0, -30.0, -1.0, 0.0, 1.0, 30.0, 200.0], "float32")
    for y in (0.0, 0.3, 1.0):
        target = np.full_like(logits, y)
        a = logits.astype("float64")
        expected = y * np.logaddexp(0, -a) + (1 - y) * np.logaddexp(0, a)
        found = platform.binary_cross_entropy(target, ops.convert_to_tensor(logits))
        np.testing.assert_allclose(numpy(found), expected, rtol=1e-5, atol=1e-12)

        def loss(rows, target=target):
            return ops.sum(platform.binary_cross_entropy(target[:, None], rows), axis=-1)

        gradient = derivatives.gradient(loss, ops.convert_to_tensor(logits[:, None]))
        np.testing.assert_allclose(
            numpy(gradient)[:, 0], 1 / (1 + np.exp(-a)) - y, rtol=1e-5, atol=1e-6
        )


@pytest.mark.home("torch")
def test_on_one_device_sums_are_what_they_are():
    assert devices.copies() == 1 and devices.rank() == 0
    assert devices.totals(1.0, 2.0) == [1.0, 2.0]
