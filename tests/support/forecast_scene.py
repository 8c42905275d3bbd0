"""Sales of shops whose generator is known: level, trend, week, a shock that all shops share."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

WEEK = (0.9, 0.85, 0.9, 1.0, 1.25, 1.5, 0.6)
"""Share of the level that sells from Monday to Sunday."""
SHARED, OWN, MEMORY = 0.10, 0.12, 0.6
"""Spread of the shared shock and of a shop's own noise, on the log scale; memory of the shock."""


@dataclass(frozen=True)
class Sales:
    """What was sold, by shop and day, and what nobody can know better than.

    Attributes:
        days: All days, ascending.
        sold: Units by shop and day.
        expected: Mean of a shop's day, given level, trend, weekday and yesterday's shock.
    """

    days: list[date]
    sold: dict[tuple[str, date], float]
    expected: dict[tuple[str, date], float]

    @property
    def shops(self) -> list[str]:
        """All shops, in order."""
        return sorted({shop for shop, _ in self.sold})

    def sales(self, first: int, last: int) -> list[dict[str, Any]]:
        """Rows of the table ``sales``: known on the evening of their day."""
        return [
            {"shop": shop, "day": f"{day}T00:00:00", "sold": self.sold[shop, day],
             "reported_at": f"{day}T20:00:00"}
            for day in self.days[first:last] for shop in self.shops
        ]  # fmt: skip

    def examples(self, first: int, last: int) -> list[dict[str, Any]]:
        """Forecasts asked for at midnight for the day that begins, and what became of them."""
        return [
            {"shop": shop, "asked_at": f"{day}T00:00:00", "weekday": day.weekday(),
             "holiday": "false", "quantity": self.sold[shop, day],
             "known_at": f"{day}T20:00:00"}
            for day in self.days[first:last] for shop in self.shops
        ]  # fmt: skip


def made_sales(last: date, *, shops: int, days: int, seed: int) -> Sales:
    """Sales of ``days`` days that end with ``last``.

    ln sold = ln level + trend * day + ln week + shock(day) + noise, the shock an autoregression
    of the first order that is the same for all shops.
    """
    draw = random.Random(seed)
    levels = {f"s{n:02d}": (draw.uniform(30, 200), draw.uniform(-2e-4, 8e-4)) for n in range(shops)}
    calendar = [last - timedelta(days=days - 1 - n) for n in range(days)]
    sold: dict[tuple[str, date], float] = {}
    expected: dict[tuple[str, date], float] = {}
    shock = 0.0
    for number, day in enumerate(calendar):
        remembered = MEMORY * shock
        shock = remembered + draw.gauss(0, SHARED * math.sqrt(1 - MEMORY**2))
        for shop, (level, trend) in levels.items():
            usual = level * math.exp(trend * number) * WEEK[day.weekday()]
            sold[shop, day] = round(usual * math.exp(shock + draw.gauss(0, OWN)), 2)
            spread = (SHARED**2 * (1 - MEMORY**2) + OWN**2) / 2
            expected[shop, day] = usual * math.exp(remembered + spread)
    return Sales(calendar, sold, expected)
