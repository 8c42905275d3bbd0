"""Windows of entities: each distinct one counts once, in samples that merge exactly."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from steward.domain.errors import RejectedError
from steward.domain.monitoring.baseline import Baseline, column_baselines
from steward.domain.monitoring.entity_samples import (
    EntitySample,
    merge_samples,
    profile_sample,
    sample_chunk,
    sample_from_json,
)
from steward.domain.monitoring.profiles import ProfilesDifferError, merge, profile_chunk


def rows(seed: int, size: int) -> dict[str, Any]:
    chance = np.random.default_rng(seed)
    pulse: Any = np.ma.MaskedArray(  # type: ignore[no-untyped-call]
        np.where(chance.random(size) < 0.05, np.inf, chance.normal(70, 9, size)),
        mask=chance.random(size) < 0.1,
    )
    return {
        "age": chance.normal(50, 12, size),
        "pulse": pulse,
        "site": chance.choice(np.array(["north", "south", "east"]), size),
    }


def baseline(unit: Any = "entity") -> Baseline:
    return Baseline(
        project="vitals", unit=unit, rows=2_000, features=column_baselines(rows(1, 2_000))
    )


BASELINE = baseline()


def sample(seed: int, size: int, people: int, chunk: str, limit: int = 40) -> EntitySample:
    chance = np.random.default_rng(100 + seed)
    entities = np.array([f"p{n}" for n in chance.integers(0, people, size)], dtype="U9")
    times = chance.integers(0, 50, size)
    return sample_chunk(BASELINE, rows(seed, size), entities, times, chunk, limit=limit)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 120), min_size=1, max_size=4),
    st.integers(1, 150),
    st.randoms(use_true_random=False),
)
def test_samples_of_parts_merge_to_that_of_the_whole(
    sizes: list[int], people: int, chance: Any
) -> None:
    generator = np.random.default_rng(chance.randint(0, 10**6))
    size = sum(sizes)
    columns = rows(7, size)
    entities = np.array([f"p{n}" for n in generator.integers(0, people, size)], dtype="U9")
    times = generator.integers(0, 30, size)
    whole = sample_chunk(BASELINE, columns, entities, times, "whole", limit=40)
    ends = np.cumsum([0, *sizes])
    parts = [
        sample_chunk(
            BASELINE, {name: values[low:high] for name, values in columns.items()},
            entities[low:high], times[low:high], f"c{low}-{high}-{n}", limit=40,
        )
        for n, (low, high) in enumerate(pairwise(ends))
    ]  # fmt: skip
    chance.shuffle(parts)
    merged = merge_samples([merge_samples(parts[:1]), *parts[1:]])
    assert np.array_equal(merged.hashes, whole.hashes)
    assert np.array_equal(merged.times, whole.times)
    assert np.array_equal(merged.cells, whole.cells)
    assert merged.rows == whole.rows == size


def test_a_window_of_few_entities_counts_each_once_with_its_first_row() -> None:
    entities = np.array(["a", "b", "a", "b", "c"])
    times = np.array([5, 9, 3, 10, 1])
    columns: dict[str, NDArray[Any]] = {
        "age": np.array([10.0, 20.0, 30.0, 40.0, 50.0]),
        "pulse": np.array([1.0, np.nan, 2.0, 3.0, -np.inf]),
        "site": np.array(["north", "west", "south", "north", "east"]),
    }
    found = profile_sample(BASELINE, sample_chunk(BASELINE, columns, entities, times, "c"))
    first = [2, 1, 4]
    expected = profile_chunk(
        baseline("event"), {name: values[first] for name, values in columns.items()}, "c"
    )
    assert found.rows == 3
    assert (found.first, found.last) == (1, 9)
    for name, counts in expected.columns.items():
        unknown = {"moments", "minimum", "maximum", "examples"}
        assert found.columns[name].model_dump(exclude=unknown) == counts.model_dump(exclude=unknown)


def test_a_recurring_entity_weighs_no_more_than_another() -> None:
    parts = [sample(n, 300, 60, f"c{n}", limit=500) for n in range(5)]
    window = profile_sample(BASELINE, merge_samples(parts))
    assert window.rows == 60
    assert merge_samples(parts).rows == 1_500


def test_the_number_of_entities_is_estimated_beyond_the_limit() -> None:
    entities = np.arange(20_000).astype("U")
    columns = rows(3, 20_000)
    times = np.zeros(20_000, dtype=np.int64)
    found = sample_chunk(BASELINE, columns, entities, times, "c", limit=1_000)
    assert found.hashes.size == 1_000
    assert found.entities == pytest.approx(20_000, rel=0.1)


def test_json_gives_back_the_same_sample_and_digest() -> None:
    one = sample(1, 200, 90, "c1")
    again = sample_from_json(one.to_json())
    assert again.to_json() == one.to_json()
    assert again.digest == one.digest
    assert profile_sample(BASELINE, again) == profile_sample(BASELINE, one)
    assert merge_samples([again, sample(2, 50, 90, "c2")]).chunks == ("c1", "c2")
    with pytest.raises(RejectedError, match="no entity sample"):
        sample_from_json(one.to_json()[:-40])
    with pytest.raises(RejectedError, match="no entity sample"):
        sample_from_json('{"format": 2}')


def test_what_does_not_add_up_is_refused() -> None:
    one = sample(1, 200, 90, "c1")
    with pytest.raises(ProfilesDifferError, match="twice"):
        merge_samples([one, one])
    with pytest.raises(ProfilesDifferError, match="two limits"):
        merge_samples([one, sample(2, 200, 90, "c2", limit=41)])
    with pytest.raises(ProfilesDifferError, match="no sample"):
        merge_samples([])
    profiles = [profile_sample(BASELINE, sample(n, 50, 90, f"c{n}")) for n in range(2)]
    with pytest.raises(ProfilesDifferError, match="entities may recur"):
        merge(profiles)
    with pytest.raises(RejectedError, match="counts entities"):
        profile_chunk(BASELINE, rows(1, 3), "c")
    with pytest.raises(RejectedError, match="counts events"):
        sample_chunk(baseline("event"), rows(1, 1), np.array(["a"]), np.array([1]), "c")
    with pytest.raises(RejectedError, match="another baseline"):
        profile_sample(baseline("event"), one)


def test_absent_columns_are_missing_and_unknown_ones_are_counted() -> None:
    columns = rows(1, 4)
    columns["extra"] = columns.pop("age")
    entities = np.array(["a", "b", "c", "a"])
    found = sample_chunk(BASELINE, columns, entities, np.arange(4), "c")
    profile = profile_sample(BASELINE, found)
    assert profile.unknown_columns == {"extra": 4}
    assert profile.absent_columns == {"age": 4}
    assert profile.columns["age"].missing == 3


def test_objects_and_booleans_lie_in_the_cells_of_their_text() -> None:
    columns: dict[str, NDArray[Any]] = {
        **rows(1, 3), "site": np.array(["north", None, 7], dtype=object),
    }  # fmt: skip
    found = sample_chunk(BASELINE, columns, np.array(["a", "b", "c"]), np.arange(3), "c")
    site = profile_sample(BASELINE, found).columns["site"]
    assert (site.rows, site.missing) == (3, 1)
    assert site.model_dump()["outside"] == 1
