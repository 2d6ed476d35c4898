"""Schedules: how an example becomes noise, level by level.

    x_s = a(s) x + b(s) ε,  ε ~ N(0, I)           the example at level s

    LogNormal, Cosine, Linear    a = 1, b = σ: noise is added, and the level is its deviation σ
    Straight                     a = s, b = 1 − s: a straight line from noise to data
    Circular                     a = sin(πs/2), b = cos(πs/2): a quarter of a circle

Other papers scale the example down, x_t = √ᾱ_t x + √(1 − ᾱ_t) ε. That is x_σ, divided by √(1 + σ²),
at σ² = (1 − ᾱ_t) / ᾱ_t: the same path. Data have the variance 1.

Karras, Aittala, Aila & Laine, "Elucidating the design space of diffusion-based generative models"
(2022); Nichol & Dhariwal, "Improved denoising diffusion probabilistic models" (2021); Ho, Jain &
Abbeel, "Denoising diffusion probabilistic models" (2020); Lipman et al., "Flow matching for
generative modeling" (2023).
"""

import math
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from kerasae import checks

Tensor = Any
Pair = tuple[Tensor, Tensor]

SMALLEST, LARGEST = 0.004, 160.0  # σ of Karras et al., for data of variance 1


class Schedule:
    """A path from noise to data, and the levels to train at and to sample at."""

    noise_level = False  # whether a level is the deviation σ, at which the path has a = 1

    def place(self, s: Tensor) -> Pair:
        """Return a(s) and b(s)."""
        raise NotImplementedError(f"{type(self).__name__} has no `place`.")

    def point(self, x: Tensor, start: Tensor, s: Tensor) -> Tensor:
        """Return a(s) x + b(s) start."""
        a, b = self.place(s)
        return a * x + b * start

    def slopes(self, s: Tensor) -> Pair:
        """Return the derivatives of a and b with respect to s."""
        raise NotImplementedError(f"{type(self).__name__} has no `slopes`.")

    def draw(self, u: Tensor) -> Tensor:
        """Return the levels of a training step, for u between 0 and 1."""
        raise NotImplementedError(f"{type(self).__name__} has no `draw`.")

    def grid(self, steps: int) -> np.ndarray:
        """Return the levels between the steps of a sampler, from noise to data."""
        raise NotImplementedError(f"{type(self).__name__} has no `grid`.")

    def at(self, sigma: Tensor) -> Tensor:
        """Return the level of b / a = σ."""
        raise NotImplementedError(f"{type(self).__name__} has no `at`.")

    def integral(self, first: Tensor, last: Tensor, s: Tensor, r: Tensor) -> Tensor:
        """Return the integral from s to r of what has the values `first` and `last` there."""
        return (r - s) * (first + last) / 2

    def timed(self, u: Tensor) -> Pair:
        """Return s and ds/du at the time u of an adaptive solver, from noise, 0, to data, 1."""
        return u, ops.ones_like(u)

    def seen(self, s: Tensor) -> Pair:
        """Return what the network sees: the factor of x_s, and a number for the level."""
        return ops.ones_like(s), s

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Make a schedule from `get_config()`."""
        return cls(**config)


class NoiseLevels(Schedule):
    """x_σ = x + σε: the level is the deviation of the noise."""

    noise_level = True
    smallest, largest, rho = SMALLEST, LARGEST, 7.0

    def place(self, s):
        return ops.ones_like(s), s

    def point(self, x, start, s):
        return x + s * start

    def slopes(self, s):
        return ops.zeros_like(s), ops.ones_like(s)

    def at(self, sigma):
        return sigma

    def integral(self, first, last, s, r):
        # Over log σ: at large σ the divergence tends to d/σ.
        return ops.log(r / s) * (s * first + r * last) / 2

    def timed(self, u):
        last, first = (sigma ** (1 / self.rho) for sigma in (self.smallest, self.largest))
        root = first + u * (last - first)
        return root**self.rho, self.rho * (last - first) * root ** (self.rho - 1)

    def seen(self, s):
        # x_σ has the variance 1 + σ².
        return 1 / ops.sqrt(1 + s**2), ops.log(s) / 4


@keras.saving.register_keras_serializable("kerasae.schedules")
class LogNormal(NoiseLevels):
    """EDM's levels: log σ ~ N(μ, s²) in training; in sampling, steps that grow with the noise.

    σ_i = (σ_max^(1/ρ) + i/(n − 1) (σ_min^(1/ρ) − σ_max^(1/ρ)))^ρ for i < n, and then σ_n = 0. The
    numbers are those of the paper for data of deviation 1 in place of ½, but for σ_max, 160 there:
    training draws no σ above 40 in 4,000, and few steps are better spent below. Nothing is lost,
    since samples begin as noise of deviation √(1 + σ_max²), that of the noisy data.

    Args:
        mean: μ.
        stddev: s.
        smallest: σ_min.
        largest: σ_max.
        rho: ρ; the larger, the more of the steps are at little noise.

    Example:

    >>> LogNormal().grid(4).round(3).tolist()
    [40.0, 5.65, 0.37, 0.004, 0.0]
    """

    def __init__(
        self,
        mean: float = -0.5,
        stddev: float = 1.2,
        smallest: float = SMALLEST,
        largest: float = 40.0,
        rho: float = 7.0,
    ) -> None:
        self.mean, self.stddev, self.rho = (
            float(mean),
            checks.between("stddev", stddev, 0, math.inf),
            checks.between("rho", rho, 0, math.inf),
        )
        self.largest = checks.between("largest", largest, 0, math.inf)
        self.smallest = checks.between("smallest", smallest, 0, self.largest)

    def draw(self, u):
        normal = math.sqrt(2) * ops.erfinv(ops.clip(2 * u - 1, -0.999999, 0.999999))
        return ops.clip(ops.exp(self.mean + self.stddev * normal), self.smallest, self.largest)

    def grid(self, steps):
        last, first = (sigma ** (1 / self.rho) for sigma in (self.smallest, self.largest))
        return np.append(np.linspace(first, last, steps) ** self.rho, 0.0)

    def get_config(self):
        return {
            "mean": self.mean,
            "stddev": self.stddev,
            "smallest": self.smallest,
            "largest": self.largest,
            "rho": self.rho,
        }


class _Timed(NoiseLevels):
    """Levels at the times t/T of a process of T steps; without T, at all times from 0 to 1."""

    def __init__(self, steps: int | None = 1000) -> None:
        self.steps = None if steps is None else checks.whole_number("steps", steps, 2)
        if self.steps:  # σ of the times 1, …, T
            self.table = self.sigma(self.shares(self.steps)).astype("float32")
            self.smallest, self.largest = float(self.table[0]), float(self.table[-1])

    def shares(self, steps: int) -> np.ndarray:
        """Return ᾱ_t, the share of the variance that is the example's, for t = 1, …, T."""
        raise NotImplementedError(f"{type(self).__name__} has no `shares`.")

    def share(self, u: Tensor) -> Tensor:
        """Return ᾱ at the time u, between 0 and 1."""
        raise NotImplementedError(f"{type(self).__name__} has no `share`.")

    @staticmethod
    def sigma(share: np.ndarray) -> np.ndarray:
        """Return σ = √((1 − ᾱ) / ᾱ)."""
        return np.sqrt((1 - share) / share)

    def draw(self, u):
        if self.steps:
            index = ops.minimum(ops.cast(u * self.steps, "int32"), self.steps - 1)
            return ops.take(ops.convert_to_tensor(self.table), index)
        share = self.share(u)
        return ops.clip(ops.sqrt((1 - share) / share), SMALLEST, LARGEST)

    def grid(self, steps):
        if not self.steps:
            times = ops.convert_to_tensor(np.linspace(1, 0, steps + 1)[:-1].astype("float32"))
            return np.append(ops.convert_to_numpy(self.draw(times)).astype("float64"), 0.0)
        if steps > self.steps:
            raise ValueError(
                f"`steps` is {steps}, expected at most {self.steps}, the schedule's own."
            )
        times = np.round(np.linspace(self.steps, 0, steps + 1)[:-1]).astype(int)
        return np.append(self.table[times - 1].astype("float64"), 0.0)

    def get_config(self):
        return {"steps": self.steps}


