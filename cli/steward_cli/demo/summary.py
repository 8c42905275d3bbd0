"""The demo's last screen: what happened, in one look."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rich.console import Console
from rich.markup import escape

from steward.domain.run_comparison import saved_dollars, steps_of
from steward_cli.console import table
from steward_cli.demo.facts import Facts
from steward_cli.demo.report import brier_of, costs_by_run, difference, share_moments
from steward_cli.state import person


def print_summary(facts: Facts, console: Console) -> None:
    """Print executions, versions, shares, mails, rollback times and cost."""
    rows = [
        (e["machine"], e["name"], e["status"], f"{e['seconds']:.1f} s" if e["seconds"] else "")
        for e in facts.executions
    ]
    console.print(table(("machine", "execution", "status", "took"), rows, "\nExecutions"))
    console.print(
        table(
            ("version", "state", "author", "approved by", "Brier", "against champion"),
            [_version(facts, item) for item in facts.versions],
            "\nVersions",
        )
    )
    console.print(
        table(
            ("version", "status in SageMaker", "proven", "unproven", "card digest", "shown by"),
            [
                (c.version, c.status, c.proven, len(c.unproven), c.digest[:12], c.command)
                for c in facts.cards
            ],
            "\nModel cards",
        )
    )
    moments = share_moments(facts)
    if moments:
        first = moments[0][0]
        steps = "  ".join(
            f"[dim]{at - first:.0f}s[/dim] "
            + "+".join(f"v{v} {s:g}%" for v, s in shares.items() if s)
            for at, shares in moments
        )
        console.print(f"\n[bold]Traffic[/bold]  {steps}")
    if facts.fault_to_alarm_s is not None and facts.alarm_to_zero_s is not None:
        console.print(
            f"[bold]Rollback[/bold] fault to alarm {facts.fault_to_alarm_s:.1f} s, alarm to zero "
            f"traffic {facts.alarm_to_zero_s * 1000:.0f} ms (waits scaled 1/{facts.time_scale:g})"
        )
    console.print(
        f"[bold]Requests[/bold] {len(facts.requests)} sent, {facts.lost} lost, "
        f"{facts.exposures} exposures captured"
    )
    if facts.monitored:
        console.print(f"[bold]Monitoring[/bold] {escape(_monitored(facts))}", soft_wrap=True)
    console.print(f"[bold]Datasets[/bold] {_datasets(facts)}", soft_wrap=True)
    if reused := _reused(facts):
        console.print(f"[bold]Reused[/bold]   {reused}", soft_wrap=True)
    console.print(f"[bold]Mails[/bold]    {escape(_mails(facts))}", soft_wrap=True)
    console.print(f"[bold]Cost[/bold]     {_costs(facts)}")
    if facts.audit:
        console.print(f"[bold]Ledger[/bold]   {audited(facts.audit)}", soft_wrap=True)


def audited(found: dict[str, Any]) -> str:
    """Say what the ledger's verification found."""
    wrong = f"{len(found['findings'])} findings" if found["findings"] else "nothing is wrong"
    around = found["unmatched"]
    return (
        f"{found['records']} records, {found['approvals']} of them approvals, "
        f"{found['signed']} under a signed head, {found['objects']} objects compared, "
        f"{found['ledgers']} ledgers verified: {wrong}; {around} changes around Steward"
    )


def _version(facts: Facts, item: dict[str, Any]) -> tuple[Any, ...]:
    number = int(item["version"])
    score = brier_of(facts.evaluations.get(number))
    brier = f"{score[0]:.4f}" if score else ""
    comparison = facts.comparisons.get(number) or {}
    found = difference(comparison)
    against = f"{comparison.get('verdict')} ({found[0]:+.4f})" if found else "no champion"
    approvers = ", ".join(person(a["identity"]) for a in item.get("approvals") or [])
    return number, item["state"], person(item.get("author")), approvers, brier, against


def _datasets(facts: Facts) -> str:
    equal = sum(built.equal for built in facts.datasets)
    leaks = ", ".join(str(built.later_knowledge) for built in facts.datasets)
    return (
        f"{len(facts.datasets)}, {equal} built again to the same digests; joined by event time "
        f"alone, rows that know a later correction: {leaks}; here 0"
    )


def _reused(facts: Facts) -> str:
    """Say which steps no run carried out again, since nothing that they read had changed."""
    told = []
    for run in sorted(facts.runs, key=lambda run: str(run.get("started_at"))):
        steps = {n: s for n, s in steps_of(run).items() if s["status"] == "reused"}
        found = ", ".join(f"{name} of {step['reused_from']}" for name, step in steps.items())
        if found:
            told.append(f"run {run['run_id']} took {found} (${saved_dollars(run):.4f} saved)")
    return "; ".join(told)


def _monitored(facts: Facts) -> str:
    """Say of each hour what was found, with the odds, and what followed."""
    parts = []
    for hour in facts.monitored:
        verdict = hour.look.window_verdict
        rows = verdict.rows if verdict is not None else hour.look.captured.rows
        found = "alarm" if hour.look.alarms.get("drift") == "alarm" else "no alarm"
        parts.append(f"hour of {rows} patients {hour.name}: {found}. {hour.look.drift.sentence}")
    run = facts.retraining
    followed = f" Retraining {run['run_id']}: version {run['version']} waits" if run else ""
    return " ".join(parts) + followed


def _mails(facts: Facts) -> str:
    """Count the mails by reader, and name what on-call was told."""
    readers = Counter(str(mail["to"]).split("@")[0] for mail in facts.mails)
    counts = ", ".join(f"{count} to {reader}" for reader, count in readers.items())
    told = [str(m["subject"]) for m in facts.mails if str(m["to"]).startswith("on-call")]
    return f"{len(facts.mails)}: {counts}" + (f'; on-call first: "{told[0]}"' if told else "")


def _costs(facts: Facts) -> str:
    """Give the sum, and each run's from delivery to release."""
    runs = costs_by_run(facts)
    parts = ", ".join(
        f"{'' if row['run'] == 'features' else 'run '}{row['run']} ${row['dollars']:.4f}"
        for row in runs
    )
    return f"${sum(row['dollars'] for row in runs):.4f} on AWS" + (f": {parts}" if parts else "")
