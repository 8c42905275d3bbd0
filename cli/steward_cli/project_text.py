"""One project on the screen: what answers, what it predicts from what, and by which rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from steward_cli.sheet import Section, at, figure, listed, print_rest, print_sheet, short
from steward_cli.state import person, shares_of


def print_project(
    console: Console, item: Mapping[str, Any], versions: Sequence[Mapping[str, Any]]
) -> None:
    """Print a project.

    Args:
        console: Where to.
        item: Its record, with ``route`` and ``champion``.
        versions: Its versions.
    """
    name, config = item["project"], item["config"]
    shares = shares_of(item.get("route"))
    answers = ", ".join(f"version {v} {share:g} % of requests" for v, share in shares.items())
    print_sheet(
        console, name, "active" if answers else "nothing answers yet", answers,
        [_about(item, config, versions), _model(config), _rules(config), _made_of(item)],
    )  # fmt: skip
    print_rest(console, f"Versions: steward versions list {name}; the whole configuration: --json")


def _about(
    item: Mapping[str, Any], config: Mapping[str, Any], versions: Sequence[Mapping[str, Any]]
) -> Section:
    counted = Counter(str(version["state"]) for version in versions)
    previous = ((item.get("route") or {}).get("previous") or {}).get("version")
    return Section("", [
        ("description", config.get("description")),
        ("owner", config.get("owner")),
        ("risk tier", config.get("risk_tier")),
        ("pushed", f"{at(item.get('updated_at'))} by {person(item.get('author'))}"),
        ("versions", ", ".join(f"{count} {state}" for state, count in counted.items())),
        ("way back", f"version {previous}: steward rollback {item['project']} -m WHY"
         if previous else ""),
    ])  # fmt: skip


def _model(config: Mapping[str, Any]) -> Section:
    data, training = config.get("data") or {}, config.get("training") or {}
    label = data.get("label") or {}
    roles = {data.get("entity_id"), label.get("name"), data.get("prediction_time"),
             data.get("label_known_at")}  # fmt: skip
    own = [c["name"] for c in data.get("columns") or [] if c["name"] not in roles]
    groups = [use["group"] for use in config.get("features") or []]
    positive = f", positive is {label['positive']}" if label.get("positive") is not None else ""
    return Section("Model", [
        ("predicts", f"{label.get('name')} of each {data.get('entity_id')} "
                     f"({label.get('task') or 'binary'}{positive})"),
        ("from", f"{len(own)} columns: {listed(own)}"),
        ("and features", listed(groups)),
        ("delivered as", ", ".join([str(data.get("format")), *(data.get("sources") or {})])),
        ("trained by", training.get("entry_point") if training.get("source") else
         "the built-in model"),
        ("on", training.get("instance_type")),
    ])  # fmt: skip


def _rules(config: Mapping[str, Any]) -> Section:
    release, serving = config.get("release") or {}, config.get("serving") or {}
    budget, batch = config.get("budget") or {}, config.get("batch") or {}
    limits = [
        f"${budget[key]:g} {words}"
        for key, words in (("per_run_usd", "a run"), ("per_month_usd", "a month"))
        if budget.get(key) is not None
    ]
    asked = batch.get("schedule") or ("each delivery" if batch.get("on_delivery") else "on request")
    return Section("Rules", [
        ("gates", ", ".join(map(_gate, config.get("gates") or []))),
        ("release", _release(release)),
        ("served by", f"{serving.get('router', 'gateway')}, {serving.get('memory_mb')} MB"),
        ("batches", asked if batch else ""),
        ("budget", ", ".join(limits)),
    ])  # fmt: skip


def _gate(gate: Mapping[str, Any]) -> str:
    bounds = [
        f"{sign} {figure(gate[key])}" for key, sign in (("min", ">="), ("max", "<="))
        if gate.get(key) is not None
    ]  # fmt: skip
    return f"{gate['metric']} {' and '.join(bounds)}".rstrip()


def _release(release: Mapping[str, Any]) -> str:
    strategy = str(release.get("strategy") or "")
    steps = release.get("steps") or []
    ramp = f" {', '.join(f'{step:g} %' for step in steps)}" if strategy == "canary" else ""
    bake = f", each {release['bake_s']:g} s" if ramp and release.get("bake_s") else ""
    return f"{strategy}{ramp}{bake}"


def _made_of(item: Mapping[str, Any]) -> Section:
    return Section("Made of", [
        ("code", short(item.get("code_digest"))),
        ("configuration", short(item.get("config_digest"))),
    ])  # fmt: skip
