"""Networks of a level of noise: one level stands for all, and the class and the level are seen."""

import numpy as np
import pytest
from keras import ops

from kerasae import nets

RNG = np.random.default_rng(0)
NETWORKS = {
    "mlp": lambda: nets.residual_mlp((4, 4, 1), 8, 2, classes=3),
    "unet": lambda: nets.unet((4, 4, 1), (4, 8), classes=3),
    "patches": lambda: nets.unet((4, 4, 1), (4, 8), classes=3, patch=2),
}


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.home("torch")
def test_one_level_stands_for_all(kind):
    network = NETWORKS[kind]()
    x = RNG.normal(size=(5, 4, 4, 1)).astype("float32")
    level, label = np.full((5, 1), 0.3, "float32"), np.eye(3, dtype="float32")[[0, 1, 2, 0, 1]]
    assert not ops.convert_to_numpy(network([x, level, label])).any()  # the last layer begins at 0
    for weight in network.trainable_weights:
        weight.assign(0.3 * RNG.normal(size=weight.shape))
    each = ops.convert_to_numpy(network([x, level, label]))
    once = ops.convert_to_numpy(network([x, level[:1], label]))
    np.testing.assert_allclose(once, each, rtol=1e-4, atol=1e-5)
    assert each.shape == x.shape
    for other in ([x, level + 0.5, label], [x, level, label[::-1]], [x[::-1], level, label]):
        assert np.abs(ops.convert_to_numpy(network(other)) - each).max() > 1e-3


@pytest.mark.home("torch")
def test_bad_arguments_are_one_sentence():
    cases = [
        (lambda: nets.unet((5, 4, 1), (4, 8)), "`shape` is .*divisible by 2"),
        (lambda: nets.unet((4, 4, 1), (4, 6)), "`filters` is .*, expected multiples of 4"),
        (lambda: nets.unet((4, 4, 1), (4,), patch=3), "`shape` is .*divisible by 3"),
        (lambda: nets.residual_mlp((4,), classes=1), "`classes` is 1"),
        (lambda: nets.residual_mlp((4,), blocks=0), "`blocks` is 0"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()
