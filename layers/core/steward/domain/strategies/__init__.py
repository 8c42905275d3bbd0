"""Release strategies: each a pure plan of steps, judged after each bake.

A new strategy is a new module here and one line in ``STRATEGIES``.
"""

from __future__ import annotations

from steward.domain.errors import ReleaseNotAllowedError
from steward.domain.strategies import all_at_once, canary
from steward.domain.strategies.plan import Plan, Planned, Strategy

__all__ = ["STRATEGIES", "Plan", "Planned", "Strategy", "strategy_for"]

STRATEGIES: dict[str, Strategy] = {
    strategy.name: strategy for strategy in (all_at_once.ALL_AT_ONCE, canary.CANARY)
}


def strategy_for(name: str, router: str, *, first: bool) -> Strategy:
    """Return the strategy of a release; a first release has nothing to share traffic with.

    Raises:
        ReleaseNotAllowedError: The router cannot play the strategy, or nobody knows it.
    """
    strategy = STRATEGIES.get(name)
    if strategy is None:
        raise ReleaseNotAllowedError(
            f"no strategy {name!r}", field="release.strategy", value=name,
            allowed=", ".join(sorted(STRATEGIES)),
        )  # fmt: skip
    if router not in strategy.routers:
        raise ReleaseNotAllowedError(
            f"the router {router} cannot play {name}", field="release.strategy", value=name,
            allowed=", ".join(n for n, s in sorted(STRATEGIES.items()) if router in s.routers),
        )  # fmt: skip
    return all_at_once.ALL_AT_ONCE if first else strategy
