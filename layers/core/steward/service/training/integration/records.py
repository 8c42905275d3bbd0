"""Records of integrations as they lie in the run table."""

from __future__ import annotations

from typing import Any

from steward.domain.errors import MalformedEventError
from steward.domain.integrations import (
    Attempt,
    IntegrationStatus,
    Newest,
    branch_item,
    integrations_of,
)
from steward.ports import Item, StateStore, Table


def record_of(state: StateStore, project: str, integration_id: str) -> Item:
    """Return an integration's record.

    Raises:
        MalformedEventError: There is none.
    """
    item = state.get(Table.RUNS, {"project": project, "run_id": integration_id})
    if item is None:
        raise MalformedEventError(
            f"project {project} has no integration {integration_id}", field="integration_id",
            value=integration_id, allowed="commit#<commit id>#<attempt>",
        )  # fmt: skip
    return item


def latest_attempt(state: StateStore, project: str, commit_id: str) -> Attempt | None:
    """Return the latest integration of a commit, and whether what it brought is in force."""
    items = state.query(Table.RUNS, project, prefix=integrations_of(commit_id))
    if not items:
        return None
    item = max(items, key=lambda found: int(found["attempt"]))
    configured = state.get(Table.PROJECTS, {"project": project}) or {}
    brought = (item.get("config_digest"), item.get("code_digest"))
    return Attempt(
        item["run_id"], int(item["attempt"]), IntegrationStatus(item["status"]),
        item["trigger"]["event_id"],
        in_force=brought == (configured.get("config_digest"), configured.get("code_digest")),
    )  # fmt: skip


def newest_of(state: StateStore, project: str, branch: str) -> Newest | None:
    """Return the newest integration of a branch."""
    item = state.get(Table.RUNS, {"project": project, "run_id": branch_item(branch)})
    if item is None:
        return None
    return Newest(
        item["latest"], item["commit_id"], item["at"], item.get("previous"), item.get("activated")
    )


def is_over(item: Item) -> bool:
    """Return whether an integration has ended."""
    return bool(item["status"] != IntegrationStatus.RUNNING)


def told(item: Item) -> dict[str, Any]:
    """Return what every event about an integration says of it."""
    names = ("repository", "branch", "commit_id", "author")
    return {"integration_id": item["run_id"], **{name: item[name] for name in names}}
