"""Shadow traffic: the candidate answers copies, unseen, and pairs of answers are compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steward.domain.strategies.plan import Outline, Strategy, experiment_hold_s

if TYPE_CHECKING:
    from steward.domain.release_declaration import Release


def steps(release: Release) -> list[Outline]:
    """Return the one step, in which the stable version answers everyone."""
    shadow = release.shadow
    return [
        Outline(
            step_id=f"shadow-{shadow.percent}", share=0, bake_s=shadow.duration_s, phase="shadow",
            mirror_percent=shadow.percent, hold_s=experiment_hold_s(release, shadow.duration_s),
        )
    ]  # fmt: skip


SHADOW = Strategy(name="shadow", steps=steps)
