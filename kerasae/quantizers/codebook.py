"""Vector quantization: each vector of a code becomes the nearest one of a codebook.

    k = argmin_k ‖z − e_k‖,   q = e_k
    loss = β ‖z − sg(e_k)‖²                   the encoder commits itself to codewords
         + ‖sg(z) − e_k‖²                     if the codebook learns by the gradient

or, instead of the second term, each codeword is the moving average of the vectors it stands for:

    N_k ← γ N_k + (1 − γ) n_k,   m_k ← γ m_k + (1 − γ) Σ z,   e_k = m_k / N_k

van den Oord, Vinyals & Kavukcuoglu, "Neural discrete representation learning" (2017).
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae import checks
from kerasae.engine import devices, noise, platform
from kerasae.quantizers.quantizer import Quantized, Quantizer, mean_of_each, straight_through

Tensor = Any
EPSILON = 1e-5  # keeps a codeword that stands for nothing finite
ITERATIONS = 10  # of k-means


@keras.saving.register_keras_serializable("kerasae")
class VectorQuantizer(Quantizer):
    """The nearest of K codewords.

    A codeword that stands for no vector in `restart` steps becomes a random vector of the batch:
    without this, most codewords of a large codebook are never used. On several devices all copies
    have the same codebook.

    Args:
        size: K, the number of codewords.
        commitment: β, the weight of the encoder's distance to its codewords.
        update: "average", moving averages, or "gradient".
        decay: γ of the moving averages.
        restart: Number of training steps after which an unused codeword is replaced, or `None`;
            with "average" only.
        distance: "euclidean", or "cosine": vectors and codewords of length 1.
        k_means: If False, training starts from the random codebook, not from the centres of codes.
        seed: Seed of the first codebook and of the replacements, or `None`.

    Example:

    >>> layer = VectorQuantizer(8, seed=0)
    >>> z = ops.ones((4, 7, 7, 16))
    >>> q, indices, loss = layer.nearest(z)
    >>> tuple(q.shape), tuple(indices.shape), tuple(loss.shape)
    ((4, 7, 7, 16), (4, 7, 7), (4,))
    >>> tuple(layer.vectors(indices).shape)
    (4, 7, 7, 16)
    >>> layer = VectorQuantizer(2)
    >>> layer.start(np.float32([[0, 0], [0, 0], [9, 9]]))
    >>> sorted(ops.convert_to_numpy(layer.codebook).tolist())
    [[0.0, 0.0], [9.0, 9.0]]
    """

    def __init__(
        self,
        size: int,
        commitment: float = 0.25,
        update: str = "average",
        decay: float = 0.99,
        restart: int | None = 50,
        distance: str = "euclidean",
        k_means: bool = True,
        seed: int | None = None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self._size = checks.whole_number("size", size)
        self.commitment = checks.not_negative("commitment", commitment)
        self.update = checks.one_of("update", update, ("average", "gradient"))
        self.decay = checks.fraction("decay", decay)
        if restart is not None:
            checks.whole_number("restart", restart)
        self.restart = restart if update == "average" else None
        self.distance = checks.one_of("distance", distance, ("euclidean", "cosine"))
        self.k_means = checks.flag("k_means", k_means)
        self.seed = checks.seed("seed", seed)
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        dimension, moving = input_shape[-1], self.update == "average"
        scale = keras.initializers.RandomUniform(-1 / self.size, 1 / self.size, seed=self.seed)

        self.codebook = self.number("codebook", (self.size, dimension), scale, not moving)
        if moving:
            self.counts = self.number("counts", (self.size,), "ones")  # N
            self.sums = self.number("sums", (self.size, dimension), scale)  # m, the same numbers
        if self.restart is not None:
            self.unused = self.number("unused", (self.size,), "zeros")  # steps
        super().build(input_shape)

    @property
    def size(self) -> int:
        """Return K, the number of codewords."""
        return self._size

    @property
    def started(self) -> bool:
        return super().started or not self.k_means

    def codewords(self) -> Tensor:
        """Return the codewords, `(K, d)`."""
        return self._on_sphere(ops.convert_to_tensor(self.codebook))

    def vectors(self, indices: Tensor) -> Tensor:
        """Return the codewords of indices."""
        return ops.take(self.codewords(), indices, axis=0)

    def nearest(self, z: Tensor, training: bool = False) -> Quantized:
        """Return the nearest codewords, their indices and the loss of each example."""
        if not self.built:
            self.build(tuple(z.shape))
        z = self._on_sphere(ops.cast(z, "float32"))
        many = len(z.shape) != 2  # vectors in an example
        flat = ops.reshape(z, (-1, z.shape[-1])) if many else z
        codewords = self.codewords()
        # ‖z − e‖² = ‖z‖² − 2 zᵀe + ‖e‖², and ‖z‖² is the same for all e.
        fixed = ops.stop_gradient(codewords)
        distances = ops.sum(fixed**2, axis=-1) - 2 * ops.matmul(
            ops.stop_gradient(flat), ops.transpose(fixed)
        )
        places = ops.cast(ops.argmin(distances, axis=-1), "int32")
        chosen = ops.take(codewords, places, axis=0)
        chosen = ops.reshape(chosen, ops.shape(z)) if many else chosen
        loss = self.commitment * mean_of_each((z - ops.stop_gradient(chosen)) ** 2)
        if self.update == "gradient":
            loss = loss + mean_of_each((ops.stop_gradient(z) - chosen) ** 2)
        elif training:
            self._average(ops.stop_gradient(flat), places)
        indices = ops.reshape(places, ops.shape(z)[:-1]) if many else places
        return Quantized(straight_through(z, chosen), indices, loss)

    def _average(self, flat: Tensor, places: Tensor) -> None:
        """Move the codewords towards the vectors that they stand for."""
        counts = platform.occurrences(places, self.size)  # n_k
        sums = platform.segment_sum(flat, places, self.size)  # Σ z
        counts, sums = devices.totals(counts, sums)
        counts_then = self.decay * self.counts + (1 - self.decay) * counts
        sums_then = self.decay * self.sums + (1 - self.decay) * sums
        codewords = sums_then / ops.maximum(counts_then, EPSILON)[:, None]
        if self.restart is not None:
            unused = ops.where(counts > 0, 0.0, self.unused + 1)
            dead = unused >= self.restart
            new = self._replacements(flat)
            codewords = ops.where(dead[:, None], new, codewords)
            counts_then = ops.where(dead, 1.0, counts_then)
            sums_then = ops.where(dead[:, None], new, sums_then)
            self.unused.assign(ops.where(dead, 0.0, unused))
        self.counts.assign(counts_then)
        self.sums.assign(sums_then)
        self.codebook.assign(codewords)

    def _replacements(self, flat: Tensor) -> Tensor:
        """Return a random vector of the batch for each codeword; all copies get the first's."""
        count = ops.cast(ops.shape(flat)[0], "float32")
        places = noise.uniform((self.size,), self.seed_generator) * count
        places = ops.minimum(ops.cast(places, "int32"), ops.cast(count, "int32") - 1)
        vectors = ops.take(flat, places, axis=0)
        first = ops.cast(ops.equal(devices.rank(), 0), "float32")
        return devices.totals(first * vectors)[0]

    def _on_sphere(self, vectors: Tensor) -> Tensor:
        return ops.normalize(vectors, axis=-1) if self.distance == "cosine" else vectors

    def _start(self, vectors, seed):
        """Start from the centres that k-means finds."""
        if self.distance == "cosine":
            vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        centres = _k_means(vectors, self.size, seed)
        self.codebook.assign(centres)
        if self.update == "average":
            self.counts.assign(np.ones(self.size, "float32"))
            self.sums.assign(centres)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "size": self.size,
            "commitment": self.commitment,
            "update": self.update,
            "decay": self.decay,
            "restart": self.restart,
            "distance": self.distance,
            "k_means": self.k_means,
            "seed": self.seed,
        }


