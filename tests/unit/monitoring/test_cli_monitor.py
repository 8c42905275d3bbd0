"""``steward monitor``: what is shown, written, judged again and reset."""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from steward.domain.errors import ConflictError
from steward.domain.monitoring.looks import MetricLook, PerformanceLook
from steward.domain.monitoring.opinion_records import CalibrationLook
from steward.domain.monitoring.records import RETRAINING
from steward.domain.monitoring.retraining import Attempt, State
from steward.ports import Table
from steward.service.metric_lines import MetricLog
from steward_cli.commands.monitor import window_counts, write_report
from steward_cli.console import CommandError
from steward_cli.monitor_backtest import Settings, backtest, summary
from steward_cli.monitor_page import page
from steward_cli.monitor_text import backtested, retraining, screen
from steward_cli.monitoring import Monitoring, Watched, document
from support.monitoring_scene import PROJECT, MonitoringScene, people, window

HOURS = 8
SHIFTED_FROM = 4


def _scene(unit: str, hours: int = HOURS) -> MonitoringScene:
    """Four hours as in training, then people who are ten years older."""
    scene = MonitoringScene({"unit": unit})
    for hour in range(hours):
        older = 10.0 if hour >= SHIFTED_FROM else 0.0
        scene.traffic(people(100 + hour, 200, older=older), hour)
        scene.watch(hour + 1)
    return scene


@pytest.fixture(scope="module", params=["event", "entity"])
def scene(request: pytest.FixtureRequest) -> MonitoringScene:
    """A project whose traffic shifted, by either unit."""
    return _scene(request.param)


@pytest.fixture(scope="module")
def monitoring(scene: MonitoringScene) -> Monitoring:
    return Monitoring(scene.state, scene.objects)


@pytest.fixture(scope="module")
def watched(monitoring: Monitoring) -> Watched:
    return monitoring.read(PROJECT)


def _printed(renderable: Any) -> str:
    console = Console(file=io.StringIO(), width=110)
    console.print(renderable)
    stream = console.file
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


def _html(monitoring: Monitoring, watched: Watched) -> str:
    return page(watched, window_counts(monitoring, watched), datetime(2026, 1, 6, tzinfo=UTC))


def test_the_screen_tells_alarms_and_the_columns_behind_them(watched: Watched) -> None:
    shown = _printed(screen(watched, 110))
    assert re.search(r"drift +alarm +2026-01-05", shown)
    assert re.search(r"no data +ok", shown)
    assert re.search(r"age +changed", shown)
    assert f"{HOURS} looks, 2026-01-05 00:00 to 2026-01-05 07:00 UTC" in shown


def test_the_page_draws_each_column_beside_its_baseline(
    monitoring: Monitoring, watched: Watched
) -> None:
    html = _html(monitoring, watched)
    for column in ("age", "pressure", "sex", "prediction"):
        assert f"<title>{column} now and in the baseline</title>" in html
    assert html.index("age now and in") < html.index("pressure now and in")
    assert "in the baseline</title>" in html
    assert html.count("Alarm by trailing sum over time") >= 2
    assert "class='loud'" in html
    assert "DriftDetected" in html
    assert watched.records[-1].digest in html


def test_the_page_needs_nothing_from_elsewhere(monitoring: Monitoring, watched: Watched) -> None:
    html = _html(monitoring, watched)
    assert "<script" not in html
    assert not re.findall(r"(?:src|href)=", html)
    assert set(re.findall(r"https?://[^'\"\s<]+", html)) <= {"http://www.w3.org/2000/svg"}


def test_shares_of_a_picture_add_up(monitoring: Monitoring, watched: Watched) -> None:
    html = _html(monitoring, watched)
    start = html.index("<title>pressure now and in the baseline</title>")
    picture = html[start : html.index("</svg>", start)]
    for which in (r"([\d.]+)% now", r"([\d.]+)% in the baseline"):
        shares = [float(share) for share in re.findall(which, picture)]
        assert sum(shares) == pytest.approx(100, abs=1.5)


