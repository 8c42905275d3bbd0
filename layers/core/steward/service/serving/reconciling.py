"""Use case: endpoints that routes name are compared with what SageMaker describes.

A difference is told once. It is repaired or held, as the project declares; a release whose own
endpoint drifts is rolled back, since what it proves is no longer about its version. A repair is
done when SageMaker describes the endpoint as wanted, and not before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import partial

from steward.contracts.events import Payload, RouteDrifted, RouteRepaired
from steward.contracts.incoming import EndpointStateChange, Received
from steward.domain import names
from steward.domain.endpoint_drift import (
    WORDS,
    Drift,
    FoundEndpoint,
    Moving,
    WantedEndpoint,
    compare,
    found_endpoint,
)
from steward.domain.errors import ConflictError, DependencyError, StewardError, ThrottledError
from steward.domain.routes import Route
from steward.ports import Clock, Equals, Hosting, Ids, Item, StateStore, Table, Update, Workflows
from steward.service.emission import Cause, event
from steward.service.serving.endpoint_records import endpoint_key, record_of, wanted_of
from steward.service.serving.records import project_of, route_of
from steward.service.serving.repairing import CLAIM, repair
from steward.service.serving.rollback import begin_rollback, in_flight

SEEN_EVERY = timedelta(minutes=5)
"""How often it is written down that an endpoint is as wanted."""


@dataclass(frozen=True)
class Look:
    """One endpoint of a route beside what it should be.

    Attributes:
        role: ``stable``, ``candidate``, ``mirror`` or ``previous``.
        record: How it was made and what was found before; None where nothing is recorded.
        found: As SageMaker describes it; None where it is gone.
        result: The difference; None where there is none.
    """

    project: str
    endpoint: str
    version: int
    role: str
    record: Item | None
    wanted: WantedEndpoint
    found: FoundEndpoint | None
    result: Drift | Moving | None


@dataclass
class Swept:
    """What a sweep found and did, endpoints by name."""

    in_order: list[str] = field(default_factory=list)
    moving: list[str] = field(default_factory=list)
    drifted: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    acted: list[str] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """Return what is not empty by name."""
        return {name: found for name, found in asdict(self).items() if found}


@dataclass(frozen=True)
class Reconciler:
    """What a sweep works with.

    Attributes:
        machine: ARN of the machine that rolls back.
        causation_id: Of the schedule's or SageMaker's event.
    """

    state: StateStore
    hosting: Hosting
    workflows: Workflows
    clock: Clock
    ids: Ids
    machine: str
    causation_id: str
    environment: str

    def sweep(self) -> Swept:
        """Look at every project; one that cannot be read stops no other.

        Raises:
            DependencyError: Some project could not be read, for another reason than that
                SageMaker asks to wait, which the next sweep does.
        """
        swept, broken = Swept(), []
        for item in self.state.scan(Table.ROUTES):
            project = str(item["project"])
            try:
                self.look_after(project, swept)
            except ThrottledError as error:
                swept.unread[project] = str(error)
            except StewardError as error:
                swept.unread[project] = str(error)
                broken.append(project)
        if broken:
            told = "; ".join(f"{name}: {swept.unread[name]}" for name in broken)
            raise DependencyError(f"{len(broken)} projects could not be compared: {told}")
        return swept

    def look_after(self, project: str, swept: Swept) -> Swept:
        """Compare the endpoints of one project and act on what is found."""
        release = in_flight(self.state, project)
        for look in looks(
            project,
            environment=self.environment,
            state=self.state,
            hosting=self.hosting,
            now=self.clock.now(),
        ):
            try:
                self._settle(look, release, swept)
            except ConflictError:
                swept.moving.append(look.endpoint)  # another sweep is at it
        return swept

    def _settle(self, look: Look, release: Item | None, swept: Swept) -> None:
        if isinstance(look.result, Moving):
            swept.moving.append(look.endpoint)
        elif look.result is None:
            swept.in_order.append(look.endpoint)
            self._in_order(look, swept)
        elif not self._still_so(look):
            swept.moving.append(look.endpoint)
        else:
            swept.drifted.append(look.endpoint)
            self._drifted(look, look.result, release, swept)

    def _still_so(self, look: Look) -> bool:
        """Tell whether what was wanted is so still, now that SageMaker was read.

        Steward itself writes the route, or the record, before or while it changes an endpoint.
        """
        route = route_of(self.state, look.project)
        named = dict(_named(route)) if route else {}
        record = record_of(self.state, look.project, look.endpoint) or {}
        wanted = (look.record or {}).get("config")
        return (
            named.get(look.endpoint) == (look.version, look.role) and record.get("config") == wanted
        )

    def _in_order(self, look: Look, swept: Swept) -> None:
        record, now = look.record or {}, self.clock.now()
        finding = record.get("finding")
        seen = record.get("in_order_at")
        if finding is None and seen and now - datetime.fromisoformat(seen) < SEEN_EVERY:
            return
        stamp = now.isoformat(timespec="milliseconds")
        events: list[Payload] = []
        if finding is not None:
            by = "steward" if finding["attempts"] else "others"
            events.append(
                RouteRepaired(
                    endpoint=look.endpoint, version=look.version, kind=finding["kind"], by=by,
                    drifted_at=finding["found_at"], repaired_at=stamp,
                )
            )  # fmt: skip
            swept.repaired.append(look.endpoint)
        self._write(look, {"in_order_at": stamp, "finding": None}, finding, *events)

    def _drifted(self, look: Look, drift: Drift, release: Item | None, swept: Swept) -> None:
        finding = (look.record or {}).get("finding")
        action = self._action(look, drift, release)
        going_on = finding is not None and finding["attempts"] and not finding["given_up"]
        if finding is None or (finding["digest"] != drift.digest and not going_on):
            known, finding = finding, self._found(drift, action)
            self._write(look, {"finding": finding}, known, self._telling(look, drift, action))
            swept.told.append(look.endpoint)
        if action == "roll_back":
            assert release is not None
            cause = f"endpoint {look.endpoint} has drifted: {WORDS[drift.kind]}; {drift.found}"
            begin_rollback(
                release, cause[:1000], finding["found_at"], self.causation_id,
                workflows=self.workflows, machine=self.machine,
            )  # fmt: skip
            swept.acted.append(look.endpoint)
        elif action == "repair" and self._may_begin(look, finding):
            repair(
                look, drift, finding, write=partial(self._write, look), hosting=self.hosting,
                now=self.clock.now(),
            )  # fmt: skip
            swept.acted.append(look.endpoint)

    def _action(self, look: Look, drift: Drift, release: Item | None) -> str:
        if look.role in ("candidate", "mirror") and release is not None:
            return "roll_back"
        if not drift.repairable or look.wanted.config is None:
            return "hold"
        return project_of(self.state, look.project).serving.on_drift

    def _may_begin(self, look: Look, finding: Item) -> bool:
        """Tell whether a repair may begin now: nobody is at it, and the endpoint is not going."""
        if finding["given_up"] or (look.found is not None and look.found.status == "Deleting"):
            return False
        claimed = finding.get("claimed_at")
        return not (claimed and self.clock.now() - datetime.fromisoformat(claimed) < CLAIM)

    def _found(self, drift: Drift, action: str) -> Item:
        return {
            "digest": drift.digest, "kind": drift.kind.value, "found": drift.found,
            "action": action, "attempts": 0, "given_up": False, "claimed_at": None,
            "found_at": self.clock.now().isoformat(timespec="milliseconds"),
        }  # fmt: skip

    def _telling(self, look: Look, drift: Drift, action: str) -> RouteDrifted:
        return RouteDrifted(
            endpoint=look.endpoint, version=look.version, role=look.role, kind=drift.kind.value,
            wanted=drift.wanted, found=drift.found, action=action, digest=drift.digest,
            since=drift.since.isoformat(timespec="milliseconds") if drift.since else None,
            last_in_order_at=(look.record or {}).get("in_order_at"),
        )  # fmt: skip

    def _write(self, look: Look, changed: Item, known: Item | None, *told: Payload) -> None:
        """Change an endpoint's record where its finding is still ``known``, and tell."""
        cause = Cause(look.project, f"{look.project}-{look.version}", self.causation_id)
        kept = {name: value for name, value in changed.items() if value is not None}
        update = Update(
            Table.VERSIONS,
            endpoint_key(look.project, look.endpoint),
            set={"endpoint": look.endpoint, "version": look.version, **kept},
            remove=tuple(set(changed) - set(kept)),
            expect=(Equals("finding", known),),
        )
        self.state.commit([update], [event(p, cause, self.clock, self.ids) for p in told])


