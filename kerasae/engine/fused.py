"""Adam's step on PyTorch in one pass over the weights, on the Keras optimizer's own state.

    m ← β₁m + (1 − β₁)g,   v ← β₂v + (1 − β₂)g²,
    θ ← θ − η/(1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε_t)

Keras's Adam makes eight passes, each with tensors of its own. It adds ε outside the bias correction
of v, PyTorch inside: with ε_t = ε / √(1 − β₂ᵗ) both are the same arithmetic. The moments stay where
Keras keeps them, so that saving, loading and resuming see nothing new.
"""

import math
import weakref
from typing import Any, NamedTuple

import keras
import torch
from torch.optim.adam import adam

from kerasae.engine import internals

Tensor = Any
_PREPARED: Any = weakref.WeakKeyDictionary()  # optimizer → its tensors


class _Prepared(NamedTuple):
    """The optimizer's tensors for some variables."""

    parameters: list[Tensor]
    momentums: list[Tensor]
    velocities: list[Tensor]
    steps: list[Tensor]  # t − 1 for each parameter, as PyTorch counts


def apply(optimizer: Any, gradients: list[Tensor], variables: list[keras.Variable]) -> bool:
    """Take the step of an Adam or AdamW without extras; return whether it was taken."""
    if not _plain(optimizer) or any(gradient is None for gradient in gradients):
        return False
    prepared = _prepared(optimizer, variables)
    if prepared is None:
        return False
    step = int(optimizer.iterations.value)
    for counter in prepared.steps:
        counter.fill_(step)
    decay = optimizer.weight_decay
    adam(
        prepared.parameters,
        [gradient.contiguous() for gradient in gradients],
        prepared.momentums,
        prepared.velocities,
        [],
        prepared.steps,
        fused=True,
        decoupled_weight_decay=decay is not None,
        amsgrad=False,
        beta1=optimizer.beta_1,
        beta2=optimizer.beta_2,
        lr=float(optimizer.learning_rate),
        weight_decay=decay or 0.0,
        eps=optimizer.epsilon / math.sqrt(1 - optimizer.beta_2 ** (step + 1)),
        maximize=False,
    )
    for variable in variables:
        if variable.constraint is not None:
            variable.assign(variable.constraint(variable))
    optimizer.iterations.value.add_(1)
    return True


def _plain(optimizer: Any) -> bool:
    """Return whether it is Keras's own Adam or AdamW, and does nothing else."""
    kind = type(optimizer)
    return (
        isinstance(optimizer, keras.optimizers.Adam)  # AdamW is one
        and kind.__name__ in ("Adam", "AdamW")
        and kind.__module__.startswith("keras.")
        and not (optimizer.amsgrad or optimizer.use_ema or optimizer.gradient_accumulation_steps)
        and optimizer.clipnorm is None
        and optimizer.clipvalue is None
        and optimizer.global_clipnorm is None
        and optimizer.loss_scale_factor is None
    )


def _prepared(optimizer: Any, variables: list[keras.Variable]) -> _Prepared | None:
    """Return the tensors, collected again only if a variable's tensor was replaced."""
    prepared = _PREPARED.get(optimizer)
    if prepared is not None and len(prepared.parameters) == len(variables):
        same = zip(prepared.parameters, variables, strict=True)
        if all(parameter is internals.tensor(variable) for parameter, variable in same):
            return prepared
    moments = internals.adam_moments(optimizer, variables)
    if moments is None:
        return None
    if optimizer.weight_decay and not internals.decays_all(optimizer, variables):
        return None
    parameters = [variable.value for variable in variables]
    if not all(p.dtype is torch.float32 and p.is_contiguous() for p in parameters):
        return None
    steps = [torch.zeros((), device=parameter.device) for parameter in parameters]
    momentums, velocities = ([each.value.data for each in part] for part in moments)
    _PREPARED[optimizer] = prepared = _Prepared(parameters, momentums, velocities, steps)
    return prepared
