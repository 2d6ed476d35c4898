import keras
import numpy as np
import pytest
from contract import assert_contract

from kerasae import Autoencoder, Classifier, StackedAutoencoder, nets
from kerasae.corruptions import MaskingNoise

layers = keras.layers


@pytest.fixture
def x():
    """48 images of 8 × 8 pixels: a bright bar in the upper, middle or lower third."""
    rng = np.random.default_rng(0)
    images = np.full((48, 8, 8, 1), 0.1, "float32")
    for image, row in zip(images, 3 * (np.arange(48) % 3), strict=True):
        image[row : row + 2] = 0.9
    return (images + 0.05 * rng.random(images.shape)).astype("float32")


@pytest.fixture
def y():
    return np.arange(48) % 3


@pytest.fixture
def mixed(y):
    """Labels of which two thirds are missing, in no order that batches would repeat."""
    return np.where(np.random.default_rng(1).random(48) < 1 / 3, y, -1)


def plain(**arguments):
    return Classifier(nets.mlp_encoder((8, 8, 1), 4, units=(16,)), classes=3, **arguments)


def joint(**arguments):
    encoder, decoder = nets.mlp((8, 8, 1), 4, units=(16,))
    return Classifier(encoder, classes=3, decoder=decoder, **arguments)


def normalised():
    """An encoder with BatchNormalization and Dropout, four layers of which have weights."""
    inputs = keras.Input((8, 8, 1))
    h = layers.Dense(12, use_bias=False, name="first")(layers.Flatten(name="flat")(inputs))
    h = layers.BatchNormalization(name="normal")(h)
    h = layers.ReLU(name="relu")(h)
    h = layers.Dropout(0.2, seed=3, name="drop")(h)
    h = layers.Dense(8, name="second")(h)
    return keras.Model(inputs, layers.Dense(5, name="code")(h), name="encoder")


def partly_fixed():
    return Classifier(normalised(), classes=3, fixed="relu")


def mixed_networks():
    return joint(
        head=keras.Sequential(
            [layers.Dense(6, "relu"), layers.Dropout(0.1, seed=2), layers.Dense(3)]
        ),
        reconstruction_loss=keras.losses.BinaryCrossentropy(),
        reconstruction_weight=0.5,
        corruption=MaskingNoise(0.2, seed=1),
    )


def unbuilt():
    networks = [layers.Flatten(), layers.Dense(6), layers.BatchNormalization()]
    return Classifier(keras.Sequential(networks), classes=3, fixed=-1)


@pytest.mark.parametrize(
    "make_model, labels, compiled",
    [
        (partly_fixed, "y", {"metrics": ["accuracy", "sparse_categorical_crossentropy"]}),
        pytest.param(
            mixed_networks,
            "mixed",
            {"weighted_metrics": ["accuracy"]},
            marks=pytest.mark.home("tensorflow"),
        ),
        pytest.param(unbuilt, "y", {}, marks=pytest.mark.home("torch")),
    ],
)
def test_contract(make_model, labels, compiled, x, other_backends, tmp_path, request):
    y = request.getfixturevalue(labels)
    assert_contract(
        make_model,
        x,
        other_backends,
        tmp_path,
        epochs=4,
        y=y,
        compiled=compiled,
        of_class=make_model is mixed_networks,
        others={"fixed": "all", "reconstruction_loss": "mae"},
    )


def log_softmax(logits):
    logits = logits.astype("float64")
    logits = logits - logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def parts(model, x):
    """Logits and reconstruction of the model's own networks, in plain steps."""
    code = model.encode(x)
    logits = model.head.predict(code, verbose=0)
    output = model.decoder.predict(code, verbose=0) if model.decoder is not None else None
    return logits, output


