"""``bias.json``: what is known of a version's bias before it is released.

It holds counts, metrics and verdicts of facets and groups, and no single row.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from steward.domain.bias.by_group import ByGroup
from steward.domain.bias.counts import GroupCounts
from steward.domain.bias.declaration import Facet
from steward.domain.bias.names import Mode
from steward.domain.bias.report import BiasReport
from steward.domain.bias.verdicts import BiasVerdict, Correction
from steward.domain.declaration import Scalar


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class FacetRows(_Part):
    """How many training rows the pre-training metrics are of.

    Attributes:
        missing: Rows without a value of the attribute; they belong to no facet.
    """

    rows_a: int
    rows_d: int
    missing: int


class FacetEvidence(_Part):
    """One facet.

    Attributes:
        name: Such as ``sex = 2``.
        column: The protected attribute.
        rule: Who is facet d.
        missing: Held-out rows without a value of the attribute; they belong to no facet.
        training: Rows of the pre-training metrics. ``rows_a`` and ``rows_d`` of the report are
            of held-out rows, which the post-training metrics are of.
        a: Held-out predictions of facet a: what monitoring compares live ones with.
        d: The same of facet d.
        report: Every metric with its interval.
        verdicts: One for each bound.
    """

    name: str
    column: str
    rule: Facet
    missing: int
    training: FacetRows
    a: GroupCounts
    d: GroupCounts
    report: BiasReport
    verdicts: list[BiasVerdict]


class BiasEvidence(_Part):
    """The whole document.

    Attributes:
        heldout_sha256: Of the held-out rows.
        unit: What one count is: a row (``event``), or the first row of an entity (``entity``).
        minimum_rows: Of a metric's own denominator.
        favourable: Label values that people want.
        threshold: Probability from which the positive label is predicted; of a regression the
            number that parts favourable ones from others.
        task: What the model predicts.
        correction: Of multiple tests, over all facets and bounds.
        facets: In the order of their declaration.
        groups: Each metric by group of each attribute and intersection.
        verdict: ``hold``: some bound is proved broken. ``pass``: all are proved kept.
        notes: What could not be computed, and why.
    """

    schema_version: Literal["1"] = "1"
    project: str
    run_id: str
    heldout_sha256: str
    unit: Literal["entity", "event"]
    mode: Mode
    confidence: float
    minimum_rows: int
    favourable: list[Scalar]
    threshold: float
    task: Literal["binary", "regression"] = "binary"
    correction: Correction
    facets: list[FacetEvidence]
    groups: list[ByGroup]
    verdict: Literal["pass", "hold", "inconclusive"]
    notes: list[str]
