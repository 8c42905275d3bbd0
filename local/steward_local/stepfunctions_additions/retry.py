"""Which Retry and Catch rules meet an error, and how long a retry waits."""

from __future__ import annotations

import random
from typing import Any

from ministack.services import stepfunctions as sf

from steward_local.pace import real_seconds

_TERMINAL = {"States.DataLimitExceeded", "States.Runtime"}
_dice = random.Random()  # noqa: S311 - spreads retries, keeps no secret


def matches(names: list[str], error: str) -> bool:
    """Whether `ErrorEquals` meets an error.

    `States.ALL` meets all but the terminal errors, `States.TaskFailed` all of these but
    `States.Timeout` (and the heartbeat's timeout is one). `States.Runtime` meets nothing.
    """
    if error == "States.Runtime":
        return False
    if error in names:
        return True
    if error == "States.HeartbeatTimeout" and "States.Timeout" in names:
        return True
    if error in _TERMINAL:
        return False
    timeouts = {"States.Timeout", "States.HeartbeatTimeout"}
    return "States.ALL" in names or ("States.TaskFailed" in names and error not in timeouts)


class Retries:
    """The Retry rules of one state and how often each was used."""

    def __init__(self, rules: list[dict[str, Any]]) -> None:
        self._rules = rules
        self._used = [0] * len(rules)

    @property
    def count(self) -> int:
        """How many retries were made."""
        return sum(self._used)

    def delay(self, error: str) -> float | None:
        """Seconds to wait before the next attempt, or None when there is none."""
        for index, rule in enumerate(self._rules):
            if not matches(rule.get("ErrorEquals", []), error):
                continue
            used = self._used[index]
            if used >= rule.get("MaxAttempts", 3):
                return None
            self._used[index] += 1
            seconds = rule.get("IntervalSeconds", 1) * rule.get("BackoffRate", 2.0) ** used
            seconds = min(seconds, rule.get("MaxDelaySeconds", seconds))
            if rule.get("JitterStrategy") == "FULL":
                seconds *= _dice.random()
            return real_seconds(seconds)
        return None


def caught(
    state: dict[str, Any], error: Any, data: Any, ctx: dict[str, Any]
) -> tuple[Any, str] | None:
    """Output and next state of the Catch rule that meets an error, or None."""
    for catcher in state.get("Catch", []):
        if matches(catcher.get("ErrorEquals", []), error.error):
            output = sf._apply_catcher(
                catcher,
                data,
                ctx,
                sf._state_query_language(state, ctx),
                {"Error": error.error, "Cause": error.cause},
            )
            return output, catcher["Next"]
    return None