def test_an_earlier_window_has_its_own_page(monitoring: Monitoring, watched: Watched) -> None:
    early = watched.at(window(1))
    html = _html(monitoring, early)
    assert "2026-01-05 01:00 to 2026-01-05 02:00 UTC" in html
    assert "class='loud'" not in html
    with pytest.raises(CommandError, match="no look at 2030"):
        watched.at("2030-01-01T00:00:00Z")


def test_performance_is_drawn_with_its_limits(monitoring: Monitoring, watched: Watched) -> None:
    metric = MetricLook(
        metric="brier", verdict="worse", method="Welch", current=0.3, baseline=0.2,
        worsening=0.1, lower=0.07, upper=0.13, margin=0.05, confidence=0.95, n=150,
    )  # fmt: skip
    performance = PerformanceLook(
        state="alarm", sentence="Worse.", predictions=200, labelled=150, delay_s=60,
        realised=(metric,), calibration=CalibrationLook(
            verdict="drifted", sentence="Calibration drifted: by 0.120.", n=150, ece=(0.1, 0.02),
            ece_by_chance=0.01, slope=(0.45, 1.01), intercept=(0.2, 0.0), p=1e-5, effect=0.12,
            upper=0.14, floor=0.02, confidence=0.95,
        ),
    )  # fmt: skip
    records = [look.model_copy(update={"performance": performance}) for look in watched.records]
    told = Watched(PROJECT, watched.alarms, watched.looks, records, watched.baseline)
    html = page(told, {}, datetime(2026, 1, 6, tzinfo=UTC))
    assert "<title>Worsening of brier</title>" in html
    assert "150 of 200 predictions have a label (75.0%)" in html
    assert '<p class="bad">Calibration drifted: by 0.120.</p>' in html
    assert "0.45" in html
    assert "Calibration drifted: by 0.120." in _printed(screen(told, 110))


def test_a_report_is_a_file_and_says_where_nothing_was_looked_at(
    monitoring: Monitoring, watched: Watched, tmp_path: Path
) -> None:
    written = write_report(monitoring, watched, tmp_path / "made" / "monitor.html")
    assert written.read_text(encoding="utf-8").startswith("<!doctype html>")
    nothing = Watched(PROJECT, {}, [], [])
    with pytest.raises(CommandError, match="looked at yet"):
        write_report(monitoring, nothing, tmp_path / "none.html")
    assert "no window was looked at yet" in _printed(screen(nothing, 80))


def test_what_is_printed_as_json_is_json(watched: Watched) -> None:
    told = json.loads(json.dumps(document(watched), default=str))
    assert told["newest"]["alarms"]["drift"] == "alarm"
    assert len(told["looks"]) == HOURS


def test_with_its_own_settings_every_verdict_comes_out_again(
    monitoring: Monitoring, watched: Watched
) -> None:
    assert watched.baseline is not None
    found = backtest(watched.records, watched.baseline, monitoring.objects, Settings())
    assert [one.same for one in found] == [True] * HOURS
    totals = summary(found)
    assert totals["alarms"] == totals["alarms_before"] > 0
    assert "every window is judged as it was" in _printed(backtested(found, totals))


def test_other_settings_give_other_alarms_and_change_no_record(
    scene: MonitoringScene, monitoring: Monitoring, watched: Watched
) -> None:
    assert watched.baseline is not None
    kept = {place: len(versions) for place, versions in scene.objects._objects.items()}
    items = scene.state.query(Table.MONITORING, PROJECT)
    tried = Settings(min_effect=0.9)
    found = backtest(watched.records, watched.baseline, monitoring.objects, tried)
    totals = summary(found)
    assert (totals["alarms"], totals["drifting_windows"]) == (0, 0)
    assert totals["alarms_before"] > 0
    assert {one.same for one in found} == {None}
    assert "alarm was" in _printed(backtested(found, totals))
    after = {place: len(versions) for place, versions in scene.objects._objects.items()}
    assert after == kept
    assert scene.state.query(Table.MONITORING, PROJECT) == items


