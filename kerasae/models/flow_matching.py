"""Flow matching: the velocity of the straight way from noise to data.

    x_t = a(t) x + b(t) ε               from ε at t = 0 to the example x at t = 1
    u = ȧ(t) x + ḃ(t) ε                 the velocity of this pair; x − ε on a straight path
    min E ‖u − û(x_t, t)‖²              its optimum is E[u|x_t], the mean of all pairs that pass x_t

dx/dt = û carries the distribution of the starts to that of the data. Where many pairs cross, their
mean velocity bends, and a solver needs more steps. If a batch's starts and examples are paired such
that the sum of the squared distances is least, fewer cross.

Lipman et al., "Flow matching for generative modeling" (2023); Liu, Gong & Liu, "Flow straight and
fast" (2023); Tong et al., "Improving and generalizing flow-based generative models with minibatch
optimal transport" (2024).
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae import checks, schedules
from kerasae.engine.host import on_host
from kerasae.models.path_inference import PathInference
from kerasae.models.path_model import START
from kerasae.probability import priors

SCHEDULES = {"straight": schedules.Straight, "circular": schedules.Circular}


@keras.saving.register_keras_serializable("kerasae")
class FlowMatching(PathInference):
    """The mean velocity from noise, or another distribution, to the data.

    `fit(x)` draws the starts. `fit({"x": x, "start": start})` takes given pairs, such as a flow's
    own starts and samples, between which the paths are straighter: Liu's *reflow*.

    Metrics: `loss`, `matching` (the squared error of the velocity, a mean over the numbers of an
    example; it does not tend to 0).

    Args:
        network: A Keras model from `[x, t]`, or `[x, t, one-hot label]`, to numbers of x's shape:
            `nets.residual_mlp` or `nets.unet`.
        schedule: The path: `"straight"`, or `"circular"`, on which x_t keeps its variance, or one
            of `kerasae.schedules`.
        pairs: `"independent"` starts and examples, or `"optimal"`: in each batch those whose
            squared distances have the least sum, which needs SciPy. Then the loss depends on the
            batch size.
        source: Where paths start, one of `kerasae.priors`, or `None` for N(0, I).
        autoencoder: A trained autoencoder, for a flow of its codes, or `None`. It is fixed from
            then on.
        classes: Number of classes, for a model conditional on labels.
        drop: Share of the labels that training leaves out, for guidance.
        average: δ of averaged weights, which then generate, or `None`.
        standardize: If True, data are shifted and scaled to the mean 0 and the deviation 1; `None`
            for that if there is no `source`.
        interval: Range of the data, to which generated examples are clipped, such as (0, 1) for
            images; or `None`.

    Example:

    >>> import numpy as np
    >>> from kerasae import FlowMatching, nets
    >>> model = FlowMatching(nets.residual_mlp((2,), units=16))
    >>> model.compile(optimizer="adam")
    >>> x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
    >>> history = model.fit(x, verbose=0)
    >>> model.sample(3, steps=4, seed=0).shape, model.log_prob(x).shape
    ((3, 2), (64,))
    """

    parts = ("matching",)
    solvers = ("heun", "euler", "adaptive")
    steps = 10

    def __init__(
        self,
        network: keras.Model,
        schedule: str | schedules.Schedule = "straight",
        pairs: str = "independent",
        source: priors.Prior | None = None,
        autoencoder: keras.Model | None = None,
        classes: int | None = None,
        drop: float = 0.1,
        average: float | None = None,
        standardize: bool | None = None,
        interval: tuple[float, float] | None = None,
        **kwargs,
    ) -> None:
        schedule = schedules.get("schedule", schedule, SCHEDULES)
        super().__init__(
            network,
            schedule,
            autoencoder,
            classes,
            drop,
            average,
            source is None if standardize is None else standardize,
            interval,
            **kwargs,
        )
        self.pairs = checks.one_of("pairs", pairs, ("independent", "optimal"))
        if pairs == "optimal":
            assignment()
        self.source = priors.get("source", source)
        if not self.source.built:
            self.source.build((None, *self.code_shape))

    def check_batch(self, x, y, sample_weight):
        if isinstance(x, Mapping) and START in x:
            x = dict(x)
            start = x.pop(START)
            self.check_codes(START, start)
            checks.check_same_length(**x, start=start)
        super().check_batch(x, y, sample_weight)

    def aim(self, x, start, s):
        a, b = self.schedule.slopes(s)
        return a * x + b * start, None

    # x_t = a x̂ + b ε̂ and û = ȧ x̂ + ḃ ε̂, solved for x̂ and ε̂.

    def clean(self, x, s, output):
        (a, b), (c, d) = self.schedule.place(s), self.schedule.slopes(s)
        return (d * x - b * output) / (a * d - c * b)

    def noisy(self, x, s, output):
        (a, b), (c, d) = self.schedule.place(s), self.schedule.slopes(s)
        return (a * output - c * x) / (a * d - c * b)

    def draw_start(self, shape, seed):
        if isinstance(self.source, priors.StandardNormal):
            return super().draw_start(shape, seed)
        return self.source.distribution().sample(shape[0], seed)

    def paired(self, start, x):
        if self.pairs == "independent":
            return start
        order = on_host(nearest, (ops.shape(x)[0],), "int32", start, x)
        return ops.take(start, order, axis=0)

    def _starts(self, count, seed):
        if isinstance(self.source, priors.StandardNormal):
            return super()._starts(count, seed)
        return ops.convert_to_numpy(self.source.distribution().sample(count, seed))

    def _log_start(self, x, s):
        if isinstance(self.source, priors.StandardNormal):
            return super()._log_start(x, s)
        return ops.convert_to_numpy(self.source.distribution().log_prob(x))


def nearest(start: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the order of the starts for which Σ ‖x_i − start_i‖² is least.

    Example:

    >>> nearest(np.array([[0.0], [5.0]]), np.array([[4.0], [1.0]])).tolist()
    [1, 0]
    """
    start, x = (np.asarray(each, "float64").reshape(len(each), -1) for each in (start, x))
    _, order = assignment()(-x @ start.T)  # ‖x − start‖² less what every order has
    return order.astype("int32")


def assignment() -> Any:
    """Return SciPy's solver of the assignment problem."""
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError as error:
        raise ImportError(
            "`pairs='optimal'` needs SciPy, which is not installed: `pip install scipy`."
        ) from error
    return linear_sum_assignment
