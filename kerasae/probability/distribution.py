"""The base class of the distributions: shapes, and the divergence by samples."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae import checks
from kerasae.engine import platform
from kerasae.engine.noise import Seed

Tensor = Any
_SYMBOLIC = (keras.Variable, keras.KerasTensor)


class Distribution:
    """Base class of all distributions; `parameter` is the tensor that has the full shape."""

    continuous = True
    shaped_by = "mean"  # the argument that has the full shape

    def __init__(self, parameter: Tensor, event_axes: int | None) -> None:
        rank = len(parameter.shape)
        if rank == 0:
            raise ValueError(
                f"`{self.shaped_by}` of {type(self).__name__} is a number, expected a vector."
            )
        if event_axes is None:
            event_axes = max(rank - 1, 1)
        elif checks.whole_number("event_axes", event_axes) > rank:
            raise ValueError(
                f"`event_axes` is {event_axes}, expected at most {rank}, because the "
                f"parameters have the shape {tuple(parameter.shape)}."
            )
        self.event_axes = event_axes
        self.batch_shape = tuple(parameter.shape[:-event_axes])
        self.event_shape = tuple(parameter.shape[-event_axes:])

    def sample(self, count: int | None = None, seed: Seed = None) -> Tensor:
        """Draw one value for each example, or `count` of them along a new first axis."""
        raise NotImplementedError(f"{type(self).__name__} has no `sample`.")

    def _noise(self, draw: Callable, like: Tensor, count: int | None, seed: Seed) -> Tensor:
        """Draw noise in a tensor's shape, or `count` of them, by `noise.normal` or `noise.uniform`.

        A prior has no batch: there each sample counts as an example.
        """
        axis = 1 if count is not None and self.batch_shape else 0
        return draw(noise_shape(like, count), seed, axis)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density (log probability) of `value` in nats, a number per example."""
        raise NotImplementedError(f"{type(self).__name__} has no `log_prob`.")

    def kl(
        self,
        other: "Distribution",
        count: int = 100,
        seed: Seed = None,
        z: Tensor | None = None,
    ) -> Tensor:
        """Return KL(self‖other) in nats, one number for each example.

        If there is no closed form, it is the mean of log q(z) − log p(z) over z ~ q = self,
        which can be slightly negative if both are almost equal.

        Args:
            other: The distribution p, of the same event shape.
            count: Number of samples per example, if there is no closed form.
            seed: Seed of these samples.
            z: Samples of self, `(count, …)`, to use instead of new ones.
        """
        if not isinstance(other, Distribution):
            raise ValueError(f"`other` is of type {type(other).__name__}, expected a distribution.")
        if not _equal(self.event_shape, other.event_shape):
            raise ValueError(
                f"`other` has the event shape {other.event_shape}, expected {self.event_shape}."
            )
        if not broadcasts(self.batch_shape, other.batch_shape):
            raise ValueError(
                f"`other` has the batch shape {other.batch_shape}, expected one that broadcasts "
                f"with {self.batch_shape}."
            )
        exact = self._closed_kl(other)
        if exact is not None:
            return exact
        if not (self.continuous and other.continuous):
            raise ValueError(
                f"`other` is a {type(other).__name__}, expected a distribution over the same "
                f"values as {type(self).__name__}'s."
            )
        if z is None:
            z = self.sample(checks.whole_number("count", count), seed)
        for _ in range(len(other.batch_shape) - len(self.batch_shape)):
            z = z[:, None]  # every sample against the other's whole batch
        return ops.mean(self.log_prob(z) - other.log_prob(z), axis=0)

    def _closed_kl(self, other: "Distribution") -> Tensor | None:
        return None

    def _sum(self, values: Tensor) -> Tensor:
        """Sum over the axes of one example."""
        return ops.sum(values, axis=tuple(range(-self.event_axes, 0)))

    def _value(self, value: Tensor) -> Tensor:
        """Cast to float32 and check the shape: (n, 28, 28) − (n, 28, 28, 1) would broadcast."""
        value = float32(value)
        shape = tuple(value.shape)
        batch, event = shape[: -self.event_axes], shape[-self.event_axes :]
        if not (_equal(event, self.event_shape) and broadcasts(batch, self.batch_shape)):
            raise ValueError(
                f"`value` has the shape {shape}, expected one that ends in {self.event_shape}, "
                f"after axes that broadcast with {self.batch_shape}."
            )
        return value


# Tensors and shapes. A size of `None` is known only when the graph runs.


def numbers(name: str, value: Any, finite: bool = True) -> Tensor:
    """Return a parameter as a float32 tensor; raise `ValueError` if it does not hold numbers.

    The values of tensors are not looked at: a network may be about to compute them.
    """
    if ops.is_tensor(value):
        return float32(value)
    parts = keras.tree.flatten(value)
    if not any(ops.is_tensor(part) or isinstance(part, _SYMBOLIC) for part in parts):
        try:
            array = np.asarray(value)
        except ValueError:  # of unequal parts
            array = np.array(None)
        numeric = array.dtype.kind in "fiu" or array.dtype.name == "bfloat16"
        if not (numeric and array.size):
            raise ValueError(f"`{name}` is {value!r}, expected a tensor of numbers.")
        if np.isnan(array).any() or (finite and np.isinf(array).any()):
            raise ValueError(f"`{name}` holds NaN or infinite values, expected finite numbers.")
        value = array.astype("float32")  # JAX reads no whole number beyond int32
    return float32(value)


def float32(value: Any) -> Tensor:
    """Return the value as a tensor in float32."""
    return value if platform.is_float32(value) else ops.cast(value, "float32")


def broadcast_with(x: Tensor, other: Tensor) -> Tensor:
    """Broadcast x along the axes that only the other tensor has."""
    return x + ops.zeros_like(other)


def _equal(shape: tuple[int | None, ...], other: tuple[int | None, ...]) -> bool:
    return len(shape) == len(other) and all(
        a == b or a is None or b is None for a, b in zip(shape, other, strict=True)
    )


def broadcasts(shape: tuple[int | None, ...], other: tuple[int | None, ...]) -> bool:
    """Return whether the two shapes broadcast with each other."""
    pairs = zip(reversed(shape), reversed(other), strict=False)
    return all(a == b or None in (a, b) or 1 in (a, b) for a, b in pairs)


def check_fits(name: str, value: Tensor, target_name: str, target: Tensor) -> None:
    """Raise `ValueError` unless the value broadcasts to the target's shape."""
    shape, whole = tuple(value.shape), tuple(target.shape)
    pairs = zip(reversed(shape), reversed(whole), strict=False)
    if len(shape) > len(whole) or any(None not in (a, b) and a not in (1, b) for a, b in pairs):
        raise ValueError(
            f"`{name}` has the shape {shape}, expected one that broadcasts to the shape {whole} "
            f"of `{target_name}`."
        )


def noise_shape(like: Tensor, count: int | None) -> tuple[Any, ...]:
    """Return a tensor's shape, or that of `count` of them along a new first axis."""
    if not (count is None or ops.is_tensor(count)):  # a tensor is known only when the graph runs
        checks.whole_number("count", count)
    first = () if count is None else (count,)
    return (*first, *ops.shape(like))
