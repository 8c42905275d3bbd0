"""Judging a release: records from frozen statistics, verdicts that can be made again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from steward.domain.errors import (
    ConflictError,
    EvidenceIncompleteError,
    InvalidStatisticsError,
    ReleaseEndedError,
    ReleaseNotAllowedError,
)
from steward.domain.experiments.arm_statistics import ArmStatistics
from steward.domain.experiments.cohorts import (
    FrozenCohort,
    cohort_item,
    experiment_prefix,
    verdicts_of,
)
from steward.domain.experiments.judged_step import JudgedStep, differences
from steward.ports import RoleCounts, Table
from steward.service.serving.judging import assemble_record
from support.serving_scene import ARTIFACTS, ERRORS, PROJECT, Scene

SECOND = "00000002-1"
GOAL: dict[str, Any] = {
    "name": "readmitted", "kind": "binary", "value": "outcome", "window_s": 600,
    "higher_is_better": False, "expected": 0.3, "goal": {"smallest_effect": 0.01},
}  # fmt: skip
TEST: dict[str, Any] = {
    "strategy": "ab_test", "metrics": [GOAL], "ab_test": {"duration_s": 3600}, "tick_s": 60,
    "cohort_s": 60, "lateness_s": 0, "minimum_units": 100, "max_holds": 1,
}  # fmt: skip


@pytest.fixture
def serving() -> Scene:
    """Version 1 is in production."""
    scene = Scene()
    scene.play(1)
    return scene


def binary(n: int, successes: int) -> ArmStatistics:
    return ArmStatistics(n=n, y=successes, y2=successes, d=n, d2=n, yd=successes)


def cohort(
    step_id: str,
    arms: dict[str, tuple[int, int]],
    span: str = "20260105T090000Z",
    window_s: int = 600,
    share: float = 0.5,
) -> FrozenCohort:
    return FrozenCohort(
        step_id=step_id, span=span, window_s=window_s, frozen_at="2026-01-05T10:00:00Z",
        propensities={"candidate": share, "stable": 1 - share},
        exposures={arm: n for arm, (n, _) in arms.items()},
        statistics={"readmitted": {arm: binary(n, y) for arm, (n, y) in arms.items()}},
    )  # fmt: skip


def freeze(scene: Scene, frozen: FrozenCohort, digest: str | None = None) -> None:
    """Keep a cohort as the freezing task does."""
    prefix = experiment_prefix(ARTIFACTS, PROJECT, SECOND)
    uri = f"{prefix}cohorts/{frozen.cohort_id}.json"
    scene.objects.write_once(uri, frozen.model_dump_json().encode())
    item = cohort_item(SECOND, frozen.cohort_id)
    pointer = {"project": PROJECT, "item": item, "uri": uri, "digest": digest or frozen.digest}
    scene.state.put(Table.EXPERIMENTS, pointer)


def kept(scene: Scene) -> list[dict[str, Any]]:
    return scene.state.query(Table.EXPERIMENTS, PROJECT, prefix=verdicts_of(SECOND))


# Ramps


def test_every_judgement_is_kept_and_can_be_made_again(serving: Scene) -> None:
    serving.begin(2)
    serving.count(4)
    serving.judge(SECOND, 0, 0)
    serving.count(100)
    serving.judge(SECOND, 0, 1)
    serving.shift(SECOND, 1)
    serving.count(200, errors=60)
    last = serving.judge(SECOND, 1, 0)
    assert last.next == "roll_back"
    items = kept(serving)
    assert [item["verdict"] for item in items] == ["hold", "continue", "roll_back"]
    assert [item["number"] for item in items] == [1, 2, 3]
    for item in items:
        content = serving.objects.read(item["uri"])
        assert differences(content) == []
        assert JudgedStep.model_validate(json.loads(content)).decision.digest == item["digest"]
    assert serving.head(SECOND)["verdicts"] == 3
    told = serving.told("VerdictReached")[-1]
    assert (told.verdict, told.next, told.uri) == ("roll_back", "roll_back", items[-1]["uri"])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("plan", "rollback_budget"), 0.9),
        (("statistics", "counts", "requests"), 9),
        (("statistics", "limits", "min_requests"), 10_000),
        (("decision", "verdict"), "promote"),
        (("verdict", "reason"), "all is well"),
    ],
)
def test_a_judgement_that_was_tampered_with_differs(
    serving: Scene, path: tuple[Any, ...], value: object
) -> None:
    serving.begin(2)
    serving.count(200, errors=60)
    verdict = serving.judge(SECOND)
    document = json.loads(serving.objects.read(verdict.statistics_uri))
    part = document
    for name in path[:-1]:
        part = part[name]
    assert part[path[-1]] != value
    part[path[-1]] = value
    assert differences(json.dumps(document).encode())


def test_harm_shared_with_the_stable_version_is_not_the_candidates(serving: Scene) -> None:
    serving.begin(2)
    serving.count(300, errors=90)
    serving.count(2700, errors=810, role="stable")
    assert serving.judge(SECOND).next == "shift"
    serving.count(2700, errors=0, role="stable")
    assert serving.judge(SECOND).next == "roll_back"


def test_evidence_runs_through_the_steps_without_pooling_their_shares(serving: Scene) -> None:
    serving.begin(2)
    serving.count(100, errors=6)
    serving.count(900, errors=18, role="stable")
    serving.judge(SECOND, 0, 0)
    serving.shift(SECOND, 1)
    serving.count(500, errors=20)
    serving.judge(SECOND, 1, 0)
    document = JudgedStep.model_validate(json.loads(serving.objects.read(kept(serving)[-1]["uri"])))
    assert document.record is not None
    first, second = document.record.steps
    assert (first.propensities["candidate"], second.propensities["candidate"]) == (0.1, 0.5)
    assert first.statistics["errors"]["candidate"].y == 6
    assert second.statistics["errors"]["candidate"].n == 500
    assert first.exposures == {}


def test_the_step_that_is_left_is_frozen(serving: Scene) -> None:
    serving.begin(2)
    serving.count(100, errors=1)
    serving.judge(SECOND, 0, 0)
    serving.shift(SECOND, 1)
    serving.count(100, errors=5)
    serving.judge(SECOND, 1, 0)
    fast = serving.head(SECOND)["fast"]
    assert fast["canary-1-10"]["candidate"] == {"units": 100, "errors": 1, "slow": 0}
    assert fast["canary-2-50"]["candidate"] == {"units": 100, "errors": 5, "slow": 0}


def test_a_count_that_cannot_be_is_refused(serving: Scene) -> None:
    serving.begin(2)
    serving.metrics.by_role[PROJECT, "candidate"] = RoleCounts(9, 3, 0, units=2, unit_errors=3)
    with pytest.raises(InvalidStatisticsError) as refused:
        serving.judge(SECOND)
    assert refused.value.field == "unit_errors"


def test_a_margin_that_must_be_proved_keeps_a_step_from_advancing(serving: Scene) -> None:
    serving.declare(guardrails={"must_prove": "non_inferiority", "min_requests": 10})
    serving.begin(2)
    serving.count(60)
    serving.count(540, role="stable")
    verdict = serving.judge(SECOND, 0, 0)
    assert verdict.next == "hold"
    assert "not proved within the margin" in verdict.reason
    serving.count(20_000)
    serving.count(180_000, role="stable")
    assert serving.judge(SECOND, 0, 1).next == "shift"


def test_a_judgement_that_broke_off_leaves_its_number_unused(serving: Scene) -> None:
    serving.begin(2)
    serving.state.before_commit.append(
        lambda: serving.state.put(Table.EXPERIMENTS, {**serving.head(SECOND), "verdicts": 7})
    )
    with pytest.raises(ConflictError):
        serving.judge(SECOND)
    serving.state.put(Table.EXPERIMENTS, {**serving.head(SECOND), "verdicts": 0})
    again = serving.judge(SECOND)
    assert again.statistics_uri.endswith("verdicts/000002.json")
    assert [item["number"] for item in kept(serving)] == [2]


# Experiments


def test_a_test_waits_is_promoted_when_better_and_tells_when_it_begins(serving: Scene) -> None:
    serving.declare(**TEST)
    serving.begin(2)
    (told,) = serving.told("ExperimentStarted")
    assert (told.strategy, told.phases) == ("ab_test", ["ab_test"])
    assert told.plan_digests == serving.head(SECOND)["plan_digests"]
    serving.tick(SECOND, 1)
    assert serving.judge(SECOND).next == "wait"
    freeze(serving, cohort("ab-test-50", {"candidate": (2000, 300), "stable": (2000, 600)}))
    serving.tick(SECOND, 2)
    verdict = serving.judge(SECOND)
    assert (verdict.next, verdict.verdict) == ("complete", "promote")
    assert "readmitted proved better" in verdict.reason
    serving.complete(SECOND)
    head = serving.head(SECOND)
    assert (head["status"], head["outcome"]) == ("ended", "completed")
    (over,) = serving.told("ExperimentEnded")
    assert (over.outcome, over.verdicts) == ("completed", 2)


def test_a_test_with_nothing_proved_ends_without_promotion_at_its_planned_end(
    serving: Scene,
) -> None:
    serving.declare(**TEST)
    serving.begin(2)
    freeze(serving, cohort("ab-test-50", {"candidate": (400, 118), "stable": (400, 120)}))
    serving.tick(SECOND, 59)
    assert serving.judge(SECOND).next == "wait"
    serving.tick(SECOND, 60)
    verdict = serving.judge(SECOND)
    assert (verdict.next, verdict.verdict) == ("end", "inconclusive")
    assert serving.not_promoted(SECOND, verdict.verdict).status == "not_promoted"
    assert serving.not_promoted(SECOND, verdict.verdict).status == "not_promoted"
    assert serving.shares() == {1: 100}
    assert len(serving.told("ReleaseNotPromoted")) == 1
    assert serving.endpoints.deleted[-1] == "dev-diabetes-v2-prod"
    assert serving.head(SECOND)["outcome"] == "not_promoted"
    with pytest.raises(ReleaseEndedError):
        serving.judge(SECOND)


def test_arms_that_are_not_exposed_as_intended_hold(serving: Scene) -> None:
    serving.declare(**TEST)
    serving.begin(2)
    freeze(serving, cohort("ab-test-50", {"candidate": (1000, 100), "stable": (1600, 480)}))
    serving.tick(SECOND, 1)
    verdict = serving.judge(SECOND)
    assert (verdict.next, verdict.verdict) == ("wait", "hold")
    assert "intended shares" in verdict.reason


def test_a_cohort_that_was_changed_is_refused(serving: Scene) -> None:
    serving.declare(**TEST)
    serving.begin(2)
    frozen = cohort("ab-test-50", {"candidate": (50, 5), "stable": (50, 5)})
    freeze(serving, frozen, digest="0" * 64)
    with pytest.raises(EvidenceIncompleteError, match="not the cohort that was frozen"):
        serving.judge(SECOND)


def test_a_look_reads_each_frozen_cohort_of_its_phase_once(
    serving: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fourteen days of hourly cohorts cost; the figures are in docs/cohorts.md."""
    serving.declare(**{**TEST, "ab_test": {"duration_s": 40 * 86_400}})
    serving.begin(2)
    hours = 14 * 24
    for hour in range(hours):
        span = f"202601{5 + hour // 24:02d}T{hour % 24:02d}0000Z"
        freeze(serving, cohort("ab-test-50", {"candidate": (9, 3), "stable": (9, 3)}, span))
    freeze(serving, cohort("shadow-100", {"stable": (9, 3)}))
    reads: list[str] = []
    read = serving.objects.read

    def counted(uri: str) -> bytes:
        reads.append(uri)
        return read(uri)

    monkeypatch.setattr(serving.objects, "read", counted)
    verdict = serving.judge(SECOND)
    cohorts = [uri for uri in reads if "/cohorts/" in uri]
    assert len(cohorts) == len(set(cohorts)) == hours
    assert sum(range(1, hours + 1)) == 56_616
    stored = JudgedStep.model_validate_json(read(verdict.statistics_uri))
    assert stored.record is not None
    assert stored.record.steps[0].exposures == {"candidate": 9 * hours, "stable": 9 * hours}


