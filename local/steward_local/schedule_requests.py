"""What EventBridge Scheduler asks of who creates a schedule, and of a schedule's name.

Sources: https://docs.aws.amazon.com/scheduler/latest/UserGuide/setting-up.html (execution role,
`iam:PassRole`), cross-service-confused-deputy-prevention.html beside it (`aws:SourceArn` is that
of the schedule's group) and
https://docs.aws.amazon.com/service-authorization/latest/reference/ (schedules are judged as
`schedule/GROUP/NAME`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ministack.core.responses import get_account_id, get_region

from steward_local import authority
from steward_local.judged_resources import Asked, judge

SERVICE = "scheduler.amazonaws.com"
Handler = Callable[..., Any]


def install() -> None:
    """Put the checks into MiniStack's Scheduler; call it before MiniStack serves.

    Raises:
        GroundMovedError: MiniStack is not the one that this was written against.
    """
    from ministack.services import scheduler

    from steward_local.registrations import Ground

    Ground(
        "services.scheduler:handle_request",
        ("method", "path", "headers", "body_bytes", "query_params"),
        "check who passes a role to Scheduler",
    ).locate()
    scheduler.handle_request = _checked(scheduler.handle_request, scheduler._error)
    judge("scheduler", _judged_in_its_group)


def _checked(original: Handler, error: Handler) -> Handler:
    async def handle(
        method: str,
        path: str,
        headers: dict[str, str],
        body_bytes: bytes,
        query_params: dict[str, Any],
    ) -> Any:
        if method in ("POST", "PUT") and path.startswith("/schedules/"):
            caller = authority.caller_of(headers, query_params)
            asked = _body(body_bytes)
            role = str((asked.get("Target") or {}).get("RoleArn") or "")
            if role:
                refused = _refusal(caller, role, str(asked.get("GroupName") or "default"))
                if refused:
                    return error(*refused)
        return await original(method, path, headers, body_bytes, query_params)

    return handle


def source(group: str) -> dict[str, str]:
    """What a role's trust policy sees of Scheduler: the schedule's group."""
    arn = f"arn:aws:scheduler:{get_region()}:{get_account_id()}:schedule-group/{group}"
    return {"aws:sourcearn": arn}


def _refusal(caller: authority.Principal, role: str, group: str) -> tuple[int, str, str] | None:
    denied = caller.denial("iam:PassRole", role, {"iam:PassedToService": SERVICE})
    if denied:
        return 403, "AccessDeniedException", denied
    if not authority.trusts(role, SERVICE, source(group)):
        return (
            400,
            "ValidationException",
            "The execution role you provide must allow AWS EventBridge Scheduler to assume the "
            "role.",
        )
    return None


def _judged_in_its_group(asked: Asked, known: str) -> str:
    if ":schedule/default/" not in known:
        return known
    named = asked.query_params.get("groupName") or _body(asked.body).get("GroupName") or "default"
    group = named[0] if isinstance(named, list) else named
    return known.replace(":schedule/default/", f":schedule/{group}/")


def _body(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body or b"{}")
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
