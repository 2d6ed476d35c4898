"""The conditional variational autoencoder: a model of p(x|c), with many answers to one c.

    z ~ p(z|c)          prior: learned, fixed, or none
    p(x|z, c)           decoder and likelihood
    q(z|x, c)           encoder: the approximate posterior

All three distributions are conditioned on c (a label, an image, or a network's output for one);
the variational autoencoder's mathematics is unchanged,

    log p(x|c) = E_q log p(x|z, c) − KL(q(z|x, c)‖p(z|c)) + KL(q(z|x, c)‖p(z|x, c))

Training maximizes all terms except the last divergence, the bound's gap. If several x are right
for one c, for example if c is the visible part of an image, a network from c to x that minimizes
an error predicts their average; here z distinguishes them.

Sohn, Lee & Yan, "Learning structured output representation using deep conditional generative
models" (2015).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from kerasae import checks, nets
from kerasae.engine import internals
from kerasae.engine.streams import predictions
from kerasae.evaluation.arithmetic import straight
from kerasae.models.variational import Densities, VariationalAutoencoder
from kerasae.probability import posteriors, priors
from kerasae.probability.distribution import Distribution

Tensor = Any

DIAGONAL = posteriors.Diagonal()  # a learned prior has the same form

PRIORS = ("learned", "fixed", "none")


class Conditioned(NamedTuple):
    """A batch with its encoded condition c′, computed once for all networks."""

    x: Tensor
    condition: Tensor  # c′
    image: Tensor | None  # the condition itself, if it is a part of x
    training: bool


@keras.saving.register_keras_serializable("kerasae")
class ConditionalVariationalAutoencoder(VariationalAutoencoder):
    """The conditional VAE, which maximizes E_q log p(x|z, c) − β KL(q(z|x, c)‖p(z|c)).

    Data are a dict `{"x": x, "condition": c}` of arrays, or streams of such dicts; for arrays,
    `fit(x, c)`, `evaluate(x, c)` and `validation_data=(x, c)` are equivalent. A condition is a
    label, with `classes`; else an array, which the networks take unchanged, or after
    `condition_network`. The networks' input is called c′ here.

    To complete an image from its visible part, `kerasae.corruptions.hide` makes the condition c of
    an image and marks the visible pixels. With `complete` only the hidden pixels are modelled: the
    bound is that of their log-likelihood, and all outputs contain the visible pixels unchanged.

    Args:
        encoder: A Keras model from `[x, c′]` to the posterior's parameters.
            `kerasae.nets.conditional_mlp` makes both networks.
        decoder: A Keras model from `[z, c′]` to the likelihood's parameters.
        classes: Number of classes, if conditions are labels: c′ is then the one-hot vector.
        condition_network: A Keras model from the condition to c′, trained with the other networks,
            such as `kerasae.nets.convolutional_encoder`; or `None`.
        condition_corruption: A layer that hides parts of the condition, drawn anew in each
            training step, such as `kerasae.corruptions.QuadrantMask` with conditions made by
            `kerasae.corruptions.with_mask`. It acts in training only: mask conditions for
            validation and sampling with `hide`.
        prior: `"learned"`, N(μ(c), σ(c)²); `"fixed"`, N(0, I) for every c, or one of
            `kerasae.priors`; or `"none"`: the loss omits the divergence and is no bound, but
            `sample` draws from N(0, I).
        prior_network: For the learned prior, a Keras model from c′ to μ and log σ²; a hidden layer
            of 256 by default.
        complete: If True, the condition is a part of x that the model completes.
        **kwargs: Arguments of `VariationalAutoencoder`: `posterior`, `likelihood`, `beta`,
            `importance_samples`, `corruption` (of x), `seed`.

    Example:

    >>> import numpy as np
    >>> from kerasae import ConditionalVariationalAutoencoder, nets
    >>> networks = nets.conditional_mlp((28, 28, 1), (10,), code_size=2)
    >>> model = ConditionalVariationalAutoencoder(*networks, classes=10)
    >>> model.compile(optimizer="adam")
    >>> x = np.random.default_rng(0).random((64, 28, 28, 1), dtype="float32")
    >>> labels = np.arange(64) % 10
    >>> history = model.fit(x, labels, epochs=1, verbose=0)
    >>> model.sample([3, 1, 4], count=5).shape, model.reconstruct(x, labels).shape
    ((3, 5, 28, 28, 1), (64, 28, 28, 1))
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        classes: int | None = None,
        condition_network: keras.Model | None = None,
        condition_corruption: keras.layers.Layer | None = None,
        prior: str | priors.Prior = "learned",
        prior_network: keras.Model | None = None,
        complete: bool = False,
        **kwargs,
    ) -> None:
        given = isinstance(prior, priors.Prior)
        kind = "fixed" if given else prior
        if not isinstance(kind, str) or kind not in PRIORS:
            raise ValueError(
                f"`prior` is {prior!r}, expected 'learned', 'fixed', 'none', or one of "
                "`kerasae.priors`."
            )
        super().__init__(encoder, decoder, prior=prior if given else None, **kwargs)
        self.prior_kind = kind
        self.classes = None if classes is None else checks.positive("classes", classes, 2)
        self.condition_network = _optional("condition_network", condition_network)
        self.condition_corruption = checks.layer("condition_corruption", condition_corruption)
        self.prior_network = _optional("prior_network", prior_network)
        self.complete = checks.flag("complete", complete)
        self._check_arguments()

    def _check_arguments(self) -> None:
        if self.classes is not None and (self.complete or self.condition_corruption is not None):
            name = "complete" if self.complete else "condition_corruption"
            raise ValueError(f"`{name}` is given with `classes`, expected conditions of numbers.")
        if self.prior_kind != "learned" and self.prior_network is not None:
            raise ValueError(
                f"`prior_network` is given with the prior {self.prior_kind!r}, expected 'learned'."
            )
        if self.prior_kind == "none" and self.importance_samples > 1:
            raise ValueError(
                f"`importance_samples` is {self.importance_samples} with the prior 'none', "
                "expected 1: without p(z|c) samples have no weights."
            )
        if isinstance(self.prior, priors.PseudoInputs):
            raise ValueError(
                "`prior` is PseudoInputs, which have no conditions, expected 'learned', 'fixed', "
                "'none', or another of `kerasae.priors`."
            )
        for name, network in {"encoder": self.encoder, "decoder": self.decoder}.items():
            count = len(getattr(network, "inputs", None) or "x1")  # 2 if unknown before building
            if count != 2:
                what = "[x, condition]" if name == "encoder" else "[code, condition]"
                raise ValueError(
                    f"`{name}` takes {count} input, expected two, {what}, as networks of "
                    "`kerasae.nets.conditional_mlp` do."
                )

    def input_shape_of_networks(self):
        networks = [self.encoder, self.condition_network]
        if not all(n is None or (n.built and getattr(n, "inputs", None)) for n in networks):
            return None
        shape, condition = self.encoder.input_shape
        if self.classes is not None:
            condition = (None,)
        elif self.condition_network is not None:
            condition = self.condition_network.input_shape
        return {"x": shape, "condition": condition}

    def build(self, input_shape: dict[str, tuple[int | None, ...]]) -> None:
        """Build the networks and check that their shapes match."""
        x, condition = (keras.KerasTensor((None, *shape[1:])) for shape in self._parts(input_shape))
        if self.condition_corruption is not None:
            self.condition_corruption(condition)
        told = condition
        if self.classes is not None:
            told = keras.KerasTensor((None, self.classes))
        if self.condition_network is not None:
            told = self.condition_network(told)
        self._check_takes("encoder", 1, told)
        self._check_takes("decoder", 1, told)
        code = self._code(x, self.encoder([x, told]))
        self._check_takes("decoder", 0, code)
        output = self.decoder([code, told])
        if self.corruption is not None:
            self.corruption(x)
        self.prior.build((None, *code.shape[1:]), x.shape)
        if self.prior_kind == "learned":
            self._build_prior_network(told, code)
        if self.complete:
            _check_part(condition.shape[1:], output.shape[1:])
        tensors = {"input": x, "condition": condition, "code": code, "output": output}
        self._shapes = {name: tuple(tensor.shape[1:]) for name, tensor in tensors.items()}
        self._check_logits()
        self.built = True
        internals.called(self)

    def _build_prior_network(self, told, code):
        numbers = (*code.shape[1:-1], 2 * code.shape[-1])
        if self.prior_network is None:
            if len(code.shape) != 2:
                raise ValueError(
                    f"`prior_network` is None, but codes have the shape {tuple(code.shape[1:])}, "
                    "expected a network that gives maps, for a learned prior of these."
                )
            self.prior_network = nets.mlp_encoder(told.shape[1:], numbers[0], name="prior_network")
        found = tuple(self.prior_network(told).shape[1:])
        if found != numbers:
            raise ValueError(
                f"`prior_network` gives numbers of shape {found}, expected {numbers}: μ and log σ² "
                "of a code."
            )

    def _code(self, inputs, output):
        if not isinstance(output, keras.KerasTensor):
            raise ValueError(f"`encoder` gives {len(output)} outputs, expected one code.")
        shape = tuple(output.shape[1:])
        return keras.KerasTensor((None, *self.posterior_layer.code_shape(shape)))

    def _check_takes(self, name, place, tensor):
        network = getattr(self, name)
        expected = network.input_shape[place] if getattr(network, "inputs", None) else tensor.shape
        if not checks.fits(tensor.shape[1:], expected[1:]):
            what = ("codes", "conditions")[place]
            raise ValueError(
                f"`{name}` takes {what} of shape {tuple(expected[1:])}, but is given {what} of "
                f"shape {tuple(tensor.shape[1:])}: expected the same shape."
            )

    # The three distributions, each conditioned on c.

    def read(self, x: Any, training: bool = False) -> Conditioned:
        """Return the batch with c′, computed once."""
        if isinstance(x, Conditioned):
            return x
        x, condition = (ops.convert_to_tensor(part) for part in self._parts(x))
        if self.condition_corruption is not None:
            condition = self.condition_corruption(condition, training=training)
        image = condition if self.complete else None
        return Conditioned(x, self._encoded(condition, training), image, training)

    def _encoded(self, condition, training=False):
        """Return c′ of conditions."""
        if self.classes is not None:
            labels = ops.cast(ops.reshape(condition, (-1,)), "int32")
            condition = ops.one_hot(labels, self.classes, dtype=self.compute_dtype)
        if self.condition_network is not None:
            condition = self.condition_network(condition, training=training)
        return condition

    def posterior(self, x: Any, training: bool = False) -> Distribution:
        """Return q(z|x, c), for a batch of examples and their conditions."""
        x = self.read(x, training)
        numbers = self.encoder([x.x, x.condition], training=training)
        return self.posterior_layer.distribution(numbers)

    def prior_at(self, x: Any) -> Distribution:
        """Return p(z|c); for the prior "none", N(0, I), which `sample` draws from."""
        if self.prior_kind != "learned":
            return self.prior.distribution()
        x = self.read(x)
        numbers = self.prior_network(x.condition, training=x.training)
        return DIAGONAL.distribution(numbers)

    def likelihood_at(self, z: Tensor, x: Any, training: bool = False) -> Distribution:
        """Return p(x|z, c), for samples z of shape (k, n, …)."""
        return super().likelihood_at(z, self.read(x, training), training)

    def log_densities(self, x: Any, count: int = 1, seed: Any = None) -> Densities:
        """Draw z_i ~ q(z|x, c); return them, and log p(x|z_i, c), log p(z_i|c), log q(z_i|x, c).

        Args:
            x: A batch, `{"x": x, "condition": c}`.
            count: The number k of samples per example.
            seed: Seed of the samples.
        """
        if self.prior_kind == "none":
            raise ValueError(
                "`prior` is 'none', expected 'learned', 'fixed' or one of `kerasae.priors`: "
                "without p(z|c) there is no bound of log p(x|c), and no estimate of it."
            )
        return super().log_densities(self.read(x), count, seed)

    def _decode_all(self, z, x, count, training):
        condition = x.condition
        if count > 1:  # sample 1 of all examples, then sample 2 of all, …
            condition = ops.tile(condition, (count,) + (1,) * (len(condition.shape) - 1))
        return self.decoder([z, condition], training=training)

    def _likelihood(self, decoded, x):
        return self._distribution(decoded, x.image, len(decoded.shape) - 2)

    def _mean(self, decoded, x):
        return self._distribution(decoded, x.image, len(decoded.shape) - 1).mean

    def _distribution(self, decoded, image, event_axes):
        """Return p(x|z, c), from the decoder's output and the visible part of x."""
        if not self.complete:
            return self.likelihood.distribution(decoded, event_axes)
        return _Completed(self.likelihood.distribution(decoded, 1), decoded, event_axes, image)

    def _example(self, x):
        return self._parts(x)[0] if isinstance(x, (Mapping, Conditioned)) else x

    def target(self, x, y, found):
        return self._example(super().target(x, y, found))

    def corrupted(self, x, training):
        return x._replace(x=super().corrupted(x.x, training))

    def _divergence_weight(self):
        return 0.0 if self.prior_kind == "none" else super()._divergence_weight()

    # Data.

    def _parts(self, x):
        """Return the examples and conditions of a batch."""
        if isinstance(x, Conditioned):
            return x.x, x.condition
        if not isinstance(x, Mapping):
            raise ValueError(
                f"`x` is of type {type(x).__name__}, expected a dict of examples and conditions, "
                '`{"x": x, "condition": c}`.'
            )
        if set(x) != {"x", "condition"}:
            raise ValueError(f"`x` is a dict of {sorted(x)}, expected of 'x' and 'condition'.")
        return x["x"], x["condition"]

    def _pair(self, x, condition):
        """Return examples and conditions as a dict, from two arrays or from the dict itself."""
        if isinstance(x, Mapping):
            if condition is not None:
                raise ValueError("`condition` is given beside a dict in `x`, expected it in `x`.")
            x, condition = self._parts(x)
        x = checks.as_array("x", x)
        self._check_input(x)
        pair = {"x": x, "condition": self._checked_condition(condition)}
        checks.same_length(**pair)
        return pair

    def _checked_condition(self, condition):
        condition = checks.as_array("condition", condition)
        if condition is None:
            raise ValueError("`condition` is None, expected one for each example.")
        if not checks.is_array(condition):
            kind = type(condition).__name__
            raise ValueError(f"`condition` is of type {kind}, expected one for each example.")
        if self.classes is not None:
            checks.labels("condition", condition, self.classes)
            return condition
        checks.inputs("condition", condition, self.condition_network, self._shape("condition"))
        return condition

    def check_batch(self, x: Any, y: Any, sample_weight: Any) -> None:
        """Check the examples as every autoencoder does, and that each has a condition."""
        x, condition = self._parts(x)
        super().check_batch(x, y, sample_weight)
        checks.same_length(x=x, condition=self._checked_condition(condition))

    def _checked(self, x, y, sample_weight):
        """Check the data and return them; two arrays are examples and their conditions."""
        if not isinstance(x, Mapping) and x is not None:
            x = checks.as_array("x", x)
            if checks.is_array(x):
                x, y = {"x": x, "condition": checks.as_array("condition", y)}, None
        return super()._checked(x, y, sample_weight)

    # Use.

    def _examples(self, x: Any) -> Any:
        return self._pair(x, None) if isinstance(x, Mapping) else x

    def encode(self, x: Any, condition: Any = None, batch_size: int = 256) -> np.ndarray:
        """Return the codes: the means of q(z|x, c).

        Args:
            x: Examples, or a dict of them and their conditions.
            condition: Conditions, one for each example.
            batch_size: Number of examples at a time.
        """
        pair = {name: _numpy(part) for name, part in self._pair(x, condition).items()}
        return self.view("_codes")(pair, batch_size)

    def decode(self, code: Any, condition: Any, batch_size: int = 256) -> np.ndarray:
        """Return the means of p(x|z, c) at the given codes, each with its condition."""
        code = checks.as_array("code", code)
        checks.array("code", code, self._shape("code"))
        condition = self._checked_condition(condition)
        checks.same_length(code=code, condition=condition)
        return self._answers(_numpy(code)[:, None], condition, batch_size)[:, 0]

    def reconstruct(self, x: Any, condition: Any = None, batch_size: int = 256) -> np.ndarray:
        """Return the means of p(x|z, c) at the posteriors' means."""
        x, condition = self._parts(self._pair(x, condition))
        return self.decode(self.encode(x, condition, batch_size), condition, batch_size)

    def sample(
        self,
        condition: Any,
        count: int = 1,
        seed: int | None = None,
        pixels: bool = False,
        batch_size: int = 256,
    ) -> np.ndarray:
        """Draw examples for each condition: z ~ p(z|c), then the mean of p(x|z, c).

        Args:
            condition: Conditions, `(n, …)`.
            count: Number of examples per condition.
            seed: Seed of the draw; `None` for a new draw each time.
            pixels: If True, draw x ~ p(x|z, c) instead of returning its mean.
            batch_size: Number of examples decoded at a time.

        Returns:
            Array of shape `(n, count, …)`.
        """
        checks.positive("count", count)
        self._need_weights("sample")
        condition = self._checked_condition(condition)
        seed = self._source(seed)
        if self.prior_kind == "learned":
            encoded = self._encoded_array(condition, batch_size)
            numbers = predictions(self.prior_network, encoded, batch_size)
            z = np.moveaxis(_numpy(DIAGONAL.distribution(numbers).sample(count, seed)), 0, 1)
        else:
            z = _numpy(self.prior.distribution().sample(len(condition) * count, seed))
            z = z.reshape((len(condition), count, *z.shape[1:]))
        return self._answers(z, condition, batch_size, pixels, seed)

    def interpolate(self, start: Any, end: Any, condition: Any, steps: int = 8) -> np.ndarray:
        """Decode the straight line between the codes of two examples of one condition.

        Args:
            start: Examples at which the lines begin, `(n, …)`.
            end: Examples at which they end, `(n, …)`.
            condition: Conditions, one for each line.
            steps: Number of points on each line, both ends included.

        Returns:
            Array of shape `(n, steps, …)`.
        """
        first, last = self.encode(start, condition), self.encode(end, condition)
        path = straight(first, last, steps)
        return self._answers(path, self._checked_condition(condition))

    def grid(
        self,
        condition: Any,
        side: int = 20,
        limit: float = 3.0,
        units: tuple[int, int] = (0, 1),
        spacing: str = "even",
    ) -> np.ndarray:
        """Return `VariationalAutoencoder.grid` for each condition, `(n, side, side, …)`."""
        codes = self._square(side, limit, units, spacing)
        condition = self._checked_condition(condition)
        codes = np.broadcast_to(
            codes.reshape(1, side * side, -1), (len(condition), side**2, codes.shape[-1])
        )
        images = self._answers(codes, condition)
        return images.reshape((len(images), side, side, *images.shape[2:]))

    def _encoded_array(self, condition, batch_size):
        """Return c′ of conditions, outside training."""
        return self.view("_encoded")(_numpy(condition), batch_size)

    def _answers(self, codes, condition, batch_size=256, pixels=False, seed=None):
        """Return the means of p(x|z, c), or samples of it, for codes (n, k, …), k per condition."""
        count = codes.shape[1]
        encoded = np.repeat(self._encoded_array(condition, batch_size), count, axis=0)
        flat = codes.reshape((-1, *codes.shape[2:]))
        decoded = predictions(self.decoder, [flat, encoded], batch_size)
        image = np.repeat(_numpy(condition), count, axis=0) if self.complete else None
        p = self._distribution(decoded, image, decoded.ndim - 1)
        x = _numpy(p.sample(seed=seed) if pixels else p.mean)
        return x.reshape((*codes.shape[:2], *x.shape[1:]))


