"""Finding the feature files that a dataset joins, and bringing them to the engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from steward.domain.dataset_features import PinnedView, pinned_views
from steward.domain.datasets import file_digest
from steward.domain.errors import EvidenceIncompleteError, FeaturesPendingError
from steward.domain.feature_versions import group_item, materialisation_item
from steward.domain.manifests import FeatureFile, JoinedView, SourceObject
from steward.domain.runs import DeliveryStatus
from steward.domain.tables import PRIMARY
from steward.ports import Item, ObjectStore, StateStore, Table
from steward.service.data.deliveries import deliveries_of
from steward.service.pinned import PinnedRun

DONE = "done"


def source_of(delivery: Item) -> SourceObject:
    """Return a delivery as a manifest names it."""
    return SourceObject(
        bucket=delivery["bucket"], key=delivery["key"], version_id=delivery.get("version_id"),
        sha256=delivery["delivery_id"], received_at=delivery["received_at"],
        rows=int(delivery["rows"]), table=delivery.get("table", PRIMARY),
        accepted_uri=delivery.get("accepted_uri"), accepted_sha256=delivery.get("accepted_sha256"),
    )  # fmt: skip


def joined_views(state: StateStore, run: PinnedRun, accepted: list[str]) -> list[JoinedView]:
    """Return the views of a run with the files that its deliveries were made into.

    Args:
        accepted: The run's deliveries of the primary table.

    Raises:
        FeaturesPendingError: A delivery is not judged or not materialised yet. The run must wait,
            or the same deliveries would give another dataset later.
        InvalidProjectError: A pinned version does not fit the project.
    """
    project = run.project
    definitions: dict[str, tuple[int, Any]] = {}
    for pin in run.item.get("feature_views", []):
        group, version = pin["group"], int(pin["version"])
        key = {"project": project.project, "item": group_item(group, version)}
        item = state.get(Table.FEATURES, key)
        if item is not None:
            definitions[group] = (version, item["definition"])
    views = pinned_views(project, definitions)
    if not views:
        return []
    ids = [*accepted, *run.item.get("feature_deliveries", [])]
    deliveries = deliveries_of(state, project.project, ids)
    return [_with_files(state, project.project, view, deliveries) for view in views]


def _with_files(
    state: StateStore, project: str, view: PinnedView, deliveries: list[Item]
) -> JoinedView:
    files: list[FeatureFile] = []
    sources: list[SourceObject] = []
    group = view.group
    for delivery in deliveries:
        delivery_id = delivery["delivery_id"]
        of_group = delivery.get("table", PRIMARY) == group.source
        if not of_group or delivery["status"] == DeliveryStatus.REJECTED:
            continue
        item = materialisation_item(group.feature_group, view.version, delivery_id)
        made = state.get(Table.FEATURES, {"project": project, "item": item})
        if made is None or made["status"] != DONE:
            raise FeaturesPendingError(
                f"{view.label} of the delivery {delivery_id} is"
                f" {made['status'] if made else 'not begun'}"
            )
        sources.append(source_of(delivery))
        files += [
            FeatureFile(
                uri=f"s3://{delivery['bucket']}/{chunk['key']}",
                version_id=chunk.get("version_id"), sha256=chunk["sha256"],
                rows=int(chunk["rows"]), delivery_id=delivery_id,
            )
            for chunk in made["chunks"]
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
