"""The alarm over time on labelled predictions: of the declared loss, and of further metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from steward.domain.monitoring.declaration import Labels
from steward.domain.monitoring.labelled_rows import LabelledWindow
from steward.domain.monitoring.looks import AlarmState
from steward.domain.monitoring.metric_estimates import measured
from steward.domain.monitoring.performance_alarm import (
    AlarmPlan,
    BoundedLoss,
    Told,
    alarm_plan,
    evidence,
    look,
)
from steward.domain.monitoring.performance_alarm import AlarmState as Fortunes
from steward.domain.monitoring.performance_statistics import Classification, Regression
from steward.ports import Item

ALPHA = 0.05
"""Probability of a false alarm in 336 looks, of all metrics together."""

_LOSSES: dict[str, BoundedLoss] = {
    "brier": "brier", "log_loss": "log_loss", "accuracy": "zero_one", "mae": "absolute_error",
}  # fmt: skip


@dataclass(frozen=True)
class Alarm:
    """What the alarm says at a look.

    Attributes:
        memory: What the next look goes on from.
        recorded: What the look's record keeps: plan and state of each metric, and which of them
            alarm.
    """

    state: AlarmState
    sentence: str
    memory: Item = field(default_factory=dict)
    recorded: Item = field(default_factory=dict)


def own_memory(before: dict[str, Any] | None, version: int) -> dict[str, Any]:
    """Return what the look before kept, where it is of this version."""
    return before if before is not None and before.get("version") == version else {}


def performance_alarm(
    declared: Labels,
    held_out: Classification | Regression,
    rows: Classification | Regression | None,
    trailing: Sequence[LabelledWindow],
    before: dict[str, Any],
) -> Alarm:
    """Return what the loss and the further metrics say over time, each with its own evidence.

    Each has an equal share of ``ALPHA`` (Bonferroni).

    Args:
        declared: Metrics and margins.
        held_out: The baseline's rows.
        rows: Those whose time for labels ends with this look.
        trailing: Labelled windows that figures are of.
        before: What the look before kept of this version.
    """
    asked: dict[str, tuple[Told, float]] = {
        declared.metric: (
            _LOSSES[declared.metric],
            declared.margin_of(measured(held_out, declared.metric).value or 0.0),
        )
    }
    asked |= {metric: (metric, margin) for metric, margin in declared.further.items()}
    further = dict(before.get("further") or {})
    plans: dict[str, AlarmPlan | str] = {}
    states: dict[str, Fortunes] = {}
    for metric, (loss, margin) in asked.items():
        kept = before.get("state") if metric == declared.metric else further.get(metric)
        states[metric] = Fortunes.from_dict(kept) if kept else Fortunes()
        try:
            plan = alarm_plan(loss, held_out, margin=margin, alpha=ALPHA / len(asked))
        except ValueError as error:
            plans[metric] = str(error)
            continue
        plans[metric] = plan
        states[metric] = look(states[metric], plan, rows)
    state, sentence, raised = _said(declared, plans, states, trailing)
    recorded = _record(declared, plans, states, raised)
    return Alarm(state, sentence, _memory(declared, states), recorded)


def _memory(declared: Labels, states: dict[str, Fortunes]) -> Item:
    plain = {metric: state.as_dict() for metric, state in states.items()}
    return {"state": plain.pop(declared.metric), "further": plain}


def _record(
    declared: Labels,
    plans: dict[str, AlarmPlan | str],
    states: dict[str, Fortunes],
    raised: list[str],
) -> Item:
    parts = {
        metric: {
            "plan": {"loss": plan.loss, "bound": plan.bound, "horizon": plan.horizon,
                     "alpha": plan.alpha}
            if isinstance(plan, AlarmPlan)
            else None,
            "state": states[metric].as_dict(),
        }
        for metric, plan in plans.items()
    }  # fmt: skip
    own = parts.pop(declared.metric)
    return {**own, "further": parts, "raised": raised}


def _said(
    declared: Labels,
    plans: dict[str, AlarmPlan | str],
    states: dict[str, Fortunes],
    trailing: Sequence[LabelledWindow],
) -> tuple[AlarmState, str, list[str]]:
    usable = {name: plan for name, plan in plans.items() if isinstance(plan, AlarmPlan)}
    raised = [name for name in usable if states[name].since is not None]
    if raised:
        told = " ".join(_above(usable[name]) for name in raised)
        horizon = usable[raised[0]].horizon
        return "alarm", f"{told} (false alarms: {ALPHA:g} in {horizon} looks).", raised
    if not usable:
        return "inconclusive", f"No alarm can be raised: {plans[declared.metric]}.", []
    labelled = sum(one.rows.n for one in trailing if one.rows is not None)
    if labelled < declared.minimum:
        told = f"{labelled} labels are too few to judge; needs n = {declared.minimum}."
        return "inconclusive", told, []
    clear = [
        f"{_named(plan)} above {plan.bound:.3f} (log evidence {evidence(states[name], plan):.1f})"
        for name, plan in usable.items()
    ]
    cannot = [f" Of {name} no alarm can be raised: {why}." for name, why in plans.items()
              if isinstance(why, str)]  # fmt: skip
    return "ok", f"Nothing shows {', '.join(clear)}.{''.join(cannot)}", []


def _named(plan: AlarmPlan) -> str:
    mean = plan.loss in _LOSSES.values()
    return f"a mean {plan.loss}" if mean else f"1 - {plan.loss}"


def _above(plan: AlarmPlan) -> str:
    named = _named(plan).removeprefix("a ")
    return f"{'The ' if named.startswith('mean') else ''}{named} is above {plan.bound:.3f}."
