"""An epoch of a variational autoencoder beside Pythae's trainer, on PyTorch, in one run.

pip install pythae
KERAS_BACKEND=torch python tests/benchmarks/beside_pythae.py --rounds 3

The same network (784-512-16-512-784, ReLU), the same bound with a Bernoulli likelihood, the same
batches of 128, Adam. The two take turns, an epoch each, after one to warm up. Of Pythae's epoch
only the training counts, not what its trainer writes before and after.
"""

import argparse
import statistics
import tempfile
import time

import keras
import numpy as np
import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from torch import nn

import kerasae
from kerasae.datasets import strokes

BATCH = 128


class Encoder(BaseEncoder):
    """784-512-(16, 16)."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.ReLU())
        self.mean, self.log_variance = nn.Linear(512, 16), nn.Linear(512, 16)

    def forward(self, x: torch.Tensor) -> ModelOutput:
        """The posterior's parameters."""
        h = self.hidden(x)
        return ModelOutput(embedding=self.mean(h), log_covariance=self.log_variance(h))


class Decoder(BaseDecoder):
    """16-512-784, with a sigmoid, as Pythae's cross entropy takes it."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(16, 512), nn.ReLU(), nn.Linear(512, 784), nn.Sigmoid()
        )

    def forward(self, z: torch.Tensor) -> ModelOutput:
        """The pixels' probabilities."""
        return ModelOutput(reconstruction=self.layers(z))


class Clock(TrainingCallback):
    """Times an epoch's training, from the first step's begin to the last one's end."""

    first = None

    def on_train_step_begin(self, training_config, **kwargs):
        self.first = self.first or time.perf_counter()

    def on_train_step_end(self, training_config, **kwargs):
        self.last = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Of the epoch."""
        return self.last - self.first


def pythae_epoch(model: VAE, data: BaseDataset, folder: str) -> float:
    """Seconds of one epoch by Pythae's trainer."""
    config = BaseTrainerConfig(
        output_dir=folder,
        num_epochs=1,
        learning_rate=1e-3,
        per_device_train_batch_size=BATCH,
        no_cuda=True,
    )
    clock = Clock()
    BaseTrainer(model, data, training_config=config, callbacks=[clock]).train()
    return clock.seconds


def main() -> None:
    """Times both and prints the medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="timed epochs (default: %(default)s)")
    parser.add_argument("--examples", type=int, default=60_000, help="default: %(default)s")
    options = parser.parse_args()

    keras.utils.set_random_seed(0)
    x = strokes.generate(options.examples, seed=0)[0].reshape(-1, 784).astype("float32") / 255
    networks = kerasae.nets.mlp((784,), code_size=16, units=(512,), posterior="diagonal")
    ours = kerasae.VariationalAutoencoder(*networks)
    ours.compile(optimizer="adam")
    config = VAEConfig(input_dim=(784,), latent_dim=16, reconstruction_loss="bce")
    theirs = VAE(config, encoder=Encoder(), decoder=Decoder())
    data = BaseDataset(torch.from_numpy(x), torch.zeros(len(x)))
    times = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.rounds + 1):
            start = time.perf_counter()
            ours.fit(x, batch_size=BATCH, epochs=1, verbose=0)
            seconds = time.perf_counter() - start
            times.append((seconds, pythae_epoch(theirs, data, folder)))
    times = np.array(times[1:])
    ratio = statistics.median(times[:, 0] / times[:, 1])
    ours, theirs = np.median(times, axis=0)
    print(f"kerasae {ours:.2f} s, Pythae {theirs:.2f} s, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