def test_loss_is_cross_entropy_where_labelled_and_reconstruction_everywhere(x, mixed):
    model = joint(reconstruction_weight=3.0)
    model.compile()
    logits, output = parts(model, x)
    labelled = mixed >= 0
    entropy = -log_softmax(logits)[labelled, mixed[labelled]]
    error = ((output - x) ** 2).reshape(48, -1).mean(axis=1)
    found = model.evaluate(x, mixed, batch_size=48, verbose=0, return_dict=True)
    assert found["cross_entropy"] == pytest.approx(entropy.mean(), rel=1e-5)
    assert found["reconstruction"] == pytest.approx(error.mean(), rel=1e-5)
    assert found["loss"] == pytest.approx(entropy.mean() + 3 * error.mean(), rel=1e-5)
    right = logits.argmax(axis=1)[labelled] == mixed[labelled]
    assert found["accuracy"] == pytest.approx(right.mean(), rel=1e-6)

    weight = np.random.default_rng(2).random(48).astype("float32")
    found = model.evaluate(x, mixed, 48, sample_weight=weight, verbose=0, return_dict=True)
    entropy, error = (weight[labelled] * entropy).mean(), (weight * error).mean()
    assert found["cross_entropy"] == pytest.approx(entropy, rel=1e-5)
    assert found["reconstruction"] == pytest.approx(error, rel=1e-5)
    assert found["loss"] == pytest.approx(entropy + 3 * error, rel=1e-5)
    assert found["accuracy"] == pytest.approx(right.mean(), rel=1e-6)


def test_metrics_are_exact_averages_over_the_labelled_examples(x, mixed):
    """However the labels fall into the batches: one has none at all, the last is short."""
    order = np.argsort(mixed, kind="stable")  # the unlabelled first
    x, y = x[order], mixed[order]
    model = joint()
    model.compile(weighted_metrics=["sparse_categorical_crossentropy"])
    whole = model.evaluate(x, y, batch_size=48, verbose=0, return_dict=True)
    parts = model.evaluate(x, y, batch_size=13, verbose=0, return_dict=True)
    for name in ("cross_entropy", "accuracy", "reconstruction"):
        assert parts[name] == pytest.approx(whole[name], rel=1e-5)
    # The compiled metric sees probabilities, and nothing of the unlabelled.
    assert parts["sparse_categorical_crossentropy"] == pytest.approx(
        whole["cross_entropy"], rel=1e-4
    )
    model.optimizer.learning_rate = 0.0  # so that training sees the same weights throughout
    trained = model.fit(x, y, batch_size=13, shuffle=False, verbose=0).history
    for name in ("cross_entropy", "accuracy", "reconstruction"):
        assert trained[name] == pytest.approx([whole[name]], rel=1e-5)


def test_a_batch_without_labels_learns_from_the_reconstruction_alone(x):
    model = joint()
    model.compile(optimizer="sgd")
    head, decoder = model.head.get_weights(), model.decoder.get_weights()
    nothing = np.full(48, -1)
    history = model.fit(x, nothing, batch_size=48, verbose=0).history
    assert history["cross_entropy"] == history["accuracy"] == [0.0]
    assert history["loss"] == pytest.approx(history["reconstruction"])
    for one, two in zip(head, model.head.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert not all(map(np.array_equal, decoder, model.decoder.get_weights()))


def test_the_gradient_is_that_of_the_formula(x, mixed):
    """One step of gradient descent on the head's bias, in NumPy: Σ (p − onehot) / labelled."""
    model = joint()
    model.compile(optimizer=keras.optimizers.SGD(1.0))
    before = model.head.get_weights()[1]
    labelled = mixed >= 0
    error = model.predict(x, verbose=0)[labelled] - np.eye(3)[mixed[labelled]]
    model.fit(x, mixed, batch_size=48, verbose=0)
    np.testing.assert_allclose(
        model.head.get_weights()[1], before - error.mean(axis=0), rtol=1e-4, atol=1e-6
    )


def test_huge_logits_still_teach(x, y):
    """A code of large numbers under a fresh head: the loss is exact, not clipped."""
    model = plain()
    model.compile(optimizer=keras.optimizers.SGD(0.1))
    kernel, bias = model.head.get_weights()
    model.head.set_weights([kernel, bias + np.array([1000.0, 0, 0], "float32")])
    expected = -log_softmax(parts(model, x)[0])[np.arange(48), y].mean()
    found = model.evaluate(x, y, verbose=0, return_dict=True)
    assert found["cross_entropy"] == pytest.approx(expected, rel=1e-5) and expected > 500
    model.fit(x, y, batch_size=48, verbose=0)
    step = model.head.get_weights()[1] - bias - np.array([1000.0, 0, 0])
    np.testing.assert_allclose(step, [-0.2 / 3, 0.1 / 3, 0.1 / 3], atol=1e-4)


def test_predictions(x):
    model = joint()
    probabilities, (logits, _) = model.predict(x, verbose=0), parts(model, x)
    np.testing.assert_allclose(probabilities, np.exp(log_softmax(logits)), rtol=1e-5)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(model.classify(x, batch_size=7), logits.argmax(axis=1))
    # In batches of one size: how numbers are added up may depend on it.
    np.testing.assert_array_equal(model.encode(x, 32), model.encoder.predict(x, 32, verbose=0))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(model(x[:2])), probabilities[:2], rtol=1e-4, atol=1e-6
    )


