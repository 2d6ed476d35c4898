"""The base class of conditional models: each example comes with its condition c.

A subclass defines the distributions; this class defines how data and conditions are given to it,
checked and encoded, and its public methods, each with conditions:

    encode(x, c)          mean of q(z|x, c)
    decode(z, c)          mean of p(x|z, c)
    sample(c)             z ~ p(z|c), then the mean of p(x|z, c)
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae import checks, interpolation
from kerasae.engine import graphs
from kerasae.engine.streams import predictions
from kerasae.models import conditions
from kerasae.models.conditions import Conditioned
from kerasae.models.variational import VariationalAutoencoder


class ConditionalBase(VariationalAutoencoder):
    """A variational autoencoder whose networks take an encoded condition c′ as second input.

    A subclass defines `build`, the distributions, `_distribution` and `_prior_samples`.

    Args:
        encoder: A Keras model from `[x, c′]`.
        decoder: A Keras model from `[z, c′]`.
        classes: Number of classes, if conditions are labels.
        condition_network: A Keras model from the condition to c′, or `None`.
        condition_corruption: A layer that hides parts of the condition in training, or `None`.
        complete: If True, the condition is a part of x.
        **kwargs: Arguments of `VariationalAutoencoder`.
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        classes: int | None = None,
        condition_network: keras.Model | None = None,
        condition_corruption: keras.layers.Layer | None = None,
        complete: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(encoder, decoder, **kwargs)
        conditions.check_two_inputs("encoder", self.encoder)
        conditions.check_two_inputs("decoder", self.decoder)
        self.complete = checks.flag("complete", complete)
        if self.complete and classes is not None:
            raise ValueError("`complete` is given with `classes`, expected conditions of numbers.")
        self.conditions = conditions.Conditions(
            classes, condition_network, condition_corruption, self.compute_dtype
        )
        self.classes = self.conditions.classes
        self.condition_network = condition_network  # Keras saves layers by these names
        self.condition_corruption = condition_corruption

    def input_shape_of_networks(self):
        if not graphs.is_built(self.encoder):
            return None
        x, encoded = self.encoder.input_shape
        condition = self.conditions.shape(encoded)
        return None if condition is None else {"x": x, "condition": condition}

    # A subclass defines these.

    def _distribution(self, decoded: Any, image: Any, event_axes: int) -> Any:
        """Return p(x|z, c) from the decoder's output, and from the visible part of x if any."""
        raise NotImplementedError(f"{type(self).__name__} does not define `_distribution`.")

    def _prior_samples(self, condition: Any, count: int, seed: Any, batch_size: int) -> np.ndarray:
        """Return samples z ~ p(z|c), `(n, count, …)`, for conditions `(n, …)`."""
        raise NotImplementedError(f"{type(self).__name__} does not define `_prior_samples`.")

    # Data: examples with their conditions.

    def _example(self, x):
        return conditions.split(x)[0] if isinstance(x, (Mapping, Conditioned)) else x

    def target(self, x, y, found):
        return self._example(super().target(x, y, found))

    def corrupted(self, x, training):
        return x._replace(x=super().corrupted(x.x, training))

    def read(self, x: Any, training: bool = False) -> Conditioned:
        """Return the batch with c′, computed once."""
        if isinstance(x, Conditioned):
            return x
        x, condition = (ops.convert_to_tensor(part) for part in conditions.split(x))
        condition = self.conditions.corrupted(condition, training)
        image = condition if self.complete else None
        return Conditioned(x, self._encoded(condition, training), image, training)

    def _encoded(self, condition, training=False):
        return self.conditions.encoded(condition, training)

    def _checked_condition(self, condition):
        return self.conditions.checked(condition, self._shape("condition"))

    def _pair(self, x, condition):
        """Return examples and conditions as a dict, from two arrays or from the dict itself."""
        if isinstance(x, Mapping):
            if condition is not None:
                raise ValueError("`condition` is given beside a dict in `x`, expected it in `x`.")
            x, condition = conditions.split(x)
        x = checks.as_array("x", x)
        self._check_input(x)
        pair = {"x": x, "condition": self._checked_condition(condition)}
        checks.check_same_length(**pair)
        return {name: checks.as_numpy(part) for name, part in pair.items()}

    def check_batch(self, x: Any, y: Any, sample_weight: Any) -> None:
        """Check the examples as every autoencoder does, and that each has a condition."""
        x, condition = conditions.split(x)
        super().check_batch(x, y, sample_weight)
        checks.check_same_length(x=x, condition=self._checked_condition(condition))

    def _checked(self, x, y, sample_weight):
        """Check the data and return them; two arrays are examples and their conditions."""
        if not isinstance(x, Mapping) and x is not None:
            x = checks.as_array("x", x)
            if checks.is_array(x):
                x, y = {"x": x, "condition": checks.as_array("condition", y)}, None
        return super()._checked(x, y, sample_weight)

    def _examples(self, x: Any) -> Any:
        return self._pair(x, None) if isinstance(x, Mapping) else x

    # Use.

    def encode(self, x: Any, condition: Any = None, batch_size: int = 256) -> np.ndarray:
        """Return the codes: the means of q(z|x, c).

        Args:
            x: Examples, or a dict of them and their conditions.
            condition: Conditions, one for each example.
            batch_size: Number of examples at a time.
        """
        return self.view("_codes")(self._pair(x, condition), batch_size)

    def decode(self, code: Any, condition: Any, batch_size: int = 256) -> np.ndarray:
        """Return the means of p(x|z, c) at the given codes, each with its condition."""
        code = checks.as_array("code", code)
        checks.check_array("code", code, self._shape("code"))
        condition = self._checked_condition(condition)
        checks.check_same_length(code=code, condition=condition)
        return self._decode_each(checks.as_numpy(code)[:, None], condition, batch_size)[:, 0]

    def reconstruct(self, x: Any, condition: Any = None, batch_size: int = 256) -> np.ndarray:
        """Return the means of p(x|z, c) at the posteriors' means."""
        pair = self._pair(x, condition)
        codes = self.view("_codes")(pair, batch_size)
        return self._decode_each(codes[:, None], pair["condition"], batch_size)[:, 0]

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
        checks.whole_number("count", count)
        self._need_weights("sample")
        condition = self._checked_condition(condition)
        seed = self._source(seed)
        z = self._prior_samples(condition, count, seed, batch_size)
        return self._decode_each(z, condition, batch_size, pixels, seed)

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
        path = interpolation.straight(first, last, steps)
        return self._decode_each(path, self._checked_condition(condition))

    def grid(
        self,
        condition: Any,
        side: int = 20,
        limit: float = 3.0,
        units: tuple[int, int] = (0, 1),
        spacing: str = "even",
    ) -> np.ndarray:
        """Return `VariationalAutoencoder.grid` for each condition, `(n, side, side, …)`."""
        self._need_weights("grid")
        codes = interpolation.square(self._shapes["code"], side, limit, units, spacing)
        codes = codes.reshape(1, side**2, -1)
        condition = self._checked_condition(condition)
        images = self._decode_each(np.repeat(codes, len(condition), axis=0), condition)
        return images.reshape((len(images), side, side, *images.shape[2:]))

    def _encoded_array(self, condition: Any, batch_size: int) -> np.ndarray:
        """Return c′ of conditions `(n, …)`, without corruption."""
        return self.view("_encoded")(checks.as_numpy(condition), batch_size)

    def _decode_each(self, codes, condition, batch_size=256, pixels=False, seed=None):
        """Return the means of p(x|z, c), or samples of it, for codes (n, k, …), k per condition."""
        count = codes.shape[1]
        encoded = np.repeat(self._encoded_array(condition, batch_size), count, axis=0)
        flat = codes.reshape((-1, *codes.shape[2:]))
        decoded = predictions(self.decoder, [flat, encoded], batch_size)
        image = np.repeat(checks.as_numpy(condition), count, axis=0) if self.complete else None
        p = self._distribution(decoded, image, decoded.ndim - 1)
        x = checks.as_numpy(p.sample(seed=seed) if pixels else p.mean)
        return x.reshape((*codes.shape[:2], *x.shape[1:]))
