"""The pages of the API reference, which Sphinx fills from the docstrings."""

import ast
import inspect
import re
from importlib.util import find_spec
from pathlib import Path

import kerasae
from kerasae.models.base import Model

PACKAGE = Path(find_spec("kerasae").origin).parent  # where Sphinx will import it from
MODULES = {
    "Parts": (
        "nets",
        "corruptions",
        "penalties",
        "layers",
        "probability",
        "probability.posteriors",
        "probability.priors",
        "probability.likelihoods",
    ),
    "Data": ("datasets", "datasets.strokes", "datasets.shapes", "datasets.faces", "datasets.toys"),
    "Training": (
        "callbacks",
        "training.layerwise",
        "training.unfreezing",
        "models.base",
        "engine.optimizer_group",
    ),
    "Evaluation": (
        "evaluation.reconstruction",
        "evaluation.likelihood",
        "evaluation.latent",
        "evaluation.factors",
        "evaluation.features",
        "evaluation.manifold",
        "evaluation.networks",
        "evaluation.retrieval",
        "evaluation.arithmetic",
        "interpolation",
        "evaluation.samples",
        "evaluation.copies",
        "engine.derivatives",
    ),
    "Pictures, presets, surgery": ("plots", "notebook", "presets", "zoo", "engine.graphs"),
}


def pages() -> dict[str, str]:
    """A page for each model, one for each module, and an index that says what each is."""
    written = {}
    lists = ["# Reference"]
    groups = {"Models": {names[0]: module for module, names in models().items()}}
    for group, names in MODULES.items():
        groups[group] = {name: f"kerasae.{name}" for name in names}
    for group, entries in groups.items():
        lines = [f"- [{name}]({module}.md): {_summary(module)}" for name, module in entries.items()]
        lists += [f"## {group}", "\n".join(lines)]
        for name, module in entries.items():
            text = f".. automodule:: {module}\n" + _members(module)
            written[f"api/{module}.md"] = f"# {name}\n\n```{{eval-rst}}\n{text}```\n"
    order = "\n".join(module for entries in groups.values() for module in entries.values())
    lists.append(f"```{{toctree}}\n:hidden:\n\n{order}\n```\n")
    written["api/index.md"] = "\n\n".join(lists)
    return written


def models() -> dict[str, list[str]]:
    """The modules of the models, each with the public classes that it holds."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    return {
        node.module: [alias.name for alias in node.names]
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module.startswith("kerasae.models.")
    }


def _members(module: str) -> str:
    """What to show of a module: all, or of a model's the classes by their public names."""
    names = models().get(module)
    if names is None:
        return "   :members:\n"
    classes = []
    for name in names:
        members = ", ".join(_methods(name))
        classes.append(f".. autoclass:: kerasae.{name}\n   :members: {members}\n")
    return "   :no-members:\n   :no-index:\n\n" + "\n".join(classes)


def _methods(name: str) -> list[str]:
    """Return a model's documented public methods, also those inherited below the base class."""
    classes = getattr(kerasae, name).__mro__
    defined = [vars(each) for each in classes[: classes.index(Model)]]
    methods = {method: value for each in reversed(defined) for method, value in each.items()}
    return [
        method
        for method, value in methods.items()
        if not method.startswith("_") and inspect.isroutine(value) and value.__doc__
    ]


def _summary(module: str) -> str:
    """The first paragraph of a module's docstring, as Markdown."""
    path = PACKAGE.parent / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    return re.sub(r"[|*_<]", r"\\\g<0>", " ".join(text.split("\n\n")[0].split()))
