"""One endpoint with several production variants: what a route asks of it, and what it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from steward.domain import names
from steward.domain.routes import Route

if TYPE_CHECKING:
    from steward.domain.project import Variants

SETTLED = "InService"
MOVING = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack"})
"""Statuses of an endpoint that pass by themselves; updates are refused meanwhile."""

CAPTURED = "captured/"
"""Prefix of SageMaker's own captures in the capture bucket."""

WEIGHT_TOLERANCE = 0.01
"""Percent; SageMaker keeps weights as single-precision numbers."""


@dataclass(frozen=True)
class Fleet:
    """An endpoint as SageMaker describes it.

    Attributes:
        config: Name of the configuration in use.
        capture: ``DataCaptureConfig`` of the configuration.
        variants: Production variants of the configuration by name, each with the weight and
            instance count that it has now.
        shadows: Shadow variants by name.
        failure: Why the last update failed, empty where it did not.
    """

    endpoint: str
    status: str
    config: str
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    shadows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    capture: Mapping[str, Any] | None = None
    failure: str = ""

    @property
    def models(self) -> frozenset[str]:
        """Names of the models that it runs."""
        return frozenset(v["ModelName"] for v in (*self.variants.values(), *self.shadows.values()))

    @property
    def shares(self) -> dict[int, float]:
        """Percent of the requests by version, as the weights are now."""
        weights = {
            version: float(variant["InitialVariantWeight"])
            for name, variant in self.variants.items()
            if (version := names.version_of_variant(name)) is not None
        }
        total = sum(weights.values())
        return {version: 100 * weight / total for version, weight in weights.items() if total}


@dataclass(frozen=True)
class Wanted:
    """What a route asks of the endpoint.

    Attributes:
        shares: Percent by version; 0 for the previous version, which stays warm.
        shadow: Version that answers copies.
        shadow_percent: Of the requests.
    """

    shares: Mapping[int, float]
    shadow: int | None = None
    shadow_percent: float = 0


def wanted(route: Route) -> Wanted:
    """Return the variants of a route.

    A shadow variant allows one production variant: the stable one, so that the previous version
    is not warm meanwhile.
    """
    if route.mirror is not None:
        return Wanted({route.stable.version: 100.0}, route.mirror.version, route.mirror.percent)
    shares = {arm.version: arm.share for arm in route.arms}
    if route.previous is not None:
        shares.setdefault(route.previous.version, 0.0)
    return Wanted(shares)


def joining(route: Route | None, version: int, mirror_percent: float) -> Wanted:
    """Return what the endpoint is at the start of a release: the candidate without traffic.

    Args:
        route: As it is; None for a first version, which gets everything.
        version: The candidate.
        mirror_percent: Of its first step.
    """
    if route is None:
        return Wanted({version: 100.0})
    if mirror_percent:
        return Wanted({route.stable.version: 100.0}, version, mirror_percent)
    known = wanted(route)
    return Wanted({**known.shares, version: known.shares.get(version, 0.0)})


def has_members(fleet: Fleet, want: Wanted) -> bool:
    """Return whether every version that is wanted runs in its part; others may run as well."""
    if want.shadow is None:
        return not fleet.shadows and {*map(names.variant_name, want.shares)} <= {*fleet.variants}
    return has_exactly(fleet, want)


def has_exactly(fleet: Fleet, want: Wanted) -> bool:
    """Return whether the versions that run are those that are wanted."""
    shadows = {} if want.shadow is None else {names.variant_name(want.shadow)}
    production = {*map(names.variant_name, want.shares)}
    return {*fleet.variants} == production and {*fleet.shadows} == {*shadows}


def has_shares(fleet: Fleet, want: Wanted) -> bool:
    """Return whether requests are shared as wanted."""
    versions = {*fleet.shares, *want.shares}
    return all(
        abs(fleet.shares.get(version, 0.0) - want.shares.get(version, 0.0)) <= WEIGHT_TOLERANCE
        for version in versions
    )


def new_variant(version: int, model: str, hosting: Variants) -> dict[str, Any]:
    """Return the variant of a version that has not run on this endpoint."""
    return {
        "VariantName": names.variant_name(version),
        "ModelName": model,
        "InstanceType": hosting.instance_type,
        "InitialInstanceCount": hosting.instance_count,
    }


def configuration(
    name: str,
    want: Wanted,
    members: Mapping[int, Mapping[str, Any]],
    shares: Mapping[int, float],
    capture: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the request of ``CreateEndpointConfig``.

    Weights are percent. What runs keeps the share that it has, so that putting the configuration
    in use changes no share; a version that joins gets none.

    Args:
        name: Of the configuration.
        want: Which versions in which part.
        members: Variant of each version, with type and count of its instances.
        shares: Percent by version as it is now.
        capture: ``DataCaptureConfig``.
    """
    kept = {version: shares.get(version, 0.0) for version in want.shares}
    if not sum(kept.values()):
        kept = dict(want.shares)
    production = [
        {**members[version], "InitialVariantWeight": kept[version]} for version in sorted(kept)
    ]
    request: dict[str, Any] = {"EndpointConfigName": name, "ProductionVariants": production}
    if want.shadow is not None:
        # The part of requests that is copied is the shadow's weight by the production variant's.
        weight = want.shadow_percent / 100 * production[0]["InitialVariantWeight"]
        request["ShadowProductionVariants"] = [
            {**members[want.shadow], "InitialVariantWeight": weight}
        ]
    if capture is not None:
        request["DataCaptureConfig"] = dict(capture)
    return request


def capture_config(capture_bucket: str, percent: int) -> dict[str, Any]:
    """Return the ``DataCaptureConfig``: requests and answers, as text."""
    return {
        "EnableCapture": True,
        "InitialSamplingPercentage": percent,
        "DestinationS3Uri": f"s3://{capture_bucket}/{CAPTURED.rstrip('/')}",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {
            "JsonContentTypes": ["application/json"], "CsvContentTypes": ["text/csv"],
        },
    }  # fmt: skip


def desired_weights(fleet: Fleet, want: Wanted) -> Sequence[Mapping[str, Any]]:
    """Return ``DesiredWeightsAndCapacities`` for every variant that runs."""
    return [
        {"VariantName": name, "DesiredWeight": want.shares.get(version, 0.0) if version else 0.0}
        for name in sorted(fleet.variants)
        for version in [names.version_of_variant(name)]
    ]
