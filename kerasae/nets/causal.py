"""Autoregressive networks over codes of whole numbers: what comes at a place, given all before it.

    p(k) = Π_i p(k_i | k_1, …, k_{i−1})        places i in rows, from the top left

Every network here gives the logits of all the factors at once, and the logits of place i do not
depend on k_i and what comes after it. A causal transformer sees to it by a mask on its attention:

    x_i = E k_{i−1} + P_i (+ C y)              the codeword before, the place, and perhaps the class
    x ← x + A(norm x)                          attention to the places up to i
    x ← x + W₂ gelu(W₁ norm x)
    logits_i = W norm x_i

It can also go place by place, with the keys and values of earlier places kept: `step`.

Vaswani et al., "Attention is all you need" (2017).
"""

import math
from typing import Any

import keras
from keras import layers, ops

from kerasae import checks
from kerasae.nets import sizes
from kerasae.nets.sizes import Shape

Tensor = Any
Pair = tuple[Tensor, Tensor]

HIDDEN = 4  # the hidden layer of a block is so many times as wide as the block


def _small() -> keras.initializers.Initializer:
    """Return a new initializer for each weight: one of its own repeats its numbers."""
    return keras.initializers.RandomNormal(stddev=0.02)


def causal_transformer(
    shape: Shape,
    size: int,
    classes: int | None = None,
    width: int = 64,
    blocks: int = 2,
    heads: int = 4,
    dropout: float = 0.0,
) -> keras.Model:
    """Return a causal transformer over codes of whole numbers.

    Args:
        shape: Shape of a code, such as (7, 7).
        size: K; a code holds whole numbers below it.
        classes: Number of classes, if the network also takes a one-hot label.
        width: Numbers that stand for a place, a multiple of `heads`.
        blocks: Number of blocks of attention and hidden layer.
        heads: Number of attentions in a block.
        dropout: Share of the numbers that a block adds which are set to 0 in training.

    Returns:
        A Keras model from codes `(n, *shape)`, or `[codes, one-hot labels]`, to logits
        `(n, *shape, size)`.

    Example:

    >>> causal_transformer((7, 7), 512).output_shape
    (None, 7, 7, 512)
    """
    layer = CausalTransformer(sizes.shape("shape", shape), size, width, blocks, heads, dropout)
    inputs = [keras.Input(layer.shape, dtype="int32", name="code")]
    if classes is not None:
        inputs.append(keras.Input((checks.whole_number("classes", classes, 2),), name="label"))
    inputs = inputs if len(inputs) > 1 else inputs[0]
    return keras.Model(inputs, layer(inputs), name="causal_transformer")


