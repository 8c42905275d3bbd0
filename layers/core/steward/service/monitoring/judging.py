"""Use case: the windows of a project that have ended are looked at, each once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from steward.contracts.events import Event, Payload, WindowJudged
from steward.contracts.steps.monitoring import JudgedWindow, JudgeWindow
from steward.domain.digests import digest_of
from steward.domain.monitoring.declaration import Monitoring
from steward.domain.monitoring.looking import (
    Counted,
    Judged,
    alarm_look,
    alarm_settings,
    judge,
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
    look_uri,
    window_number,
    window_start,
)
from steward.domain.monitoring.records import HEAD, look_item, open_item
from steward.ports import (
    Absent,
    Change,
    Condition,
    Delete,
    Equals,
    Ids,
    Item,
    Put,
    Table,
)
from steward.service.emission import Cause, event
from steward.service.monitoring.baselines import Baselines, Found
from steward.service.monitoring.labelled import Labelling, judge_labels
from steward.service.monitoring.look_metrics import look_metrics
from steward.service.monitoring.profiling import Bench, declared_of
from steward.service.monitoring.transitions import Alarms, payloads
from steward.service.monitoring.windows import Summed, chunks_of, read_counted, sum_window

MOST_WINDOWS = 336
"""Windows that are caught up at most; of a longer silence of the watch the newest."""

MAX_LOOKS = 48
"""Looks of one task; the machine asks again for more."""


@dataclass
class Watcher:
    """One project's looks in one task.

    Attributes:
        stable: Version that the route names.
        write: Takes the lines of metrics; ``sys.stdout.write`` on Lambda.
        positive: The label whose probability is predicted.
    """

    bench: Bench
    ids: Ids
    command: JudgeWindow
    declared: Monitoring
    stable: int | None
    baselines: Baselines
    seconds_left: Callable[[], float]
    write: Callable[[str], object] | None = None
    positive: bool | int | float | str = 1
    _labelling: dict[int, Labelling] = field(default_factory=dict)
    _windows: dict[str, Counted] = field(default_factory=dict)

    def labelling(self, version: int, found: Found) -> Labelling:
        """Return what a version's labels are joined with; outcomes are read once a task."""
        assert found.baseline is not None
        assert found.uri is not None
        if version not in self._labelling:
            self._labelling[version] = Labelling(
                self.bench, self.project, version, self.declared.labels, self.window_s,
                found.baseline.unit == "entity", self.positive, found.uri,
            )  # fmt: skip
        return self._labelling[version]

    @property
    def project(self) -> str:
        """Its name."""
        return self.command.project

    @property
    def window_s(self) -> int:
        """Length of its windows."""
        return self.declared.window_s


def judge_windows(
    command: JudgeWindow,
    bench: Bench,
    ids: Ids,
    *,
    seconds_left: Callable[[], float] | None = None,
    write: Callable[[str], object] | None = None,
) -> JudgedWindow:
    """Look at what has ended since the last look, and again at what got late rows.

    A look is written in this order: the window's sum, the record, then in one transaction the
    pointer, the alarms that changed and the events about them. Whatever was written before a
    crash is found again under its content, and no event is told twice.

    Args:
        write: Takes the metrics of each look that was written, as log lines.
    """
    state = bench.state
    configured = state.get(Table.PROJECTS, {"project": command.project})
    route = state.get(Table.ROUTES, {"project": command.project})
    if configured is None or route is None:
        return JudgedWindow(project=command.project, looks=0, more=False)
    stable = next((int(a["version"]) for a in route["arms"] if a["role"] == "stable"), None)
    watcher = Watcher(
        bench, ids, command, declared_of(configured), stable, Baselines(state, bench.objects),
        seconds_left or _unhurried(), write, _positive(configured),
    )  # fmt: skip
    return _look_at_all(watcher)


