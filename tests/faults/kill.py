"""Kill runs at random moments, run them again until they end, compare with an undisturbed run.

    python tests/faults/kill.py --kills 10 --backend torch          all cases
    python tests/faults/kill.py train reproduce --kills 5           some of them

Each case trains something small in a process of its own, which gets SIGKILL after a random time.
The same command follows, until the run ends; then a new chain of kills begins in a new folder. A
chain is good if its results are those of the undisturbed run bit for bit, but for the seconds, and
if no file is left that the undisturbed run does not leave.
"""

import argparse
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

READY = "ready"
LIMIT = 300  # seconds, after which a run is given up


def fit(model, x, folder: Path):
    """Train a model that resumes, and return what it has learned."""
    from kerasae.training.resume import resumable_fit

    model.compile("adam")
    history = resumable_fit(
        model, x, epochs=20, batch_size=16, validation_data=(x,), folder=folder, verbose=0
    )
    return history.history, state(model)


def state(model) -> list:
    """Return the weights and the optimizer's variables as lists."""
    import keras

    variables = model.optimizer.variables
    return weights(model) + [keras.ops.convert_to_numpy(each).tolist() for each in variables]


def weights(model) -> list:
    """Return the weights as lists."""
    return [each.tolist() for each in model.get_weights()]


def autoencoder(folder: Path, x):
    """Train a denoising autoencoder."""
    import keras

    from kerasae import Autoencoder, nets

    noise = keras.layers.GaussianNoise(0.1)
    return fit(Autoencoder(*nets.mlp(x.shape[1:], 2, (16,)), corruption=noise), x, folder)


def adversarial(folder: Path, x):
    """Train an adversarial autoencoder, which has two players."""
    from kerasae import AdversarialAutoencoder, nets

    return fit(AdversarialAutoencoder(*nets.mlp(x.shape[1:], 2, (16,))), x, folder)


def layerwise(folder: Path, x):
    """Train a stack layer by layer."""
    from kerasae import StackedAutoencoder

    model = StackedAutoencoder(units=(16, 4), input_shape=x.shape[1:])
    model.compile("adam", loss="mse")
    history = model.fit_layerwise(
        x, epochs=8, batch_size=16, fine_tuning_epochs=8, resume=folder, verbose=0
    )
    return history.history, state(model)


def train(folder: Path, x):
    """Train a tiny recipe by the command."""
    import h5py
    import keras

    from kerasae import Autoencoder, nets
    from kerasae.zoo import pictures, recipes, training

    def tiny(data, steps):
        """A tiny model."""
        model = Autoencoder(*nets.mlp(data.x.shape[1:], 2, (16,)))
        model.compile(keras.optimizers.Adam(0.02))
        return model

    def total(model, test):
        return training.Measured(float(sum(abs(each).sum() for each in model.get_weights())), 0.5)

    recipes.RECIPES["tiny"] = training.Recipe(
        build=tiny,
        paper="None.",
        measures={"sum of weights": total},
        pictures={"reconstructions": pictures.reconstructed},
        full=training.Budget(256, 20),
        batch_size=16,
    )
    made = folder / "tiny_strokes"
    if not made.exists() or list(folder.glob(".*")):  # else it was killed after its end
        command("train", "tiny", "--output", str(folder))
    found = json.loads((made / "metadata.json").read_text(encoding="utf-8"))
    del found["seconds"], found["sha256"]["metadata.json"]
    arrays = {}

    def collect(name, item):
        if isinstance(item, h5py.Dataset):
            arrays[name] = item[()].tolist()

    with h5py.File(made / "model.weights.h5") as file:
        file.visititems(collect)
    # Keras counts up the names in the configuration and in the weights: checksums may differ.
    return {key: found[key] for key in ("measures", "outputs", "seed", "epochs")}, arrays


def reproduce(folder: Path, x):
    """Reproduce a tiny result by the command."""
    import keras

    from kerasae import Autoencoder, nets, plots
    from kerasae.zoo.published.result import RESULTS, Result

    def build():
        model = Autoencoder(*nets.mlp(x.shape[1:], 2, (16,)))
        model.compile("adam")
        return model

    def tiny(work):
        """A tiny result."""
        model = work.fit("first", build, x, epochs=10, batch_size=16)
        work.fit("second", build, x, epochs=10, batch_size=16)
        work.picture = plots.curves({"a": [1, 2]}, "x", "y")
        last = work.histories["second"]["loss"][-1]
        return {"loss": last, "mean": float(model.reconstruct(x).mean())}

    RESULTS["tiny"] = Result(
        tiny,
        source="Nobody (1900)",
        setting="Noise.",
        published={},
        trend=lambda ours: True,
        needs_mnist=False,
    )
    command("reproduce", "tiny", "--output", str(folder))
    name = f"{keras.backend.backend()}-full-0.json"
    found = json.loads((folder / "tiny" / name).read_text(encoding="utf-8"))
    del found["seconds"]
    return found


def large(seed: int, shape: tuple[int, ...]):
    """Return an autoencoder with weights from a seed, of a preset of 100 kB."""
    import keras

    from kerasae import Autoencoder, nets

    keras.utils.set_random_seed(seed)
    return Autoencoder(*nets.mlp(shape, 2, (96, 96)))


def earlier(folder: Path, x):
    """Save a preset, for `preset` to replace."""
    large(1, x.shape[1:]).save_to_preset(folder / "preset")


