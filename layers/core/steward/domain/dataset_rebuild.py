"""Building a dataset again from its source objects, and saying why it is another one."""

# ruff: noqa: S608 - names and values go through identifier() and literal()

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from steward.domain.dataset_build import Prepared, prepare
from steward.domain.dataset_features import PinnedView, view_relation
from steward.domain.datasets import add_delivery
from steward.domain.delivery_files import drop, load_typed
from steward.domain.feature_groups import FeatureGroup, FeatureUse
from steward.domain.feature_transforms import rows_sql
from steward.domain.feature_versions import STREAM, source_table
from steward.domain.manifests import (
    FeatureFile,
    JoinedView,
    SourceObject,
    code_digest,
    moment,
    project_of,
)
from steward.domain.project import Project
from steward.domain.tables import Table
from steward.domain.workspace import (
    Connection,
    Limits,
    engine_version,
    identifier,
    literal,
    lock,
    workspace,
)

_SOURCE = "source_rows"


class Cause(StrEnum):
    """Why a dataset is not what it was."""

    SOURCE_GONE = "source object gone"
    SOURCE_CHANGED = "source object changed"
    DELETION = "deletion"
    LATE_ROW = "late row"
    LATER_KNOWLEDGE = "knowledge from the future"
    CODE = "code"
    ENGINE = "engine"
    DECLARATION = "declaration"
    STORED = "stored dataset changed"
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True)
class Difference:
    """One cause, with what it is about."""

    cause: Cause
    about: str
    detail: str


@dataclass(frozen=True)
class Found:
    """What is there now in the place of a source object.

    Attributes:
        sha256: Digest of its bytes; None where there is no such object or version.
        deletion: Why it was deleted on purpose, where that was recorded.
    """

    sha256: str | None
    deletion: str | None = None


Look = Callable[[SourceObject], Found]
Fetch = Callable[[SourceObject, Path], None]


def sources_of(manifest: Mapping[str, Any]) -> list[SourceObject]:
    """Return all source objects of a dataset, those of features too, each once."""
    listed = [
        *manifest["sources"],
        *(source for feature in manifest["features"] for source in feature["sources"]),
    ]
    return list(dict.fromkeys(SourceObject(**source) for source in listed))


def check_sources(manifest: Mapping[str, Any], look: Look) -> list[Difference]:
    """Return which source objects are no longer what the dataset was made of.

    Where rows were set aside, the file of those that count is looked at too.
    """
    differences = []
    for source in sources_of(manifest):
        about = f"s3://{source.bucket}/{source.key}?versionId={source.version_id or ''}"
        difference = _changed(source, about, look(source))
        if difference is None and source.accepted is not None:
            difference = _changed(
                source.accepted, str(source.accepted_uri), look(source.accepted)
            )  # fmt: skip
        differences += [difference] if difference is not None else []
    return differences


def _changed(source: SourceObject, about: str, found: Found) -> Difference | None:
    if found.deletion is not None:
        return Difference(Cause.DELETION, about, found.deletion)
    if found.sha256 is None:
        return Difference(Cause.SOURCE_GONE, about, "the version is not there any more")
    if found.sha256 != source.sha256:
        return Difference(
            Cause.SOURCE_CHANGED, about,
            f"its bytes have the digest {found.sha256}, it was {source.sha256}",
        )  # fmt: skip
    return None


