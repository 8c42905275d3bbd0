"""``predictions.csv`` reads back as it was written, and refuses what it is not."""

from __future__ import annotations

import io
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steward.domain.predictions import Predictions, read_predictions, write_predictions

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
PROBABILITY = st.floats(0, 1)
DAY = date(2026, 2, 27)


@given(
    rows=st.lists(
        st.tuples(TEXT, st.sampled_from([0.0, 1.0]), PROBABILITY, PROBABILITY, TEXT), max_size=12
    ),
    has_champion=st.booleans(),
    is_timed=st.booleans(),
)
def test_rows_read_back_as_they_were_written(
    rows: list[tuple[str, float, float, float, str]], has_champion: bool, is_timed: bool
) -> None:
    columns = list(zip(*rows, strict=True)) if rows else [(), (), (), (), ()]
    written = Predictions(
        entities=[str(entity) for entity in columns[0]],
        labels=np.array(columns[1], dtype=np.float64),
        candidate=np.array(columns[2], dtype=np.float64),
        champion=np.array(columns[3], dtype=np.float64) if has_champion else None,
        slices={"slice_of": [str(value) for value in columns[4]]},
        asked_on=[DAY + timedelta(n) for n in range(len(rows))] if is_timed else None,
        known_on=[DAY + timedelta(n + 3) for n in range(len(rows))] if is_timed else None,
    )
    stream = io.StringIO(newline="")
    write_predictions(written, stream)
    stream.seek(0)
    read = read_predictions(stream)
    assert read.entities == written.entities
    assert read.slices == written.slices
    assert (read.asked_on, read.known_on) == (written.asked_on, written.known_on)
    assert read.lead_days == (3 if is_timed and rows else 1)
    assert read.labels.tolist() == written.labels.tolist()
    assert read.candidate.tolist() == written.candidate.tolist()
    assert (read.champion is None) is not has_champion
    if read.champion is not None and written.champion is not None:
        assert read.champion.tolist() == written.champion.tolist()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "columns none"),
        ("entity_id,label\n", "columns entity_id, label"),
        ("entity_id,label,p_candidate,age\n", "columns entity_id, label, p_candidate, age"),
        ("entity_id,label,p_candidate\na,1\n", "row 0 of the predictions has 2 cells"),
        ("entity_id,label,p_candidate,asked_on\na,1,0.5,2026-01-01\n", "columns entity_id"),
        (
            "entity_id,label,p_candidate,asked_on,known_on\na,1,0.5,2026-01-01,later\n",
            "row 0 of the predictions: Invalid isoformat",
        ),
        ("entity_id,label,p_candidate\na,1,0.5\nb,1,x\n", "row 1 of the predictions: could not"),
    ],
)
def test_a_file_of_another_shape_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_predictions(io.StringIO(text, newline=""))
