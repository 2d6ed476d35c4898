"""Sparse coding: the codes of least energy, by monotone FISTA.

    E(x, z) = ½‖x − Dz‖² + λ‖z‖₁ + (α/2)‖z − F(x)‖²        F(x): the prediction of an encoder

The gradient of f, the smooth part of E, has the Lipschitz constant L = λ_max(DᵀD) + α, so that the
step from y to S_{λ/L}(y − ∇f(y)/L), with the soft threshold S, never increases E. Plain FISTA takes
this step from an extrapolated point y beyond z, so that E may increase; monotone FISTA keeps the
better of the new point and z.

Beck & Teboulle, "Fast gradient-based algorithms for constrained total variation image denoising and
deblurring problems" (2009).
"""

import functools

from keras import ops

from kerasae.engine.compiled import compiled


def energy(x, decoded, code, predicted, sparsity: float, prediction: float) -> tuple:
    """Return the parts of E(x, z) for each example: ½‖x − Dz‖², λ‖z‖₁ and (α/2)‖z − F(x)‖²."""
    return (
        0.5 * ops.sum(ops.square(x - decoded), axis=1),
        sparsity * ops.sum(ops.abs(code), axis=1),
        0.5 * prediction * ops.sum(ops.square(code - predicted), axis=1),
    )


def sparse_codes(x, atoms, start, predicted, sparsity: float, prediction: float, steps: int):
    """Return the codes after some steps of monotone FISTA on E(x, z), for each example separately.

    Args:
        x: Examples `(n, d)`, a float32 tensor like all the others.
        atoms: Dᵀ, `(k, d)`, atoms of any length.
        start: Codes to begin with, `(n, k)`.
        predicted: F(x), `(n, k)`.
        sparsity: λ, the weight of ‖z‖₁.
        prediction: α, the weight of ½‖z − F(x)‖².
        steps: Number of steps.
    """
    problem = Problem(x, atoms, predicted, sparsity, prediction)
    # A loop of the backend: unrolled, a hundred steps take a minute to compile.
    return ops.fori_loop(0, steps, lambda _, state: problem.step(*state), problem.state(start))[0]


def energies(x, atoms, start, predicted, sparsity: float, prediction: float, steps: int):
    """Return the codes of `sparse_codes`, and E before and after each step, `(n, steps + 1)`."""
    problem = Problem(x, atoms, predicted, sparsity, prediction)
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
def inference(sparsity: float, prediction: float, steps: int, trace: bool):
    """Return the compiled inference, a function of (x, Dᵀ, start, F(x))."""

    def run(x, atoms, start, predicted):
        arguments = x, atoms, start, predicted, sparsity, prediction, steps
        return energies(*arguments) if trace else (sparse_codes(*arguments),)

    return compiled(run)


class Problem:
    """E(x, z) as a function of z, and the step of monotone FISTA on it."""

    def __init__(self, x, atoms, predicted, sparsity: float, prediction: float) -> None:
        self.x, self.atoms, self.transposed = x, atoms, ops.transpose(atoms)
        self.predicted, self.sparsity, self.prediction = predicted, sparsity, prediction
        self.lipschitz = eigenvalue_bound(atoms) + prediction

    def value(self, code, decoded):
        return sum(energy(self.x, decoded, code, self.predicted, self.sparsity, self.prediction))

    def state(self, code) -> tuple:
        """Return the initial state: z, Dz, E(x, z), the extrapolated points y, Dy and t."""
        decoded = ops.matmul(code, self.atoms)
        return code, decoded, self.value(code, decoded), code, decoded, ops.ones((), "float32")

    def step(self, code, decoded, value, extrapolated, extrapolated_decoded, t) -> tuple:
        """Take one step, which never increases E(x, z)."""
        # v = S_{λ/L}(y − ∇f(y)/L), with ∇f(y) = Dᵀ(Dy − x) + α(y − F(x))
        slope = ops.matmul(extrapolated_decoded - self.x, self.transposed)
        slope = slope + self.prediction * (extrapolated - self.predicted)
        moved = _shrink(extrapolated - slope / self.lipschitz, self.sparsity / self.lipschitz)
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
        extrapolated = new + missed * (moved - new) + momentum * (new - code)
        extrapolated_decoded = (
            new_decoded
            + missed * (moved_decoded - new_decoded)
            + momentum * (new_decoded - decoded)
        )
        return new, new_decoded, new_value, extrapolated, extrapolated_decoded, t_next


def eigenvalue_bound(atoms):
    """Return an upper bound of λ_max(G), G = DᵀD: ‖G⁸‖_F^⅛, too large by at most rank^(1/16).

    ‖G⁸‖_F² is the sum of the 16th powers of G's eigenvalues, and so at least λ_max¹⁶.
    """
    rows, columns = atoms.shape
    transposed = ops.transpose(atoms)
    power = ops.matmul(atoms, transposed) if rows <= columns else ops.matmul(transposed, atoms)
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
