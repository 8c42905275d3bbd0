"""Whether to train again now: a pure decision with its reason, and what it remembers.

What can go wrong with retraining by alarm is that it never ends: the alarm stays, so it trains
again and again on the same data, or each new version is no better. So an alarm must have stood for
a while, there must be new labelled rows, one attempt is in flight at a time, then it rests, a day
has a number of starts and a budget, and a breaker stops what has led to nothing twice.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Self

DAY_S = 86_400.0


class Kind(StrEnum):
    """What asks for training."""

    DRIFT = "drift"
    PERFORMANCE = "performance"
    BIAS = "bias"
    SCHEDULE = "schedule"
    MANUAL = "manual"


class Outcome(StrEnum):
    """What an attempt led to."""

    PROMOTED = "promoted"
    NOT_PROMOTED = "not_promoted"
    PROVED_WORSE = "proved_worse"
    FAILED = "failed"
    SUPERSEDED = "superseded"


IN_VAIN = frozenset({Outcome.NOT_PROMOTED, Outcome.PROVED_WORSE, Outcome.FAILED})
"""What the breaker counts. A version that passed without being proved better was promoted, which
is no failure; superseded work was not tried."""


class Action(StrEnum):
    """What to do about a trigger."""

    START = "start"
    WAIT = "wait"
    SUPPRESS = "suppress"


class Code(StrEnum):
    """Why, in the order in which it is asked."""

    READY = "ready"
    BREAKER_OPEN = "breaker_open"
    SAME_CAUSE = "same_cause"
    IN_FLIGHT = "in_flight"
    DEBOUNCE = "debounce"
    COOL_DOWN = "cool_down"
    STARTS_PER_DAY = "starts_per_day"
    BUDGET = "budget"
    DATA = "data"


@dataclass(frozen=True)
class Policy:
    """What the project declares.

    Attributes:
        minimum_new_rows: New labelled rows since the last attempt that a trigger must find.
        debounce_s: How long an alarm must have stood.
        cooldown_s: Rest after the end of an attempt.
        per_day: Starts in any 24 hours.
        budget_usd_per_day: What attempts of any 24 hours may cost; None for no limit.
        breaker_after: Attempts in vain, one after the other, that open the breaker.
        reopened_by: Kinds of which a new cause closes the breaker again; without any, only a
            person does.
    """

    minimum_new_rows: int = 0
    debounce_s: float = 0.0
    cooldown_s: float = 0.0
    per_day: int = 4
    budget_usd_per_day: float | None = None
    breaker_after: int = 2
    reopened_by: frozenset[Kind] = frozenset()


@dataclass(frozen=True)
class Trigger:
    """Something that asks for training.

    Attributes:
        cause: What it is about, the same for as long as it is the same alarm, such as
            ``drift v3 since 2026-01-05T09``.
        since_s: When its alarm began, seconds since the epoch.
        expected_usd: What an attempt is expected to cost; reserved from the day's budget.
    """

    kind: Kind
    cause: str
    since_s: float
    expected_usd: float = 0.0


@dataclass(frozen=True)
class Attempt:
    """One training that was started.

    Attributes:
        usd: Reserved until it ends, then what it did cost.
    """

    id: str
    cause: str
    started_s: float
    usd: float


@dataclass(frozen=True)
class State:
    """What is remembered of a project.

    Attributes:
        flight: The attempt whose outcome is not known yet.
        attempts: Those that began within the last 24 hours, oldest first, the flight too.
        ended_s: When the last attempt ended.
        rows_used: Labelled rows, counted since the project began, when the last attempt started.
        in_vain: Attempts without a promoted version since the last one that was promoted.
        in_vain_causes: Their causes.
        served: Cause of the last attempt that led to a promoted version. An attempt in vain has
            not answered its cause: with new rows it is tried again, until the breaker opens.
    """

    flight: Attempt | None = None
    attempts: tuple[Attempt, ...] = ()
    ended_s: float | None = None
    rows_used: int = 0
    in_vain: int = 0
    in_vain_causes: tuple[str, ...] = ()
    served: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, kept: dict[str, Any]) -> Self:
        """Return what :meth:`as_dict` gave."""
        flight = kept.get("flight")
        return cls(
            **{
                **kept,
                "flight": None if flight is None else Attempt(**flight),
                "attempts": tuple(Attempt(**attempt) for attempt in kept.get("attempts", ())),
                "in_vain_causes": tuple(kept.get("in_vain_causes", ())),
            }
        )


@dataclass(frozen=True)
class Decision:
    """What to do, and why.

    Attributes:
        reason: A sentence for a person.
        not_before_s: When to ask again; None where time alone changes nothing.
        needs_rows: New labelled rows that are lacking.
        closes_breaker: The trigger is a new cause of a kind that closes the breaker.
    """

    action: Action
    code: Code
    reason: str
    not_before_s: float | None = None
    needs_rows: int = 0
    closes_breaker: bool = False


def breaker_open(state: State, policy: Policy) -> bool:
    """Return whether attempts have been in vain too often."""
    return state.in_vain >= policy.breaker_after


def decide(
    trigger: Trigger, state: State, policy: Policy, *, now_s: float, labelled_rows: int
) -> Decision:
    """Return what to do about a trigger; the first obstacle in the order of :class:`Code` counts.

    A person's trigger waits for no alarm to stand, no rest and no new rows, but neither begins a
    second flight, nor breaks a budget, nor passes an open breaker.

    Args:
        trigger: What asks.
        state: What is remembered.
        policy: What is declared.
        now_s: Seconds since the epoch.
        labelled_rows: All labelled rows that a training could use, counted as ``rows_used``.
    """
    closes = (
        breaker_open(state, policy)
        and trigger.kind in policy.reopened_by
        and trigger.cause not in state.in_vain_causes
    )
    by_person = trigger.kind is Kind.MANUAL
    found = (
        (None if closes else _breaker(state, policy))
        or _flight(trigger, state)
        or (None if by_person else _rest(trigger, state, policy, now_s))
        or _day(trigger, state, policy, now_s)
        or (None if by_person else _data(state, policy, labelled_rows))
        or Decision(Action.START, Code.READY, f"{trigger.kind}: {trigger.cause}")
    )
    return replace(found, closes_breaker=closes)


def _breaker(state: State, policy: Policy) -> Decision | None:
    if not breaker_open(state, policy):
        return None
    return Decision(
        Action.SUPPRESS, Code.BREAKER_OPEN,
        f"the last {state.in_vain} attempts led to no promoted version; a person must look at them"
        " and reset the breaker",
    )  # fmt: skip


def _flight(trigger: Trigger, state: State) -> Decision | None:
    flight = state.flight
    if flight is not None and flight.cause == trigger.cause:
        return Decision(Action.SUPPRESS, Code.SAME_CAUSE, f"{flight.id} is the answer to it")
    if trigger.kind is not Kind.MANUAL and state.served == trigger.cause:
        return Decision(Action.SUPPRESS, Code.SAME_CAUSE, "a promoted version has answered it")
    if flight is not None:
        return Decision(Action.WAIT, Code.IN_FLIGHT, f"{flight.id} is under way")
    return None


def _rest(trigger: Trigger, state: State, policy: Policy, now_s: float) -> Decision | None:
    stands = trigger.since_s + policy.debounce_s
    if trigger.kind is not Kind.SCHEDULE and now_s < stands:
        return Decision(
            Action.WAIT, Code.DEBOUNCE,
            f"the alarm must stand for {policy.debounce_s:g} s", not_before_s=stands,
        )  # fmt: skip
    if state.ended_s is not None and now_s < state.ended_s + policy.cooldown_s:
        return Decision(
            Action.WAIT, Code.COOL_DOWN,
            f"{policy.cooldown_s:g} s must pass after the attempt before",
            not_before_s=state.ended_s + policy.cooldown_s,
        )  # fmt: skip
    return None


def _day(trigger: Trigger, state: State, policy: Policy, now_s: float) -> Decision | None:
    today = _of_a_day(state.attempts, now_s)
    if len(today) >= policy.per_day:
        nth = today[len(today) - policy.per_day]
        return Decision(
            Action.WAIT, Code.STARTS_PER_DAY,
            f"{len(today)} starts in 24 hours, {policy.per_day} are allowed",
            not_before_s=nth.started_s + DAY_S,
        )  # fmt: skip
    budget = policy.budget_usd_per_day
    if budget is None:
        return None
    if trigger.expected_usd > budget:
        return Decision(
            Action.SUPPRESS, Code.BUDGET,
            f"one attempt costs about {trigger.expected_usd:.2f} USD, a day may cost {budget:.2f}",
        )  # fmt: skip
    spent = sum(attempt.usd for attempt in today)
    if spent + trigger.expected_usd <= budget:
        return None
    return Decision(
        Action.WAIT, Code.BUDGET,
        f"{spent:.2f} of {budget:.2f} USD are spent, an attempt costs about"
        f" {trigger.expected_usd:.2f}",
        not_before_s=_affordable_s(today, trigger.expected_usd, budget),
    )  # fmt: skip


def _affordable_s(today: tuple[Attempt, ...], expected: float, budget: float) -> float:
    """Return when enough attempts are a day old for one more to be paid."""
    for place, attempt in enumerate(today):
        if sum(later.usd for later in today[place + 1 :]) + expected <= budget:
            return attempt.started_s + DAY_S
    raise AssertionError("an attempt that no day can pay was suppressed before")


def _data(state: State, policy: Policy, labelled_rows: int) -> Decision | None:
    lacking = policy.minimum_new_rows - (labelled_rows - state.rows_used)
    if lacking <= 0:
        return None
    return Decision(
        Action.WAIT, Code.DATA,
        f"{labelled_rows - state.rows_used} new labelled rows since the last attempt,"
        f" {policy.minimum_new_rows} are needed",
        needs_rows=lacking,
    )  # fmt: skip


def _of_a_day(attempts: tuple[Attempt, ...], now_s: float) -> tuple[Attempt, ...]:
    return tuple(attempt for attempt in attempts if attempt.started_s > now_s - DAY_S)


def started(
    state: State, trigger: Trigger, decision: Decision, attempt_id: str,
    *, now_s: float, labelled_rows: int,
) -> State:  # fmt: skip
    """Return the state after an attempt began, as decided.

    Raises:
        ValueError: The decision was not to start, or an attempt is in flight.
    """
    if decision.action is not Action.START or state.flight is not None:
        raise ValueError(f"no attempt may begin: {decision.reason}")
    flight = Attempt(attempt_id, trigger.cause, now_s, trigger.expected_usd)
    return replace(
        state,
        flight=flight,
        attempts=(*_of_a_day(state.attempts, now_s), flight),
        rows_used=labelled_rows,
        in_vain=0 if decision.closes_breaker else state.in_vain,
        in_vain_causes=() if decision.closes_breaker else state.in_vain_causes,
    )


def ended(
    state: State, attempt_id: str, outcome: Outcome, *, now_s: float, usd: float | None = None
) -> State:
    """Return the state after an attempt came to its outcome; one that is not in flight is no news.

    Args:
        state: What is remembered.
        attempt_id: As it was started.
        outcome: What it led to. An approval that waits keeps the attempt in flight.
        now_s: Seconds since the epoch.
        usd: What it did cost, where that is known.
    """
    flight = state.flight
    if flight is None or flight.id != attempt_id:
        return state
    cost = flight.usd if usd is None else usd
    after = replace(
        state,
        flight=None,
        ended_s=now_s,
        attempts=tuple(
            replace(attempt, usd=cost) if attempt.id == attempt_id else attempt
            for attempt in state.attempts
        ),
    )
    if outcome is Outcome.SUPERSEDED:
        return after
    if outcome in IN_VAIN:
        causes = (*state.in_vain_causes, flight.cause)
        return replace(after, in_vain=state.in_vain + 1, in_vain_causes=causes)
    return replace(after, in_vain=0, in_vain_causes=(), served=flight.cause)


def reset(state: State) -> State:
    """Return the state after a person looked at what was in vain and allows more attempts."""
    return replace(state, in_vain=0, in_vain_causes=(), served=None)
