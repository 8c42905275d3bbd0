"""Use case: answer one request through the route of its project."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from steward.domain.errors import (
    DependencyError,
    MalformedEventError,
    ProjectNotFoundError,
    RejectedError,
    StewardError,
)
from steward.domain.exposures import Exposure, SeenEntities, hashed_entity
from steward.domain.names import PROJECT_PATTERN
from steward.domain.routes import Arm, Route, assign
from steward.ports import Clock, Endpoints, FeatureReader, Ids, StateStore, Table
from steward.service.serving.completion import Completed, FeatureCompletion
from steward.service.serving.telemetry import Telemetry

ROUTE_CACHE_S = 0.25
"""How long a route is believed: with the route write itself, the time of a rollback."""

CANDIDATE_TIMEOUT_S = 2.5
STABLE_TIMEOUT_S = 12.0
"""One attempt each; both, with the reads of features, stay below the function's timeout."""

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
        timer: Seconds of a monotonic clock.
    """

    def __init__(
        self,
        *,
        state: StateStore,
        endpoints: Endpoints,
        features: FeatureReader,
        telemetry: Telemetry,
        clock: Clock,
        ids: Ids,
        timer: Callable[[], float],
    ) -> None:
        self._state = state
        self._endpoints = endpoints
        self._telemetry = telemetry
        self._clock = clock
        self._ids = ids
        self._timer = timer
        self._routes: dict[str, tuple[float, Route]] = {}
        self._seen = SeenEntities()
        self._completion = FeatureCompletion(features, telemetry, clock, timer)

    def answer(self, project: str, body: bytes) -> Prediction:
        """Answer ``{"entity_id": ..., "features": {...}}``.

        Features that a request does not give are read online, as the answering version's views
        have pinned them. A candidate that fails, is late or is throttled, or whose features
        cannot be read, counts an error against itself, and the stable version answers, with its
        own views. Input that a container refuses is the caller's fault and counts against
        nobody.

        Raises:
            RejectedError: The body or a feature is wrong; ``field`` names it.
            ProjectNotFoundError: There is no such project.
            DependencyError: Nothing is released yet, or the stable version does not answer
                either, or has no features to answer with.
        """
        entity_id, features = _parse(body)
        route = self._route(project)
        assigned = assign(route, entity_id)
        answering, fallback = assigned, False
        try:
            prediction, given = self._ask(route, assigned, entity_id, features)
        except RejectedError:
            raise
        except StewardError:
            if assigned.role == "stable":
                raise
            answering, fallback = route.stable, True
            prediction, given = self._ask(route, route.stable, entity_id, features)
        inference_id = self._ids.new()
        now = self._clock.now()
        entity = hashed_entity(project, entity_id)
        exposure = Exposure(
            project=project,
            route_version=route.route_version,
            step_id=route.step_id,
            assignment_probability=assigned.share / 100,
            assigned_version=assigned.version,
            assigned_role=assigned.role,
            answering_version=answering.version,
            fallback=fallback,
            entity=entity,
            first_exposure=self._seen.first(project, route.step_id, entity),
            shadow_pair_id=None,
            inference_id=inference_id,
            time=now.isoformat(timespec="milliseconds"),
            features=given.features,
            prediction=prediction,
            online=given.online,
            release_id=route.release_id,
        )
        self._telemetry.capture(exposure, now)
        return Prediction(prediction, answering.version, inference_id, fallback)

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
        route = Route.model_validate(item)
        self._routes[project] = (now, route)
        return route

    def _ask(
        self, route: Route, arm: Arm, entity_id: str, features: dict[str, Any]
    ) -> tuple[dict[str, Any], Completed]:
        begun = self._timer()
        failed, refused = False, False
        timeout_s = CANDIDATE_TIMEOUT_S if arm.role == "candidate" else STABLE_TIMEOUT_S
        try:
            given = self._completion.complete(route.project, arm, entity_id, features)
            body = json.dumps({"instances": [given.features]}, separators=(",", ":"))
            answer = self._endpoints.invoke(
                arm.endpoint, body.encode(), content_type="application/json",
                accept="application/json", timeout_s=timeout_s,
            )  # fmt: skip
            return _prediction(answer.body, arm), given
        except RejectedError:
            refused = True
            raise
        except StewardError:
            failed = True
            raise
        finally:
            taken_ms = (self._timer() - begun) * 1000
            self._count(route, arm, taken_ms, failed=failed, refused=refused)

    def _count(
        self, route: Route, arm: Arm, taken_ms: float, *, failed: bool, refused: bool
    ) -> None:
        now: datetime = self._clock.now()
        slow = route.slow_ms is not None and taken_ms > route.slow_ms
        metrics = {
            "Requests": 1,
            "VariantErrors": int(failed),
            "VariantSlow": int(slow),
            "VariantLatency": round(taken_ms, 3),
            "Rejections": int(refused),
            "Fallbacks": int(failed and arm.role == "candidate"),
        }
        self._telemetry.variant(route.project, arm.role, now, metrics)


def _parse(body: bytes) -> tuple[str, dict[str, Any]]:
    if len(body) > MAX_BODY_BYTES:
        raise _malformed("body", f"{len(body)} bytes", f"at most {MAX_BODY_BYTES} bytes")
    try:
        told = json.loads(body, parse_constant=_no_constant)
    except ValueError as error:
        raise _malformed("body", str(error), "JSON") from None
    if not isinstance(told, dict):
        raise _malformed("body", type(told).__name__, "an object with entity_id and features")
    unknown = sorted(set(told) - {"entity_id", "features"})
    if unknown:
        raise _malformed(unknown[0], told[unknown[0]], "entity_id and features only")
    entity_id = told.get("entity_id")
    if not isinstance(entity_id, str) or not 0 < len(entity_id) <= 256:
        raise _malformed("entity_id", entity_id, "a string of 1 to 256 characters")
    features = told.get("features")
    if not isinstance(features, dict):
        raise _malformed("features", features, "an object of feature values by name")
    return entity_id, features


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _malformed(field: str, value: object, allowed: str) -> MalformedEventError:
    return MalformedEventError(
        f"{field}: {str(value)[:100]!r} is not allowed", field=field, value=str(value)[:100],
        allowed=allowed,
    )  # fmt: skip


def _prediction(body: bytes, arm: Arm) -> dict[str, Any]:
    """Return the one prediction of an answer; anything else is the variant's fault."""
    try:
        (prediction,) = json.loads(body)["predictions"]
        if math.isfinite(prediction["probability"]) and 0 <= prediction["probability"] <= 1:
            return dict(prediction)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DependencyError(
            f"version {arm.version} answered no prediction: {type(error).__name__}: {error}"
        ) from None
    raise DependencyError(f"version {arm.version} answered no probability")
