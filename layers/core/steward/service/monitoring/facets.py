"""The facets of a project's ``bias`` in its traffic, and what they were on held-out rows.

Definitions are those of the evaluation job: the same section of ``project.yaml``, the same rates
and names. Only features are captured, so that an attribute that is none cannot be watched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from steward.domain.bias.counts import GroupCounts
from steward.domain.bias.declaration import Bias
from steward.domain.bias.evidence import BiasEvidence
from steward.domain.errors import EvidenceIncompleteError
from steward.domain.monitoring import bias_drift
from steward.domain.monitoring.labelled_rows import Decision, LabelledWindow, WatchedFacet
from steward.domain.monitoring.looks import GroupLook
from steward.domain.tables import Label
from steward.domain.versions import version_item
from steward.ports import Item, ObjectStore, StateStore, Table

LOOKS = 336
"""Looks over which a false alarm has a chance of at most :data:`ALPHA`: each has its part."""

ALPHA = 0.05
_STATES: Mapping[str, str] = {"held": "ok", "drifted": "drifted"}


@dataclass(frozen=True)
class Facets:
    """What is watched of one version.

    Attributes:
        declared: The project's section.
        decision: What a favourable outcome is.
        before: Held-out counts by facet, of the version's ``bias.json``.
        missing: Why there are none.
    """

    declared: Bias
    decision: Decision
    before: Mapping[str, Mapping[str, GroupCounts]] = field(default_factory=dict)
    missing: str = ""

    @property
    def watched(self) -> list[WatchedFacet]:
        """All; an attribute that is no feature is told with outcomes."""
        return [
            WatchedFacet(
                facet.name(attribute.column),
                attribute.column,
                facet,
                withheld=not attribute.feature,
            )
            for attribute in self.declared.attributes
            for facet in attribute.facets
        ]


def bias_declared(configured: Item) -> Bias | None:
    """Return what a configured project declares of bias."""
    section = (configured.get("config") or {}).get("bias")
    return None if section is None else Bias.model_validate(section)


def facets_of(
    configured: Item, version: int, state: StateStore, objects: ObjectStore
) -> Facets | None:
    """Return the facets of a project, with what they were on a version's held-out rows."""
    declared = bias_declared(configured)
    if declared is None:
        return None
    given = ((configured.get("config") or {}).get("data") or {}).get("label")
    label = Label.model_validate(given or {"name": "label"})
    labels, positive = declared.favours(label)
    cut = declared.favourable.cut
    threshold = declared.favourable.threshold if cut is None else cut.at
    decision = Decision(threshold, positive, cut)
    key = {"project": configured["project"], "item": version_item(version)}
    named = (state.get(Table.VERSIONS, key) or {}).get("bias")
    if not isinstance(named, dict):
        return Facets(declared, decision, missing=f"version {version} has no bias.json")
    try:
        content = objects.read(str(named["uri"]))
        evidence = BiasEvidence.model_validate_json(content)
    except (EvidenceIncompleteError, ValidationError):
        return Facets(declared, decision, missing=f"{named['uri']} cannot be read")
    if hashlib.sha256(content).hexdigest() != named["digest"]:
        return Facets(declared, decision, missing=f"{named['uri']} is not the one registered")
    if (evidence.threshold, evidence.favourable) != (threshold, labels):
        told = f"version {version} was evaluated with another favourable outcome"
        return Facets(declared, decision, missing=told)
    before = {facet.name: {"a": facet.a, "d": facet.d} for facet in evidence.facets}
    return Facets(declared, decision, before)


def look_at_facets(
    facets: Facets, windows: Sequence[LabelledWindow], margin: float
) -> list[GroupLook]:
    """Judge all facets and metrics of the trailing windows together.

    Args:
        facets: What is watched.
        windows: Labelled windows; their counts are summed.
        margin: How far a difference may move from held-out rows.
    """
    pairs: list[bias_drift.Pair] = []
    columns: list[str] = []
    untold: list[str] = []
    for watched in facets.watched:
        now: dict[str, GroupCounts] = {}
        for window in windows:
            for side, counts in window.groups.get(watched.name, {}).items():
                now[side] = now[side].merge(counts) if side in now else counts
        if watched.withheld and not now:
            untold.append(watched.column)
            continue
        found = bias_drift.facet_pairs(
            watched.name, facets.declared.metrics, now, facets.before.get(watched.name), margin
        )
        pairs += found
        columns += [watched.column] * len(found)
    verdicts = bias_drift.judged_pairs(
        pairs, alpha=ALPHA / LOOKS, minimum=facets.declared.minimum_rows
    )
    looks = [
        _look(column, pair, verdict, facets.missing)
        for column, pair, verdict in zip(columns, pairs, verdicts, strict=True)
    ]
    return looks + [_untold(name) for name in dict.fromkeys(untold)]


def _look(
    column: str, pair: bias_drift.Pair, one: bias_drift.GroupVerdict, missing: str
) -> GroupLook:  # fmt: skip
    metric, facet = one.name or one.metric, one.group.rpartition(": ")[0]
    said = f"{facet}: {metric} is not judged, {one.reason}."
    if one.value is not None and one.lower is not None and one.upper is not None:
        was = f"of held-out rows it was {one.baseline:.3f}" if one.baseline is not None else (
            missing or "too few held-out rows to compare with"
        )  # fmt: skip
        said = (
            f"{facet}: {metric} is {one.value:.3f} ({one.lower:.3f} to {one.upper:.3f}), "
            f"{one.verdict} by its bounds {pair.rule.lower:g} to {pair.rule.upper:g}; {was}."
        )
    return GroupLook.model_validate({
        "column": column, "group": facet, "metric": metric,
        "state": _STATES.get(one.drift, "inconclusive"), "current": one.value,
        "baseline": one.baseline, "n": min(one.denominators), "sentence": said,
    })  # fmt: skip


def _untold(column: str) -> GroupLook:
    return GroupLook(
        column=column, group=column, metric="none", state="inconclusive", current=None,
        baseline=None, n=0,
        sentence=f"{column} is no feature, and no outcome told it beside the label.",
    )  # fmt: skip
