"""Follow the field of a path, from noise to data and back: step by step, batch by batch."""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from kerasae.engine.compiled import reading
from kerasae.models.path_field import Field

if TYPE_CHECKING:
    from kerasae.models.path_model import PathModel

Tensor = Any


class Solver:
    """A run of a sampler: the model, the levels, and the labels.

    Args:
        model: The model, with a `schedule`, a network and its readings.
        kind: Name of the solver.
        steps: Number of steps.
        labels: One-hot labels, `(n, classes)`, or `None`.
        guidance: w.
        batch_size: Number of samples at a time.
        verbose: If 1, a progress bar is shown.
        tolerance: Error that an adaptive step may have, of numbers about 1.
    """

    def __init__(
        self,
        model: "PathModel",
        kind: str,
        steps: int,
        labels: np.ndarray | None,
        guidance: float,
        batch_size: int,
        verbose: int = 0,
        tolerance: float = 1e-3,
    ) -> None:
        self.tolerance = tolerance
        self.model, self.kind, self.guidance = model, kind, guidance
        self.levels = model.schedule.grid(steps)
        # Of the path's beginning, for data of variance 1.
        self.deviation = np.float32(math.hypot(*model._place(self.levels[0])))
        self.labels, self.batch_size, self.verbose = labels, batch_size, verbose

    def forward(self, noise: np.ndarray, seed: int) -> np.ndarray:
        """Return what the noise becomes."""
        if self.kind == "adaptive":
            return self.adaptive(noise * self.deviation)
        *_, (x, _) = self.path(noise, seed)
        return x

    def path(self, noise: np.ndarray, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield x_r and x̂ after each step from s to r."""
        x, has_levels = noise * self.deviation, self.model.schedule.noise_level
        bar = keras.utils.Progbar(len(self.levels) - 1) if self.verbose else None
        for index, (s, r) in enumerate(itertools.pairwise(self.levels)):
            fresh = None
            if self.kind == "ancestral" and r > 0:
                fresh = np.random.default_rng([seed, index]).normal(size=x.shape).astype("float32")
            # At σ = 0 there is no noise left to read.
            kind = self.kind if r > 0 or not has_levels else "euler"
            x, clean = self.step(kind, x, s, r, fresh)
            if bar is not None:
                bar.add(1)
            yield x, clean

    def backward(self, x: np.ndarray) -> np.ndarray:
        """Return the noise that becomes x."""
        for s, r in self.backward_levels():
            x, _ = self.step("heun", x, s, r)
        return x / self.deviation

    def density(
        self, x: np.ndarray, directions: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the noise that becomes x, and ∫ div(dx_s/ds) ds on the way there.

        Args:
            x: Examples, `(n, …)`.
            directions: v of the estimates vᵀ(∂f/∂x)v, `(n, k, …)`, or `None` for the divergence.

        Returns:
            Arrays of shape `(n, …)` and `(n, k)`, k = 1 without directions.
        """
        gained = np.float32(0)
        for s, r in self.backward_levels():
            levels = _number(s), _number(r)
            given = (x, *([] if directions is None else [directions]))
            name = "exact_density" if directions is None else "density"
            x, more = self.batches(name, given, *levels)
            gained = gained + more
        return x, gained

    def filled(self, x: np.ndarray, known: np.ndarray, repeats: int, seed: int) -> np.ndarray:
        """Return x with what is not known drawn anew."""
        random, levels = np.random.default_rng(seed), self.levels

        def noise() -> np.ndarray:
            return random.normal(size=x.shape).astype("float32")

        places = [self.model._place(s) for s in levels]
        point = places[0][0] * x + places[0][1] * noise()
        point = np.where(known, point, places[0][1] * noise()).astype("float32")
        for index, (s, r) in enumerate(itertools.pairwise(levels)):
            (a, b), (c, d) = places[index : index + 2]
            for repeat in range(repeats):
                after, _ = self.step("euler", point, s, r)
                after = np.where(known, c * x + d * noise(), after).astype("float32")
                if repeat < repeats - 1:  # back to s: x_s = (a/c) x_r + noise
                    added = np.sqrt(max(b**2 - (a / c * d) ** 2, 0.0))
                    point = (a / c * after + added * noise()).astype("float32")
            point = after
        return point

    def backward_levels(self) -> list[tuple[float, float]]:
        """Return the levels of each step from data to noise; there is none at σ = 0."""
        levels = self.levels[::-1][1 if self.model.schedule.noise_level else 0 :]
        return list(itertools.pairwise(levels))

    def adaptive(self, x: np.ndarray) -> np.ndarray:
        """Return what x becomes, by steps as long as the tolerance allows.

        Bogacki and Shampine's pair of orders 2 and 3; the worst example of a batch decides.
        """
        slope_at, attempt = self.compiled("slope"), self.compiled("attempt")
        found = []
        for condition, point in self.rows(x):
            u, length = 0.0, 0.1
            slope = slope_at(condition, point, _number(u))
            while 1 - u > 1e-6:
                length = min(length, 1 - u)
                after, last, error = attempt(
                    condition, point, slope, _number(u), _number(length), _number(self.tolerance)
                )
                error = max(float(ops.convert_to_numpy(error)), 1e-6)
                if error <= 1:
                    point, slope, u = after, last, u + length
                length = length * min(max(0.9 * error ** (-1 / 3), 0.2), 5)
            found.append(ops.convert_to_numpy(point))
        x, schedule = np.concatenate(found)[: len(x)], self.model.schedule
        return self.step("euler", x, schedule.smallest, 0.0)[0] if schedule.noise_level else x

    def step(
        self, kind: str, x: np.ndarray, s: float, r: float, fresh: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return x at level r, given x at level s, and x̂ at s."""
        name = "ancestral" if fresh is not None else "heun" if kind == "heun" else "euler"
        levels = _number(s), _number(r)
        return self.batches(name, (x, *([] if fresh is None else [fresh])), *levels)

    def batches(self, name: str, arrays: tuple, *others: Tensor) -> tuple[np.ndarray, ...]:
        """Return the results of a compiled function over all examples, batch by batch."""
        run = self.compiled(name)
        found = []
        for condition, *given in self.rows(*arrays):
            results = run(condition, *given, *others)
            found.append([np.asarray(ops.convert_to_numpy(each)) for each in results])
        count = len(arrays[0])
        return tuple(np.concatenate(each)[:count] for each in zip(*found, strict=True))

    def rows(self, *arrays: np.ndarray) -> Iterator[list]:
        """Yield the condition and the arrays batch by batch, as tensors.

        The last of several batches is filled up with its last example: a function is compiled for
        each size.
        """
        size = min(self.batch_size, len(arrays[0]))
        for begin in range(0, len(arrays[0]), size):
            index = np.minimum(np.arange(begin, begin + size), len(arrays[0]) - 1)
            condition = [None if self.labels is None else ops.convert_to_tensor(self.labels[index])]
            if self.guidance != 1:
                condition.append(_number(self.guidance))
            yield [tuple(condition), *[ops.convert_to_tensor(each[index]) for each in arrays]]

    def compiled(self, name: str) -> Callable:
        """Return a function of this class that is compiled once for the model."""
        model, views = self.model, self.model.aside.views
        key = f"solver {name}"
        if key not in views:
            network = model.network if model.averaged is None else model.averaged
            field = Field(model, network)
            views[key] = reading(getattr(field, name), network.variables)
        return views[key]


def _number(value: float) -> Tensor:
    return ops.convert_to_tensor(np.float32(value))
