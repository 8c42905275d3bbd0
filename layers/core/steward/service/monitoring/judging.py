"""Use case: the windows of a project that have ended are looked at, each once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from steward.contracts.events import Event, Payload
from steward.contracts.steps.monitoring import JudgedWindow, JudgeWindow
from steward.domain.monitoring.attribution_records import AttributionLook
from steward.domain.monitoring.baseline import Baseline
from steward.domain.monitoring.declaration import Monitoring
from steward.domain.monitoring.looking import (
    Counted,
)
from steward.domain.monitoring.looks import (
    Look,
    look_uri,
    window_number,
    window_start,
)
from steward.domain.monitoring.records import (
    HEAD,
    beside_item,
    late_item,
    look_item,
    open_item,
    window_uri,
)
from steward.domain.releases import questioned
from steward.ports import (
    Change,
    Delete,
    Endpoints,
    Equals,
    Ids,
    Item,
    Put,
    Table,
)
from steward.service.emission import Cause, event
from steward.service.metric_lines import MetricLog
from steward.service.monitoring.attributing import Asked, attribution_look, window_rows
from steward.service.monitoring.baselines import Baselines, Found
from steward.service.monitoring.facets import facets_of
from steward.service.monitoring.labelled import Labelling, judge_labels
from steward.service.monitoring.look_metrics import put_look
from steward.service.monitoring.look_records import (
    LabelsSaid,
    Scene,
    Watched,
    head_put,
    look_put,
    record_of,
    window_judged,
)
from steward.service.monitoring.profiling import Bench, declared_of
from steward.service.monitoring.row_sampling import Sampled, sample_window
from steward.service.monitoring.saying import MOST_WINDOWS, judged
from steward.service.monitoring.transitions import Alarms, payloads
from steward.service.monitoring.windows import (
    Summed,
    chunks_of,
    sum_segments,
    sum_window,
)

MAX_LOOKS = 48
"""Looks of one task; the machine asks again for more."""


@dataclass
class Watcher:
    """One project's looks in one task.

    Attributes:
        stable: Version that the route names.
        candidate: Version that a release tries now.
        metrics: Takes those of the looks.
        endpoints: What explanations ask; None where nothing may be asked.
        arms: Endpoint at which each version may be asked.
        positive: The label whose probability is predicted.
        configured: The project's item.
    """

    bench: Bench
    ids: Ids
    command: JudgeWindow
    declared: Monitoring
    stable: int | None
    candidate: int | None
    baselines: Baselines
    seconds_left: Callable[[], float]
    metrics: MetricLog | None = None
    endpoints: Endpoints | None = None
    arms: Mapping[int, str] = field(default_factory=dict)
    positive: bool | int | float | str | None = 1
    configured: Item = field(default_factory=dict)
    _labelling: dict[tuple[int, int | None], Labelling] = field(default_factory=dict)
    _outcomes: dict[str, Path] = field(default_factory=dict)
    windows: dict[str, Counted] = field(default_factory=dict)

    def labelling(self, version: int, found: Found, beside: int | None) -> Labelling:
        """Return what a version's labels are joined with; outcomes are read once a task."""
        assert found.baseline is not None
        assert found.uri is not None
        key = (version, beside)
        if key not in self._labelling:
            self._labelling[key] = Labelling(
                self.bench, self.project, version, self.declared.labels, self.window_s,
                found.baseline.unit == "entity", self.positive, found.uri,
                facets_of(self.configured, version, self.bench.state, self.bench.objects),
                beside, self._outcomes,
            )  # fmt: skip
        return self._labelling[key]

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
    metrics: MetricLog | None = None,
    endpoints: Endpoints | None = None,
) -> JudgedWindow:
    """Look at what has ended since the last look, and again at what got late rows.

    A look is written in this order: the window's sum, the record, then in one transaction the
    pointer, the alarms that changed and the events about them. Whatever was written before a
    crash is found again under its content, and no event is told twice.

    Args:
        metrics: Takes those of each look that was written.
        endpoints: What explanations ask, where a project declares that.
    """
    state = bench.state
    configured = state.get(Table.PROJECTS, {"project": command.project})
    route = state.get(Table.ROUTES, {"project": command.project})
    if configured is None or route is None:
        return JudgedWindow(project=command.project, looks=0, more=False)
    arms = {str(arm["role"]): int(arm["version"]) for arm in route["arms"]}
    watcher = Watcher(
        bench, ids, command, declared_of(configured), arms.get("stable"), arms.get("candidate"),
        Baselines(state, bench.objects), seconds_left or _unhurried(), metrics, endpoints,
        _questioned(bench.environment, route), _positive(configured), configured,
    )  # fmt: skip
    return _look_at_all(watcher)


def _questioned(environment: str, route: Item) -> dict[int, str]:
    """Return by version the endpoint at which it may be asked."""
    project, router = str(route["project"]), str(route.get("router", "gateway"))
    return {
        int(arm["version"]): questioned(
            environment, project, router, int(arm["version"]), str(arm["endpoint"])
        )
        for arm in route["arms"]
    }


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
    for item in opened:
        if due - _number(item, watcher) > MOST_WINDOWS:
            _note_too_late(watcher, item)
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
        told += _look_at_versions(watcher, number, again=again)
        done += 1
    return JudgedWindow(
        project=watcher.project, looks=done, more=done < len(work), transitions=told[:50]
    )


