"""The verdict on one window: which columns differ from the baseline, as a pure function.

One pre-declared p-value a column, adjusted over all columns, and an effect floor. A window that
could not have seen the smallest shift that matters says so instead of ``same``. A verdict holds
for one window; what holds over time is an alarm (``alarms``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from pydantic import Field

from steward.domain.digests import digest_of
from steward.domain.monitoring.baseline import Baseline
from steward.domain.monitoring.column_tests import (
    LEAST,
    ColumnTest,
    compare_column,
    describe,
    detectable_effect,
    detectable_variation,
    levels_of,
    rows_needed,
)
from steward.domain.monitoring.counts import (
    CategoricalCounts,
    ColumnBaseline,
    Count,
    Counts,
    Frozen,
)
from steward.domain.monitoring.dispersion import EVEN, Dispersion
from steward.domain.monitoring.figures import Figures
from steward.domain.monitoring.profiles import Profile, ProfilesDifferError
from steward.domain.p_values import Adjustment, adjusted, pooled

ColumnState = Literal["same", "changed", "inconclusive"]
WindowState = Literal["no_drift", "drift", "inconclusive", "no_data"]


class WindowSettings(Frozen):
    """What a window verdict is made with.

    Attributes:
        method: Adjustment over columns.
        level: What adjusted p-values are held against: with Benjamini-Hochberg the false
            discovery rate; without drift also the chance that any column is flagged.
        min_effect: Floor on the effect of a changed column: the larger of |2 AUC - 1| and
            Wasserstein / IQR, the total variation of levels, or the change in missing values.
        smallest_effect: |2 AUC - 1| (or total variation) that a window must be able to see with
            power 0.8 to be called without drift; .113 is a shift of a normal by .2 deviations.
        least_rows: Rows below which a window is not judged.
        statistic: Test of categories.
    """

    method: Adjustment = "benjamini_hochberg"
    level: float = Field(default=0.03, gt=0, lt=0.5)
    min_effect: float = Field(default=0.02, ge=0, lt=1)
    smallest_effect: float = Field(default=0.113, gt=0, le=1)
    least_rows: int = Field(default=50, ge=LEAST)
    statistic: Literal["chi2", "g"] = "chi2"


class ColumnVerdict(Frozen):
    """What is said of one column.

    Attributes:
        column: Its name.
        verdict: ``inconclusive``: nothing was found, and the smallest effect that matters could
            have been missed.
        why: One sentence.
        p: Its p-value.
        adjusted_p: Over all columns.
        parts: p-values that it combines, by test.
        effect: The largest of ``effects``, each corrected for chance.
        effects: By name.
        detectable: Effect that this window finds with power 0.8 if this column alone changed.
        needs: Rows of a window that would make the smallest effect detectable; None where it is
            detectable already, or no number of rows suffices with this reference.
        missing: Share of rows without a value, in the window and in the reference.
        examples: Values that the baseline did not have.
        figures: What describes the difference.
    """

    column: str
    verdict: ColumnState
    why: str
    p: float
    adjusted_p: float
    parts: dict[str, float]
    effect: float
    effects: dict[str, float]
    detectable: float
    needs: int | None = None
    missing: tuple[float, float]
    examples: tuple[str, ...] = ()
    figures: Figures | None = None


class WindowVerdict(Frozen):
    """What is said of one window, with what it was made from.

    Attributes:
        verdict: ``drift`` where a column changed; ``inconclusive`` where none did and one might.
        why: One sentence.
        rows: Rows (or entities) of the window.
        baseline: Digest of the baseline.
        window: Digest of the window's profile.
        reference: Digest of the profile that it was compared with; None for the baseline's own.
        dispersion: Factors by column, where any was given.
        settings: As given.
        columns: In the baseline's order.
        unknown_columns: Rows by column that the baseline lacks; they were not judged.
        absent_columns: Rows by column that the window lacked; they count as missing.
    """

    verdict: WindowState
    why: str
    rows: Count
    baseline: str
    window: str
    reference: str | None = None
    dispersion: dict[str, Dispersion] = Field(default_factory=dict)
    settings: WindowSettings
    columns: tuple[ColumnVerdict, ...] = ()
    unknown_columns: dict[str, int] = Field(default_factory=dict)
    absent_columns: dict[str, int] = Field(default_factory=dict)

    @property
    def changed(self) -> list[str]:
        """Names of the columns that changed."""
        return [found.column for found in self.columns if found.verdict == "changed"]

    @cached_property
    def inputs_digest(self) -> str:
        """SHA-256 of what the verdict is a function of."""
        inputs = {"baseline", "window", "reference", "dispersion", "settings"}
        return digest_of(self.model_dump(mode="json", include=inputs))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the whole verdict."""
        return digest_of(self.model_dump(mode="json"))


