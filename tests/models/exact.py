"""Denoisers in closed form: E[x|x̃] of a mixture of normal distributions, as networks."""

import keras
import numpy as np
from keras import ops


class Denoiser(keras.layers.Layer):
    """E[x|x + σε] for x ~ Σ π_k N(μ_k, v): with v = 0, of a finite set of points.

    It takes what `Diffusion` gives its network, (x + σε)/√(1 + σ²) and log(σ)/4; as a flow's
    velocity on a straight path, x_t and t.
    """

    def __init__(self, means, variance, velocity=False, **kwargs):
        super().__init__(**kwargs)
        self.means = np.asarray(means, "float32")
        self.variance, self.velocity = variance, velocity

    def call(self, x, level):
        if self.velocity:
            share = ops.clip(level, 1e-6, 1 - 1e-6)
            sigma, noisy = (1 - share) / share, x / share
            clean = self.clean(noisy, sigma)
            return clean - (x - share * clean) / (1 - share)
        sigma = ops.exp(4 * level)
        return self.clean(x * ops.sqrt(1 + sigma**2), sigma)

    def clean(self, noisy, sigma):
        means = ops.convert_to_tensor(self.means)
        apart, total = noisy[:, None] - means[None], self.variance + sigma**2
        shares = ops.softmax(-ops.sum(apart**2, axis=-1) / (2 * total), axis=-1)
        shrunk = means[None] + (self.variance / total)[:, None] * apart
        return ops.sum(shares[..., None] * shrunk, axis=1)


def network(means, variance, velocity=False):
    """Returns the denoiser as a network of x and a level."""
    x, level = keras.Input((len(means[0]),)), keras.Input((1,))
    return keras.Model([x, level], Denoiser(means, variance, velocity)(x, level))


def off_by_tolerance(model, start):
    """How far an adaptive solver's ends are from those of small steps, by its tolerance."""
    expected = model.generate(start, steps=400)
    return [
        np.abs(model.generate(start, solver="adaptive", tolerance=size) - expected)
        for size in (0.1, 1e-2, 1e-4)
    ]


def log_density(x, means, variance):
    """log Σ 1/K N(x; μ_k, v I), in NumPy."""
    squares = np.sum((x[:, None].astype("float64") - np.asarray(means)) ** 2, axis=-1)
    size = x.shape[1]
    logs = -squares / (2 * variance) - size / 2 * np.log(2 * np.pi * variance)
    return np.logaddexp.reduce(logs, axis=1) - np.log(len(means))
