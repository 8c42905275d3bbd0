"""Our own events, version 1: the envelope and each payload by detail-type.

JSON Schemas in ``events/schemas`` are generated from these models; a drifted schema fails
the checks. There are many of them and a function knows few: a module is read when one of its
names is first asked for, and cold starts stay short (PEP 562).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from steward.contracts.events.envelope import (
    MAX_EVENT_BYTES,
    SCHEMA_VERSION,
    Event,
    Meta,
    Payload,
    Told,
)

if TYPE_CHECKING:
    from steward.contracts.events.audit import *  # noqa: F403
    from steward.contracts.events.data import *  # noqa: F403
    from steward.contracts.events.governance import *  # noqa: F403
    from steward.contracts.events.monitoring import *  # noqa: F403
    from steward.contracts.events.registry import *  # noqa: F403
    from steward.contracts.events.serving import *  # noqa: F403
    from steward.contracts.events.training import *  # noqa: F403

__all__ = [
    "MAX_EVENT_BYTES", "PAYLOADS", "SCHEMA_VERSION", "Event", "Meta", "Payload", "Told",
    "parse_payload",
]  # fmt: skip

_PAYLOADS = {
    "audit": (
        "LedgerTampered", "LedgerBroken", "ChangeUnmatched",
    ),
    "data": (
        "DeliveryReceived", "DatasetAccepted", "DatasetRejected", "DeliveryDeleted",
        "BatchDeleted", "DatasetBuilt", "FeatureGroupVersioned", "FeatureGroupRetired",
        "FeaturesMaterialised", "FeatureMaterialisationFailed", "FeatureRecordReceived",
    ),
    "governance": (
        "WaiverGranted", "WaiverRevoked", "PolicyDeployed", "RunCostRecorded",
        "LineageEventWritten",
    ),
    "monitoring": (
        "WindowJudged", "DriftDetected", "PerformanceDegraded", "BiasDrifted", "DataStale",
        "AlarmCleared", "RetrainingRequested", "RetrainingSuppressed", "WatchFailed",
    ),
    "registry": (
        "VersionRegistered", "ApprovalRequested", "VersionApproved", "VersionRejected",
        "ApprovalReminder", "ApprovalExpired", "ApprovalBypassed", "VersionPromoted",
        "VersionStateChanged", "VersionAliased", "VersionDescribed", "VersionOffered",
        "OfferAnswered", "VersionExported", "PromotionRefused", "VersionImported",
        "ReviewDue", "ReviewRecorded",
    ),
    "serving": (
        "VersionStaged", "StagingFailed", "ReleaseStarted", "ReleaseQueued",
        "TrafficShifted", "ReleaseCompleted", "ReleaseRolledBack", "ReleaseFailed",
        "ReleaseNotPromoted", "ReleaseRequested", "ExperimentStarted", "VerdictReached",
        "ExperimentEnded", "RollbackRequested", "RollbackFailed", "TickFailed",
        "ScheduleRepaired", "RouteDrifted", "RouteRepaired", "RouteRepairFailed",
        "EndpointIdle", "ReapingRequested", "EndpointReaped", "ProjectRemoved",
        "OutcomesRecorded", "OutcomeObserved", "BatchScoringRequested", "BatchScored",
        "BatchScoringFailed",
    ),
    "training": (
        "ProjectConfigured", "TrainingRequested", "CommitReceived", "CommitIntegrated",
        "IntegrationFailed", "IntegrationSuperseded", "TrainingStarted", "StepReused",
        "TrainingResumed", "TrainingQueued", "TrainingSuppressed", "CandidateEvaluated",
        "CandidateHeld", "TrainingSucceeded", "TrainingFailed",
    ),
}  # fmt: skip
"""Payloads by the module, and emitting domain, that has them."""
_OTHERS = {
    "CommitSource": "training",
    "IdleEndpoint": "serving",
    "NAMED_DELIVERIES": "data",
    "RuleViolation": "data",
}
"""What else the modules have: parts of payloads and limits."""
_MODULES = {name: module for module, names in _PAYLOADS.items() for name in names}


def __getattr__(name: str) -> Any:
    """Read the module of a payload when it is first asked for."""
    module = _MODULES.get(name) or _OTHERS.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = found
    return found


class _Payloads(Mapping[str, type[Payload]]):
    """All payloads by detail-type, each read when it is asked for."""

    def __getitem__(self, detail_type: str) -> type[Payload]:
        if detail_type not in _MODULES:
            raise KeyError(detail_type)
        found: type[Payload] = __getattr__(detail_type)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)

    def __contains__(self, detail_type: object) -> bool:
        return detail_type in _MODULES


PAYLOADS: Mapping[str, type[Payload]] = _Payloads()


def parse_payload(detail_type: str, data: object) -> Payload:
    """Return the typed payload of a detail-type.

    Raises:
        KeyError: The detail-type is none of ours.
        pydantic.ValidationError: ``data`` does not fit it.
    """
    return PAYLOADS[detail_type].model_validate(data)
