"""The next record of a project's ledger, and the head over all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from steward.domain.audit import verifier
from steward.domain.errors import RejectedError

MAX_RECORD_BYTES = 65_536
"""A longer record names an object by digest instead of holding it."""

_KEPT_DIGESTS = 100

STACK = "_stack"
"""The ledger of what concerns no single project, such as a change of a role."""


class Fact(BaseModel):
    """What is to be recorded.

    Attributes:
        event_id: Of the event that told it; one event is one record.
        project: Whose ledger; ``_stack`` where it concerns no single one.
        at: When it happened, ISO 8601 in UTC with milliseconds.
        who: Principal that did it.
        what: The event's type, such as ``VersionApproved``.
        subject: What it was done to, such as ``version 3``.
        why: Reason given, empty where none was asked for.
        digests: SHA-256 of what it was done on the ground of, by name.
        details: What else the event said.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    event_id: str = Field(min_length=1, max_length=200)
    project: str = Field(pattern=r"^([a-z][a-z0-9-]{1,19}|_stack)$")
    at: str = Field(min_length=20, max_length=40)
    who: str = Field(min_length=1, max_length=2048)
    what: str = Field(min_length=1, max_length=100)
    subject: str = Field(default="", max_length=500)
    why: str = Field(default="", max_length=4000)
    digests: dict[str, str] = Field(default_factory=dict)
    details: dict[str, Any] = Field(default_factory=dict)


def next_record(fact: Fact, last: Mapping[str, Any] | None, *, recorded_at: str) -> dict[str, Any]:
    """Return the record of a fact behind the last one of its project.

    Args:
        fact: What happened.
        last: The last record, or its ``seq`` and ``digest``; None for the first.
        recorded_at: Time of the writer, ISO 8601; clocks differ, so the order is that of ``seq``.

    Raises:
        RejectedError: The record would be longer than 64 KiB, or holds NaN.
    """
    record: dict[str, Any] = {
        **fact.model_dump(),
        "format": verifier.FORMAT,
        "seq": 1 if last is None else int(last["seq"]) + 1,
        "recorded_at": recorded_at,
        "previous": verifier.genesis(fact.project) if last is None else str(last["digest"]),
    }
    try:
        size = len(verifier.canonical(record))
    except ValueError as error:
        raise RejectedError(
            "a record holds JSON only", field="details", value=str(error), allowed="finite numbers"
        ) from error
    if size > MAX_RECORD_BYTES:
        raise RejectedError(
            "the record is too long", field="details", value=size,
            allowed=f"at most {MAX_RECORD_BYTES} bytes",
        )  # fmt: skip
    return {**record, "digest": verifier.record_digest(record)}


def without_details(fact: Fact, place: str, *, recorded_at: str) -> tuple[Fact, bytes] | None:
    """Return a fact that names its details by digest, and their bytes; None if they fit.

    Args:
        fact: What happened.
        place: Key below which details lie; their SHA-256 is added.
        recorded_at: Time of the writer, which is a part of the record.
    """
    try:
        next_record(fact, {"seq": 10**12, "digest": "0" * 64}, recorded_at=recorded_at)
    except RejectedError as refused:
        if not isinstance(refused.value, int):
            raise
    else:
        return None
    content = verifier.canonical(fact.details)
    digest = hashlib.sha256(content).hexdigest()
    kept = {"bytes": len(content), "sha256": digest, "key": f"{place}/{digest}.json"}
    told = {**dict(list(fact.digests.items())[:_KEPT_DIGESTS]), "details": digest}
    return fact.model_copy(update={"details": {"elsewhere": kept}, "digests": told}), content


def next_records(
    facts: Sequence[Fact], last: Mapping[str, Any] | None, *, recorded_at: str
) -> list[dict[str, Any]]:
    """Return the records of several facts of one project, in their order."""
    records: list[dict[str, Any]] = []
    for fact in facts:
        record = next_record(fact, last, recorded_at=recorded_at)
        records.append(record)
        last = record
    return records


def head_of(project: str, digests: Sequence[str], *, at: str) -> dict[str, Any]:
    """Return the head to sign over all records of a project.

    Args:
        project: Whose ledger.
        digests: Of all records in order.
        at: Time of signing, ISO 8601.
    """
    return {
        "format": verifier.FORMAT,
        "project": project,
        "size": len(digests),
        "root": verifier.root_of(digests),
        "at": at,
    }
