"""From captured exposures and outcomes to the statistics of a cohort: the unit is the entity.

Analysis is by the arm that an entity was first exposed to, whatever answered it later (intention
to treat). Its requests and outcomes count from its first exposure until ``window_s`` seconds
after it, both ends included; without a window its first request alone counts. Of several outcomes
of one prediction the first counts: by the time that it was observed, then that it was recorded,
then its text. An outcome of an entity belongs to its first request, and counts from that on.

The engine joins and groups; sums over entities are correctly rounded (``math.fsum``) and sums
within an entity run in the order of its requests, so that neither threads nor the order of files
or rows can change a bit of what is frozen (STATISTICS rules 10 and 31).
"""

# ruff: noqa: S608 - expressions are rendered anew, names and values go through literal()

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from steward.domain.experiments.arm_statistics import ArmStatistics
from steward.domain.experiments.captures import OUTCOMES, captured_columns, parquet
from steward.domain.experiments.plan import PAIRED
from steward.domain.experiments.unit_values import (
    UnitStatistics,
    compared,
    difference_of,
    pair_metrics,
)
from steward.domain.experiments.units import UNITS, Design
from steward.domain.expressions import parse
from steward.domain.release_declaration import MetricGuardrail, ReleaseMetric
from steward.domain.strategies.metrics import CAPTURED_COLUMNS
from steward.domain.workspace import Connection, literal

_PREDICTION = "prediction_up"
TWIN = "prediction_down"
"""The answer at the first exposure is frozen once for each direction of harm."""


def _prediction(answers: tuple[float, float]) -> ReleaseMetric:
    """Return the metric of the answer, as a share of its range."""
    low, high = answers
    value = "prediction" if answers == (0.0, 1.0) else f"(prediction - ({low!r})) / {high - low!r}"
    return ReleaseMetric(
        name=_PREDICTION, kind="bounded", value=value, range=(0.0, 1.0),
        guardrail=MetricGuardrail(),
    )  # fmt: skip


class Group(NamedTuple):
    """What a cohort is of, but for its window: a span in milliseconds and a step."""

    span: int
    step: str


