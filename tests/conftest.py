"""Which backend runs, and the other ones to hold it against."""

import gc
import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Most of what tests on JAX do is to compile, for a few steps: no optimizer, and of XLA's two code
# generators the old one, which is four times as fast. Long sums of float32 are then added in a row,
# and where all parts are equal they can be off in the fifth digit.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
)
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "notebooks"))  # for `course`

import numpy as np
import pytest
from other_backends import OtherBackends


@pytest.fixture(scope="session")
def other_backends():
    """The other installed backends, each in a process of its own."""
    others = OtherBackends()
    yield others
    others.close()


@pytest.fixture
def x():
    """48 images of 8 × 8 pixels, each a bright bar."""
    rng = np.random.default_rng(0)
    images = np.full((48, 8, 8, 1), 0.1, "float32")
    for image, row in zip(images, rng.integers(0, 7, 48), strict=True):
        image[row : row + 2] = 0.9
    return images


@pytest.fixture(autouse=True)
def default_keras_state():
    """Each test starts with the same seed, in float32, and leaves no policy behind."""
    import keras

    keras.utils.set_random_seed(1)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(autouse=True, scope="module")
def short_collections():
    """What a file leaves behind is not looked through again.

    TensorFlow keeps every traced graph, millions of objects in the end, and each of the
    collector's rounds would take seconds.
    """
    yield
    gc.collect()
    gc.freeze()