def judge_window(
    baseline: Baseline,
    window: Profile,
    settings: WindowSettings | None = None,
    *,
    reference: Profile | None = None,
    dispersion: Mapping[str, Dispersion] | None = None,
) -> WindowVerdict:
    """Compare a window with the baseline, or with another profile on its cells.

    Args:
        baseline: Whose cells are used.
        window: Sum of the window's chunks.
        settings: Defaults where None.
        reference: What it is compared with instead of the baseline's own counts: hours of the
            same place in the cycle, or the last accepted window.
        dispersion: Factors by column, learnt from accepted windows.

    Raises:
        ProfilesDifferError: A profile lies on another baseline's cells.
    """
    chosen = settings or WindowSettings()
    for profile in (window, reference):
        require_cells(baseline, profile)
    factors = dict(dispersion or {})
    made = WindowVerdict(
        verdict="no_data", why="No row was captured in this window.", rows=window.rows,
        baseline=baseline.digest, window=window.digest,
        reference=reference.digest if reference is not None else None,
        dispersion=factors, settings=chosen, unknown_columns=window.unknown_columns,
        absent_columns=window.absent_columns,
    )  # fmt: skip
    if not window.rows:
        return made
    if window.rows < chosen.least_rows:
        why = f"{window.rows} rows are too few to judge; needs n = {chosen.least_rows}."
        return made.model_copy(update={"verdict": "inconclusive", "why": why})
    tests = compare_columns(baseline, window, reference, factors, chosen.statistic)
    adjusted_p = adjusted([test.p for test in tests], chosen.method).tolist() if tests else []
    columns = tuple(
        _judged(_Case(column, test, value, window.columns[test.name], old), chosen, len(tests))
        for column, test, value, old in zip(
            baseline.columns, tests, adjusted_p, references(baseline, reference), strict=True
        )
    )
    verdict, why = _summary(columns, window)
    return made.model_copy(update={"verdict": verdict, "why": why, "columns": columns})


def require_cells(baseline: Baseline, profile: Profile | None) -> None:
    """Raise ProfilesDifferError unless a profile lies on this baseline's cells."""
    if profile is not None and profile.baseline != baseline.digest:
        raise ProfilesDifferError(
            "a profile lies on another baseline's cells", field="baseline",
            value=profile.baseline, allowed=baseline.digest,
        )  # fmt: skip


def references(baseline: Baseline, reference: Profile | None) -> list[Counts]:
    """Return the counts that each column is compared with."""
    if reference is None:
        return [column.counts for column in baseline.columns]
    return [reference.columns[column.name] for column in baseline.columns]


def compare_columns(
    baseline: Baseline,
    window: Profile,
    reference: Profile | None,
    dispersion: Mapping[str, Dispersion],
    statistic: Literal["chi2", "g"],
) -> list[ColumnTest]:
    """Return the test of each column, in the baseline's order."""
    return [
        compare_column(
            column, window.columns[column.name], old,
            dispersion=dispersion.get(column.name, EVEN), statistic=statistic,
        )
        for column, old in zip(baseline.columns, references(baseline, reference), strict=True)
    ]  # fmt: skip


@dataclass(frozen=True)
class _Case:
    column: ColumnBaseline
    test: ColumnTest
    adjusted_p: float
    new: Counts
    old: Counts

    @property
    def is_comparable(self) -> bool:
        """Whether there are values enough for a test of values, not of their presence alone."""
        if self.column.is_constant:
            return True
        if self.test.order:
            return min(self.test.rows) >= LEAST
        return bool(self.test.parts)

    @property
    def missing(self) -> tuple[float, float]:
        """Share of rows without a value, here and in the reference."""
        return (
            self.new.missing / max(1, self.new.rows),
            self.old.missing / max(1, self.old.rows),
        )


def _judged(case: _Case, settings: WindowSettings, columns: int) -> ColumnVerdict:
    test = case.test
    detectable, needs = _reach(case, settings, columns)
    verdict: ColumnState
    if case.adjusted_p <= settings.level and test.effect >= settings.min_effect:
        verdict, why = "changed", _change(case)
    elif case.adjusted_p <= settings.level:
        verdict = "same"
        why = (
            f"{test.name} differs (p {test.p:.2g}), by {test.effect:.3f}: less than the floor of "
            f"{settings.min_effect:g}."
        )
    elif case.new.rows == case.new.missing and case.old.rows == case.old.missing:
        verdict, why, detectable, needs = "same", f"{test.name} has no value, as before.", 0.0, None
    elif not case.is_comparable:
        verdict, why = "inconclusive", _nothing_to_compare(case)
        needs = None if test.order and test.rows[1] < LEAST else needs
    elif detectable <= settings.smallest_effect:
        verdict = "same"
        why = f"{test.name} shows no change; an effect of {detectable:.3f} would have been seen."
    else:
        verdict, why = "inconclusive", _too_few(case, detectable, needs)
    return ColumnVerdict(
        column=test.name, verdict=verdict, why=why, p=test.p, adjusted_p=case.adjusted_p,
        parts=test.parts, effect=test.effect, effects=test.effects, detectable=detectable,
        needs=needs, missing=case.missing,
        examples=case.new.examples if isinstance(case.new, CategoricalCounts) else (),
        figures=describe(case.column, case.new, case.old),
    )  # fmt: skip


