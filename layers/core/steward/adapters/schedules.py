"""Schedules of EventBridge Scheduler."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from steward.adapters.errors import code_of, translate, translated
from steward.domain.digests import canonical_json
from steward.domain.errors import RejectedError

_NAME = re.compile(r"^[0-9a-zA-Z_.-]{1,64}$")
RETRIES = 3
OLDEST_S = 3600
"""A firing that could not be delivered within this is of no use: the next one does the same."""


class SchedulerSchedules:
    """Schedules in one group with one target: created, changed and deleted by name.

    Args:
        client: Of ``scheduler``.
        group: Schedule group of the stack.
        target_arn: Function that each firing invokes.
        role_arn: Role that Scheduler takes for it; the caller needs ``iam:PassRole`` on it.
        dead_letter_arn: Queue for what could not be delivered.
    """

    def __init__(
        self, client: Any, group: str, target_arn: str, role_arn: str, dead_letter_arn: str
    ) -> None:
        self._client = client
        self._group = group
        self._target_arn, self._role_arn = target_arn, role_arn
        self._dead_letter_arn = dead_letter_arn

    def create(self, name: str, *, every_s: int, payload: Mapping[str, Any]) -> None:
        """Send ``payload`` every ``every_s`` seconds, or bring a schedule of that name in line."""
        minutes, rest = divmod(every_s, 60)
        if rest or minutes < 1:
            raise RejectedError(
                f"schedule {name} cannot fire every {every_s} s", field="every_s", value=every_s,
                allowed="whole minutes",
            )  # fmt: skip
        rate = f"rate({minutes} minute{'s' if minutes > 1 else ''})"
        self._put(self._request(name, rate, payload, min(every_s, OLDEST_S)))

    def create_once(self, name: str, *, at: datetime, payload: Mapping[str, Any]) -> None:
        """Send ``payload`` at a moment; Scheduler deletes the schedule once it fired."""
        moment = f"at({at.astimezone(UTC):%Y-%m-%dT%H:%M:%S})"
        request = self._request(name, moment, payload, OLDEST_S)
        about = {"ScheduleExpressionTimezone": "UTC", "ActionAfterCompletion": "DELETE"}
        self._put({**request, **about})

    def _put(self, wanted: dict[str, Any]) -> None:
        name = str(wanted["Name"])
        try:
            self._client.create_schedule(State="ENABLED", **wanted)
        except (ClientError, BotoCoreError, HTTPClientError) as error:
            if not (isinstance(error, ClientError) and code_of(error) == "ConflictException"):
                raise translate(error, f"create schedule {name}") from error
            self._align(name, wanted)

    def _align(self, name: str, wanted: dict[str, Any]) -> None:
        with translated(f"change schedule {name}"):
            found = self._client.get_schedule(Name=name, GroupName=self._group)
            if any(_part(found, key) != _part(wanted, key) for key in wanted):
                self._client.update_schedule(State=found["State"], **wanted)

    def _request(
        self, name: str, expression: str, payload: Mapping[str, Any], oldest_s: int
    ) -> dict[str, Any]:
        if not _NAME.match(name):
            raise RejectedError(
                f"no schedule can be named {name!r}", field="name", value=name,
                allowed=_NAME.pattern,
            )  # fmt: skip
        return {
            "Name": name,
            "GroupName": self._group,
            "ScheduleExpression": expression,
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {
                "Arn": self._target_arn,
                "RoleArn": self._role_arn,
                "Input": canonical_json(payload).decode(),
                "DeadLetterConfig": {"Arn": self._dead_letter_arn},
                "RetryPolicy": {
                    "MaximumRetryAttempts": RETRIES,
                    "MaximumEventAgeInSeconds": oldest_s,
                },
            },
        }

    def delete(self, name: str) -> None:
        """Remove a schedule; what is gone is fine."""
        try:
            self._client.delete_schedule(Name=name, GroupName=self._group)
        except (ClientError, BotoCoreError, HTTPClientError) as error:
            if not _is_missing(error):
                raise translate(error, f"delete schedule {name}") from error

    def is_enabled(self, name: str) -> bool | None:
        """Return whether a schedule fires, None where there is none."""
        try:
            found = self._client.get_schedule(Name=name, GroupName=self._group)
        except (ClientError, BotoCoreError, HTTPClientError) as error:
            if _is_missing(error):
                return None
            raise translate(error, f"read schedule {name}") from error
        return bool(found["State"] == "ENABLED")


def _is_missing(error: Exception) -> bool:
    return isinstance(error, ClientError) and code_of(error) == "ResourceNotFoundException"


def _part(request: Mapping[str, Any], key: str) -> Any:
    """Return a part of a request or description in a form that compares."""
    value = request.get(key)
    if key != "Target" or not isinstance(value, Mapping):
        return value
    return {**value, "Input": json.loads(value.get("Input") or "null")}
