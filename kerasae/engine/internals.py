"""Keras's private names, each behind a function that says what it is for.

Each has a test that says what breaks when Keras changes, and does without where that is possible.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras

try:
    from keras.src.backend.common.stateless_scope import in_stateless_scope as _in_stateless_scope
except ImportError:
    _in_stateless_scope = None

# The attribute in which `fit` keeps a model's state between two steps on JAX. If Keras calls it
# otherwise, a step takes a tenth of a millisecond more.
STATE_OF_JAX = "_jax_state"


def loss_tracker(model: keras.Model) -> keras.metrics.Mean:
    """Return the metric that Keras shows as `loss`."""
    return next(metric for metric in model.metrics if metric.name == "loss")


def tensor(variable: keras.Variable | None) -> Any:
    """Return a variable's own tensor on PyTorch, where a step asks for some forty.

    Without Keras's attribute, `value`: it first looks for a scope, a dtype and a device.
    """
    own = getattr(variable, "_value", None)
    return own if own is not None or variable is None else variable.value


def in_stateless_scope() -> bool:
    """Return whether variables have other values than their own just now.

    Without Keras's answer: yes, and everything is computed by Keras's own calls.
    """
    return _in_stateless_scope is None or _in_stateless_scope()


@contextlib.contextmanager
def whole_call(model: keras.Model) -> Iterator[None]:
    """Make all calls inside parts of one call of the model.

    Losses that layers added before are discarded, and a layer that is called twice adds both.
    Without Keras's call context a network discards at a call the losses of the call before.
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
    """Return whether the call that a layer is in is a part of another model's.

    On JAX a model in training does not announce its own call, but runs in a stateless scope.
    Without Keras's call context: no, and what the layer would add to another's loss is lost.
    """
    if _in_stateless_scope is None:
        return False
    try:
        from keras.src.backend.common.global_state import get_global_attribute

        context = get_global_attribute("current_call_ctx")
        return context is not None and (context.entry_layer is not layer or _in_stateless_scope())
    except (ImportError, AttributeError):
        return False


def origin(tensor: keras.KerasTensor) -> tuple[keras.Operation, list[keras.KerasTensor]]:
    """Return the operation that computed a symbolic tensor, and its inputs."""
    operation, node, _ = tensor._keras_history
    return operation, operation._inbound_nodes[node].input_tensors


def call_of(network: keras.Model, layer: keras.layers.Layer) -> Any:
    """Return the call of a layer in a network's graph, with `input_tensors` and `outputs`.

    A network inside has an `output` of its own, from when it was made.
    """
    graph = getattr(network, "_functional", None) or network  # a Sequential holds its graph
    calls = (node for nodes in graph._nodes_by_depth.values() for node in nodes)
    return next(node for node in calls if node.operation is layer)


def adapters() -> Any:
    """Return the module of Keras's adapters of arrays and of data sets, to make streams of.

    Without them data go to Keras as they are, and TensorFlow begins each epoch anew.
    """
    try:
        from keras.src.trainers.data_adapters import array_data_adapter, py_dataset_adapter

        return array_data_adapter, py_dataset_adapter
    except ImportError:
        return None


def portable_module(module: Any) -> Any:
    """Return the module under which every backend knows an object of Keras.

    On PyTorch optimizers are instances of subclasses that other backends cannot import.
    """
    return "keras.optimizers" if str(module).startswith("keras.src.backend.torch") else module


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


def mark_called(model: keras.Model) -> None:
    """Mark a model that was built by its shapes as called, which `export` asks for."""
    model._called = True


def without_values() -> list[keras.Variable]:
    """Return the variables of this thread that were made without values.

    Without Keras's list: none, and only models that can be built whole are compared with a file.
    """
    try:
        from keras.src.backend.common.global_state import get_global_attribute
    except ImportError:
        return []
    return get_global_attribute("uninitialized_variables") or []
