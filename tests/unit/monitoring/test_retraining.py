"""The retraining decision: one flight, within budget, and a breaker that holds."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steward.domain.monitoring.retraining import (
    DAY_S,
    Action,
    Attempt,
    Code,
    Kind,
    Outcome,
    Policy,
    State,
    Trigger,
    breaker_open,
    decide,
    ended,
    reset,
    started,
)

NOW = 10 * DAY_S
POLICY = Policy(
    minimum_new_rows=100, debounce_s=600, cooldown_s=3_600, per_day=3, budget_usd_per_day=10,
    breaker_after=2,
)  # fmt: skip
READY = State(rows_used=1_000)
CAUSE = "drift v3 since 2026-01-05T09"


def _trigger(kind: Kind = Kind.DRIFT, **changed: object) -> Trigger:
    base = Trigger(kind, CAUSE, since_s=NOW - 3_600, expected_usd=2)
    return replace(base, **changed)  # type: ignore[arg-type]


def _past(n: int, usd: float = 1, cause: str = "before") -> tuple[Attempt, ...]:
    return tuple(Attempt(f"r{i}", cause, NOW - 20_000 + i, usd) for i in range(n))


def test_an_alarm_that_stands_with_new_rows_starts_an_attempt() -> None:
    decision = decide(_trigger(), READY, POLICY, now_s=NOW, labelled_rows=1_100)
    assert (decision.action, decision.code) == (Action.START, Code.READY)
    assert CAUSE in decision.reason


@pytest.mark.parametrize("kind", Kind)
def test_the_whole_table(kind: Kind) -> None:
    """Every combination of obstacles: the first in the documented order is the answer."""
    alarm = kind in (Kind.DRIFT, Kind.PERFORMANCE, Kind.BIAS)
    by_person = kind is Kind.MANUAL
    flights = (None, CAUSE, "other")
    budgets = ("none", "enough", "spent", "impossible")
    yes_no = (False, True)
    cases = list(
        itertools.product(yes_no, yes_no, flights, yes_no, yes_no, yes_no, budgets, yes_no)
    )
    assert len(cases) == 2**6 * 12
    for broken, served, flight, young, resting, many, money, poor in cases:
        usd = {"none": 50.0, "enough": 0.5, "spent": 5.0, "impossible": 0.0}[money]
        attempts = _past(3 if many else 2, usd)
        state = State(
            flight=None if flight is None else Attempt("f", flight, NOW - 100, 0),
            attempts=attempts,
            ended_s=NOW - (60 if resting else 7_200),
            rows_used=1_000,
            in_vain=2 if broken else 1,
            served=CAUSE if served else None,
        )
        policy = replace(POLICY, budget_usd_per_day=None if money == "none" else 10)
        trigger = _trigger(
            kind,
            since_s=NOW - (60 if young else 3_600),
            expected_usd=11.0 if money == "impossible" else 2.0,
        )
        decision = decide(trigger, state, policy, now_s=NOW, labelled_rows=1_050 if poor else 1_100)
        over = {"none": False, "enough": False, "spent": True, "impossible": True}[money]
        expected = [
            (broken, Code.BREAKER_OPEN, Action.SUPPRESS),
            (flight == CAUSE, Code.SAME_CAUSE, Action.SUPPRESS),
            (served and not by_person, Code.SAME_CAUSE, Action.SUPPRESS),
            (flight is not None, Code.IN_FLIGHT, Action.WAIT),
            (young and alarm, Code.DEBOUNCE, Action.WAIT),
            (resting and not by_person, Code.COOL_DOWN, Action.WAIT),
            (many, Code.STARTS_PER_DAY, Action.WAIT),
            (over, Code.BUDGET, Action.SUPPRESS if money == "impossible" else Action.WAIT),
            (poor and not by_person, Code.DATA, Action.WAIT),
            (True, Code.READY, Action.START),
        ]
        _, code, action = next(row for row in expected if row[0])
        assert (decision.code, decision.action) == (code, action), (broken, flight, money)
        assert decision.reason
        assert not decision.closes_breaker


def test_what_waits_says_until_when_or_for_what() -> None:
    young = decide(_trigger(since_s=NOW - 60), READY, POLICY, now_s=NOW, labelled_rows=2_000)
    assert young.not_before_s == NOW + 540
    resting = replace(READY, ended_s=NOW - 600)
    assert decide(
        _trigger(), resting, POLICY, now_s=NOW, labelled_rows=2_000
    ).not_before_s == pytest.approx(NOW + 3_000)
    many = replace(READY, attempts=_past(4))
    # The second oldest of four must be a day old before only two are left.
    assert (
        decide(_trigger(), many, POLICY, now_s=NOW, labelled_rows=2_000).not_before_s
        == many.attempts[1].started_s + DAY_S
    )
    dear = replace(READY, attempts=_past(2, usd=4.5))
    again = decide(_trigger(), dear, POLICY, now_s=NOW, labelled_rows=2_000)
    assert again.not_before_s == dear.attempts[0].started_s + DAY_S
    assert (
        decide(_trigger(), dear, POLICY, now_s=again.not_before_s or 0, labelled_rows=2_000).action
        is Action.START
    )
    poor = decide(_trigger(), READY, POLICY, now_s=NOW, labelled_rows=1_030)
    assert (poor.code, poor.needs_rows, poor.not_before_s) == (Code.DATA, 70, None)


def _attempt(state: State, outcome: Outcome, cause: str = CAUSE, policy: Policy = POLICY) -> State:
    trigger = _trigger(cause=cause)
    now = NOW if state.ended_s is None else state.ended_s + 2 * DAY_S
    rows = state.rows_used + 100
    decision = decide(
        replace(trigger, since_s=now - 700), state, policy, now_s=now, labelled_rows=rows
    )
    attempt_id = f"run-{now:g}"
    flying = started(state, trigger, decision, attempt_id, now_s=now, labelled_rows=rows)
    return ended(flying, attempt_id, outcome, now_s=now + 60, usd=1)


@pytest.mark.parametrize(
    "outcomes",
    list(itertools.product((Outcome.NOT_PROMOTED, Outcome.PROVED_WORSE, Outcome.FAILED), repeat=2)),
)
def test_two_attempts_in_vain_open_the_breaker_until_a_person_resets_it(
    outcomes: tuple[Outcome, Outcome],
) -> None:
    state = READY
    for outcome in outcomes:
        assert not breaker_open(state, POLICY)
        state = _attempt(state, outcome)
    assert breaker_open(state, POLICY)
    for kind, cause in itertools.product(Kind, (CAUSE, "another", "a third")):
        decision = decide(
            _trigger(kind, cause=cause), state, POLICY, now_s=NOW + 90 * DAY_S, labelled_rows=10**6
        )
        assert decision.code is Code.BREAKER_OPEN
        assert "reset" in decision.reason
    after = decide(_trigger(), reset(state), POLICY, now_s=NOW + 90 * DAY_S, labelled_rows=10**6)
    assert after.action is Action.START


def test_a_promoted_version_closes_the_count_and_answers_its_cause() -> None:
    state = _attempt(_attempt(READY, Outcome.NOT_PROMOTED), Outcome.PROMOTED)
    assert (state.in_vain, state.served) == (0, CAUSE)
    late = decide(_trigger(), state, POLICY, now_s=NOW + 90 * DAY_S, labelled_rows=10**6)
    assert late.code is Code.SAME_CAUSE
    assert not breaker_open(_attempt(state, Outcome.NOT_PROMOTED, cause="v4"), POLICY)


def test_superseded_work_counts_neither_way() -> None:
    state = _attempt(READY, Outcome.NOT_PROMOTED)
    assert _attempt(state, Outcome.SUPERSEDED).in_vain == 1


def test_a_new_cause_of_a_declared_kind_closes_the_breaker_and_an_old_one_does_not() -> None:
    policy = replace(POLICY, reopened_by=frozenset({Kind.PERFORMANCE}))
    state = _attempt(_attempt(READY, Outcome.NOT_PROMOTED, "one"), Outcome.PROVED_WORSE, "two")

    def asked(kind: Kind, cause: str) -> Code:
        return decide(
            _trigger(kind, cause=cause), state, policy, now_s=NOW + 90 * DAY_S, labelled_rows=10**6
        ).code

    assert asked(Kind.PERFORMANCE, "three") is Code.READY
    assert asked(Kind.PERFORMANCE, "one") is Code.BREAKER_OPEN
    assert asked(Kind.PERFORMANCE, "two") is Code.BREAKER_OPEN
    assert asked(Kind.DRIFT, "three") is Code.BREAKER_OPEN
    trigger = _trigger(Kind.PERFORMANCE, cause="three")
    decision = decide(trigger, state, policy, now_s=NOW + 90 * DAY_S, labelled_rows=10**6)
    flying = started(state, trigger, decision, "x", now_s=NOW + 90 * DAY_S, labelled_rows=10**6)
    assert (flying.in_vain, flying.in_vain_causes) == (0, ())


def test_an_end_that_comes_twice_or_of_another_attempt_changes_nothing() -> None:
    decision = decide(_trigger(), READY, POLICY, now_s=NOW, labelled_rows=1_100)
    flying = started(READY, _trigger(), decision, "one", now_s=NOW, labelled_rows=1_100)
    assert ended(flying, "other", Outcome.NOT_PROMOTED, now_s=NOW) == flying
    once = ended(flying, "one", Outcome.NOT_PROMOTED, now_s=NOW + 5)
    assert ended(once, "one", Outcome.NOT_PROMOTED, now_s=NOW + 9) == once
    assert once.attempts[-1].usd == 2


def test_nothing_starts_that_was_not_decided() -> None:
    waits = decide(_trigger(), READY, POLICY, now_s=NOW, labelled_rows=1_000)
    with pytest.raises(ValueError, match="no attempt may begin"):
        started(READY, _trigger(), waits, "one", now_s=NOW, labelled_rows=1_000)
    starts = decide(_trigger(), READY, POLICY, now_s=NOW, labelled_rows=1_100)
    flying = started(READY, _trigger(), starts, "one", now_s=NOW, labelled_rows=1_100)
    with pytest.raises(ValueError, match="no attempt may begin"):
        started(flying, _trigger(), starts, "two", now_s=NOW, labelled_rows=1_100)


def test_the_state_survives_json() -> None:
    decision = decide(_trigger(), READY, POLICY, now_s=NOW, labelled_rows=1_100)
    state = replace(
        started(READY, _trigger(), decision, "one", now_s=NOW, labelled_rows=1_100),
        in_vain_causes=("a", "b"),
    )
    assert State.from_dict(json.loads(json.dumps(state.as_dict()))) == state
    assert State.from_dict(State().as_dict()) == State()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(list(Kind)),
        st.sampled_from(["a", "b", "c"]),
        st.floats(0, 30_000),
        st.floats(0, 6),
        st.sampled_from([None, *Outcome]),
        st.integers(0, 300),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(steps=STEPS, per_day=st.integers(1, 4), breaker=st.integers(1, 3))
def test_whatever_comes_there_is_one_flight_within_the_budget_and_the_breaker_holds(
    steps: list[tuple[Kind, str, float, float, Outcome | None, int]], per_day: int, breaker: int
) -> None:
    policy = replace(POLICY, per_day=per_day, breaker_after=breaker)
    state, now, rows = State(), NOW, 0
    starts: list[tuple[float, float]] = []
    in_vain = 0
    for place, (kind, cause, waited, usd, outcome, new_rows) in enumerate(steps):
        now, rows = now + waited, rows + new_rows
        trigger = Trigger(kind, cause, now - waited, usd)
        decision = decide(trigger, state, policy, now_s=now, labelled_rows=rows)
        if decision.action is Action.START:
            assert state.flight is None
            assert in_vain < breaker
            if kind is not Kind.MANUAL:
                assert rows - state.rows_used >= policy.minimum_new_rows
            state = started(state, trigger, decision, f"run-{place}", now_s=now, labelled_rows=rows)
            starts.append((now, usd))
            recent = [cost for at, cost in starts if at > now - DAY_S]
            assert len(recent) <= per_day
            assert sum(recent) <= 10 + 1e-9
        else:
            assert decision.not_before_s is None or decision.not_before_s > now
        if outcome is not None and state.flight is not None:
            state = ended(state, state.flight.id, outcome, now_s=now)
            if outcome is Outcome.PROMOTED:
                in_vain = 0
            elif outcome is not Outcome.SUPERSEDED:
                in_vain += 1
