"""The report of monitoring as one HTML page: no script, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from steward.domain.monitoring.baseline import Baseline
from steward.domain.monitoring.counts import Counts
from steward.domain.monitoring.looks import KINDS, ColumnLook, Look, PerformanceLook
from steward_cli.charts import responsive
from steward_cli.monitor_charts import column_chart, horizon_chart, strip
from steward_cli.monitoring import Watched, minute, seconds
from steward_cli.time_charts import Band, Line, confidence_band

TONES = {
    "ok": "good", "same": "good", "no_drift": "good", "held": "good", "alarm": "bad",
    "changed": "bad", "drift": "bad", "worse": "bad", "drifted": "bad", "no_data": "warn",
    "inconclusive": "warn",
}  # fmt: skip
STATES = {
    "ok": "Nothing is wrong, as far as the rows can tell.",
    "alarm": "It is proved over time, and larger than the declared smallest effect.",
    "inconclusive": "Too few rows to tell.",
    "no_data": "Nothing came; that is a state of its own and not a good one.",
    "off": "Not watched, as declared or for want of a baseline.",
}
ALARMS = {
    "drift": "Features and predictions are not what the version was trained on, over trailing"
    " sums of windows. False alarms: at most the declared alpha within 336 looks.",
    "performance": "Labelled predictions are worse than on held-out rows by more than the margin.",
    "bias": "A group is treated otherwise than on held-out rows by more than the margin.",
    "attribution": "The version leans on other features than on held-out rows: mean absolute"
    " Shapley values over their sum. False alarms: at most the declared alpha within 336 windows.",
    "no_data": "A version serves and nothing was captured for longer than the project allows.",
}
FIGURES = {
    "psi": ("PSI", "Population stability index: sum of (p - q) ln(p / q) over the bins."),
    "jensen_shannon": ("Jensen-Shannon", "Distance: root of the divergence, logarithms to base 2."),
    "hellinger": ("Hellinger", "Root of half the sum of (sqrt p - sqrt q) squared; 0 to 1."),
    "total_variation": ("total variation", "Half the sum of |p - q|: the share that moved."),
    "l_infinity": ("L-infinity", "The largest |p - q| of any bin."),
    "kolmogorov_smirnov": ("KS", "Largest distance of the two distribution functions."),
    "wasserstein": ("Wasserstein", "Area between the two distribution functions, in the unit of"
                    " the column."),
    "auc": ("AUC", "Chance that a row of now is above a row of the baseline; 0.5 is no shift."),
    "chi_square": ("chi-square", "Pearson's statistic on merged bins."),
}  # fmt: skip
CAPTURED = {
    "rows": "Rows of the version that is judged.",
    "entities": "Distinct entities among them; an estimate above the sample's limit.",
    "duplicates": "Lines whose inference id was there before; they count once.",
    "late": "Rows that came after the window was first judged.",
    "other versions": "Rows that other versions answered.",
    "quarantined": "Rows that could not be counted, kept with a report.",
}


def page(watched: Watched, counts: dict[str, Counts], made_at: datetime) -> str:
    """Return the page of the newest of the looks that are given.

    Args:
        watched: What is known of the project; with at least one look.
        counts: Of the newest window, by column; empty where nothing was counted.
        made_at: When the page is made.
    """
    look = watched.newest
    assert look is not None
    environment = Environment(
        loader=PackageLoader("steward_cli"),
        autoescape=select_autoescape(["html", "j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    performance = look.performance
    return environment.get_template("monitor.html.j2").render(
        look=look,
        made_at=made_at.strftime("%Y-%m-%d %H:%M UTC"),
        window=f"{minute(look.window)} to {minute(look.ends)} UTC",
        tones=TONES,
        states=STATES,
        alarms=_alarms(watched, look),
        tiles=_tiles(look),
        rows_chart=responsive(partial(strip, watched.records)),
        horizons_chart=responsive(partial(horizon_chart, watched.records)),
        columns=_columns(look, watched.baseline, counts),
        captured=_captured(look),
        performance=performance,
        performance_charts=_performance_charts(watched.records),
        coverage=_share(performance.coverage) if performance else "",
        transitions=_transitions(watched.records),
        settings=_settings(look),
        missing_baseline=look.baseline is None,
        figure=_figure,
    )


def _tiles(look: Look) -> list[dict[str, str]]:
    window = look.window_verdict
    verdict = window.verdict if window is not None else "off"
    drift = look.drift.state
    changed = len(window.changed) if window is not None else 0
    many = f"{changed} of {len(window.columns)}" if window is not None else "-"
    return [
        _tile("this window", verdict.replace("_", " "), TONES.get(verdict, ""),
              "On this window alone: one p-value a column, adjusted over columns."),
        _tile("alarm over time", drift.replace("_", " "), TONES.get(drift, ""), ALARMS["drift"]),
        _tile("columns that changed", many, "bad" if changed else "",
              "Adjusted p-value below the level and effect above the floor."),
        _tile("rows", f"{look.captured.rows:,}", "", CAPTURED["rows"]),
        _tile("version", f"v{look.version}" if look.version else "-", "",
              "Whose traffic is judged: the stable one's."),
    ]  # fmt: skip


def _tile(label: str, value: str, tone: str, definition: str) -> dict[str, str]:
    return {"label": label, "value": value, "tone": tone, "definition": definition}


def _alarms(watched: Watched, look: Look) -> list[dict[str, str]]:
    sentences: dict[str, str] = {"drift": look.drift.sentence, "no_data": look.no_data.sentence}
    if look.performance is not None:
        sentences["performance"] = look.performance.sentence
    if look.attribution is not None:
        sentences["attribution"] = look.attribution.sentence
    found = []
    for kind in KINDS:
        item = watched.alarms.get(kind, {})
        state = look.alarms.get(kind, "off")
        since = str(item.get("since", "")) if item.get("state") == state else ""
        found.append(
            {
                "kind": kind.replace("_", " "),
                "definition": ALARMS[kind],
                "state": state.replace("_", " "),
                "tone": TONES.get(state, "soft"),
                "meaning": STATES[state],
                "since": minute(since) if since else "",
                "sentence": sentences.get(kind, ""),
            }
        )
    return found


def _columns(
    look: Look, baseline: Baseline | None, counts: dict[str, Counts]
) -> list[dict[str, Any]]:
    """Return the columns: those that changed first, then by weight for the model."""
    if look.window_verdict is None:
        return []
    weights = baseline.attribution.mean_absolute if baseline and baseline.attribution else {}
    order = {"changed": 0, "inconclusive": 1, "same": 2}
    ranked = sorted(
        look.window_verdict.columns,
        key=lambda column: (order[column.state], -weights.get(column.name, 0.0), column.name),
    )
    alarming = {column.name for column in look.drift.columns}
    found = []
    for column in ranked:
        known = baseline.column(column.name) if baseline is not None else None
        chart = ""
        if known is not None and column.name in counts:
            chart = column_chart(known, counts[column.name])
        found.append(
            {
                "look": column,
                "tone": TONES[column.state],
                "alarms": column.name in alarming,
                "chart": chart,
                "weight": f"{weights[column.name]:.3g}" if column.name in weights else "",
                "facts": _facts(column),
            }
        )
    return found


def _facts(column: ColumnLook) -> list[tuple[str, str, str]]:
    facts = [
        ("p", _figure(column.p), "Of this column's test, before adjustment."),
        ("adjusted p", _figure(column.adjusted_p), "Adjusted over all columns."),
        ("effect", _figure(column.effect), "The largest of the effects, corrected for chance."),
        ("could see", _figure(column.detectable), "Effect that this window finds 8 times of 10."),
        ("missing", f"{_share(column.missing[0])} (was {_share(column.missing[1])})",
         "Share without a value, now and in the baseline."),
    ]  # fmt: skip
    if column.dispersion > 1:
        told = "Factor by which windows usually vary more than independent rows; tests allow it."
        facts.append(("usual spread", _figure(column.dispersion), told))
    for name, (label, definition) in FIGURES.items():
        value = column.figures.get(name)
        if value is not None:
            facts.append((label, _figure(value), f"{definition} Describes, does not decide."))
    return facts


def _captured(look: Look) -> list[tuple[str, str, str]]:
    captured = look.captured
    others = ", ".join(f"v{v}: {n:,}" for v, n in sorted(captured.other_versions.items()))
    bad = ", ".join(f"{n:,} {why}" for why, n in sorted(captured.quarantined.items()))
    entities = "not counted" if captured.entities is None else f"{captured.entities:,}"
    values = {
        "rows": f"{captured.rows:,}", "entities": entities,
        "duplicates": f"{captured.duplicates:,}", "late": f"{captured.late:,}",
        "other versions": others or "none", "quarantined": bad or "none",
    }  # fmt: skip
    return [(name, values[name], CAPTURED[name]) for name in values]


def _performance_charts(records: Sequence[Look]) -> list[dict[str, str]]:
    """Return a picture for each metric: worsening against held-out rows, with its limits."""
    judged: dict[str, list[tuple[Look, PerformanceLook]]] = {}
    for look in records:
        if look.performance is None:
            continue
        for metric in look.performance.realised:
            judged.setdefault(metric.metric, []).append((look, look.performance))
    charts = []
    for name, seen in judged.items():
        bands, margin = [], 0.0
        for look, performance in seen:
            metric = next(one for one in performance.realised if one.metric == name)
            margin = metric.margin
            hover = f"{minute(look.window)} UTC, {metric.n} labelled: {metric.verdict}"
            bands.append(
                Band(seconds(look.window), metric.worsening, metric.lower, metric.upper, hover)
            )
        draw = partial(_band, tuple(bands), f"Worsening of {name}", margin)
        charts.append({"name": name, "chart": responsive(draw)})
    return [chart for chart in charts if chart["chart"]]


def _band(bands: Sequence[Band], title: str, margin: float, width: float) -> str:
    return confidence_band(bands, title, (Line(margin, "margin"),), width=width)


def _transitions(records: Sequence[Look]) -> list[dict[str, str]]:
    return [
        {
            "at": minute(look.ends),
            "kind": one.kind.replace("_", " "),
            "before": one.before.replace("_", " "),
            "after": one.after.replace("_", " "),
            "tone": TONES.get(one.after, ""),
            "action": (one.action or "").replace("_", " "),
            "event": one.event or "",
        }
        for look in reversed(records)
        for one in look.transitions
    ]


def _settings(look: Look) -> list[tuple[str, str]]:
    window = look.settings.get("window") or {}
    alarm = look.settings.get("alarm") or {}
    found = [("unit", look.unit), ("window", f"{look.window_s} s")]
    found += [(f"window: {name}".replace("_", " "), str(value)) for name, value in window.items()]
    found += [(f"alarm: {name}".replace("_", " "), str(value)) for name, value in alarm.items()]
    return found


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