@dataclass
class Frame:
    """What is frozen of one group.

    Attributes:
        counts: As in ``FrozenCohort``.
    """

    exposures: dict[str, int] = field(default_factory=dict)
    statistics: dict[str, dict[str, ArmStatistics]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


def features_of(metrics: Sequence[ReleaseMetric]) -> list[str]:
    """Return the features that the expressions of metrics read, in order of their names.

    Raises:
        ExpressionError: An expression is none.
    """
    used: set[str] = set()
    for metric in metrics:
        for text in (metric.value, metric.denominator, metric.covariate):
            used.update(parse(text, None).columns if text is not None else ())
    return sorted(used - set(CAPTURED_COLUMNS))


def freeze_groups(
    connection: Connection,
    design: Design,
    window_s: int,
    groups: Sequence[Group],
    *,
    units: Sequence[Path],
    captures: Sequence[Path],
    outcomes: Sequence[Path],
) -> dict[Group, Frame]:
    """Return the statistics of some groups for the metrics of one window.

    In shadow traffic everything is compared in pairs: both versions answered the same request.
    Elsewhere arms are compared, and what was mirrored beside them is compared in pairs by the
    built-in figures.

    Args:
        connection: The engine.
        design: Of the release.
        window_s: Attribution window.
        groups: Groups that have units.
        units: Units of their spans.
        captures: Captures from a window before the spans until a window after them.
        outcomes: Outcomes observed since the spans began.

    Raises:
        ExpressionError: An expression of a metric is none.
    """
    features = features_of(design.metrics)
    _gather(connection, window_s, groups, units, captures, outcomes, len(features))
    frames = {group: Frame() for group in groups}
    _count(connection, frames, groups, window_s)
    if window_s:
        _count_unknown(connection, frames, design.cohort_s * 1000, window_s * 1000)
    arms = connection.execute("SELECT DISTINCT g, arm FROM members ORDER BY ALL").fetchall()
    phases = {step.step_id: step.phase for step in design.steps}
    in_shadow = {n for n, (g, _) in enumerate(arms) if phases[groups[g].step] == "shadow"}
    answered = set(range(len(arms))) - in_shadow
    metrics = [metric for metric in design.metrics if metric.window_s == window_s]

    def add(name: str, found: UnitStatistics, places: set[int], arm: str | None = None) -> None:
        for n, (g, own) in enumerate(arms):
            frame = frames[groups[g]]
            if n in places and n in found.statistics:
                frame.statistics.setdefault(name, {})[arm or own] = found.statistics[n]
            if n in places:
                frame.counts["unusable_values"] += found.unusable.get(n, 0)

    own_answers = (_prediction(design.answers),) if design.answers and not window_s else ()
    for metric in (*own_answers, *metrics) if answered else ():
        add(metric.name, compared(connection, metric, features), answered)
    for frame in frames.values():
        if _PREDICTION in frame.statistics:
            frame.statistics[TWIN] = frame.statistics[_PREDICTION]
    if not window_s:
        for name, found in pair_metrics(connection, design.slow_ms, design.answers).items():
            add(name, found, set(range(len(arms))), PAIRED)
    for metric in metrics if in_shadow else ():
        if metric.kind in ("binary", "bounded"):
            add(metric.name, difference_of(connection, metric, features), in_shadow, PAIRED)
    _clear(connection)
    return frames


def outcomes_after_freezing(
    connection: Connection,
    window_s: int,
    groups: Sequence[Group],
    *,
    units: Sequence[Path],
    captures: Sequence[Path],
    outcomes: Sequence[Path],
) -> dict[Group, int]:
    """Return how many of some outcomes would have counted, had they come before the freezing.

    Args:
        connection: The engine.
        window_s: Attribution window.
        groups: Groups that are frozen.
        units: Units of their spans.
        captures: Captures from the spans until a window after them.
        outcomes: Outcomes that came since.
    """
    _gather(connection, window_s, groups, units, captures, outcomes, 0)
    found = connection.execute("SELECT g, sum(times) FROM matched WHERE counts GROUP BY g")
    counted = {groups[g]: int(count) for g, count in found.fetchall()}
    _clear(connection)
    return counted


def pending_groups(
    connection: Connection, design: Design, captures: Sequence[Path], since: int
) -> int:
    """Return in how many spans and steps there are exposures from a time on, in milliseconds."""
    steps = ", ".join(literal(step.step_id) for step in design.steps)
    found = connection.execute(f"""
        SELECT count(DISTINCT (asked_at // {design.cohort_s * 1000}, step))
        FROM {parquet(captures, captured_columns(0))}
        WHERE role <> 'shadow' AND asked_at >= {since} AND step IN ({steps})
    """)
    return int(found.fetchall()[0][0])


def _clear(connection: Connection) -> None:
    for table in ("members", "requests", "matched", "asked", "paired"):
        connection.execute(f"DROP TABLE {table}")


def _gather(
    connection: Connection,
    window_s: int,
    groups: Sequence[Group],
    units: Sequence[Path],
    captures: Sequence[Path],
    outcomes: Sequence[Path],
    features: int,
) -> None:
    """Make the tables of one freezing: members, their requests with outcomes, and their pairs."""
    wanted = ", ".join(f"({n}, {g.span}, {literal(g.step)})" for n, g in enumerate(groups))
    window_ms = window_s * 1000
    captured = parquet(captures, captured_columns(features))
    given = "".join(f", f{n}" for n in range(features))
    connection.execute(f"""
        CREATE TEMP TABLE members AS
        WITH wanted(g, span, step) AS (VALUES {wanted}), arms AS (
            SELECT w.g, u.*, dense_rank() OVER (ORDER BY w.g, u.arm) - 1 AS a
            FROM {parquet(units, UNITS)} AS u JOIN wanted AS w USING (span, step) WHERE NOT late
        )
        SELECT row_number() OVER () AS u, g, a::INTEGER AS a, entity, arm, first_at, first_id
        FROM arms
    """)
    connection.execute(f"""
        CREATE TEMP TABLE requests AS
        WITH own AS (
            SELECT m.u, m.g, m.a, m.first_at, c.inference_id, c.asked_at, c.role <> m.arm AS moved,
                c.prediction, c.label, c.latency_ms, c.failed{given},
                row_number() OVER (
                    PARTITION BY c.inference_id, m.u
                    ORDER BY c.asked_at, c.role, c.prediction, c.label, c.latency_ms,
                        c.failed{given}
                ) AS copy
            FROM {captured} AS c JOIN members AS m USING (entity)
            WHERE c.role <> 'shadow' AND {_within("c", window_ms)}
        )
        SELECT * EXCLUDE (copy),
            row_number() OVER (PARTITION BY u ORDER BY asked_at, inference_id) AS r
        FROM own WHERE copy = 1
    """)
    connection.execute(f"""
        CREATE TEMP TABLE matched AS
        WITH told AS (
            SELECT inference_id, entity, outcome, observed, min(recorded) AS recorded,
                count(*) AS times
            FROM {parquet(outcomes, OUTCOMES)} GROUP BY ALL
        )
        SELECT q.u, q.r, q.g, o.outcome, o.observed, o.recorded, o.times,
            o.observed <= q.first_at + {window_ms} AS counts
        FROM told AS o JOIN requests AS q ON q.inference_id = o.inference_id
        UNION ALL
        SELECT m.u, 1, m.g, o.outcome, o.observed, o.recorded, o.times,
            o.observed <= m.first_at + {window_ms}
        FROM told AS o JOIN members AS m ON m.entity = o.entity
        WHERE o.inference_id IS NULL AND o.observed >= m.first_at
    """)
    connection.execute("""
        CREATE TEMP TABLE asked AS
        WITH firsts AS (
            SELECT u, r, arg_min(outcome, row(observed, recorded, outcome)) AS outcome
            FROM matched WHERE counts GROUP BY ALL
        )
        SELECT q.*, f.outcome FROM requests AS q LEFT JOIN firsts AS f USING (u, r)
    """)
    connection.execute(f"""
        CREATE TEMP TABLE paired AS
        WITH shadows AS (
            SELECT pair_id, unnest(arg_min(
                struct_pack(p := prediction, l := label, ms := latency_ms, fails := failed),
                row(asked_at, inference_id)
            ))
            FROM {captured} WHERE role = 'shadow' AND pair_id IS NOT NULL GROUP BY pair_id
        )
        SELECT q.*, s.p AS other_prediction, s.l AS other_label, s.ms AS other_latency_ms,
            s.fails AS other_failed
        FROM asked AS q JOIN shadows AS s ON s.pair_id = q.inference_id
    """)
    connection.execute(f"CREATE OR REPLACE TEMP VIEW told AS FROM {parquet(outcomes, OUTCOMES)}")
    connection.execute(f"CREATE OR REPLACE TEMP VIEW captured AS FROM {captured}")


def _within(captures: str, window_ms: int) -> str:
    """Return SQL for whether a capture is of a member's time; without a window its first alone."""
    if not window_ms:
        return f"{captures}.inference_id = m.first_id"
    return f"{captures}.asked_at BETWEEN m.first_at AND m.first_at + {window_ms}"


def _count(
    connection: Connection, frames: Mapping[Group, Frame], groups: Sequence[Group], window_s: int
) -> None:
    for g, arm, n in connection.execute(
        "SELECT g, arm, count(*) FROM members GROUP BY ALL ORDER BY ALL"
    ).fetchall():
        frames[groups[g]].exposures[arm] = n
    for name, sql in {
        "requests": "SELECT g, count(*) FROM requests GROUP BY g",
        "repeated": f"""
            SELECT m.g, count(*) - count(DISTINCT c.inference_id)
            FROM captured AS c JOIN members AS m USING (entity)
            WHERE c.role <> 'shadow' AND {_within("c", window_s * 1000)} GROUP BY m.g
        """,
        "other_arm": "SELECT g, count(DISTINCT u) FILTER (WHERE moved) FROM requests GROUP BY g",
        "outcomes": """
            SELECT g, count(*) FROM (SELECT DISTINCT g, u, r FROM matched WHERE counts) GROUP BY g
        """,
        "repeated_outcomes": """
            SELECT g, sum(n - 1) FROM (
                SELECT g, u, r, sum(times) AS n FROM matched WHERE counts GROUP BY ALL
            ) GROUP BY g
        """,
        "late_outcomes": "SELECT g, sum(times) FROM matched WHERE NOT counts GROUP BY g",
    }.items():
        found = dict(connection.execute(sql).fetchall())
        for g, group in enumerate(groups):
            frames[group].counts[name] = int(found.get(g) or 0)
    for frame in frames.values():
        frame.counts |= {"unknown_outcomes": 0, "unusable_values": 0}


def _count_unknown(
    connection: Connection, frames: Mapping[Group, Frame], span_ms: int, window_ms: int
) -> None:
    """Count outcomes observed within each span, at its first group, that belong to nothing.

    No request of the release has the id, from a window before the span until its end.
    """
    firsts: dict[int, Group] = {}
    for group in sorted(frames):
        firsts.setdefault(group.span, group)
    spans = ", ".join(map(str, firsts))
    found = connection.execute(f"""
        WITH seen AS (
            SELECT observed // {span_ms} * {span_ms} AS span, span + {span_ms} AS until,
                inference_id, entity
            FROM told WHERE span IN ({spans})
        ), answered AS (FROM captured WHERE role <> 'shadow')
        SELECT span, count(*) FROM (
            SELECT s.span, c.asked_at FROM seen AS s ASOF LEFT JOIN answered AS c
                ON c.inference_id = s.inference_id AND c.asked_at < s.until
            WHERE s.inference_id IS NOT NULL
            UNION ALL
            SELECT s.span, c.asked_at FROM seen AS s ASOF LEFT JOIN answered AS c
                ON c.entity = s.entity AND c.asked_at < s.until
            WHERE s.inference_id IS NULL
        ) WHERE coalesce(asked_at < span - {window_ms}, true) GROUP BY span
    """).fetchall()
    for span, count in found:
        frames[firsts[span]].counts["unknown_outcomes"] = count
