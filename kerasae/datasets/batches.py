"""Batches that are made on demand, on every backend: the data sets that `datasets.stream` returns.

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
            raise IndexError(f"`index` is {index}, expected 0 to {len(self) - 1}.")
        images, labels = self.fetch(index, min(self.batch_size, self.n - index * self.batch_size))
        x = scaled(images)
        return (x, labels) if self.labels else x


class Drawn(_Batches):
    """Batches of an embedded set, each drawn from (seed, split, index) and never stored.

    Args:
        name: The embedded set.
        n: Number of images.
        batch_size: Number of images in a batch.
        split: Either "train" or "test".
        seed: The set's seed.
        size: Side of the images, for sets that have several.
        labels: If True, a batch is (x, y) instead of x.
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
    """Batches of arrays in memory; the order of a shuffled pass is drawn from (seed, its number).

    Keras may count one pass more than epochs, because it first looks at the data.

    Args:
        images: Images, uint8 of shape (n, height, width, channels).
        y: Labels of the images.
        batch_size: Number of images in a batch.
        seed: Seed of the order of every pass; None keeps the order of the arrays.
        labels: If True, a batch is (x, y) instead of x.
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
