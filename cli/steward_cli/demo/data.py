"""The demo's patients: real, small and public, as three deliveries, live requests and outcomes.

The table is the diabetes study of B. Efron, T. Hastie, I. Johnstone and R. Tibshirani, "Least
angle regression", Annals of Statistics 32 (2004), as scikit-learn bundles it: 442 patients, age,
sex, body mass index, blood pressure, six blood serum values (s6 is glucose), and a measure of
disease progression one year later. The label is whether that measure is above 140.

The study has no dates, so these are made up here: a visit every 36 hours from 2023-01-09 on, blood
drawn the day before and reported eight hours later, the outcome a year after the visit. So are the
laboratory's late corrections: of about one patient in twelve glucose (s6) is corrected 12 days
after the visit, under the time at which the blood was drawn. Whoever joins by that time alone
trains on what nobody knew at the visit.

Which patients may ask for predictions is decided by the project's own split: only those of the
``traffic`` part do, so no live request has trained or judged a version.

For the monitored hours these patients are divided in two, each in one hour alone. Those of the
second are made older by ``SHIFT_YEARS``: that shift is made up here, so that there is one to find.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

from steward.domain.splits import part_of, position_of

Value = int | float | None
Row = dict[str, Value | str]
Fault = Literal["missing_column", "text_in_number", "duplicate_id", "impossible_age"]

SALT = "steward"
TRAFFIC_SHARE = 0.3
HELDOUT_SHARE = 0.3
ENTITY_ID = "patient_id"
LABEL = "progression_above_140"
OWN_FEATURES = ("age", "sex", "bmi", "bp")
LAB_FEATURES = ("s1", "s2", "s3", "s4", "s5", "s6")
FEATURES = OWN_FEATURES + LAB_FEATURES
VISITED_AT, OUTCOME_AT = "visited_at", "outcome_at"
DRAWN_AT, REPORTED_AT = "drawn_at", "reported_at"
PENDING_FEATURE = "s6"
DELIVERY_ROWS = (240, 144, 58)
"""Patients of each delivery: 119 of the first 384 are held out when version 2 is judged."""
FAULTS: tuple[Fault, ...] = get_args(Fault)
SHIFT_YEARS = 20
"""Added to the age of each patient of the shifted hour."""
_PROGRESSION = 140
_FIRST_VISIT = datetime(2023, 1, 9, 9, tzinfo=UTC)
_BETWEEN_VISITS = timedelta(hours=36)
_CORRECTED_SHARE = 1 / 12
_CORRECTED_AFTER = timedelta(days=12)


@cache
def patients() -> tuple[Row, ...]:
    """Return all patients in the order of the study, ``p001`` to ``p442``.

    The files are read where scikit-learn keeps them, without importing it: that alone would take
    longer than everything else that the demo does by itself.
    """
    folder = _bundled_data()
    features = gzip.decompress((folder / "diabetes_data_raw.csv.gz").read_bytes()).decode()
    targets = gzip.decompress((folder / "diabetes_target.csv.gz").read_bytes()).decode()
    rows: list[Row] = []
    pairs = zip(features.splitlines(), targets.splitlines(), strict=True)
    for number, (line, target) in enumerate(pairs, start=1):
        row: Row = {ENTITY_ID: f"p{number:03d}"}
        for name, text in zip(FEATURES, line.split(), strict=True):
            row[name] = int(text) if name in ("age", "sex") else float(text)
        row[LABEL] = int(float(target) > _PROGRESSION)
        rows.append(row)
    return tuple(rows)


def deliveries() -> list[list[Row]]:
    """Return the three deliveries: each patient is in exactly one of them."""
    rows = list(patients())
    found = []
    for size in DELIVERY_ROWS:
        found.append(rows[:size])
        rows = rows[size:]
    return found


def visits(rows: Sequence[Row]) -> list[Row]:
    """Return the primary table of these patients: a visit with its times and its outcome."""
    return [
        {
            ENTITY_ID: row[ENTITY_ID],
            VISITED_AT: _iso(_visit(row)),
            OUTCOME_AT: _iso(_visit(row) + timedelta(days=365)),
            **{name: row[name] for name in OWN_FEATURES},
            LABEL: row[LABEL],
        }
        for row in rows
    ]


def labs(rows: Sequence[Row]) -> list[Row]:
    """Return what the laboratory reported of these patients before their visits."""
    return [_lab_report(row) for row in rows]


def corrections(rows: Sequence[Row]) -> list[Row]:
    """Return the late corrections of these patients' glucose, reported after their visits."""
    found = []
    for row in rows:
        if position_of(str(row[ENTITY_ID]), salt="late-correction") < _CORRECTED_SHARE:
            corrected = _lab_report(row)
            glucose = corrected[PENDING_FEATURE]
            assert isinstance(glucose, float)
            corrected[PENDING_FEATURE] = round(glucose * 1.2, 2)
            corrected[REPORTED_AT] = _iso(_visit(row) + _CORRECTED_AFTER)
            found.append(corrected)
    return found


