"""Leased locks: one training run and one release per project at a time."""

from __future__ import annotations


def training_lock(project: str) -> str:
    """Return the name of the lock that a training run holds."""
    return f"{project}/training"


def release_lock(project: str) -> str:
    """Return the name of the lock that a release holds."""
    return f"{project}/release"


def feature_lock(project: str, group: str, version: int, shard: int) -> str:
    """Return the name of the lock on a shard of a feature group's online records."""
    return f"{project}/features/{group}/v{version}/{shard}"
