"""The house rules that a machine can check."""

import ast
import importlib.metadata
import importlib.util
import subprocess
import sys
import warnings
from pathlib import Path

import keras
import pytest

import kerasae
from kerasae.engine import installed

PACKAGE = Path(kerasae.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
FLOORS = {"kerasae": 3, "__main__": 3, "models": 2, "zoo": 2}
FLOORS |= dict.fromkeys(("nets", "penalties", "evaluation", "notebook"), 1)
BACKENDS = {"tensorflow", "jax", "torch", "jaxlib"}


def module(path: Path) -> str:
    """`kerasae/models/base.py` is `models`, `kerasae/nets.py` is `nets`."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "kerasae" if first == "__init__" else first


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
@pytest.mark.home("tensorflow")
def test_imports_go_down(path):
    here = module(path)
    for name in imports(path):
        if not name.startswith("kerasae.") or name == "kerasae.__version__":
            continue
        there = name.split(".")[1]
        if not (PACKAGE / there).is_dir() and not (PACKAGE / f"{there}.py").exists():
            if path.name == "recipes.py" or path.parent.name == "published":
                continue  # shows how one's own would be made: by the public names
            there = "kerasae"  # a name of the top of the package
        assert FLOORS.get(there, 0) <= FLOORS.get(here, 0), f"{here} imports {there}, a floor up"
        if there == "plots":
            assert here in ("notebook", "plots") or FLOORS.get(here, 0) == 3 or here == "zoo"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
@pytest.mark.home("tensorflow")
def test_backends_stay_in_their_home(path):
    home = ("engine",)
    used = {name.split(".")[0] for name in imports(path)} & BACKENDS
    if module(path) == "datasets":
        used -= {"tensorflow"}  # reads TensorFlow Datasets and their record files
    assert not used or module(path) in home


@pytest.mark.home("tensorflow")
def test_version_is_the_installed_one():
    assert importlib.metadata.version("kerasae") == kerasae.__version__
    assert (PACKAGE / "py.typed").exists()


IMPORT = """
import sys
from time import process_time as now
start = now()
import keras
between, before = now(), set(sys.modules)
import kerasae
from kerasae.engine import installed
print((now() - between) / (between - start), *sorted(set(sys.modules) - before))
"""
HEAVY = {"tensorflow_datasets", "sklearn", "matplotlib", "scipy", "PIL", "IPython"}


def test_the_import_loads_nothing_heavy_and_costs_little_over_keras():
    costs = []
    while not costs or (costs[-1] >= 0.1 and len(costs) < 5):  # other processes add to it
        command = [sys.executable, "-c", IMPORT]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        cost, *loaded = printed.split()
        assert "kerasae" in loaded and not HEAVY & set(loaded)
        costs.append(float(cost))
    assert min(costs) < 0.1


@pytest.mark.parametrize(
    ("backend", "version", "warned"),
    [
        ("torch", "3.14.0", 1),
        ("torch", "3.9.2", 1),
        ("torch", "3.15.0", 0),
        ("torch", "4.0.0.dev1", 0),
        ("jax", "3.12.0", 0),
    ],
)
@pytest.mark.home("tensorflow")
def test_an_older_keras_on_pytorch_is_told_of(monkeypatch, backend, version, warned):
    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    monkeypatch.setattr(keras, "version", lambda: version)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        installed.warn_if_pictures_shift()
    assert [version in str(each.message) for each in seen] == [True] * warned
