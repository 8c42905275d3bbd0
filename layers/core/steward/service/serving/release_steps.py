"""Use cases: plan a release, move its traffic, judge its steps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from steward.contracts.events import TrafficShifted
from steward.contracts.steps.serving import (
    JudgeStep,
    PlanRelease,
    ReleasePlan,
    RollbackStart,
    ShiftTraffic,
    StepVerdict,
    TrafficShift,
)
from steward.domain import names
from steward.domain.digests import canonical_json
from steward.domain.errors import ConflictError, ReleaseEndedError, RouteConflictError
from steward.domain.guardrails import Counts, Judgement, StepStatistics
from steward.domain.releases import (
    GUARDRAIL_SIGNALS,
    ReleaseStatus,
    first_route,
    rollback_name,
    shares,
    shifted,
)
from steward.domain.routes import Arm, Route
from steward.domain.strategies import STRATEGIES, strategy_for
from steward.ports import (
    Absent,
    Alarms,
    Change,
    Clock,
    Condition,
    Endpoints,
    Equals,
    Ids,
    Item,
    ObjectStore,
    Put,
    StateStore,
    Table,
    TrafficMetrics,
    Update,
)
from steward.service.emission import Cause, event
from steward.service.serving.hosting import endpoint_plan
from steward.service.serving.records import (
    plan_of,
    project_of,
    release_of,
    route_of,
    version_of,
)
from steward.service.serving.verification import check_approved

STAGE = "prod"


def running(state: StateStore, project: str, release_id: str) -> Item:
    """Return a release that still runs.

    Raises:
        ReleaseEndedError: Somebody ended it, or a rollback has taken its traffic.
    """
    release = release_of(state, project, release_id)
    if release["status"] != ReleaseStatus.RUNNING or release.get("restored_at"):
        raise ReleaseEndedError(f"release {release_id} of {project} is {release['status']}")
    return release


def guardrail_alarms(environment: str, project: str) -> list[str]:
    """Return the names of a project's guardrail alarms."""
    return [names.alarm_name(environment, project, signal) for signal in GUARDRAIL_SIGNALS]


def plan_release(
    command: PlanRelease,
    *,
    state: StateStore,
    endpoints: Endpoints,
    alarms: Alarms,
    role_arn: str,
    environment: str,
) -> ReleasePlan:
    """Verify the registry's record once more and fix the steps of a release.

    Alarms that are in ALARM already speak of an earlier version, perhaps of the very fault
    that this release mends: they are noted as standing and do not stop it.

    Raises:
        ReleaseEndedError: Somebody ended the release.
        ReleaseNotAllowedError: The version is not approved, or the router cannot play the
            strategy.
    """
    release = running(state, command.project, command.release_id)
    record = version_of(state, command.project, command.version)
    check_approved(record, release["evidence_digest"])
    project = project_of(state, command.project)
    route = route_of(state, command.project)
    strategy = strategy_for(project.release.strategy, project.serving.router, first=route is None)
    plan = strategy.plan(project.release)
    states = alarms.states(guardrail_alarms(environment, command.project))
    suffix = command.release_id.rsplit("-", 1)[1]
    endpoint = endpoint_plan(
        record, STAGE, suffix, project.serving, endpoints=endpoints, role_arn=role_arn
    )
    changed = {
        "plan": plan.model_dump(mode="json"),
        "plan_digest": plan.digest,
        "strategy": plan.strategy,
        "steps": [int(step.share) for step in plan.steps],
        "stable_version": route.stable.version if route else None,
        "standing_alarms": sorted(name for name, value in states.items() if value == "ALARM"),
        "endpoint": endpoint.endpoint,
        "served_features": record.get("served_features"),
    }
    _update(state, release, changed)
    return ReleasePlan(strategy=plan.strategy, steps=len(plan.steps), endpoint=endpoint)


def shift_traffic(
    command: ShiftTraffic, *, state: StateStore, clock: Clock, ids: Ids
) -> TrafficShift:
    """Move the traffic of one step by a conditional write of the route.

    The step, the release's record and ``TrafficShifted`` are one transaction. A repeated call
    finds its own step in the route and changes nothing.

    Raises:
        ReleaseEndedError: The release was ended, or somebody else changed the route.
    """
    release = running(state, command.project, command.release_id)
    step = plan_of(release).steps[command.step_index]
    route = route_of(state, command.project)
    if route is not None and (route.release_id, route.step_id) == (
        command.release_id, step.step_id,
    ):  # fmt: skip
        return TrafficShift(
            step_id=step.step_id, route_version=route.route_version, bake_s=step.bake_s
        )
    _check_unmoved(route, release, command.step_index)
    arm = Arm(
        version=command.version,
        endpoint=release["endpoint"],
        role="candidate",
        share=step.share,
        served_features=release.get("served_features"),
    )
    slow_ms = step.limits.max_latency_ms
    moved: Route
    expect: Condition
    if route is None:
        moved = first_route(command.project, command.release_id, step.step_id, arm, slow_ms)
        expect = Absent()
    else:
        moved = shifted(route, command.release_id, step.step_id, arm, slow_ms)
        expect = Equals("route_version", route.route_version)
    now = clock.now().isoformat(timespec="milliseconds")
    shift = {
        "step_id": step.step_id, "shares": shares(moved), "at": now,
        "route_version": moved.route_version,
    }  # fmt: skip
    told = TrafficShifted(
        release_id=command.release_id,
        step_id=step.step_id,
        route_version=moved.route_version,
        shares=shares(moved),
        shifted_at=now,
    )
    cause = Cause(command.project, command.correlation_id, command.causation_id)
    changes: list[Change] = [
        Put(Table.ROUTES, moved.model_dump(mode="json"), (expect,)),
        Update(
            Table.RELEASES,
            _key(release),
            set={
                "shifts": [*release["shifts"], shift],
                "step_index": command.step_index,
                "step_id": step.step_id,
            },
            expect=_still_running(),
        ),
    ]
    try:
        state.commit(changes, [event(told, cause, clock, ids)])
    except ConflictError as lost:
        running(state, command.project, command.release_id)
        raise RouteConflictError(f"the route of {command.project} has changed") from lost
    return TrafficShift(step_id=step.step_id, route_version=moved.route_version, bake_s=step.bake_s)


