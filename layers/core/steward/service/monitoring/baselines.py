"""Baselines of versions as monitoring reads them: by the version's item, checked by digest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from pydantic import ValidationError

from steward.domain.errors import EvidenceIncompleteError
from steward.domain.monitoring.baseline import Baseline
from steward.domain.versions import version_item
from steward.ports import Item, ObjectStore, StateStore, Table


@dataclass(frozen=True)
class Found:
    """The baseline of a version, or why there is none.

    Attributes:
        uri: Where it lies.
        missing: Why nothing can be judged.
    """

    baseline: Baseline | None = None
    uri: str | None = None
    missing: str = ""


@dataclass
class Baselines:
    """Baselines that were read, each once."""

    state: StateStore
    objects: ObjectStore
    _known: dict[tuple[str, int], Found] = field(default_factory=dict)

    def of(self, project: str, version: int) -> Found:
        """Return the baseline of a version."""
        key = (project, version)
        if key not in self._known:
            self._known[key] = self._read(project, version)
        return self._known[key]

    def _read(self, project: str, version: int) -> Found:
        item = self.state.get(Table.VERSIONS, {"project": project, "item": version_item(version)})
        if item is None:
            return Found(missing=f"{project} has no version {version}")
        named = item.get("baseline")
        if not isinstance(named, dict):
            return Found(missing=f"version {version} has no baseline")
        return self._checked(version, named)

    def _checked(self, version: int, named: Item) -> Found:
        uri = str(named["uri"])
        try:
            content = self.objects.read(uri)
        except EvidenceIncompleteError:
            return Found(missing=f"the baseline of version {version} is gone from {uri}", uri=uri)
        try:
            baseline = Baseline.model_validate_json(content)
        except ValidationError:
            return Found(missing=f"the baseline of version {version} at {uri} is none", uri=uri)
        if named.get("digest") not in (hashlib.sha256(content).hexdigest(), baseline.digest):
            return Found(
                missing=f"the baseline of version {version} at {uri} is not the one registered",
                uri=uri,
            )
        return Found(baseline, uri)
