"""Models among Keras's own: nested, exported, watched by callbacks, fed from data sets."""

import keras
import numpy as np
import pytest
from keras import ops

import kerasae
from kerasae import nets

SHAPE = (6, 6, 1)


@pytest.fixture
def x():
    return np.random.default_rng(0).random((48, *SHAPE), dtype="float32")


def vae(**arguments):
    keras.utils.set_random_seed(1)
    networks = nets.mlp(SHAPE, 3, (16,), posterior="diagonal")
    return kerasae.VariationalAutoencoder(*networks, **arguments)


def inside(model):
    """A functional model that does nothing but call the model."""
    inputs = keras.Input(SHAPE)
    outer = keras.Model(inputs, model(inputs))
    outer.compile(keras.optimizers.SGD(0.0), "mse")
    return outer


@pytest.mark.parametrize("beta", [1.0, 3.0])
def test_a_nested_variational_model_keeps_its_divergence(x, beta):
    model = vae(beta=beta)
    outer = inside(model)
    logs = outer.evaluate(x, x, batch_size=48, verbose=0)
    model.compile()
    kl = model.evaluate(x, verbose=0, return_dict=True)["kl"]
    error = np.square(outer.predict(x, verbose=0) - x).mean()
    assert logs == pytest.approx(error + beta * kl, rel=1e-5)
    loss = outer.fit(x, x, batch_size=48, verbose=0).history["loss"][0]
    assert loss == pytest.approx(error + beta * kl, rel=0.05)  # of samples, not of means


def test_a_nested_autoencoder_keeps_its_penalty(x):
    model = kerasae.Autoencoder(
        *nets.mlp(SHAPE, 3, (16,)),
        corruption=keras.layers.GaussianNoise(0.5),
        penalty=keras.regularizers.L2(0.1),
    )
    outer = inside(model)
    penalty = 0.1 * np.square(model.encode(x)).sum(axis=1).mean()
    error = np.square(model.reconstruct(x) - x).mean()
    assert outer.evaluate(x, x, batch_size=48, verbose=0) == pytest.approx(error + penalty, 1e-5)


def test_a_call_leaves_nothing_behind(x):
    model = vae()
    outer = inside(model)
    outer.fit(x, x, verbose=0)
    np.testing.assert_allclose(
        ops.convert_to_numpy(model(x[:2])), model.reconstruct(x[:2]), rtol=1e-5, atol=1e-6
    )
    assert model.losses == []
    model.compile()
    model.fit(x, verbose=0)  # on its own, after it was trained inside another


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="needs a package and fixed shapes")
def test_export_works_right_after_fit(x, tmp_path):
    pytest.importorskip("tensorflow")  # which writes the file on JAX too
    model = vae()
    model.compile()
    model.fit(x, verbose=0)
    model.export(tmp_path / "served", verbose=False)
    assert (tmp_path / "served" / "saved_model.pb").exists()


@pytest.mark.home("torch")
def test_callbacks_know_which_way_a_part_of_the_loss_is_better(x):
    model = vae()
    model.compile()
    stop = keras.callbacks.EarlyStopping("val_reconstruction", patience=3)
    told = keras.callbacks.EarlyStopping("kl", mode="max", patience=3)
    model.fit(x, validation_data=(x,), callbacks=[stop, told], verbose=0)
    assert (stop.mode, told.mode) == ("min", "max")
    best = keras.callbacks.ModelCheckpoint("unused.keras", monitor="accuracy")
    classifier = kerasae.Classifier(model.encoder, classes=3)
    assert classifier._with_modes([best])[0].mode == "max"


def test_codes_of_a_data_set(x):
    model = vae()

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 5

        def __getitem__(self, index):
            return (x[10 * index : 10 * index + 10],)

    np.testing.assert_allclose(model.encode(Batches()), model.encode(x), rtol=1e-5, atol=1e-6)
    found = model.reconstruct(Batches())
    np.testing.assert_allclose(found, model.reconstruct(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("samples", [1, 3])
def test_an_evaluation_does_not_depend_on_the_batches(x, samples):
    """The noise of an example belongs to its place, and no two examples share theirs."""
    model = vae(importance_samples=samples)
    model.compile()
    found = [model.evaluate(x, batch_size=size, verbose=0)[0] for size in (1, 7, 48)]
    assert found == pytest.approx([found[0]] * 3, rel=1e-5)
    alike = np.repeat(x[:1], 200, axis=0)  # whose bounds differ by the noise alone
    each = [model.evaluate(alike[:n], batch_size=50, verbose=0)[0] * n for n in range(50, 60)]
    assert len(set(np.round(np.diff(each), 3))) > 5
    model.fit(x, validation_data=(x,), verbose=0)
    assert model.evaluate(x, verbose=0) == model.evaluate(x, verbose=0)


def test_validation_changes_nothing_in_training(x):
    weights = []
    for validation in ({}, {"validation_data": (x,)}):
        keras.utils.set_random_seed(2)
        model = kerasae.GAN.mlp(SHAPE, 2, (8,), output_activation="sigmoid", loss="wasserstein")
        model.compile()
        model.fit(x, epochs=2, batch_size=16, shuffle=False, verbose=0, **validation)
        assert model.evaluate(x, verbose=0) == model.evaluate(x, verbose=0)
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_frozen_network_of_a_game_stays(x):
    model = kerasae.GAN.mlp(SHAPE, 2, (8,), output_activation="sigmoid")
    model.generator.trainable = False
    model.compile()
    before = model.generator.get_weights(), model.discriminator.get_weights()
    logs = model.fit(x, verbose=0).history
    for one, other in zip(before[0], model.generator.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.abs(before[1][0] - model.discriminator.get_weights()[0]).max() > 0
    assert np.isfinite(logs["generator_loss"]).all()


def test_overriding_compute_loss_is_refused():
    with pytest.raises(TypeError, match="`compute_loss` of Own is never called: define `terms`"):

        class Own(kerasae.Autoencoder):
            def compute_loss(self, *args, **kwargs):
                return 0.0