class _Completed(Distribution):
    """p(x|z, c) if c is a part of x: that part has probability 1, the rest follows `inner`."""

    def __init__(self, inner: Distribution, decoded: Tensor, event_axes: int, image: Tensor):
        super().__init__(decoded, event_axes)
        image = ops.cast(image, "float32")
        self.inner, self.known = inner, image[..., :-1]
        self.seen = image[..., -1:] > 0.5

    def log_prob(self, value):
        # Of the hidden numbers alone: the visible ones have probability 1.
        hidden = ops.cast(ops.logical_not(self.seen[..., 0]), "float32")
        axes = tuple(range(1 - self.event_axes, 0))
        return ops.sum(hidden * self.inner.log_prob(value), axis=axes)

    @property
    def mean(self):
        return ops.where(self.seen, self.known, self.inner.mean)

    def sample(self, count=None, seed=None):
        return ops.where(self.seen, self.known, self.inner.sample(count, seed))


def _check_part(condition, output):
    if len(output) < 2 or not checks.fits(condition, (*output[:-1], output[-1] + 1)):
        raise ValueError(
            f"`complete` is True, but conditions have the shape {tuple(condition)} and examples "
            f"{tuple(output)}, expected images with one more channel, as "
            "`kerasae.corruptions.hide` makes them."
        )


def _optional(name, network):
    return None if network is None else checks.network(name, network)


def _numpy(x):
    return np.asarray(ops.convert_to_numpy(x))
