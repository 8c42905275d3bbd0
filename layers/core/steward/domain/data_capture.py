"""SageMaker's data capture, and what each captured request was an exposure to.

Source of the format: "Capture data from real-time endpoint" (SageMaker developer guide): JSON
Lines with ``captureData``, ``eventMetadata`` and ``eventVersion``, below
``<prefix>/<endpoint>/<variant>/yyyy/mm/dd/hh/``. ``inferenceTime`` is told in whole seconds.
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from steward.domain import names
from steward.domain.errors import RejectedError
from steward.domain.exposures import Exposure, hashed_entity
from steward.domain.production_variants import CAPTURED
from steward.domain.releases import ReleaseStatus, applied_field

SECOND = timedelta(seconds=1)
MAX_LINES = 1_000_000
_KEY = re.compile(
    rf"^{CAPTURED}(?P<endpoint>[^/]+)/(?P<variant>[^/]+)/\d{{4}}/\d\d/\d\d/\d\d/[^/]+\.jsonl$"
)
_PAIRS = uuid.UUID("5f3c1f0e-6d0a-5c39-9d3c-0b8f2a3a7a52")


@dataclass(frozen=True)
class CapturedFile:
    """Whose requests a captured file holds: those that one variant answered."""

    project: str
    version: int


def captured_of_key(environment: str, key: str) -> CapturedFile | None:
    """Return what a key below ``captured/`` is of; None where no project's endpoint wrote it."""
    match = _KEY.match(key)
    if match is None:
        return None
    project = names.project_of_variants_endpoint(environment, match["endpoint"])
    version = names.version_of_variant(match["variant"])
    return CapturedFile(project, version) if project and version else None


@dataclass(frozen=True)
class CapturedRequest:
    """One answered request.

    Attributes:
        inference_id: The caller's, or else SageMaker's id of the event.
        at: Begin of the second in which it was answered.
        features: Of the one row that was asked for.
        prediction: What was answered for it.
    """

    inference_id: str
    at: datetime
    features: dict[str, Any]
    prediction: dict[str, Any]


def requests_of(
    content: bytes,
    columns: Sequence[str],
    task: str = "binary",
    texts: frozenset[str] = frozenset(),
) -> Iterator[tuple[int, CapturedRequest | RejectedError, bytes]]:
    """Yield each line's number, its request or why it is none, and its bytes.

    A line that breaks off, as where a file was cut, is one that is no JSON.

    Args:
        content: Of a captured file.
        columns: Columns that a CSV row has, in order.
        task: What a CSV answer is: a probability of ``binary``, a value of ``regression``.
        texts: Columns whose CSV cells stay texts, though they look like numbers.
    """
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            if number > MAX_LINES:
                raise RejectedError("too many lines", field="$", allowed=f"at most {MAX_LINES}")
            yield number, _request(line, columns, task, texts), line
        except RejectedError as refused:
            yield number, refused, line


def _request(
    line: bytes, columns: Sequence[str], task: str, texts: frozenset[str]
) -> CapturedRequest:
    try:
        told = json.loads(line)
    except ValueError:
        raise _refused("$", "a line that is no JSON", "a whole captured record") from None
    if not isinstance(told, dict):
        raise _refused("$", "a line that is no object", "a captured record")
    data, metadata = _mapping(told, "captureData"), _mapping(told, "eventMetadata")
    inference_id = metadata.get("inferenceId") or metadata.get("eventId")
    if not isinstance(inference_id, str) or not inference_id:
        raise _refused("eventMetadata.eventId", "a record without an id", "a text")
    given = _text(data, "endpointInput")
    answered = _text(data, "endpointOutput")
    return CapturedRequest(
        inference_id=inference_id,
        at=_time(metadata.get("inferenceTime")),
        features=_features(*given, columns, texts),
        prediction=_prediction(*answered, task),
    )


