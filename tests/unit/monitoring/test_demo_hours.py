"""The demo's monitored hours: how often such windows alarm with and without the shift.

The 442 patients are split anew for each seed, as the project's own split does with another salt;
each window is of patients that neither trained nor judged the version.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from steward.domain.monitoring.alarms import HORIZONS, AlarmSettings
from steward.domain.monitoring.baseline import Baseline, column_baselines
from steward.domain.monitoring.declaration import Monitoring
from steward.domain.monitoring.entity_samples import sample_chunk
from steward.domain.monitoring.looking import Judged, alarm_settings, judge
from steward.domain.splits import part_of
from steward_cli.demo import data as diabetes
from support.job_container import DIABETES, load_project

# One window is alone in all horizons: one of them at the level that each has says the same.
ALONE = AlarmSettings(
    alpha=0.05 / len(HORIZONS), horizons=(1,), least_rows=50, min_effect=0.02
)  # fmt: skip
DECLARED: Monitoring = load_project(DIABETES).monitoring
SEEDS = 200
Rows = Sequence[diabetes.Row]
Floats = NDArray[np.float64]


def _split(salt: str) -> dict[str, list[diabetes.Row]]:
    """Return the patients by part; those of the third delivery are not yet trained on."""
    parts: dict[str, list[diabetes.Row]] = {"train": [], "heldout": [], "traffic": []}
    for number, row in enumerate(diabetes.patients()):
        part = part_of(
            str(row["patient_id"]), salt=salt, traffic=diabetes.TRAFFIC_SHARE,
            heldout=diabetes.HELDOUT_SHARE,
        )  # fmt: skip
        if part == "traffic" or number < sum(diabetes.DELIVERY_ROWS[:2]):
            parts[part].append(row)
    return parts


def _values(rows: Rows, years: int = 0) -> Floats:
    values = np.array([[row[name] for name in diabetes.FEATURES] for row in rows], dtype=float)
    values[:, diabetes.FEATURES.index("age")] += years
    return values


class Version:
    """A version like the demo's second: its baseline, and its answers."""

    def __init__(self, salt: str) -> None:
        parts = _split(salt)
        train = _values(parts["train"])
        self._middle, self._scale = train.mean(axis=0), train.std(axis=0)
        labels = [row[diabetes.LABEL] for row in parts["train"]]
        self._model = LogisticRegression(C=0.1).fit(self._standard(train), labels)
        held_out = self._answers(_values(parts["heldout"]))
        self.traffic = parts["traffic"]
        self.baseline = Baseline(
            project="diabetes", version=2, unit="entity", rows=len(train),
            features=column_baselines(dict(zip(diabetes.FEATURES, train.T, strict=True))),
            held_out_rows=len(held_out), predictions=column_baselines({"prediction": held_out}),
        )  # fmt: skip

    def _standard(self, values: Floats) -> Floats:
        return np.asarray((values - self._middle) / self._scale)

    def _answers(self, values: Floats) -> Floats:
        return np.asarray(self._model.predict_proba(self._standard(values))[:, 1])

    def judged(self, rows: Rows, years: int = 0, alarm_with: AlarmSettings | None = None) -> Judged:
        """Judge a window of these patients, made older by some years."""
        values = _values(rows, years)
        columns = dict(zip(diabetes.FEATURES, values.T, strict=True))
        columns["prediction"] = self._answers(values)
        ids = np.array([str(row["patient_id"]) for row in rows])
        times = np.arange(len(rows), dtype=np.int64)
        sample = sample_chunk(self.baseline, columns, ids, times, "c")
        return judge(self.baseline, {0: sample}, 0, DECLARED, alarm_with=alarm_with)


@cache
def _played() -> list[tuple[Judged, Judged]]:
    """Return both hours' verdicts for each seed, each patient in one of them."""
    played = []
    for seed in range(SEEDS):
        version = Version(f"seed-{seed}")
        rows = version.traffic
        before = version.judged(rows[::2], alarm_with=ALONE)
        shifted = version.judged(rows[1::2], diabetes.SHIFT_YEARS, alarm_with=ALONE)
        played.append((before, shifted))
    return played


def test_one_horizon_is_judged_at_the_level_of_each_of_them() -> None:
    declared = alarm_settings(DECLARED)
    assert ALONE.level == pytest.approx(declared.level)
    assert (ALONE.least_rows, ALONE.min_effect) == (declared.least_rows, declared.min_effect)
    version = Version("all horizons")
    for rows, years in ((version.traffic[::2], 0), (version.traffic[1::2], 20)):
        one, all_ = (version.judged(rows, years, how).alarm for how in (ALONE, None))
        assert [c.column for c in one.columns] == [c.column for c in all_.columns]


def test_an_hour_without_a_shift_alarms_in_at_most_one_of_twenty() -> None:
    assert sum(before.alarm.state == "alarm" for before, _ in _played()) <= 0.05 * SEEDS
    assert {before.alarm.state for before, _ in _played()} <= {"quiet", "alarm"}
    assert sum(before.window.verdict == "drift" for before, _ in _played()) <= 0.05 * SEEDS


def test_an_hour_of_older_patients_alarms_in_at_least_nineteen_of_twenty() -> None:
    states = [shifted.alarm for _, shifted in _played()]
    assert sum(alarm.state == "alarm" for alarm in states) >= 0.95 * SEEDS
    surest = [alarm.columns[0].column for alarm in states if alarm.columns]
    assert sum(column == "age" for column in surest) >= 0.95 * SEEDS


def test_the_demos_own_hours_are_told_apart() -> None:
    version = Version(diabetes.SALT)
    unshifted, shifted = diabetes.monitored_rows()
    ids = [str(row["patient_id"]) for row in version.traffic]
    assert ids[::2] == [row["entity_id"] for row in unshifted]
    assert ids[1::2] == [row["entity_id"] for row in shifted]
    assert version.judged(version.traffic[::2]).alarm.state == "quiet"
    found = version.judged(version.traffic[1::2], diabetes.SHIFT_YEARS).alarm
    assert [one.column for one in found.columns][:1] == ["age"]