@keras.saving.register_keras_serializable("kerasae.schedules")
class Cosine(_Timed):
    """The share ᾱ falls as a cosine: ᾱ(u) = cos²(π/2 (u + 0.008)/1.008), divided by ᾱ(0).

    Args:
        steps: T, the number of levels, or `None` for levels at all times.

    Example:

    >>> Cosine().grid(4).round(2).tolist()[1:]
    [2.44, 1.01, 0.42, 0.0]
    """

    OFFSET = 0.008

    def share(self, u):
        def squared(u):
            return ops.cos(math.pi / 2 * (u + self.OFFSET) / (1 + self.OFFSET)) ** 2

        return ops.maximum(squared(u) / squared(0.0), 1 / (1 + LARGEST**2))

    def shares(self, steps):
        times = (np.arange(steps + 1) / steps + self.OFFSET) / (1 + self.OFFSET)
        squares = np.cos(math.pi / 2 * times) ** 2
        betas = np.minimum(1 - squares[1:] / squares[:-1], 0.999)
        return np.cumprod(1 - betas)


@keras.saving.register_keras_serializable("kerasae.schedules")
class Linear(_Timed):
    """The variance of each step's noise grows linearly: β_t from 10⁻⁴ to 0.02 at T = 1000.

    ᾱ_t = Π_i (1 − β_i). Other T have β of the same total; without T, log ᾱ(u) = −u/10 − 9.95 u².

    Args:
        steps: T, the number of levels, or `None` for levels at all times.

    Example:

    >>> Linear().grid(4).round(3).tolist()
    [157.407, 17.247, 3.424, 0.953, 0.0]
    """

    def share(self, u):
        return ops.exp(-0.1 * u - 9.95 * u**2)

    def shares(self, steps):
        return np.cumprod(1 - np.linspace(0.1, 20, steps) / steps)


