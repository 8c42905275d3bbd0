"""Everything in one step: for a first version, or where nobody minds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steward.domain.strategies.plan import Outline, Strategy, ramp

if TYPE_CHECKING:
    from steward.domain.release_declaration import Release


def steps(release: Release) -> list[Outline]:
    """Return one step at 100 percent, which advances after its bake unless harm is proven.

    It does not wait for requests: a first version has no traffic before it is live.
    """
    return ramp("all-at-once", [100], release, needs_requests=False)


ALL_AT_ONCE = Strategy(name="all_at_once", steps=steps)
