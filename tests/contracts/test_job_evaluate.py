"""``evaluate`` as SageMaker starts it: two models apart, what it writes, findings and failures."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from steward.domain.comparison import ComparisonSettings, compare
from steward.domain.evaluation_report import EvaluationReport
from steward.domain.explanations.evidence import ExplanationEvidence
from steward.domain.monitoring.baseline import Baseline
from steward.domain.monitoring.counts import NumericCounts, Vocabulary
from steward.domain.predictions import read_predictions
from steward_cli.demo.data import deliveries
from support.job_container import DIABETES, Container, job_document, load_project, part, trained

PROJECT = load_project(DIABETES)
JOB = job_document(PROJECT)
FIRST = deliveries()[0]
HELDOUT = part(FIRST, PROJECT, "heldout")


def _answering(value: str, *, neighbour: str = "") -> dict[str, str]:
    """A model whose code answers one value, read from a neighbouring module."""
    return {
        "code/neighbour.py": f"VALUE = {value}\n",
        "code/inference.py": (
            "from neighbour import VALUE\n"
            "def model_fn(model_dir): return VALUE\n"
            "def predict_fn(rows, model): return [model for _ in rows]\n" + neighbour
        ),
    }


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 1, trained."""
    rows = part(FIRST, PROJECT, "train")
    return trained(tmp_path_factory.mktemp("train"), DIABETES / "src", rows, JOB)


def test_a_first_version_is_evaluated_alone(model: Path, tmp_path: Path) -> None:
    container = Container(tmp_path)
    container.prepare_evaluation(model, HELDOUT, JOB)
    done = container.run("evaluate")
    assert done.returncode == 0, done.stderr
    report = EvaluationReport.model_validate(container.output("evaluation.json"))
    assert (report.rows, report.entities, report.champion.status) == (70, 70, "absent")
    [constant] = report.simple_forecasts
    assert (constant.name, report.training) == ("constant", None)
    beside = {found.metric: found.value for found in constant.metrics}
    assert beside["roc_auc"] == 0.5
    assert 0.2095 < (beside["brier"] or 0) < 0.3
    assert report.metric("brier").value == pytest.approx(0.2095, abs=5e-4)
    assert {(s.column, s.value) for s in report.slices} == {
        ("age", "< 45"), ("age", "45 to < 60"), ("age", ">= 60"), ("sex", "1"), ("sex", "2"),
    }  # fmt: skip
    assert sum(point.rows for point in report.calibration) == 70
    assert report.feature_means["bmi"] == pytest.approx(
        np.mean([float(str(row["bmi"])) for row in HELDOUT])
    )