def judge_step(
    command: JudgeStep,
    *,
    state: StateStore,
    objects: ObjectStore,
    alarms: Alarms,
    metrics: TrafficMetrics,
    clock: Clock,
    artifacts_bucket: str,
    environment: str,
) -> StepVerdict:
    """Freeze the statistics of a step, judge them and say what follows.

    The statistics and the judgement are written beside the evidence, so that the judgement
    can be made again from its digest.

    Raises:
        ReleaseEndedError: The release was ended, or somebody else changed the route.
    """
    release = running(state, command.project, command.release_id)
    plan = plan_of(release)
    step = plan.steps[command.step_index]
    route = route_of(state, command.project)
    if route is None or route.release_id != command.release_id or route.step_id != step.step_id:
        raise ReleaseEndedError(f"the route of {command.project} was changed by somebody else")
    states = alarms.states(guardrail_alarms(environment, command.project))
    standing = [name for name in release["standing_alarms"] if states.get(name) == "ALARM"]
    role = "candidate" if route.candidate else "stable"
    shifted_at = datetime.fromisoformat(release["shifts"][-1]["at"])
    now = clock.now()
    seen = metrics.counts(command.project, role, shifted_at, now)
    statistics = StepStatistics(
        release_id=command.release_id,
        step_id=step.step_id,
        share=step.share,
        since=shifted_at.isoformat(timespec="milliseconds"),
        until=now.isoformat(timespec="milliseconds"),
        holds=command.holds,
        counts=Counts(requests=seen.requests, errors=seen.errors, slow=seen.slow),
        alarms=states if role == "candidate" else {},
        standing=standing,
        limits=step.limits,
    )
    judgement = STRATEGIES[plan.strategy].judge(statistics)
    uri = (
        f"s3://{artifacts_bucket}/evidence/{command.project}/{command.version}/releases/"
        f"{command.release_id}/{step.step_id}-{command.holds}.json"
    )
    frozen = {
        "statistics": statistics.model_dump(mode="json"),
        "judgement": judgement.model_dump(mode="json"),
    }
    objects.write(uri, canonical_json(frozen))
    verdict = {
        "step_id": step.step_id, "holds": command.holds, "verdict": judgement.verdict,
        "reason": judgement.reason, "digest": judgement.digest, "uri": uri,
        "at": now.isoformat(timespec="milliseconds"),
    }  # fmt: skip
    _update(
        state,
        release,
        {"verdicts": [*release["verdicts"], verdict], "standing_alarms": standing},
    )
    return _following(command, release, judgement, uri, [s.bake_s for s in plan.steps], now)


def _following(
    command: JudgeStep,
    release: Item,
    judgement: Judgement,
    uri: str,
    bakes_s: Sequence[int],
    now: datetime,
) -> StepVerdict:
    index, holds = command.step_index, 0
    match judgement.verdict:
        case "hold":
            following, holds = "hold", command.holds + 1
        case "roll_back":
            following = "withdraw" if release["stable_version"] is None else "roll_back"
        case "continue":
            last = index + 1 == len(bakes_s)
            following = "complete" if last else "shift"
            index += 0 if last else 1
    attempt = int(release.get("failed_rollbacks", 0)) + 1
    return StepVerdict.model_validate(
        {
            "next": following,
            "step_index": index,
            "holds": holds,
            "bake_s": bakes_s[index],
            "reason": judgement.reason,
            "statistics_uri": uri,
            "digest": judgement.digest,
            "rollback": RollbackStart(
                name=rollback_name(command.project, command.release_id, attempt),
                input={
                    "project": command.project,
                    "version": command.version,
                    "release_id": command.release_id,
                    "cause": f"guardrail: {judgement.reason}",
                    "triggered_at": now.isoformat(timespec="milliseconds"),
                    "correlation_id": command.correlation_id,
                    "causation_id": release["execution_arn"],
                    "actor": "steward",
                },
            ),
        }
    )


def _check_unmoved(route: Route | None, release: Item, step_index: int) -> None:
    """Refuse to move a route that is not as this release left or found it."""
    if step_index == 0:
        found = route.stable.version if route else None
        if found != release["stable_version"]:
            raise ReleaseEndedError(f"the route was changed: version {found} is stable now")
        return
    if route is None or route.release_id != release["release_id"]:
        raise ReleaseEndedError("the route was changed by somebody else")
    left = release["shifts"][-1]["route_version"]
    if route.route_version != left:
        raise ReleaseEndedError(f"the route is at {route.route_version}, not at {left}")


def _key(release: Item) -> dict[str, str]:
    return {"project": release["project"], "release_id": release["release_id"]}


def _still_running() -> tuple[Condition, ...]:
    return (Equals("status", ReleaseStatus.RUNNING.value), Equals("restored_at", None))


def _update(state: StateStore, release: Item, changed: Item) -> None:
    try:
        state.commit([Update(Table.RELEASES, _key(release), set=changed, expect=_still_running())])
    except ConflictError as lost:
        raise ReleaseEndedError(f"release {release['release_id']} was ended") from lost
