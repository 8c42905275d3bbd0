"""Error rates of captures that are frozen and judged after every cohort, with fixed seeds.

Repetitions are steps of one release, whose entities are apart, so that one freezing does them all.
Tolerance: of ``REPEATS`` repetitions of an error rate of .05, .05 + 2.33 sqrt(.05 .95 / REPEATS)
are exceeded once in a hundred times.
"""

import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from steward.domain.experiments.arm_statistics import ArmStatistics
from steward.domain.experiments.captures import keep_captures, keep_outcomes
from steward.domain.experiments.freezing import Frame, Group, freeze_groups
from steward.domain.experiments.plan import (
    ExperimentPlan,
    ExperimentRecord,
    Goal,
    Guardrail,
    Metric,
    StepRecord,
)
from steward.domain.experiments.units import Step, find_units, milliseconds
from steward.domain.experiments.verdicts import ExperimentVerdict, judge
from steward.domain.workspace import Limits, workspace
from support.captures import (
    BEGAN,
    PROJECT,
    RELEASE,
    design,
    exposure,
    metric,
    outcome,
    step,
    write_exposures,
    write_outcomes,
)

REPEATS = 200
TOLERANCE = 2.33 * math.sqrt(0.05 * 0.95 / REPEATS)
SPANS, SPAN_S, WINDOW_S = 5, 600, 600
Lines = list[dict[str, Any]]


def frozen(
    folder: Path, steps: Sequence[Step], exposures: Lines, outcomes: Lines
) -> dict[Group, Frame]:
    """Freeze all that was captured for the metric ``converted``."""
    plan = design(metric("converted", aggregate="max", no_outcome="zero"), steps=steps)
    captures, told, units = (folder / f"{n}.parquet" for n in ("captures", "outcomes", "units"))
    with workspace(Limits(folder, 1024)) as connection:
        keep_captures(
            connection, [write_exposures(folder / "e", exposures)], captures,
            project=PROJECT, release_id=RELEASE, features=[],
        )  # fmt: skip
        lines = write_outcomes(folder / "o", outcomes)
        keep_outcomes(connection, [lines], told, project=PROJECT)
        begin = milliseconds(BEGAN)
        found = find_units(connection, [captures], [], units, plan, (begin, begin + 86_400_000))
        groups = [Group(span, step_id) for span, step_id, _ in found.groups]
        return freeze_groups(
            connection, plan, WINDOW_S, groups, units=[units], captures=[captures],
            outcomes=[told],
        )  # fmt: skip


def the_plan(centre: float) -> ExperimentPlan:
    """Return the plan of a test that may win or do harm by the same metric."""
    converted = Metric(name="converted", kind="binary", centre=centre)
    return ExperimentPlan(
        strategy="ab_test", candidate="candidate", stable="stable",
        goals=(Goal(metric=converted),),
        guardrails=(Guardrail(metric=converted, weight=1.0, must_prove="harm"),),
    )  # fmt: skip


def looks(
    frames: dict[Group, Frame], steps: Sequence[Step], plan: ExperimentPlan
) -> list[ExperimentVerdict]:
    """Judge after each cohort, all that is frozen by then."""
    spans = sorted({group.span for group in frames})
    verdicts = []
    for last in spans:
        records = []
        for own in steps:
            total: dict[str, ArmStatistics] = {}
            exposures: dict[str, int] = {}
            for group, frame in sorted(frames.items()):
                if group.step != own.step_id or group.span > last:
                    continue
                for arm, statistics in frame.statistics.get("converted", {}).items():
                    total[arm] = total[arm].merge(statistics) if arm in total else statistics
                for arm, count in frame.exposures.items():
                    exposures[arm] = exposures.get(arm, 0) + count
            records.append(
                StepRecord(
                    step_id=own.step_id, propensities=own.propensities, exposures=exposures,
                    statistics={"converted": total},
                )
            )  # fmt: skip
        verdicts.append(judge(plan, ExperimentRecord(steps=tuple(records))))
    return verdicts


def excludes_zero(verdicts: Sequence[ExperimentVerdict]) -> bool:
    """Return whether the sequence has ever excluded that both versions are the same."""
    intervals = [verdict.intervals["converted"] for verdict in verdicts]
    return any(
        i.lower is not None and i.upper is not None and not i.lower <= 0 <= i.upper
        for i in intervals
    )


