"""Use case: outcomes arrive as a file in the data bucket, or one by one as events."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

from steward.contracts.events import OutcomeObserved, OutcomesRecorded
from steward.contracts.incoming import ObjectCreated, Received
from steward.domain.errors import RejectedError, UnreadableFileError
from steward.domain.outcome_files import (
    MAX_FILE_BYTES,
    Row,
    kind_of,
    outcomes_of_key,
    rows_of,
)
from steward.domain.outcomes import outcome_of
from steward.ports import Clock, Ids, ObjectStore, StateStore
from steward.service.emission import Cause, event
from steward.service.serving.outcomes import require_serving, told_beside

CHUNK_ROWS = 50_000
"""Outcomes of one object: some ten megabytes."""

SHOWN = 20
"""Refused rows that a report shows; the file beside it has them all."""

_KEPT_CHARACTERS = 500


@dataclass(frozen=True)
class Intake:
    """What outcomes are taken with."""

    state: StateStore
    objects: ObjectStore
    clock: Clock
    ids: Ids
    data_bucket: str
    capture_bucket: str


def receive_outcomes(received: Received, intake: Intake) -> dict[str, Any]:
    """Take a file below ``outcomes/<project>/``, or one ``OutcomeObserved``.

    ``recorded_at`` is the event's time, so that an event that is delivered twice writes the
    same bytes to the same places.

    Raises:
        ProjectNotFoundError: The project serves nothing.
        RejectedError: The one outcome of an event is none.
        EvidenceIncompleteError: The object is gone.
    """
    at = datetime.fromisoformat(received.time).astimezone(UTC)
    if isinstance(received.detail, OutcomeObserved):
        return _one(received, received.detail, at, intake)
    assert isinstance(received.detail, ObjectCreated)
    return _file(received, received.detail, at, intake)


def _one(received: Received, told: OutcomeObserved, at: datetime, intake: Intake) -> dict[str, Any]:
    project = received.own.project
    require_serving(project, intake.state, "meta.project")
    outcome = outcome_of(told.model_dump(exclude_none=True), at, ())
    line = outcome.line(project, at)
    digest = hashlib.sha256(line.encode()).hexdigest()
    uri = f"s3://{intake.capture_bucket}/outcomes/{project}/{at:%Y/%m/%d}/{digest}.jsonl"
    intake.objects.write(uri, line.encode(), "application/x-ndjson")
    return {"outcome": "recorded", "uri": uri}


def _file(
    received: Received, created: ObjectCreated, at: datetime, intake: Intake
) -> dict[str, Any]:
    """Validate every row; keep the good ones in chunks and the others, with why, in quarantine.

    Nothing is written before the whole file is read. The same bytes are taken once.
    """
    stored = created.object
    found = outcomes_of_key(stored.key)
    if created.bucket.name != intake.data_bucket or found is None:
        return {"outcome": "ignored", "reason": f"{stored.key} is no file of outcomes"}
    project, path = found
    require_serving(project, intake.state, "project")
    digest = intake.objects.sha256(created.bucket.name, stored.key, stored.version_id)
    kept = f"outcome-files/{project}/{digest}.json"
    if intake.objects.describe(intake.capture_bucket, kept) is not None:
        return {"outcome": "known", "digest": digest}
    source = f"s3://{created.bucket.name}/{stored.key}"
    report: dict[str, Any] = {
        "project": project, "digest": digest, "source_uri": source,
        "version_id": stored.version_id, "recorded_at": at.isoformat(timespec="milliseconds"),
    }  # fmt: skip
    aside = f"s3://{intake.data_bucket}/quarantine/{project}/{digest}"
    with TemporaryDirectory(prefix="steward-") as folder:
        sorting = _Sorting(project, at, Path(folder), told_beside(intake.state, project))
        try:
            _sort(sorting, created, path, intake)
        except UnreadableFileError as error:
            intake.objects.copy(source, f"{aside}/{Path(path).name}", stored.version_id)
            report |= {"outcome": "unreadable", "rows": 0, "recorded": 0, "refused": 0}
            report |= {"problem": error.as_dict(), "uris": []}
        else:
            report |= {"outcome": "recorded" if sorting.good else "refused", **sorting.counts()}
            report["uris"] = _write(sorting, digest, aside, intake)
    has_problem = report["refused"] > 0 or report["outcome"] == "unreadable"
    report["report_uri"] = f"{aside}/report.json" if has_problem else None
    content = json.dumps(report, indent=2).encode()
    if has_problem:
        intake.objects.write(f"{aside}/report.json", content)
    recorded = OutcomesRecorded(
        count=report["recorded"], refused=report["refused"], uri=source,
        report_uri=report["report_uri"],
    )  # fmt: skip
    cause = Cause(project, digest[:12], received.id, created.requester or "s3")
    intake.state.commit([], [event(recorded, cause, intake.clock, intake.ids)])
    intake.objects.write(f"s3://{intake.capture_bucket}/{kept}", content)
    names = ("outcome", "digest", "rows", "recorded", "refused", "report_uri")
    return {name: report[name] for name in names}


@dataclass
class _Sorting:
    """Good and refused rows of one file, on their way to S3 in a local folder."""

    project: str
    at: datetime
    folder: Path
    attributes: frozenset[str] = frozenset()
    good: int = 0
    refused: int = 0
    chunks: list[Path] = field(default_factory=list)
    shown: list[dict[str, Any]] = field(default_factory=list)
    _chunk: IO[str] | None = None
    _aside: IO[str] | None = None

    @property
    def aside(self) -> Path:
        """The local file of refused rows."""
        return self.folder / "refused.jsonl"

    def take(self, row: Row) -> None:
        """Put one row where it belongs."""
        try:
            row.usable()
            line = outcome_of(row.value, self.at, self.attributes).line(self.project, self.at)
        except RejectedError as error:
            self._refuse(row, error)
            return
        if self.good % CHUNK_ROWS == 0:
            if self._chunk is not None:
                self._chunk.close()
            self.chunks.append(self.folder / f"{len(self.chunks):05d}.jsonl")
            self._chunk = self.chunks[-1].open("w", encoding="utf-8")
        assert self._chunk is not None
        self._chunk.write(line)
        self.good += 1

    def _refuse(self, row: Row, error: RejectedError) -> None:
        self.refused += 1
        told = {**row.refusal(error), "raw": row.raw[:_KEPT_CHARACTERS]}
        if len(self.shown) < SHOWN:
            self.shown.append(told)
        if self._aside is None:
            self._aside = self.aside.open("w", encoding="utf-8")
        self._aside.write(json.dumps(told) + "\n")

    def close(self) -> None:
        """Flush what is open."""
        for stream in (self._chunk, self._aside):
            if stream is not None:
                stream.close()

    def counts(self) -> dict[str, Any]:
        """Return the figures of a report."""
        rows = self.good + self.refused
        return {
            "rows": rows, "recorded": self.good, "refused": self.refused, "examples": self.shown,
        }  # fmt: skip


def _sort(sorting: _Sorting, created: ObjectCreated, path: str, intake: Intake) -> None:
    kind, packed = kind_of(path)
    stored = created.object
    if stored.size > MAX_FILE_BYTES:
        raise UnreadableFileError(
            f"{stored.size} bytes", field="size", value=stored.size,
            allowed=f"at most {MAX_FILE_BYTES} bytes: split the file",
        )  # fmt: skip
    local = sorting.folder / "file"
    intake.objects.download(created.bucket.name, stored.key, str(local), stored.version_id)
    try:
        for row in rows_of(local, kind, packed=packed):
            sorting.take(row)
    finally:
        sorting.close()
    if not sorting.good and not sorting.refused:
        raise UnreadableFileError(
            "the file has no rows", field="rows", value=0, allowed="1 or more"
        )


def _write(sorting: _Sorting, digest: str, aside: str, intake: Intake) -> list[str]:
    below = f"s3://{intake.capture_bucket}/outcomes/{sorting.project}/{sorting.at:%Y/%m/%d}"
    uris = []
    for chunk in sorting.chunks:
        uri = f"{below}/{digest}-{chunk.name}"
        intake.objects.upload(str(chunk), uri, "application/x-ndjson")
        uris.append(uri)
    if sorting.refused:
        intake.objects.upload(str(sorting.aside), f"{aside}/refused.jsonl", "application/x-ndjson")
    return uris
