"""Units: whom an experiment counts, once, where they were exposed first.

An entity's first exposure, by time and then inference id, decides its arm, step and span for
good: units of a range of time are found once and kept, and whoever is known is no unit of a later
range. Shadow traffic exposes nobody to the candidate, so that its entities are counted apart from
those of the steps that follow it. An entity whose first exposure lies in a range whose units were
found before is late: it is left out for good, and counted.
"""

# ruff: noqa: S608 - names and values go through literal()

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from steward.domain.experiments.arm_statistics import Frozen
from steward.domain.experiments.captures import captured_columns, parquet
from steward.domain.release_declaration import ReleaseMetric
from steward.domain.workspace import Connection, literal

UNITS = {
    "entity": "VARCHAR", "pool": "VARCHAR", "step": "VARCHAR", "arm": "VARCHAR",
    "first_at": "BIGINT", "first_id": "VARCHAR", "span": "BIGINT", "late": "BOOLEAN",
}  # fmt: skip
"""Columns of units with their types; times in milliseconds."""


class Step(Frozen):
    """A step as the experiment's head item has it."""

    step_id: str
    phase: str
    propensities: dict[str, float]

    @property
    def pool(self) -> str:
        """Within a pool an entity counts once."""
        return "shadow" if self.phase == "shadow" else "traffic"


class Design(Frozen):
    """What is frozen of a release; fixed when it is planned, but for its steps.

    Attributes:
        steps: Those that it has entered.
        slow_ms: An answer above this is slow (pairs).
        answers: Least and largest answer, which predictions are compared on the scale of; None
            where a regression declares none, whose predictions are then not compared.
    """

    project: str
    release_id: str
    steps: tuple[Step, ...]
    metrics: tuple[ReleaseMetric, ...]
    cohort_s: int
    lateness_s: int
    slow_ms: int
    answers: tuple[float, float] | None = (0.0, 1.0)

    @property
    def windows(self) -> list[int]:
        """Attribution windows, in seconds; what needs no outcome has none."""
        return sorted({0} | {metric.window_s for metric in self.metrics})


@dataclass(frozen=True)
class UnitsFound:
    """The units of a range.

    Attributes:
        groups: Span in milliseconds, step and number of units.
        late: Entities that are left out.
    """

    rows: int
    groups: list[tuple[int, str, int]]
    late: int


def find_units(
    connection: Connection,
    captures: Sequence[Path],
    known: Sequence[Path],
    target: Path,
    design: Design,
    between: tuple[int, int],
) -> UnitsFound:
    """Write the units whose first exposure lies in a range, and the late ones.

    Args:
        connection: The engine.
        captures: Captures of the range, and all that came since the range before.
        known: Units of all ranges before.
        target: Parquet file to write.
        design: Of the release.
        between: Begin and end of the range in milliseconds; the end is not part of it.
    """
    begin, end = between
    steps = ", ".join(f"({literal(s.step_id)}, {literal(s.pool)})" for s in design.steps)
    span_ms = design.cohort_s * 1000
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE found AS
        WITH steps(step, pool) AS (VALUES {steps}),
        firsts AS (
            SELECT c.entity, s.pool, min(c.asked_at) AS first_at,
                arg_min(
                    struct_pack(step := c.step, arm := c.role, id := c.inference_id),
                    row(c.asked_at, c.inference_id)
                ) AS f
            FROM {parquet(captures, captured_columns(0))} AS c JOIN steps AS s ON s.step = c.step
            WHERE c.role <> 'shadow' AND c.asked_at < {end}
            GROUP BY ALL
        )
        SELECT entity, pool, f.step AS step, f.arm AS arm, first_at, f.id AS first_id,
            first_at // {span_ms} * {span_ms} AS span, first_at < {begin} AS late
        FROM firsts ANTI JOIN {parquet(known, UNITS)} AS k USING (entity, pool)
    """)
    groups = connection.execute(
        "SELECT span, step, count(*) FROM found WHERE NOT late GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    rows, late = connection.execute(
        "SELECT count(*), count(*) FILTER (WHERE late) FROM found"
    ).fetchall()[0]
    if rows:
        connection.execute(
            f"COPY (FROM found ORDER BY span, step, entity) TO {literal(str(target))}"
            " (FORMAT parquet)"
        )
    connection.execute("DROP TABLE found")
    return UnitsFound(rows, groups, late)


def merge_units(connection: Connection, files: Sequence[Path], target: Path) -> None:
    """Write whom some files of units know into one."""
    connection.execute(
        f"COPY (FROM {parquet(files, UNITS)}) TO {literal(str(target))} (FORMAT parquet)"
    )


def milliseconds(at: datetime) -> int:
    """Return a time in milliseconds since 1970."""
    return int(at.astimezone(UTC).timestamp() * 1000)
