"""How fast `fit` is, beside plain Keras and beside loops written by hand, in one run.

KERAS_BACKEND=jax python tests/benchmarks/fit.py --rounds 5

Eight models (plain, tied, denoising, sparse, variational, quantized, diffusion, GAN) on
60,000 × 784 numbers in batches of 128, with Adam.
Each is trained in three ways: `kerasae`, the same network by plain Keras's `fit`, and the same
mathematics as an expert would write it on the engine alone. Plain Keras reports the numbers that
ours report, by its own metrics; the loops report none. The ways take turns, an epoch each,
after an epoch to warm up, so that what else the machine does hits all of them; what counts is
the median of the rounds' ratios.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import handwritten
import handwritten_gan
import keras
import numpy as np
from keras import layers, ops
from plain_gan import PlainGAN

import kerasae
from kerasae.datasets import strokes
from kerasae.layers import TiedDense
from kerasae.penalties import MeanActivation

BATCH = 128
EPOCHS = 10  # of the training that a timed epoch is a part of
TARGET, WEIGHT, NOISE = 0.05, 1e-3, 0.3
WAYS = ("ours", "keras", "hand")
Epoch = Callable[[], Any]  # trains for an epoch; returns `fit`'s history, or the last step's loss


class OneEpoch(keras.callbacks.Callback):
    """Ends `fit` after its first epoch."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = True


@keras.saving.register_keras_serializable("benchmark")
class MeanActivityPenalty(layers.Layer):
    """What a Keras user would write for β Σ KL(ρ‖ρ̂): a layer that adds the loss."""

    def call(self, code):
        mean = ops.clip(ops.mean(code, axis=0), 1e-7, 1 - 1e-7)
        other = (1 - TARGET) * ops.log((1 - TARGET) / (1 - mean))
        self.add_loss(WEIGHT * ops.sum(TARGET * ops.log(TARGET / mean) + other))
        return code


@keras.saving.register_keras_serializable("benchmark")
class Sampling(layers.Layer):
    """What a Keras user would write for z = μ + σε: a layer that adds KL(q‖p)."""

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, numbers):
        mean, log_variance = ops.split(numbers, 2, axis=-1)
        kl = ops.exp(log_variance) + ops.square(mean) - 1 - log_variance
        self.add_loss(0.5 * ops.mean(ops.sum(kl, axis=-1)))
        noise = keras.random.normal(ops.shape(mean), seed=self.seed_generator)
        return mean + ops.exp(0.5 * log_variance) * noise


@keras.saving.register_keras_serializable("benchmark")
class Quantizing(layers.Layer):
    """What a Keras user would write for the nearest codeword: a layer that adds both losses."""

    def build(self, input_shape):
        self.codebook = self.add_weight(handwritten.CODEBOOK, "uniform", name="codebook")

    def call(self, z):
        far = ops.sum(self.codebook**2, axis=1) - 2 * ops.matmul(z, ops.transpose(self.codebook))
        chosen = ops.one_hot(ops.argmin(far, axis=1), handwritten.CODEBOOK[0])
        q = ops.matmul(chosen, self.codebook)
        self.add_loss(handwritten.COMMITMENT * ops.mean((z - ops.stop_gradient(q)) ** 2))
        self.add_loss(ops.mean((ops.stop_gradient(z) - q) ** 2))
        return z + ops.stop_gradient(q - z)