def _positive(configured: Item) -> Any:
    label = (configured["config"].get("data") or {}).get("label") or {}
    return label.get("positive", 1)


def _unhurried() -> Callable[[], float]:
    until = time.monotonic() + 600
    return lambda: until - time.monotonic()


def _look_at_all(watcher: Watcher) -> JudgedWindow:
    head = watcher.bench.state.get(Table.MONITORING, {"project": watcher.project, "item": HEAD})
    if head is not None and head["window_s"] != watcher.window_s:
        head = None
    due = window_number(watcher.command.due_at, watcher.window_s)
    opened = watcher.bench.state.query(Table.MONITORING, watcher.project, prefix=open_item(""))
    opened = [item for item in opened if item["window_s"] == watcher.window_s]
    first = _first(watcher, head, opened, due)
    work = [
        (number, True)
        for number in sorted(_number(item, watcher) for item in opened)
        if number < first and due - number <= MOST_WINDOWS
    ]
    work += [(number, False) for number in range(first, due)]
    told: list[str] = []
    done = 0
    for number, again in work[:MAX_LOOKS]:
        if done and watcher.seconds_left() < 60:
            break
        told += _look(watcher, number, again=again)
        done += 1
    return JudgedWindow(
        project=watcher.project, looks=done, more=done < len(work), transitions=told[:50]
    )


def _number(item: Item, watcher: Watcher) -> int:
    return window_number(item["item"].removeprefix(open_item("")), watcher.window_s)


def _first(watcher: Watcher, head: Item | None, opened: list[Item], due: int) -> int:
    """Return the first window that was not looked at: at the beginning the first with rows."""
    earliest = due - MOST_WINDOWS
    if head is not None:
        return max(int(head["next"]), earliest)
    numbers = [number for item in opened if (number := _number(item, watcher)) < due]
    return max(min(numbers, default=due - 1), earliest)


def _look(watcher: Watcher, number: int, *, again: bool) -> list[str]:
    """Look at one window and write what was seen; return the alarms that changed."""
    state, project = watcher.bench.state, watcher.project
    window = window_start(number, watcher.window_s)
    marker = state.get(Table.MONITORING, {"project": project, "item": open_item(window)})
    head = state.get(Table.MONITORING, {"project": project, "item": HEAD})
    known = state.get(Table.MONITORING, {"project": project, "item": look_item(window)})
    alarms = Alarms(state, project)
    scene = _scene(watcher, window, known)
    judged, history = _judged(watcher, scene, number)
    is_newest = not again or (head is not None and int(head["next"]) == number + 1)
    labels = _Labels()
    if not again and scene.found.baseline is not None and scene.version is not None:
        due_ms = (number + 1) * watcher.window_s * 1000
        labelling = watcher.labelling(scene.version, scene.found)
        labels = _Labels(*judge_labels(labelling, number, due_ms, (head or {}).get("labels")))
    look = _record(watcher, scene, judged, history, head, alarms, labels, changes=is_newest)
    uri = look_uri(watcher.bench.artifacts_bucket, look)
    watcher.bench.objects.write_once(uri, look.model_dump_json().encode())
    changes: list[Change] = [
        _look_put(look, uri, known, labels),
        *alarms.puts(look, uri),
    ]
    if not again:
        changes.append(_head_put(watcher, look, head, number, labels))
    if marker is not None:
        expected = (Equals("token", marker["token"]),)
        key = {"project": project, "item": open_item(window)}
        changes.append(Delete(Table.MONITORING, key, expected))
    said: list[Payload] = [_window_judged(look, uri)]
    said += payloads(look, uri, alarms, watcher.command.execution_arn)
    cause = Cause(project, f"look-{window}", watcher.command.execution_arn)
    clock = watcher.bench.clock
    events: list[Event] = [event(one, cause, clock, watcher.ids) for one in said]
    state.commit(changes, events)
    if watcher.write is not None:
        baseline = scene.found.baseline
        attribution = baseline.attribution if baseline is not None else None
        for line in look_metrics(look, clock.now(), attribution.ranking if attribution else ()):
            watcher.write(line)
    return [f"{one.kind}: {one.before} -> {one.after}" for one in look.transitions]


