"""Batches made when a model asks for them, on every backend: what `datasets.stream` hands out.

batch i = x[π(i·b), …, π((i+1)·b − 1)]      π the order of the pass
"""

import keras
import numpy as np

from kerasae.datasets import drawn
from kerasae.datasets.split import scaled

Batch = np.ndarray | tuple[np.ndarray, np.ndarray]


class _Batches(keras.utils.PyDataset):
    """`n` images in batches of `batch_size`, the last one shorter."""

    def __init__(self, n: int, batch_size: int, labels: bool):
        super().__init__()
        self.n, self.batch_size, self.labels = n, batch_size, labels

    def __len__(self) -> int:
        return -(-self.n // self.batch_size)

    def __getitem__(self, index: int) -> Batch:
        if not 0 <= index < len(self):
            raise IndexError(f"index must be in 0 … {len(self) - 1}; got {index}.")
        images, labels = self.fetch(index, min(self.batch_size, self.n - index * self.batch_size))
        x = scaled(images)
        return (x, labels) if self.labels else x


class Drawn(_Batches):
    """Batches of an embedded set, each drawn from (seed, split, index) and kept nowhere.

    Args:
        name: the embedded set.
        n: number of images.
        batch_size: images a batch.
        split: "train" or "test".
        seed: the set's seed.
        size: side of the images, for sets that have several.
        labels: whether a batch is (x, y) instead of x.
    """

    def __init__(
        self,
        name: str,
        n: int,
        batch_size: int,
        *,
        split: str,
        seed: int,
        size: int | None,
        labels: bool,
    ):
        super().__init__(n, batch_size, labels)
        self.name, self.split, self.seed, self.size = name, split, seed, size

    def fetch(self, index: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw batch `index`."""
        where = {"split": self.split, "seed": self.seed, "size": self.size, "batch": index}
        images, labels, _ = drawn.draw(self.name, count, **where)
        return images, labels


class Stored(_Batches):
    """Batches of arrays in memory; a shuffled one takes its order from (seed, number of the pass).

    Keras may count one pass more than epochs, for its first look at the data.

    Args:
        images: uint8 images (n, height, width, channels).
        y: their labels.
        batch_size: images a batch.
        seed: None for the order of the arrays; else the seed of the order of every pass.
        labels: whether a batch is (x, y) instead of x.
    """

    def __init__(
        self, images: np.ndarray, y: np.ndarray, batch_size: int, *, seed: int | None, labels: bool
    ):
        super().__init__(len(images), batch_size, labels)
        self.images, self.y, self.seed = images, y, seed
        self._begin(0)

    def _begin(self, number: int) -> None:
        self.number = number
        self.order = np.arange(self.n)
        if self.seed is not None:
            self.order = np.random.default_rng((self.seed, number)).permutation(self.n)

    def on_epoch_end(self) -> None:
        """Draw the order of the next pass."""
        self._begin(self.number + 1)

    def fetch(self, index: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Pick batch `index` of this pass."""
        start = index * self.batch_size
        which = self.order[start : start + count]
        return self.images[which], self.y[which]