def z_of(candidate: tuple[float, float], stable: tuple[float, float]) -> float:
    """Return the two-proportion z of successes and trials."""
    (a, n), (b, m) = candidate, stable
    pooled = (a + b) / (n + m) if n + m else 0.0
    variance = pooled * (1 - pooled) * (1 / n + 1 / m) if n and m else 0.0
    return (a / n - b / m) / math.sqrt(variance) if variance else 0.0


def rates(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags)


def judged(
    frames: dict[Group, Frame], repetitions: Sequence[Sequence[Step]], centre: float
) -> list[list[ExperimentVerdict]]:
    by_step: dict[str, dict[Group, Frame]] = {}
    for group, frame in frames.items():
        by_step.setdefault(group.step, {})[group] = frame
    plan = the_plan(centre)
    return [
        looks({g: f for own in steps for g, f in by_step[own.step_id].items()}, steps, plan)
        for steps in repetitions
    ]


def test_sticky_entities_with_many_requests_are_no_evidence_by_themselves(tmp_path: Path) -> None:
    """Per-request analysis of the same captures wins by chance again and again."""
    draw = random.Random(20260301)
    repetitions = [[step(f"r{n}")] for n in range(REPEATS)]
    exposures: Lines = []
    outcomes: Lines = []
    naive: list[bool] = []
    for [own] in repetitions:
        tally = {"candidate": [0, 0], "stable": [0, 0]}
        won = False
        for span in range(SPANS):
            for _ in range(40):
                entity = f"{own.step_id}-{draw.random():.12f}"
                arm = "candidate" if draw.random() < 0.5 else "stable"
                rate = draw.betavariate(0.3, 0.7)
                for _ in range(draw.choice([1, 2, 4, 12])):
                    seconds = span * SPAN_S + draw.uniform(0, SPAN_S - 1)
                    asked = exposure(
                        entity, seconds, role=arm, step_id=own.step_id, features={},
                        inference_id=f"{draw.getrandbits(64):x}",
                    )  # fmt: skip
                    exposures.append(asked)
                    success = draw.random() < rate
                    outcomes.append(outcome(asked, success, seconds + 1))
                    tally[arm][0] += success
                    tally[arm][1] += 1
            first, second = (tally[arm] for arm in ("candidate", "stable"))
            won = won or abs(z_of((first[0], first[1]), (second[0], second[1]))) > 1.96
        naive.append(won)

    frames = frozen(tmp_path, [own for [own] in repetitions], exposures, outcomes)
    found = judged(frames, repetitions, centre=0.4)

    assert rates(naive) > 0.3
    assert rates([excludes_zero(verdicts) for verdicts in found]) <= 0.05 + TOLERANCE
    assert rates([any(v.verdict == "roll_back" for v in vs) for vs in found]) <= 0.05 + TOLERANCE
    assert rates([any(v.verdict == "promote" for v in vs) for vs in found]) <= 0.025 + TOLERANCE


def test_a_base_rate_that_moves_while_shares_change_is_no_effect(tmp_path: Path) -> None:
    """Pooled over both steps the same outcomes reject nearly always."""
    draw = random.Random(20260302)
    repetitions = [[step(f"a{n}", 0.1), step(f"b{n}", 0.5)] for n in range(REPEATS)]
    exposures: Lines = []
    outcomes: Lines = []
    naive: list[bool] = []
    for steps in repetitions:
        tally = {"candidate": [0, 0], "stable": [0, 0]}
        for number, own in enumerate(steps):
            for span in range(2):
                for _ in range(250):
                    seconds = (number * 2 + span) * SPAN_S + draw.uniform(0, SPAN_S - 1)
                    share = own.propensities["candidate"]
                    arm = "candidate" if draw.random() < share else "stable"
                    asked = exposure(
                        f"{draw.getrandbits(64):x}", seconds, role=arm, step_id=own.step_id,
                        features={}, inference_id=f"{draw.getrandbits(64):x}",
                    )  # fmt: skip
                    exposures.append(asked)
                    success = draw.random() < (0.1, 0.4)[number]
                    if success:
                        outcomes.append(outcome(asked, True, seconds + 5))
                    tally[arm][0] += success
                    tally[arm][1] += 1
        first, second = (tally[arm] for arm in ("candidate", "stable"))
        naive.append(abs(z_of((first[0], first[1]), (second[0], second[1]))) > 1.96)

    every = [own for steps in repetitions for own in steps]
    found = judged(frozen(tmp_path, every, exposures, outcomes), repetitions, centre=0.25)

    assert rates(naive) > 0.5
    assert rates([excludes_zero(verdicts) for verdicts in found]) <= 0.05 + TOLERANCE
    assert rates([any(v.verdict == "roll_back" for v in vs) for vs in found]) <= 0.05 + TOLERANCE


