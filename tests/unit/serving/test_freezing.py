"""Cohorts are frozen when they have matured, each once, whatever breaks off or comes late."""

import copy
import random
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from steward.domain.errors import ConflictError, EvidenceIncompleteError
from steward.domain.experiments.cohorts import FrozenCohort, cohort_item
from steward.ports import Delete, Table
from support.captures import (
    BEGAN,
    PROJECT,
    RELEASE,
    design,
    exposure,
    metric,
    outcome,
    random_story,
    step,
)
from support.freezing_scene import ARTIFACTS, FreezingScene


@pytest.fixture
def scene() -> FreezingScene:
    """Spans of 10 minutes, 1 minute of lateness, outcomes within 10 minutes."""
    return FreezingScene(design(metric("converted")))


def units(scene: FreezingScene) -> dict[str, int]:
    """Return the exposures of the cohorts without a window, added up."""
    total: dict[str, int] = {}
    for cohort in scene.cohorts():
        for arm, count in cohort.exposures.items() if cohort.window_s == 0 else ():
            total[arm] = total.get(arm, 0) + count
    return total


def test_a_cohort_freezes_at_the_end_of_its_span_window_and_lateness(scene: FreezingScene) -> None:
    first = exposure("a", 10)
    scene.capture([first], 60)
    scene.tell([outcome(first, True, 30)], 60)

    assert scene.run(100).model_dump() == {"frozen": 0, "waiting": 2}
    assert scene.run(659.999).frozen == 0
    assert scene.run(660).model_dump() == {"frozen": 1, "waiting": 1}
    assert scene.run(1259.999).frozen == 0
    assert scene.run(1260).model_dump() == {"frozen": 1, "waiting": 0}

    cohort = scene.cohort(600)
    assert (cohort.step_id, cohort.span) == ("test", "20260302T100000Z")
    assert cohort.propensities == {"candidate": 0.5, "stable": 0.5}
    assert cohort.exposures == {"stable": 1}
    assert cohort.statistics["converted"]["stable"].y == 1
    assert cohort.counts["outcomes"] == 1


def test_a_release_that_was_never_planned_is_missing_evidence(scene: FreezingScene) -> None:
    scene.state.commit([Delete(Table.EXPERIMENTS, {"project": PROJECT, "item": RELEASE})])

    with pytest.raises(EvidenceIncompleteError, match=RELEASE):
        scene.run(0)


def test_a_release_without_traffic_freezes_nothing_and_waits_for_nothing(
    scene: FreezingScene,
) -> None:
    assert scene.run(5000).model_dump() == {"frozen": 0, "waiting": 0}


def test_a_second_run_finds_what_is_frozen_and_changes_nothing(scene: FreezingScene) -> None:
    scene.capture([exposure("a", 10)], 60)
    scene.run(1300)
    written, commits = scene.digests(), scene.state.commits

    assert scene.run(1300).model_dump() == {"frozen": 0, "waiting": 0}

    assert scene.digests() == written
    assert scene.state.commits == commits


def test_a_clock_that_jumps_back_freezes_nothing_early_and_nothing_twice(
    scene: FreezingScene,
) -> None:
    scene.capture([exposure("a", 10)], 60)
    scene.run(700)
    written = scene.digests()
    scene.capture([exposure("b", 650)], 700)

    assert scene.run(-90_000).frozen == 0
    assert scene.run(100).frozen == 0
    assert scene.digests() == written

    assert scene.run(1260).frozen == 2
    scene.run(2000)
    assert units(scene) == {"stable": 2}


def test_looking_after_every_minute_gives_what_one_look_at_the_end_gives() -> None:
    exposures, outcomes, plan = random_story(11, entities=80)
    plan = plan.model_copy(update={"lateness_s": 90})
    often, once = FreezingScene(plan), FreezingScene(plan, threads=1)
    captures: list[tuple[float, Callable[[FreezingScene], None]]] = []
    for n, captured in enumerate(exposures):
        since = (datetime.fromisoformat(captured["time"]) - BEGAN).total_seconds() + n % 50
        captures.append((since, lambda s, c=captured, t=since, n=n: s.capture([c], t, f"{n}")))  # type: ignore[misc]
    outcomes = [o for n, o in enumerate(outcomes) if o not in outcomes[:n]]
    for told in outcomes:
        since = (datetime.fromisoformat(told["recorded_at"]) - BEGAN).total_seconds()
        captures.append((since, lambda s, o=told, t=since: s.tell([o], t)))  # type: ignore[misc]
    captures.sort(key=lambda capture: capture[0])

    for minute in range(90):
        while captures and captures[0][0] < minute * 60:
            _, play = captures.pop(0)
            play(often)
        often.run(minute * 60)
    random.Random(1).shuffle(exposures)
    for n in range(7):
        once.capture(exposures[n::7], 3000, f"{n}")
        once.tell(outcomes[n::7], 3000)
    once.run(90 * 60)

    assert len(once.cohorts()) > 20
    assert timely(often) == timely(once)


