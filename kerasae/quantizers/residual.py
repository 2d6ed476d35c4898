"""Residual quantization: each stage quantizes what the stages before it left over.

    r₁ = z,   q_s = Q_s(r_s),   r_{s+1} = r_s − q_s,   q = Σ_s q_s

S stages of K codewords describe a vector by S whole numbers: K^S vectors from SK codewords.

Zeghidour et al., "SoundStream: an end-to-end neural audio codec" (2021).
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from kerasae.quantizers.codebook import VectorQuantizer
from kerasae.quantizers.quantizer import Quantized, Quantizer, straight_through

Tensor = Any


@keras.saving.register_keras_serializable("kerasae")
class ResidualQuantizer(Quantizer):
    """The sum of several quantizers, each of what the others left over.

    Its indices have one axis more than those of its stages: a whole number for each stage.

    Args:
        stages: Vector quantizers of one size with the distance "euclidean", from the coarsest to
            the finest.

    Example:

    >>> layer = ResidualQuantizer([VectorQuantizer(8, seed=seed) for seed in range(3)])
    >>> q, indices, loss = layer.nearest(ops.ones((4, 7, 7, 16)))
    >>> tuple(indices.shape), tuple(layer.vectors(indices).shape)
    ((4, 7, 7, 3), (4, 7, 7, 16))
    """

    def __init__(self, stages: Sequence[VectorQuantizer], **kwargs) -> None:
        super().__init__(**kwargs)
        stages = list(stages)
        for stage in stages:
            if not isinstance(stage, VectorQuantizer) or stage.distance == "cosine":
                raise ValueError(
                    f"`stages` holds {stage!r}, expected vector quantizers with the distance "
                    "'euclidean'; a FiniteScalarQuantizer has its own `stages`."
                )
        if len({stage.size for stage in stages}) != 1:
            sizes = [stage.size for stage in stages]
            raise ValueError(f"`stages` have the sizes {sizes}, expected one size and a stage.")
        self.stages = stages

    @property
    def size(self) -> int:
        """Return K, the number of codewords of each stage."""
        return self.stages[0].size

    @property
    def index_shape(self) -> tuple[int, ...]:
        return (len(self.stages),)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        for stage in self.stages:
            if not stage.built:
                stage.build(input_shape)
        super().build(input_shape)

    def nearest(self, z: Tensor, training: bool = False) -> Quantized:
        """Return the sums of the stages' codewords, an index per stage and the loss."""
        if not self.built:
            self.build(tuple(z.shape))
        z = ops.cast(z, "float32")
        rest, loss, indices = z, 0.0, []
        for stage in self.stages:
            result = stage.nearest(rest, training)
            rest = rest - ops.stop_gradient(result.vectors)  # r_{s+1} = r_s − q_s
            loss = loss + result.loss
            indices.append(result.indices)
        quantized = straight_through(z, z - rest)
        return Quantized(quantized, ops.stack(indices, axis=-1), loss)

    def vectors(self, indices: Tensor) -> Tensor:
        """Return the sums of codewords for an index per stage."""
        return sum(stage.vectors(indices[..., number]) for number, stage in enumerate(self.stages))

    def _start(self, vectors, seed):
        """Start each stage from the centres of what the stages before it leave over."""
        for number, stage in enumerate(self.stages):
            stage.start(vectors, seed + number)
            indices = stage.nearest(ops.convert_to_tensor(vectors)).indices
            vectors = vectors - ops.convert_to_numpy(stage.vectors(indices))

    def get_config(self) -> dict[str, Any]:
        stages = [keras.saving.serialize_keras_object(stage) for stage in self.stages]
        return {**super().get_config(), "stages": stages}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        stages = [
            keras.saving.deserialize_keras_object(stage, custom_objects)
            for stage in config.pop("stages")
        ]
        return cls(stages=stages, **config)
