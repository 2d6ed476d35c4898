"""Autoregressive networks: nothing looks ahead, and place by place gives the same."""

import numpy as np
import pytest
from keras import ops

from kerasae import nets

RNG = np.random.default_rng(0)
SHAPE, SIZE = (3, 4), 5

NETWORKS = {
    "transformer": lambda **options: nets.causal_transformer(SHAPE, SIZE, width=8, **options),
    "convolutions": lambda **options: nets.masked_convolutional(SHAPE, SIZE, filters=8, **options),
}


def randomized(network):
    """Return the network with weights that let every input matter."""
    for weight in network.trainable_weights:
        weight.assign(RNG.normal(size=weight.shape) / np.sqrt(weight.shape[0]))
    return network


def logits_of(network, codes):
    return ops.convert_to_numpy(network(codes)).reshape(len(codes), -1, SIZE)


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.home("torch")
def test_logits_depend_on_nothing_at_their_place_or_after_it(kind):
    network = randomized(NETWORKS[kind]())
    codes = RNG.integers(SIZE, size=(4, *SHAPE))
    before = logits_of(network, codes)
    for place in range(12):
        changed = codes.reshape(4, -1).copy()
        changed[:, place] = (changed[:, place] + 1) % SIZE
        after = logits_of(network, changed.reshape(codes.shape))
        moved = np.abs(after - before).max(axis=(0, 2)) > 1e-6
        assert not moved[: place + 1].any(), f"place {place} is seen at or before it"
        assert place == 11 or moved[place + 1], f"place {place} is not seen right after it"


@pytest.mark.home("torch")
def test_the_transformer_sees_everything_before():
    network = randomized(NETWORKS["transformer"]())
    codes = np.zeros((1, *SHAPE), int)
    other = codes.copy()
    other[0, 0, 0] = 1
    assert (np.abs(logits_of(network, other) - logits_of(network, codes))[0, 1:] > 0).any(1).all()


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.home("torch")
def test_the_label_matters_everywhere(kind):
    network = randomized(NETWORKS[kind](classes=3))
    codes, labels = np.zeros((2, *SHAPE), int), np.eye(3, dtype="float32")[:2]
    first, second = ops.convert_to_numpy(network([codes, labels])).reshape(2, -1, SIZE)
    assert (np.abs(first - second).max(axis=1) > 1e-6).all()


@pytest.mark.parametrize("classes", [None, 3])
def test_place_by_place_the_transformer_says_the_same(classes):
    network = randomized(NETWORKS["transformer"](classes=classes, blocks=2))
    layer = network.layers[-1]
    codes = RNG.integers(SIZE, size=(4, *SHAPE))
    labels = None if classes is None else np.eye(3, dtype="float32")[[0, 1, 2, 0]]
    whole = logits_of(network, codes) if labels is None else network([codes, labels])
    whole = ops.convert_to_numpy(whole).reshape(4, -1, SIZE)
    flat, state = codes.reshape(4, -1), layer.start(codes)
    before = np.full(4, 3)  # what stands before the first place is not read
    for place in range(12):
        logits, state = layer.step(ops.convert_to_tensor(before), labels, state, place)
        np.testing.assert_allclose(ops.convert_to_numpy(logits), whole[:, place], atol=1e-5)
        before = flat[:, place]


@pytest.mark.home("torch")
@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: nets.causal_transformer(7, 8), "`shape` is 7, expected the shape of one example"),
        (lambda: nets.causal_transformer((7,), 1), "`size` is 1, expected"),
        (lambda: nets.causal_transformer((7,), 8, width=6), "a multiple of `heads`, 4"),
        (lambda: nets.causal_transformer((7,), 8, classes=1), "`classes` is 1, expected"),
        (lambda: nets.masked_convolutional((7,), 8), "expected the height and the width"),
        (lambda: nets.masked_convolutional((7, 7), 8, kernel_size=2), "expected an odd number"),
    ],
)
def test_bad_sizes_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
