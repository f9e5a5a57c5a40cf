"""Recognizes files that are not pickles, whatever their name, by their first bytes."""

import zipfile
from pathlib import Path

_AS_NUMPY = "and save the tables as a pickle of numpy arrays"
_TORCH = f"a file of torch.save: load it with torch.load(path, weights_only=True) {_AS_NUMPY}"
# First bytes, and what such a file is and how to make a pickle of it.
_HEADS: dict[bytes, str] = {
    b"version https://git-lfs": "a git-lfs pointer: fetch the file itself with `git lfs pull`",
    b"\x1f\x8b": "compressed with gzip: unpack it with gunzip",
    b"BZh": "compressed with bzip2: unpack it with bunzip2",
    b"\xfd7zXZ\0": "compressed with xz: unpack it with unxz",
    b"\x28\xb5\x2f\xfd": "compressed with zstd: unpack it with unzstd",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive: unpack it",
    b"Rar!": "a RAR archive: unpack it",
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19": _TORCH,
    b"\x93NUMPY": f"a numpy file (.npy): load it with numpy.load(path) {_AS_NUMPY}",
    b"\x89HDF": f"an HDF5 file: load it with h5py {_AS_NUMPY}",
    b"PAR1": "a parquet file: load it as a `table` corpus",
    **dict.fromkeys(
        (b"ZF", b"x\x01", b"x\x5e", b"x\x9c", b"x\xda"),
        f"compressed with zlib, probably by joblib: load it with joblib.load(path) {_AS_NUMPY}",
    ),
}


def other_kind(path: Path) -> str | None:
    """Returns what a file is instead of a pickle and what to do with it; None if it may be a pickle."""
    with path.open("rb") as file:
        head = file.read(256)
    if head.startswith(b"PK\x03\x04"):
        return _zip_kind(path)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "a web page: the download failed, so open its address in a browser and download the file again"
    return next((kind for start, kind in _HEADS.items() if head.startswith(start)), None)


def _zip_kind(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        names = []
    if any(name == "data.pkl" or name.endswith("/data.pkl") for name in names):
        return _TORCH
    if any(name.endswith(".npy") for name in names):
        return f"a numpy archive (.npz): load it with numpy.load(path) {_AS_NUMPY}"
    return "a zip archive: unpack it (if torch.save wrote it, load it with torch.load(path, weights_only=True))"
