"""Keras's private names, each behind a function that says what it is for.

Each has a test that says what breaks when Keras changes, and does without where that is possible.
"""

import contextlib
from collections.abc import Iterator

import keras


def loss_tracker(model: keras.Model) -> keras.metrics.Mean:
    """Return the metric that Keras shows as `loss`."""
    return next(metric for metric in model.metrics if metric.name == "loss")


@contextlib.contextmanager
def whole_call(model: keras.Model) -> Iterator[None]:
    """Make all calls inside parts of one call of the model.

    Losses that layers added before are forgotten, and a layer that is called twice adds both.
    Without Keras's call context a network forgets at a call what its layers added at the last.
    """
    try:
        model._get_call_context()
    except AttributeError:
        yield
        return
    try:
        yield
    finally:
        model._maybe_reset_call_context()


def decays_all(optimizer: keras.optimizers.Optimizer, variables: list[keras.Variable]) -> bool:
    """Return whether an optimizer's weight decay is for all of some variables.

    Without the answer: no, and the optimizer takes its own step.
    """
    try:
        return all(optimizer._use_weight_decay(variable) for variable in variables)
    except AttributeError:
        return False


def is_nested(layer: keras.layers.Layer) -> bool:
    """Return whether the call that a layer is in is a part of another layer's call.

    Without Keras's call context: no, and what the layer would add to another model's loss is lost.
    """
    from keras.src.backend.common import global_state

    context = global_state.get_global_attribute("current_call_ctx")
    return context is not None and context.entry_layer is not layer


def adam_moments(
    optimizer: keras.optimizers.Optimizer, variables: list[keras.Variable]
) -> tuple[list[keras.Variable], list[keras.Variable]] | None:
    """Return the moments m and v that an Adam keeps of some variables.

    Without them the optimizer takes its own step.
    """
    try:
        index = [optimizer._get_variable_index(variable) for variable in variables]
        return tuple(
            [moments[i] for i in index] for moments in (optimizer._momentums, optimizer._velocities)
        )
    except (AttributeError, KeyError):
        return None


def called(model: keras.Model) -> None:
    """Mark a model that was built by its shapes as called, which `export` asks for."""
    model._called = True
