"""The denoising autoencoder: it sees x̃ and learns to reconstruct x.

    L(x, g(f(x̃))),   x̃ ~ C(x̃|x)

It cannot copy its input, and so it learns a projection onto the data. For the squared error the
optimum is g(f(x̃)) = E[x|x̃]. For Gaussian noise, x̃ = x + σε, this is a step along the score of
the noisy data's density p_σ, the gradient of its logarithm:

    (g(f(x̃)) − x̃) / σ² = ∇ log p_σ(x̃)

Vincent et al., "Stacked denoising autoencoders" (2010); Alain & Bengio, "What regularized
auto-encoders learn from the data-generating distribution" (2014).
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae import checks
from kerasae.engine import arguments
from kerasae.models.autoencoder import Autoencoder


@keras.saving.register_keras_serializable("kerasae")
class DenoisingAutoencoder(Autoencoder):
    """The denoising autoencoder, which minimizes L(x, g(f(x̃))) + Ω(h, x̃) with x̃ ~ C(x̃|x).

    `fit(x)` and `fit(x, x)` corrupt x, with a new draw in each step. `fit(x_noisy, x_clean)` trains
    on the given pairs, without the corruption. To corrupt the inputs of pairs as well, use an
    `Autoencoder`. Nothing is corrupted outside training. `train_on_batch` always corrupts, even
    pairs.

    Args:
        encoder: f, a Keras model from the input to the code.
        decoder: g, a Keras model from the code to the reconstruction.
        corruption: C, a layer such as `keras.layers.GaussianNoise(0.1)`, `keras.layers.Dropout`
            or one of `kerasae.corruptions`, or a `keras.Sequential` of several. A model that is
            saved between two calls of `fit` resumes with the next noise; on PyTorch, `Dropout`
            needs a `seed` for this.
        penalty: Ω, as in `Autoencoder`.

    Example:

    >>> import keras, numpy as np
    >>> from kerasae import DenoisingAutoencoder, nets
    >>> networks = nets.mlp((28, 28, 1), code_size=32)
    >>> model = DenoisingAutoencoder(*networks, keras.layers.GaussianNoise(0.5))
    >>> model.compile(optimizer="adam", loss="mse")
    >>> x = np.random.default_rng(0).random((64, 28, 28, 1), dtype="float32")
    >>> history = model.fit(x, epochs=1, verbose=0)
    >>> model.score_field(x).shape, model.project(x, steps=3).shape
    ((64, 28, 28, 1), (64, 28, 28, 1))
    """

    _pairs = False  # True while `fit` trains on pairs

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        corruption: keras.layers.Layer,
        penalty: Any = None,
        **kwargs,
    ) -> None:
        if corruption is None:
            raise ValueError(
                "`corruption` is None, expected a Keras layer such as "
                "`keras.layers.GaussianNoise(0.1)`, or an `Autoencoder`, which needs none."
            )
        super().__init__(encoder, decoder, corruption, penalty, **kwargs)

    def fit(self, x=None, y=None, *args, **kwargs):
        """Train as `keras.Model.fit` does; a `y` other than `x` holds the clean examples."""
        noisy, clean = checks.as_array("x", x), checks.as_array("y", y)
        if x is not None and not checks.is_array(noisy):
            batch, x = arguments.first_batch(x)
            noisy, clean, _ = keras.utils.unpack_x_y_sample_weight(batch)
        if clean is None or _equal(noisy, clean):
            return super().fit(x, y, *args, **kwargs)
        self._pairs, self.train_function = True, None  # Keras traces the step again, without C
        try:
            return super().fit(x, y, *args, **kwargs)
        finally:
            self._pairs, self.train_function = False, None

    def corrupted(self, x, training):
        return super().corrupted(x, training and not self._pairs)

    def score_field(self, x: Any, stddev: float | None = None, batch_size: int = 256) -> np.ndarray:
        """Estimate the score of the noisy data's density, (g(f(x)) − x) / σ².

        Args:
            x: Points at which to estimate it, noisy or not.
            stddev: Standard deviation σ of the noise; by default the corruption's, which then must
                be a `keras.layers.GaussianNoise`.
            batch_size: Number of examples at a time.

        Returns:
            Array of the shape of `x`.
        """
        sigma = self._stddev() if stddev is None else stddev
        if not checks.not_negative("stddev", sigma):
            raise ValueError("`stddev` is 0, expected a positive one: the score divides by it.")
        return self._displacement(x, batch_size) / np.float32(sigma) ** 2

    def project(
        self,
        x: Any,
        steps: int = 10,
        step_size: float = 1.0,
        path: bool = False,
        batch_size: int = 256,
    ) -> np.ndarray:
        """Move points towards the data by repeated steps x ← x + η (g(f(x)) − x).

        Args:
            x: Points to begin with.
            steps: Number of steps.
            step_size: η; with 1 each step ends at the reconstruction, x ← g(f(x)).
            path: If True, return the points of all steps.
            batch_size: Number of examples at a time.

        Returns:
            The last points, of the shape of `x`, or the path, `(n, steps + 1, …)`, which begins
            with `x`.
        """
        steps = checks.whole_number("steps", steps)
        step_size = checks.not_negative("step_size", step_size)
        points = [self._points(x)]
        for _ in range(steps):
            x = points[-1]
            x = x + np.float32(step_size) * self._displacement(x, batch_size)
            points = [*points, x] if path else [x]
        return np.stack(points, axis=1) if path else points[0]

    def _displacement(self, x: Any, batch_size: int) -> np.ndarray:
        """Return g(f(x)) − x, of the shape of `x`."""
        points = self._points(x)
        reconstruction = self.reconstruct(x, batch_size).astype("float32")
        if reconstruction.shape != points.shape:
            raise ValueError(
                f"`decoder` gives reconstructions of shape {reconstruction.shape[1:]}, but `x` has "
                f"examples of shape {points.shape[1:]}: expected the same shape to subtract them."
            )
        return reconstruction - points

    def _points(self, x: Any) -> np.ndarray:
        """Check examples to move and return them in float32."""
        x = checks.as_array("x", x)
        self._check_input(x)
        return np.asarray(ops.convert_to_numpy(x), dtype="float32")

    def _stddev(self) -> float:
        """Return σ of the corruption, which must be Gaussian noise alone."""
        corruption = self.corruption
        if isinstance(corruption, keras.Sequential) and len(corruption.layers) == 1:
            corruption = corruption.layers[0]
        if not isinstance(corruption, keras.layers.GaussianNoise):
            raise ValueError(
                f"`corruption` is a {type(corruption).__name__}, expected a "
                "`keras.layers.GaussianNoise`, or the noise's standard deviation in `stddev`."
            )
        return corruption.stddev


def _equal(x: Any, y: Any) -> bool:
    """Return whether the targets are the input itself."""
    if x is y or not (checks.is_array(x) and checks.is_array(y)):
        return x is y
    return np.array_equal(checks.as_numpy(x), checks.as_numpy(y))
