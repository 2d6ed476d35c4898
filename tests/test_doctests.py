"""Every example in a docstring runs and prints what it says."""

import doctest
import importlib
import importlib.util
import pkgutil

import pytest

import kerasae

NEEDS = {"kerasae.datasets.builders": "tensorflow_datasets", "kerasae.notebook": "IPython"}
MODULES = [
    name
    for _, name, _ in pkgutil.walk_packages(kerasae.__path__, "kerasae.")
    if name != "kerasae.__main__"
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"{name} needs {NEEDS[name]}, which is not installed")
    module = importlib.import_module(name)
    results = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert results.failed == 0
