"""Baselines and profiles: what is counted, and that counts add up."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from steward.domain.errors import RejectedError
from steward.domain.monitoring.baseline import Baseline, column_baseline, column_baselines
from steward.domain.monitoring.binning import codes_of, count_levels, count_numbers, learn_bins
from steward.domain.monitoring.counts import (
    CategoricalCounts,
    NumericBins,
    NumericCounts,
    Vocabulary,
)
from steward.domain.monitoring.profiles import (
    Profile,
    ProfilesDifferError,
    empty_profile,
    merge,
    profile_chunk,
)

ODD = [math.nan, math.inf, -math.inf, 0.0, -0.0, 1e308, -1e308, 5e-324, 1e6, 2.5]
numbers = st.one_of(st.floats(width=64), st.sampled_from(ODD), st.floats(-5, 5))
texts = st.one_of(st.sampled_from(["", "a", "b", "north", "norte\u0301", "é", "zz"]), st.text())


def rows(seed: int, size: int) -> dict[str, NDArray[Any]]:
    chance = np.random.default_rng(seed)
    return {
        "age": chance.normal(50, 12, size),
        "visits": chance.poisson(2.0, size),
        "site": chance.choice(np.array(["north", "south", "östlich"]), size),
    }


def baseline_of(columns: dict[str, NDArray[Any]]) -> Baseline:
    size = len(next(iter(columns.values())))
    return Baseline(project="vitals", rows=size, features=column_baselines(columns))


BASELINE = baseline_of(rows(1, 2_000))


@settings(max_examples=150, deadline=None)
@given(st.lists(numbers, max_size=60), st.lists(st.lists(numbers, max_size=40), max_size=4))
def test_counts_of_parts_add_up_to_those_of_the_whole(
    learnt: list[float], parts: list[list[float]]
) -> None:
    bins = learn_bins(np.array(learnt, dtype=np.float64))
    whole = count_numbers(np.array([v for part in parts for v in part], dtype=np.float64), bins)
    total = bins.nothing()
    for part in reversed(parts):
        total = total + count_numbers(np.array(part, dtype=np.float64), bins)
    assert total == whole
    assert whole.rows == sum(map(len, parts))


@settings(max_examples=150, deadline=None)
@given(st.lists(numbers, min_size=1, max_size=60), st.lists(numbers, max_size=60))
def test_each_value_is_in_the_bin_that_holds_it(learnt: list[float], new: list[float]) -> None:
    bins = learn_bins(np.array(learnt, dtype=np.float64))
    found = count_numbers(np.array(new, dtype=np.float64), bins)
    finite = [value for value in new if math.isfinite(value)]
    edges = bins.edges
    assert list(edges) == sorted(set(edges))
    assert all(map(math.isfinite, edges))
    if not edges:
        assert found.unbinned == len(finite)
        return
    assert found.below == sum(value <= edges[0] for value in finite)
    assert found.above == sum(value > edges[-1] for value in finite)
    assert list(found.bins) == [
        sum(low < value <= high for value in finite) for low, high in pairwise(edges)
    ]
    assert found.nan == sum(map(math.isnan, new))
    assert (found.neg_inf, found.pos_inf) == (new.count(-math.inf), new.count(math.inf))


@settings(max_examples=200, deadline=None)
@given(st.lists(texts, min_size=1, max_size=30), st.lists(texts, max_size=30))
def test_fixed_width_texts_are_counted_as_objects_are(learnt: list[str], new: list[str]) -> None:
    # numpy cannot keep a NUL at the end of a text of fixed width.
    learnt, new = ([text.rstrip("\0") for text in part] for part in (learnt, new))
    cells = column_baseline("c", np.array(learnt)).cells
    assert isinstance(cells, Vocabulary)
    assert set(cells.levels) == set(learnt)
    expected = count_levels(np.array([*new, None], dtype=object), cells)
    found = count_levels(np.array(new, dtype="U" if new else "U1"), cells)
    assert found == expected.model_copy(update={"missing": 0})
    assert expected.missing == 1


def test_texts_of_bytes_and_counts_by_an_engine_are_counted_alike() -> None:
    cells = Vocabulary(levels=("é", "north", "a very long level indeed"))
    values = ["north", "é", "é", "south"]
    encoded = np.array([value.encode() for value in values])
    by_engine = {"north": 1, "é": 2, "south": 1, None: 0}
    expected = CategoricalCounts(levels=(2, 1, 0), outside=1, examples=("south",))
    assert count_levels(encoded, cells) == expected
    assert count_levels(by_engine, cells) == expected
    assert count_levels(np.array(values), cells) == expected


def test_words_that_share_a_hash_are_still_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    from steward.domain.monitoring import binning

    def alike(words: NDArray[Any], _: object) -> NDArray[np.uint64]:
        return np.asarray(words[:, 0] % 2, dtype=np.uint64)

    monkeypatch.setattr(binning, "_hashed", alike)
    values = np.array(["a", "b", "c", "d", "a"])
    assert codes_of(values, Vocabulary(levels=("a", "b"))).tolist() == [0, 1, 2, 2, 0]
    assert binning.count_by_value(values) == {"a": 2, "b": 1, "c": 1, "d": 1}


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 1, 0, 2]])
def test_profiles_merge_exactly_in_any_order_and_grouping(order: list[int]) -> None:
    parts = [rows(seed, 500 + seed) for seed in range(4)]
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    profiles = [
        profile_chunk(BASELINE, part, f"c{n}", first=10 * n, last=10 * n + 9)
        for n, part in enumerate(parts)
    ]
    one, two, three, four = (profiles[place] for place in order)
    merged = merge([merge([one, two]), merge([empty_profile(BASELINE), three, four])])
    assert merged == merge(profiles)
    expected = profile_chunk(BASELINE, whole, "whole", first=0, last=39)
    assert merged.columns == expected.columns
    assert (merged.rows, merged.first, merged.last) == (expected.rows, 0, 39)
    assert merged.chunks == ("c0", "c1", "c2", "c3")


def test_json_gives_back_the_same_baseline_and_profile_with_the_same_digest() -> None:
    profile = profile_chunk(BASELINE, rows(2, 300), "c1")
    again = Profile.model_validate_json(profile.model_dump_json())
    assert again == profile
    assert again.digest == profile.digest
    baseline = Baseline.model_validate_json(BASELINE.model_dump_json())
    assert baseline == BASELINE
    assert baseline.digest == BASELINE.digest == profile.baseline
    assert baseline.schema_digest == BASELINE.schema_digest


def test_the_digest_names_what_was_learnt_and_not_for_whom() -> None:
    other = BASELINE.model_copy(update={"version": 7, "project": "other"})
    assert Baseline.model_validate(other.model_dump()).digest == BASELINE.digest
    assert baseline_of(rows(3, 2_000)).digest != BASELINE.digest


def test_moments_are_those_of_the_values_to_the_unit_that_they_are_counted_in() -> None:
    values = np.random.default_rng(5).lognormal(1, 0.7, 5_000)
    cells = learn_bins(values)
    moments = count_numbers(values, cells).moments
    assert moments is not None
    mean, deviation = moments.mean(cells.centre, cells.unit), moments.deviation(cells.unit)
    assert mean == pytest.approx(values.mean(), abs=cells.unit / 2)
    assert deviation == pytest.approx(values.std(), abs=cells.unit)
    assert cells.unit <= cells.iqr / 2**13


def test_moments_of_whole_numbers_are_exact() -> None:
    values = np.random.default_rng(5).integers(-40, 900, 5_000)
    cells = learn_bins(values)
    moments = count_numbers(values, cells).moments
    assert moments is not None
    assert moments.mean(cells.centre, cells.unit) == values.sum() / 5_000


def test_one_outlier_spoils_neither_bins_nor_moments() -> None:
    values = np.random.default_rng(6).normal(0, 1, 5_000)
    spoilt = np.append(values, 1e300)
    cells = learn_bins(spoilt)
    assert cells.iqr < 2
    assert len(cells.edges) == 55
    moments = count_numbers(np.append(spoilt, -1e308), cells).moments
    assert moments is not None
    assert moments.winsorised == 2
    assert moments.deviation(cells.unit) == pytest.approx(
        cells.unit * 2**24 * math.sqrt(2 / 5_002), rel=1e-3
    )


def test_a_column_of_tiny_spread_has_bins_of_its_own_scale() -> None:
    values = 3.0 + np.random.default_rng(7).normal(0, 1e-5, 5_000)
    cells = learn_bins(values)
    assert len(cells.edges) == 55
    assert 0 < cells.unit < 1e-8


def test_a_value_that_many_rows_share_has_a_bin_alone() -> None:
    chance = np.random.default_rng(8)
    values = np.where(chance.random(5_000) < 0.3, 1.5, chance.normal(1.5, 2, 5_000))
    cells = learn_bins(values)
    alone = count_numbers(np.array([1.5]), cells).bins.index(1)
    assert cells.edges[alone + 1] == 1.5
    assert cells.edges[alone] == np.nextafter(1.5, -np.inf)


def test_few_values_have_a_bin_each() -> None:
    cells = learn_bins(np.repeat([0, 1, 2, 7], 100))
    found = count_numbers(np.array([-1, 0, 1, 1, 2, 7, 8]), cells)
    assert found.ordered == (1, 1, 2, 1, 1, 1)


def test_constant_and_all_missing_columns_are_told() -> None:
    missing: Any = np.ma.masked_all(5, dtype=np.float64)  # type: ignore[no-untyped-call]
    found = {
        column.name: column
        for column in column_baselines(
            {
                "constant": np.full(9, 4.5),
                "empty": missing,
                "nan": np.full(9, math.nan),
                "one": np.full(9, "x"),
                "none": np.full(9, None, dtype=object),
                "both": np.array([1.0, 2.0]),
            },
            {"empty": "numeric"},
        )
    }
    assert [name for name, column in found.items() if column.is_constant] == ["constant", "one"]
    assert [name for name, column in found.items() if column.is_all_missing] == ["empty", "none"]
    assert isinstance(found["empty"].cells, NumericBins)
    counts = found["nan"].counts
    assert isinstance(counts, NumericCounts)
    assert (counts.nan, counts.missing) == (9, 0)
    cells = found["constant"].cells
    assert isinstance(cells, NumericBins)
    assert count_numbers(np.array([4.0, 4.5, 5.0, 6.0]), cells).ordered == (1, 1, 2)


def test_values_appear_in_a_column_that_had_none() -> None:
    cells = learn_bins(np.ma.masked_all(5, dtype=np.float64))  # type: ignore[no-untyped-call]
    found = count_numbers(np.array([1.0, math.inf, 2.0]), cells)
    assert (found.unbinned, found.pos_inf, found.finite, found.rows) == (2, 1, 2, 3)


def test_masked_values_are_missing_and_nan_is_not() -> None:
    cells = learn_bins(np.arange(10.0))
    values: Any = np.ma.MaskedArray(  # type: ignore[no-untyped-call]
        [1.0, math.nan, 5.0, math.inf], mask=[False, False, True, False]
    )
    assert count_numbers(values, cells).presence == (1, 1, 1, 0, 1)


def test_text_in_a_numeric_column_is_no_number_and_none_is_missing() -> None:
    cells = learn_bins(np.arange(10.0))
    for values in (
        np.array(["3", "x", None, 4, True], dtype=object),
        {"3": 2, "x": 1, None: 1, "4": 1},
    ):
        found = count_numbers(values, cells)
        assert (found.finite, found.nan, found.missing) == (3, 1, 1)


def test_numbers_may_be_declared_categories() -> None:
    column = column_baseline("code", np.array([1, 2, 2, 3]), "categorical")
    assert column.cells == Vocabulary(levels=("2", "1", "3"))
    flags = column_baseline("flag", np.array([True, False, True]))
    assert flags.cells == Vocabulary(levels=("true", "false"))


def test_levels_beyond_the_vocabulary_are_counted_together() -> None:
    values = np.array([f"v{n}" for n in range(1_000)] + ["often"] * 50)
    column = column_baseline("id", values)
    assert isinstance(column.cells, Vocabulary)
    assert isinstance(column.counts, CategoricalCounts)
    assert column.cells.levels[0] == "often"
    assert len(column.cells.levels) == 200
    assert column.counts.outside == 801


def test_new_values_are_counted_and_the_same_few_are_named_in_any_order() -> None:
    parts = [rows(n, 50) for n in range(3)]
    for n, part in enumerate(parts):
        part["site"] = np.array([f"new{(7 * n + place) % 9}" for place in range(50)])
    profiles = [profile_chunk(BASELINE, part, f"c{n}") for n, part in enumerate(parts)]
    found = merge(profiles).columns["site"]
    assert isinstance(found, CategoricalCounts)
    assert found.outside == 150
    assert found.examples == ("new0", "new1", "new2", "new3", "new4")
    assert merge(profiles[::-1]).columns["site"] == found


def test_unknown_and_absent_columns_are_counted_and_named() -> None:
    part: dict[str, NDArray[Any]] = rows(1, 40)
    part["extra"] = part.pop("age")
    profile = merge([profile_chunk(BASELINE, part, "a"), profile_chunk(BASELINE, rows(2, 60), "b")])
    assert profile.unknown_columns == {"extra": 40}
    assert profile.absent_columns == {"age": 40}
    age = profile.columns["age"]
    assert (age.rows, age.missing) == (100, 40)


def test_a_chunk_twice_two_baselines_and_no_profile_are_refused() -> None:
    one = profile_chunk(BASELINE, rows(1, 40), "a")
    other = baseline_of(rows(9, 100))
    with pytest.raises(ProfilesDifferError, match="chunks given twice: a"):
        merge([one, one])
    with pytest.raises(ProfilesDifferError, match="two baselines"):
        merge([one, profile_chunk(other, rows(1, 40), "b")])
    with pytest.raises(ProfilesDifferError, match="no profile"):
        merge([])


def test_columns_of_different_lengths_are_refused() -> None:
    part = rows(1, 40)
    part["age"] = part["age"][:39]
    with pytest.raises(RejectedError) as caught:
        profile_chunk(BASELINE, part, "a")
    assert caught.value.field in ("age", "visits")


def test_a_chunk_without_rows_is_a_profile_of_none() -> None:
    profile = profile_chunk(BASELINE, rows(1, 0), "a")
    assert profile.rows == 0
    assert profile.columns == empty_profile(BASELINE).columns


def test_a_baseline_names_no_column_twice_and_has_its_counts_on_its_cells() -> None:
    column = column_baseline("x", np.arange(9.0))
    with pytest.raises(ValueError, match="named twice: x"):
        Baseline(project="p", rows=9, features=(column, column))
    other = column_baseline("x", np.arange(4.0)).counts
    spoilt = column.model_copy(update={"counts": other})
    with pytest.raises(ValueError, match="do not lie on"):
        Baseline(project="p", rows=9, features=(spoilt,))


def test_large_and_small_chunks_are_counted_alike() -> None:
    chance = np.random.default_rng(4)
    values = np.round(chance.lognormal(0, 2, 40_000), 2)
    cells = learn_bins(values)
    parts = [count_numbers(part, cells) for part in np.array_split(values, 20)]
    total = cells.nothing()
    for part in parts:
        total = total + part
    assert total == count_numbers(values, cells)
