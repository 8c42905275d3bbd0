"""Bias on the deployed stack: evidence of a version, and facets of what it then answers."""

from __future__ import annotations

import hashlib
import io
import json
import random
import shutil
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
import yaml

from e2e.test_monitoring import Ward, requests
from steward.domain.bias.assessment import BiasRows, Origin, Predicted, assess
from steward.domain.bias.declaration import Bias
from steward.domain.bias.evidence import BiasEvidence
from steward.domain.predictions import Predictions, write_predictions
from steward.domain.versions import version_item
from steward.ports import Put, Table
from steward_cli.commands.project import deploy_project_stack, push
from steward_cli.sources import read_source
from support.job_container import TABULAR
from support.laboratory_stack import Laboratory, eventually

pytestmark = pytest.mark.e2e

LOANS: dict[str, Any] = {
    "owner": "bank",
    "data": {
        "entity_id": "id",
        "label": {"name": "paid", "positive": True},
        "columns": [
            {"name": "id", "type": "string"},
            {"name": "sex", "type": "string"},
            {"name": "income", "type": "float"},
            {"name": "paid", "type": "boolean"},
        ],
    },
    "bias": {
        "attributes": [{"column": "sex", "facets": [{"values": ["f"]}], "feature": False}],
        "metrics": [{"metric": "DI", "min": 0.8, "max": 1.25}],
    },
}


def _file(poorer: float) -> bytes:
    """A delivery whose label follows income alone; women earn less by ``poorer``."""
    draw = random.Random(3)
    lines = ["id,sex,income,paid"]
    for number in range(4000):
        sex = draw.choice("fm")
        income = draw.gauss(0, 1) - (poorer if sex == "f" else 0)
        lines.append(f"p{number},{sex},{income:.4f},{str(draw.gauss(income, 0.3) > 0).lower()}")
    return "\n".join(lines).encode() + b"\n"


def _add(lab: Laboratory, name: str) -> None:
    home = lab.folder / name
    shutil.copytree(TABULAR / "src", home / "src")
    (home / "project.yaml").write_text(yaml.safe_dump({"project": name, **LOANS}))
    source = read_source(home)
    deploy_project_stack(lab.target, source.project)
    push(lab.theo, source)


def test_a_candidate_that_is_proved_biased_is_held_by_the_gate(lab: Laboratory) -> None:
    name = "unfair-loans"
    _add(lab, name)
    lab.put_delivery(name, "loans.csv", _file(1.0))
    run = lab.run(name, "succeeded", "held", "failed")
    assert run["status"] == "held", run
    assert "bias" in json.dumps(run, default=str)
    assert lab.state.versions(name) == []


def test_bias_is_evidence_of_the_version_and_told_to_its_approver(lab: Laboratory) -> None:
    name = "fair-loans"
    _add(lab, name)
    lab.put_delivery(name, "loans.csv", _file(0.0))
    run = lab.run(name, "succeeded", "held", "failed")
    assert run["status"] == "succeeded", run
    item = lab.version(name, 1, "pending")
    content = lab.read(item["bias"]["uri"])
    found = BiasEvidence.model_validate_json(content)
    assert (found.verdict, found.facets[0].name) == ("pass", "sex = f")
    evidence = json.loads(lab.read(item["evidence_uri"]))
    assert evidence["bias"] == {
        "uri": item["bias"]["uri"], "sha256": hashlib.sha256(content).hexdigest(),
    }  # fmt: skip
    shown = lab.steward("versions", "show", name, "1")
    assert shown["summary"]["bias"][0].startswith("sex = f: pass: DI")
    told = lab.steward("bias", name)
    assert (told["version"], told["verdict"]) == (1, "pass")
    page = lab.folder / f"{name}.html"
    lab.steward("bias", name, "1", "--html", str(page))
    assert "disparate impact" in page.read_text(encoding="utf-8")


