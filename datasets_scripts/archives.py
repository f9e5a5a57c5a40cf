"""Unpacks zip and tar archives of corpora into the cache, with checks of paths, links and size."""

import hashlib
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import datasets

from .builder import CorpusError

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
# An archive may become this many times larger, and any archive this large (bytes); more is taken for an attack.
GROWTH = 100
SMALL = 2**30
# Levels of archives inside archives.
DEPTH = 3


def is_archive(path: Path) -> bool:
    """Returns whether a name ends like that of an archive."""
    return path.name.lower().endswith(ENDINGS)


def unpacked(root: Path) -> Path:
    """Returns a folder without archives: `root` itself, or a folder in the cache with the content of its archives.

    An archive with one folder at its top becomes that folder, any other one a folder with its name without ending.
    Other files are linked.

    Args:
        root: a folder, or an archive.

    Raises:
        CorpusError: if an archive is broken, too large, or has a member that leads out of it.
    """
    base = root if root.is_dir() else root.parent
    files = sorted(file for file in root.rglob("*") if file.is_file()) if root.is_dir() else [root]
    if not any(map(is_archive, files)):
        return root
    digest = hashlib.sha256()
    for file in files:
        facts = file.stat()
        digest.update(f"{file}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode(errors="surrogateescape"))
    target = Path(datasets.config.HF_DATASETS_CACHE) / "erc-unpacked" / digest.hexdigest()[:32]
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
            partial = Path(temporary) / "partial"
            for file in files:
                place = partial / file.relative_to(base)
                place.parent.mkdir(parents=True, exist_ok=True)
                if is_archive(file):
                    _unpack_beside(file, place)
                else:
                    place.symlink_to(file.resolve())
            partial.rename(target)
    entries = list(target.iterdir())
    while len(entries) == 1 and entries[0].is_dir():
        target, entries = entries[0], list(entries[0].iterdir())
    return target


def _unpack_beside(archive: Path, place: Path, depth: int = 1) -> None:
    """Unpacks an archive into the folder of `place`, its path in the copy, and the archives inside it in turn."""
    with tempfile.TemporaryDirectory(dir=place.parent) as temporary:
        content = Path(temporary) / "content"
        content.mkdir()
        try:
            _extract(archive, content)
        except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, RuntimeError, NotImplementedError) as error:
            reason = str(error).partition("\n")[0]
            raise CorpusError(f"{archive} cannot be unpacked ({reason}): download it again") from error
        entries = list(content.iterdir())
        folder = place.with_name(_name_without_ending(place))
        if len(entries) == 1 and entries[0].is_dir() and not place.with_name(entries[0].name).exists():
            content, folder = entries[0], place.with_name(entries[0].name)
        if folder.exists():
            raise CorpusError(f"{archive}: its folder {folder.name} exists already: rename one of them")
        content.rename(folder)
    for inner in sorted(filter(is_archive, folder.rglob("*"))):
        if depth == DEPTH:
            raise CorpusError(f"{archive}: archives are nested more than {DEPTH} levels deep: unpack them yourself")
        _unpack_beside(inner, inner, depth + 1)
        inner.unlink()


def _name_without_ending(path: Path) -> str:
    ending = max((ending for ending in ENDINGS if path.name.lower().endswith(ending)), key=len)
    return path.name[: -len(ending)]


def _extract(archive: Path, folder: Path) -> None:
    limit = min(max(SMALL, GROWTH * archive.stat().st_size), shutil.disk_usage(folder).free)
    total = 0
    for name, size, is_link in _extracted(archive, folder):
        total += size
        # Before the member is written, which happens when the next one is asked for.
        if is_link or _leads_out(name) or total > limit:
            problem = "is a link" if is_link else "leads out of it" if _leads_out(name) else "makes it too large"
            raise CorpusError(f"{archive}: member {name[:200]!r} {problem}: unpack it yourself if you trust it")


def _extracted(archive: Path, folder: Path) -> Iterator[tuple[str, int, bool]]:
    """Yields name, size (bytes) and whether it is a link of each member, and writes it after that."""
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as content:
            for info in content.infolist():
                yield info.filename, info.file_size, stat.S_ISLNK(info.external_attr >> 16)
                content.extract(info, folder)
        return
    with tarfile.open(archive) as tar:
        for member in tar:
            yield member.name, member.size, member.issym() or member.islnk()
            tar.extract(member, folder, filter="data")


def _leads_out(name: str) -> bool:
    path = PurePosixPath(name.replace(os.sep, "/").replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or ":" in path.parts[0]
