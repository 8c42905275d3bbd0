"""Cycles of the day or week: what a window is compared with, and how much windows vary anyway.

A window that covers whole cycles is compared with the baseline. A shorter one is compared with
hour-matched counts: those of accepted windows at the same hours of the cycle. What varies from
hour to hour beyond chance is learnt from accepted windows as a factor on squared statistics.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pydantic import Field

from steward.domain.errors import RejectedError
from steward.domain.monitoring.counts import Frozen
from steward.domain.monitoring.profiles import Profile, merge


class Dispersion(Frozen):
    """Factors by which squared statistics exceed what independent rows give; at least 1.

    Attributes:
        rank_sum: Of the squared z of the rank-sum test.
        mood: Of that of Mood's test.
        chi_square: Of chi-square.
        windows: Accepted windows that they were learnt from.
    """

    rank_sum: float = Field(default=1.0, ge=1)
    mood: float = Field(default=1.0, ge=1)
    chi_square: float = Field(default=1.0, ge=1)
    windows: int = 0


def learn_dispersion(
    rank_sum: Sequence[float], mood: Sequence[float], chi_square_over_df: Sequence[float]
) -> Dispersion:
    """Return the factors of one column from the statistics of accepted windows.

    The mean of the squared statistics (Finney 1971; the quasi-likelihood of McCullagh and Nelder
    1989), at least 1. With fewer than 10 windows all factors are 1.

    Args:
        rank_sum: z of each window.
        mood: z of each window.
        chi_square_over_df: Chi-square over its degrees of freedom of each window.
    """
    windows = len(rank_sum)
    if windows < LEAST_WINDOWS:
        return Dispersion(windows=windows)
    return Dispersion(
        rank_sum=max(1.0, sum(z * z for z in rank_sum) / windows),
        mood=max(1.0, sum(z * z for z in mood) / windows),
        chi_square=max(1.0, sum(chi_square_over_df) / windows),
        windows=windows,
    )


LEAST_WINDOWS = 10
HOUR_MS = 3_600_000


def slot_of(hour: int, cycle_hours: int) -> int:
    """Return the place of an hour (since the epoch) in its cycle."""
    return hour % cycle_hours


class SeasonalReference(Frozen):
    """Counts of accepted hours by their place in the cycle.

    Attributes:
        cycle_hours: 24 or 168.
        slots: By place in the cycle.
    """

    cycle_hours: int = Field(ge=2)
    slots: dict[int, Profile]

    def over(self, hours: Iterable[int]) -> Profile | None:
        """Return the counts for some hours (since the epoch).

        None where an hour has no counterpart, or hours of one place in the cycle differ in
        number: the reference would have to be weighted.
        """
        times: dict[int, int] = {}
        for hour in hours:
            slot = slot_of(hour, self.cycle_hours)
            times[slot] = times.get(slot, 0) + 1
        if not times or len(set(times.values())) > 1 or not times.keys() <= self.slots.keys():
            return None
        return merge([self.slots[slot] for slot in sorted(times)])


def learn_season(accepted: Mapping[int, Profile], cycle_hours: int) -> SeasonalReference:
    """Return the reference by place in the cycle from accepted hours.

    Args:
        accepted: Profiles of hours without drift, by hour since the epoch.
        cycle_hours: Length of the cycle.

    Raises:
        RejectedError: There is no hour.
    """
    if not accepted:
        raise RejectedError("no accepted hour was given", field="accepted")
    slots: dict[int, list[Profile]] = {}
    for hour in sorted(accepted):
        slots.setdefault(slot_of(hour, cycle_hours), []).append(accepted[hour])
    return SeasonalReference(
        cycle_hours=cycle_hours, slots={slot: merge(found) for slot, found in slots.items()}
    )
