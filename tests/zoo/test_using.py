"""The blocks of `kerasae/zoo/USING.md` run as they stand, and do what the text says."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest

import kerasae

TEXT = (Path(kerasae.__file__).parent / "zoo" / "USING.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.S)


EXPORTS = [block for block in BLOCKS if ".export(" in block]


def run(blocks, folder):
    """What the blocks have defined, and the codes of each export."""
    found = {"exported": []}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for block in blocks:
            exec(compile(block, "USING.md", "exec"), found)
            if "codes" in found:
                found["exported"].append(found.pop("codes"))
    return found


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """What the first block and the exports of its encoder define."""
    return run([BLOCKS[0], *EXPORTS], tmp_path_factory.mktemp("exports"))


def assert_exports_compute_the_same(found):
    expected = found["encoder"].predict(found["test"].x[:5], verbose=0)
    ways = {"tensorflow": 2, "jax": 0, "torch": 1}[keras.backend.backend()]
    assert len(found["exported"]) == ways and len(EXPORTS) == 2
    for codes in found["exported"]:
        np.testing.assert_allclose(codes, expected, atol=1e-4)


# One test: two workers would train everything twice.
@pytest.mark.home("tensorflow")
def test_the_blocks_do_what_the_text_says(tmp_path):
    names = run(BLOCKS, tmp_path)
    assert_exports_compute_the_same(names)
    # A hundred labels are enough for a classifier.
    assert names["accuracy"] > 0.6
    assert not names["encoder"].trainable_variables
    # Fine-tuning pays.
    assert names["after"] < names["before"] - 3
    leaning = kerasae.VariationalAutoencoder.from_preset(tmp_path / "leaning")
    x = names["mine"][:2]
    np.testing.assert_allclose(leaning.reconstruct(x), names["model"].reconstruct(x), atol=0.02)
    # Rows and sequences are learned.
    assert names["explained"] > 0.8
    assert names["history"][-1] < 0.5 * names["history"][0]


@pytest.mark.home("jax", "torch")  # on TensorFlow all blocks run, and are held to it there
def test_what_is_exported_computes_the_same(exports):
    assert_exports_compute_the_same(exports)


@pytest.mark.home("jax")
def test_jax_exports_where_tensorflow_is_installed(exports, tmp_path):
    if keras.backend.backend() != "jax":
        pytest.skip("on TensorFlow a block of the text does it, on PyTorch Keras cannot")
    tf = pytest.importorskip("tensorflow")
    exports["encoder"].export(tmp_path / "encoder", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "encoder"))
    expected = exports["encoder"].predict(exports["test"].x[:5], verbose=0)
    np.testing.assert_allclose(served.serve(exports["test"].x[:5]), expected, atol=1e-4)
