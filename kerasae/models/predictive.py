"""Predictive sparse decomposition: sparse codes, and an encoder that learns to predict them.

    E(x, z) = ½‖x − Dz‖² + λ‖z‖₁ + (α/2)‖z − F(x)‖²        summed over the numbers of an example
    F(x) = γ ⊙ tanh(Wx + b),    ‖dₖ‖ = 1 for every atom dₖ, a column of D

Each step alternates, as in the paper: the codes z* = arg min E(x, z) are inferred with D and F
fixed, starting from F(x); then D and F take one gradient step with z* fixed, and the atoms are
rescaled to length 1. After training, F(x) approximates in one pass the result of many inference
steps.

Inference is monotone FISTA: the gradient of f, the smooth part of E, has the Lipschitz constant
L = λ_max(DᵀD) + α, so that the step from y to S_{λ/L}(y − ∇f(y)/L), with the soft threshold S,
never increases E. Plain FISTA takes this step from an extrapolated point y beyond z, so that E may
increase; monotone FISTA keeps the better of the new point and z.

Kavukcuoglu, Ranzato & LeCun, "Fast inference in sparse coding algorithms with applications to
object recognition" (2008); Beck & Teboulle, "Fast gradient-based algorithms for constrained total
variation image denoising and deblurring problems" (2009).
"""

