"""Use case: a verified person waives a rule for a while, or takes a waiver back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from steward.contracts.events import WaiverGranted, WaiverRevoked
from steward.contracts.waivers import GrantWaiver, RevokeWaiver
from steward.domain.digests import digest_of
from steward.domain.errors import ProjectNotFoundError, RunNotFoundError, WaiverNotFoundError
from steward.ports import Absent, Clock, Equals, Ids, Item, Put, StateStore, Table, Update
from steward.service.emission import Cause, event
from steward.service.policy_in_force import (
    WAIVERS,
    person_of,
    pin_policy,
    pinned_policy_of,
    waivers_of,
)
from steward.service.registry.records import need_version


@dataclass(frozen=True)
class Signed:
    """Who asks, as IAM verified it."""

    caller_arn: str
    request_id: str
    person_roles: frozenset[str] = frozenset()


def grant_waiver(
    command: GrantWaiver,
    signed: Signed,
    *,
    state: StateStore,
    clock: Clock,
    ids: Ids,
) -> dict[str, Any]:
    """Record a waiver with its event, granted by the verified caller.

    The id follows from the request, so that a request that comes twice grants once.

    Raises:
        NotAuthorizedError: The caller proves no person, or is an author.
        InvalidWaiverError: The rule, the time or the scope is not possible.
        ProjectNotFoundError: No such project is configured.
        RunNotFoundError: The project has no such run.
        VersionNotFoundError: The project has no such version.
    """
    from steward.domain.policy.waivers import Asked, check_waivable, expiry, waiver_digest
    from steward.domain.project import parse_project  # large: paid when somebody waives

    identity = person_of(signed.caller_arn, signed.person_roles)
    configured = state.get(Table.PROJECTS, {"project": command.project})
    if configured is None:
        raise ProjectNotFoundError(
            f"no project {command.project!r} is configured", field="project",
            value=command.project, allowed="a project added with `steward project add`",
        )  # fmt: skip
    asked = Asked(
        rule=command.rule, reason=command.reason, lifetime_s=command.lifetime_s,
        run_id=command.run_id, version=command.version,
    )  # fmt: skip
    scoped = _scope(command, state)
    project = parse_project(configured["config"])
    policy = pinned_policy_of(scoped, project) if scoped else pin_policy(state, project)
    authors = {str(item.get("author")) for item in (configured, scoped) if item}
    check_waivable(asked, policy.requirements.waivers, identity, authors)
    waiver_id = digest_of({"request": signed.request_id, "by": identity, "rule": command.rule})[:12]
    known = _find(state, command.project, waiver_id)
    if known is not None:
        return _view(known, clock)
    now = clock.now()
    item: Item = {
        "project": command.project, "waiver_id": waiver_id, "rule": command.rule,
        "reason": command.reason, "run_id": command.run_id, "version": command.version,
        "granted_by": identity, "principal_arn": signed.caller_arn,
        "granted_at": now.isoformat(timespec="milliseconds"),
        "expires_at": expiry(now, command.lifetime_s),
    }  # fmt: skip
    item["digest"] = waiver_digest(item)
    granted = WaiverGranted(
        waiver_id=waiver_id, rule=command.rule, reason=command.reason, by=identity,
        expires_at=item["expires_at"], digest=item["digest"], run_id=command.run_id,
        version=command.version,
    )  # fmt: skip
    cause = Cause(command.project, command.run_id or waiver_id, signed.request_id, identity)
    put = Put(Table.VERSIONS, {**item, "item": f"{WAIVERS}{waiver_id}"}, (Absent(),))
    state.commit([put], [event(granted, cause, clock, ids)])
    return _view(item, clock)


def revoke_waiver(
    command: RevokeWaiver,
    signed: Signed,
    *,
    state: StateStore,
    clock: Clock,
    ids: Ids,
) -> dict[str, Any]:
    """End a waiver; candidates that passed by it stay as they were judged.

    Raises:
        NotAuthorizedError: The caller proves no person.
        WaiverNotFoundError: The project has no such waiver.
        ConflictError: It has ended already, or somebody else revoked it meanwhile.
    """
    from steward.domain.policy.waivers import Waiver, check_revocable

    identity = person_of(signed.caller_arn, signed.person_roles)
    item = _find(state, command.project, command.waiver_id)
    if item is None:
        raise WaiverNotFoundError(
            f"{command.project} has no waiver {command.waiver_id!r}", field="waiver_id",
            value=command.waiver_id, allowed="one of `steward governance waivers PROJECT`",
        )  # fmt: skip
    check_revocable(Waiver.model_validate(item), clock.now())
    ended = {
        "revoked_by": identity, "revoked_because": command.reason,
        "revoked_at": clock.now().isoformat(timespec="milliseconds"),
    }  # fmt: skip
    revoked = WaiverRevoked(
        waiver_id=command.waiver_id, rule=item["rule"], reason=command.reason, by=identity
    )
    change = Update(
        Table.VERSIONS,
        {"project": command.project, "item": item["item"]},
        set=ended,
        expect=(Equals("revoked_at", None), Equals("digest", item["digest"])),
    )
    cause = Cause(
        command.project, item.get("run_id") or item["waiver_id"], signed.request_id, identity
    )
    state.commit([change], [event(revoked, cause, clock, ids)])
    return _view({**item, **ended}, clock)


def list_waivers(project: str, *, state: StateStore, clock: Clock) -> list[dict[str, Any]]:
    """Return all waivers of a project with their status now, oldest first."""
    now = clock.now()
    return [
        {**waiver.model_dump(mode="json"), "status": waiver.status(now)}
        for waiver in waivers_of(state, project)
    ]


def _scope(command: GrantWaiver, state: StateStore) -> Item | None:
    if command.version is not None:
        return need_version(state, command.project, command.version)
    if command.run_id is None:
        return None
    run = state.get(Table.RUNS, {"project": command.project, "run_id": command.run_id})
    if run is None or "config" not in run:
        raise RunNotFoundError(
            f"{command.project} has no run {command.run_id!r}", field="run_id",
            value=command.run_id, allowed="one of `steward runs list PROJECT`",
        )  # fmt: skip
    return run


def _find(state: StateStore, project: str, waiver_id: str) -> Item | None:
    return state.get(Table.VERSIONS, {"project": project, "item": f"{WAIVERS}{waiver_id}"})


def _view(item: Item, clock: Clock) -> dict[str, Any]:
    from steward.domain.policy.waivers import Waiver

    waiver = Waiver.model_validate(item)
    return {**waiver.model_dump(mode="json"), "status": waiver.status(clock.now())}
