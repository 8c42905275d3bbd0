"""One line of the doctor, and calls whose refusal is told and never taken for health."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError

from steward_cli.console import CommandError

State = Literal["ok", "warn", "fail", "unknown"]

_DENIED = ("AccessDenied", "UnauthorizedOperation", "AuthorizationError", "NotAuthorized")


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        area: ``machine``, ``account`` or ``stack``.
        check: What was looked at.
        state: ``unknown`` where the look itself was refused or is impossible.
        says: What is so.
        do: What to do about it; empty where nothing is.
    """

    area: str
    check: str
    state: State
    says: str
    do: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return the finding for ``--json``."""
        return asdict(self)


Check = Callable[[], Iterator[Finding]]


def looked(area: str, check: str, look: Check) -> Iterator[Finding]:
    """Yield what a check finds; what AWS refuses or cannot be reached is unknown, not healthy."""
    try:
        yield from look()
    except ClientError as error:
        code, text = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        if any(word in code for word in _DENIED):
            yield Finding(
                area, check, "unknown", f"not allowed to look: {error.operation_name}",
                f"have somebody with the right run it, or allow {error.operation_name}",
            )  # fmt: skip
            return
        yield Finding(area, check, "unknown", f"{error.operation_name}: {code}: {text}")
    except (BotoCoreError, CommandError) as error:
        hint = error.hint if isinstance(error, CommandError) else None
        yield Finding(area, check, "unknown", str(error), hint or "")


def paged(client: Any, operation: str, key: str, **request: Any) -> Iterator[Any]:
    """Yield the entries of all pages of an operation."""
    for page in client.get_paginator(operation).paginate(**request):
        yield from page.get(key, [])


def worst(findings: Sequence[Finding]) -> State:
    """Return the state that decides the exit code."""
    order: tuple[State, ...] = ("fail", "warn", "unknown", "ok")
    states = {finding.state for finding in findings}
    return next(state for state in order if state in states or state == "ok")
