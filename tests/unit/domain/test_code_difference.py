"""What changed in the code between two versions, whatever somebody put into their files."""

from __future__ import annotations

import hashlib
import io
import tarfile
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from steward.domain.code_difference import (
    SHOWN_FILES,
    SHOWN_LINES,
    CodeDifference,
    compare_code,
    harmless,
    read_code,
)
from steward.domain.errors import AccessDeniedError, RejectedError
from steward.domain.version_comparison import Side, compare_versions
from steward_cli.commands.version_compare import render_code
from steward_cli.sources import pack
from steward_cli.version_code import code_difference
from steward_cli.version_page import page
from support.fakes import FakeObjects

EVIL = "x = 1  # \x1b[2J\u202e </pre><script>alert(1)</script> [red]hi[/red]\x07"


def archive(*entries: tuple[str, bytes], edit: Any = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            if edit:
                edit(entry)
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def test_added_removed_and_changed_files_are_told_with_their_lines() -> None:
    a = {"train.py": b"a = 1\nb = 2\n", "old.py": b"x\n", "same.py": b"s"}
    b = {"train.py": b"a = 1\nb = 3\n", "new.py": b"y\n", "same.py": b"s"}
    found = compare_code(a, b)
    kinds = {file.path: file.kind for file in found.files}
    assert kinds == {"new.py": "added", "old.py": "removed", "train.py": "changed"}
    assert found.same == 1
    (changed,) = (file for file in found.files if file.kind == "changed")
    assert changed.lines == ["@@ -1,2 +1,2 @@", " a = 1", "-b = 2", "+b = 3"]


@pytest.mark.parametrize(
    ("a", "b", "told"),
    [
        (b"\x00\x01", b"\x00\x02\x03", "not text: 2 to 3 bytes"),
        (b"ok\n", b"\xff\xfe", "not text"),
        (b"x\n" * 3001, b"x\n", "too long to be shown: 3,001 to 1 lines"),
        (b"x" * 300_000, b"y", "too long"),
        (b"a\r\n", b"a\n", "line ends alone"),
    ],
)
def test_what_has_no_lines_to_show_says_why(a: bytes, b: bytes, told: str) -> None:
    (file,) = compare_code({"f": a}, {"f": b}).files
    assert told in file.told
    assert file.lines == []


def test_files_and_lines_are_bounded_and_the_rest_is_counted() -> None:
    many = {f"f{n:03}.py": b"x" for n in range(SHOWN_FILES + 3)}
    assert compare_code({}, many).left_out == 3
    long = b"".join(b"line %d\n" % n for n in range(1000))
    (file,) = compare_code({"f": b""}, {"f": long}).files
    assert (len(file.lines), file.left_out) == (SHOWN_LINES, 1001 - SHOWN_LINES)
    (file,) = compare_code({"f": b""}, {"f": b"y" * 5000}).files
    assert len(file.lines[-1]) <= 400


@given(st.text())
def test_no_shown_line_holds_a_control_or_turning_character(text: str) -> None:
    shown = harmless(text)
    assert shown.isprintable()


def test_what_is_shown_drives_no_terminal_and_is_no_markup() -> None:
    found = compare_code({"f\x1b]0;hi\x07.py": b"x = 1\n"}, {"f\x1b]0;hi\x07.py": EVIL.encode()})
    out = io.StringIO()
    render_code(found, Console(file=out, width=200, force_terminal=True, color_system=None))
    assert "\x1b[2J" not in out.getvalue()
    assert "\x1b]0" not in out.getvalue()
    assert "\u202e" not in out.getvalue()
    assert "\\x1b[2J\\u202e" in out.getvalue()
    assert "[red]hi[/red]" in out.getvalue()
    side = Side(record={"project": "p", "version": 1}), Side(record={"project": "p", "version": 2})
    html = page(compare_versions(*side), datetime(2026, 11, 29, tzinfo=UTC), found)
    assert "<script" not in html
    assert "&lt;/pre&gt;&lt;script&gt;" in html
    assert "\x1b" not in html


def test_a_packed_folder_is_read_again(tmp_path: Any) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "a.py").write_text("a")
    (tmp_path / "train.py").write_text("b")
    assert read_code(pack(tmp_path)) == {"lib/a.py": b"a", "train.py": b"b"}


def _link(entry: tarfile.TarInfo) -> None:
    entry.type, entry.linkname, entry.size = tarfile.SYMTYPE, "/etc/passwd", 0


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "cannot be read"),
        (b"no archive", "cannot be read"),
        (archive(("a.py", b"x" * 5000))[:-30], "cannot be read"),
        (archive(("../a.py", b"x")), "names within the folder"),
        (archive(("/etc/a.py", b"x")), "names within the folder"),
        (archive(("a\\b.py", b"x")), "names within the folder"),
        (archive(("a.py", b"x"), ("a.py", b"y")), "each file once"),
        (archive(("a.py", b""), edit=_link), "files and folders"),
        (archive(*((f"f{n}", b"") for n in range(2001))), "2000 files"),
        (archive(("a.py", b"\0" * (51 * 1024**2))), "52428800 bytes"),
    ],
    ids=["empty", "none", "cut", "above", "absolute", "backslash", "twice", "link", "many", "bomb"],
)
def test_an_archive_that_may_do_harm_is_refused(content: bytes, told: str) -> None:
    with pytest.raises(RejectedError) as refused:
        read_code(content)
    assert told in f"{refused.value} {refused.value.allowed}"


class Kept:
    """Two versions whose code lies in the bucket."""

    def __init__(self, *codes: bytes) -> None:
        self.objects = FakeObjects()
        self.items: list[dict[str, Any]] = []
        for number, content in enumerate(codes, start=1):
            digest = hashlib.sha256(content).hexdigest()
            self.objects.write(self.uri(digest), content)
            self.items.append({"project": "p", "version": number, "code_digest": digest})

    def uri(self, digest: str) -> str:
        return f"s3://artifacts/code/p/{digest}.tar.gz"

    def compared(self) -> CodeDifference:
        return code_difference(self.items[0], self.items[1], self.objects, "artifacts")


ONE, TWO = archive(("train.py", b"a\n")), archive(("train.py", b"b\n"))


def test_the_code_of_versions_is_found_by_its_digest() -> None:
    assert [file.path for file in Kept(ONE, TWO).compared().files] == ["train.py"]
    assert Kept(ONE, ONE).compared() == CodeDifference()


def test_code_that_was_changed_is_missing_or_may_not_be_read_is_said() -> None:
    kept = Kept(ONE, TWO)
    kept.objects.write(kept.uri(kept.items[1]["code_digest"]), ONE)
    assert "it was changed" in kept.compared().unread[0]
    kept = Kept(ONE, TWO)
    kept.items[1]["code_digest"] = "unproven"
    assert "its code unproven is not in this account" in kept.compared().unread[0]
    kept = Kept(ONE, b"no archive")
    assert "cannot be read" in kept.compared().unread[0]

    def denied(*_parts: Any) -> Any:
        raise AccessDeniedError("s3:GetObject is denied")

    kept = Kept(ONE, TWO)
    kept.objects.describe = denied  # type: ignore[method-assign, assignment]
    assert len(kept.compared().unread) == 2
