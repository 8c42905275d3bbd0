"""Verdicts on windows: each state of a column, replay, and what they are a function of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from steward.domain.monitoring.baseline import Baseline, column_baselines
from steward.domain.monitoring.dispersion import Dispersion
from steward.domain.monitoring.profiles import (
    Profile,
    ProfilesDifferError,
    empty_profile,
    profile_chunk,
)
from steward.domain.monitoring.verdicts import (
    ColumnVerdict,
    WindowSettings,
    WindowVerdict,
    judge_window,
)

Columns = dict[str, Any]


def baseline_of(columns: Columns) -> Baseline:
    rows = len(next(iter(columns.values())))
    return Baseline(project="vitals", rows=rows, features=column_baselines(columns))


def normal(seed: int, size: int, shift: float = 0.0, spread: float = 1.0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(shift, spread, size)


def judged(old: Any, new: Any, settings: WindowSettings | None = None) -> ColumnVerdict:
    baseline = baseline_of({"x": old})
    return judge_window(baseline, profile_chunk(baseline, {"x": new}, "c"), settings).columns[0]


def test_equal_columns_are_the_same_and_say_what_would_have_been_seen() -> None:
    found = judged(normal(1, 10_000), normal(2, 5_000))
    assert found.verdict == "same"
    assert 0.02 < found.detectable < 0.08
    assert f"{found.detectable:.3f} would have been seen" in found.why


@pytest.mark.parametrize(
    ("new", "part", "why"),
    [
        (normal(2, 500, shift=0.3), "rank_sum", "its values moved"),
        (normal(2, 1_000, spread=1.4), "mood", "its spread changed"),
    ],
)
def test_a_moved_or_widened_column_changed(new: Any, part: str, why: str) -> None:
    found = judged(normal(1, 10_000), new)
    assert found.verdict == "changed"
    assert min(found.parts, key=lambda name: found.parts[name]) == part
    assert why in found.why


def test_a_shape_that_keeps_centre_and_spread_changed() -> None:
    chance = np.random.default_rng(3)
    two = np.where(chance.random(2_000) < 0.5, -1.0, 1.0) * 0.8 + chance.normal(0, 0.6, 2_000)
    found = judged(normal(1, 10_000), two)
    assert found.verdict == "changed"
    assert found.parts["chi_square"] < 1e-6


def test_few_rows_are_inconclusive_and_say_what_they_need() -> None:
    found = judged(normal(1, 10_000), normal(2, 100))
    assert found.verdict == "inconclusive"
    assert found.needs is not None
    assert f"needs n = {found.needs}" in found.why
    enough = judged(normal(1, 10_000), normal(2, found.needs))
    assert enough.verdict == "same"
    assert judged(normal(1, 10_000), normal(2, found.needs - 5)).verdict == "inconclusive"


def test_a_reference_that_is_too_small_says_so() -> None:
    found = judged(normal(1, 300), normal(3, 100_000), WindowSettings(level=0.01))
    assert found.verdict == "inconclusive"
    assert found.needs is None
    assert "a reference of 300 values is too small" in found.why


def test_a_real_difference_below_the_floor_is_no_change() -> None:
    old, new = normal(1, 400_000), normal(2, 400_000, shift=0.015)
    found = judged(old, new)
    assert found.adjusted_p < 1e-3
    assert found.verdict == "same"
    assert "less than the floor of 0.02" in found.why
    assert judged(old, new, WindowSettings(min_effect=0.001)).verdict == "changed"


def test_one_outlier_hides_nothing() -> None:
    old, new = normal(1, 5_000), normal(2, 5_000, shift=1.0)
    old[0] = new[0] = 1e6
    assert judged(old, new).verdict == "changed"
    assert judged(old, normal(3, 5_000)).verdict == "same"


def test_a_tiny_scale_hides_nothing() -> None:
    old, new = normal(1, 5_000) * 1e-5, (normal(2, 5_000) + 0.3) * 1e-5
    assert judged(old, new).verdict == "changed"
    assert judged(old + 7, new + 7).verdict == "changed"


def texts(*pairs: tuple[str, int]) -> NDArray[Any]:
    return np.repeat([text for text, _ in pairs], [rows for _, rows in pairs])


OLD = texts(("a", 6_000), ("b", 3_900), ("c", 100))


@pytest.mark.parametrize(
    ("new", "verdict"),
    [
        (texts(("a", 600), ("b", 390), ("c", 10)), "same"),
        (texts(("a", 450), ("b", 540), ("c", 10)), "changed"),
        (texts(("a", 560), ("b", 380), ("c", 10), ("new", 50)), "changed"),
        (texts(("a", 990), ("c", 10)), "changed"),
        (texts(("a", 600), ("b", 390), ("c", 9), ("new", 1)), "same"),
    ],
)
def test_new_vanished_and_rare_levels_have_a_verdict(new: Any, verdict: str) -> None:
    found = judged(OLD, new)
    assert found.verdict == verdict
    assert found.examples == (("new",) if "new" in new else ())


def test_the_statistic_of_categories_can_be_g() -> None:
    new = texts(("a", 450), ("b", 540), ("c", 10))
    found = judged(OLD, new, WindowSettings(statistic="g"))
    assert found.verdict == "changed"
    assert found.p != judged(OLD, new).p


def test_a_constant_column_changes_with_any_other_value() -> None:
    old = np.full(5_000, 3.0)
    assert judged(old, np.full(500, 3.0)).verdict == "same"
    for other in (2.0, 4.0):
        found = judged(old, np.append(np.full(480, 3.0), np.full(20, other)))
        assert found.verdict == "changed"
        assert "not the only one" in found.why
    assert judged(texts(("a", 5_000)), texts(("a", 480), ("b", 20))).verdict == "changed"


def missing(values: Any, share: float) -> Any:
    count = len(values)
    mask = np.arange(count) < share * count
    return np.ma.MaskedArray(values, mask=mask)  # type: ignore[no-untyped-call]


def test_missing_nan_and_infinite_values_are_part_of_the_verdict() -> None:
    old = missing(normal(1, 10_000), 0.02)
    assert judged(old, missing(normal(2, 1_000), 0.02)).verdict == "same"
    found = judged(old, missing(normal(2, 1_000), 0.10))
    assert found.verdict == "changed"
    assert found.missing == pytest.approx((0.10, 0.02))
    assert "missing, NaN or infinite" in found.why
    for odd in (np.nan, np.inf, -np.inf):
        new = normal(2, 1_000)
        new[:40] = odd
        assert judged(normal(1, 10_000), new).verdict == "changed"


def test_columns_without_any_value_have_a_verdict() -> None:
    empty = missing(np.zeros(2_000), 1.0)
    assert judged(empty, empty[:500]).verdict == "same"
    appeared = judged(empty, normal(2, 500))
    assert appeared.verdict == "changed"
    assert "had no value in the baseline" in appeared.why
    gone = judged(normal(1, 2_000), empty[:500])
    assert gone.verdict == "changed"
    assert "has no value any more" in gone.why


BASELINE = baseline_of({f"x{n}": normal(n, 5_000) for n in range(8)})


def window(seed: int, rows: int, **shifts: float) -> Profile:
    columns = {
        f"x{n}": normal(1_000 * seed + n, rows, shift=shifts.get(f"x{n}", 0.0)) for n in range(8)
    }
    return profile_chunk(BASELINE, columns, f"c{seed}")


def test_a_window_names_what_changed_the_surest_first() -> None:
    found = judge_window(BASELINE, window(5, 2_000, x2=0.3, x5=0.8))
    assert found.verdict == "drift"
    assert found.changed == ["x2", "x5"]
    assert found.why == "2 of 8 columns over 2000 rows changed: x5, x2."


def test_windows_without_change_with_few_rows_and_without_rows_are_told_apart() -> None:
    assert judge_window(BASELINE, window(1, 4_000)).verdict == "no_drift"
    some = judge_window(BASELINE, window(1, 200))
    assert some.verdict == "inconclusive"
    assert "8 could hide: needs n = " in some.why
    few = judge_window(BASELINE, window(1, 49))
    assert (few.verdict, few.columns) == ("inconclusive", ())
    assert "needs n = 50" in few.why
    assert judge_window(BASELINE, empty_profile(BASELINE)).verdict == "no_data"


def test_a_verdict_is_replayed_to_the_same_digest() -> None:
    profile = window(5, 2_000, x2=0.3)
    found = judge_window(BASELINE, profile)
    again = judge_window(
        Baseline.model_validate_json(BASELINE.model_dump_json()),
        Profile.model_validate_json(profile.model_dump_json()),
        WindowSettings.model_validate_json(found.settings.model_dump_json()),
    )
    assert again == found
    assert again.digest == found.digest
    assert WindowVerdict.model_validate_json(found.model_dump_json()) == found
    other = judge_window(BASELINE, profile, WindowSettings(method="holm", level=0.05))
    assert other.inputs_digest != found.inputs_digest
    assert other.changed == ["x2"]


def test_another_profile_can_be_the_reference() -> None:
    moved, profile = window(1, 5_000, x2=0.5), window(2, 2_000, x2=0.5)
    assert judge_window(BASELINE, profile).changed == ["x2"]
    found = judge_window(BASELINE, profile, reference=moved)
    assert found.verdict == "no_drift"
    assert found.reference == moved.digest


def test_overdispersion_that_was_learnt_raises_p_values() -> None:
    profile = window(5, 2_000, x2=0.15)
    plain = judge_window(BASELINE, profile)
    factors = {"x2": Dispersion(rank_sum=9.0, mood=9.0, chi_square=9.0, windows=40)}
    found = judge_window(BASELINE, profile, dispersion=factors)
    assert plain.changed == ["x2"]
    assert found.changed == []
    assert found.columns[0] == plain.columns[0].model_copy(
        update={"adjusted_p": found.columns[0].adjusted_p}
    )


def test_profiles_of_another_baseline_are_refused() -> None:
    other = baseline_of({"x": normal(1, 500)})
    with pytest.raises(ProfilesDifferError, match="another baseline"):
        judge_window(other, window(1, 100))


def test_unknown_and_absent_columns_are_in_the_verdict() -> None:
    columns = {f"x{n}": normal(n, 2_000) for n in range(1, 8)} | {"y": normal(1, 2_000)}
    found = judge_window(BASELINE, profile_chunk(BASELINE, columns, "c"))
    assert found.unknown_columns == {"y": 2_000}
    assert found.absent_columns == {"x0": 2_000}
    assert found.changed == ["x0"]


def test_a_column_of_ids_and_one_with_few_values_cannot_be_compared() -> None:
    ids = [np.array([f"{side}{n}" for n in range(3_000)]) for side in "ab"]
    found = judged(ids[0], ids[1])
    assert found.verdict == "inconclusive"
    assert "no level is frequent enough" in found.why
    old, new = missing(normal(1, 2_000), 0.995), missing(normal(2, 2_000), 0.995)
    few = judged(old, new)
    assert few.verdict == "inconclusive"
    assert "10 values against 10; 20 of either are needed" in few.why


def test_a_rare_flag_in_a_numeric_column_that_is_raised_more_often_changed() -> None:
    old, new = np.zeros(20_000), np.zeros(3_000)
    old[:200], new[:120] = 1, 1
    found = judged(old, new)
    assert found.verdict == "changed"
    assert found.effects["auc"] == pytest.approx(0.03, abs=0.003)
