"""The field of a path, and steps along it, as functions of tensors that an engine compiles.

f(x_s, s) = ȧ(s) x̂ + ḃ(s) ε̂
Euler         x_r = a(r) x̂ + b(r) ε̂                   DDIM's step
Heun          x_r = x_s + (r − s) ½ (f(x_s, s) + f(y, r)),  y = x_s + (r − s) f(x_s, s)
ancestral     x_r = x̂ + r²/s ε̂ + r √(1 − r²/s²) z,  z ~ N(0, I)          for noise levels
guidance      the network's output without a label, plus w times what the label adds

A condition is a tuple: a one-hot label or `None`, and w where it is not 1.
"""

import math
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from kerasae.engine import derivatives

if TYPE_CHECKING:
    from kerasae.models.path_model import PathModel

Tensor = Any


class Field:
    """The field of a model, and the steps along it, as functions of tensors.

    Args:
        model: The model.
        network: Its network, or the one with averaged weights.
    """

    def __init__(self, model: "PathModel", network: keras.Model) -> None:
        self.model, self.network = model, network

    def readings(self, condition: tuple, x: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """Return x̂ and ε̂."""
        model, s = self.model, ops.reshape(s, (-1, *[1] * (len(x.shape) - 1)))
        label, *guidance = condition
        output = model._output(self.network, x, s, label)
        if guidance:
            without = model._output(self.network, x, s, ops.zeros_like(label))
            output = without + guidance[0] * (output - without)
        return model.clean(x, s, output), model.noisy(x, s, output)

    def field(self, condition: tuple, x: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """Return dx_s/ds, and x̂."""
        clean, noise = self.readings(condition, x, s)
        a, b = self.model.schedule.slopes(s)
        return a * clean + b * noise, clean

    def euler(self, condition, x, s, r):
        """Return x_r and x̂."""
        clean, noise = self.readings(condition, x, s)
        return self.model.schedule.point(clean, noise, r), clean

    def ancestral(self, condition, x, fresh, s, r):
        """Return x_r ~ p(x_r|x_s, x = x̂), and x̂."""
        clean, noise = self.readings(condition, x, s)
        kept, new = ancestral(s, r)
        return clean + kept * noise + new * fresh, clean

    def heun(self, condition, x, s, r):
        """Return x_r and x̂."""
        slope, clean = self.field(condition, x, s)
        y = x + (r - s) * slope
        again, _ = self.field(condition, y, r)
        return x + (r - s) * (slope + again) / 2, clean

    def slope(self, condition, x, u):
        """Return dx/du at the time u of an adaptive solver."""
        s, rate = self.model.schedule.timed(u)
        return rate * self.field(condition, x, s)[0]

    def attempt(self, condition, x, first, u, length, tolerance):
        """Return x after a step of Bogacki and Shampine's, dx/du there, and the error.

        The error is relative to the tolerance: the root of the mean square over an example's
        numbers, of the worst example.
        """
        second = self.slope(condition, x + length / 2 * first, u + length / 2)
        third = self.slope(condition, x + 3 * length / 4 * second, u + 3 * length / 4)
        after = x + length * (2 * first + 3 * second + 4 * third) / 9
        last = self.slope(condition, after, u + length)
        error = length * (-5 * first / 72 + second / 12 + third / 9 - last / 8)
        error = error / (tolerance * (1 + ops.maximum(ops.abs(x), ops.abs(after))))
        axes = tuple(range(1, len(x.shape)))
        return after, last, ops.max(ops.sqrt(ops.mean(ops.square(error), axis=axes)))

    def density(self, condition, x, directions, s, r):
        """Return x_r by Heun's step, and vᵀ∫(∂f/∂x)v for each direction v, `(n, k)`."""
        slope, first = self.divergence(condition, x, directions, s)
        again, second = self.divergence(condition, x + (r - s) * slope, directions, r)
        gained = self.model.schedule.integral(first, second, s, r)
        return x + (r - s) * (slope + again) / 2, gained

    def exact_density(self, condition, x, s, r):
        """Return x_r by Heun's step, and the integral of the divergence, `(n, 1)`."""
        size = math.prod(x.shape[1:])
        axes = ops.reshape(ops.eye(size), (1, size, *x.shape[1:]))
        axes = ops.repeat(axes, ops.shape(x)[0], axis=0)
        x, parts = self.density(condition, x, axes, s, r)
        return x, ops.sum(parts, axis=1, keepdims=True)

    def divergence(self, condition, x, directions, s):
        """Return the field, and vᵀ(∂f/∂x)v for each direction v, `(n, k, …)`."""
        count = directions.shape[1]

        def repeated(value):
            return value if value is None else ops.repeat(value, count, axis=0)

        label, *guidance = condition
        condition = repeated(label), *guidance
        flat = ops.reshape(directions, (-1, *x.shape[1:]))
        value, moved = derivatives.directional(
            lambda x: self.field(condition, x, s)[0], repeated(x), flat
        )
        products = ops.sum(flat * moved, axis=tuple(range(1, len(x.shape))))
        field = ops.reshape(value, (-1, *directions.shape[1:]))[:, 0]
        return field, ops.reshape(products, (-1, count))


def ancestral(s: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
    """Return the factors of ε̂ and of new noise in a step from the noise s to the noise r.

    p(x_r|x_s, x) is the normal distribution with the mean x + (r²/s) ε̂ and the deviation
    r √(1 − r²/s²): DDPM's posterior of x_{t−1}, divided by √ᾱ.

    Example:

    >>> [round(float(value), 3) for value in ancestral(ops.ones(()), ops.ones(()) / 2)]
    [0.25, 0.433]
    """
    return r**2 / s, r * ops.sqrt(ops.maximum(1 - r**2 / s**2, 0.0))