@keras.saving.register_keras_serializable("benchmark")
class PlainVariational(keras.Sequential):
    """Encoder, `Sampling`, decoder: it reports the KL(q‖p) that its layer adds.

    On JAX a layer cannot: while `fit` runs, a metric has no value but in `compute_loss` and
    `compute_metrics`, and what `call` writes into one is lost.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.kl = keras.metrics.Mean(name="kl")

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        self.kl.update_state(sum(self.losses), sample_weight=ops.shape(y_pred)[0])
        return super().compute_loss(x, y, y_pred, sample_weight, training)


@keras.saving.register_keras_serializable("benchmark")
class PlainDiffusion(keras.Model):
    """What a Keras user would write for diffusion: `call` draws noise and adds the loss."""

    def __init__(self, network: keras.Model, **kwargs) -> None:
        super().__init__(**kwargs)
        self.network = network
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, x):
        noise = keras.random.normal(ops.shape(x), seed=self.seed_generator)
        level = keras.random.normal((ops.shape(x)[0], 1), -0.5, 1.2, seed=self.seed_generator)
        sigma = ops.exp(level)
        share = ops.rsqrt(1 + ops.square(sigma))
        v = self.network([share * (x + sigma * noise), level / 4])
        self.add_loss(ops.mean(ops.square(share * (noise - sigma * x) - v)))
        return v


@keras.saving.register_keras_serializable("benchmark")
def nats(x, logits):
    """−log p(x|z) of each example."""
    return ops.sum(ops.binary_crossentropy(x, logits, from_logits=True), axis=-1)


def stack(*parts: layers.Layer) -> keras.Sequential:
    """The parts as one network."""
    return keras.Sequential(list(parts))


def plain_networks() -> tuple[keras.Model, keras.Model]:
    """784-512-32-512-784."""
    return kerasae.nets.mlp((784,), code_size=32, units=(512,))


def sparse_networks() -> tuple[keras.Model, keras.Model]:
    """784-512-784 with a sigmoid code."""
    return kerasae.nets.mlp((784,), code_size=512, units=(), code_activation="sigmoid")


def variational_networks() -> tuple[keras.Model, keras.Model]:
    """784-512-16-512-784, with two numbers for each of the code."""
    return kerasae.nets.mlp((784,), code_size=16, units=(512,), posterior="diagonal")


def denoiser() -> keras.Model:
    """785-512-512-784: an example and its level of noise."""
    x, level = keras.Input((784,)), keras.Input((1,))
    h = layers.Dense(512, "relu")(layers.concatenate([x, level]))
    return keras.Model([x, level], layers.Dense(784)(layers.Dense(512, "relu")(h)))


def tied_networks() -> tuple[keras.Model, keras.Model]:
    """784-300-150-300-784 without the library's model."""
    first, second = layers.Dense(300, "elu"), layers.Dense(150, "elu")
    encoder = stack(keras.Input((784,)), first, second)
    up = TiedDense(second, "elu"), TiedDense(first, "sigmoid")
    return encoder, stack(keras.Input((150,)), *up)


OURS = {
    "plain": lambda: kerasae.Autoencoder(*plain_networks()),
    "tied": lambda: kerasae.StackedAutoencoder(units=(300, 150), input_shape=(784,)),
    "denoising": lambda: kerasae.DenoisingAutoencoder(
        *plain_networks(), corruption=layers.GaussianNoise(NOISE)
    ),
    "sparse": lambda: kerasae.SparseAutoencoder(
        *sparse_networks(), penalty=MeanActivation(WEIGHT, target=TARGET)
    ),
    "variational": lambda: kerasae.VariationalAutoencoder(*variational_networks()),
    "quantized": lambda: kerasae.VectorQuantizedAutoencoder(
        *plain_networks(),
        kerasae.quantizers.VectorQuantizer(
            handwritten.CODEBOOK[0], handwritten.COMMITMENT, update="gradient", k_means=False
        ),
    ),
    "diffusion": lambda: kerasae.Diffusion(denoiser()),
    "gan": lambda: kerasae.GAN.mlp((784,), output_activation="sigmoid"),
}
PLAIN_KERAS = {
    "plain": lambda: stack(*plain_networks()),
    "tied": lambda: stack(*tied_networks()),
    "denoising": lambda: stack(layers.GaussianNoise(NOISE), *plain_networks()),
    "sparse": lambda: stack(sparse_networks()[0], MeanActivityPenalty(), sparse_networks()[1]),
    "variational": lambda: PlainVariational(
        [variational_networks()[0], Sampling(), variational_networks()[1]]
    ),
    "quantized": lambda: stack(plain_networks()[0], Quantizing(), plain_networks()[1]),
    "diffusion": lambda: PlainDiffusion(denoiser()),
    "gan": PlainGAN,
}