def test_the_manifest_names_each_file_by_its_digest(model: Path, tmp_path: Path) -> None:
    container = Container(tmp_path)
    container.prepare_evaluation(model, HELDOUT, JOB)
    assert container.run("evaluate").returncode == 0
    output = tmp_path / "processing" / "output"
    files = container.output("manifest.json")["files"]
    names = ["baseline.json", "bias.json", "evaluation.json", "explanation.json", "predictions.csv"]
    assert sorted(files) == names
    for name, entry in files.items():
        content = (output / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def test_the_same_inputs_give_the_same_bytes(model: Path, tmp_path: Path) -> None:
    written = []
    for name in ("once", "again"):
        container = Container(tmp_path / name)
        container.prepare_evaluation(model, HELDOUT, JOB, champion=model)
        assert container.run("evaluate").returncode == 0
        written.append(container.output("manifest.json"))
    assert written[0] == written[1]


def test_a_model_against_itself_is_no_difference(model: Path, tmp_path: Path) -> None:
    container = Container(tmp_path)
    container.prepare_evaluation(model, HELDOUT, JOB, champion=model)
    assert container.run("evaluate").returncode == 0
    with (tmp_path / "processing" / "output" / "predictions.csv").open(newline="") as lines:
        rows = read_predictions(lines)
    assert rows.champion is not None
    plan = PROJECT.evaluation.model_dump(exclude={"slices", "season_days"})
    found = compare(
        rows.entities, rows.labels, rows.candidate, rows.champion,
        slices=rows.slices, settings=ComparisonSettings(**plan),
    )  # fmt: skip
    assert (found.verdict, found.difference, found.superior) == ("pass", 0, False)
    assert len(found.slices) == 5


def test_modules_of_the_two_models_do_not_meet(tmp_path: Path) -> None:
    container = Container(tmp_path)
    figures = {"loss": "brier", "losses": {"linear": 0.2, "constant": 0.25}, "reason": "so"}
    built_in = {"model.json": json.dumps({"kind": "linear", "figures": figures})}
    container.prepare_evaluation(
        {**_answering("0.25"), **built_in}, HELDOUT, JOB, champion=_answering("0.75")
    )
    assert container.run("evaluate").returncode == 0
    assert container.output("evaluation.json")["training"] == {"kept": "linear", **figures}
    with (tmp_path / "processing" / "output" / "predictions.csv").open(newline="") as lines:
        rows = read_predictions(lines)
    assert rows.champion is not None
    assert set(rows.candidate) == {0.25}
    assert set(rows.champion) == {0.75}


@pytest.mark.parametrize(
    ("champion", "stage", "reason"),
    [
        ({"code/inference.py": "import a_library_long_gone"}, "load", "a_library_long_gone"),
        ({"code/inference.py": "import sys; sys.exit(0)"}, "load", "SystemExit(0)"),
        ({"model.json": "{}"}, "load", "no code/inference.py"),
        ({"code/inference.py": "def model_fn(d): ..."}, "load", "no function predict_fn"),
        (_answering("1 / 0"), "load", "ZeroDivisionError"),
        (_answering("1.5"), "predict", "1.5 for row 0, which is no probability"),
        (_answering("float('nan')"), "predict", "nan for row 0"),
        (
            _answering("0.5", neighbour="def predict_fn(rows, model): return [0.5]\n"),
            "predict",
            "answered 1 values for 70 rows",
        ),
        (
            _answering("0.5", neighbour="import os\ndef predict_fn(rows, model): os._exit(7)\n"),
            "predict",
            "ended with code 7",
        ),
    ],
)
def test_a_champion_that_cannot_answer_is_a_finding(
    champion: dict[str, str], stage: str, reason: str, tmp_path: Path
) -> None:
    container = Container(tmp_path)
    container.prepare_evaluation(_answering("0.4"), HELDOUT, JOB, champion=champion)
    done = container.run("evaluate")
    assert done.returncode == 0, done.stderr
    found = container.output("evaluation.json")["champion"]
    assert (found["status"], found["stage"], found["evaluation"]) == ("failed", stage, None)
    assert reason in found["reason"]
    header = (tmp_path / "processing" / "output" / "predictions.csv").read_text().split("\n")[0]
    assert header == "entity_id,label,p_candidate,slice_age,slice_sex"


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (
            _answering("1 / 0"),
            "the candidate's code failed (load): inference.py cannot be imported",
        ),
        (_answering("-0.1"), "the candidate's code failed (predict): rows 0 to 69"),
    ],
)
def test_a_candidate_that_cannot_answer_fails_the_job(
    candidate: dict[str, str], reason: str, tmp_path: Path
) -> None:
    container = Container(tmp_path)
    container.prepare_evaluation(candidate, HELDOUT, JOB)
    assert container.run("evaluate").returncode == 1
    assert reason in container.failure
    assert (tmp_path / "output" / "message").read_text() == container.failure


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"bmi": "heavy"}, "row 3: bmi must be a finite number, at least 10, at most 80"),
        ({"progression_above_140": ""}, "row 3: label progression_above_140 is ''"),
        ({"age": "nan"}, "row 3: age must be a whole number"),
    ],
)
def test_a_heldout_row_that_breaks_the_configuration_fails_the_job(
    change: dict[str, str], reason: str, tmp_path: Path
) -> None:
    rows = [dict(row) for row in HELDOUT]
    rows[3] |= change
    container = Container(tmp_path)
    container.prepare_evaluation(_answering("0.4"), rows, JOB)
    assert container.run("evaluate").returncode == 1
    assert reason in container.failure