def delays(draw: random.Random, slow: Callable[[], bool]) -> float:
    """Return a delay within the window: of the candidate's outcomes a longer one."""
    return draw.uniform(300, 600) if slow() else draw.uniform(0, 60)


def test_outcomes_that_take_longer_in_one_arm_are_no_effect(tmp_path: Path) -> None:
    """Whoever counts "not yet" as "no" at each look rejects; cohorts freeze after their window."""
    draw = random.Random(20260303)
    repetitions = [[step(f"r{n}")] for n in range(REPEATS)]
    exposures: Lines = []
    outcomes: Lines = []
    naive: list[bool] = []
    for [own] in repetitions:
        told: list[tuple[str, float, float | None]] = []
        for span in range(SPANS):
            for _ in range(120):
                seconds = span * SPAN_S + draw.uniform(0, SPAN_S - 1)
                arm = "candidate" if draw.random() < 0.5 else "stable"
                asked = exposure(
                    f"{draw.getrandbits(64):x}", seconds, role=arm, step_id=own.step_id,
                    features={}, inference_id=f"{draw.getrandbits(64):x}",
                )  # fmt: skip
                exposures.append(asked)
                observed = None
                if draw.random() < 0.3:
                    observed = seconds + delays(draw, lambda arm=arm: arm == "candidate")  # type: ignore[misc]
                    outcomes.append(outcome(asked, True, observed))
                told.append((arm, seconds, observed))
        naive.append(rejects_early(told))

    frames = frozen(tmp_path, [own for [own] in repetitions], exposures, outcomes)
    found = judged(frames, repetitions, centre=0.3)

    assert rates(naive) > 0.5
    assert rates([excludes_zero(verdicts) for verdicts in found]) <= 0.05 + TOLERANCE
    assert rates([any(v.verdict == "roll_back" for v in vs) for vs in found]) <= 0.05 + TOLERANCE


def rejects_early(told: Sequence[tuple[str, float, float | None]]) -> bool:
    """Return whether a look at the end of a span rejects when what is not known counts as no."""
    for span in range(1, SPANS + 1):
        now = span * SPAN_S
        tally = {"candidate": [0.0, 0.0], "stable": [0.0, 0.0]}
        for arm, seconds, observed in told:
            if seconds <= now:
                tally[arm][0] += observed is not None and observed <= now
                tally[arm][1] += 1
        first, second = (tally[arm] for arm in ("candidate", "stable"))
        if abs(z_of((first[0], first[1]), (second[0], second[1]))) > 1.96:
            return True
    return False


def test_an_effect_is_found(tmp_path: Path) -> None:
    """The same path sees a difference where there is one, so that the rates above say something."""
    draw = random.Random(20260304)
    repetitions = [[step(f"r{n}")] for n in range(20)]
    exposures: Lines = []
    outcomes: Lines = []
    for [own] in repetitions:
        for number in range(SPANS * 120):
            seconds = number / 120 * SPAN_S
            arm = "candidate" if draw.random() < 0.5 else "stable"
            asked = exposure(
                f"{draw.getrandbits(64):x}", seconds, role=arm, step_id=own.step_id,
                features={}, inference_id=f"{draw.getrandbits(64):x}",
            )  # fmt: skip
            exposures.append(asked)
            if draw.random() < {"candidate": 0.5, "stable": 0.25}[arm]:
                outcomes.append(outcome(asked, True, seconds + 5))

    frames = frozen(tmp_path, [own for [own] in repetitions], exposures, outcomes)
    found = judged(frames, repetitions, centre=0.3)

    assert rates([verdicts[-1].verdict == "promote" for verdicts in found]) >= 0.9
