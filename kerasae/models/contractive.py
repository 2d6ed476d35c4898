"""The contractive autoencoder: a code that is insensitive to small changes of the input.

    L(x, g(f(x))) + λ ‖∂f(x)/∂x‖²_F

The penalty alone would make every singular value of ∂f/∂x zero. The reconstruction term preserves
those of the directions in which the data vary, which are tangent to the data's manifold (see
`kerasae.evaluation.manifold`).

Rifai et al., "Contractive auto-encoders: explicit invariance during feature extraction" (2011).
"""

from typing import Any

import keras

from kerasae import penalties
from kerasae.models.autoencoder import Autoencoder
from kerasae.penalties import Contractive


@keras.saving.register_keras_serializable("kerasae")
class ContractiveAutoencoder(Autoencoder):
    """The contractive autoencoder, which minimizes L(x, g(f(x))) + λ ‖∂f(x)/∂x‖²_F.

    The norm is a sum over the whole code and the whole input, while Keras's losses average over
    the pixels: choose λ accordingly.

    Args:
        encoder: f, a Keras model from the input to the code. For dense layers the norm has a
            closed form.
        decoder: g, a Keras model from the code to the reconstruction.
        weight: λ, at least 0.
        method: `"exact"`, or `"projections"` for an estimate from random directions.
        projections: Number of directions for each example, with `"projections"`.
        seed: Seed of the directions, or `None`.
        corruption: C, as in `Autoencoder`; the norm is then computed at x̃.
        penalty: Further penalties, added to the norm, as in `Autoencoder`.

    Example:

    >>> import numpy as np
    >>> from kerasae import ContractiveAutoencoder, nets
    >>> networks = nets.mlp((28, 28, 1), code_size=100, units=(), code_activation="sigmoid")
    >>> model = ContractiveAutoencoder(*networks, weight=1e-3)
    >>> model.compile(optimizer="adam", loss="binary_crossentropy")
    >>> x = np.random.default_rng(0).random((64, 28, 28, 1), dtype="float32")
    >>> history = model.fit(x, epochs=1, verbose=0)
    >>> sorted(history.history)
    ['loss', 'penalty', 'reconstruction']
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        weight: float = 1e-3,
        method: str = "exact",
        projections: int = 1,
        seed: int | None = None,
        *,
        corruption: keras.layers.Layer | None = None,
        penalty: Any = None,
        **kwargs,
    ) -> None:
        own = Contractive(weight, method, projections, seed)
        every = [own, *penalties.get("penalty", penalty)]
        super().__init__(encoder, decoder, corruption, every, **kwargs)
