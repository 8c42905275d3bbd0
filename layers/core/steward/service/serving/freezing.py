"""Use case: freeze the cohorts of a release whose time has come, each once and for good."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from steward.contracts.steps.serving import CohortsFrozen, FreezeCohorts
from steward.domain.digests import canonical_json
from steward.domain.errors import ConflictError
from steward.domain.experiments.cohorts import (
    FrozenCohort,
    cohort_item,
    cohorts_of,
    late_item,
    span_of,
    units_item,
    units_of,
)
from steward.domain.experiments.freezing import (
    Frame,
    Group,
    freeze_groups,
    outcomes_after_freezing,
    pending_groups,
)
from steward.domain.experiments.units import Design, find_units, merge_units, milliseconds
from steward.domain.workspace import Limits
from steward.ports import Absent, Clock, Equals, Item, ObjectStore, Put, StateStore, Table, Update
from steward.service.serving.captured import Store, keep_new
from steward.service.serving.experiments import head_of

MAX_SPANS = 2000
"""Spans whose units are found at a time."""

SHADOW_MS = 600_000
"""How long after a request a shadow may still answer its copy."""

_LAYERS = 2
"""A file of units is merged with the one before it unless that is so many times as large."""


def freeze_cohorts(
    command: FreezeCohorts,
    *,
    state: StateStore,
    objects: ObjectStore,
    clock: Clock,
    limits: Limits,
    capture_bucket: str,
    artifacts_bucket: str,
) -> CohortsFrozen:
    """Freeze what has matured: the end of its span, its window and the lateness have passed.

    Whoever was exposed first within a span is found once, when the lateness has passed since
    its end; each window freezes later, over the same units. Objects are written where nothing is
    and pointed to by an item with their digest. A run that breaks off anywhere is done again and
    finds what it left; another one at the same time changes nothing twice. A release that no
    captured metric judges freezes nothing.

    Raises:
        EvidenceIncompleteError: The release was never planned, or something kept is gone.
        ConflictError: Somebody else freezes the same release.
    """
    head = head_of(state, command.project, command.release_id)
    written = canonical_json(
        {
            "project": command.project,
            "release_id": command.release_id,
            "steps": [
                {name: step[name] for name in ("step_id", "phase", "propensities")}
                for step in head["steps"]
            ],
            **{name: head[name] for name in ("metrics", "cohort_s", "lateness_s", "slow_ms")},
            **({"answers": head["answers"]} if "answers" in head else {}),
        }
    )
    design = Design.model_validate_json(written)
    if not design.steps or not head["captured"]:
        return CohortsFrozen(frozen=0, waiting=0)
    store = Store(
        objects, limits, capture_bucket, artifacts_bucket, command.project, command.release_id
    )
    return _Freezing(design, store, state, clock.now(), str(head["started_at"])).run()


@dataclass
class _Freezing:
    design: Design
    store: Store
    state: StateStore
    now: datetime
    started_at: str
    ingests: list[Item] = field(default_factory=list)
    units: list[Item] = field(default_factory=list)

    def run(self) -> CohortsFrozen:
        self.ingests = keep_new(self.store, self.state, self.design, self.started_at, self.now)
        self.units = self._query(units_of(self.design.release_id))
        self._find_units()
        pointers = self._query(cohorts_of(self.design.release_id))
        frozen, waiting = 0, self._pending()
        done = {(p["step_id"], p["window_s"], p["span"]) for p in pointers}
        for window_s in self.design.windows:
            for item in self.units:
                due, rest = self._split(item, window_s, done)
                waiting += rest
                if due:
                    self._freeze(item, window_s, due)
                    frozen += len(due)
        self._count_late(pointers)
        return CohortsFrozen(frozen=frozen, waiting=waiting)

    def _query(self, prefix: str) -> list[Item]:
        return self.state.query(Table.EXPERIMENTS, self.design.project, prefix=prefix)

    @property
    def _span_ms(self) -> int:
        return self.design.cohort_s * 1000

    def _begin(self) -> int:
        """Return the begin of the first span whose units are not known."""
        if self.units:
            return int(self.units[-1]["until_ms"])
        return (
            milliseconds(datetime.fromisoformat(self.started_at)) // self._span_ms * self._span_ms
        )

    def _find_units(self) -> None:
        mature = milliseconds(self.now) - self.design.lateness_s * 1000
        while True:
            begin = self._begin()
            end = min(mature // self._span_ms, begin // self._span_ms + MAX_SPANS) * self._span_ms
            if end <= begin:
                return
            self._find_units_of(begin, end)

    def _find_units_of(self, begin: int, end: int) -> None:
        last: Item = self.units[-1] if self.units else {"known": [], "ingests": 0}
        captures = [
            item.get("captures_uri")
            for item in self.ingests
            if item.get("captures_last", 0) >= begin or item["number"] > last["ingests"]
        ]
        known = [(str(uri), int(rows)) for uri, rows in last["known"]]
        span = _span(begin)
        target = self.store.limits.folder / f"units-{span}.parquet"
        with self.store.engine("units") as connection:
            found = find_units(
                connection, self.store.files(captures), self.store.files(u for u, _ in known),
                target, self.design, (begin, end),
            )  # fmt: skip
            uri = None
            if found.rows:
                uri = self.store.keep(target, "units")
                known.append((uri, found.rows))
                while len(known) > 1 and known[-2][1] <= _LAYERS * known[-1][1]:
                    merged = self.store.limits.folder / f"known-{span}-{len(known)}.parquet"
                    merge_units(connection, self.store.files(u for u, _ in known[-2:]), merged)
                    rows = known[-2][1] + known[-1][1]
                    known[-2:] = [(self.store.keep(merged, "units"), rows)]
        item = {
            "project": self.design.project,
            "item": units_item(self.design.release_id, span),
            "begin_ms": begin,
            "until_ms": end,
            "uri": uri,
            "units": sum(n for _, _, n in found.groups),
            "late": found.late,
            "groups": [[span_ms, step_id] for span_ms, step_id, _ in found.groups],
            "known": [list(part) for part in known],
            "ingests": len(self.ingests),
        }
        self.state.commit([Put(Table.EXPERIMENTS, item, (Absent(),))])
        self.units.append(item)

    def _pending(self) -> int:
        """Return how many cohorts are to come of spans whose units are not known yet."""
        begin = self._begin()
        late = [i["captures_uri"] for i in self.ingests if i.get("captures_last", 0) >= begin]
        if not late:
            return 0
        with self.store.engine("pending") as connection:
            groups = pending_groups(connection, self.design, self.store.files(late), begin)
        return groups * len(self.design.windows)

    def _split(
        self, item: Item, window_s: int, done: set[tuple[str, int, str]]
    ) -> tuple[list[Group], int]:
        """Return the groups of some units that are to be frozen now, and how many wait."""
        left = [
            Group(int(span), str(step_id))
            for span, step_id in item["groups"]
            if (step_id, window_s, _span(int(span))) not in done
        ]
        after_ms = self._span_ms + (window_s + self.design.lateness_s) * 1000
        due = [group for group in left if group.span + after_ms <= milliseconds(self.now)]
        return due, len(left) - len(due)

    def _captures(
        self, groups: Sequence[Group], window_s: int, *, before: bool
    ) -> list[str | None]:
        window_ms = window_s * 1000
        begin = min(group.span for group in groups) - (window_ms if before else 0)
        end = max(group.span for group in groups) + self._span_ms + window_ms + SHADOW_MS
        return [
            item["captures_uri"]
            for item in self.ingests
            if "captures_uri" in item
            and item["captures_last"] >= begin
            and item["captures_first"] <= end
        ]

    def _freeze(self, item: Item, window_s: int, groups: Sequence[Group]) -> None:
        files = self.store.files
        first = min(group.span for group in groups)
        outcomes = [
            i["outcomes_uri"]
            for i in self.ingests
            if window_s and i.get("outcomes_last", 0) >= first
        ]
        with self.store.engine("freezing") as connection:
            frames = freeze_groups(
                connection, self.design, window_s, groups, units=files([item["uri"]]),
                captures=files(self._captures(groups, window_s, before=True)),
                outcomes=files(outcomes),
            )  # fmt: skip
        for group in groups:
            self._write(group, window_s, frames[group])

    def _write(self, group: Group, window_s: int, frame: Frame) -> None:
        """Write a cohort where there is none, and point to whatever is there."""
        [step] = [step for step in self.design.steps if step.step_id == group.step]
        cohort = FrozenCohort(
            step_id=group.step, span=_span(group.span), window_s=window_s,
            frozen_at=self.now.isoformat(timespec="milliseconds"),
            propensities=step.propensities, exposures=frame.exposures,
            statistics=frame.statistics, counts=frame.counts,
        )  # fmt: skip
        uri = f"{self.store.prefix}cohorts/{cohort.cohort_id}.json"
        if not self.store.objects.write_once(uri, canonical_json(cohort.model_dump(mode="json"))):
            cohort = FrozenCohort.model_validate(json.loads(self.store.objects.read(uri)))
        pointer = {
            "project": self.design.project,
            "item": cohort_item(self.design.release_id, cohort.cohort_id),
            "step_id": cohort.step_id,
            "span": cohort.span,
            "window_s": window_s,
            "digest": cohort.digest,
            "uri": uri,
            "frozen_at": cohort.frozen_at,
            "exposures": cohort.exposures,
            "outcomes_through": len(self.ingests),
            "late_outcomes": 0,
        }
        try:
            self.state.commit([Put(Table.EXPERIMENTS, pointer, (Absent(),))])
        except ConflictError:
            return  # another run points to the same object

    def _count_late(self, pointers: Sequence[Item]) -> None:
        """Count outcomes that came for cohorts after these were frozen."""
        key = {"project": self.design.project, "item": late_item(self.design.release_id)}
        known = self.state.get(Table.EXPERIMENTS, key)
        through = int(known["through"]) if known else 0
        for ingest in self.ingests[through:]:
            if "outcomes_uri" in ingest:
                self._count_late_of(ingest, pointers)
            number = ingest["number"]
            expect = Equals("through", number - 1) if number > 1 else Absent()
            change = Put(Table.EXPERIMENTS, {**key, "through": number}, (expect,))
            self.state.commit([change])

    def _count_late_of(self, ingest: Item, pointers: Sequence[Item]) -> None:
        number, files = ingest["number"], self.store.files
        old = {
            (p["step_id"], p["window_s"], p["span"]): p
            for p in pointers
            if p["outcomes_through"] < number and p["window_s"]
        }
        for window_s in {window for _, window, _ in old}:
            for item in self.units:
                groups = [
                    Group(int(span), str(step_id))
                    for span, step_id in item["groups"]
                    if (step_id, window_s, _span(int(span))) in old
                    and int(span) <= ingest["outcomes_last"]
                    and int(span) + self._span_ms + window_s * 1000 >= ingest["outcomes_first"]
                ]
                if not groups:
                    continue
                with self.store.engine("late") as connection:
                    found = outcomes_after_freezing(
                        connection, window_s, groups, units=files([item["uri"]]),
                        captures=files(self._captures(groups, window_s, before=False)),
                        outcomes=files([ingest["outcomes_uri"]]),
                    )  # fmt: skip
                for group, count in found.items():
                    self._add_late(old[(group.step, window_s, _span(group.span))], count, number)

    def _add_late(self, pointer: Item, count: int, number: int) -> None:
        through = pointer["outcomes_through"]
        pointer["late_outcomes"] += count
        pointer["outcomes_through"] = number
        self.state.commit(
            [
                Update(
                    Table.EXPERIMENTS,
                    {"project": pointer["project"], "item": pointer["item"]},
                    set={"late_outcomes": pointer["late_outcomes"], "outcomes_through": number},
                    expect=(Equals("outcomes_through", through),),
                )
            ]
        )


def _span(begin_ms: int) -> str:
    return span_of(datetime.fromtimestamp(begin_ms / 1000, UTC), 1)
