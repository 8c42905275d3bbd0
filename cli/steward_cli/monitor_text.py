"""Monitoring in the terminal: alarms, the last looks as a line, the columns that changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.text import Text

from steward.domain.monitoring.looks import KINDS, Look
from steward.domain.monitoring.retraining import State
from steward.ports import Item
from steward_cli.console import table
from steward_cli.monitor_backtest import Replayed
from steward_cli.monitoring import Watched, minute

_BLOCKS = "▁▂▃▄▅▆▇█"
_STYLES = {
    "drift": "red", "alarm": "red", "changed": "red", "worse": "red", "drifted": "red",
    "no_drift": "green",
    "ok": "green", "same": "green", "no_data": "yellow", "inconclusive": "yellow", "off": "dim",
}  # fmt: skip
_MOST_COLUMNS = 12


def styled(word: str) -> Text:
    """Return a state in its colour."""
    return Text(word.replace("_", " "), _STYLES.get(word, ""))


def screen(watched: Watched, width: int) -> RenderableType:
    """Return what is known of a project for a terminal of a width."""
    of = "" if watched.beside is None else f" of version {watched.beside}, beside the stable one"
    parts: list[RenderableType] = [Text(f"{watched.project}: monitoring{of}", "bold")]
    look = watched.newest
    if look is None:
        return Group(*parts, Text("no window was looked at yet", "dim"))
    parts += [Text(look.sentence), Text(), _alarms(watched, look)]
    parts += [Text(), _line(watched.looks, "verdict", "windows", width)]
    parts += [_line(watched.looks, "drift", "alarm  ", width), _when(watched.looks)]
    if look.window_verdict is not None and look.window_verdict.columns:
        parts += [Text(), _columns(look)]
    if look.multivariate:
        parts += [Text(), _together(look)]
    if look.performance is not None:
        parts += [Text(), Text(look.performance.sentence)]
        if look.performance.calibration is not None:
            told = look.performance.calibration
            parts += [Text(told.sentence, _STYLES.get(told.verdict, ""))]
    if watched.late:
        rows = sum(int(one["rows"]) for one in watched.late)
        newest = minute(watched.late[-1]["window"])
        late = f"{rows} rows of {len(watched.late)} windows came too late to be judged"
        parts += [Text(), Text(f"{late}, the newest of {newest}", "yellow")]
    if watched.candidates:
        parts += [Text(), _candidates(watched)]
    if watched.retraining is not None:
        parts += [Text(), retraining(watched.retraining)]
    return Group(*parts)


def _alarms(watched: Watched, look: Look) -> RenderableType:
    rows = []
    for kind in KINDS:
        item = watched.alarms.get(kind, {})
        state = look.alarms.get(kind, "off")
        since = str(item.get("since", "")) if item.get("state") == state else ""
        rows.append((kind.replace("_", " "), styled(state), minute(since) if since else ""))
    return table(("alarm", "state", "since (UTC)"), rows)


def _line(looks: Sequence[Item], name: str, label: str, width: int) -> Text:
    """Return a character a look: its height says how many rows, its colour what was said."""
    shown = looks[-max(10, width - len(label) - 3) :]
    most = max((int(item["rows"]) for item in shown), default=0) or 1
    line = Text(f"{label}  ", "dim")
    for item in shown:
        rows = int(item["rows"])
        block = _BLOCKS[min(7, rows * 8 // (most + 1))] if rows else "·"
        line.append(block, _STYLES.get(str(item[name]), ""))
    return line


def _when(looks: Sequence[Item]) -> Text:
    first, last = looks[0]["window"], looks[-1]["window"]
    return Text(f"{len(looks)} looks, {minute(first)} to {minute(last)} UTC", "dim")


def _columns(look: Look) -> RenderableType:
    assert look.window_verdict is not None
    alarming = {column.name: column for column in look.drift.columns}
    order = {"changed": 0, "inconclusive": 1, "same": 2}
    ranked = sorted(
        look.window_verdict.columns,
        key=lambda column: (column.name not in alarming, order[column.state], column.adjusted_p),
    )
    rows = []
    for column in ranked[:_MOST_COLUMNS]:
        over = alarming.get(column.name)
        since = f"since {minute(over.since)}" if over is not None else ""
        rows.append(
            (column.name, styled(column.state), f"{column.adjusted_p:.2g}",
             f"{column.effect:.3g}", f"{column.detectable:.3g}", Text(since, "red"))
        )  # fmt: skip
    heads = ("column", "window", "adjusted p", "effect", "could see", "alarm")
    rest = len(ranked) - len(rows)
    shown = table(heads, rows)
    return Group(shown, Text(f"and {rest} more", "dim")) if rest > 0 else shown


def _together(look: Look) -> RenderableType:
    rows = [(one.method.replace("_", " "), styled(one.state), one.sentence)
            for one in look.multivariate]  # fmt: skip
    return table(("all columns together", "window", "why"), rows)


def _candidates(watched: Watched) -> RenderableType:
    rows = [
        (f"v{one.version}", minute(one.window), f"{one.captured.rows:,}",
         styled(one.window_verdict.verdict if one.window_verdict else "off"),
         *(styled(one.alarms.get(kind, "off")) for kind in ("drift", "performance", "bias")))
        for one in watched.candidates
    ]  # fmt: skip
    heads = ("beside", "window (UTC)", "rows", "window", "drift", "performance", "bias")
    told = f"steward monitor show {watched.project} --version N"
    return Group(table(heads, rows), Text(told, "dim"))


def retraining(item: Item) -> RenderableType:
    """Return what the brakes of retraining remember."""
    state = State.from_dict(item["state"])
    rows: list[tuple[str, object]] = [
        ("attempts in vain, in a row", state.in_vain),
        ("started in 24 hours", len(state.attempts)),
        ("under way", state.flight.id if state.flight else "none"),
        ("last ended", _moment(state.ended_s)),
    ]
    for kind, asked in sorted((item.get("waiting") or {}).items()):
        rows.append((f"waits: {kind}", asked["cause"]))
    for cause in state.in_vain_causes:
        rows.append(("in vain", cause))
    return Group(Text("retraining", "bold"), table(("", ""), rows))


def _moment(at_s: float | None) -> str:
    return "never" if at_s is None else datetime.fromtimestamp(at_s, UTC).strftime("%F %H:%M UTC")


def backtested(found: Sequence[Replayed], totals: dict[str, object]) -> RenderableType:
    """Return windows whose verdict or alarm differs, and how often each was said."""
    differing = [
        one
        for one in found
        if (one.verdict, one.alarm) != (one.before_verdict, one.before_alarm) or one.same is False
    ]
    rows = [
        (minute(one.window), styled(one.before_verdict), styled(one.verdict),
         styled(one.before_alarm), styled(one.alarm), ", ".join(one.columns[:4]))
        for one in differing
    ]  # fmt: skip
    heads = ("window (UTC)", "was", "now", "alarm was", "alarm now", "columns")
    told = Text(
        f"{totals['windows']} windows: {totals['drifting_windows']} drift"
        f" (was {totals['drifting_windows_before']}), {totals['alarms']} with an alarm"
        f" (was {totals['alarms_before']})"
    )
    first = totals["first_alarm"]
    if first:
        told.append(f", the first at {minute(str(first))} UTC")
    if not rows:
        return Group(Text("every window is judged as it was"), told)
    return Group(table(heads, rows), told)
