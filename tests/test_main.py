import dataclasses
import errno
import io
import os
import subprocess
import sys

import pytest

from kerasae import __main__, datasets, presets, zoo
from kerasae.storage import manifest
from kerasae.zoo import commands, recipes
from kerasae.zoo.training import Budget

pytestmark = pytest.mark.home("tensorflow")


def test_demo(tmp_path, monkeypatch, capsys):
    few = datasets.load("strokes", train=200, test=100)
    monkeypatch.setattr(datasets, "load", lambda name: few)
    monkeypatch.setattr(sys, "argv", ["kerasae", "demo", "--output", str(tmp_path), "--epochs=1"])
    __main__.main()
    assert {path.name for path in tmp_path.iterdir()} == {"demo.png", "sheet.png", "walk.png"}
    assert all(path.stat().st_size > 5000 for path in tmp_path.iterdir())
    assert str(tmp_path) in capsys.readouterr().out


def test_an_output_that_is_no_folder_is_refused_before_training(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setattr(sys, "argv", ["kerasae", "demo", "--output", str(tmp_path / "file")])
    with pytest.raises(SystemExit):
        __main__.main()
    assert "expected a folder" in capsys.readouterr().err


def test_an_interrupt_is_one_word(tmp_path, monkeypatch, capsys):
    def interrupted(**options):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "demo", interrupted)
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, "demo", "--output", str(tmp_path))
    assert stop.value.code == 130 and capsys.readouterr().out == "\nstopped\n"
    monkeypatch.setattr(commands, "train", interrupted)
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, "train", "vae_2", "--output", str(tmp_path))
    assert stop.value.code == 130 and "the same command resumes the run" in capsys.readouterr().out


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["kerasae", *arguments])
    __main__.main()


@pytest.mark.parametrize(
    "argv",
    [[], ["dmeo"], ["demo", "--epochs", "many"], ["train"], ["train", "vae_2", "--budget", "huge"]],
)
def test_typos_show_what_is_expected(argv, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, *argv)
    assert stop.value.code == 2
    assert "usage: python -m kerasae" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv, says",
    [
        (["train", "vae2"], "`recipe` is 'vae2', expected"),
        (
            ["train", "vae_2", "--dataset", "imagenet"],
            "`dataset` is 'imagenet', expected 'strokes'",
        ),
        (["train", "vae_2", "--dataset", ""], "`dataset` is '', expected 'strokes'"),
        (["train", "vae_2", "--seed", "-1"], "`seed` is -1"),
        (["demo", "--epochs", "-1"], "`epochs` is -1, expected a whole number of at least 1"),
        (["demo", "--epochs", "0"], "`epochs` is 0, expected a whole number of at least 1"),
        (["show", "vae_2_stroke"], "or a preset of the zoo, such as 'vae_2_strokes'"),
        (["evaluate", "nothing"], "`nothing` is not a preset"),
    ],
)
def test_wrong_names_are_one_sentence(argv, says, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(datasets, "load", None)  # before any data are read
    if argv[0] in ("train", "demo"):
        argv = [*argv, "--output", str(tmp_path)]
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, *argv)
    error = capsys.readouterr().err
    assert stop.value.code == 2 and says in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_help_is_worth_reading(monkeypatch, capsys):
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, "train", "--help")
    text = " ".join(capsys.readouterr().out.split())
    assert stop.value.code == 0
    for part in ("--dataset", "--budget {fast,full}", "--seed", "the same command resumes it"):
        assert part in text


def test_list(monkeypatch, capsys):
    run(monkeypatch, "list")
    lines = capsys.readouterr().out.splitlines()
    presets = zoo.presets()
    assert len(lines) == len(presets) + 3
    for preset, line in zip(presets, lines[1:], strict=False):
        assert line.split()[:2] == [preset.name, preset.model]
        assert preset.headline in line and line.endswith(preset.title)


def test_show(monkeypatch, capsys):
    run(monkeypatch, "show", "vae_2_strokes")
    text = capsys.readouterr().out
    assert text.startswith("# vae_2_strokes\n") and "python -m kerasae train vae_2_strokes" in text


