"""What a request does not give is read online, as the answering version's views pin it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from steward.contracts.steps.features import EntityRead, FeaturesRead, ReadFeatures
from steward.domain.errors import DependencyError, RejectedError, StewardError
from steward.domain.exposures import hashed_entity
from steward.domain.routes import ServedFeatures
from steward.ports import Clock, FeatureReader
from steward.service.serving.telemetry import Telemetry

CANDIDATE_READ_S = 2.5
STABLE_READ_S = 8.0
"""One attempt each: enough for a cold start of the reading function, for the stable version, whom
nobody answers for, also for several at once."""


class Serving(Protocol):
    """A version that can be asked: an arm of a route, or its shadow."""

    @property
    def version(self) -> int:
        """Number of the version."""
        ...

    @property
    def endpoint(self) -> str:
        """Its endpoint."""
        ...

    @property
    def role(self) -> str:
        """``stable``, ``candidate`` or ``shadow``."""
        ...

    @property
    def served_features(self) -> ServedFeatures | None:
        """What it takes from the feature store."""
        ...


@dataclass(frozen=True)
class Completed:
    """The features that the model gets.

    Attributes:
        online: What was read, for the exposure; None where the request gave everything.
    """

    features: dict[str, Any]
    online: dict[str, Any] | None = None


class FeatureCompletion:
    """Adds served features to a request's own, which win, null among them.

    Args:
        timer: Seconds of a monotonic clock.
    """

    def __init__(
        self,
        reader: FeatureReader,
        telemetry: Telemetry,
        clock: Clock,
        timer: Callable[[], float],
    ) -> None:
        self._reader = reader
        self._telemetry = telemetry
        self._clock = clock
        self._timer = timer

    def complete(
        self, project: str, arm: Serving, entity_id: str, given: dict[str, Any]
    ) -> Completed:
        """Return the features for one version; a request that gives all is not read for.

        Each read is counted with its time, and a failed one as a failure. A value is never
        guessed: what cannot be read fails the version.

        Raises:
            RejectedError: The request lacks a key or an input of a view, or it is wrong.
            DependencyError: The features could not be read in time.
        """
        served = arm.served_features
        missing = [name for name in served.columns if name not in given] if served else []
        if served is None or not missing:
            return Completed(given)
        command = ReadFeatures(
            project=project, version=arm.version,
            entities=[{**given, served.entity_id: entity_id}],
        )  # fmt: skip
        reading = self._read(project, arm, command)
        entity = _only(reading, missing)
        read = {name: entity.values[name] for name in missing}
        return Completed({**given, **read}, _online(project, reading.read_at, missing, entity))

    def _read(self, project: str, arm: Serving, command: ReadFeatures) -> FeaturesRead:
        begun, failed = self._timer(), False
        timeout_s = STABLE_READ_S if arm.role == "stable" else CANDIDATE_READ_S
        try:
            return self._reader.read(command, timeout_s=timeout_s)
        except RejectedError:
            raise
        except StewardError:
            failed = True
            raise
        finally:
            metrics = {
                "FeatureReads": 1,
                "FeatureReadFailures": int(failed),
                "FeatureReadLatency": round((self._timer() - begun) * 1000, 3),
            }
            self._telemetry.variant(project, arm.role, self._clock.now(), metrics)


def _only(reading: FeaturesRead, wanted: list[str]) -> EntityRead:
    if len(reading.entities) != 1:
        raise DependencyError(f"features of {len(reading.entities)} entities were read, not of one")
    absent = [name for name in wanted if name not in reading.entities[0].values]
    if absent:
        raise DependencyError(f"no value was read for {', '.join(absent)}")
    return reading.entities[0]


def _online(project: str, read_at: str, served: list[str], entity: EntityRead) -> dict[str, Any]:
    return {
        "read_at": read_at,
        "served": served,
        "records": [
            {
                "group": record.group,
                "version": record.version,
                "entity": None if record.entity is None else hashed_entity(project, record.entity),
                "event_time": record.event_time,
                "known_at": record.known_at,
                "expired": record.expired,
            }
            for record in entity.records
        ],
    }
