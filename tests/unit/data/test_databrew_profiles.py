"""DataBrew's profile is read into the form of our own; another form is refused by its field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from steward.domain.column_chart import distribution
from steward.domain.databrew_profiles import read_profile
from steward.domain.errors import UnreadableFileError
from steward.domain.profiles import ColumnProfile
from support.databrew_profile import RUN, databrew_profile


def read(**changes: Any) -> dict[str, ColumnProfile]:
    found = read_profile(json.dumps(databrew_profile(**changes)).encode())
    return {column.name: column for column in found.profile.columns}


def test_rows_duplicates_and_the_run_are_told() -> None:
    found = read_profile(json.dumps(databrew_profile()).encode())
    assert (found.profile.rows, found.duplicate_rows, found.run_id) == (1000, 2, RUN)
    assert all(column.count + column.nulls == 1000 for column in found.profile.columns)


def test_a_number_has_range_moments_and_bins_by_their_upper_edge() -> None:
    glucose = read()["glucose"]
    assert (glucose.type, glucose.count, glucose.nulls, glucose.distinct) == (
        "float", 960, 40, 640,
    )  # fmt: skip
    assert (glucose.min, glucose.max, glucose.mean, glucose.deviation) == (
        "40.0", "310.5", 121.25, 33.5,
    )  # fmt: skip
    assert glucose.bin_edges == [130.0, 220.0]
    assert glucose.bins == [600, 320, 40]
    assert glucose.levels == {}


def test_bins_that_share_an_edge_are_one() -> None:
    visits = read()["visits"]
    assert (visits.bin_edges, visits.bins) == ([1.0, 2.0], [700, 250, 50])
    assert sum(visits.bins) == visits.count
    assert visits.levels == {"1": 700, "2": 250, "3": 50}


def test_the_lengths_of_strings_are_not_taken_for_values() -> None:
    ward = read()["ward name"]
    assert (ward.min, ward.max, ward.mean, ward.deviation) == (None, None, None, None)
    assert (ward.bin_edges, ward.bins) == ([], [])
    assert (ward.levels, ward.other) == ({"icu": 500, "w1": 399}, 1)


def test_booleans_are_written_as_ours_and_empty_columns_stay_empty() -> None:
    columns = read()
    assert columns["returned"].levels == {"false": 880, "true": 120}
    nothing = columns["nothing"]
    assert (nothing.count, nothing.nulls, nothing.min, nothing.levels) == (0, 1000, None, {})


def test_a_string_with_a_value_a_row_has_levels_where_ours_would() -> None:
    assert read()["address"].levels == {"9 Wells Road": 1}
    [address] = [c for c in databrew_profile()["columns"] if c["name"] == "address"]
    many = {**address, "distinctValuesCount": 1001}
    assert read(sampleSize=2000, columns=[many])["address"].levels == {}


def test_every_column_with_values_can_be_drawn() -> None:
    drawn = {name for name, column in read().items() if "<svg" in distribution(column)}
    assert drawn == {"glucose", "visits", "ward name", "address", "returned"}


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"not json", "$"),
        (b"[]", "$"),
        (json.dumps({"columns": []}).encode(), "sampleSize"),
        (json.dumps(databrew_profile(columns=[{"name": "a"}])).encode(), "columns.0.type"),
        (json.dumps(databrew_profile(sampleSize="many")).encode(), "sampleSize"),
        (json.dumps(databrew_profile(sampleSize=10)).encode(),
         "columns.glucose.missingValuesCount"),
    ],
)  # fmt: skip
def test_another_form_is_refused_by_its_field(content: bytes, field: str) -> None:
    with pytest.raises(UnreadableFileError) as refused:
        read_profile(content)
    assert refused.value.field == field
