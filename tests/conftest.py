"""Which backend runs, and the other ones to hold it against."""

import gc
import os
import re
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
import other_backends as others
import pytest


def pytest_addoption(parser):
    parser.addoption("--ci", action="store_true", help="leave out tests at home elsewhere")


# Here are the tests of ten seconds and more. They start first, so that no worker is left with one.
LONGEST = (
    "test_scale_out.py",
    "test_published.py",
    "test_zoo.py",
    "test_gan.py",
    "test_adversarial.py",
)


def pytest_ignore_collect(collection_path, config):
    """In CI, leave out a file whose tests are all at home elsewhere: its imports take seconds.

    A home that is not spelled out, or is no backend, is left to `pytest_collection_modifyitems`.
    """
    if collection_path.suffix == ".py" and config.getoption("--ci"):
        text = collection_path.read_text(encoding="utf-8")
        elsewhere = {f'"{p}"' for p in others.BACKENDS if p != os.environ["KERAS_BACKEND"]}
        homes = re.findall(r"\bmark\.home\(([^)]*)\)", text)
        whole_file = re.search(r"^pytestmark = pytest\.mark\.home\(", text, re.M)
        if whole_file and all(set(home.split(", ")) <= elsewhere for home in homes):
            return True
    return None


def pytest_collection_modifyitems(config, items):
    """Select what CI runs on this backend: tests without a home, and those at home here."""
    items.sort(key=lambda item: item.path.name not in LONGEST)
    away = set()
    for item in items:
        if home := item.get_closest_marker("home"):
            if not home.args or set(home.args) - set(others.BACKENDS):
                raise pytest.UsageError(f"{item.nodeid} has home{home.args}, expected backends")
            if os.environ["KERAS_BACKEND"] not in home.args:
                away.add(item)
    if config.getoption("--ci"):
        config.hook.pytest_deselected(items=list(away))
        items[:] = [item for item in items if item not in away]


def pytest_configure(config):
    if not hasattr(config, "workerinput"):  # which a process of pytest-xdist has
        others.begin()


def pytest_unconfigure(config):
    if not hasattr(config, "workerinput"):
        others.end()


@pytest.fixture
def other_backends(request):
    """The other installed backends, each in a process of its own.

    In CI, a test that runs on all three has one of them in each run.
    """
    everywhere = not request.node.get_closest_marker("home")
    return others.OtherBackends(in_a_ring=everywhere and request.config.getoption("--ci"))


@pytest.fixture
def x():
    """48 images of 8 × 8 pixels, each a bright bar."""
    rng = np.random.default_rng(0)
    images = np.full((48, 8, 8, 1), 0.1, "float32")
    for image, row in zip(images, rng.integers(0, 7, 48), strict=True):
        image[row : row + 2] = 0.9
    return images


@pytest.fixture(autouse=True)
def default_state(request):
    """Each test starts with the same seeds, in float32, whichever ran before it in its process."""
    import keras

    keras.utils.set_random_seed(1)
    if rng := getattr(request.module, "RNG", None):
        rng.bit_generator.state = np.random.default_rng(1).bit_generator.state
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(autouse=True, scope="module")
def short_collections():
    """What a file leaves behind is not looked through again, and what a test makes, rarely.

    TensorFlow keeps every traced graph, millions of objects in the end, and each of the
    collector's rounds would take seconds.
    """
    gc.set_threshold(100_000, 50, 1000)
    yield
    gc.collect()
    gc.freeze()
