"""Two versions side by side, as their records and evidence say; what is missing is shown so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict

from steward.domain.digests import canonical_json

Document = Mapping[str, Any]
_ABOUT = (
    "state", "author", "created_at", "run_id", "quorum", "description", "tags", "aliases",
    "approvals", "expires_at",
)  # fmt: skip
_CODE = ("code_digest", "job_image", "artifact_sha256")
_MANY = 200
"""Rows that a section lists; differences come before what is the same."""


@dataclass(frozen=True)
class Side:
    """What is known of one version; a document that it does not have is None.

    Attributes:
        record: Its record in the registry, with ``aliases``.
        config: The pinned ``project.yaml`` of its run.
        dataset: The manifest of its dataset.
    """

    record: Document
    evidence: Document | None = None
    evaluation: Document | None = None
    config: Document | None = None
    dataset: Document | None = None
    bias: Document | None = None
    explanation: Document | None = None
    card: Document | None = None
    comparison: Document | None = None

    @property
    def version(self) -> int:
        """Its number."""
        return int(self.record["version"])


class _Result(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Estimate(_Result):
    """A metric with its interval; None is undefined or missing, ``because`` tells why."""

    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    because: str | None = None


class MetricRow(_Result):
    """One metric of both, over all held-out rows or those of a slice.

    Attributes:
        slice: ``column = value``, empty for all rows.
        rows_a: Held-out rows behind it.
    """

    metric: str
    slice: str = ""
    a: Estimate | None
    b: Estimate | None
    rows_a: int | None = None
    rows_b: int | None = None


class Row(_Result):
    """One fact of both; None is missing."""

    name: str
    a: Any = None
    b: Any = None
    same: bool


class Section(_Result):
    """Facts of one kind.

    Attributes:
        missing: The versions that have no such document.
        left_out: Rows beyond the number that is listed.
    """

    title: str
    rows: list[Row] = []
    missing: list[int] = []
    left_out: int = 0


class Residual(_Result):
    """Label minus prediction of held-out rows of similar prediction, of a regression.

    Attributes:
        predicted: Their mean prediction.
        mean: Mean residual, with its 95 % limits where there is more than one row.
        low: A tenth of the residuals lies below.
        high: A tenth lies above.
    """

    rows: int
    predicted: float
    mean: float
    lower: float | None
    upper: float | None
    low: float
    high: float


class VersionComparison(_Result):
    """Two versions of one project.

    Attributes:
        same_rows: Whether both were evaluated on rows of the same dataset.
        judged: What the gate's paired comparison said, where one was the other's champion.
        residuals: By version; empty for a class.
    """

    project: str
    a: int
    b: int
    same_rows: bool
    metrics: list[MetricRow]
    slices: list[MetricRow]
    judged: dict[str, Any] | None
    residuals: dict[int, list[Residual]] = {}
    sections: list[Section]

    @property
    def differences(self) -> int:
        """Facts that are not the same."""
        return sum(not row.same for section in self.sections for row in section.rows)


def compare_versions(a: Side, b: Side) -> VersionComparison:
    """Return two versions side by side.

    Intervals of two versions are shown, not tested against each other: whether one is better
    is judged on the same rows, by the gate, and told in ``judged`` where that was done.
    """
    return VersionComparison(
        project=str(a.record["project"]), a=a.version, b=b.version,
        same_rows=_same_rows(a, b),
        metrics=_metrics(a.evaluation, b.evaluation),
        slices=_slices(a.evaluation, b.evaluation),
        judged=_judged(a, b),
        residuals={
            side.version: found for side in (a, b) if (found := _residuals(side.evaluation))
        },
        sections=[
            _section("Version", a, b, _picked(a.record, _ABOUT), _picked(b.record, _ABOUT)),
            _section("Data", a, b, a.dataset, b.dataset),
            _section("Code and environment", a, b, _code(a), _code(b)),
            _section("Parameters", a, b, a.config, b.config),
            _section("Gate", a, b, a.record.get("gate"), b.record.get("gate")),
            _section("Bias", a, b, a.bias, b.bias),
            _section("Explanation", a, b, a.explanation, b.explanation),
            _section("Card", a, b, a.card, b.card),
            _section("Imported from", a, b, a.record.get("imported"), b.record.get("imported")),
        ],
    )  # fmt: skip


def _residuals(evaluation: Document | None) -> list[Residual]:
    return [
        Residual(
            rows=point["rows"], predicted=point["mean_predicted"], mean=point["mean_residual"],
            lower=point["lower"], upper=point["upper"], low=point["low"], high=point["high"],
        )
        for point in (evaluation or {}).get("residuals") or ()
    ]  # fmt: skip


def _same_rows(a: Side, b: Side) -> bool:
    one, other = a.record.get("dataset_id"), b.record.get("dataset_id")
    return one is not None and one == other and one != "unproven"


def _judged(a: Side, b: Side) -> dict[str, Any] | None:
    for newer, older in ((b, a), (a, b)):
        found = newer.comparison
        if newer.record.get("champion_version") != older.version or not found:
            continue
        names = ("verdict", "rows", "candidate_loss", "champion_loss", "difference", "lower",
                 "upper", "superior")  # fmt: skip
        if found.get("verdict") is not None:
            told = {name: found.get(name) for name in names}
            return {"candidate": newer.version, "champion": older.version, **told}
    return None


def _picked(document: Document, names: Iterable[str]) -> dict[str, Any]:
    return {name: document[name] for name in names if document.get(name) not in (None, "", [], {})}


def _code(side: Side) -> dict[str, Any]:
    artifact = (side.evidence or {}).get("artifact") or {}
    return _picked({**side.record, "artifact_sha256": artifact.get("sha256")}, _CODE)


def _estimates(found: Iterable[Document]) -> dict[str, Estimate]:
    return {
        str(metric["metric"]): Estimate(
            value=metric.get("value"), lower=metric.get("lower"), upper=metric.get("upper"),
            because=metric.get("undefined_because"),
        )
        for metric in found
    }  # fmt: skip


def _metrics(a: Document | None, b: Document | None) -> list[MetricRow]:
    one, other = (
        _estimates((a or {}).get("metrics") or []),
        _estimates((b or {}).get("metrics") or []),
    )
    return [
        MetricRow(
            metric=name, a=one.get(name), b=other.get(name),
            rows_a=a.get("rows") if a else None, rows_b=b.get("rows") if b else None,
        )
        for name in dict.fromkeys([*one, *other])
    ]  # fmt: skip


def _slices(a: Document | None, b: Document | None) -> list[MetricRow]:
    one, other = _by_slice(a), _by_slice(b)
    found: list[MetricRow] = []
    for name in sorted({*one, *other}):
        mine, theirs = one.get(name) or {}, other.get(name) or {}
        left, right = (
            _estimates(mine.get("metrics") or []), _estimates(theirs.get("metrics") or []),
        )  # fmt: skip
        found += [
            MetricRow(
                metric=metric, slice=name, a=left.get(metric), b=right.get(metric),
                rows_a=mine.get("rows"), rows_b=theirs.get("rows"),
            )
            for metric in dict.fromkeys([*left, *right])
        ]  # fmt: skip
    return found


def _by_slice(evaluation: Document | None) -> dict[str, Document]:
    parts = (evaluation or {}).get("slices") or []
    return {f"{part['column']} = {part['value']}": part for part in parts}


def _section(title: str, a: Side, b: Side, left: Any, right: Any) -> Section:
    missing = [
        side.version for side, document in ((a, left), (b, right))
        if not isinstance(document, Mapping) or not document
    ]  # fmt: skip
    flat = _Flat()
    one, other = flat.of(left), flat.of(right)
    rows = [
        Row(name=name, a=one.get(name), b=other.get(name), same=one.get(name) == other.get(name))
        for name in dict.fromkeys([*one, *other])
    ]
    rows.sort(key=lambda row: row.same)
    return Section(
        title=title, rows=rows[:_MANY], missing=missing, left_out=max(0, len(rows) - _MANY)
    )


@dataclass
class _Flat:
    """Documents as one level of names; items of lists are known by what names them."""

    names: tuple[str, ...] = field(
        default=("name", "delivery_id", "identity", "metric", "column", "feature", "group")
    )

    def of(self, document: Any) -> dict[str, Any]:
        """Return leaves by dotted name."""
        found: dict[str, Any] = {}
        if isinstance(document, Mapping):
            self._walk(document, "", found)
        return found

    def _walk(self, value: Any, path: str, found: dict[str, Any]) -> None:
        if isinstance(value, Mapping) and value:
            for name in sorted(value):
                self._walk(value[name], f"{path}.{name}" if path else str(name), found)
        elif isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
            for number, part in enumerate(value):
                self._walk(part, f"{path}[{self._name(part, number)}]", found)
        elif isinstance(value, list):
            found[path] = canonical_json(value).decode() if value else None
        elif value is not None and value != {}:
            found[path] = value

    def _name(self, part: Document, number: int) -> str:
        for name in self.names:
            if isinstance(part.get(name), str):
                return str(part[name])[:40]
        return str(number)
