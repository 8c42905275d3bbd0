"""What a look saw, as its record, its item and its event."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from steward.contracts.events import WindowJudged
from steward.domain.digests import digest_of
from steward.domain.monitoring.attribution_records import AttributionLook
from steward.domain.monitoring.declaration import Monitoring
from steward.domain.monitoring.looking import (
    Counted,
    Judged,
    alarm_look,
    alarm_settings,
    window_look,
    window_settings,
)
from steward.domain.monitoring.looks import (
    AlarmKind,
    AlarmLook,
    AlarmState,
    Captured,
    Look,
    PerformanceLook,
    SegmentLook,
    window_number,
    window_start,
)
from steward.domain.monitoring.opinion_records import MultivariateLook
from steward.domain.monitoring.records import HEAD, look_item
from steward.ports import Absent, Condition, Equals, Item, Put, Table
from steward.service.monitoring.baselines import Found
from steward.service.monitoring.row_sampling import Sampled
from steward.service.monitoring.transitions import Alarms
from steward.service.monitoring.windows import Summed


@dataclass(frozen=True)
class Watched:
    """Whose windows are looked at, and as declared."""

    project: str
    declared: Monitoring

    @property
    def window_s(self) -> int:
        """Length of its windows."""
        return self.declared.window_s


@dataclass(frozen=True)
class Said:
    """What the statistics say of a window; nothing where there is no baseline.

    Attributes:
        history: Digest of each earlier window's sum, by its start.
    """

    judged: Judged | None = None
    history: dict[str, str] = field(default_factory=dict)
    segments: tuple[SegmentLook, ...] = ()
    multivariate: tuple[MultivariateLook, ...] = ()
    attribution: AttributionLook | None = None


@dataclass(frozen=True)
class LabelsSaid:
    """What labels say at a look; nothing where it is looked at again."""

    performance: PerformanceLook | None = None
    bias: AlarmState = "off"
    memory: Item = field(default_factory=dict)


@dataclass(frozen=True)
class Scene:
    """What is looked at: one window, the version that counts there, and its rows."""

    window: str
    revision: int
    version: int | None
    found: Found
    summed: Summed
    rows: dict[int, int]
    unprofiled: dict[str, int]
    late: int
    before: Item | None
    segments: dict[str, Summed] = field(default_factory=dict)
    sampled: Sampled = field(default_factory=Sampled)


def record_of(
    project: Watched,
    scene: Scene,
    said: Said,
    head: Item | None,
    alarms: Alarms,
    labels: LabelsSaid,
    *,
    changes: bool,
) -> Look:
    """Return the record of a look.

    Args:
        project: Whose window.
        scene: Its rows.
        said: What the statistics say.
        head: What the look before left.
        alarms: As they were.
        labels: What labels say.
        changes: Whether alarms may change: not where an older window is looked at again.
    """
    declared, judged = project.declared, said.judged
    silent_since = _silent_since(project, scene, head)
    no_data = _no_data(project, scene, silent_since)
    drift = _drift(project, scene, judged)
    performance = labels.performance
    found: dict[AlarmKind, AlarmState] = {"drift": drift.state, "no_data": no_data.state}
    if performance is not None:
        found |= {"performance": performance.state, "bias": labels.bias}
    if said.attribution is not None:
        found["attribution"] = said.attribution.state
    elif declared.attribution is None and alarms.before("attribution", scene.version) == "alarm":
        found["attribution"] = "off"
    moved = alarms.transitions(found, scene.version, declared) if changes else []
    after = {kind: alarms.before(kind, scene.version) for kind in alarms.items}
    if declared.attribution is None:
        after["attribution"] = "off"
    after |= {one.kind: one.after for one in moved}
    own = scene.rows.get(scene.version, 0) if scene.version is not None else 0
    counted = scene.summed.counted
    look = Look(
        project=project.project, window=scene.window, window_s=project.window_s,
        revision=scene.revision, unit=declared.unit, version=scene.version,
        baseline=scene.found.baseline.digest if scene.found.baseline else None,
        baseline_uri=scene.found.uri, profile=counted.digest if counted else None,
        profile_uri=scene.summed.uri, history=said.history,
        settings={
            "window": window_settings(declared).model_dump(mode="json"),
            "alarm": alarm_settings(declared).model_dump(mode="json"),
            "declared": declared.model_dump(mode="json"), "silent_since": silent_since,
        },
        captured=Captured(
            rows=max(0, own - scene.summed.repeated),
            entities=_entities(counted),
            other_versions={v: n for v, n in scene.rows.items() if v != scene.version},
            chunks=scene.summed.chunks, duplicates=scene.summed.repeated, late=scene.late,
            quarantined=scene.unprofiled,
        ),
        window_verdict=window_look(judged.window) if judged else None,
        drift=drift, no_data=no_data, performance=performance, bias=labels.bias, alarms=after,
        segments=said.segments, multivariate=said.multivariate,
        attribution=said.attribution, sample=scene.sampled.digest,
        sample_uri=scene.sampled.uri,
        transitions=tuple(moved), sentence="",
    )  # fmt: skip
    given = {name: getattr(look, name) for name in Look.model_fields}
    return Look(**{**given, "sentence": _sentence(look)})


def _entities(counted: Counted | None) -> int | None:
    entities = getattr(counted, "entities", None)
    return None if entities is None else round(entities)


def _drift(project: Watched, scene: Scene, judged: Judged | None) -> AlarmLook:
    if judged is not None:
        return alarm_look(judged.alarm, project.window_s)
    why = f"Nothing is judged: {scene.found.missing}."
    digest = digest_of([project.project, scene.window, why])
    return AlarmLook(state="off", sentence=why, digest=digest, inputs_digest=digest)


def _silent_since(project: Watched, scene: Scene, head: Item | None) -> str:
    """Return the end of the last window with rows, or when the watch began."""
    if scene.rows or head is None:
        number = window_number(scene.window, project.window_s) + (1 if scene.rows else 0)
        return window_start(number, project.window_s)
    return str(head["silent_since"])


def _no_data(project: Watched, scene: Scene, since: str) -> AlarmLook:
    allowed = project.declared.no_data_after_s
    ends = window_start(window_number(scene.window, project.window_s) + 1, project.window_s)
    silent = (datetime.fromisoformat(ends) - datetime.fromisoformat(since)).total_seconds()
    state: AlarmState = "ok"
    why = f"{sum(scene.rows.values())} rows came in this window."
    if allowed is None:
        state, why = "off", "Silence is no alarm in this project."
    elif not scene.rows and silent >= allowed:
        state = "alarm"
        why = f"Nothing was captured for {silent:g} s; {allowed} s are allowed."
    elif not scene.rows:
        state, why = "no_data", f"Nothing was captured for {silent:g} s of {allowed} s allowed."
    digest = digest_of([project.project, scene.window, state, why])
    return AlarmLook(state=state, sentence=why, digest=digest, inputs_digest=digest)


def _sentence(look: Look) -> str:
    parts = []
    if look.no_data.state == "alarm":
        parts.append(look.no_data.sentence)
    elif look.window_verdict is not None:
        parts.append(look.window_verdict.sentence)
    if look.drift.state in ("alarm", "off"):
        parts.append(look.drift.sentence)
    if look.performance is not None and look.performance.state == "alarm":
        parts.append(look.performance.sentence)
    if look.attribution is not None and look.attribution.state == "alarm":
        parts.append(look.attribution.sentence)
    return " ".join(parts) or look.drift.sentence


def look_put(look: Look, uri: str, known: Item | None, labels: LabelsSaid, scene: Scene) -> Put:
    """Return the write of a look's item, if nobody else wrote it meanwhile."""
    item = {
        "project": look.project, "item": look_item(look.window), "window": look.window,
        "window_s": look.window_s, "revision": look.revision, "version": look.version,
        "unit": look.unit, "uri": uri, "digest": look.digest, "baseline": look.baseline,
        "profile": look.profile, "profile_uri": look.profile_uri, "rows": look.captured.rows,
        "all_rows": look.captured.rows
        + look.captured.duplicates
        + sum(look.captured.other_versions.values()),
        "verdict": look.window_verdict.verdict if look.window_verdict else "off",
        "changed": look.window_verdict.changed[:20] if look.window_verdict else [],
        "drift": look.drift.state, "alarms": dict(look.alarms), "sentence": look.sentence[:1000],
    }  # fmt: skip
    if scene.segments:
        item["segments"] = {
            name: {"uri": one.uri, "profile": one.counted.digest}
            for name, one in scene.segments.items()
            if one.counted is not None
        }
    if labels.memory or (known is not None and known.get("labels")):
        item["labels"] = labels.memory or known["labels"]  # type: ignore[index]
    expected: tuple[Condition, ...] = (Absent(),)
    if known is not None:
        expected = (Equals("revision", known["revision"]),)
    return Put(Table.MONITORING, item, expected)


def head_put(
    project: Watched, look: Look, head: Item | None, number: int, labels: LabelsSaid
) -> Put:
    """Return the write of how far a project's windows were looked at, if nobody went on."""
    item = {
        "labels": labels.memory or (head or {}).get("labels"),
        "project": project.project, "item": HEAD, "window_s": project.window_s,
        "next": number + 1, "window": look.window, "version": look.version,
        "silent_since": look.settings["silent_since"], "uri": look.digest,
    }  # fmt: skip
    expected: tuple[Condition, ...] = (Absent(),)
    if head is not None:
        expected = (Equals("next", head["next"]),)
    return Put(Table.MONITORING, item, expected)


def window_judged(look: Look, uri: str) -> WindowJudged:
    """Return what is told of every look."""
    return WindowJudged(
        window=look.window, window_s=look.window_s, revision=look.revision, version=look.version,
        rows=look.captured.rows,
        verdict=look.window_verdict.verdict if look.window_verdict else "off",
        drift=look.drift.state, alarms={**look.alarms}, sentence=look.sentence,
        digest=look.digest, uri=uri,
    )  # fmt: skip
