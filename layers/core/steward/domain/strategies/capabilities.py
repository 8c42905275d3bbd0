"""What each router can do of each strategy: the matrix, and refusals that say why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steward.domain.errors import ReleaseNotAllowedError

if TYPE_CHECKING:
    from steward.domain.release_declaration import Release

STRATEGY_NAMES = ("all_at_once", "canary", "linear", "ab_test", "bandit", "shadow")

_BANDIT = (
    "its shares go down as well as up, so each entity's first version must be stored, and "
    "production variants know no entities: the draw is made anew for each request"
)
CAPABILITIES: dict[str, dict[str, str | None]] = {
    "gateway": dict.fromkeys(STRATEGY_NAMES),
    "endpoint_variants": {**dict.fromkeys(STRATEGY_NAMES), "bandit": _BANDIT},
}
"""By router and strategy: None where it can be played, else why it cannot.

The unit of the gateway is the entity, that of endpoint variants the request.
"""


def check_capability(release: Release, router: str) -> None:
    """Refuse what a router cannot play.

    Raises:
        ReleaseNotAllowedError: With the reason, and what the router can do.
    """
    name = release.strategy
    strategies = CAPABILITIES.get(router)
    if strategies is None:
        raise _refused(f"no router {router!r}", "serving.router", router, sorted(CAPABILITIES))
    if name not in strategies:
        raise _refused(f"no strategy {name!r}", "release.strategy", name, sorted(strategies))
    able = [strategy for strategy, reason in strategies.items() if reason is None]
    if strategies[name] is not None:
        told = f"the router {router} cannot play {name}: {strategies[name]}"
        raise _refused(told, "release.strategy", name, able)
    if router == "gateway":
        return
    if name == "ab_test" and release.ab_test.mirrored:
        raise _refused(
            f"the router {router} cannot mirror an A/B test: an endpoint has at most one shadow "
            "variant, and then only one production variant",
            "release.ab_test.mirrored", True, ["false"],
        )  # fmt: skip
    for metric in release.metrics:
        if metric.aggregate != "first":
            raise _refused(
                f"metric {metric.name}: the unit of {router} is the request, so that there is "
                "nothing to aggregate",
                f"release.metrics.{metric.name}.aggregate", metric.aggregate, ["first"],
            )  # fmt: skip


def _refused(message: str, field: str, value: object, allowed: list[str]) -> ReleaseNotAllowedError:
    return ReleaseNotAllowedError(message, field=field, value=value, allowed=", ".join(allowed))
