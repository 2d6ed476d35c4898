"""Penalties Ω(h, x) of a code, added to its reconstruction error.

Any `keras.regularizers` is an Ω(h): L1 is the sparse penalty λ‖h‖₁, which is −log of a Laplace
prior. This module has those that need more than one example's code, or more than the code. Each
returns one number for each example, or one for the batch; models also take a list of several.
"""

from typing import Any

import keras
from keras import ops

from kerasae import checks
from kerasae.engine import derivatives, devices, graphs


def of_each(regularizer: Any, code: Any) -> Any:
    """Return a Keras regularizer's penalty: for L1 and L2 of each example, else their average.

    Keras's regularizers sum over the whole batch. In float32, because a sum overflows float16.

    Example:

    >>> cost = of_each(keras.regularizers.L1(0.5), ops.convert_to_tensor([[1.0, -2.0]]))
    >>> float(cost[0])
    1.5
    """
    code = ops.cast(code, "float32")
    axes = tuple(range(1, len(code.shape)))
    if type(regularizer) in (keras.regularizers.L1, keras.regularizers.L2, keras.regularizers.L1L2):
        l1, l2 = (getattr(regularizer, name, 0.0) for name in ("l1", "l2"))
        costs = l1 * ops.abs(code) + l2 * ops.square(code)  # λ₁ ‖h‖₁ + λ₂ ‖h‖²
        return ops.sum(costs, axis=axes)
    return regularizer(code) / ops.cast(ops.shape(code)[0], "float32")


class Penalty(keras.layers.Layer):
    """A layer that turns a batch of codes into penalties, called `(code, x, encoder=encoder)`.

    It returns one number for each example, `(n,)`, or one for the whole batch, always in float32,
    because a sum over a code overflows half precision.

    Args:
        weight: Factor λ or β of the penalty, at least 0.
    """

    draws = False  # if True, `call` needs the argument `noise` in evaluation

    def __init__(self, weight: float, **kwargs) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.weight = checks.not_negative("weight", weight)

    def check_encoder(self, encoder: keras.Model) -> None:
        """Raise `ValueError` if the penalty does not fit the code of a built encoder."""

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weight": self.weight}


@keras.saving.register_keras_serializable("kerasae")
class Contractive(Penalty):
    """Ω(h, x) = λ ‖∂f(x)/∂x‖²_F of each example: small changes of x should not change the code.

    The derivative is taken at the encoder's input, which is x̃ if there is a corruption, with the
    encoder in inference mode: Dropout off, BatchNormalization with its moving statistics. Chains
    of dense layers have a closed form. Any other encoder needs one derivative per number of its
    code or input, whichever are fewer, and all of them are in memory at once.

    Random projections are then cheaper: λ times the mean of ‖∂f(x)/∂x v‖² over directions
    v ~ N(0, I), whose expectation is Ω. Training draws new directions at each step. In evaluation
    the directions of each example are always the same, so that evaluations can be compared.

    Rifai et al., "Contractive auto-encoders: explicit invariance during feature extraction"
    (2011).

    Args:
        weight: λ, at least 0.
        method: `"exact"` or `"projections"`.
        projections: Number of directions for each example, with `"projections"`.
        seed: Seed of the directions, or `None`.

    Example:

    >>> from kerasae import Autoencoder, nets
    >>> networks = nets.mlp((28, 28, 1), code_size=100, units=(), code_activation="sigmoid")
    >>> model = Autoencoder(*networks, penalty=Contractive(0.1))
    >>> x = ops.ones((4, 3))
    >>> omega = Contractive(0.5)(3 * x, x, encoder=lambda x: 3 * x)
    >>> float(omega[0])  # ½ · 3 · 3²
    13.5
    """

    def __init__(
        self,
        weight: float,
        method: str = "exact",
        projections: int = 1,
        seed: int | None = None,
        **kwargs,
    ) -> None:
        super().__init__(weight, **kwargs)
        self.method = checks.one_of("method", method, ("exact", "projections"))
        self.seed = seed
        self.projections = checks.whole_number("projections", projections)
        self.seed_generator = keras.random.SeedGenerator(checks.seed("seed", seed))
        self.draws = self.method == "projections"

    def check_encoder(self, encoder: keras.Model) -> None:
        dtype = encoder.inputs[0].dtype if graphs.is_built(encoder) else ""
        if "int" in dtype:
            raise ValueError(
                f"`encoder` takes {dtype} inputs, expected floating-point numbers: there is "
                "no derivative with respect to whole ones."
            )

    def call(self, code, x, encoder=None, training=False, noise=None):
        projections, seed = None, None
        if self.draws:
            projections, seed = self.projections, self.seed_generator if training else noise or 0
        return self.weight * derivatives.squared_jacobian_norm(encoder, x, projections, seed)

    def get_config(self) -> dict[str, Any]:
        own = {"method": self.method, "projections": self.projections, "seed": self.seed}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("kerasae")
