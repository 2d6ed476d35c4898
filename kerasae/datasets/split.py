"""One part of a data set, in the form that every model of the course takes.

x ∈ [0, 1]^(n × height × width × channels),    y ∈ {0, …, k − 1}^n,    factors: name ↦ n values
"""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """Images with their labels and, if they are known, their true factors.

    A slice, a mask or an array of positions selects a smaller split.

    Args:
        x: Images in [0, 1], float32 of shape (n, height, width, channels).
        y: Labels, int64 of shape (n,).
        factors: The n true values of each generative factor, by name; empty if they are unknown.

    Example:
        >>> split = Split(np.zeros((9, 28, 28, 1), "float32"), np.arange(9))
        >>> split[:2]
        Split(2 images 28×28×1, labels 0–1)
        >>> len(split[split.y > 5])
        3
    """

    x: np.ndarray
    y: np.ndarray
    factors: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, which: slice | np.ndarray) -> "Split":
        # A bare integer would drop an axis, and make a split look like a pair of (x, y).
        if not isinstance(which, slice | np.ndarray):
            raise TypeError(f"The index of a Split is {which!r}, expected a slice or an array.")
        factors = {name: values[which] for name, values in self.factors.items()}
        return Split(self.x[which], self.y[which], factors)

    def per_class(self, count: int = 1) -> "Split":
        """Return the first `count` images of each class.

        Args:
            count: Number of images of each class.

        Returns:
            A split sorted by class.

        Raises:
            ValueError: If a class has fewer than `count` images.

        Example:
            >>> split = Split(np.zeros((6, 28, 28, 1), "float32"), np.array([1, 0, 1, 0, 2, 2]))
            >>> split.per_class(2).y.tolist()
            [0, 0, 1, 1, 2, 2]
        """
        labels, counts = np.unique(self.y, return_counts=True)
        if count < 1 or len(counts) == 0 or count > counts.min():
            raise ValueError(
                f"`count` is {count!r}, expected 1 to {counts.min() if len(counts) else 0}: "
                "the number of images in the smallest class."
            )
        return self[np.concatenate([np.flatnonzero(self.y == label)[:count] for label in labels])]

    def __repr__(self) -> str:
        parts = [f"{len(self)} images {'×'.join(map(str, self.x.shape[1:]))}"]
        if len(self):
            parts.append(f"labels {self.y.min()}–{self.y.max()}")
        if self.factors:
            parts.append(f"factors {', '.join(self.factors)}")
        return f"Split({', '.join(parts)})"


def scaled(images: np.ndarray) -> np.ndarray:
    """Turn uint8 pixels 0 … 255 into float32 pixels in [0, 1].

    Example:
        >>> scaled(np.array([0, 255], dtype="uint8")).tolist()
        [0.0, 1.0]
    """
    # x = pixel / 255: division and not multiplication by 1/255, so that 255 becomes exactly 1.
    return np.divide(images, np.float32(255), dtype=np.float32)
