"""A regression in the job image: evaluated, compared, served; and what it must not answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import joblib
import pytest
from sklearn.ensemble import GradientBoostingRegressor

from steward.domain.bias.evidence import BiasEvidence
from steward.domain.evaluation_report import EvaluationReport
from steward.domain.monitoring.baseline import Baseline
from steward.domain.monitoring.counts import NumericCounts
from steward.domain.predictions import read_predictions
from steward.domain.project import parse_project
from steward_jobs.answers import Application
from steward_jobs.job_config import read_job_config
from steward_jobs.model_code import load_model
from support.job_container import Container, job_document, part
from support.regression_scene import declaration, formula, project, rows

PROJECT = project()
JOB = job_document(PROJECT)
ROWS = rows(300)
HELDOUT, TRAIN = part(ROWS, PROJECT, "heldout"), part(ROWS, PROJECT, "train")


TREES = """
import pathlib, joblib
def model_fn(folder): return joblib.load(pathlib.Path(folder) / "model.joblib")
def predict_fn(rows, model): return model.predict([[row["size"], row["age"]] for row in rows])
def explain_fn(model): return {"kind": "tree", "estimator": model, "columns": ["size", "age"]}
"""


def _evaluated(container: Container) -> EvaluationReport:
    done = container.run("evaluate")
    assert done.returncode == 0, done.stderr
    return EvaluationReport.model_validate(container.output("evaluation.json"))


def test_a_regression_is_evaluated_beside_its_champion(tmp_path: Path) -> None:
    container = Container(tmp_path)
    container.prepare_evaluation(formula(), HELDOUT, JOB, formula(2.5), train=TRAIN)
    report = _evaluated(container)
    assert (report.task, report.positives, report.rows) == ("regression", None, len(HELDOUT))
    rmse, r2 = report.metric("rmse"), report.metric("r2")
    assert rmse.value == pytest.approx(10, rel=0.25)
    assert r2.value is not None
    assert r2.value > 0.95
    beside = report.champion.evaluation
    assert beside is not None
    worse = beside.metric("rmse").value
    assert worse is not None
    assert worse > 2 * 10
    assert {(s.column, s.value) for s in report.slices} == {("age", "< 20"), ("age", ">= 20")}
    assert sum(point.rows for point in report.residuals) == report.rows
    assert report.calibration == []
    explained = container.output("explanation.json")
    assert (explained["scale"], explained["additive"]) == ("value", True)
    weights = {one["name"]: one["share"] for one in explained["features"]}
    assert weights["size"] > 0.8
    text = (tmp_path / "processing" / "output" / "predictions.csv").read_text()
    kept = read_predictions(text.splitlines(keepends=True))
    assert kept.labels.tolist() == [row["price"] for row in HELDOUT]
    assert kept.champion is not None


def test_later_rows_are_written_with_their_days_and_beside_the_season_before(
    tmp_path: Path,
) -> None:
    declared = declaration(split={"by": "time", "horizon_days": 7, "traffic": 0.1})
    data = declared["data"]
    times = [{"name": name, "type": "timestamp"} for name in ("asked_at", "known_at")]
    data |= {"columns": [*data["columns"], *times], "keep": "all",
             "prediction_time": "asked_at", "label_known_at": "known_at"}  # fmt: skip
    declared["evaluation"] = {**declared.get("evaluation", {}), "season_days": 7}
    job = job_document(parse_project(declared))

    def at(row: dict[str, Any], day: int) -> dict[str, Any]:
        asked, known = (f"2026-05-{n:02d}T00:00:00.000Z" for n in (day, day + 2))
        return {**row, "asked_at": asked, "known_at": known}

    later = [at(row, 8 + n % 7) for n, row in enumerate(HELDOUT)]
    container = Container(tmp_path)
    container.prepare_evaluation(
        formula(), later, job, train=[at(row, 1 + n % 7) for n, row in enumerate(HELDOUT)]
    )
    report = _evaluated(container)
    naive = report.simple_forecasts[1]
    assert (naive.name, naive.without_season) == ("seasonal_naive", 0)
    assert {one.metric: one.value for one in naive.metrics}["mae"] == 0
    text = (tmp_path / "processing" / "output" / "predictions.csv").read_text()
    kept = read_predictions(text.splitlines(keepends=True))
    assert kept.asked_on is not None
    assert [day.day for day in kept.asked_on] == [8 + n % 7 for n in range(len(later))]
    assert kept.lead_days == 2


def test_its_baseline_has_numbers_where_a_class_has_shares(tmp_path: Path) -> None:
    container = Container(tmp_path)
    container.prepare_evaluation(formula(), HELDOUT, JOB, train=TRAIN)
    _evaluated(container)
    baseline = Baseline.model_validate(container.output("baseline.json"))
    assert baseline.calibration == ()
    assert baseline.label is not None
    assert isinstance(baseline.label.counts, NumericCounts)
    assert baseline.predictions[0].counts.rows == len(HELDOUT)
    better = {name: metric.higher_is_better for name, metric in baseline.performance.items()}
    assert better == {"rmse": False, "mae": False, "r2": True}


def test_trees_are_explained_from_their_leaves_in_the_unit_of_the_label(tmp_path: Path) -> None:
    model = GradientBoostingRegressor(n_estimators=40, random_state=0)
    model.fit([[row["size"], row["age"]] for row in TRAIN], [row["price"] for row in TRAIN])
    (tmp_path / "model" / "code").mkdir(parents=True)
    (tmp_path / "model" / "code" / "inference.py").write_text(TREES)
    joblib.dump(model, tmp_path / "model" / "model.joblib")
    container = Container(tmp_path / "job")
    container.prepare_evaluation(tmp_path / "model", HELDOUT, JOB, train=TRAIN)
    _evaluated(container)
    explained = container.output("explanation.json")
    assert (explained["method"], explained["scale"]) == ("tree", "value")
    assert explained["max_gap"] < 1e-6


def test_its_bias_is_of_errors_and_of_a_cut(tmp_path: Path) -> None:
    declared = declaration(
        bias={
            "attributes": [{"column": "side", "facets": [{"values": ["n"]}], "feature": False}],
            "favourable": {"at_most": 300}, "minimum_rows": 20,
        }
    )  # fmt: skip
    declared["data"]["columns"].insert(1, {"name": "side", "type": "string"})
    found = parse_project(declared)
    told = [{**row, "side": "ns"[n % 2]} for n, row in enumerate(ROWS)]
    container = Container(tmp_path)
    container.prepare_evaluation(
        formula(), part(told, found, "heldout"), job_document(found),
        train=part(told, found, "train"),
    )  # fmt: skip
    _evaluated(container)
    evidence = BiasEvidence.model_validate(container.output("bias.json"))
    assert (evidence.task, evidence.favourable) == ("regression", ["<= 300"])
    assert evidence.facets[0].report.metric("DPPL").value is not None
    errors = {one.metric: one.overall for one in evidence.groups}
    assert errors["root_mean_squared_error"] == pytest.approx(10, rel=0.25)
    text = (tmp_path / "processing" / "output" / "bias.json").read_text()
    assert "h1-1" not in text


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("[float('nan') for _ in rows]", "which is no finite number"),
        ("[1.0]", "1 values for"),
        ("[None for _ in rows]", "rows 0 to"),
    ],
)
def test_answers_that_are_no_numbers_fail_the_candidate(
    code: str, reason: str, tmp_path: Path
) -> None:
    model = {
        "code/inference.py": "def model_fn(d): return 0\n"
        f"def predict_fn(rows, model): return {code}\n"
    }
    container = Container(tmp_path)
    container.prepare_evaluation(model, HELDOUT, JOB)
    assert container.run("evaluate").returncode == 1
    assert reason in container.failure


@pytest.mark.parametrize("label", ["", "high", "nan", "1e999"])
def test_a_held_out_label_that_is_no_number_is_named(label: str, tmp_path: Path) -> None:
    broken = [*HELDOUT[:5], {**HELDOUT[5], "price": label}]
    container = Container(tmp_path)
    container.prepare_evaluation(formula(), broken, JOB, train=TRAIN)
    assert container.run("evaluate").returncode == 1
    assert f"row 5: label price is '{label}', not a finite number" in container.failure


def test_a_task_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    container = Container(tmp_path)
    strange = {**JOB, "label": {"name": "price", "task": "ranking"}}
    container.prepare_evaluation(formula(), HELDOUT, strange)
    assert container.run("evaluate").returncode == 1
    assert "ranking" in container.failure


def _served(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Application:
    for name, text in {**formula(), "job.json": json.dumps(JOB)}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.delitem(__import__("sys").modules, "inference", raising=False)
    monkeypatch.syspath_prepend(str(folder / "code"))
    application = Application(100_000)
    job = read_job_config(folder / "job.json")
    application.take(job, load_model(folder, job.task))
    return application


def _asked(application: Application, body: str, kind: str) -> tuple[str, str]:
    import io

    told: list[str] = []
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST", "PATH_INFO": "/invocations", "CONTENT_TYPE": kind,
        "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body.encode()),
    }  # fmt: skip
    answer = b"".join(application(environ, lambda status, _headers: told.append(status)))
    return told[0], answer.decode()


def test_an_endpoint_answers_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    application = _served(tmp_path, monkeypatch)
    body = json.dumps({"instances": [{"size": 100, "age": 10}, {"size": 50.5, "age": 0}]})
    status, text = _asked(application, body, "application/json")
    assert status == "200 OK"
    assert json.loads(text) == {"predictions": [{"value": 295.0}, {"value": 151.5}]}
    assert _asked(application, "100,10\n", "text/csv") == ("200 OK", "295.0\n")
    status, text = _asked(application, "100,300\n", "text/csv")
    assert status.startswith("400")
    assert json.loads(text)["error"]["field"] == "age"
