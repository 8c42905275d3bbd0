"""What needs no model, and what training measured: information beside an evaluation."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from steward_jobs.container import JobError
from steward_jobs.job_config import JobConfig
from steward_jobs.simple_forecasts import forecasts_of
from steward_jobs.training_figures import training_figures

TRAIN = [
    ("a", "2026-01-01", 1.0), ("a", "2026-01-08", 2.0), ("a", "2026-01-10", 5.0),
    ("b", "2026-01-09", 8.0),
]  # fmt: skip
HELDOUT = [
    ("a", "2026-01-15", 0.0),  # a week after the 8th
    ("a", "2026-01-22", 0.0),  # two weeks after it
    ("a", "2026-01-16", 0.0),  # no Friday trains: the newest of the series
    ("b", "2026-01-16", 0.0),
    ("c", "2026-01-15", 0.0),  # a series that has none: the mean
]


def config(season: int | None, **changes: Any) -> JobConfig:
    about: dict[str, Any] = {
        "project": "sales", "run_id": "r-1", "entity_id": "shop", "label": "sold",
        "positive": None, "features": (), "evaluation": {"season_days": season},
        "task": "regression", "prediction_time": "asked_at",
    }  # fmt: skip
    return JobConfig(**{**about, **changes})


def written(path: Path, rows: list[tuple[str, str, float]]) -> Path:
    lines = [f"{shop},{day}T00:00:00.000Z,{sold}" for shop, day, sold in rows]
    path.write_text("\n".join(["shop,asked_at,sold", *lines]) + "\n")
    return path


def files(folder: Path) -> tuple[Path, Path]:
    return written(folder / "train.csv", TRAIN), written(folder / "heldout.csv", HELDOUT)


def test_the_naive_forecast_is_the_value_of_a_season_before(tmp_path: Path) -> None:
    constant, naive = forecasts_of(config(7), *files(tmp_path))
    assert (constant.name, list(constant.answers)) == ("constant", [4.0] * 5)
    assert (naive.name, list(naive.answers)) == ("seasonal_naive", [2.0, 2.0, 5.0, 8.0, 4.0])
    assert naive.without_season == 2


def timed(path: Path, rows: list[tuple[str, str, float, str]]) -> Path:
    lines = [f"{shop},{day}T00:00:00.000Z,{sold},{known}T20:00:00.000Z" for shop, day, sold, known
             in rows]  # fmt: skip
    path.write_text("\n".join(["shop,asked_at,sold,known_at", *lines]) + "\n")
    return path


def test_a_held_out_label_that_was_known_when_a_row_was_asked_for_is_the_newer_season(
    tmp_path: Path,
) -> None:
    train = timed(tmp_path / "train.csv", [("a", "2026-01-01", 1.0, "2026-01-01")])
    heldout = timed(
        tmp_path / "heldout.csv",
        [
            ("a", "2026-01-22", 9.0, "2026-01-22"),
            ("a", "2026-01-08", 2.0, "2026-01-08"),
            ("a", "2026-01-15", 3.0, "2026-01-23"),  # known too late for the 22nd
            ("a", "2026-01-23", 0.0, "2026-01-23"),  # of its weekday nothing: the newest known
            ("b", "2026-01-08", 5.0, "2026-01-08"),  # its own label is not known yet
        ],
    )
    naive = forecasts_of(config(7, label_known_at="known_at"), train, heldout)[1]
    assert list(naive.answers) == [2.0, 1.0, 2.0, 9.0, 1.0]
    assert naive.without_season == 2


def hourly(path: Path, rows: list[tuple[str, float]]) -> Path:
    lines = [f"a,{at}:00.000Z,{sold},{at}:30.000Z" for at, sold in rows]
    path.write_text("\n".join(["shop,asked_at,sold,known_at", *lines]) + "\n")
    return path


def naive_of(folder: Path, train: list[tuple[str, float]], asked: list[tuple[str, float]]) -> Any:
    files_ = hourly(folder / "train.csv", train), hourly(folder / "heldout.csv", asked)
    return forecasts_of(config(7, label_known_at="known_at"), *files_)[1]


def test_of_hourly_rows_a_season_before_is_the_same_hour_and_not_the_one_before(
    tmp_path: Path,
) -> None:
    train = [(f"2026-01-01T{hour:02d}:00", float(hour)) for hour in range(24)]
    asked = [(f"2026-01-{day}T{hour:02d}:00", 100.0 * (day == "15") + 50 + hour)
             for day in ("08", "15") for hour in range(24)]  # fmt: skip
    naive = naive_of(tmp_path, train, asked)
    assert list(naive.answers) == [float(hour) for hour in range(24)] + [
        50.0 + hour for hour in range(24)
    ]
    assert naive.without_season == 0


def test_where_the_border_cuts_a_day_its_own_morning_is_no_season_before(tmp_path: Path) -> None:
    train = [("2026-01-01T09:00", 1.0), ("2026-01-08T08:00", 8.0), ("2026-01-08T09:00", 9.0)]
    naive = naive_of(tmp_path, train, [("2026-01-08T15:10", 0.0), ("2026-01-15T09:00", 0.0)])
    # Of 15:10 no such minute is known: the day a season before, whatever the hour.
    assert (list(naive.answers), naive.without_season) == ([1.0, 9.0], 0)


def test_rows_within_a_season_have_none_and_take_the_newest_known(tmp_path: Path) -> None:
    naive = naive_of(
        tmp_path, [("2026-01-08T08:00", 8.0)], [("2026-01-08T15:00", 5.0), ("2026-01-08T16:00", 0)]
    )
    assert (list(naive.answers), naive.without_season) == ([8.0, 5.0], 2)


def test_the_order_of_the_rows_that_train_changes_nothing(tmp_path: Path) -> None:
    train, heldout = files(tmp_path)
    first = forecasts_of(config(7), train, heldout)[1].answers
    written(train, TRAIN[::-1])
    assert list(forecasts_of(config(7), train, heldout)[1].answers) == list(first)


def test_without_a_season_there_is_the_constant_alone(tmp_path: Path) -> None:
    [constant] = forecasts_of(config(None, prediction_time=None), *files(tmp_path))
    assert set(constant.answers) == {4.0}


def test_the_constant_of_a_binary_label_is_its_share(tmp_path: Path) -> None:
    train = written(tmp_path / "t.csv", [("a", "2026-01-01", v) for v in (1, 0, 0, 1, 1)])
    binary = config(None, task="binary", positive=1)
    [constant] = forecasts_of(binary, train, files(tmp_path)[1])
    assert set(constant.answers) == {0.6}


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="has no column 'when'"):
        forecasts_of(config(7, prediction_time="when"), *files(tmp_path))


MEASURED: dict[str, Any] = {
    "loss": "mae", "losses": {"linear": 1.5, "constant": 2.0}, "reason": "so", "trees": 0,
}  # fmt: skip
FIGURES: dict[str, Any] = {"kind": "linear", "figures": MEASURED}


def test_the_figures_of_the_built_in_model_are_read(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(json.dumps(FIGURES))
    found = training_figures(tmp_path)
    assert found is not None
    assert (found.kept, found.losses["linear"]) == ("linear", 1.5)


@pytest.mark.parametrize(
    "content",
    [
        "no json", "[]", "{}", json.dumps({**FIGURES, "figures": {"loss": "mae"}}),
        json.dumps({**FIGURES, "figures": {**MEASURED, "losses": {"a": math.nan}}}),
    ],
)  # fmt: skip
def test_a_model_of_own_code_has_no_such_figures(tmp_path: Path, content: str) -> None:
    assert training_figures(tmp_path) is None
    (tmp_path / "model.json").write_text(content)
    assert training_figures(tmp_path) is None
