"""Reads untrusted pickles: only plain containers, strings, numbers and numpy arrays are built, no code is executed."""

import mmap
import pickle
import pickletools
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..builder import CorpusError
from .file_kinds import other_kind
from .stand_ins import MAKERS, NumberType, RefusedError, StandIn, require_keys, set_state

# Opcodes of Python's own unpickler that are kept: they use stack and memo, and call nothing.
INHERITED_OPCODES = """
    PROTO STOP POP POP_MARK DUP NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 FLOAT BINFLOAT
    STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8
    EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3 TUPLE EMPTY_LIST LIST EMPTY_DICT EMPTY_SET GLOBAL STACK_GLOBAL
    GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE
"""
# Those of them that build a container, and those that put an existing object on the stack again.
BUILDING_OPCODES = {"TUPLE1", "TUPLE2", "TUPLE3", "TUPLE", "EMPTY_LIST", "LIST", "EMPTY_DICT", "EMPTY_SET"}
FETCHING_OPCODES = {"DUP", "GET", "BINGET", "LONG_BINGET"}
MAX_DEPTH = 1000
MAX_NAME = 200  # characters of a class or function name with its module
# Remedies for pickles that name classes of these packages.
REMEDIES = {
    "joblib": ": joblib wrote it, so load it with joblib.load and save it as numpy arrays",
    "torch": ": it holds tensors, so load it with torch.load(path, weights_only=True) and save numpy arrays",
    "pandas": ": it holds pandas tables, so save them as numpy arrays",
}
# The unpickler in C allocates any length and memo index that a pickle announces. Any: the stack is undocumented.
_PythonUnpickler: Any = pickle._Unpickler


