"""Finding the feature files that a dataset joins, and bringing them to the engine."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from steward.domain.dataset_features import PinnedView, Registered, pinned_views
from steward.domain.datasets import file_digest
from steward.domain.delivery_lists import list_of
from steward.domain.errors import EvidenceIncompleteError, FeaturesPendingError
from steward.domain.feature_versions import (
    STREAM,
    group_item,
    materialisation_item,
    materialisation_prefix,
    streamed_prefix,
)
from steward.domain.manifests import (
    FeatureFile,
    JoinedView,
    SourceObject,
    cutoff_of,
    moment,
    source_of,
)
from steward.domain.names import PRIMARY
from steward.domain.runs import UNUSABLE
from steward.ports import Item, ObjectStore, StateStore, Table
from steward.service.data.deliveries import deliveries_of
from steward.service.delivery_lists import read_list
from steward.service.pinned import PinnedRun

DONE = "done"


def joined_views(
    state: StateStore,
    objects: ObjectStore,
    run: PinnedRun,
    primary: list[Item],
    data_bucket: str,
) -> list[JoinedView]:
    """Return the views of a run with the files that its deliveries were made into.

    Rows that came as events, one by one, take part when they came before the newest of the
    run's deliveries.

    Args:
        primary: The run's deliveries of the primary table.
        data_bucket: Where feature files lie.

    Raises:
        FeaturesPendingError: A delivery is not judged or not materialised yet. The run must wait,
            or the same deliveries would give another dataset later.
        InvalidProjectError: A pinned version does not fit the project.
    """
    project = run.project
    views = views_of(state, run)
    if not views:
        return []
    pinned = run.item.get("feature_deliveries")
    others = (
        deliveries_of(state, project.project, read_list(objects, list_of(pinned)))
        if pinned else []
    )  # fmt: skip
    found = [
        _with_files(state, project.project, view, [*primary, *others], data_bucket)
        for view in views
    ]
    cutoff = cutoff_of([source_of(delivery) for delivery in primary], found)
    return [_with_stream(state, project.project, joined, cutoff, data_bucket) for joined in found]


def views_of(state: StateStore, run: PinnedRun) -> list[PinnedView]:
    """Return the views of a run in the versions that it pinned.

    Raises:
        InvalidProjectError: A pinned version does not fit the project.
    """
    project = run.project
    definitions: dict[str, Registered] = {}
    for pin in run.item.get("feature_views", []):
        group, version = pin["group"], int(pin["version"])
        key = {"project": project.project, "item": group_item(group, version)}
        item = state.get(Table.FEATURES, key)
        if item is not None:
            definitions[group] = Registered(version, item["definition"], item.get("source_table"))
    return pinned_views(project, definitions)


def _with_files(
    state: StateStore, project: str, view: PinnedView, deliveries: list[Item], bucket: str
) -> JoinedView:
    files: list[FeatureFile] = []
    sources: list[SourceObject] = []
    group = view.group
    prefix = materialisation_prefix(group.feature_group, view.version)
    known = {i["item"]: i for i in state.query(Table.FEATURES, project, prefix=prefix)}
    for delivery in deliveries:
        delivery_id = delivery["delivery_id"]
        of_group = delivery.get("table", PRIMARY) == group.source
        if not of_group or delivery["status"] in UNUSABLE:
            continue
        item = materialisation_item(group.feature_group, view.version, delivery_id)
        made = known.get(item)
        if made is None or made["status"] != DONE:
            raise FeaturesPendingError(
                f"{view.label} of the delivery {delivery_id} is"
                f" {made['status'] if made else 'not begun'}"
            )
        sources.append(source_of(delivery))
        files += [file_of(chunk, delivery_id, bucket) for chunk in made["chunks"]]
    return JoinedView(view, files, sources)


def _with_stream(
    state: StateStore, project: str, joined: JoinedView, cutoff: datetime, bucket: str
) -> JoinedView:
    """Add the rows that came as events: their Parquet is all that there is of them."""
    group, version = joined.view.group.feature_group, joined.view.version
    prefix = streamed_prefix(group, version)
    came = [
        item
        for item in state.query(Table.FEATURES, project, prefix=prefix)
        if item["status"] == DONE and moment(item["received_at"]) <= cutoff
    ]
    files, sources = list(joined.files), list(joined.sources)
    for item in sorted(came, key=lambda item: (item["received_at"], item["item"])):
        for chunk in item["chunks"]:
            files.append(file_of(chunk, item["item"].rpartition("#")[2], bucket))
            sources.append(
                SourceObject(
                    bucket, chunk["key"], chunk.get("version_id"), chunk["sha256"],
                    item["received_at"], int(chunk["rows"]), STREAM,
                )
            )  # fmt: skip
    return JoinedView(joined.view, files, sources)


def file_of(chunk: dict[str, Any], delivery_id: str, bucket: str) -> FeatureFile:
    """Return a written chunk as a manifest names it."""
    return FeatureFile(
        uri=f"s3://{bucket}/{chunk['key']}", version_id=chunk.get("version_id"),
        sha256=chunk["sha256"], rows=int(chunk["rows"]), delivery_id=delivery_id,
    )  # fmt: skip


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
