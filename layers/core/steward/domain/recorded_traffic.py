"""Requests that were answered in production, as the rehearsal of a commit asks them again.

A case holds the features that a model was given and what it answered, and neither who asked nor
when: entity, inference id and time are used to choose, and left behind.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from steward.domain.examples import SCHEMA
from steward.domain.tables import Column, Task

MAX_CASE_BYTES = 16 * 1024
"""A longer request is left out, so that a few cannot fill the sample."""


@dataclass(frozen=True)
class Answered:
    """One captured request with its answer.

    Attributes:
        at: ISO 8601 in UTC.
    """

    version: int
    at: str
    entity: str
    inference_id: str
    features: dict[str, Any]
    prediction: dict[str, Any]


def answered_of(content: bytes, project: str, versions: frozenset[int]) -> Iterator[Answered]:
    """Yield what versions of a project answered, of a file of captured exposures.

    The files hold lines of all projects. Copies for a shadow version, answers that another
    version had to give, and broken lines are left out.
    """
    sign = f'"project":{json.dumps(project)}'.encode()
    for line in content.split(b"\n"):
        if sign not in line:
            continue
        try:
            capture = json.loads(line, parse_constant=_no_number)["capture"]
            found = Answered(
                int(capture["answering_version"]), str(capture["time"]), str(capture["entity"]),
                str(capture["inference_id"]), dict(capture["features"]),
                dict(capture["prediction"] or {}),
            )  # fmt: skip
        except (ValueError, KeyError, TypeError):
            continue
        shadow = capture.get("assigned_role") == "shadow" or capture.get("fallback")
        own = capture["project"] == project and found.version in versions
        if own and found.prediction and not shadow:
            yield found


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


def choose(found: Sequence[Answered], limit: int) -> list[Answered]:
    """Return at most ``limit`` requests, spread over versions and hours, the newest hours first.

    Of one entity there is one request. Which one of an hour it is, a hash decides, so that the
    same captures give the same sample.
    """
    strata: dict[tuple[str, int], list[Answered]] = {}
    for one in found:
        strata.setdefault((one.at[:13], one.version), []).append(one)
    for group in strata.values():
        group.sort(key=lambda one: hashlib.sha256(one.inference_id.encode()).digest())
    turns = [iter(strata[key]) for key in sorted(strata, reverse=True)]
    chosen: list[Answered] = []
    seen: set[str] = set()
    while turns and len(chosen) < limit:
        for turn in list(turns):
            following = next((one for one in turn if one.entity not in seen), None)
            if following is None:
                turns.remove(turn)
            elif len(chosen) < limit:
                seen.add(following.entity)
                chosen.append(following)
    return chosen


def recorded_traffic(
    columns: Sequence[Column], found: Sequence[Answered], limit: int, task: Task
) -> dict[str, Any] | None:
    """Return cases in the form of ``examples.recorded_examples``; None where none fits.

    Args:
        columns: Features of the commit; requests with other ones are not asked.
        found: What live versions answered.
        limit: Most cases.
        task: What the answers have to be.
    """
    names = {column.name for column in columns}
    fitting = [one for one in found if set(one.features) == names and _is_short(one)]
    chosen = choose(fitting, limit)
    if not chosen:
        return None
    expect: dict[str, Any] = {"status": 200, "predictions": 1}
    if task != "binary":
        expect["task"] = task
    cases = [
        {
            "name": f"v{one.version}-{number}", "kind": "valid",
            "content_type": "application/json",
            "body": {"instances": [typed(columns, one.features)]}, "expect": expect,
            "answered": one.prediction,
        }
        for number, one in enumerate(chosen, start=1)
    ]  # fmt: skip
    times = sorted(one.at for one in chosen)
    return {
        "schema": SCHEMA, "features": [column.name for column in columns], "cases": cases,
        "origin": "captured", "versions": sorted({one.version for one in chosen}),
        "since": times[0][:19], "until": times[-1][:19],
    }  # fmt: skip


def _is_short(one: Answered) -> bool:
    return len(json.dumps(one.features)) <= MAX_CASE_BYTES


def typed(columns: Sequence[Column], features: Mapping[str, Any]) -> dict[str, Any]:
    """Return features in their declared types and order: a captured CSV row knows floats alone."""
    return {column.name: _typed(column, features[column.name]) for column in columns}


def _typed(column: Column, value: Any) -> Any:
    if column.type == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    if column.type == "boolean" and isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower(), value)
    return value
