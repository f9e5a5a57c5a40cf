import collections
import gzip
import io
import os
import pickle
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets_scripts import CorpusError
from datasets_scripts.pickles.restricted import load_pickle

REPOSITORY = Path(__file__).parents[3]
PLAIN = {
    "numbers": [0, 255, 70000, -3, 2**70, 0.5, True, None],
    "strings": ("", "caf\u00e9", b"", b"\x00\xff"),
    "sets": [{1, 2}, frozenset(["a"])],
    "nested": [[], {}, (), [({"a": [1]},)]],
    7: collections.OrderedDict([("b", 1), ("a", 2)]),
    "default": collections.defaultdict(list, {"a": [1]}),
    "same": ["row"] * 3,
}
ARRAYS: dict[str, Any] = {
    "float": np.arange(6, dtype=np.float32).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big endian": np.arange(3, dtype=">i4"),
    "strings": np.array(["a", "bcd"]),
    "objects": np.array([1, "a", None], dtype=object),
    "empty": np.zeros((0, 3)),
    "bool": np.array([True, False]),
    "scalar": np.float64(0.1),
}


class Call:
    """Pickles as a call of a function, written by name."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def write(folder: Path, content: bytes) -> Path:
    path = folder / "features.pkl"
    path.write_bytes(content)
    return path


def calling(name: str, arguments: bytes) -> bytes:
    """A pickle that calls `module.function` with what the opcodes `arguments` put on the stack."""
    module, _, function = name.rpartition(".")
    return b"\x80\x02c%s\n%s\n(%stR." % (module.encode(), function.encode(), arguments)


def long(number: int) -> bytes:
    return b"I%d\n" % number


def nested_call(command: str) -> bytes:
    """`getattr(__import__("os"), "system")(command)`."""
    module = b"cbuiltins\n__import__\n(S'os'\ntR"
    return b"cbuiltins\ngetattr\n(" + module + b"S'system'\ntR(S'" + command.encode() + b"'\ntR."


DTYPE = b"cnumpy\ndtype\n(X\x02\x00\x00\x00f4tR"
BLANK = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntC\x01btR"


@pytest.mark.parametrize("protocol", range(6))
def test_plain_contents_come_out_as_they_went_in(tmp_path: Path, protocol: int) -> None:
    read = load_pickle(write(tmp_path, pickle.dumps(PLAIN, protocol)))
    assert read == PLAIN
    assert [type(value) for value in read.values()] == [type(value) for value in PLAIN.values()]
    assert read["default"]["new"] == []


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_come_out_as_they_went_in(tmp_path: Path, protocol: int) -> None:
    read = load_pickle(write(tmp_path, pickle.dumps(ARRAYS, protocol)))
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype.kind == array.dtype.kind


def test_array_that_is_referred_to_twice_is_one_array(tmp_path: Path) -> None:
    array = np.arange(3.0)
    first, second = load_pickle(write(tmp_path, pickle.dumps([array, array], 2)))
    assert first is second


def test_strings_and_arrays_of_python_2_are_read_as_latin_1(tmp_path: Path) -> None:
    raw = np.array([1.5, -2.0], "<f4").tobytes()
    blank = BLANK.replace(b"C\x01b", b"U\x01b").replace(b"numpy._core", b"numpy.core")
    state = b"(I1\n(I2\nt" + DTYPE.replace(b"X\x02\x00\x00\x00", b"U\x02") + b"I00\nU\x08" + raw + b"tb"
    word, array = load_pickle(write(tmp_path, b"(U\x04caf\xe9" + blank + state + b"l."))
    assert word == "caf\u00e9"
    np.testing.assert_array_equal(array, np.array([1.5, -2.0], np.float32))


@pytest.mark.parametrize(
    ("name", "make"),
    [
        (f"{os.name}.system", lambda command: pickle.dumps(Call(os.system, command))),
        ("builtins.eval", lambda command: pickle.dumps(Call(eval, f"__import__('os').system({command!r})"))),
        ("__builtin__.eval", lambda command: pickle.dumps(Call(eval, f"__import__('os').system({command!r})"), 2)),
        ("builtins.getattr", nested_call),
        (
            "subprocess.Popen",
            lambda command: pickle.dumps({"labels": [Call(subprocess.Popen, ["sh", "-c", command])]}, 3),
        ),
        ("os.system", lambda command: b"(S'" + command.encode() + b"'\nios\nsystem\n."),
        ("numpy.load", lambda command: pickle.dumps(Call(np.load, command), 4)),
    ],
)
def test_function_of_a_hostile_pickle_is_refused_by_name_and_not_run(
    tmp_path: Path, name: str, make: Callable[[str], bytes]
) -> None:
    marker = tmp_path / "was here"
    path = write(tmp_path, make(f"touch '{marker}'".replace("'", '"')))
    with pytest.raises(
        CorpusError, match=rf"features\.pkl is refused at byte .*{name}\b.*Nothing of this one was executed"
    ):
        load_pickle(path)
    assert not marker.exists()


def archive(name: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr(name, b"N.")
    return content.getvalue()


BOMBS = {
    "bytes of 10 GB": (b"\x80\x04\x8e" + struct.pack("<Q", 10**10) + b"ab.", "announces 10,000,000,000 bytes where 3 "),
    "text of 10 GB": (b"\x80\x04\x8d" + struct.pack("<Q", 10**10) + b"ab.", "announces 10,000,000,000 bytes"),
    "frame of 10 GB": (b"\x80\x04\x95" + struct.pack("<Q", 10**10) + b"N.", "announces 10,000,000,000 bytes where 2 "),
    "bytearray of 10 GB": (b"\x80\x05\x96" + struct.pack("<Q", 10**10) + b"ab.", "announces 10,000,000,000 bytes"),
    "length inside a frame": (
        b"\x80\x04\x95" + struct.pack("<Q", 11) + b"\x8e" + struct.pack("<Q", 10**10) + b"a.",
        "annou",
    ),
    "number of 2 GB": (b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"a.", "opcode LONG4"),
    "bytes(10**10)": (calling("builtins.bytes", long(10**10)), "calls builtins.bytes with arguments"),
    "bytearray(10**10)": (calling("builtins.bytearray", long(10**10)), r"asks for builtins\.bytearray"),
    "ndarray((10**10,))": (calling("numpy.ndarray", b"(" + long(10**10) + b"t"), r"calls numpy\.ndarray with"),
    "blank array of 10 GB": (
        BLANK.replace(b"I0\n", long(10**10)) + b".",
        r"calls numpy\.core\.multiarray\._reconstruct with arguments",
    ),
    "array larger than its bytes": (
        BLANK + b"(I1\n(" + long(10**10) + b"t" + DTYPE + b"I00\nC\x04abcdtb.",
        "1 dimensions larger than its contents",
    ),
    "array of no columns": (
        BLANK + b"(I1\n(" + long(10**9) + b"I0\nt" + DTYPE + b"I00\nC\x00tb.",
        "2 dimensions larger than its contents",
    ),
    "type of 10 GB": (calling("numpy.dtype", b"X\x0c\x00\x00\x00V10000000000"), r"calls numpy\.dtype with"),
    "reduce bomb of a set": (
        b"(" + b"I1\n" * 3000 + b"lp0\n0" + b"(cbuiltins\nset\n(g0\ntR" * 3000 + b"l.",
        "repeatedly",
    ),
    "reduce bomb of bytes": (
        b"X"
        + struct.pack("<I", 10**6)
        + b"a" * 10**6
        + b"q\x000("
        + b"c_codecs\nencode\n(h\x00X\x06\x00\x00\x00latin1tR" * 9999,
        "repeatedly",
    ),
    "deep recursion": (b"(" * 10**6 + b".", "nested more than 1000 deep"),
    "deep key": (b"})" + b"\x85" * 10**6 + b"Ns.", "nested more than 1000 deep"),
    "array in an array": (
        BLANK + b"(I1\n(I1\nt" + DTYPE.replace(b"f4", b"O8") + b"I00\n(" + BLANK + b"ltb.",
        "of 1 objects",
    ),
    "persistent id": (b"Pposix.system\n.", "opcode PERSID"),
    "persistent id from the stack": (b"NQ.", "opcode BINPERSID"),
    "extension": (b"\x82\x01.", "opcode EXT1"),
    "instance": (b"]]\x81.", "opcode NEWOBJ"),
    "state of a dictionary": (b"}}b.", "sets the state of a dict"),
    "call of a list": (b"](tR.", "calls an object that is not a function"),
    "cut off": (pickle.dumps(ARRAYS)[:-30], "announces .* so it is truncated"),
    "chain of tuples": (b"N" + b"\x85" * 10**5 + b"0N.", "nested more than 1000 deep"),
    "chain of default dictionaries": (
        (b"ccollections\ndefaultdict\ncbuiltins\nlist\n\x85R" + b"I1\n") * 10**5 + b"N" + b"s" * 10**5 + b".",
        "nested more than 1000 deep",
    ),
    "chain of lists, from the innermost": (b"]" * 10**5 + b"a" * (10**5 - 1) + b".", "nested more than 1000 deep"),
    "chain of lists, from the outermost": (
        b"]" + b"".join(b"]r%bh\x00a0j%b" % (2 * (struct.pack("<I", n),)) for n in range(10**4)) + b".",
        "fills a|used before|fills",
    ),
    "list of itself": (b"]q\x00h\x00a.", "fills a container that it has used before"),
    "arrays in lists in arrays": (
        (BLANK + b"(I1\n(I1\nt" + DTYPE.replace(b"f4", b"O8") + b"I00\n(]") * 1500 + b"N" + b"altb" * 1500 + b".",
        "nested more than 1000 deep",
    ),
    "tuple as a key": (b"})Ns.", "has a tuple as a key"),
    "keys of one hash": (
        b"}" + b"".join(b"\x8a\x0a" + (k * (2**61 - 1)).to_bytes(10, "little") + b"Ns" for k in range(9, 10**4)) + b".",
        "integer of more than 64 bits as a key",
    ),
    "name of 10 MB": (b"c" + b"a" * 10**7 + b"\nb\n.", r"asks for a name of 10,000,001 characters"),
    "class of joblib": (
        b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n.",
        "Wrapper: joblib wrote it, so load",
    ),
    "git-lfs pointer": (b"version https://git-lfs.github.com/spec/v1\n", "not a pickle but a git-lfs pointer"),
    "gzip": (gzip.compress(b"N."), "not a pickle but compressed with gzip"),
    "zlib of joblib": (zlib.compress(b"N."), "not a pickle but compressed with zlib, probably by joblib"),
    "web page": (b"\n<!DOCTYPE html><html>", "not a pickle but a web page: the download failed"),
    "torch archive": (archive("f/data.pkl"), r"not a pickle but a file of torch\.save: .*weights_only=True"),
    "numpy archive": (archive("text.npy"), r"not a pickle but a numpy archive \(\.npz\)"),
    "archive": (archive("features.pkl"), "not a pickle but a zip archive: unpack it"),
    "empty": (b"", "is empty"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_no_feature_table_needs_is_refused_by_name(tmp_path: Path, name: str) -> None:
    content, message = BOMBS[name]
    with pytest.raises(CorpusError, match=rf"features\.pkl .*{message}"):
        load_pickle(write(tmp_path, content))


def test_no_bomb_takes_memory(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    bombs = {name: content for name, (content, _) in BOMBS.items()}
    # Unpicklers that keep their memo in an array allocate 16 GB for this number, which is no fault in itself.
    bombs["memo number of 2**31 - 1"] = b"\x80\x02Nr" + struct.pack("<I", 2**31 - 1) + b"."
    for number, content in enumerate(bombs.values()):
        (tmp_path / f"{number}.pkl").write_bytes(content)
    code = """
