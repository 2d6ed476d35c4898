"""The stacked autoencoder: several hidden layers; the decoder's weights are the encoder's.

    h_k = φ(W_k h_{k−1} + b_k)      k = 1 … n,  h_0 = x,  the code is h_n
    ĥ_{k−1} = φ(W_kᵀ ĥ_k + c_k)     k = n … 1,  ĥ_n = h_n,  the reconstruction is ĥ_0

For n = 2 the deck writes W3 = W2ᵀ and W4 = W1ᵀ. Stage k, the two layers with W_k, is a shallow
autoencoder of h_{k−1}, so that the stages can be trained one after the other.

Bengio, Lamblin, Popovici & Larochelle, "Greedy layer-wise training of deep networks" (2007);
Vincent et al., "Stacked denoising autoencoders" (2010), with corruption.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kerasae import checks
from kerasae.engine import arguments
from kerasae.layers import Conv2DTranspose, TiedConv2DTranspose, TiedDense
from kerasae.models.autoencoder import Autoencoder
from kerasae.models.phases import PhaseNetwork, fresh, sides
from kerasae.training import layerwise

Shape = tuple[int, ...]


@keras.saving.register_keras_serializable("kerasae")
class StackedAutoencoder(Autoencoder):
    """An autoencoder of several stages, input → filters → units and back, tied or not.

    A tied decoder has its own biases but no kernels: its kernels are the encoder's variables,
    transposed. It can only be saved with the model; `untied()` returns a model without the tie.

    The hidden layers are called `hidden_1`, `hidden_2`, … through the encoder and the decoder,
    whose last layer is called `outputs`.

    Args:
        units: Sizes of the fully connected hidden layers; the last is the code's.
        tied: If True, the decoder shares the encoder's kernels.
        activation: Activation φ of every hidden layer, by name or as a function.
        code_activation: Activation of the code; `None` for the same as `activation`, `"linear"`
            for none.
        output_activation: Activation of the reconstruction: `"sigmoid"` for values in [0, 1],
            `"linear"` for others, which a sigmoid cannot reach.
        filters: Channels of convolutions with a stride of 2 before the `units`, for images whose
            sides are divisible by 2ⁿ for n filters. With `units=()` the code is the last feature
            map, of shape `(height / 2ⁿ, width / 2ⁿ, filters[-1])`.
        kernel_size: Side of the convolutions' kernels.
        input_shape: Shape of one example, or `None` to infer it in the first `fit`. Examples that
            are not vectors are flattened before the `units`, and reshaped in the decoder.
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

    # Phase after phase, as deck E draws it; see `kerasae.training.layerwise`.
    fit_layerwise = layerwise.fit_layerwise

    def __init__(
        self,
        units: Sequence[int] = (300, 150),
        tied: bool = True,
        activation: arguments.Activation = "elu",
        code_activation: arguments.Activation = None,
        output_activation: arguments.Activation = "sigmoid",
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
        self.activation = arguments.activation("activation", activation)
        code_activation = activation if code_activation is None else code_activation
        self.code_activation = arguments.activation("code_activation", code_activation)
        self.output_activation = arguments.activation("output_activation", output_activation)
        self.kernel_size = checks.whole_number("kernel_size", kernel_size)
        self.hidden_shapes: tuple[Shape, ...] = ()  # of h_0, h_1, … h_n, once they are known
        self._given_shape = input_shape

    def input_shape_of_networks(self):
        if self._given_shape is None:
            return None
        return (None, *checks.sizes("input_shape", self._given_shape))

    @property
    def depth(self) -> int:
        """Return n, the number of stages: of hidden layers up to the code."""
        return len(self.filters) + len(self.units)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Add the layers of the encoder and the decoder, stage by stage."""
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
        """Return the two layers of stage k: h_{k−1} → h_k, and back."""
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
        """Return the encoder up to hidden layer k, x → h_k: a Keras model of the same layers."""
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
    ) -> PhaseNetwork:
        """Return the shallow autoencoder of h_{k−1} for phase k of greedy training.

        Args:
            k: Number of the stage, from 1.
            copied: If False, it consists of the stack's own layers, in one graph with the fixed
                layers below, and takes x. If True, it is a separate network with copies of the
                stack's parameters and takes h_{k−1}; `put_back` copies them into the stack.
            corruption: C of h_{k−1}; `"model"` for a new copy of the model's own.
            penalty: Ω of h_k; `"model"` for new copies of the model's own.
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
                fresh(self.corruption if corruption == "model" else corruption),
                fresh(list(self.penalties) if penalty == "model" else penalty),
                below=self.hidden(k - 1) if k > 1 and not copied else None,
                name=f"phase_{k}",
                dtype=self.dtype_policy,
                summary_line=" → ".join(map(sides, [wide, narrow, wide])) + fixed,
            )
        except ValueError as error:  # a hidden code has another shape or range than the last one
            raise ValueError(
                f"phase {k} cannot be built with its `corruption` and `penalty`, expected ones "
                f"that fit it, in a list with one for each phase: {error}"
            ) from error
        if copied:
            self.phase_network(k, corruption=None, penalty=None).copy_to(network)
        return network

    def put_back(self, k: int, network: PhaseNetwork) -> None:
        """Copy the parameters of a copied phase network into stage k of the stack."""
        network.copy_to(self.phase_network(k, corruption=None, penalty=None))

    def fine_tuning_network(self) -> PhaseNetwork:
        """Return the network of the last phase: the whole stack's layers, noise and penalty."""
        self._check_stage(self.depth)
        parts = self.encoder, self.decoder, self.corruption, self.penalties
        shapes = [*self.hidden_shapes, *self.hidden_shapes[-2::-1]]
        line = "fine-tuning " + " → ".join(map(sides, shapes))
        return PhaseNetwork(
            *parts, below=None, summary_line=line, name="fine_tuning", dtype=self.dtype_policy
        )

    def _check_stage(self, k: int) -> None:
        if not self.hidden_shapes:
            raise ValueError(
                "StackedAutoencoder has no layers yet, expected a built model: give `input_shape`, "
                "or call `build` or `fit` first."
            )
        if checks.whole_number("k", k) > self.depth:
            raise ValueError(f"`k` is {k}, expected a stage from 1 to {self.depth}.")

    def untied(self) -> "StackedAutoencoder":
        """Return the same model without the tie: its decoder has copies of the kernels."""
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

    def _check_input(self, x: Any, unit_interval: bool = False) -> tuple[float, float]:
        ends = super()._check_input(x, unit_interval)
        if not self.built:  # built here, because Keras would wrap the error about a wrong shape
            self.build((None, *x.shape[1:]))
        return ends

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, which determine the networks."""
        return {
            **super().get_config(),
            "activation": keras.activations.serialize(self.activation),
            "code_activation": keras.activations.serialize(self.code_activation),
            "output_activation": keras.activations.serialize(self.output_activation),
            "input_shape": self.hidden_shapes[0] if self.hidden_shapes else None,
        }


class _TiedDecoder(keras.Sequential):
    """A decoder without its own kernels: a file of its weights would lack them."""

    def save_weights(self, *args, **kwargs):
        raise ValueError(
            "`decoder` has its kernels from `encoder`, expected to be saved with the model that "
            "ties the two, or without the tie: `untied().decoder`."
        )
