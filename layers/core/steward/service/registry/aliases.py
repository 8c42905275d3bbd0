"""Aliases of versions: moved conditionally, each move on record and told."""

from __future__ import annotations

from dataclasses import dataclass

from steward.contracts.events import VersionAliased
from steward.domain.errors import ConflictError, RejectedError
from steward.domain.labels import MAX_ALIASES, check_alias
from steward.domain.versions import VersionState, alias_item, alias_move_item
from steward.ports import Absent, Change, Clock, Delete, Equals, Ids, Item, Put, StateStore, Table
from steward.service.emission import Cause, event
from steward.service.registry.records import need_version

_ATTEMPTS = 5


@dataclass(frozen=True)
class Move:
    """An alias put onto a version, or taken away.

    Attributes:
        version: None takes it away.
        by: Identity of the person, or the id of the release.
    """

    project: str
    alias: str
    version: int | None
    by: str
    reason: str = ""


def find_alias(state: StateStore, project: str, alias: str) -> Item | None:
    """Return an alias's item, or None."""
    return state.get(Table.VERSIONS, {"project": project, "item": alias_item(alias)})


def aliases_of(state: StateStore, project: str) -> dict[str, int]:
    """Return the version that each alias of a project names."""
    items = state.query(Table.VERSIONS, project, prefix=alias_item(""))
    return {str(item["item"]).partition("#")[2]: int(item["version"]) for item in items}


def alias_changes(move: Move, current: Item | None, clock: Clock, ids: Ids) -> list[Change]:
    """Return the writes of a move: the alias as it was read becomes another, and its history.

    A move is known by its id, so that an alias which was moved away and back meanwhile counts
    as changed.
    """
    at, move_id = clock.now().isoformat(timespec="milliseconds"), ids.new()
    key = {"project": move.project, "item": alias_item(move.alias)}
    about = {
        "previous": int(current["version"]) if current else None,
        "by": move.by, "reason": move.reason, "at": at, "move_id": move_id,
    }  # fmt: skip
    unchanged = (Equals("move_id", current.get("move_id")),) if current else (Absent(),)
    if current:
        unchanged = (*unchanged, Equals("version", current["version"]))
    kept = {
        "project": move.project, "item": alias_move_item(move.alias, at, move_id),
        "version": move.version, **about,
    }  # fmt: skip
    changed: Change = (
        Delete(Table.VERSIONS, key, expect=unchanged)
        if move.version is None
        else Put(Table.VERSIONS, {**key, "version": move.version, **about}, expect=unchanged)
    )
    return [changed, Put(Table.VERSIONS, kept)]


def move_alias(
    move: Move,
    *,
    expected: int | None,
    causation_id: str,
    state: StateStore,
    clock: Clock,
    ids: Ids,
) -> Item | None:
    """Do what a person asks of an alias; what is so already is not moved again.

    Args:
        move: What is asked.
        expected: The version that it must name now; None where that does not matter. Two
            people who both name what they saw cannot undo each other unseen.
        causation_id: The request.
        state: Where aliases are.
        clock: Dates the move.
        ids: Of the move.

    Returns:
        The alias, None where it was deleted.

    Raises:
        ConflictError: It does not name the expected version, or others kept moving it.
        RejectedError: The alias is none that people may set, there is none to delete, the
            version is archived, or has too many.
        VersionNotFoundError: The project has no such version.
    """
    check_alias(move.alias)
    for _ in range(_ATTEMPTS):
        current = find_alias(state, move.project, move.alias)
        found = int(current["version"]) if current else None
        if expected is not None and found != expected:
            raise ConflictError(
                f"{move.alias} names {found or 'no version'}, not {expected}: somebody moved it"
            )
        if found == move.version and found is not None:
            return current
        _check_target(move, found, state)
        told = VersionAliased(
            alias=move.alias, version=move.version, previous=found, reason=move.reason
        )
        changes = alias_changes(move, current, clock, ids)
        cause = Cause(move.project, f"{move.project}-{move.alias}", causation_id, move.by)
        try:
            state.commit(changes, [event(told, cause, clock, ids)])
        except ConflictError:
            continue
        return find_alias(state, move.project, move.alias)
    raise ConflictError(f"{move.alias} of {move.project} moved {_ATTEMPTS} times; try again")


def _check_target(move: Move, found: int | None, state: StateStore) -> None:
    if move.version is None:
        if found is None:
            raise RejectedError(
                f"{move.project} has no alias {move.alias!r}", field="alias", value=move.alias,
                allowed=", ".join(sorted(aliases_of(state, move.project))) or "none is set",
            )  # fmt: skip
        return
    item = need_version(state, move.project, move.version)
    if item["state"] == VersionState.ARCHIVED:
        raise RejectedError(
            f"{move.project} {move.version} is archived", field="version", value=move.version,
            allowed="a version that is not archived",
        )  # fmt: skip
    own = [name for name, version in aliases_of(state, move.project).items()
           if version == move.version]  # fmt: skip
    if len(own) >= MAX_ALIASES:
        raise RejectedError(
            f"{move.project} {move.version} has {len(own)} aliases", field="alias",
            value=len(own), allowed=f"at most {MAX_ALIASES}",
        )  # fmt: skip
