"""The demo's patients: real, small and public, as three deliveries, live requests and outcomes.

The table is the diabetes study of B. Efron, T. Hastie, I. Johnstone and R. Tibshirani, "Least
angle regression", Annals of Statistics 32 (2004), as scikit-learn bundles it: 442 patients, age,
sex, body mass index, blood pressure, six blood serum values (s6 is glucose), and a measure of
disease progression one year later. The label is whether that measure is above 140.

Which patients may ask for predictions is decided by the project's own split: only those of the
``traffic`` part do, so no live request has trained or judged a version.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Collection, Mapping, Sequence
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
FEATURES = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")
PENDING_FEATURE = "s6"
DELIVERY_ROWS = (240, 144, 58)
"""Patients of each delivery: 119 of the first 384 are held out when version 2 is judged."""
FAULTS: tuple[Fault, ...] = get_args(Fault)
_PROGRESSION = 140


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


def write_deliveries(folder: Path) -> list[Path]:
    """Write ``delivery-1.csv`` to ``delivery-3.csv`` and return their paths."""
    return [
        _write(folder / f"delivery-{number}.csv", rows)
        for number, rows in enumerate(deliveries(), start=1)
    ]


def write_malformed(folder: Path, faults: Collection[Fault] = FAULTS) -> Path:
    """Write a delivery that breaks the given rules, and nothing but these.

    - ``missing_column``: there is no ``bp``.
    - ``text_in_number``: the ``bmi`` of the 4th row is ``see chart``.
    - ``duplicate_id``: the 9th row has the id of the 8th.
    - ``impossible_age``: the 12th patient is 430 years old.
    """
    rows = [dict(row) for row in deliveries()[2]]
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
        pending_share: Share of these patients whose lab has not reported ``s6`` yet: it is null
            in their request. Who they are follows from their id, so a patient pending at one
            share is pending at each larger one.

    Returns:
        ``{"entity_id": ..., "features": {...}}`` for each patient, without the label.
    """
    requests: list[dict[str, object]] = []
    for row in _traffic_patients():
        features = {name: row[name] for name in FEATURES}
        entity_id = str(row[ENTITY_ID])
        if position_of(entity_id, salt="pending-lab") < pending_share:
            features[PENDING_FEATURE] = None
        requests.append({"entity_id": entity_id, "features": features})
    return requests


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
