"""What adversarial games share: losses, the gradient penalty, the logit, and given noise.

    D(x) = σ(a(x))    discriminator: the probability that x is real; a is its logit
    J(D)              from a(x) of real and a(G(z)) of generated examples
    J(G)              from a(G(z)) alone

With one-sided label smoothing s, the target of D for real examples is 1 − s.

Goodfellow, "NIPS 2016 tutorial: generative adversarial networks" (2016); Salimans et al.,
"Improved techniques for training GANs" (2016), for the smoothing; Mao et al., "Least squares
generative adversarial networks" (2017); Lim & Ye, "Geometric GAN" (2017); Arjovsky, Chintala &
Bottou, "Wasserstein GAN" (2017); Gulrajani et al., "Improved training of Wasserstein GANs" (2017).
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import ops

from kerasae import checks
from kerasae.engine import calls, derivatives, noise
from kerasae.models import inputs

Tensor = Any


# J(D) of each pair of logits, a(x) of a real and a(G(z)) of a generated example.


def cross_entropy(real: Tensor, fake: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return −½ [(1 − s) log D(x) + s log(1 − D(x))] − ½ log(1 − D(G(z))), D = σ(a)."""
    # −log σ(a) = softplus(−a), and −log(1 − σ(a)) = softplus(a) = a + softplus(−a).
    return 0.5 * (ops.softplus(-real) + smoothing * real + ops.softplus(fake))


def least_squares(real: Tensor, fake: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return ½ (a(x) − (1 − s))² + ½ a(G(z))²."""
    return 0.5 * (ops.square(real - (1 - smoothing)) + ops.square(fake))


def hinge(real: Tensor, fake: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return max(0, 1 − a(x)) + max(0, 1 + a(G(z)))."""
    return ops.relu(1 - real) + ops.relu(1 + fake)


def wasserstein(real: Tensor, fake: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return a(G(z)) − a(x), without the penalty λ (‖∇a(x̂)‖ − 1)²."""
    return fake - real


def gradient_penalty(
    logit: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, seed: noise.Seed
) -> Tensor:
    """Return (‖∇a(x̂)‖ − 1)²,  x̂ = εx + (1 − ε) G(z),  ε ~ U(0, 1).

    Args:
        logit: a, a function of a batch of examples.
        real: Examples x.
        fake: Samples G(z), as many.
        seed: Source of ε.
    """
    count, ones = ops.shape(real)[0], (1,) * (len(real.shape) - 1)
    mix = noise.uniform((count, *ones), seed)
    gradient = derivatives.gradient(logit, mix * real + (1 - mix) * fake)
    square = ops.sum(ops.square(ops.reshape(gradient, (count, -1))), axis=1)
    return ops.square(ops.sqrt(square + 1e-12) - 1)  # the root has no derivative at 0


@dataclasses.dataclass(frozen=True)
class Loss:
    """J(D) and J(G) of each example, and the meaning of the logit.

    Args:
        discriminator: J(D), a function of a(x), a(G(z)) and s.
        generator: J(G), a function of a(G(z)).
        smooths: If True, labels can be smoothed; else s has no effect.
        probability: If True, σ(a) is a probability; else a is a score.
        penalty: The function that J(D) adds λ times, with the arguments of `gradient_penalty`, or
            `None`.
    """

    discriminator: Callable[[Tensor, Tensor, float], Tensor]
    generator: Callable[[Tensor], Tensor]
    smooths: bool = True
    probability: bool = True
    penalty: Callable[..., Tensor] | None = None

    def score(self, logit: Tensor) -> Tensor:
        """Return D = σ(a) if it is a probability, else a."""
        return ops.sigmoid(logit) if self.probability else logit


LOSSES = {
    # −J(D), without the term that G does not influence: ½ log(1 − D(G(z)))
    "minimax": Loss(cross_entropy, lambda fake: -0.5 * ops.softplus(fake)),
    # −½ log D(G(z))
    "non_saturating": Loss(cross_entropy, lambda fake: 0.5 * ops.softplus(-fake)),
    # −½ e^a = −½ D / (1 − D), which at the best D is −½ p/q. Above a = 40, −½ e⁴⁰: otherwise e^a
    # would overflow at a = 88, and the square of its gradient, which Adam computes, from a = 46 on.
    "maximum_likelihood": Loss(cross_entropy, lambda fake: -0.5 * ops.exp(ops.minimum(fake, 40.0))),
    # ½ (a(G(z)) − 1)²
    "least_squares": Loss(
        least_squares, lambda fake: 0.5 * ops.square(fake - 1), probability=False
    ),
    # −a(G(z))
    "hinge": Loss(hinge, lambda fake: -fake, smooths=False, probability=False),
    "wasserstein": Loss(
        wasserstein, lambda fake: -fake, smooths=False, probability=False, penalty=gradient_penalty
    ),
}


def get(name: str, loss: str) -> Loss:
    """Return the loss that an argument names."""
    return LOSSES[checks.one_of(name, loss, tuple(LOSSES))]


def logit(discriminator: keras.Model, x: Tensor, label: Tensor | None, training: bool) -> Tensor:
    """Return a of each example, `(n,)`, in float32; D also takes the one-hot label, if given."""
    a = calls.call(discriminator, inputs.with_label(x, label), training)
    return ops.reshape(ops.cast(a, "float32"), (-1,))


def examples_and_noise(x: Any) -> tuple[Any, Any]:
    """Return the examples, and z if the data are a dict, else `None`."""
    if not isinstance(x, Mapping):
        return x, None
    if set(x) != {"x", "z"}:
        raise ValueError(f"`x` has the entries {sorted(x)}, expected 'x' and 'z'.")
    return x["x"], x["z"]


def checked_examples(x: Any, shape: tuple[int | None, ...] | None) -> Any:
    """Return the examples; check z, which has this shape, if it is given beside them."""
    x, z = examples_and_noise(x)
    if z is not None:
        checks.check_array("z", z, shape)
        checks.check_same_length(x=x, z=z)
    return x
