"""Ω(h, x): what a code costs beside its reconstruction error.

Any `keras.regularizers` is an Ω(h): L1 is the sparse penalty λ‖h‖₁, which is −log of a Laplace
prior. Here are those that need more than one example's code. Each returns its average over the
batch, and several at once are a list of them.
"""

from typing import Any

import keras

from kerasae import checks


class Penalty(keras.layers.Layer):
    """A layer that turns a batch of codes into one number, called `(code, x, encoder=encoder)`.

    Always in float32: a sum over a code overflows half precision.

    Args:
        weight: λ or β, what the penalty is multiplied by; at least 0.
    """

    def __init__(self, weight: float, **kwargs) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.weight = checks.not_negative("weight", weight)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weight": self.weight}
