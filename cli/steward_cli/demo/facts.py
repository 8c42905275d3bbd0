"""What the demo saw: the one record that the summary and the report are made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from steward_cli.asking import Asked
from steward_cli.demo.cards import VersionCard
from steward_cli.demo.feed import Heard

if TYPE_CHECKING:
    from steward.domain.monitoring.looks import Look


@dataclass
class Chapter:
    """One step of the story with the time it took and what it showed."""

    number: int
    title: str
    started: float = 0.0
    seconds: float = 0.0
    shown: list[str] = field(default_factory=list)


@dataclass
class Window:
    """Requests sent together: each patient at most once."""

    name: str
    release_version: int | None
    asked: list[Asked] = field(default_factory=list)


@dataclass(frozen=True)
class Built:
    """A dataset of the story, and what building it again showed.

    Attributes:
        later_knowledge: Rows that a join by event time alone would have given a value that was
            not known at their prediction time.
        equal: Whether the rebuilt rows and bytes are the same.
    """

    dataset_id: str
    rows: int
    views: tuple[str, ...]
    cutoff: str
    later_knowledge: int
    logical_digest: str
    equal: bool


@dataclass(frozen=True)
class MonitoredHour:
    """What monitoring said of one hour.

    Attributes:
        name: Which patients asked.
        look: The record.
        picture: The ages now and in the baseline, as SVG; empty without counts.
    """

    name: str
    look: Look
    picture: str


@dataclass
class Facts:
    """Everything that the story measured and read back from the stack."""

    started_at: float = 0.0
    seconds: float = 0.0
    time_scale: float = 1.0
    deploy_s: float = 0.0
    chapters: list[Chapter] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    events: list[Heard] = field(default_factory=list)
    versions: list[dict[str, Any]] = field(default_factory=list)
    evaluations: dict[int, dict[str, Any]] = field(default_factory=dict)
    comparisons: dict[int, dict[str, Any]] = field(default_factory=dict)
    executions: list[dict[str, Any]] = field(default_factory=list)
    deliveries: list[dict[str, Any]] = field(default_factory=list)
    suppressed: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    releases: list[dict[str, Any]] = field(default_factory=list)
    route: dict[str, Any] = field(default_factory=dict)
    mails: list[dict[str, Any]] = field(default_factory=list)
    costs: list[dict[str, Any]] = field(default_factory=list)
    datasets: list[Built] = field(default_factory=list)
    monitored: list[MonitoredHour] = field(default_factory=list)
    replayed: set[str] = field(default_factory=set)
    retraining: dict[str, Any] = field(default_factory=dict)
    commit: dict[str, Any] = field(default_factory=dict)
    audit: dict[str, Any] = field(default_factory=dict)
    cards: list[VersionCard] = field(default_factory=list)
    lineage: str = ""
    lineage_nodes: int = 0
    exposures: int = 0
    exposure_objects: int = 0
    fault_to_alarm_s: float | None = None
    alarm_to_zero_s: float | None = None
    first_fault_at: float | None = None
    alarm_at: float | None = None
    alarm: str = ""
    refused_author: str = ""
    voided_approval: str = ""

    @property
    def requests(self) -> list[Asked]:
        """All requests of all windows."""
        return [asked for window in self.windows for asked in window.asked]

    @property
    def captured_lines(self) -> int:
        """Lines in the capture bucket: those of requests, and those of the monitored hours."""
        return len(self.requests) + len(self.replayed)

    @property
    def lost(self) -> int:
        """Requests that got no prediction."""
        return sum(1 for asked in self.requests if asked.status != 200)