def _k_means(points: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return the centres of k-means, begun at points drawn far apart (k-means++)."""
    generator = np.random.default_rng(seed)
    points = points[generator.permutation(len(points))[: max(64 * count, 4096)]]
    centres = points[:1]
    nearest = np.sum((points - centres[0]) ** 2, axis=1)
    while len(centres) < min(count, 256):  # each at a distance from those before it
        chance = nearest + 1e-12
        place = generator.choice(len(points), p=chance / chance.sum())
        centres = np.concatenate([centres, points[[place]]])
        nearest = np.minimum(nearest, np.sum((points - points[place]) ** 2, axis=1))
    more = generator.integers(len(points), size=count - len(centres))
    centres = np.concatenate([centres, points[more]])
    for _ in range(ITERATIONS):
        owner = np.concatenate(
            [
                np.argmin(np.sum(centres**2, axis=1) - 2 * part @ centres.T, axis=1)
                for part in np.array_split(points, len(points) // 4096 + 1)
            ]
        )
        counts = np.bincount(owner, minlength=count)
        sums = np.zeros_like(centres)
        np.add.at(sums, owner, points)
        full = counts > 0
        centres[full] = sums[full] / counts[full, None]
        centres[~full] = points[generator.integers(len(points), size=(~full).sum())]
    return centres.astype("float32")