class MeanActivation(Penalty):
    """Ω(h) = β Σ_j D(ρ, ρ̂_j): each unit of the code should be active on a share ρ of the data.

    ρ̂_j is unit j's mean activation as a share of its range, the mean of
    (h_j − low) / (high − low): 0 for a unit that is never active, 1 for one that is always active.
    With tanh, inactive means −1. Each number of the code is a unit; in a convolutional code
    each channel at each position.

        D(ρ, ρ̂) = ρ log(ρ / ρ̂) + (1 − ρ) log((1 − ρ) / (1 − ρ̂))       distance="kl"
        D(ρ, ρ̂) = (ρ̂ − ρ)²                                            distance="squared"

    The mean runs over

        mean="batch"      the mini-batch;
        mean="running"    the batches so far, with decreasing weights for older ones;
        mean="set"        the whole training set, by a forward pass before each epoch (in `fit`,
                          by `kerasae.callbacks.WholeSetMean`), constant during the epoch.

    In each case Ω is β Σ_j D(ρ, ρ̂_j), and its gradient is that of β Σ_j ∂D/∂ρ̂_j m_j, with the
    batch's own mean m_j: β (∂D/∂ρ̂_j) f'(z_j), averaged over the batch, is added to every example's
    error δ_j. With the whole set's mean, the batches' gradients at fixed weights therefore average
    to the whole set's. A mini-batch's own Ω is too large on average, because D is convex.
    A running mean and the set's mean lag behind the weights: with a large β or learning rate,
    units overshoot ρ before they converge.

    The codes are those that the decoder gets: with a corruption, those of x̃. The forward pass
    over the set draws its own x̃, with the encoder in inference mode. Evaluation uses the last ρ̂ of
    training; before any training, the batch's own mean.

    Ω sums over the units, while Keras's losses average over the pixels: with a mean squared error
    over d pixels, multiply a β that is meant for ½‖x − x̂‖² by 2/d.

    Ng, "Sparse autoencoder", CS294A lecture notes (2011).

    Args:
        weight: β, at least 0.
        target: ρ, between 0 and 1.
        distance: `"kl"` or `"squared"`.
        mean: `"batch"`, `"running"` or `"set"`.
        interval: `(low, high)`, the inactive and the active end of a unit's range: `(0, 1)` for
            sigmoid codes, `(-1, 1)` for tanh codes.
        momentum: Weight of the old running mean in each step, below 1; the bias of its start is
            corrected.

    Example:

    >>> from kerasae import Autoencoder, nets
    >>> networks = nets.mlp((28, 28, 1), code_size=100, units=(), code_activation="sigmoid")
    >>> model = Autoencoder(*networks, penalty=MeanActivation(1e-3, mean="set"))
    >>> code = ops.convert_to_tensor([[0.0, 0.5], [0.4, 0.5]])  # ρ̂ = 0.2 and 0.5
    >>> round(float(MeanActivation(1.0, target=0.2)(code)), 4)  # 0 + KL(0.2 ‖ 0.5)
    0.1927
    """

    def __init__(
        self,
        weight: float,
        target: float = 0.05,
        distance: str = "kl",
        mean: str = "batch",
        interval: tuple[float, float] = (0, 1),
        momentum: float = 0.9,
        **kwargs,
    ) -> None:
        super().__init__(weight, **kwargs)
        self.target = checks.between("target", target, 0, 1)
        self.distance = checks.one_of("distance", distance, tuple(_DISTANCES))
        self.mean = checks.one_of("mean", mean, ("batch", "running", "set"))
        self.interval = checks.interval("interval", interval)
        self.momentum = checks.between("momentum", momentum, 0, 1)

    @property
    def needs_whole_set(self) -> bool:
        """Return whether `measure` must be called before each epoch."""
        return self.mean == "set"

    def build(self, code_shape: tuple[int | None, ...]) -> None:
        """Create the variables of ρ̂, if it is kept from batch to batch."""
        if self.mean == "batch":
            return
        units = tuple(code_shape[1:])
        if None in units:
            raise ValueError(
                f"`mean` is {self.mean!r}, but the code has shape {units}, expected sizes that "
                "are known, to keep the mean of each unit, or mean='batch'."
            )
        options = {"initializer": "zeros", "trainable": False, "aggregation": "mean"}
        self.share = self.add_weight(shape=units, name="share", **options)
        # The sum of the weights in the running mean, which tends to 1; 0: nothing measured yet.
        self.measured = self.add_weight(shape=(), name="measured", **options)

    def check_encoder(self, encoder: keras.Model) -> None:
        """Raise `ValueError` if the code's activation is known and does not fit the interval."""
        activation = graphs.last_activation(encoder)
        name = getattr(activation, "__name__", "")
        if self.distance == "kl" and activation in _UNBOUNDED:
            raise ValueError(
                f"`distance` is 'kl', but the code comes out of {name!r}, which has no maximum, "
                "expected an activation such as 'sigmoid' or 'tanh', or distance='squared'."
            )
        limits = _RANGES.get(activation, self.interval)
        if limits != self.interval:
            raise ValueError(
                f"`interval` is {self.interval}, but the code comes out of {name!r}, expected its "
                f"range {limits}."
            )

    def call(self, code, x=None, encoder=None, training=False):
        # m, not by `ops.mean`, which computes in float32 on PyTorch even if the code is float64.
        count = ops.cast(ops.shape(code)[0], code.dtype)
        mean = self._share(ops.sum(code, axis=0) / count)
        # If several devices share a batch, the mean is over all of them.
        whole, count = devices.totals(ops.stop_gradient(mean * count), count)
        frozen = whole / count
        share = self._current_share(frozen, training)  # ρ̂
        value, slope = _DISTANCES[self.distance](self.target, share)
        return self.weight * ops.sum(value + slope * (mean - ops.stop_gradient(mean)))

    def measure(self, code: Any) -> None:
        """Set ρ̂ from the mean code over the whole training set."""
        self.share.assign(self._share(ops.cast(code, self.share.dtype)))
        self.measured.assign(1.0)

    def _share(self, code):
        low, high = self.interval
        return (code - low) / (high - low)

    def _current_share(self, batch, training):
        """Return ρ̂ from that of the mini-batch; update a running mean in training."""
        if self.mean == "batch":
            return batch
        if self.mean == "running" and training:
            old, new = self.momentum, 1 - self.momentum
            self.share.assign(old * self.share + new * batch)
            self.measured.assign(old * self.measured + new)
        weights = ops.maximum(self.measured, 1e-30)
        return ops.where(self.measured > 0, self.share / weights, batch)

    def get_config(self) -> dict[str, Any]:
        names = ("target", "distance", "mean", "interval", "momentum")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _kl(target, share):
    """Return KL(ρ‖ρ̂) and its derivative in ρ̂, both finite at 0 and 1 too."""
    share = ops.clip(share, 1e-7, 1 - 1e-7)
    inactive = 1 - share
    value = target * ops.log(target / share) + (1 - target) * ops.log((1 - target) / inactive)
    return value, -target / share + (1 - target) / inactive


