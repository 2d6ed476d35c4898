"""Information retrieval: neighbours of a code, and measures by the labels of their examples.

    real codes      d(h, h') = ‖h − h'‖
    binary codes    d(b, b') = Σᵢ [bᵢ ≠ b'ᵢ]      Hamming, 8 bits to a byte: XOR and count

    precision at k            share of relatives (same label) among the k nearest
    average precision         mean of the precision at r over the ranks r of all relatives

Hamming distances have many ties, and the order of equals is chance. Here both measures are their
expected values over all orders of equals, so they do not depend on the order of the database. A
group of s equals, r of them relatives, behind p examples with R relatives adds to the sum of
precisions

    Σᵢ (r/s) · (R + 1 + (i − 1)(r − 1)/(s − 1)) / (p + i)      i = 1 … s

McSherry & Najork, "Computing information retrieval performance measures efficiently in the
presence of tied scores" (2008); for binary codes Salakhutdinov & Hinton, "Semantic hashing"
(2009).
"""

import math
import numbers
from collections.abc import Iterator
from typing import Any

import numpy as np

from kerasae import checks
from kerasae.evaluation import pairs

# Squared distances that differ by less than this share of the largest are equal: beyond it
# there is rounding, and copies of an example must not be ranked by it.
TIE = 1e-10


def binary_codes(codes: Any, threshold: Any = 0.5) -> np.ndarray:
    """Return the bits of codes: True for numbers above the threshold.

    Codes of a sigmoid become binary by noise before the sigmoid in training, because only values
    near its two ends carry information through the noise. The loss is the cross entropy between
    the input and its reconstruction. Batch normalization before the noise makes each bit 1 about
    as often as 0. With much noise and a decoder of one layer, near codes are those of similar
    pictures, also after long training.

    ```python
    import keras
    from kerasae import Autoencoder, nets

    f = nets.mlp_encoder((28, 28, 1), code_size=32)
    encoder = keras.Sequential(  # h = sigmoid(4 (f(x) + ε)), ε ~ N(0, σ²) while it learns, else 0
        [
            f,
            keras.layers.BatchNormalization(center=False, scale=False),
            keras.layers.GaussianNoise(1.0),
            keras.layers.Rescaling(4.0),
            keras.layers.Activation("sigmoid"),
        ]
    )
    model = Autoencoder(encoder, nets.mlp_decoder(32, (28, 28, 1), units=()))
    model.compile(optimizer="adam", loss="binary_crossentropy")
    ```

    Args:
        codes: Codes, `(n, …)`.
        threshold: One number, or one for each number of a code, such as their medians.

    Returns:
        Booleans of the codes' shape.

    Example:

    >>> binary_codes(np.array([[0.1, 0.9], [0.6, 0.5]])).astype(int).tolist()
    [[0, 1], [1, 0]]
    """
    codes = checks.to_numpy("codes", codes)
    if isinstance(threshold, numbers.Real):
        return codes > checks.between("threshold", threshold, -np.inf, np.inf)
    threshold = checks.to_numpy("threshold", threshold)
    if threshold.shape != codes.shape[1:]:
        raise ValueError(
            f"`threshold` has shape {threshold.shape}, expected one number or {codes.shape[1:]}."
        )
    return codes > threshold


