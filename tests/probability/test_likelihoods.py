import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from kerasae import likelihoods

OUTPUT = np.random.default_rng(0).normal(size=(5, 3, 2)).astype("float32")
X = np.random.default_rng(1).uniform(size=(5, 3, 2)).astype("float32")


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def log_prob(likelihood):
    return numpy(likelihood.distribution(OUTPUT).log_prob(X))


def test_bernoulli_is_the_cross_entropy():
    p = 1 / (1 + np.exp(-OUTPUT.astype("float64")))
    expected = np.sum(X * np.log(p) + (1 - X) * np.log(1 - p), axis=(1, 2))
    np.testing.assert_allclose(log_prob(likelihoods.Bernoulli()), expected, rtol=1e-5)
    np.testing.assert_allclose(numpy(likelihoods.Bernoulli().mean(OUTPUT)), p, rtol=1e-5)


@pytest.mark.parametrize("learned", [True, False])
def test_normal_and_laplace_agree_with_scipy(learned):
    normal, laplace = likelihoods.Normal(0.3, learned), likelihoods.Laplace(0.3, learned)
    expected = stats.norm(OUTPUT, 0.3).logpdf(X).sum(axis=(1, 2))
    np.testing.assert_allclose(log_prob(normal), expected, rtol=1e-5)
    expected = stats.laplace(OUTPUT, 0.3).logpdf(X).sum(axis=(1, 2))
    np.testing.assert_allclose(log_prob(laplace), expected, rtol=1e-5)
    np.testing.assert_array_equal(numpy(normal.mean(OUTPUT)), OUTPUT)
    for likelihood in (normal, laplace):
        assert len(likelihood.trainable_variables) == int(learned)
        assert len(likelihood.weights) == 1


def test_half_a_variance_makes_it_the_squared_error():
    """−log p is ‖x − x̂‖² and a constant."""
    found = -log_prob(likelihoods.Normal(stddev=np.sqrt(0.5)))
    squared = np.sum((X - OUTPUT).astype("float64") ** 2, axis=(1, 2))
    np.testing.assert_allclose(found - squared, 6 * 0.5 * np.log(np.pi), rtol=1e-5)


def test_samples_have_an_axis_of_their_own():
    several = likelihoods.Bernoulli().distribution(np.stack([OUTPUT, OUTPUT]), event_axes=2)
    found = numpy(several.log_prob(X))
    assert found.shape == (2, 5)
    np.testing.assert_allclose(found[1], log_prob(likelihoods.Bernoulli()), rtol=1e-6)


@pytest.mark.parametrize(
    "likelihood",
    [likelihoods.Bernoulli(), likelihoods.Normal(0.5, True), likelihoods.Laplace(2.0)],
)
def test_config_comes_back(likelihood):
    config = keras.saving.serialize_keras_object(likelihood)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(likelihood) and again.get_config() == likelihood.get_config()
    np.testing.assert_allclose(log_prob(again), log_prob(likelihood))


def test_names_and_bad_input():
    for name, kind in (
        ("bernoulli", likelihoods.Bernoulli),
        ("normal", likelihoods.Normal),
        ("laplace", likelihoods.Laplace),
    ):
        assert type(likelihoods.get("likelihood", name)) is kind
    for value in ("gaussian", None, keras.layers.Dense(1)):
        with pytest.raises(
            ValueError, match=r"`likelihood` is .*, expected 'bernoulli', 'normal',"
        ):
            likelihoods.get("likelihood", value)
    with pytest.raises(ValueError, match="`stddev` is 0, expected a number between 0 and inf"):
        likelihoods.Normal(stddev=0)
    with pytest.raises(ValueError, match=r"`scale` is -1\.0, expected a number between 0 and inf"):
        likelihoods.Laplace(scale=-1.0)
