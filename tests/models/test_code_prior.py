"""The prior over codes: what it learns, draws and writes."""

import keras
import numpy as np
import pytest
from contract import (
    assert_config_is_complete,
    assert_learns,
    assert_repeatable,
    assert_resumes,
    assert_round_trips,
    assert_same_step_on_every_backend,
    trained,
)
from keras import ops

from kerasae import CodePrior, VectorQuantizedAutoencoder, nets, quantizers

RNG = np.random.default_rng(0)
SHAPE, SIZE, CLASSES = (2, 3), 4, 2
LABELS = np.arange(64) % CLASSES
# Each number is the one before it plus 1, but for one in ten; the first is the label.
CODES = (LABELS[:, None] + np.arange(6)) % SIZE
CODES = np.where(RNG.random((64, 6)) < 0.9, CODES, RNG.integers(SIZE, size=(64, 6)))
CODES = CODES.reshape(-1, *SHAPE).astype("int32")
IMAGES = RNG.random((32, 8, 12, 1), dtype="float32")

NETWORKS = {
    "transformer": lambda **options: nets.causal_transformer(SHAPE, SIZE, width=8, **options),
    "convolutions": lambda **options: nets.masked_convolutional(SHAPE, SIZE, filters=8, **options),
}


def made(kind="transformer", classes=None, **options):
    return CodePrior(NETWORKS[kind](classes=classes), classes=classes, **options)


def autoencoder():
    networks = nets.convolutional((8, 12, 1), None, filters=(4, 4))
    model = VectorQuantizedAutoencoder(*networks, quantizers.VectorQuantizer(SIZE, seed=0))
    model.quantizer.start(model.view("_continuous")(IMAGES, 32))
    return model


def test_contract(other_backends, tmp_path):
    model, history = trained(made, CODES, None, {}, 6)
    assert_learns(model, history, {"nats", "nats_per_number"})
    assert_repeatable(made, CODES, None, {}, 6, model)
    assert_round_trips(model, CODES, other_backends, tmp_path)
    assert_config_is_complete(model, {})
    assert_same_step_on_every_backend(model, CODES, None, None, other_backends, tmp_path)


def test_convolutions_take_the_same_step_on_every_backend(other_backends, tmp_path):
    model = made("convolutions", CLASSES)
    assert_same_step_on_every_backend(model, CODES, LABELS, None, other_backends, tmp_path)


