"""What one look says, as a pure function of profiles: verdict, alarm, and which alarms change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from steward.domain.monitoring.alarms import (
    AlarmSettings,
    AlarmVerdict,
    judge_alarm,
    trailing,
    trailing_entities,
)
from steward.domain.monitoring.baseline import Baseline
from steward.domain.monitoring.declaration import Monitoring
from steward.domain.monitoring.dispersion import EVEN, LEAST_WINDOWS, Dispersion, learn_dispersions
from steward.domain.monitoring.entity_samples import EntitySample, merge_samples, profile_sample
from steward.domain.monitoring.looks import (
    AlarmColumn,
    AlarmKind,
    AlarmLook,
    AlarmState,
    ColumnLook,
    Transition,
    WindowLook,
    window_start,
)
from steward.domain.monitoring.profiles import Profile, empty_profile, merge
from steward.domain.monitoring.seasons import SeasonalReference, learn_season, slot_of
from steward.domain.monitoring.verdicts import WindowSettings, WindowVerdict, judge_window

Counted = Profile | EntitySample
_ALARM: dict[str, AlarmState] = {
    "quiet": "ok", "alarm": "alarm", "inconclusive": "inconclusive", "no_data": "no_data",
}  # fmt: skip
LEARNT_FROM = 100
"""Windows from which it is learnt at most what columns usually vary, the newest."""

_CYCLES: dict[str, Literal[24, 168]] = {"day": 24, "week": 168}


def window_settings(declared: Monitoring) -> WindowSettings:
    """Return how a window is judged."""
    return WindowSettings(
        level=declared.fdr, min_effect=declared.min_effect, least_rows=declared.minimum_rows
    )


def alarm_settings(declared: Monitoring) -> AlarmSettings:
    """Return how an alarm is raised. A cycle is one of windows of an hour."""
    cycle = _CYCLES.get(declared.seasonality) if declared.window_s == 3600 else None
    return AlarmSettings(
        alpha=declared.alpha, min_effect=declared.min_effect, least_rows=declared.minimum_rows,
        cycle_hours=cycle,
    )  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """What was said of the features and predictions of one window.

    Attributes:
        window: On this window alone.
        alarm: Over time.
    """

    window: WindowVerdict
    alarm: AlarmVerdict


def summed(parts: Sequence[Counted]) -> Counted:
    """Return the sum of a window's chunks, which are profiles or samples, not both."""
    profiles = [part for part in parts if isinstance(part, Profile)]
    if profiles:
        return merge(profiles)
    return merge_samples([part for part in parts if isinstance(part, EntitySample)])


def judge(
    baseline: Baseline,
    windows: Mapping[int, Counted],
    window: int,
    declared: Monitoring,
    *,
    window_with: WindowSettings | None = None,
    alarm_with: AlarmSettings | None = None,
    quiet: Mapping[int, Counted] | None = None,
) -> Judged:
    """Judge one window, and what ends with it over all horizons.

    Args:
        baseline: Of the version.
        windows: Sums of windows by number since the epoch, this one and those before.
        window: The one that is looked at.
        declared: Columns, unit and settings.
        window_with: Other settings than the declared ones, for a replay.
        alarm_with: Other settings than the declared ones, for a replay.
        quiet: Windows without an alarm from which a cycle, or what columns usually vary, may be
            learnt; all given by default.
    """
    how, over = window_with or window_settings(declared), alarm_with or alarm_settings(declared)
    seen = restricted(baseline, declared.columns)
    held = {
        number: seen_through(seen, baseline, found)
        for number, found in windows.items()
        if number <= window
    }
    here = held.get(window)
    factors = _dispersion(seen, held, quiet, window, declared)
    if baseline.unit == "entity":
        samples = {n: one for n, one in held.items() if isinstance(one, EntitySample)}
        alone = (
            profile_sample(seen, here) if isinstance(here, EntitySample) else empty_profile(seen)
        )
        sums = trailing_entities(seen, samples, window, over)
        return Judged(
            judge_window(seen, alone, how, dispersion=factors),
            judge_alarm(seen, sums, window, over, dispersion=factors),
        )
    profiles = {n: one for n, one in held.items() if isinstance(one, Profile)}
    season = _season(profiles, quiet, window, over)
    alone = here if isinstance(here, Profile) else empty_profile(seen)
    reference = season.over([window]) if season is not None and alone.rows else None
    found = trailing(profiles, window, over, season)
    verdict = judge_window(seen, alone, how, reference=reference, dispersion=factors)
    if over.cycle_hours is not None and reference is None and verdict.columns:
        # Against a baseline of all hours an hour of a cycle always differs.
        why = "No earlier window of the same place in the cycle to compare with."
        update = {"verdict": "inconclusive", "why": why, "columns": ()}
        verdict = verdict.model_copy(update=update)
    return Judged(verdict, judge_alarm(seen, found, window, over, dispersion=factors))


def _dispersion(
    seen: Baseline,
    held: Mapping[int, Counted],
    quiet: Mapping[int, Counted] | None,
    window: int,
    declared: Monitoring,
) -> dict[str, Dispersion]:
    """Return what columns usually vary, from the newest windows before this one without an alarm.

    Nothing before ``LEAST_WINDOWS`` of them have enough rows. A window's factors serve all
    horizons: hours that wander independently add up with the same factor.
    """
    if declared.dispersion == "none":
        return {}
    accepted: list[Profile] = []
    for number in sorted(held, reverse=True):
        if number >= window or (quiet is not None and number not in quiet):
            continue
        profile = _profile(seen, held[number])
        if profile.rows >= declared.minimum_rows:
            accepted.append(profile)
        if len(accepted) == LEARNT_FROM:
            break
    if len(accepted) < LEAST_WINDOWS:
        return {}
    found = learn_dispersions(seen, accepted)
    return {name: factor for name, factor in found.items() if factor.windows >= LEAST_WINDOWS}


