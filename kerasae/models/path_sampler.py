"""Follow the field of a path: from noise to examples, and back.

    dx_s/ds = ȧ(s) x̂ + ḃ(s) ε̂

Song et al., "Score-based generative modeling through stochastic differential equations" (2021).
"""

from typing import Any

import numpy as np
from keras import ops

from kerasae import checks, interpolation
from kerasae.engine.randomness import next_seed
from kerasae.models import inputs
from kerasae.models.path_model import PathModel
from kerasae.models.solvers import Solver


class PathSampler(PathModel):
    """Base class of models that generate along a path."""

    solvers: tuple[str, ...] = ("heun", "euler")  # the first is the default
    steps = 18

    def sample(
        self,
        count: int,
        labels: Any = None,
        steps: int | None = None,
        solver: str | None = None,
        guidance: float = 1.0,
        seed: int | None = None,
        **options,
    ) -> np.ndarray:
        """Draw samples: noise, which the field carries to data.

        Args:
            count: Number of samples.
            labels: For a model with classes: one label for all, or one for each; `None` for each
                class in turn.
            steps: Number of steps.
            solver: As in `generate`.
            guidance: w; the network's output is that without a label, plus w times what the label
                adds: 0 ignores the labels, above 1 exaggerates them.
            seed: Seed of the draw; `None` for a new draw each time.
            **options: Further arguments of `generate`.

        Returns:
            Array of shape `(count, …)`.
        """
        count, seed = checks.whole_number("count", count), self._seed(seed)
        start = self._starts(count, seed)
        return self.generate(start, labels, steps, solver, guidance, seed=seed, **options)

    def _starts(self, count: int, seed: int) -> np.ndarray:
        shape = (count, *self.code_shape)
        return np.random.default_rng(seed).normal(size=shape).astype("float32")

    def _seed(self, seed: int | None) -> int:
        return next_seed(self.seed_generator) if checks.seed("seed", seed) is None else seed

    def generate(
        self,
        noise: Any,
        labels: Any = None,
        steps: int | None = None,
        solver: str | None = None,
        guidance: float = 1.0,
        seed: int | None = None,
        path: str | None = None,
        decode: bool = True,
        batch_size: int = 256,
        tolerance: float = 1e-3,
        verbose: int = 0,
    ) -> np.ndarray:
        """Return the samples that given noise becomes.

        Args:
            noise: ε, `(n, …)`.
            labels: As in `sample`.
            steps: Number of steps; each is one call of the network, with Heun's solver two.
            solver: `"heun"` corrects each step by the field at its end; `"euler"` does not, which
                for diffusion is DDIM's step, `"ddim"`; `"ancestral"`, for diffusion, adds new noise
                in each step; `"adaptive"` takes steps as long as the tolerance allows.
            guidance: As in `sample`.
            seed: Seed of noise that a solver adds on the way.
            path: `"clean"` to return x̂ at each step, `"points"` to return x_s at each level, from
                the noise to the end.
            decode: If False, codes are returned even if there is an autoencoder.
            batch_size: Number of samples at a time. The worst of them decides how long the steps of
                the adaptive solver are.
            tolerance: Error of a step that the adaptive solver allows, in deviations of the data.
            verbose: If 1, a progress bar is shown.

        Returns:
            Array of shape `(n, …)`; `(n, steps, …)` for x̂; `(n, steps + 1, …)` for the points.
        """
        noise = checks.as_array("noise", noise)
        checks.check_array("noise", noise, self.code_shape, integers=False)
        run = self._solver(
            solver, steps, labels, len(noise), guidance, batch_size, verbose, tolerance
        )
        x, seed = np.asarray(ops.convert_to_numpy(noise), "float32"), self._seed(seed)
        if path is None:
            return self._shown(run.forward(x, seed), decode, batch_size)
        path = checks.one_of("path", path, ("clean", "points"))
        if run.kind == "adaptive":
            raise ValueError(f"`path` is {path!r}, expected a solver with a number of steps.")
        points, cleans = zip(*run.path(x, seed), strict=True)
        points = cleans if path == "clean" else [x * run.deviation, *points]
        shown = self._shown(np.concatenate(points), decode, batch_size)
        return np.moveaxis(shown.reshape(len(points), len(x), *shown.shape[1:]), 0, 1)

    def _solver(
        self, solver, steps, labels, count, guidance, batch_size, verbose=0, tolerance=1e-3
    ) -> Solver:
        solver = checks.one_of("solver", solver or self.solvers[0], self.solvers)
        steps = checks.whole_number("steps", self.steps if steps is None else steps)
        labels = inputs.one_hot(labels, count, self.classes)
        guidance = checks.not_negative("guidance", guidance)
        if guidance != 1 and self.classes is None:
            raise ValueError(
                f"`guidance` is {guidance}, expected 1: this model has no `classes` to guide to."
            )
        batch_size = checks.whole_number("batch_size", batch_size)
        tolerance = checks.between("tolerance", tolerance, 0, 1)
        return Solver(self, solver, steps, labels, guidance, batch_size, verbose, tolerance)

    def _place(self, s: float) -> tuple[float, float]:
        """Return a(s) and b(s) as numbers."""
        return tuple(
            float(ops.convert_to_numpy(value))
            for value in self.schedule.place(ops.convert_to_tensor(np.float32(s)))
        )

    def _shown(self, x: np.ndarray, decode: bool, batch_size: int) -> np.ndarray:
        """Return points of the path's end in the data's own units, decoded."""
        x = x * ops.convert_to_numpy(self.scale) + ops.convert_to_numpy(self.center)
        if self.interval is not None:
            x = x.clip(*self.interval)
        return self._decoded(x.astype("float32"), decode, batch_size)

    def to_noise(
        self, x: Any, labels: Any = None, steps: int = 40, batch_size: int = 256
    ) -> np.ndarray:
        """Return the noise that becomes these examples: the field, followed backwards.

        Args:
            x: Examples; with an autoencoder, what it encodes.
            labels: A label for each, if the model has classes.
            steps: Number of steps of Heun's solver.
            batch_size: Number of examples at a time.
        """
        x = self._standardized(x, labels, batch_size)
        run = self._solver("heun", steps, labels, len(x), 1.0, batch_size)
        return run.backward(x)

    def _standardized(self, x: Any, labels: Any, batch_size: int) -> np.ndarray:
        return np.asarray(self.view("_standard_codes")(self._inputs(x, labels), batch_size))

    def _standard_codes(self, x):
        return self._standard(self._codes_of(x))

    def interpolate(
        self, start: Any, end: Any, steps: int = 8, labels: Any = None, **options
    ) -> np.ndarray:
        """Generate examples between two others: from noise on the arc between their noises.

        Args:
            start: Examples at which the arcs begin, `(n, …)`.
            end: Examples at which they end, `(n, …)`.
            steps: Number of points on each arc, both ends included.
            labels: Labels of both, if the model has classes.
            **options: Further arguments of `generate`.

        Returns:
            Array of shape `(n, steps, …)`.
        """
        ends = [self.to_noise(x, labels) for x in (start, end)]
        checks.check_same_length(start=ends[0], end=ends[1])
        arcs = interpolation.spherical(*ends, steps)
        if self.classes is not None:
            labels = np.repeat(inputs.one_hot(labels, len(arcs), self.classes).argmax(1), steps)
        found = self.generate(arcs.reshape(-1, *self.code_shape), labels, **options)
        return found.reshape(*arcs.shape[:2], *found.shape[1:])