def _number(item: Item, watcher: Watcher) -> int:
    return window_number(item["item"].removeprefix(open_item("")), watcher.window_s)


def _note_too_late(watcher: Watcher, marker: Item) -> None:
    """Keep that rows came for a window that is out of reach: they are counted and not judged."""
    state, project = watcher.bench.state, watcher.project
    window = str(marker["item"]).removeprefix(open_item(""))
    chunks = chunks_of(watcher.bench, project, window, watcher.window_s)
    known = state.get(Table.MONITORING, {"project": project, "item": look_item(window)})
    rows = sum(int(chunk["rows"]) for chunk in chunks)
    item = {
        "project": project, "item": late_item(window), "window": window,
        "rows": rows - (int(known["all_rows"]) if known is not None else 0),
        "at": watcher.bench.clock.now().isoformat(timespec="milliseconds"),
    }  # fmt: skip
    key = {"project": project, "item": marker["item"]}
    expected = (Equals("token", marker["token"]),)
    state.commit([Put(Table.MONITORING, item), Delete(Table.MONITORING, key, expected)])


def _first(watcher: Watcher, head: Item | None, opened: list[Item], due: int) -> int:
    """Return the first window that was not looked at: at the beginning the first with rows."""
    earliest = due - MOST_WINDOWS
    if head is not None:
        return max(int(head["next"]), earliest)
    numbers = [number for item in opened if (number := _number(item, watcher)) < due]
    return max(min(numbers, default=due - 1), earliest)


def _look_at_versions(watcher: Watcher, number: int, *, again: bool) -> list[str]:
    """Look at a window of every version that answered there; return the alarms that changed.

    Those beside the one that counts for the project come first: once its look is written the
    window is done.
    """
    window = window_start(number, watcher.window_s)
    chunks = chunks_of(watcher.bench, watcher.project, window, watcher.window_s)
    rows: dict[int, int] = {}
    for chunk in chunks:
        rows[int(chunk["version"])] = rows.get(int(chunk["version"]), 0) + int(chunk["rows"])
    version = _version(watcher.stable, rows, watcher.candidate)
    told: list[str] = []
    for other in _beside(watcher, rows, version):
        told += _look(watcher, number, other, chunks, rows, again=again, beside=True)
    return told + _look(watcher, number, version, chunks, rows, again=again)


def _beside(watcher: Watcher, rows: dict[int, int], version: int | None) -> list[int]:
    """Return the other versions that are looked at: those that answered, and the candidate once
    it did, since labels of its earlier answers come in windows without any.
    """  # fmt: skip
    found = {one for one in rows if one != version}
    candidate = watcher.candidate
    if candidate is not None and candidate != version and candidate not in found:
        key = {"project": watcher.project, "item": beside_item(candidate)}
        if watcher.bench.state.get(Table.MONITORING, key) is not None:
            found.add(candidate)
    return sorted(found)


def _look(
    watcher: Watcher, number: int, version: int | None, chunks: list[Item], rows: dict[int, int],
    *, again: bool, beside: bool = False,
) -> list[str]:  # fmt: skip
    """Look at one window of a version and write what was seen; return the alarms that changed."""
    state, project = watcher.bench.state, watcher.project
    window = window_start(number, watcher.window_s)
    watched = Watched(project, watcher.declared, version if beside else None)
    keys = {
        "marker": open_item(window), "known": look_item(window, watched.beside),
        "head": HEAD if watched.beside is None else beside_item(watched.beside),
    }  # fmt: skip
    read = {
        name: state.get(Table.MONITORING, {"project": project, "item": item})
        for name, item in keys.items()
    }
    head, known, marker = read["head"], read["known"], read["marker"]
    if beside:
        if head is not None and head["window_s"] != watcher.window_s:
            head = None
        again = head is not None and number < int(head["next"])
        marker = None
    scene = _scene(watcher, window, known, version, chunks, rows)
    if beside and known is not None and again and _same(known, scene):
        return []
    alarms = Alarms(state, project, watched.beside)
    said = judged(watcher, scene, number, watched.beside)
    if not again and not beside:
        said = replace(said, attribution=_attribution(watcher, scene, number))
    is_newest = not again or (head is not None and int(head["next"]) == number + 1)
    labels = _labels(watcher, scene, number, head, watched.beside) if not again else LabelsSaid()
    changes_alarms = is_newest and (not beside or version == watcher.candidate)
    look = record_of(watched, scene, said, head, alarms, labels, changes=changes_alarms)
    uri = look_uri(watcher.bench.artifacts_bucket, look)
    watcher.bench.objects.write_once(uri, look.model_dump_json().encode())
    changes: list[Change] = [look_put(look, uri, known, labels, scene), *alarms.puts(look, uri)]
    if not again:
        changes.append(head_put(watched, look, head, number, labels))
    if marker is not None:
        expected = (Equals("token", marker["token"]),)
        key = {"project": project, "item": open_item(window)}
        changes.append(Delete(Table.MONITORING, key, expected))
    _write(watcher, look, uri, changes, alarms, scene)
    of = f"v{version} " if beside else ""
    return [f"{of}{one.kind}: {one.before} -> {one.after}" for one in look.transitions]


