"""Bad input: numbers, names, arrays and labels.

Each check raises one sentence that names the argument, its value and what was expected, before the
first step of training. Arrays are scanned whole, streams (data sets, loaders, generators) by their
first batch.
"""

import numbers
from typing import Any

import keras
import numpy as np


def fraction(name: str, value: float) -> float:
    """Return `value` if it lies in [0, 1], as probabilities and proportions do."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value <= 1:
        raise ValueError(f"`{name}` is {value!r}, expected a number from 0 to 1.")
    return float(value)


def whole_number(name: str, value: int, least: int = 1) -> int:
    """Return `value` if it is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"`{name}` is {value!r}, expected a whole number of at least {least}.")
    return int(value)


def not_negative(name: str, value: float) -> float:
    """Return `value` if it is a finite number of at least 0, as the weight of a penalty is."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value < np.inf:
        raise ValueError(f"`{name}` is {value!r}, expected a number of at least 0.")
    return float(value)


def between(name: str, value: float, low: float, high: float) -> float:
    """Return `value` if it lies strictly between two numbers."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not low < value < high:
        raise ValueError(f"`{name}` is {value!r}, expected a number between {low} and {high}.")
    return float(value)


def interval(name: str, value: Any) -> tuple[float, float]:
    """Return `value` if it is a pair of finite numbers, the lower one first."""
    try:
        low, high = (float(end) for end in value)
    except (TypeError, ValueError):
        low, high = np.inf, np.inf
    if not (low < high and np.isfinite([low, high]).all()):
        raise ValueError(f"`{name}` is {value!r}, expected a pair (low, high), low below high.")
    return low, high


def one_of(name: str, value: str, options: tuple[str, ...]) -> str:
    """Return `value` if it is one of the given names."""
    if not isinstance(value, str) or value not in options:
        *others, last = map(repr, options)
        listed = f"{', '.join(others)} or {last}" if others else last
        raise ValueError(f"`{name}` is {as_text(value)}, expected {listed}.")
    return value


def as_text(value: Any) -> str:
    """Return a value as text for a message; an array as its type alone."""
    return f"of type {type(value).__name__}" if is_array(value) else repr(value)


def flag(name: str, value: bool) -> bool:
    """Return `value` if it is true or false."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"`{name}` is {as_text(value)}, expected True or False.")
    return bool(value)


def seed(name: str, value: int | None) -> int | None:
    """Return `value` if it is the seed of a random generator, or `None` for a new one each time."""
    if value is not None and whole_number(name, value, least=0) >= 2**31:
        raise ValueError(f"`{name}` is {value}, expected a whole number below 2³¹.")
    return value


def sizes(name: str, values: Any) -> tuple[int, ...]:
    """Return `values` if they are a tuple or list of whole numbers of at least 1."""
    if not isinstance(values, (tuple, list)):
        raise ValueError(f"`{name}` is {values!r}, expected a tuple of whole numbers.")
    return tuple(whole_number(name, value) for value in values)


def as_array(name: str, value: Any) -> Any:
    """Return lists of numbers as an array, arrays in a form that every engine reads alike.

    Everything else is returned unchanged.

    Raises:
        ValueError: For what is neither examples nor a stream of them.
    """
    if hasattr(value, "x") and hasattr(value, "factors"):  # of `kerasae.datasets`
        raise ValueError(f"`{name}` is a Split, expected its images: pass `{name}.x`.")
    if isinstance(value, (list, tuple)):
        return _stacked(name, value, "float32")
    if isinstance(value, (str, bytes, bytearray, memoryview, dict, set, frozenset)):
        raise ValueError(f"`{name}` is a {type(value).__name__}, expected an array of examples.")
    return plain(name, value)


def _stacked(name: str, values: list | tuple, dtype: str | None = None) -> np.ndarray:
    values = [plain(name, part) for part in values]
    try:
        with np.errstate(over="ignore"):  # what overflows is infinite, and refused as such
            return np.asarray(values, dtype)
    except (TypeError, ValueError):
        raise ValueError(
            f"`{name}` is a list of unequal or strange parts, expected one array of examples."
        ) from None


def to_numpy(
    name: str, value: Any, shape: tuple[int | None, ...] | None = None, unit_interval: bool = False
) -> np.ndarray:
    """Return a list, an array or a tensor of examples as a NumPy array, checked as `array` does.

    Example:

    >>> to_numpy("labels", [1, 2]), to_numpy("scores", keras.ops.ones(2), shape=())
    (array([1, 2]), array([1., 1.], dtype=float32))
    """
    value = _stacked(name, value) if isinstance(value, (list, tuple)) else as_array(name, value)
    check_array(name, value, shape, unit_interval)
    return as_numpy(value)


def as_numpy(value: Any) -> np.ndarray:
    """Return a tensor as a NumPy array, and such an array as it is, which Keras would copy."""
    return value if isinstance(value, np.ndarray) else keras.ops.convert_to_numpy(value)


def same_shape(
    first_name: str, first: Any, name: str, second: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return two arrays of examples of the same shape, checked.

    Example:

    >>> same_shape("x", [1, 2], "y", [3.0, 4.0])
    (array([1, 2]), array([3., 4.]))
    """
    first, second = to_numpy(first_name, first), to_numpy(name, second)
    if first.shape != second.shape:
        raise ValueError(
            f"`{name}` has shape {second.shape}, expected {first.shape} as `{first_name}` has."
        )
    return first, second


