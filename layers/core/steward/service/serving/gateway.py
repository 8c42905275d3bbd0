"""Use case: answer one request through the route of its project."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from steward.domain.errors import (
    DependencyError,
    MalformedEventError,
    ProjectNotFoundError,
)
from steward.domain.exposures import Exposure, SeenEntities, hashed_entity
from steward.domain.names import PROJECT_PATTERN
from steward.domain.routes import Route
from steward.ports import Clock, Endpoints, FeatureReader, Ids, MirrorQueue, StateStore, Table
from steward.service.serving.asking import Asking, Attempt
from steward.service.serving.assignments import Assignments
from steward.service.serving.completion import FeatureCompletion
from steward.service.serving.mirroring import Mirroring
from steward.service.serving.telemetry import Telemetry

ROUTE_CACHE_S = 0.25
"""How long a route is believed: with the route write itself, the time of a rollback."""

MAX_BODY_BYTES = 128 * 1024
_PATH = re.compile(rf"^/({PROJECT_PATTERN[1:-1]})/?$")


@dataclass(frozen=True)
class Prediction:
    """What the caller gets.

    Attributes:
        prediction: The container's answer for the one instance.
        version: The version that answered.
        inference_id: What outcomes are joined by.
        fallback: The assigned version failed and the stable one answered.
    """

    prediction: dict[str, Any]
    version: int
    inference_id: str
    fallback: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the answer's body."""
        return {
            "prediction": self.prediction,
            "version": self.version,
            "inference_id": self.inference_id,
            "fallback": self.fallback,
        }


def project_in_path(path: str) -> str:
    """Return the project of ``/<project>``.

    Raises:
        ProjectNotFoundError: The path names none.
    """
    match = _PATH.match(path)
    if match is None:
        raise ProjectNotFoundError(
            f"nothing is served at {path!r}", field="path", value=path, allowed="/<project>"
        )
    return match[1]