def test_loss_is_the_cross_entropy():
    model = made(classes=CLASSES)
    model.compile()
    logits = model.predict({"x": CODES, "label": LABELS}, verbose=0).astype("float64")
    logs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    nats = -np.take_along_axis(logs, CODES[..., None], axis=-1)[..., 0].sum(axis=(1, 2))
    found = model.evaluate(CODES, LABELS, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(nats.mean(), rel=1e-5)
    assert found["nats_per_number"] == pytest.approx(nats.mean() / 6, rel=1e-5)
    np.testing.assert_allclose(model.log_prob(CODES, LABELS), -nats, rtol=1e-5)
    weights = np.where(np.arange(64) < 16, 4.0, 0.0)
    weighted = model.evaluate(CODES, LABELS, sample_weight=weights, verbose=0, return_dict=True)
    assert weighted["loss"] == pytest.approx(nats[:16].mean(), rel=1e-5)


@pytest.mark.home("torch")
def test_log_prob_sums_to_one():
    model = CodePrior(nets.causal_transformer((5,), 3, width=8))
    every = np.stack(np.meshgrid(*[np.arange(3)] * 5), axis=-1).reshape(-1, 5)
    assert np.exp(model.log_prob(every)).sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.home("torch")
@pytest.mark.parametrize("kind", NETWORKS)
def test_samples_have_the_probabilities_of_log_prob(kind):
    shape = (1, 3)
    network = (
        nets.causal_transformer(shape, 2, width=8)
        if kind == "transformer"
        else nets.masked_convolutional(shape, 2, filters=8)
    )
    for weight in network.trainable_weights:
        weight.assign(RNG.normal(size=weight.shape))
    model = CodePrior(network)
    every = np.stack(np.meshgrid(*[np.arange(2)] * 3), axis=-1).reshape(-1, *shape)
    samples = model.sample(4000, seed=1, batch_size=4000)
    shares = [(samples == code).all(axis=(1, 2)).mean() for code in every]
    expected = np.exp(model.log_prob(every))
    errors = np.sqrt(expected * (1 - expected) / 4000)
    assert (np.abs(shares - expected) < 5 * errors + 1e-3).all()


@pytest.mark.home("torch")
def test_it_learns_what_the_label_and_the_numbers_before_say():
    model, history = trained(lambda: made(classes=CLASSES), CODES, LABELS, {}, 30)
    assert history["val_nats_per_number"][-1] < 0.8 < np.log(SIZE)
    samples = model.sample(100, labels=1, seed=0).reshape(100, 6)
    assert np.mean(samples[:, 0] == 1) > 0.7
    cold = model.sample(100, labels=1, temperature=0.01, seed=0).reshape(100, 6)
    assert (cold == cold[0]).all()


@pytest.mark.home("torch")
def test_draws_repeat_and_begin_as_told():
    model = made()
    one, two = model.sample(5, seed=3), model.sample(5, seed=3, batch_size=2)
    np.testing.assert_array_equal(one, two)
    assert (model.sample(20) != model.sample(20)).any()
    beginning = RNG.integers(SIZE, size=(5, 4))
    samples = model.sample(5, seed=3, beginning=beginning).reshape(5, 6)
    np.testing.assert_array_equal(samples[:, :4], beginning)


@pytest.mark.parametrize(("kind", "classes"), [("transformer", CLASSES), ("convolutions", None)])
def test_a_file_gives_the_codes_back(kind, classes):
    labels = None if classes is None else LABELS
    model, _ = trained(lambda: made(kind, classes), CODES, labels, {}, 2)
    codes, labels = np.tile(CODES, (20, 1, 1)), None if labels is None else np.tile(labels, 20)
    data = model.compress(codes, labels)
    np.testing.assert_array_equal(model.decompress(data, labels), codes)
    bits = -model.log_prob(codes, labels).sum() / np.log(2)
    assert 8 * len(data) == pytest.approx(bits, rel=0.01, abs=300)
    broken = bytearray(data)
    broken[40] ^= 255
    with pytest.raises(ValueError, match="does not give the codes that were compressed"):
        model.decompress(bytes(broken), labels)


def test_with_an_autoencoder_it_takes_and_gives_examples():
    model = CodePrior(NETWORKS["transformer"](), autoencoder())
    assert not model.autoencoder.trainable_variables
    before = [weight.copy() for weight in model.autoencoder.get_weights()]
    model.compile(optimizer="adam")
    model.fit(IMAGES, epochs=1, verbose=0)
    for one, two in zip(before, model.autoencoder.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    codes = model.autoencoder.encode(IMAGES)
    plain = CodePrior(model.network)
    np.testing.assert_allclose(model.log_prob(IMAGES), plain.log_prob(codes), rtol=1e-5)
    assert model.sample(3).shape == (3, 8, 12, 1)
    assert model.sample(3, decode=False).shape == (3, *SHAPE)
    images = model.decompress(model.compress(IMAGES))
    np.testing.assert_allclose(images, model.autoencoder.reconstruct(IMAGES), atol=1e-6)


@pytest.mark.home("torch")
def test_a_killed_run_resumes_with_the_same_weights(tmp_path):
    assert_resumes(lambda: made(classes=CLASSES), CODES, LABELS, tmp_path)


@pytest.mark.parametrize(
    ("kind", "policy"), [("transformer", "mixed_float16"), ("convolutions", "mixed_bfloat16")]
)
def test_mixed_precision_trains_and_draws(kind, policy):
    keras.config.set_dtype_policy(policy)
    model = made(kind)
    model.compile(optimizer="adam", run_eagerly=keras.backend.backend() != "jax")
    history = model.fit(CODES, epochs=1, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert ops.convert_to_numpy(model(CODES)).dtype == "float32"
    assert model.sample(2).shape == (2, *SHAPE)


@pytest.mark.home("torch")
def test_bad_input_is_one_sentence():
    plain, conditional = made(), made(classes=CLASSES)
    for model in (plain, conditional):
        model.compile()
    cases = [
        (lambda: plain.fit(CODES, LABELS), "`y` is given, expected none: this model has no"),
        (lambda: conditional.fit(CODES), "`y` is None, expected labels"),
        (lambda: conditional.fit({"x": CODES, "y": LABELS}), "`x` holds x, y, expected label"),
        (lambda: plain.fit(CODES[:, :1]), r"`x` has shape \(64, 1, 3\), expected"),
        (lambda: plain.fit(CODES + 2), "`x` holds labels from 2 to 5, expected whole numbers"),
        (lambda: plain.fit(CODES / 2), "expected whole numbers"),
        (lambda: plain.sample(2, temperature=0), "`temperature` is 0"),
        (lambda: plain.sample(2, labels=1), "`labels` are given, expected none"),
        (lambda: plain.sample(2, beginning=np.zeros((1, 2))), r"`beginning` has shape \(1, 2\)"),
        (lambda: plain.decompress(b"no file"), "`data` is no file of codes"),
        (lambda: CodePrior(NETWORKS["transformer"](), classes=2), "expected one that takes"),
        (lambda: CodePrior(nets.mlp((4,), 2)[0]), "expected logits of shape"),
        (lambda: CodePrior(NETWORKS["transformer"](), nets.mlp((4,), 2)[0]), "expected a Vector"),
        (
            lambda: CodePrior(nets.causal_transformer((7,), SIZE), autoencoder()),
            r"`autoencoder` gives codes of shape \(2, 3\) with 4 codewords",
        ),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()
