"""Cycles of the day or week: what a window is compared with.

A window that covers whole cycles is compared with the baseline. A shorter one is compared with
hour-matched counts: those of accepted windows at the same hours of the cycle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import Field

from steward.domain.errors import RejectedError
from steward.domain.monitoring.counts import Frozen
from steward.domain.monitoring.profiles import Profile, merge

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