def test_a_bandit_moves_by_batches_and_keeps_its_floor(serving: Scene) -> None:
    serving.declare(
        **{**TEST, "strategy": "bandit"},
        bandit={"duration_s": 36_000, "batch_s": 120, "floor": 0.1},
    )
    serving.begin(2)
    route = serving.route()
    assert route is not None
    assert (route.step_id, route.assignment) == ("bandit-b0001", "stored")
    assert serving.shares() == {2: 50, 1: 50}
    freeze(serving, cohort("bandit-b0001", {"candidate": (400, 104), "stable": (400, 80)}))
    serving.tick(SECOND, 1)
    assert serving.judge(SECOND).next == "wait"
    serving.tick(SECOND, 2)
    assert serving.judge(SECOND).next == "shift"
    shift = serving.shift(SECOND, 0)
    assert shift.step_id == "bandit-b0002"
    assert serving.shift(SECOND, 0) == shift
    assert 10 <= serving.shares()[2] < 20
    assert sum(serving.shares().values()) == pytest.approx(100)
    serving.tick(SECOND, 3)
    assert serving.judge(SECOND).next == "wait"
    steps = serving.head(SECOND)["steps"]
    assert [step["step_id"] for step in steps] == ["bandit-b0001", "bandit-b0002"]
    assert serving.head(SECOND)["step_tick"] == 0


