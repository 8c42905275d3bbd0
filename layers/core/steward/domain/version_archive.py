"""A version with all its evidence as one file: written the same each time, read with distrust.

An uncompressed tar. Its first member, ``manifest.json``, names every other with size and
SHA-256; the SHA-256 of the manifest is the export's digest. Nothing in it depends on when or
where it was written.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from steward.domain.digests import canonical_json, digest_of
from steward.domain.errors import EvidenceIncompleteError, RejectedError

MANIFEST, MODEL, EVALUATION, EXAMPLES, EVIDENCE = (
    "manifest.json", "model.tar.gz", "evaluation.json", "examples.json", "evidence.json",
)  # fmt: skip
DATASET = "dataset_manifest.json"
PARTS: dict[str, tuple[str, ...]] = {
    MODEL: ("artifact",),
    EVALUATION: ("evaluation",),
    "comparison.json": ("comparison",),
    "baseline.json": ("baseline",),
    "bias.json": ("bias",),
    "explanation.json": ("explanation",),
    "card.json": ("card",),
    "smoke.json": ("staging", "smoke"),
    DATASET: ("dataset", "manifest"),
}
"""Members that the evidence names by digest, and where in it."""

MEMBERS = frozenset({*PARTS, EXAMPLES, EVIDENCE})
MAX_JSON_BYTES = 64 * 1024**2
MAX_MANIFEST_BYTES = 1024**2
MAX_MODEL_BYTES = 10 * 1024**3
MAX_MODEL_FILES = 10_000
_CHUNK = 1024**2
_SHA256 = "^[0-9a-f]{64}$"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Member(_Strict):
    """One file of an archive."""

    name: str
    size: int = Field(ge=0)
    sha256: str = Field(pattern=_SHA256)


class Source(_Strict):
    """Where a version was exported from."""

    account: str = Field(pattern="^[0-9]{12}$")
    region: str
    environment: str
    project: str
    version: int = Field(ge=1)
    author: str
    job_image: str
    code_digest: str
    evidence_digest: str = Field(pattern=_SHA256)


class Manifest(_Strict):
    """What an archive holds.

    Attributes:
        missing: Parts that the version never had.
    """

    schema_version: str = Field(default="1", pattern="^1$")
    kind: str = Field(default="steward.version", pattern="^steward[.]version$")
    source: Source
    members: list[Member]
    missing: list[str]

    def content(self) -> bytes:
        """Return the bytes that are stored."""
        return canonical_json(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """The export's digest: ``sha256sum manifest.json``."""
        return hashlib.sha256(self.content()).hexdigest()


def named_parts(evidence: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return ``{uri, sha256}`` of each part that an evidence document names, by member name."""
    found: dict[str, dict[str, str]] = {}
    for name, path in PARTS.items():
        at: Any = evidence
        for step in path:
            at = at.get(step) if isinstance(at, Mapping) else None
        if isinstance(at, Mapping) and at.get("uri") and at.get("sha256"):
            found[name] = {"uri": str(at["uri"]), "sha256": str(at["sha256"])}
    return found


class Named(Protocol):
    """A file by name and digest."""

    @property
    def name(self) -> str:
        """Name of the file."""
        ...

    @property
    def sha256(self) -> str:
        """Digest of its bytes."""
        ...


def import_digest(members: Iterable[Named]) -> str:
    """Return the digest of what is imported, whatever the order it is named in."""
    return digest_of({member.name: member.sha256 for member in members})


def import_uri(bucket: str, project: str, digest: str, name: str) -> str:
    """Return where a member is put before it is imported."""
    return f"s3://{bucket}/imports/{project}/{digest}/{name}"


def write_archive(
    target: BinaryIO, manifest: Manifest, opened: Callable[[Member], BinaryIO]
) -> None:
    """Write an archive, streaming each member.

    Raises:
        EvidenceIncompleteError: A member's bytes are not what the manifest says; what was
            written is not to be used.
    """
    with tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT) as archive:
        content = manifest.content()
        archive.addfile(_entry(MANIFEST, len(content)), io.BytesIO(content))
        for member in sorted(manifest.members, key=lambda part: part.name):
            with opened(member) as stream:
                read = _Hashed(stream)
                try:
                    archive.addfile(_entry(member.name, member.size), read)
                except OSError as short:
                    raise _differs(member, f"ended early: {short}") from None
                if stream.read(1) or read.hexdigest() != member.sha256:
                    raise _differs(member, read.hexdigest())


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, 0o644, 0
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _differs(member: Member, found: str) -> EvidenceIncompleteError:
    return EvidenceIncompleteError(
        f"{member.name} is not what its digest says", field=member.name, value=found,
        allowed=member.sha256,
    )  # fmt: skip


class _Hashed(io.RawIOBase):
    """Hashes what is read through it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._hash = stream, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        content = self._stream.read(size)
        self._hash.update(content)
        return content

    def hexdigest(self) -> str:
        """Return the digest of all that was read."""
        return self._hash.hexdigest()


def read_archive(path: Path, into: Path, *, max_bytes: int = MAX_MODEL_BYTES) -> Manifest:
    """Unpack an archive into an empty folder, every byte checked against its manifest.

    Names are compared with the few that there may be, so that none leads out of the folder;
    nothing in it is compressed or sparse, so that it holds no more than its own size; links,
    devices and members of the same name are refused.

    Raises:
        RejectedError: It is no archive of this kind, or one that may do harm.
        EvidenceIncompleteError: A member is missing or differs from its digest.
    """
    size = path.stat().st_size
    if size > max_bytes:
        raise _refused(f"{size} bytes", f"at most {max_bytes} bytes")
    try:
        with tarfile.open(path, mode="r:") as archive:
            entries = _checked(archive, size)
            manifest = _manifest(archive, next(entries, None))
            wanted = {member.name: member for member in manifest.members}
            for entry in entries:
                member = wanted.pop(entry.name, None)
                if member is None or member.size != entry.size:
                    raise _refused(f"member {entry.name!r}", "what the manifest names, once")
                _unpack(archive, entry, member, into / member.name)
    except (tarfile.TarError, EOFError, OverflowError) as error:
        raise _refused(f"broken: {error}", "an uncompressed tar from `versions export`") from None
    if wanted:
        raise EvidenceIncompleteError(
            f"the archive lacks {', '.join(sorted(wanted))}", field="members",
            allowed="every member of its manifest",
        )  # fmt: skip
    return manifest


def _checked(archive: tarfile.TarFile, size: int) -> Iterator[tarfile.TarInfo]:
    seen: set[str] = set()
    for entry in archive:
        plain = entry.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not entry.issparse()
        if not plain or entry.name not in MEMBERS | {MANIFEST} or entry.name in seen:
            raise _refused(f"member {entry.name!r}", "plain files of known names, each once")
        most = MAX_JSON_BYTES if entry.name != MODEL else size
        if not 0 <= entry.size <= min(most, size):
            raise _refused(f"{entry.name} of {entry.size} bytes", f"at most {min(most, size)}")
        seen.add(entry.name)
        yield entry


def _manifest(archive: tarfile.TarFile, first: tarfile.TarInfo | None) -> Manifest:
    if first is None or first.name != MANIFEST or first.size > MAX_MANIFEST_BYTES:
        raise _refused("an archive without its manifest", f"{MANIFEST} as the first member")
    stream = archive.extractfile(first)
    content = stream.read(MAX_MANIFEST_BYTES + 1) if stream else b""
    return parse_manifest(content)


def parse_manifest(content: bytes) -> Manifest:
    """Return a manifest; its bytes are canonical, so that they and its digest are one.

    Raises:
        RejectedError: It is none.
    """
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False)[0]
        raise _refused(f"manifest: {first['loc']}: {first['msg']}", "schema version 1") from None
    names = [member.name for member in manifest.members]
    if manifest.content() != content or len(set(names)) < len(names) or set(names) - MEMBERS:
        raise _refused("a manifest that was not written so", "canonical JSON, each member once")
    need = {MODEL, EVALUATION, EXAMPLES, EVIDENCE} - set(names)
    if need:
        raise _refused(f"no {', '.join(sorted(need))}", "model, evaluation, examples, evidence")
    return manifest


