"""What the statistics say of one version's window, with the windows before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steward.domain.monitoring.looking import Counted, judge, judge_segment
from steward.domain.monitoring.looks import SegmentLook, window_number
from steward.domain.monitoring.opinions import multivariate_looks
from steward.domain.monitoring.records import look_item
from steward.domain.monitoring.row_samples import numeric_features
from steward.ports import Item, Table
from steward.service.monitoring.look_records import Said, Scene
from steward.service.monitoring.windows import read_counted

if TYPE_CHECKING:
    from steward.service.monitoring.judging import Watcher

MOST_WINDOWS = 336
"""Windows that are caught up at most; of a longer silence of the watch the newest."""

SEGMENT_WINDOWS = 168
"""Earlier windows that a segment is compared with."""


def judged(watcher: Watcher, scene: Scene, number: int, beside: int | None) -> Said:
    """Judge a window and its segments with the windows before it."""
    baseline = scene.found.baseline
    if baseline is None:
        return Said()
    windows: dict[int, Counted] = {}
    history: dict[str, str] = {}
    quiet: dict[int, Counted] = {}
    looks = [
        item
        for item in watcher.bench.state.query(
            Table.MONITORING,
            watcher.project,
            prefix=look_item("", beside),
            newest_first=True,
            limit=800,
        )
        if item["window_s"] == watcher.window_s
        and item.get("version") == scene.version
        and item.get("baseline") == baseline.digest
        and item.get("profile_uri")
        and 0 < number - window_number(item["window"], watcher.window_s) < MOST_WINDOWS
    ]
    missing = [item for item in looks if item["profile"] not in watcher.windows]
    named = [(item["profile_uri"], item["profile"]) for item in missing]
    for item, counted in zip(
        missing, read_counted(watcher.bench, baseline.unit, named), strict=True
    ):
        watcher.windows[item["profile"]] = counted
    for item in looks:
        at = window_number(item["window"], watcher.window_s)
        windows[at] = watcher.windows[item["profile"]]
        history[item["window"]] = item["profile"]
        if item["drift"] != "alarm":
            quiet[at] = windows[at]
    if scene.summed.counted is not None:
        windows[number] = scene.summed.counted
        watcher.windows[scene.summed.counted.digest] = scene.summed.counted
    judged = judge(baseline, windows, number, watcher.declared, quiet=quiet)
    names = numeric_features(baseline, watcher.declared.columns)
    opinions = multivariate_looks(
        baseline.sample, scene.sampled.rows, names, watcher.declared.min_effect
    )
    segments = _segments(watcher, scene, looks)
    return Said(judged, dict(sorted(history.items())), segments, opinions)


def _segments(watcher: Watcher, scene: Scene, looks: list[Item]) -> tuple[SegmentLook, ...]:
    """Compare each segment with its own last windows."""
    baseline = scene.found.baseline
    assert baseline is not None
    found = []
    for name, total in sorted(scene.segments.items()):
        assert total.counted is not None
        places = [
            (kept["uri"], kept["profile"])
            for item in looks[:SEGMENT_WINDOWS]
            if (kept := (item.get("segments") or {}).get(name)) is not None
        ]
        earlier = read_counted(watcher.bench, baseline.unit, places)
        window = judge_segment(baseline, total.counted, earlier, watcher.declared)
        found.append(SegmentLook(name=name, window=window))
    return tuple(found)
