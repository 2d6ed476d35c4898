"""Every code block of the README runs: Python for real, in order; `make` up to what it would do."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from course import read
from test_package import FLOORS

import kerasae
from kerasae import __main__
from kerasae.zoo import commands

pytestmark = pytest.mark.home("tensorflow")

ROOT = Path(__file__).resolve().parent.parent
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
COMMANDS = [
    line.split("#")[0].strip()
    for language, block in BLOCKS
    if language == "bash"
    for line in block.strip().splitlines()
]


def test_there_is_nothing_else_to_run():
    assert {language for language, _ in BLOCKS} == {"python", "bash"}
    assert len(COMMANDS) >= 8


def test_python_blocks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for language, block in BLOCKS:
        if language == "python":
            exec(compile(block, "README.md", "exec"), names)
    assert names["codes"].shape == (2000, 16)
    assert names["pictures"].shape == (2000, 28, 28, 1)
    assert names["features"](names["test"].x[:2]).shape == (2, 10)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("python -m kerasae ")])
def test_commands_of_the_zoo_are_understood(command, monkeypatch):
    called = []
    for name in ("list_presets", "show", "train", "evaluate", "reproduce"):
        monkeypatch.setattr(commands, name, lambda **options: called.append(options))
    monkeypatch.setattr(sys, "argv", command.split()[2:])
    monkeypatch.setattr(Path, "mkdir", lambda *arguments, **options: None)
    __main__.main()
    assert len(called) == 1


@pytest.mark.parametrize("command", [c for c in COMMANDS if re.search(r"\bmake\b", c)])
def test_commands(command):
    if not (ROOT / "Makefile").exists() or not shutil.which("make"):
        pytest.skip("the commands need a clone of the repository and make")
    environment = {
        key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "BACKEND")
    }
    result = subprocess.run(
        re.sub(r"\bmake\b", "make --dry-run", command),
        shell=True,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "python" in result.stdout or "jupyter" in result.stdout


def test_the_rest_installs_the_package_with_extras_that_exist():
    rest = [c for c in COMMANDS if not re.search(r"\bmake\b|^python -m kerasae ", c)]
    (line,) = (line for _, block in BLOCKS for line in block.splitlines() if "pip install" in line)
    assert len(rest) == 1 and line.startswith(rest[0])
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = set(re.findall(r"\[(\w+)\]", line))
    assert named == {"jax", "tensorflow", "torch"} <= set(extras["optional-dependencies"])
    assert f"git+{read.repository()}" in line


def test_every_row_is_a_model():
    # A new model needs no row: the reference of the site lists all of them.
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| `(\w+)` \|", text)
    assert len(rows) == len(set(rows)) >= 12
    assert set(rows) <= {name for name in kerasae.__all__ if name[0].isupper()}


def test_rows_of_a_table_have_the_cells_of_its_head():
    """A `|` in a name would begin another cell."""
    others = {".venv", "build", "site-packages"}
    pages = [page for page in ROOT.rglob("*.md") if not others & set(page.parts)]
    tables = [
        table.splitlines()
        for page in pages
        for table in re.findall(r"(?m)(?:^\|.*\n)+", page.read_text(encoding="utf-8"))
    ]
    assert len(tables) > 20
    bars = re.compile(r"(?<!\\)\|")
    for head, *rows in tables:
        for row in rows:
            assert len(bars.findall(row)) == len(bars.findall(head)), row


def test_links_lead_somewhere():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    if not (ROOT / "Makefile").exists():
        pytest.skip("the links need a clone of the repository")
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (ROOT / link).exists(), link


# The guide for contributors.

GUIDE = ROOT / "CONTRIBUTING.md"


@pytest.fixture
def guide():
    if not GUIDE.exists():
        pytest.skip("the guide is part of a clone of the repository")
    return GUIDE.read_text(encoding="utf-8")


def test_the_penalty_of_the_guide_is_its_formula(guide):
    (block,) = re.findall(r"```python\n(.*?)```", guide, re.S)
    names = {}
    exec(compile(block, "CONTRIBUTING.md", "exec"), names)
    code = np.random.default_rng(0).normal(size=(7, 3)).astype("float32")
    covariance = np.cov(code.T, bias=True)
    expected = 0.5 * np.square(covariance - np.diag(np.diag(covariance))).sum()
    assert float(names["Covariance"](0.5)(code)) == pytest.approx(expected, rel=1e-5)


def test_the_guide_names_files_that_are_there(guide):
    for name in re.findall(r"`((?:kerasae|tests|notebooks|\.github)/[\w./]*)`", guide):
        assert (ROOT / name).exists() or name == "tests/test_penalties.py", name
    for name in (line.split(";") for line in re.findall(r"(?m)^\| `(.*?)` \|", guide)):
        for each in "".join(name).split("`, `"):
            path = each.removeprefix("kerasae/")
            known = (ROOT / "kerasae" / path).exists() or (ROOT / path).exists()
            assert known or each in ("Among", "Places"), each


def test_the_guide_has_the_floors(guide):
    listed = re.search(r"From top to bottom: (.*?)\.\n", guide, re.S)[1]
    found = [set(re.findall(r"`(\w+)`", floor)) for floor in listed.split(";")]
    assert found == [set(floor.split()) - {"kerasae"} for floor in reversed(FLOORS)]