import functools
import math
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from kerasae import checks
from kerasae.engine.compiled import compiled
from kerasae.models.autoencoder import EncoderDecoder


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
        foreseen = ops.cast(found["code"], "float32")  # F(x̃), under every policy
        x = _rows(y)
        fixed = ops.stop_gradient(foreseen)  # no gradient flows through the inference
        codes = sparse_codes(
            x, self._atoms(), fixed, fixed, self.sparsity, self.prediction, self.steps
        )
        atoms = ops.convert_to_tensor(self.decoder.get_layer("atoms").kernel)
        parts = energy(x, ops.matmul(codes, atoms), codes, foreseen, self.sparsity, self.prediction)
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
        found = keras.losses.get(loss or "mse")
        if found is not keras.losses.mean_squared_error and not isinstance(
            found, keras.losses.MeanSquaredError
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
        x, foreseen = self._pair(x, batch_size)
        start = foreseen if start is None else self._checked_codes("start", start, x)
        atoms = self._atoms()
        run = _inference(self.sparsity, alpha, steps, trace)
        results = []
        for first in range(0, len(x), batch_size):
            batch = slice(first, first + batch_size)
            tensors = [ops.convert_to_tensor(part[batch]) for part in (x, start, foreseen)]
            found = run(tensors[0], atoms, *tensors[1:])
            results.append([ops.convert_to_numpy(part) for part in found])
        codes, *values = (np.concatenate(parts) for parts in zip(*results, strict=True))
        return (codes, *values) if trace else codes

    def objective(
        self, x: Any, code: Any, prediction: float | None = None, batch_size: int = 256
    ) -> np.ndarray:
        """Return E(x, z) of each example at the given codes, `(n,)`; `prediction` as in `infer`."""
        alpha = self._alpha(prediction)
        x, foreseen = self._pair(x, batch_size)
        code = self._checked_codes("code", code, x)
        decoded = code @ ops.convert_to_numpy(self._atoms())
        tensors = [ops.convert_to_tensor(part) for part in (x, decoded, code, foreseen)]
        return ops.convert_to_numpy(sum(energy(*tensors, self.sparsity, alpha)))

    def _alpha(self, prediction: float | None) -> float:
        if prediction is None:
            return self.prediction
        return checks.not_negative("prediction", prediction)

    def _pair(self, x: Any, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the examples, one per row, and F(x)."""
        checks.whole_number("batch_size", batch_size)
        x = checks.as_array("x", x)
        foreseen = self.encode(x, batch_size).astype("float32")
        x = np.asarray(ops.convert_to_numpy(x), dtype="float32")
        return x.reshape((len(x), -1)), foreseen

    def _checked_codes(self, name: str, code: Any, x: np.ndarray) -> np.ndarray:
        code = checks.as_array(name, code)
        checks.check_array(name, code, (self.code_size,))
        checks.check_same_length(**{"x": x, name: code})
        return np.asarray(ops.convert_to_numpy(code), dtype="float32")


def energy(x, decoded, code, foreseen, sparsity: float, prediction: float) -> tuple:
    """Return the parts of E(x, z) for each example: ½‖x − Dz‖², λ‖z‖₁ and (α/2)‖z − F(x)‖²."""
    return (
        0.5 * ops.sum(ops.square(x - decoded), axis=1),
        sparsity * ops.sum(ops.abs(code), axis=1),
        0.5 * prediction * ops.sum(ops.square(code - foreseen), axis=1),
    )


def sparse_codes(x, atoms, start, foreseen, sparsity: float, prediction: float, steps: int):
    """Return the codes after some steps of monotone FISTA on E(x, z), for each example separately.

    Args:
        x: Examples `(n, d)`, a float32 tensor like all the others.
        atoms: Dᵀ, `(k, d)`, atoms of any length.
        start: Codes to begin with, `(n, k)`.
        foreseen: F(x), `(n, k)`.
        sparsity: λ, the weight of ‖z‖₁.
        prediction: α, the weight of ½‖z − F(x)‖².
        steps: Number of steps.
    """
    problem = Problem(x, atoms, foreseen, sparsity, prediction)
    # A loop of the backend: unrolled, a hundred steps take a minute to compile.
    return ops.fori_loop(0, steps, lambda _, state: problem.step(*state), problem.state(start))[0]


def energies(x, atoms, start, foreseen, sparsity: float, prediction: float, steps: int):
    """Return the codes of `sparse_codes`, and E before and after each step, `(n, steps + 1)`."""
    problem = Problem(x, atoms, foreseen, sparsity, prediction)
    state = problem.state(start)
    places = ops.arange(steps + 1)
    values = ops.where(places == 0, state[2][:, None], 0.0)

    def step(i, carried):
        values, *state = carried
        state = problem.step(*state)
        return (ops.where(places == i + 1, state[2][:, None], values), *state)

    values, codes, *_ = ops.fori_loop(0, steps, step, (values, *state))
    return codes, values


@functools.lru_cache(maxsize=32)
def _inference(sparsity: float, prediction: float, steps: int, trace: bool):
    """Return the compiled inference, a function of (x, Dᵀ, start, F(x))."""

    def run(x, atoms, start, foreseen):
        arguments = x, atoms, start, foreseen, sparsity, prediction, steps
        return energies(*arguments) if trace else (sparse_codes(*arguments),)

    return compiled(run)


class Problem:
    """E(x, z) as a function of z, and the step of monotone FISTA on it."""

    def __init__(self, x, atoms, foreseen, sparsity: float, prediction: float) -> None:
        self.x, self.atoms, self.turned = x, atoms, ops.transpose(atoms)
        self.foreseen, self.sparsity, self.prediction = foreseen, sparsity, prediction
        self.lipschitz = eigenvalue_bound(atoms) + prediction

    def value(self, code, decoded):
        return sum(energy(self.x, decoded, code, self.foreseen, self.sparsity, self.prediction))

    def state(self, code) -> tuple:
        """Return the initial state: z, Dz, E(x, z), the extrapolated points y, Dy and t."""
        decoded = ops.matmul(code, self.atoms)
        return code, decoded, self.value(code, decoded), code, decoded, ops.ones((), "float32")

    def step(self, code, decoded, value, ahead, ahead_decoded, t) -> tuple:
        """Take one step, which never increases E(x, z)."""
        # v = S_{λ/L}(y − ∇f(y)/L), with ∇f(y) = Dᵀ(Dy − x) + α(y − F(x))
        slope = ops.matmul(ahead_decoded - self.x, self.turned)
        slope = slope + self.prediction * (ahead - self.foreseen)
        moved = _shrink(ahead - slope / self.lipschitz, self.sparsity / self.lipschitz)
        moved_decoded = ops.matmul(moved, self.atoms)
        moved_value = self.value(moved, moved_decoded)
        # z' = v if E is no larger there than at z, else z
        better = moved_value <= value
        new_value = ops.where(better, moved_value, value)
        new = ops.where(better[:, None], moved, code)
        new_decoded = ops.where(better[:, None], moved_decoded, decoded)
        # y' = z' + (t/t')(v − z') + ((t − 1)/t')(z' − z), and Dy' likewise, because D is linear
        t_next = (1 + ops.sqrt(1 + 4 * t * t)) / 2
        missed, momentum = t / t_next, (t - 1) / t_next
        ahead = new + missed * (moved - new) + momentum * (new - code)
        ahead_decoded = (
            new_decoded
            + missed * (moved_decoded - new_decoded)
            + momentum * (new_decoded - decoded)
        )
        return new, new_decoded, new_value, ahead, ahead_decoded, t_next


def eigenvalue_bound(atoms):
    """Return an upper bound of λ_max(G), G = DᵀD: ‖G⁸‖_F^⅛, too large by at most rank^(1/16).

    ‖G⁸‖_F² is the sum of the 16th powers of G's eigenvalues, and so at least λ_max¹⁶.
    """
    rows, columns = atoms.shape
    turned = ops.transpose(atoms)
    power = ops.matmul(atoms, turned) if rows <= columns else ops.matmul(turned, atoms)
    bound = 1.0 + 1e-5  # a margin for rounding in float32
    for exponent in (1, 1 / 2, 1 / 4, 1 / 8):
        if exponent < 1:
            power = ops.matmul(power, power)
        norm = ops.sqrt(ops.sum(ops.square(power)))
        power = power / norm  # otherwise the powers would overflow
        bound = bound * norm**exponent
    return bound


def _shrink(code, threshold):
    """Return S_θ(z), the soft threshold: every number moves towards 0 by θ, and no further."""
    return ops.sign(code) * ops.relu(ops.abs(code) - threshold)


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
