"""Load what one backend has saved under the others, in one process a backend.

A file written under one backend must give the same outputs under the other two, and the same step
of training. To start a backend takes seconds, so each is started once, when it is first asked, and
serves all processes of a run of the tests: it is told file names by a socket and answers when the
results are written.
"""

import contextlib
import importlib
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


def begin() -> None:
    """Make the folder of the sockets: once, before the processes that run the tests start."""
    os.environ[FOLDER] = tempfile.mkdtemp(prefix="kerasae-")


def end() -> None:
    """Delete that folder, which ends the other backends."""
    shutil.rmtree(os.environ.pop(FOLDER), ignore_errors=True)


class OtherBackends:
    """The installed backends that are not the running one.

    Args:
        in_a_ring: If True, only the next of them: where a test runs on every backend, each pair is
            compared once.
    """

    def __init__(self, in_a_ring: bool) -> None:
        self.in_a_ring = in_a_ring

    @property
    def names(self) -> list[str]:
        place = BACKENDS.index(os.environ["KERAS_BACKEND"])
        others = [*BACKENDS[place + 1 :], *BACKENDS[:place]]
        installed = [p for p in others if importlib.util.find_spec(p)]
        if os.environ.get("KERASAE_ALL_BACKENDS"):
            assert installed == others, f"only {installed} of {others} are installed"
        return installed[:1] if self.in_a_ring else installed

    def outputs(self, path: Path, x: Any, model_class: type) -> dict[str, np.ndarray]:
        """Return what each other backend predicts for `x`, an array, or a list or dict of them."""
        found = self._ask(predict, path, model_class, {"x": x})
        return {name: array for name, (array,) in found.items()}

    def steps(self, path: Path, x: Any, y: Any, model_class: type) -> dict[str, list[np.ndarray]]:
        """Return the weights after one step of training on all of `x` at once, by backend."""
        return self._ask(take_step, path, model_class, {"x": x, "y": y})

    def _ask(self, method: Any, path: Path, model_class: type, data: Any) -> dict[str, list]:
        """Let every other backend do it, all at the same time."""
        job = {"method": method.__name__, "path": str(path)}
        job |= {"module": model_class.__module__, "class": model_class.__name__}
        inputs = path.parent / "inputs.npz"
        job |= {"inputs": str(inputs), "data": _written(inputs, data)}
        with contextlib.ExitStack() as stack:
            streams = {}
            for name in self.names:
                outputs = str(path.parent / f"outputs-{name}.npz")
                connection = stack.enter_context(_connected(_started(name)))
                streams[name] = stack.enter_context(connection.makefile("rw"))
                streams[name].write(json.dumps({**job, "outputs": outputs, "backend": name}) + "\n")
                streams[name].flush()
            found = {}
            for name, stream in streams.items():
                said = stream.readline()
                doing = "take a step from" if method is take_step else "load"
                assert said == "ok", f"{name} could not {doing} {path.name}: {said or 'it died'}"
                with np.load(path.parent / f"outputs-{name}.npz") as arrays:
                    found[name] = [arrays[f"arr_{i}"] for i in range(len(arrays.files))]
        return found


# What a backend does with a file.


def predict(model: Any, x: Any, y: Any = None) -> list[np.ndarray]:
    """Return the model's outputs."""
    return [model.predict(x, verbose=0)]


def take_step(model: Any, x: Any, y: Any = None) -> list[np.ndarray]:
    """Return the model's weights after one step of training on all examples at once.

    Noise is the same under every backend: that of an evaluation, which is a function of the place.
    """
    import keras

    from kerasae.engine.noise import Places

    model.noise = lambda training: Places(0)
    # To compile a step takes longer than to run it once, but on JAX, where each operation is.
    model.run_eagerly = keras.backend.backend() != "jax"
    size = len(x["x"] if isinstance(x, dict) else x)
    model.fit(x, y, batch_size=size, shuffle=False, verbose=0)
    return model.get_weights()


# The process of a backend, and how it is asked.


def _written(path: Path, data: Any) -> Any:
    """Save all arrays in lists and dicts to a file; return the same with their names in it."""
    arrays = []

    def name(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: name(part) for key, part in value.items()}
        if isinstance(value, list):
            return [name(part) for part in value]
        if value is None:
            return None
        arrays.append(value)
        return f"arr_{len(arrays) - 1}"

    names = name(data)
    np.savez(path, *arrays)
    return names


def _read(names: Any, arrays: Any) -> Any:
    if isinstance(names, dict):
        return {key: _read(part, arrays) for key, part in names.items()}
    if isinstance(names, list):
        return [_read(part, arrays) for part in names]
    return None if names is None else arrays[names]


def _started(name: str) -> Path:
    """Start a backend, if nobody has; return its socket."""
    folder = Path(os.environ[FOLDER], name)
    with contextlib.suppress(FileExistsError):
        folder.mkdir()  # of several processes, the first one starts the backend
        paths = os.pathsep.join(path or os.getcwd() for path in sys.path)  # where tests look
        subprocess.Popen(
            [sys.executable, __file__, str(folder / "socket")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "KERAS_BACKEND": name, "PYTHONPATH": paths},
        )
    return folder / "socket"


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


def _answer(job: dict[str, Any]) -> str:
    import keras

    assert job["backend"] == keras.backend.backend()
    module = importlib.import_module(job["module"])
    with np.load(job["inputs"]) as arrays:
        data = _read(job["data"], arrays)
    if job["path"].endswith(".keras"):
        model = keras.saving.load_model(job["path"])
    else:
        model = getattr(module, job["class"]).from_preset(job["path"])
    method = {"predict": predict, "take_step": take_step}[job["method"]]
    np.savez(job["outputs"], *method(model, **data))
    return "ok"


def _serve(path: str) -> None:
    """Answer until the socket is deleted, or nobody has asked for a quarter of an hour."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    server.settimeout(5)
    asked = time.monotonic()
    while os.path.exists(path) and time.monotonic() < asked + 900:
        try:
            connection, _ = server.accept()
        except TimeoutError:
            continue
        with connection, connection.makefile("rw") as stream:
            try:
                said = _answer(json.loads(stream.readline()))
            except Exception as error:
                said = repr(error).replace("\n", " ")
            stream.write(said)
        asked = time.monotonic()


if __name__ == "__main__":
    _serve(sys.argv[1])