@dataclass(frozen=True)
class _Labels:
    """What labels say at a look; nothing where it is looked at again."""

    performance: PerformanceLook | None = None
    bias: AlarmState = "off"
    memory: Item = field(default_factory=dict)


@dataclass(frozen=True)
class _Scene:
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


def _scene(watcher: Watcher, window: str, known: Item | None) -> _Scene:
    chunks = chunks_of(watcher.bench, watcher.project, window, watcher.window_s)
    rows: dict[int, int] = {}
    for chunk in chunks:
        rows[int(chunk["version"])] = rows.get(int(chunk["version"]), 0) + int(chunk["rows"])
    version = _version(watcher.stable, rows)
    found = Found(missing="nobody answers yet")
    mine = [chunk for chunk in chunks if chunk["version"] == version]
    if version is not None:
        found = watcher.baselines.of(watcher.project, version)
    total = Summed(None)
    if found.baseline is not None and mine:
        total = sum_window(watcher.bench, found.baseline, mine)
    unprofiled: dict[str, int] = {}
    for chunk in mine:
        if "unprofiled" in chunk:
            reason = str(chunk["unprofiled"])
            unprofiled[reason] = unprofiled.get(reason, 0) + int(chunk["rows"])
    revision = int(known["revision"]) + 1 if known is not None else 1
    late = sum(rows.values()) - int(known["all_rows"]) if known is not None else 0
    return _Scene(window, revision, version, found, total, rows, unprofiled, max(0, late), known)


def _version(stable: int | None, rows: dict[int, int]) -> int | None:
    """Return whose traffic is judged: the stable version's, else that of who answered most."""
    if not rows or stable in rows:
        return stable
    return min(rows, key=lambda version: (-rows[version], version))


def _judged(watcher: Watcher, scene: _Scene, number: int) -> tuple[Judged | None, dict[str, str]]:
    baseline = scene.found.baseline
    if baseline is None:
        return None, {}
    windows: dict[int, Counted] = {}
    history: dict[str, str] = {}
    quiet: dict[int, Counted] = {}
    looks = [
        item
        for item in watcher.bench.state.query(
            Table.MONITORING, watcher.project, prefix=look_item(""), newest_first=True, limit=800
        )
        if item["window_s"] == watcher.window_s
        and item.get("version") == scene.version
        and item.get("baseline") == baseline.digest
        and item.get("profile_uri")
        and 0 < number - window_number(item["window"], watcher.window_s) < MOST_WINDOWS
    ]
    missing = [item for item in looks if item["profile"] not in watcher._windows]
    named = [(item["profile_uri"], item["profile"]) for item in missing]
    for item, counted in zip(
        missing, read_counted(watcher.bench, baseline.unit, named), strict=True
    ):
        watcher._windows[item["profile"]] = counted
    for item in looks:
        at = window_number(item["window"], watcher.window_s)
        windows[at] = watcher._windows[item["profile"]]
        history[item["window"]] = item["profile"]
        if item["drift"] != "alarm":
            quiet[at] = windows[at]
    if scene.summed.counted is not None:
        windows[number] = scene.summed.counted
        watcher._windows[scene.summed.counted.digest] = scene.summed.counted
    judged = judge(baseline, windows, number, watcher.declared, quiet=quiet)
    return judged, dict(sorted(history.items()))


