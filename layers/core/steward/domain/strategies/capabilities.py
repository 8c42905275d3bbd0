"""What each router can do of each strategy: the matrix, and refusals that say why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steward.domain.errors import ReleaseNotAllowedError
from steward.domain.strategies.metrics import judged

if TYPE_CHECKING:
    from steward.domain.release_declaration import Release, ReleaseMetric

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

LEAST_VARIANT_BAKE_S = 120
"""SageMaker publishes the metrics of variants every 60 s."""


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
    _check_ramp(release)
    _check_pairs(release)
    for metric in release.metrics:
        _check_captured(metric)
        if metric.aggregate != "first":
            raise _refused(
                f"metric {metric.name}: the unit of {router} is the request, so that there is "
                "nothing to aggregate",
                f"release.metrics.{metric.name}.aggregate", metric.aggregate, ["first"],
            )  # fmt: skip


def check_router(served_by: str, router: str) -> None:
    """Refuse to release by another router than the one that serves.

    Args:
        served_by: Of the project's route.
        router: ``serving.router`` of the project.

    Raises:
        ReleaseNotAllowedError: They differ.
    """
    if served_by != router:
        raise _refused(
            f"the versions that serve are routed by {served_by}: a project's router is chosen "
            "before its first release",
            "serving.router", router, [served_by, "another router in a new project"],
        )  # fmt: skip


def _check_ramp(release: Release) -> None:
    ramps = release.strategy in ("all_at_once", "canary", "linear")
    if ramps and release.bake_s < LEAST_VARIANT_BAKE_S:
        raise _refused(
            f"a bake of {release.bake_s} s: CloudWatch has a variant's invocations by the minute, "
            "and the minute of the shift belongs to neither step",
            "release.bake_s", release.bake_s, [f"at least {LEAST_VARIANT_BAKE_S} s"],
        )  # fmt: skip


def _check_pairs(release: Release) -> None:
    shadows = release.strategy == "shadow" or release.shadow_first
    compared = any(metric.guardrail is not None for metric in judged(release, "shadow"))
    if shadows and release.shadow.max_difference is None and not compared:
        raise _refused(
            "SageMaker captures neither failures nor latency: pairs of answers are compared by "
            "predictions or declared guardrails, and none is declared",
            "release.shadow.max_difference", None,
            ["a mean difference", "a guardrail in release.metrics"],
        )  # fmt: skip


def _check_captured(metric: ReleaseMetric) -> None:
    from steward.domain.expressions import ExpressionError, parse  # large, and few need it

    for name in ("value", "denominator"):
        text = getattr(metric, name)
        try:
            used = parse(text, None).columns if text else ()
        except ExpressionError:
            continue  # check_metrics says so
        unknown = sorted({"latency_ms", "failed"}.intersection(used))
        if unknown:
            raise _refused(
                f"metric {metric.name}: SageMaker's data capture holds answered requests, "
                f"without {' and '.join(unknown)}",
                f"release.metrics.{metric.name}.{name}", text,
                ["outcome", "prediction", "label", "features"],
            )  # fmt: skip


def _refused(message: str, field: str, value: object, allowed: list[str]) -> ReleaseNotAllowedError:
    return ReleaseNotAllowedError(message, field=field, value=value, allowed=", ".join(allowed))
