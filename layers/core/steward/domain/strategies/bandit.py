"""Thompson sampling in frozen batches: one step, whose share is set anew after each batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steward.domain.strategies.plan import Outline, Strategy, experiment_hold_s

if TYPE_CHECKING:
    from steward.domain.release_declaration import Release

FIRST_SHARE = 50


def steps(release: Release) -> list[Outline]:
    """Return the one step; its first batch has equal shares."""
    bandit = release.bandit
    return [
        Outline(
            step_id="bandit", share=FIRST_SHARE, bake_s=bandit.duration_s, phase="bandit",
            batch_s=bandit.batch_s, floor=bandit.floor,
            hold_s=experiment_hold_s(release, bandit.duration_s),
        )
    ]  # fmt: skip


def batch_id(step_id: str, batch: int) -> str:
    """Return the step id of a batch, as routes, exposures and cohorts name it; from 1."""
    return f"{step_id}-b{batch:04d}"


BANDIT = Strategy(name="bandit", steps=steps)
