"""How predictions did: labels that came in time, estimates until then, groups."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import reduce
from pathlib import Path
from typing import Any, cast

from steward.domain.digests import digest_of
from steward.domain.experiments.captures import keep_outcomes
from steward.domain.monitoring import bias_drift
from steward.domain.monitoring.declaration import Labels
from steward.domain.monitoring.estimation import estimated
from steward.domain.monitoring.labelled_rows import (
    Decision,
    LabelledWindow,
    count_unknown,
    join_labels,
    window_scores,
)
from steward.domain.monitoring.looks import (
    AlarmState,
    EstimateLook,
    GroupLook,
    MetricLook,
    PerformanceLook,
    window_start,
)
from steward.domain.monitoring.metric_estimates import Metric, measured
from steward.domain.monitoring.opinion_records import CalibrationLook
from steward.domain.monitoring.opinions import calibration_look
from steward.domain.monitoring.performance import judged
from steward.domain.monitoring.performance_statistics import Classification, Regression
from steward.domain.monitoring.records import look_item, version_place
from steward.domain.workspace import lock, workspace
from steward.ports import Item, Table
from steward.service.monitoring.alarming import own_memory, performance_alarm
from steward.service.monitoring.facets import ALPHA, LOOKS, Facets, look_at_facets
from steward.service.monitoring.held_out import HeldOut, read_held_out
from steward.service.monitoring.profiling import Bench
from steward.service.monitoring.windows import chunks_of, predictions_files

Rows = Classification | Regression

TRAILING = 24
"""Windows of labelled predictions that a figure is of; the alarm over time has its own memory."""

MAX_UNKNOWN_ROWS = 2_000_000
"""Predictions up to which it is counted whose labels are of none of them."""


@dataclass
class Labelling:
    """What labels are joined with, of one project and version.

    Attributes:
        positive: The label whose probability is predicted; None of a regression.
        baseline_uri: Where the baseline lies; the held-out predictions lie beside it.
        facets: What ``bias`` declares, None where nothing is.
        beside: The version, where it is looked at beside the one that counts for the project.
        outcomes: What was read already, by object; versions share it.
    """

    bench: Bench
    project: str
    version: int
    declared: Labels
    window_s: int
    by_entity: bool
    positive: bool | int | float | str | None
    baseline_uri: str
    facets: Facets | None = None
    beside: int | None = None
    outcomes: dict[str, Path] = field(default_factory=dict)

    def held_out(self) -> HeldOut | None:
        """Return the version's held-out rows, None where they are not kept."""
        return read_held_out(
            self.bench.objects, self.baseline_uri, self.declared.groups,
            by_entity=self.by_entity, numbers=self.positive is None,
        )  # fmt: skip


