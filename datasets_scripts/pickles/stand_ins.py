"""Safe replacements for the classes and functions that a pickle names, with checks of their arguments."""

import collections
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

NUMBER_TYPE = re.compile(r"b1|[iu][1248]|f[248]|[SU][1-9]\d{0,5}|O[48]?")
MAX_DIMENSIONS = 8
# Limit on the rows of an array without values.
MAX_EMPTY = 2**16


class RefusedError(Exception):
    """Raised for contents of a pickle that are not allowed."""


@dataclass(frozen=True)
class StandIn:
    """Replacement for a class or function that the pickle names.

    Args:
        name: full name in the pickle.
        make: builds the object from the arguments of a call, or returns None if they are not allowed; None if the class
            or function may be named but not called.
    """

    name: str
    make: Callable[[tuple[Any, ...]], Any] | None = None


@dataclass
class NumberType:
    """A numpy dtype under construction; `__setstate__` of a real one could change types that the process shares."""

    code: str
    order: Literal["<", ">", "|", "="] = "="

    def to_dtype(self) -> np.dtype[Any]:
        """Returns the dtype in its byte order."""
        return np.dtype(self.code).newbyteorder(self.order)


def require_keys(values: Iterable[Any]) -> None:
    """Refuses keys that are slow or dangerous to hash.

    Hashing deeply nested tuples overflows the stack of the interpreter. Integers of more than 64 bits can be chosen so
    that all of them have the same hash; a dictionary of them takes quadratic time.
    """
    for value in values:
        if value is not None and not isinstance(value, str | bytes | int | float | np.number):
            raise RefusedError(f"it has a {type(value).__name__} as a key or in a set")
        if isinstance(value, int) and not -(2**63) <= value < 2**64:
            raise RefusedError("it has an integer of more than 64 bits as a key or in a set")


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
    """Returns an array of numbers or strings from its bytes, whose number has to match."""
    raw = _to_bytes(raw)
    dtype = number_type.to_dtype()
    _require_shape(shape, len(raw))
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(raw):
        raise RefusedError(f"it has an array of shape {shape} and type {number_type.code} in {len(raw)} bytes")
    return np.frombuffer(raw, dtype).reshape(shape, order=order)


def _to_bytes(raw: bytes | str) -> bytes:
    """Returns bytes; Python 2 wrote them as a string."""
    return raw.encode("latin1") if isinstance(raw, str) else raw


def _require_shape(shape: tuple[Any, ...], size: int) -> None:
    """Refuses an array of more items than the `size` of its source."""
    sound = len(shape) <= MAX_DIMENSIONS and all(type(length) is int and length >= 0 for length in shape)
    # Zero lengths count as 1: otherwise an array without values could have any number of rows.
    if not sound or math.prod(length or 1 for length in shape) > (size or MAX_EMPTY):
        raise RefusedError(f"it has an array of {len(shape)} dimensions larger than its contents")


def set_state(target: Any, state: tuple[Any, ...]) -> None:
    """Fills a blank array or type in place, because the memo of the pickle may refer to it."""
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
            # The interpreter could not free arrays that are nested too deeply.
            nested = any(isinstance(item, np.ndarray) for item in items)
            if nested or number_type.code[0] != "O" or math.prod(shape) != len(items):
                raise RefusedError(f"it has an array of shape {shape} made of {len(items)} objects")
            filled = (1, shape, np.dtype(object), bool(fortran), items)
            target.__setstate__(filled)
        case _:
            raise RefusedError(f"it sets a {type(target).__name__} to a state that is no array of plain values")


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
    # Protocol 2 writes empty bytes in this way.
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
