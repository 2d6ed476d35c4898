"""The reproductions of published numbers.

Each is a function from `Work` to numbers over the public API; the decorator holds its data.
`python -m kerasae reproduce NAME` runs one on the real MNIST.
"""

from kerasae.zoo.reproductions import deterministic, pretraining, retrieval, variational
from kerasae.zoo.reproductions.registry import REPRODUCTIONS, find

__all__ = ["REPRODUCTIONS", "deterministic", "find", "pretraining", "retrieval", "variational"]
