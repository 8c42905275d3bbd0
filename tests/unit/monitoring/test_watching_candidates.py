"""In a release the version that is tried is watched beside the stable one."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from steward.domain.errors import ConflictError
from steward.domain.monitoring.looks import Look, parse_look
from steward.domain.monitoring.records import alarm_item, look_item
from steward.ports import Item, Table
from steward.service.metric_lines import MetricLog
from steward_cli.console import CommandError
from steward_cli.monitor_page import page
from steward_cli.monitor_text import screen
from steward_cli.monitoring import Monitoring, document
from support.monitoring_scene import (
    PROJECT,
    MonitoringScene,
    baseline_of,
    labels_of,
    people,
    window,
)

STABLE, TRIED = 1, 2
OLDER = 10.0
"""Years by which the rows are older that the tried version was trained on."""


class Release(MonitoringScene):
    """Version 1 answers, version 2 is tried; each has a baseline of its own."""

    def begin(self, older: float = OLDER) -> Release:
        self.give_baseline(baseline_of(people(5, 4000, older=older), self.unit, TRIED), TRIED)
        self.arms(stable=STABLE, candidate=TRIED)
        return self

    def arms(self, **versions: int) -> None:
        arms = [
            {"version": version, "endpoint": "e", "role": role, "share": 50}
            for role, version in versions.items()
        ]
        self.state.put(Table.ROUTES, {"project": self.project, "route_version": 2, "arms": arms})

    def hour(self, hour: int, *, stable: float = 0.0, tried: float = OLDER, n: int = 300) -> None:
        """Let both versions answer for an hour, then look."""
        self.traffic(people(10 + hour, n, older=stable), hour, version=STABLE)
        self.traffic(
            people(90 + hour, n, older=tried, prefix=f"t{hour}"), hour, version=TRIED,
            role="candidate",
        )  # fmt: skip
        self.watch(hour + 1)

    def tried_item(self, hour: int, version: int = TRIED) -> Item | None:
        key = {"project": self.project, "item": look_item(window(hour), version)}
        return self.state.get(Table.MONITORING, key)

    def tried(self, hour: int) -> Look:
        item = self.tried_item(hour)
        assert item is not None
        return parse_look(self.objects.read(item["uri"]))

    def tried_alarm(self, kind: str = "drift") -> str:
        key = {"project": self.project, "item": alarm_item(kind, TRIED)}
        return str((self.state.get(Table.MONITORING, key) or {"state": "ok"})["state"])


def test_each_version_is_judged_against_its_own_baseline() -> None:
    scene = Release().begin()
    for hour in range(3):
        scene.hour(hour)
    for hour in range(3):
        mine, other = scene.look(hour), scene.tried(hour)
        assert (mine.version, mine.role, mine.captured.rows) == (STABLE, "stable", 300)
        assert (other.version, other.role, other.captured.rows) == (TRIED, "candidate", 300)
        assert mine.baseline != other.baseline
        assert other.captured.other_versions == {STABLE: 300}
        assert (other.alarms["no_data"], other.no_data.state) == ("off", "off")
    assert scene.told("DriftDetected") == []
    roles = [(one.version, one.role) for one in scene.told("WindowJudged")]
    assert roles == [(TRIED, "candidate"), (STABLE, "stable")] * 3


@pytest.mark.parametrize("action", ["notify", "roll_back"])
def test_drift_of_the_candidate_is_told_with_its_own_action(action: str) -> None:
    scene = Release({"unit": "event", "actions": {"drift": "retrain", "candidate": action}})
    scene.begin()
    for hour in range(3):
        scene.hour(hour, tried=OLDER + 12)
    [told] = scene.told("DriftDetected")
    assert (told.version, told.role, told.action) == (TRIED, "candidate", action)
    assert "age" in told.columns
    assert (scene.tried_alarm(), scene.alarm("drift")) == ("alarm", "ok")
    assert scene.tried(0).baseline == scene.tried(2).baseline


def test_drift_of_the_stable_version_is_no_alarm_of_the_candidate() -> None:
    scene = Release({"unit": "event", "actions": {"drift": "retrain", "candidate": "roll_back"}})
    scene.begin()
    for hour in range(3):
        scene.hour(hour, stable=12.0)
    [told] = scene.told("DriftDetected")
    assert (told.version, told.role, told.action) == (STABLE, "stable", "retrain")
    assert scene.tried_alarm() == "ok"


def test_a_version_that_no_release_tries_any_more_is_judged_and_raises_nothing() -> None:
    scene = Release({"unit": "event", "actions": {"candidate": "roll_back"}}).begin()
    scene.arms(stable=STABLE)
    for hour in range(3):
        scene.hour(hour, tried=OLDER + 12)
    verdict = scene.tried(2).window_verdict
    assert verdict is not None
    assert verdict.verdict == "drift"
    assert scene.told("DriftDetected") == []


def test_a_candidate_without_rows_or_baseline_is_told_so() -> None:
    scene = Release().begin()
    scene.traffic(people(10, 300), 0)
    scene.watch(1)
    assert scene.tried_item(0) is None
    scene.give_baseline(None, TRIED)
    scene.hour(1)
    assert scene.tried(1).drift.state == "off"
    assert "version 2 has no baseline" in scene.tried(1).sentence
    assert scene.look(1).window_verdict is not None


def test_late_rows_of_the_candidate_are_looked_at_again_and_those_of_the_stable_are_not() -> None:
    scene = Release().begin()
    scene.hour(0)
    scene.traffic(people(200, 40, older=OLDER), 0, version=TRIED, role="candidate")
    scene.watch(2)
    assert (scene.tried(0).revision, scene.tried(0).captured.rows) == (2, 340)
    before = scene.tried_item(0)
    scene.traffic(people(201, 40), 0, version=STABLE)
    scene.watch(3)
    assert scene.look(0).captured.rows == 340
    assert scene.tried_item(0) == before


def test_a_watch_that_is_killed_between_two_looks_tells_nothing_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Release({"unit": "event", "actions": {"candidate": "roll_back"}}).begin()
    scene.hour(0, tried=OLDER + 12)
    commit = scene.state.commit

    def dies(changes: Any, events: Any = ()) -> None:
        if any(getattr(one.data, "role", "") == "stable" for one in events):
            raise ConflictError("killed")
        commit(changes, events)

    scene.traffic(people(11, 300), 1, version=STABLE)
    scene.traffic(people(91, 300, older=OLDER + 12), 1, version=TRIED, role="candidate")
    scene.profile(scene.plan(2))
    monkeypatch.setattr(scene.state, "commit", dies)
    with pytest.raises(ConflictError):
        scene.judge(2)
    monkeypatch.undo()
    told = len(scene.told("DriftDetected"))
    scene.judge(2)
    assert len(scene.told("DriftDetected")) == told == 1
    assert scene.tried(1).revision == 1
    assert scene.look(1).revision == 1


def test_labels_show_that_the_candidate_does_worse_also_in_hours_without_its_answers() -> None:
    labels = {"max_delay_s": 3600, "minimum": 30, "margin": 0.03}
    scene = Release({"unit": "event", "labels": labels, "actions": {"candidate": "roll_back"}})
    scene.begin(older=0.0)
    for hour in range(3):
        mine = people(300 + hour, 200)
        tried = people(400 + hour, 200, prefix=f"t{hour}")
        scene.traffic(mine, hour)
        scene.label(mine, labels_of(mine, 1), hour, 600)
        scene.traffic(tried, hour, version=TRIED, role="candidate")
        scene.label(tried, labels_of(tried, 2, wrong=0.9), hour, 600)
        scene.watch(hour + 1)
    scene.traffic(people(303, 200), 3)
    scene.watch(4)
    [told] = scene.told("PerformanceDegraded")
    assert (told.version, told.role, told.action) == (TRIED, "candidate", "roll_back")
    assert scene.alarm("performance") == "ok"
    last = scene.tried(3)
    assert last.captured.rows == 0
    assert last.performance is not None
    assert last.performance.through == window(2)


def test_metrics_of_the_candidate_are_of_its_variant_alone() -> None:
    written: list[str] = []
    scene = Release(metrics=MetricLog("dev", written.append)).begin()
    scene.hour(0)
    drift = [line for line in written if '"DriftAlarm":' in line]
    assert [('"variant":"v2"' in line.replace(" ", "")) for line in drift] == [True, False]


def test_the_digest_of_each_record_is_the_one_that_is_pointed_at() -> None:
    scene = Release().begin()
    scene.hour(0)
    item = scene.tried_item(0)
    assert item is not None
    assert parse_look(scene.objects.read(item["uri"])).digest == item["digest"]
    assert item["uri"] != scene.look_item(0)["uri"]


def test_the_candidate_is_shown_beside_the_stable_version_and_whole_by_its_number() -> None:
    scene = Release({"unit": "event", "actions": {"candidate": "roll_back"}}).begin()
    for hour in range(2):
        scene.hour(hour, tried=OLDER + 12)
    monitoring = Monitoring(scene.state, scene.objects)
    watched = monitoring.read(PROJECT)
    [candidate] = watched.candidates
    assert (candidate.version, candidate.alarms["drift"]) == (TRIED, "alarm")
    assert [one["version"] for one in document(watched)["candidates"]] == [TRIED]
    console = Console(file=io.StringIO(), width=110)
    console.print(screen(watched, 110))
    stream = console.file
    assert isinstance(stream, io.StringIO)
    assert re.search(r"v2 +2026-01-05 01:00 +300 +drift +alarm", stream.getvalue())
    at = datetime(2026, 1, 6, tzinfo=UTC)
    assert "Beside the stable version" in page(watched, {}, at)
    alone = monitoring.read(PROJECT, version=TRIED)
    assert [look.version for look in alone.records] == [TRIED, TRIED]
    assert alone.alarms["drift"]["state"] == "alarm"
    assert "of version 2, beside the stable one" in page(alone, {}, at)
    with pytest.raises(CommandError, match="version 7 of diabetes answered beside no other"):
        monitoring.read(PROJECT, version=7)
