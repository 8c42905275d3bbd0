"""Which arm an entity belongs to, and by which chance: by its position, or as it was kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from steward.domain.errors import ConflictError, StewardError
from steward.domain.exposures import hashed_entity
from steward.domain.routes import Arm, Route, assign
from steward.ports import Absent, Clock, Equals, Item, Put, StateStore, Table
from steward.service.serving.telemetry import Telemetry

RETENTION = timedelta(days=120)
"""How long an assignment is kept: the longest experiment (90 days), and a month."""


@dataclass(frozen=True)
class Assignment:
    """An entity's arm with what its analysis needs.

    Attributes:
        step_id: Step at which the arm was drawn.
        probability: Chance of the arm at that step.
    """

    arm: Arm
    step_id: str
    probability: float


class Assignments:
    """Assigns entities; remembers the last ones whose arm is kept.

    Args:
        state: Returns the table of assignments, tried once and within a short time.
        capacity: How many kept assignments this process remembers.
    """

    def __init__(
        self,
        state: Callable[[], StateStore],
        telemetry: Telemetry,
        clock: Clock,
        capacity: int = 50_000,
    ) -> None:
        self._state = state
        self._telemetry = telemetry
        self._clock = clock
        self._capacity = capacity
        self._known: OrderedDict[tuple[str, str, str], Item] = OrderedDict()

    def of(self, route: Route, entity_id: str) -> Assignment:
        """Return the assignment of an entity.

        Where the route keeps assignments, the first one of a release stays whatever the shares
        become: read, or drawn by the current shares and written unless another process was
        first. What cannot be read or written is drawn by the position alone and counted.
        """
        drawn = assign(route, entity_id)
        now = Assignment(drawn, route.step_id, drawn.share / 100)
        if route.assignment != "stored" or route.candidate is None or route.release_id is None:
            return now
        entity = hashed_entity(route.project, entity_id)
        key = (route.project, route.release_id, entity)
        kept = self._known.get(key)
        if kept is None:
            try:
                kept = self._kept(route, route.release_id, entity, now)
            except StewardError:
                at = self._clock.now()
                self._telemetry.count(route.project, at, {"AssignmentFailures": 1})
                return now
            self._known[key] = kept
            if len(self._known) > self._capacity:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        return _assignment(route, kept) or now

    def _kept(self, route: Route, release_id: str, entity: str, now: Assignment) -> Item:
        key = {"project": route.project, "entity": entity}
        state = self._state()
        found = state.get(Table.ASSIGNMENTS, key)
        if found is not None and found["release_id"] == release_id:
            return found
        item: dict[str, Any] = {
            **key,
            "release_id": release_id,
            "version": now.arm.version,
            "role": now.arm.role,
            "step_id": now.step_id,
            "probability": now.probability,
            "expires_at": int((self._clock.now() + RETENTION).timestamp()),
        }
        expected = Absent() if found is None else Equals("release_id", found["release_id"])
        try:
            state.commit([Put(Table.ASSIGNMENTS, item, expect=(expected,))])
            return item
        except ConflictError:
            won = state.get(Table.ASSIGNMENTS, key)
        if won is None or won["release_id"] != release_id:
            raise ConflictError(f"the assignment of {entity[:12]} is being written")
        return won


def _assignment(route: Route, kept: Item) -> Assignment | None:
    arm = next((arm for arm in route.arms if arm.version == kept["version"]), None)
    if arm is None:
        return None
    return Assignment(arm, str(kept["step_id"]), float(kept["probability"]))