def rebuild(
    manifest: Mapping[str, Any],
    fetch: Fetch,
    limits: Limits,
    later: Mapping[str, Sequence[SourceObject]] | None = None,
    event_time_only: bool = False,
) -> tuple[Prepared, list[Difference]]:
    """Build a dataset again from its source objects and the definitions in its manifest.

    Features are made of the deliveries anew; their Parquet is not read.

    Args:
        manifest: Of the dataset.
        fetch: Writes a source object's rows that count to a path.
        limits: Of the engine; the files of the parts stay below its folder.
        later: By view, deliveries that came since: their rows take part, with the same cutoff.
        event_time_only: Join without regard to what was known, to see what that would leak.

    Returns:
        The dataset, and what was let in on purpose: what later deliveries say about the time
        before the cutoff, and rows with values from the future.
    """
    project = project_of(manifest)
    sources = [SourceObject(**source) for source in manifest["sources"]]
    cutoff = datetime.fromisoformat(manifest["cutoff"])
    brought: list[Difference] = []
    with workspace(limits) as connection:
        local = limits.folder / "source"
        for order, source in enumerate(sources):
            fetch(source, local)
            add_delivery(connection, local, project.data, order)
            local.unlink()
        views, relations = [], []
        for number, feature in enumerate(manifest["features"]):
            joined = _joined(feature, project)
            more = list((later or {}).get(joined.view.label, ()))
            relation = _remake(connection, joined, more, number, fetch, local)
            brought += _brought(connection, joined.view, more, relation[0], cutoff)
            views.append(replace(joined, sources=[*joined.sources, *more]))
            relations.append(relation)
        lock(connection, limits)
        prepared = prepare(
            connection, project, sources, views, relations, limits.folder, cutoff=cutoff,
            event_time_only=event_time_only or bool(manifest["event_time_only"]),
        )  # fmt: skip
    leaked = prepared.manifest["knowledge"]["rows_with_later_knowledge"]
    if event_time_only and leaked:
        detail = f"{leaked} rows hold values that were not known at their prediction time"
        brought.append(Difference(Cause.LATER_KNOWLEDGE, "event time alone", detail))
    return prepared, brought


def _joined(feature: Mapping[str, Any], project: Project) -> JoinedView:
    group = FeatureGroup.model_validate(feature["definition"])
    declared = project.data.table(group.source)
    assert declared is not None
    # Manifests of before versions kept their source's types have none of them.
    kept = feature.get("source_table")
    view = PinnedView(
        group, int(feature["version"]), FeatureUse.model_validate(feature["use"]),
        source_table(group, declared) if kept is None else Table.model_validate(kept),
    )  # fmt: skip
    return JoinedView(
        view,
        [FeatureFile(**file) for file in feature["files"]],
        [SourceObject(**source) for source in feature["sources"]],
    )


def _remake(
    connection: Connection,
    joined: JoinedView,
    later: Sequence[SourceObject],
    number: int,
    fetch: Fetch,
    local: Path,
) -> tuple[str, str]:
    """Make the features of a view's deliveries; ``source_`` is the delivery of each."""
    group, table = joined.view.group, joined.view.table
    made = f"remade_{number}"
    exists = False
    for source in [*joined.sources, *later]:
        fetch(source, local)
        if source.table == STREAM:
            rows = f"FROM read_parquet({literal(str(local))})"
        else:
            load_typed(connection, local, table, _SOURCE)
            rows = rows_sql(group, _SOURCE, received_at=moment(source.received_at))
        select = f"SELECT *, {literal(source.sha256)} AS source_ FROM ({rows})"
        connection.execute(
            f"INSERT INTO {made} {select}" if exists else f"CREATE TABLE {made} AS {select}"
        )
        local.unlink()
        drop(connection, _SOURCE)
        exists = True
    return (made, "v.rowid") if exists else view_relation(
        connection, joined.view, [], number
    )  # fmt: skip


