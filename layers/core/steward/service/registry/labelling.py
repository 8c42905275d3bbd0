"""Tags and description of a version, and all labels as SageMaker shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from steward.contracts.events import VersionDescribed
from steward.domain.errors import ConflictError
from steward.domain.labels import changed_tags, mirrored_properties, stale_properties
from steward.domain.versions import VersionState, life_cycle
from steward.ports import Clock, Equals, Ids, Item, ModelRegistry, StateStore, Table, Update
from steward.service.emission import Cause, event
from steward.service.registry.aliases import aliases_of
from steward.service.registry.records import need_version, version_key

if TYPE_CHECKING:
    from steward.contracts.incoming import Received

_ATTEMPTS = 5


def describe_version(
    project: str,
    version: int,
    *,
    added: Mapping[str, str],
    removed: Sequence[str],
    description: str | None,
    actor: str,
    causation_id: str,
    state: StateStore,
    clock: Clock,
    ids: Ids,
) -> Item:
    """Change tags and, unless it is None, the description; what is so already is not told.

    Raises:
        RejectedError: A tag is none that SageMaker could keep.
        VersionNotFoundError: The project has no such version.
        ConflictError: Others kept changing them.
    """
    for _ in range(_ATTEMPTS):
        item = need_version(state, project, version)
        tags = changed_tags(item.get("tags") or {}, added, removed)
        words = item.get("description") or "" if description is None else description.strip()
        if (tags, words) == (item.get("tags") or {}, item.get("description") or ""):
            return item
        change = Update(
            Table.VERSIONS,
            version_key(project, version),
            set={"tags": tags, "description": words},
            expect=(
                Equals("version", version),
                Equals("tags", item.get("tags")),
                Equals("description", item.get("description")),
            ),
        )
        told = VersionDescribed(version=version, tags=tags, description=words)
        cause = Cause(project, str(item["correlation_id"]), causation_id, actor)
        try:
            state.commit([change], [event(told, cause, clock, ids)])
        except ConflictError:
            continue
        return {**item, **change.set}
    raise ConflictError(f"{project} {version} changed {_ATTEMPTS} times meanwhile; try again")


def mirror_version(
    project: str, version: int, *, state: StateStore, registry: ModelRegistry
) -> dict[str, object]:
    """Bring a model package's life cycle and properties in line with the record.

    Decided from the record as it is now, so that late, repeated and swapped events end in the
    same. The approval status is not touched: `apply_decision` alone sets it.

    Raises:
        VersionNotFoundError: The project has no such version.
    """
    item = need_version(state, project, version)
    arn = str(item["model_package_arn"])
    own = sorted(name for name, number in aliases_of(state, project).items() if number == version)
    wanted = mirrored_properties(
        str(item["state"]), own, item.get("tags") or {}, str(item.get("description") or "")
    )
    stage, status = life_cycle(VersionState(item["state"]))
    package = registry.describe(arn)
    found = package.get("CustomerMetadataProperties") or {}
    shown = package.get("ModelLifeCycle") or {}
    gone = stale_properties(found, wanted)
    changed = {name: value for name, value in wanted.items() if found.get(name) != value}
    if not gone and not changed and (shown.get("Stage"), shown.get("StageStatus")) == (
        stage, status,
    ):  # fmt: skip
        return {"package": arn, "changed": False}
    registry.set_labels(arn, stage, status, changed, gone)
    return {"package": arn, "changed": True, "stage": f"{stage}/{status}"}


def mirror_told(
    received: Received, *, state: StateStore, registry: ModelRegistry
) -> list[dict[str, object]]:
    """Mirror each version that an event concerns: the one named, and the one named before."""
    told = received.detail
    named = [told.version, getattr(told, "previous", None)]
    versions = sorted({number for number in named if isinstance(number, int)})
    project = received.own.project
    return [mirror_version(project, number, state=state, registry=registry) for number in versions]
