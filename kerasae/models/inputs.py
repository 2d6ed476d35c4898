"""Inputs of a network: an array, a dict of arrays, or x and its one-hot label.

A dict holds, for example, the tokens of a text and their mask.
"""

from typing import Any

import keras
import numpy as np

from kerasae import checks
from kerasae.engine import arguments, graphs

Shape = tuple[int | None, ...]


def as_arrays(x: Any) -> Any:
    """Convert lists of numbers to arrays, also in a dict of inputs."""
    if isinstance(x, dict):
        return {name: checks.as_array(f"x[{name!r}]", value) for name, value in x.items()}
    return checks.as_array("x", x)


def check(x: Any, network: keras.Model, shape: Shape | None, unit_interval: bool) -> None:
    """Raise `ValueError` if a network does not take these examples.

    Args:
        x: An array, or a dict of arrays.
        network: The network.
        shape: Shape of an example, `None` if it is not known yet.
        unit_interval: If True, the values of an array must lie in [0, 1].
    """
    if not isinstance(x, dict):
        arguments.check_inputs("x", x, network, shape, unit_interval)
        return
    names = [tensor.name for tensor in network.inputs] if graphs.is_built(network) else []
    if names and sorted(names) != sorted(x):
        raise ValueError(f"`x` has entries {sorted(x)}, expected {sorted(names)}.")
    for name, value in x.items():
        checks.check_array(f"x[{name!r}]", value)
    checks.check_same_length(**{f"x[{name!r}]": value for name, value in x.items()})


def one_of(x: Any) -> Any:
    """Return one of the arrays, which has as many examples as the others."""
    return next(iter(x.values())) if isinstance(x, dict) else x


def symbolic(network: keras.Model, shape: Any) -> Any:
    """Return a network's symbolic input: a tensor or a dict of tensors.

    Args:
        network: The network.
        shape: Shape of a batch, or a dict of shapes; used if the network does not know its input.
    """
    if graphs.is_built(network):
        return graphs.input_of("encoder", network)
    if isinstance(shape, dict):
        return {name: keras.KerasTensor(each) for name, each in shape.items()}
    return keras.KerasTensor(shape)


def with_label(x: Any, label: Any) -> Any:
    """Return the input of a network: x, and the one-hot label if there is one."""
    return x if label is None else [x, label]


def one_hot(labels: Any, count: int, classes: int | None) -> np.ndarray | None:
    """Return one-hot labels for `count` samples; `None` if there are no classes.

    Args:
        labels: One label for all, one for each, or `None` for each class in turn.
        count: Number of samples.
        classes: Number of classes, or `None`.
    """
    if classes is None:
        if labels is not None:
            raise ValueError("`labels` are given, expected none: this model has no `classes`.")
        return None
    if labels is None:
        labels = np.arange(count) % classes
    return np.eye(classes, dtype="float32")[checks.label_of_each("labels", labels, count, classes)]