def _unpack(archive: tarfile.TarFile, entry: tarfile.TarInfo, member: Member, to: Path) -> None:
    stream = archive.extractfile(entry)
    assert stream is not None
    digest, left = hashlib.sha256(), entry.size
    with to.open("xb") as target:
        while left:
            content = stream.read(min(_CHUNK, left))
            if not content:
                raise _differs(member, "ended early")
            digest.update(content)
            target.write(content)
            left -= len(content)
    if digest.hexdigest() != member.sha256:
        raise _differs(member, digest.hexdigest())


def check_evidence_of(manifest: Manifest, evidence: bytes, parsed: Mapping[str, Any]) -> None:
    """Raise unless the members are what the exported evidence names.

    Raises:
        EvidenceIncompleteError: One differs, or the evidence is not the source's.
    """
    if hashlib.sha256(evidence).hexdigest() != manifest.source.evidence_digest:
        raise EvidenceIncompleteError(
            "the evidence is not what the source froze", field=EVIDENCE,
            allowed=manifest.source.evidence_digest,
        )  # fmt: skip
    known = {member.name: member for member in manifest.members}
    for name, part in named_parts(parsed).items():
        member = known.get(name)
        if member is None or member.sha256 != part["sha256"]:
            raise EvidenceIncompleteError(
                f"{name} is not what the evidence names", field=name,
                value=member.sha256 if member else None, allowed=part["sha256"],
            )  # fmt: skip


def check_model(stream: BinaryIO, *, max_bytes: int = MAX_MODEL_BYTES) -> int:
    """Return the bytes of a ``model.tar.gz`` unpacked, without keeping any.

    Raises:
        RejectedError: A name leads out of the folder, a member is no file or folder, it holds
            more than ``max_bytes`` or too many files, or it cannot be read to its end.
    """
    total, files = 0, 0
    try:
        with (
            gzip.GzipFile(fileobj=stream) as unzipped,
            tarfile.open(fileobj=unzipped, mode="r|") as archive,
        ):
            for entry in archive:
                files += 1
                total += entry.size
                if not (entry.isfile() or entry.isdir()) or entry.issparse():
                    raise _refused(f"{entry.name!r} in the model", "files and folders")
                parts = entry.name.split("/")
                if entry.name.startswith("/") or ".." in parts or "\\" in entry.name:
                    raise _refused(f"{entry.name!r} in the model", "names within its folder")
                if total > max_bytes or files > MAX_MODEL_FILES:
                    raise _refused(
                        f"a model of {total} bytes in {files} files",
                        f"{max_bytes} bytes, {MAX_MODEL_FILES} files",
                    )
            _drain(unzipped, max_bytes)
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as error:
        raise _refused(f"a model that cannot be read: {error}", "a whole .tar.gz") from None
    if not files:
        raise _refused("an empty model", "at least one file")
    return total


def _drain(stream: gzip.GzipFile, most: int) -> None:
    """Read what follows the last file, so that a broken end is found."""
    left = most
    while content := stream.read(_CHUNK):
        left -= len(content)
        if left < 0:
            raise _refused(f"over {most} bytes behind the last file", "zeros up to a block")


def _refused(what: str, allowed: str) -> RejectedError:
    return RejectedError(f"the archive is refused: {what}", field="archive", allowed=allowed)