def timely(scene: FreezingScene) -> list[FrozenCohort]:
    """Return the cohorts without what depends on when they were frozen."""
    return [
        cohort.model_copy(update={"frozen_at": "", "counts": {**cohort.counts, "late_outcomes": 0}})
        for cohort in scene.cohorts()
    ]


def test_whom_an_earlier_span_counted_no_later_one_counts(scene: FreezingScene) -> None:
    for n in range(12):
        mine = [exposure(f"e{k}", n * 600 + k, inference_id=f"{n}-{k}") for k in range(n + 1)]
        scene.capture(mine, n * 600 + 60)
        scene.run(n * 600 + 700)

    assert units(scene) == {"stable": 12}
    assert len(scene.units()[-1]["known"]) <= 4


def test_an_entity_that_changes_its_arm_counts_in_its_first(scene: FreezingScene) -> None:
    scene.capture([exposure("a", 10, role="candidate"), exposure("a", 20), exposure("a", 650)], 700)
    scene.run(2000)

    assert units(scene) == {"candidate": 1}
    assert scene.cohort(600).counts["other_arm"] == 1


def test_an_exposure_that_comes_after_its_spans_units_is_left_out_for_good_and_counted(
    scene: FreezingScene,
) -> None:
    scene.capture([exposure("a", 10)], 60)
    scene.run(700)
    scene.capture([exposure("late", 20), exposure("b", 610)], 720)
    scene.run(1400)
    scene.capture([exposure("late", 1250)], 1300)
    scene.run(3000)

    assert units(scene) == {"stable": 2}
    assert [item["late"] for item in scene.units()] == [0, 1, 0]


def test_the_lines_of_others_and_broken_lines_are_passed_over(scene: FreezingScene) -> None:
    scene.capture(
        [
            exposure("a", 10), exposure("b", 11, project="other"),
            exposure("c", 12, release_id="00000002-1"), exposure("d", 13, step_id="unheard-of"),
            {"nothing": 1},
        ],
        60,
    )  # fmt: skip
    scene.objects.write(
        "s3://capture/exposures/2026/03/02/x", b'{"capture":{"pro\nnull\n\x00\n[]\n'
    )
    scene.run(700)

    assert units(scene) == {"stable": 1}


def test_the_first_outcome_counts_and_later_ones_are_counted(scene: FreezingScene) -> None:
    first = exposure("a", 10)
    scene.capture([first], 60)
    scene.tell([outcome(first, False, 40, 90), outcome(first, True, 40, 80)], 90)
    scene.tell([outcome(first, False, 41, 41), outcome(first, False, 700)], 700)
    scene.run(1300)

    cohort = scene.cohort(600)
    assert cohort.statistics["converted"]["stable"].y == 1
    assert cohort.counts["repeated_outcomes"] == 2
    assert cohort.counts["late_outcomes"] == 1


@pytest.mark.parametrize(("delay", "counts"), [(0, 1), (600, 1), (600.001, 0)])
def test_both_ends_of_the_window_belong_to_it(
    scene: FreezingScene, delay: float, counts: int
) -> None:
    first = exposure("a", 10)
    scene.capture([first], 60)
    scene.tell([outcome(first, True, 10 + delay)], 650)
    scene.run(1300)

    assert scene.cohort(600).counts["outcomes"] == counts


def test_an_outcome_of_an_entity_counts_from_its_first_exposure_on(scene: FreezingScene) -> None:
    scene.capture([exposure("a", 10), exposure("b", 10)], 60)
    scene.tell([outcome("a", True, 9.999), outcome("b", True, 10)], 60)
    scene.run(1300)

    converted = scene.cohort(600).statistics["converted"]["stable"]
    assert (converted.n, converted.y) == (1, 1)


def test_outcomes_of_ids_that_nobody_was_given_are_counted(scene: FreezingScene) -> None:
    scene.capture([exposure("a", 10)], 60)
    scene.tell([outcome(exposure("x", 1), True, 30), outcome("y", True, 40)], 60)
    scene.run(1300)

    assert scene.cohort(600).counts["unknown_outcomes"] == 2
    assert scene.cohort(600).statistics == {}


