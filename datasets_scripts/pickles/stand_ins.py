"""What stands in a restricted pickle for the classes and functions it names, and checks of what they are given."""

import collections
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

NUMBER_TYPE = re.compile(r"b1|[iu][1248]|f[248]|[SU][1-9]\d{0,5}|O[48]?")
MAX_DIMENSIONS = 8
# Rows of an array that holds nothing, or rows without columns.
MAX_EMPTY = 2**16


class RefusedError(Exception):
    """What a pickle asks for and does not get."""


@dataclass(frozen=True)
class StandIn:
    """Stands where the pickle names a class or function: a name, and a checking function of ours if it may be called.

    `make` takes the arguments and gives the object, or None where they are not those of a plain container or array.
    """

    name: str
    make: Callable[[tuple[Any, ...]], Any] | None = None


@dataclass
class NumberType:
    """A numpy dtype in the making; the real one's `__setstate__` could change types that the whole process shares."""

    code: str
    order: Literal["<", ">", "|", "="] = "="

    def to_dtype(self) -> np.dtype[Any]:
        """The dtype, in its byte order."""
        return np.dtype(self.code).newbyteorder(self.order)


def require_keys(values: Iterable[Any]) -> None:
    """Refuse keys that have parts: hashing a deep nest of tuples overflows the stack of the interpreter."""
    for value in values:
        if value is not None and not isinstance(value, str | bytes | int | float | np.number):
            raise RefusedError(f"it has a {type(value).__name__} as a key or in a set")


def _encode(arguments: tuple[Any, ...]) -> bytes | None:
    match arguments:
        case (str(text), "latin1" | "latin-1"):
            return text.encode("latin1")
    return None


def _dtype(arguments: tuple[Any, ...]) -> NumberType | None:
    match arguments:
        case (str(code), *_) if NUMBER_TYPE.fullmatch(code):
            return NumberType(code)
    return None


def _blank_array(arguments: tuple[Any, ...]) -> np.ndarray | None:
    match arguments:
        case (StandIn(name="numpy.ndarray"), (0,), b"b" | "b"):
            return np.empty(0, np.int8)
    return None


def _scalar(arguments: tuple[Any, ...]) -> Any:
    match arguments:
        case (NumberType() as number_type, bytes() | str() as raw):
            return _array(number_type, (), raw, "C")[()]
    return None


def _array_of_buffer(arguments: tuple[Any, ...]) -> np.ndarray | None:
    match arguments:
        case (bytes(raw), NumberType() as number_type, tuple(shape), "C" | "F" as order):
            return _array(number_type, shape, raw, order)
    return None


def _array(number_type: NumberType, shape: tuple[Any, ...], raw: bytes | str, order: Any) -> np.ndarray:
    """An array of numbers or strings from its bytes, which have to fill it."""
    raw = _to_bytes(raw)
    dtype = number_type.to_dtype()
    _require_shape(shape, len(raw))
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(raw):
        raise RefusedError(f"it has an array of shape {shape} and type {number_type.code} in {len(raw)} bytes")
    return np.frombuffer(raw, dtype).reshape(shape, order=order)


def _to_bytes(raw: bytes | str) -> bytes:
    """Bytes, also where Python 2 wrote them as a string."""
    return raw.encode("latin1") if isinstance(raw, str) else raw


def _require_shape(shape: tuple[Any, ...], size: int) -> None:
    """Refuse an array of more items than the `size` of what it is made from."""
    sound = len(shape) <= MAX_DIMENSIONS and all(type(length) is int and length >= 0 for length in shape)
    # Zeros do not count, or an array without contents could have any number of rows.
    if not sound or math.prod(length or 1 for length in shape) > (size or MAX_EMPTY):
        raise RefusedError(f"it has an array of {len(shape)} dimensions larger than its contents")


def set_state(target: Any, state: tuple[Any, ...]) -> None:
    """Fill a blank array or type in place: the pickle's memo may already point at it."""
    filled: Any
    match target, state:
        case NumberType(), (3 | 4, "<" | ">" | "|" | "=" as order, None, None, None, int(), int(), *_):
            target.order = order
        case np.ndarray(), (1, tuple(shape), NumberType() as number_type, fortran, bytes() | str() as raw):
            dtype = _array(number_type, shape, raw, "C").dtype
            filled = (1, shape, dtype, bool(fortran), _to_bytes(raw))
            target.__setstate__(filled)
        case np.ndarray(), (1, tuple(shape), NumberType() as number_type, fortran, list(items)):
            _require_shape(shape, len(items))
            # Arrays in arrays could be nested deeper than the interpreter can take apart.
            nested = any(isinstance(item, np.ndarray) for item in items)
            if nested or number_type.code[0] != "O" or math.prod(shape) != len(items):
                raise RefusedError(f"it has an array of shape {shape} made of {len(items)} objects")
            filled = (1, shape, np.dtype(object), bool(fortran), items)
            target.__setstate__(filled)
        case _:
            raise RefusedError(f"it sets a {type(target).__name__} to what makes no array of plain values")


def _ordered_dict(arguments: tuple[Any, ...]) -> collections.OrderedDict[Any, Any] | None:
    pairs: Any = arguments[0] if arguments else []
    if (
        len(arguments) > 1
        or type(pairs) is not list
        or not all(type(p) in (list, tuple) and len(p) == 2 for p in pairs)
    ):
        return None
    require_keys(key for key, _ in pairs)
    return collections.OrderedDict(pairs)


def _default_dict(arguments: tuple[Any, ...]) -> collections.defaultdict[Any, Any] | None:
    match arguments:
        case (StandIn(name="builtins.list"),):
            return collections.defaultdict(list)
        case (StandIn(name="builtins.dict"),):
            return collections.defaultdict(dict)
    return None


def _set_of(kind: type) -> Callable[[tuple[Any, ...]], Any]:
    def make(arguments: tuple[Any, ...]) -> Any:
        match arguments:
            case () | (list(),):
                require_keys(*arguments)
                return kind(*arguments)
        return None

    return make


MAKERS: dict[str, Callable[[tuple[Any, ...]], Any] | None] = {
    "builtins.list": None,
    "builtins.dict": None,
    "builtins.set": _set_of(set),
    "builtins.frozenset": _set_of(frozenset),
    # How protocol 2 writes empty bytes.
    "builtins.bytes": lambda arguments: None if arguments else b"",
    "collections.OrderedDict": _ordered_dict,
    "collections.defaultdict": _default_dict,
    "_codecs.encode": _encode,
    "numpy.ndarray": None,
    "numpy.dtype": _dtype,
    "numpy.core.multiarray._reconstruct": _blank_array,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _array_of_buffer,
}
