"""The entropy coder: there and back, in as many bits as the probabilities say."""

import numpy as np
import pytest

from kerasae.probability import entropy_coder
from kerasae.probability.entropy_coder import PARTS, Decoder, encode, intervals

pytestmark = pytest.mark.home("tensorflow")


def message(numbers, bounds):
    each = np.arange(len(numbers))
    starts, ends = bounds[each, numbers], bounds[each, numbers + 1]
    return encode(starts.tolist(), (ends - starts).tolist())


@pytest.mark.parametrize("seed", range(10))
def test_numbers_come_back_in_as_many_bits_as_expected(seed):
    random = np.random.default_rng(seed)
    size = int(random.integers(2, 600))
    probabilities = random.dirichlet(np.full(size, 0.1), 3000) + 1e-9
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    numbers = np.array([random.choice(size, p=p) for p in probabilities])
    bounds = intervals(probabilities)
    data = message(numbers, bounds)
    decoder = Decoder(data)
    assert [decoder.next(row) for row in bounds] == numbers.tolist()
    bits = -np.log2(probabilities[np.arange(3000), numbers]).sum()
    assert 8 * len(data) == pytest.approx(bits + 64, abs=0.002 * bits + 64)


def test_intervals_cover_everything_and_none_is_empty():
    bounds = intervals(np.array([[1.0, 0, 0], [1 / 3, 1 / 3, 1 / 3], [1e-12, 1 - 1e-12, 0]]))
    assert (bounds[:, 0] == 0).all() and (bounds[:, -1] == PARTS).all()
    assert (np.diff(bounds, axis=1) >= 1).all()


def test_what_is_almost_impossible_can_be_written():
    bounds = intervals(np.array([[1.0, 0.0]] * 100))
    numbers = np.ones(100, int)
    data = message(numbers, bounds)
    decoder = Decoder(data)
    assert [decoder.next(row) for row in bounds] == numbers.tolist()
    assert len(data) == pytest.approx(100 * entropy_coder.BITS / 8 + 8, abs=8)


def test_a_message_that_is_none_is_refused():
    with pytest.raises(ValueError, match="`message` has 3 bytes, expected at least 8"):
        Decoder(b"abc")
