"""Use case: what a watch has to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta

from steward.contracts.steps.monitoring import PlannedWindow, PlanWindow
from steward.domain.monitoring.records import (
    ALL,
    EXPOSURES,
    HEAD,
    LOOKBACK,
    SWEPT_DAYS,
    days,
    manifest_uri,
    object_item,
)
from steward.ports import Item, ObjectInfo, ObjectStore, StateStore, Table, Update

GROUP_BYTES = 32 * 1024**2
GROUP_OBJECTS = 50
MAX_OBJECTS = 20_000
"""Objects of one watch; of more the oldest come first, the rest next time."""

FIRST_LOOK = timedelta(days=1)


def plan_window(
    command: PlanWindow,
    *,
    state: StateStore,
    objects: ObjectStore,
    capture_bucket: str,
    artifacts_bucket: str,
) -> PlannedWindow:
    """Write the manifest of captured objects that were not profiled yet, some to an item.

    Listing goes back a day behind the newest object that is known, since Firehose may deliver that
    late under the name of an earlier time. An object that appears later still, by hand or from
    a backup, is found by a sweep: each watch lists one more of the 14 days behind, in turn, which
    costs one listing of one day. Nothing new is fine.
    """
    due = datetime.fromisoformat(command.due_at)
    head = state.get(Table.MONITORING, {"project": ALL, "item": HEAD}) or {}
    listed_from = head.get("listed_from")
    first = datetime.fromisoformat(listed_from) if listed_from else due - FIRST_LOOK
    first = min(first, due) - LOOKBACK
    listed = days(first, due + timedelta(days=1))
    new = list(_new(state, objects, capture_bucket, listed))[:MAX_OBJECTS]
    taken = len(new)
    swept = _next_swept(head, due)
    if swept not in listed:
        new += list(_new(state, objects, capture_bucket, [swept]))[: MAX_OBJECTS - taken]
    uri = manifest_uri(artifacts_bucket, command.run)
    items = [
        {"run": command.run, "objects": [{"key": o.key, "size": o.size} for o in group]}
        for group in _groups(new)
    ]
    objects.write(uri, json.dumps(items).encode())
    # The next listing begins with what could not be taken, or with this day.
    goes_on = _day_of(new[-1].key) if taken == MAX_OBJECTS else None
    key = {"project": ALL, "item": HEAD}
    noted = {"listed_from": goes_on or due.isoformat()}
    if len(new) < MAX_OBJECTS:
        noted["swept"] = swept
    state.commit([Update(Table.MONITORING, key, set=noted)])
    bucket, _, name = uri.removeprefix("s3://").partition("/")
    return PlannedWindow(objects=len(new), bucket=bucket, key=name, projects=_watched(state))


def _next_swept(head: Item, due: datetime) -> str:
    """Return the day whose turn it is: the one before the last, after the oldest the newest."""
    behind = days(due - timedelta(days=SWEPT_DAYS), due - 2 * LOOKBACK)
    last = head.get("swept")
    place = behind.index(last) if last in behind else 0
    return behind[place - 1]


def _new(
    state: StateStore, objects: ObjectStore, bucket: str, prefixes: list[str]
) -> Iterator[ObjectInfo]:
    for prefix in prefixes:
        known = {
            str(item["item"])
            for item in state.query(Table.MONITORING, ALL, prefix=object_item(prefix))
        }
        for info in objects.list(bucket, prefix):
            if info.size and object_item(info.key) not in known:
                yield info


def _groups(infos: list[ObjectInfo]) -> Iterator[list[ObjectInfo]]:
    group: list[ObjectInfo] = []
    size = 0
    for info in infos:
        if group and (size + info.size > GROUP_BYTES or len(group) == GROUP_OBJECTS):
            yield group
            group, size = [], 0
        group.append(info)
        size += info.size
    if group:
        yield group


def _day_of(key: str) -> str:
    year, month, day = key.removeprefix(EXPOSURES).split("/")[:3]
    return f"{year}-{month}-{day}T00:00:00+00:00"


def _watched(state: StateStore) -> list[str]:
    """Return the projects that somebody answers for."""
    return sorted(str(route["project"]) for route in state.scan(Table.ROUTES))
