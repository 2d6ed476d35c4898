import json

import keras
import numpy as np
import pytest
from keras import ops

from kerasae import (
    FlowMatching,
    VariationalAutoencoder,
    nets,
    posteriors,
    priors,
    probability,
)
from kerasae.evaluation import likelihood


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def built(prior, code=(2,), inputs=(4,)):
    prior.build((None, *code), (None, *inputs))
    return prior


def test_standard_normal_has_the_codes_shape():
    p = built(priors.StandardNormal(), code=(2, 3)).distribution()
    assert numpy(p.sample(5, seed=0)).shape == (5, 2, 3)
    log_prob = -0.5 * 6 * np.log(2 * np.pi)
    np.testing.assert_allclose(numpy(p.log_prob(np.zeros((4, 2, 3)))), log_prob, rtol=1e-6)


def test_mixture_is_the_mixture_it_was_given():
    means, stddev, weights = [[0.0, 1.0], [2.0, -1.0]], [[0.5], [2.0]], [1.0, 3.0]
    prior = built(priors.MixturePrior(means, stddev, weights))
    z = np.random.default_rng(0).normal(size=(20, 2))
    same = probability.Mixture(means, 2 * np.log(stddev), np.log(weights))
    found = numpy(prior.distribution().log_prob(z))
    np.testing.assert_allclose(found, numpy(same.log_prob(z)), rtol=1e-5)
    one = prior.component([1, 0, 1])
    np.testing.assert_allclose(numpy(one.mean), np.array(means)[[1, 0, 1]])
    np.testing.assert_allclose(numpy(one.stddev), np.array(stddev)[[1, 0, 1]] * [1, 1], rtol=1e-6)


def test_ring_is_the_ring():
    prior = built(priors.MixturePrior.ring(7, radius=3.0, stddev=0.2))
    ring = probability.Mixture.ring(7, radius=3.0, stddev=0.2)
    z = np.random.default_rng(0).normal(size=(20, 2))
    found, expected = numpy(prior.distribution().log_prob(z)), numpy(ring.log_prob(z))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("learned", [True, False])
def test_what_is_learned_is_trainable(learned):
    prior = built(priors.MixturePrior(5, learned=learned, seed=1))
    assert len(prior.trainable_variables) == (3 if learned else 0)
    assert numpy(prior.distribution().sample(9, seed=0)).shape == (9, 2)
    again = built(priors.MixturePrior(5, seed=1))
    np.testing.assert_array_equal(numpy(prior.mu), numpy(again.mu))
    assert np.abs(numpy(built(priors.MixturePrior(5, seed=2)).mu) - numpy(prior.mu)).max() > 0.1


def test_pseudo_inputs_mix_the_posteriors():
    examples = np.random.default_rng(0).uniform(0.1, 0.9, (3, 4)).astype("float32")
    prior = built(priors.PseudoInputs(examples))
    np.testing.assert_allclose(numpy(prior.inputs), examples, rtol=1e-5)
    encoder = nets.mlp_encoder((4,), 4, (8,))

    def posterior(x):
        return posteriors.Diagonal().distribution(encoder(x))

    z = np.random.default_rng(1).normal(size=(10, 2)).astype("float32")
    each = numpy(posterior(examples).log_prob(z[:, None]))  # (10, 3)
    expected = np.logaddexp.reduce(each, axis=1) - np.log(3)
    found = numpy(prior.distribution(posterior).log_prob(z))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_pseudo_inputs_lie_in_their_interval():
    prior = built(priors.PseudoInputs(np.array([[-3.0, 0.0, 1.0, 3.0]]), interval=(-1, 1)))
    assert np.abs(numpy(prior.inputs)).max() < 1  # kept off the ends, where σ has no slope
    anywhere = built(priors.PseudoInputs(np.array([[-3.0, 0.0, 1.0, 3.0]]), interval=None))
    np.testing.assert_allclose(numpy(anywhere.inputs), [[-3, 0, 1, 3]])


@pytest.mark.parametrize(
    "make",
    [
        priors.StandardNormal,
        lambda: priors.MixturePrior([[0.0, 1.0]], 0.5, [2.0], learned=True),
        lambda: priors.MixturePrior(3, seed=4),
        lambda: priors.PseudoInputs(np.full((2, 4), 0.5), interval=(0, 2)),
        lambda: priors.PseudoInputs(3, interval=None),
    ],
)
def test_config_comes_back(make):
    config = keras.saving.serialize_keras_object(make())
    again = keras.saving.deserialize_keras_object(json.loads(json.dumps(config)))
    assert json.dumps(keras.saving.serialize_keras_object(again)) == json.dumps(config)
    weights = [weight.shape for weight in built(make()).weights]
    assert [weight.shape for weight in built(again).weights] == weights


def test_numbers_are_float32_under_half_precision():
    keras.config.set_dtype_policy("mixed_float16")
    for prior in (priors.MixturePrior(3, learned=True), priors.PseudoInputs(3)):
        assert all(weight.dtype == "float32" for weight in built(prior).weights)


