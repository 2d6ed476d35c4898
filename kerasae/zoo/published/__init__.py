"""The published results.

Each is a function from `Work` to numbers over the public API; the decorator holds its data.
`python -m kerasae reproduce NAME` runs one on the real MNIST.
"""

from kerasae.zoo.published import (
    deterministic,
    discrete,
    paths,
    pretraining,
    retrieval,
    variational,
)
from kerasae.zoo.published.result import RESULTS, find

__all__ = [
    "RESULTS",
    "deterministic",
    "discrete",
    "find",
    "paths",
    "pretraining",
    "retrieval",
    "variational",
]
