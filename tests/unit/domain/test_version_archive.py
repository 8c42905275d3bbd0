"""Archives of versions: the same bytes each time, and nothing harmful gets through."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steward.domain.errors import EvidenceIncompleteError, RejectedError
from steward.domain.version_archive import (
    MAX_JSON_BYTES,
    Manifest,
    Member,
    Source,
    check_evidence_of,
    check_model,
    import_digest,
    read_archive,
    write_archive,
)


def tar_of(*entries: tuple[str, bytes], mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


MODEL = tar_of(("model.json", b"{}"), mode="w:gz")
EVALUATION = b'{"rows": 100}'


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


EVIDENCE = json.dumps(
    {
        "artifact": {"uri": "s3://a/model.tar.gz", "sha256": sha(MODEL)},
        "evaluation": {"uri": "s3://a/evaluation.json", "sha256": sha(EVALUATION)},
    }
).encode()
FILES = {
    "evaluation.json": EVALUATION, "evidence.json": EVIDENCE,
    "examples.json": b'{"cases": []}', "model.tar.gz": MODEL,
}  # fmt: skip


def manifest_of(files: dict[str, bytes] | None = None) -> Manifest:
    return Manifest(
        source=Source(
            account="111111111111", region="us-east-1", environment="local", project="diabetes",
            version=2, author="111111111111/tess", job_image="i@sha256:0", code_digest="c",
            evidence_digest=sha(EVIDENCE),
        ),
        members=[
            Member(name=name, size=len(content), sha256=sha(content))
            for name, content in sorted((files or FILES).items())
        ],
        missing=["bias.json"],
    )  # fmt: skip


def archive_of(files: dict[str, bytes] | None = None) -> bytes:
    out, held = io.BytesIO(), files or FILES
    write_archive(out, manifest_of(held), lambda member: io.BytesIO(held[member.name]))
    return out.getvalue()


def read(content: bytes, folder: Path, max_bytes: int = 10_000_000) -> Manifest:
    path = folder / "given.tar"
    path.write_bytes(content)
    into = folder / "into"
    into.mkdir()
    return read_archive(path, into, max_bytes=max_bytes)


def test_an_archive_is_read_as_it_was_written(tmp_path: Path) -> None:
    found = read(archive_of(), tmp_path)
    assert found == manifest_of()
    unpacked = {path.name: path.read_bytes() for path in (tmp_path / "into").iterdir()}
    assert unpacked == FILES
    check_evidence_of(found, EVIDENCE, json.loads(EVIDENCE))


def test_the_same_version_is_the_same_bytes() -> None:
    assert archive_of() == archive_of(dict(reversed(list(FILES.items()))))
    assert manifest_of().digest == sha(manifest_of().content())


def test_bytes_that_changed_since_stop_an_export() -> None:
    with pytest.raises(EvidenceIncompleteError, match=r"model.tar.gz"):
        write_archive(
            io.BytesIO(), manifest_of(),
            lambda member: io.BytesIO(FILES[member.name][:-1] + b"!"
                                      if member.name == "model.tar.gz" else FILES[member.name]),
        )  # fmt: skip


@pytest.mark.parametrize("change", [lambda part: part[:-1], lambda part: part + b"!"])
def test_a_stream_of_another_length_stops_an_export(change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(EvidenceIncompleteError):
        write_archive(
            io.BytesIO(), manifest_of(), lambda member: io.BytesIO(change(FILES[member.name]))
        )


@settings(max_examples=60, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_one_changed_bit_is_found(
    place: float, bit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(archive_of())
    at = int(place * len(content))
    content[at] ^= 1 << bit
    folder = tmp_path_factory.mktemp("bit")
    try:
        read(bytes(content), folder)
    except (RejectedError, EvidenceIncompleteError):
        return
    # Padding and unused header fields carry nothing: what was unpacked is what was exported.
    assert {path.name: path.read_bytes() for path in (folder / "into").iterdir()} == FILES


@pytest.mark.parametrize("kept", [0, 100, 512, 1024, 2000, -2048])
def test_a_truncated_archive_is_refused(kept: int, tmp_path: Path) -> None:
    whole = archive_of()
    end = kept if kept >= 0 else len(whole) - 10_240 + 512
    with pytest.raises((RejectedError, EvidenceIncompleteError)):
        read(whole[:end], tmp_path)


def entry_of(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, to: str = "") -> bytes:
    entry = tarfile.TarInfo(name)
    entry.type, entry.size, entry.linkname = kind, size, to
    return entry.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    "extra",
    [
        entry_of("../evil.json"),
        entry_of("/etc/passwd"),
        entry_of("a/model.tar.gz"),
        entry_of("bias.json", tarfile.SYMTYPE, to="/etc/passwd"),
        entry_of("bias.json", tarfile.LNKTYPE, to="model.tar.gz"),
        entry_of("bias.json", tarfile.FIFOTYPE),
        entry_of("bias.json", tarfile.DIRTYPE),
        entry_of("bias.json", tarfile.GNUTYPE_SPARSE),
        entry_of("bias.json"),
        entry_of("model.tar.gz"),
        entry_of("bias.json", size=MAX_JSON_BYTES + 1),
    ],
    ids=["up", "root", "folder", "symlink", "hardlink", "fifo", "dir", "sparse", "unnamed",
         "twice", "huge"],
)  # fmt: skip
def test_members_that_may_do_harm_are_refused(extra: bytes, tmp_path: Path) -> None:
    whole = archive_of()
    end = len(whole.rstrip(b"\0"))
    end += -end % 512
    with pytest.raises(RejectedError):
        read(whole[:end] + extra + b"\0" * 1024, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["given.tar", "into"]


def test_a_compressed_archive_is_refused_unread(tmp_path: Path) -> None:
    with pytest.raises(RejectedError):
        read(gzip.compress(archive_of()), tmp_path)


def test_an_archive_above_the_bound_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match="bytes"):
        read(archive_of(), tmp_path, max_bytes=1000)


def test_an_archive_without_what_an_import_needs_is_refused(tmp_path: Path) -> None:
    files = {name: content for name, content in FILES.items() if name != "model.tar.gz"}
    with pytest.raises(RejectedError, match=r"no model.tar.gz"):
        read(archive_of(files), tmp_path)


def test_a_manifest_that_says_another_digest_is_found(tmp_path: Path) -> None:
    forged = manifest_of({**FILES, "evaluation.json": b'{"rows": 999}'})
    content = forged.content()
    parts = [("manifest.json", content), *sorted(FILES.items())]
    with pytest.raises(EvidenceIncompleteError, match=r"evaluation.json"):
        read(tar_of(*parts), tmp_path)


def test_evidence_of_other_files_is_found() -> None:
    forged = manifest_of({**FILES, "evaluation.json": b'{"rows": 999}'})
    with pytest.raises(EvidenceIncompleteError, match=r"evaluation.json"):
        check_evidence_of(forged, EVIDENCE, json.loads(EVIDENCE))
    with pytest.raises(EvidenceIncompleteError, match="froze"):
        check_evidence_of(manifest_of(), EVIDENCE + b" ", json.loads(EVIDENCE))


def test_an_import_is_known_by_its_files_in_any_order() -> None:
    members = manifest_of().members
    assert import_digest(members) == import_digest(reversed(members))


def test_a_model_is_walked_through() -> None:
    assert check_model(io.BytesIO(MODEL)) == 2


@pytest.mark.parametrize(
    "content",
    [
        tar_of(("../up", b"x"), mode="w:gz"),
        tar_of(("/root", b"x"), mode="w:gz"),
        tar_of(("a/../../up", b"x"), mode="w:gz"),
        tar_of(mode="w:gz"),
        MODEL[:-12],
        MODEL[:20],
        b"",
        b"no archive at all",
        gzip.compress(entry_of("m", tarfile.SYMTYPE, to="/etc") + b"\0" * 1024),
        gzip.compress(entry_of("m", tarfile.CHRTYPE) + b"\0" * 1024),
    ],
    ids=["up", "root", "back-up", "empty", "cut-end", "cut", "nothing", "text", "link", "device"],
)
def test_a_model_that_may_do_harm_is_refused(content: bytes) -> None:
    with pytest.raises(RejectedError):
        check_model(io.BytesIO(content))


def test_a_bomb_is_refused_within_its_bound() -> None:
    bomb = tar_of(("zeros", b"\0" * 5_000_000), mode="w:gz")
    assert len(bomb) < 10_000
    with pytest.raises(RejectedError, match="5000000 bytes"):
        check_model(io.BytesIO(bomb), max_bytes=1_000_000)


def test_a_model_of_too_many_files_is_refused() -> None:
    many = tar_of(*((f"f{n}", b"") for n in range(10_001)), mode="w:gz")
    with pytest.raises(RejectedError, match="files"):
        check_model(io.BytesIO(many))