@pytest.mark.home("torch")
def test_train_and_evaluate(monkeypatch, capsys, tmp_path):
    small = dataclasses.replace(recipes.RECIPES["sparse"], fast=Budget(64, 1))
    monkeypatch.setitem(recipes.RECIPES, "sparse", small)
    run(monkeypatch, "train", "sparse", "--budget", "fast", "--output", str(tmp_path))
    text = capsys.readouterr().out
    folder = tmp_path / "sparse_strokes"
    assert text.startswith("sparse_strokes: Sparse autoencoder") and "64 images, 1 epochs" in text
    assert f'StackedAutoencoder.from_preset("{folder}")' in text and "the zoo's" in text
    run(monkeypatch, "evaluate", str(folder))
    assert capsys.readouterr().out.count("the card says") == 2
    with pytest.raises(SystemExit) as stop:  # again: it is there already
        run(monkeypatch, "train", "sparse", "--budget", "fast", "--output", str(tmp_path))
    assert stop.value.code == 2 and "exists, expected a new folder" in capsys.readouterr().err
    said = presets.metadata(folder)
    said["measures"]["squared error"]["value"] += 10
    manifest.write(folder, said)
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, "evaluate", str(folder))
    assert stop.value.code == 1 and "NOT THE SAME" in capsys.readouterr().out


def test_without_matplotlib_the_command_says_what_to_install(monkeypatch, capsys, tmp_path):
    for name in ("recipes", "pictures"):
        monkeypatch.delattr(zoo, name)
        monkeypatch.delitem(sys.modules, f"kerasae.zoo.{name}")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for name in [name for name in sys.modules if name.startswith("kerasae.plots")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("kerasae.plots")
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, "train", "vae_2", "--budget", "fast", "--output", str(tmp_path))
    error = capsys.readouterr().err
    assert stop.value.code == 2 and "matplotlib is not installed" in error
    assert "`pip install kerasae[notebooks]`" in error


@pytest.mark.parametrize("command", ["train", "demo"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_takes_nothing_is_one_sentence(command, number, monkeypatch, capsys, tmp_path):
    def full(**options):
        raise OSError(number, os.strerror(number), "there")

    monkeypatch.setattr(commands, command, full)
    name = ["vae_2"] if command == "train" else []
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, command, *name, "--output", str(tmp_path))
    error = capsys.readouterr().err
    assert stop.value.code == 1 and error.count("\n") == 1
    assert "`there` cannot be written" in error and os.strerror(number) in error
    assert ("the same command resumes the run" in error) == (command == "train")


def test_without_docstrings_there_are_no_titles(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(recipes.RECIPES["vae_2"].build, "__doc__", None)  # as `python -OO` does
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, "train", "vae_2", "--budget", "fast", "--output", str(tmp_path))
    error = capsys.readouterr().err
    assert stop.value.code == 2 and "`vae_2` has no docstring" in error and "-OO" in error


def test_an_output_that_is_no_name_is_refused(monkeypatch, capsys):
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, "demo", "--output", "a\0b")
    assert stop.value.code == 2 and "expected a folder" in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "shift-jis"])
def test_a_terminal_without_greek_shows_every_card(encoding, monkeypatch):
    for command in (["list"], *(["show", preset.name] for preset in zoo.presets())):
        written = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
        run(monkeypatch, *command)
        assert written.getvalue().count(b"\n") > 10


def test_nobody_reads_to_the_end():
    command = [sys.executable, "-m", "kerasae", "list"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, bufsize=0) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


WITHOUT = """
import sys
sys.modules[sys.argv[1]] = None
try:
    import kerasae
except ImportError as error:
    print(error)
"""


@pytest.mark.parametrize(
    "backend, says",
    [
        ("nonsense", "`KERAS_BACKEND` is 'nonsense', expected 'tensorflow', 'jax' or 'torch'."),
        ("jax", 'which is not installed, expected `pip install "kerasae[jax]"`'),
    ],
)
def test_without_an_engine_the_import_says_what_to_install(backend, says):
    environment = {**os.environ, "KERAS_BACKEND": backend}
    command = [sys.executable, "-c", WITHOUT, "jax"]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert says in found.stdout and found.stdout.count("\n") == 1
    command = [sys.executable, "-m", "kerasae", "list"]  # a sentence here too
    if backend == "nonsense":
        found = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert found.returncode == 2
        assert found.stderr == f"python -m kerasae: {says}\n"


def test_demo_without_matplotlib_says_what_to_install(monkeypatch, capsys, tmp_path):
    for name in [name for name in sys.modules if name.startswith(("kerasae.plots", "matplotlib"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delattr("kerasae.plots", raising=False)
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, "demo", "--output", str(tmp_path))
    error = capsys.readouterr().err
    assert stop.value.code == 2 and "matplotlib is not installed" in error
    assert "`pip install kerasae[notebooks]`" in error
