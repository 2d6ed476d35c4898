import numpy as np
import pytest
from keras import ops

from kerasae import nets, posteriors
from kerasae.probability.posteriors import KINDS


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 20])
@pytest.mark.home("tensorflow", "torch")
def test_numbers_and_codes_belong_together(kind, size):
    count = KINDS[kind]().parameters(size)
    assert KINDS[kind]().code_shape((count,)) == (size,)
    values = np.random.default_rng(0).normal(size=(4, count)).astype("float32")
    q = KINDS[kind]().distribution(values)
    assert numpy(q.sample(3, seed=0)).shape == (3, 4, size)
    np.testing.assert_allclose(numpy(q.mean), values[:, :size])


def test_each_kind_reads_its_numbers():
    values = np.array([[1.0, 2.0, 3.0, -0.5]], "float32")
    diagonal = posteriors.Diagonal().distribution(values)
    np.testing.assert_allclose(numpy(diagonal.stddev), np.exp([[1.5, -0.25]]), rtol=1e-6)
    deviation = posteriors.Deviation().distribution(values)
    np.testing.assert_allclose(numpy(deviation.stddev), [[3.0, 0.5]], rtol=1e-6)
    full = posteriors.Full().distribution(np.array([[1.0, 2.0, 0.0, 2.0, 5.0]], "float32"))
    b = np.array([[1.0, 0.0], [5.0, np.e]])
    np.testing.assert_allclose(numpy(full.covariance)[0], b @ b.T, rtol=1e-5)


def test_a_deviation_of_0_is_finite():
    q = posteriors.Deviation().distribution(np.zeros((1, 4), "float32"))
    log_variance = numpy(q.log_variance)
    np.testing.assert_allclose(log_variance, np.log(1e-10), rtol=1e-6)


def test_maps_split_their_channels():
    values = np.arange(2 * 3 * 3 * 4, dtype="float32").reshape(2, 3, 3, 4)
    q = posteriors.Diagonal().distribution(values)
    np.testing.assert_array_equal(numpy(q.mean), values[..., :2])
    assert q.event_shape == (3, 3, 2)


def test_half_precision_is_read_in_float32():
    q = posteriors.Diagonal().distribution(ops.ones((1, 4), "float16"))
    assert "float32" in str(q.mean.dtype)


@pytest.mark.parametrize("kind, count", [("diagonal", 3), ("deviation", 1), ("full", 4)])
def test_numbers_that_are_no_parameters(kind, count):
    with pytest.raises(ValueError, match=f"`encoder` gives {count} numbers, which are no"):
        KINDS[kind]().code_shape((count,))
    with pytest.raises(ValueError, match="`posterior` is 'round', expected 'diagonal'"):
        posteriors.get("posterior", "round")


def test_full_covariance_is_of_vectors():
    with pytest.raises(ValueError, match="expected a vector for a posterior with full"):
        posteriors.Full().code_shape((7, 7, 5))


@pytest.mark.parametrize("kind", KINDS)
def test_networks_give_as_many_numbers(kind):
    encoder, decoder = nets.mlp((6,), 3, posterior=kind)
    assert encoder.output_shape == (None, KINDS[kind]().parameters(3))
    assert decoder.input_shape == (None, 3)
    assert decoder.layers[-1].activation.__name__ == "linear"
    encoder, decoder = nets.convolutional((8, 8, 1), 3, (4,), posterior=kind)
    assert encoder.output_shape == (None, KINDS[kind]().parameters(3))
    assert decoder.layers[-1].activation.__name__ == "linear"
    assert nets.mlp((6,), 3)[1].layers[-1].activation.__name__ == "sigmoid"


def test_a_code_that_is_a_map_doubles_its_channels():
    encoder, decoder = nets.convolutional((8, 8, 1), None, (4, 3), posterior="diagonal")
    assert encoder.output_shape == (None, 2, 2, 6) and decoder.input_shape == (None, 2, 2, 3)