class _Source:
    """A memory-mapped file; no read allocates more than the file contains."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.readline = data, data.readline

    def read(self, size: int) -> bytes:
        read = self.data.read(size)
        if len(read) < size:
            self.require(size, len(read))
        return read

    def require(self, size: int, left: int) -> None:
        if size > left:
            raise RefusedError(f"it announces {size:,} bytes where {left:,} are left, so it is truncated or malicious")


class _RestrictedUnpickler(_PythonUnpickler):
    def __init__(self, source: _Source) -> None:
        super().__init__(source, encoding="latin1")
        self.source = source
        # Items that calls may copy: a genuine pickle copies each byte at most twice, a bomb repeats the same bytes.
        self.allowance = 4 * len(source.data) + 2**20
        # Number of levels of each container that contains containers, by id.
        self.heights: dict[int, int] = {}
        # Containers that were fetched from the memo, by id. They are complete: filling them could hide any depth.
        self.complete: dict[int, Any] = {}

    def find_class(self, module: str, name: str) -> Any:
        if len(module) + len(name) > MAX_NAME:
            raise RefusedError(f"it asks for a name of {len(module) + len(name):,} characters")
        plain = module.replace("__builtin__", "builtins").replace("numpy._core", "numpy.core")
        full_name = f"{plain}.{name}"
        if full_name not in MAKERS:
            raise RefusedError(f"it asks for {module}.{name}{REMEDIES.get(module.partition('.')[0], '')}")
        return StandIn(full_name, MAKERS[full_name])

    def spend(self, *values: Any) -> None:
        self.allowance -= sum(len(value) for value in values if isinstance(value, str | bytes | list | tuple))
        if self.allowance < 0:
            raise RefusedError("it copies the same contents repeatedly")

    def height(self, value: Any) -> int:
        """Returns the number of levels of a container; 0 for a plain value."""
        nests = isinstance(value, list | tuple | dict | set | frozenset)
        nests = nests or (isinstance(value, np.ndarray) and value.dtype.hasobject)
        return self.heights.get(id(value), 1) if nests else 0

    def nest(self, container: Any, parts: Iterable[Any]) -> None:
        """Records that `container` contains `parts`."""
        height = max(self.heights.get(id(container), 1), 1 + max(map(self.height, parts), default=0))
        if height > MAX_DEPTH:
            raise RefusedError(f"it is nested more than {MAX_DEPTH} deep")
        if height > 1:
            self.heights[id(container)] = height

    def measure(self, made: Any) -> None:
        """Records the levels of a new container."""
        self.heights.pop(id(made), None)  # of an earlier object at the same address
        if isinstance(made, list | tuple | dict):
            self.nest(made, made.values() if isinstance(made, dict) else made)

    def load_refused(self) -> None:
        code = chr(self.source.data[self.source.data.tell() - 1])
        name = next(opcode.name for opcode in pickletools.opcodes if opcode.code == code)
        raise RefusedError(f"it uses the opcode {name}")

    def load_unknown(self) -> None:
        raise pickle.UnpicklingError("unknown opcode")

    def load_inst(self) -> None:
        module, name = (self.readline()[:-1].decode("latin1") for _ in range(2))
        raise RefusedError(f"it makes an instance of {module[:MAX_NAME]}.{name[:MAX_NAME]}")

    def load_mark(self) -> None:
        if len(self.metastack) >= MAX_DEPTH:
            raise RefusedError(f"it is nested more than {MAX_DEPTH} deep")
        super().load_mark()

    def load_frame(self) -> None:
        # A frame only announces how much to read ahead.
        (size,) = struct.unpack("<Q", self.read(8))
        self.source.require(size, len(self.source.data) - self.source.data.tell())

    def load_bytearray8(self) -> None:
        (size,) = struct.unpack("<Q", self.read(8))
        self.append(self.read(size))

    def load_reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack[-1]
        if type(function) is not StandIn or type(arguments) is not tuple:
            raise RefusedError("it calls an object that is not a function")
        self.spend(*arguments)
        made = None if function.make is None else function.make(arguments)
        if made is None:
            raise RefusedError(f"it calls {function.name} with arguments that give no plain container or array")
        self.measure(made)
        self.stack[-1] = made

    def load_build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, NumberType | np.ndarray) or type(state) is not tuple:
            raise RefusedError(f"it sets the state of a {type(target).__name__}")
        self.require_open(target)
        self.spend(*state)
        set_state(target, state)
        self.nest(target, [part for item in state if isinstance(item, list) for part in item])

    def load_append(self) -> None:
        value = self.stack.pop()
        self.target(list, [value]).append(value)

    def load_appends(self) -> None:
        items = self.pop_mark()
        self.target(list, items).extend(items)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        require_keys([key])
        self.target(dict, [value])[key] = value

    def load_setitems(self) -> None:
        items = self.pop_mark()
        require_keys(items[::2])
        self.target(dict, items[1::2]).update(zip(items[::2], items[1::2], strict=True))

    def load_dict(self) -> None:
        items = self.pop_mark()
        require_keys(items[::2])
        self.append(dict(zip(items[::2], items[1::2], strict=True)))
        self.measure(self.stack[-1])

    def load_additems(self) -> None:
        items = self.pop_mark()
        require_keys(items)
        self.target(set, []).update(items)

    def load_frozenset(self) -> None:
        items = self.pop_mark()
        require_keys(items)
        self.append(frozenset(items))
        self.measure(self.stack[-1])

    def require_open(self, container: Any) -> None:
        """Refuses to fill a container that may be part of another one already; that also excludes cycles."""
        if id(container) in self.complete:
            raise RefusedError("it fills a container that it has used before")

    def target(self, kind: type, parts: list[Any]) -> Any:
        """Returns the container on the stack, which is to be filled with `parts`."""
        if not isinstance(self.stack[-1], kind):
            raise RefusedError(f"it fills a {type(self.stack[-1]).__name__} as if it were a {kind.__name__}")
        self.require_open(self.stack[-1])
        self.nest(self.stack[-1], parts)
        return self.stack[-1]


def _measured(load: Callable[[Any], None]) -> Callable[[Any], None]:
    def load_container(unpickler: _RestrictedUnpickler) -> None:
        load(unpickler)
        unpickler.measure(unpickler.stack[-1])

    return load_container


def _completing(load: Callable[[Any], None]) -> Callable[[Any], None]:
    def load_again(unpickler: _RestrictedUnpickler) -> None:
        load(unpickler)
        if isinstance(unpickler.stack[-1], list | dict | set | np.ndarray):
            unpickler.complete[id(unpickler.stack[-1])] = unpickler.stack[-1]

    return load_again


def _dispatch() -> dict[int, Callable[[Any], None]]:
    own = vars(_RestrictedUnpickler)
    table = dict.fromkeys(range(256), own["load_unknown"])
    for opcode in pickletools.opcodes:
        inherited: Any = None
        if opcode.name in INHERITED_OPCODES.split():
            inherited = _PythonUnpickler.dispatch[ord(opcode.code)]
        if opcode.name in BUILDING_OPCODES:
            inherited = _measured(inherited)
        elif opcode.name in FETCHING_OPCODES:
            inherited = _completing(inherited)
        table[ord(opcode.code)] = own.get(f"load_{opcode.name.lower()}") or inherited or own["load_refused"]
    return table


_RestrictedUnpickler.dispatch = _dispatch()


def load_pickle(path: str | Path) -> Any:
    """Reads a pickle of tables from an untrusted source.

    Allowed are dictionaries (also ordered and default ones), lists, tuples, sets, strings, bytes, numbers, booleans,
    None, and numpy arrays and scalars of those. Any other class or function is refused by name. No code is
    executed, and memory stays within a multiple of the file size. Strings of Python 2 are decoded as latin-1; byte
    arrays become bytes.

    Raises:
        FileNotFoundError: if there is no such file.
        CorpusError: if the pickle contains anything else, or is damaged.

    Example:
        >>> import pickle
        >>> path.write_bytes(pickle.dumps({"dialogue": [0, 1]}))
        >>> load_pickle(path)
        {'dialogue': [0, 1]}
    """
    path = Path(path)
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise CorpusError(f"{path} is empty: download it again")
        if kind := other_kind(path):
            raise CorpusError(f"{path} is not a pickle but {kind}")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                return _RestrictedUnpickler(_Source(data)).load()
            except RefusedError as error:
                raise CorpusError(
                    f"{path} is refused at byte {data.tell():,}: {error}. A pickle can execute code. "
                    "Nothing of this one was executed; only plain containers, strings, numbers and arrays are read. "
                    "Download it again from its authors; if you trust it, load it and save it as those types."
                ) from None
            except Exception as error:
                # Damaged bytes can raise any exception.
                raise CorpusError(
                    f"{path} is not a complete pickle: {type(error).__name__} at byte {data.tell():,} "
                    f"({str(error)[:200]}). Download it again."
                ) from error