def _squared(target, share):
    """Return (ρ̂ − ρ)² and its derivative in ρ̂."""
    return (share - target) ** 2, 2 * (share - target)


_DISTANCES = {"kl": _kl, "squared": _squared}

_RANGES = {
    keras.activations.sigmoid: (0.0, 1.0),
    keras.activations.hard_sigmoid: (0.0, 1.0),
    keras.activations.softmax: (0.0, 1.0),
    keras.activations.tanh: (-1.0, 1.0),
    keras.activations.hard_tanh: (-1.0, 1.0),
    keras.activations.softsign: (-1.0, 1.0),
    keras.activations.relu6: (0.0, 6.0),
}
_UNBOUNDED = [
    keras.activations.linear,
    keras.activations.relu,
    keras.activations.leaky_relu,
    keras.activations.elu,
    keras.activations.selu,
    keras.activations.gelu,
    keras.activations.silu,
    keras.activations.softplus,
    keras.activations.exponential,
]


def get(name: str, value: Any) -> list[Any]:
    """Return none, one or several penalties of the code as a list of them."""
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    penalties = []
    for item in values:
        if not hasattr(item, "check_encoder"):
            try:
                item = keras.regularizers.get(item)
                if isinstance(item, keras.layers.Layer):
                    raise TypeError
            except (TypeError, ValueError):
                raise ValueError(
                    f"`{name}` is {item!r}, expected a regularizer of the code such as "
                    "`keras.regularizers.L1(1e-3)`, one of `kerasae.penalties`, several of them in "
                    "a list, or None."
                ) from None
        if item is not None:
            penalties.append(item)
    return penalties
