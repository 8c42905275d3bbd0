"""Reading versions from the state store."""

from __future__ import annotations

from steward.domain.approvals import Ballot
from steward.domain.errors import VersionNotFoundError
from steward.domain.versions import version_item
from steward.ports import Item, StateStore, Table


def version_key(project: str, version: int) -> dict[str, str]:
    """Return the key of a version's item."""
    return {"project": project, "item": version_item(version)}


def find_version(state: StateStore, project: str, version: int) -> Item | None:
    """Return a version's item, or None."""
    return state.get(Table.VERSIONS, version_key(project, version))


def need_version(state: StateStore, project: str, version: int) -> Item:
    """Return a version's item.

    Raises:
        VersionNotFoundError: The project has no such version.
    """
    item = find_version(state, project, version)
    if item is None:
        raise VersionNotFoundError(
            f"project {project!r} has no version {version}", field="version", value=version,
            allowed="a registered version: `steward versions list PROJECT`",
        )  # fmt: skip
    return item


def versions_of(state: StateStore, project: str) -> list[Item]:
    """Return the items of all versions of a project, oldest first."""
    return state.query(Table.VERSIONS, project, prefix="version#")


def ballot_of(item: Item) -> Ballot:
    """Return what a decision on a version is judged against."""
    return Ballot.model_validate(item)