def test_frozen_is_frozen_bit_for_bit(x, y):
    encoder = normalised()
    teach = Classifier(encoder, classes=3)  # gives the normalisation some statistics
    teach.compile()
    teach.fit(x, y, verbose=0)
    model = Classifier(teach.encoder, classes=3, fixed="all")
    model.compile(optimizer=keras.optimizers.Adam(0.1))
    before, code = model.encoder.get_weights(), model.encode(x)
    head = model.head.get_weights()
    model.fit(x, y, epochs=3, verbose=0)
    for one, two in zip(before, model.encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(model.encode(x), code)
    assert not all(map(np.array_equal, head, model.head.get_weights()))
    assert len(model.trainable_variables) == 2


def test_a_frozen_encoder_is_a_function(x, y):
    """Dropout inside it is off in training: the loss is that of its codes."""
    for fixed, same in (("all", True), ("drop", False)):
        model = Classifier(normalised(), classes=3, fixed=fixed)
        model.compile(optimizer=keras.optimizers.SGD(0.0))
        expected = model.evaluate(x, y, verbose=0, return_dict=True)["loss"]
        (loss,) = model.fit(x, y, batch_size=48, verbose=0).history["loss"]
        assert (loss == pytest.approx(expected, rel=1e-5)) == same


def moved(model, x, y):
    """Names of the encoder's layers whose weights a step changes."""
    before = {layer.name: layer.get_weights() for layer in model.encoder.layers}
    model.fit(x, y, batch_size=48, verbose=0)
    return {
        layer.name
        for layer in model.encoder.layers
        if not all(map(np.array_equal, before[layer.name], layer.get_weights()))
    }


@pytest.mark.parametrize(
    "fixed, expected",
    [
        (None, {"first", "normal", "second", "code"}),
        (0, {"first", "normal", "second", "code"}),
        ("first", {"normal", "second", "code"}),
        (2, {"second", "code"}),
        ("drop", {"second", "code"}),
        (-1, {"code"}),
        (4, set()),
        (-4, {"first", "normal", "second", "code"}),
        ("all", set()),
    ],
)
@pytest.mark.home("torch")
def test_which_layers_stay_fixed(fixed, expected, x, y):
    model = Classifier(normalised(), classes=3, fixed=fixed)
    model.compile(optimizer=keras.optimizers.SGD(1.0))
    assert moved(model, x, y) == expected


def test_fixing_after_compiling_takes_effect(x, y):
    model = Classifier(normalised(), classes=3, fixed="all")
    model.compile(
        optimizer=keras.optimizers.SGD(1.0, momentum=0.9), metrics=["sparse_categorical_accuracy"]
    )
    assert moved(model, x, y) == set()
    model.optimizer.learning_rate = 0.5
    model.fix(-2)
    assert float(model.optimizer.learning_rate) == 0.5 and model.optimizer.momentum == 0.9
    assert int(model.optimizer.iterations) == 0
    assert moved(model, x, y) == {"second", "code"}
    found = model.evaluate(x, y, verbose=0, return_dict=True)
    assert found["sparse_categorical_accuracy"] == pytest.approx(found["accuracy"])
    model.fix("all")
    assert moved(model, x, y) == set()
    with pytest.raises(ValueError, match="expected the name of a layer"):
        model.fix("third")
    assert model.fixed == "all"


def test_a_loaded_model_can_be_unfrozen(x, y, tmp_path):
    model = Classifier(normalised(), classes=3, fixed="all")
    model.compile(optimizer=keras.optimizers.SGD(1.0))
    model.save(tmp_path / "model.keras")
    model.save_to_preset(tmp_path / "preset")
    for again in (
        keras.saving.load_model(tmp_path / "model.keras"),
        Classifier.from_preset(tmp_path / "preset"),
    ):
        again.compile(optimizer=keras.optimizers.SGD(1.0))
        assert moved(again, x, y) == set()
        again.fix("normal")
        assert moved(again, x, y) == {"second", "code"}


def test_layers_of_networks_inside_the_encoder_count(x, y):
    inner = normalised()
    inner.get_layer("second").trainable = False  # set by the caller: `fixed` decides
    encoder = keras.Sequential([keras.Input((8, 8, 1)), inner, layers.Dense(4, name="outer")])
    model = Classifier(encoder, classes=3, fixed="second")
    free = lambda: {w.path.split("/")[-2] for w in model.encoder.trainable_weights}  # noqa: E731
    assert free() == {"code", "outer"}
    model.fix(-1)
    assert free() == {"outer"}
    model.fix(None)
    assert free() == {"first", "normal", "second", "code", "outer"}
    assert not inner.get_layer("second").trainable


class Stages(keras.callbacks.Callback):
    """Notes which layers can be trained at the beginning of each epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        free = [w.path.split("/")[-2] for w in self.model.trainable_weights]
        self.seen = [*getattr(self, "seen", []), (epoch, set(free))]


@pytest.mark.home("torch")
def test_gradual_unfreezing_goes_from_the_top_down(x, y):
    model = Classifier(normalised(), classes=3)
    model.compile(optimizer=keras.optimizers.Adam(0.01))
    stages = Stages()
    history = model.fit_gradually(
        x, y, epochs=2, layers=2, callbacks=[stages], validation_data=(x, y), verbose=0
    )
    top = {"logits"}
    middle, everything = top | {"code", "second"}, top | {"code", "second", "normal", "first"}
    expected = [top, top, middle, middle, everything, everything]
    assert stages.seen == list(enumerate(expected))
    assert history.epoch == list(range(6)) and model.fixed is None
    assert {len(values) for values in history.history.values()} == {6}
    assert {"loss", "val_accuracy"} <= set(history.history)
    assert history is model.history


def test_gradual_unfreezing_is_fix_and_fit(x, y):
    models = [Classifier(normalised(), classes=3, name=f"m{i}") for i in range(2)]
    models[1].set_weights(models[0].get_weights())
    for model in models:
        model.compile(optimizer=keras.optimizers.Adam(0.01))
    arguments = {"epochs": 1, "batch_size": 48, "shuffle": False, "verbose": 0}
    models[0].fit_gradually(x, y, layers=4, **arguments)
    for fixed in ("all", None):
        models[1].fix(fixed)
        models[1].fit(x, y, **arguments)
    for one, two in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


@pytest.mark.home("torch")
def test_the_given_networks_are_left_as_they_were(x, mixed):
    autoencoder = Autoencoder(*nets.mlp((8, 8, 1), 4, units=(16,)))
    autoencoder.compile()
    autoencoder.fit(x, verbose=0)
    before = autoencoder.get_weights()
    model = Classifier(autoencoder.encoder, 3, decoder=autoencoder.decoder, fixed=1)
    np.testing.assert_allclose(model.encode(x), autoencoder.encode(x), rtol=1e-5, atol=1e-6)
    model.compile()
    model.fit(x, mixed, verbose=0)
    for one, two in zip(before, autoencoder.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert len(autoencoder.trainable_variables) == len(before)
    improved = Autoencoder(model.encoder, model.decoder)
    np.testing.assert_allclose(improved.encode(x), model.encode(x), rtol=1e-5, atol=1e-6)


def test_without_a_copy_they_are_shared(x, y):
    encoder = nets.mlp_encoder((8, 8, 1), 4, units=())
    model = Classifier(encoder, classes=3, copy=False)
    assert model.encoder is encoder
    model.compile()
    before = encoder.get_weights()
    model.fit(x, y, verbose=0)
    assert not np.array_equal(before[0], encoder.get_weights()[0])


def test_corruption_acts_on_the_encoder_in_training_only(x, y):
    model = joint(corruption=MaskingNoise(1.0))
    model.compile(optimizer=keras.optimizers.SGD(0.0))
    clean = ((parts(model, x)[1] - x) ** 2).mean()
    blank = ((parts(model, np.zeros_like(x))[1] - x) ** 2).mean()
    history = model.fit(x, y, validation_data=(x, y), batch_size=48, verbose=0).history
    assert history["reconstruction"] == pytest.approx([blank], rel=1e-5)
    assert history["val_reconstruction"] == pytest.approx([clean], rel=1e-5)
    assert blank != pytest.approx(clean, rel=1e-3)


def test_regularizers_in_the_networks_count(x, y):
    head = layers.Dense(3, kernel_regularizer=keras.regularizers.L2(0.1))
    model = plain(head=head)
    model.compile()
    found = model.evaluate(x, y, verbose=0, return_dict=True)
    decay = 0.1 * (model.head.get_weights()[0] ** 2).sum()
    assert found["loss"] - found["cross_entropy"] == pytest.approx(decay, rel=1e-4)


# ------------------------------------------------------------------------- transfer


def trained_sequential():
    return keras.Sequential(
        [
            layers.Flatten(),
            layers.Dense(12, "relu", name="lower"),
            layers.BatchNormalization(name="normal"),
            layers.Dense(6, "relu", name="upper"),
            layers.Dense(10, name="scores"),
            layers.Softmax(),
        ]
    )


def test_transfer_reproduces_the_features_at_the_cut(x):
    trained = trained_sequential()
    trained.build((None, 8, 8, 1))
    trained.get_layer("normal").moving_mean.assign(np.linspace(-1, 1, 12))
    cuts = {None: "upper", "normal": "normal", 1: "lower", -2: "scores"}
    at = keras.Model(trained.inputs, [trained.get_layer(name).output for name in cuts.values()])
    for cut, features in zip(cuts, at.predict(x, verbose=0), strict=True):
        model = Classifier.from_classifier(trained, cut, classes=3)
        np.testing.assert_allclose(model.encode(x), features, rtol=1e-6, atol=1e-7)
        assert features.shape == (48, {None: 6, -2: 10}.get(cut, 12))


@pytest.mark.home("torch")
def test_transfer_from_a_network_in_a_network(x, tmp_path):
    inputs = keras.Input((8, 8, 1))
    features = keras.layers.Dense(5, "tanh")(keras.layers.Flatten()(inputs))
    backbone = keras.Model(inputs, features, name="backbone")
    layers = [keras.layers.Rescaling(2.0), backbone, keras.layers.Dense(10, "softmax")]
    sequential = keras.Sequential([keras.Input((8, 8, 1)), *layers])
    expected = backbone.predict(2 * x, verbose=0)
    for cut in (None, "backbone", 1):
        model = Classifier.from_classifier(sequential, cut, classes=3)
        np.testing.assert_allclose(model.encode(x), expected, rtol=1e-5, atol=1e-6)
    again = keras.Model(inputs, layers[-1](backbone(inputs)))  # called in a second graph
    model = Classifier.from_classifier(again, classes=3, copy=False)
    np.testing.assert_allclose(model.encode(2 * x), expected, rtol=1e-5, atol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


@pytest.mark.home("torch")
def test_a_tied_decoder_is_to_be_freed_first(x, mixed):
    stack = StackedAutoencoder(units=(4,), input_shape=(8, 8, 1))
    with pytest.raises(ValueError, match=r"`decoder` cannot be copied .*untied\(\)") as error:
        Classifier(stack.encoder, classes=3, decoder=stack.decoder)
    assert "copy=False" not in str(error.value)
    model = Classifier(stack.encoder, classes=3, decoder=stack.untied().decoder)
    model.compile()
    assert "reconstruction" in model.fit(x, mixed, verbose=0).history


@pytest.mark.home("torch")
def test_an_autoencoder_is_no_encoder():
    model = Autoencoder(*nets.mlp((8, 8, 1), code_size=3))
    with pytest.raises(ValueError, match=r"`encoder` is a Autoencoder, expected the .*`\.encoder`"):
        Classifier(model, classes=3)


@pytest.mark.home("torch")
def test_transfer_leaves_the_trained_classifier_and_what_is_fixed_as_they_were(x, y):
    trained = trained_sequential()
    trained.compile(loss="sparse_categorical_crossentropy")
    trained.fit(x, y, verbose=0)
    before, trainable = trained.get_weights(), len(trained.trainable_variables)
    model = Classifier.from_classifier(trained, classes=3)
    features = model.encode(x)
    model.compile(optimizer=keras.optimizers.Adam(0.1))
    model.fit(x, y, epochs=2, verbose=0)
    np.testing.assert_array_equal(model.encode(x), features)
    model.fix(None)
    model.fit(x, y, verbose=0)
    assert not np.array_equal(model.encode(x), features)
    for one, two in zip(before, trained.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert len(trained.trainable_variables) == trainable


@pytest.mark.home("tensorflow")
def test_transfer_from_a_frozen_classifier_can_be_fine_tuned(x, y):
    trained = trained_sequential()
    trained.build((None, 8, 8, 1))
    trained.trainable = False
    model = Classifier.from_classifier(trained, classes=3, fixed="lower")
    model.compile(optimizer=keras.optimizers.SGD(1.0))
    assert moved(model, x, y) == {"normal", "upper"}
    assert not trained.trainable_variables


@pytest.mark.home("torch")
def test_transfer_from_keras_applications(tmp_path):
    trained = keras.applications.MobileNet(
        (32, 32, 3), alpha=0.25, weights=None, classes=7, classifier_activation=None
    )
    x = np.random.default_rng(0).random((8, 32, 32, 3), dtype="float32")
    model = Classifier.from_classifier(trained, classes=3, fixed="all")
    assert model.encode(x).shape == (8, 1, 1, 256)  # what enters its last convolution
    model.compile(optimizer="sgd")
    before = model.encoder.get_weights()
    model.fit(x, np.arange(8) % 3, verbose=0)
    for one, two in zip(before, model.encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))

    lower = Classifier.from_classifier(trained, "conv_pw_3_relu", classes=3, fixed=4)
    expected = keras.Model(trained.inputs, trained.get_layer("conv_pw_3_relu").output)
    np.testing.assert_array_equal(lower.encode(x, 32), expected.predict(x, 32, verbose=0))


@keras.saving.register_keras_serializable("tests")
class TextBackbone(keras.Model):
    """Built as KerasHub builds its backbones: layers, functional model, config."""

    def __init__(self, vocabulary_size, hidden_dim, **kwargs):
        embedding = layers.Embedding(vocabulary_size, hidden_dim, name="embedding")
        mix = layers.Dense(hidden_dim, "relu", name="mix")
        tokens = keras.Input((None,), dtype="int32", name="token_ids")
        mask = keras.Input((None,), dtype="int32", name="padding_mask")
        sequence = mix(embedding(tokens))
        visible = keras.ops.cast(mask, sequence.dtype)[..., None]
        pooled = layers.Dense(hidden_dim, "tanh", name="pooled_dense")(
            keras.ops.sum(sequence * visible, axis=1)
        )
        super().__init__(
            inputs={"token_ids": tokens, "padding_mask": mask},
            outputs={"sequence_output": sequence, "pooled_output": pooled},
            **kwargs,
        )
        self.vocabulary_size, self.hidden_dim = vocabulary_size, hidden_dim

    def get_config(self):
        return {
            **keras.Model.get_config(self),
            "vocabulary_size": self.vocabulary_size,
            "hidden_dim": self.hidden_dim,
        }


@pytest.mark.home("torch")
def test_transfer_from_a_backbone_with_several_inputs(tmp_path):
    rng = np.random.default_rng(0)
    x = {
        "token_ids": rng.integers(0, 20, (24, 6)),
        "padding_mask": (rng.random((24, 6)) < 0.8).astype(int),
    }
    y = x["token_ids"][:, 0] % 2
    backbone = TextBackbone(20, 8)
    expected = backbone.predict(x, verbose=0)["pooled_output"]
    model = Classifier.from_classifier(backbone, "pooled_dense", classes=2, fixed="embedding")
    np.testing.assert_array_equal(model.encode(x), expected)
    model.compile(optimizer=keras.optimizers.Adam(0.02))
    history = model.fit(x, y, epochs=5, validation_data=(x, y), verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert moved(model, x, y) == {"mix", "pooled_dense"}
    assert model.classify(x).shape == (24,)
    np.testing.assert_array_equal(backbone.predict(x, verbose=0)["pooled_output"], expected)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))

    for bad, message in [
        ({"token_ids": x["token_ids"]}, r"`x` has entries \['token_ids'\], expected"),
        ({**x, "padding_mask": x["padding_mask"][:5]}, "expected the same number of examples"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.fit(bad, y, verbose=0)
    with pytest.raises(ValueError, match="`x` has entries"):
        model.predict({"token_ids": x["token_ids"]})
    with pytest.raises(ValueError, match="`encoder` gives 2 outputs, expected one code"):
        Classifier(backbone)


class Subclassed(keras.Model):
    """A network without a graph, of a class that is not registered."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.flatten, self.dense = layers.Flatten(), layers.Dense(4)

    def call(self, x):
        return self.dense(self.flatten(x))


def test_subclassed_networks(x, y):
    trained = Subclassed()
    expected = trained.predict(x, 32, verbose=0)
    with pytest.raises(ValueError, match="`trained` is a Subclassed without a graph of layers"):
        Classifier.from_classifier(trained)
    model = Classifier(trained, classes=3, fixed=1)
    model.compile()
    model.fit(x, y, verbose=0)
    np.testing.assert_array_equal(model.encode(x, 32), expected)


def test_mixed_precision_trains_in_stages(x, y):
    keras.config.set_dtype_policy("mixed_float16")
    model = Classifier(normalised(), classes=3)
    model.compile(optimizer=keras.optimizers.SGD(0.01))
    history = model.fit_gradually(x, y, layers=4, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert model.predict(x, verbose=0).dtype == np.float32


def stream(x, y):
    for start in range(0, len(x), 16):
        yield x[start : start + 16], y[start : start + 16]


def test_streams(x, y):
    model = plain()
    model.compile(optimizer=keras.optimizers.SGD(0.0))
    expected = model.evaluate(x, y, verbose=0, return_dict=True)
    # Labels as a column of a table are welcome too.
    found = model.evaluate(stream(x, y[:, None]), verbose=0, return_dict=True)
    assert found == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match="`y` is None, expected a label"):
        model.fit((batch for batch, _ in stream(x, y)), verbose=0)


@pytest.mark.parametrize(
    "labels, message",
    [
        (None, "`y` is None, expected a label for each example"),
        (np.eye(3)[np.arange(48) % 3], r"`y` has shape \(48, 3\), as one-hot labels have"),
        (np.zeros((48, 8)), r"`y` has shape \(48, 8\), expected one label for each"),
        (np.full(48, 3), "`y` holds labels from 3 to 3, expected whole numbers from 0 to 2"),
        (np.full(48, -2), "`y` holds labels from -2 to -2, expected whole numbers from 0 to 2"),
        (np.full(48, 0.5), "`y` holds 0.5, expected whole numbers from 0 to 2"),
        (np.full(48, np.nan), "`y` holds nan, expected whole numbers"),
        (np.full(48, "cat"), "`y` is of type <U3, expected whole numbers"),
        (np.full(48, -1), "`y` holds -1, which marks examples without a label, expected a `dec"),
    ],
)
@pytest.mark.home("torch")
def test_labels_that_are_none(labels, message, x):
    model = plain()
    model.compile()
    for method in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=message):
            method(x, labels, verbose=0)