class Index:
    """A database of codes for queries of nearest neighbours.

    Args:
        codes: Codes, `(n, …)`, flattened to one vector per example.
        binary: If True, the codes are bits (see `binary_codes`), which are packed, 8 to a byte,
            and compared by Hamming distance; else scikit-learn finds the neighbours.

    Example:

    >>> index = Index(np.array([[0, 0, 0], [0, 0, 1], [1, 1, 1]]), binary=True)
    >>> neighbours, distances = index.query(np.array([[0, 1, 1]]), k=2)
    >>> neighbours.tolist(), distances.tolist(), index.bytes
    ([[1, 2]], [[1, 1]], 3)
    >>> Index(np.array([[0.0], [1.0], [5.0], [7.0]])).mean_average_precision([0, 0, 1, 1])
    1.0
    """

    def __init__(self, codes: Any, binary: bool = False) -> None:
        self.binary = checks.flag("binary", binary)
        codes = checks.to_numpy("codes", codes)
        self.size = codes.shape[1:]
        self._furthest = 1 + math.prod(self.size) if binary else np.inf  # than any two codes are
        self._codes = self._packed("codes", codes)
        self._neighbours = None

    def __len__(self) -> int:
        return len(self._codes)

    @property
    def bytes(self) -> int:
        """Return the size of the stored codes; bits are packed to words of 1, 2, 4 or 8 bytes."""
        return self._codes.nbytes

    def query(self, queries: Any = None, k: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """Return the k nearest codes of the database, nearest first; of equal bits the earlier.

        Args:
            queries: Codes `(m, …)`, or `None` for the database itself, without each code itself.
            k: Number of neighbours.

        Returns:
            Indices into the database and distances, both `(m, k)`.
        """
        self._check_count("k", k, queries)
        if not self.binary:
            vectors = None if queries is None else self._prepared("queries", queries)
            distances, indices = self._sklearn().kneighbors(vectors, n_neighbors=k)
            return indices, distances
        indices, distances = [], []
        for _, chunk in self._distances(queries):
            nearest = np.argsort(chunk, axis=1, kind="stable")[:, :k]
            indices.append(nearest)
            distances.append(np.take_along_axis(chunk, nearest, axis=1))
        return np.concatenate(indices), np.concatenate(distances)

    def precision_at_k(
        self, labels: Any, k: int = 10, queries: Any = None, query_labels: Any = None
    ) -> float:
        """Return the share of the k nearest with the query's label, averaged over the queries.

        If more codes are equally far than fit into the k, each of them counts in part.

        Args:
            labels: Labels of the database, `(n,)`.
            k: Number of neighbours.
            queries: Codes `(m, …)`, or `None` for the database itself, without each code itself.
            query_labels: Labels of the queries, `(m,)`, if there are queries.
        """
        self._check_count("k", k, queries)
        ranked = self._ranked(labels, queries, query_labels)
        shares = [np.mean((relatives / size)[:, :k], axis=1) for size, relatives, _, _ in ranked]
        return float(np.mean(np.concatenate(shares)))

    def mean_average_precision(
        self, labels: Any, queries: Any = None, query_labels: Any = None
    ) -> float:
        """Return the average precision over the full ranking, averaged over the queries.

        Queries without a relative in the database are left out.

        Args:
            labels: Labels of the database, `(n,)`.
            queries: Codes `(m, …)`, or `None` for the database itself, without each code itself.
            query_labels: Labels of the queries, `(m,)`, if there are queries.
        """
        precisions = []
        for size, relatives, before, earlier in self._ranked(labels, queries, query_labels):
            rank = np.arange(size.shape[1]) + 1  # p + i
            place = rank - before - 1  # i − 1
            hits = earlier + 1 + place * (relatives - 1) / np.maximum(size - 1, 1)
            sums = np.sum(relatives / size * hits / rank, axis=1)
            total = np.rint(np.sum(relatives / size, axis=1))  # relatives of the query
            precisions.append(sums[total > 0] / total[total > 0])
        precisions = np.concatenate(precisions)
        if len(precisions) == 0:
            raise ValueError("`labels` give no query a relative, expected some equal labels.")
        return float(np.mean(precisions))

    def _ranked(
        self, labels: Any, queries: Any, query_labels: Any
    ) -> Iterator[tuple[np.ndarray, ...]]:
        """Yield for chunks of queries, at each rank, s, r, p and R of its group of equals."""
        labels, query_labels = self._labelled(labels, queries, query_labels)
        for start, distances in self._distances(queries):
            order = np.argsort(distances, axis=1, kind="stable")
            ranked = np.take_along_axis(distances, order, axis=1)
            related = labels[order] == query_labels[start : start + len(order), None]
            if queries is None:  # leave out each code itself, which is the last of its ranking
                ranked, related = ranked[:, :-1], related[:, :-1]
            apart = 0 if self.binary else TIE * ranked[:, -1:]
            first = np.ones(ranked.shape, bool)
            first[:, 1:] = np.diff(ranked, axis=1) > apart
            group = np.cumsum(first) - 1  # equals of one query share a number
            each_group = (
                np.bincount(group),  # s
                np.bincount(group, related.ravel()),  # r
                np.nonzero(first)[1],  # p
                (np.cumsum(related, axis=1) - related)[first],  # R
            )
            yield tuple(values[group].reshape(ranked.shape) for values in each_group)

    def _distances(self, queries: Any) -> Iterator[tuple[int, np.ndarray]]:
        """Yield chunks of queries: the first index, and distances (squared if real) to all codes.

        If the database is the query, the distance of a code to itself is larger than all others.
        """
        codes = self._codes
        vectors = codes if queries is None else self._prepared("queries", queries)
        if self.binary:
            chunks = _hamming_distances(vectors, codes, np.min_scalar_type(self._furthest))
        else:
            chunks = pairs.squared_distances(vectors.astype(np.float64), codes.astype(np.float64))
        for start, distances in chunks:
            if queries is None:
                rows = np.arange(len(distances))
                distances[rows, start + rows] = self._furthest
            yield start, distances

    def _prepared(self, name: str, codes: Any) -> np.ndarray:
        """Return codes of the database's shape, checked, as `_packed` does."""
        return self._packed(name, checks.to_numpy(name, codes, self.size))

    def _packed(self, name: str, codes: np.ndarray) -> np.ndarray:
        """Return codes as vectors, of real numbers or of words of packed bits."""
        codes = codes.reshape(len(codes), -1)
        if not self.binary:
            return codes if codes.dtype.kind == "f" else codes.astype(np.float32)
        if codes.dtype != bool and not np.isin(codes, (0, 1)).all():
            raise ValueError(
                f"`{name}` holds other values than 0 and 1, expected bits, such as those of "
                "`binary_codes`."
            )
        packed = np.packbits(codes.astype(bool), axis=1)
        word = min(8, 1 << (packed.shape[1] - 1).bit_length())  # bytes to compare at once
        return np.pad(packed, ((0, 0), (0, -packed.shape[1] % word))).view(f"u{word}")

    def _check_count(self, name: str, k: int, queries: Any) -> None:
        most = len(self) - (queries is None)
        if checks.whole_number(name, k) > most:
            raise ValueError(f"`{name}` is {k}, expected at most {most}, the codes to choose from.")

    def _labelled(
        self, labels: Any, queries: Any, query_labels: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the labels of the database and of the queries, checked."""
        if (queries is None) != (query_labels is None):
            raise ValueError(
                "One of `queries` and `query_labels` is None, expected both, or neither to ask "
                "with the database itself."
            )
        labels = checks.to_numpy("labels", labels)
        checks.check_labels("labels", labels)
        checks.check_same_length(codes=self._codes, labels=labels)
        if queries is None:
            return labels.ravel(), labels.ravel()
        query_labels = checks.to_numpy("query_labels", query_labels)
        checks.check_labels("query_labels", query_labels)
        checks.check_same_length(
            queries=checks.to_numpy("queries", queries), query_labels=query_labels
        )
        return labels.ravel(), query_labels.ravel()

    def _sklearn(self) -> Any:
        """Return scikit-learn's neighbours of the codes."""
        if self._neighbours is None:
            try:
                from sklearn.neighbors import NearestNeighbors
            except ImportError as error:
                raise ImportError(
                    "scikit-learn is not installed, expected it for the neighbours of real codes: "
                    "`pip install scikit-learn`."
                ) from error
            self._neighbours = NearestNeighbors().fit(self._codes)
        return self._neighbours


def _hamming_distances(
    a: np.ndarray, b: np.ndarray, dtype: np.dtype
) -> Iterator[tuple[int, np.ndarray]]:
    """Count the bits in which packed codes differ, in chunks of a, each with its first index."""
    rows = max(1, pairs.NUMBERS // len(b))
    for start in range(0, len(a), rows):
        chunk = a[start : start + rows]
        distances = np.zeros((len(chunk), len(b)), dtype)
        for word in range(chunk.shape[1]):
            distances += _ones(chunk[:, None, word] ^ b[None, :, word])
        yield start, distances


def _ones(words: np.ndarray) -> np.ndarray:
    """Count the bits of each word that are 1."""
    if hasattr(np, "bitwise_count"):  # since NumPy 2
        return np.bitwise_count(words)
    return np.unpackbits(words[..., None].view(np.uint8), axis=-1).sum(axis=-1, dtype=np.uint8)
