"""Use case: a release ends with nothing proved for its version."""

from __future__ import annotations

from steward.contracts.events import ReleaseNotPromoted
from steward.contracts.steps.serving import ConcludeExperiment, ReleaseConclusion
from steward.domain import names
from steward.domain.errors import ConflictError, ReleaseEndedError
from steward.domain.releases import ReleaseStatus
from steward.ports import Clock, Endpoints, Equals, Ids, StateStore, Table, Update, Workflows
from steward.service.emission import Cause, event
from steward.service.serving.experiments import ending
from steward.service.serving.leasing import ensure_started, handing_over, is_endpoint_needed
from steward.service.serving.records import release_of, route_of, running
from steward.service.serving.shifts import shift_back

RACES = 4


def conclude_experiment(
    command: ConcludeExperiment,
    *,
    state: StateStore,
    environment: str,
    endpoints: Endpoints,
    workflows: Workflows,
    clock: Clock,
    ids: Ids,
    machine: str,
) -> ReleaseConclusion:
    """Give all traffic back to the stable version and end the release without promotion, once.

    Route, release with its shift, experiment, lock and ``ReleaseNotPromoted`` are one
    transaction; the candidate's endpoint is removed afterwards unless a route needs it. The
    version stays approved, and a person may have it released again.

    Raises:
        ReleaseEndedError: The release was ended, or somebody else changed the route.
    """
    for race in range(RACES):
        release = release_of(state, command.project, command.release_id)
        if release["status"] == ReleaseStatus.NOT_PROMOTED:
            break
        try:
            _conclude(command, state=state, clock=clock, ids=ids)
            break
        except ReleaseEndedError:
            raise
        except ConflictError:
            if race == RACES - 1:
                raise
    ensure_started(command.project, state=state, workflows=workflows, machine=machine)
    own = names.endpoint_name(environment, command.project, command.version, "prod")
    endpoint = release.get("endpoint", own)
    if not is_endpoint_needed(state, release, endpoint):
        suffix = command.release_id.rsplit("-", 1)[1]
        endpoints.delete(
            endpoint,
            names.model_name(environment, command.project, command.version, "prod", suffix),
        )
    return ReleaseConclusion(status=ReleaseStatus.NOT_PROMOTED.value)


def _conclude(command: ConcludeExperiment, *, state: StateStore, clock: Clock, ids: Ids) -> None:
    release = running(state, command.project, command.release_id)
    route = route_of(state, command.project)
    left = release["shifts"][-1]["route_version"] if release["shifts"] else None
    moved = route is not None and route.release_id == command.release_id
    if left is not None and (not moved or route is None or route.route_version != left):
        raise ReleaseEndedError(f"the route of {command.project} was changed by somebody else")
    stable = release["stable_version"]
    if route is None or stable is None:
        raise ReleaseEndedError(f"{command.project} has no version to go back to")
    cause = Cause(command.project, command.correlation_id, command.causation_id)
    locks, started = handing_over(state, command.project, command.release_id, cause, clock, ids)
    experiment, ended = ending(state, release, ReleaseStatus.NOT_PROMOTED.value, cause, clock, ids)
    told = ReleaseNotPromoted(
        release_id=command.release_id,
        version=command.version,
        stable_version=stable,
        verdict=command.verdict,
        reason=command.reason,
    )
    at = clock.now()
    shift = shift_back(route, release, cause, at, clock=clock, ids=ids)
    over = Update(
        Table.RELEASES,
        {"project": command.project, "release_id": command.release_id},
        set={
            "status": ReleaseStatus.NOT_PROMOTED.value,
            "ended_at": at.isoformat(timespec="milliseconds"),
            "cause": f"{command.verdict}: {command.reason}",
            "shifts": release["shifts"] if shift is None else shift.noted,
        },
        expect=(Equals("status", ReleaseStatus.RUNNING.value), Equals("restored_at", None)),
    )
    back, events = ([], []) if shift is None else ([shift.write], [shift.told])
    state.commit(
        [*locks, *back, *experiment, over],
        [*events, event(told, cause, clock, ids), *ended, *started],
    )
