"""Source archives: reading what others packed without trust, and packing the one canonical way.

The same files give the same bytes and so the same digest, whether a person pushed a folder, a
forge sent a tarball or CodePipeline a zip.
"""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from steward.domain.errors import ArchiveRefusedError

SKIPPED = frozenset({"__pycache__", ".git", ".venv", ".pytest_cache", ".mypy_cache", ".ruff_cache"})
"""Folders that are never part of a source."""

MAX_CODE_BYTES = 50 * 1024 * 1024
"""Of the code that trains and serves, unpacked."""
MAX_ARCHIVE_BYTES = 50 * 1024 * 1024
"""Of an archive as it comes."""
MAX_UNPACKED_BYTES = 100 * 1024 * 1024
MAX_FILES = 5000
_CHUNK = 1024 * 1024
_PER_FILE = 4096
"""What a tar may hold beside the content of a file: headers and padding."""


@dataclass(frozen=True)
class SourceFile:
    """One file of a source."""

    content: bytes
    executable: bool = False


Files = dict[str, SourceFile]
"""Files by path, with slashes and relative."""


@dataclass(frozen=True)
class Limits:
    """What is never exceeded while an archive is read, whatever its headers say."""

    unpacked_bytes: int = MAX_UNPACKED_BYTES
    files: int = MAX_FILES


def read_archive(stream: BinaryIO, limits: Limits | None = None) -> Files:
    """Return the files of a zip or a gzipped tar, told apart by their first bytes.

    Where all lie in one folder, as in a forge's tarball, the paths are those below it.

    Raises:
        ArchiveRefusedError: It is neither, is broken, is too large, or has a member that leaves
            its folder, is absolute, a link, a device, encrypted or there twice; ``field`` is the
            member's name.
    """
    bounds = limits or Limits()
    first = stream.read(4)
    stream.seek(0)
    if first.startswith(b"\x1f\x8b"):
        found = _collected(_tar_members(stream, bounds), bounds)
    elif first.startswith(b"PK"):
        found = _collected(_zip_members(stream), bounds)
    else:
        raise ArchiveRefusedError(
            "the archive is neither a zip nor a gzipped tar", field="$", value=first.hex(),
            allowed=".zip or .tar.gz",
        )  # fmt: skip
    return _below_one_folder(found)


@dataclass(frozen=True)
class _Member:
    name: str
    stream: BinaryIO | None
    refusal: str | None
    executable: bool
    folder: bool = False


def _collected(members: Iterator[_Member], limits: Limits) -> Files:
    files: Files = {}
    left = limits.unpacked_bytes
    try:
        for member in members:
            if member.refusal is not None:
                raise _refused(member.name, member.refusal)
            if member.folder:
                continue
            path = checked_path(member.name)
            if path in files:
                raise _refused(member.name, "is there twice")
            if len(files) >= limits.files:
                raise _refused(member.name, f"is one file too many; at most {limits.files}")
            assert member.stream is not None
            content = _bounded(member.stream, left, member.name, limits)
            left -= len(content)
            files[path] = SourceFile(content, member.executable)
    except (
        tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, zlib.error, NotImplementedError,
        RuntimeError, ValueError,
    ) as error:  # fmt: skip
        raise ArchiveRefusedError(
            f"the archive cannot be read: {error}", field="$", allowed="a whole archive"
        ) from None
    return files


def _bounded(stream: BinaryIO, left: int, name: str, limits: Limits) -> bytes:
    """Read a member piece by piece: its header may lie about its size."""
    pieces: list[bytes] = []
    size = 0
    while piece := stream.read(min(_CHUNK, left - size + 1)):
        size += len(piece)
        if size > left:
            raise _refused(
                name, f"makes the archive unpack to more than {limits.unpacked_bytes >> 20} MiB"
            )
        pieces.append(piece)
    return b"".join(pieces)


class _Unzipped:
    """A gzip stream that ends in an error after so many bytes, headers of the tar included."""

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self._unzipped, self._left = gzip.GzipFile(fileobj=stream, mode="rb"), limit

    def read(self, size: int) -> bytes:
        """Return at most so many bytes."""
        piece = self._unzipped.read(size)
        self._left -= len(piece)
        if self._left < 0:
            raise ArchiveRefusedError(
                "the archive unpacks to more than it may", field="$", allowed="source code"
            )
        return piece


