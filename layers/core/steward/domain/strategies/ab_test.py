"""A test with fixed shares: one step, looked at with every tick until its planned end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steward.domain.strategies.plan import Outline, Strategy, experiment_hold_s

if TYPE_CHECKING:
    from steward.domain.release_declaration import Release


def steps(release: Release) -> list[Outline]:
    """Return the one step; where it is mirrored, all of the stable version's requests are."""
    test = release.ab_test
    return [
        Outline(
            step_id=f"ab-test-{test.share}", share=test.share, bake_s=test.duration_s,
            phase="ab_test", mirror_percent=100 if test.mirrored else 0,
            hold_s=experiment_hold_s(release, test.duration_s),
        )
    ]  # fmt: skip


AB_TEST = Strategy(name="ab_test", steps=steps)