def test_bad_input_is_one_sentence():
    cases = {
        "`means` is 0, expected a whole number of at least 1": {"means": 0},
        r"`means` is \[1.0, 2.0\], expected rows of numbers": {"means": [1.0, 2.0]},
        "`stddev` is -1.0, expected positive numbers": {"stddev": -1.0},
        "`weights` is .*, expected 2 positive numbers": {"means": 2, "weights": [1.0, 0.0]},
        "`weights` is 'equal', expected a list of numbers": {"weights": "equal"},
    }
    for message, arguments in cases.items():
        with pytest.raises(ValueError, match=message):
            priors.MixturePrior(**arguments)
    with pytest.raises(ValueError, match="`prior` has means of 2 numbers, but codes have 3"):
        built(priors.MixturePrior.ring(), code=(3,))
    with pytest.raises(ValueError, match=r"codes have the shape \(2, 2\), expected vectors"):
        built(priors.MixturePrior(), code=(2, 2))
    with pytest.raises(ValueError, match=r"`stddev` has the shape \(3,\), expected one that bro"):
        built(priors.MixturePrior(4, stddev=[1.0, 2.0, 3.0]))
    with pytest.raises(ValueError, match=r"`count` holds examples of shape \(5,\), expected \(4,"):
        built(priors.PseudoInputs(np.ones((2, 5))))
    with pytest.raises(ValueError, match=r"`interval` is .*, expected a pair"):
        priors.PseudoInputs(3, interval=(1, 0))
    with pytest.raises(ValueError, match="`prior` is of type float, expected one of"):
        priors.get("prior", 1.0)


def test_samples_are_the_given_points_each_as_often_as_any_other():
    points = np.random.default_rng(0).normal(size=(5, 2)).astype("float32")
    drawn = numpy(built(priors.SamplesPrior(points)).distribution().sample(2000, seed=1))
    which = np.abs(drawn[:, None] - points).sum(-1)
    assert drawn.shape == (2000, 2) and (which.min(1) == 0).all()
    share = np.bincount(which.argmin(1), minlength=5) / 2000
    assert np.abs(share - 0.2).max() < 5 * np.sqrt(0.2 * 0.8 / 2000)


def test_samples_of_a_class_are_points_of_that_class():
    points, labels = np.arange(10.0).reshape(5, 2), np.array([1, 0, 1, 2, 1])
    prior = built(priors.SamplesPrior(points, labels))
    assert prior.components == 3
    asked = np.repeat([0, 1, 2], 200)
    drawn = numpy(prior.component(asked).sample(seed=0))
    of_row = {tuple(point): label for point, label in zip(points, labels, strict=True)}
    assert [of_row[tuple(point)] for point in drawn] == asked.tolist()
    assert len(np.unique(drawn[200:400], axis=0)) == 3
    twin = built(priors.SamplesPrior.from_config(json.loads(json.dumps(prior.get_config()))))
    np.testing.assert_array_equal(numpy(twin.component(asked).sample(seed=0)), drawn)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros(3),), r"`points` has shape \(3,\), expected at least one row"),
        ((np.zeros((0, 2)),), r"`points` has shape \(0, 2\), expected at least one row"),
        ((np.full((3, 2), np.nan),), "expected numbers"),
        ((np.zeros((3, 2)), [0, 1]), "`points` has 3, `labels` has 2"),
        ((np.zeros((3, 2)), [0, 2, 2]), "`labels` leaves a class without points"),
        ((np.zeros((3, 2)), [-1, 0, 1]), "`labels` leaves a class without points"),
    ],
)
def test_bad_samples(arguments, message):
    with pytest.raises(ValueError, match=message):
        priors.SamplesPrior(*arguments)


def test_samples_without_labels_have_no_parts_and_no_density():
    prior = built(priors.SamplesPrior(np.zeros((3, 2))))
    with pytest.raises(ValueError, match="`labels` is None, expected a label for each point"):
        prior.component(0)
    q = probability.Normal(np.zeros((4, 2)))
    with pytest.raises(ValueError, match="expected a distribution over the same values"):
        q.kl(prior.distribution())
    with pytest.raises(ValueError, match=r"points of shape \(2,\), but codes have \(3,\)"):
        built(priors.SamplesPrior(np.zeros((3, 2))), code=(3,))


def test_a_model_of_codes_is_a_prior(tmp_path):
    codes = np.random.default_rng(0).normal(2.0, 0.5, size=(256, 2)).astype("float32")
    keras.utils.set_random_seed(0)
    flow = FlowMatching(nets.residual_mlp((2,), 16, 1))
    flow.compile(keras.optimizers.Adam(1e-2))
    flow.fit(codes, epochs=15, verbose=0)
    networks = nets.mlp((8,), 2, (4,), posterior="diagonal")
    model = VariationalAutoencoder(*networks, prior=priors.ModelPrior(flow))
    assert not model.prior.trainable_variables
    p = model.prior_at(None)
    drawn = ops.convert_to_numpy(p.sample(500, seed=0))
    np.testing.assert_allclose(drawn.mean(axis=0), 2.0, atol=0.15)
    values = ops.convert_to_numpy(p.log_prob(codes.reshape(2, 128, 2)))
    np.testing.assert_allclose(values.reshape(-1), flow.log_prob(codes), rtol=1e-4, atol=1e-4)
    # The bound is evaluated with it, and samples are drawn from it.
    x = np.random.default_rng(1).random((16, 8), dtype="float32")
    assert np.isfinite(likelihood.elbo(model, x).elbo)
    assert model.sample(3, seed=0).shape == (3, 8)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.sample(3, seed=0), model.sample(3, seed=0))
    with pytest.raises(ValueError, match="`model` has codes of shape"):
        priors.ModelPrior(flow).build((None, 3))
    with pytest.raises(ValueError, match="expected a trained model with `sample` and `log_prob`"):
        priors.ModelPrior(networks[0])
