"""How production endpoints were made, and what was found of them: an item each in the registry."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from steward.ports import Item, Put, StateStore, Table

if TYPE_CHECKING:
    from steward.contracts.steps.serving import EndpointPlan
    from steward.domain.endpoint_drift import WantedEndpoint

PREFIX = "endpoint#"


def endpoint_key(project: str, endpoint: str) -> dict[str, str]:
    """Return the key of an endpoint's record, beside the versions of its project."""
    return {"project": project, "item": f"{PREFIX}{endpoint}"}


def made(project: str, version: int, plan: EndpointPlan, release: Item, now: datetime) -> Put:
    """Return what records an endpoint that a release is about to make.

    Whoever finds the endpoint changed or gone makes it again from these requests.
    """
    return Put(
        Table.VERSIONS,
        {
            **endpoint_key(project, plan.endpoint),
            "endpoint": plan.endpoint,
            "version": version,
            "release_id": release["release_id"],
            "models": [plan.model],
            "config": plan.config,
            "request": plan.request,
            "made_at": now.isoformat(timespec="milliseconds"),
        },
    )


def record_of(state: StateStore, project: str, endpoint: str) -> Item | None:
    """Return how an endpoint was made, None where that was never recorded."""
    return state.get(Table.VERSIONS, endpoint_key(project, endpoint))


def wanted_of(endpoint: str, record: Item | None) -> WantedEndpoint:
    """Return what an endpoint should be by its record."""
    from steward.domain.endpoint_drift import WantedEndpoint, wanted_endpoint

    if record is None:
        return WantedEndpoint(endpoint)
    return wanted_endpoint(endpoint, record.get("config"), record.get("models") or ())
