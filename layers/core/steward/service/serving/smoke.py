"""Use case: test a staged version with recorded examples."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import median

from steward.contracts.steps.serving import RunSmokeTest, SmokeCheck, SmokeResult
from steward.domain.errors import DependencyError, RejectedError
from steward.ports import Clock, Endpoints, ObjectStore, StateStore
from steward.service.serving.probing import (
    ExampleCase,
    answered_numbers,
    recorded_cases,
)
from steward.service.serving.records import project_of, version_of

WARM_UP_CALLS = 3
MEASURED_CALLS = 20
TIMEOUT_S = 60.0
TOLERANCE = 1e-9
_KINDS = {"binary": "in 0 to 1", "regression": "a finite number"}


def run_smoke_test(
    command: RunSmokeTest,
    *,
    state: StateStore,
    objects: ObjectStore,
    endpoints: Endpoints,
    clock: Clock,
    timer: Callable[[], float],
) -> SmokeResult:
    """Ask the staging endpoint and check each answer.

    Every valid example must be answered with finite probabilities, or values, of the right
    number, the same each time and the same alone as in a batch; every bad one must be
    refused with the field at fault; the p95 after a warm-up must keep
    ``serving.smoke.max_latency_ms``. A version that fails is no error here: the result says so.

    Args:
        timer: Seconds of a monotonic clock.

    Raises:
        EvidenceIncompleteError: The dataset has no recorded examples.
    """
    project = project_of(state, command.project)
    cases = recorded_cases(version_of(state, command.project, command.version), objects)
    tester = _Tester(command.endpoint, endpoints, timer)
    checks: list[SmokeCheck] = []
    first = next(case for case in cases if case.kind == "valid")
    for _ in range(WARM_UP_CALLS):
        try:
            tester.ask(first)
        except (DependencyError, RejectedError, ValueError):
            continue
    answers: dict[str, list[float]] = {}
    for case in cases:
        if case.kind == "valid":
            checks.append(tester.check_valid(case, answers))
        else:
            checks.append(tester.check_bad(case))
    checks.append(_batch_agrees(answers))
    checks.append(tester.check_deterministic(first, answers))
    latencies, latency = tester.measure(first, project.serving.smoke.max_latency_ms)
    checks.append(latency)
    return SmokeResult(
        project=command.project,
        version=command.version,
        endpoint=command.endpoint,
        passed=all(check.passed for check in checks),
        checks=checks,
        requests=tester.requests,
        latency_ms_p50=round(median(latencies), 3) if latencies else 0.0,
        latency_ms_p95=round(_p95(latencies), 3) if latencies else 0.0,
        ended_at=clock.now().isoformat(timespec="milliseconds"),
    )


class _Tester:
    def __init__(self, endpoint: str, endpoints: Endpoints, timer: Callable[[], float]) -> None:
        self._endpoint = endpoint
        self._endpoints = endpoints
        self._timer = timer
        self.requests = 0

    def ask(self, case: ExampleCase) -> list[float]:
        self.requests += 1
        answer = self._endpoints.invoke(
            self._endpoint, case.content, content_type=case.content_type,
            accept=case.content_type, timeout_s=TIMEOUT_S,
        )  # fmt: skip
        return answered_numbers(answer.body, case.content_type, case.expect.task)

    def check_valid(self, case: ExampleCase, answers: dict[str, list[float]]) -> SmokeCheck:
        name = f"answers {case.name}"
        try:
            values = self.ask(case)
        except (DependencyError, RejectedError, ValueError) as error:
            return SmokeCheck(name=name, passed=False, detail=_short(error))
        answers[case.name] = values
        wanted = case.expect.predictions
        return SmokeCheck(
            name=name,
            passed=len(values) == wanted,
            detail=f"{len(values)} of {wanted} predictions, each {_KINDS[case.expect.task]}",
        )

    def check_bad(self, case: ExampleCase) -> SmokeCheck:
        name = f"refuses {case.name}"
        try:
            self.ask(case)
        except RejectedError as refused:
            field = refused.field
            return SmokeCheck(
                name=name,
                passed=field == case.expect.field,
                detail=f"refused, naming {field!r}; expected {case.expect.field!r}",
            )
        except (DependencyError, ValueError) as error:
            return SmokeCheck(name=name, passed=False, detail=f"no 4xx but: {_short(error)}")
        return SmokeCheck(name=name, passed=False, detail="answered instead of refused")

    def check_deterministic(self, case: ExampleCase, answers: dict[str, list[float]]) -> SmokeCheck:
        name = "answers the same again"
        before = answers.get(case.name)
        try:
            again = self.ask(case)
        except (DependencyError, RejectedError, ValueError) as error:
            return SmokeCheck(name=name, passed=False, detail=_short(error))
        return SmokeCheck(name=name, passed=again == before, detail=f"{before} and then {again}")

    def measure(self, case: ExampleCase, limit_ms: int) -> tuple[list[float], SmokeCheck]:
        name = "p95 latency"
        taken: list[float] = []
        for _ in range(MEASURED_CALLS):
            begun = self._timer()
            try:
                self.ask(case)
            except (DependencyError, RejectedError, ValueError) as error:
                return taken, SmokeCheck(name=name, passed=False, detail=_short(error))
            taken.append((self._timer() - begun) * 1000)
        p95 = _p95(taken)
        return taken, SmokeCheck(
            name=name,
            passed=p95 <= limit_ms,
            detail=f"{p95:.1f} ms over {len(taken)} calls, at most {limit_ms} ms allowed",
        )


def _batch_agrees(answers: dict[str, list[float]]) -> SmokeCheck:
    alone = [
        value for name, values in answers.items() if name.startswith("row-") for value in values
    ]
    batch = answers.get("batch", [])
    agree = len(alone) == len(batch) and all(
        math.isclose(a, b, abs_tol=TOLERANCE) for a, b in zip(alone, batch, strict=True)
    )
    return SmokeCheck(
        name="a batch answers as its rows alone",
        passed=agree,
        detail=f"{len(batch)} rows in the batch, {len(alone)} alone, tolerance {TOLERANCE:g}",
    )


def _p95(values: list[float]) -> float:
    """Return the nearest-rank 95th percentile."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]
