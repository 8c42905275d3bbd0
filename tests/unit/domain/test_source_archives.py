"""Archives of others are read without trust, and the same files always give the same bytes."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from steward.domain.errors import ArchiveRefusedError
from steward.domain.source_archives import (
    Limits,
    SourceFile,
    below,
    canonical_archive,
    read_archive,
)
from steward_cli.sources import pack

Entry = tuple[Any, ...]


def tarball(*entries: Entry) -> io.BytesIO:
    """Return a tar.gz of (name, content[, mode, type])."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content, *rest in entries:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.mode = rest[0] if rest else 0o644
            if len(rest) > 1:
                info.type, info.linkname, info.size = rest[1], "/etc/passwd", 0
            tar.addfile(info, io.BytesIO(content))
    return io.BytesIO(out.getvalue())


def zipped(*entries: tuple[str, bytes, int]) -> io.BytesIO:
    """Return a zip of (name, content, mode)."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content, mode in entries:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, content)
    return io.BytesIO(out.getvalue())


def test_a_folder_a_tarball_of_a_forge_and_a_zip_of_a_pipeline_have_one_digest(
    tmp_path: Path,
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "inner.py").write_bytes(b"y = 2\n")
    (tmp_path / "a.py").write_bytes(b"x = 1\n")
    (tmp_path / "run.sh").write_bytes(b"#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o755)
    forge = tarball(
        ("acme-credit-1f0c/run.sh", b"#!/bin/sh\n", 0o775),
        ("acme-credit-1f0c/a/inner.py", b"y = 2\n"),
        ("acme-credit-1f0c/a.py", b"x = 1\n"),
    )  # fmt: skip
    pipeline = zipped(
        ("a.py", b"x = 1\n", 0), ("run.sh", b"#!/bin/sh\n", stat.S_IFREG | 0o755),
        ("a/inner.py", b"y = 2\n", stat.S_IFREG | 0o644),
    )  # fmt: skip

    archives = {
        pack(tmp_path), canonical_archive(read_archive(forge)),
        canonical_archive(read_archive(pipeline)),
    }  # fmt: skip

    assert len(archives) == 1


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../evil.py", "leaves its folder"),
        ("src/../../evil.py", "leaves its folder"),
        ("/etc/cron.d/evil", "is absolute"),
        ("C:/evil.py", "is absolute"),
        ("src\\evil.py", "no path has"),
        ("src/e\x01vil.py", "no path has"),
        ("x" * 251, "no path of a file"),
        ("src//evil.py", "no path of a file"),
    ],
)
@pytest.mark.parametrize("packed", [
    lambda name: tarball((name, b"x")), lambda name: zipped((name, b"x", 0)),
], ids=["tar", "zip"])  # fmt: skip
def test_a_member_that_is_no_file_below_the_folder_is_refused_by_name(
    packed: Callable[[str], io.BytesIO], name: str, why: str
) -> None:
    with pytest.raises(ArchiveRefusedError, match=why) as refused:
        read_archive(packed(name))
    assert refused.value.field


@pytest.mark.parametrize(
    ("archive", "why"),
    [
        (tarball(("a.py", b"", 0o644, tarfile.SYMTYPE)), "a.py is a link"),
        (tarball(("a.py", b"", 0o644, tarfile.LNKTYPE)), "a.py is a link"),
        (tarball(("a", b"", 0o644, tarfile.CHRTYPE)), "a is a device"),
        (tarball(("a", b"", 0o644, tarfile.FIFOTYPE)), "a is a device"),
        (zipped(("a.py", b"/etc/passwd", stat.S_IFLNK | 0o777)), "a.py is a link"),
        (zipped(("a", b"", stat.S_IFCHR | 0o666)), "a is a device"),
        (tarball(("a.py", b"1"), ("./a.py", b"2")), "is there twice"),
    ],
)
def test_links_devices_and_doubles_are_refused(archive: io.BytesIO, why: str) -> None:
    with pytest.raises(ArchiveRefusedError, match=why):
        read_archive(archive)


@pytest.mark.parametrize(
    "archive",
    [
        tarball(("ok.py", b"1"), ("bomb.bin", bytes(3_000_000))),
        zipped(("ok.py", b"1", 0), ("bomb.bin", bytes(3_000_000), 0)),
    ],
    ids=["tar", "zip"],
)
def test_what_unpacks_to_too_much_is_refused_while_it_is_read(archive: io.BytesIO) -> None:
    with pytest.raises(ArchiveRefusedError, match=r"bomb\.bin makes the archive unpack"):
        read_archive(archive, Limits(unpacked_bytes=1024 * 1024))


def test_too_many_files_are_refused() -> None:
    many = zipped(*((f"{number}.py", b"", 0) for number in range(4)))
    with pytest.raises(ArchiveRefusedError, match="one file too many; at most 3"):
        read_archive(many, Limits(files=3))


@pytest.mark.parametrize(
    "broken",
    [
        b"", b"not an archive", tarball(("a.py", b"x" * 9000)).getvalue()[:40],
        zipped(("a.py", b"x", 0)).getvalue()[:-8], b"PK\x03\x04garbage", b"\x1f\x8b\x08garbage",
    ],
    ids=["empty", "text", "cut tar", "cut zip", "zip alike", "gzip alike"],
)  # fmt: skip
def test_what_is_no_archive_or_broken_is_refused(broken: bytes) -> None:
    with pytest.raises(ArchiveRefusedError):
        read_archive(io.BytesIO(broken))


def test_an_encrypted_member_is_refused() -> None:
    content = bytearray(zipped(("a.py", b"x", 0)).getvalue())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + offset] |= 1
    with pytest.raises(ArchiveRefusedError, match=r"a\.py is encrypted"):
        read_archive(io.BytesIO(bytes(content)))


def test_a_source_above_the_limit_is_not_packed() -> None:
    with pytest.raises(ArchiveRefusedError, match="the code is more than 1 MiB"):
        canonical_archive({"weights.bin": SourceFile(bytes(2_000_000))}, limit=1024 * 1024)


def test_the_files_of_a_folder_are_those_below_it() -> None:
    files = {name: SourceFile(b"") for name in ("src/a.py", "src_v3/a.py", "project.yaml")}
    assert list(below(files, "src/")) == ["a.py"]
    assert below(files, ".") == files
