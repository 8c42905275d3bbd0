"""From deliveries and features in an engine to the files of a dataset and its manifest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from steward.domain.dataset_features import finish_join, join_features
from steward.domain.dataset_join import load_joined
from steward.domain.datasets import (
    EXAMPLES,
    PartFile,
    border_of,
    choose_examples,
    logical_digest,
    request_columns,
    training_rows,
    write_part,
)
from steward.domain.examples import recorded_examples
from steward.domain.manifests import (
    ATHENA,
    DUCKDB,
    Built,
    JoinedView,
    SourceObject,
    bytes_digest,
    combined_digest,
    cutoff_of,
    dataset_id_of,
    manifest_of,
)
from steward.domain.project import Project
from steward.domain.workspace import Connection

PARTS = ("train", "heldout")


@dataclass(frozen=True)
class Prepared:
    """A dataset in local files, and what its manifest says."""

    manifest: dict[str, Any]
    dataset_id: str
    parts: dict[str, PartFile]
    examples: bytes


def prepare(
    connection: Connection,
    project: Project,
    sources: Sequence[SourceObject],
    views: Sequence[JoinedView],
    relations: Sequence[tuple[str, str]],
    folder: Path,
    *,
    cutoff: datetime | None = None,
    event_time_only: bool = False,
    joined: Sequence[str] | None = None,
) -> Prepared:
    """Choose the examples of the merged deliveries, join the views, write the parts.

    Args:
        connection: Has all deliveries by :func:`steward.domain.datasets.add_delivery`.
        project: Its declaration.
        sources: The deliveries in order.
        views: The views in order of use.
        relations: Relation and row id of each view.
        folder: Where the files of the parts go.
        cutoff: Knowledge cutoff; the newest receipt of all that is used by default.
        event_time_only: Join without regard to what was known; the manifest says so.
        joined: Parquet files of the join that Athena made by
            :func:`~.dataset_join.planned_statements`; the views are not joined again.
    """
    known_until = cutoff or cutoff_of(sources, views)
    counts = choose_examples(connection, project.data, project.split, known_until)
    pinned = [found.view for found in views]
    if joined is None:
        report = join_features(
            connection, project, pinned, list(relations), known_until,
            event_time_only=event_time_only,
        )  # fmt: skip
    else:
        report = load_joined(connection, pinned, joined)
        finish_join(connection, project, pinned)
    border = border_of(connection, project.data, project.split)
    parts = {part: write_part(connection, project, part, folder) for part in PARTS}
    own = [(column.name, column.type) for column in project.data.columns]
    spine_digest = logical_digest(connection, own, EXAMPLES)
    rows = training_rows(connection, project, project.serving.smoke.examples)
    examples = json_bytes(
        recorded_examples(request_columns(project), rows, project.data.label.task)
    )
    built = Built(
        sources=sources, views=views, cutoff=known_until, counts=counts, spine_digest=spine_digest,
        logical_digest=combined_digest([part.logical_digest for part in parts.values()]),
        parts=parts, report=report, examples_sha256=bytes_digest(examples),
        event_time_only=event_time_only, border=border, engine=DUCKDB if joined is None else ATHENA,
    )  # fmt: skip
    manifest = manifest_of(project, built)
    return Prepared(manifest, dataset_id_of(manifest), parts, examples)


def json_bytes(document: object) -> bytes:
    """Return the bytes of a document as it is stored: for people, keys in order."""
    return json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True).encode()