import resource, sys
from pathlib import Path
from datasets_scripts import CorpusError
from datasets_scripts.pickles.restricted import load_pickle
# From here on, no more than 256 MiB of addresses beyond those in use.
pages = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (pages + 2**28, pages + 2**28))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sorted(Path(sys.argv[1]).glob("*.pkl")):
    try:
        load_pickle(path)
    except CorpusError as error:
        assert "MemoryError" not in str(error), error
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc to tell the memory in use")
    run = [sys.executable, "-c", code, str(tmp_path)]
    grown = subprocess.run(run, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    assert int(grown) < 100


def test_damage_anywhere_is_one_kind_of_error(tmp_path: Path) -> None:
    whole = pickle.dumps([PLAIN, ARRAYS], 2)
    noise = np.random.default_rng(0)
    for place in noise.integers(0, len(whole), 300):
        broken = bytearray(whole)
        broken[place] = noise.integers(256)
        for content in (whole[:place], bytes(broken)):
            try:
                load_pickle(write(tmp_path, content))
            except CorpusError:
                continue


@pytest.mark.parametrize("order", ["<", ">"])
def test_types_that_the_process_shares_stay_as_they_are(tmp_path: Path, order: str) -> None:
    state = b"(I3\nX\x01\x00\x00\x00" + order.encode() + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffI0\ntb"
    load_pickle(write(tmp_path, DTYPE + state + b"."))
    assert np.dtype("f4").isnative
    assert np.dtype("f4").itemsize == 4


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pkl"):
        load_pickle(tmp_path / "nowhere.pkl")
