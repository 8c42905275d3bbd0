"""What follows a judgement: a pure function of the plan, the verdict and the time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from steward.domain.strategies.plan import Plan

Final = Literal["promote", "continue", "hold", "stop_futile", "roll_back", "inconclusive"]
Next = Literal["shift", "complete", "hold", "wait", "roll_back", "withdraw", "end"]


@dataclass(frozen=True)
class Standing:
    """Where a release stands when it is judged.

    Attributes:
        index: Its step.
        holds: Times that the step was prolonged.
        due: Whether the bake, or the planned end with its holds, is over.
        batch_over: Whether a bandit's batch is over.
        first: Whether there is no version to go back to.
    """

    index: int
    holds: int
    due: bool
    batch_over: bool = False
    first: bool = False


@dataclass(frozen=True)
class Following:
    """What is done next, at which step, after how many holds of it."""

    next: Next
    index: int
    holds: int


def following(plan: Plan, standing: Standing, verdict: Final) -> Following:
    """Return what a verdict leads to.

    Harm goes back at once, and a promotion or futility of an experiment ends it at once; a step
    of a ramp and shadow traffic last until they are due. What ends with nothing proved ends
    without promotion, and so does shadow traffic that nothing follows.
    """
    step = plan.steps[standing.index]
    stay = (standing.index, standing.holds)
    if verdict == "roll_back":
        return Following("withdraw" if standing.first else "roll_back", *stay)
    if step.phase in ("ab_test", "bandit"):
        return _of_experiment(standing, verdict)
    if not standing.due:
        return Following("wait", *stay)
    if verdict == "hold":
        return Following("wait" if plan.ticked else "hold", standing.index, standing.holds + 1)
    proved_nothing = verdict in ("stop_futile", "inconclusive")
    if not proved_nothing and standing.index + 1 < len(plan.steps):
        return Following("shift", standing.index + 1, 0)
    ends = proved_nothing or step.phase == "shadow"
    return Following("end" if ends else "complete", *stay)


def _of_experiment(standing: Standing, verdict: Final) -> Following:
    stay = (standing.index, standing.holds)
    if verdict == "promote":
        return Following("complete", *stay)
    if verdict in ("stop_futile", "inconclusive"):
        return Following("end", *stay)
    if standing.due and verdict == "hold":
        return Following("wait", standing.index, standing.holds + 1)
    return Following("shift" if standing.batch_over else "wait", *stay)
