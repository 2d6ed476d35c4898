"""Measures of the units of a code: preferred inputs, sparseness, saturation.

    x* = arg max h_j(x),  ‖x‖ = 1        the input that most excites unit j; for h = φ(xW + b)
                                         with a rising φ it is W_j / ‖W_j‖
    S = (1 − (mean |h|)² / mean h²) / (1 − 1/n)
                                         Treves–Rolls sparseness of n numbers, scaled to [0, 1]
    h(1 − h) ≈ 0                         a saturated unit, in a corner of the code's cube

Ng, "Sparse autoencoder", CS294A lecture notes (2011); Rolls & Tovee, "Sparseness of the neuronal
representation of stimuli in the primate temporal visual cortex" (1995); Vinje & Gallant, "Sparse
coding and decorrelation in primary visual cortex during natural vision" (2000).
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from kerasae import checks
from kerasae.engine import arguments, derivatives, graphs, internals
from kerasae.evaluation.pairs import vectors


def first_layer_features(encoder: keras.Model) -> np.ndarray:
    """Return the inputs of norm 1 that most excite the units of the first layer, W_j / ‖W_j‖.

    Args:
        encoder: Encoder whose first layer, after layers that only reshape or act in training only,
            is a `keras.layers.Dense` with a rising activation: sigmoid, tanh, ReLU, linear, …

    Returns:
        Array of shape `(units, …input)`; 0 for a unit without weights.

    Example:

    >>> from kerasae import nets
    >>> first_layer_features(nets.mlp_encoder((8, 8, 1), code_size=2, units=(30,))).shape
    (30, 8, 8, 1)
    """
    shape = _input_shape(encoder, None)
    first = _first_acting(encoder)
    dense = isinstance(first, keras.layers.Dense) and first.activation in _RISING
    if not dense or first.kernel.shape[0] != math.prod(shape):
        raise ValueError(
            f"`encoder` begins with {first!r}, expected a `keras.layers.Dense` with a rising "
            "activation that takes the whole input (for any other, `most_exciting`)."
        )
    return _normalised(ops.convert_to_numpy(first.kernel).T).reshape(-1, *shape)


def most_exciting(
    encoder: keras.Model,
    units: Sequence[int] | None = None,
    starts: int = 8,
    steps: int = 100,
    seed: int = 0,
    every_start: bool = False,
    input_shape: tuple[int, ...] | None = None,
    batch_size: int = 1024,
) -> np.ndarray:
    """Find the inputs of norm 1 that most excite units of a code, by projected gradient ascent.

    From random points of the unit sphere, x ← P(x + η ∇h_j/‖∇h_j‖), where P scales to norm 1.
    A step that does not raise h_j is undone; η doubles after each step that does, and halves
    after each that does not. If the last activation is known to be rising, its input is maximized
    instead of its output: the maximizer is the same, and no unit is saturated or off.

    Args:
        encoder: Any encoder; each number of its code is a unit.
        units: Positions of the units in the flattened code, or `None` for all.
        starts: Number of starting points for each unit.
        steps: Number of steps from each starting point.
        seed: Seed of the starting points.
        every_start: If True, return the result of each start, not only the best.
        input_shape: Shape of one input, if the encoder does not know it.
        batch_size: Number of inputs at a time.

    Returns:
        Array of shape `(units, …input)`, or `(units, starts, …input)`, the best first.

    Example:

    >>> from kerasae import nets
    >>> encoder = nets.mlp_encoder((8, 8, 1), 5, units=(), code_activation="sigmoid")
    >>> inputs = most_exciting(encoder)
    >>> inputs.shape, bool(np.abs(inputs - first_layer_features(encoder)).max() < 1e-2)
    ((5, 8, 8, 1), True)
    """
    shape = _input_shape(encoder, input_shape)
    function = _before_last_activation(encoder)
    count = math.prod(function(np.zeros((1, *shape), "float32")).shape[1:])
    units = np.arange(count) if units is None else checks.to_numpy("units", units)
    if units.dtype.kind not in "iu" or units.ndim != 1 or not np.isin(units, range(count)).all():
        raise ValueError(f"`units` is {units!r}, expected whole numbers from 0 to {count - 1}.")
    starts, steps = checks.whole_number("starts", starts), checks.whole_number("steps", steps)
    every_start = checks.flag("every_start", every_start)
    generator = np.random.default_rng(checks.whole_number("seed", seed, least=0))
    points = generator.normal(size=(len(units) * starts, *shape))
    targets = np.repeat(units, starts)
    inputs, heights = [], []
    for start in range(0, len(points), checks.whole_number("batch_size", batch_size)):
        batch = slice(start, start + batch_size)
        ends, height = _climb(function, points[batch], targets[batch], steps)
        inputs.append(ends)
        heights.append(height)
    inputs = np.concatenate(inputs).reshape(len(units), starts, *shape)
    order = np.argsort(-np.concatenate(heights).reshape(len(units), starts), axis=1, kind="stable")
    inputs = inputs[np.arange(len(units))[:, None], order]
    return inputs if every_start else inputs[:, 0]


class ActivationStatistics(NamedTuple):
    """Statistics of the units of a code; see `activation_statistics`."""

    mean: np.ndarray
    inactive: np.ndarray
    dead: np.ndarray
    lifetime_sparseness: np.ndarray
    active: np.ndarray
    population_sparseness: np.ndarray


def activation_statistics(
    codes: np.ndarray, inactive: float = 0.0, tolerance: float = 0.0
) -> ActivationStatistics:
    """Measure the activity of each unit over the examples, and of each code over the units.

    Sparseness is Treves–Rolls', S = (1 − (mean |a|)² / mean a²) / (1 − 1/n) with a the code less
    its inactive value: 0 if all n numbers are equally active, 1 if a single one is. It is also 0
    if none is active.

    Args:
        codes: Codes of at least two examples, `(n, …)`; flattened to one vector per example.
        inactive: Value of an inactive unit: 0, or −1 for tanh codes.
        tolerance: Greatest distance from it of an inactive unit; 0 counts exact values only, as
            ReLU, L1 and top-k make them.

    Returns:
        For each unit, `(units,)`: its `mean` activation, the share of examples at which it is
        `inactive`, whether it is `dead` (inactive at all of them), `lifetime_sparseness` over the
        examples. For each example, `(n,)`: the share of units that are `active`,
        `population_sparseness` over the units.

    Example:

    >>> codes = np.array([[0.0, 1.0, 0.0], [2.0, 1.0, 0.0]])
    >>> statistics = activation_statistics(codes)
    >>> statistics.mean.tolist(), statistics.dead.tolist()
    ([1.0, 1.0, 0.0], [False, False, True])
    >>> statistics.lifetime_sparseness.tolist(), statistics.inactive.tolist()
    ([1.0, 0.0, 0.0], [0.5, 0.0, 1.0])
    """
    codes = vectors("codes", codes)
    if len(codes) < 2:
        raise ValueError(f"`codes` has shape {codes.shape}, expected at least two examples.")
    activity = np.abs(codes - checks.between("inactive", inactive, -np.inf, np.inf))
    off = activity <= checks.not_negative("tolerance", tolerance)
    return ActivationStatistics(
        mean=codes.mean(axis=0),
        inactive=off.mean(axis=0),
        dead=off.all(axis=0),
        lifetime_sparseness=_sparseness(activity, axis=0),
        active=1 - off.mean(axis=1),
        population_sparseness=_sparseness(activity, axis=1),
    )


def saturation(
    codes: np.ndarray, interval: tuple[float, float] = (0, 1), margin: float = 0.05
) -> float:
    """Return the share of a code's numbers that lie near the corners of its cube.

    With s = (h − low) / (high − low), a number is near if s(1 − s) < m(1 − m), that is if s lies
    within m of 0 or 1.

    Args:
        codes: Codes within the interval, `(n, …)`.
        interval: Ends `(low, high)` of a unit's range: `(-1, 1)` for tanh codes.
        margin: Margin m, between 0 and ½.

    Returns:
        The share, from 0 to 1; evenly spread activations have 2m.

    Example:

    >>> saturation(np.array([[0.01, 0.5], [0.97, 0.9]]))
    0.5
    """
    low, high = checks.interval("interval", interval)
    margin = checks.between("margin", margin, 0, 0.5)
    codes = vectors("codes", codes)
    share = (codes - low) / (high - low)
    if share.min() < -1e-6 or share.max() > 1 + 1e-6:
        raise ValueError(
            f"`codes` holds values from {np.min(codes):.4g} to {np.max(codes):.4g}, expected "
            f"values in the `interval` {(low, high)}."
        )
    return float(np.mean(share * (1 - share) < margin * (1 - margin)))


def _climb(function: Any, x: np.ndarray, units: np.ndarray, steps: int):
    """Return the results of projected gradient ascent from x, and the activations there."""
    axes = (-1,) + (1,) * (x.ndim - 1)

    def unit(x):
        codes = ops.reshape(function(x, training=False), (len(units), -1))
        return ops.take_along_axis(codes, units[:, None], axis=1)[:, 0]

    def height(x):
        return ops.convert_to_numpy(unit(ops.convert_to_tensor(x))).astype("float32")

    x = _normalised(x)
    reached, rate = height(x), np.ones(len(x), "float32")
    for _ in range(steps):
        slope = ops.convert_to_numpy(derivatives.gradient(unit, ops.convert_to_tensor(x)))
        candidate = _normalised(x + rate.reshape(axes) * _normalised(slope))
        higher = height(candidate)
        better = higher > reached
        x = np.where(better.reshape(axes), candidate, x)
        reached = np.where(better, higher, reached)
        rate = np.where(better, 2 * rate, rate / 2)
    return x, reached


def _normalised(x: np.ndarray) -> np.ndarray:
    """Divide each example by its norm; an example of norm 0 stays 0."""
    norm = np.sqrt((x.astype("float64") ** 2).sum(axis=tuple(range(1, x.ndim)), keepdims=True))
    return (x / np.where(norm > 0, norm, 1)).astype("float32")


# Functions that never fall: their output rises with their input, or stays.
_RISING = [
    getattr(keras.activations, name)
    for name in (
        "linear sigmoid hard_sigmoid tanh hard_tanh softsign relu relu6 leaky_relu elu selu "
        "softplus exponential"
    ).split()
]


# Layers whose activation is their last operation; that of a recurrent layer is inside.
_ACTIVATE_LAST = (
    keras.layers.Activation,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Dense,
    keras.layers.EinsumDense,
)


def _before_last_activation(encoder: keras.Model) -> keras.Model:
    """Return the encoder without its last activation, if that is known to rise."""
    if not graphs.is_built(encoder):
        return encoder
    layer, (source, *_) = internals.origin(encoder.outputs[0])
    if not isinstance(layer, _ACTIVATE_LAST) or layer.activation not in _RISING:
        return encoder
    linear = type(layer).from_config({**layer.get_config(), "activation": "linear"})
    outputs = linear(source)
    linear.set_weights(layer.get_weights())
    return keras.Model(encoder.inputs[0], outputs)


def _first_acting(encoder: keras.Model) -> Any:
    """Return the first layer that is more than a new shape or noise in training."""
    layers = keras.layers
    passing = (layers.InputLayer, layers.Flatten, layers.Reshape, layers.Dropout)
    for layer in encoder.layers:
        if isinstance(layer, keras.Model):
            return _first_acting(layer)
        if not isinstance(layer, (*passing, layers.GaussianNoise)):
            return layer
    return None


def _input_shape(encoder: keras.Model, shape: Any) -> tuple[int, ...]:
    """Return the shape of one input, given or known by the encoder."""
    arguments.network("encoder", encoder)
    if shape is not None:
        return checks.sizes("input_shape", shape)
    known = tuple(encoder.input_shape[1:]) if graphs.is_built(encoder) else None
    if known is None or None in known:
        raise ValueError(f"`encoder` takes inputs of shape {known}, expected sizes that are known.")
    return known


def _sparseness(activity: np.ndarray, axis: int) -> np.ndarray:
    """Return (1 − (mean a)² / mean a²) / (1 − 1/n), 0 if all are 0."""
    n = activity.shape[axis]
    square = np.mean(activity**2, axis=axis)
    ratio = np.where(square > 0, activity.mean(axis=axis) ** 2 / np.where(square > 0, square, 1), 1)
    return (1 - ratio) / (1 - 1 / n) if n > 1 else np.zeros_like(ratio)
