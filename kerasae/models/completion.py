"""Completion of an image from its visible part: structured output of a conditional model.

    c = (visible pixels of x, mask)                 `kerasae.corruptions.hide` makes it
    log p(x|z, c) = Σ_{i hidden} log p(x_i|z, c)    the visible pixels have probability 1

The decoder gives the parameters of all pixels; those of visible pixels are not used.

Sohn, Lee & Yan, "Learning structured output representation using deep conditional generative
models" (2015).
"""

from typing import Any

from keras import ops

from kerasae import checks
from kerasae.probability.distribution import Distribution

Tensor = Any
Shape = tuple[int | None, ...]


class Completed(Distribution):
    """p(x|z, c) if c is the visible part of x: it has probability 1, the rest follows `inner`.

    Args:
        inner: Distribution of each pixel, visible or hidden; it sums over the channels alone.
        decoded: The decoder's output.
        event_axes: Number of axes of one example.
        condition: The visible pixels of x, and as the last channel the mask, 1 for a visible pixel.
    """

    def __init__(self, inner: Distribution, decoded: Tensor, event_axes: int, condition: Tensor):
        super().__init__(decoded, event_axes)
        condition = ops.cast(condition, "float32")
        self.inner = inner
        self.pixels, self.visible = condition[..., :-1], condition[..., -1:] > 0.5

    def log_prob(self, value):
        hidden = ops.cast(ops.logical_not(self.visible[..., 0]), "float32")
        axes = tuple(range(1 - self.event_axes, 0))
        return ops.sum(hidden * self.inner.log_prob(value), axis=axes)  # Σ over hidden pixels

    @property
    def mean(self):
        return ops.where(self.visible, self.pixels, self.inner.mean)

    def sample(self, count=None, seed=None):
        return ops.where(self.visible, self.pixels, self.inner.sample(count, seed))


def check_condition(condition: Shape, output: Shape) -> None:
    """Raise `ValueError` if a condition of this shape is no visible part of an output's shape."""
    if len(output) < 2 or not checks.fits(condition, (*output[:-1], output[-1] + 1)):
        raise ValueError(
            f"`complete` is True, but conditions have the shape {tuple(condition)} and examples "
            f"{tuple(output)}, expected images with one more channel, as "
            "`kerasae.corruptions.hide` makes them."
        )