def judge_segment(
    baseline: Baseline, here: Counted, earlier: Sequence[Counted], declared: Monitoring
) -> WindowLook:
    """Compare a part of a window with the same part of earlier windows.

    A baseline has no segments, and a part is never like the whole: people above 60 are older.

    Args:
        baseline: Whose cells are used.
        here: The segment's rows of this window.
        earlier: Those of earlier windows.
        declared: Columns, unit and settings.
    """
    seen = restricted(baseline, declared.columns)
    alone = _profile(seen, seen_through(seen, baseline, here))
    if not earlier:
        told = "No earlier window has this segment to compare with."
        return WindowLook(
            verdict="inconclusive", sentence=told, rows=alone.rows, digest=alone.digest,
            inputs_digest=alone.digest,
        )  # fmt: skip
    before = _profile(seen, seen_through(seen, baseline, summed(earlier)))
    return window_look(judge_window(seen, alone, window_settings(declared), reference=before))


def _profile(baseline: Baseline, counted: Counted) -> Profile:
    return counted if isinstance(counted, Profile) else profile_sample(baseline, counted)


def _season(
    profiles: Mapping[int, Profile],
    quiet: Mapping[int, Counted] | None,
    window: int,
    settings: AlarmSettings,
) -> SeasonalReference | None:
    """Return hour-matched counts from windows at least a cycle old, so that none is in a horizon
    that they are compared with.

    Each place of the cycle has as many windows, the newest: places that are there twice would
    weigh twice, and a sum over several places would differ without any drift.
    """
    cycle = settings.cycle_hours
    if cycle is None:
        return None
    accepted = {
        number: profile
        for number, profile in profiles.items()
        if number <= window - cycle and (quiet is None or number in quiet)
    }
    places: dict[int, list[int]] = {}
    for number in sorted(accepted, reverse=True):
        places.setdefault(slot_of(number, cycle), []).append(number)
    equal = min(map(len, places.values()), default=0)
    kept = {number: accepted[number] for found in places.values() for number in found[:equal]}
    return learn_season(kept, cycle) if kept else None


def restricted(baseline: Baseline, columns: list[str] | None) -> Baseline:
    """Return a baseline of the columns that are judged alone; all of them where None."""
    if columns is None:
        return baseline
    kept = frozenset(columns)
    given = {name: getattr(baseline, name) for name in Baseline.model_fields}
    given["features"] = tuple(one for one in baseline.features if one.name in kept)
    given["predictions"] = tuple(one for one in baseline.predictions if one.name in kept)
    return Baseline.model_construct(**given)


def seen_through(seen: Baseline, whole: Baseline, counted: Counted) -> Counted:
    """Return counts on the whole baseline's cells as counts on those that are judged."""
    if seen is whole:
        return counted
    names = [column.name for column in seen.columns]
    if isinstance(counted, Profile):
        given = {name: getattr(counted, name) for name in Profile.model_fields}
        given["baseline"] = seen.digest
        given["columns"] = {name: counted.columns[name] for name in names}
        given["absent_columns"] = {
            name: rows for name, rows in counted.absent_columns.items() if name in names
        }
        return Profile.model_construct(**given)
    places = [n for n, column in enumerate(whole.columns) if column.name in set(names)]
    return replace(counted, baseline=seen.digest, cells=counted.cells[:, places])


def window_look(verdict: WindowVerdict) -> WindowLook:
    """Return a window's verdict as a record shows it."""
    return WindowLook(
        verdict=verdict.verdict, sentence=verdict.why, rows=verdict.rows, digest=verdict.digest,
        inputs_digest=verdict.inputs_digest, unknown_columns=verdict.unknown_columns,
        absent_columns=verdict.absent_columns,
        columns=tuple(
            ColumnLook(
                name=one.column, state=one.verdict, sentence=one.why, p=one.p,
                adjusted_p=one.adjusted_p, parts=one.parts, effect=one.effect,
                effects=one.effects, detectable=one.detectable, needs=one.needs,
                missing=one.missing, new_values=one.examples,
                figures=one.figures.model_dump() if one.figures is not None else {},
                dispersion=_largest(verdict.dispersion.get(one.column, EVEN)),
            )
            for one in verdict.columns
        ),
    )  # fmt: skip


def _largest(factors: Dispersion) -> float:
    return max(factors.rank_sum, factors.mood, factors.chi_square)


def alarm_look(verdict: AlarmVerdict, window_s: int) -> AlarmLook:
    """Return an alarm's verdict as a record shows it."""
    return AlarmLook(
        state=_ALARM[verdict.state], sentence=verdict.why, judged=verdict.judged,
        rows=verdict.rows, digest=verdict.digest, inputs_digest=verdict.inputs_digest,
        windows=verdict.windows,
        columns=tuple(
            AlarmColumn(
                name=one.column, horizon=one.horizon, since=window_start(one.since, window_s),
                p=one.p, adjusted_p=one.adjusted_p, effect=one.effect,
            )
            for one in verdict.columns
        ),
    )  # fmt: skip


def transition(kind: AlarmKind, before: AlarmState, found: AlarmState) -> Transition | None:
    """Return how an alarm's state changes, None where it stays.

    An alarm that is raised stays until a look says that all is well: a look that has too little
    to say does not clear it.
    """
    after = found
    if before == "alarm" and found in ("inconclusive", "no_data"):
        after = "alarm"
    if after == before:
        return None
    return Transition(kind=kind, before=before, after=after)