@pytest.mark.parametrize("value", ["NaN", "Infinity", "churned", 7, 1e300])
def test_a_value_that_cannot_be_counted_leaves_its_entity_out(value: Any) -> None:
    scene = FreezingScene(design(metric("converted", no_outcome="zero")))
    bad, good = exposure("a", 10), exposure("b", 20)
    scene.capture([bad, good], 60)
    scene.tell([outcome(bad, value, 30)], 60)
    scene.run(1300)

    cohort = scene.cohort(600)
    assert cohort.statistics["converted"]["stable"].n == 1
    assert cohort.counts["unusable_values"] == 1


def test_outcomes_that_come_for_a_frozen_cohort_are_counted_and_change_nothing(
    scene: FreezingScene,
) -> None:
    first, second = exposure("a", 10), exposure("b", 700)
    scene.capture([first, second], 720)
    scene.run(1300)
    written = scene.digests()
    scene.tell([outcome(first, True, 30), outcome(second, True, 1000)], 1400)
    scene.tell([outcome(first, True, 800)], 1400)

    scene.run(1400)
    scene.run(1500)

    late = {p["span"]: p["late_outcomes"] for p in scene.pointers() if p["window_s"]}
    assert late == {"20260302T100000Z": 1}
    assert written.items() <= scene.digests().items()
    scene.run(3000)
    assert [p["late_outcomes"] for p in scene.pointers() if p["window_s"]] == [1, 0]


def test_a_run_that_broke_off_between_object_and_pointer_is_healed(scene: FreezingScene) -> None:
    first = exposure("a", 10)
    scene.capture([first], 60)
    scene.run(1300)
    before = scene.pointers()
    for pointer in before:
        item = cohort_item(RELEASE, pointer["item"].removeprefix(cohort_item(RELEASE, "")))
        scene.state.commit([Delete(Table.EXPERIMENTS, {"project": PROJECT, "item": item})])
    scene.tell([outcome(first, True, 30)], 1290)

    assert scene.run(2000).frozen == 2

    assert [(p["item"], p["digest"]) for p in scene.pointers()] == [
        (p["item"], p["digest"]) for p in before
    ]
    assert scene.cohort(600).counts["outcomes"] == 0


class BrokenOffError(Exception):
    """Lambda's time is up."""


def break_off() -> None:
    raise BrokenOffError


def test_a_run_may_break_off_before_any_write() -> None:
    exposures, outcomes, plan = random_story(5, entities=25)
    whole = FreezingScene(plan)
    whole.capture(exposures, 3000)
    whole.tell(outcomes, 3000)
    broken = copy.deepcopy(whole)
    whole.run(9000)

    breaks = 0
    while True:
        pointers = len(broken.pointers())
        broken.state.before_commit = [lambda: None] * (breaks % 3) + [break_off]
        try:
            broken.run(9000)
        except BrokenOffError:
            breaks += 1
            assert breaks < 500
            continue
        assert len(broken.pointers()) >= pointers
        break

    assert breaks > 10
    assert broken.digests() == whole.digests()


def test_of_two_runs_at_once_one_is_told_and_nothing_is_frozen_twice(scene: FreezingScene) -> None:
    scene.capture([exposure("a", 10)], 60)
    scene.state.before_commit = [lambda: scene.play(1300)]

    with pytest.raises(ConflictError):
        scene.run(1300)

    written = scene.digests()
    assert len(written) == 2
    scene.run(1300)
    assert scene.digests() == written


def test_a_cohort_that_another_run_wrote_meanwhile_is_taken_as_it_is(scene: FreezingScene) -> None:
    scene.capture([exposure("a", 10)], 60)
    scene.run(100)
    scene.run(600)
    scene.state.before_commit = [lambda: None, lambda: scene.play(700)]

    assert scene.run(700).frozen == 1
    assert units(scene) == {"stable": 1}


