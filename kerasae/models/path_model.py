"""A model that generates along a path from noise to data.

    x_s = a(s) x + b(s) ε               a point of the path: an example with noise of level s
    x̂(x_s, s), ε̂(x_s, s)                what the network says of both
    dx_s/ds = ȧ(s) x̂ + ḃ(s) ε̂           the field that carries noise to data

This file trains the network. `path_sampler.py` follows the field.
"""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from kerasae import checks
from kerasae.engine import arguments, calls, noise
from kerasae.models import averaging, path_networks
from kerasae.models.over_codes import CODE, OverCodes
from kerasae.schedules import Schedule

Tensor = Any

START = "start"  # the name of given starts, in a batch with names
FIRST = 10_000  # mean and deviation of the data are those of so many examples


class PathModel(OverCodes):
    """Base class of models with a network that points from noise to data.

    A subclass defines `aim`, what the network learns, and the readings `clean`, x̂, and `noisy`, ε̂.

    Args:
        network: A Keras model from `[x, level]`, or `[x, level, one-hot label]`, to numbers of
            x's shape: `nets.residual_mlp` or `nets.unet`.
        schedule: The path and its levels.
        autoencoder: A trained autoencoder, in whose codes the path lies, or `None`.
        classes: Number of classes, for a model conditional on labels.
        drop: Share of the labels that training leaves out, for guidance.
        average: δ, the share that a step keeps of the averaged weights, which then generate; or
            `None` for the last weights.
        standardize: If True, data are shifted and scaled to the mean 0 and the deviation 1.
        interval: Range of the data, to which generated examples are clipped, or `None`.
    """

    loss_is = "the loss is the error of the network's aim"

    def __init__(
        self,
        network: keras.Model,
        schedule: Schedule,
        autoencoder: keras.Model | None,
        classes: int | None,
        drop: float,
        average: float | None,
        standardize: bool,
        interval: tuple[float, float] | None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.network, self.schedule = arguments.network("network", network), schedule
        self.classes = None if classes is None else checks.whole_number("classes", classes, 2)
        self.one_level = path_networks.takes_one_level(network)
        self.code_shape = path_networks.shape_of(network, self.classes)
        self.drop, self.average = checks.fraction("drop", drop), average
        self.standardize = checks.flag("standardize", standardize)
        self.interval = None if interval is None else checks.interval("interval", interval)
        if interval is not None and autoencoder is not None:
            raise ValueError(
                f"`interval` is {interval}, expected none: the autoencoder's decoder has a range."
            )
        if autoencoder is not None:
            path_networks.check_autoencoder(autoencoder, self.code_shape)
        self._fix(autoencoder)
        self.averaged = averaging.start("network", network, average)
        self.seed_generator = keras.random.SeedGenerator()
        self.center = self._number("center", self.code_shape[-1:], "zeros")
        self.scale = self._number("scale", (), "ones")
        self.is_started = self._number("is_started", (), "zeros")

    def _number(self, name: str, shape: tuple[int, ...], start: str) -> keras.Variable:
        return self.add_weight(
            name=name, shape=shape, initializer=start, trainable=False, autocast=False
        )

    # The mathematics.

    def aim(self, x: Tensor, start: Tensor, s: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return what the network's output shall be at level s, and the weights of its error."""
        raise NotImplementedError(f"{type(self).__name__} does not define `aim`.")

    def clean(self, x: Tensor, s: Tensor, output: Tensor) -> Tensor:
        """Return x̂ from the network's output at a point x of level s."""
        raise NotImplementedError(f"{type(self).__name__} does not define `clean`.")

    def noisy(self, x: Tensor, s: Tensor, output: Tensor) -> Tensor:
        """Return ε̂ from the network's output at a point x of level s."""
        raise NotImplementedError(f"{type(self).__name__} does not define `noisy`.")

    def draw_start(self, shape: tuple, seed: noise.Seed) -> Tensor:
        """Draw where the path begins: ε ~ N(0, I)."""
        return noise.normal(shape, seed)

    def paired(self, start: Tensor, x: Tensor) -> Tensor:
        """Return the starts in the order of the examples to go to; here as they are."""
        return start

    def compute(self, x, training):
        """Return x̂ of drawn noise in training; else of x itself, as if it had the middle level."""
        codes, label = self._read(x)
        found = {"codes": codes, "label": label, "x": self._standard(codes)}
        if isinstance(x, Mapping) and START in x:
            found[START] = ops.cast(x[START], "float32")
        if training:
            return found | self._drawn(found, training)
        s = self.schedule.draw(ops.full([1] * (1 + len(self.code_shape)), 0.5))
        point = self.schedule.place(s)[0] * found["x"]
        clean = self.clean(point, s, self._output(self.network, point, s, label))
        return found | {"output": self._restored(clean)}

    def terms(self, x, y, found):
        if "error" not in found:
            found |= self._drawn(found, False)
        return {self.parts[0]: found["error"]}

    def _drawn(self, found: dict[str, Any], training: bool) -> dict[str, Tensor]:
        """Draw a point of each example's path; return the error there, and x̂ if it is measured."""
        x, label = found["x"], found["label"]
        seed, count = self.noise(training), ops.shape(x)[0]
        start = found.get(START)
        if start is None:
            start = self.paired(self.draw_start((count, *self.code_shape), seed), x)
        seed = noise.derived_seed(seed)
        s = self.schedule.draw(noise.uniform((count, *[1] * len(self.code_shape)), seed))
        if label is not None and training and self.drop:
            kept = noise.uniform((count, 1), noise.derived_seed(seed)) >= self.drop
            label = label * ops.cast(kept, label.dtype)
        point = self.schedule.point(x, start, s)
        output = self._output(self.network, point, s, label, training)
        aim, weight = self.aim(x, start, s)
        error = ops.square(output - aim)
        error = error if weight is None else weight * error
        drawn = {"error": ops.mean(error, axis=tuple(range(1, len(x.shape)))), "output": None}
        if self.has_metrics:
            drawn["output"] = self._restored(self.clean(point, s, output))
        return drawn

    def _output(self, network, x, s, label, training=False):
        """Return the network's output for x at level s, `(n, 1, …)` or `(1, 1, …)`."""
        factor, level = self.schedule.seen(s)
        level = level if len(level.shape) == 2 else ops.reshape(level, (-1, 1))
        if not self.one_level:  # a network that joins x and the level needs as many of both
            level = ops.broadcast_to(level, (ops.shape(x)[0], 1))
        given = [factor * x, level] if label is None else [factor * x, level, label]
        return ops.cast(calls.call(network, given, training), "float32")

    def _standard(self, x: Tensor) -> Tensor:
        """Return x with the mean 0 and the deviation 1."""
        x = ops.cast(x, "float32")
        return (x - ops.convert_to_tensor(self.center)) / ops.convert_to_tensor(self.scale)

    def _restored(self, x: Tensor) -> Tensor:
        return x * ops.convert_to_tensor(self.scale) + ops.convert_to_tensor(self.center)

    def play(self, batch):
        results = super().play(batch)
        if self.averaged is not None:
            averaging.update(self.averaged, self.network, self.average, self.optimizer)
        return results

    # Codes of an autoencoder, and training.

    def _encoded(self, x):
        return getattr(self.autoencoder, self.autoencoder.between[0])(x)

    def _decode(self, codes, batch_size):
        return self.autoencoder.view(self.autoencoder.between[1])(codes, batch_size)

    def check_codes(self, name, value):
        checks.check_array(name, value, self.code_shape, integers=False)

    def fit(self, x=None, y=None, *args, validation_data=None, **kwargs):
        """Train as `keras.Model.fit` does; arrays are encoded once, before the first step."""
        if _is_whole(x := _as_arrays(x)):
            x, y = self.encoded(x, y)
            if not self.started:
                self.start(self._codes_in(x))
        elif x is not None and not self.started:
            batch, x = arguments.first_batch(x)
            first, *_ = keras.utils.unpack_x_y_sample_weight(batch)
            self.start(self.view("_codes_of")(first, 256))
        if validation_data is not None:
            valid, *rest = keras.utils.unpack_x_y_sample_weight(validation_data)
            if _is_whole(valid := _as_arrays(valid)):
                labels, weights = rest
                validation_data = (*self.encoded(valid, labels), weights)
        return super().fit(x, y, *args, validation_data=validation_data, **kwargs)

    def encoded(self, x: Any, y: Any = None) -> tuple[Any, Any]:
        """Return examples as `fit` takes them after encoding: codes by name, with their labels.

        Without an autoencoder they are returned as they are.
        """
        named = isinstance(x, Mapping)
        if not named:
            x, y = checks.as_array("x", x), checks.as_array("y", y)
        self.check_batch(x, y, None)
        if self.autoencoder is None or (named and CODE in x):
            return x, y
        codes = {CODE: self.view("_codes_of")(x["x"] if named else x, 256)}
        if self.classes is not None:
            codes["label"] = x["label"] if named else y
        if named and START in x:
            codes[START] = x[START]
        return codes, None

    def _codes_in(self, x: Any) -> Any:
        return x.get(CODE, x.get("x")) if isinstance(x, Mapping) else x

    @property
    def started(self) -> bool:
        """Return whether the mean and the deviation of the data are known."""
        return not self.standardize or bool(ops.convert_to_numpy(self.is_started))

    def start(self, codes: Any) -> None:
        """Take the mean and the deviation of the data: what the network sees has 0 and 1.

        Args:
            codes: Examples, or codes if there is an autoencoder.
        """
        codes = checks.to_numpy("codes", codes)[:FIRST].astype("float64")
        center = codes.mean(axis=tuple(range(codes.ndim - 1)))
        scale = float((codes - center).std())
        self.center.assign(center.astype("float32"))
        self.scale.assign(scale if scale > 0 else 1.0)
        self.is_started.assign(1.0)


def _as_arrays(x: Any) -> Any:
    return x if isinstance(x, Mapping) else checks.as_array("x", x)


def _is_whole(x: Any) -> bool:
    """Return whether all examples are here, in arrays, and not in a stream."""
    return isinstance(x, Mapping) or checks.is_array(x)
