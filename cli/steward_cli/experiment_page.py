"""The report of an experiment as one HTML page: no script, nothing from elsewhere."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from steward.domain.experiments.plan import ExperimentPlan
from steward_cli import time_charts
from steward_cli.charts import responsive
from steward_cli.experiment_series import (
    PHASES,
    Evidence,
    MetricSeries,
    Point,
    arm_units,
    budgets,
    by_phase,
    duration,
    metric_series,
    mismatch_series,
    waited_for,
)
from steward_cli.experiment_text import roles, runs_of
from steward_cli.experiments import Experiment, Judged

COUNTS = {
    "requests": "Captured requests of the entities in frozen cohorts.",
    "repeated": "The same inference id captured again; it counts once.",
    "other_arm": "Entities seen in another arm later; they count in their first.",
    "outcomes": "First outcomes within the attribution window.",
    "repeated_outcomes": "Further outcomes of the same request; the first one wins.",
    "unknown_outcomes": "Outcomes of requests or entities that were never exposed.",
    "late_outcomes": "Outcomes after the window; reported, never counted.",
    "unusable_values": "NaN, infinite, or an expression that failed.",
}
_VERDICTS = {
    "promote": ("good", "The candidate has proved what it must."),
    "continue": ("", "Go on as planned."),
    "hold": ("warn", "Stay at the present shares."),
    "stop_futile": ("warn", "No worthwhile improvement is possible any more."),
    "roll_back": ("bad", "Harm is proved."),
    "inconclusive": ("warn", "The end or the cap is reached with nothing proved."),
}
_STATES = {"mismatch": "bad", "as intended": "good", "nothing captured yet": "soft"}
_STATUS = {"completed": "good", "rolled_back": "bad", "failed": "bad", "not_promoted": "warn"}


def page(experiment: Experiment, made_at: datetime) -> str:
    """Return the page.

    Args:
        experiment: What the record says.
        made_at: When the page is made; a running experiment's shares last until then.
    """
    environment = Environment(
        loader=PackageLoader("steward_cli"),
        autoescape=select_autoescape(["html", "j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    phases = by_phase(experiment)
    return environment.get_template("experiment.html.j2").render(
        experiment=experiment,
        head=experiment.head,
        made_at=made_at.strftime("%Y-%m-%d %H:%M UTC"),
        lead=_lead(experiment),
        tiles=_tiles(experiment),
        shares_chart=_shares(experiment, made_at),
        metrics=[_metric(series) for series in metric_series(experiment)],
        mismatches=_mismatches(experiment),
        budgets=[_budgets(judged[-1]) for judged in phases.values()],
        units=arm_units(experiment),
        cohorts=len(experiment.cohorts),
        counts=[
            (name.replace("_", " "), experiment.counts().get(name, 0), definition)
            for name, definition in COUNTS.items()
        ],
        waits=waited_for(experiment),
        verdicts=[_verdict(run) for run in runs_of(experiment.judged)],
        plans=[
            _plan(phase, judged[-1].plan, experiment)
            for phase, judged in phases.items()
            if judged[-1].plan
        ],
        steps=(experiment.release.get("plan") or {}).get("steps") or [],
        phases=PHASES,
        duration=duration,
    )


def _lead(experiment: Experiment) -> str:
    head = experiment.head
    beside = head.get("stable_version")
    against = f" beside version {beside}" if beside else ""
    strategy = str(head["strategy"]).replace("_", " ")
    began = _minute(head.get("started_at"))
    over = f" to {_minute(head['ended_at'])}" if head.get("ended_at") else ", and it goes on"
    return (
        f"Version {head['version']}{against}, {strategy} by {head['router']}, from {began}{over}."
    )


def _tiles(experiment: Experiment) -> list[dict[str, str]]:
    last = experiment.judged[-1] if experiment.judged else None
    tone, meaning = _VERDICTS.get(last.word if last else "", ("", "Nobody has looked yet."))
    status = str(experiment.release.get("status") or experiment.head["status"])
    units = arm_units(experiment)
    exposed = sum(arm.exposed for arm in units)
    matured = min((min(arm.matured.values(), default=0) for arm in units), default=0)
    ratio = next(iter(reversed(mismatch_series(experiment))), None)
    decides = f"decides at {ratio.needs:.2f}" if ratio else "no exposures yet"
    return [
        _tile(last.word.replace("_", " ") if last else "none", "last verdict", meaning, tone),
        _tile(status.replace("_", " "), "release", "Status of the release.",
              _STATUS.get(status, "")),
        _tile(f"{exposed:,}", "entities", "First exposures in the newest phase, both versions "
              "together."),
        _tile(f"{matured:,}", "matured, smaller arm",
              "Entities whose attribution window has closed, of the arm and metric with fewest."),
        _tile(f"{len(experiment.judged):,}", "verdicts",
              "Judgements; every error rate holds over all of them together."),
        _tile(f"{ratio.points[-1][1]:.2f}" if ratio else "none", "sample ratio, log e",
              f"Evidence that exposures are not split as intended; {decides}.",
              _STATES[ratio.state] if ratio else ""),
    ]  # fmt: skip


def _tile(value: str, label: str, definition: str, tone: str = "") -> dict[str, str]:
    return {"value": value, "label": label, "definition": definition, "tone": tone}


def _shares(experiment: Experiment, made_at: datetime) -> str:
    if not experiment.changes:
        return ""
    moments = [
        (change.at.timestamp(), {f"version {v}": s for v, s in change.shares.items()})
        for change in experiment.changes
    ]
    before = experiment.head.get("stable_version")
    span = _end(experiment, made_at) - moments[0][0]
    if before:
        moments.insert(0, (moments[0][0] - span * 0.05, {f"version {before}": 100.0}))
    marks = [
        (change.at.timestamp(),
         "copies, unseen" if change.mirrored else change.kind.replace("_", " "))
        for change in experiment.changes
        if change.kind != "step" or change.mirrored
    ]  # fmt: skip
    end = _end(experiment, made_at) + (span * 0.05 if not experiment.running else 0)
    return responsive(lambda width: time_charts.share_steps(moments, end, marks, width=width))


def _end(experiment: Experiment, made_at: datetime) -> float:
    last = experiment.changes[-1].at.timestamp()
    if experiment.running:
        looked = experiment.judged[-1].at.timestamp() if experiment.judged else last
        return max(last, looked, min(made_at.timestamp(), looked + experiment.tick_s))
    ended = datetime.fromisoformat(str(experiment.head["ended_at"])).timestamp()
    return max(last, ended)


def _metric(series: MetricSeries) -> dict[str, Any]:
    lines = []
    if series.harm_at:
        lines.append(time_charts.Line(series.harm_at, "margin", "need"))
    if series.worth_at:
        lines.append(time_charts.Line(series.worth_at, "smallest effect", "worth"))
    bands = [
        time_charts.Band(p.at.timestamp(), p.estimate, p.lower, p.upper, _hover(series, p))
        for p in series.points
    ]
    last, tone = series.last, series.tone(series.last)
    title = f"{series.metric.name}: candidate minus stable over the verdicts"
    chart = responsive(lambda width: time_charts.confidence_band(bands, title, lines, tone, width))
    proves = {"good": "proved better", "bad": "proved worse"}.get(tone, "includes no difference")
    return {
        "name": series.metric.name,
        "phase": PHASES.get(series.phase, series.phase),
        "roles": roles(series),
        "tone": tone,
        "latest": _figures(last),
        "proves": proves if last.lower is not None else f"waits for {last.waits_for or 'entities'}",
        "n": last.n,
        "definition": series.definition,
        "chart": chart,
    }


def _figures(point: Point) -> str:
    if point.estimate is None or point.lower is None or point.upper is None:
        return "no interval yet"
    return f"{point.estimate:+.4g} ({point.lower:+.4g} to {point.upper:+.4g})"


def _hover(series: MetricSeries, point: Point) -> str:
    waits = f", waits for {point.waits_for}" if point.waits_for else ""
    return (
        f"verdict {point.number}, {point.at:%Y-%m-%d %H:%M UTC}: {_figures(point)}, "
        f"{series.confidence:.4g} confidence, n {point.n}{waits}"
    )


def _mismatches(experiment: Experiment) -> list[dict[str, Any]]:
    return [
        {
            "phase": PHASES.get(series.phase, series.phase),
            "chart": responsive(partial(_mismatch_chart, series)),
            "log_e": f"{series.points[-1][1]:.2f}",
            "needs": f"{series.needs:.2f}",
            "n": series.points[-1][2],
            "state": series.state,
            "tone": _STATES[series.state],
        }
        for series in mismatch_series(experiment)
    ]


def _mismatch_chart(series: Evidence, width: float) -> str:
    points = [
        (at.timestamp(), value, f"{at:%Y-%m-%d %H:%M UTC}: log e-value {value:.3f} over "
         f"{n} first exposures")
        for at, value, n in series.points
    ]  # fmt: skip
    title = f"Evidence of a sample-ratio mismatch, {PHASES.get(series.phase, series.phase)}"
    return time_charts.evidence_line(points, series.needs, title, "mismatch", width)


def _budgets(judged: Judged) -> dict[str, Any]:
    plan, verdict = judged.plan, judged.verdict
    rows = budgets(plan, verdict.numbers) if plan and verdict else []
    bars = [
        time_charts.Need(
            label=f"{row.name}: {'harm' if row.harm else 'no harm'}",
            seen=row.log_e,
            needs=row.needs,
            kind=("bad" if row.harm else "good") if row.reached else "",
            hover=f"{row.name}: log e-value {row.log_e:.3f} of {row.needs:.3f} that the candidate "
            + (f"is worse by more than {row.margin:g}" if row.harm
               else f"is at most {row.margin:g} worse"),
        )
        for row in rows
    ]  # fmt: skip
    title = "Guardrails: evidence seen of the evidence that decides"
    return {
        "phase": PHASES.get(judged.phase, judged.phase),
        "budget": f"{plan.rollback_budget:g}" if plan else "",
        "chart": responsive(lambda width: time_charts.need_bars(bars, title, width)),
        "rows": [row for row in rows if row.harm],
        "alphas": {row.name: f"{row.weight * (plan.rollback_budget if plan else 0):.3g}"
                   for row in rows},
    }  # fmt: skip


def _verdict(run: list[Judged]) -> dict[str, Any]:
    first, last = run[0], run[-1]
    tone, meaning = _VERDICTS.get(last.word, ("", ""))
    return {
        "numbers": str(last.number) if first is last else f"{first.number} to {last.number}",
        "at": _minute(last.item["at"]),
        "step": last.step_id,
        "word": last.word.replace("_", " "),
        "tone": tone,
        "meaning": meaning,
        "next": str(last.item.get("next") or "").replace("_", " "),
        "reason": last.reason,
        "digest": str(last.item["digest"]),
        "uri": str(last.item["uri"]),
    }


def _plan(phase: str, plan: ExperimentPlan | None, experiment: Experiment) -> dict[str, Any]:
    assert plan is not None
    goals = {goal.metric.name: goal for goal in plan.goals}
    rails = {rail.metric.name: rail for rail in plan.guardrails}
    recorded = (experiment.head.get("plan_digests") or {}).get(phase)
    return {
        "phase": PHASES.get(phase, phase),
        "digest": plan.digest,
        "recorded": recorded == plan.digest,
        "facts": [
            ("alpha of the goals", f"{plan.alpha:g}", "Chance that a goal without effect is ever "
             "proved improved, over all looks; two-sided."),
            ("rollback budget", f"{plan.rollback_budget:g}", "Chance that the guardrails ever "
             "stop a version within its margins, over all looks and steps."),
            ("sample-ratio alpha", f"{plan.mismatch_alpha:g}", "Chance that a sound experiment is "
             "ever held for its sample ratio."),
            ("minimum entities", f"{plan.minimum_units:,}", "Matured entities in each arm before "
             "anything advances."),
            ("most holds", str(plan.max_holds), "Times that a step may be prolonged."),
        ],
        "metrics": [
            {
                "name": name,
                "kind": metric.kind,
                "better": "higher" if metric.higher_is_better else "lower",
                "goal": "yes" if name in goals else "",
                "smallest": _plain(goals[name].smallest_effect) if name in goals else "",
                "margin": _plain(rails[name].margin) if name in rails else "",
                "proves": rails[name].must_prove.replace("_", " ") if name in rails else "",
                "weight": f"{rails[name].weight:.3g}" if name in rails else "",
            }
            for name, metric in {metric.name: metric for metric in plan.metrics}.items()
        ],
    }  # fmt: skip


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _minute(text: object) -> str:
    return f"{str(text or '')[:16].replace('T', ' ')} UTC"
