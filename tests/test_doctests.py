"""Every example in a docstring runs: `>>>` prints what it says, a fenced block of Python runs."""

import doctest
import importlib
import importlib.util
import inspect
import pkgutil
import re
import textwrap

import pytest

import kerasae

pytestmark = pytest.mark.home("torch")

NEEDS = {
    "kerasae.datasets.builders": "tensorflow_datasets",
    "kerasae.notebook": "IPython",
    "kerasae.engine.fused": "torch",
    "kerasae.engine.on_jax": "jax",
    "kerasae.engine.on_tensorflow": "tensorflow",
    "kerasae.engine.on_torch": "torch",
}
MODULES = [
    name
    for _, name, _ in pkgutil.walk_packages(kerasae.__path__, "kerasae.")
    if not name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"{name} needs {NEEDS[name]}, which is not installed")
    module = importlib.import_module(name)
    results = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert results.failed == 0
    for item in vars(module).values():
        if getattr(item, "__module__", "") == name and inspect.getdoc(item):
            for block in re.findall(r"```python\n(.*?)```", inspect.getdoc(item), re.S):
                exec(compile(textwrap.dedent(block), name, "exec"), dict(vars(module)))
