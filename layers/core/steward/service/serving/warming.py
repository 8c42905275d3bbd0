"""Use case: warm an endpoint before it gets traffic."""

from __future__ import annotations

from collections.abc import Callable

from steward.contracts.steps.serving import WarmedEndpoint, WarmEndpoint
from steward.ports import Endpoints, ObjectStore, StateStore
from steward.service.serving.probing import recorded_cases
from steward.service.serving.records import version_of

CALLS = 5
TIMEOUT_S = 60.0


def warm_endpoint(
    command: WarmEndpoint,
    *,
    state: StateStore,
    objects: ObjectStore,
    endpoints: Endpoints,
    timer: Callable[[], float],
) -> WarmedEndpoint:
    """Ask an endpoint a recorded example a few times.

    The calls go round the gateway, so that no guardrail counts a cold start.

    Raises:
        DependencyError: The endpoint does not answer yet.
        RejectedError: It refuses an example that the staging endpoint answered.
    """
    cases = recorded_cases(version_of(state, command.project, command.version), objects)
    case = next(case for case in cases if case.kind == "valid")
    last_ms = 0.0
    for _ in range(CALLS):
        begun = timer()
        endpoints.invoke(
            command.endpoint, case.content, content_type=case.content_type,
            accept=case.content_type, timeout_s=TIMEOUT_S,
        )  # fmt: skip
        last_ms = (timer() - begun) * 1000
    return WarmedEndpoint(calls=CALLS, last_ms=round(last_ms, 3))
