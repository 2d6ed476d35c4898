"""What the contractive penalty adds to a training step of a 784-1000-784 sigmoid autoencoder.

KERAS_BACKEND=jax OMP_NUM_THREADS=1 python tests/benchmarks/contractive.py --rounds 5

Batches of 128, Adam, cross entropy. A plain step beside steps with the exact penalty (closed
form), with one random projection, and with the norm of the full Jacobian. The four take turns,
after a step to warm up; what counts is the median of the rounds' ratios to the plain step.
"""

import argparse
import statistics
import time

import keras
import numpy as np
from keras import ops

from kerasae import Autoencoder, nets
from kerasae.engine import derivatives
from kerasae.penalties import Contractive, Penalty

PLAIN = "plain step"


class FullJacobian(Penalty):
    """λ ‖∂f/∂x‖²_F from all 784 × 1000 derivatives of each example."""

    def call(self, code, x, encoder=None):
        jacobian = derivatives.jacobian(encoder, x)
        return self.weight * ops.mean(ops.sum(jacobian**2, axis=(1, 2)))


# Name → the penalty, and how many steps a round times.
WAYS = {
    PLAIN: (None, 30),
    "exact, closed form": (Contractive(1e-3), 30),
    "one projection": (Contractive(1e-3, "projections"), 30),
    "exact, full Jacobian": (FullJacobian(1e-3), 1),
}


def main() -> None:
    """Times the ways in turns and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--inputs", type=int, default=784, help="of x (default: %(default)s)")
    parser.add_argument("--units", type=int, default=1000, help="of h (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=128, help="(default: %(default)s)")
    options = parser.parse_args()
    rounds, batch = options.rounds, options.batch

    most = max(steps for _, steps in WAYS.values())
    x = np.random.default_rng(0).random((most * batch, options.inputs), dtype="float32")
    models = {
        name: compiled(penalty, x[:batch], options.units) for name, (penalty, _) in WAYS.items()
    }
    seconds = {name: [] for name in WAYS}
    for _ in range(rounds):
        for name, (_, steps) in WAYS.items():
            start = time.perf_counter()
            models[name].fit(x[: steps * batch], batch_size=batch, verbose=0)
            seconds[name].append((time.perf_counter() - start) / steps)

    print(f"{keras.backend.backend()}, median of {rounds} rounds")
    for name, values in seconds.items():
        ratio = statistics.median(
            value / plain for value, plain in zip(values, seconds[PLAIN], strict=True)
        )
        print(f"{name:22s} {1e3 * statistics.median(values):9.1f} ms   × {ratio:.2f}")


def compiled(penalty: Penalty | None, batch: np.ndarray, units: int) -> Autoencoder:
    """One layer of `units` and one back, after its first step."""
    networks = nets.mlp(batch.shape[1:], code_size=units, units=(), code_activation="sigmoid")
    model = Autoencoder(*networks, penalty=penalty)
    model.compile("adam", "binary_crossentropy")
    model.fit(batch, batch_size=len(batch), verbose=0)
    return model


if __name__ == "__main__":
    main()