def judge_labels(
    labelling: Labelling, number: int, due_ms: int, before: dict[str, Any] | None
) -> tuple[PerformanceLook | None, AlarmState, Item]:
    """Judge the window whose time for labels ends with this look, and estimate the look's own.

    Args:
        labelling: Whose labels.
        number: The window that is looked at, since the epoch.
        due_ms: Labels recorded by then count.
        before: What the look before kept: the alarm's memory.

    Returns:
        What is recorded, the state of the alarm on groups, and what the look's item keeps.
    """
    held_out = labelling.held_out()
    if held_out is None:
        return None, "off", {}
    wait = -(-labelling.declared.max_delay_s // labelling.window_s)
    matured = number - wait
    labelled, unknown = _matured(labelling, held_out, matured, number, due_ms)
    kept, uri = _keep(labelling, matured, labelled)
    trailing = [labelled, *_trailing(labelling, number)]
    alarm = performance_alarm(labelling.declared, held_out.rows, labelled.rows, trailing,
                              own_memory(before, labelling.version))  # fmt: skip
    groups, bias = _bias(labelling, held_out, trailing)
    rows = _merged(trailing)
    performance = PerformanceLook(
        state=alarm.state, sentence=alarm.sentence,
        predictions=sum(one.predictions for one in trailing), labelled=rows.n if rows else 0,
        delay_s=labelled.delay_s, unknown=unknown, contradicting=labelled.contradicting,
        through=window_start(matured, labelling.window_s),
        realised=tuple(_realised(labelling, held_out, rows)) if rows else (),
        estimated=tuple(_estimated(labelling, held_out, number)), groups=tuple(groups),
        calibration=_calibration(rows, held_out),
        alarm={**alarm.recorded, "labels": kept, **_unusable(labelled)},
    )  # fmt: skip
    memory = {
        "version": labelling.version, **alarm.memory, "labels_uri": uri, "labels_digest": kept,
    }  # fmt: skip
    return performance, bias, memory


def _calibration(rows: Rows | None, held_out: HeldOut) -> CalibrationLook | None:
    if isinstance(rows, Classification) and isinstance(held_out.rows, Classification):
        return calibration_look(rows, held_out.rows)
    return None


def _unusable(labelled: LabelledWindow) -> Item:
    return {"unusable": labelled.unusable} if labelled.unusable else {}


def _matured(
    labelling: Labelling, held_out: HeldOut, matured: int, number: int, due_ms: int
) -> tuple[LabelledWindow, int]:
    bench = labelling.bench
    positive = labelling.positive if held_out.scale is None else held_out.scale
    assert positive is not None
    chunks = _chunks(labelling, matured)
    outcomes = _outcomes(labelling, matured, due_ms)
    folder = bench.limits.folder / "labels"
    files = predictions_files(bench, chunks, folder)
    with workspace(bench.limits, "labels") as connection:
        lock(connection, bench.limits)
        found = join_labels(
            connection, files, outcomes, positive=positive, until_ms=due_ms,
            by_entity=labelling.by_entity, groups=labelling.declared.groups,
            facets=labelling.facets.watched if labelling.facets else (),
            decision=labelling.facets.decision if labelling.facets else Decision(),
        )  # fmt: skip
    unknown = 0
    if outcomes:
        unknown = _unknown(labelling, matured, number, due_ms, outcomes)
    for path in files:
        path.unlink(missing_ok=True)
    return found, unknown


def _unknown(
    labelling: Labelling, matured: int, number: int, due_ms: int, outcomes: list[Path]
) -> int:
    """Count labels that came since the look before and are of none of its predictions."""
    chunks: list[Item] = []
    for window in range(matured, number + 2):
        chunks += chunks_of(
            labelling.bench, labelling.project, window_start(window, labelling.window_s),
            labelling.window_s,
        )  # fmt: skip
    if sum(int(chunk["rows"]) for chunk in chunks) > MAX_UNKNOWN_ROWS:
        return 0
    files = predictions_files(labelling.bench, chunks, labelling.bench.limits.folder / "known")
    with workspace(labelling.bench.limits, "known") as connection:
        lock(connection, labelling.bench.limits)
        found = count_unknown(
            connection, files, outcomes, due_ms - labelling.window_s * 1000, due_ms
        )
    for path in files:
        path.unlink()
    return found


def _chunks(labelling: Labelling, number: int) -> list[Item]:
    window = window_start(number, labelling.window_s)
    found = chunks_of(labelling.bench, labelling.project, window, labelling.window_s)
    return [
        item for item in found if item["version"] == labelling.version and "predictions_uri" in item
    ]


def _outcomes(labelling: Labelling, matured: int, due_ms: int) -> list[Path]:
    """Return the project's outcomes of the days from a window on, each object read once."""
    bench = labelling.bench
    day = datetime.fromtimestamp(matured * labelling.window_s, UTC)
    day = day.replace(hour=0, minute=0, second=0, microsecond=0)
    last = datetime.fromtimestamp(due_ms / 1000, UTC)
    keys: list[str] = []
    while day <= last:
        prefix = f"outcomes/{labelling.project}/{day:%Y/%m/%d}/"
        keys += [info.key for info in bench.objects.list(bench.capture_bucket, prefix)]
        day += timedelta(days=1)
    new = [key for key in keys if key not in labelling.outcomes]
    folder = bench.limits.folder / "outcomes"
    folder.mkdir(exist_ok=True)
    start = len(labelling.outcomes)

    def fetch(place: tuple[int, str]) -> Path:
        path = folder / f"{place[0]:06d}.jsonl"
        bench.objects.download(bench.capture_bucket, place[1], str(path))
        return path

    with ThreadPoolExecutor(16) as pool:
        lines = list(pool.map(fetch, enumerate(new, start)))
    with workspace(bench.limits, "outcomes") as connection:
        lock(connection, bench.limits)
        for key, path in zip(new, lines, strict=True):
            target = path.with_suffix(".parquet")
            keep_outcomes(connection, [path], target, project=labelling.project, attributes=True)
            labelling.outcomes[key] = target
            path.unlink()
    return [labelling.outcomes[key] for key in keys if labelling.outcomes[key].exists()]


def _keep(labelling: Labelling, matured: int, found: LabelledWindow) -> tuple[str, str]:
    plain = found.as_dict()
    digest = digest_of(plain)
    place = version_place(labelling.bench.artifacts_bucket, labelling.project, labelling.version)
    window = window_start(matured, labelling.window_s).replace(":", "")
    uri = f"{place}labels/{window}-{digest[:16]}.json"
    labelling.bench.objects.write_once(uri, json.dumps(plain).encode())
    return digest, uri


def _trailing(labelling: Labelling, number: int) -> list[LabelledWindow]:
    """Return the labelled windows of the looks before, as far as a figure goes back."""
    items = labelling.bench.state.query(
        Table.MONITORING, labelling.project, prefix=look_item("", labelling.beside),
        newest_first=True, limit=TRAILING + 8,
    )  # fmt: skip
    earliest = window_start(number - TRAILING, labelling.window_s)
    own = window_start(number, labelling.window_s)
    found = []
    for item in items:
        memory = item.get("labels")
        if memory and memory["version"] == labelling.version and earliest < item["window"] < own:
            content = labelling.bench.objects.read(memory["labels_uri"])
            found.append(LabelledWindow.from_dict(json.loads(content)))
    return found


def _merged(windows: list[LabelledWindow]) -> Rows | None:
    numbers = [one.rows for one in windows if isinstance(one.rows, Regression)]
    if numbers:
        return reduce(Regression.merge, numbers)
    classes = [one.rows for one in windows if isinstance(one.rows, Classification)]
    return reduce(Classification.merge, classes) if classes else None


def _realised(labelling: Labelling, held_out: HeldOut, rows: Rows) -> list[MetricLook]:
    declared = labelling.declared
    further = cast("dict[Metric, float]", declared.further)
    asked: list[Metric] = [declared.metric, *(("rmse",) if held_out.scale else ())]
    margins = {
        metric: declared.margin_of(measured(held_out.rows, metric).value or 0.0)
        for metric in asked
    } | further  # fmt: skip
    return [
        MetricLook(
            metric=one.metric, verdict=one.verdict, method=one.method, current=one.current,
            baseline=one.baseline, worsening=one.worsening, lower=one.lower, upper=one.upper,
            margin=one.margin, confidence=one.confidence, n=one.n, needs=one.needs,
            reason=one.reason,
        )
        for one in judged(rows, held_out.rows, margins)
    ]  # fmt: skip


def _estimated(labelling: Labelling, held_out: HeldOut, number: int) -> list[EstimateLook]:
    chunks = _chunks(labelling, number)
    if not chunks or not isinstance(held_out.rows, Classification):
        return []
    bench = labelling.bench
    files = predictions_files(bench, chunks, bench.limits.folder / "scores")
    with workspace(bench.limits, "scores") as connection:
        lock(connection, bench.limits)
        scores = window_scores(connection, files)
    for path in files:
        path.unlink()
    if scores is None:
        return []
    return [
        EstimateLook(
            metric=one.metric, state=one.verdict, value=one.value, lower=one.lower,
            upper=one.upper, method="cbpe", n=one.n, limits=" ".join(one.limits),
            reason=one.reason,
        )
        for one in estimated(scores, held_out.rows, (labelling.declared.metric,))
    ]  # fmt: skip


def _bias(
    labelling: Labelling, held_out: HeldOut, trailing: list[LabelledWindow]
) -> tuple[list[GroupLook], AlarmState]:
    """Compare groups with the largest one, facets with each other, both with held-out rows."""
    found: list[GroupLook] = []
    for column in labelling.declared.groups:
        current = _merged_groups(trailing, column)
        before = held_out.groups.get(column, {})
        if len(current) < 2:
            continue
        reference = max(before or current, key=lambda name: ((before or current)[name].n, name))
        if reference not in current:
            continue
        verdicts = bias_drift.judged(
            current, before, reference, _rules(labelling.declared), alpha=ALPHA / LOOKS,
            minimum=labelling.declared.group_minimum,
        )  # fmt: skip
        for one in verdicts:
            state = {"held": "ok", "drifted": "drifted"}.get(one.drift, "inconclusive")
            found.append(
                GroupLook(
                    column=column, group=f"{one.group} / {one.reference}", metric=one.metric,
                    state=state, current=one.value, baseline=one.baseline,
                    n=min(one.denominators), sentence=_said(column, one),
                )
            )  # fmt: skip
    if labelling.facets is not None:
        found += look_at_facets(labelling.facets, trailing, labelling.declared.group_margin)
    if any(group.state == "drifted" for group in found):
        return found, "alarm"
    if not found:
        return found, "off"
    return found, "ok" if any(group.state == "ok" for group in found) else "inconclusive"


def _rules(declared: Labels) -> list[bias_drift.Rule]:
    return [
        rule if rule.comparison == "ratio"
        else rule.model_copy(update={"drift": declared.group_margin})
        for rule in bias_drift.DEFAULT_RULES
    ]  # fmt: skip


def _said(column: str, one: bias_drift.GroupVerdict) -> str:
    if one.value is None:
        needs = "" if one.needs is None else f" needs n = {one.needs}"
        return f"{column} {one.group}: {one.metric} is not judged.{needs}"
    was = "not known" if one.baseline is None else f"{one.baseline:.3f}"
    return (
        f"{column} {one.group} against {one.reference}: {one.comparison} of {one.metric} is "
        f"{one.value:.3f}, of held-out rows it was {was}."
    )


def _merged_groups(windows: list[LabelledWindow], column: str) -> dict[str, bias_drift.GroupCounts]:
    total: dict[str, bias_drift.GroupCounts] = {}
    for window in windows:
        for value, counts in window.groups.get(column, {}).items():
            total[value] = total[value].merge(counts) if value in total else counts
    return total
