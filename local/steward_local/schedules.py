"""When scheduled rules and EventBridge Scheduler's schedules fire, with shortened waits.

Each schedule lives in time of its own: it starts when it is created, and passes `time_scale`
times as fast. An `at()` two weeks away fires when two weeks of that time have passed.
"""

import json
import re
import time
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ministack.core.responses import new_uuid, request_scope
from ministack.services import eventbridge, scheduler

from steward_local import lifecycle
from steward_local.pace import time_scale

JsonObject = dict[str, Any]
Key = tuple[str, str, str]
_TICK_SECONDS = 0.2
_AT = re.compile(r"\s*at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)\s*")


@dataclass
class _Course:
    """What a schedule did so far, in its own time.

    Attributes:
        since: The moment from which the next one counts: created, changed or last fired.
        fired: Whether it fired since its expression was set.
        created: When it was created; another one of the same name begins anew.
    """

    expression: str
    since: float
    created: float
    fired: bool = False


_courses: dict[tuple[str, Key], _Course] = {}


def silence(_original: Callable[[], None]) -> Callable[[], None]:
    """Leave firing to the loop here: MiniStack's runs every ten seconds in real time."""

    def tick() -> None:
        return None

    return tick


def _own_time(created: float) -> float:
    return created + (time.time() - created) * time_scale()


def _zone(name: str) -> zoneinfo.ZoneInfo:
    return zoneinfo.ZoneInfo(name or "UTC")


def _is_due(course: _Course, zone: str, now: float) -> bool:
    """Whether a schedule fires at `now`, in its own time."""
    if at := _AT.fullmatch(course.expression):
        moment = datetime.fromisoformat(at.group(1)).replace(tzinfo=_zone(zone))
        return not course.fired and now >= moment.timestamp()
    interval = eventbridge._parse_rate_seconds(course.expression)
    if interval is not None:
        return bool(now - course.since >= interval)
    fields = eventbridge._parse_cron_fields(course.expression)
    if fields is None:
        return False
    local = datetime.fromtimestamp(course.since, tz=_zone(zone)).replace(tzinfo=UTC)
    following = eventbridge._cron_next_fire(fields, local)
    if following is None:
        return False
    return bool(now >= following.replace(tzinfo=_zone(zone)).timestamp())


def _due_once(kind: str, key: Key, definition: JsonObject, zone: str, created: float) -> bool:
    expression = definition.get("ScheduleExpression") or ""
    now = _own_time(created)
    course = _courses.get((kind, key))
    if course is None or course.created != created:
        course = _courses[kind, key] = _Course(expression, created, created)
    elif course.expression != expression:
        course = _courses[kind, key] = _Course(expression, now, created)
    if not _is_due(course, zone, now):
        return False
    course.since, course.fired = now, True
    return True


def _event(source: str, account: str, region: str, resource: str, now: float) -> JsonObject:
    return {
        "EventId": new_uuid(),
        "Source": source,
        "DetailType": "Scheduled Event",
        "Detail": "{}",
        "EventBusName": "default",
        "Time": int(now),
        "Resources": [resource],
        "Account": account,
        "Region": region,
    }


def _fire_rules() -> None:
    for (account, region, name), rule in list(eventbridge._rules._data.items()):
        if rule.get("State") != "ENABLED" or not rule.get("ScheduleExpression"):
            continue
        created = float(rule.get("CreationTime") or time.time())
        if not _due_once("rule", (account, region, name), rule, "UTC", created):
            continue
        with request_scope(account, region):
            event = _event("aws.events", account, region, rule.get("Arn", ""), time.time())
            view = eventbridge._pattern_event_view(event)
            for target in eventbridge._targets.get(name, []):
                eventbridge._invoke_target(target, event, rule, view)


def _moment(value: Any) -> float | None:
    found: float | None = scheduler._to_epoch(value)
    return found


def _fire_schedule(key: Key, schedule: JsonObject) -> None:
    account, region, _ = key
    arn = schedule.get("Arn", "")
    now = time.time()
    event = _event("aws.scheduler", account, region, arn, now)
    target = dict(schedule.get("Target") or {})
    if isinstance(target.get("Input"), str):
        moment = datetime.fromtimestamp(now, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for name, value in (
            ("schedule-arn", arn),
            ("scheduled-time", moment),
            ("execution-id", event["EventId"]),
            ("attempt-number", "1"),
        ):
            target["Input"] = target["Input"].replace(f"<aws.scheduler.{name}>", value)
    elif "Input" not in target:
        notice = eventbridge._pattern_event_view(event).event_with_detail()
        target["Input"] = json.dumps({**notice, "detail": "{}"})
    with request_scope(account, region):
        eventbridge._invoke_target(target, event, schedule)


def _fire_schedules() -> None:
    for key, schedule in list(scheduler._schedules._data.items()):
        if schedule.get("State") != "ENABLED":
            continue
        created = float(schedule.get("CreationDate") or time.time())
        now = _own_time(created)
        start, end = _moment(schedule.get("StartDate")), _moment(schedule.get("EndDate"))
        ended = end is not None and now > end
        if not ended and (start is None or now >= start):
            zone = schedule.get("ScheduleExpressionTimezone", "UTC")
            if _due_once("schedule", key, schedule, zone, created):
                _fire_schedule(key, schedule)
                ended = bool(_AT.fullmatch(schedule.get("ScheduleExpression", "")))
        if ended and schedule.get("ActionAfterCompletion") == "DELETE":
            scheduler._schedules._data.pop(key, None)


def fire_due() -> None:
    """Fire every rule and schedule whose moment has come."""
    _fire_rules()
    _fire_schedules()


def start() -> None:
    """Fire in the background from the start of the server on."""
    lifecycle.every(_TICK_SECONDS, fire_due, "schedules")