def examples(name: str, value: Any) -> Any:
    """Return examples as `as_array` does, or the stream that gives them in batches."""
    value = as_array(name, value)
    if not (is_array(value) or hasattr(value, "__iter__") or hasattr(value, "__getitem__")):
        raise ValueError(
            f"`{name}` is {_kind(value)}, expected an array of examples or a stream of batches."
        )
    return value


def _kind(value: Any) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"


def plain(name: str, value: Any) -> Any:
    """Return an array without a mask, in the machine's byte order, of at most 64 bits a float.

    JAX would read other bytes as other numbers, and every engine numbers behind a mask.
    """
    if isinstance(value, np.ma.MaskedArray):
        hidden = 0 if value.dtype.names else int(np.ma.getmaskarray(value).sum())
        if hidden:
            raise ValueError(
                f"`{name}` is a masked array that hides {hidden} of {value.size} values, expected "
                f"an array without a mask: fill them in (`{name}.filled(0)`), or leave them out."
            )
        value = np.asarray(value)
    if not isinstance(value, np.ndarray):
        return value
    if not value.dtype.isnative:
        value = value.astype(value.dtype.newbyteorder("="))
    if value.dtype.kind == "f" and value.dtype.itemsize > 8:  # a long double, which no engine has
        with np.errstate(over="ignore"):
            value = value.astype("float64")
    return value


def is_array(value: Any) -> bool:
    """Return whether a value is a NumPy array or a tensor of any backend, and no stream."""
    return hasattr(value, "__array__")


def check_array(
    name: str,
    value: Any,
    shape: tuple[int | None, ...] | None = None,
    unit_interval: bool = False,
    integers: bool = True,
    otherwise: str = "",
) -> tuple[float, float]:
    """Check one array of examples, whole, and return its smallest and its largest value.

    Args:
        name: Name of the argument, for the message.
        value: NumPy array or backend tensor; the first axis counts the examples.
        shape: Expected shape of one example, `None` for sizes that may differ.
        unit_interval: If True, values must lie in [0, 1], as a Bernoulli likelihood needs.
        integers: If False, integers above 1 are refused: images that hold them are not scaled yet.
        otherwise: Another cure for integers than to scale them, for the message.
    """
    if not is_array(value):
        raise ValueError(f"`{name}` is {_kind(value)}, expected an array of examples.")
    values = as_numpy(plain(name, value))
    if values.ndim == 0 or len(values) == 0:
        raise ValueError(f"`{name}` has shape {values.shape}, expected at least one example.")
    if shape is not None and not fits(values.shape[1:], shape):
        expected = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"`{name}` has shape {values.shape}, expected (examples, {expected}).")
    if values.dtype.kind not in "fiub" and values.dtype.name != "bfloat16":
        raise ValueError(f"`{name}` is of type {values.dtype}, expected numbers.")
    low, high = values.min(), values.max()  # both are NaN as soon as one value is
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(
            f"`{name}` holds NaN or infinite values, expected finite numbers: "
            f"{_where(name, ~np.isfinite(values))}."
        )
    with np.errstate(over="ignore"):
        if not np.isfinite([np.float32(low), np.float32(high)]).all():  # the engines' type
            worst = high if high > -low else low
            raise ValueError(
                f"`{name}` holds {worst:.4g}, expected numbers of at most 3.4e+38, the range of "
                f"float32: {_where(name, ~np.isfinite(values.astype('float32')))}."
            )
    if not integers and values.dtype.kind in "iu" and high > 1:
        raise ValueError(
            f"`{name}` holds integers up to {high}, expected scaled numbers: "
            f'divide by 255 (`{name}.astype("float32") / 255`)'
            f"{', or ' * bool(otherwise)}{otherwise}."
        )
    if unit_interval and (low < 0 or high > 1):
        raise ValueError(
            f"`{name}` holds values from {low:.4g} to {high:.4g}, expected values from 0 to 1 "
            "under cross entropy (a Bernoulli likelihood)."
        )
    return low, high


def _where(name: str, wrong: np.ndarray) -> str:
    """Return the number of wrong values and the position of the first, for a message."""
    first = ", ".join(map(str, np.unravel_index(wrong.argmax(), wrong.shape)))
    return f"{np.count_nonzero(wrong)} of {wrong.size}, the first at `{name}[{first}]`"


def check_weights(name: str, value: Any, shape: tuple[int | None, ...] | None = ()) -> None:
    """Check the weights of examples, of which each has one, or as many as `shape` says."""
    low, _ = check_array(name, value, shape)
    if low < 0:
        raise ValueError(f"`{name}` holds {low:.4g}, expected weights of at least 0.")


