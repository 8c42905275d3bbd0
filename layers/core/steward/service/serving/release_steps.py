"""Use cases: plan a release, and move its traffic."""

from __future__ import annotations

from datetime import timedelta

from steward.contracts.events import Event, ExperimentStarted
from steward.contracts.steps.serving import PlanRelease, ReleasePlan, ShiftTraffic, TrafficShift
from steward.domain import names
from steward.domain.errors import ConflictError, ReleaseEndedError, RouteConflictError
from steward.domain.releases import (
    GUARDRAIL_SIGNALS,
    ReleaseStatus,
    first_route,
    shifted,
)
from steward.domain.routes import Arm, Route
from steward.domain.strategies import plan_for
from steward.domain.strategies.bandit import batch_id
from steward.domain.strategies.capabilities import check_router
from steward.domain.strategies.plan import Planned
from steward.domain.variant_alarms import variant_alarms
from steward.ports import (
    Absent,
    Alarms,
    AlarmSettings,
    Change,
    Clock,
    Condition,
    Endpoints,
    Equals,
    Ids,
    Item,
    Put,
    StateStore,
    Table,
    TrafficMetrics,
    Update,
    VariantFleets,
)
from steward.service.emission import Cause, event
from steward.service.serving.endpoint_records import made
from steward.service.serving.experiments import head_key, head_of, new_head, propensities
from steward.service.serving.hosting import endpoint_plan
from steward.service.serving.records import plan_of, project_of, route_of, running, version_of
from steward.service.serving.shifts import shift_to
from steward.service.serving.variant_hosting import variants_plan
from steward.service.serving.verification import check_approved

STAGE = "prod"
RECENT = timedelta(days=1)
"""Traffic that plans are tuned to."""


def guardrail_alarms(environment: str, project: str) -> list[str]:
    """Return the names of a project's guardrail alarms."""
    return [names.alarm_name(environment, project, signal) for signal in GUARDRAIL_SIGNALS]


def plan_release(
    command: PlanRelease,
    *,
    state: StateStore,
    endpoints: Endpoints,
    alarms: Alarms,
    metrics: TrafficMetrics,
    clock: Clock,
    ids: Ids,
    fleets: VariantFleets,
    alarm_settings: AlarmSettings,
    role_arn: str,
    capture_bucket: str,
    environment: str,
) -> ReleasePlan:
    """Verify the registry's record once more and fix the steps of a release.

    What it will be judged by is fixed with them: an experiment plan per phase, tuned to the
    traffic of the last day. Alarms that are in ALARM already speak of an earlier version,
    perhaps of the very fault that this release mends: they are noted as standing and do not
    stop it.

    Raises:
        ReleaseEndedError: Somebody ended the release.
        ReleaseNotAllowedError: The version is not approved, the router cannot play the
            strategy, or a step cannot be judged by what it declares.
    """
    release = running(state, command.project, command.release_id)
    record = version_of(state, command.project, command.version)
    check_approved(record, release["evidence_digest"])
    project = project_of(state, command.project)
    route = route_of(state, command.project)
    if route is not None:
        check_router(route.router, project.serving.router)
    features = [column.name for column in project.model_features]
    plan = plan_for(project.release, project.serving.router, features, first=route is None)
    now = clock.now()
    units_per_s = 0.0
    if plan.phases:
        seen = metrics.counts(command.project, "stable", now - RECENT, now)
        units_per_s = (seen.units or seen.requests) / RECENT.total_seconds()
    from steward.domain.strategies.experiment_plans import experiment_plans  # large
    from steward.domain.task_rules import answers_of

    plans = experiment_plans(project.release, plan, units_per_s, router=project.serving.router)
    states = alarms.states(guardrail_alarms(environment, command.project))
    suffix = command.release_id.rsplit("-", 1)[1]
    if project.serving.router == "endpoint_variants":
        endpoint = variants_plan(
            record, suffix, project.serving, route, plan.steps[0].mirror_percent,
            environment=environment, endpoints=endpoints, fleets=fleets, role_arn=role_arn,
            capture_bucket=capture_bucket,
        )  # fmt: skip
        for alarm in variant_alarms(environment, command.project, command.version, project.alarms):
            alarm_settings.put(alarm)
    else:
        endpoint = endpoint_plan(
            record,
            STAGE,
            suffix,
            project.serving,
            environment=environment,
            endpoints=endpoints,
            role_arn=role_arn,
        )
    stable = route.stable.version if route else None
    changed = {
        "plan": plan.model_dump(mode="json"),
        "plan_digest": plan.digest,
        "strategy": plan.strategy,
        "steps": [int(step.share) for step in plan.steps],
        "stable_version": stable,
        "standing_alarms": sorted(name for name, value in states.items() if value == "ALARM"),
        "endpoint": endpoint.endpoint,
        "router": endpoint.router,
        "served_features": record.get("served_features"),
    }
    head = new_head(
        release, project.release, plan, plans, router=project.serving.router,
        stable_version=stable, started_at=now.isoformat(timespec="milliseconds"),
        answers=answers_of(project),
    )  # fmt: skip
    told: list[Event] = []
    if plan.ticked and stable is not None:
        started = ExperimentStarted(
            release_id=command.release_id, version=command.version, stable_version=stable,
            strategy=plan.strategy, phases=list(plans), plan_digests=head["plan_digests"],
            tick_s=plan.tick_s, planned_s=sum(step.bake_s for step in plan.steps),
        )  # fmt: skip
        cause = Cause(command.project, command.correlation_id, release["execution_arn"])
        told.append(event(started, cause, clock, ids))
    known = state.get(Table.EXPERIMENTS, head_key(command.project, command.release_id))
    changes: list[Change] = [
        Update(Table.RELEASES, _key(release), set=changed, expect=_still_running())
    ]
    if known is None:
        changes.append(Put(Table.EXPERIMENTS, head, (Absent(),)))
    if endpoint.create:
        changes.append(made(command.project, command.version, endpoint, release, now))
    if not release["shifts"]:
        try:
            state.commit(changes, told if known is None else [])
        except ConflictError as lost:
            running(state, command.project, command.release_id)
            raise ConflictError(f"release {command.release_id} was planned twice") from lost
    return ReleasePlan(
        strategy=plan.strategy, steps=len(plan.steps), endpoint=endpoint, ticked=plan.ticked,
        tick_s=plan.tick_s,
    )  # fmt: skip


