"""Load what one backend has saved under the others, in one process a backend.

A file written under one backend must give the same outputs under the other two. To start a backend
takes seconds, so each is started once, when it is first asked, and serves all processes of a run
of the tests: it is told file names by a socket and answers when the outputs are written.
"""

import contextlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

BACKENDS = ("tensorflow", "jax", "torch")
FOLDER = "KERASAE_OTHER_BACKENDS"  # names the folder with a socket for each backend
WORKER = """
import importlib, json, os, socket, sys, time

path = sys.argv[1]
server = socket.socket(socket.AF_UNIX)
server.bind(path)
server.listen()
server.settimeout(5)

import numpy as np, keras

def answer(job):
    assert job["backend"] == keras.backend.backend()
    module = importlib.import_module(job["module"])
    x = [np.load(path) for path in job["inputs"]]
    names = job["names"]
    x = dict(zip(names, x, strict=True)) if names else x[0] if len(x) == 1 else x
    if job["path"].endswith(".keras"):
        model = keras.saving.load_model(job["path"])
    else:
        model = getattr(module, job["class"]).from_preset(job["path"])
    np.save(job["outputs"], model.predict(x, verbose=0))
    return "ok"

asked = time.monotonic()
while os.path.exists(path) and time.monotonic() < asked + 900:
    try:
        connection, _ = server.accept()
    except TimeoutError:
        continue
    with connection, connection.makefile("rw") as stream:
        try:
            said = answer(json.loads(stream.readline()))
        except Exception as error:
            said = repr(error).replace(chr(10), " ")
        stream.write(said)
    asked = time.monotonic()
"""


def begin() -> None:
    """Make the folder of the sockets: once, before the processes that run the tests start."""
    os.environ[FOLDER] = tempfile.mkdtemp(prefix="kerasae-")


def end() -> None:
    """Delete that folder, which ends the other backends."""
    shutil.rmtree(os.environ.pop(FOLDER), ignore_errors=True)


class OtherBackends:
    """The installed backends that are not the running one."""

    @property
    def names(self) -> list[str]:
        running = os.environ["KERAS_BACKEND"]
        others = [p for p in BACKENDS if p != running]
        installed = [p for p in others if importlib.util.find_spec(p)]
        if os.environ.get("KERASAE_ALL_BACKENDS"):
            assert installed == others, f"only {installed} of {others} are installed"
        return installed

    def outputs(self, path: Path, x: Any, model_class: type) -> dict[str, np.ndarray]:
        """Return what each other backend predicts for `x`, an array, or a list or dict of them."""
        inputs, names = [], list(x) if isinstance(x, dict) else None
        arrays = list(x.values()) if names else x if isinstance(x, list) else [x]
        for index, array in enumerate(arrays):
            inputs.append(str(path.parent / f"inputs-{index}.npy"))
            np.save(inputs[-1], array)
        results = {}
        for name in self.names:
            outputs = path.parent / f"outputs-{name}.npy"
            job = {"path": str(path), "inputs": inputs, "outputs": str(outputs), "backend": name}
            job |= {"names": names, "module": model_class.__module__, "class": model_class.__name__}
            answer = self._ask(name, json.dumps(job))
            assert answer == "ok", f"{name} could not load {path.name}: {answer or 'it died'}"
            results[name] = np.load(outputs)
        return results

    def _ask(self, name: str, line: str) -> str:
        folder = Path(os.environ[FOLDER], name)
        with contextlib.suppress(FileExistsError):
            folder.mkdir()  # of several processes, the first one starts the backend
            subprocess.Popen(
                [sys.executable, "-c", WORKER, str(folder / "socket")],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "KERAS_BACKEND": name},
            )
        with _connected(folder / "socket") as connection, connection.makefile("rw") as stream:
            stream.write(line + "\n")
            stream.flush()
            return stream.readline()


def _connected(path: Path) -> socket.socket:
    for _ in range(300):
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(path))
            return connection
        except (FileNotFoundError, ConnectionRefusedError):  # not there yet
            connection.close()
            time.sleep(0.1)
    raise TimeoutError(f"{path.parent.name} has opened no socket within 30 s")
