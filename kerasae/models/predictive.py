"""Predictive sparse decomposition: sparse codes, and an encoder that learns to predict them.

    E(x, z) = ½‖x − Dz‖² + λ‖z‖₁ + (α/2)‖z − F(x)‖²        summed over the numbers of an example
    F(x) = γ ⊙ tanh(Wx + b),    ‖dₖ‖ = 1 for every atom dₖ, a column of D

Each step alternates, as in the paper: the codes z* = arg min E(x, z) are inferred with D and F
fixed, starting from F(x); then D and F take one gradient step with z* fixed, and the atoms are
rescaled to length 1. After training, F(x) approximates in one pass the result of many inference
steps.

Kavukcuoglu, Ranzato & LeCun, "Fast inference in sparse coding algorithms with applications to
object recognition" (2008).
"""

import math
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from kerasae import checks
from kerasae.models.encoder_decoder import EncoderDecoder
from kerasae.models.sparse_coding import energy, inference, sparse_codes


@keras.saving.register_keras_serializable("kerasae")
class PredictiveSparseDecomposition(EncoderDecoder):
    """A model that minimizes ½‖x − Dz‖² + λ‖z‖₁ + (α/2)‖z − F(x)‖² over z, D and F in turn.

    The encoder is F and the decoder is z ↦ Dz, so `encode` is one pass, and `reconstruct` and
    `predict` return DF(x); `infer` returns the codes of least energy. All parts are sums over the
    numbers of an example and averages over the batch; the loss is their sum. `fit(x, y)` infers the
    codes of y and predicts them from x. `compile` takes no other loss than the squared error.

    Metrics: `loss`, and its parts with their factors: `reconstruction`, `sparsity`, `prediction`.

    Args:
        input_shape: Shape of one example; images are flattened for D and F.
        code_size: Number of atoms in the dictionary, often more than an example has numbers.
        sparsity: λ, the weight of a code's absolute values.
        prediction: α, the weight of the squared distance between a code and its prediction F(x).
        steps: Number of inference steps in training.
        corruption: C, as in `Autoencoder`: the encoder sees x̃, and E is that of x.
        penalty: Ω(F(x̃), x̃), as in `Autoencoder`, which is added to E.

    Example:

    >>> import numpy as np
    >>> from kerasae import PredictiveSparseDecomposition
    >>> model = PredictiveSparseDecomposition((28, 28, 1), code_size=100)
    >>> model.compile(optimizer="adam")
    >>> x = np.random.default_rng(0).random((64, 28, 28, 1), dtype="float32")
    >>> history = model.fit(x, epochs=1, verbose=0)
    >>> codes = model.infer(x, steps=50)
    >>> codes.shape, bool((model.objective(x, codes) <= model.objective(x, model.encode(x))).all())
    ((64, 100), True)
    """

    parts = ("reconstruction", "sparsity", "prediction")

    def __init__(
        self,
        input_shape: tuple[int, ...],
        code_size: int,
        sparsity: float = 0.1,
        prediction: float = 1.0,
        steps: int = 20,
        **kwargs,
    ) -> None:
        self.sparsity = checks.not_negative("sparsity", sparsity)
        self.prediction = checks.not_negative("prediction", prediction)
        self.steps = checks.whole_number("steps", steps)
        self.code_size = checks.whole_number("code_size", code_size)
        shape = checks.sizes("input_shape", input_shape)
        if not shape:
            raise ValueError("`input_shape` is empty, expected the shape of one example.")
        super().__init__(_encoder(shape, code_size), _decoder(shape, code_size), **kwargs)

    def terms(self, x, y, found):
        """Return E(x, z*), a function of D and F alone: the codes z* are inferred, then fixed."""
        predicted = ops.cast(found["code"], "float32")  # F(x̃), under every policy
        x = _rows(y)
        fixed = ops.stop_gradient(predicted)  # no gradient flows through the inference
        codes = sparse_codes(
            x, self._atoms(), fixed, fixed, self.sparsity, self.prediction, self.steps
        )
        atoms = ops.convert_to_tensor(self.decoder.get_layer("atoms").kernel)
        parts = energy(
            x, ops.matmul(codes, atoms), codes, predicted, self.sparsity, self.prediction
        )
        return dict(zip(("reconstruction", "sparsity", "prediction"), parts, strict=True))

    @property
    def dictionary(self) -> np.ndarray:
        """Return the atoms, each of length 1, in the shape of examples: `(code_size, …)`."""
        atoms = ops.convert_to_numpy(self._atoms())
        return atoms.reshape((self.code_size, *self._shapes["input"]))

    def _atoms(self):
        """Return Dᵀ, the atoms as rows, as a constant."""
        return ops.stop_gradient(ops.convert_to_tensor(self.decoder.get_layer("atoms").kernel))

    def compile(self, optimizer: Any = "adam", loss: Any = "mse", **kwargs) -> None:
        """Compile as `keras.Model.compile` does; `loss` can only be the squared error."""
        keras_loss = keras.losses.get(loss or "mse")
        if keras_loss is not keras.losses.mean_squared_error and not isinstance(
            keras_loss, keras.losses.MeanSquaredError
        ):
            raise ValueError(f"`loss` is {loss!r}, expected 'mse', the squared error of E(x, z).")
        super().compile(optimizer=optimizer, **kwargs)

    def infer(
        self,
        x: Any,
        steps: int | None = None,
        start: Any = None,
        prediction: float | None = None,
        trace: bool = False,
        batch_size: int = 256,
    ) -> Any:
        """Infer codes by monotone FISTA, z* ≈ arg min E(x, z).

        Args:
            x: Examples.
            steps: Number of steps; by default as many as in training.
            start: Codes to begin with; by default the encoder's prediction F(x).
            prediction: α; by default the model's. With 0 the encoder does not influence the
                minimum: plain sparse coding.
            trace: If True, return E at the start and after every step as well.
            batch_size: Number of examples at a time.

        Returns:
            Codes, `(n, code_size)`; with `trace` also the energies, `(n, steps + 1)`, which never
            increase.
        """
        steps = self.steps if steps is None else checks.whole_number("steps", steps)
        alpha = self._alpha(prediction)
        x, predicted = self._pair(x, batch_size)
        start = predicted if start is None else self._checked_codes("start", start, x)
        atoms = self._atoms()
        run = inference(self.sparsity, alpha, steps, trace)
        results = []
        for first in range(0, len(x), batch_size):
            batch = slice(first, first + batch_size)
            tensors = [ops.convert_to_tensor(part[batch]) for part in (x, start, predicted)]
            outputs = run(tensors[0], atoms, *tensors[1:])
            results.append([ops.convert_to_numpy(part) for part in outputs])
        codes, *values = (np.concatenate(parts) for parts in zip(*results, strict=True))
        return (codes, *values) if trace else codes

    def objective(
        self, x: Any, code: Any, prediction: float | None = None, batch_size: int = 256
    ) -> np.ndarray:
        """Return E(x, z) of each example at the given codes, `(n,)`; `prediction` as in `infer`."""
        alpha = self._alpha(prediction)
        x, predicted = self._pair(x, batch_size)
        code = self._checked_codes("code", code, x)
        decoded = code @ ops.convert_to_numpy(self._atoms())
        tensors = [ops.convert_to_tensor(part) for part in (x, decoded, code, predicted)]
        return ops.convert_to_numpy(sum(energy(*tensors, self.sparsity, alpha)))

    def _alpha(self, prediction: float | None) -> float:
        if prediction is None:
            return self.prediction
        return checks.not_negative("prediction", prediction)

    def _pair(self, x: Any, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the examples, one per row, and F(x)."""
        checks.whole_number("batch_size", batch_size)
        x = checks.as_array("x", x)
        predicted = self.encode(x, batch_size).astype("float32")
        x = np.asarray(ops.convert_to_numpy(x), dtype="float32")
        return x.reshape((len(x), -1)), predicted

    def _checked_codes(self, name: str, code: Any, x: np.ndarray) -> np.ndarray:
        code = checks.as_array(name, code)
        checks.check_array(name, code, (self.code_size,))
        checks.check_same_length(**{"x": x, name: code})
        return np.asarray(ops.convert_to_numpy(code), dtype="float32")


def _rows(x):
    """Return examples as rows, in float32."""
    return ops.reshape(ops.cast(x, "float32"), (-1, math.prod(x.shape[1:])))


def _encoder(shape: tuple[int, ...], code_size: int) -> keras.Model:
    """Return the network F(x) = γ ⊙ tanh(Wx + b)."""
    inputs = keras.Input(shape)
    x = layers.Flatten()(inputs) if len(shape) > 1 else inputs
    x = layers.Dense(code_size, activation="tanh")(x)
    gain = layers.EinsumDense("nk,k->nk", code_size, kernel_initializer="ones", name="gain")
    return keras.Model(inputs, gain(x), name="encoder")


def _decoder(shape: tuple[int, ...], code_size: int) -> keras.Model:
    """Return the map z ↦ Dz, whose atoms are scaled to length 1 at first and after every step."""
    code = keras.Input((code_size,))
    unit = keras.constraints.UnitNorm(axis=1)
    atoms = layers.Dense(math.prod(shape), use_bias=False, kernel_constraint=unit, name="atoms")
    x = atoms(code)
    atoms.kernel.assign(unit(atoms.kernel.value))
    outputs = layers.Reshape(shape)(x) if len(shape) > 1 else x
    return keras.Model(code, outputs, name="decoder")
