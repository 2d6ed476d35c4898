"""The sparse autoencoder: a large code of which each input activates few units.

    L(x, g(f(x))) + Ω(h)

        Ω(h) = λ ‖h‖₁                   `keras.regularizers.L1`: −log of a Laplace prior, + const
        Ω(h) = β Σ_j KL(ρ ‖ ρ̂_j)        `kerasae.penalties.MeanActivation`: unit j should be active
                                        on a share ρ of the training set

or no Ω, and a code that keeps only its k largest numbers (`kerasae.layers.TopK`).

Olshausen & Field, "Emergence of simple-cell receptive field properties by learning a sparse code
for natural images" (1996); Ng, "Sparse autoencoder", CS294A lecture notes (2011); Makhzani &
Frey, "k-sparse autoencoders" (2013).
"""

from typing import Any

import keras

from kerasae.layers import TopK
from kerasae.models.autoencoder import Autoencoder


@keras.saving.register_keras_serializable("kerasae")
class SparseAutoencoder(Autoencoder):
    """The sparse autoencoder, which minimizes L(x, g(f(x̃))) + Ω(h), with an Ω for sparse codes.

    Args:
        encoder: f, a Keras model from the input to the code.
        decoder: g, a Keras model from the code to the reconstruction.
        penalty: Ω: `kerasae.penalties.MeanActivation(β, target=ρ)` for sigmoid and tanh codes,
            `keras.regularizers.L1(λ)` for ReLU codes, or a list of several. None is needed if
            the encoder ends in a `kerasae.layers.TopK`.
        corruption: C, as in `Autoencoder`; Ω is then computed from the code of x̃.

    Example:

    >>> import numpy as np
    >>> from kerasae import SparseAutoencoder, nets, penalties
    >>> networks = nets.mlp((28, 28, 1), code_size=100, units=(), code_activation="sigmoid")
    >>> model = SparseAutoencoder(*networks, penalties.MeanActivation(1e-3, 0.05, mean="set"))
    >>> model.compile(optimizer="adam", loss="mse")
    >>> x = np.random.default_rng(0).random((64, 28, 28, 1), dtype="float32")
    >>> history = model.fit(x, epochs=1, verbose=0)
    >>> sorted(history.history)
    ['loss', 'penalty', 'reconstruction']
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        penalty: Any = None,
        *,
        corruption: keras.layers.Layer | None = None,
        **kwargs,
    ) -> None:
        super().__init__(encoder, decoder, corruption, penalty, **kwargs)
        if not self.penalties and not _ends_in_top_k(self.encoder):
            raise ValueError(
                "`penalty` is None, expected an Ω such as "
                "`kerasae.penalties.MeanActivation(1e-3)` or `keras.regularizers.L1(1e-3)`, or an "
                "`encoder` that ends in a `kerasae.layers.TopK`."
            )


def _ends_in_top_k(encoder: keras.Model) -> bool:
    last = encoder.layers[-1] if encoder.layers else None
    return _ends_in_top_k(last) if isinstance(last, keras.Model) else isinstance(last, TopK)
