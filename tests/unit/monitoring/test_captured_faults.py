"""What may be wrong with captured objects: each is told, none is lost, none stops another."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from steward.domain.errors import ConflictError, ThrottledError
from steward.domain.monitoring.records import ALL, object_item
from steward.ports import Item, Table
from support.monitoring_scene import (
    ARTIFACTS,
    BEGAN,
    MonitoringScene,
    baseline_of,
    people,
    window,
)


@pytest.fixture
def scene() -> MonitoringScene:
    return MonitoringScene({"unit": "event"})


def marked(scene: MonitoringScene, key: str) -> Item:
    found = scene.state.get(Table.MONITORING, {"project": ALL, "item": object_item(key)})
    assert found is not None
    return found


def report(scene: MonitoringScene, key: str) -> dict[str, Any]:
    content = scene.objects.read(f"s3://{ARTIFACTS}/quarantine/{key}.report.json")
    found: dict[str, Any] = json.loads(content)
    return found


def jsonl(lines: list[Any]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def test_an_object_that_was_cut_off_counts_but_for_its_last_line(scene: MonitoringScene) -> None:
    content = jsonl(scene.exposures(people(11, 100), 0))
    key = scene.deliver(content[:-200], 0)
    scene.watch(1)
    assert scene.look(0).captured.rows == 99
    told = report(scene, key)
    assert (told["lines"], told["counted"]) == (100, 99)
    assert told["unusable"] == {"no JSON: the line is broken or cut off": 1}
    assert told["first_lines"]["no JSON: the line is broken or cut off"] == [100]
    assert scene.objects.read(f"s3://{ARTIFACTS}/quarantine/{key}") == content[:-200]


def test_lines_that_are_no_capture_at_all_are_set_aside(scene: MonitoringScene) -> None:
    good = scene.exposures(people(11, 100), 0)
    broken: list[Any] = [
        None,
        [],
        {"other": 1},
        {"capture": 7},
        {"capture": {"project": scene.project}},
    ]
    key = scene.deliver(b"\xff\xfe\n\n" + jsonl([*good, *broken]), 0)
    scene.watch(1)
    assert scene.look(0).captured.rows == 100
    assert sum(report(scene, key)["unusable"].values()) == 6


def test_an_object_event_that_comes_twice_counts_once(scene: MonitoringScene) -> None:
    scene.traffic(people(11, 100), 0)
    planned = scene.plan(1)
    assert scene.profile(planned)[0].objects == 1
    again = scene.profile(planned)[0]
    assert (again.objects, again.rows) == (0, 0)
    scene.judge(1)
    assert scene.look(0).captured.rows == 100


def test_the_same_lines_in_another_object_count_once(scene: MonitoringScene) -> None:
    lines = scene.exposures(people(11, 100), 0)
    scene.capture(lines, 0, "first")
    scene.capture(lines, 0, "second")
    found = scene.profile(scene.plan(1))[0]
    assert (found.rows, found.repeated) == (100, 100)
    scene.judge(1)
    look = scene.look(0)
    assert look.captured.rows == 100
    assert look.window_verdict is not None
    assert look.window_verdict.rows == 100


def test_lines_that_are_partly_in_another_object_count_once(scene: MonitoringScene) -> None:
    lines = scene.exposures(people(11, 100), 0)
    scene.capture(lines[:60], 0, "first")
    scene.capture(lines[40:], 0, "second")
    scene.watch(1)
    look = scene.look(0)
    assert (look.captured.rows, look.captured.duplicates) == (100, 20)
    assert look.window_verdict is not None
    assert look.window_verdict.rows == 100
    whole = MonitoringScene({"unit": "event"})
    whole.capture(lines, 0)
    whole.watch(1)
    before = whole.look(0).window_verdict
    assert before is not None
    assert [c.p for c in look.window_verdict.columns] == [c.p for c in before.columns]


def test_a_line_that_is_repeated_within_an_object_counts_once(scene: MonitoringScene) -> None:
    lines = scene.exposures(people(11, 100), 0)
    key = scene.capture([*lines, *lines[:10]], 0)
    scene.watch(1)
    assert scene.look(0).captured.rows == 100
    assert marked(scene, key)["repeated"] == 10


@pytest.mark.parametrize("unit", ["event", "entity"])
def test_the_order_of_lines_and_objects_changes_nothing(unit: str) -> None:
    straight, other = MonitoringScene({"unit": unit}), MonitoringScene({"unit": unit})
    lines = straight.exposures(people(11, 100), 0)
    straight.capture(lines[:50], 0, "a")
    straight.capture(lines[50:], 0, "b")
    other.capture(lines[:49:-1], 0, "a")
    other.capture(lines[49::-1], 0, "b")
    for scene in (straight, other):
        scene.watch(1)
    assert straight.look(0).profile == other.look(0).profile
    assert straight.look(0).captured == other.look(0).captured
    assert straight.look(0).window_verdict == other.look(0).window_verdict


def test_lines_of_an_older_schema_are_counted_where_they_can_be(scene: MonitoringScene) -> None:
    lines = scene.exposures(people(11, 100), 0)
    for line in lines[:30]:  # before releases and failures were captured
        for name in ("release_id", "failed", "latency_ms", "online"):
            del line["capture"][name]
    for line in lines[30:50]:  # before versions were told apart
        del line["capture"]["answering_version"]
    key = scene.capture(lines, 0)
    scene.watch(1)
    assert scene.look(0).captured.rows == 80
    [reason] = report(scene, key)["unusable"]
    assert reason.startswith("another schema")


def test_a_feature_that_the_baseline_lacks_is_told_and_not_judged(scene: MonitoringScene) -> None:
    rows = people(11, 100)
    for row in rows:
        row["features"]["shoe_size"] = 42
    scene.traffic(rows, 0)
    scene.watch(1)
    verdict = scene.look(0).window_verdict
    assert verdict is not None
    assert verdict.unknown_columns == {"shoe_size": 100}
    assert "shoe_size" not in [column.name for column in verdict.columns]
    assert scene.look(0).captured.rows == 100


def test_a_feature_that_captures_lack_counts_as_missing(scene: MonitoringScene) -> None:
    rows = people(11, 200)
    for row in rows:
        del row["features"]["pressure"]
    scene.traffic(rows, 0)
    scene.watch(1)
    verdict = scene.look(0).window_verdict
    assert verdict is not None
    assert verdict.absent_columns == {"pressure": 200}
    assert "pressure" in verdict.changed


def test_a_version_without_a_baseline_is_said_and_its_rows_are_known() -> None:
    scene = MonitoringScene({"unit": "event"})
    scene.give_baseline(None, 1)
    scene.traffic(people(11, 100), 0)
    scene.watch(1)
    look = scene.look(0)
    assert (look.drift.state, look.window_verdict) == ("off", None)
    assert "version 1 has no baseline" in look.sentence
    assert look.no_data.state == "ok"
    assert look.captured.quarantined == {"version 1 has no baseline": 100}


def test_a_baseline_that_is_not_the_registered_one_judges_nothing() -> None:
    scene = MonitoringScene({"unit": "event"})
    other = baseline_of(people(2, 1000), "event").model_dump_json().encode()
    scene.objects.write(f"s3://{ARTIFACTS}/runs/{scene.project}/v1/baseline.json", other)
    scene.traffic(people(11, 100), 0)
    scene.watch(1)
    assert "is not the one registered" in scene.look(0).drift.sentence


def test_a_clock_that_runs_ahead_or_far_behind_is_set_aside(scene: MonitoringScene) -> None:
    lines = scene.exposures(people(11, 100), 0)
    for line, at in zip(lines[:3], (timedelta(hours=9), timedelta(days=-16), None), strict=False):
        text = "yesterday" if at is None else (BEGAN + at).isoformat()
        line["capture"]["time"] = text
    key = scene.capture(lines, 0)
    scene.watch(1)
    assert scene.look(0).captured.rows == 97
    reasons = report(scene, key)["unusable"]
    assert reasons["its time lies ahead of now"] == 1
    assert reasons["it came more than 14 days late"] == 1
    assert len(reasons) == 3


def test_lines_of_a_project_that_is_gone_are_set_aside_and_stop_no_other(
    scene: MonitoringScene,
) -> None:
    lines = scene.exposures(people(11, 100), 0)
    for line in lines[:5]:
        line["capture"]["project"] = "gone"
    key = scene.capture(lines, 0)
    scene.watch(1)
    assert scene.look(0).captured.rows == 95
    assert report(scene, key)["unusable"] == {"no such project": 5}


def test_answers_for_a_shadow_version_are_not_traffic(scene: MonitoringScene) -> None:
    scene.traffic(people(11, 100), 0)
    key = scene.traffic(people(12, 40), 0, role="shadow", version=2)
    scene.watch(1)
    assert scene.look(0).captured.rows == 100
    assert scene.look(0).captured.other_versions == {}
    assert marked(scene, key)["shadow"] == 40


def test_a_watcher_killed_between_profile_and_pointer_counts_everything_once(
    scene: MonitoringScene,
) -> None:
    scene.traffic(people(11, 100), 0)
    planned = scene.plan(1)
    scene.state.before_commit.append(_killed)
    with pytest.raises(KeyboardInterrupt):
        scene.profile(planned)
    assert scene.state.query(Table.MONITORING, scene.project, prefix="chunk#") == []
    assert scene.profile(planned)[0].rows == 100
    scene.judge(1)
    assert scene.look(0).captured.rows == 100


def test_a_watcher_killed_between_pointer_and_mark_counts_everything_once(
    scene: MonitoringScene,
) -> None:
    scene.traffic(people(11, 100), 0)
    planned = scene.plan(1)
    scene.state.before_commit += [lambda: None, _killed]
    with pytest.raises(KeyboardInterrupt):
        scene.profile(planned)
    again = scene.profile(planned)[0]
    assert (again.rows, again.repeated) == (100, 0)
    scene.judge(1)
    assert scene.look(0).captured.rows == 100


def test_a_judge_killed_before_its_transaction_looks_once_and_tells_once(
    scene: MonitoringScene,
) -> None:
    scene.traffic(people(11, 300, older=15.0), 0)
    scene.profile(scene.plan(1))
    scene.state.before_commit.append(_killed)
    with pytest.raises(KeyboardInterrupt):
        scene.judge(1)
    assert scene.told("DriftDetected") == []
    scene.judge(1)
    scene.judge(1)
    assert len(scene.told("DriftDetected")) == 1
    assert len(scene.told("WindowJudged")) == 1


def test_two_judges_of_one_window_tell_once(scene: MonitoringScene) -> None:
    scene.traffic(people(11, 300, older=15.0), 0)
    scene.profile(scene.plan(1))
    scene.state.before_commit.append(lambda: (scene.judge(1), None)[1])
    with pytest.raises(ConflictError):
        scene.judge(1)
    assert len(scene.told("DriftDetected")) == 1
    assert len(scene.told("WindowJudged")) == 1
    assert scene.judge(1).looks == 0


def test_throttling_loses_nothing(scene: MonitoringScene) -> None:
    scene.traffic(people(11, 100), 0)
    planned = scene.plan(1)

    def throttled() -> None:
        raise ThrottledError("slow down")

    scene.state.before_commit.append(throttled)
    with pytest.raises(ThrottledError):
        scene.profile(planned)
    assert scene.profile(planned)[0].rows == 100


def test_late_rows_remake_their_window_and_tell_nothing_twice(scene: MonitoringScene) -> None:
    scene.traffic(people(11, 300, older=15.0), 0)
    scene.traffic(people(12, 300, older=15.0), 1)
    scene.watch(2)
    scene.capture(scene.exposures(people(13, 50, older=15.0), 0), 0, "late")
    scene.watch(3)
    look = scene.look(0)
    assert (look.revision, look.captured.rows, look.captured.late) == (2, 350, 50)
    assert look.transitions == ()
    assert len(scene.told("DriftDetected")) == 1
    assert [e.revision for e in scene.told("WindowJudged") if e.window == window(0)] == [1, 2]
    assert scene.look(2).history[window(0)] == look.profile


def test_an_object_that_firehose_delivers_a_day_late_is_found(scene: MonitoringScene) -> None:
    scene.traffic(people(11, 100), 0)
    scene.watch(1)
    scene.watch(23)
    scene.capture(scene.exposures(people(12, 50), 1), 1, "a-day-late")
    scene.watch(25)
    assert scene.look(1).captured.rows == 50


def test_a_segment_that_cannot_be_evaluated_stops_nothing() -> None:
    bad = {"name": "odd", "where": "age > 'old'"}
    scene = MonitoringScene({"unit": "event", "segments": [bad]})
    scene.traffic(people(11, 100), 0)
    scene.watch(1)
    assert scene.look(0).captured.rows == 100


def _killed() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("unit", ["event", "entity"])
def test_rows_in_two_chunks_count_once_in_segments_too(unit: str) -> None:
    women = {"name": "women", "where": "sex = 'F'"}
    scene = MonitoringScene({"unit": unit, "segments": [women]})
    rows = people(11, 200)
    lines = scene.exposures(rows, 0)
    scene.capture(lines[:120], 0, "first")
    scene.capture(lines[80:], 0, "cut-otherwise")
    only_repeated = [line for line in lines if line["capture"]["features"]["sex"] == "F"][:3]
    scene.capture(only_repeated, 0, "a-third-cut")
    scene.watch(1)
    [segment] = scene.look(0).segments
    assert segment.window.rows == sum(row["features"]["sex"] == "F" for row in rows)
    assert scene.look(0).captured.rows == 200
