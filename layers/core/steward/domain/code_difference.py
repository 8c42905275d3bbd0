"""What changed between the code of two versions: files, and unified diffs that are safe to show.

Code is somebody's text. Nothing of an archive is written to disk, and what is shown has no
character that moves a cursor, hides text or turns its direction.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Mapping
from difflib import unified_diff
from typing import Literal

from pydantic import BaseModel, ConfigDict

from steward.domain.errors import RejectedError

MAX_BYTES, MAX_FILES = 50 * 1024**2, 2_000
SHOWN_FILES, SHOWN_LINES, SHOWN_COLUMNS = 40, 200, 400
_DIFFED_LINES, _DIFFED_BYTES = 3_000, 256 * 1024
"""Of one side of a file: finding the difference takes time with their product."""

Code = Mapping[str, bytes]


class _Result(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class FileDifference(_Result):
    """One file that differs.

    Attributes:
        path: Escaped as the lines are.
        kind: What happened to it from A to B.
        told: Why no lines are shown, if none are.
        lines: Of a unified diff, without line ends.
        left_out: Lines beyond the number that is shown.
    """

    path: str
    kind: Literal["added", "removed", "changed"]
    told: str = ""
    lines: list[str] = []
    left_out: int = 0


class CodeDifference(_Result):
    """The code of two versions.

    Attributes:
        files: Those that differ, by path.
        same: How many do not.
        left_out: Files that differ beyond the number that is shown.
        unread: Why the code of a version could not be read; nothing is compared then.
    """

    files: list[FileDifference] = []
    same: int = 0
    left_out: int = 0
    unread: list[str] = []


def read_code(content: bytes) -> dict[str, bytes]:
    """Return the files of a code archive by path.

    Raises:
        RejectedError: It is no whole ``.tar.gz``, a member is no file or folder, a name leads out
            of the folder or is there twice, or it holds too much.
    """
    found: dict[str, bytes] = {}
    total = 0
    try:
        with (
            gzip.GzipFile(fileobj=io.BytesIO(content)) as unzipped,
            tarfile.open(fileobj=unzipped, mode="r|") as archive,
        ):
            for number, entry in enumerate(archive, start=1):
                total += entry.size
                _check(entry, total, number)
                if entry.isdir():
                    continue
                if entry.name in found:
                    raise _refused(f"{entry.name!r} twice", "each file once")
                stream = archive.extractfile(entry)
                found[entry.name] = stream.read() if stream else b""
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as error:
        raise _refused(f"an archive that cannot be read: {error}", "a whole .tar.gz") from None
    return found


def _check(entry: tarfile.TarInfo, total: int, number: int) -> None:
    if not (entry.isfile() or entry.isdir()) or entry.issparse():
        raise _refused(f"{entry.name!r}", "files and folders")
    if entry.name.startswith("/") or ".." in entry.name.split("/") or "\\" in entry.name:
        raise _refused(f"{entry.name!r}", "names within the folder")
    if total > MAX_BYTES or number > MAX_FILES:
        raise _refused(f"{total} bytes in {number} files", f"{MAX_BYTES} bytes, {MAX_FILES} files")


def _refused(what: str, allowed: str) -> RejectedError:
    return RejectedError(f"the code is refused: {what}", field="code", allowed=allowed)


def compare_code(a: Code, b: Code) -> CodeDifference:
    """Return what differs between two trees of files."""
    differing = [path for path in sorted({*a, *b}) if a.get(path) != b.get(path)]
    return CodeDifference(
        files=[_file(path, a.get(path), b.get(path)) for path in differing[:SHOWN_FILES]],
        same=len({*a, *b}) - len(differing),
        left_out=max(0, len(differing) - SHOWN_FILES),
    )


def _file(path: str, a: bytes | None, b: bytes | None) -> FileDifference:
    kind: Literal["added", "removed", "changed"] = "changed"
    if a is None or b is None:
        kind = "added" if a is None else "removed"
    shown = harmless(path)
    texts = [_text(side or b"") for side in (a, b)]
    if None in texts:
        sizes = " to ".join(f"{len(side):,}" for side in (a, b) if side is not None)
        return FileDifference(path=shown, kind=kind, told=f"not text: {sizes} bytes")
    lines = [(text or "").splitlines() for text in texts]
    if any(len(side or b"") > _DIFFED_BYTES for side in (a, b)) or any(
        len(side) > _DIFFED_LINES for side in lines
    ):
        told = f"too long to be shown: {len(lines[0]):,} to {len(lines[1]):,} lines"
        return FileDifference(path=shown, kind=kind, told=told)
    found = list(unified_diff(lines[0], lines[1], lineterm="", n=3))[2:]
    if not found:
        return FileDifference(path=shown, kind=kind, told="line ends alone, or no lines")
    return FileDifference(
        path=shown, kind=kind, lines=[harmless(line) for line in found[:SHOWN_LINES]],
        left_out=max(0, len(found) - SHOWN_LINES),
    )  # fmt: skip


def _text(content: bytes) -> str | None:
    if b"\0" in content:
        return None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def harmless(text: str) -> str:
    """Return a line with every character that is not printable written out.

    Escape sequences would drive a terminal, and characters that turn the direction of writing
    make code read as something else (CVE-2021-42574).
    """
    cut = text if len(text) <= SHOWN_COLUMNS else f"{text[: SHOWN_COLUMNS - 1]}…"
    return "".join(_written_out(c) for c in cut.expandtabs(4))


def _written_out(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