def _same(known: Item, scene: Scene) -> bool:
    """Tell whether a version's rows of a window are those that were looked at."""
    counted, found = scene.summed.counted, scene.found.baseline
    return (known.get("profile"), known.get("baseline")) == (
        counted.digest if counted else None, found.digest if found else None,
    )  # fmt: skip


def _labels(
    watcher: Watcher, scene: Scene, number: int, head: Item | None, beside: int | None
) -> LabelsSaid:
    if scene.found.baseline is None or scene.version is None:
        return LabelsSaid()
    due_ms = (number + 1) * watcher.window_s * 1000
    labelling = watcher.labelling(scene.version, scene.found, beside)
    return LabelsSaid(*judge_labels(labelling, number, due_ms, (head or {}).get("labels")))


def _write(
    watcher: Watcher, look: Look, uri: str, changes: list[Change], alarms: Alarms, scene: Scene
) -> None:
    """Write a look with its events in one transaction, then its metrics."""
    told: list[Payload] = [window_judged(look, uri)]
    told += payloads(look, uri, alarms, watcher.command.execution_arn)
    cause = Cause(watcher.project, f"look-{look.window}", watcher.command.execution_arn)
    clock = watcher.bench.clock
    events: list[Event] = [event(one, cause, clock, watcher.ids) for one in told]
    watcher.bench.state.commit(changes, events)
    if watcher.metrics is not None:
        baseline = scene.found.baseline
        attribution = baseline.attribution if baseline is not None else None
        ranking = attribution.ranking if attribution else ()
        put_look(watcher.metrics, look, clock.now(), ranking)


def _scene(
    watcher: Watcher, window: str, known: Item | None, version: int | None, chunks: list[Item],
    rows: dict[int, int],
) -> Scene:  # fmt: skip
    found = Found(missing="nobody answers yet")
    mine = [chunk for chunk in chunks if chunk["version"] == version]
    if version is not None:
        found = watcher.baselines.of(watcher.project, version)
    total, segments, sampled = Summed(None), {}, Sampled()
    if found.baseline is not None and mine:
        total = sum_window(watcher.bench, found.baseline, mine)
        segments = sum_segments(watcher.bench, found.baseline, mine, total.elsewhere)
        sampled = _sampled(watcher, found.baseline, window, mine)
    unprofiled: dict[str, int] = {}
    for chunk in mine:
        if "unprofiled" in chunk:
            reason = str(chunk["unprofiled"])
            unprofiled[reason] = unprofiled.get(reason, 0) + int(chunk["rows"])
    revision = int(known["revision"]) + 1 if known is not None else 1
    late = sum(rows.values()) - int(known["all_rows"]) if known is not None else 0
    return Scene(
        window, revision, version, found, total, rows, unprofiled, max(0, late), known, segments,
        sampled,
    )  # fmt: skip


def _sampled(watcher: Watcher, baseline: Baseline, window: str, mine: list[Item]) -> Sampled:
    place = window_uri(
        watcher.bench.artifacts_bucket, watcher.project, int(mine[0]["version"]), f"{window}-rows",
        "{}",
    )  # fmt: skip
    return sample_window(watcher.bench.objects, place, baseline, mine)


def _attribution(watcher: Watcher, scene: Scene, number: int) -> AttributionLook | None:
    """Return what is said of attributions, at every n-th window of a version with a baseline."""
    declared, baseline = watcher.declared.attribution, scene.found.baseline
    if declared is None or baseline is None or scene.version is None or number % declared.every:
        return None
    chunks = chunks_of(watcher.bench, watcher.project, scene.window, watcher.window_s)
    mine = [chunk for chunk in chunks if chunk["version"] == scene.version]
    if not mine:
        return None
    objects = watcher.bench.objects
    rows = window_rows(objects, mine, baseline.digest, declared.rows)
    why = f"version {scene.version} has no endpoint to ask"
    asked = Asked(watcher.endpoints, watcher.arms.get(scene.version), why, watcher.seconds_left)
    place = window_uri(
        watcher.bench.artifacts_bucket, watcher.project, scene.version,
        f"{scene.window}-attributions", "{}",
    )  # fmt: skip
    return attribution_look(rows, baseline.attribution, declared, asked, objects, place)


def _version(stable: int | None, rows: dict[int, int], candidate: int | None) -> int | None:
    """Return whose traffic counts for the project: the stable version's, else that of who
    answered most, but for a candidate beside a stable version.
    """  # fmt: skip
    others = [one for one in rows if stable is None or one != candidate]
    if not others or stable in rows:
        return stable
    return min(others, key=lambda version: (-rows[version], version))