def check_same_length(**arrays: Any) -> None:
    """Check that all given arrays have as many examples as each other."""
    lengths = {name: value.shape[0] for name, value in arrays.items() if is_array(value)}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"`{name}` has {length}" for name, length in lengths.items())
        raise ValueError(f"{listed}: expected the same number of examples.")


def _only_array(name: str, value: Any) -> None:
    if not is_array(value):
        raise ValueError(f"`{name}` is {_kind(value)}, expected an array.")


def check_not_labels(name: str, value: Any) -> None:
    """Refuse labels as the targets of a reconstruction."""
    _only_array(name, value)
    if len(value.shape) == 1:
        raise ValueError(
            f"`{name}` has shape {tuple(value.shape)}, as labels have, expected targets of the "
            "reconstruction's shape, or none: an autoencoder learns from `x` alone."
        )


def check_tokens(
    name: str,
    value: Any,
    shape: tuple[int | None, ...] | None = None,
    ignored: int | None = None,
) -> None:
    """Check the targets of a sparse loss: the number of a class for each distribution.

    Args:
        name: The argument's name.
        value: Whole numbers of any type.
        shape: Shape of one output, whose last axis counts the classes; `None` if it is not known.
        ignored: A number that stands for no class, as a loss may have one.
    """
    if shape is None:
        check_array(name, value)
        kind = "whole numbers"
    else:
        check_array(name, value, shape[:-1])
        kind = f"whole numbers from 0 to {shape[-1] - 1}" if shape[-1] else "whole numbers"
    values = keras.ops.convert_to_numpy(value)
    if ignored is not None:
        values = values[values != ignored]
    broken = values[(np.floor(values) != values) | (values < 0)]
    if shape is not None and shape[-1] and not broken.size:
        broken = values[values >= shape[-1]]
    if broken.size:
        raise ValueError(
            f"`{name}` holds {broken.flat[0]}, expected {kind} under a sparse loss, one for each "
            "distribution that `decoder` gives."
        )


def check_labels(
    name: str, value: Any, classes: int | None = None, unlabelled: bool = False
) -> None:
    """Check labels: one whole number per example, from 0 to `classes` - 1, or -1 for none.

    Args:
        name: The argument's name.
        value: Labels of shape `(n,)` or `(n, 1)`; whole numbers of any type.
        classes: Number of classes, or `None` if any whole number is allowed.
        unlabelled: If True, -1 stands for an example without a label.
    """
    _only_array(name, value)
    shape = tuple(value.shape)
    if len(shape) == 2 and shape[1] == classes and shape[1] > 1:
        raise ValueError(
            f"`{name}` has shape {shape}, as one-hot labels have, expected one whole number per "
            f"example (`np.argmax({name}, axis=1)`)."
        )
    if shape[:1] == (0,) or not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)):
        raise ValueError(f"`{name}` has shape {shape}, expected one label for each example.")
    values = keras.ops.convert_to_numpy(value)
    kind = "whole numbers" if classes is None else f"whole numbers from 0 to {classes - 1}"
    if values.dtype.kind not in "fiub":
        raise ValueError(f"`{name}` is of type {values.dtype}, expected {kind}.")
    broken = values[~(np.floor(values) == values)] if values.dtype.kind == "f" else values[:0]
    if broken.size:
        raise ValueError(f"`{name}` holds {broken.flat[0]}, expected {kind}.")
    if classes is None:
        return
    low, high = values.min(), values.max()
    if low == -1 and high < classes and not unlabelled:
        raise ValueError(
            f"`{name}` holds -1, which marks examples without a label, expected a `decoder` to "
            "learn from these, or labelled examples alone."
        )
    if low < -unlabelled or high >= classes:
        either = " or -1 (no label)" if unlabelled else ""
        raise ValueError(f"`{name}` holds labels from {low} to {high}, expected {kind}{either}.")


def check_codes(name: str, value: Any, shape: tuple[int | None, ...], size: int) -> None:
    """Check codes of the given shape for each example: whole numbers below `size`."""
    check_array(name, value, shape)
    check_labels(name, keras.ops.reshape(value, (-1,)), size)


def label_of_each(
    name: str, value: Any, count: int, classes: int, unlabelled: bool = False
) -> np.ndarray:
    """Return one checked label for each of `count` samples; one may stand for all."""
    values = np.atleast_1d(keras.ops.convert_to_numpy(plain(name, value)))
    check_labels(name, values, classes, unlabelled)
    values = values.reshape(-1).astype("int64")
    if len(values) not in (1, count):
        raise ValueError(f"`{name}` has {len(values)}, expected 1 or {count}.")
    return np.broadcast_to(values, count)


def fits(shape: tuple[int | None, ...], expected: tuple[int | None, ...]) -> bool:
    """Return whether a shape is the expected one; `None` stands for any size."""
    return len(shape) == len(expected) and all(
        one is None or other is None or one == other
        for one, other in zip(shape, expected, strict=True)
    )
