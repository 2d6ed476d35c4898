"""The measures of a preset on test data: each is a function of the model and the data.

NumPy draws all noise that it can, so that every backend measures the same; the tolerance says how
far the numbers of two backends may differ otherwise.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from kerasae import datasets, quantizers
from kerasae.datasets import Split
from kerasae.evaluation import copies, networks, reconstruction
from kerasae.evaluation.samples import energy_distance, frechet_distance
from kerasae.probability.priors import StandardNormal
from kerasae.zoo.catalogue import Measured


def squared_error(model: Any, test: Split) -> Measured:
    """Measure ‖x − x̂‖²: the sum over the pixels of an image, the mean over the images."""
    return _squared(test.x, model.reconstruct(test.x))


def error_with_half_hidden(model: Any, test: Split) -> Measured:
    """Measure ‖x − x̂‖² of images of which a random half of the pixels is set to 0."""
    return _squared(test.x, model.reconstruct(half_hidden(test.x)))


def half_hidden(x: np.ndarray, seed: int = 0) -> np.ndarray:
    """Set a random half of the pixels of each image to 0."""
    hidden = np.random.default_rng(seed).random((*x.shape[:3], 1)) < 0.5
    return np.where(hidden, np.float32(0), x)


def mean_activation(model: Any, test: Split) -> Measured:
    """Measure the mean activation of the code, over units and images."""
    return _share(model.encode(test.x).mean(), 0.01)


def negative_bound(inputs: Callable[[Split], Any]) -> Callable[[Any, Split], Measured]:
    """Return the measure −(E log p(x|z) − KL), one z an image: an upper bound of −log p(x)."""

    def measure(model: Any, test: Split) -> Measured:
        if not model.compiled:
            model.compile()  # the bound needs no more
        logs = model.evaluate(*inputs(test), batch_size=500, verbose=0, return_dict=True)
        return _share(logs["loss"], 0.005, "nats")

    return measure


def prior_distance(model: Any, test: Split) -> Measured:
    """Measure the energy distance between the codes of test images and samples of the prior."""
    samples = model.sample_prior(len(test), seed=0)
    return Measured(float(energy_distance(model.encode(test.x), samples)), 0.005)


def frechet(
    network: str, count: int | None = None, **options: Any
) -> Callable[[Any, Split], Measured]:
    """Return the measure of the Fréchet distance of samples to test images, in fixed features."""

    def measure(model: Any, test: Split) -> Measured:
        samples = drawn(model, count or len(test), **options)
        return _share(frechet_distance(samples, test.x, network), 0.05)

    return measure


def right_class(**options: Any) -> Callable[[Any, Split], Measured]:
    """Return the measure of how many samples have the class that was asked for.

    The judge is the majority of the five nearest of 10,000 training images. It is right for 93 % of
    the test images.
    """

    def measure(model: Any, test: Split) -> Measured:
        samples = drawn(model, len(test), **options)
        train = datasets.load("strokes", train=10_000)[0]
        found = train.y[copies.nearest(samples, train.x, 5)[0]]
        votes = (found[..., None] == np.arange(model.classes)).sum(axis=1)
        asked = np.arange(len(samples)) % model.classes
        return _share((votes.argmax(axis=1) == asked).mean(), 0.01)

    return measure


def nearer_to_training(model: Any, test: Split) -> Measured:
    """Measure the share of samples that are nearer to a training image than to a test image.

    Both sets have the size of the test set: without copies it is ½, and chance moves it by about
    .012.
    """
    train = datasets.load("strokes", train=10_000)[0]
    return Measured(copies.copying(drawn(model, len(test)), train.x, test.x).share, 0.01)


def nats_of_code(model: Any, test: Split) -> Measured:
    """Measure −log p(k|y) of the codes k of test images."""
    labels = None if model.classes is None else test.y
    return _share(-model.log_prob(test.x, labels).mean(), 0.005, "nats")


def code_and_pixels(model: Any, test: Split) -> Measured:
    """Measure −log p(k|y) − log p(x|k), pixels as Bernoulli's: an upper bound of −log p(x|y)."""
    x, p = test.x, model.autoencoder.reconstruct(test.x).clip(1e-7, 1 - 1e-7)
    pixels = -np.sum(x * np.log(p) + (1 - x) * np.log1p(-p), axis=(1, 2, 3)).mean()
    return _share(nats_of_code(model, test).value + pixels, 0.005, "nats")


def used(model: Any, test: Split) -> Measured:
    """Measure the share of the codewords that the codes of test images use."""
    autoencoder = model.autoencoder
    use = quantizers.usage(autoencoder.encode(test.x), autoencoder.quantizer.size)
    return _share(use["used"], 0.01)


def of_autoencoder(measure: Callable[[Any, Split], Measured]) -> Callable[[Any, Split], Measured]:
    """Return a measure of the autoencoder of a prior."""
    return lambda model, test: measure(model.autoencoder, test)


def smile_correlation(model: Any, test: Split) -> Measured:
    """Measure the correlation of true smiles with those that a network finds in the output."""
    read = networks.attributes(model.reconstruct(test.x), "faces")["smile"]
    return Measured(float(np.corrcoef(read, test.factors["smile"])[0, 1]), 0.01)


def drawn(model: Any, count: int, seed: int = 0, **options: Any) -> np.ndarray:
    """Draw samples; if the prior is simple, z is the same on every backend."""
    random = np.random.default_rng(seed)
    if hasattr(model, "generate"):
        noise = random.normal(size=(count, *model.code_shape)).astype("float32")
        return model.generate(noise, **options)
    if type(getattr(model, "prior", None)) is StandardNormal:
        shape = (count, *model.decoder.input_shape[1:])
        return model.decode(random.normal(size=shape).astype("float32"))
    return model.sample(count, seed=seed)


def _squared(x: np.ndarray, output: np.ndarray) -> Measured:
    return _share(reconstruction.squared_error(x, output), 0.005)


def _share(value: float, tolerance: float, unit: str = "") -> Measured:
    """Return a measured number whose tolerance is a share of it."""
    return Measured(float(value), tolerance * abs(float(value)), unit)
