"""Presets from the Hugging Face hub, fetched from a stand-in on this machine."""

import http.server
import json
import sys
import threading
import types

import numpy as np
import pytest

from kerasae import Autoencoder, nets, presets

pytestmark = pytest.mark.home("tensorflow")


@pytest.fixture
def model():
    return Autoencoder(*nets.mlp((6,), code_size=2, units=(4,)))


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the hub's protocol as fetching one repository takes."""

    commit = "1" * 40

    def do_GET(self):
        repository, files = "/ae/digits", self.server.files
        if self.path.startswith(f"/api/models{repository}/tree/{self.commit}"):
            tree = [
                {"type": "file", "path": name, "size": len(content), "oid": name}
                for name, content in files.items()
            ]
            return self.answer(json.dumps(tree).encode(), {"Content-Type": "application/json"})
        if self.path.startswith(f"/api/models{repository}"):
            listed = [{"rfilename": name} for name in files]
            found = {"id": repository[1:], "sha": self.commit, "siblings": listed}
            return self.answer(json.dumps(found).encode(), {"Content-Type": "application/json"})
        for name, content in files.items():
            if self.path == f"{repository}/resolve/{self.commit}/{name}":
                return self.answer(content, {"X-Repo-Commit": self.commit, "ETag": f'"{name}"'})
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def answer(self, content, headers):
        self.send_response(200)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def hub(model, tmp_path, monkeypatch):
    """The real library, sent to a server that has one repository."""
    pytest.importorskip("huggingface_hub")
    model.save_to_preset(tmp_path / "preset")
    server = http.server.ThreadingHTTPServer(("localhost", 0), Hub)
    server.files = {path.name: path.read_bytes() for path in (tmp_path / "preset").iterdir()}
    server.files["notes.txt"] = b"of no use here"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    from huggingface_hub import constants

    address = f"http://localhost:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        address + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    yield server
    server.shutdown()
    server.server_close()


def test_fetched_by_the_real_library(hub, model, tmp_path):
    x = np.random.default_rng(0).random((3, 6), dtype="float32")
    fetched = Autoencoder.from_preset("hf://ae/digits")
    np.testing.assert_array_equal(fetched.reconstruct(x), model.reconstruct(x))
    folder = presets.find("hf://ae/digits")
    assert folder.is_relative_to(tmp_path / "cache")
    assert {path.name for path in folder.iterdir()} == {*presets.FILES}  # and nothing else


def test_what_the_hub_does_not_have_is_one_sentence(hub):
    for handle in ("hf://ae/nothing", "hf://nonsense/of/three"):
        with pytest.raises(FileNotFoundError, match=f"`{handle}` cannot be fetched, expected"):
            Autoencoder.from_preset(handle)


def test_offline_is_one_sentence(hub):
    hub.shutdown()
    hub.server_close()
    with pytest.raises(FileNotFoundError, match="cannot be fetched"):
        Autoencoder.from_preset("hf://ae/digits")


def test_a_revision_is_asked_for(model, tmp_path, monkeypatch):
    model.save_to_preset(tmp_path / "preset")
    asked = []

    def snapshot_download(repository, revision, allow_patterns):
        asked.append((repository, revision, tuple(allow_patterns)))
        return str(tmp_path / "preset")

    standin = types.SimpleNamespace(snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", standin)
    Autoencoder.from_preset("hf://ae/digits@v2")
    Autoencoder.from_preset("hf://ae/digits")
    assert asked == [
        ("ae/digits", "v2", presets.FILES),
        ("ae/digits", None, presets.FILES),
    ]


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match="pip install huggingface_hub"):
        Autoencoder.from_preset("hf://ae/digits")
