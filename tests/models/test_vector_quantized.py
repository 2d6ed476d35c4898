"""The vector-quantized autoencoder: the contract, indices there and back, a codebook in use."""

import keras
import numpy as np
import pytest
from contract import assert_contract, assert_same_step_on_every_backend

from kerasae import VectorQuantizedAutoencoder, nets, quantizers

SHAPE = (8, 8, 1)
RNG = np.random.default_rng(0)
X = RNG.random((64, *SHAPE), dtype="float32")

MAKERS = {
    "moving averages": lambda: quantizers.VectorQuantizer(8, seed=0),
    "gradient": lambda: quantizers.VectorQuantizer(8, update="gradient", seed=0),
    "finite scalars": lambda: quantizers.FiniteScalarQuantizer((3, 3, 2)),
    "residual": lambda: quantizers.ResidualQuantizer(
        [quantizers.VectorQuantizer(8, seed=seed) for seed in range(2)]
    ),
}


def make(quantizer="moving averages", **arguments):
    networks = nets.convolutional(SHAPE, None, filters=(8, 3), output_activation="sigmoid")
    return VectorQuantizedAutoencoder(*networks, MAKERS[quantizer](), **arguments)


ELSEWHERE = [
    pytest.param("finite scalars", marks=pytest.mark.home("tensorflow")),
    pytest.param("gradient", marks=pytest.mark.home("torch")),
    pytest.param("residual", marks=pytest.mark.home("torch")),
]


@pytest.mark.parametrize("quantizer", ["moving averages", *ELSEWHERE])
def test_contract(quantizer, other_backends, tmp_path):
    def vectors(model, indices):
        return keras.ops.convert_to_numpy(model.quantizer.vectors(indices))

    assert_contract(
        lambda: make(quantizer),
        X,
        other_backends,
        tmp_path,
        of_class=quantizer == "moving averages",
        penalized=vectors,
    )


@pytest.mark.home("torch")
@pytest.mark.parametrize("quantizer", ["gradient", "finite scalars", "residual"])
def test_same_step_on_every_backend(quantizer, other_backends, tmp_path):
    model = make(quantizer)
    model.quantizer.start(model.view("_continuous")(X, 64))
    assert_same_step_on_every_backend(model, X, None, "mse", other_backends, tmp_path)
