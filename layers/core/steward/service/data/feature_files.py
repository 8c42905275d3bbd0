"""Finding the feature files that a dataset joins, and bringing them to the engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from steward.domain.dataset_features import PinnedView, pinned_views
from steward.domain.datasets import file_digest
from steward.domain.errors import EvidenceIncompleteError, FeaturesPendingError
from steward.domain.feature_versions import group_item, materialisation_prefix
from steward.domain.manifests import FeatureFile, JoinedView, SourceObject
from steward.domain.project import Project
from steward.domain.runs import DeliveryStatus
from steward.domain.tables import PRIMARY
from steward.ports import Item, ObjectStore, StateStore, Table

DONE, FAILED = "done", "failed"


def source_of(delivery: Item) -> SourceObject:
    """Return a delivery as a manifest names it."""
    return SourceObject(
        bucket=delivery["bucket"], key=delivery["key"], version_id=delivery.get("version_id"),
        sha256=delivery["delivery_id"], received_at=delivery["received_at"],
        rows=int(delivery["rows"]), table=delivery.get("table", PRIMARY),
        accepted_uri=delivery.get("accepted_uri"),
    )  # fmt: skip


def joined_views(
    state: StateStore, project: Project, pins: list[dict[str, Any]]
) -> list[JoinedView]:
    """Return the views of a run with all files that were materialised for them.

    Raises:
        FeaturesPendingError: A delivery that belongs to a view is accepted but not materialised
            yet: the same deliveries would give another dataset later.
        InvalidProjectError: A pinned version does not fit the project.
    """
    definitions: dict[str, tuple[int, Any]] = {}
    created: dict[str, str] = {}
    for pin in pins:
        group, version = pin["group"], int(pin["version"])
        key = {"project": project.project, "item": group_item(group, version)}
        item = state.get(Table.FEATURES, key)
        if item is not None:
            definitions[group] = (version, item["definition"])
            created[group] = item["created_at"]
    views = pinned_views(project, definitions)
    if not views:
        return []
    deliveries = {
        item["delivery_id"]: item
        for item in state.query(Table.DELIVERIES, project.project)
        if item["status"] == DeliveryStatus.ACCEPTED
    }
    return [
        _with_files(state, project.project, view, deliveries, created[view.group.feature_group])
        for view in views
    ]


def _with_files(
    state: StateStore, project: str, view: PinnedView, deliveries: dict[str, Item], created: str
) -> JoinedView:
    prefix = materialisation_prefix(view.group.feature_group, view.version)
    made = {
        item["item"].removeprefix(prefix): item
        for item in state.query(Table.FEATURES, project, prefix=prefix)
    }
    for delivery_id, delivery in deliveries.items():
        belongs = delivery.get("table", PRIMARY) == view.group.source
        status = made.get(delivery_id, {}).get("status")
        expected = delivery_id in made or delivery["received_at"] >= created
        if belongs and expected and status not in (DONE, FAILED):
            raise FeaturesPendingError(
                f"{view.label} of the delivery {delivery_id} is {status or 'not begun'}"
            )
    files: list[FeatureFile] = []
    sources: list[SourceObject] = []
    done = {
        delivery_id: item
        for delivery_id, item in made.items()
        if item["status"] == DONE and delivery_id in deliveries
    }
    for delivery_id in sorted(done, key=lambda found: (deliveries[found]["received_at"], found)):
        sources.append(source_of(deliveries[delivery_id]))
        files += [
            FeatureFile(
                uri=chunk["uri"], version_id=chunk.get("version_id"), sha256=chunk["sha256"],
                rows=int(chunk["rows"]), delivery_id=delivery_id,
            )
            for chunk in done[delivery_id]["chunks"]
        ]  # fmt: skip
    return JoinedView(view, files, sources)


def fetch_features(
    objects: ObjectStore, files: list[FeatureFile], folder: Path
) -> list[str]:  # fmt: skip
    """Download feature files; return their local paths in order.

    Raises:
        EvidenceIncompleteError: A file is gone or holds other bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, file in enumerate(files):
        path = folder / f"{number:06d}.parquet"
        bucket, _, key = file.uri.removeprefix("s3://").partition("/")
        objects.download(bucket, key, str(path), file.version_id)
        digest = file_digest(path)
        if digest != file.sha256:
            raise EvidenceIncompleteError(
                f"{file.uri} is not what was materialised", field="sha256", value=digest,
                allowed=file.sha256,
            )  # fmt: skip
        paths.append(str(path))
    return paths
