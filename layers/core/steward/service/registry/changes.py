"""What people change of a version beside deciding on it."""

from __future__ import annotations

from typing import Any

from steward.contracts.registry import (
    ArchiveVersion,
    LabelVersion,
    RegistryRequest,
    SetAlias,
)
from steward.ports import Clock, Ids, Item, StateStore
from steward.service.registry.aliases import Move, move_alias
from steward.service.registry.labelling import describe_version
from steward.service.registry.transitions import archive_version

_SHOWN = ("project", "version", "state", "tags", "description", "archived_because")


def change_version(
    request: RegistryRequest,
    *,
    actor: str,
    request_id: str,
    state: StateStore,
    clock: Clock,
    ids: Ids,
) -> dict[str, Any]:
    """Do what a person asks; return what is so afterwards.

    Args:
        request: What is asked.
        actor: Identity of the verified caller.
        request_id: Becomes the causation of the events.
        state: Where versions are.
        clock: Dates the change.
        ids: Of events.

    Raises:
        RejectedError: It is not allowed; the sub-class and the field say why.
        ConflictError: Somebody else changed the same meanwhile.
    """
    match request:
        case SetAlias():
            move = Move(request.project, request.alias, request.version, actor, request.reason)
            found = move_alias(
                move, expected=request.expected, causation_id=request_id,
                state=state, clock=clock, ids=ids,
            )  # fmt: skip
            return {
                "project": request.project,
                "alias": request.alias,
                "version": found["version"] if found else None,
                "previous": found.get("previous") if found else None,
            }
        case LabelVersion():
            return _view(
                describe_version(
                    request.project,
                    request.version,
                    added=request.tags,
                    removed=request.remove,
                    description=request.description,
                    actor=actor,
                    causation_id=request_id,
                    state=state,
                    clock=clock,
                    ids=ids,
                )
            )
        case ArchiveVersion():
            return _view(
                archive_version(
                    request.project,
                    request.version,
                    reason=request.reason,
                    actor=actor,
                    causation_id=request_id,
                    state=state,
                    clock=clock,
                    ids=ids,
                )
            )


def _view(item: Item) -> dict[str, Any]:
    return {name: item[name] for name in _SHOWN if item.get(name) is not None}