def _record(
    watcher: Watcher,
    scene: _Scene,
    judged: Judged | None,
    history: dict[str, str],
    head: Item | None,
    alarms: Alarms,
    labels: _Labels,
    *,
    changes: bool,
) -> Look:
    declared = watcher.declared
    silent_since = _silent_since(watcher, scene, head)
    no_data = _no_data(watcher, scene, silent_since)
    drift = _drift(watcher, scene, judged)
    performance = labels.performance
    found: dict[AlarmKind, AlarmState] = {"drift": drift.state, "no_data": no_data.state}
    if performance is not None:
        found |= {"performance": performance.state, "bias": labels.bias}
    moved = alarms.transitions(found, scene.version, declared) if changes else []
    after = {kind: alarms.before(kind, scene.version) for kind in alarms.items}
    after |= {one.kind: one.after for one in moved}
    own = scene.rows.get(scene.version, 0) if scene.version is not None else 0
    counted = scene.summed.counted
    look = Look(
        project=watcher.project, window=scene.window, window_s=watcher.window_s,
        revision=scene.revision, unit=declared.unit, version=scene.version,
        baseline=scene.found.baseline.digest if scene.found.baseline else None,
        baseline_uri=scene.found.uri, profile=counted.digest if counted else None,
        profile_uri=scene.summed.uri, history=history,
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
        transitions=tuple(moved), sentence="",
    )  # fmt: skip
    given = {name: getattr(look, name) for name in Look.model_fields}
    return Look(**{**given, "sentence": _sentence(look)})


def _entities(counted: Counted | None) -> int | None:
    entities = getattr(counted, "entities", None)
    return None if entities is None else round(entities)


def _drift(watcher: Watcher, scene: _Scene, judged: Judged | None) -> AlarmLook:
    if judged is not None:
        return alarm_look(judged.alarm, watcher.window_s)
    why = f"Nothing is judged: {scene.found.missing}."
    digest = digest_of([watcher.project, scene.window, why])
    return AlarmLook(state="off", sentence=why, digest=digest, inputs_digest=digest)


def _silent_since(watcher: Watcher, scene: _Scene, head: Item | None) -> str:
    """Return the end of the last window with rows, or when the watch began."""
    if scene.rows or head is None:
        number = window_number(scene.window, watcher.window_s) + (1 if scene.rows else 0)
        return window_start(number, watcher.window_s)
    return str(head["silent_since"])


def _no_data(watcher: Watcher, scene: _Scene, since: str) -> AlarmLook:
    allowed = watcher.declared.no_data_after_s
    ends = window_start(window_number(scene.window, watcher.window_s) + 1, watcher.window_s)
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
    digest = digest_of([watcher.project, scene.window, state, why])
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
    return " ".join(parts) or look.drift.sentence


def _look_put(look: Look, uri: str, known: Item | None, labels: _Labels) -> Put:
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
    if labels.memory or (known is not None and known.get("labels")):
        item["labels"] = labels.memory or known["labels"]  # type: ignore[index]
    expected: tuple[Condition, ...] = (Absent(),)
    if known is not None:
        expected = (Equals("revision", known["revision"]),)
    return Put(Table.MONITORING, item, expected)


def _head_put(watcher: Watcher, look: Look, head: Item | None, number: int, labels: _Labels) -> Put:
    item = {
        "labels": labels.memory or (head or {}).get("labels"),
        "project": watcher.project, "item": HEAD, "window_s": watcher.window_s,
        "next": number + 1, "window": look.window, "version": look.version,
        "silent_since": look.settings["silent_since"], "uri": look.digest,
    }  # fmt: skip
    expected: tuple[Condition, ...] = (Absent(),)
    if head is not None:
        expected = (Equals("next", head["next"]),)
    return Put(Table.MONITORING, item, expected)


def _window_judged(look: Look, uri: str) -> WindowJudged:
    return WindowJudged(
        window=look.window, window_s=look.window_s, revision=look.revision, version=look.version,
        rows=look.captured.rows,
        verdict=look.window_verdict.verdict if look.window_verdict else "off",
        drift=look.drift.state, alarms={**look.alarms}, sentence=look.sentence,
        digest=look.digest, uri=uri,
    )  # fmt: skip