def test_a_batch_keeps_its_number_however_often_it_is_judged_before_it_begins(
    serving: Scene,
) -> None:
    """The judge writes and is killed before it answers; so is the shift."""
    serving.declare(
        **{**TEST, "strategy": "bandit"},
        bandit={"duration_s": 36_000, "batch_s": 120, "floor": 0.1},
    )
    serving.begin(2)
    freeze(serving, cohort("bandit-b0001", {"candidate": (400, 104), "stable": (400, 80)}))
    for number in (2, 3, 4):
        serving.tick(SECOND, 2 * (number - 1))
        verdicts = [serving.judge(SECOND) for _ in range(3)]
        assert {verdict.next for verdict in verdicts} == {"shift"}
        shifts = [serving.shift(SECOND, 0) for _ in range(2)]
        assert {shift.step_id for shift in shifts} == {f"bandit-b{number:04d}"}
    steps = [step["step_id"] for step in serving.head(SECOND)["steps"]]
    assert steps == [f"bandit-b{number:04d}" for number in (1, 2, 3, 4)]
    assert [item["number"] for item in kept(serving)] == list(range(1, 10))
    freeze(serving, cohort("bandit-b0004", {"candidate": (9, 1), "stable": (9, 1)}, share=0.1))
    assert serving.judge(SECOND).next == "wait"


