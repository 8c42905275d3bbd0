"""An experiment in the terminal: shares, entities, intervals over time, guardrails, verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from steward_cli.console import PlainTable, shortened, state_text, table
from steward_cli.experiment_series import (
    PHASES,
    Budget,
    MetricSeries,
    Point,
    arm_units,
    budgets,
    metric_series,
    mismatch_series,
    waited_for,
)
from steward_cli.experiments import Experiment, Judged
from steward_cli.terminal_chart import Column, bar, interval_chart

HISTORY = 8
LIVE_HISTORY = 3
_TONES = {
    "promote": "green", "roll_back": "red", "inconclusive": "yellow", "stop_futile": "yellow",
    "hold": "yellow",
}  # fmt: skip


def screen(
    experiment: Experiment, width: int, history: int = HISTORY, *, live: bool = False
) -> RenderableType:
    """Return the whole picture for a terminal of a width; the same for a file.

    Args:
        experiment: What the record says.
        width: In characters.
        history: Most verdicts to list, the newest; 0 for all.
        live: Whether it is drawn again and again, so that a terminal cuts what is too long: then
            what decides comes first, with the newest verdicts alone, and plots come last.
    """
    parts: list[RenderableType] = [_head(experiment), _shares(experiment)]
    if units := arm_units(experiment):
        rows = [(u.arm, u.version, u.exposed, min(u.matured.values(), default=0)) for u in units]
        parts += [Text(), table(("arm", "version", "entities", "matured"), rows)]
    plots: list[RenderableType] = []
    for series in metric_series(experiment):
        plots += [Text(), _metric_title(series), _chart(series, width)]
    waiting: list[RenderableType] = []
    if waits := waited_for(experiment):
        waiting = [Text(), Text("waiting for", style="bold"), *(Text(f"  {w}") for w in waits)]
    evidence = [*_guardrails(experiment), *_mismatch(experiment)]
    if live:
        newest = _verdicts(experiment, min(history or LIVE_HISTORY, LIVE_HISTORY))
        return Group(*parts, *waiting, *evidence, *newest, *plots)
    return Group(*parts, *plots, *evidence, *_verdicts(experiment, history), *waiting)


def _head(experiment: Experiment) -> Text:
    head = experiment.head
    against = head.get("stable_version")
    line = Text.assemble(
        (experiment.name, "bold"),
        f"  {str(head['strategy']).replace('_', ' ')}, version {head['version']}"
        f"{f' beside {against}' if against else ''}, ",
        state_text(head["status"]),
        f"; began {_minute(head.get('started_at'))}",
    )
    if head.get("ended_at"):
        line.append(f", ended {_minute(head['ended_at'])}")
    status = experiment.release.get("status")
    if status and not experiment.running:
        line.append_text(Text.assemble(": ", state_text(status)))
    return line


def _shares(experiment: Experiment) -> Text:
    shares = experiment.shares_now()
    told = ", ".join(
        f"v{version} {share:g} %" for version, share in sorted(shares.items()) if share
    )
    phase = str(experiment.head.get("phase") or "")
    step = experiment.head.get("step_id") or experiment.release.get("step_id") or ""
    label = "now" if experiment.running else "since its end"
    where = f", {PHASES.get(phase, phase)}, step {step}" if experiment.running else ""
    return Text(f"{label}: {told or 'nothing answers'}{where}")


def _metric_title(series: MetricSeries) -> Text:
    last = series.last
    line = Text.assemble(
        (series.metric.name, "bold"),
        f" ({PHASES.get(series.phase, series.phase)}, {roles(series)})  ",
    )
    if last.estimate is None or last.lower is None or last.upper is None:
        return line.append(f"no interval yet: {last.waits_for or 'no matured entity'}", "dim")
    style = {"good": "green", "bad": "red"}.get(series.tone(last), "")
    line.append(f"{last.estimate:+.4g} ({last.lower:+.4g} to {last.upper:+.4g})", style)
    return line.append(f"  {series.confidence:.4g} {series.guarantee}, n {last.n}", "dim")


def roles(series: MetricSeries) -> str:
    """Return what a metric is for: goal, guardrail with its margin, or both."""
    said = ["goal"] if series.goal else []
    if series.guardrail:
        rail = series.guardrail
        proof = rail.must_prove.replace("_", "-")
        said.append(f"guardrail, margin {rail.margin:g}, must prove {proof}")
    direction = "higher" if series.metric.higher_is_better else "lower"
    return f"{' and '.join(said)}; {direction} is better"


def columns_of(series: MetricSeries) -> list[Column]:
    """Return what a chart of text draws of a metric."""
    return [Column(p.estimate, p.lower, p.upper, series.tone(p)) for p in series.points]


def _chart(series: MetricSeries, width: int) -> Text:
    lines = [line for line in (series.harm_at, series.worth_at) if line]
    chart = interval_chart(columns_of(series), width, lines)
    first, last = series.points[0], series.points[-1]
    told = f"{'':>10}└ {_when(first)} to {_when(last)}, {len(series.points)} verdicts"
    return chart.append("\n" + told, "dim")


def _guardrails(experiment: Experiment) -> list[RenderableType]:
    newest = _newest(experiment)
    if newest is None or newest.plan is None or newest.verdict is None:
        return []
    rows = budgets(newest.plan, newest.verdict.numbers)
    if not rows:
        return []
    grid = PlainTable(box=None, pad_edge=False, show_header=False)
    for row in rows:
        grid.add_row(*_budget(row))
    title = Text("guardrails", style="bold").append(
        "  log e-value seen of the one that decides", "dim"
    )
    return [Text(), title, grid]


def _budget(row: Budget) -> tuple[RenderableType, ...]:
    means = "harm" if row.harm else "no harm"
    reached = ("red" if row.harm else "green") if row.reached else "cyan"
    verdict = ("stops" if row.harm else "proved") if row.reached else ""
    return (
        Text(row.name), Text(means, "dim"), bar(row.share, style=reached),
        Text(f"{row.log_e:6.2f} of {row.needs:.2f}"), Text(verdict, reached),
    )  # fmt: skip


def _mismatch(experiment: Experiment) -> list[RenderableType]:
    series = mismatch_series(experiment)
    if not series:
        return []
    last = series[-1]
    _, log_e, n = last.points[-1]
    seen = max(log_e, 0.0) / last.needs if last.needs else 0.0
    off = last.state == "mismatch"
    told = f"{last.state}: no figure can be trusted" if off else last.state
    line = Text.assemble(
        ("sample ratio  ", "bold"), bar(seen, style="red" if off else "cyan"),
        f" {log_e:.2f} of {last.needs:.2f}  ", (told, "red" if off else "dim"),
        (f", {n} first exposures", "dim"),
    )  # fmt: skip
    return [Text(), line]


def _verdicts(experiment: Experiment, most: int) -> list[RenderableType]:
    if not experiment.judged:
        return []
    shown = runs_of(experiment.judged)
    kept = shown[-most:] if most else shown
    grid = PlainTable(box=None, pad_edge=False, header_style="bold")
    for name in ("#", "at", "step", "verdict"):
        grid.add_column(name, no_wrap=True)
    grid.add_column("reason", overflow="fold")
    for run in kept:
        last = run[-1]
        grid.add_row(
            _numbers(run), _minute(last.item["at"]), last.step_id,
            Text(last.word.replace("_", " "), _TONES.get(last.word, "")),
            Text(shortened(last.reason, 400)),
        )  # fmt: skip
    earlier = len(shown) - len(kept)
    more = [Text(f"({earlier} earlier; --all lists them)", "dim")] if earlier else []
    return [Text(), Text("verdicts", style="bold"), *more, grid]


def runs_of(judged: Sequence[Judged]) -> list[list[Judged]]:
    """Return verdicts in runs of the same word for the same step, each told by its newest."""
    runs: list[list[Judged]] = []
    for one in judged:
        last = runs[-1][-1] if runs else None
        if last is not None and (last.word, last.step_id) == (one.word, one.step_id):
            runs[-1].append(one)
        else:
            runs.append([one])
    return runs


def _numbers(run: Sequence[Judged]) -> str:
    first, last = run[0].number, run[-1].number
    return str(last) if first == last else f"{first}-{last}"


def _newest(experiment: Experiment) -> Judged | None:
    return next((j for j in reversed(experiment.judged) if j.plan and j.verdict), None)


def document(experiment: Experiment) -> dict[str, Any]:
    """Return the whole picture for scripts."""
    newest = _newest(experiment)
    return {
        "project": experiment.project,
        "release_id": experiment.release_id,
        "head": {name: value for name, value in experiment.head.items() if name != "plans"},
        "release_status": experiment.release.get("status"),
        "shares": experiment.shares_now(),
        "arms": [vars(units) for units in arm_units(experiment)],
        "metrics": [
            {
                "phase": series.phase,
                "name": series.metric.name,
                "goal": series.goal is not None,
                "guardrail": series.guardrail is not None,
                "method": series.method,
                "guarantee": series.guarantee,
                "confidence": series.confidence,
                "points": [{**vars(p), "at": p.at.isoformat()} for p in series.points],
            }
            for series in metric_series(experiment)
        ],
        "guardrails": [
            vars(row) | {"reached": row.reached}
            for row in (
                budgets(newest.plan, newest.verdict.numbers)
                if newest and newest.plan and newest.verdict
                else []
            )
        ],
        "sample_ratio": [
            {"phase": s.phase, "log_e": s.points[-1][1], "needs": s.needs, "n": s.points[-1][2]}
            for s in mismatch_series(experiment)
        ],
        "verdicts": [
            {"number": j.number, "at": j.item["at"], "phase": j.phase, "step_id": j.step_id,
             "verdict": j.word, "reason": j.reason, "digest": j.item["digest"],
             "uri": j.item["uri"]}
            for j in experiment.judged
        ],
        "cohorts": experiment.counts() | {"frozen": len(experiment.cohorts)},
        "waiting_for": waited_for(experiment),
    }  # fmt: skip


def summary(head: dict[str, Any]) -> tuple[Any, ...]:
    """Return an experiment as a row of a list."""
    return (
        f"{head['project']}/{head['item']}", head["version"], head.get("stable_version") or "",
        head["strategy"], head["status"], head.get("verdicts") or 0, head.get("started_at"),
        shortened(head.get("outcome"), 60),
    )  # fmt: skip


def _when(point: Point) -> str:
    return point.at.strftime("%m-%d %H:%M")


def _minute(text: object) -> str:
    return str(text or "")[:16].replace("T", " ")
