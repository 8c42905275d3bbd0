"""Use case: what the live versions of a project were asked, for the rehearsal of its next one."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from steward.domain.recorded_traffic import Answered, answered_of, recorded_traffic
from steward.ports import ObjectInfo, ObjectStore, StateStore, Table

if TYPE_CHECKING:
    from steward.domain.project import Project

EXPOSURES = "exposures/"
LOOKED_BACK = timedelta(days=7)
MOST_KEYS = 20_000
NEWEST, SPREAD = 8, 16
"""Files that are read: the newest ones, and as many again spread over what is older."""
MOST_BYTES = 64 * 1024 * 1024
ENOUGH = 20
"""Requests that are looked at for each one that is asked."""
_CONVERTED = re.compile(r"/(?P<project>[a-z0-9-]+)-v(?P<version>\d+)-[0-9a-f]{64}\.jsonl$")


def captured_traffic(
    project: Project, *, state: StateStore, objects: ObjectStore, bucket: str, now: datetime
) -> dict[str, Any] | None:
    """Return requests that live versions answered, with the answers; None where there are none.

    A few files of the last week are read, whatever the traffic was: Step Functions waits.
    """
    from steward.domain.datasets import request_columns

    limit = project.integration.recorded_requests
    route = state.get(Table.ROUTES, {"project": project.project})
    if not limit or route is None:
        return None
    live = frozenset(int(arm["version"]) for arm in route["arms"] if float(arm["share"]) > 0)
    by_variants = route.get("router") == "endpoint_variants"
    listed = [
        info
        for info in itertools.islice(_listed(objects, bucket, now), MOST_KEYS)
        if _may_hold(info.key, project.project, live, by_variants=by_variants)
    ]
    found: list[Answered] = []
    size = 0
    for info in spread(listed):
        if size + info.size > MOST_BYTES:
            continue
        size += info.size
        found.extend(answered_of(objects.read(f"s3://{bucket}/{info.key}"), project.project, live))
        if len(found) >= ENOUGH * limit and len({one.at[:13] for one in found}) > 1:
            break
    return recorded_traffic(request_columns(project), found, limit, project.data.label.task)


def _listed(objects: ObjectStore, bucket: str, now: datetime) -> Iterator[ObjectInfo]:
    """Yield captured files, the newest first: Firehose names them by their time."""
    day = now
    while day >= now - LOOKED_BACK:
        found = list(objects.list(bucket, f"{EXPOSURES}{day:%Y/%m/%d}/"))
        yield from sorted(found, key=lambda info: info.key, reverse=True)
        day -= timedelta(days=1)


def _may_hold(key: str, project: str, live: frozenset[int], *, by_variants: bool) -> bool:
    """Return whether a file may hold answers of the live versions, as its name says.

    What SageMaker captured is converted version by version; the gateway's files are everyone's.
    """
    named = _CONVERTED.search(key)
    if named is None:
        return not by_variants
    return named["project"] == project and int(named["version"]) in live


def spread(listed: list[ObjectInfo]) -> list[ObjectInfo]:
    """Return the newest files, and some at even distances among the older ones, in order."""
    older = listed[NEWEST:]
    step = max(1, len(older) // SPREAD)
    return listed[:NEWEST] + older[::step][:SPREAD]
