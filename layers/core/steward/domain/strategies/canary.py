"""A small share first, then larger ones: each bakes and is judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steward.domain.strategies.plan import Outline, Strategy, ramp

if TYPE_CHECKING:
    from steward.domain.release_declaration import Release


def steps(release: Release) -> list[Outline]:
    """Return a step per declared share, each advancing only after its requests."""
    return ramp("canary", release.steps, release, needs_requests=True)


CANARY = Strategy(name="canary", steps=steps)