def test_shadow_traffic_first_does_not_use_up_the_entities_of_the_test_after_it() -> None:
    plan = design(metric("converted"), steps=[step("shadow", 0.0, "shadow"), step("test")])
    scene = FreezingScene(plan)
    answer = exposure("a", 10, step_id="shadow", prediction={"probability": 0.2, "label": "no"})
    copied = exposure(
        "a", 11, role="shadow", step_id="shadow", shadow_pair_id=answer["inference_id"],
        prediction={"probability": 0.7, "label": "yes"}, latency_ms=900.0, features={},
    )  # fmt: skip
    scene.capture([answer, copied, exposure("a", 700, role="candidate")], 800)
    scene.tell([outcome(answer, True, 20)], 800)
    scene.run(3000)

    shadow, test = (c for c in scene.cohorts() if c.window_s == 0)
    assert (shadow.step_id, test.step_id) == ("shadow", "test")
    assert (shadow.exposures, test.exposures) == ({"stable": 1}, {"candidate": 1})
    pairs = {name: arms["paired"].y for name, arms in shadow.statistics.items()}
    assert pairs == {
        "errors": 0, "slow": 1, "prediction_difference": pytest.approx(0.5),
        "prediction_change": pytest.approx(0.5), "label_disagreement": 1,
    }  # fmt: skip
    [converted] = [c for c in scene.cohorts() if c.window_s and c.step_id == "shadow"]
    assert converted.statistics["converted"]["paired"].y == 0


def test_objects_lie_where_the_functions_role_may_write(scene: FreezingScene) -> None:
    first = exposure("a", 10)
    scene.capture([first], 60)
    scene.tell([outcome(first, True, 30)], 60)
    scene.run(1300)

    kinds = {
        info.key.removeprefix(f"experiments/{PROJECT}/{RELEASE}/").split("/")[0]
        for info in scene.objects.list(ARTIFACTS, "")
    }
    assert kinds == {"captures", "units", "cohorts"}


def _numbers(*metrics: Any, answers: tuple[float, float] | None = (0.0, 200.0)) -> FreezingScene:
    """A release of a regression: answers are values, outcomes numbers."""
    steps = [step("shadow", 0.0, "shadow"), step("test")]
    return FreezingScene(design(*metrics, steps=steps, answers=answers))


ABSOLUTE = metric(
    "absolute_error", "bounded", value="abs(outcome - prediction)", range=(0.0, 100.0),
    higher_is_better=False,
)  # fmt: skip
SQUARED = metric(
    "squared_error", "mean", value="(outcome - prediction) * (outcome - prediction)",
    standard_deviation=50.0, higher_is_better=False,
)  # fmt: skip


def test_errors_of_a_regression_are_metrics_of_outcome_and_prediction() -> None:
    scene = _numbers(ABSOLUTE, SQUARED)
    one = exposure("a", 10, prediction={"value": 140.0})
    other = exposure("b", 11, role="candidate", prediction={"value": 150.0})
    far = exposure("c", 12, role="candidate", prediction={"value": 0.0})
    scene.capture([one, other, far], 60)
    told = [outcome(one, 150, 20), outcome(other, 153.5, 20), outcome(far, 400, 20)]
    scene.tell([*told, outcome(exposure("d", 13), "much", 20)], 60)
    scene.run(3000)
    found = scene.cohort(600).statistics
    assert found["absolute_error"]["stable"].y == pytest.approx(10)
    assert found["absolute_error"]["candidate"].y == pytest.approx(3.5 + 100)
    assert found["squared_error"]["stable"].y == pytest.approx(100)
    assert found["squared_error"]["candidate"].y == pytest.approx(3.5**2 + 400**2)


def test_answers_of_a_regression_are_compared_on_the_range_of_its_label() -> None:
    scene = _numbers(ABSOLUTE)
    answer = exposure("a", 10, step_id="shadow", prediction={"value": 50.0})
    copied = exposure(
        "a", 11, role="shadow", step_id="shadow", shadow_pair_id=answer["inference_id"],
        prediction={"value": 500.0}, features={},
    )  # fmt: skip
    scene.capture([answer, copied, exposure("b", 700, prediction={"value": 20.0})], 800)
    scene.run(3000)
    shadow, test = (c.statistics for c in scene.cohorts() if c.window_s == 0)
    assert shadow["prediction_difference"]["paired"].y == pytest.approx(0.75)
    assert shadow["prediction_change"]["paired"].y == pytest.approx(0.75)
    assert "label_disagreement" not in shadow or shadow["label_disagreement"]["paired"].n == 0
    assert test["prediction_up"]["stable"].y == pytest.approx(0.1)


def test_answers_without_a_range_are_not_compared() -> None:
    scene = _numbers(ABSOLUTE, answers=None)
    scene.capture([exposure("a", 10, prediction={"value": 5e6})], 60)
    scene.run(3000)
    [cohort] = [c for c in scene.cohorts() if c.window_s == 0]
    assert "prediction_up" not in cohort.statistics
