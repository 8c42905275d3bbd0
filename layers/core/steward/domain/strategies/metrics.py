"""Metrics of a release: which phase is judged by which, and what their expressions may read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from steward.domain.errors import ReleaseNotAllowedError

if TYPE_CHECKING:
    from steward.domain.release_declaration import Release, ReleaseMetric
    from steward.domain.strategies.plan import Phase

CAPTURED_COLUMNS = ("outcome", "prediction", "label", "latency_ms", "failed")
"""What is captured of an answered request beside its features; a feature of such a name is not
reachable."""

RESERVED = (
    "errors", "slow", "prediction_up", "prediction_down", "prediction_difference",
    "prediction_change", "label_disagreement",
)  # fmt: skip
"""Names of the metrics that every release has or may have, and of what is frozen beside them."""

_UNBOUNDED = ("mean", "ratio", "adjusted")


def judged(release: Release, phase: Phase) -> list[ReleaseMetric]:
    """Return the declared metrics that a phase is judged by.

    A ramp is judged by guardrails alone; shadow traffic by guardrails that are bounded, as its
    pairs need; an experiment by all. A bandit has no ratio that holds (``experiments.bandit``).
    """
    if phase in ("ab_test", "bandit"):
        return list(release.metrics)
    guardrails = [metric for metric in release.metrics if metric.guardrail is not None]
    if phase == "shadow":
        return [metric for metric in guardrails if metric.kind not in _UNBOUNDED]
    return guardrails


def judged_by_captures(release: Release, phase: Phase) -> bool:
    """Whether a phase needs captured exposures: errors and slow answers of a ramp do not."""
    if phase == "shadow" or release.guardrails.prediction_margin is not None:
        return True
    return bool(judged(release, phase))


def check_metrics(release: Release, features: Sequence[str]) -> None:
    """Check the expressions of all metrics against the columns that exist.

    Raises:
        ReleaseNotAllowedError: An expression is none, or reads what is not captured or not
            known at that time; ``field`` names it.
    """
    from steward.domain.expressions import ExpressionError, parse  # large, and few need it

    for metric in release.metrics:
        at = f"release.metrics.{metric.name}"
        if metric.name in RESERVED:
            raise ReleaseNotAllowedError(
                f"{at}: the name belongs to a metric of every release", field=f"{at}.name",
                value=metric.name, allowed=f"a name that is none of {', '.join(RESERVED)}",
            )  # fmt: skip
        for name, columns in (
            ("value", (*CAPTURED_COLUMNS, *features)),
            ("denominator", (*CAPTURED_COLUMNS, *features)),
            ("covariate", tuple(features)),
        ):
            text = getattr(metric, name)
            if text is None:
                continue
            try:
                used = parse(text, columns).columns
            except ExpressionError as wrong:
                raise ReleaseNotAllowedError(
                    f"{at}.{name}: {wrong}", field=f"{at}.{name}", value=text,
                    allowed=f"an expression over {', '.join(columns)}",
                ) from None  # fmt: skip
            if "outcome" in used and metric.window_s == 0:
                raise ReleaseNotAllowedError(
                    f"{at}: an outcome arrives later; give window_s, the time that it may take",
                    field=f"{at}.window_s", value=0, allowed="seconds above 0",
                )  # fmt: skip
        if release.strategy == "bandit" and metric.kind == "ratio":
            raise ReleaseNotAllowedError(
                f"{at}: a ratio pools batches of different shares, which a moving base rate "
                "biases",
                field=f"{at}.kind", value=metric.kind,
                allowed="binary, bounded, mean or adjusted for a bandit",
            )  # fmt: skip
