"""The data sets: embedded procedural sets, real sets and toys.

The import needs NumPy only; Keras, TensorFlow and TensorFlow Datasets are imported when used.
"""

from kerasae.datasets import faces, shapes, strokes, toys
from kerasae.datasets.load import load, names, stream
from kerasae.datasets.split import Split
from kerasae.datasets.store import folder

__all__ = [
    "Split",
    "faces",
    "folder",
    "load",
    "names",
    "shapes",
    "stream",
    "strokes",
    "toys",
]
