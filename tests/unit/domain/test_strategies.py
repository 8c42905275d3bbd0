"""Plans of strategies: pure, refused where they cannot be played, and what follows a verdict."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steward.domain.errors import ReleaseNotAllowedError
from steward.domain.guardrails import ABSOLUTE_BUDGET, ROLLBACK_BUDGET
from steward.domain.release_declaration import Release
from steward.domain.releases import completed, restored, shifted
from steward.domain.routes import Arm, Route, assign
from steward.domain.strategies import STRATEGIES, Plan, plan_for
from steward.domain.strategies.bandit import batch_id
from steward.domain.strategies.capabilities import CAPABILITIES, STRATEGY_NAMES
from steward.domain.strategies.experiment_plans import experiment_plans
from steward.domain.strategies.following import Standing, following

FEATURES = ["age", "bmi"]
DAY = 86_400
GOAL = {
    "name": "readmitted", "kind": "binary", "value": "outcome", "window_s": 600,
    "higher_is_better": False, "expected": 0.1, "goal": {"smallest_effect": 0.01},
    "guardrail": {"margin": 0.02, "weight": 2},
}  # fmt: skip
QUICK: dict[str, Any] = {"tick_s": 60, "cohort_s": 60, "lateness_s": 60}


def declared(**release: Any) -> Release:
    return Release.model_validate(release)


def plan(**release: Any) -> Plan:
    return plan_for(declared(**release), "gateway", FEATURES, first=False)


def refused(router: str = "gateway", **release: Any) -> ReleaseNotAllowedError:
    with pytest.raises(ReleaseNotAllowedError) as error:
        plan_for(declared(**release), router, FEATURES, first=False)
    assert error.value.allowed
    return error.value


def shares(made: Plan) -> list[tuple[str, float]]:
    return [(step.phase, step.share) for step in made.steps]


# Plans


def test_a_ramp_has_a_step_for_each_share() -> None:
    assert shares(plan(steps=[5, 25, 100])) == [("ramp", 5), ("ramp", 25), ("ramp", 100)]
    assert shares(plan(strategy="linear", linear={"step_percent": 30})) == [
        ("ramp", 30), ("ramp", 60), ("ramp", 90), ("ramp", 100),
    ]  # fmt: skip
    assert shares(plan(strategy="all_at_once")) == [("ramp", 100)]


@pytest.mark.parametrize("strategy", ["all_at_once", "canary", "linear", "ab_test", "bandit"])
def test_shadow_traffic_comes_before_any_strategy(strategy: str) -> None:
    goals = [GOAL] if strategy in ("ab_test", "bandit") else []
    made = plan(strategy=strategy, shadow_first=True, metrics=goals)
    first, *rest = made.steps
    assert (first.phase, first.share, first.mirror_percent) == ("shadow", 0, 100)
    alone = plan(strategy=strategy, metrics=goals)
    assert [s.step_id for s in rest] == [s.step_id for s in alone.steps]
    assert made.ticked


def test_only_a_ramp_without_captured_metrics_is_played_by_one_execution() -> None:
    assert not plan().ticked
    slow = {**QUICK, "bake_s": 3600}
    assert plan(**slow, guardrails={"prediction_margin": 0.05}).ticked
    assert plan(strategy="shadow").ticked
    assert plan(strategy="ab_test", metrics=[GOAL]).ticked


@given(step=st.integers(1, 50))
def test_a_linear_ramp_ascends_to_everything(step: int) -> None:
    made = [s.share for s in plan(strategy="linear", linear={"step_percent": step}).steps]
    assert made == sorted(set(made))
    assert made[-1] == 100
    assert all(after - before <= step for before, after in zip([0, *made], made, strict=False))


def test_a_lease_outlasts_every_hold() -> None:
    made = plan(max_holds=2, bake_s=100)
    assert made.longest_s == 3 * 3 * 100
    ticked = plan(strategy="ab_test", metrics=[GOAL], ab_test={"duration_s": DAY}, tick_s=60)
    assert ticked.longest_s == DAY + 3 * 8640 + 60


# Routes


def route(share: float) -> Route:
    stable = Arm(version=1, endpoint="v1", role="stable", share=100)
    before = Route(project="p", route_version=1, step_id="s", salt="x", arms=[stable])
    candidate = Arm(version=2, endpoint="v2", role="candidate", share=share)
    return shifted(before, "00000002-1", f"step-{share}", candidate, 1000)


@given(low=st.floats(0, 100), high=st.floats(0, 100), entity=st.text(min_size=1, max_size=20))
def test_shares_sum_to_all_and_an_entity_stays_while_the_share_grows(
    low: float, high: float, entity: str
) -> None:
    low, high = sorted((low, high))
    before, after = route(low), route(high)
    for made in (before, after):
        assert sum(arm.share for arm in made.arms) == pytest.approx(100, abs=1e-9)
    if assign(before, entity).role == "candidate":
        assert assign(after, entity).role == "candidate"


def test_a_mirror_and_stored_arms_end_with_the_release() -> None:
    arm = Arm(version=2, endpoint="v2", role="candidate", share=0)
    shadow = shifted(route(10), "r", "shadow-50", arm, 1000, mirror_percent=50, stored=True)
    assert shadow.mirror is not None
    assert (shadow.mirror.version, shadow.mirror.percent, shadow.assignment) == (2, 50, "stored")
    assert {assign(shadow, f"e{n}").version for n in range(200)} == {1}
    back = restored(shadow, 2, "back")
    for ended in (back, completed(shadow, "done")):
        assert ended is not None
        assert (ended.mirror, ended.assignment) == (None, "hash")


# Refusals


def test_each_router_says_what_it_can_do_of_each_strategy() -> None:
    assert set(STRATEGIES) == set(STRATEGY_NAMES)
    assert all(set(able) == set(STRATEGY_NAMES) for able in CAPABILITIES.values())
    assert not any(CAPABILITIES["gateway"].values())


@pytest.mark.parametrize("strategy", ["all_at_once", "canary", "linear", "shadow"])
def test_endpoint_variants_play_what_needs_no_sticky_entity(strategy: str) -> None:
    told = declared(strategy=strategy, shadow={"max_difference": 0.1})
    assert plan_for(told, "endpoint_variants", FEATURES, first=False).strategy == strategy


def test_endpoint_variants_refuse_what_needs_sticky_entities_or_two_kinds_of_variants() -> None:
    bandit = refused("endpoint_variants", strategy="bandit", metrics=[GOAL])
    assert "stored" in str(bandit)
    assert "bandit" not in str(bandit.allowed)
    mirrored = refused(
        "endpoint_variants", strategy="ab_test", metrics=[GOAL], ab_test={"mirrored": True}
    )
    assert "at most one shadow variant" in str(mirrored)
    summed = GOAL | {"aggregate": "max"}
    assert "unit" in str(refused("endpoint_variants", strategy="ab_test", metrics=[summed]))


def test_an_unknown_strategy_or_router_is_refused() -> None:
    roulette = Release.model_construct(**{**dict(Release()), "strategy": "roulette"})
    with pytest.raises(ReleaseNotAllowedError, match="no strategy 'roulette'"):
        plan_for(roulette, "gateway", FEATURES, first=False)
    assert refused("pigeons").field == "serving.router"


@pytest.mark.parametrize(
    ("changes", "at"),
    [
        ({"value": "outcome + weight"}, "value"),
        ({"value": "(SELECT 1)"}, "value"),
        ({"value": "outcome", "window_s": 0}, "window_s"),
        ({"name": "errors"}, "name"),
        (
            {"kind": "adjusted", "covariate": "prediction", "standard_deviation": 1.0},
            "covariate",
        ),
    ],
)
def test_a_metric_over_what_is_not_known_is_refused(changes: dict[str, Any], at: str) -> None:
    field = str(refused(strategy="ab_test", metrics=[GOAL | changes]).field)
    assert field.startswith("release.metrics.")
    assert field.endswith(at)


def test_a_bandit_refuses_a_ratio() -> None:
    ratio = {
        "name": "cost", "kind": "ratio", "value": "age", "denominator": "bmi",
        "standard_deviation": 1.0, "guardrail": {"margin": 1.0},
    }  # fmt: skip
    assert "ratio" in str(refused(strategy="bandit", metrics=[GOAL, ratio]))


def test_a_step_that_ends_before_its_captures_can_be_frozen_is_refused() -> None:
    """AWS-FACTS 27: at least twice the buffer and the aggregation, and the window."""
    guardrail: dict[str, Any] = {"prediction_margin": 0.05}
    assert "240 s" in str(refused(**QUICK, bake_s=239, guardrails=guardrail))
    assert plan(**QUICK, bake_s=240, guardrails=guardrail).captured
    assert refused(**QUICK, bake_s=839, metrics=[GOAL]).field == "release.bake_s"
    assert plan(**QUICK, bake_s=840, metrics=[GOAL]).captured
    late = refused(**QUICK, strategy="ab_test", metrics=[GOAL], ab_test={"duration_s": 600})
    assert late.field == "release.ab_test.duration_s"


def test_errors_and_slow_answers_need_no_time_to_be_captured() -> None:
    assert plan(bake_s=1).steps[0].bake_s == 1


def test_a_batch_shorter_than_a_tick_is_refused_and_so_are_too_many() -> None:
    short = refused(strategy="bandit", metrics=[GOAL], bandit={"batch_s": 600})
    assert short.field == "release.bandit.batch_s"
    many: dict[str, Any] = {"tick_s": 60, "cohort_s": 60, "bandit": {"batch_s": 60}}
    assert "batches" in str(refused(strategy="bandit", metrics=[GOAL], **many))


# Experiment plans


@pytest.mark.parametrize(
    "release",
    [
        {},
        {"strategy": "linear", "shadow_first": True},
        {"strategy": "ab_test", "metrics": [GOAL], "shadow_first": True},
        {"strategy": "bandit", "metrics": [GOAL]},
        {"strategy": "canary", "metrics": [GOAL], "bake_s": 7200},
        {"strategy": "shadow", "shadow": {"max_difference": 0.1}},
        {"strategy": "ab_test", "metrics": [GOAL], "guardrails": {"prediction_margin": 0.1}},
    ],
)
@pytest.mark.parametrize("units_per_s", [0.0, 2.0])
def test_all_phases_share_one_rollback_budget(release: dict[str, Any], units_per_s: float) -> None:
    told = declared(**release)
    made = plan_for(told, "gateway", FEATURES, first=False)
    plans = experiment_plans(told, made, units_per_s)
    assert list(plans) == made.phases
    alone = any(not step.limits.concurrent for step in made.steps)
    spent = sum(p.rollback_budget for p in plans.values()) + (ABSOLUTE_BUDGET if alone else 0)
    assert spent == pytest.approx(ROLLBACK_BUDGET)
    for experiment in plans.values():
        assert sum(rail.weight for rail in experiment.guardrails) == pytest.approx(1)
        assert {rail.metric.name for rail in experiment.guardrails} >= {"errors", "slow"}


def test_weights_split_the_budget_of_a_phase() -> None:
    told = declared(strategy="ab_test", metrics=[GOAL], guardrails={"prediction_margin": 0.1})
    made = plan_for(told, "gateway", FEATURES, first=False)
    rails = experiment_plans(told, made, 1.0)["ab_test"].guardrails
    assert {rail.metric.name: round(rail.weight, 9) for rail in rails} == {
        "errors": 0.2, "slow": 0.2, "prediction_up": 0.1, "prediction_down": 0.1,
        "readmitted": 0.4,
    }  # fmt: skip


def test_sequences_are_tuned_to_the_traffic_that_is_expected() -> None:
    told = declared()
    made = plan_for(told, "gateway", FEATURES, first=False)
    few = experiment_plans(told, made, 0.1)["ramp"].guardrails[0].metric.stake
    many = experiment_plans(told, made, 100.0)["ramp"].guardrails[0].metric.stake
    assert few is not None
    assert many is not None
    assert few > many
    assert experiment_plans(told, made, 0.0)["ramp"].guardrails[0].metric.stake is None


def test_a_bandit_weighs_means_by_their_logged_propensities() -> None:
    mean = {
        "name": "stay", "kind": "mean", "value": "age", "standard_deviation": 3.0,
        "expected": 7.0, "guardrail": {"margin": 1.0},
    }  # fmt: skip
    told = declared(strategy="bandit", metrics=[GOAL, mean])
    made = plan_for(told, "gateway", FEATURES, first=False)
    metrics = {m.name: m for m in experiment_plans(told, made, 1.0)["bandit"].metrics}
    assert (metrics["stay"].kind, metrics["stay"].intercept) == ("weighted", 7.0)
    assert metrics["readmitted"].kind == "binary"


# What follows


@pytest.mark.parametrize(
    ("verdict", "then"),
    [
        ("continue", ("shift", 1, 0)),
        ("promote", ("shift", 1, 0)),
        ("hold", ("hold", 0, 2)),
        ("inconclusive", ("end", 0, 1)),
        ("roll_back", ("roll_back", 0, 1)),
    ],
)
def test_what_follows_a_step_of_a_ramp(verdict: Any, then: tuple[str, int, int]) -> None:
    found = following(plan(), Standing(index=0, holds=1, due=True), verdict)
    assert (found.next, found.index, found.holds) == then


def test_the_last_step_completes_and_harm_of_a_first_version_withdraws_it() -> None:
    assert following(plan(), Standing(2, 0, due=True), "promote").next == "complete"
    assert following(plan(), Standing(2, 0, due=True, first=True), "roll_back").next == "withdraw"


@pytest.mark.parametrize(
    ("verdict", "due", "then"),
    [
        ("continue", False, "wait"),
        ("promote", False, "complete"),
        ("stop_futile", False, "end"),
        ("inconclusive", True, "end"),
        ("hold", False, "wait"),
        ("roll_back", False, "roll_back"),
    ],
)
def test_what_follows_a_look_at_a_test(verdict: Any, due: bool, then: str) -> None:
    made = plan(strategy="ab_test", metrics=[GOAL])
    assert following(made, Standing(0, 0, due=due), verdict).next == then


def test_a_hold_at_the_planned_end_of_a_test_prolongs_it() -> None:
    made = plan(strategy="ab_test", metrics=[GOAL])
    assert following(made, Standing(0, 0, due=False), "hold").holds == 0
    assert following(made, Standing(0, 0, due=True), "hold").holds == 1


def test_a_bandit_goes_to_its_next_batch_at_the_same_step() -> None:
    made = plan(strategy="bandit", metrics=[GOAL])
    over = following(made, Standing(0, 0, due=False, batch_over=True), "continue")
    assert (over.next, over.index) == ("shift", 0)
    assert following(made, Standing(0, 0, due=False), "continue").next == "wait"
    assert batch_id("bandit", 12) == "bandit-b0012"


def test_shadow_traffic_promotes_nothing_by_itself() -> None:
    alone = plan(strategy="shadow")
    assert following(alone, Standing(0, 0, due=False), "promote").next == "wait"
    assert following(alone, Standing(0, 0, due=True), "promote").next == "end"
    first = plan(shadow_first=True)
    assert following(first, Standing(0, 0, due=True), "promote").next == "shift"
    assert following(first, Standing(0, 0, due=True), "inconclusive").next == "end"
