"""Alarms that change at a look: their state, and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from steward.contracts.events import (
    AlarmCleared,
    BiasDrifted,
    DataStale,
    DriftDetected,
    Payload,
    PerformanceDegraded,
)
from steward.domain.monitoring.declaration import Monitoring
from steward.domain.monitoring.looking import transition
from steward.domain.monitoring.looks import (
    KINDS,
    AlarmKind,
    AlarmState,
    Look,
    MetricLook,
    Transition,
)
from steward.domain.monitoring.records import alarm_item
from steward.ports import Absent, Condition, Equals, Item, Put, StateStore, Table

_NAMES: dict[AlarmKind, str] = {
    "drift": "DriftDetected", "performance": "PerformanceDegraded", "bias": "BiasDrifted",
    "no_data": "DataStale", "attribution": "DriftDetected",
}  # fmt: skip


@dataclass
class Alarms:
    """The alarms of a project, or of a version beside, as they were before a look."""

    state: StateStore
    project: str
    beside: int | None = None
    items: dict[AlarmKind, Item] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kind in KINDS:
            key = {"project": self.project, "item": alarm_item(kind, self.beside)}
            self.items[kind] = self.state.get(Table.MONITORING, key) or {}

    def before(self, kind: AlarmKind, version: int | None) -> AlarmState:
        """Return the state of an alarm; of another version's drift there is none.

        What is said of a version's traffic, labels and groups ends with it: the next one is
        compared with its own baseline.
        """
        item = self.items[kind]
        if not item or (kind != "no_data" and item.get("version") != version):
            return "ok"
        found: AlarmState = item["state"]
        return found

    def transitions(
        self, found: dict[AlarmKind, AlarmState], version: int | None, declared: Monitoring
    ) -> list[Transition]:
        """Return which alarms change by what a look found."""
        changed = []
        for kind, state in found.items():
            one = self._transition(kind, state, version)
            if one is None:
                continue
            action, event = None, None
            if one.after == "alarm":
                named = kind if self.beside is None else "candidate"
                action, event = getattr(declared.actions, named), _NAMES[kind]
            elif one.before == "alarm":
                event = AlarmCleared.__name__
            changed.append(one.model_copy(update={"action": action, "event": event}))
        return changed

    def _transition(
        self, kind: AlarmKind, state: AlarmState, version: int | None
    ) -> Transition | None:
        item = self.items[kind]
        before = self.before(kind, version)
        if item.get("state") == "alarm" and before != "alarm":
            # Of a version that does not serve any more: its alarm is over, whatever comes.
            return Transition(kind=kind, before="alarm", after=state)
        return transition(kind, before, state)

    def puts(self, look: Look, uri: str) -> list[Put]:
        """Return the writes of the alarms' new state, if nobody else wrote it meanwhile."""
        changes = []
        for one in look.transitions:
            old = self.items[one.kind]
            since = look.ends if one.after != "alarm" else alarm_since(look, one.kind)
            item = {
                "project": self.project, "item": alarm_item(one.kind, self.beside),
                "kind": one.kind,
                "state": one.after, "before": one.before, "since": since, "window": look.window,
                "changed_at": look.ends, "version": look.version, "uri": uri,
                "digest": look.digest, "number": int(old.get("number", 0)) + 1,
            }  # fmt: skip
            expected: tuple[Condition, ...] = (Absent(),)
            if old:
                expected = (Equals("number", old["number"]),)
            changes.append(Put(Table.MONITORING, item, expected))
        return changes


def alarm_since(look: Look, kind: AlarmKind) -> str:
    """Return when what an alarm says began."""
    if kind == "drift" and look.drift.columns:
        return min(column.since for column in look.drift.columns)
    if kind == "no_data":
        return str(look.settings["silent_since"])
    return look.window


def payloads(look: Look, uri: str, alarms: Alarms, execution_arn: str) -> list[Payload]:
    """Return what is said of the alarms that changed."""
    return [
        _raised(look, one, uri, execution_arn)
        if one.after == "alarm"
        else _cleared(look, one, uri, alarms.items[one.kind])
        for one in look.transitions
        if one.event is not None
    ]


def _raised(look: Look, one: Transition, uri: str, execution_arn: str) -> Payload:
    common: dict[str, Any] = {
        "version": look.version, "window": look.window, "since": alarm_since(look, one.kind),
        "action": one.action or "notify", "digest": look.digest, "uri": uri,
        "execution_arn": execution_arn,
    }  # fmt: skip
    if one.kind != "no_data":
        common["role"] = look.role
    if one.kind == "drift":
        first = look.drift.columns[0]
        alarm = look.settings["alarm"]
        return DriftDetected(
            **common, columns=[column.name for column in look.drift.columns[:20]], p=first.p,
            effect=first.effect, horizon=first.horizon, rows=look.drift.rows,
            odds=f"{alarm['alpha']:g} in {alarm['looks']} looks", sentence=look.drift.sentence,
        )  # fmt: skip
    if one.kind == "attribution":
        return _attribution(look, common)
    if one.kind == "no_data":
        silent = datetime.fromisoformat(look.ends) - datetime.fromisoformat(common["since"])
        return DataStale(
            **common, silent_s=int(silent.total_seconds()), sentence=look.no_data.sentence
        )  # fmt: skip
    performance = look.performance
    assert performance is not None
    if one.kind == "bias":
        drifted = [group for group in performance.groups if group.state == "drifted"]
        named = [f"{group.column} {group.group}: {group.metric}" for group in drifted]
        sentence = drifted[0].sentence if drifted else ""
        return BiasDrifted(**common, groups=named[:20], sentence=sentence)
    labels = look.settings["declared"]["labels"]
    metric = next(iter(performance.alarm.get("raised") or ()), labels["metric"])
    first_metric = next((one for one in performance.realised if one.metric == metric), None)
    return PerformanceDegraded(
        **common, metric=metric, margin=_margin(labels, metric, first_metric),
        current=first_metric.current if first_metric else None,
        baseline=first_metric.baseline if first_metric else None,
        labelled=performance.labelled, coverage=performance.coverage,
        odds="0.05 in 336 looks", sentence=performance.sentence,
    )  # fmt: skip


def _attribution(look: Look, common: dict[str, Any]) -> DriftDetected:
    found = look.attribution
    assert found is not None
    return DriftDetected(
        **common, kind="attribution", columns=[one.feature for one in found.features[:20]],
        p=found.p or 0.0, effect=found.effect or 0.0, horizon=1, rows=found.rows[0],
        odds=f"{found.alpha:g} in 336 looks", sentence=found.sentence,
    )  # fmt: skip


def _cleared(look: Look, one: Transition, uri: str, before: Item) -> Payload:
    said = {
        "drift": look.drift.sentence,
        "no_data": look.no_data.sentence,
        "performance": look.performance.sentence if look.performance else "",
        "attribution": look.attribution.sentence
        if look.attribution
        else "Attributions are not watched any more.",
        "bias": "No group differs any more from what it was.",
    }
    return AlarmCleared(
        kind=one.kind, version=look.version, role=look.role, window=look.window,
        since=str(before.get("since", look.window)), sentence=said[one.kind], digest=look.digest,
        uri=uri,
    )  # fmt: skip


def _margin(labels: dict[str, Any], metric: str, seen: MetricLook | None) -> float:
    """Return the margin in the metric's unit; a relative one is known where figures are."""
    if seen is not None:
        return seen.margin
    return float(labels["further"].get(metric, labels["margin"]) or 0.0)
