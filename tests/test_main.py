import sys

import pytest

from kerasae import __main__, datasets


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
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(__main__, "demo", interrupted)
    monkeypatch.setattr(sys, "argv", ["kerasae", "demo", "--output", str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        __main__.main()
    assert stop.value.code == 130 and capsys.readouterr().out == "\nstopped\n"


@pytest.mark.parametrize("argv", [[], ["dmeo"], ["demo", "--epochs", "many"]])
def test_typos_show_what_is_expected(argv, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["kerasae", *argv])
    with pytest.raises(SystemExit) as stop:
        __main__.main()
    assert stop.value.code == 2
    assert "usage: python -m kerasae" in capsys.readouterr().err