def test_a_judge_that_is_killed_before_it_writes_its_record_leaves_the_batch_as_it_was(
    serving: Scene,
) -> None:
    """Its object stays, with a number that no verdict has; the next attempt goes on."""
    serving.declare(
        **{**TEST, "strategy": "bandit"},
        bandit={"duration_s": 36_000, "batch_s": 120, "floor": 0.1},
    )
    serving.begin(2)
    serving.tick(SECOND, 2)

    def killed() -> None:
        raise RuntimeError("the process was killed")

    serving.state.before_commit.append(killed)
    with pytest.raises(RuntimeError):
        serving.judge(SECOND)
    assert (serving.head(SECOND)["batch"], serving.head(SECOND)["verdicts"]) == (1, 0)
    assert serving.judge(SECOND).next == "shift"
    assert serving.shift(SECOND, 0).step_id == "bandit-b0002"
    assert [item["number"] for item in kept(serving)] == [2]


def test_a_shadow_first_is_unseen_and_then_the_ramp_begins(serving: Scene) -> None:
    serving.declare(
        shadow_first=True, shadow={"duration_s": 3600}, tick_s=60, cohort_s=60, lateness_s=0,
        bake_s=120, minimum_units=50,
    )  # fmt: skip
    serving.begin(2)
    route = serving.route()
    assert route is not None
    assert serving.shares() == {2: 0, 1: 100}
    assert route.mirror is not None
    assert route.mirror.percent == 100
    pairs = ArmStatistics(n=4000, d=4000, d2=4000, histogram={
        "edges": (-1.0, -1.0, 0.0, 0.0, 1.0, 1.0), "counts": (0, 0, 4000, 0, 0),
    })  # fmt: skip
    frozen = FrozenCohort(
        step_id="shadow-100", span="20260105T090000Z", window_s=0, frozen_at="x",
        propensities={"candidate": 0.0, "stable": 1.0}, exposures={"stable": 4000},
        statistics={"errors": {"paired": pairs}, "slow": {"paired": pairs}},
    )  # fmt: skip
    freeze(serving, frozen)
    serving.tick(SECOND, 59)
    assert serving.judge(SECOND).next == "wait"
    serving.tick(SECOND, 60)
    verdict = serving.judge(SECOND)
    assert (verdict.next, verdict.step_index) == ("shift", 1)
    serving.shift(SECOND, 1)
    route = serving.route()
    assert route is not None
    assert route.mirror is None
    assert serving.shares() == {2: 10, 1: 90}
    serving.tick(SECOND, 61)
    assert serving.judge(SECOND).next == "wait"
    serving.tick(SECOND, 62)
    assert serving.judge(SECOND).next == "shift"
    assert set(serving.head(SECOND)["plans"]) == {"shadow", "ramp"}


