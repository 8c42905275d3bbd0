"""Runs as text: one with its steps, and two side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from steward.domain.quotas import quota_advice
from steward.domain.run_comparison import saved_dollars, steps_of
from steward_cli.console import record, shortened, table
from steward_cli.sheet import Section, at, dollars, print_sheet, short, took
from steward_cli.state import person

_ELSEWHERE = frozenset({"config", "deliveries", "policy", "trained_on", "feature_deliveries"})


def started_on(run: Mapping[str, Any]) -> int:
    """Return of how many deliveries of the primary table a run was started."""
    return int((run.get("deliveries") or {}).get("count", 0))


def reused_text(run: Mapping[str, Any]) -> str:
    """Return which steps a run reused, and what that saved, for a list."""
    reused = [name for name, step in steps_of(run).items() if step["status"] == "reused"]
    if not reused:
        return ""
    return f"{', '.join(reused)} (${saved_dollars(run):.4f} saved)"


def show_run(
    run: Mapping[str, Any], console: Console, link: str | None, full: bool = False
) -> None:
    """Print a run: how it went, its steps, its cost, where to look further."""
    steps = steps_of(run)
    lasted = took(run.get("started_at"), run.get("ended_at"))
    if full:
        console.print(record({**_recorded(run), "deliveries": started_on(run)}))
    else:
        print_sheet(
            console, f"{run['project']} run {run['run_id']}", run["status"],
            f"took {lasted}" if lasted else "", [_what(run), _outcome(run), _given(run)],
        )  # fmt: skip
    if steps:
        console.print("")
        console.print(table(("step", "what happened", "seconds", "cost", "job"), _rows(steps)))
    saved = saved_dollars(run)
    if saved:
        console.print(f"saved by reuse: ${saved:.4f}")
    if advice := quota_advice(str(run.get("error")), str(run.get("cause"))):
        console.print(f"What to do: {advice}", style="yellow")
    console.print("")
    console.print("The configuration and the deliveries it ran with: --json", style="dim")
    if not full:
        console.print("Every field, digests in full: --full", style="dim")
    if link:
        console.print(link)


def _recorded(run: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value for name, value in run.items()
        if name not in _ELSEWHERE and not name.startswith("step_")
    }  # fmt: skip


def _what(run: Mapping[str, Any]) -> Section:
    trigger = run.get("trigger") or {}
    return Section("", [
        ("started", f"{at(run.get('started_at'))} by {trigger.get('kind')}" if trigger else
         at(run.get("started_at"))),
        ("because", trigger.get("cause")),
        ("reason", trigger.get("reason")),
    ])  # fmt: skip


def _outcome(run: Mapping[str, Any]) -> Section:
    estimate = run.get("estimate") or {}
    spent = run.get("dollars")
    version = run.get("version")
    return Section("Outcome", [
        ("version", f"{version}: steward versions show {run['project']} {version}"
         if version else ""),
        ("gate", run.get("verdict")),
        ("failed in", run.get("failed_state")),
        ("error", run.get("error")),
        ("cause", run.get("cause")),
        ("cost", "" if spent is None else f"{dollars(spent)} so far, with staging and release"),
        ("estimate", f"{dollars(estimate['expected'])} to {dollars(estimate['high'])}"
         if "high" in estimate else ""),
    ])  # fmt: skip


def _given(run: Mapping[str, Any]) -> Section:
    views = [f"{view['group']} v{view['version']}" for view in run.get("feature_views") or []]
    return Section("Made of", [
        ("deliveries", started_on(run) or None),
        ("dataset", run.get("dataset_id")),
        ("features", ", ".join(views)),
        ("code", f"{short(run['code_digest'])} by {person(run.get('author'))}"
         if run.get("code_digest") else ""),
        ("configuration", short(run.get("config_digest"))),
        ("image", short(run.get("image"))),
        ("policy", (run.get("policy") or {}).get("name")),
    ])  # fmt: skip


def _rows(steps: Mapping[str, Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    rows = []
    for name, step in steps.items():
        if step["status"] == "reused":
            told = f"reused from run {step['reused_from']}"
            spent, cost = step.get("saved_s"), step.get("saved_dollars")
        else:
            told = "carried out" if step["status"] == "ran" else "not found in the cache"
            told += f": {shortened(step['reason'], 90)}" if step.get("reason") else ""
            spent, cost = step.get("seconds"), step.get("dollars")
        rows.append((name, told, _number(spent, ".1f"), _number(cost, ".4f", "$"), step.get("job")))
    return rows


def _number(value: Any, form: str, before: str = "") -> str:
    return "" if value is None else f"{before}{float(value):{form}}"


def show_comparison(found: Mapping[str, Any], console: Console) -> None:
    """Print what two runs have in common and where they differ."""
    heads = tuple(found["runs"])
    for title in ("inputs", "parameters", "outcome"):
        rows = [
            (name, _cell(row["a"]), _cell(row["b"]), "" if row["same"] else "differs")
            for name, row in found[title].items()
        ]
        console.print(table((title, *heads, ""), rows))
        console.print("")
    metrics = [
        (name, _estimate(row["a"]), _estimate(row["b"])) for name, row in found["metrics"].items()
    ]
    console.print(table(("metric", *heads), metrics))
    console.print("")
    money = [
        (name, _number(found[name]["a"], ".4f", "$"), _number(found[name]["b"], ".4f", "$"))
        for name in ("dollars", "saved_dollars")
    ]
    steps = [
        (name, *(_step(side.get(name)) for side in found["steps"]))
        for name in ("dataset", "training", "evaluation")
    ]
    console.print(table(("cost and steps", *heads), [*money, *steps]))


def _cell(value: Any) -> str:
    return shortened("" if value is None else value, 40)


def _estimate(found: Mapping[str, Any] | None) -> str:
    if found is None or found["value"] is None:
        return "missing"
    if found["lower"] is None:
        return f"{found['value']:.4f} (no interval)"
    return f"{found['value']:.4f} ({found['lower']:.4f} to {found['upper']:.4f})"


def _step(noted: Mapping[str, Any] | None) -> str:
    if noted is None:
        return ""
    if noted["status"] == "reused":
        return f"reused from {noted['reused_from']}"
    return "carried out" if noted["status"] == "ran" else "not carried out"