def test_a_pending_value_among_heldout_rows_is_answered_by_the_first_versions_code(
    model: Path, tmp_path: Path
) -> None:
    rows = [dict(row) | ({"s6": None} if n == 0 else {}) for n, row in enumerate(HELDOUT)]
    container = Container(tmp_path)
    container.prepare_evaluation(model, rows, JOB)
    assert container.run("evaluate").returncode == 0
    assert json.loads((tmp_path / "processing" / "output" / "evaluation.json").read_text())


def test_thousands_of_rows_are_streamed(tmp_path: Path) -> None:
    rows = [dict(HELDOUT[n % 70]) | {"patient_id": f"p{n:06d}"} for n in range(12_000)]
    job = json.loads(json.dumps(JOB))
    job["evaluation"]["bootstrap_samples"] = 200
    container = Container(tmp_path)
    container.prepare_evaluation(_answering("0.5"), rows, job, champion=_answering("0.4"))
    done = container.run("evaluate")
    assert done.returncode == 0, done.stderr
    assert container.output("evaluation.json")["rows"] == 12_000


def _baseline(tmp_path: Path) -> Baseline:
    path = tmp_path / "processing" / "output" / "baseline.json"
    return Baseline.model_validate_json(path.read_bytes())


def test_the_baseline_has_features_of_training_rows_and_the_rest_of_heldout_ones(
    model: Path, tmp_path: Path
) -> None:
    container = Container(tmp_path)
    train = part(FIRST, PROJECT, "train")
    container.prepare_evaluation(model, HELDOUT, JOB, train=train)
    assert container.run("evaluate").returncode == 0
    found = _baseline(tmp_path)
    assert (found.project, found.version, found.unit) == ("diabetes", None, "entity")
    assert (found.rows, found.held_out_rows) == (len(train), 70)
    assert [c.name for c in found.features] == [c.name for c in PROJECT.model_features]
    for column in found.features:
        assert column.counts.rows == len(train), column.name
    assert found.sample is not None
    assert found.sample.rows == min(500, len(train))
    assert list(found.sample.columns) == [c.name for c in PROJECT.model_features]
    known = {float(np.float32(float(str(row["bmi"])))) for row in train}
    assert set(found.sample.of(["bmi"])[:, 0].tolist()) <= known
    bmi = found.column("bmi")
    assert bmi is not None
    assert isinstance(bmi.counts, NumericCounts)
    assert bmi.counts.minimum == min(float(str(row["bmi"])) for row in train)
    [prediction] = found.predictions
    assert (prediction.name, prediction.counts.rows) == ("prediction", 70)
    assert found.label is not None
    assert found.label.counts.rows == 70
    report = EvaluationReport.model_validate(container.output("evaluation.json"))
    brier = found.performance["brier"]
    assert brier.estimate == report.metric("brier").value
    assert 0.005 < brier.standard_error < 0.05
    assert not brier.higher_is_better
    assert found.performance["roc_auc"].higher_is_better
    assert sum(place.rows for place in found.calibration) == 70
    assert sum(place.positives for place in found.calibration) == report.positives
    assert (found.calibration[0].lower, found.calibration[-1].upper) == (0.0, 1.0)


def test_the_attribution_ranks_what_moves_the_answers(tmp_path: Path) -> None:
    answers = {
        "code/inference.py": (
            "def model_fn(model_dir): return None\n"
            "def predict_fn(rows, model):\n"
            "    return [min(1, max(0, (r['bmi'] - 15) / 40 + r['age'] / 1000)) for r in rows]\n"
        )
    }
    container = Container(tmp_path)
    container.prepare_evaluation(answers, HELDOUT, JOB)
    assert container.run("evaluate").returncode == 0
    attribution = _baseline(tmp_path).attribution
    assert attribution is not None
    assert attribution.ranking[:2] == ["bmi", "age"]
    others = {n: v for n, v in attribution.mean_absolute.items() if n not in ("bmi", "age")}
    assert set(others.values()) == {0.0}
    assert (attribution.rows, attribution.scale) == (60, "probability")


