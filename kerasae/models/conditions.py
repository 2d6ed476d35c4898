"""Conditions c of a model of p(x|c): given beside the examples, and encoded for the networks.

    c̃ ~ C(c̃|c)    corruption: hides parts of a condition, in training only
    c′            the one-hot vector of a label; else c̃; of either the network's output, if any

The networks of the model take c′ as their second input: the encoder [x, c′], the decoder [z, c′].
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
from keras import ops

from kerasae import checks
from kerasae.engine import arguments, graphs

Tensor = Any
Shape = tuple[int | None, ...]

INPUTS = {"encoder": ("examples", "conditions"), "decoder": ("codes", "conditions")}
OUTPUTS = {"encoder": "code", "decoder": "reconstruction"}


class Conditioned(NamedTuple):
    """A batch with its encoded condition c′, computed once for all networks."""

    x: Tensor
    condition: Tensor  # c′
    image: Tensor | None  # the condition itself, if it is a part of x
    training: bool


class Conditions:
    """The conditions of a model: their checks and their encoding c′.

    Args:
        classes: Number of classes if conditions are labels, else `None`.
        network: A Keras model from the condition to c′, or `None`.
        corruption: C, a layer that acts in training only, or `None`.
        dtype: Type of one-hot vectors.
    """

    def __init__(
        self,
        classes: int | None,
        network: keras.Model | None,
        corruption: keras.layers.Layer | None,
        dtype: str,
    ) -> None:
        self.classes = None if classes is None else checks.whole_number("classes", classes, 2)
        if network is not None:
            arguments.network("condition_network", network)
        self.network = network
        self.corruption = arguments.layer("condition_corruption", corruption)
        if classes is not None and corruption is not None:
            raise ValueError(
                "`condition_corruption` is given with `classes`, expected conditions of numbers."
            )
        self.dtype = dtype

    def shape(self, encoded: Shape) -> Shape | None:
        """Return the shape of conditions, for c′ of this shape; `None` if it is not known yet."""
        if self.network is not None and not graphs.is_built(self.network):
            return None
        if self.classes is not None:
            return (None,)
        return encoded if self.network is None else self.network.input_shape

    def build(self, condition: keras.KerasTensor) -> keras.KerasTensor:
        """Build the layers and return c′."""
        if self.corruption is not None:
            self.corruption(condition)
        if self.classes is not None:
            condition = keras.KerasTensor((None, self.classes))
        return condition if self.network is None else self.network(condition)

    def corrupted(self, condition: Tensor, training: bool) -> Tensor:
        """Return c̃ ~ C(c̃|c) in training, else c."""
        if self.corruption is None:
            return condition
        return self.corruption(condition, training=training)

    def encoded(self, condition: Tensor, training: bool) -> Tensor:
        """Return c′."""
        if self.classes is not None:
            labels = ops.cast(ops.reshape(condition, (-1,)), "int32")
            condition = ops.one_hot(labels, self.classes, dtype=self.dtype)
        if self.network is not None:
            condition = self.network(condition, training=training)
        return condition

    def checked(self, condition: Any, shape: Shape | None) -> Any:
        """Return conditions as an array; raise `ValueError` for bad ones.

        Args:
            condition: Conditions, `(n, …)`.
            shape: Shape of one condition, `None` if it is not known yet.
        """
        condition = checks.as_array("condition", condition)
        if condition is None:
            raise ValueError("`condition` is None, expected one for each example.")
        if not checks.is_array(condition):
            kind = type(condition).__name__
            raise ValueError(f"`condition` is of type {kind}, expected one for each example.")
        if self.classes is not None:
            checks.check_labels("condition", condition, self.classes)
        else:
            arguments.check_inputs("condition", condition, self.network, shape)
        return condition


def split(x: Any) -> tuple[Any, Any]:
    """Return the examples and the conditions of a batch."""
    if isinstance(x, Conditioned):
        return x.x, x.condition
    if not isinstance(x, Mapping):
        raise ValueError(
            f"`x` is of type {type(x).__name__}, expected a dict of examples and conditions, "
            '`{"x": x, "condition": c}`.'
        )
    if set(x) != {"x", "condition"}:
        raise ValueError(f"`x` is a dict of {sorted(x)}, expected of 'x' and 'condition'.")
    return x["x"], x["condition"]


def check_two_inputs(name: str, network: keras.Model) -> None:
    """Raise `ValueError` if the encoder or decoder takes no condition."""
    if graphs.is_built(network) and len(network.inputs) != 2:
        pair = "[x, condition]" if name == "encoder" else "[code, condition]"
        raise ValueError(
            f"`{name}` takes {len(network.inputs)} input, expected two, {pair}, as networks of "
            "`kerasae.nets.conditional_mlp` do."
        )


def output_of(
    name: str, network: keras.Model, first: keras.KerasTensor, encoded: keras.KerasTensor
) -> keras.KerasTensor:
    """Build the encoder or decoder, and return its output.

    Args:
        name: `"encoder"` or `"decoder"`.
        network: The network.
        first: An example x or a code z.
        encoded: An encoded condition c′.
    """
    shapes = graphs.input_shape(network) or [first.shape, encoded.shape]
    for kind, tensor, expected in zip(INPUTS[name], (first, encoded), shapes, strict=True):
        if not checks.fits(tensor.shape[1:], expected[1:]):
            raise ValueError(
                f"`{name}` takes {kind} of shape {tuple(expected[1:])}, but is given {kind} of "
                f"shape {tuple(tensor.shape[1:])}: expected the same shape."
            )
    output = network([first, encoded])
    if not isinstance(output, keras.KerasTensor):
        raise ValueError(f"`{name}` gives {len(output)} outputs, expected one {OUTPUTS[name]}.")
    return output