def _mapping(of: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = of.get(name)
    if not isinstance(found, dict):
        raise _refused(name, f"{name} is missing", "an object, as data capture writes it")
    return found


def _text(data: dict[str, Any], side: str) -> tuple[str, str]:
    """Return kind (``JSON`` or ``CSV``) and text of one side of an exchange."""
    told = _mapping(data, side)
    text, kind = told.get("data"), told.get("encoding")
    if not isinstance(text, str):
        raise _refused(f"captureData.{side}.data", "no data", "a text")
    if kind == "BASE64":
        try:
            text = base64.b64decode(text, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise _refused(f"captureData.{side}.data", "no text in Base64", "a text") from None
        kind = "CSV" if "csv" in str(told.get("observedContentType", "")) else "JSON"
    if kind not in ("JSON", "CSV"):
        raise _refused(f"captureData.{side}.encoding", f"encoding {kind!r}", "JSON, CSV or BASE64")
    return kind, text


def _time(text: object) -> datetime:
    wrong = _refused("eventMetadata.inferenceTime", f"time {text!r}", "ISO 8601 with a zone")
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        raise wrong from None
    if at.tzinfo is None:
        raise wrong
    return at.astimezone(UTC).replace(microsecond=0)


def _features(
    kind: str, text: str, columns: Sequence[str], texts: frozenset[str]
) -> dict[str, Any]:
    field = "captureData.endpointInput.data"
    if kind == "CSV":
        rows = [row for row in csv.reader(io.StringIO(text)) if row]
        if len(rows) == 1 and len(rows[0]) == len(columns):
            return {
                name: (value or None) if name in texts else _number(value)
                for name, value in zip(columns, rows[0], strict=True)
            }
        raise _refused(field, f"{len(rows)} rows of CSV", f"one row of {len(columns)} columns")
    row = _only(_json(field, text), "instances", field)
    if not isinstance(row, dict):
        raise _refused(field, "an instance that is no object", "features by name")
    return row


def _prediction(kind: str, text: str, task: str) -> dict[str, Any]:
    field = "captureData.endpointOutput.data"
    if kind == "CSV":
        found = _number(text.strip())
        if isinstance(found, float):
            return {"value" if task == "regression" else "probability": found}
        raise _refused(field, "an answer that is no number", "one probability or value")
    answer = _only(_json(field, text), "predictions", field)
    if not isinstance(answer, dict):
        raise _refused(field, "a prediction that is no object", "probability and label, or value")
    return answer


def _json(field: str, text: str) -> object:
    try:
        return json.loads(text, parse_constant=_no_number)
    except ValueError as error:
        raise _refused(field, f"no JSON: {error}", "finite JSON") from None


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _only(told: object, name: str, field: str) -> object:
    rows = told.get(name) if isinstance(told, dict) else None
    if not isinstance(rows, list) or len(rows) != 1:
        count = len(rows) if isinstance(rows, list) else "no"
        raise _refused(field, f"{count} {name}", f"one of {name}: a request is one exposure")
    return rows[0]


def _number(text: str) -> float | str | None:
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        return text


def _refused(field: str, what: str, allowed: str) -> RejectedError:
    return RejectedError(what, field=field, allowed=allowed)


@dataclass(frozen=True)
class Placement:
    """What a version was at a time.

    Attributes:
        release_id: None while weights followed no known route: such requests are kept and belong
            to no experiment.
        probability: Chance of a request to be answered, or copied, by the version.
    """

    release_id: str | None
    step_id: str
    route_version: int
    role: str
    probability: float
    shadowed: bool = False


def placement(releases: Sequence[Mapping[str, Any]], version: int, at: datetime) -> Placement:
    """Return what a version was in the second that begins at ``at``.

    Weights follow a route within minutes. A request counts for a step only where its whole
    second lies between the time from which the step's weights were true and the next shift.

    Args:
        releases: All of the project, with their shifts.
        version: That answered.
        at: Begin of a second.
    """
    moves = sorted(
        ((_at(shift["at"]), release, shift) for release in releases for shift in release["shifts"]),
        key=lambda move: (move[0], int(move[2]["route_version"])),
    )
    past = [move for move in moves if move[0] <= at]
    if not past:
        return Placement(None, "before-any-route", 0, "stable", 0.0)
    _, release, shift = past[-1]
    number = int(shift["route_version"])
    shares = {int(name): float(share) for name, share in shift["shares"].items()}
    role = "candidate" if version == int(release["version"]) and len(shares) > 1 else "stable"
    unknown = Placement(None, f"{shift['step_id']}-shifting", number, role, 0.0)
    following = moves[len(past)][0] if len(past) < len(moves) else None
    followed = release.get(applied_field(number))
    if followed is None or _at(followed) > at or (following and following < at + SECOND):
        return unknown
    if _ended_without(release) and _at(release["ended_at"]) < at + SECOND:
        return unknown
    step = _planned(release, str(shift["step_id"]))
    release_id, step_id = str(release["release_id"]), str(shift["step_id"])
    copied = float(step.get("mirror_percent", 0)) if len(shares) > 1 else 0.0
    if copied and role == "candidate":
        return Placement(release_id, step_id, number, "shadow", copied / 100)
    if version not in shares:
        return unknown
    return Placement(release_id, step_id, number, role, shares[version] / 100, shadowed=copied > 0)


def _ended_without(release: Mapping[str, Any]) -> bool:
    """Return whether the traffic of a release was taken back without a shift of its own."""
    return release["status"] in (ReleaseStatus.FAILED, ReleaseStatus.NOT_PROMOTED)


def _planned(release: Mapping[str, Any], step_id: str) -> Mapping[str, Any]:
    steps = (release.get("plan") or {}).get("steps", [])
    return next((step for step in steps if step["step_id"] == step_id), {})


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def exposure_of(file: CapturedFile, request: CapturedRequest, place: Placement) -> Exposure:
    """Return a captured request as the exposure of its unit, which is the request itself.

    Production variant and shadow variant capture the same request under the same id, by which
    their answers are paired.
    """
    own, pair = request.inference_id, None
    if place.role == "shadow":
        own, pair = str(uuid.uuid5(_PAIRS, f"{own}/{file.version}")), own
    elif place.shadowed:
        pair = own
    return Exposure(
        project=file.project,
        route_version=place.route_version,
        step_id=place.step_id,
        assignment_probability=place.probability,
        assigned_version=file.version,
        assigned_role=place.role,
        answering_version=file.version,
        fallback=False,
        entity=hashed_entity(file.project, request.inference_id),
        first_exposure=True,
        shadow_pair_id=pair,
        inference_id=own,
        time=request.at.isoformat(timespec="milliseconds"),
        features=request.features,
        prediction=request.prediction,
        release_id=place.release_id,
    )