def test_a_profile_that_was_changed_is_refused() -> None:
    scene = _scene("event", hours=2)
    monitoring = Monitoring(scene.state, scene.objects)
    watched = monitoring.read(PROJECT)
    assert watched.baseline is not None
    first, second = watched.records[0].profile_uri, watched.records[1].profile_uri
    assert first is not None
    assert second is not None
    scene.objects.write(first, scene.objects.read(second))
    with pytest.raises(CommandError, match="not what was judged"):
        backtest(watched.records, watched.baseline, scene.objects, Settings())


def test_a_record_that_was_changed_is_refused() -> None:
    scene = MonitoringScene()
    scene.traffic(people(5, 100), 0)
    scene.watch(1)
    uri = scene.look_item(0)["uri"]
    changed = scene.objects.read(uri).replace(b'"revision":1', b'"revision":2')
    scene.objects.write(uri, changed)
    with pytest.raises(CommandError, match="not the record that was written"):
        Monitoring(scene.state, scene.objects).read(PROJECT)


def test_a_version_without_a_baseline_has_a_page_that_says_so() -> None:
    scene = MonitoringScene()
    scene.give_baseline(None, 1)
    scene.traffic(people(5, 100), 0)
    scene.watch(1)
    monitoring = Monitoring(scene.state, scene.objects)
    html = _html(monitoring, monitoring.read(PROJECT))
    assert "The version has no baseline" in html


def test_an_unknown_project_is_told() -> None:
    scene = MonitoringScene()
    with pytest.raises(CommandError, match="no project 'nobody'"):
        Monitoring(scene.state, scene.objects).read("nobody")


def test_the_breaker_is_shown_and_reset_once() -> None:
    scene = MonitoringScene()
    monitoring = Monitoring(scene.state, scene.objects)
    with pytest.raises(CommandError, match="was ever asked for"):
        monitoring.reset_breaker(PROJECT)
    attempt = Attempt("run-2", "drift v1", 1_767_600_000, 0.5)
    state = State(attempts=(attempt,), ended_s=1_767_603_600, in_vain=2,
                  in_vain_causes=("drift v1", "drift v2"))  # fmt: skip
    item = {
        "project": PROJECT, "item": RETRAINING, "state": state.as_dict(), "number": 7,
        "waiting": {"drift": {"cause": "drift v3", "since_s": 1_767_607_200}},
    }  # fmt: skip
    scene.state.put(Table.MONITORING, item)
    shown = _printed(retraining(item))
    assert re.search(r"attempts in vain, in a row +2", shown)
    assert "drift v3" in shown
    assert monitoring.reset_breaker(PROJECT).in_vain == 0
    kept = monitoring.retraining(PROJECT)
    assert kept is not None
    assert (kept["number"], kept["state"]["in_vain_causes"]) in ((8, []), (8, ()))
    assert kept["waiting"] == item["waiting"]


def test_a_breaker_that_somebody_else_wrote_meanwhile_is_not_reset() -> None:
    scene = MonitoringScene()
    item = {"project": PROJECT, "item": RETRAINING, "state": State(in_vain=2).as_dict(),
            "number": 7}  # fmt: skip
    scene.state.put(Table.MONITORING, item)

    def other() -> None:
        scene.state.put(Table.MONITORING, {**item, "number": 8})

    scene.state.before_commit = [other]
    with pytest.raises(ConflictError):
        Monitoring(scene.state, scene.objects).reset_breaker(PROJECT)


def test_looks_are_told_as_metrics() -> None:
    scene = MonitoringScene()
    lines: list[str] = []
    scene.metrics = MetricLog("dev", lines.append)
    scene.traffic(people(5, 100), 0)
    scene.watch(1)
    told = [json.loads(line) for line in lines]
    assert [line["WindowRows"] for line in told if "variant" not in line] == [100]
    assert {line["feature"] for line in told if "feature" in line} >= {"age", "sex"}