def write_deliveries(folder: Path) -> list[Path]:
    """Write ``delivery-1.csv`` to ``delivery-3.csv`` and return their paths."""
    return [
        _write(folder / f"delivery-{number}.csv", visits(rows))
        for number, rows in enumerate(deliveries(), start=1)
    ]


def write_lab_deliveries(folder: Path) -> list[Path]:
    """Write ``labs-1.csv`` to ``labs-3.csv``: new values, and corrections of the one before."""
    found = deliveries()
    before: list[list[Row]] = [[], *found]
    return [
        _write(folder / f"labs-{number}.csv", [*labs(rows), *corrections(earlier)])
        for number, (rows, earlier) in enumerate(zip(found, before, strict=False), start=1)
    ]


def _visit(row: Row) -> datetime:
    return _FIRST_VISIT + _BETWEEN_VISITS * (int(str(row[ENTITY_ID])[1:]) - 1)


def _lab_report(row: Row) -> Row:
    drawn = _visit(row) - timedelta(days=1)
    return {
        ENTITY_ID: row[ENTITY_ID],
        DRAWN_AT: _iso(drawn),
        REPORTED_AT: _iso(drawn + timedelta(hours=8)),
        **{name: row[name] for name in LAB_FEATURES},
    }


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def write_malformed(folder: Path, faults: Collection[Fault] = FAULTS) -> Path:
    """Write a delivery that breaks the given rules, and nothing but these.

    - ``missing_column``: there is no ``bp``.
    - ``text_in_number``: the ``bmi`` of the 4th row is ``see chart``.
    - ``duplicate_id``: the 9th row has the id of the 8th.
    - ``impossible_age``: the 12th patient is 430 years old.
    """
    rows = visits(deliveries()[2])
    for number, row in enumerate(rows, start=443):
        row[ENTITY_ID] = f"p{number}"
    if "text_in_number" in faults:
        rows[3]["bmi"] = "see chart"
    if "duplicate_id" in faults:
        rows[8][ENTITY_ID] = rows[7][ENTITY_ID]
    if "impossible_age" in faults:
        rows[11]["age"] = 430
    if "missing_column" in faults:
        for row in rows:
            del row["bp"]
    return _write(folder / "delivery-malformed.csv", rows)


def traffic_rows(pending_share: float = 0.0) -> list[dict[str, object]]:
    """Return one request for each patient of the traffic part.

    Args:
        pending_share: Share of these patients whose lab has not reported ``s6`` yet: the request
            says so by null, which counts more than what the feature store knows. Who they are
            follows from their id, so a patient pending at one share is pending at each larger
            one.

    Returns:
        ``{"entity_id": ..., "features": {...}}`` for each patient: what the ward measured. The
        laboratory's values are the feature store's, and the label nobody's yet.
    """
    requests: list[dict[str, object]] = []
    for row in _traffic_patients():
        features: dict[str, object] = {name: row[name] for name in OWN_FEATURES}
        entity_id = str(row[ENTITY_ID])
        if position_of(entity_id, salt="pending-lab") < pending_share:
            features[PENDING_FEATURE] = None
        requests.append({"entity_id": entity_id, "features": features})
    return requests


def monitored_rows() -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Return the requests of two hours, of different patients: as they are, and made older.

    They give the laboratory's values themselves. Those in the feature store count for 90 days, and
    this study's are from years ago: without them every request would lack what the version was
    trained on, which is drift, too.
    """
    rows: list[dict[str, object]] = [
        {"entity_id": row[ENTITY_ID], "features": {name: row[name] for name in FEATURES}}
        for row in _traffic_patients()
    ]
    return rows[::2], [_older(row) for row in rows[1::2]]


def _older(request: dict[str, object]) -> dict[str, object]:
    features = request["features"]
    assert isinstance(features, dict)
    return {**request, "features": {**features, "age": features["age"] + SHIFT_YEARS}}


def outcome_rows(inference_ids: Mapping[str, str]) -> list[dict[str, object]]:
    """Return what became of the patients, to be joined with the predictions they got.

    Args:
        inference_ids: The inference id of each patient's prediction, by patient id.

    Raises:
        KeyError: An id is not that of a traffic patient.
    """
    labels = {str(row[ENTITY_ID]): row[LABEL] for row in _traffic_patients()}
    return [
        {"inference_id": inference_id, "entity_id": entity_id, "label": labels[entity_id]}
        for entity_id, inference_id in inference_ids.items()
    ]


def _traffic_patients() -> list[Row]:
    return [
        row
        for row in patients()
        if part_of(
            str(row[ENTITY_ID]), salt=SALT, traffic=TRAFFIC_SHARE, heldout=HELDOUT_SHARE
        ) == "traffic"
    ]  # fmt: skip


def _bundled_data() -> Path:
    found = find_spec("sklearn")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(
            "the demo's data come with scikit-learn, which is not installed; "
            "run it in the environment that `make` prepares"
        )
    return Path(found.submodule_search_locations[0]) / "datasets" / "data"


def _write(path: Path, rows: Sequence[Row]) -> Path:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8")
    return path
