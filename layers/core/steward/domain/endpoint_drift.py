"""What an endpoint should be and what SageMaker describes: their differences, as one finding.

Both sides are read from SageMaker's own shapes: the requests that an endpoint was made with,
and the answers of ``DescribeEndpoint``, ``DescribeEndpointConfig`` and ``DescribeModel``. An
endpoint has any number of variants; a weight that nobody wants to be kept is not compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from steward.domain.digests import digest_of

STUCK_AFTER = timedelta(hours=1)
"""A creation or an update that lasts longer is a finding; instances take minutes."""

MOVING = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack"})
_SERVERLESS = ("MemorySizeInMB", "MaxConcurrency", "ProvisionedConcurrency")
_GROUPS = ("ProductionVariants", "ShadowProductionVariants")


class DriftKind(StrEnum):
    """How an endpoint differs from what is wanted; the first that applies."""

    MISSING = "missing"
    FAILED = "failed"
    OUT_OF_SERVICE = "out_of_service"
    STUCK = "stuck"
    OTHER_CONFIG = "other_config"
    CONFIG_GONE = "config_gone"
    CONFIG_REMADE = "config_remade"
    SETTINGS = "settings"


WORDS: dict[DriftKind, str] = {
    DriftKind.MISSING: "the endpoint is gone",
    DriftKind.FAILED: "SageMaker holds the endpoint as failed",
    DriftKind.OUT_OF_SERVICE: "the endpoint is not in service",
    DriftKind.STUCK: "an update does not come to its end",
    DriftKind.OTHER_CONFIG: "the endpoint was put on another configuration",
    DriftKind.CONFIG_GONE: "the endpoint lives on, but its configuration was deleted",
    DriftKind.CONFIG_REMADE: "its configuration was made anew with other contents",
    DriftKind.SETTINGS: "live settings differ from the configuration",
}

REPAIRABLE = frozenset(DriftKind) - {DriftKind.OUT_OF_SERVICE, DriftKind.STUCK}
"""SageMaker takes no update of what moves, and documents no way back from a mixed rollback."""


@dataclass(frozen=True)
class Variant:
    """One variant of an endpoint, production or shadow.

    Attributes:
        name: Its name.
        model: Name of its model; None where it is not told or not compared.
        weight: Relative to the sum over variants; None where it is not compared.
        settings: What it runs on: serverless settings, or type and number of instances.
        image: Image of its container; None where it is not told.
        shadow: Whether it answers copies alone.
    """

    name: str
    model: str | None = None
    weight: float | None = None
    settings: Mapping[str, int | str] | None = None
    image: str | None = None
    shadow: bool = False


@dataclass(frozen=True)
class WantedEndpoint:
    """What an endpoint should be.

    Attributes:
        endpoint: Its name.
        config: Name of its configuration; None where nothing is recorded of how it was made,
            and then only that it serves is looked at.
        variants: What its configuration holds.
    """

    endpoint: str
    config: str | None = None
    variants: tuple[Variant, ...] = ()


@dataclass(frozen=True)
class FoundEndpoint:
    """What SageMaker describes.

    Attributes:
        status: ``EndpointStatus``.
        config: Name of the live configuration.
        variants: As they run; empty before the endpoint was first in service.
        config_variants: As the configuration of that name says; None where it was deleted.
        changed_at: ``LastModifiedTime``.
        reason: ``FailureReason``.
    """

    status: str
    config: str
    variants: tuple[Variant, ...]
    config_variants: tuple[Variant, ...] | None
    changed_at: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Drift:
    """One difference between an endpoint and what is wanted.

    Attributes:
        wanted: In words.
        found: In words.
        since: When it began, where SageMaker tells.
        digest: The same for the same difference, whenever it is looked at.
    """

    kind: DriftKind
    wanted: str
    found: str
    digest: str
    since: datetime | None = None

    @property
    def repairable(self) -> bool:
        """Whether SageMaker takes what would put it right."""
        return self.kind in REPAIRABLE


@dataclass(frozen=True)
class Moving:
    """The endpoint is being made or changed: it is looked at once that is over."""

    status: str


def wanted_endpoint(
    endpoint: str,
    config: Mapping[str, Any] | None,
    models: Sequence[Mapping[str, Any]] = (),
    weights: Mapping[str, float] | None = None,
) -> WantedEndpoint:
    """Return what an endpoint should be by the requests that it was made with.

    Args:
        endpoint: Its name.
        config: Request of ``CreateEndpointConfig``; None where none is recorded.
        models: Requests of ``CreateModel``.
        weights: Wanted weight by variant; without it weights are not compared.
    """
    if config is None:
        return WantedEndpoint(endpoint)
    images = {str(model["ModelName"]): _image_of(model) for model in models}
    variants = tuple(
        Variant(
            name=v.name, model=v.model, settings=v.settings, shadow=v.shadow,
            image=images.get(v.model or ""), weight=(weights or {}).get(v.name),
        )
        for v in config_variants(config)
    )  # fmt: skip
    return WantedEndpoint(endpoint, str(config["EndpointConfigName"]), variants)


def config_variants(config: Mapping[str, Any]) -> tuple[Variant, ...]:
    """Return the variants of a configuration, as requested or as described."""
    return tuple(
        Variant(
            name=str(told["VariantName"]), model=told.get("ModelName"),
            settings=_declared_settings(told), shadow=group != _GROUPS[0],
        )
        for group in _GROUPS
        for told in config.get(group) or ()
    )  # fmt: skip


def found_endpoint(described: Mapping[str, Any], config: Mapping[str, Any] | None) -> FoundEndpoint:
    """Return what SageMaker describes, typed.

    Args:
        described: Answer of ``DescribeEndpoint``.
        config: Answer of ``DescribeEndpointConfig`` of the live configuration; None where it
            is gone.
    """
    changed = described.get("LastModifiedTime")
    return FoundEndpoint(
        status=str(described["EndpointStatus"]),
        config=str(described.get("EndpointConfigName") or ""),
        variants=tuple(
            _live_variant(told, shadow=group != _GROUPS[0])
            for group in _GROUPS
            for told in described.get(group) or ()
        ),
        config_variants=config_variants(config) if config is not None else None,
        changed_at=changed.astimezone(UTC) if isinstance(changed, datetime) else None,
        reason=described.get("FailureReason") or None,
    )


def compare(
    wanted: WantedEndpoint, found: FoundEndpoint | None, now: datetime
) -> Drift | Moving | None:
    """Return how an endpoint differs from what is wanted, None where it does not.

    An endpoint that moves is left alone for ``STUCK_AFTER``. What differs in status is told
    before what differs in configuration, and the configuration before live settings.
    """
    if found is None:
        return _drift(wanted, DriftKind.MISSING, "there is no such endpoint")
    resting = found.changed_at is not None and now - found.changed_at >= STUCK_AFTER
    if found.status in MOVING and not resting:
        return Moving(found.status)
    told = _status(found) or _configuration(wanted, found)
    return _drift(wanted, *told, since=found.changed_at) if told else None


def _status(found: FoundEndpoint) -> tuple[DriftKind, str] | None:
    if found.status == "InService":
        return None
    kinds = dict.fromkeys(MOVING, DriftKind.STUCK)
    kinds |= {"Deleting": DriftKind.MISSING, "Failed": DriftKind.FAILED}
    reason = f": {found.reason}" if found.reason else ""
    return kinds.get(found.status, DriftKind.OUT_OF_SERVICE), f"it is {found.status}{reason}"


def _configuration(wanted: WantedEndpoint, found: FoundEndpoint) -> tuple[DriftKind, str] | None:
    if wanted.config is None:
        return None
    if found.config != wanted.config:
        reason = f": {found.reason}" if found.reason else ""
        return DriftKind.OTHER_CONFIG, f"configuration {found.config}{reason}"
    if found.config_variants is None:
        return DriftKind.CONFIG_GONE, f"it lives on {found.config}, which was deleted"
    if remade := differences(wanted.variants, found.config_variants):
        return DriftKind.CONFIG_REMADE, "; ".join(remade)
    live = differences(wanted.variants, found.variants)
    return (DriftKind.SETTINGS, "; ".join(live)) if live else None


def differences(wanted: Sequence[Variant], found: Sequence[Variant]) -> list[str]:
    """Return in which respects variants differ, in words; what is not told is not compared."""
    there = {variant.name: variant for variant in found}
    told = [
        f"variant {name} is not wanted" for name in sorted(set(there) - {v.name for v in wanted})
    ]
    for variant in wanted:
        other = there.get(variant.name)
        if other is None:
            told.append(f"variant {variant.name} is not there")
            continue
        told += [f"variant {variant.name}: {text}" for text in _unlike(variant, other)]
    return told + _unlike_weights(wanted, there)


def _unlike(wanted: Variant, found: Variant) -> list[str]:
    told = []
    if wanted.shadow != found.shadow:
        told.append("it answers copies alone" if found.shadow else "it answers requests")
    for what, one, other in (
        ("model", wanted.model, found.model), ("image", wanted.image, found.image),
    ):  # fmt: skip
        if one is not None and other is not None and one != other:
            told.append(f"{what} {other}, not {one}")
    if wanted.settings is not None and found.settings is not None:
        for name in sorted({*wanted.settings, *found.settings}):
            one_s, other_s = wanted.settings.get(name), found.settings.get(name)
            if one_s != other_s:
                told.append(f"{name} {other_s}, not {one_s}")
    return told


def _unlike_weights(wanted: Sequence[Variant], found: Mapping[str, Variant]) -> list[str]:
    kept = [v for v in wanted if v.weight is not None and not v.shadow]
    here = [found[v.name].weight for v in kept if v.name in found]
    if len(here) != len(kept) or any(weight is None for weight in here):
        return []
    total, there = sum(v.weight or 0 for v in kept), sum(weight or 0 for weight in here)
    if not total or not there:
        return [] if total == there else ["no variant has a weight"]
    return [
        f"variant {variant.name}: {100 * (weight or 0) / there:g} % of requests, "
        f"not {100 * (variant.weight or 0) / total:g} %"
        for variant, weight in zip(kept, here, strict=True)
        if abs((weight or 0) / there - (variant.weight or 0) / total) > 1e-6
    ]


def _drift(
    wanted: WantedEndpoint, kind: DriftKind, found: str, *, since: datetime | None = None
) -> Drift:
    told = f"configuration {wanted.config}, in service" if wanted.config else "in service"
    same = "" if kind is DriftKind.MISSING else found
    return Drift(kind, told, found, digest_of([wanted.endpoint, kind.value, told, same]), since)


def _live_variant(told: Mapping[str, Any], *, shadow: bool) -> Variant:
    images = told.get("DeployedImages") or [{}]
    serverless = told.get("CurrentServerlessConfig")
    settings: dict[str, int | str] | None = None  # instances scale by themselves
    if serverless:
        settings = {name: serverless[name] for name in _SERVERLESS if serverless.get(name)}
    return Variant(
        name=str(told["VariantName"]), weight=told.get("CurrentWeight"), settings=settings,
        image=images[0].get("SpecifiedImage"), shadow=shadow,
    )  # fmt: skip


def _declared_settings(told: Mapping[str, Any]) -> dict[str, int | str]:
    serverless = told.get("ServerlessConfig")
    if serverless:
        return {name: int(serverless[name]) for name in _SERVERLESS if serverless.get(name)}
    count = told.get("InitialInstanceCount", 1)
    return {"InstanceType": str(told.get("InstanceType", "")), "InitialInstanceCount": int(count)}


def _image_of(model: Mapping[str, Any]) -> str | None:
    container = model.get("PrimaryContainer") or (model.get("Containers") or [{}])[0]
    image: str | None = container.get("Image")
    return image
