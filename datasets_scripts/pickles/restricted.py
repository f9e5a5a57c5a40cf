"""Reads untrusted pickles: only plain containers, strings, numbers and numpy arrays are built, no code is executed."""

import mmap
import pickle
import pickletools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..builder import CorpusError
from .stand_ins import MAKERS, NumberType, RefusedError, StandIn, require_keys, set_state

# Opcodes of Python's own unpickler that are kept: they use stack and memo, and call nothing.
INHERITED_OPCODES = """
    PROTO STOP POP POP_MARK DUP NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 FLOAT BINFLOAT
    STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8
    EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3 TUPLE EMPTY_LIST LIST EMPTY_DICT EMPTY_SET GLOBAL STACK_GLOBAL
    GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE
"""
MAX_DEPTH = 1000
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

    def find_class(self, module: str, name: str) -> Any:
        plain = module.replace("__builtin__", "builtins").replace("numpy._core", "numpy.core")
        full_name = f"{plain}.{name}"
        if full_name not in MAKERS:
            raise RefusedError(f"it asks for {module}.{name}")
        return StandIn(full_name, MAKERS[full_name])

    def spend(self, *values: Any) -> None:
        self.allowance -= sum(len(value) for value in values if isinstance(value, str | bytes | list | tuple))
        if self.allowance < 0:
            raise RefusedError("it copies the same contents repeatedly")

    def load_refused(self) -> None:
        code = chr(self.source.data[self.source.data.tell() - 1])
        name = next(opcode.name for opcode in pickletools.opcodes if opcode.code == code)
        raise RefusedError(f"it uses the opcode {name}")

    def load_unknown(self) -> None:
        raise pickle.UnpicklingError("unknown opcode")

    def load_inst(self) -> None:
        module, name = (self.readline()[:-1].decode("latin1") for _ in range(2))
        raise RefusedError(f"it makes an instance of {module}.{name}")

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
        self.stack[-1] = made

    def load_build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, NumberType | np.ndarray) or type(state) is not tuple:
            raise RefusedError(f"it sets the state of a {type(target).__name__}")
        self.spend(*state)
        set_state(target, state)

    def load_append(self) -> None:
        value = self.stack.pop()
        self.target(list).append(value)

    def load_appends(self) -> None:
        items = self.pop_mark()
        self.target(list).extend(items)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        require_keys([key])
        self.target(dict)[key] = value

    def load_setitems(self) -> None:
        items = self.pop_mark()
        require_keys(items[::2])
        self.target(dict).update(zip(items[::2], items[1::2], strict=True))

    def load_dict(self) -> None:
        items = self.pop_mark()
        require_keys(items[::2])
        self.append(dict(zip(items[::2], items[1::2], strict=True)))

    def load_additems(self) -> None:
        items = self.pop_mark()
        require_keys(items)
        self.target(set).update(items)

    def load_frozenset(self) -> None:
        items = self.pop_mark()
        require_keys(items)
        self.append(frozenset(items))

    def target(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise RefusedError(f"it fills a {type(self.stack[-1]).__name__} as if it were a {kind.__name__}")
        return self.stack[-1]


def _dispatch() -> dict[int, Callable[[Any], None]]:
    own = vars(_RestrictedUnpickler)
    table = dict.fromkeys(range(256), own["load_unknown"])
    for opcode in pickletools.opcodes:
        inherited = _PythonUnpickler.dispatch[ord(opcode.code)] if opcode.name in INHERITED_OPCODES.split() else None
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
                    f"{path} is not a complete pickle: {type(error).__name__} at byte {data.tell():,} ({error}). "
                    "Download it again; a file of a few hundred bytes may be a git-lfs pointer to the real one."
                ) from error
