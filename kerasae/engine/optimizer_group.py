"""Several optimizers held as one: every player of a game has its own.

A model whose players minimize different losses,

    θ_i ← θ_i − update_i(∂L_i / ∂θ_i)        i = generator, discriminator, …

needs one optimizer state for each player, while Keras threads, saves and restores the variables
of one optimizer only. The group is that one. The θ_i may overlap: a variable that belongs to two
players (the encoder of an adversarial autoencoder) has moments with each.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras

from kerasae.engine import internals


def portable(config: Any) -> Any:
    """Return the config with Keras's optimizers under the module that every backend has."""
    if not isinstance(config, dict):
        return config
    config = {key: portable(value) for key, value in config.items()}
    if "module" in config:
        config["module"] = internals.portable_module(config["module"])
    return config


@keras.saving.register_keras_serializable("kerasae")
class OptimizerGroup(keras.optimizers.Optimizer):
    """One optimizer for each player, seen by Keras as a single optimizer.

    The variables of the group are those of its members in order, so every moment, iteration
    counter and loss scale is carried through compiled steps, saved, and restored.

    `learning_rate` reads as the first player's, and setting it sets every player's. Each player's
    own is `group[player].learning_rate`. Keras callbacks that know several optimizers
    (`LearningRateScheduler` and `ReduceLROnPlateau` in recent versions) treat each on its own and
    log it as `learning_rate_<player>`.

    Args:
        optimizers: player name → Keras optimizer (or its name); every optimizer is an object of
            its own and takes the player's name.
        name: name of the group.

    Example:

    ```python
    group = OptimizerGroup({"generator": "sgd", "discriminator": keras.optimizers.Adam(1e-4)})
    generator, discriminator = keras.layers.Dense(2), keras.layers.Dense(1)
    generator.build((None, 3))
    discriminator.build((None, 2))
    group.build(
        {
            "generator": generator.trainable_variables,
            "discriminator": discriminator.trainable_variables,
        }
    )
    group["discriminator"].learning_rate = 2e-4
    ```
    """

    def __init__(
        self, optimizers: Mapping[str, Any], name: str = "optimizer_group", **kwargs: Any
    ) -> None:
        super().__init__(learning_rate=0.0, name=name, **kwargs)
        members = {player: keras.optimizers.get(value) for player, value in optimizers.items()}
        if len({id(member) for member in members.values()}) < len(members):
            raise ValueError(
                f"`optimizers` shares one object among the players {', '.join(members)}: "
                "expected one object for each, or a single optimizer in `compile`, which is "
                "cloned for each."
            )
        for player, member in members.items():
            member.name = player
        self._members = members
        # Past Keras's tracker, which would count the models' variables as the optimizer's.
        object.__setattr__(self, "_built_with", {})
        # Keras builds an optimizer with a flat list; whoever knows the players says how it splits.
        self.split: Callable[[], Mapping[str, list[keras.Variable]]] | None = None

    @classmethod
    def cloned(cls, optimizer: Any, players: Iterable[str]) -> "OptimizerGroup":
        """Return a group with a fresh copy of one optimizer, or of its name, for each player."""
        optimizer = keras.optimizers.get(optimizer)
        make = type(optimizer).from_config
        return cls({player: make(optimizer.get_config() | {"name": player}) for player in players})

    def __getitem__(self, player: str) -> keras.optimizers.Optimizer:
        if player not in self._members:
            raise ValueError(
                f"player is {player!r}: expected one of {', '.join(map(repr, self._members))}."
            )
        return self._members[player]

    @property
    def players(self) -> tuple[str, ...]:
        """Return the players' names, in order."""
        return tuple(self._members)

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        """Return the players' optimizers, in order."""
        return list(self._members.values())

    @property
    def variables(self) -> list[keras.Variable]:
        """Return the state of every player's optimizer, in order."""
        return [variable for member in self.optimizers for variable in member.variables]

    def player_variables(self, player: str) -> list[keras.Variable]:
        """Return the variables that the player's optimizer was built with."""
        if player not in self._members:
            self[player]  # says what is wrong
        return self._built_with.get(player, [])

    def scale_losses(self) -> None:
        """Wrap every optimizer in a `LossScaleOptimizer`, which float16 gradients need.

        A player whose gradient overflows skips that step, and no other player does.
        """
        for player, member in self._members.items():
            if not isinstance(member, keras.optimizers.LossScaleOptimizer):
                scaled = keras.optimizers.LossScaleOptimizer(member, name=player)
                self._members[player] = scaled

    def build(self, variables: Mapping[str, list[keras.Variable]] | list[keras.Variable]) -> None:
        """Build every player's optimizer on that player's variables.

        Args:
            variables: player name → variables. A flat list, which is what Keras passes, is
                replaced by what `split` returns.
        """
        if self.built:
            return
        if not isinstance(variables, Mapping):
            if self.split is None:
                raise ValueError(
                    f"`variables` is a {type(variables).__name__}: expected a mapping from each "
                    f"of the players {', '.join(self.players)} to its variables."
                )
            variables = self.split()
        if set(variables) != set(self.players):
            raise ValueError(
                f"`variables` names the players {', '.join(variables) or 'none'}: "
                f"expected {', '.join(self.players)}."
            )
        for player, member in self._members.items():
            if variables[player]:  # else it is frozen, and takes no step
                member.build(list(variables[player]))
            self._built_with[player] = list(variables[player])
        self.built = True

    def finalize_variable_values(self, var_list: list[keras.Variable] | None = None) -> None:
        """Let every player's optimizer write its final values (averages, with `use_ema`).

        Args:
            var_list: ignored: every optimizer knows its own variables.
        """
        for player, member in self._members.items():
            member.finalize_variable_values(self.player_variables(player))

    @property
    def learning_rate(self) -> Any:
        """Return the first player's learning rate; setting it sets every player's."""
        return self.optimizers[0].learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        for member in self.optimizers:
            member.learning_rate = learning_rate

    @property
    def iterations(self) -> Any:
        """Return the number of steps of the first player."""
        return self.optimizers[0].iterations

    def save_own_variables(self, store: Any) -> None:
        """Store nothing: Keras finds the players' optimizers and saves each under its own path."""

    def load_own_variables(self, store: Any) -> None:
        """Load nothing, as nothing is stored here."""

    def get_config(self) -> dict[str, Any]:
        """Return the config: the name and every player's serialized optimizer."""
        return {
            "name": self.name,
            "optimizers": {
                player: portable(keras.saving.serialize_keras_object(member))
                for player, member in self._members.items()
            },
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> "OptimizerGroup":
        """Return the group that the config describes, its state fresh."""
        optimizers = {
            player: keras.saving.deserialize_keras_object(member, custom_objects=custom_objects)
            for player, member in config["optimizers"].items()
        }
        return cls(**{**config, "optimizers": optimizers})
