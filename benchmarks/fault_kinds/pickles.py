"""Hostile pickles: they are refused, and nothing of them is executed."""

import contextlib
import gzip
import io
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasets_scripts import CorpusError
from datasets_scripts.pickles.restricted import load_pickle

from . import Outcome, Plan, children, fault

# Functions that a gadget calls, with arguments that make the canary's file; {} is its path, {c} a shell command.
CALLS: dict[str, tuple[Any, ...]] = {
    "os.system": ("{c}",),
    "posix.system": ("{c}",),
    "os.popen": ("{c}",),
    "os.mkdir": ("{}",),
    "os.mkfifo": ("{}",),
    "os.symlink": ("/", "{}"),
    "os.spawnvp": (0, "sh", ("sh", "-c", "{c}")),
    "subprocess.getoutput": ("{c}",),
    "subprocess.call": (("sh", "-c", "{c}"),),
    "subprocess.check_output": (("sh", "-c", "{c}"),),
    "subprocess.Popen": (("sh", "-c", "{c}"),),
    "builtins.eval": ("open({!r}, 'w')",),
    "builtins.exec": ("open({!r}, 'w')",),
    "builtins.open": ("{}", "w"),
    "io.open": ("{}", "w"),
    "io.FileIO": ("{}", "w"),
    "codecs.open": ("{}", "w"),
    "gzip.open": ("{}", "w"),
    "bz2.open": ("{}", "w"),
    "lzma.open": ("{}", "w"),
    "zipfile.ZipFile": ("{}", "w"),
    "tarfile.open": ("{}", "w"),
    "shelve.open": ("{}",),
    "dbm.dumb.open": ("{}",),
    "sqlite3.connect": ("{}",),
    "logging.FileHandler": ("{}",),
    "shutil.copyfile": ("/etc/hostname", "{}"),
    "shutil.copytree": ("/etc/apt", "{}"),
    "pathlib.Path.touch": (),
    "numpy.save": ("{}", 1),
    "numpy.savetxt": ("{}", (1,)),
    "numpy.memmap": ("{}", "uint8", "w+", 0, (1,)),
    "numpy.lib.format.open_memmap": ("{}", "w+", "uint8", (1,)),
    "timeit.timeit": ("0", "open({!r}, 'w')", None, 1),
    "cProfile.run": ("open({!r}, 'w')",),
    "profile.run": ("open({!r}, 'w')",),
    "trace.Trace.run": (),
    "code.InteractiveInterpreter.runsource": (),
    "pdb.run": ("open({!r}, 'w')",),
    "doctest.debug_script": ("open({!r}, 'w')",),
    "pty.spawn": (("sh", "-c", "{c}"),),
    "runpy.run_path": ("{}",),
    "torch.save": (1, "{}"),
    "torch.load": ("{}",),
    "pandas.read_pickle": ("{}",),
    "joblib.load": ("{}",),
    "ctypes.CDLL": ("{}",),
    "multiprocessing.util.spawnv_passfds": (b"/bin/sh", ("sh", "-c", "{c}"), ()),
}


def argument(value: Any, canary: Path) -> Any:
    """Puts the canary's path into an argument."""
    if isinstance(value, tuple):
        return tuple(argument(item, canary) for item in value)
    if not isinstance(value, str):
        return value
    return value.replace("{c}", f"touch {canary}").replace("{!r}", repr(str(canary))).replace("{}", str(canary))


def body(value: Any) -> bytes:
    """Returns the opcodes that put a plain value on the stack."""
    return pickle.dumps(value, 2)[2:-1]


def text(word: str) -> bytes:
    """Returns the opcode of a short string."""
    return b"\x8c" + bytes([len(word)]) + word.encode()


def by_global(module: str, name: str, given: Any) -> bytes:
    """Returns a call through the opcode GLOBAL."""
    return f"c{module}\n{name}\n".encode() + body(given) + b"R"


def by_stack_global(module: str, name: str, given: Any) -> bytes:
    """Returns a call through STACK_GLOBAL, whose name is made of strings."""
    return text(module) + text(name) + b"\x93" + body(given) + b"R"


def by_inst(module: str, name: str, given: Any) -> bytes:
    """Returns a call through INST."""
    return b"(" + b"".join(body(item) for item in given) + f"i{module}\n{name}\n".encode()


def by_obj(module: str, name: str, given: Any) -> bytes:
    """Returns a call through OBJ."""
    return b"(" + f"c{module}\n{name}\n".encode() + b"".join(body(item) for item in given) + b"o"


def by_newobj(module: str, name: str, given: Any) -> bytes:
    """Returns a call through NEWOBJ."""
    return f"c{module}\n{name}\n".encode() + body(given) + b"\x81"


def by_newobj_ex(module: str, name: str, given: Any) -> bytes:
    """Returns a call through NEWOBJ_EX."""
    return f"c{module}\n{name}\n".encode() + body(given) + b"}\x92"


def by_getattr(module: str, name: str, given: Any) -> bytes:
    """Returns a call through `getattr` of an imported module."""
    imported = b"cimportlib\nimport_module\n" + body((module,)) + b"R"
    return b"cbuiltins\ngetattr\n(" + imported + body(name) + b"tR" + body(given) + b"R"


