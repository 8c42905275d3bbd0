"""The manifest of a dataset: all that decides its bytes, and what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from steward.domain.dataset_features import PinnedView
from steward.domain.datasets import ORDER, PartFile, file_digest
from steward.domain.digests import digest_of
from steward.domain.names import PRIMARY
from steward.domain.point_in_time import JoinReport
from steward.domain.project import Project, parse_project
from steward.domain.steps import step_key
from steward.domain.workspace import engine_version

SCHEMA = "2"
ID_DIGITS = 16
DUCKDB = {"name": "duckdb"}
ATHENA = {"name": "athena", "joined_by": "Athena engine version 3"}
"""Athena joins, DuckDB chooses the examples and writes the parts, whatever joined them."""

_CODE = (
    "athena_sql", "column_rules", "csv_files", "dataset_build", "dataset_features",
    "dataset_join", "datasets", "delivery_files", "expressions", "feature_transforms",
    "feature_views", "point_in_time", "workspace",
)  # fmt: skip
RULES = {
    "records": "event_time <= prediction_time and known_at <= min(prediction_time, cutoff)",
    "ties": "newest event time, newest known_at, tombstone, greatest digest",
    "tombstone": "wins and gives null; ends the windows before it",
    "ttl": "inclusive, after selection, 0 without end",
    "time_zone": "an offset is converted, none is UTC; milliseconds",
    "nulls": "one row per spine row; what is missing is null",
    "labels": "left out where label_known_at is after the cutoff or empty",
}


@dataclass(frozen=True)
class SourceObject:
    """A delivered object that a dataset was made of.

    Attributes:
        sha256: Digest of its bytes, which is the delivery's id.
        rows: Rows that count.
        accepted_uri: The file without the rows in quarantine, where there are any.
        accepted_sha256: Digest of that file.
        quarantined_rows: Rows that were set aside.
    """

    bucket: str
    key: str
    version_id: str | None
    sha256: str
    received_at: str
    rows: int
    table: str
    accepted_uri: str | None = None
    accepted_sha256: str | None = None
    quarantined_rows: int = 0

    @property
    def accepted(self) -> SourceObject | None:
        """The file of the rows that count as an object of its own, where rows were set aside."""
        if self.accepted_uri is None or self.accepted_sha256 is None:
            return None
        bucket, _, key = self.accepted_uri.removeprefix("s3://").partition("/")
        return SourceObject(
            bucket, key, None, self.accepted_sha256, self.received_at, self.rows, self.table
        )


def source_of(delivery: Mapping[str, Any]) -> SourceObject:
    """Return a delivery as a manifest names it."""
    return SourceObject(
        bucket=delivery["bucket"], key=delivery["key"], version_id=delivery.get("version_id"),
        sha256=delivery["delivery_id"], received_at=delivery["received_at"],
        rows=int(delivery["rows"]), table=delivery.get("table", PRIMARY),
        accepted_uri=delivery.get("accepted_uri"), accepted_sha256=delivery.get("accepted_sha256"),
        quarantined_rows=int(delivery.get("quarantined_rows") or 0),
    )  # fmt: skip


@dataclass(frozen=True)
class FeatureFile:
    """A Parquet file of a group's version, made of one delivery."""

    uri: str
    version_id: str | None
    sha256: str
    rows: int
    delivery_id: str


@dataclass(frozen=True)
class JoinedView:
    """A view with the files and source objects that its features came from."""

    view: PinnedView
    files: Sequence[FeatureFile]
    sources: Sequence[SourceObject]


@dataclass(frozen=True)
class Built:
    """What was built, beside its declaration.

    Attributes:
        counts: Of :func:`steward.domain.datasets.choose_examples`.
        spine_digest: Logical digest of the examples before features.
        border: Of a split by time: what was asked for after it judges.
    """

    sources: Sequence[SourceObject]
    views: Sequence[JoinedView]
    cutoff: datetime
    counts: Mapping[str, int]
    spine_digest: str
    logical_digest: str
    parts: Mapping[str, PartFile]
    report: JoinReport
    examples_sha256: str
    event_time_only: bool = False
    border: str | None = None
    engine: Mapping[str, str] = field(default_factory=lambda: DUCKDB)


@cache
def code_digest() -> str:
    """Return the digest of the modules that decide what a dataset holds."""
    folder = Path(__file__).parent
    texts = {name: file_digest(folder / f"{name}.py") for name in _CODE}
    return digest_of(texts)


def moment(text: str) -> datetime:
    """Return an item's time as an aware datetime."""
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)


def cutoff_of(sources: Sequence[SourceObject], views: Sequence[JoinedView]) -> datetime:
    """Return the knowledge cutoff: the newest receipt of all deliveries that are used."""
    used = [*sources, *(source for view in views for source in view.sources)]
    return max(moment(source.received_at) for source in used)


