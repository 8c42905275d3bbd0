"""The demo's data: the study's true rows, deliveries, requests, outcomes and the bad delivery."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from sklearn.datasets import load_diabetes

from steward.domain.splits import part_of
from steward_cli.demo.data import (
    DRAWN_AT,
    FAULTS,
    FEATURES,
    HELDOUT_SHARE,
    LAB_FEATURES,
    LABEL,
    OUTCOME_AT,
    OWN_FEATURES,
    REPORTED_AT,
    SALT,
    TRAFFIC_SHARE,
    VISITED_AT,
    Fault,
    corrections,
    deliveries,
    outcome_rows,
    patients,
    traffic_rows,
    write_deliveries,
    write_lab_deliveries,
    write_malformed,
)
from support.job_container import DIABETES, load_project

PROJECT = load_project(DIABETES)


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_patients_are_those_that_scikit_learn_loads() -> None:
    data, target = load_diabetes(return_X_y=True, scaled=False)
    assert [[row[name] for name in FEATURES] for row in patients()] == data.tolist()
    assert [row[LABEL] for row in patients()] == (target > 140).astype(int).tolist()


def test_the_split_of_the_demo_is_that_of_its_project() -> None:
    split = PROJECT.split
    assert (split.salt, split.traffic, split.heldout) == (SALT, TRAFFIC_SHARE, HELDOUT_SHARE)


def test_each_patient_is_delivered_once() -> None:
    delivered = [str(row["patient_id"]) for rows in deliveries() for row in rows]
    assert delivered == [f"p{number:03d}" for number in range(1, 443)]


def test_deliveries_hold_the_rows_that_the_readme_tells() -> None:
    told = {"traffic": [57, 44, 22], "heldout": [70, 49, 17], "train": [113, 51, 19]}
    for part, counts in told.items():
        found = [
            sum(
                part_of(str(row["patient_id"]), salt=SALT, traffic=0.3, heldout=0.3) == part
                for row in rows
            )
            for rows in deliveries()
        ]
        assert found == counts


def test_written_deliveries_keep_every_value_and_the_projects_columns(tmp_path: Path) -> None:
    for path, rows in zip(write_deliveries(tmp_path), deliveries(), strict=True):
        written = _read(path)
        assert list(written[0]) == [column.name for column in PROJECT.data.columns]
        assert [[float(row[name]) for name in OWN_FEATURES] for row in written] == [
            [row[name] for name in OWN_FEATURES] for row in rows
        ]


def test_the_laboratory_reports_every_value_before_the_visit(tmp_path: Path) -> None:
    visited = {row["patient_id"]: row[VISITED_AT] for path in write_deliveries(tmp_path)
               for row in _read(path)}  # fmt: skip
    reported: dict[str, list[float]] = {}
    for path in write_lab_deliveries(tmp_path):
        written = _read(path)
        assert list(written[0]) == [c.name for c in PROJECT.data.sources["labs"].columns]
        for row in written:
            assert row[DRAWN_AT] < row[REPORTED_AT]
            if row[REPORTED_AT] < visited[row["patient_id"]]:
                reported[row["patient_id"]] = [float(row[name]) for name in LAB_FEATURES]
    assert reported == {
        row["patient_id"]: [row[name] for name in LAB_FEATURES] for row in patients()
    }


def test_a_correction_is_reported_after_the_visit_under_the_time_of_the_draw(
    tmp_path: Path,
) -> None:
    visited = {row["patient_id"]: row for path in write_deliveries(tmp_path)
               for row in _read(path)}  # fmt: skip
    files = [_read(path) for path in write_lab_deliveries(tmp_path)]
    first: dict[str, dict[str, str]] = {}
    late = []
    for row in (row for rows in files for row in rows):
        known = first.setdefault(row["patient_id"], row)
        if known is not row:
            late.append((known, row))
    assert len(late) == sum(len(corrections(rows)) for rows in deliveries()[:2]) == 27
    for known, row in late:
        visit = visited[row["patient_id"]]
        assert row[DRAWN_AT] == known[DRAWN_AT]
        assert visit[VISITED_AT] < row[REPORTED_AT] < visit[OUTCOME_AT]
        assert float(row["s6"]) > float(known["s6"])


def test_outcomes_are_known_a_year_after_the_visit(tmp_path: Path) -> None:
    for path in write_deliveries(tmp_path):
        for row in _read(path):
            assert int(row[OUTCOME_AT][:4]) - int(row[VISITED_AT][:4]) in (0, 1)
            assert row[VISITED_AT] < row[OUTCOME_AT]


def test_no_delivered_row_has_a_pending_value(tmp_path: Path) -> None:
    assert all(cell for path in write_deliveries(tmp_path) for row in _read(path) for cell in
               row.values())  # fmt: skip


def test_only_traffic_patients_ask_and_each_asks_once() -> None:
    entities = [str(request["entity_id"]) for request in traffic_rows()]
    assert len(entities) == len(set(entities)) == 123
    assert {part_of(e, salt=SALT, traffic=0.3, heldout=0.3) for e in entities} == {"traffic"}


def _pending(share: float) -> set[str]:
    return {
        str(request["entity_id"])
        for request in traffic_rows(share)
        if "s6" in request["features"]  # type: ignore[operator]
    }


def test_the_declared_share_of_patients_waits_for_the_laboratory() -> None:
    assert _pending(0.0) == set()
    assert len(_pending(1.0)) == 123
    half = _pending(0.5)
    assert 0.4 < len(half) / 123 < 0.6
    assert half <= _pending(0.7)


def test_a_request_holds_what_the_ward_measured_and_never_the_label() -> None:
    asked: list[tuple[str, ...]] = [
        tuple(request["features"])  # type: ignore[arg-type]
        for request in traffic_rows(0.5)
    ]
    assert set(asked) == {OWN_FEATURES, (*OWN_FEATURES, "s6")}


def test_outcomes_are_the_labels_of_those_who_asked() -> None:
    asked = {str(request["entity_id"]): f"i-{n}" for n, request in enumerate(traffic_rows())}
    outcomes = outcome_rows(asked)
    labels = {row["patient_id"]: row[LABEL] for row in patients()}
    assert len(outcomes) == 123
    assert all(o["label"] == labels[str(o["entity_id"])] for o in outcomes)
    assert {o["inference_id"] for o in outcomes} == set(asked.values())


@pytest.mark.parametrize("fault", FAULTS)
def test_a_malformed_delivery_breaks_the_rule_that_was_asked_for(
    fault: Fault, tmp_path: Path
) -> None:
    rows = _read(write_malformed(tmp_path, [fault]))
    ids = [row["patient_id"] for row in rows]
    broken = {
        "missing_column": "bp" not in rows[0],
        "text_in_number": rows[3]["bmi"] == "see chart",
        "duplicate_id": len(set(ids)) < len(ids),
        "impossible_age": rows[11]["age"] == "430",
    }
    assert [name for name, is_broken in broken.items() if is_broken] == [fault]


def test_the_malformed_delivery_of_the_demo_breaks_all_rules(tmp_path: Path) -> None:
    rows = _read(write_malformed(tmp_path))
    assert "bp" not in rows[0]
    assert (rows[3]["bmi"], rows[11]["age"]) == ("see chart", "430")
    assert rows[8]["patient_id"] == rows[7]["patient_id"]