def preset(folder: Path, x):
    """Save a preset over an earlier one: the old or the new one must be there before and after."""
    from kerasae import Autoencoder

    old, new = (large(seed, x.shape[1:]) for seed in (1, 2))
    found = weights(Autoencoder.from_preset(folder / "preset"))
    if found not in (weights(old), weights(new)):
        raise AssertionError("The preset is neither the old nor the new one.")
    new.save_to_preset(folder / "preset")
    return weights(Autoencoder.from_preset(folder / "preset"))


def command(*words: str) -> None:
    """Run `python -m kerasae` with these words."""
    from kerasae import __main__

    sys.argv = ["kerasae", *words]
    __main__.main()


CASES = {
    each.__name__: each for each in (autoencoder, adversarial, layerwise, preset, train, reproduce)
}
BEFORE = {"preset": earlier}  # what must have been done before a case


def work(case: str, folder: Path) -> None:
    """Do the run of a case in this process; its result goes to a file beside the folder."""
    import keras
    import numpy as np

    import kerasae.zoo.cards  # noqa: F401, with all that the commands need

    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).random((128, 12), dtype="float32")
    print(READY, flush=True)
    result = (CASES | {each.__name__: each for each in BEFORE.values()})[case](folder, x)
    folder.with_suffix(".result").write_text(json.dumps(result))


@contextlib.contextmanager
def started(case: str, folder: Path, backend: str) -> Iterator[subprocess.Popen]:
    """Run a case in a process, which is given when its imports are done and killed at the end."""
    words = [sys.executable, __file__, case, "--work", str(folder)]
    environment = os.environ | {"KERAS_BACKEND": backend}
    with (
        open(folder.with_suffix(".errors"), "w") as said,
        subprocess.Popen(
            words, env=environment, stdout=subprocess.PIPE, stderr=said, text=True
        ) as process,
    ):
        try:
            while (line := process.stdout.readline()) and line.strip() != READY:
                pass
            yield process
        finally:
            process.kill()


def run(case: str, folder: Path, backend: str, after: float | None = None) -> tuple[bool, float]:
    """Run a case in a process, and kill it some seconds after its imports.

    Returns:
        Whether the run came to its end, and how long it worked.
    """
    with started(case, folder, backend) as process:
        begun = time.monotonic()
        try:
            process.communicate(timeout=LIMIT if after is None else after)
        except subprocess.TimeoutExpired:
            if after is None:
                raise
            return False, time.monotonic() - begun
        seconds = time.monotonic() - begun
    if process.returncode:
        errors = folder.with_suffix(".errors")
        raise RuntimeError(f"{case} in {folder} ended with {process.returncode}: see {errors}.")
    return True, seconds


def prepare(case: str, folder: Path, backend: str) -> None:
    """Do what must have been done before a case."""
    if case in BEFORE:
        run(BEFORE[case].__name__, folder, backend)


def names(folder: Path) -> set[str]:
    """Return the names of all files under a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def differs(folder: Path, whole: Path) -> str:
    """Return what the results and files of a run have that an undisturbed run has not."""
    results = [each.with_suffix(".result").read_text() for each in (folder, whole)]
    extra = sorted(names(folder) ^ names(whole))
    return ("another result " if results[0] != results[1] else "") + (f"{extra}" if extra else "")


def chains(case: str, backend: str, kills: int, where: Path, moments: random.Random) -> list:
    """Kill the runs of a case until enough kills have landed; return a row of the table."""
    whole = where / f"{case}-undisturbed"
    prepare(case, whole, backend)
    _, seconds = run(case, whole, backend)
    landed = resumed = count = good = 0
    while landed < kills:
        folder, ended = where / f"{case}-{count}", False
        prepare(case, folder, backend)
        while not ended:
            after = moments.uniform(0, seconds) if landed < kills else None
            ended, _ = run(case, folder, backend, after)
            landed += not ended
            resumed += not ended and any(folder.rglob("*.npz"))
        count += 1
        if wrong := differs(folder, whole):
            print(f"{case}: {folder}: {wrong}", flush=True)
        good += not wrong
    return [case, backend, landed, resumed, count, good]


def table(document: str, what: str, heads: str, row: Callable[..., list]) -> int:
    """Print a row for each case that the command line asks for; return 1 if a chain was not good.

    Args:
        document: What the script does.
        what: Name of the option that says how often.
        heads: The table's columns.
        row: As `chains`; the last numbers of a row are how many chains there were, and good ones.
    """
    parser = argparse.ArgumentParser(description=document.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}")
    parser.add_argument(f"--{what}", type=int, default=10, help="per case (%(default)s)")
    parser.add_argument("--backend", default="torch", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments (%(default)s)")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.cases[0], arguments.work)
        return 0
    if unknown := set(arguments.cases) - set(CASES):
        parser.error(f"there is no case {unknown.pop()!r}, expected some of {', '.join(CASES)}")
    where = Path(tempfile.mkdtemp(prefix=f"{what}-"))
    print(f"| {heads} |\n|---|---|{'--:|' * (heads.count('|') - 1)}", flush=True)
    failed = False
    for case in arguments.cases or CASES:
        moments = random.Random(arguments.seed)
        found = row(case, arguments.backend, vars(arguments)[what], where, moments)
        print(f"| {' | '.join(map(str, found))} |", flush=True)
        failed |= found[-1] < found[-2]
    return int(failed)


if __name__ == "__main__":
    heads = "case | backend | kills | with a checkpoint | chains | equal to undisturbed"
    sys.exit(table(__doc__, "kills", heads, chains))
