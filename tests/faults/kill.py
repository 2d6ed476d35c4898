"""Kill runs at random moments, run them again until they end, compare with an undisturbed run.

    python tests/faults/kill.py --kills 10 --backend torch          all cases
    python tests/faults/kill.py train reproduce --kills 5           some of them

Each case trains something small in a process of its own, which gets SIGKILL after a random time.
The same command follows, until the run ends; then a new chain of kills begins in a new folder. A
chain is good if its results are those of the undisturbed run bit for bit, but for the seconds, and
if no file is left that the undisturbed run does not leave.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
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

    variables = [*model.weights, *model.optimizer.variables]
    return [keras.ops.convert_to_numpy(each).tolist() for each in variables]


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
    from kerasae.zoo import pictures, recipe, recipes

    def tiny(data, steps):
        """A tiny model."""
        model = Autoencoder(*nets.mlp(data.x.shape[1:], 2, (16,)))
        model.compile(keras.optimizers.Adam(0.02))
        return model

    def weights(model, test):
        return recipe.Measured(float(sum(abs(each).sum() for each in model.get_weights())), 0.5)

    recipes.RECIPES["tiny"] = recipe.Recipe(
        build=tiny,
        paper="None.",
        measures={"sum of weights": weights},
        pictures={"reconstructions": pictures.reconstructed},
        full=recipe.Budget(256, 20),
        batch_size=16,
    )
    made = folder / "tiny_strokes"
    if not made.exists() or list(folder.glob(".*")):  # else it was killed after its end
        command("train", "tiny", "--output", str(folder))
    found = json.loads((made / "metadata.json").read_text(encoding="utf-8"))
    del found["seconds"]
    arrays = {}

    def collect(name, item):
        if isinstance(item, h5py.Dataset):
            arrays[name] = item[()].tolist()

    with h5py.File(made / "model.weights.h5") as file:
        file.visititems(collect)
    # Keras counts up the names in the configuration and in the weights: checksums may differ.
    return {key: found[key] for key in ("measures", "outputs", "seed", "epochs")}, arrays


def reproduce(folder: Path, x):
    """Run a tiny reproduction by the command."""
    import keras

    from kerasae import Autoencoder, nets, plots
    from kerasae.zoo import reproduction, reproductions

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

    reproductions.REPRODUCTIONS["tiny"] = reproduction.Reproduction(
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


def command(*words: str) -> None:
    """Run `python -m kerasae` with these words."""
    from kerasae import __main__

    sys.argv = ["kerasae", *words]
    __main__.main()


CASES = {each.__name__: each for each in (autoencoder, adversarial, layerwise, train, reproduce)}


def work(case: str, folder: Path) -> None:
    """Do the run of a case in this process; its result goes to a file beside the folder."""
    import keras
    import numpy as np

    import kerasae.zoo.recipe
    import kerasae.zoo.reproductions  # noqa: F401

    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).random((128, 12), dtype="float32")
    print(READY, flush=True)
    result = CASES[case](folder, x)
    folder.with_suffix(".result").write_text(json.dumps(result))


def run(case: str, folder: Path, backend: str, after: float | None = None) -> tuple[bool, float]:
    """Run a case in a process, and kill it some seconds after its imports.

    Returns:
        Whether the run came to its end, and how long it worked.
    """
    words = [sys.executable, __file__, case, "--work", str(folder)]
    environment = os.environ | {"KERAS_BACKEND": backend}
    errors = folder.with_suffix(".errors")
    with (
        open(errors, "w") as said,
        subprocess.Popen(
            words, env=environment, stdout=subprocess.PIPE, stderr=said, text=True
        ) as process,
    ):
        while (line := process.stdout.readline()) and line.strip() != READY:
            pass
        begun = time.monotonic()
        try:
            process.communicate(timeout=LIMIT if after is None else after)
        except subprocess.TimeoutExpired:
            process.kill()
            if after is None:
                raise
            process.communicate()
            return False, time.monotonic() - begun
    if process.returncode:
        raise RuntimeError(f"{case} in {folder} ended with {process.returncode}: see {errors}.")
    return True, time.monotonic() - begun


def names(folder: Path) -> set[str]:
    """Return the names of all files under a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def chains(case: str, backend: str, kills: int, where: Path, moments: random.Random) -> list:
    """Kill the runs of a case until enough kills have landed; return a row of the table."""
    whole = where / f"{case}-undisturbed"
    _, seconds = run(case, whole, backend)
    expected = whole.with_suffix(".result").read_text()
    landed = resumed = count = good = 0
    while landed < kills:
        folder, ended = where / f"{case}-{count}", False
        while not ended:
            after = moments.uniform(0, seconds) if landed < kills else None
            ended, _ = run(case, folder, backend, after)
            landed += not ended
            resumed += not ended and any(folder.rglob("*.npz"))
        count += 1
        same = folder.with_suffix(".result").read_text() == expected
        extra = names(folder) ^ names(whole)
        good += same and not extra
        if not same or extra:
            print(f"{case}: {folder} differs; files: {sorted(extra)}", flush=True)
    return [case, backend, landed, resumed, count, good]


def main() -> int:
    """Run the cases that are asked for, and print a table; return 1 if a chain was not good."""
    parser = argparse.ArgumentParser(prog="kill.py", description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}")
    parser.add_argument("--kills", type=int, default=10, help="per case (%(default)s)")
    parser.add_argument("--backend", default="torch", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments (%(default)s)")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if unknown := set(arguments.cases) - set(CASES):
        parser.error(f"there is no case {unknown.pop()!r}, expected some of {', '.join(CASES)}")
    if arguments.work:
        work(arguments.cases[0], arguments.work)
        return 0
    where = Path(tempfile.mkdtemp(prefix="kill-"))
    print("| case | backend | kills | with a checkpoint | chains | as undisturbed |")
    print("|---|---|--:|--:|--:|--:|", flush=True)
    failed = 0
    for case in arguments.cases or CASES:
        moments = random.Random(arguments.seed)
        row = chains(case, arguments.backend, arguments.kills, where, moments)
        print(f"| {' | '.join(map(str, row))} |", flush=True)
        failed += row[-1] < row[-2]
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
