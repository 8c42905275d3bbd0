"""``steward release plan`` for a person: steps, what is detectable, what each guardrail takes."""

from __future__ import annotations

from rich.console import Console

from steward.domain.strategies.preview import POWER, ReleasePreview
from steward_cli.console import table


def print_preview(console: Console, version: int, told: ReleasePreview) -> None:
    """Print what a release would do."""
    played = f"looked at every {duration(told.tick_s)}" if told.ticked else "one execution"
    console.print(
        f"version {version}: {told.strategy} on {told.router}, {duration(told.duration_s)} as "
        f"planned, at most {duration(told.longest_s)}, {played}"
    )
    rows = [
        (
            step.step_id, step.phase, f"{step.share:g} %",
            f"{step.mirror_percent:g} %" if step.mirror_percent else "", duration(step.bake_s),
            f"{step.requests:,}", f"{step.units:,}",
            "" if step.needs_requests is None else f"{step.needs_requests:,}",
        )
        for step in told.steps
    ]  # fmt: skip
    columns = (
        "step", "phase", "candidate", "copies", "lasts", "requests", "entities", "needs",
    )  # fmt: skip
    console.print(table(columns, rows, "Steps, with the candidate's requests as of the last day"))
    if told.goals:
        console.print(
            table(
                ("goal", "phase", "method", "entities", "detectable", "declared futile below"),
                [
                    (
                        goal.metric, goal.phase, goal.method, f"{goal.units:,}",
                        "not known" if goal.effect is None else f"{goal.effect:.4g}",
                        "never" if goal.smallest_effect is None else f"{goal.smallest_effect:g}",
                    )
                    for goal in told.goals
                ],
                f"Smallest effect that is found with {POWER:.0%} power by the planned end",
            )
        )  # fmt: skip
    if told.guardrails:
        console.print(
            table(
                ("guardrail", "phase", "margin", "budget", "must prove", "harm", "safety"),
                [
                    (
                        rail.name, rail.phase, f"{rail.margin:g}", f"{rail.alpha:.2g}",
                        rail.must_prove,
                        "; ".join(f"{label}: {count:,}" for label, count in rail.harm.items()),
                        "" if rail.safe_units is None else f"{rail.safe_units:,}",
                    )
                    for rail in told.guardrails
                ],
                "Guardrails: entities of the candidate that prove harm, at least; entities of both "
                "versions that prove safety",
            )
        )  # fmt: skip
    for note in told.notes:
        console.print(f"note: {note}")


def duration(seconds: int) -> str:
    """Return a time in its largest two units."""
    parts = []
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"
