"""Which layers of a pretrained network are trained: fixed ones, and gradual unfreezing.

    stage 0        the head alone, on the fixed encoder
    stage s        the head and the encoder's upper s · k layers
    last stage     everything

Howard & Ruder, "Universal language model fine-tuning for text classification" (2018).
"""

import math
from typing import Any

import keras

from kerasae import checks
from kerasae.engine import graphs


def freeze(network: keras.Model, fixed: str | int | None) -> None:
    """Set `trainable` of a network and of every layer in it.

    Args:
        network: The network.
        fixed: The layers that are not trained: `None` for none; `"all"`; a layer's name for this
            layer and all before it; or a number n for the first n layers that have weights, or, if
            n is negative, for all but the last −n.
    """
    layers = graphs.layers_of(network)
    count = _fixed_count(fixed, layers)
    graphs.set_trainable(network, fixed != "all")
    for index, layer in enumerate(layers):
        graphs.set_trainable(layer, index >= count)


def _fixed_count(fixed: str | int | None, layers: list[keras.layers.Layer]) -> int:
    """Return the number of layers, from the input on, that are fixed."""
    if fixed is None:
        return 0
    if isinstance(fixed, str):
        if fixed == "all":
            return len(layers)
        return layers.index(graphs.named("fixed", fixed, layers)) + 1
    weighted = [index for index, layer in enumerate(layers) if layer.weights]
    if isinstance(fixed, bool) or not isinstance(fixed, int):
        raise ValueError(f"`fixed` is {fixed!r}, expected 'all', None, a layer's name or a number.")
    if abs(fixed) > len(weighted):
        raise ValueError(
            f"`fixed` is {fixed}, but `encoder` has {len(weighted)} layers with weights, "
            f"expected a number from {-len(weighted)} to {len(weighted)}."
        )
    count = fixed if fixed >= 0 else len(weighted) + fixed
    return weighted[count - 1] + 1 if count else 0


def fit_gradually(
    model: Any, x: Any, y: Any = None, epochs: int = 1, layers: int = 1, **kwargs
) -> keras.callbacks.History:
    """Train the head alone, then with more and more of the encoder, from the top down.

    Stage 0 trains the head with the encoder fixed, stage s the head and the encoder's upper
    `s · layers` layers that have weights, the last stage everything. Each stage is a separate
    `fit` with a new optimizer of the same settings (see `fix`): a learning-rate schedule starts
    again, and callbacks see one training per stage, with consecutive epoch numbers. For other
    stages call `fix` and `fit` in turn.

    Args:
        model: A compiled `kerasae.Classifier`.
        x: Examples, or a stream that can be read more than once.
        y: Labels.
        epochs: Number of epochs of each stage.
        layers: Number of layers that each stage adds.
        **kwargs: Further arguments of `fit`.

    Returns:
        One history of all stages.
    """
    checks.whole_number("epochs", epochs)
    checks.whole_number("layers", layers)
    if not model.built:
        raise ValueError("The encoder has no weights yet, expected a pretrained one.")
    count = sum(bool(layer.weights) for layer in graphs.layers_of(model.encoder))
    whole = keras.callbacks.History()
    whole.set_model(model)
    whole.on_train_begin()
    for stage in range(1 + math.ceil(count / layers)):
        free = stage * layers
        model.fix("all" if free == 0 else None if free >= count else -free)
        start = stage * epochs
        part = model.fit(x, y, epochs=start + epochs, initial_epoch=start, **kwargs)
        whole.epoch += part.epoch
        for name, values in part.history.items():
            whole.history.setdefault(name, []).extend(values)
    model.history = whole
    return whole