def by_partial(module: str, name: str, given: Any) -> bytes:
    """Returns a call through `functools.partial`."""
    bound = b"cfunctools\npartial\n(" + f"c{module}\n{name}\n".encode() + b"".join(map(body, given)) + b"tR"
    return bound + b")R"


def by_map(module: str, name: str, given: Any) -> bytes:
    """Returns a call through `list(map(...))`."""
    pairs = b"".join(body((item,)) for item in given)
    return b"cbuiltins\nlist\n(cbuiltins\nmap\n(" + f"c{module}\n{name}\n".encode() + pairs + b"tRtR"


def by_factory(module: str, name: str, given: Any) -> bytes:
    """Returns a call through the factory of a default dictionary."""
    # A default dictionary calls its factory for a key that it lacks.
    made = b"ccollections\ndefaultdict\n(" + by_partial(module, name, given)[:-2] + b"tR"
    return b"coperator\ngetitem\n(" + made + b"K\x01tR"


FORMS: tuple[Callable[[str, str, Any], bytes], ...] = (
    *(by_global, by_stack_global, by_inst, by_obj, by_newobj, by_newobj_ex),
    *(by_getattr, by_partial, by_map, by_factory),
)
BLANK = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntC\x01btR"
OBJECTS = b"cnumpy\ndtype\n(X\x02\x00\x00\x00O8tR"
NINE = pickle.dumps([{}] * 8, 2)[2:-1]
# Where in a file the gadget stands.
PLACES: dict[str, Callable[[bytes], bytes]] = {
    "alone": lambda gadget: b"\x80\x04" + gadget + b".",
    "in a list": lambda gadget: b"\x80\x04]" + gadget + b"a.",
    "value of a member": lambda gadget: b"\x80\x04}X\x01\x00\x00\x00a" + gadget + b"s.",
    "key of a member": lambda gadget: b"\x80\x04}" + gadget + b"K\x01s.",
    "last of nine members": lambda gadget: b"\x80\x04(" + b"}" * 8 + gadget + b"t.",
    "after the content": lambda gadget: b"\x80\x04" + NINE + gadget + b"0.",
    "kept and fetched": lambda gadget: b"\x80\x04" + gadget + b"q\x000h\x00.",
    "in a frame": lambda gadget: b"\x80\x04\x95" + struct.pack("<Q", len(gadget) + 1) + gadget + b".",
    "in an array": lambda gadget: b"\x80\x04" + BLANK + b"(I1\n(I1\nt" + OBJECTS + b"I00\n(" + gadget + b"ltb.",
    "state of an object": lambda gadget: b"\x80\x04ccollections\nOrderedDict\n)R" + gadget + b"b.",
    "second pickle": lambda gadget: pickle.dumps([1], 4) + b"\x80\x04" + gadget + b".",
    "gzip": lambda gadget: gzip.compress(b"\x80\x04" + gadget + b"."),
}


def gadgets(canary: Path) -> dict[str, bytes]:
    """Makes hostile files: each function in each form of a call, each at one of the places in turn."""
    made = {}
    places = list(PLACES.items())
    for number, (target, given) in enumerate(CALLS.items()):
        module, _, name = target.rpartition(".")
        arguments = tuple(argument(item, canary) for item in given)
        for turn, form in enumerate(FORMS):
            place, put = places[(number + turn) % len(places)]
            made[f"{target} {form.__name__.replace('_', ' ')}, {place}"] = put(form(module, name, arguments))
    return made


@fault("pickles", "hostile feature pickles: each is refused with a `CorpusError`, and its code leaves no trace")
def pickles(plan: Plan) -> Outcome:
    """Opens hostile pickles, and for comparison the same ones with Python's own `pickle`."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    canary, file = plan.folder / "canary", plan.folder / "features.pkl"
    made = list(gadgets(canary).items())
    plan.draw.shuffle(made)  # type: ignore[arg-type]
    made = made[: plan.count(len(made))]

    def failure(gadget: tuple[str, bytes]) -> str | None:
        name, data = gadget
        file.write_bytes(data)
        try:
            load_pickle(file)
            outcome = None if name.endswith("second pickle") else "it was read"  # what follows a pickle stays unread
        except CorpusError as error:
            outcome = "a message of several lines" if "\n" in str(error) else None
        except Exception as error:
            outcome = f"{type(error).__name__}: {error}"
        return f"{name}: it was executed" if clean(canary) else outcome and f"{name}: {outcome}"

    def dangerous(gadget: tuple[str, bytes]) -> str | None:
        with contextlib.suppress(BaseException):
            pickle.load(io.BytesIO(gadget[1]))
        return gadget[0] if clean(canary) else None

    log = plan.folder / "log"
    failures = children.each(failure, made, log)
    executed = len([line for line in children.each(dangerous, made, log) if "the process died" not in line])
    return Outcome(len(made), failures, f"`pickle.load` executes {executed} of them")


def clean(canary: Path) -> bool:
    """Removes the canary and returns whether there was one."""
    found = [path for path in canary.parent.iterdir() if path.name.startswith(canary.name)]
    for path in found:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return bool(found)
