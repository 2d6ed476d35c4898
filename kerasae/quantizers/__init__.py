"""Layers that turn a code into one of finitely many: nearest codewords and rounded numbers.

    q = argmin_e ‖z − e‖        over a codebook, or the grid of rounded numbers
    ∂q/∂z := I                  straight through: the gradient passes as if q = z

Each is a Keras layer for anybody's network, and the `quantizer` of a
`kerasae.VectorQuantizedAutoencoder`. It gives vectors, and their indices as whole numbers; its
`vectors` turns indices back.
"""

from kerasae.quantizers.codebook import VectorQuantizer
from kerasae.quantizers.quantizer import Quantized, Quantizer
from kerasae.quantizers.residual import ResidualQuantizer
from kerasae.quantizers.scalar import FiniteScalarQuantizer
from kerasae.quantizers.usage import perplexity, usage

__all__ = [
    "FiniteScalarQuantizer",
    "Quantized",
    "Quantizer",
    "ResidualQuantizer",
    "VectorQuantizer",
    "perplexity",
    "usage",
]
