"""Loads what one backend has saved under the others, in one process a backend.

A file written under one backend must give the same outputs under the other two. Starting a
backend takes seconds, so each is started once, told file names, and answers with outputs.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

WORKER = """
import json, sys
import numpy as np, keras
import kerasae
print(keras.backend.backend(), flush=True)
for line in sys.stdin:
    job = json.loads(line)
    try:
        x = np.load(job["inputs"])
        if job["path"].endswith(".keras"):
            model = keras.saving.load_model(job["path"])
        else:
            model = getattr(kerasae, job["class"]).from_preset(job["path"])
        np.save(job["outputs"], model.predict(x, verbose=0))
        print("ok", flush=True)
    except Exception as error:
        print(repr(error).replace(chr(10), " "), flush=True)
"""


class OtherBackends:
    """The installed backends that are not the running one."""

    def __init__(self) -> None:
        self.workers: dict[str, subprocess.Popen] = {}

    @property
    def names(self) -> list[str]:
        packages = ("tensorflow", "jax", "torch")
        running = os.environ["KERAS_BACKEND"]
        others = [p for p in packages if p != running]
        installed = [p for p in others if importlib.util.find_spec(p)]
        if os.environ.get("KERASAE_ALL_BACKENDS"):
            assert installed == others, f"only {installed} of {others} are installed"
        return installed

    def outputs(self, path: Path, x: np.ndarray, model_class: str) -> dict[str, np.ndarray]:
        """What each other backend predicts for `x` with the model saved at `path`."""
        inputs = path.parent / "inputs.npy"
        np.save(inputs, x)
        results = {}
        for name in self.names:
            outputs = path.parent / f"outputs-{name}.npy"
            job = {"path": str(path), "inputs": str(inputs), "outputs": str(outputs)}
            answer = self._ask(name, json.dumps({**job, "class": model_class}))
            assert answer == "ok", f"{name} could not load {path.name}: {answer}"
            results[name] = np.load(outputs)
        return results

    def _ask(self, name: str, line: str) -> str:
        if name not in self.workers:
            self.workers[name] = subprocess.Popen(
                [sys.executable, "-c", WORKER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env={**os.environ, "KERAS_BACKEND": name},
            )
            assert self._read(name) == name
        self.workers[name].stdin.write(line + "\n")
        self.workers[name].stdin.flush()
        return self._read(name)

    def _read(self, name: str) -> str:
        return self.workers[name].stdout.readline().strip()

    def close(self) -> None:
        for worker in self.workers.values():
            worker.communicate()
