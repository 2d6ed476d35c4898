"""Files of codes, each in about −log₂ p(k) bits.

    header     a mark, the number of codes, their checksum
    message    the codes' numbers, place by place, by `probability.entropy_coder`

The reader computes the same probabilities as the writer did, from the numbers that it has read
already. They must be equal to the last bit. The checksum tells if they were not.
"""

import struct
import zlib

import numpy as np

from kerasae.models.walk import Walk, softmax
from kerasae.probability import entropy_coder

HEADER = struct.Struct("<4sII")
MARK = b"kae1"


def compress(walk: Walk, codes: np.ndarray, labels: np.ndarray | None, batch_size: int) -> bytes:
    """Return the file's content for codes `(n, …)`, with one-hot labels if the network has them."""
    numbers, starts, widths = codes.reshape(len(codes), -1), [], []

    def follow(rows: slice, place: int, logits: np.ndarray) -> np.ndarray:
        known = numbers[rows, place]
        bounds, each = entropy_coder.intervals(softmax(logits)), np.arange(len(known))
        starts.extend(bounds[each, known].tolist())
        widths.extend((bounds[each, known + 1] - bounds[each, known]).tolist())
        return known

    walk(follow, len(codes), labels, batch_size)
    header = HEADER.pack(MARK, len(codes), _checksum(codes))
    return header + entropy_coder.encode(starts, widths)


def count(data: bytes) -> int:
    """Return the number of codes in a file."""
    if not isinstance(data, bytes) or len(data) < HEADER.size or data[:4] != MARK:
        raise ValueError("`data` is no file of codes, expected the bytes that `compress` gave.")
    return HEADER.unpack(data[: HEADER.size])[1]


def decompress(walk: Walk, data: bytes, labels: np.ndarray | None, batch_size: int) -> np.ndarray:
    """Return the codes of a file, given what `compress` was given."""
    _, number, checksum = HEADER.unpack(data[: HEADER.size])
    decoder = entropy_coder.Decoder(data[HEADER.size :])

    def read(rows: slice, place: int, logits: np.ndarray) -> np.ndarray:
        bounds = entropy_coder.intervals(softmax(logits))
        return np.array([decoder.next(row) for row in bounds])

    codes = walk(read, number, labels, batch_size)
    if _checksum(codes) != checksum:
        raise ValueError(
            "`data` does not give the codes that were compressed, expected the model, labels, "
            "batch size and backend that wrote it."
        )
    return codes


def _checksum(codes: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(codes, "<i4").tobytes())
