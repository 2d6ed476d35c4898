"""The stacked autoencoder: several hidden layers, with the decoder's weights the encoder's own.

    h_k = φ(W_k h_{k−1} + b_k)      k = 1 … n,  h_0 = x,  the code is h_n
    ĥ_{k−1} = φ(W_kᵀ ĥ_k + c_k)     k = n … 1,  ĥ_n = h_n,  the reconstruction is ĥ_0

For n = 2 the deck writes W3 = W2ᵀ and W4 = W1ᵀ. Stage k, the two layers around W_k, is a shallow
autoencoder of h_{k−1}, so that the stages can be trained one after the other.

Bengio, Lamblin, Popovici & Larochelle, "Greedy layer-wise training of deep networks" (2007);
Vincent et al., "Stacked denoising autoencoders" (2010), with corruption.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import layers, ops

from kerasae import checks
from kerasae.callbacks import WholeSetMean
from kerasae.engine.streams import predictions
from kerasae.layers import Conv2DTranspose, TiedConv2DTranspose, TiedDense
from kerasae.models.autoencoder import Autoencoder
from kerasae.training import layerwise

Shape = tuple[int, ...]


@keras.saving.register_keras_serializable("kerasae")
class StackedAutoencoder(Autoencoder):
    """An autoencoder of several stages, input → filters → units and back, tied or not.

    When tied, the decoder has biases of its own and no kernels: its kernels are the encoder's
    variables, transposed. It is saved with the model, not alone; `untied()` frees it.

    The hidden layers are called `hidden_1`, `hidden_2`, … in the encoder and on through the
    decoder, whose last layer is called `outputs`.

    Args:
        units: Sizes of the fully connected hidden layers; the last is the code's.
        tied: Whether the decoder shares the encoder's kernels.
        activation: φ, of every hidden layer, by name or as a function.
        code_activation: Of the code; `None` for the same as `activation`, `"linear"` for none.
        output_activation: Of the reconstruction: `"sigmoid"` for values in [0, 1], `"linear"`
            for any others, which a sigmoid can never reach.
        filters: Channels of convolutions with strides of 2 that come before the `units`, for
            images whose sides can be halved as often. With `units=()` the code is the last one's
            map, of shape `(height / 2ⁿ, width / 2ⁿ, filters[-1])` for n filters.
        kernel_size: Side of the convolutions' kernels.
        input_shape: Shape of one example, or `None` to see it at the first `fit`. Examples that
            are no vectors are flattened on the way to the `units`, and get their shape back.
        corruption: C, as in `Autoencoder`.
        penalty: Ω, as in `Autoencoder`.

    Example:

    >>> from kerasae.models.stacked import StackedAutoencoder
    >>> model = StackedAutoencoder(units=(300, 150), input_shape=(784,))
    >>> model.count_params() == 784 * 300 + 300 * 150 + (300 + 150 + 300 + 784)
    True
    >>> [tuple(layer.kernel.shape) for layer in model.decoder.layers]
    [(300, 150), (784, 300)]
    """

    # Phase after phase, as deck E draws it; see there.
    fit_layerwise = layerwise.fit_layerwise

    def __init__(
        self,
        units: Sequence[int] = (300, 150),
        tied: bool = True,
        activation: str | Callable | None = "elu",
        code_activation: str | Callable | None = None,
        output_activation: str | Callable | None = "sigmoid",
        filters: Sequence[int] = (),
        kernel_size: int = 3,
        input_shape: Shape | None = None,
        corruption: layers.Layer | None = None,
        penalty: Any = None,
        **kwargs,
    ) -> None:
        decoder = _TiedDecoder if checks.flag("tied", tied) else keras.Sequential
        empty = keras.Sequential(name="encoder"), decoder(name="decoder")
        super().__init__(*empty, corruption, penalty, **kwargs)
        self.units, self.filters = checks.sizes("units", units), checks.sizes("filters", filters)
        if not self.units and not self.filters:
            raise ValueError("`units` and `filters` are empty, expected at least one hidden layer.")
        self.tied = bool(tied)
        self.activation = checks.activation("activation", activation)
        code_activation = activation if code_activation is None else code_activation
        self.code_activation = checks.activation("code_activation", code_activation)
        self.output_activation = checks.activation("output_activation", output_activation)
        self.kernel_size = checks.positive("kernel_size", kernel_size)
        self.hidden_shapes: tuple[Shape, ...] = ()  # of h_0, h_1, … h_n, once they are known
        self._given_shape = input_shape

    def input_shape_of_networks(self):
        if self._given_shape is None:
            return None
        return (None, *checks.sizes("input_shape", self._given_shape))

    @property
    def depth(self) -> int:
        """n, the number of stages: of hidden layers up to the code."""
        return len(self.filters) + len(self.units)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Fills the encoder and the decoder, stage by stage."""
        if not self.hidden_shapes:
            self.hidden_shapes = self._hidden_shapes(tuple(input_shape[1:]))
            stages = {k: self._new_stage(k) for k in range(1, self.depth + 1)}
            self.encoder.add(keras.Input(self.hidden_shapes[0]))
            self.decoder.add(keras.Input(self.hidden_shapes[-1]))
            for k, (first, _) in stages.items():
                for layer in self._up(k, first):
                    self.encoder.add(layer)
            for k, (_, last) in reversed(stages.items()):
                for layer in self._down(k, last):
                    self.decoder.add(layer)
        super().build((None, *self.hidden_shapes[0]))

    def _hidden_shapes(self, shape: Shape) -> tuple[Shape, ...]:
        factor = 2 ** len(self.filters)
        if not shape:
            raise ValueError("`input_shape` is (), expected the shape of one example.")
        checks.sizes("input_shape", shape)
        if self.filters and (len(shape) != 3 or shape[0] % factor or shape[1] % factor):
            raise ValueError(
                f"`input_shape` is {shape}, expected (height, width, channels) with a height and "
                f"width divisible by {factor}: each of the {len(self.filters)} layers of `filters` "
                "halves them."
            )
        shapes = [shape]
        for channels in self.filters:
            height, width, _ = shapes[-1]
            shapes.append((height // 2, width // 2, channels))
        return (*shapes, *((size,) for size in self.units))

    def _new_stage(self, k: int) -> tuple[layers.Layer, layers.Layer]:
        """The two layers of stage k: h_{k−1} → h_k, and back."""
        wide, narrow = self.hidden_shapes[k - 1], self.hidden_shapes[k]
        up = {
            "activation": self.code_activation if k == self.depth else self.activation,
            "name": f"hidden_{k}",
            "dtype": self.dtype_policy,
        }
        down = {
            "activation": self.output_activation if k == 1 else self.activation,
            "name": "outputs" if k == 1 else f"hidden_{2 * self.depth - k + 1}",
            "dtype": self.dtype_policy,
        }
        if k <= len(self.filters):
            first = layers.Conv2D(narrow[-1], self.kernel_size, 2, "same", **up)
            if self.tied:
                return first, TiedConv2DTranspose(first, **down)
            return first, Conv2DTranspose(wide[-1], self.kernel_size, 2, "same", **down)
        first = layers.Dense(narrow[-1], **up)
        if self.tied:
            return first, TiedDense(first, **down)
        return first, layers.Dense(math.prod(wide), **down)

    def _up(self, k: int, first: layers.Layer) -> list[layers.Layer]:
        return [layers.Flatten(dtype=self.dtype_policy), first] if self._flattens(k) else [first]

    def _down(self, k: int, last: layers.Layer) -> list[layers.Layer]:
        if not self._flattens(k):
            return [last]
        return [last, layers.Reshape(self.hidden_shapes[k - 1], dtype=self.dtype_policy)]

    def _flattens(self, k: int) -> bool:
        return k > len(self.filters) and len(self.hidden_shapes[k - 1]) > 1

    def hidden(self, k: int) -> keras.Model:
        """The encoder up to hidden layer k, x → h_k: a Keras model of the same layers."""
        self._check_stage(k)
        last = self.encoder.get_layer(f"hidden_{k}")
        inputs = h = keras.Input(self.hidden_shapes[0])
        for layer in self.encoder.layers:
            h = layer(h)
            if layer is last:
                break
        return keras.Model(inputs, h, name=f"encoder_to_hidden_{k}")

    def phase_network(
        self,
        k: int,
        copied: bool = False,
        corruption: Any = "model",
        penalty: Any = "model",
    ) -> "PhaseNetwork":
        """The shallow autoencoder of h_{k−1} that phase k of greedy training trains.

        Args:
            k: Which stage, from 1.
            copied: `False`: the stack's own layers, in one graph with those below, which are
                fixed: it takes x. `True`: a network of its own with copies of the stack's
                parameters: it takes h_{k−1}, and `put_back` copies them into the stack.
            corruption: C of h_{k−1}; `"model"` for a fresh copy of the model's own.
            penalty: Ω of h_k; `"model"` for fresh copies of the model's own.
        """
        self._check_stage(k)
        first = self.encoder.get_layer(f"hidden_{k}")
        down = "outputs" if k == 1 else f"hidden_{2 * self.depth - k + 1}"
        last = self.decoder.get_layer(down)
        if copied:
            first, last = self._new_stage(k)
        wide, narrow = self.hidden_shapes[k - 1 : k + 1]
        fixed = f", with {', '.join(f'H{i}' for i in range(1, k))} fixed" if k > 1 else ""
        try:
            network = PhaseNetwork(
                keras.Sequential([keras.Input(wide), *self._up(k, first)]),
                keras.Sequential([keras.Input(narrow), *self._down(k, last)]),
                _fresh(self.corruption if corruption == "model" else corruption),
                _fresh(list(self.penalties) if penalty == "model" else penalty),
                below=self.hidden(k - 1) if k > 1 and not copied else None,
                name=f"phase_{k}",
                dtype=self.dtype_policy,
                summary_line=" → ".join(map(_sides, [wide, narrow, wide])) + fixed,
            )
        except ValueError as error:  # a code between layers is another than the last one
            raise ValueError(
                f"phase {k} cannot be built as the whole model is, expected a `corruption` or "
                f"`penalty` that fits it, in a list with one for each phase: {error}"
            ) from error
        if copied:
            _copy(self.phase_network(k, corruption=None, penalty=None), network)
        return network

    def put_back(self, k: int, network: "PhaseNetwork") -> None:
        """Copies the parameters of a copied phase network into stage k of the stack."""
        _copy(network, self.phase_network(k, corruption=None, penalty=None))

    def fine_tuning_network(self) -> "PhaseNetwork":
        """The whole stack as the network of the last phase: its own layers, noise and penalty."""
        self._check_stage(self.depth)
        parts = self.encoder, self.decoder, self.corruption, self.penalties
        shapes = [*self.hidden_shapes, *self.hidden_shapes[-2::-1]]
        line = "fine-tuning " + " → ".join(map(_sides, shapes))
        return PhaseNetwork(
            *parts, below=None, summary_line=line, name="fine_tuning", dtype=self.dtype_policy
        )

    def _check_stage(self, k: int) -> None:
        if not self.hidden_shapes:
            raise ValueError(
                "StackedAutoencoder has no layers yet, expected a built model: give `input_shape`, "
                "or call `build` or `fit` first."
            )
        if checks.positive("k", k) > self.depth:
            raise ValueError(f"`k` is {k}, expected a stage from 1 to {self.depth}.")

    def untied(self) -> "StackedAutoencoder":
        """The same function without the tie: the decoder has copies of the kernels, transposed."""
        self._check_stage(self.depth)
        config = {**self.get_config(), "tied": False}
        twin = type(self).from_config(config)
        for ours, free in ((self.encoder, twin.encoder), (self.decoder, twin.decoder)):
            for layer, copy in zip(ours.layers, free.layers, strict=True):
                weights = [keras.ops.convert_to_numpy(weight) for weight in layer.weights]
                if isinstance(layer, TiedDense):
                    weights[0] = weights[0].T
                copy.set_weights(weights)
        return twin

    def _check_input(self, x: Any, unit_interval: bool = False) -> None:
        super()._check_input(x, unit_interval)
        if not self.built:  # here, for Keras would wrap what is wrong with a shape
            self.build((None, *x.shape[1:]))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments; the networks follow from them."""
        return {
            **super().get_config(),
            "activation": keras.activations.serialize(self.activation),
            "code_activation": keras.activations.serialize(self.code_activation),
            "output_activation": keras.activations.serialize(self.output_activation),
            "input_shape": self.hidden_shapes[0] if self.hidden_shapes else None,
        }


class _TiedDecoder(keras.Sequential):
    """A decoder without kernels of its own: a file of its weights would lack them."""

    def save_weights(self, *args, **kwargs):
        raise ValueError(
            "`decoder` has its kernels from `encoder`, expected to be saved with the model that "
            "ties the two, or without the tie: `untied().decoder`."
        )


class PhaseNetwork(Autoencoder):
    """One phase of greedy training, L(g(f(h̃)), h) + Ω: an autoencoder of a hidden layer h.

    The names of its metrics begin with the phase's.

    Args:
        encoder: f.
        decoder: g.
        corruption: C.
        penalty: Ω.
        below: x → h, fixed: none of its variables belongs to this network. `None`: h = x.
        summary_line: What it does, in a line.
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        corruption: layers.Layer | None,
        penalty: Any,
        below: keras.Model | None,
        summary_line: str,
        **kwargs,
    ) -> None:
        super().__init__(encoder, decoder, corruption, penalty, **kwargs)
        object.__setattr__(self, "below", below)  # out of Keras's sight: no part of the network
        self.summary_line = summary_line

    @property
    def settings(self) -> dict[str, Any]:
        """What a phase is given beside its place in the stack."""
        parts = self.corruption, list(self.penalties)
        return {"phase": self.name, "parts": keras.saving.serialize_keras_object(parts)}

    def compute(self, x, training):
        h = self._hidden(x)
        return {"target": h, **super().compute(h, training)}

    def target(self, x, y, found):
        """h: in phase 2 the loss is the deck's MSE(hidden 3 − hidden 1)."""
        return found["target"] if "target" in found else self._hidden(x) if y is None else y

    def _hidden(self, x):
        return x if self.below is None else ops.stop_gradient(self.below(x, training=False))

    def get_metrics_result(self):
        """The metrics, as `phase_1_loss` and so on, in the progress bar and the history."""
        return {
            f"{self.name}_{name}": value for name, value in super().get_metrics_result().items()
        }

    def fit(self, x=None, *args, callbacks=None, **kwargs):
        """Trains as `Autoencoder.fit` does; a whole-set mean is one of codes of h."""
        if self.below is not None and any(
            getattr(penalty, "needs_whole_set", False) for penalty in self.penalties
        ):
            callbacks = [WholeSetMean(_Hidden(x, self.below)), *(callbacks or [])]
        return super().fit(x, *args, callbacks=callbacks, **kwargs)

    def check_batch(self, x: Any, y: Any, sample_weight: Any) -> None:
        if self.below is None:
            super().check_batch(x, None, sample_weight)
        elif checks.needs_unit_interval(self.loss):  # the stack has checked x, but not h
            super().check_batch(predictions(self.below, x, 256), None, sample_weight)


class _Hidden(keras.utils.PyDataset):
    """The batches of x as batches of h."""

    def __init__(self, batches: keras.utils.PyDataset, below: keras.Model) -> None:
        super().__init__()
        self.batches, self.below = batches, below

    def __len__(self) -> int:
        return self.batches.num_batches

    def __getitem__(self, index: int) -> tuple[Any]:
        return (self.below.predict_on_batch(self.batches[index][0]),)


def _sides(shape: Shape) -> str:
    """`28×28×1`, as a heading has it."""
    return "×".join(map(str, shape))


def _fresh(part: Any) -> Any:
    """A copy of a layer or regularizer with a state of its own, and of several of them."""
    if isinstance(part, keras.Sequential):  # its configuration would keep the input's shape
        return keras.Sequential([_fresh(layer) for layer in part.layers])
    if isinstance(part, (list, tuple)):
        return [_fresh(item) for item in part]
    return type(part).from_config(part.get_config()) if hasattr(part, "get_config") else part


def _copy(source: PhaseNetwork, target: PhaseNetwork) -> None:
    target.encoder.set_weights(source.encoder.get_weights())
    target.decoder.set_weights(source.decoder.get_weights())
