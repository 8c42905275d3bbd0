"""The requests that put a version beside others on a project's one endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from steward.contracts.steps.serving import EndpointPlan
from steward.domain import names
from steward.domain.errors import DependencyError, EndpointFailedError
from steward.domain.production_variants import (
    MOVING,
    SETTLED,
    Fleet,
    Wanted,
    capture_config,
    configuration,
    joining,
    new_variant,
)
from steward.service.serving.hosting import model_request

if TYPE_CHECKING:
    from steward.domain.project import Serving
    from steward.domain.routes import Route
    from steward.ports import Endpoints, Item, VariantFleets


def variants_plan(
    version: Item,
    suffix: str,
    serving: Serving,
    route: Route | None,
    mirror_percent: float,
    *,
    environment: str,
    endpoints: Endpoints,
    fleets: VariantFleets,
    role_arn: str,
    capture_bucket: str,
) -> EndpointPlan:
    """Return what SageMaker has to create and update for a version to join, without traffic.

    What runs keeps its instances and its share; only the candidate gets what is declared now.

    Args:
        version: Registry record.
        suffix: Number of the release of the version.
        serving: As declared.
        route: As it is.
        mirror_percent: Of the first step: the candidate joins as a shadow variant.
        environment: Part of every name.
        endpoints: Where a dead endpoint is removed.
        fleets: Where the endpoint is described.
        role_arn: Of the inference containers.
        capture_bucket: Where SageMaker captures.

    Raises:
        EvidenceIncompleteError: The registry record lacks the artifact or the image.
        EndpointFailedError: The endpoint that serves is gone or broken.
        DependencyError: A dead endpoint of that name is still being removed.
    """
    assert serving.variants is not None
    project, number = str(version["project"]), int(version["version"])
    endpoint = names.variants_endpoint(environment, project)
    fleet = fleets.fleet(endpoint)
    _check_alive(fleet, endpoint, route, endpoints)
    model = names.model_name(environment, project, number, "prod", suffix)
    name = names.variants_config(environment, project, f"{number}-{suffix}")
    want = joining(route, number, mirror_percent)
    members = _members(fleet, want)
    members[number] = new_variant(number, model, serving.variants)
    present = {v: share for v, share in want.shares.items() if v in members}
    return EndpointPlan(
        endpoint=endpoint,
        router="endpoint_variants",
        create=fleet is None or fleet.config != name,
        update=fleet is not None,
        model=model_request(version, model, role_arn),
        config=configuration(
            name,
            Wanted(present, want.shadow, want.shadow_percent),
            members,
            fleet.shares if fleet else {},
            capture_config(capture_bucket, serving.variants.capture_percent),
        ),
        request={"EndpointName": endpoint, "EndpointConfigName": name},
    )


def _members(fleet: Fleet | None, want: Wanted) -> dict[int, Mapping[str, Any]]:
    """Return the variants that stay, without their weights."""
    running = {**fleet.shadows, **fleet.variants} if fleet else {}
    members: dict[int, Mapping[str, Any]] = {}
    for version in want.shares:
        variant = running.get(names.variant_name(version))
        if variant is not None:
            members[version] = {k: v for k, v in variant.items() if k != "InitialVariantWeight"}
    return members


def _check_alive(
    fleet: Fleet | None, endpoint: str, route: Route | None, endpoints: Endpoints
) -> None:
    status = fleet.status if fleet else "gone"
    if route is None:
        if fleet is not None and status not in {SETTLED, *MOVING}:
            endpoints.delete(endpoint)
            raise DependencyError(f"endpoint {endpoint} is {status} and must be gone first")
        return
    stable = names.variant_name(route.stable.version)
    if fleet is None or status not in {SETTLED, *MOVING} or stable not in fleet.variants:
        reason = f": {fleet.failure}" if fleet and fleet.failure else ""
        raise EndpointFailedError(
            f"endpoint {endpoint}, on which version {route.stable.version} should answer, is "
            f"{status}{reason}",
            field="endpoint", value=endpoint, allowed="an endpoint with the stable version",
        )  # fmt: skip
