"""Diffusion: the denoiser at every level of noise.

    x̃ = x + σε,  ε ~ N(0, I)               the slides' corruption, at a level σ that is drawn too
    x̂(x̃, σ)                                 denoiser; its optimum is E[x|x̃]
    ε̂ = (x̃ − x̂) / σ                         the noise
    ∇ log p_σ(x̃) = (x̂ − x̃) / σ²              the score of the noisy data's density
    v̂ = (ε̂ − σ x̂) / √(1 + σ²)                the velocity

One network gives one of them, and so all four. It minimizes

    E_σ w(σ) ‖x − x̂(x + σε, σ)‖²

with w = 1/σ² an error of the noise, with 1 + 1/σ² an error of the velocity. A new example begins as
noise, of which the denoiser takes away a little in each step.

Sohl-Dickstein et al., "Deep unsupervised learning using nonequilibrium thermodynamics" (2015); Ho,
Jain & Abbeel, "Denoising diffusion probabilistic models" (2020); Song, Meng & Ermon, "Denoising
diffusion implicit models" (2021); Salimans & Ho, "Progressive distillation for fast sampling of
diffusion models" (2022); Ho & Salimans, "Classifier-free diffusion guidance" (2022).
"""

import itertools
import math
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae import checks, schedules
from kerasae.models.path_inference import PathInference

SCHEDULES = {
    "log_normal": schedules.LogNormal,
    "cosine": schedules.Cosine,
    "linear": schedules.Linear,
}
# w(σ) of the squared error of each reading, as a weight of ‖x − x̂‖².
WEIGHTS = {
    "velocity": lambda s: 1 + 1 / s**2,
    "noise": lambda s: 1 / s**2,
    "clean": lambda s: ops.ones_like(s),
}


@keras.saving.register_keras_serializable("kerasae")
class Diffusion(PathInference):
    """The denoiser at every level of noise, and the samples that it leads to.

    Data are shifted and scaled to the mean 0 and the deviation 1 first, as the first call of `fit`
    finds them; the schedule's levels of noise are relative to that.

    Metrics: `loss`, `denoising` (the weighted error, a mean over the numbers of an example).

    Args:
        network: A Keras model from `[x, level]`, or `[x, level, one-hot label]`, to numbers of x's
            shape: `nets.residual_mlp` or `nets.unet`. The level is log(σ)/4, and what it sees has
            the variance 1.
        schedule: The levels: `"log_normal"`, `"cosine"`, `"linear"`, or one of
            `kerasae.schedules`.
        predicts: What the network's output is: `"velocity"`, `"noise"` or `"clean"`, x̂ itself.
        weight: Of which of the three the loss is the error; by default of what it predicts.
        autoencoder: A trained autoencoder, for diffusion of its codes, or `None`. It is fixed from
            then on.
        classes: Number of classes, for a model conditional on labels.
        drop: Share of the labels that training leaves out, for guidance.
        average: δ of averaged weights, which then generate, or `None`.
        standardize: If False, data are taken as they are.
        interval: Range of the data, to which generated examples are clipped, such as (0, 1) for
            images; or `None`.

    Example:

    >>> import numpy as np
    >>> from kerasae import Diffusion, nets
    >>> model = Diffusion(nets.residual_mlp((2,), units=16))
    >>> model.compile(optimizer="adam")
    >>> x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
    >>> history = model.fit(x, verbose=0)
    >>> model.sample(3, seed=0).shape, model.denoise(x, 0.5).shape
    ((3, 2), (64, 2))
    """

    parts = ("denoising",)
    solvers = ("heun", "ddim", "ancestral", "adaptive")

    def __init__(
        self,
        network: keras.Model,
        schedule: str | schedules.Schedule = "log_normal",
        predicts: str = "velocity",
        weight: str | None = None,
        autoencoder: keras.Model | None = None,
        classes: int | None = None,
        drop: float = 0.1,
        average: float | None = None,
        standardize: bool = True,
        interval: tuple[float, float] | None = None,
        **kwargs,
    ) -> None:
        schedule = schedules.get("schedule", schedule, SCHEDULES)
        super().__init__(
            network,
            schedule,
            autoencoder,
            classes,
            drop,
            average,
            standardize,
            interval,
            **kwargs,
        )
        self.predicts = checks.one_of("predicts", predicts, tuple(WEIGHTS))
        self.weight = checks.one_of("weight", weight or predicts, tuple(WEIGHTS))

    def aim(self, x, start, s):
        aim = {
            "velocity": lambda: (start - s * x) / ops.sqrt(1 + s**2),
            "noise": lambda: start,
            "clean": lambda: x,
        }[self.predicts]()
        if self.weight == self.predicts:
            return aim, None
        return aim, WEIGHTS[self.weight](s) / WEIGHTS[self.predicts](s)

    def clean(self, x, s, output):
        if self.predicts == "velocity":
            share = 1 / (1 + s**2)
            return share * x - s * ops.sqrt(share) * output
        return x - s * output if self.predicts == "noise" else output

    def noisy(self, x, s, output):
        if self.predicts == "velocity":
            share = 1 / (1 + s**2)
            return s * share * x + ops.sqrt(share) * output
        return output if self.predicts == "noise" else (x - output) / s

    def bound(
        self,
        x: Any,
        labels: Any = None,
        steps: int = 1000,
        seed: int = 0,
        batch_size: int = 256,
    ) -> np.ndarray:
        """Return a lower bound of log p(x) in nats: that of a variational autoencoder of T codes.

            log p(x) ≥ E log p(x|x_1) − Σ KL(q(x_r|x_s, x)‖p(x_r|x_s)) − KL(q(x_T|x)‖p(x_T))
            KL(q(x_r|x_s, x)‖p(x_r|x_s)) = ½ (1/r² − 1/s²) ‖x − x̂(x_s, s)‖²

        The encoder q adds noise and has nothing to learn. Here with one draw of each x_s.

        Args:
            x: Examples; with an autoencoder, what it encodes: the bound is of their codes.
            labels: A label for each, if the model has classes.
            steps: T, the number of levels.
            seed: Seed of the draws.
            batch_size: Number of examples at a time.

        Returns:
            Array of shape `(n,)`.
        """
        x = self._standardized(x, labels, batch_size)
        run = self._solver("heun", steps, labels, len(x), 1.0, batch_size)
        axes, size = tuple(range(1, x.ndim)), math.prod(self.code_shape)
        random, total = np.random.default_rng(checks.seed("seed", seed)), 0.0
        for s, r in itertools.pairwise(run.levels):
            noisy = (x + s * random.normal(size=x.shape)).astype("float32")
            _, clean = run.step("euler", noisy, s, r)
            squares = np.sum((x - clean).astype("float64") ** 2, axis=axes)
            # At the last level p(x|x_1) = N(x̂, s²).
            weight = 1 / s**2 if r == 0 else 1 / r**2 - 1 / s**2
            total = total - weight * squares / 2
        total = total - size / 2 * math.log(2 * math.pi * run.levels[-2] ** 2)
        # N(x, σ_T²) beside N(0, 1 + σ_T²), data having the variance 1.
        first, last = run.levels[0] ** 2, 1 + run.levels[0] ** 2
        squares = np.sum(x.astype("float64") ** 2, axis=axes)
        total = total - (squares + size * (first - last)) / (2 * last)
        total = total + size / 2 * math.log(first / last)
        return total - size * math.log(float(ops.convert_to_numpy(self.scale)))
