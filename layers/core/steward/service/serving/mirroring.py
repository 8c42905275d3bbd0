"""Copies of what the stable version is asked, sent to the shadow after the answer is known."""

from __future__ import annotations

import json
from typing import Any

from steward.contracts.mirror import MirroredRequest
from steward.domain.errors import StewardError
from steward.domain.routes import Arm, Route, mirrors
from steward.ports import Clock, MirrorQueue
from steward.service.serving.telemetry import Telemetry


class Mirroring:
    """Copies requests; a copy that cannot be sent is counted, and nothing else comes of it."""

    def __init__(self, queue: MirrorQueue, telemetry: Telemetry, clock: Clock) -> None:
        self._queue = queue
        self._telemetry = telemetry
        self._clock = clock

    def copied(
        self, route: Route, arm: Arm, entity_id: str, features: dict[str, Any], inference_id: str
    ) -> bool:
        """Copy a request of a mirrored entity, and return whether that was done.

        Requests that the stable version fails on are copied too: whether the shadow answers
        them is part of the comparison.
        """
        mirror = route.mirror
        if mirror is None or arm.role != "stable" or not mirrors(route, entity_id):
            return False
        now = self._clock.now()
        copy = MirroredRequest(
            project=route.project,
            route_version=route.route_version,
            step_id=route.step_id,
            release_id=route.release_id,
            version=mirror.version,
            endpoint=mirror.endpoint,
            served_features=mirror.served_features,
            slow_ms=route.slow_ms,
            probability=arm.share / 100 * mirror.percent / 100,
            entity_id=entity_id,
            features=features,
            inference_id=inference_id,
            sent_at=now.isoformat(timespec="milliseconds"),
        )
        try:
            self._queue.send(json.dumps(copy.model_dump(), separators=(",", ":")))
        except StewardError:
            self._telemetry.count(route.project, now, {"MirrorFailures": 1})
            return False
        return True
