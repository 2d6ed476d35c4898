"""An entropy coder: whole numbers to bytes and back, in as many bits as a model expects.

A number s of probability p takes −log₂ p bits. It has an interval [c, c + f) of the 2^24 parts into
which [0, 1) is cut. The whole message is one large number x, to which each s is added:

    x ← ⌊x / f⌋ 2^24 + c + (x mod f)        encode: x grows by the factor 2^24 / f = 1 / p
    s: c ≤ x mod 2^24 < c + f               decode: the last number that went in
    x ← f ⌊x / 2^24⌋ + (x mod 2^24) − c

So numbers come out in the reverse order, and `encode` starts at the end. Before x exceeds 64 bits,
its last 32 go to the message.

Duda, "Asymmetric numeral systems" (2014).
"""

import struct
from collections.abc import Sequence

import numpy as np

BITS = 24
PARTS = 1 << BITS
LEAST = 1 << 32  # x stays in [2^32, 2^64)
WORD = (1 << 32) - 1


def intervals(probabilities: np.ndarray) -> np.ndarray:
    """Return where the interval of each number begins, and the end: `(n, K + 1)` of 2^24 parts.

    Every number has a part at least, so that any can be encoded.

    Example:

    >>> (intervals(np.array([[0.5, 0.25, 0.25]])) / PARTS).round(3).tolist()
    [[0.0, 0.5, 0.75, 1.0]]
    """
    count, size = probabilities.shape
    shares = probabilities / probabilities.sum(axis=1, keepdims=True, dtype="float64")
    parts = 1 + np.floor(shares * (PARTS - size)).astype("int64")
    parts[np.arange(count), shares.argmax(axis=1)] += PARTS - parts.sum(axis=1)
    return np.concatenate([np.zeros((count, 1), "int64"), parts.cumsum(axis=1)], axis=1)


def encode(starts: Sequence[int], widths: Sequence[int]) -> bytes:
    """Return the message of numbers, given the interval of each: its start and its width.

    Example:

    >>> half = PARTS // 2
    >>> len(encode([0, half] * 80, [half] * 160))  # 160 bits, and the 64 of x
    28
    """
    x, words = LEAST, []
    for start, width in zip(reversed(starts), reversed(widths), strict=True):
        if x >= width << (64 - BITS):
            words.append(x & WORD)
            x >>= 32
        x = (x // width << BITS) + x % width + start
    words += [x & WORD, x >> 32]
    return struct.pack(f"<{len(words)}I", *reversed(words))


class Decoder:
    """The numbers of a message, one after the other.

    Args:
        message: What `encode` returned.

    Example:

    >>> bounds = intervals(np.array([[0.9, 0.1]]))[0]
    >>> starts, widths = bounds[:-1].tolist(), np.diff(bounds).tolist()
    >>> numbers = [0, 0, 1, 0]
    >>> message = encode([starts[n] for n in numbers], [widths[n] for n in numbers])
    >>> decoder = Decoder(message)
    >>> [decoder.next(bounds) for _ in numbers]
    [0, 0, 1, 0]
    """

    def __init__(self, message: bytes) -> None:
        if len(message) < 8 or len(message) % 4:
            raise ValueError(
                f"`message` has {len(message)} bytes, expected at least 8, a multiple of 4."
            )
        high, low, *words = struct.unpack(f"<{len(message) // 4}I", message)
        self.x, self.words = high << 32 | low, iter(words)

    def next(self, bounds: np.ndarray) -> int:
        """Return the next number, given the intervals of all that it could be, `(K + 1,)`."""
        part = self.x & (PARTS - 1)
        number = int(bounds.searchsorted(part, side="right")) - 1
        start, end = int(bounds[number]), int(bounds[number + 1])
        self.x = (end - start) * (self.x >> BITS) + part - start
        if self.x < LEAST:
            self.x = self.x << 32 | next(self.words, 0)
        return number
