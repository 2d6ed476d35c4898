"""What CI runs: one definition, and each test and each notebook in it somewhere."""

import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
from course import calibrate, read

ROOT = Path(__file__).resolve().parent.parent

pytestmark = [
    pytest.mark.home("tensorflow"),
    pytest.mark.skipif(not (ROOT / ".ci").exists(), reason="CI needs a clone of the repository"),
]


def stages(pattern, text):
    return re.findall(r"\w+", re.search(pattern, text)[1])


def test_the_workflow_runs_the_stages_of_the_script():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    always = stages(r"\|\| set -- (.*)", script)
    every = stages(r"=~ \^\((.*)\)\$", script)
    weekly = stages(r"'schedule' && '\[(.*?)\]'", workflow)
    assert always == ["tensorflow", "jax", "torch", "wheel"]
    assert stages(r"'schedule' && '.*?' \|\| '\[(.*?)\]'", workflow) == always
    assert always + weekly == every
    assert workflow.count("- run:") == 1 and "- run: .ci/run ${{ matrix.stage }}" in workflow


@pytest.mark.parametrize("stage", ["tensorflwo", "tensor", ""])
def test_a_stage_that_does_not_exist_is_refused_before_anything_is_installed(stage):
    command = ["bash", ROOT / ".ci" / "run", "jax", stage]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2 and f"'{stage}' is no stage, expected tensorflow" in result.stderr


def test_what_is_tested_hangs_on_the_content_alone():
    for path in (ROOT / ".ci" / "run", ROOT / ".ci" / "wheel", ROOT / "Makefile"):
        assert not re.search(r"\bgit\b|\bdate\b|RANDOM", path.read_text(encoding="utf-8")), path


def test_each_notebook_has_one_backend_and_all_have_some():
    found = {}
    for backend in calibrate.BACKENDS:
        command = [sys.executable, ROOT / "notebooks" / "course", "list", "--backend", backend]
        printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        found[backend] = printed.stdout.split()
    paths = sorted(path for listed in found.values() for path in listed)
    assert paths == sorted(f"notebooks/{name}.ipynb" for name in read.LEDGER)
    assert min(len(listed) for listed in found.values()) >= 5
    for listed in found.values():
        seconds = [read.LEDGER[Path(path).stem].get("seconds", math.inf) for path in listed]
        assert seconds == sorted(seconds, reverse=True)
