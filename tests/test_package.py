"""The house rules that a machine can check."""

import ast
import graphlib
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
FILES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
FLOORS = (  # imports go down, or along a floor
    "checks interpolation engine storage datasets plots",
    "probability penalties quantizers corruptions layers losses callbacks schedules",
    "nets presets training evaluation",
    "models",
    "zoo notebook",
    "kerasae __main__",
)
LEVEL = {part: level for level, floor in enumerate(FLOORS) for part in floor.split()}
FORBIDDEN = {  # within a floor, or below it
    "checks": "interpolation engine storage datasets plots",
    "interpolation": "engine storage datasets plots",
    "engine": "storage datasets plots interpolation",
    "datasets": "checks engine plots interpolation",
    "plots": "checks engine storage datasets",
    "training": "evaluation nets presets",
    "nets": "evaluation presets training datasets plots",
    "models": "evaluation datasets plots",
}
# These show how one's own would be made: by the public names.
PUBLIC = ("kerasae.zoo.recipes", "kerasae.zoo.published", "kerasae.notebook", "kerasae.__main__")
ENGINES = {"tensorflow", "jax", "torch", "jaxlib"}


def imported(path: Path) -> set[str]:
    """Return every module, and every name of a module, that a file imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def graph() -> dict[str, set[str]]:
    """Return the files of the package that each of them imports."""
    found = {}
    for name, path in FILES.items():
        ours = {each for each in imported(path) if each.split(".")[0] == "kerasae"}
        found[name] = {each if each in FILES else each.rpartition(".")[0] for each in ours}
        found[name].discard(name)
    return found


def part(name: str) -> str:
    """Return the part of the package: of `kerasae.models.base` it is `models`."""
    return name.split(".")[1] if "." in name else "kerasae"


@pytest.mark.home("tensorflow")
def test_imports_go_down():
    wrong = []
    for name, others in graph().items():
        for other in others:
            here, there = part(name), part(other)
            public = there == "kerasae" and name.startswith(PUBLIC)
            if there in FORBIDDEN.get(here, "").split() or (
                LEVEL[there] > LEVEL[here] and not public
            ):
                wrong.append(f"{name} imports {other}")
            if there == "plots" and here not in ("plots", "notebook", "zoo", "__main__"):
                wrong.append(f"{name} draws")
    assert not wrong, "\n".join(wrong)


@pytest.mark.home("tensorflow")
def test_imports_have_no_circle():
    """File by file; an import of a module imports its packages, which import no module above it."""
    graphlib.TopologicalSorter(graph()).prepare()  # raises CycleError, which lists the circle


@pytest.mark.home("tensorflow")
def test_a_circle_is_seen():
    circle = graph()
    circle["kerasae.checks"].add("kerasae.evaluation.pairs")
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(circle).prepare()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.home("tensorflow")
def test_engines_and_private_names_of_keras_stay_in_their_home(name):
    used = {each.split(".")[0] for each in imported(FILES[name])} & ENGINES
    if part(name) == "datasets":
        used -= {"tensorflow"}  # reads TensorFlow Datasets and their record files
    private = {each for each in imported(FILES[name]) if each.startswith("keras.src")}
    assert not (used | private) or part(name) == "engine"


@pytest.mark.home("tensorflow")
def test_files_are_short():
    """Of a model at most 300 lines, of a function at most 60 without its docstring."""
    models = {name for name in FILES if part(name) == "models"}
    lengths = {name: len(FILES[name].read_text(encoding="utf-8").splitlines()) for name in models}
    assert not {name: length for name, length in lengths.items() if length > 300}
    long = {}
    for name, path in FILES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = node.body[1:] if ast.get_docstring(node) else node.body
                length = node.end_lineno - first[0].lineno + 1 if first else 0
                if length > 60:
                    long[f"{name}.{node.name}"] = length
    assert not long


# First words of noun clauses that the lint rule D401 does not see.
NOUNS = "The A An What How Whether Which Where One Two Each Every All That As Of On For".split()
TITLES = ("kerasae.zoo.pictures", "kerasae.zoo.recipes", "kerasae.zoo.published")


@pytest.mark.home("tensorflow")
def test_docstrings_of_functions_open_with_a_verb():
    wrong = []
    for name, path in FILES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            text = isinstance(node, ast.FunctionDef) and ast.get_docstring(node)
            if text and text.split()[0] in NOUNS and not name.startswith(TITLES):
                wrong.append(f"{name}.{node.name}: {text.splitlines()[0]}")
    assert not wrong, "\n".join(wrong)


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