def _tar_members(stream: BinaryIO, limits: Limits) -> Iterator[_Member]:
    unzipped = _Unzipped(stream, limits.unpacked_bytes + limits.files * _PER_FILE + _CHUNK)
    with tarfile.open(fileobj=unzipped, mode="r|") as tar:  # type: ignore[call-overload]
        for entry in tar:
            executable = bool(entry.mode & stat.S_IXUSR)
            if entry.isdir():
                yield _Member(entry.name, None, _folder_refusal(entry.name), executable, True)
            elif entry.isfile():
                content = tar.extractfile(entry)
                yield _Member(entry.name, content, None, executable)
            else:
                kind = "a link" if entry.issym() or entry.islnk() else "a device or pipe"
                yield _Member(entry.name, None, f"is {kind}", executable)


def _zip_members(stream: BinaryIO) -> Iterator[_Member]:
    with zipfile.ZipFile(stream) as archive:
        for info in archive.infolist():
            mode = info.external_attr >> 16
            kind = stat.S_IFMT(mode)
            executable = bool(mode & stat.S_IXUSR)
            if info.is_dir():
                yield _Member(info.filename, None, _folder_refusal(info.filename), False, True)
            elif kind not in (0, stat.S_IFREG):
                what = "a link" if kind == stat.S_IFLNK else "a device or pipe"
                yield _Member(info.filename, None, f"is {what}", executable)
            elif info.flag_bits & 0x1:
                yield _Member(info.filename, None, "is encrypted", executable)
            else:
                with archive.open(info) as content:
                    yield _Member(info.filename, content, None, executable)  # type: ignore[arg-type]


def _folder_refusal(name: str) -> str | None:
    """Return why a folder's name is refused; folders are made of the files in them."""
    try:
        checked_path(name.rstrip("/") or ".")
    except ArchiveRefusedError as refused:
        return None if name.strip("./") == "" and ".." not in name else refused.message
    return None


def checked_path(name: str) -> str:
    """Return a member's path, without a leading ``./``.

    Raises:
        ArchiveRefusedError: It is absolute, leaves its folder, or cannot be a path everywhere.
    """
    path = name.removeprefix("./")
    parts = path.split("/")
    if path.startswith("/") or (len(path) > 1 and path[1] == ":"):
        raise _refused(name, "is absolute")
    if ".." in parts:
        raise _refused(name, "leaves its folder")
    if "\\" in path or any(ord(sign) < 32 or ord(sign) == 127 for sign in path):
        raise _refused(name, "has a character that no path has")
    if not path or "" in parts or "." in parts or len(path.encode()) > 250:
        raise _refused(name, "is no path of a file")
    return path


def _refused(name: str, why: str) -> ArchiveRefusedError:
    shown = name if name.isprintable() else ascii(name)
    return ArchiveRefusedError(
        f"{shown[:200]} {why}", field=shown[:200], allowed="regular files below one folder"
    )


def _below_one_folder(files: Files) -> Files:
    heads = {name.partition("/")[0] for name in files}
    if len(heads) != 1 or any("/" not in name for name in files):
        return files
    return {name.partition("/")[2]: found for name, found in files.items()}


def below(files: Mapping[str, SourceFile], folder: str) -> Files:
    """Return the files of a folder, by their paths below it; ``.`` is all of them."""
    prefix = "" if folder in ("", ".") else folder.strip("/") + "/"
    return {
        name.removeprefix(prefix): found for name, found in files.items() if name.startswith(prefix)
    }


def canonical_archive(files: Mapping[str, SourceFile], *, limit: int = MAX_CODE_BYTES) -> bytes:
    """Return files as tar.gz whose bytes depend on names, modes and contents alone.

    Caches and the forge's own folder are left out.

    Raises:
        ArchiveRefusedError: They are larger than ``limit``.
    """
    size = 0
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0, compresslevel=6) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name in _in_order(files):
            found = files[name]
            size += len(found.content)
            if size > limit:
                raise ArchiveRefusedError(
                    f"the code is more than {limit >> 20} MiB", field=name,
                    allowed="code only: data goes into the data bucket, weights into the model",
                )  # fmt: skip
            entry = tarfile.TarInfo(name)
            entry.size = len(found.content)
            entry.mode = 0o755 if found.executable else 0o644
            try:
                tar.addfile(entry, io.BytesIO(found.content))
            except ValueError:
                raise _refused(name, "is too long a path") from None
    return buffer.getvalue()


def _in_order(names: Iterable[str]) -> list[str]:
    kept = (name for name in names if not SKIPPED.intersection(name.split("/")))
    return sorted(kept, key=lambda name: name.split("/"))
