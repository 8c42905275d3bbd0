"""Which version answers whom: the route of a project and sticky assignment by entity."""

from __future__ import annotations

import hashlib
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from steward.domain.errors import RejectedError

Role = Literal["stable", "candidate"]


class ServedFeatures(BaseModel):
    """What a version takes from the online feature store where a request does not give it.

    Attributes:
        entity_id: Column of the primary table that a request's ``entity_id`` is.
        columns: Columns of the model that come from feature views.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    entity_id: str
    columns: list[str] = Field(min_length=1)


class Arm(BaseModel):
    """One version that answers, with its share of entities in percent."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    version: int = Field(ge=1)
    endpoint: str
    role: Role
    share: float = Field(ge=0, le=100)
    served_features: ServedFeatures | None = None


class Mirror(BaseModel):
    """A version that answers copies of requests, unseen.

    Attributes:
        percent: Share of the requests that are copied, by entity.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    version: int = Field(ge=1)
    endpoint: str
    percent: float = Field(gt=0, le=100)
    served_features: ServedFeatures | None = None


class Route(BaseModel):
    """The route item of a project; ``route_version`` guards every write.

    Attributes:
        slow_ms: An answer above this counts as slow in the guardrail's metric.
        mirror: Who answers copies of what the stable version is asked.
        assignment: ``hash``: an entity's arm follows from its position and the shares, which is
            sticky while the candidate's share only grows. ``stored``: its first arm is kept in
            a table, as shares go up and down (bandit).
        router: Who shares the traffic.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    project: str
    route_version: int = Field(ge=1)
    step_id: str
    release_id: str | None = None
    salt: str
    arms: list[Arm] = Field(min_length=1, max_length=2)
    previous: Arm | None = None
    slow_ms: int | None = None
    mirror: Mirror | None = None
    assignment: Literal["hash", "stored"] = "hash"
    router: Literal["gateway", "endpoint_variants"] = "gateway"

    @model_validator(mode="after")
    def _sums_to_all(self) -> Self:
        total = sum(arm.share for arm in self.arms)
        if abs(total - 100) > 1e-9:
            raise ValueError(f"shares sum to {total}, not 100")
        if [arm.role for arm in self.arms].count("stable") != 1:
            raise ValueError("exactly one arm is stable")
        return self

    @property
    def stable(self) -> Arm:
        """The arm that answers when another fails."""
        return next(arm for arm in self.arms if arm.role == "stable")

    @property
    def candidate(self) -> Arm | None:
        """The arm under release, if any."""
        return next((arm for arm in self.arms if arm.role == "candidate"), None)


def position(salt: str, entity_id: str) -> float:
    """Return the place of an entity in [0, 100), uniform and the same for good.

    The first 52 bits of SHA-256 of ``salt:entity_id``, scaled.
    """
    digest = hashlib.sha256(f"{salt}:{entity_id}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 12) / 2**52 * 100


def assign(route: Route, entity_id: str) -> Arm:
    """Return the arm of an entity.

    The candidate takes the positions below its share, so an entity that has seen the
    candidate stays with it while the share grows.

    Raises:
        RejectedError: ``entity_id`` is empty.
    """
    if not entity_id:
        raise RejectedError(
            "entity_id is empty", field="entity_id", value=entity_id, allowed="a non-empty string"
        )
    candidate = route.candidate
    if candidate is not None and position(route.salt, entity_id) < candidate.share:
        return candidate
    return route.stable


def mirrors(route: Route, entity_id: str) -> bool:
    """Return whether a stable entity's requests are copied to the shadow.

    The place is drawn apart from that of the assignment: who is mirrored is a fair sample of
    whoever the stable version answers.
    """
    mirror = route.mirror
    return mirror is not None and position(f"{route.salt}/mirror", entity_id) < mirror.percent