@keras.saving.register_keras_serializable("kerasae.schedules")
class Straight(Schedule):
    """x_s = s x + (1 − s) ε, from noise at s = 0 to data at s = 1.

    Example:

    >>> [float(value) for value in Straight().place(ops.convert_to_tensor(0.25))]
    [0.25, 0.75]
    """

    def place(self, s):
        return s, 1 - s

    def slopes(self, s):
        return ops.ones_like(s), -ops.ones_like(s)

    def draw(self, u):
        return u

    def grid(self, steps):
        return np.linspace(0, 1, steps + 1)

    def at(self, sigma):
        return 1 / (1 + sigma)


@keras.saving.register_keras_serializable("kerasae.schedules")
class Circular(Straight):
    """x_s = sin(πs/2) x + cos(πs/2) ε, which has the same variance at every level.

    Example:

    >>> a, b = Circular().place(ops.convert_to_tensor(0.25))
    >>> round(float(a**2 + b**2), 5)
    1.0
    """

    def place(self, s):
        return ops.sin(math.pi / 2 * s), ops.cos(math.pi / 2 * s)

    def slopes(self, s):
        a, b = self.place(s)
        return math.pi / 2 * b, -math.pi / 2 * a

    def at(self, sigma):
        return 2 / math.pi * ops.arctan2(ops.ones_like(sigma), sigma)


def get(name: str, value: Any, known: dict[str, type[Schedule]]) -> Schedule:
    """Return the schedule of that name, or `value` itself if it is one of these.

    Args:
        name: Name of the argument, for the error message.
        value: A name or a schedule.
        known: The schedules that the model takes, by their names.
    """
    if isinstance(value, tuple(known.values())):
        return value
    if isinstance(value, str) and value in known:
        return known[value]()
    names = ", ".join(repr(each) for each in known)
    raise ValueError(
        f"`{name}` is {value!r}, expected one of {names}, or one of `kerasae.schedules`."
    )
