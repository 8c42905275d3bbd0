"""A regression from delivery to release on the deployed stack, and a version beside it."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
import yaml

from steward.domain.bias.evidence import BiasEvidence
from steward_cli.commands.project import deploy_project_stack, push
from steward_cli.function_urls import call
from steward_cli.sources import read_source
from support.job_container import part
from support.laboratory_stack import Laboratory, eventually
from support.regression_scene import declaration, project, rows

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

NAME = "prices"
TRAIN = """
import csv, json, os, pathlib
from sklearn.ensemble import HistGradientBoostingRegressor
import joblib
rows = list(csv.DictReader(open(pathlib.Path(os.environ["SM_CHANNEL_TRAIN"]) / "train.csv")))
table = [[float(row["size"]), float(row["age"])] for row in rows]
model = HistGradientBoostingRegressor(max_iter=ITERATIONS, random_state=0)
model.fit(table, [float(row["price"]) for row in rows])
joblib.dump(model, pathlib.Path(os.environ["SM_MODEL_DIR"]) / "model.joblib")
"""
SERVE = """
import pathlib, joblib
def model_fn(folder): return joblib.load(pathlib.Path(folder) / "model.joblib")
def predict_fn(rows, model): return model.predict([[row["size"], row["age"]] for row in rows])
def explain_fn(model): return {"kind": "tree", "estimator": model, "columns": ["size", "age"]}
"""
ROWS = [{**row, "side": "ns"[n % 2]} for n, row in enumerate(rows(1500, seed=3))]
BIAS = {
    "attributes": [{"column": "side", "facets": [{"values": ["n"]}], "feature": False}],
    "favourable": {"at_most": 300},
    "metrics": [{"metric": "DPPL", "min": -0.3, "max": 0.3}],
}


def _declared() -> dict[str, Any]:
    found = declaration(bias=BIAS, gates=[{"metric": "r2", "min": 0.8}])
    found["data"]["columns"].insert(1, {"name": "side", "type": "string"})
    found["release"] = {"strategy": "all_at_once"}
    return found


def _push(lab: Laboratory, iterations: int) -> None:
    home = lab.folder / NAME
    (home / "src").mkdir(parents=True, exist_ok=True)
    (home / "project.yaml").write_text(yaml.safe_dump(_declared()))
    (home / "src" / "train.py").write_text(TRAIN.replace("ITERATIONS", str(iterations)))
    (home / "src" / "inference.py").write_text(SERVE)
    source = read_source(home)
    deploy_project_stack(lab.target, source.project)
    push(lab.theo, source)


def _csv(some: list[dict[str, Any]]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(some[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(some)
    return out.getvalue().encode()


def test_a_regression_is_released_answers_and_is_compared(lab: Laboratory) -> None:
    _push(lab, 60)
    lab.put_delivery(NAME, "first.csv", _csv(ROWS))
    item = lab.version(NAME, 1, "pending")
    evaluation = json.loads(lab.read(item["evaluation_uri"]))
    metrics = {one["metric"]: one["value"] for one in evaluation["metrics"]}
    assert set(metrics) == {"rmse", "mae", "r2"}
    assert metrics["r2"] > 0.9
    assert evaluation["residuals"]
    bias = BiasEvidence.model_validate_json(lab.read(item["bias"]["uri"]))
    assert (bias.task, bias.verdict) == ("regression", "pass")
    explained = json.loads(lab.read(item["explanation"]["uri"]))
    assert (explained["method"], explained["scale"]) == ("tree", "value")

    lab.approve(NAME, 1)
    lab.version(NAME, 1, "production")
    asked = part(ROWS, project(), "traffic")[0]
    url = f"{lab.target.output('GatewayUrl').rstrip('/')}/{NAME}"
    body = {
        "entity_id": asked["house"], "features": {"size": asked["size"], "age": asked["age"]},
    }  # fmt: skip

    def answer() -> Any:
        reply = call(lab.ward, url, body=body)
        return reply.body if reply.status == 200 else None

    answered = eventually(answer, "an answer")
    assert set(answered["prediction"]) == {"value"}
    assert answered["prediction"]["value"] == pytest.approx(asked["price"], abs=80)

    _push(lab, 3)
    lab.put_delivery(NAME, "second.csv", _csv(ROWS[:1400]))

    def second() -> Any:
        runs = lab.state.runs(NAME)
        ended = len(runs) > 1 and runs[-1]["status"] in ("held", "succeeded", "failed")
        return runs[-1] if ended else None

    run = eventually(second, "the end of the second run")
    assert run["status"] == "held", run
    assert "proved worse than the champion" in json.dumps(run, default=str)
    assert [int(version["version"]) for version in lab.state.versions(NAME)] == [1]