def compiled(model: keras.Model) -> keras.Model:
    """The model, compiled with Adam and the loss that it takes."""
    if isinstance(model, (kerasae.GAN, PlainGAN)):
        model.compile()  # with an Adam for each player
    elif isinstance(model, (kerasae.VariationalAutoencoder, kerasae.Diffusion, PlainDiffusion)):
        model.compile(optimizer="adam")  # its own loss
    elif isinstance(model, PlainVariational):
        model.compile(optimizer="adam", loss=nats, metrics=[nats])
    else:
        model.compile(optimizer="adam", loss="binary_crossentropy")
    return model


def keras_epoch(model: keras.Model, x: np.ndarray, targets: np.ndarray | None) -> Epoch:
    """One epoch of `fit`, out of as many as a training has."""
    compiled(model)
    arguments = {"batch_size": BATCH, "epochs": EPOCHS, "verbose": 0, "callbacks": [OneEpoch()]}
    return lambda: model.fit(x, targets, **arguments).history


def by_hand(engine: str, name: str, x: np.ndarray) -> Epoch:
    """One epoch of the loop by hand."""
    if name == "gan":
        return handwritten_gan.epoch(engine, x, BATCH)
    return handwritten.epoch(engine, name, x, BATCH, TARGET, WEIGHT, NOISE)


def started(engine: str, name: str, x: np.ndarray) -> dict[str, Epoch]:
    """An epoch of that model in each of the ways."""
    ways = {"ours": keras_epoch(OURS[name](), x, None), "hand": by_hand(engine, name, x)}
    if (engine, name) != ("jax", "gan"):  # there Keras's guides write no `train_step`
        targets = None if name in ("gan", "diffusion") else x
        given = handwritten.standard(x) if name == "diffusion" else x
        ways["keras"] = keras_epoch(PLAIN_KERAS[name](), given, targets)
    return ways


def row(times: dict[str, list[float]]) -> list[str]:
    """Medians and ratios, and what our first epoch took more, which is compiling."""
    warm = {way: values[1:] for way, values in times.items()}
    cells = [f"{statistics.median(warm[w]):.2f}" if w in warm else "–" for w in WAYS]
    for way in WAYS[1:]:
        ratios = [a / b for a, b in zip(warm["ours"], warm.get(way, []), strict=False)]
        cells.append(f"{statistics.median(ratios):.2f}" if ratios else "–")
    return [*cells, f"{times['ours'][0] - statistics.median(warm['ours']):+.1f}"]


def main() -> None:
    """Times every model in every way and prints a table of medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="timed epochs (default: %(default)s)")
    parser.add_argument("--examples", type=int, default=60_000, help="default: %(default)s")
    parser.add_argument("--models", nargs="+", default=list(OURS), choices=list(OURS))
    parser.add_argument("--json", type=Path, help="also write every time to this file")
    options = parser.parse_args()

    x = strokes.generate(options.examples, seed=0)[0].reshape(-1, 784).astype("float32") / 255
    engine = keras.backend.backend()
    print(f"{engine}, Keras {keras.version()}: {options.examples:,} × 784, batch {BATCH}")
    print("| model | kerasae, s | plain Keras, s | by hand, s | to Keras | to by hand | first, s |")
    print("|---|---|---|---|---|---|---|")
    everything = {}
    for name in options.models:
        keras.utils.set_random_seed(0)
        ways = started(engine, name, x)
        times = {way: [] for way in ways}
        for _ in range(options.rounds + 1):
            for way, epoch in ways.items():
                start = time.perf_counter()
                epoch()
                times[way].append(time.perf_counter() - start)
        everything[name] = times
        print(f"| {name} | {' | '.join(row(times))} |", flush=True)
    if options.json:
        options.json.write_text(json.dumps(everything, indent=1))


if __name__ == "__main__":
    main()
