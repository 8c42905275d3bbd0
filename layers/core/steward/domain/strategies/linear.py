"""Equal steps up to everything: each bakes and is judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steward.domain.strategies.plan import Outline, Strategy, ramp

if TYPE_CHECKING:
    from steward.domain.release_declaration import Release


def steps(release: Release) -> list[Outline]:
    """Return steps that each add the declared share; the last one adds what is left to 100."""
    every = release.linear.step_percent
    return ramp("linear", [*range(every, 100, every), 100], release, needs_requests=True)


LINEAR = Strategy(name="linear", steps=steps)
