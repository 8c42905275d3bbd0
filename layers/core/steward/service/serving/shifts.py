"""A change of who answers: the route is written, the release notes it, and it is told, once.

Steps, completion, rollback and taking traffic back all go through here, so that the record of the
releases, the events and what is drawn from either say the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from steward.contracts.events import Event, TrafficShifted
from steward.domain.releases import restored, shares
from steward.domain.routes import Route
from steward.ports import Absent, Change, Clock, Delete, Equals, Ids, Item, Put, Table
from steward.service.emission import Cause, event


@dataclass(frozen=True)
class Shift:
    """What belongs into one transaction.

    Attributes:
        write: Of the route, on the condition that it is as it was read.
        noted: ``shifts`` of the release from now on.
        told: ``TrafficShifted``.
    """

    write: Change
    noted: list[Item]
    told: Event


def shift_to(
    route: Route,
    before: Route | None,
    release: Item,
    cause: Cause,
    at: datetime,
    *,
    clock: Clock,
    ids: Ids,
) -> Shift:
    """Return the shift to a route.

    Args:
        route: As it will be.
        before: As it was read; None where there was none.
        release: The release that moves it.
        cause: Of the event.
        at: The time of the shift.
        clock: The time of the event.
        ids: Id of the event.
    """
    expect = Absent() if before is None else Equals("route_version", before.route_version)
    write = Put(Table.ROUTES, route.model_dump(mode="json"), (expect,))
    note = _note(route.step_id, shares(route), at, route.route_version)
    return _shift(write, note, release, cause, clock, ids)


def shift_back(
    route: Route | None, release: Item, cause: Cause, at: datetime, *, clock: Clock, ids: Ids
) -> Shift | None:
    """Return what takes the version of a release that ends out of the route.

    A first version has none before it: then nothing answers any more. None where the release
    moves no traffic, or somebody else has taken the route.
    """
    if route is None or route.release_id != release["release_id"]:
        return None
    step_id = f"{release['release_id']}-taken-back"
    back = restored(route, release["version"], step_id)
    if back is not None:
        return shift_to(back, route, release, cause, at, clock=clock, ids=ids)
    if route.stable.version != release["version"]:
        return None
    expect = (Equals("route_version", route.route_version),)
    write = Delete(Table.ROUTES, {"project": route.project}, expect)
    note = _note(step_id, {}, at, route.route_version + 1)
    return _shift(write, note, release, cause, clock, ids)


def _shift(write: Change, note: Item, release: Item, cause: Cause, clock: Clock, ids: Ids) -> Shift:
    told = TrafficShifted(
        release_id=release["release_id"], step_id=note["step_id"],
        route_version=note["route_version"], shares=note["shares"], shifted_at=note["at"],
    )  # fmt: skip
    return Shift(write, [*release["shifts"], note], event(told, cause, clock, ids))


def _note(step_id: str, answering: dict[str, float], at: datetime, route_version: int) -> Item:
    return {
        "step_id": step_id, "shares": answering,
        "at": at.isoformat(timespec="milliseconds"), "route_version": route_version,
    }  # fmt: skip
