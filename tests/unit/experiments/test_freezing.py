"""Freezing by SQL against the plain oracle, and the rules that it must keep."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from steward.domain.experiments.arm_statistics import SUMS
from steward.domain.experiments.captures import keep_captures, keep_outcomes
from steward.domain.experiments.freezing import Frame, Group, features_of, freeze_groups
from steward.domain.experiments.units import Design, find_units, milliseconds
from steward.domain.workspace import Limits, workspace
from support.captures import (
    BEGAN,
    PROJECT,
    RELEASE,
    random_story,
    write_exposures,
    write_outcomes,
)
from support.freezing_oracle import expected_groups

Lines = Sequence[dict[str, Any]]


class Bench:
    """Freezes a whole release from lines at once."""

    def __init__(self, folder: Path, *, threads: int = 2, files: int = 1) -> None:
        self.folder = folder
        self.threads = threads
        self.files = files

    def freeze(
        self, plan: Design, window_s: int, exposures: Lines, outcomes: Lines
    ) -> dict[Group, Frame]:
        folder = self.folder
        with workspace(Limits(folder, 512, self.threads)) as connection:
            captures, told = [], []
            for n in range(self.files):
                lines = write_exposures(folder / f"{n}.jsonl", exposures[n :: self.files])
                target = folder / f"captures{n}.parquet"
                kept = keep_captures(
                    connection, [lines], target, project=PROJECT, release_id=RELEASE,
                    features=features_of(plan.metrics),
                )  # fmt: skip
                captures += [target] if kept.rows else []
                lines = write_outcomes(folder / f"o{n}.jsonl", outcomes[n :: self.files])
                target = folder / f"outcomes{n}.parquet"
                kept = keep_outcomes(connection, [lines], target, project=PROJECT)
                told += [target] if kept.rows else []
            units = folder / "units.parquet"
            begin = milliseconds(BEGAN) // 600_000 * 600_000
            found = find_units(connection, captures, [], units, plan, (begin, begin + 86_400_000))
            groups = [Group(span, step_id) for span, step_id, _ in found.groups]
            return freeze_groups(
                connection, plan, window_s, groups, units=[units], captures=captures,
                outcomes=told,
            )  # fmt: skip

    def one(self, plan: Design, exposures: Lines, outcomes: Lines = ()) -> Frame:
        """Freeze what is one group."""
        [frame] = self.freeze(plan, max(plan.windows), exposures, outcomes).values()
        return frame


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def number(value: Any) -> Any:
    """Return a JSON value as an expression sees it."""
    if value is not None and not math.isfinite(float(value)):
        raise ValueError(value)
    return None if value is None else float(value)


def clean(function: Callable[[dict[str, Any]], Any]) -> dict[str, Callable[..., Any]]:
    return {"value": function}


COMPUTE: dict[str, dict[str, Callable[..., Any]]] = {
    "converted": clean(lambda row: number(row["outcome"])),
    "known": clean(lambda row: 0 if row["outcome"] is None else int(number(row["outcome"]) > 0)),
    "capped": clean(lambda row: number(row["outcome"])),
    "spend": clean(lambda row: number(row["outcome"])),
    "first_spend": clean(lambda row: number(row["outcome"])),
    "per_request": {
        "value": lambda row: number(row["outcome"]),
        "denominator": lambda row: row["prediction"],
    },
    "adjusted": {
        "value": lambda row: number(row["outcome"]),
        "covariate": lambda row: number(row["features"]["age"]),
    },
    "logarithm": clean(
        lambda row: None if row["prediction"] is None else math.log(row["prediction"] - 0.1)
    ),
    "gold": clean(
        lambda row: (
            None if row["features"]["segment"] is None else row["features"]["segment"] == "gold"
        )
    ),
}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("window_s", [0, 300, 600])
def test_the_engine_and_plain_python_freeze_the_same(
    seed: int, window_s: int, bench: Bench
) -> None:
    exposures, outcomes, plan = random_story(seed)
    expected = expected_groups(plan, window_s, exposures, outcomes, COMPUTE)

    frames = bench.freeze(plan, window_s, exposures, outcomes)

    assert {tuple(group) for group in frames} == set(expected)
    for group, frame in frames.items():
        want = expected[(group.span, group.step)]
        assert frame.exposures == dict(want.exposures)
        for name in (
            "requests", "repeated", "other_arm", "outcomes", "repeated_outcomes", "late_outcomes",
            "unusable_values",
        ):  # fmt: skip
            assert frame.counts[name] == want.counts[name], (group, name)
        assert {n: set(arms) for n, arms in frame.statistics.items()} == {
            n: set(arms) for n, arms in want.statistics.items()
        }
        for name, arms in want.statistics.items():
            for arm, statistics in arms.items():
                found = frame.statistics[name][arm]
                assert found.n == statistics.n, (group, name, arm)
                assert found.histogram == statistics.histogram, (group, name, arm)
                for part in SUMS:
                    a, b = getattr(found, part), getattr(statistics, part)
                    assert math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-12), (name, arm, part)
