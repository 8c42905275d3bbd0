"""Alarms that hold over time: trailing sums over many horizons, at every hourly look.

At each look, for each horizon, one p-value a column and Benjamini-Hochberg over the columns at
``alpha / (looks * horizons)``. By the union bound the chance of any alarm within ``looks`` looks
without drift is at most ``alpha``; each comparison is a two-sample test, so that it holds although
the reference is a sample, too (STATISTICS.md, rule 19). After that many looks the probability is
that of the next as many: it is stated for a named span, never for ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Literal

from pydantic import Field

from steward.domain.digests import digest_of
from steward.domain.monitoring.baseline import Baseline
from steward.domain.monitoring.column_tests import ColumnTest
from steward.domain.monitoring.counts import Count, Frozen
from steward.domain.monitoring.dispersion import Dispersion
from steward.domain.monitoring.entity_samples import EntitySample, merge_samples, profile_sample
from steward.domain.monitoring.profiles import Profile, merge
from steward.domain.monitoring.seasons import SeasonalReference
from steward.domain.monitoring.verdicts import compare_columns, require_cells
from steward.domain.p_values import Adjustment, adjusted

HORIZONS = (1, 2, 4, 8, 16, 24, 48, 96, 168, 336)
AlarmState = Literal["quiet", "alarm", "inconclusive", "no_data"]


class AlarmSettings(Frozen):
    """What alarms are made with.

    Attributes:
        alpha: Probability of any false alarm within ``looks`` looks.
        looks: Looks over which it holds; one an hour.
        horizons: Hours of the trailing sums.
        method: Adjustment over columns, at each horizon of each look.
        min_effect: Floor as in ``WindowSettings``.
        least_rows: Rows below which a horizon is not judged.
        cycle_hours: Length of a season: None for none, 24 or 168. Horizons that are no whole
            cycles are then compared with hour-matched references alone.
        statistic: Test of categories.
    """

    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    looks: int = Field(default=336, ge=1)
    horizons: tuple[int, ...] = HORIZONS
    method: Adjustment = "benjamini_hochberg"
    min_effect: float = Field(default=0.02, ge=0, lt=1)
    least_rows: int = Field(default=50, ge=20)
    cycle_hours: Literal[24, 168] | None = None
    statistic: Literal["chi2", "g"] = "chi2"

    @property
    def level(self) -> float:
        """Level of one horizon at one look."""
        return self.alpha / (self.looks * len(self.horizons))


class Trailing(Frozen):
    """The sum of a horizon.

    Attributes:
        horizon: Hours.
        hours: Those that are in it, since the epoch.
        window: Sum of their profiles.
        reference: What it is compared with; None for the baseline's own counts.
    """

    horizon: int
    hours: tuple[int, ...]
    window: Profile
    reference: Profile | None = None


class ColumnAlarm(Frozen):
    """A column that alarms.

    Attributes:
        column: Its name.
        horizon: Hours of the trailing sum with the smallest p-value.
        since: First hour of that sum, since the epoch.
        p: Its p-value there.
        adjusted_p: Over the columns of that horizon.
        effect: Corrected for chance.
    """

    column: str
    horizon: int
    since: int
    p: float
    adjusted_p: float
    effect: float


class AlarmVerdict(Frozen):
    """What is said at one look.

    Attributes:
        state: ``inconclusive``: no horizon had enough rows, or none had a reference.
        why: One sentence.
        hour: Last hour that was looked at, since the epoch.
        settings: As given.
        baseline: Digest of the baseline.
        windows: Digest of each horizon's window and reference.
        dispersion: Factors by column, where any was given.
        judged: Horizons that were judged.
        rows: Of the longest horizon.
        columns: Those that alarm, the surest first.
    """

    state: AlarmState
    why: str
    hour: int
    settings: AlarmSettings
    baseline: str
    windows: dict[int, tuple[str, str | None]] = Field(default_factory=dict)
    dispersion: dict[str, Dispersion] = Field(default_factory=dict)
    judged: tuple[int, ...] = ()
    rows: Count = 0
    columns: tuple[ColumnAlarm, ...] = ()

    @cached_property
    def inputs_digest(self) -> str:
        """SHA-256 of what the verdict is a function of."""
        inputs = {"baseline", "windows", "dispersion", "settings", "hour"}
        return digest_of(self.model_dump(mode="json", include=inputs))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the whole verdict."""
        return digest_of(self.model_dump(mode="json"))


def trailing(
    hours: Mapping[int, Profile],
    hour: int,
    settings: AlarmSettings,
    season: SeasonalReference | None = None,
) -> list[Trailing]:
    """Return the sums of all horizons that end with an hour.

    Args:
        hours: Profiles by hour since the epoch; hours without rows may be left out.
        hour: The last one.
        settings: Give horizons and the cycle.
        season: Hour-matched counts, where there is a cycle.
    """
    sums: list[Trailing] = []
    held: tuple[int, ...] = ()
    total: Profile | None = None
    for horizon in sorted(settings.horizons):
        chosen = _hours(sorted(hours), hour, horizon, settings.cycle_hours)
        if not chosen:
            continue
        if total is not None and set(held) <= set(chosen):
            total = merge([total, *(hours[at] for at in chosen if at not in set(held))])
        else:
            total = merge(hours[at] for at in chosen)
        held = chosen
        found = _with_reference(
            Trailing(horizon=horizon, hours=chosen, window=total), settings, season
        )
        if found is not None:
            sums.append(found)
    return sums


