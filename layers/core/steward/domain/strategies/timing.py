"""Whether the steps of a plan last long enough for what they are judged by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steward.domain.errors import ReleaseNotAllowedError
from steward.domain.strategies.metrics import judged, judged_by_captures

if TYPE_CHECKING:
    from steward.domain.release_declaration import Release
    from steward.domain.strategies.plan import Plan

CAPTURE_BUFFER_S = 60
"""Buffering of the Firehose stream that carries exposures (``stacks/serving.yaml``)."""

MOST_BATCHES = 1000
"""Batches of a bandit that its record can hold."""


def least_captured_s(release: Release) -> int:
    """Return the time below which a step cannot see captured metrics of its own.

    Twice the buffer, and what a cohort takes to close and to wait for late captures.
    """
    return 2 * CAPTURE_BUFFER_S + release.cohort_s + release.lateness_s


def check_timing(plan: Plan, release: Release) -> None:
    """Refuse steps that would be judged before anything of them can be known.

    Errors and slow answers come from metrics and need no such time.

    Raises:
        ReleaseNotAllowedError: A bake, a duration or a batch is too short.
    """
    for step in plan.steps:
        if not step.limits.concurrent or not judged_by_captures(release, step.phase):
            continue
        windows = [metric.window_s for metric in judged(release, step.phase)]
        least = least_captured_s(release) + max(windows, default=0)
        if step.bake_s < least:
            raise ReleaseNotAllowedError(
                f"step {step.step_id} lasts {step.bake_s} s and is judged by captured metrics, "
                f"which take {least} s: twice the {CAPTURE_BUFFER_S} s that captures are buffered, "
                f"a cohort of {release.cohort_s} s, {release.lateness_s} s of lateness and the "
                f"longest window, {max(windows, default=0)} s",
                field=_duration(step.phase), value=step.bake_s,
                allowed=f"at least {least} s, or a shorter cohort_s, lateness_s or window_s",
            )  # fmt: skip
        batch_s = step.batch_s
        if batch_s is not None and batch_s < plan.tick_s:
            raise ReleaseNotAllowedError(
                f"a batch of {batch_s} s is shorter than a tick of {plan.tick_s} s, at which "
                "shares are set",
                field="release.bandit.batch_s", value=batch_s, allowed=f">= {plan.tick_s}",
            )  # fmt: skip
        if batch_s is not None and step.due_after_s(plan.max_holds) > MOST_BATCHES * batch_s:
            raise ReleaseNotAllowedError(
                f"{step.due_after_s(plan.max_holds)} s are more than {MOST_BATCHES} batches",
                field="release.bandit.batch_s", value=batch_s, allowed="longer batches",
            )  # fmt: skip


def _duration(phase: str) -> str:
    return "release.bake_s" if phase == "ramp" else f"release.{phase}.duration_s"
