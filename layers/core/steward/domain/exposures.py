"""Exposures: what is captured of one answered request, and how entities are pseudonymised."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any


def hashed_entity(project: str, entity_id: str) -> str:
    """Return the pseudonym of an entity within a project: the same in exposures and outcomes.

    SHA-256 of ``project:entity id``. It keeps ids out of the capture; ids that can be guessed
    can be recognised by who knows the project's name.
    """
    return hashlib.sha256(f"{project}:{entity_id}".encode()).hexdigest()


@dataclass(frozen=True)
class Exposure:
    """One request that was answered, with what its analysis needs.

    Attributes:
        assignment_probability: Chance that an entity is assigned this variant at this step.
        assigned_version: Version that the entity belongs to; analysis goes by this one.
        assigned_role: ``stable``, ``candidate``, or ``shadow`` for the unseen answer to a copy.
        answering_version: Version whose answer was given; differs after a fallback.
        first_exposure: Whether this execution environment of the gateway had not seen the
            entity in this step before. Environments do not share memory, so several may say
            so; the analysis takes the earliest time.
        shadow_pair_id: Joins an answer with that of a shadow version: the inference id of the
            answer, in both.
        time: ISO 8601 with milliseconds.
        features: What the model was given: of the request, and read online.
        prediction: None where nobody answered.
        online: What was read online, with the records by pseudonym; None where nothing was.
        release_id: Release that the route belongs to.
        failed: Whether the assigned version failed, before any fallback.
        latency_ms: What the assigned version took, failed or not.
    """

    project: str
    route_version: int
    step_id: str
    assignment_probability: float
    assigned_version: int
    assigned_role: str
    answering_version: int
    fallback: bool
    entity: str
    first_exposure: bool
    shadow_pair_id: str | None
    inference_id: str
    time: str
    features: dict[str, Any]
    prediction: dict[str, Any] | None
    online: dict[str, Any] | None = None
    release_id: str | None = None
    failed: bool = False
    latency_ms: float = 0.0


class SeenEntities:
    """The entities seen last, at most ``capacity`` of them."""

    def __init__(self, capacity: int = 50_000) -> None:
        self._capacity = capacity
        self._seen: OrderedDict[tuple[str, str, str], None] = OrderedDict()

    def first(self, project: str, step_id: str, entity: str) -> bool:
        """Return whether an entity is new in a step, and remember it."""
        key = (project, step_id, entity)
        if key in self._seen:
            self._seen.move_to_end(key)
            return False
        self._seen[key] = None
        if len(self._seen) > self._capacity:
            self._seen.popitem(last=False)
        return True
