"""The limits of PutEvents that MiniStack does not have.

Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevent-size.html
"""

import json
from collections.abc import Callable
from typing import Any

from ministack.core.responses import error_response_json

JsonObject = dict[str, Any]
PutEvents = Callable[..., Any]
MAXIMUM_BYTES = 262144
_TIME_BYTES = 14


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
            return original(data, allow_aws_source)
        good = [entry for index, entry in enumerate(entries) if index not in problems]
        status, headers, body = original({**data, "Entries": good}, allow_aws_source)
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
