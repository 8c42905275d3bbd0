"""Use case: outcomes of predictions arrive over the function URL, usually late."""

from __future__ import annotations

import hashlib
from typing import Any

from steward.contracts.events import OutcomesRecorded
from steward.domain.errors import MalformedEventError, ProjectNotFoundError, RejectedError
from steward.domain.outcomes import Outcome, outcome_of, refusal_of
from steward.ports import Clock, Ids, ObjectStore, StateStore, Table
from steward.service.emission import Cause, event

MAX_ROWS = 10_000


def require_serving(project: str, state: StateStore, field: str) -> None:
    """Check that a project has a route.

    Raises:
        ProjectNotFoundError: It serves nothing.
    """
    if state.get(Table.ROUTES, {"project": project}) is None:
        raise ProjectNotFoundError(
            f"project {project!r} serves nothing", field=field, value=project,
            allowed="a project with a released version",
        )  # fmt: skip


def told_beside(state: StateStore, project: str) -> frozenset[str]:
    """Return the attributes that outcomes may tell: protected ones that no model sees."""
    item = state.get(Table.PROJECTS, {"project": project}) or {}
    bias = (item.get("config") or {}).get("bias") or {}
    return frozenset(
        str(one["column"]) for one in bias.get("attributes", ()) if not one.get("feature", True)
    )


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
    of what was sent, so that a batch sent twice a day is one object with the time of the first;
    which outcome of several batches counts is decided where they are joined, and an id that
    nobody was given is counted there. Entity ids are pseudonymised.

    Raises:
        ProjectNotFoundError: The project serves nothing.
        MalformedEventError: Not a list, too long, or no row of it is good.
    """
    require_serving(project, state, "path")
    if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_ROWS:
        size = len(rows) if isinstance(rows, list) else type(rows).__name__
        raise MalformedEventError(
            f"not a list of outcomes: {size}", field="body", value=size,
            allowed=f"a list of 1 to {MAX_ROWS} outcomes",
        )  # fmt: skip
    now = clock.now()
    attributes = told_beside(state, project)
    good: dict[tuple[str | None, ...], Outcome] = {}
    refused: list[dict[str, Any]] = []
    duplicates: list[int] = []
    for index, row in enumerate(rows):
        try:
            outcome = outcome_of(row, now, attributes)
        except RejectedError as error:
            refused.append(refusal_of(error, index))
            continue
        key: tuple[str | None, ...] = ("inference", outcome.inference_id)
        if outcome.inference_id is None:
            key = ("entity", outcome.entity_id, outcome.observed_at.isoformat())
        if key in good:
            duplicates.append(index)
        else:
            good[key] = outcome
    if not good:
        first = refused[0]
        raise MalformedEventError(
            f"no outcome is usable; row {first['index']}: {first['message']}",
            field=f"[{first['index']}].{first['field']}", value=first["value"],
            allowed=first["allowed"],
        )  # fmt: skip
    told = "".join(outcome.line(project, now) for outcome in good.values())
    dated = f'"recorded_at":"{now.isoformat(timespec="milliseconds")}"'
    digest = hashlib.sha256(told.replace(dated, "").encode()).hexdigest()
    key_ = f"outcomes/{project}/{now:%Y/%m/%d}/{digest}.jsonl"
    uri = f"s3://{capture_bucket}/{key_}"
    if objects.describe(capture_bucket, key_) is None:
        objects.write(uri, told.encode(), "application/x-ndjson")
    cause = Cause(project, digest, request_id, caller)
    recorded = OutcomesRecorded(count=len(good), refused=len(refused), uri=uri)
    state.commit([], [event(recorded, cause, clock, ids)])
    return {"recorded": len(good), "duplicates": duplicates, "refused": refused, "uri": uri}