def manifest_of(project: Project, built: Built) -> dict[str, Any]:
    """Return the manifest without its id, which is its digest."""
    return {
        "schema_version": SCHEMA,
        "project": project.project,
        "cutoff": built.cutoff.astimezone(UTC).isoformat(timespec="milliseconds"),
        "sources": [asdict(source) for source in built.sources],
        "declaration": _declaration(project),
        "order": "sources in order of receipt; the latest row of an entity wins"
        if project.data.keep == "latest_per_entity"
        else "sources in order of receipt; every row is an example",
        "split": {
            **project.split.model_dump(mode="json"), "hash": "sha256(salt:entity), 53 bits",
            **({"border": built.border} if built.border else {}),
        },
        "seed": project.evaluation.seed,
        "features": [_feature(found) for found in built.views],
        "rules": RULES,
        "event_time_only": built.event_time_only,
        "code": {"sha256": code_digest()},
        "engine": {**built.engine, "version": engine_version()},
        "counts": dict(built.counts),
        "spine_digest": built.spine_digest,
        "row_order": ORDER,
        "rows": sum(part.rows for part in built.parts.values()),
        "logical_digest": built.logical_digest,
        "parts": {
            name: {
                "rows": part.rows, "positives": part.positives, "sha256": part.sha256,
                "csv_sha256": part.csv_sha256, "logical_digest": part.logical_digest,
            }
            for name, part in built.parts.items()
        },
        "knowledge": {
            "rows_with_later_knowledge": built.report.rows_with_later_knowledge,
            "views": [asdict(view) for view in built.report.views],
            "warnings": warnings_of(built),
        },
        "examples_sha256": built.examples_sha256,
    }  # fmt: skip


def dataset_key(
    project: Project, sources: Sequence[SourceObject], views: Sequence[JoinedView]
) -> str:
    """Return what recognises a dataset before it is built: all that decides its bytes.

    What joins the views is not among it: DuckDB and Athena give the same rows and bytes. A
    dataset that the other engine joined is as good, and its manifest says so.
    """
    return step_key(
        "dataset",
        {
            "manifest_schema": SCHEMA,
            "sources": [asdict(source) for source in sources],
            "declaration": _declaration(project),
            "split": project.split.model_dump(mode="json"),
            "seed": project.evaluation.seed,
            "features": [_feature(found) for found in views],
            "code": code_digest(),
            "engine": engine_version(),
        },
    )


def config_digest(described: Mapping[str, Any]) -> str:
    """Return the digest of ``job.json`` without the run that it names."""
    return digest_of({name: value for name, value in described.items() if name != "run_id"})


def _declaration(project: Project) -> dict[str, Any]:
    """Return the part of the declaration that decides a dataset, to build it again from."""
    declared = project.model_dump(mode="json")
    kept = {name: declared[name] for name in ("data", "feature_groups", "features", "split")}
    return {**kept, "smoke_examples": project.serving.smoke.examples}


def project_of(manifest: Mapping[str, Any]) -> Project:
    """Return a project that builds the same dataset: what decides none has its default.

    Raises:
        InvalidProjectError: The declaration is none that this code understands.
    """
    declared = dict(manifest["declaration"])
    return parse_project(
        {
            "project": manifest["project"],
            "owner": "rebuild",
            "serving": {"smoke": {"examples": declared.pop("smoke_examples")}},
            "evaluation": {"seed": manifest["seed"]},
            **declared,
        }
    )


def _feature(joined: JoinedView) -> dict[str, Any]:
    group = joined.view.group
    return {
        "view": joined.view.label,
        "group": group.feature_group,
        "version": joined.view.version,
        "definition": group.model_dump(mode="json"),
        "definition_digest": group.definition_digest,
        "source_table": joined.view.table.model_dump(mode="json"),
        "use": joined.view.use.model_dump(mode="json"),
        "ttl_s": group.ttl_s,
        "known_at_is_backfilled": group.is_backfill,
        "sources": [asdict(source) for source in joined.sources],
        "files": [asdict(file) for file in joined.files],
    }


NULLS_WORTH_A_WARNING = 0.1


def warnings_of(built: Built) -> list[str]:
    """Return what a person should know about the features' knowledge."""
    found = []
    for joined, report in zip(built.views, built.report.views, strict=True):
        if joined.view.group.is_backfill:
            found.append(f"{report.view}: known_at is a backfill's delay, not an observation")
        rows = max(1, built.report.rows)
        if (report.null_by_known_at or 0) / rows > NULLS_WORTH_A_WARNING:
            found.append(
                f"{report.view}: {report.null_by_known_at} of {rows} rows are null because nothing"
                " was known yet at their prediction time"
            )
    if built.event_time_only:
        found.append(
            f"joined by event time alone: {built.report.rows_with_later_knowledge} rows hold"
            " values from the future"
        )
    return found


def dataset_id_of(manifest: Mapping[str, Any]) -> str:
    """Return the id of a dataset: the beginning of its manifest's digest."""
    return digest_of(dict(manifest))[:ID_DIGITS]


def combined_digest(parts: Sequence[str]) -> str:
    """Return the multiset digest of a whole from those of its parts."""
    return f"{sum(int(part, 16) for part in parts) % (1 << 256):064x}"


def bytes_digest(content: bytes) -> str:
    """Return the SHA-256 of bytes."""
    return sha256(content).hexdigest()
