"""Use case: what SageMaker captured of production variants becomes exposures."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from steward.contracts.incoming import ObjectCreated, Received
from steward.domain.data_capture import (
    CapturedFile,
    CapturedRequest,
    Placement,
    captured_of_key,
    exposure_of,
    placement,
    requests_of,
)
from steward.domain.errors import ProjectNotFoundError
from steward.ports import ObjectStore, StateStore, Table
from steward.service.serving.records import project_of

if TYPE_CHECKING:
    from steward.domain.project import Project

FOREIGN = "captured"
"""Whose quarantine holds files that belong to no project."""

SHOWN = 20


@dataclass(frozen=True)
class Conversion:
    """What captures are converted with."""

    state: StateStore
    objects: ObjectStore
    data_bucket: str
    capture_bucket: str
    environment: str


def convert_captures(received: Received, conversion: Conversion) -> dict[str, Any]:
    """Write a captured file's requests where the gateway's exposures lie.

    The object's name is the digest of the file and its day that of the event, so that an event
    that comes twice writes the same bytes to the same place. Lines that are no captured request
    of one row go to the quarantine with the reason; a file of nobody's goes there whole.
    """
    assert isinstance(received.detail, ObjectCreated)
    created = received.detail
    key = created.object.key
    with TemporaryDirectory(prefix="steward-") as folder:
        local = Path(folder) / "captured"
        conversion.objects.download(created.bucket.name, key, str(local), created.object.version_id)
        content = local.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    source = f"s3://{created.bucket.name}/{key}"
    file = captured_of_key(conversion.environment, key)
    project = _project(conversion.state, file)
    if file is None or project is None:
        told = {"field": "key", "message": "no endpoint of a project", "value": key}
        _set_aside(conversion, FOREIGN, digest, source, content, [told], 0)
        return {"outcome": "foreign", "digest": digest}
    releases = conversion.state.query(Table.RELEASES, file.project)
    lines: list[str] = []
    refused: list[dict[str, Any]] = []
    aside: list[bytes] = []
    columns = [column.name for column in project.model_features]
    texts = frozenset(column.name for column in project.model_features if column.type == "string")
    for number, request, raw in requests_of(content, columns, project.data.label.task, texts):
        if isinstance(request, CapturedRequest):
            place = placement(releases, file.version, request.at)
            lines.append(_line(file, request, place))
        else:
            refused.append({"line": number, **request.as_dict()})
            aside.append(raw)
    if lines:
        day = datetime.fromisoformat(received.time).astimezone(UTC)
        uri = (
            f"s3://{conversion.capture_bucket}/exposures/{day:%Y/%m/%d}/"
            f"{file.project}-v{file.version}-{digest}.jsonl"
        )
        conversion.objects.write(uri, "".join(lines).encode(), "application/x-ndjson")
    if refused or not lines:
        kept = b"\n".join(aside) + b"\n" if aside else content
        _set_aside(conversion, file.project, digest, source, kept, refused, len(lines))
    outcome = "converted" if lines else "refused"
    return {
        "outcome": outcome, "digest": digest, "exposures": len(lines), "refused": len(refused),
    }  # fmt: skip


def _line(file: CapturedFile, request: CapturedRequest, place: Placement) -> str:
    exposure = asdict(exposure_of(file, request, place))
    exposure["latency_ms"] = None  # data capture does not tell it
    return json.dumps({"capture": exposure}, separators=(",", ":")) + "\n"


def _project(state: StateStore, file: CapturedFile | None) -> Project | None:
    """Return the project whose model wrote a file; None where there is no such project."""
    if file is None:
        return None
    try:
        return project_of(state, file.project)
    except ProjectNotFoundError:
        return None


def _set_aside(
    conversion: Conversion,
    project: str,
    digest: str,
    source: str,
    content: bytes,
    refused: list[dict[str, Any]],
    exposures: int,
) -> None:
    below = f"s3://{conversion.data_bucket}/quarantine/{project}/{digest}"
    report = {
        "source_uri": source, "digest": digest, "exposures": exposures, "refused": len(refused),
        "examples": refused[:SHOWN],
    }  # fmt: skip
    conversion.objects.write(f"{below}/refused.jsonl", content, "application/x-ndjson")
    conversion.objects.write(f"{below}/report.json", json.dumps(report, indent=2).encode())
