"""Encoders f and decoders g, mirrored; generators and discriminators.

    h = f(x)    encoder: from the input to the code
    x̂ = g(h)    decoder: from the code to the reconstruction

Every function returns plain Keras models that can be trained, saved and cut separately; `mlp` and
`convolutional` return the pair (f, g), where g mirrors f.
"""

from kerasae.nets.causal import causal_transformer
from kerasae.nets.conditional import conditional_mlp
from kerasae.nets.convolutional import (
    convolutional,
    convolutional_decoder,
    convolutional_encoder,
)
from kerasae.nets.dcgan import dcgan_discriminator, dcgan_generator
from kerasae.nets.levels import residual_mlp, unet
from kerasae.nets.masked import masked_convolutional
from kerasae.nets.mlp import mlp, mlp_decoder, mlp_encoder

__all__ = [
    "causal_transformer",
    "conditional_mlp",
    "convolutional",
    "convolutional_decoder",
    "convolutional_encoder",
    "dcgan_discriminator",
    "dcgan_generator",
    "masked_convolutional",
    "mlp",
    "mlp_decoder",
    "mlp_encoder",
    "residual_mlp",
    "unet",
]