def test_a_model_that_fails_on_mixed_rows_has_a_baseline_without_attribution(
    tmp_path: Path,
) -> None:
    count = len(HELDOUT)
    fussy = {
        "code/inference.py": (
            "def model_fn(model_dir): return None\n"
            "def predict_fn(rows, model):\n"
            f"    if len(rows) != {count}: raise ValueError('not these')\n"
            "    return [0.4 for _ in rows]\n"
        )
    }
    container = Container(tmp_path)
    container.prepare_evaluation(fussy, HELDOUT, JOB)
    done = container.run("evaluate")
    assert done.returncode == 0, done.stderr
    assert _baseline(tmp_path).attribution is None
    assert "explanation_failed" in done.stdout
    assert "not these" in done.stdout
    assert "explanation.json" not in container.output("manifest.json")["files"]


def _explanation(tmp_path: Path) -> ExplanationEvidence:
    path = tmp_path / "processing" / "output" / "explanation.json"
    return ExplanationEvidence.model_validate_json(path.read_bytes())


def test_a_model_that_says_it_is_linear_is_explained_on_the_log_odds(
    model: Path, tmp_path: Path
) -> None:
    container = Container(tmp_path)
    container.prepare_evaluation(model, HELDOUT, JOB)
    done = container.run("evaluate")
    assert done.returncode == 0, done.stderr
    found, kept = _explanation(tmp_path), _baseline(tmp_path).attribution
    assert (found.method, found.scale, found.additive, found.rows) == (
        "linear", "log_odds", True, 70,
    )  # fmt: skip
    assert kept is not None
    assert kept.linear is not None
    assert found.background_digest == kept.background
    assert len(kept.values) == 70
    assert [one.name for one in found.features] == kept.ranking
    assert {one.name for one in found.permutation} == set(kept.features)


LINEAR = """
from math import exp
def model_fn(model_dir): return None
def predict_fn(rows, model):
    return [1 / (1 + exp(-(r['bmi'] - 25) / 10)) for r in rows]
def explain_fn(model):
    return {'kind': 'linear', 'intercept': %s, 'weights': {'bmi': 0.1}}
"""


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (LINEAR % "-2.0", "apart from the model"),
        (LINEAR % "float('nan')", "finite number"),
        (LINEAR.replace("'bmi': 0.1", "'weight': 0.1") % "-2.5", "names no feature"),
        (LINEAR.replace("'kind': 'linear'", "'kind': 'tree'") % "-2.5", "shap"),
    ],
)
def test_a_form_that_is_not_the_models_is_set_aside(code: str, reason: str, tmp_path: Path) -> None:
    container = Container(tmp_path)
    container.prepare_evaluation({"code/inference.py": code}, HELDOUT, JOB)
    done = container.run("evaluate")
    assert done.returncode == 0, done.stderr
    assert "form_set_aside" in done.stdout
    assert reason in done.stdout
    found = _explanation(tmp_path)
    assert (found.method, found.scale, found.additive) == ("exact", "probability", True)
    assert found.features[0].name == "bmi"


def test_an_explain_fn_that_raises_leaves_the_version_unexplained(tmp_path: Path) -> None:
    container = Container(tmp_path)
    code = LINEAR % "1 / 0"
    container.prepare_evaluation({"code/inference.py": code}, HELDOUT, JOB)
    done = container.run("evaluate")
    assert done.returncode == 0, done.stderr
    assert "explain_fn raised ZeroDivisionError" in done.stdout
    assert _baseline(tmp_path).attribution is None


def test_a_model_that_answers_a_row_otherwise_in_other_company_is_not_additive(
    tmp_path: Path,
) -> None:
    moody = {
        "code/inference.py": (
            "def model_fn(model_dir): return None\n"
            "def predict_fn(rows, model):\n"
            "    mean = sum(r['bmi'] for r in rows) / len(rows)\n"
            "    return [min(1, max(0, 0.5 + (r['bmi'] - mean) / 100)) for r in rows]\n"
        )
    }
    container = Container(tmp_path)
    container.prepare_evaluation(moody, HELDOUT, JOB)
    assert container.run("evaluate").returncode == 0
    found = _explanation(tmp_path)
    assert not found.additive
    assert found.max_gap > 0.001


