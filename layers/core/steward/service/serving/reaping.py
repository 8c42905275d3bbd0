"""Use case: endpoints that cost and do nothing are told once and, by policy, cost nothing more.

Whatever is removed or changed is looked at once more while the release lock is held, so that no
release begins with an endpoint that is going.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from steward.contracts.events import (
    EndpointIdle,
    EndpointReaped,
    IdleEndpoint,
    Payload,
    ReapingRequested,
)
from steward.contracts.incoming import Received
from steward.domain.errors import ConflictError, DependencyError, StewardError, ThrottledError
from steward.domain.idle_endpoints import Idle, Policy, performs
from steward.domain.names import remade
from steward.domain.prices import HOSTING_US_EAST_1
from steward.ports import (
    Change,
    Clock,
    Delete,
    EndpointMetrics,
    Endpoints,
    Equals,
    Hosting,
    Ids,
    Item,
    StateStore,
    Table,
    Update,
    Workflows,
)
from steward.service.emission import Cause, event
from steward.service.serving.endpoint_records import endpoint_key
from steward.service.serving.holding import hand_back_abandoned, no_release_begins
from steward.service.serving.idling import Survey, survey
from steward.service.serving.records import project_of

if TYPE_CHECKING:
    from steward.domain.project import Idle as Declared

TOLD_AT_ONCE = 50
PRICES = HOSTING_US_EAST_1.label()
_MINUTE = timedelta(minutes=1)


@dataclass
class Reaped:
    """What a sweep found and did, endpoints by name."""

    idle: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    scaled_to_zero: list[str] = field(default_factory=list)
    scaled_back: list[str] = field(default_factory=list)
    busy: list[str] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """Return what is not empty by name."""
        return {name: found for name, found in asdict(self).items() if found}


@dataclass(frozen=True)
class Reaper:
    """What a sweep works with.

    Attributes:
        machine: ARN of the machine that releases, for what waited meanwhile.
        role_arn: Role of this stack's endpoints.
        causation_id: Of the schedule's event, or the person's command.
        actor: Who has it done.
    """

    state: StateStore
    hosting: Hosting
    endpoints: Endpoints
    metrics: EndpointMetrics
    workflows: Workflows
    clock: Clock
    ids: Ids
    machine: str
    role_arn: str
    causation_id: str
    environment: str
    actor: str = "steward"

    def sweep(self) -> Reaped:
        """Look at every project; one that cannot be read stops no other.

        Raises:
            DependencyError: Some project could not be read, for another reason than that AWS
                asks to wait, which the next sweep does.
        """
        reaped, broken = Reaped(), []
        for item in self.state.scan(Table.PROJECTS):
            project = str(item["project"])
            try:
                hand_back_abandoned(
                    self._cause(project), state=self.state, workflows=self.workflows,
                    clock=self.clock, ids=self.ids, machine=self.machine,
                )  # fmt: skip
                self.look_after(project, reaped)
            except ThrottledError as error:
                reaped.unread[project] = str(error)
            except StewardError as error:
                reaped.unread[project] = str(error)
                broken.append(project)
        if broken:
            told = "; ".join(f"{name}: {reaped.unread[name]}" for name in broken)
            raise DependencyError(f"endpoints of {len(broken)} projects were not read: {told}")
        return reaped

    def look_after(
        self, project: str, reaped: Reaped, asked: Collection[str] | None = None
    ) -> Reaped:
        """Tell what is new of one project's endpoints, and do what its policy says.

        Args:
            project: The project.
            reaped: What is added to.
            asked: Endpoints that a person wants to be done with, whatever the policy says; only
                these are touched then.
        """
        declared = project_of(self.state, project).serving.idle
        seen = self.survey(project, declared)
        self._finish(project, seen, reaped)
        self._scale_back(project, seen, reaped)
        chosen: Policy = declared.policy if asked is None else "delete"
        reaped.idle += [found.endpoint for found in seen.found]
        for performed in (True, False):
            new = [
                found for found in seen.found
                if performs(declared.policy, found) is performed
                and not seen.records.get(found.endpoint, {}).get("idle")
            ]  # fmt: skip
            for at in range(0, len(new), TOLD_AT_ONCE):
                self._tell(project, new[at : at + TOLD_AT_ONCE], reaped, performed=performed)
        for found in seen.found:
            if performs(chosen, found) and (asked is None or found.endpoint in asked):
                self._perform(project, declared, found, reaped)
        return reaped

    def survey(self, project: str, declared: Declared) -> Survey:
        """Return what of a project's endpoints could go or cost less."""
        return survey(
            project, declared, environment=self.environment, state=self.state,
            hosting=self.hosting, metrics=self.metrics, role_arn=self.role_arn,
            now=self.clock.now(),
        )  # fmt: skip

    def _tell(self, project: str, new: Sequence[Idle], reaped: Reaped, *, performed: bool) -> None:
        now = self._stamp()
        told = EndpointIdle(
            endpoints=[
                IdleEndpoint(
                    endpoint=found.endpoint, kind=found.kind, reason=found.reason,
                    action=found.action, dollars_month=found.dollars_month,
                    since=found.since.isoformat(timespec="seconds"),
                )
                for found in new
            ],
            dollars_month=round(sum(found.dollars_month or 0 for found in new), 2),
            performed=performed, prices=PRICES,
        )  # fmt: skip
        changes: list[Change] = [
            Update(
                Table.VERSIONS, endpoint_key(project, found.endpoint),
                set={
                    "endpoint": found.endpoint,
                    "idle": {"kind": found.kind, "told_at": now, "dollars": found.dollars_month,
                             "reason": found.reason, "reaping": False},
                },
                expect=(Equals("idle", None),),
            )
            for found in new
        ]  # fmt: skip
        try:
            self._commit(project, changes, told)
            reaped.told += [found.endpoint for found in new]
        except ConflictError:
            reaped.busy += [found.endpoint for found in new]  # another sweep tells it

    def _perform(self, project: str, declared: Declared, found: Idle, reaped: Reaped) -> None:
        """Do what saves the money, if that is still right once no release can begin."""
        held = partial(
            no_release_begins, state=self.state, workflows=self.workflows, clock=self.clock,
            ids=self.ids, machine=self.machine,
        )  # fmt: skip
        with held(self._cause(project)) as free:
            seen = self.survey(project, declared) if free else None
            found_now = seen.found if seen else ()
            still = next((f for f in found_now if f.endpoint == found.endpoint), None)
            record = seen.records.get(found.endpoint) if seen else None
            if still is None or still.action != found.action or record is None:
                reaped.busy.append(found.endpoint)
                return
            try:
                if found.action == "delete":
                    self._delete(project, record, reaped)
                else:
                    self._scale_to_zero(project, record, still, reaped)
            except (ConflictError, DependencyError):
                reaped.busy.append(found.endpoint)  # it moves, or another sweep is at it

    def _delete(self, project: str, record: Item, reaped: Reaped) -> None:
        """Delete an orphan; that it was begun is written first, so that its end is told."""
        known, endpoint = record["idle"], str(record["endpoint"])
        begun = {**known, "reaping": True}
        update = Update(
            Table.VERSIONS, endpoint_key(project, endpoint), set={"idle": begun},
            expect=(Equals("idle", known),),
        )  # fmt: skip
        self.state.commit([update])
        self.endpoints.delete(endpoint)
        self._deleted(project, {**record, "idle": begun}, reaped)

    def _deleted(self, project: str, record: Item, reaped: Reaped) -> None:
        found = record["idle"]
        told = EndpointReaped(
            endpoint=record["endpoint"], action="deleted", reason=found["reason"],
            dollars_month=found["dollars"], prices=PRICES,
        )  # fmt: skip
        gone = Delete(
            Table.VERSIONS, endpoint_key(project, record["endpoint"]), (Equals("idle", found),)
        )
        self._commit(project, [gone], told)
        reaped.deleted.append(str(record["endpoint"]))

    def _scale_to_zero(self, project: str, record: Item, found: Idle, reaped: Reaped) -> None:
        """End provisioned concurrency; the update is asked for before it is written down.

        The endpoint moves meanwhile, so that nobody takes the difference for a drift.
        """
        config = record.get("config")
        if config is None:  # of unknown making
            reaped.busy.append(found.endpoint)
            return
        base = str(config["EndpointConfigName"])
        less = {
            **config,
            "EndpointConfigName": remade(base, "z", int(self.clock.now().timestamp())),
            "ProductionVariants": [_without_provisioned(v) for v in config["ProductionVariants"]],
        }
        self.hosting.ensure([], less)
        self.hosting.update(found.endpoint, less["EndpointConfigName"])
        told = EndpointReaped(
            endpoint=found.endpoint, action="scaled_to_zero", reason=found.reason,
            dollars_month=found.dollars_month, prices=PRICES,
        )  # fmt: skip
        changed = {"config": less, "full_config": config, "scaled_at": self._stamp()}
        self._change(project, record, changed, told)
        reaped.scaled_to_zero.append(found.endpoint)

    def _scale_back(self, project: str, seen: Survey, reaped: Reaped) -> None:
        """Give provisioned concurrency back to what is asked again."""
        for endpoint, record in seen.records.items():
            full, now = record.get("full_config"), self.clock.now()
            if full is None or endpoint not in seen.listed:
                continue
            since = datetime.fromisoformat(record["scaled_at"]) + _MINUTE
            variants = [str(v["VariantName"]) for v in full["ProductionVariants"]]
            if since >= now or not self.metrics.invocations(endpoint, variants, since, now):
                continue
            try:
                self.hosting.ensure([], full)
                self.hosting.update(endpoint, str(full["EndpointConfigName"]))
                told = EndpointReaped(
                    endpoint=endpoint, action="scaled_back", reason="requests come again",
                    dollars_month=-float((record.get("idle") or {}).get("dollars") or 0),
                    prices=PRICES,
                )  # fmt: skip
                self._change(project, record, {"config": full}, told,
                             ("full_config", "scaled_at", "idle"))  # fmt: skip
                reaped.scaled_back.append(endpoint)
            except (ConflictError, DependencyError):
                reaped.busy.append(endpoint)

    def _finish(self, project: str, seen: Survey, reaped: Reaped) -> None:
        """Tell what a sweep that died had deleted, and forget what is idle no more."""
        still = {found.endpoint for found in seen.found}
        for endpoint, record in list(seen.records.items()):
            found = record.get("idle")
            if not found or endpoint in still or record.get("full_config"):
                continue
            try:
                if found["reaping"] and endpoint not in seen.listed:
                    self._deleted(project, record, reaped)
                elif not found["reaping"]:
                    self._change(project, record, {}, None, ("idle",))
            except ConflictError:
                continue

    def _change(
        self,
        project: str,
        record: Item,
        changed: Item,
        told: Payload | None,
        removed: tuple[str, ...] = (),
    ) -> None:
        same = tuple(Equals(name, record.get(name)) for name in ("idle", "config"))
        key = endpoint_key(project, str(record["endpoint"]))
        update = Update(Table.VERSIONS, key, set=changed, remove=removed, expect=same)
        self._commit(project, [update], *([told] if told else []))

    def _commit(self, project: str, changes: Sequence[Change], *told: Payload) -> None:
        cause = self._cause(project)
        self.state.commit(changes, [event(p, cause, self.clock, self.ids) for p in told])

    def _cause(self, project: str) -> Cause:
        return Cause(project, f"{project}-endpoints", self.causation_id, self.actor)

    def _stamp(self) -> str:
        return self.clock.now().isoformat(timespec="milliseconds")


def reap_endpoints(received: Received, reaper: Reaper) -> dict[str, object]:
    """Look at the project that a person asks for, or at all at the schedule's time."""
    if isinstance(received.detail, ReapingRequested):
        asked = frozenset(received.detail.endpoints)
        return reaper.look_after(received.own.project, Reaped(), asked).as_dict()
    return reaper.sweep().as_dict()


def _without_provisioned(variant: dict[str, Any]) -> dict[str, Any]:
    serverless = {
        name: value
        for name, value in variant["ServerlessConfig"].items()
        if name != "ProvisionedConcurrency"
    }
    return {**variant, "ServerlessConfig": serverless}
