"""The prior p(z|c) of a conditional model: learned, fixed, or none.

    "learned"    p(z|c) = N(μ(c′), σ(c′)²), from a network
    "fixed"      p(z|c) = p(z), the same for every c
    "none"       the loss omits KL(q(z|x, c)‖p(z|c)); samples have z ~ N(0, I)

c′ is the encoded condition. The network gives μ and log σ².
"""

from typing import Any

import keras

from kerasae import nets
from kerasae.engine import arguments
from kerasae.probability import posteriors, priors
from kerasae.probability.distribution import Distribution

Tensor = Any

KINDS = ("learned", "fixed", "none")
DIAGONAL = posteriors.Diagonal()  # a learned prior has the form of a posterior


def kind_and_prior(prior: Any) -> tuple[str, priors.Prior | None]:
    """Return one of `KINDS`, and the prior that is fixed if it is given."""
    if isinstance(prior, priors.PseudoInputs):
        raise ValueError(
            "`prior` is PseudoInputs, which have no conditions, expected 'learned', 'fixed', "
            "'none', or another of `kerasae.priors`."
        )
    if isinstance(prior, priors.Prior):
        return "fixed", prior
    if not isinstance(prior, str) or prior not in KINDS:
        raise ValueError(
            f"`prior` is {prior!r}, expected 'learned', 'fixed', 'none', or one of "
            "`kerasae.priors`."
        )
    return prior, None


def check_arguments(kind: str, network: keras.Model | None, importance_samples: int) -> None:
    """Raise `ValueError` if a prior of this kind cannot have the other arguments."""
    if network is not None:
        arguments.network("prior_network", network)
        if kind != "learned":
            raise ValueError(
                f"`prior_network` is given with the prior {kind!r}, expected 'learned'."
            )
    if kind == "none" and importance_samples > 1:
        raise ValueError(
            f"`importance_samples` is {importance_samples} with the prior 'none', "
            "expected 1: without p(z|c) samples have no weights."
        )


def network_for(
    network: keras.Model | None, encoded: keras.KerasTensor, code: keras.KerasTensor
) -> keras.Model:
    """Return the network of a learned prior, built for these conditions and codes.

    Args:
        network: The caller's network, or `None` for one hidden layer.
        encoded: An encoded condition c′.
        code: A code.
    """
    numbers = (*code.shape[1:-1], 2 * code.shape[-1])  # μ and log σ²
    if network is None:
        if len(code.shape) != 2:
            raise ValueError(
                f"`prior_network` is None, but codes have the shape {tuple(code.shape[1:])}, "
                "expected a network that gives maps, for a learned prior of these."
            )
        network = nets.mlp_encoder(encoded.shape[1:], numbers[0], name="prior_network")
    shape = tuple(network(encoded).shape[1:])
    if shape != numbers:
        raise ValueError(
            f"`prior_network` gives numbers of shape {shape}, expected {numbers}: μ and log σ² "
            "of a code."
        )
    return network


def normal(parameters: Tensor) -> Distribution:
    """Return N(μ, σ²) from the output of a learned prior's network, μ and log σ²."""
    return DIAGONAL.distribution(parameters)
