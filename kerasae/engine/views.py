"""A part of a model as a network of its own, to predict with: compiled, and batch by batch."""

from collections.abc import Callable
from typing import Any

import keras


class View(keras.Model):
    """A function of a model's networks, with the model's variables.

    Args:
        model: The model.
        function: Takes a batch and returns tensors.
    """

    def __init__(self, model: keras.Model, function: Callable[[Any], Any]) -> None:
        super().__init__(autocast=False)  # the networks inside cast their inputs
        self.model = model
        object.__setattr__(self, "function", function)  # past Keras's tracker
        self.built = True

    def call(self, x):
        return self.function(x)
