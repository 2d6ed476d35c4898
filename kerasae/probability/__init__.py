"""Distributions, and the layers that make them: p(z), q(z|x) and p(x|z).

    Normal        N(μ, diag σ²)        Bernoulli      pixels that are on or off, by logits
    FullNormal    N(μ, BBᵀ)            Categorical    one of several classes, by logits
    Mixture       Σ_c π_c N(μ_c, σ_c²) Laplace        |x − μ| in place of (x − μ)²

Each distribution holds the tensors that a network gives for a batch, and has the methods

    sample      z = g(ε): a function of the parameters, so that gradients pass through it
    log_prob    log p(z) in nats, one number for each example
    kl          KL(q‖p) = E_q[log q − log p], in closed form if there is one, else the mean
                over samples

All numbers are float32 under every precision policy, because float16 ends at 65504.

`priors`, `posteriors` and `likelihoods` hold the layers that make them in a model.

Shapes. The last `event_axes` axes of the parameters are one example; `log_prob` and `kl` sum
over them. By default they are all axes but the first, which is the batch's, and at least one.
Axes before them broadcast: with parameters `(n, d)`, `sample(k)` has the shape `(k, n, d)`, and
`log_prob` of these samples the shape `(k, n)`. Parameters that have a sample axis already,
`(k, n, 28, 28, 1)`, need `event_axes=3`, and then accept images `(n, 28, 28, 1)`.
"""

from kerasae.probability.discrete import Bernoulli, Categorical
from kerasae.probability.distribution import Distribution
from kerasae.probability.laplace import Laplace
from kerasae.probability.mixture import Mixture
from kerasae.probability.normal import FullNormal, Normal, triangular

__all__ = [
    "Bernoulli",
    "Categorical",
    "Distribution",
    "FullNormal",
    "Laplace",
    "Mixture",
    "Normal",
    "triangular",
]
