"""The model that `kerasae/models/WRITING.md` writes from scratch runs, and keeps the contract."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
from contract import assert_contract
from keras import ops

import kerasae
from kerasae import nets
from kerasae.engine.noise import Places

TEXT = (Path(kerasae.__file__).parent / "models" / "WRITING.md").read_text(encoding="utf-8")
WRITTEN, USED = re.findall(r"```python\n(.*?)```", TEXT, re.S)


@pytest.fixture(scope="module")
def names():
    found = {}
    exec(compile(WRITTEN, "WRITING.md", "exec"), found)
    exec(compile(USED, "WRITING.md", "exec"), found)
    return found


@pytest.fixture
def x():
    return np.random.default_rng(0).random((48, 6, 6, 1), dtype="float32")


def make(names, **arguments):
    networks = nets.mlp((6, 6, 1), 3, (12,), posterior="diagonal")
    return names["SphericalVariational"](*networks, **arguments)


def test_the_page_runs_as_it_stands(names):
    history = names["history"]
    assert set(history) == {
        prefix + name
        for prefix in ("", "val_")
        for name in ("loss", "reconstruction", "divergence", "sphere")
    }
    assert names["codes"].shape == (256, 4) and names["images"].shape == (256, 8, 8, 1)
    assert len(WRITTEN.strip().splitlines()) <= 42


def test_it_takes_single_batches_of_arrays(names, x):
    model = make(names)
    model.compile(keras.optimizers.SGD(0.0))
    trained = model.train_on_batch(x, return_dict=True)
    assert trained.keys() == model.test_on_batch(x, return_dict=True).keys()


def test_its_terms_are_their_formulas(names, x):
    model = make(names, beta=0.5, gamma=2.0)
    model.compile(keras.optimizers.SGD(0.0))
    found = model.evaluate(x, batch_size=len(x), verbose=0, return_dict=True)
    numbers = model.encoder.predict(x, verbose=0).astype("float64")
    mean, log_variance = np.split(numbers, 2, axis=1)
    z = mean + np.exp(log_variance / 2) * ops.convert_to_numpy(Places(0).normal(mean.shape))
    output = ops.convert_to_numpy(model.decoder(z.astype("float32")))
    expected = {
        "reconstruction": np.square(x - output).sum((1, 2, 3)).mean(),
        "divergence": 0.25 * (np.exp(log_variance) + mean**2 - 1 - log_variance).sum(1).mean(),
        "sphere": 2 * np.square(np.square(mean).sum(1) - 1).mean(),
    }
    assert found == pytest.approx(expected | {"loss": sum(expected.values())}, rel=1e-4)


class NoOthers:
    """The other backends' processes cannot import a class that a page defines."""

    def outputs(self, *_):
        return {}

    steps = outputs


def test_it_keeps_the_contract(names, x, tmp_path):
    def make_model():
        return make(names, beta=0.1, corruption=keras.layers.GaussianNoise(0.1), seed=1)

    compiled = {"metrics": ["mae"]}
    assert_contract(make_model, x, NoOthers(), tmp_path, compiled=compiled)
