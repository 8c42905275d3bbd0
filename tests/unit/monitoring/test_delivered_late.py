"""Objects that appear in the capture bucket days after the day in their name."""

from __future__ import annotations

import pytest

from steward.domain.monitoring.records import late_item
from steward.ports import Table
from steward_cli.monitoring import Monitoring
from support.monitoring_scene import CAPTURE, PROJECT, MonitoringScene, people, window

DAY = 24


def days(count: int, unit: str = "event") -> MonitoringScene:
    """Windows of a day, each looked at once it has ended."""
    scene = MonitoringScene({"unit": unit, "window_s": 86_400, "no_data_after_s": None})
    for day in range(count):
        scene.traffic(people(10 + day, 60), day * DAY)
        scene.watch((day + 1) * DAY)
    return scene


def late(scene: MonitoringScene, day: int, seed: int, name: str) -> None:
    scene.capture(scene.exposures(people(seed, 40), day * DAY + 1), day * DAY, name)


def sweep(scene: MonitoringScene, first: int, watches: int = 13) -> list[int]:
    """Watch once an hour; return how many objects each watch found."""
    found = []
    for number in range(watches):
        planned = scene.plan(first * DAY + number + 1)
        found.append(planned.objects)
        scene.profile(planned)
    scene.judge(first * DAY + watches)
    return found


@pytest.mark.parametrize("unit", ["event", "entity"])
def test_what_is_delivered_days_late_is_found_within_thirteen_watches(unit: str) -> None:
    scene = days(5, unit)
    late(scene, 1, 50, "days-late")
    assert sum(sweep(scene, 5)) == 1
    look = scene.look(DAY)
    assert (look.revision, look.captured.rows, look.captured.late) == (2, 100, 40)
    assert scene.look(2 * DAY).revision == 1


def test_what_is_late_and_comes_twice_counts_once_even_cut_otherwise() -> None:
    scene = days(5)
    lines = scene.exposures(people(50, 40), DAY + 1)
    scene.capture(lines, DAY, "days-late")
    scene.capture(lines, DAY, "again")
    scene.capture(lines[10:30], DAY, "a-part-of-it")
    sweep(scene, 5)
    late(scene, 1, 50, "a-third-time")
    sweep(scene, 6)
    assert scene.look(DAY).captured.rows == 100


def test_later_days_first_and_two_days_in_one_object() -> None:
    scene = days(6)
    late(scene, 3, 53, "third")
    sweep(scene, 6)
    first = scene.exposures(people(51, 40), DAY + 1)
    both = [*scene.exposures(people(52, 40), 2 * DAY + 1), *first]
    scene.capture(both, DAY, "first-and-second")
    sweep(scene, 7)
    rows = [scene.look(day * DAY).captured.rows for day in range(1, 4)]
    assert rows == [100, 100, 100]


def test_each_watch_lists_one_day_more_and_thirteen_list_them_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = days(1)
    listed: list[str] = []
    real = scene.objects.list

    def counting(bucket: str, prefix: str) -> object:
        listed.append(prefix)
        return real(bucket, prefix)

    monkeypatch.setattr(scene.objects, "list", counting)
    scene.plan(20 * DAY)
    seen = set()
    for number in range(13):
        listed.clear()
        scene.plan(20 * DAY + number)
        assert len(listed) == 4
        seen.add(listed[-1])
    assert len(seen) == 13
    assert min(seen) == "exposures/2026/01/11/"
    assert max(seen) == "exposures/2026/01/23/"


def test_a_full_watch_leaves_the_sweep_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = days(5)
    monkeypatch.setattr("steward.service.monitoring.planning.MAX_OBJECTS", 2)
    for number in range(2):
        late(scene, 1, 60 + number, f"late-{number}")
        late(scene, 5, 70 + number, f"new-{number}")
    assert sum(sweep(scene, 5, 30)) == 4
    assert scene.look(DAY).captured.rows == 140


def test_rows_beyond_the_reach_of_a_look_are_noted_once_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("steward.service.monitoring.judging.MOST_WINDOWS", 3)
    scene = MonitoringScene({"unit": "event"})
    for hour in range(5):
        scene.traffic(people(9 + hour, 60), hour)
        scene.watch(hour + 1)
    scene.capture(scene.exposures(people(50, 30), 0), 0, "hours-late")
    scene.watch(6)
    scene.watch(7)
    [item] = scene.state.query(Table.MONITORING, PROJECT, prefix=late_item(""))
    assert (item["window"], item["rows"]) == (window(0), 30)
    assert scene.look(0).captured.rows == 60
    assert scene.state.query(Table.MONITORING, PROJECT, prefix=f"open#{window(0)}") == []
    watched = Monitoring(scene.state, scene.objects).read(PROJECT, recent=1)
    assert list(watched.late) == [item]


def test_an_object_named_for_a_day_out_of_reach_stays_where_it_is_unread() -> None:
    scene = days(1)
    scene.plan(16 * DAY)
    key = scene.capture(scene.exposures(people(50, 5), 1), 1, "weeks-late")
    for number in range(13):
        assert scene.plan(16 * DAY + number).objects == 0
    assert scene.objects.read(f"s3://{CAPTURE}/{key}")
