"""Use case: ask the shadow version what the stable one was asked, and keep what it says."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import ValidationError

from steward.contracts.mirror import MirroredRequest
from steward.domain.errors import MalformedEventError, placed
from steward.domain.exposures import Exposure, SeenEntities, hashed_entity
from steward.domain.routes import ServedFeatures
from steward.ports import Clock, Endpoints, FeatureReader
from steward.service.serving.asking import Asking
from steward.service.serving.completion import FeatureCompletion
from steward.service.serving.telemetry import Telemetry

MAX_AGE = timedelta(minutes=10)
"""A copy older than this is left out: what the shadow would say now is another comparison."""

_PAIRS = uuid.UUID("5f3c1f0e-6d0a-5c39-9d3c-0b8f2a3a7a52")


@dataclass(frozen=True)
class Shadow:
    """The version that answers unseen."""

    version: int
    endpoint: str
    served_features: ServedFeatures | None
    role: str = "shadow"


def shadow_inference_id(pair_id: str, version: int) -> str:
    """Return the inference id of a shadow's answer: the same however often a copy arrives."""
    return str(uuid.uuid5(_PAIRS, f"{pair_id}/{version}"))


class ShadowAnswers:
    """Answers copies; nobody gets the answers, they are captured beside those of the gateway.

    Args:
        features: Reads what a request does not give.
        timer: Seconds of a monotonic clock.
    """

    def __init__(
        self,
        *,
        endpoints: Endpoints,
        features: FeatureReader,
        telemetry: Telemetry,
        clock: Clock,
        timer: Callable[[], float],
    ) -> None:
        self._telemetry = telemetry
        self._clock = clock
        self._seen = SeenEntities()
        self._asking = Asking(
            endpoints, FeatureCompletion(features, telemetry, clock, timer), timer
        )

    def answer(self, copy: str) -> bool:
        """Ask the shadow once and capture what came of it, a failure as a failure.

        Input that the shadow refuses is its failure too: the stable version took it. A copy
        that is late is counted and left out.

        Returns:
            Whether the shadow was asked.

        Raises:
            MalformedEventError: It is no copy of a request.
        """
        request = _parsed(copy)
        now = self._clock.now()
        if now - datetime.fromisoformat(request.sent_at) > MAX_AGE:
            self._telemetry.count(request.project, now, {"MirrorExpired": 1})
            return False
        shadow = Shadow(request.version, request.endpoint, request.served_features)
        attempt = self._asking.ask(request.project, shadow, request.entity_id, request.features)
        now = self._clock.now()
        entity = hashed_entity(request.project, request.entity_id)
        step = f"{request.release_id}/{request.step_id}"
        first = self._seen.first(request.project, step, entity)
        exposure = Exposure(
            project=request.project,
            route_version=request.route_version,
            step_id=request.step_id,
            assignment_probability=request.probability,
            assigned_version=request.version,
            assigned_role="shadow",
            answering_version=request.version,
            fallback=False,
            entity=entity,
            first_exposure=first,
            shadow_pair_id=request.inference_id,
            inference_id=shadow_inference_id(request.inference_id, request.version),
            time=now.isoformat(timespec="milliseconds"),
            features=attempt.given.features,
            prediction=attempt.prediction,
            online=attempt.given.online,
            release_id=request.release_id,
            failed=attempt.error is not None,
            latency_ms=round(attempt.latency_ms, 3),
        )
        metrics = attempt.metrics(request.slow_ms, first=first)
        if attempt.refused:
            metrics["VariantErrors"] = 1
            if first:
                metrics["UnitErrors"] = 1
        self._telemetry.variant(request.project, "shadow", now, metrics)
        self._telemetry.capture(exposure, now)
        return True


def _parsed(copy: str) -> MirroredRequest:
    try:
        request = MirroredRequest.model_validate_json(copy)
        if datetime.fromisoformat(request.sent_at).tzinfo is None:
            raise ValueError("sent_at has no time zone")
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"])) or "$"
        raise MalformedEventError(
            f"no copy of a request: {placed(field, first['msg'])}",
            field=field,
            allowed=first["msg"],
        ) from None
    except ValueError as error:
        raise MalformedEventError(
            f"no copy of a request: sent_at: {error}", field="sent_at",
            allowed="ISO 8601 with a time zone",
        ) from None  # fmt: skip
    return request
