"""What a path says of given examples: their density, what is below their noise, and their parts.

    log p(x) = log p(noise) + ∫ div(dx_s/ds) ds           along the way from the data to the noise
    x̂ = E[x|x̃],  x̃ = x + σε                               one call of the network
    x_s ← m (a(s) x + b(s) ε) + (1 − m) x_s               what is known of x, m, stays what it is

Song et al., "Score-based generative modeling through stochastic differential equations" (2021);
Lugmayr et al., "RePaint: Inpainting using denoising diffusion probabilistic models" (2022).
"""

import math
from typing import Any

import numpy as np
from keras import ops

from kerasae import checks
from kerasae.models.path_sampler import PathSampler

EXACT = 64  # up to so many numbers an example, the divergence is a sum over all of them


class PathInference(PathSampler):
    """Base class of models of a path, with all that they are used for."""

    def log_prob(
        self,
        x: Any,
        labels: Any = None,
        steps: int = 100,
        probes: int | None = None,
        errors: bool = False,
        seed: int = 0,
        batch_size: int = 256,
    ) -> Any:
        """Return log p(x) in nats, or log p(x|y); with an autoencoder, that of x's code.

        Args:
            x: Examples; with an autoencoder, what it encodes.
            labels: A label for each, if the model has classes.
            steps: Number of steps of Heun's solver.
            probes: Number of random directions for the divergence; by default it is exact for up to
                64 numbers an example, and takes one direction for more.
            errors: If True, estimates of the errors are returned too: the difference from half as
                many steps, and the standard error over the directions, which needs two.
            seed: Seed of the directions.
            batch_size: Number of examples at a time.

        Returns:
            Array `(n,)`, or two of them.
        """
        x, shape = self._standardized(x, labels, batch_size), self.code_shape
        if probes is None and math.prod(shape) > EXACT:
            probes = 1
        directions = None
        if probes is not None:
            checks.whole_number("probes", probes)
            random = np.random.default_rng(checks.seed("seed", seed))
            directions = random.choice([-1.0, 1.0], size=(len(x), probes, *shape)).astype("float32")
        fine = self._density(x, labels, steps, directions, batch_size)
        values = fine.mean(axis=1)
        if not errors:
            return values
        coarse = self._density(x, labels, max(steps // 2, 1), directions, batch_size)
        spread = np.zeros_like(values)
        if directions is not None:
            with np.errstate(invalid="ignore", divide="ignore"):  # NaN for one direction
                spread = fine.std(axis=1) / np.sqrt(fine.shape[1] - 1)
        return values, np.hypot(values - coarse.mean(axis=1), spread)

    def _density(self, x, labels, steps, directions, batch_size):
        """Return log p(x), `(n, directions)`."""
        run = self._solver("heun", steps, labels, len(x), 1.0, batch_size)
        begun, gained = run.density(x, directions)
        scale = float(ops.convert_to_numpy(self.scale))
        volume = math.prod(self.code_shape) * math.log(scale)
        return self._log_start(begun, run.levels[0])[:, None] + gained - volume

    def _log_start(self, x: np.ndarray, s: float) -> np.ndarray:
        """Return the log density of where the path begins, N(0, a² + b²) for data of variance 1."""
        a, b = self._place(s)
        variance, size = a**2 + b**2, math.prod(self.code_shape)
        squares = np.sum(x.astype("float64") ** 2, axis=tuple(range(1, x.ndim)))
        return -squares / (2 * variance) - size / 2 * math.log(2 * math.pi * variance)

    def denoise(
        self, x: Any, noise: Any, labels: Any = None, guidance: float = 1.0, batch_size: int = 256
    ) -> np.ndarray:
        """Return x̂, the estimate of E[x|x̃] for x̃ = x + σε; with an autoencoder, of codes.

        Args:
            x: Noisy examples x̃, `(n, …)`.
            noise: σ, in the data's own units: one number, or one for each example.
            labels: A label for each, if the model has classes.
            guidance: As in `sample`.
            batch_size: Number of examples at a time.
        """
        x = checks.as_array("x", x)
        self.check_codes("x", x)
        sigma = checks.as_array("noise", [noise] if np.ndim(noise) == 0 else noise)
        checks.check_array("noise", sigma, ())
        sigma = np.asarray(ops.convert_to_numpy(sigma), "float32")
        if len(sigma) not in (1, len(x)) or not (sigma > 0).all():
            raise ValueError(
                f"`noise` is {checks.as_text(noise)}, expected a positive number, or one for each "
                "example."
            )
        scale = ops.convert_to_numpy(self.scale)
        x = (ops.convert_to_numpy(x) - ops.convert_to_numpy(self.center)) / scale
        sigma = np.broadcast_to(sigma / scale, (len(x),)).reshape(-1, *[1] * (x.ndim - 1))
        s = np.asarray(ops.convert_to_numpy(self.schedule.at(ops.convert_to_tensor(sigma))))
        a, _ = self.schedule.place(ops.convert_to_tensor(s))
        run = self._solver("heun", 1, labels, len(x), guidance, batch_size)
        point = (x * ops.convert_to_numpy(a)).astype("float32")
        clean, _ = run.batches("readings", (point, s))
        return self._shown(clean, False, batch_size)

    def inpaint(
        self,
        x: Any,
        known: Any,
        labels: Any = None,
        steps: int = 50,
        repeats: int = 4,
        guidance: float = 1.0,
        seed: int | None = None,
        batch_size: int = 256,
    ) -> np.ndarray:
        """Draw what is unknown of examples, given what is known.

        Each step sets the known part to x with noise of the step's level. So that the rest agrees
        with it, noise is added again and the step repeated.

        Args:
            x: Examples, `(n, …)`; unknown numbers may be anything finite.
            known: True where a number is known; broadcasts to x's shape.
            labels: A label for each, if the model has classes; `None` for each class in turn.
            steps: Number of steps.
            repeats: How often each step is taken.
            guidance: As in `sample`.
            seed: Seed of the noise; `None` for a new draw each time.
            batch_size: Number of examples at a time.
        """
        if self.autoencoder is not None:
            raise ValueError(
                "`x` is inpainted through an `autoencoder`, expected a model of the examples "
                "themselves: a code has no parts that are known."
            )
        checks.whole_number("repeats", repeats)
        x = checks.as_array("x", x)
        self.check_codes("x", x)
        known = np.asarray(ops.convert_to_numpy(known)).astype(bool)
        try:
            known = np.broadcast_to(known, x.shape)
        except ValueError:
            raise ValueError(
                f"`known` has shape {known.shape}, expected one that broadcasts to {x.shape}."
            ) from None
        z = np.asarray(self.view("_standard_codes")(x, batch_size))
        run = self._solver(self.solvers[1], steps, labels, len(x), guidance, batch_size)
        filled = self._shown(run.filled(z, known, repeats, self._seed(seed)), False, batch_size)
        return np.where(known, ops.convert_to_numpy(x), filled)
