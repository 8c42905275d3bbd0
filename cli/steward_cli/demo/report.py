"""The demo's HTML report: self-contained, with plots, made from the recorded facts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from steward_cli import charts
from steward_cli.demo.data import SHIFT_YEARS
from steward_cli.demo.facts import Facts
from steward_cli.state import person

_MACHINE_COLOURS = {
    "materialisation": charts.PALETTE[1],
    "training": charts.PALETTE[0],
    "staging": charts.PALETTE[4],
    "release": charts.PALETTE[2],
    "rollback": charts.PALETTE[3],
    "integration": charts.PALETTE[5],
}


def write_report(facts: Facts, path: Path) -> Path:
    """Render the report into one file and return its path."""
    environment = Environment(
        loader=PackageLoader("steward_cli"),
        autoescape=select_autoescape(["html", "j2"]),
        undefined=StrictUndefined,
    )
    page = environment.get_template("demo.html.j2").render(
        facts=facts,
        shift_years=SHIFT_YEARS,
        patients=sum(
            int(d.get("rows") or 0)
            for d in facts.deliveries
            if d["status"] == "accepted" and d.get("table", "data") == "data"
        ),
        when=datetime.fromtimestamp(facts.started_at, UTC).strftime("on %Y-%m-%d at %H:%M UTC"),
        tiles=_tiles(facts),
        versions=[_version(facts, item) for item in facts.versions],
        violations=_violations(facts),
        lineage=facts.lineage[facts.lineage.find("<svg") :],
        costs=costs_by_run(facts),
        shares_chart=_shares(facts),
        brier_chart=_brier(facts),
        difference_chart=_differences(facts),
        request_chart=_requests(facts),
        execution_chart=_executions(facts),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def share_moments(facts: Facts) -> list[tuple[float, dict[int, float]]]:
    """Return epoch seconds and shares in percent by version, each time the route changed."""
    moments: list[tuple[float, dict[int, float]]] = []
    for event in facts.events:
        if event.detail_type == "TrafficShifted":
            at = datetime.fromisoformat(str(event.data["shifted_at"])).timestamp()
            shares = {int(version): share for version, share in event.data["shares"].items()}
        elif event.detail_type == "ReleaseRolledBack":
            at = datetime.fromisoformat(str(event.data["restored_at"])).timestamp()
            shares = {int(event.data["stable_version"]): 100.0}
        else:
            continue
        moments.append((at, shares))
    moments.sort(key=lambda moment: moment[0])
    return [
        moment
        for number, moment in enumerate(moments)
        if number == 0 or _answering(moment[1]) != _answering(moments[number - 1][1])
    ]


def _answering(shares: dict[int, float]) -> dict[int, float]:
    return {version: share for version, share in shares.items() if share}


def _tile(label: str, value: str, definition: str, tone: str = "") -> dict[str, str]:
    return {"label": label, "value": value, "definition": definition, "tone": tone}


def _tiles(facts: Facts) -> list[dict[str, str]]:
    total = len(facts.requests)
    tiles = [
        _tile("versions", str(len(facts.versions)), "Model packages registered by the story"),
        _tile("executions", str(len(facts.executions)), "Executions started by events"),
        _tile(
            "requests lost", f"{facts.lost} of {total}",
            "Requests through the gateway that got no prediction", "bad" if facts.lost else "good",
        ),
        _tile(
            "captured", f"{facts.exposures} of {total}",
            "Distinct inference ids in the capture bucket, after Firehose delivered",
            "good" if facts.exposures == total else "bad",
        ),
    ]  # fmt: skip
    if facts.fault_to_alarm_s is not None and facts.alarm_to_zero_s is not None:
        tiles += [
            _tile(
                "fault to alarm", f"{facts.fault_to_alarm_s:.1f} s",
                "From the first failed answer of version 3 to the alarm's ALARM state",
            ),
            _tile(
                "alarm to zero traffic", f"{facts.alarm_to_zero_s * 1000:.0f} ms",
                "From the alarm's state change to the write that ended version 3's share",
            ),
        ]  # fmt: skip
    tiles.append(
        _tile("would have cost", f"${sum(c['dollars'] or 0 for c in facts.costs):.4f}",
              "Sum of all cost entries at the price table's us-east-1 prices")
    )  # fmt: skip
    return tiles


def _version(facts: Facts, item: dict[str, Any]) -> dict[str, str]:
    number = int(item["version"])
    interval = brier_of(facts.evaluations.get(number))
    comparison = facts.comparisons.get(number) or {}
    tone = {"production": "good", "rolled_back": "bad"}.get(str(item["state"]), "")
    return {
        "version": str(number),
        "state": str(item["state"]).replace("_", " "),
        "tone": tone,
        "author": person(item.get("author")),
        "approvers": ", ".join(person(a["identity"]) for a in item.get("approvals") or []),
        "brier": f"{interval[0]:.4f} ({interval[1]:.4f} to {interval[2]:.4f})" if interval else "",
        "against": _against(comparison),
        "evidence": str(item.get("evidence_digest", ""))[:12],
    }


def _against(comparison: dict[str, Any]) -> str:
    verdict = str(comparison.get("verdict", "no_champion")).replace("_", " ")
    found = difference(comparison)
    return f"{verdict}, difference {found[0]:+.4f}" if found else verdict


def brier_of(evaluation: dict[str, Any] | None) -> tuple[float, float, float] | None:
    """Return the Brier score of an evaluation report with its interval, where defined."""
    for metric in (evaluation or {}).get("metrics", []):
        if metric["metric"] == "brier" and metric["lower"] is not None:
            return metric["value"], metric["lower"], metric["upper"]
    return None


def difference(comparison: dict[str, Any]) -> tuple[float, float, float] | None:
    """Return the paired difference of losses with its limits, where there was a champion."""
    if comparison.get("status") != "compared":
        return None
    return comparison["difference"], comparison["lower"], comparison["upper"]


def _violations(facts: Facts) -> list[dict[str, Any]]:
    """Return what was wrong with rejected files: one row an example, or one a finding."""
    rows = []
    for event in facts.events:
        if event.detail_type != "DatasetRejected":
            continue
        for violation in event.data["violations"]:
            for example in violation.get("examples") or [{}]:
                rows.append(
                    {
                        "row": example.get("row", ""),
                        "column": violation.get("column") or "",
                        "value": example.get("value", ""),
                        "rule": violation["rule"],
                        "message": violation["message"],
                    }
                )
    return rows


def costs_by_run(facts: Facts) -> list[dict[str, Any]]:
    """Return what each run cost from delivery to release: entries, dollars, dollars by kind.

    What belongs to no run, materialising features and integrating commits, is ``features``.
    """
    trained = {e["name"] for e in facts.executions if e["machine"] == "training"}
    runs: dict[str, dict[str, Any]] = {}
    for cost in facts.costs:
        name = cost["run_id"] if cost["run_id"] in trained else "features"
        row = runs.setdefault(name, {"run": name, "count": 0, "dollars": 0.0})
        row["count"] += 1
        row["dollars"] += cost["dollars"] or 0.0
        row[cost["kind"]] = row.get(cost["kind"], 0.0) + (cost["dollars"] or 0.0)
    started = {execution["name"]: execution["started"] for execution in facts.executions}
    return sorted(runs.values(), key=lambda row: started.get(row["run"], 0.0))


def _shares(facts: Facts) -> str:
    moments = [
        (at, {f"version {version}": share for version, share in shares.items()})
        for at, shares in share_moments(facts)
    ]
    marks = []
    if facts.first_fault_at is not None and facts.alarm_at is not None:
        marks = [
            charts.Mark(facts.first_fault_at, "first fault of version 3", "#b0476b"),
            charts.Mark(facts.alarm_at, "alarm", "#b03030"),
        ]
    end = facts.started_at + facts.seconds
    return charts.responsive(
        lambda width: charts.shares_over_time(moments, end, marks, width=width)
    )


def _brier(facts: Facts) -> str:
    rows = []
    for number, evaluation in sorted(facts.evaluations.items()):
        found = brier_of(evaluation)
        if found:
            rows.append(
                charts.Interval(f"version {number}", *found, colour=charts.colour(number - 1))
            )
    title = "Brier score on held-out rows by version (lower is better)"
    return charts.responsive(lambda width: charts.intervals(rows, title, width=width))


def _differences(facts: Facts) -> str:
    rows, margin = [], None
    for number, comparison in sorted(facts.comparisons.items()):
        found = difference(comparison)
        if found:
            margin = comparison.get("margin") or comparison["settings"]["margin"]
            champion = comparison["champion_version"]
            rows.append(
                charts.Interval(
                    f"version {number} minus {champion}", *found, colour=charts.colour(number - 1)
                )
            )
    title = "Difference of Brier scores on the same rows"
    return charts.responsive(
        lambda width: charts.intervals(
            rows, title, zero=0.0, limit=margin, limit_label="margin", width=width
        )
    )


def _requests(facts: Facts) -> str:
    numbers = sorted({a.version for a in facts.requests if a.version is not None})
    colours = {f"version {n}": charts.colour(n - 1) for n in numbers}
    colours["fallback"] = "#c9a227"
    rows = []
    for window in facts.windows:
        counts = dict.fromkeys(colours, 0.0)
        for asked in window.asked:
            counts["fallback" if asked.fallback else f"version {asked.version}"] += 1
        rows.append((window.name, counts))
    title = "Requests by answering version and window"
    return charts.responsive(
        lambda width: charts.stacked_bars(rows, title, colours, "requests", width)
    )


def _executions(facts: Facts) -> str:
    bars = [
        charts.Bar(
            label=f"{e['machine']} {e['label']}",
            start=e["started"],
            end=e["started"] + (e["seconds"] or 0.0),
            colour=_MACHINE_COLOURS[e["machine"]] if e["status"] == "SUCCEEDED" else "#b03030",
            hover=f"{e['machine']} {e['name']}: {e['status']}",
        )
        for e in facts.executions
    ]
    title = "State machine executions (red: ended in FAILED)"
    return charts.responsive(lambda width: charts.timeline(bars, title, width=width))
