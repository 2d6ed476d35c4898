"""Networks and autoencoders that a model of a path takes: checks of their shapes."""

from typing import Any

import keras

from kerasae import checks
from kerasae.engine import graphs
from kerasae.nets.levels import Frequencies


def shape_of(network: keras.Model, classes: int | None) -> tuple[int, ...]:
    """Return the shape of the examples that a network takes with their level."""
    expected = 2 if classes is None else 3
    if not graphs.is_built(network) or len(network.inputs) != expected:
        what = "[x, level]" if classes is None else "[x, level, one-hot label]"
        raise ValueError(f"`network` is {network.name!r}, expected one that takes {what}.")
    shapes = [tuple(each.shape[1:]) for each in network.inputs]
    if shapes[1:] != [(1,), (classes,)][: expected - 1]:
        raise ValueError(
            f"`network` takes {shapes[1:]} beside examples, expected a level, (1,)"
            + ("." if classes is None else f", and a one-hot label, ({classes},).")
        )
    output = tuple(network.output_shape[1:])
    if None in shapes[0] or output != shapes[0]:
        raise ValueError(
            f"`network` takes examples of shape {shapes[0]} and gives {output}, expected the same "
            "shape, of known sizes."
        )
    return shapes[0]


def takes_one_level(network: keras.Model) -> bool:
    """Return whether a network takes one level for all examples, as those of `nets` do."""
    return any(isinstance(layer, Frequencies) for layer in getattr(network, "layers", ()))


def check_autoencoder(autoencoder: Any, shape: tuple[int, ...]) -> None:
    """Raise `ValueError` unless an autoencoder has codes of that shape, and is trained."""
    if not hasattr(autoencoder, "between") or not autoencoder.built:
        raise ValueError(
            f"`autoencoder` is {checks.as_text(autoencoder)}, expected a built autoencoder."
        )
    found = autoencoder._shape("code")
    if found != shape:
        raise ValueError(
            f"`autoencoder` has codes of shape {found}, but `network` takes {shape}: expected the "
            "same."
        )
