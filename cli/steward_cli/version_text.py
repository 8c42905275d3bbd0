"""One version on the screen: how it is, what was decided and why, what it is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from steward_cli.console import shortened, table
from steward_cli.sheet import (
    Section,
    at,
    figure,
    interval,
    print_rest,
    print_section,
    print_sheet,
    short,
)
from steward_cli.state import person

REPORTS = {
    "evaluation": "evaluation_uri", "comparison": "comparison_uri", "evidence": "evidence_uri",
    "baseline": "baseline", "bias": "bias", "explanation": "explanation", "card": "card",
    "manifest": "manifest_uri",
}  # fmt: skip
"""What `report open` takes as the name of a version's report, and where its record has it."""

Why = Sequence[tuple[str, str, str, str]]


def report_uri(version: Mapping[str, Any], name: str) -> str | None:
    """Return where one of a version's reports lies; None where it has none."""
    found = version.get(REPORTS[name])
    return str(found["uri"]) if isinstance(found, Mapping) else found


def print_version(
    console: Console, version: Mapping[str, Any], aliases: Sequence[str], share: float | None,
    why: Why,
) -> None:  # fmt: skip
    """Print a version.

    Args:
        version: Its record.
        aliases: Names that point to it.
        share: Its part of the requests in percent, None where it has none.
        why: What moves its answers most.
    """
    project, number = version["project"], version["version"]
    print_sheet(
        console, f"{project} {number}", version["state"],
        "" if share is None else f"{share:g} % of requests", [_origin(version, aliases)],
    )  # fmt: skip
    print_section(console, _decision(version))
    _print_rules(console, version.get("gate") or {})
    _print_metrics(console, version.get("summary") or {})
    bias = (version.get("summary") or {}).get("bias") or []
    print_section(console, Section("", [("bias", "\n".join(map(str, bias)))]))
    if why:
        console.print("")
        console.print(table(("answers move with", "share", "mean |phi|", "95 % interval"), why))
    print_section(console, _made_of(version))
    reports = [name for name in REPORTS if report_uri(version, name)]
    next_ = [f"Reports: {', '.join(reports)}; steward report open {project} {number} NAME"]
    if version["state"] == "pending":
        next_.append(f"Decide: steward --profile NAME approve {project} {number}, or reject")
    print_rest(console, *(next_ if reports else next_[1:]))


def _origin(version: Mapping[str, Any], aliases: Sequence[str]) -> Section:
    imported = version.get("imported") or {}
    summary = version.get("summary") or {}
    tags: Mapping[str, str] = version.get("tags") or {}
    return Section("", [
        ("registered", f"{at(version.get('created_at'))} by {person(version.get('author'))}"),
        ("from", f"import {short(imported['import_digest'])}" if imported else
         f"run {version['run_id']}" if version.get("run_id") else ""),
        ("unproven", ", ".join(imported.get("unproven") or [])),
        ("state since", at(version.get("state_at"))),
        ("aliases", ", ".join(aliases)),
        ("tags", ", ".join(f"{key}={value}" if value else key for key, value in tags.items())),
        ("description", version.get("description") or summary.get("description")),
    ])  # fmt: skip


def _decision(version: Mapping[str, Any]) -> Section:
    gate, policy = version.get("gate") or {}, version.get("policy") or {}
    given = version.get("approvals") or []
    approvals = [_said(one) for one in given]
    rules = gate.get("rules") or []
    passed = sum(rule.get("verdict") == "pass" for rule in rules)
    named = policy.get("name") or (gate.get("policy") or {}).get("name")
    staging = (version.get("summary") or {}).get("staging") or {}
    quorum = version.get("quorum") or gate.get("quorum")
    return Section("Decision", [
        ("gate", f"{gate['verdict']}, {passed} of {len(rules)} rules pass" if gate else ""),
        ("policy", f"{named}, tier {policy.get('tier')}" if named else ""),
        ("staging", f"{staging['passed']} of {staging['checks']} checks passed, p95 "
                    f"{staging['latency_ms_p95']:.0f} ms" if staging else ""),
        ("approvals", f"{len(given)} of {quorum}" if quorum else ""),
        ("", "\n".join(approvals)),
        ("open until", at(version.get("expires_at")) if version["state"] == "pending" else ""),
        ("evidence", short(version.get("evidence_digest"))),
    ])  # fmt: skip


def _said(decision: Mapping[str, Any]) -> str:
    did = "rejected" if decision.get("decision") == "reject" else "approved"
    comment = f': "{decision["comment"]}"' if decision.get("comment") else ""
    return f"{person(decision['identity'])} {did} {at(decision.get('at'))}{comment}"


def _print_rules(console: Console, gate: Mapping[str, Any]) -> None:
    other = [rule for rule in gate.get("rules") or [] if rule.get("verdict") != "pass"]
    if not other:
        return
    rows = [
        (rule["rule"], rule["verdict"], rule.get("effect"), shortened(rule.get("message"), 90))
        for rule in other
    ]
    console.print("")
    console.print(table(("not passed", "verdict", "so", "because"), rows))


def _print_metrics(console: Console, summary: Mapping[str, Any]) -> None:
    metrics = summary.get("metrics") or []
    if not metrics:
        return
    champion = {metric["metric"]: metric for metric in summary.get("champion_metrics") or []}
    against = summary.get("champion_version")
    heads = [
        f"on {summary.get('rows')} held-out rows",
        f"value, {float(summary.get('confidence') or 0.95):.0%} interval",
    ]
    rows = [(m["metric"], interval(m), interval(champion.get(m["metric"]) or {})) for m in metrics]
    if champion:
        heads.append(f"version {against}, in production then")
    console.print("")
    console.print(table(heads, [row[: len(heads)] for row in rows]))
    for why in dict.fromkeys(m["undefined_because"] for m in metrics if _no_interval(m)):
        console.print(f"no interval: {why}", markup=False, soft_wrap=True)
    if told := summary.get("comparison"):
        console.print(
            f"against version {against}: {told['verdict']}; {told['loss']} differs by "
            f"{told['difference']:+.4f} ({told['lower']:+.4f} to {told['upper']:+.4f}), "
            f"margin {figure(told['margin'])}", soft_wrap=True,
        )  # fmt: skip


def _no_interval(metric: Mapping[str, Any]) -> bool:
    known = metric.get("value") is not None and metric.get("lower") is None
    return known and bool(metric.get("undefined_because"))


def _made_of(version: Mapping[str, Any]) -> Section:
    views = [f"{view['group']} v{view['version']}" for view in version.get("feature_views") or []]
    return Section("Made of", [
        ("dataset", version.get("dataset_id")),
        ("features", ", ".join(views)),
        ("code", short(version.get("code_digest"))),
        ("configuration", short(version.get("config_digest"))),
        ("image", short(version.get("job_image"))),
    ])  # fmt: skip
