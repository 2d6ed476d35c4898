"""Toy sets with a known truth: patterns, planes, Gaussians, mixtures, curves and photographs.

    one-hot patterns         x = eᵢ
    points near a plane      x = A z + ε          A orthonormal, 3×2
    correlated Gaussian      x ~ N(0, Σ)          Σᵢᵢ = 1, whatever the correlation
    mixture of Gaussians     p(x) = Σₖ πₖ N(x; μₖ, σₖ² I)
    circle, spiral, roll     x = c(t) + ε         t uniform along the curve
    natural-image patches    x = E (Λ + ε I)^(−½) Eᵀ p

Samples are float32 and depend on the seed alone; row i does not depend on the number of rows.
Densities, scores and distances are the reference of experiments and stay in float64.
"""

from kerasae.datasets.toys.curves import (
    SPIRAL_TURNS,
    circle,
    distance_to_circle,
    distance_to_spiral,
    spiral,
    spiral_curve,
    swiss_roll,
)
from kerasae.datasets.toys.gaussians import (
    PLANE,
    Mixture,
    correlated_covariance,
    correlated_gaussian,
    eigenvalue_tail,
    gaussian,
    iid_gaussian,
    line,
    plane,
    ring,
)
from kerasae.datasets.toys.patterns import identity
from kerasae.datasets.toys.photographs import LUMA, patches

__all__ = [
    "LUMA",
    "PLANE",
    "SPIRAL_TURNS",
    "Mixture",
    "circle",
    "correlated_covariance",
    "correlated_gaussian",
    "distance_to_circle",
    "distance_to_spiral",
    "eigenvalue_tail",
    "gaussian",
    "identity",
    "iid_gaussian",
    "line",
    "patches",
    "plane",
    "ring",
    "spiral",
    "spiral_curve",
    "swiss_roll",
]