class Gateway:
    """Answers requests; keeps routes and seen entities between the requests of a process.

    Args:
        features: Reads what a request does not give.
        assignments: Returns the store that keeps arms; called where a route wants that.
        mirror: Takes copies of requests.
        timer: Seconds of a monotonic clock.
    """

    def __init__(
        self,
        *,
        state: StateStore,
        endpoints: Endpoints,
        features: FeatureReader,
        assignments: Callable[[], StateStore],
        mirror: MirrorQueue,
        telemetry: Telemetry,
        clock: Clock,
        ids: Ids,
        timer: Callable[[], float],
    ) -> None:
        self._state = state
        self._telemetry = telemetry
        self._clock = clock
        self._ids = ids
        self._timer = timer
        self._routes: dict[str, tuple[float, Route]] = {}
        self._seen = SeenEntities()
        completion = FeatureCompletion(features, telemetry, clock, timer)
        self._asking = Asking(endpoints, completion, timer)
        self._assignments = Assignments(assignments, telemetry, clock)
        self._mirroring = Mirroring(mirror, telemetry, clock)

    def answer(self, project: str, body: bytes) -> Prediction:
        """Answer ``{"entity_id": ..., "features": {...}}``.

        Features that a request does not give are read online, as the answering version's views
        have pinned them. A candidate that fails, is late or is throttled, or whose features
        cannot be read, counts an error against itself, and the stable version answers, with its
        own views. What nobody could answer is captured too. Input that a container refuses is
        the caller's fault and counts against nobody.

        Raises:
            RejectedError: The body or a feature is wrong; ``field`` names it.
            ProjectNotFoundError: There is no such project.
            DependencyError: Nothing is released yet, or the stable version does not answer
                either, or has no features to answer with.
        """
        entity_id, features = _parse(body)
        route = self._route(project)
        assignment = self._assignments.of(route, entity_id)
        assigned = self._asking.ask(project, assignment.arm, entity_id, features)
        answering = assigned
        if assigned.failed and assignment.arm.role == "candidate":
            answering = self._asking.ask(project, route.stable, entity_id, features)
            self._count(route, answering)
        if answering.refused:
            self._count(route, assigned, first=False)
            assert answering.error is not None
            raise answering.error
        entity = hashed_entity(project, entity_id)
        step = f"{route.release_id}/{assignment.step_id}"
        first = self._seen.first(project, step, entity)
        self._count(route, assigned, first=first)
        inference_id = self._ids.new()
        copied = self._mirroring.copied(route, assignment.arm, entity_id, features, inference_id)
        now = self._clock.now()
        exposure = Exposure(
            project=project,
            route_version=route.route_version,
            step_id=assignment.step_id,
            assignment_probability=assignment.probability,
            assigned_version=assigned.asked.version,
            assigned_role=assigned.asked.role,
            answering_version=answering.asked.version,
            fallback=answering is not assigned,
            entity=entity,
            first_exposure=first,
            shadow_pair_id=inference_id if copied else None,
            inference_id=inference_id,
            time=now.isoformat(timespec="milliseconds"),
            features=answering.given.features,
            prediction=answering.prediction,
            online=answering.given.online,
            release_id=route.release_id,
            failed=assigned.failed,
            latency_ms=round(assigned.latency_ms, 3),
        )
        self._telemetry.capture(exposure, now)
        if answering.prediction is None:
            assert answering.error is not None
            raise answering.error
        fallback = answering is not assigned
        return Prediction(answering.prediction, answering.asked.version, inference_id, fallback)

    def _count(self, route: Route, attempt: Attempt, *, first: bool = False) -> None:
        metrics = attempt.metrics(route.slow_ms, first=first)
        metrics["Fallbacks"] = int(attempt.failed and attempt.asked.role == "candidate")
        self._telemetry.variant(route.project, attempt.asked.role, self._clock.now(), metrics)

    def _route(self, project: str) -> Route:
        now = self._timer()
        known = self._routes.get(project)
        if known is not None and now - known[0] < ROUTE_CACHE_S:
            return known[1]
        item = self._state.get(Table.ROUTES, {"project": project})
        if item is None:
            self._routes.pop(project, None)
            if self._state.get(Table.PROJECTS, {"project": project}) is None:
                raise ProjectNotFoundError(
                    f"no project {project!r}", field="path", value=project,
                    allowed="a configured project",
                )  # fmt: skip
            raise DependencyError(f"no version of {project!r} is released yet")
        try:
            route = Route.model_validate(item)
        except ValidationError as error:  # nobody but Steward should write routes
            self._routes.pop(project, None)
            problems = [problem["msg"] for problem in error.errors(include_url=False)]
            told = "; ".join(problem.removeprefix("Value error, ") for problem in problems)
            raise DependencyError(f"the route of {project} cannot be used: {told}") from None
        self._routes[project] = (now, route)
        return route


def _parse(body: bytes) -> tuple[str, dict[str, Any]]:
    if len(body) > MAX_BODY_BYTES:
        raise _malformed("body", f"{len(body)} bytes", f"at most {MAX_BODY_BYTES} bytes")
    try:
        told = json.loads(body, parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise _malformed("body", str(error), "JSON") from None
    if not isinstance(told, dict):
        raise _malformed("body", type(told).__name__, "an object with entity_id and features")
    unknown = sorted(set(told) - {"entity_id", "features"})
    if unknown:
        raise _malformed(unknown[0], told[unknown[0]], "entity_id and features only")
    entity_id = told.get("entity_id")
    if not isinstance(entity_id, str) or not 0 < len(entity_id) <= 256 or not _is_text(entity_id):
        raise _malformed("entity_id", entity_id, "a string of 1 to 256 characters")
    features = told.get("features")
    if not isinstance(features, dict):
        raise _malformed("features", features, "an object of feature values by name")
    return entity_id, features


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number that is allowed")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _is_text(text: str) -> bool:
    """Return whether it has no half of a surrogate pair, which UTF-8 has not."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _malformed(field: str, value: object, allowed: str) -> MalformedEventError:
    return MalformedEventError(
        f"{field}: {str(value)[:100]!r} is not allowed", field=field, value=str(value)[:100],
        allowed=allowed,
    )  # fmt: skip