def reconcile_endpoints(received: Received, reconciler: Reconciler) -> dict[str, object]:
    """Look at the project whose endpoint SageMaker speaks of, or at all at the schedule's time."""
    if isinstance(received.detail, EndpointStateChange):
        project = names.project_of_endpoint(reconciler.environment, received.detail.endpoint_name)
        return reconciler.look_after(project, Swept()).as_dict() if project else {}
    return reconciler.sweep().as_dict()


def looks(
    project: str, *, environment: str, state: StateStore, hosting: Hosting, now: datetime
) -> Iterator[Look]:
    """Yield each endpoint that a project's route names, compared with SageMaker.

    What a release is still creating is left to it.
    """
    route = route_of(state, project)
    if route is None:
        return
    release = in_flight(state, project)
    creating = None
    if release is not None and not release["shifts"]:
        creating = names.endpoint_name(environment, project, int(release["version"]), "prod")
    for endpoint, (version, role) in _named(route):
        if endpoint == creating:
            continue
        record = record_of(state, project, endpoint)
        wanted = wanted_of(endpoint, record)
        if route.router != "gateway":  # its router keeps variants and weights as the route says
            wanted = WantedEndpoint(endpoint)
        found = describe(hosting, endpoint)
        result = compare(wanted, found, now)
        yield Look(project, endpoint, version, role, record, wanted, found, result)


def describe(hosting: Hosting, endpoint: str) -> FoundEndpoint | None:
    """Return an endpoint as SageMaker describes it with its live configuration."""
    described = hosting.describe(endpoint)
    if described is None:
        return None
    return found_endpoint(described, hosting.config(str(described["EndpointConfigName"])))


def _named(route: Route) -> list[tuple[str, tuple[int, str]]]:
    """Return the endpoints of a route with version and role.

    Where versions share one as production variants, it counts as the stable version's.
    """
    named: dict[str, tuple[int, str]] = {}
    for arm in sorted(route.arms, key=lambda arm: arm.role != "stable"):
        named.setdefault(arm.endpoint, (arm.version, arm.role))
    if route.mirror is not None:
        named.setdefault(route.mirror.endpoint, (route.mirror.version, "mirror"))
    if route.previous is not None:
        named.setdefault(route.previous.endpoint, (route.previous.version, "previous"))
    return list(named.items())
