"""Rows that windows keep for second opinions, and the opinions of looks."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from performance_simulations import Floats, correlated
from steward.domain.errors import RejectedError
from steward.domain.monitoring.baseline import Baseline
from steward.domain.monitoring.opinions import multivariate_looks
from steward.domain.monitoring.row_samples import (
    RowSample,
    merge_row_samples,
    row_sample_from_json,
    sample_rows,
)
from steward.domain.monitoring.sampled_rows import LIMIT, SampledRows, sampled_rows
from steward_cli.monitor_backtest import Settings, backtest
from steward_cli.monitor_text import screen
from steward_cli.monitoring import Monitoring
from support.monitoring_scene import PROJECT, MonitoringScene, baseline_of, people, window

NAMES = ("a", "b")


def _sample(ids: list[str], times: list[int], values: Floats, limit: int = LIMIT) -> RowSample:
    columns = {"a": values[:, 0], "b": values[:, 1], "c": np.zeros(len(ids))}
    return sample_rows(NAMES, columns, np.array(ids), np.array(times, dtype=np.int64), limit=limit)


def test_samples_of_parts_are_the_sample_of_the_whole_in_any_order() -> None:
    generator = np.random.default_rng(1)
    values = generator.normal(size=(90, 2))
    ids = [f"id-{n}" for n in generator.integers(0, 60, 90)]
    times = list(range(90))
    whole = _sample(ids, times, values, limit=20)
    assert whole.kept.rows == 20
    parts = [
        _sample(ids[at : at + 30], times[at : at + 30], values[at : at + 30], limit=20)
        for at in (0, 30, 60)
    ]
    for order in itertools.permutations(parts):
        merged = merge_row_samples(order, limit=20)
        assert merged is not None
        assert merged.digest == whole.digest


def test_of_a_unit_the_first_row_is_kept_and_a_row_that_comes_twice_once() -> None:
    values = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    early = _sample(["x", "y", "x"], [5, 1, 2], values)
    assert sorted(early.kept.table[:, 0].tolist()) == [2.0, 3.0]
    again = merge_row_samples([early, early])
    assert again is not None
    assert again.digest == early.digest
    assert merge_row_samples([]) is None


def test_what_is_missing_stays_missing_and_text_is_no_number() -> None:
    masked: Any = np.ma.MaskedArray(np.array([1.5, 2.5]), mask=[False, True])  # type: ignore[no-untyped-call]
    found = sample_rows(
        ["a", "b", "absent"], {"a": masked, "b": np.array(["7", "seven"], dtype=object)},
        np.array(["x", "y"]), np.array([1, 2], dtype=np.int64),
    )  # fmt: skip
    rows = {tuple(map(str, row)) for row in found.kept.table.tolist()}
    assert rows == {("1.5", "7.0", "nan"), ("nan", "nan", "nan")}


def test_a_value_beyond_all_measure_is_kept_as_infinite() -> None:
    kept = sampled_rows(NAMES, np.array([[1e300, -1e300]]))
    assert kept.table.tolist() == [[math.inf, -math.inf]]


def test_columns_that_not_all_chunks_keep_are_left_out() -> None:
    times = np.array([1], dtype=np.int64)
    one = sample_rows(["a", "b"], {"a": np.ones(1), "b": np.ones(1)}, np.array(["x"]), times)
    two = sample_rows(["b", "c"], {"b": np.zeros(1), "c": np.ones(1)}, np.array(["y"]), times)
    merged = merge_row_samples([one, two])
    assert merged is not None
    assert merged.kept.columns == ("b",)
    assert sorted(merged.kept.table.ravel().tolist()) == [0.0, 1.0]


def test_a_sample_reads_back_and_what_is_none_is_refused() -> None:
    sample = _sample(["x", "y"], [1, 2], np.array([[1.0, np.nan], [3.0, 4.0]]))
    assert row_sample_from_json(sample.to_json()).digest == sample.digest
    plain = json.loads(sample.to_json())
    broken: list[Any] = [
        [], {}, {**plain, "format": 2}, {**plain, "hashes": ""},
        {**plain, "kept": {**plain["kept"], "rows": 3}},
        {**plain, "kept": {**plain["kept"], "values": "?"}},
    ]  # fmt: skip
    for one in broken:
        with pytest.raises(RejectedError, match="no sample of rows"):
            row_sample_from_json(json.dumps(one))


def _kept(rows: Floats) -> SampledRows:
    return sampled_rows([f"f{n}" for n in range(rows.shape[1])], rows)


def test_opinions_rarely_change_without_a_change_and_see_what_no_column_shows() -> None:
    generator = np.random.default_rng(2)
    names = [f"f{n}" for n in range(correlated(generator, 1).shape[1])]
    runs, level = 80, 0.05
    said = np.zeros(2)
    for _ in range(runs):
        looks = multivariate_looks(
            _kept(correlated(generator, 500)), _kept(correlated(generator, 300)), names, 0.02
        )
        assert [one.method for one in looks] == ["pca_reconstruction", "domain_classifier"]
        said += [one.state == "changed" for one in looks]
    assert (said / runs <= level + 3 * math.sqrt(level * (1 - level) / runs)).all(), said
    seen = np.zeros(2)
    for _ in range(10):
        lost = _kept(correlated(generator, 500, correlation=0))
        looks = multivariate_looks(_kept(correlated(generator, 500)), lost, names, 0.02)
        seen += [one.state == "changed" for one in looks]
    assert (seen >= 9).all(), seen


def test_opinions_need_rows_of_both_sides_and_two_columns() -> None:
    generator = np.random.default_rng(3)
    rows = correlated(generator, 300)
    names = [f"f{n}" for n in range(rows.shape[1])]
    looks = multivariate_looks(_kept(rows), _kept(rows[:99]), names, 0.02)
    assert [(one.state, one.needs) for one in looks] == [("inconclusive", 100)] * 2
    assert "needs n = 100" in looks[0].sentence
    small = multivariate_looks(_kept(rows[:150]), _kept(rows[:150]), names, 0.02)
    assert (small[0].state, small[1].state) == ("inconclusive", "same")
    assert multivariate_looks(None, _kept(rows), names, 0.02) == ()
    assert multivariate_looks(_kept(rows), None, names, 0.02) == ()
    assert multivariate_looks(_kept(rows), _kept(rows), names[:1], 0.02) == ()


def _tied(seed: int, count: int) -> list[dict[str, Any]]:
    """Return people each column of whom is as in training; the older have higher pressure."""
    rows = people(seed, count)
    ordered = sorted(row["features"]["pressure"] for row in rows)
    for row, pressure in zip(
        sorted(rows, key=lambda row: row["features"]["age"]), ordered, strict=True
    ):
        row["features"]["pressure"] = pressure
    return rows


@pytest.mark.parametrize("unit", ["event", "entity"])
def test_a_look_sees_columns_that_changed_together_and_alarms_nobody(unit: str) -> None:
    scene = MonitoringScene({"unit": unit})
    scene.traffic(people(5, 300), 0)
    scene.watch(1)
    scene.traffic(_tied(6, 300), 1)
    scene.watch(2)
    calm, tied = scene.look(0), scene.look(1)
    assert [one.state for one in calm.multivariate] == ["same", "same"]
    assert [one.state for one in tied.multivariate] == ["changed", "changed"]
    assert tied.multivariate[1].rows == (300, 500)
    assert tied.window_verdict is not None
    assert (tied.window_verdict.changed, tied.drift.state) == ([], "ok")
    assert scene.told("DriftDetected") == []
    watched = Monitoring(scene.state, scene.objects).read(PROJECT)
    assert watched.baseline is not None
    again = backtest(watched.records, watched.baseline, scene.objects, Settings())
    assert [one.same for one in again] == [True, True]


def test_a_row_that_is_delivered_twice_is_sampled_once() -> None:
    scene = MonitoringScene({"unit": "event"})
    lines = scene.exposures(people(5, 200), 0)
    scene.capture(lines, 0, "one")
    scene.capture(lines[100:], 0, "two")
    scene.watch(1)
    assert scene.look(0).multivariate[1].rows == (200, 500)


def _remove(scene: MonitoringScene, uri: str) -> None:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    for info in list(scene.objects.versions(bucket, key)):
        scene.objects.remove(bucket, key, str(info.version_id))


def test_rows_may_be_erased_and_looks_and_replays_go_on() -> None:
    scene = MonitoringScene({"unit": "event"})
    scene.traffic(people(5, 200), 0)
    scene.watch(1)
    look = scene.look(0)
    assert look.sample_uri is not None
    _remove(scene, look.sample_uri)
    [chunk] = scene.state.query("monitoring", PROJECT, prefix=f"chunk#{window(0)}")  # type: ignore[arg-type]
    _remove(scene, chunk["sample"]["uri"])
    scene.traffic(people(6, 60, prefix="late"), 0)
    scene.watch(2)
    late = scene.look(0)
    assert (late.revision, late.multivariate, late.sample) == (2, (), None)
    assert late.window_verdict is not None
    watched = Monitoring(scene.state, scene.objects).read(PROJECT)
    assert watched.baseline is not None
    again = backtest([look, *watched.records[1:]], watched.baseline, scene.objects, Settings())
    assert again[0].same is True


def test_rows_that_are_not_what_was_kept_are_told_by_a_replay() -> None:
    scene = MonitoringScene({"unit": "event"})
    scene.traffic(people(5, 200), 0)
    scene.watch(1)
    look = scene.look(0)
    assert look.sample_uri is not None
    other = _sample(["x"], [1], np.ones((1, 2)))
    scene.objects.write(look.sample_uri, other.to_json().encode())
    watched = Monitoring(scene.state, scene.objects).read(PROJECT)
    assert watched.baseline is not None
    [again] = backtest(watched.records, watched.baseline, scene.objects, Settings())
    assert again.same is False


def test_columns_that_are_not_judged_are_not_kept() -> None:
    scene = MonitoringScene({"unit": "event", "columns": ["age", "sex", "prediction"]})
    scene.traffic(people(5, 200), 0)
    scene.watch(1)
    look = scene.look(0)
    assert (look.multivariate, look.sample) == ((), None)
    assert not any("-rows" in key for key in _keys(scene))


def test_a_baseline_without_rows_has_no_second_opinion() -> None:
    scene = MonitoringScene({"unit": "event"})
    known = baseline_of(people(1, 4000), "event")
    scene.give_baseline(Baseline.model_validate(known.model_dump(exclude={"sample"})), 1)
    scene.traffic(people(5, 200), 0)
    scene.watch(1)
    assert scene.look(0).multivariate == ()
    assert scene.look(0).window_verdict is not None


def test_the_terminal_shows_opinions() -> None:
    scene = MonitoringScene({"unit": "event"})
    scene.traffic(_tied(6, 300), 0)
    scene.watch(1)
    console = Console(width=160)
    with console.capture() as shown:
        console.print(screen(Monitoring(scene.state, scene.objects).read(PROJECT), 160))
    assert "domain classifier" in shown.get()
    assert "changed" in shown.get()


def _keys(scene: MonitoringScene) -> list[str]:
    return [info.key for info in scene.objects.list("artifacts", "monitoring/")]
