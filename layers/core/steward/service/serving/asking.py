"""Asking one version for one prediction: within its time, with its own features."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from steward.domain.errors import DependencyError, RejectedError, StewardError
from steward.ports import Endpoints
from steward.service.serving.completion import Completed, FeatureCompletion, Serving

CANDIDATE_TIMEOUT_S = 2.5
STABLE_TIMEOUT_S = 12.0
"""One attempt each; both, with the reads of features, stay below the gateway's timeout.

A shadow has a candidate's time, so that what it would have been is measured.
"""


@dataclass(frozen=True)
class Attempt:
    """What came of asking one version.

    Attributes:
        given: The features that its model got; a request's own where they were not completed.
        prediction: None unless it answered.
        error: Why it did not.
        latency_ms: What it took, failed or not.
    """

    asked: Serving
    given: Completed
    prediction: dict[str, Any] | None
    error: StewardError | None
    latency_ms: float

    @property
    def refused(self) -> bool:
        """Whether the request is at fault, and not the version."""
        return isinstance(self.error, RejectedError)

    @property
    def failed(self) -> bool:
        """Whether the version is at fault."""
        return self.error is not None and not self.refused

    def metrics(self, slow_ms: int | None, *, first: bool) -> dict[str, float]:
        """Return what is counted of it, before any fallback.

        Args:
            slow_ms: An answer above this is slow.
            first: Whether it is the entity's first exposure in the step, so that the entity
                counts as a unit, once.
        """
        errors = int(self.failed)
        slow = int(slow_ms is not None and self.latency_ms > slow_ms)
        units = {"Units": 1, "UnitErrors": errors, "UnitSlow": slow} if first else {}
        return {
            "Requests": 1,
            "VariantErrors": errors,
            "VariantSlow": slow,
            "VariantLatency": round(self.latency_ms, 3),
            "Rejections": int(self.refused),
            **units,
        }


class Asking:
    """Asks versions, and times them.

    Args:
        timer: Seconds of a monotonic clock.
    """

    def __init__(
        self, endpoints: Endpoints, completion: FeatureCompletion, timer: Callable[[], float]
    ) -> None:
        self._endpoints = endpoints
        self._completion = completion
        self._timer = timer

    def ask(
        self, project: str, version: Serving, entity_id: str, features: dict[str, Any]
    ) -> Attempt:
        """Ask once; what fails or is refused is an attempt too."""
        begun = self._timer()
        given = Completed(features)
        prediction: dict[str, Any] | None = None
        error: StewardError | None = None
        try:
            given = self._completion.complete(project, version, entity_id, features)
            body = json.dumps({"instances": [given.features]}, separators=(",", ":"))
            timeout_s = STABLE_TIMEOUT_S if version.role == "stable" else CANDIDATE_TIMEOUT_S
            answer = self._endpoints.invoke(
                version.endpoint, body.encode(), content_type="application/json",
                accept="application/json", timeout_s=timeout_s,
            )  # fmt: skip
            prediction = _prediction(answer.body, version)
        except StewardError as raised:
            error = raised
        taken_ms = (self._timer() - begun) * 1000
        return Attempt(version, given, prediction, error, taken_ms)


def _prediction(body: bytes, version: Serving) -> dict[str, Any]:
    """Return the one prediction of an answer; anything else is the version's fault."""
    try:
        (prediction,) = json.loads(body)["predictions"]
        if "value" in prediction:
            found = prediction["value"]
            if not isinstance(found, bool) and math.isfinite(found):
                return dict(prediction)
            raise DependencyError(f"version {version.version} answered no finite number")
        if math.isfinite(prediction["probability"]) and 0 <= prediction["probability"] <= 1:
            return dict(prediction)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise DependencyError(
            f"version {version.version} answered no prediction: {type(error).__name__}: {error}"
        ) from None
    raise DependencyError(f"version {version.version} answered no probability")
