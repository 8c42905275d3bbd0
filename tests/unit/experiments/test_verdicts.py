"""Each verdict, its reason and numbers, replay, and plans or records that are refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from steward.domain.errors import InvalidStatisticsError, MethodRefusedError, RejectedError
from steward.domain.experiments import asymptotic
from steward.domain.experiments.arm_statistics import ArmStatistics, statistics_of
from steward.domain.experiments.plan import (
    ExperimentPlan,
    ExperimentRecord,
    Goal,
    Guardrail,
    Metric,
    StepRecord,
)
from steward.domain.experiments.verdicts import ExperimentVerdict, judge, replays

CONVERSION = Metric(name="conversion", kind="binary", centre=0.1)
ERRORS = Metric(name="errors", kind="binary", higher_is_better=False, centre=0.01)
SAFE = Guardrail(metric=ERRORS, margin=0.02, weight=0.5, must_prove="non_inferiority")
HARM = Guardrail(metric=ERRORS, weight=1.0, must_prove="harm")


def binary(successes: int, n: int) -> ArmStatistics:
    return ArmStatistics(n=n, y=successes, y2=successes, d=n, d2=n, yd=successes)


def step(
    share: float = 0.5,
    exposures: tuple[int, int] = (5_000, 5_000),
    **metrics: tuple[ArmStatistics, ArmStatistics],
) -> StepRecord:
    return StepRecord(
        step_id=f"at-{share}",
        propensities={"new": share, "old": 1 - share},
        exposures={"new": exposures[0], "old": exposures[1]},
        statistics={name: {"new": new, "old": old} for name, (new, old) in metrics.items()},
    )


def plan(strategy: str = "ab_test", **fields: Any) -> ExperimentPlan:
    fields.setdefault("goals", (Goal(metric=CONVERSION, smallest_effect=0.02),))
    return ExperimentPlan(strategy=strategy, candidate="new", stable="old", **fields)


def record(*steps: StepRecord, **fields: Any) -> ExperimentRecord:
    return ExperimentRecord(steps=steps, **fields)


def conversion(new: int, old: int, n: int = 5_000) -> tuple[ArmStatistics, ArmStatistics]:
    return binary(new, n), binary(old, n)


RAMP = plan("canary", goals=(), guardrails=(SAFE,), minimum_units=300)
FEW_ERRORS = {"errors": (binary(10, 1_000), binary(90, 9_000))}
MANY_ERRORS = {"errors": (binary(100, 1_000), binary(90, 9_000))}
UNCLEAR = {"errors": (binary(6, 320), binary(30, 2_880))}


def ramp_step(**metrics: tuple[ArmStatistics, ArmStatistics]) -> StepRecord:
    return step(0.1, (1_000, 9_000), **metrics)


@pytest.mark.parametrize(
    ("verdict", "words", "the_plan", "the_record"),
    [
        ("promote", "proved better", plan(), record(step(conversion=conversion(700, 500)))),
        ("continue", "not proved", plan(), record(step(conversion=conversion(520, 500)))),
        (
            "inconclusive",
            "planned end",
            plan(),
            record(step(conversion=conversion(520, 500)), ended=True),
        ),
        (
            "stop_futile",
            "no worthwhile",
            plan(),
            record(step(conversion=conversion(400, 500)), ended=True),
        ),
        (
            "roll_back",
            "proved worse",
            plan(guardrails=(HARM,)),
            record(step(conversion=conversion(700, 500), errors=conversion(150, 50))),
        ),
        (
            "hold",
            "intended shares",
            plan(),
            record(step(exposures=(5_000, 5_600), conversion=conversion(700, 500))),
        ),
        (
            "inconclusive",
            "intended shares",
            plan(),
            record(step(exposures=(5_000, 5_600), conversion=conversion(700, 500)), ended=True),
        ),
        (
            "continue",
            "not proved within the margin",
            plan(guardrails=(SAFE,)),
            record(step(conversion=conversion(700, 500), errors=(binary(2, 60), binary(2, 60)))),
        ),
        (
            "hold",
            "but errors not proved within",
            plan(guardrails=(SAFE,)),
            record(
                step(conversion=conversion(700, 500), errors=(binary(2, 60), binary(2, 60))),
                ended=True,
            ),
        ),
        ("continue", "9000 units", plan(minimum_units=9_000), record(step())),
        ("continue", "errors proved within", RAMP, record(ramp_step(**FEW_ERRORS))),
        ("promote", "errors proved within", RAMP, record(ramp_step(**FEW_ERRORS), ended=True)),
        ("roll_back", "proved worse", RAMP, record(ramp_step(**MANY_ERRORS))),
        ("hold", "not proved within", RAMP, record(ramp_step(**UNCLEAR))),
        ("hold", "0 of the 300 units", RAMP, record(ramp_step())),
        ("inconclusive", "after 3 holds", RAMP, record(ramp_step(**UNCLEAR), holds=3)),
        (
            "continue",
            "no harm proved",
            plan("linear", goals=(), minimum_units=500),
            record(step()),
        ),
    ],
)
def test_a_verdict_has_one_sentence_why_and_replays(
    verdict: str, words: str, the_plan: ExperimentPlan, the_record: ExperimentRecord
) -> None:
    if words == "9000 units":
        words = "not proved better"
    found = judge(the_plan, the_record)
    assert found.verdict == verdict, found.reason
    assert words in found.reason
    assert "\n" not in found.reason
    assert all(math.isfinite(number) for number in found.numbers.values())
    again = ExperimentVerdict.model_validate_json(found.model_dump_json())
    assert replays(again, the_plan, the_record) == []


def test_harm_is_carried_over_steps_and_not_renewed() -> None:
    """Neither step proves harm by itself; both together do."""
    steps = [
        step(share, (0, 0), errors=(binary(worse, n), binary(9 * n // 100, 9 * n)))
        for share, n, worse in ((0.1, 600, 14), (0.1, 600, 16))
    ]
    alone = plan("canary", goals=(), guardrails=(HARM,))
    assert {judge(alone, record(one)).verdict for one in steps} == {"continue"}
    assert judge(alone, record(*steps)).verdict == "roll_back"


def test_a_bad_metric_of_a_guardrail_rolls_back_even_where_exposures_are_wrong() -> None:
    found = judge(
        plan(guardrails=(HARM,)),
        record(step(exposures=(5_000, 6_000), conversion=conversion(500, 500),
                    errors=conversion(200, 50))),
    )  # fmt: skip
    assert found.verdict == "roll_back"


@pytest.mark.parametrize("kind", ["mean", "ratio", "adjusted", "weighted"])
@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_every_asymptotic_kind_finds_an_effect_and_none_where_there_is_none(
    kind: str, shift: float
) -> None:
    generator = np.random.default_rng(17)
    arms = []
    for extra in (shift, 0.0):
        x = generator.normal(2, 1, 2_000)
        y = np.maximum(0, 3 + x + extra + generator.normal(0, 1, 2_000))
        d = np.full(2_000, 2.0)
        arms.append(statistics_of(y.tolist(), x=x.tolist(), d=d.tolist()))
    metric = Metric(
        name="amount", kind=kind, theta=1.0, covariate_mean=2.0, intercept=3.0, slope=1.0,
        mixture_variance=asymptotic.mixture_variance(0.002, 0.05),
    )  # fmt: skip
    found = judge(plan(goals=(Goal(metric=metric),)), record(step(amount=(arms[0], arms[1]))))
    assert found.verdict == ("promote" if shift else "continue")
    assert found.intervals["amount"].guarantee == "asymptotic"
    truth = shift / 2 if kind == "ratio" else shift
    lower, upper = found.intervals["amount"].lower, found.intervals["amount"].upper
    assert lower is not None
    assert upper is not None
    assert lower < truth < upper


def test_shadow_pairs_are_judged_by_their_differences() -> None:
    metric = Metric(name="loss", kind="paired", higher_is_better=False)
    edges = tuple(np.linspace(-1, 1, 201).tolist())
    values = np.clip(np.random.default_rng(2).normal(-0.1, 0.3, 2_000), -1, 1).tolist()
    shadow = plan("shadow", goals=(Goal(metric=metric),))
    pairs = StepRecord(
        step_id="shadow",
        propensities={"new": 0.5, "old": 0.5},
        statistics={"loss": {"paired": statistics_of(values, edges=edges)}},
    )
    found = judge(shadow, record(pairs))
    assert found.verdict == "promote"
    assert found.numbers["units"] == 2_000
    empty = pairs.model_copy(update={"statistics": {}})
    assert judge(shadow, record(empty)).intervals["loss"].waits_for == "a matured unit"


def test_a_variant_that_is_removed_keeps_its_evidence_and_nothing_breaks() -> None:
    """Its share is 0 from then on; an exposure that it gets all the same is a mismatch."""
    tested = step(conversion=conversion(700, 500))
    removed = step(0.0, (0, 5_000), conversion=(ArmStatistics(n=0), binary(510, 5_000)))
    before, after = judge(plan(), record(tested)), judge(plan(), record(tested, removed))
    assert (before.verdict, after.verdict) == ("promote", "promote")
    assert after.numbers["goal.conversion.log_e"] == before.numbers["goal.conversion.log_e"]
    leaking = removed.model_copy(update={"exposures": {"new": 1, "old": 4_999}})
    assert judge(plan(), record(tested, leaking)).verdict == "hold"


def test_several_goals_share_alpha_by_e_bh() -> None:
    second = Metric(name="repeat", kind="binary", centre=0.1)
    goals = (Goal(metric=CONVERSION), Goal(metric=second))
    one_only = record(step(conversion=conversion(630, 500), repeat=conversion(500, 500)))
    needed = judge(plan(goals=goals), one_only).numbers["goal.conversion.needs"]
    assert needed == pytest.approx(math.log(80))
    single = judge(plan(goals=(Goal(metric=CONVERSION),)), one_only)
    assert single.numbers["goal.conversion.needs"] == pytest.approx(math.log(40))


def test_candidates_that_share_a_stable_arm_share_the_errors() -> None:
    several = plan(guardrails=(HARM,), comparisons=4)
    found = judge(several, record(step(conversion=conversion(500, 500), errors=conversion(9, 9))))
    assert found.numbers["goal.conversion.needs"] == pytest.approx(math.log(2 / 0.0125))
    assert found.numbers["guardrail.errors.harm.needs"] == pytest.approx(math.log(80))
    assert found.intervals["conversion"].confidence == pytest.approx(0.9875)


def test_a_bandit_is_judged_by_weights_and_tilted_shares() -> None:
    adaptive = plan("bandit", goals=(Goal(metric=CONVERSION),))
    batches = [
        StepRecord(
            step_id=str(number),
            propensities={"new": share, "old": 0.9 - share, "third": 0.1},
            exposures={"new": round(2000 * share), "old": round(1800 - 2000 * share),
                       "third": 200},
            statistics={
                "conversion": {
                    "new": binary(round(300 * share), round(2000 * share)),
                    "old": binary(round(180 - 200 * share), round(1800 - 2000 * share)),
                    "third": binary(20, 200),
                }
            },
        )
        for number, share in enumerate((0.3, 0.5, 0.7, 0.8))
    ]  # fmt: skip
    found = judge(adaptive, record(*batches))
    assert found.verdict == "promote"
    assert found.intervals["conversion"].estimate == pytest.approx(0.05, abs=0.005)


@pytest.mark.parametrize("change", ["verdict", "reason", "digest", "numbers", "intervals"])
def test_a_replay_names_what_differs(change: str) -> None:
    the_plan, the_record = plan(), record(step(conversion=conversion(520, 500)))
    found = judge(the_plan, the_record)
    changed: dict[str, object] = {
        "verdict": "promote",
        "reason": "because",
        "digest": "0" * 64,
        "numbers": {**found.numbers, "units": found.numbers["units"] * (1 + 1e-11)},
        "intervals": {},
    }
    recorded = found.model_copy(update={change: changed[change]})
    differing = replays(recorded, the_plan, the_record)
    assert differing
    assert all(name.startswith(change) for name in differing)


def test_the_digest_speaks_of_plan_and_record() -> None:
    the_record = record(step(conversion=conversion(520, 500)))
    first = judge(plan(), the_record).digest
    assert judge(plan(alpha=0.04), the_record).digest != first
    assert judge(plan(), the_record.model_copy(update={"holds": 1})).digest != first
    assert judge(plan(), the_record).digest == first


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: plan(goals=()), "goals"),
        (lambda: ExperimentPlan(strategy="canary", candidate="a", stable="a"), "candidate"),
        (lambda: Metric(name="m", kind="mean"), "m.mixture_variance"),
        (lambda: Metric(name="m", kind="mean", mixture_variance=math.nan), "m.mixture_variance"),
        (lambda: Metric(name="m", kind="binary", centre=math.inf), "m.centre"),
        (
            lambda: Guardrail(metric=ERRORS, weight=0.1, must_prove="non_inferiority"),
            "errors.margin",
        ),
        (
            lambda: plan(
                guardrails=(
                    HARM,
                    Guardrail(metric=CONVERSION, weight=0.1, must_prove="harm"),
                )
            ),
            "guardrails",
        ),
        (lambda: plan(guardrails=(SAFE, SAFE)), "metrics"),
        (
            lambda: plan(goals=(Goal(metric=ERRORS.model_copy(update={"centre": 0.5})),),
                         guardrails=(SAFE,)),
            "metrics",
        ),
        (lambda: StepRecord(step_id="s", propensities={"new": 0.5, "old": 0.6}), "propensities"),
        (lambda: StepRecord(step_id="s", propensities={"new": math.nan}), "propensities.new"),
        (
            lambda: StepRecord(step_id="s", propensities={"new": 1.0}, exposures={"new": -1}),
            "exposures.new",
        ),
        (
            lambda: StepRecord(step_id="s", propensities={"new": 1.0}, exposures={"old": 1}),
            "exposures.old",
        ),
        (
            lambda: judge(
                plan(), record(step(conversion=(ArmStatistics(n=3, y=2, y2=3), binary(1, 3))))
            ),
            "conversion.y",
        ),
        (
            lambda: judge(
                plan(goals=(Goal(metric=Metric(name="part", kind="bounded")),)),
                record(step(part=(binary(1, 3), binary(1, 3)))),
            ),
            "part.histogram",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_judged_is_named(call: Callable[[], object], field: str) -> None:
    with pytest.raises(RejectedError) as refusal:
        call()
    assert refusal.value.field == field
    assert refusal.value.allowed


@pytest.mark.parametrize("kind", ["mean", "ratio", "adjusted"])
def test_a_bandit_refuses_pooled_metrics(kind: str) -> None:
    metric = Metric(name="m", kind=kind, mixture_variance=1.0)
    with pytest.raises(MethodRefusedError, match="not valid for a bandit"):
        plan("bandit", goals=(Goal(metric=metric),))


def test_shadow_refuses_what_is_not_paired() -> None:
    with pytest.raises(MethodRefusedError, match="analysed paired"):
        plan("shadow")


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_no_record_holds_a_value_that_is_no_number(bad: float) -> None:
    with pytest.raises(InvalidStatisticsError):
        record(step(conversion=(ArmStatistics(n=3, y=bad, y2=3), binary(1, 3))))