def shift_traffic(
    command: ShiftTraffic, *, state: StateStore, clock: Clock, ids: Ids
) -> TrafficShift:
    """Move the traffic of one step, or of a bandit's next batch, by a conditional route write.

    Route, release, head item and ``TrafficShifted`` are one transaction. A repeated call finds
    its own step in the route and changes nothing.

    Raises:
        ReleaseEndedError: The release was ended, or somebody else changed the route.
    """
    release = running(state, command.project, command.release_id)
    step = plan_of(release).steps[command.step_index]
    head = head_of(state, command.project, command.release_id)
    step_id, share = _place(step, head)
    route = route_of(state, command.project)
    if route is not None and (route.release_id, route.step_id) == (command.release_id, step_id):
        return _shift_of(route, step)
    _check_unmoved(route, release)
    arm = Arm(
        version=command.version,
        endpoint=release["endpoint"],
        role="candidate",
        share=share,
        served_features=release.get("served_features"),
    )
    slow_ms = step.limits.max_latency_ms
    moved: Route
    if route is None:
        number = _last_route(state, command.project) + 1
        first = first_route(command.project, command.release_id, step_id, arm, slow_ms, number)
        moved = first.model_copy(update={"router": release.get("router", "gateway")})
    else:
        moved = shifted(
            route, command.release_id, step_id, arm, slow_ms,
            mirror_percent=step.mirror_percent, stored=step.phase == "bandit",
        )  # fmt: skip
    at = clock.now()
    now = at.isoformat(timespec="milliseconds")
    cause = Cause(command.project, command.correlation_id, command.causation_id)
    shift = shift_to(moved, route, release, cause, at, clock=clock, ids=ids)
    changes: list[Change] = [
        shift.write,
        Update(
            Table.RELEASES,
            _key(release),
            set={
                "shifts": shift.noted,
                "step_index": command.step_index,
                "step_id": step_id,
            },
            expect=_still_running(),
        ),
        Update(
            Table.EXPERIMENTS,
            head_key(command.project, command.release_id),
            set=_entered(head, command.step_index, step, step_id, share, now),
            expect=(Equals("status", "running"), Equals("verdicts", head["verdicts"])),
        ),
    ]
    try:
        state.commit(changes, [shift.told])
    except ConflictError as lost:
        running(state, command.project, command.release_id)
        raise RouteConflictError(f"the route of {command.project} has changed") from lost
    return _shift_of(moved, step)


def _shift_of(route: Route, step: Planned) -> TrafficShift:
    return TrafficShift(
        step_id=route.step_id, route_version=route.route_version, bake_s=step.bake_s,
        router=route.router,
    )  # fmt: skip


def _place(step: Planned, head: Item) -> tuple[str, float]:
    """Return id and share of a step; those of a bandit are its batch's, set when it was judged."""
    if step.phase != "bandit":
        return step.step_id, step.share
    batch = head["batch"]
    return batch_id(step.step_id, batch), head["next_share"] if batch > 1 else step.share


def _entered(head: Item, index: int, step: Planned, step_id: str, share: float, now: str) -> Item:
    """Return what the head item says once a step, or a batch, has begun."""
    entered = {
        "step_id": step_id, "phase": step.phase, "index": index, "at": now,
        "propensities": propensities(share),
    }  # fmt: skip
    changed: Item = {
        "step_index": index, "step_id": step_id, "phase": step.phase,
        "batch_tick": head["tick"], "steps": [*head["steps"], entered],
    }  # fmt: skip
    if not head["steps"] or head["step_index"] != index:
        changed |= {"step_tick": head["tick"], "holds": 0}
    return changed


def _last_route(state: StateStore, project: str) -> int:
    """Return the highest number that a route of a project has had, 0 where it had none."""
    releases = state.query(Table.RELEASES, project)
    return max((int(s["route_version"]) for r in releases for s in r["shifts"]), default=0)


def _check_unmoved(route: Route | None, release: Item) -> None:
    """Refuse to move a route that is not as this release left or found it."""
    if not release["shifts"]:
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