def trailing_entities(
    baseline: Baseline,
    hours: Mapping[int, EntitySample],
    hour: int,
    settings: AlarmSettings,
) -> list[Trailing]:
    """Return the windows of all horizons where units are entities: each counts once in each.

    With a cycle, horizons that are no whole cycles are left out: samples of other hours would
    repeat entities.
    """
    sums = []
    for horizon in sorted(settings.horizons):
        chosen = _hours(sorted(hours), hour, horizon, settings.cycle_hours)
        if chosen:
            sample = merge_samples([hours[one] for one in chosen])
            window = profile_sample(baseline, sample)
            found = Trailing(horizon=horizon, hours=chosen, window=window)
            if _with_reference(found, settings, None) is not None:
                sums.append(found)
    return sums


def _hours(known: Sequence[int], hour: int, horizon: int, cycle: int | None) -> tuple[int, ...]:
    """Return the hours of a horizon: of whole cycles only those cycles that are complete."""
    inside = [one for one in known if hour - horizon < one <= hour]
    if cycle is None or horizon < cycle:
        return tuple(inside)
    cycles: dict[int, list[int]] = {}
    for one in inside:
        cycles.setdefault((hour - one) // cycle, []).append(one)
    return tuple(sorted(one for found in cycles.values() if len(found) == cycle for one in found))


def _with_reference(
    found: Trailing, settings: AlarmSettings, season: SeasonalReference | None
) -> Trailing | None:
    cycle = settings.cycle_hours
    if cycle is None or len(found.hours) % cycle == 0:
        return found
    matched = season.over(found.hours) if season is not None else None
    return None if matched is None else found.model_copy(update={"reference": matched})


def judge_alarm(
    baseline: Baseline,
    sums: Sequence[Trailing],
    hour: int,
    settings: AlarmSettings | None = None,
    *,
    dispersion: Mapping[str, Dispersion] | None = None,
) -> AlarmVerdict:
    """Say whether any column changed, at one of the looks of a stream.

    Args:
        baseline: Whose cells are used.
        sums: Of the horizons that end with this hour (``trailing``).
        hour: The last hour, since the epoch.
        settings: Defaults where None.
        dispersion: Factors by column, learnt from accepted windows.

    Raises:
        ProfilesDifferError: A profile lies on another baseline's cells.
    """
    chosen, factors = settings or AlarmSettings(), dict(dispersion or {})
    for one in sums:
        require_cells(baseline, one.window)
        require_cells(baseline, one.reference)
    made = AlarmVerdict(
        state="no_data", why="No row was captured within any horizon.", hour=hour,
        settings=chosen, baseline=baseline.digest, dispersion=factors,
        windows={
            one.horizon: (one.window.digest, one.reference.digest if one.reference else None)
            for one in sums
        },
        rows=max((one.window.rows for one in sums), default=0),
    )  # fmt: skip
    if not made.rows:
        return made
    enough = [one for one in sums if one.window.rows >= chosen.least_rows]
    if not enough:
        why = f"{made.rows} rows are too few to judge; needs n = {chosen.least_rows}."
        return made.model_copy(update={"state": "inconclusive", "why": why})
    found: dict[str, ColumnAlarm] = {}
    for one in enough:
        tests = compare_columns(baseline, one.window, one.reference, factors, chosen.statistic)
        for alarm in _alarms(one, tests, chosen):
            known = found.get(alarm.column)
            if known is None or alarm.p < known.p:
                found[alarm.column] = alarm
    columns = tuple(sorted(found.values(), key=lambda alarm: (alarm.adjusted_p, alarm.column)))
    return made.model_copy(
        update={
            "state": "alarm" if columns else "quiet",
            "why": _why(columns, enough, chosen),
            "judged": tuple(one.horizon for one in enough),
            "columns": columns,
        }
    )


def _alarms(
    one: Trailing, tests: Sequence[ColumnTest], settings: AlarmSettings
) -> list[ColumnAlarm]:
    adjusted_p = adjusted([test.p for test in tests], settings.method).tolist() if tests else []
    return [
        ColumnAlarm(
            column=test.name, horizon=one.horizon, since=one.hours[0], p=test.p,
            adjusted_p=value, effect=test.effect,
        )
        for test, value in zip(tests, adjusted_p, strict=True)
        if value <= settings.level and test.effect >= settings.min_effect
    ]  # fmt: skip


def _why(
    columns: Sequence[ColumnAlarm], judged: Sequence[Trailing], settings: AlarmSettings
) -> str:
    odds = f"{settings.alpha:g} in {settings.looks} looks"
    if not columns:
        return f"No column changed over any of {len(judged)} horizons (false alarms: {odds})."
    first = columns[0]
    listed = ", ".join(alarm.column for alarm in columns[:5])
    more = f" and {len(columns) - 5} more" if len(columns) > 5 else ""
    return (
        f"Changed: {listed}{more}; surest is {first.column} over {first.horizon} h "
        f"(p {first.p:.2g}, effect {first.effect:.3f}; false alarms: {odds})."
    )
