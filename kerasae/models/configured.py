"""What a model is made of, and its files: the constructor's arguments are the configuration."""

import dataclasses
import inspect
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from kerasae import presets
from kerasae.engine.randomness import random_states

RANDOM = "random"  # the name under which a file holds the state of the random numbers


@dataclasses.dataclass
class Aside:
    """A model's state that Keras must neither track nor save."""

    arguments: dict[str, Any]  # of the constructor
    compiled: dict[str, Any] = dataclasses.field(default_factory=dict)  # arguments of `compile`
    loss: keras.metrics.Mean | None = None  # the metric `loss`
    variables: dict[str, list[keras.Variable]] = dataclasses.field(default_factory=dict)
    views: dict[str, Any] = dataclasses.field(default_factory=dict)


class Constructed(type(keras.Model)):
    """Metaclass that finishes a model after the last line of its class's constructor."""

    def __call__(cls, *args, **kwargs):
        model = super().__call__(*args, **kwargs)
        model.finish(_arguments(cls, args, kwargs))
        return model


class Configured(keras.Model, metaclass=Constructed):
    """A `keras.Model` that knows its constructor's arguments, and saves them with its weights."""

    def finish(self, arguments: dict[str, Any]) -> None:
        """Take the arguments, after the last line of the constructor."""
        object.__setattr__(self, "aside", Aside(arguments))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, with networks and other Keras objects serialized."""
        serialize = keras.saving.serialize_keras_object
        base = {"name": self.name, "trainable": self.trainable, "dtype": self.dtype_policy}
        config = {**base, **self.aside.arguments}
        return {name: serialize(value) for name, value in config.items()}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects=None) -> Self:
        """Make a model from `get_config()`, its networks included."""
        return cls(
            **{
                name: keras.saving.deserialize_keras_object(value, custom_objects)
                for name, value in config.items()
            }
        )

    def save_own_variables(self, store: Any) -> None:
        """Save the model's own variables and the state of the random numbers, which Keras omits."""
        super().save_own_variables(store)
        states = [ops.convert_to_numpy(state) for state in random_states(self)]
        if states:
            store[RANDOM] = np.stack(states).astype("int64")

    def load_own_variables(self, store: Any) -> None:
        """Load the variables and the random state, so that training resumes with the next noise."""
        states = random_states(self)
        if RANDOM in store.keys() and len(store[RANDOM]) == len(states):
            for state, saved in zip(states, np.asarray(store[RANDOM]), strict=True):
                state.assign(saved)
        super().load_own_variables({key: store[key] for key in store.keys() if key != RANDOM})

    def save_to_preset(self, folder: str | Path, dtype: str = "float32") -> None:
        """Write `config.json`, `metadata.json` and `model.weights.h5` to `folder`.

        Args:
            folder: A new folder, or the folder of an earlier preset.
            dtype: Type of the weights on disk: `"float16"` halves the size and keeps three
                digits.
        """
        presets.save(self, folder, dtype)

    @classmethod
    def from_preset(cls, name: str | Path) -> Self:
        """Read a model of this class or of a subclass.

        Args:
            name: A preset of the zoo (`kerasae.zoo.presets()` lists them), a folder that
                `save_to_preset` wrote, or `hf://owner/name` on the Hugging Face hub.
        """
        return presets.load(cls, name)


def _arguments(cls: type, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the constructor's arguments of a model, defaults included.

    An argument that a constructor passes on to its parent has the parent's default.
    """
    arguments: dict[str, Any] = {}
    for parent in cls.__mro__:
        if parent is Configured:
            break
        if "__init__" not in vars(parent):
            continue
        parameters = list(inspect.signature(parent.__init__).parameters.values())[1:]
        named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        for parameter in named:
            if parameter.default is not parameter.empty:
                arguments.setdefault(parameter.name, parameter.default)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
    signature = inspect.signature(cls.__init__)
    first, *_ = signature.parameters  # the model itself
    for name, value in signature.bind(None, *args, **kwargs).arguments.items():
        handed_on = signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
        arguments |= value if handed_on else {name: value}
    del arguments[first]
    for name in ("name", "trainable", "dtype"):  # Keras's own arguments, which it may have changed
        arguments.pop(name, None)
    return arguments