def _reach(case: _Case, settings: WindowSettings, columns: int) -> tuple[float, int | None]:
    """Return the detectable effect, and the rows that the smallest one needs."""
    level = settings.level / columns
    rows, old_rows = case.test.rows
    tests = max(1, len(case.test.parts))
    needed: int | None
    if case.test.order and not case.column.is_constant:
        detectable = 1.0
        if rows >= LEAST <= old_rows:
            detectable = detectable_effect(rows, old_rows, level, tests=tests)
        needed = rows_needed(old_rows, level, settings.smallest_effect, tests=tests)
        needed = None if needed is None else max(LEAST, needed)
    else:
        cells = 2
        if isinstance(case.new, CategoricalCounts) and isinstance(case.old, CategoricalCounts):
            cells = max(cells, pooled(levels_of(case.new), levels_of(case.old))[0].size)
        detectable = detectable_variation(rows, old_rows, level, cells=cells, tests=tests)
        # The detectable variation falls with the root of n m / (n + m).
        pairs = rows * old_rows / max(1, rows + old_rows)
        pairs *= (detectable / settings.smallest_effect) ** 2
        room = 1 / max(pairs, 1.0) - 1 / max(1, old_rows)
        needed = None if room <= 0 else math.ceil(1 / room)
    if detectable <= settings.smallest_effect:
        return detectable, None
    if needed is not None and rows:
        # In rows of the window, of which only a share has a value.
        needed = math.ceil(needed * case.new.rows / rows)
    return detectable, needed


def _nothing_to_compare(case: _Case) -> str:
    rows, old_rows = case.test.rows
    if case.test.order:
        return f"{case.test.name}: {rows} values against {old_rows}; {LEAST} of either are needed."
    return f"{case.test.name}: no level is frequent enough to compare; {rows} values were seen."


def _too_few(case: _Case, detectable: float, needs: int | None) -> str:
    rows, old_rows = case.test.rows
    seen = f"only an effect of {detectable:.3f} or more would have been seen"
    if needs is None:
        return f"{case.test.name}: {seen}; a reference of {old_rows} values is too small for less."
    return f"{case.test.name}: {rows} values are too few: {seen}; needs n = {needs}."


def _change(case: _Case) -> str:
    test, column = case.test, case.column
    by = min(test.parts, key=lambda name: test.parts[name])
    what = {
        "rank_sum": "its values moved", "mood": "its spread changed",
        "chi_square": "its shape changed", "level": "its levels have other shares",
        "rare_level": "rare or new levels became more or less frequent",
        "value": "its one value is not the only one any more",
        "rare_value": "its one value is not the only one any more",
        "presence": "missing, NaN or infinite values became more or less frequent",
        "rare_presence": "missing, NaN or infinite values became more or less frequent",
    }[by]  # fmt: skip
    if column.is_all_missing:
        what = "it had no value in the baseline and has some now"
    elif case.new.rows == case.new.missing:
        what = "it has no value any more"
    return f"{test.name}: {what} (p {test.p:.2g}, effect {test.effect:.3f})."


def _summary(columns: tuple[ColumnVerdict, ...], window: Profile) -> tuple[WindowState, str]:
    changed = [found for found in columns if found.verdict == "changed"]
    open_ = [found for found in columns if found.verdict == "inconclusive"]
    named = f"{len(columns)} columns over {window.rows} rows"
    if changed:
        first = sorted(changed, key=lambda found: (found.adjusted_p, -found.effect, found.column))
        listed = ", ".join(found.column for found in first[:5])
        more = f" and {len(first) - 5} more" if len(first) > 5 else ""
        return "drift", f"{len(changed)} of {named} changed: {listed}{more}."
    if open_:
        needs = [found.needs for found in open_ if found.needs is not None]
        rows = f"needs n = {max(needs)}" if needs else "the reference is too small"
        return "inconclusive", f"Nothing was found in {named}, but {len(open_)} could hide: {rows}."
    return "no_drift", f"None of {named} changed."
