"""Reproductions of variational autoencoders."""

import keras
import numpy as np

from kerasae import VariationalAutoencoder, nets, plots
from kerasae.zoo.reproduction import Published, Work
from kerasae.zoo.reproductions.registry import reproduction


@reproduction(
    source="PyTorch's examples, `vae/main.py`",
    setting="MNIST, pixels / 255 as probabilities of a Bernoulli likelihood, 784-400-20-400-784, "
    "10 epochs, batch 128, Adam 1e-3; −bound of a test image in nats, one z each.",
    published={"−bound": Published(105.56, "seen", within=0.5)},
    trend=lambda ours: ours["−bound"] < 0.75 * ours["entropy of independent pixels"],
)
def vae_of_pytorch(work: Work) -> dict[str, float]:
    """PyTorch's example of a variational autoencoder."""
    x = work.train.x

    def build():
        networks = nets.mlp(x.shape[1:], 20, units=(400,), posterior="diagonal")
        model = VariationalAutoencoder(*networks)
        model.compile(optimizer=keras.optimizers.Adam(1e-3))
        return model

    model = work.fit("training", build, x, epochs=work.amount(1, 10), batch_size=128)
    found = model.evaluate(work.test.x, batch_size=500, verbose=0, return_dict=True)
    mean = np.clip(x.mean(axis=0), 1e-7, 1 - 1e-7)
    independent = -(work.test.x * np.log(mean) + (1 - work.test.x) * np.log(1 - mean))
    work.picture = plots.image_sheet(model.sample(60, seed=work.seed), columns=12, title="Samples")
    return {
        "−bound": found["loss"],
        "reconstruction": found["reconstruction"],
        "divergence": found["kl"],
        "entropy of independent pixels": float(independent.sum(axis=(1, 2, 3)).mean()),
    }
