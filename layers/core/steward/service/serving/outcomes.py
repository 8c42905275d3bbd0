"""Use case: outcomes of predictions arrive, usually late."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from steward.contracts.events import OutcomesRecorded
from steward.domain.errors import MalformedEventError, ProjectNotFoundError
from steward.domain.exposures import hashed_entity
from steward.ports import Clock, Ids, ObjectStore, StateStore, Table
from steward.service.emission import Cause, event

MAX_ROWS = 10_000


class Outcome(BaseModel):
    """One outcome, of a prediction by its inference id or of an entity."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)

    inference_id: str | None = Field(default=None, min_length=1, max_length=64)
    entity_id: str | None = Field(default=None, min_length=1, max_length=256)
    outcome: bool | int | float | str = Field(union_mode="left_to_right")
    observed_at: str

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if (self.inference_id is None) == (self.entity_id is None):
            raise ValueError("either inference_id or entity_id, not both")
        if isinstance(self.outcome, float) and not abs(self.outcome) < float("inf"):
            raise ValueError("outcome is no finite number")
        observed = datetime.fromisoformat(self.observed_at)
        if observed.tzinfo is None:
            raise ValueError("observed_at has no time zone")
        return self


def record_outcomes(
    project: str,
    rows: object,
    *,
    caller: str,
    request_id: str,
    state: StateStore,
    objects: ObjectStore,
    clock: Clock,
    ids: Ids,
    capture_bucket: str,
) -> dict[str, Any]:
    """Write the good rows as JSON Lines, and say which were refused or repeated.

    Within a batch the first outcome of a prediction wins. The object is named by the digest
    of what was sent, so that a batch sent twice a day is one object; which outcome of several
    batches counts is decided where they are joined. Entity ids are pseudonymised.

    Raises:
        ProjectNotFoundError: The project serves nothing.
        MalformedEventError: Not a list, too long, or no row of it is good.
    """
    if state.get(Table.ROUTES, {"project": project}) is None:
        raise ProjectNotFoundError(
            f"project {project!r} serves nothing", field="path", value=project,
            allowed="a project with a released version",
        )  # fmt: skip
    if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_ROWS:
        raise MalformedEventError(
            "not a list of outcomes", field="body", value=type(rows).__name__,
            allowed=f"a list of 1 to {MAX_ROWS} outcomes",
        )  # fmt: skip
    good: dict[tuple[str, str], dict[str, Any]] = {}
    refused: list[dict[str, Any]] = []
    duplicates: list[int] = []
    for index, row in enumerate(rows):
        try:
            outcome = Outcome.model_validate(row)
        except ValidationError as invalid:
            refused.append(_refusal(index, invalid))
            continue
        line = _line(project, outcome)
        key = ("inference", line["inference_id"] or "")
        if outcome.inference_id is None:
            key = (line["entity"] or "", line["observed_at"])
        if key in good:
            duplicates.append(index)
        else:
            good[key] = line
    if not good:
        first = refused[0]
        raise MalformedEventError(
            f"no outcome is usable; row {first['index']}: {first['message']}",
            field=f"[{first['index']}].{first['field']}", allowed=first["message"],
        )  # fmt: skip
    content = "".join(json.dumps(line, sort_keys=True) + "\n" for line in good.values()).encode()
    now = clock.now()
    digest = hashlib.sha256(content).hexdigest()
    uri = f"s3://{capture_bucket}/outcomes/{project}/{now:%Y/%m/%d}/{digest}.jsonl"
    objects.write(uri, content, "application/x-ndjson")
    cause = Cause(project, digest, request_id, caller)
    state.commit([], [event(OutcomesRecorded(count=len(good), uri=uri), cause, clock, ids)])
    return {"recorded": len(good), "duplicates": duplicates, "refused": refused, "uri": uri}


def _line(project: str, outcome: Outcome) -> dict[str, Any]:
    observed = datetime.fromisoformat(outcome.observed_at).astimezone(UTC)
    entity = None if outcome.entity_id is None else hashed_entity(project, outcome.entity_id)
    return {
        "project": project,
        "inference_id": outcome.inference_id,
        "entity": entity,
        "outcome": outcome.outcome,
        "observed_at": observed.isoformat(timespec="milliseconds"),
    }


def _refusal(index: int, invalid: ValidationError) -> dict[str, Any]:
    first = invalid.errors(include_url=False, include_input=False)[0]
    field = str(first["loc"][0]) if first["loc"] else "$"
    return {"index": index, "field": field, "message": first["msg"]}
