"""What MiniStack's PutEvents lacks: limits, the time of an entry, and condition keys.

Sources: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevent-size.html,
https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsRequestEntry.html (`Time`;
without it the time of the call) and
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-conditions.html (`events:source`,
`events:detail-type`).
"""

import json
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ministack.core.responses import error_response_json

from steward_local import authority
from steward_local.stepfunctions_additions.role import event_targets

JsonObject = dict[str, Any]
PutEvents = Callable[..., Any]
MAXIMUM_BYTES = 262144
_TIME_BYTES = 14
_MOST_ENTRIES = 10
_ACTION = "events:PutEvents"
_given: ContextVar[float | None] = ContextVar("time of an entry", default=None)


def entry_size(entry: JsonObject) -> int:
    """Return the bytes of an entry as EventBridge counts them."""
    size = _TIME_BYTES if "Time" in entry else 0
    size += sum(len(str(entry.get(key) or "").encode()) for key in ("Source", "DetailType"))
    size += len(str(entry.get("Detail") or "").encode())
    return size + sum(len(str(resource).encode()) for resource in entry.get("Resources") or [])


def _problem(entry: JsonObject) -> JsonObject | None:
    """The result of an entry that EventBridge refuses by itself, or None."""
    for name in ("Source", "DetailType", "Detail"):
        if not entry.get(name):
            message = f"Parameter {name} is not valid. Reason: {name} is a required argument."
            return {"ErrorCode": "InvalidArgument", "ErrorMessage": message}
    try:
        if not isinstance(json.loads(entry["Detail"]), dict):
            raise TypeError
    except (json.JSONDecodeError, TypeError):
        return {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}
    return None


def limited(original: PutEvents) -> PutEvents:
    """Refuse a request above 256 KB as a whole, and a malformed entry by itself."""

    def put_events(data: JsonObject, allow_aws_source: bool = False) -> Any:
        entries = data.get("Entries") or []
        size = sum(entry_size(entry) for entry in entries)
        if size > MAXIMUM_BYTES:
            return error_response_json(
                "ValidationException",
                f"Total size of the entries in the request is over the limit: {size} bytes, "
                f"at most {MAXIMUM_BYTES}.",
                400,
            )
        problems = {
            index: problem
            for index, entry in enumerate(entries)
            if (problem := _problem(entry)) is not None
        }
        if not entries or not problems:
            return _each(original, data, allow_aws_source)
        good = [entry for index, entry in enumerate(entries) if index not in problems]
        status, headers, body = _each(original, {**data, "Entries": good}, allow_aws_source)
        answer = json.loads(body)
        if status != 200:
            return status, headers, body
        results = iter(answer["Entries"])
        answer["Entries"] = [
            problems[index] if index in problems else next(results) for index in range(len(entries))
        ]
        answer["FailedEntryCount"] += len(problems)
        return status, headers, json.dumps(answer).encode()

    return put_events


def _each(original: PutEvents, data: JsonObject, allow_aws_source: bool) -> Any:
    """Put the entries one by one where any has a time of its own, each at its time."""
    entries = data.get("Entries") or []
    timed = [entry.get("Time") for entry in entries]
    if len(entries) > _MOST_ENTRIES or not any(isinstance(at, int | float) for at in timed):
        return original(data, allow_aws_source)
    results: list[JsonObject] = []
    failed = 0
    for entry, at in zip(entries, timed, strict=True):
        token = _given.set(float(at) if isinstance(at, int | float) else None)
        try:
            status, headers, body = original({**data, "Entries": [entry]}, allow_aws_source)
        finally:
            _given.reset(token)
        if status != 200:
            return status, headers, body
        answer = json.loads(body)
        results += answer["Entries"]
        failed += answer["FailedEntryCount"]
    document = {"FailedEntryCount": failed, "Entries": results}
    return 200, headers, json.dumps(document).encode()


def time_of_entry(original: Callable[[], float]) -> Callable[[], float]:
    """Return the time of the entry that is being put when it is first asked for."""

    def now() -> float:
        given = _given.get()
        if given is None:
            return original()
        _given.set(None)
        return given

    return now


def name_entries(original: Callable[..., JsonObject]) -> Callable[..., JsonObject]:
    """Give policies the sources and detail-types of a request's entries."""

    def context(service: str, iam_action: str, body: bytes, params: JsonObject) -> JsonObject:
        known = original(service, iam_action, body, params)
        if iam_action != _ACTION:
            return known
        found = [keys for _, keys in event_targets(_entries(body))]
        names = {name for keys in found for name in keys}
        values = {name: sorted({keys[name] for keys in found}) for name in names}
        return {**known, **{n: v[0] if len(v) == 1 else v for n, v in values.items()}}

    return context


def judged(original: Callable[..., Any]) -> Callable[..., Any]:
    """Judge each entry of PutEvents by itself; one that is refused refuses the request."""

    async def handle_request(
        method: str, path: str, headers: dict[str, str], body: bytes, query_params: JsonObject
    ) -> Any:
        if headers.get("x-amz-target", "").endswith(".PutEvents"):
            caller = authority.caller_of(headers, query_params)
            for arn, keys in event_targets(_entries(body)):
                refused = caller.denial(_ACTION, arn, keys)
                if refused:
                    return error_response_json("AccessDeniedException", refused, 400)
        return await original(method, path, headers, body, query_params)

    return handle_request


def _entries(body: bytes) -> JsonObject:
    try:
        data = json.loads(body or b"{}")
    except ValueError:
        return {}
    entries = data.get("Entries") if isinstance(data, dict) else None
    whole = [entry for entry in entries or [] if isinstance(entry, dict)]
    return {"Entries": whole}
