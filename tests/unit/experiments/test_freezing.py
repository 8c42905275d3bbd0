"""Freezing by SQL against the plain oracle, and the rules that it must keep."""

import math
import random
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
    design,
    exposure,
    metric,
    outcome,
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


def many(seed: int, size: int) -> tuple[Lines, Lines]:
    """Return exposures and outcomes of entities with several requests and awkward figures."""
    draw = random.Random(seed)
    exposures = []
    for number in range(size):
        entity = f"e{draw.randrange(size // 4)}"
        probability = draw.random()
        exposures.append(
            exposure(
                entity, draw.uniform(0, 500), inference_id=f"i{number}",
                role="candidate" if hash_of(entity) else "stable",
                prediction={"probability": probability, "label": "yes"},
                features={"age": draw.choice([1e-9, 0.1, 1e9]) * draw.random()},
            )
        )  # fmt: skip
    outcomes = [
        outcome(captured, draw.choice([1e-12, 0.3, 1e12]) * draw.gauss(0, 1), 510)
        for captured in exposures
        if draw.random() < 0.6
    ]
    return exposures, outcomes


def hash_of(entity: str) -> bool:
    return int(entity[1:]) % 2 == 0


def test_neither_threads_nor_files_nor_their_order_change_a_bit(tmp_path: Path) -> None:
    exposures, outcomes = many(3, 30_000)
    plan = design(
        metric("spend", "mean", aggregate="sum"),
        metric("average", "mean", aggregate="mean"),
        metric("ratio", "ratio", aggregate="sum", denominator="prediction"),
        metric("adjusted", "adjusted", covariate="age"),
    )
    found = []
    for n, (threads, files) in enumerate([(1, 1), (2, 7), (4, 3)]):
        folder = tmp_path / str(n)
        folder.mkdir()
        shuffled = random.Random(n).sample(exposures, len(exposures))
        [frame] = (
            Bench(folder, threads=threads, files=files)
            .freeze(plan, 600, shuffled, outcomes[::-1] if n else outcomes)
            .values()
        )
        found.append(frame)

    assert found[0].statistics["spend"]["stable"].n > 2000
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    ("text", "given", "value"),
    [
        ("outcome", True, 1.0),
        ("outcome", "2.5", 2.5),
        ("outcome = 'churned'", "churned", 1.0),
        ("CASE WHEN outcome IN ('a', 'b') THEN prediction ELSE 0 END", "b", 0.5),
        ("CASE WHEN outcome THEN age END", True, 40.0),
        ("CASE WHEN segment = 'gold' THEN outcome * 2 END", 3, 6.0),
        ("greatest(outcome - latency_ms, 0)", 20, 7.5),
        ("1 - coalesce(outcome, 0)", 0, 1.0),
        ("CASE WHEN failed THEN 1 ELSE 2 END", 1, 2.0),
        ("label = 'no'", 1, 1.0),
        ("length(outcome)", "four", 4.0),
    ],
)
def test_a_name_has_the_type_that_its_expression_needs(
    bench: Bench, text: str, given: Any, value: float
) -> None:
    first = exposure("a", 10, features={"age": 40, "segment": "gold"})

    frame = bench.one(
        design(metric("figure", "mean", value=text)), [first], [outcome(first, given, 20)]
    )

    assert frame.statistics["figure"]["stable"].y == value
    assert frame.counts["unusable_values"] == 0


@pytest.mark.parametrize("text", ["ln(outcome)", "1 / (outcome - outcome)", "sqrt(outcome)"])
def test_an_expression_that_fails_for_a_row_fails_for_that_row_alone(
    bench: Bench, text: str
) -> None:
    bad, good = exposure("a", 10), exposure("b", 10)

    frame = bench.one(
        design(metric("figure", "mean", value=f"CASE WHEN outcome < 0 THEN {text} ELSE 1 END")),
        [bad, good],
        [outcome(bad, -1, 20), outcome(good, 1, 20)],
    )

    assert frame.statistics["figure"]["stable"].n == 1
    assert frame.counts["unusable_values"] == 1


def test_an_expression_without_meaning_makes_every_value_unusable(bench: Bench) -> None:
    frame = bench.one(
        design(metric("figure", "mean", value="length(prediction)")), [exposure("a", 10)]
    )

    assert "figure" not in frame.statistics
    assert frame.counts["unusable_values"] == 1
