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
from typing import Any

import numpy as np

WORKER = """
import importlib, json, sys
import numpy as np, keras
print(keras.backend.backend(), flush=True)
for line in sys.stdin:
    job = json.loads(line)
    try:
        module = importlib.import_module(job["module"])
        x = [np.load(path) for path in job["inputs"]]
        names = job["names"]
        x = dict(zip(names, x, strict=True)) if names else x[0] if len(x) == 1 else x
        if job["path"].endswith(".keras"):
            model = keras.saving.load_model(job["path"])
        else:
            model = getattr(module, job["class"]).from_preset(job["path"])
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

    def outputs(self, path: Path, x: Any, model_class: type) -> dict[str, np.ndarray]:
        """What each other backend predicts for `x`, an array, or a list or dict of several."""
        inputs, names = [], list(x) if isinstance(x, dict) else None
        arrays = list(x.values()) if names else x if isinstance(x, list) else [x]
        for index, array in enumerate(arrays):
            inputs.append(str(path.parent / f"inputs-{index}.npy"))
            np.save(inputs[-1], array)
        results = {}
        for name in self.names:
            outputs = path.parent / f"outputs-{name}.npy"
            job = {"path": str(path), "inputs": inputs, "outputs": str(outputs)}
            job |= {"names": names, "module": model_class.__module__, "class": model_class.__name__}
            answer = self._ask(name, json.dumps(job))
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