def test_minus_two_is_no_label_even_where_minus_one_is_none(x):
    with pytest.raises(ValueError, match=r"from -2 to 0, expected .* 0 to 2 or -1 \(no label\)"):
        joint().fit(x, np.arange(48) % 3 - 2, verbose=0)


def test_whole_numbers_of_any_type_are_labels(x, y):
    model = plain()
    model.compile()
    expected = model.evaluate(x, y, verbose=0)
    for labels in (y.astype("float32"), y.astype("uint8"), y.tolist()):
        assert model.evaluate(x, labels, verbose=0) == pytest.approx(expected, rel=1e-6)


def test_values_outside_the_unit_interval_have_no_cross_entropy(x, y):
    model = joint(reconstruction_loss="binary_crossentropy")
    model.compile()
    with pytest.raises(ValueError, match="expected values from 0 to 1"):
        model.fit(2 * x, y, verbose=0)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: plain(fixed=3), "`fixed` is 3, but `encoder` has 2 layers with weights"),
        (lambda: plain(fixed=True), "`fixed` is True, expected 'all', None, a layer's name"),
        (lambda: plain(fixed="third"), "`fixed` is 'third', expected the name of a layer: one of"),
        (lambda: plain(head=layers.Dense(3, "softmax")), "`head` ends in a softmax"),
        (lambda: plain(head=layers.Dense(4)), r"`head` gives outputs of shape \(4,\)"),
        (lambda: plain(head=layers.Conv2D(3, 1)), "`head` does not take the encoder's codes"),
        (lambda: plain(head="dense"), "`head` is 'dense', expected a Keras network"),
        (lambda: joint(reconstruction_loss="mze"), "`reconstruction_loss` is 'mze', expected a"),
        (lambda: joint(reconstruction_weight=-1), "`reconstruction_weight` is -1"),
        (lambda: Classifier("encoder"), "`encoder` is of type str"),
        (lambda: Classifier(normalised(), classes=1), "`classes` is 1, expected a whole number"),
        (lambda: plain().compile(loss="mse"), "`loss` is 'mse', expected none"),
        (lambda: joint().compile(metrics=["mae"]), "expected `weighted_metrics`"),
        (
            lambda: plain(decoder=nets.mlp_decoder(5, (8, 8, 1))),
            r"`decoder` takes codes of shape \(5,\), but `encoder` gives codes of shape \(4,\)",
        ),
        (
            lambda: plain(decoder=nets.mlp_decoder(4, (8, 8, 3))),
            r"`decoder` gives reconstructions of shape \(8, 8, 3\), expected .* \(8, 8, 1\)",
        ),
        (lambda: Classifier.from_classifier(normalised(), "x"), "`cut` is 'x', expected the name"),
        (lambda: Classifier.from_classifier(normalised(), 9), "`cut` is 9, expected an index"),
        (lambda: Classifier.from_classifier(normalised(), 1.5), "`cut` is 1.5, expected a layer's"),
        (
            lambda: Classifier.from_classifier(
                keras.Sequential([keras.Input((2,)), layers.Dense(2)])
            ),
            "`trained` has one layer with weights, expected one to keep as well",
        ),
        (
            lambda: Classifier(keras.Sequential([layers.Dense(2)])).fit_gradually(np.ones((2, 2))),
            "has no weights yet, expected a pretrained one",
        ),
    ],
)
@pytest.mark.home("torch")
def test_arguments_that_cannot_work(make, message):
    with pytest.raises(ValueError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


@pytest.mark.home("torch")
def test_a_network_that_cannot_be_copied_is_named():
    class Odd(keras.Model):
        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.dense = layers.Dense(units)

        def get_config(self):
            raise NotImplementedError("it has no configuration")

        def call(self, x):
            return self.dense(x)

    with pytest.raises(ValueError, match=r"`encoder` cannot be copied \(it has no .*`copy=False`"):
        Classifier(Odd(3))
    assert Classifier(Odd(3), copy=False).encoder.dense.units == 3


def test_a_network_frozen_inside_the_encoder_is_freed_with_it():
    """On TensorFlow an assignment that changes nothing is dropped, for what is inside as well."""
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    encoder = keras.Sequential([keras.Input((4,)), inner])
    inner.trainable = False
    model = Classifier(encoder, classes=3, fixed=None, copy=False)
    assert inner.trainable and len(model.encoder.trainable_variables) == 2