def test_an_alarm_rolls_a_test_back_at_the_next_look(serving: Scene) -> None:
    serving.declare(**TEST)
    serving.begin(2)
    serving.alarms.by_name[ERRORS] = "ALARM"
    serving.tick(SECOND, 1)
    assert serving.judge(SECOND).next == "roll_back"


def test_cohorts_are_added_up_in_the_order_of_their_ids_by_step() -> None:
    head = {
        "steps": [
            {"step_id": "a", "phase": "ramp", "propensities": {"candidate": 0.1, "stable": 0.9}},
            {"step_id": "b", "phase": "ramp", "propensities": {"candidate": 0.5, "stable": 0.5}},
            {"step_id": "s", "phase": "shadow", "propensities": {"candidate": 0, "stable": 1}},
        ],
        "fast": {},
    }  # fmt: skip
    cohorts = [
        cohort("b", {"candidate": (5, 1)}, "20260105T100000Z"),
        cohort("a", {"candidate": (2, 1), "stable": (18, 2)}, "20260105T100000Z"),
        cohort("a", {"candidate": (1, 0), "stable": (9, 1)}, "20260105T090000Z"),
        cohort("a", {"candidate": (1, 0), "stable": (7, 1)}, "20260105T090000Z", window_s=9000),
        cohort("s", {"stable": (3, 1)}),
    ]
    record = assemble_record(head, "ramp", cohorts, holds=0, ended=False)
    first, second = record.steps
    assert first.exposures == {"candidate": 3, "stable": 27}
    assert first.statistics["readmitted"]["stable"].n == 34
    assert second.exposures == {"candidate": 5}
    assert assemble_record(head, "ramp", cohorts[::-1], holds=0, ended=False) == record


def test_a_declaration_that_cannot_be_judged_starts_no_release(serving: Scene) -> None:
    serving.declare(**{**TEST, "cohort_s": 3600})
    serving.approve(2)
    with pytest.raises(ReleaseNotAllowedError, match="captured metrics"):
        serving.start_release(2)
    assert serving.lock() is None