def test_categories_are_explained_and_the_cost_is_bounded(tmp_path: Path) -> None:
    job = json.loads(json.dumps(JOB))
    for feature in job["features"]:
        if feature["name"] == "sex":
            feature |= {"type": "string", "allowed": None}
    rows = [dict(HELDOUT[n % 70]) | {"patient_id": f"p{n:06d}"} for n in range(1000)]
    code = (
        "def model_fn(model_dir): return None\n"
        "def predict_fn(rows, model):\n"
        "    return [0.8 if r['sex'] == '1' else 0.2 for r in rows]\n"
    )
    container = Container(tmp_path)
    container.prepare_evaluation({"code/inference.py": code}, rows, job)
    done = container.run("evaluate")
    assert done.returncode == 0, done.stderr
    found = _explanation(tmp_path)
    assert found.features[0].name == "sex"
    assert {one.name for one in found.permutation if one.increase} == {"sex"}
    assert found.features[0].share == 1
    kept = _baseline(tmp_path).attribution
    assert kept is not None
    places = [row[kept.features.index("sex")] for row in kept.background_rows]
    assert set(places) == {"1", "2"}
    [line] = [json.loads(one) for one in done.stdout.splitlines() if '"explained"' in one]
    assert line["model_rows"] <= 330_000
    assert kept.coalitions == 2 ** len(kept.features)


@pytest.mark.parametrize(("unit", "rows"), [("entity", 3), ("event", 6)])
def test_what_one_count_of_the_baseline_is_follows_the_declared_unit(
    unit: str, rows: int, tmp_path: Path
) -> None:
    train = [dict(HELDOUT[n % 3]) for n in range(6)]
    container = Container(tmp_path)
    job = {**JOB, "monitoring": {"unit": unit}}
    container.prepare_evaluation(_answering("0.4"), HELDOUT, job, train=train)
    assert container.run("evaluate").returncode == 0
    found = _baseline(tmp_path)
    assert (found.unit, found.rows) == (unit, rows)


def test_an_empty_value_is_missing_and_texts_are_levels(tmp_path: Path) -> None:
    job = json.loads(json.dumps(JOB))
    for feature in job["features"]:
        feature["nullable"] = True
        if feature["name"] == "sex":
            feature |= {"type": "string", "allowed": None}
    train = [dict(row) | ({"sex": None, "bmi": None} if n < 4 else {}) for n, row in
             enumerate(HELDOUT)]  # fmt: skip
    container = Container(tmp_path)
    container.prepare_evaluation(_answering("0.4"), HELDOUT, job, train=train)
    done = container.run("evaluate")
    assert done.returncode == 0, done.stderr
    found = _baseline(tmp_path)
    bmi, sex = found.column("bmi"), found.column("sex")
    assert bmi is not None
    assert sex is not None
    assert (bmi.counts.missing, sex.counts.missing) == (4, 4)
    assert isinstance(sex.cells, Vocabulary)
    assert set(sex.cells.levels) == {"1", "2"}
    assert found.sample is not None
    assert "sex" not in found.sample.columns
    assert int(np.isnan(found.sample.of(["bmi"])).sum()) == 4


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (None, "train.csv is missing"),
        ([], "train.csv holds no rows"),
        ({"bmi": "heavy"}, "train.csv: row 0: bmi must be a finite number"),
    ],
)
def test_training_rows_that_cannot_be_used_fail_the_job(
    change: dict[str, str] | list[object] | None, reason: str, tmp_path: Path
) -> None:
    container = Container(tmp_path)
    train = [dict(HELDOUT[0]) | (change if isinstance(change, dict) else {})]
    container.prepare_evaluation(_answering("0.4"), HELDOUT, JOB, train=train)
    path = tmp_path / "processing" / "train" / "train.csv"
    if change is None:
        path.unlink()
    elif not change:
        path.write_text(path.read_text().splitlines()[0] + "\n")
    assert container.run("evaluate").returncode == 1
    assert reason in container.failure
