"""Archives of corpora: what is unpacked, and what is refused."""

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import datasets
import pytest

from datasets_scripts import CorpusError, archives, load_erc_dataset
from datasets_scripts.archives import unpacked

CSV = "dialogue_id,text,label\na,Hi.,joy\n"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")


def write_tar(path: Path, members: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size, member.type, member.linkname = len(content), kind, "/etc/passwd"
            tar.addfile(member, io.BytesIO(content))
    return path


def write_zip(path: Path, members: dict[str, bytes], mode: int = stat.S_IFREG | 0o644) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type = mode << 16, zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return path


@pytest.mark.parametrize("name", ["talks.zip", "talks.tar", "talks.tar.gz", "talks.TGZ"])
def test_an_archive_is_a_corpus(tmp_path: Path, name: str) -> None:
    write = write_zip if name.endswith("zip") else write_tar
    path = write(tmp_path / name.replace("TGZ", "tgz"), {"talks/train.csv": CSV.encode()})
    path = path.rename(tmp_path / name)
    data = load_erc_dataset("table", path, streaming=True, split_by="none")
    assert next(iter(data["train"]))["utterances"][0]["text"] == "Hi."
    assert unpacked(path) == unpacked(path)  # once


def test_archives_inside_an_archive_are_unpacked(tmp_path: Path) -> None:
    inner = write_tar(tmp_path / "train.tar.gz", {"x.wav": b"0"}).read_bytes()
    root = unpacked(
        write_tar(tmp_path / "Corpus.tar", {"Corpus/train.tar.gz": inner, "Corpus/train.csv": CSV.encode()})
    )
    files = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert files == {"train.csv", "train/x.wav"}


@pytest.mark.parametrize("name", ["../x.csv", "/x.csv", "a/../../x.csv"])
def test_paths_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    for path in (write_zip(tmp_path / "t.zip", {name: b"x"}), write_tar(tmp_path / "t.tar", {name: b"x"})):
        with pytest.raises(CorpusError, match=r"t\.(zip|tar): member .* leads out of it"):
            unpacked(path)
    assert not list(tmp_path.rglob("*.csv"))


def test_links_are_refused(tmp_path: Path) -> None:
    for path in (
        write_zip(tmp_path / "t.zip", {"x": b"/etc/passwd"}, stat.S_IFLNK | 0o777),
        write_tar(tmp_path / "t.tar", {"x": b""}, tarfile.SYMTYPE),
        write_tar(tmp_path / "u.tar", {"x": b""}, tarfile.LNKTYPE),
    ):
        with pytest.raises(CorpusError, match="member 'x' is a link"):
            unpacked(path)


def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "SMALL", 1000)
    for path in (
        write_zip(tmp_path / "t.zip", {"x": bytes(10**6)}),
        write_tar(tmp_path / "t.tgz", {"x": bytes(10**6)}),
    ):
        with pytest.raises(CorpusError, match="member 'x' makes it too large"):
            unpacked(path)
    assert not list((tmp_path / "hf" / "erc-unpacked").iterdir())


@pytest.mark.parametrize("name", ["t.zip", "t.tar.gz"])
def test_broken_archives_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"<html>not found</html>")
    with pytest.raises(CorpusError, match=r"cannot be unpacked \(.*\): download it again"):
        unpacked(tmp_path / name)