def _brought(
    connection: Connection,
    view: PinnedView,
    later: Sequence[SourceObject],
    relation: str,
    cutoff: datetime,
) -> list[Difference]:
    """Return what later deliveries say about the time before the cutoff."""
    if not later:
        return []
    until = cutoff.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
    found = connection.execute(
        f"SELECT source_, deleted_, count(*) FROM {identifier(relation)}"
        f" WHERE known_at_ <= TIMESTAMP {literal(until)}"
        f" AND source_ IN ({', '.join(literal(source.sha256) for source in later)})"
        " GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    keys = {source.sha256: f"s3://{source.bucket}/{source.key}" for source in later}
    return [
        Difference(
            Cause.DELETION if deleted else Cause.LATE_ROW, keys[source],
            f"{count} {'tombstones' if deleted else 'rows'} of {view.label} were known before"
            " the cutoff but came after the dataset was built",
        )
        for source, deleted, count in found
    ]  # fmt: skip


def compare(
    before: Mapping[str, Any], after: Mapping[str, Any], brought: Iterable[Difference] = ()
) -> list[Difference]:
    """Return why a rebuilt dataset differs; nothing where both digests are equal.

    Args:
        before: The dataset's manifest.
        after: The manifest of the rebuilt one.
        brought: What :func:`rebuild` let in on purpose.
    """
    rows, bytes_ = same_rows(before, after), same_bytes(before, after)
    if rows and bytes_:
        return []
    causes = list(brought) if not rows else []
    was, code = before["code"]["sha256"], code_digest()
    if was != code:
        causes.append(
            Difference(
                Cause.CODE, "steward", f"built by code {was[:12]}, rebuilt by code {code[:12]}"
            )
        )
    engine, now = before["engine"], engine_version()
    if engine["version"] != now or engine["name"] != after["engine"]["name"]:
        causes.append(
            Difference(
                Cause.ENGINE, engine["name"],
                f"built by {engine['name']} {engine['version']}, rebuilt by"
                f" {after['engine']['name']} {now}",
            )
        )  # fmt: skip
    if not causes:
        what = "bytes" if rows else "rows"
        causes.append(
            Difference(
                Cause.UNEXPLAINED, str(before.get("dataset_id", "")),
                f"sources, code and engine are the same, the {what} are not",
            )
        )  # fmt: skip
    return causes


def same_rows(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Return whether two datasets hold the same rows in the same parts."""
    return all(
        before["parts"][part]["logical_digest"] == after["parts"][part]["logical_digest"]
        for part in before["parts"]
    )


def same_bytes(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Return whether the files of two datasets are the same byte for byte."""
    return all(
        before["parts"][part][digest] == after["parts"][part][digest]
        for part in before["parts"]
        for digest in ("sha256", "csv_sha256")
    )


def diff(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Difference]:
    """Return what in the manifests of two datasets makes them differ, as far as they tell."""
    found: list[Difference] = []
    for name, one, other in (
        ("sources", a["sources"], b["sources"]),
        *(
            (f"sources of {view}", _sources(a, view), _sources(b, view))
            for view in sorted({f["view"] for f in (*a["features"], *b["features"])})
        ),
    ):
        ids_a, ids_b = ({s["sha256"]: s for s in listed} for listed in (one, other))
        found += [
            Difference(Cause.SOURCE_GONE, name, f"only in A: {_place(ids_a[digest])}")
            for digest in ids_a.keys() - ids_b.keys()
        ]
        found += [
            Difference(Cause.LATE_ROW, name, f"only in B: {_place(ids_b[digest])}")
            for digest in ids_b.keys() - ids_a.keys()
        ]
    views_a, views_b = ({f["group"]: f for f in manifest["features"]} for manifest in (a, b))
    for group in sorted(views_a.keys() | views_b.keys()):
        labels = [
            views[group]["view"] if group in views else "none" for views in (views_a, views_b)
        ]
        if labels[0] != labels[1]:
            found.append(
                Difference(Cause.DECLARATION, "features", f"{labels[0]} in A, {labels[1]} in B")
            )
    for key in ("declaration", "split", "seed", "cutoff", "event_time_only"):
        if a[key] != b[key]:
            detail = "differs" if key == "declaration" else f"{a[key]} in A, {b[key]} in B"
            found.append(Difference(Cause.DECLARATION, key, detail))
    if a["code"] != b["code"]:
        detail = f"{a['code']['sha256'][:12]} in A, {b['code']['sha256'][:12]} in B"
        found.append(Difference(Cause.CODE, "steward", detail))
    if a["engine"] != b["engine"]:
        found.append(Difference(Cause.ENGINE, "engine", f"{a['engine']} in A, {b['engine']} in B"))
    return sorted(found, key=lambda difference: (difference.about, difference.detail))


def _sources(manifest: Mapping[str, Any], view: str) -> list[dict[str, Any]]:
    return next((f["sources"] for f in manifest["features"] if f["view"] == view), [])


def _place(source: Mapping[str, Any]) -> str:
    return f"s3://{source['bucket']}/{source['key']} ({source['rows']} rows)"
