"""Published results of discrete codes."""

import keras
import numpy as np
from keras import ops

from kerasae import CodePrior, VectorQuantizedAutoencoder, nets, plots, quantizers
from kerasae.zoo.published.result import Published, Work, result


@result(
    source='Keras\'s examples, "Vector-Quantized Variational Autoencoders", with its printed logs',
    setting="MNIST, pixels / 255 − ½; convolutions of 32 and 64 channels, codes of 7 × 7 of 128 "
    "codewords of 16 numbers, learned by the gradient from uniform ones, β = 0.25, Adam 1e-3, "
    "batch 128, thirty epochs of all 60,000 training images; the means of an epoch of training, of "
    "the squared error divided by the pixels' variance, and of the quantizer's two terms. The "
    "prior: masked convolutions of 128 channels, Adam 3e-4, ten epochs (of thirty) of the first "
    "54,000; nats a number of the others' codes.",
    published={
        "error / variance, epoch 10": Published(0.0612, "seen", at_most=0.0712),
        "quantization, epoch 10": Published(0.2061, "seen"),
        "error / variance, epoch 30": Published(0.0444, "seen", at_most=0.0544),
        "quantization, epoch 30": Published(0.1682, "seen"),
        "prior, nats a number": Published(1.0554, "seen", note="for other codes, its own"),
    },
    trend=lambda ours: ours["prior, nats a number"] < 0.8 * ours["independent, nats a number"],
)
def vector_quantization_of_keras(work: Work) -> dict[str, float]:
    """Keras's example of a vector-quantized autoencoder, and of a prior for its codes.

    The codebook starts from random numbers there, so some of the codewords are never used; the
    share of the others stands below. How many nats a prior needs depends on it: log K of the used
    ones at most.
    """
    train = work.train.x[: work.amount(3000, 60_000)] - np.float32(0.5)
    variance, epochs = float(train.var()), work.amount(2, 30)
    batch_size, filters = work.amount(32, 128), work.amount(32, 128)

    def build():
        encoder = nets.convolutional_encoder((28, 28, 1), None, (32, 64, 16), strides=(2, 2, 1))
        decoder = nets.convolutional_decoder(
            None, (28, 28, 1), (16, 64, 32), strides=(2, 2, 1), output_activation="linear"
        )
        quantizer = quantizers.VectorQuantizer(128, update="gradient", k_means=False)
        model = VectorQuantizedAutoencoder(encoder, decoder, quantizer)
        start = np.random.default_rng(work.seed).uniform(-0.05, 0.05, quantizer.codebook.shape)
        quantizer.codebook.assign(start.astype("float32"))
        model.compile(keras.optimizers.Adam(1e-3), ShareOfVariance(variance))
        return model

    model = work.fit("autoencoder", build, train, epochs=epochs, batch_size=batch_size)
    history = work.histories["autoencoder"]
    codes, size = model.encode(train), model.quantizer.size
    known, new = np.split(codes, [len(codes) * 9 // 10])

    def build_prior():
        prior = CodePrior(nets.masked_convolutional((7, 7), size, filters=filters, blocks=2))
        prior.compile(keras.optimizers.Adam(work.amount(3e-3, 3e-4)))
        return prior

    options = {"epochs": work.amount(3, 10), "batch_size": batch_size}
    prior = work.fit("prior", build_prior, known, **options)
    places = codes[0].size
    samples = model.decode(prior.sample(24, seed=work.seed)) + 0.5
    work.picture = plots.image_sheet(samples.clip(0, 1), columns=12, title="Samples of the prior")
    use = quantizers.usage(codes, size)
    return {
        "error / variance, epoch 10": history["reconstruction"][:10][-1],
        "quantization, epoch 10": history["quantization"][:10][-1],
        "error / variance, epoch 30": history["reconstruction"][-1],
        "quantization, epoch 30": history["quantization"][-1],
        "prior, nats a number": -prior.log_prob(new).mean() / places,
        "independent, nats a number": np.log(use["perplexity"]),
        "share of codewords in use": use["used"],
    }


@keras.saving.register_keras_serializable("kerasae")
class ShareOfVariance(keras.losses.Loss):
    """The mean squared error, divided by the variance of the data.

    Args:
        variance: Variance of the data's numbers.
    """

    def __init__(self, variance: float, **kwargs) -> None:
        super().__init__(**kwargs)
        self.variance = variance

    def call(self, y_true, y_pred):
        return ops.mean(ops.square(y_true - y_pred), axis=-1) / self.variance

    def get_config(self):
        return {**super().get_config(), "variance": self.variance}