@keras.saving.register_keras_serializable("kerasae")
class CausalTransformer(layers.Layer):
    """A causal transformer as one layer, which can also go place by place.

    Args:
        shape: Shape of a code.
        size: K, the number of codewords.
        width: Numbers that stand for a place.
        blocks: Number of blocks.
        heads: Number of attentions in a block.
        dropout: Share of the numbers that are set to 0 in training.

    Example:

    >>> layer = CausalTransformer((4,), size=8)
    >>> codes = ops.zeros((2, 4), "int32")
    >>> logits = layer(codes)
    >>> state = layer.start(codes[:, 0])
    >>> first, state = layer.step(codes[:, 0], None, state, 0)
    >>> bool(ops.all(ops.abs(first - logits[:, 0]) < 1e-5))
    True
    """

    def __init__(
        self,
        shape: Shape,
        size: int,
        width: int = 64,
        blocks: int = 2,
        heads: int = 4,
        dropout: float = 0.0,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.shape = sizes.shape("shape", shape)
        self.size = checks.whole_number("size", size, 2)
        self.width = checks.whole_number("width", width)
        self.heads = checks.whole_number("heads", heads)
        if self.width % self.heads:
            raise ValueError(f"`width` is {width}, expected a multiple of `heads`, {heads}.")
        self.dropout = checks.fraction("dropout", dropout)
        self.blocks = [
            CausalBlock(self.heads, self.dropout, dtype=self.dtype_policy)
            for _ in range(checks.whole_number("blocks", blocks))
        ]
        self.label = _dense(self.width, self.dtype_policy, use_bias=False)
        self.norm = layers.LayerNormalization(dtype=self.dtype_policy)
        self.head = _dense(self.size, self.dtype_policy)

    @property
    def places(self) -> int:
        """Return the number of places of a code."""
        return math.prod(self.shape)

    def build(self, input_shape: Any) -> None:
        """Create the weights; a label has an embedding of its own."""
        self.words = self.add_weight((self.size, self.width), _small(), name="words")
        self.positions = self.add_weight((self.places, self.width), _small(), name="positions")
        if _several(input_shape):
            self.label.build(input_shape[1])
        for block in self.blocks:
            block.build((None, self.places, self.width))
        self.norm.build((None, None, self.width))
        self.head.build((None, None, self.width))

    def call(self, inputs, training=False):
        codes, label = inputs if isinstance(inputs, (list, tuple)) else (inputs, None)
        codes = ops.reshape(codes, (-1, self.places))
        before = ops.pad(self._embedded(codes[:, :-1]), ((0, 0), (1, 0), (0, 0)))
        x = self._located(before, label, ops.convert_to_tensor(self.positions))
        for block in self.blocks:
            x, _ = block.attend(x, None, ops.arange(self.places), training)
        return ops.reshape(self._logits(x), (-1, *self.shape, self.size))

    def start(self, like: Tensor) -> list[Pair]:
        """Return the state before the first place, for as many codes as a tensor has rows."""
        nothing = ops.zeros(
            (ops.shape(like)[0], self.heads, self.places, self.width // self.heads),
            self.compute_dtype,
        )
        return [(nothing, nothing) for _ in self.blocks]

    def step(
        self, before: Tensor, label: Tensor | None, state: list[Pair], place: Tensor
    ) -> tuple[Tensor, list[Pair]]:
        """Return the logits of one place, `(n, K)`, and the state after it.

        Args:
            before: The whole numbers at the place before, `(n,)`; any at the first place.
            label: One-hot labels, or `None`.
            state: The state that the place before left.
            place: Index of the place.
        """
        places = ops.arange(1) + place
        follows = ops.cast(places > 0, self.compute_dtype)
        x = self._embedded(before[:, None]) * follows[:, None]
        x = self._located(x, label, ops.take(self.positions, places, axis=0))
        after = []
        for block, kept in zip(self.blocks, state, strict=True):
            x, kept = block.attend(x, kept, places, False)
            after.append(kept)
        return self._logits(x)[:, 0], after

    def _embedded(self, codes: Tensor) -> Tensor:
        return ops.cast(ops.take(self.words, ops.cast(codes, "int32"), axis=0), self.compute_dtype)

    def _located(self, x: Tensor, label: Tensor | None, positions: Tensor) -> Tensor:
        x = x + ops.cast(positions, self.compute_dtype)
        return x if label is None else x + self.label(label)[:, None]

    def _logits(self, x: Tensor) -> Tensor:
        return ops.cast(self.head(self.norm(x)), "float32")

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        first = input_shape[0] if _several(input_shape) else input_shape
        return (first[0], *self.shape, self.size)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "shape": list(self.shape),
            "size": self.size,
            "width": self.width,
            "blocks": len(self.blocks),
            "heads": self.heads,
            "dropout": self.dropout,
        }


def _dense(units: int, policy: Any, **options) -> layers.Dense:
    return layers.Dense(units, kernel_initializer=_small(), dtype=policy, **options)


def _several(input_shape: Any) -> bool:
    """Return whether these are the shapes of several inputs; a file has lists for tuples."""
    return isinstance(input_shape[0], (list, tuple))


class CausalBlock(layers.Layer):
    """x ← x + A(norm x), then x ← x + W₂ gelu(W₁ norm x).

    Args:
        heads: Number of attentions.
        dropout: Share of the numbers to be added that are set to 0 in training.
    """

    def __init__(self, heads: int, dropout: float, **kwargs) -> None:
        super().__init__(**kwargs)
        self.heads = heads
        self.drop = layers.Dropout(dropout, dtype=self.dtype_policy)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        width, policy = input_shape[-1], self.dtype_policy
        self.norms = [layers.LayerNormalization(dtype=policy) for _ in range(2)]
        self.triples = _dense(3 * width, policy)  # queries, keys and values
        self.merge = _dense(width, policy)
        self.hidden = _dense(HIDDEN * width, policy, activation="gelu")
        self.shrink = _dense(width, policy)
        for layer in (*self.norms, self.triples, self.merge, self.hidden):
            layer.build(input_shape)
        self.shrink.build((*input_shape[:-1], HIDDEN * width))

    def attend(
        self, x: Tensor, kept: Pair | None, places: Tensor, training: bool
    ) -> tuple[Tensor, Pair]:
        """Return the output at some places, and the keys and values of all of them.

        Args:
            x: The input at these places, `(n, places, width)`.
            kept: Keys and values of all places so far, `(n, heads, T, width / heads)`; or `None`
                if `places` are all that there are.
            places: The places' indices.
            training: Whether to drop numbers.
        """
        shape = (-1, x.shape[1], 3, self.heads, x.shape[2] // self.heads)
        triples = ops.reshape(self.triples(self.norms[0](x)), shape)
        queries, keys, values = ops.unstack(ops.transpose(triples, (2, 0, 3, 1, 4)), 3)
        if kept is not None:
            everywhere = ops.arange(kept[0].shape[2])
            here = ops.equal(everywhere, places)[:, None]
            keys, values = (
                ops.where(here, new, old) for new, old in zip((keys, values), kept, strict=True)
            )
        else:
            everywhere = places
        scores = ops.matmul(queries, ops.swapaxes(keys, 2, 3)) / math.sqrt(queries.shape[-1])
        allowed = everywhere[None, :] <= places[:, None]
        scores = ops.where(allowed, ops.cast(scores, "float32"), -1e9)
        shares = ops.cast(ops.softmax(scores), self.compute_dtype)
        found = ops.transpose(ops.matmul(shares, values), (0, 2, 1, 3))
        x = x + self.drop(self.merge(ops.reshape(found, ops.shape(x))), training=training)
        hidden = self.hidden(self.norms[1](x))
        return x + self.drop(self.shrink(hidden), training=training), (keys, values)
