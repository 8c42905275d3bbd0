"""Use case: how old the newest row of each feature is, on a schedule."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from steward.domain.feature_versions import statistics_item
from steward.ports import Clock, StateStore, Table
from steward.service.feature_catalog import GroupVersion, group_versions
from steward.service.metric_lines import MetricLog


def measure_freshness(*, state: StateStore, clock: Clock, metrics: MetricLog) -> dict[str, float]:
    """Emit ``FeatureAge`` of every active version, and of each of its features.

    The age of what was never fed is that of the version. Alarms are in the projects' stacks.

    Returns:
        Seconds by ``<project>/<group>/v<N>``.
    """
    ages = {}
    now = clock.now()
    for project in state.scan(Table.PROJECTS):
        name = project["project"]
        for version in group_versions(state, name, active=True):
            key = {
                "project": name,
                "item": statistics_item(version.group.feature_group, version.version),
            }
            known = state.get(Table.FEATURES, key) or {}
            dimensions = {"project": name, "feature_group": version.label}
            age = _age(known.get("newest_event_time"), version, now)
            ages[f"{name}/{version.label}"] = age
            metrics.put(dimensions, now, {"FeatureAge": (age, "Seconds")})
            features: dict[str, Any] = known.get("features", {})
            for feature, described in features.items():
                of_feature = _age(described.get("newest_event_time"), version, now)
                line = {"FeatureAge": (of_feature, "Seconds")}
                metrics.put({**dimensions, "feature": feature}, now, line)
    return ages


def _age(newest: str | None, version: GroupVersion, now: datetime) -> float:
    since = datetime.fromisoformat(newest or str(version.item["created_at"]))
    return max(0.0, round((now - since).total_seconds(), 3))