class Watched(Ward):
    """A ward whose version has ``bias.json``, and whose answers get labels."""

    def give_bias(self, bias: dict[str, Any]) -> None:
        rows = [*requests(2, 3000)]
        labels = np.array(outcomes(rows, 1)) == 1
        scores = np.array([row["probability"] for row in rows])
        declared = Bias.model_validate(bias)
        known = BiasRows(labels, [str(int(one)) for one in labels],
                         {"age": [row["features"]["age"] for row in rows]})  # fmt: skip
        predicted = Predicted(scores, scores >= 0.5, {})
        origin = Origin(self.name, "run-1", "0" * 64, "event", [1])
        content = assess(declared, known, known, predicted, origin).model_dump_json().encode()
        bucket = self.lab.target.output("ArtifactsBucketName")
        stream = io.StringIO(newline="")
        write_predictions(
            Predictions([row["entity"] for row in rows], labels.astype(float), scores, None, {}),
            stream,
        )  # fmt: skip
        base = f"runs/{self.name}/v1"
        self.s3.put_object(Bucket=bucket, Key=f"{base}/bias.json", Body=content)
        self.s3.put_object(
            Bucket=bucket, Key=f"{base}/predictions.csv", Body=stream.getvalue().encode()
        )
        key = {"project": self.name, "item": version_item(1)}
        item = self.store.get(Table.VERSIONS, key)
        assert item is not None
        digest = hashlib.sha256(content).hexdigest()
        named = {"uri": f"s3://{bucket}/{base}/bias.json", "digest": digest}
        monitoring = {"unit": "event", "labels": {"max_delay_s": 3600, "margin": 0.9}}
        config = {"monitoring": monitoring, "bias": bias, "training": {},
                  "data": {"label": {"name": "ill", "positive": 1}}}  # fmt: skip
        self.store.commit([
            Put(Table.VERSIONS, {**item, "bias": named}),
            Put(Table.PROJECTS, {"project": self.name, "config": config}),
        ])  # fmt: skip

    def label(self, rows: list[dict[str, Any]], labels: list[int], hour: int, minutes: int) -> None:
        """Keep outcomes as the doorway of outcomes does."""
        seen = self.begin + timedelta(hours=hour, minutes=minutes)
        lines = [
            json.dumps({
                "project": self.name, "inference_id": f"{self.name}-{row['entity']}-{hour}-1",
                "entity": None, "outcome": label,
                "observed_at": seen.isoformat(timespec="milliseconds"),
                "recorded_at": seen.isoformat(timespec="milliseconds"),
            })
            for row, label in zip(rows, labels, strict=True)
        ]  # fmt: skip
        self.s3.put_object(
            Bucket=self.lab.target.output("CaptureBucketName"),
            Key=f"outcomes/{self.name}/{seen:%Y/%m/%d}/{hour}-{minutes}.jsonl",
            Body="\n".join(lines).encode() + b"\n",
        )


def outcomes(rows: list[dict[str, Any]], seed: int) -> list[int]:
    """Return labels that follow the probabilities."""
    draw = np.random.default_rng(seed)
    return [int(draw.random() < row["probability"]) for row in rows]


@pytest.mark.parametrize(("name", "minute", "lowered", "state"), [
    ("slighted", 7, 0.4, "alarm"), ("treated", 8, 0.0, "ok"),
])  # fmt: skip
def test_the_old_who_are_answered_otherwise_are_told_once_labels_come(
    lab: Laboratory, name: str, minute: int, lowered: float, state: str
) -> None:
    ward = Watched(lab, name)
    ward.give_baseline()
    ward.give_bias({
        "attributes": [{"column": "age", "facets": [{"above": 60}]}],
        "metrics": [{"metric": "RD", "min": -1, "max": 1},
                    {"metric": "AD", "min": -0.5, "max": 0.5}],
    })  # fmt: skip
    for hour in range(3):
        rows = requests(20 + hour, 1500)
        labels = outcomes(rows, hour)
        for row in rows:
            if row["features"]["age"] > 60:
                row["probability"] *= 1 - lowered
        ward.capture(rows, hour)
        ward.label(rows, labels, hour, 80)
    ended = ward.watch(5, minute)
    assert ended.get("status") == "SUCCEEDED", ended
    performance = ward.look(4).performance
    assert performance is not None
    by_metric = {one.metric: one for one in performance.groups}
    assert set(by_metric) == {"RD", "AD"}, performance
    told = {one.metric: one.sentence for one in performance.groups}
    assert (ward.alarm("bias")["state"] == "alarm") == (state == "alarm"), told
    if state == "alarm":
        assert by_metric["RD"].state == "drifted"
        eventually(lambda: ward.mails("drift apart") or None, "the mail about bias")
    else:
        assert ward.mails("drift apart") == []
    ward.remove()
