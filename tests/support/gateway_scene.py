"""A gateway on fakes, before a scene of a project that serves."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from steward.domain.routes import assign
from steward.ports import StateStore, Table
from steward.service.metric_lines import MetricLog
from steward.service.serving.gateway import Gateway
from steward.service.serving.telemetry import Telemetry
from support.fake_mirror import FakeMirrorQueue
from support.fakes import FakeFeatureReader
from support.serving_scene import PROJECT, ROWS, Scene


@dataclass
class Counter:
    """A gateway with what it wrote.

    Attributes:
        kept: The store of kept assignments; the scene's own unless a test puts another there.
    """

    scene: Scene
    lines: list[str] = field(default_factory=list)
    mirror: FakeMirrorQueue = field(default_factory=FakeMirrorQueue)
    kept: StateStore | None = None
    now: float = 0.0

    def __post_init__(self) -> None:
        self.gateway = self.another()

    def another(self) -> Gateway:
        """Return the gateway of another process, which writes to the same lines."""
        return Gateway(
            state=self.scene.state, endpoints=self.scene.endpoints,
            features=FakeFeatureReader(), assignments=lambda: self.kept or self.scene.state,
            mirror=self.mirror, telemetry=Telemetry(MetricLog("dev", self.lines.append)),
            clock=self.scene.clock, ids=self.scene.ids, timer=lambda: self.now,
        )  # fmt: skip

    def ask(self, entity: str = "p1", features: object = None, **more: object) -> dict[str, Any]:
        body = {"entity_id": entity, "features": ROWS[0] if features is None else features, **more}
        return self.gateway.answer(PROJECT, json.dumps(body).encode()).as_dict()

    def captures(self) -> list[dict[str, Any]]:
        parsed = [json.loads(line) for line in self.lines]
        return [line["capture"] for line in parsed if "capture" in line]

    def metrics(self, role: str) -> list[dict[str, Any]]:
        parsed = [json.loads(line) for line in self.lines]
        return [line for line in parsed if line.get("role") == role]

    def counted(self, name: str) -> float:
        """Return the sum of a metric over all lines."""
        return sum(float(json.loads(line).get(name, 0)) for line in self.lines)

    def route(self, **changes: Any) -> None:
        """Change the route as a release would, and let the gateway read it anew."""
        item = self.scene.state.get(Table.ROUTES, {"project": PROJECT})
        assert item is not None
        self.scene.state.put(Table.ROUTES, {**item, **changes})
        self.now += 1

    def entity_of(self, role: str) -> str:
        """Return an entity that the route assigns to a role."""
        route = self.scene.route()
        assert route is not None
        entities = (f"p{number}" for number in range(10_000))
        return next(entity for entity in entities if assign(route, entity).role == role)
