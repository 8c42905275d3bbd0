"""Use case: let Athena join the features of a dataset that outgrow one function."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from steward.contracts.steps.data import JoinTable, MadeJoin, PlannedJoin
from steward.domain.dataset_features import PinnedView
from steward.domain.dataset_join import places, planned_statements, result_place, write_spine
from steward.domain.datasets import choose_examples
from steward.domain.errors import EvidenceIncompleteError
from steward.domain.manifests import FeatureFile, JoinedView, SourceObject, cutoff_of
from steward.domain.project import Project
from steward.domain.workspace import Connection, Limits
from steward.ports import Ids, ObjectStore


def plan_join(
    connection: Connection,
    project: Project,
    sources: Sequence[SourceObject],
    views: Sequence[JoinedView],
    *,
    objects: ObjectStore,
    ids: Ids,
    limits: Limits,
    data_bucket: str,
) -> PlannedJoin:
    """Put spine and feature files below a prefix of the join's own; return what Athena must do.

    The files are copied in S3 as the versions that were pinned: a table of Athena is all that
    lies below a prefix, and a group's prefix grows. Each plan is a new one with a prefix and
    tables of its own, so that a repeated task meets nothing of the one before.

    Args:
        connection: Has all deliveries by :func:`steward.domain.datasets.add_delivery`.

    Raises:
        EvidenceIncompleteError: A feature file holds other bytes than were materialised.
    """
    name = f"join_{ids.new().replace('-', '').lower()}"
    base = f"s3://{data_bucket}/joins/{project.project}/{name}/"
    pinned = [view.view for view in views]
    cutoff = cutoff_of(sources, views)
    choose_examples(connection, project.data, project.split, cutoff)
    of_spine, *of_views = places(base, len(views))
    path = limits.folder / "spine.parquet"
    write_spine(connection, project, pinned, path)
    objects.upload(str(path), f"{of_spine}spine.parquet")
    path.unlink()
    for place, view in zip(of_views, views, strict=True):
        for number, file in enumerate(view.files):
            _copy(objects, file, f"{place}{number:06d}.parquet")
    statements = planned_statements(project, pinned, cutoff, name, base)
    plan_uri = f"{base}plan.json"
    objects.write(plan_uri, json.dumps({"views": [_noted(view) for view in views]}).encode())
    return PlannedJoin(
        plan_uri=plan_uri,
        tables=[
            JoinTable(create=create, drop=drop)
            for create, drop in zip(statements.create, statements.drop, strict=True)
        ],
        unload=statements.unload,
        joined_uri=result_place(base),
    )


def planned_views(
    objects: ObjectStore, join: MadeJoin, pinned: Sequence[PinnedView]
) -> list[JoinedView]:
    """Return the views with the files that a plan was made for, whatever came since.

    Raises:
        EvidenceIncompleteError: The plan is gone or is for other views.
    """
    noted = json.loads(objects.read(join.plan_uri))["views"]
    if [view["view"] for view in noted] != [view.label for view in pinned]:
        raise EvidenceIncompleteError(
            "the plan of the join is for other views", field="join.plan_uri", value=join.plan_uri,
            allowed=", ".join(view.label for view in pinned),
        )  # fmt: skip
    return [
        JoinedView(
            view,
            [FeatureFile(**file) for file in found["files"]],
            [SourceObject(**source) for source in found["sources"]],
        )
        for view, found in zip(pinned, noted, strict=True)
    ]


def fetch_joined(objects: ObjectStore, join: MadeJoin, limits: Limits) -> list[str]:
    """Download what Athena unloaded; return the local paths. Of no rows it writes no file."""
    bucket, _, prefix = join.joined_uri.removeprefix("s3://").partition("/")
    folder = limits.folder / "joined"
    folder.mkdir(exist_ok=True)
    paths = []
    for number, info in enumerate(objects.list(bucket, prefix)):
        path = folder / f"{number:06d}.parquet"
        objects.download(bucket, info.key, str(path))
        paths.append(str(path))
    return paths


def _copy(objects: ObjectStore, file: FeatureFile, target: str) -> None:
    bucket, _, key = file.uri.removeprefix("s3://").partition("/")
    digest = objects.sha256(bucket, key, file.version_id)
    if digest != file.sha256:
        raise EvidenceIncompleteError(
            f"{file.uri} is not what was materialised", field="sha256", value=digest,
            allowed=file.sha256,
        )  # fmt: skip
    objects.copy(file.uri, target, file.version_id)


def _noted(view: JoinedView) -> dict[str, Any]:
    return {
        "view": view.view.label,
        "files": [asdict(file) for file in view.files],
        "sources": [asdict(source) for source in view.sources],
    }
