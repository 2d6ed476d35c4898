"""What somebody may pass by mistake, and what is wrong with the answer.

A sentence is clear if it names an argument in backquotes and says what was expected. A result is
right if it is that of the same numbers in a plain float32 array, or if the value is of the
argument's type.
"""

import collections.abc
import re
import types
import typing
import warnings

import keras
import numpy as np
from keras import layers

CLEAR = re.compile(r"`[^`]+`.*expected", re.DOTALL)


def with_value(array, value):
    changed = array.astype("float64" if abs(value) > 1e38 else array.dtype)
    changed.flat[3] = value
    return changed


def arrays(good):
    """What somebody may pass for an array, and the numbers that it stands for, `None` if none."""
    half = good.astype("float16")
    masked = np.ma.masked_array(good, np.zeros(good.shape, bool))
    broken = masked.copy()
    broken[0] = np.ma.masked
    loose = np.repeat(good, 2, axis=0)[::2]
    return {
        "none": (None, None),
        "number": (5, None),
        "fraction": (1.5, None),
        "text": ("x", None),
        "bytes": (b"x", None),
        "object": (object(), None),
        "empty dict": ({}, None),
        "set": ({1, 2}, None),
        "empty list": ([], None),
        "ragged": ([[1.0, 2.0], [3.0]], None),
        "scalar array": (np.array(0.5), None),
        "no examples": (good[:0], None),
        "one axis too few": (good[0], None),
        "one axis too many": (good[None], None),
        "another size": (np.concatenate([good, good], axis=-1), None),
        "nan": (with_value(good, np.nan), None),
        "infinity": (with_value(good, np.inf), None),
        "beyond float32": (with_value(good, 1e300), None),
        "complex": (good.astype("complex64"), None),
        "dates": (np.zeros(good.shape, "datetime64[s]"), None),
        "durations": (np.zeros(good.shape, "timedelta64[s]"), None),
        "texts": (np.full(good.shape, "x"), None),
        "objects": (np.full(good.shape, None), None),
        "records": (np.zeros(good.shape, [("a", "f4")]), None),
        "a mask": (broken, None),
        "no mask": (masked, good),
        "big-endian": (good.astype(">f4"), good),
        "float64": (good.astype("float64"), good),
        "float16": (half, half.astype("float32")),
        "list": (good.tolist(), good),
        "read-only": (np.frombuffer(good.tobytes(), "float32").reshape(good.shape), good),
        "not in one piece": (loose, good),
        "Fortran's order": (np.asfortranarray(good), good),
        "tensor": (keras.ops.convert_to_tensor(good), good),
    }


NUMBERS = [None, -1, 0, 1.5, "x", b"x", [], {}, np.nan, np.inf, object(), 1 + 1j, True, -(2**40)]


def values():
    return [*NUMBERS, lambda value: value, np.arange(3), (1, "a"), layers.Dense(2)]


def options(annotation):
    """The types of a union, or the one type."""
    union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return typing.get_args(annotation) if union else (annotation,)


def fits(annotation, value):
    """Whether a value is of an argument's type; `Any` takes all."""
    origins = {typing.get_origin(kind) or kind for kind in options(annotation)}
    if value is None:
        return types.NoneType in origins
    if isinstance(value, bool):
        return bool in origins
    if isinstance(value, int):
        return bool({int, float} & origins)
    if isinstance(value, float):
        return float in origins and np.isfinite(value)
    if isinstance(value, layers.Layer):
        return bool({layers.Layer, collections.abc.Callable} & origins)
    if callable(value):
        return collections.abc.Callable in origins
    if isinstance(value, np.ndarray):
        return np.ndarray in origins
    return isinstance(value, list) and bool({list, collections.abc.Sequence} & origins)


def outcome(call, value):
    """(the result, the error) of a call."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return call(value), None
    except Exception as error:
        return None, error


def numbers_of(result):
    return [np.asarray(part, "float64") for part in keras.tree.flatten(result)]


def complaint(error):
    """What is wrong with an error, or `None`."""
    clear = isinstance(error, ValueError) and CLEAR.search(str(error))
    return None if clear else f"{type(error).__name__}: {str(error)[:160]}"


def verdict(call, value, numbers):
    """What is wrong with what a call makes of a value, or `None`."""
    result, error = outcome(call, value)
    if error is not None:
        return complaint(error)
    if numbers is None:
        return f"accepted: {str(result)[:80]}"
    expected, _ = outcome(call, numbers)
    pairs = zip(numbers_of(result), numbers_of(expected), strict=True)
    if not all(np.allclose(a, b, rtol=1e-4, atol=1e-5) and np.isfinite(a).all() for a, b in pairs):
        return "another result than the same numbers in float32"
    return None


# What `Any` of a signature stands for, by the argument's name.
ANY = {
    "penalty": lambda v: v is None or v == [] or callable(v),
    "reconstruction_loss": callable,
    "means": lambda v: False,
    "weights": lambda v: v is None,
    "stddev": lambda v: v == 1.5,
    "count": lambda v: False,
    "minimum": lambda v: type(v) in (int, float) and v < 1,
    "maximum": lambda v: type(v) in (int, float) and v > 0,
    "mean": lambda v: isinstance(v, np.ndarray),
    "logits": lambda v: isinstance(v, np.ndarray),
    "factor": lambda v: False,
    "log_variance": lambda v: type(v) in (int, float) and np.isfinite(v),
    "threshold": lambda v: type(v) in (int, float) and np.isfinite(v),
    "queries": lambda v: v is None,
    "labels": lambda v: v is None,
    "x": lambda v: isinstance(v, np.ndarray),
    "activation": lambda v: v is None or callable(v),
    "log_scale": lambda v: type(v) in (int, float) and np.isfinite(v),
}


def of_type(error, parameter, value):
    """What is wrong with what a call said to a value of any type, or `None`."""
    if error:
        return complaint(error)
    if typing.Any in options(parameter.annotation):
        right = ANY[parameter.name](value)
    else:
        right = fits(parameter.annotation, value)
    return None if right else "accepted"
