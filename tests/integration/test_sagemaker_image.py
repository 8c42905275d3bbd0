"""The job image's own entry points on the embedded SageMaker, from rows to an answer."""

import csv
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from sklearn.datasets import load_diabetes

from steward_cli.demo.data import FEATURES
from steward_cli.sources import read_source
from steward_local.sagemaker.image import local_image_uri
from support.embedded import Account, unique
from support.laboratory import Laboratory

pytestmark = pytest.mark.integration
PROJECT = Path(__file__).parents[2] / "projects" / "diabetes"


@pytest.fixture(scope="module")
def lab(account: Account) -> Laboratory:
    return Laboratory(account)


def rows_as_csv(part: slice, columns: list[str]) -> str:
    data = load_diabetes(scaled=False)
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(columns)
    for number in range(*part.indices(len(data.target))):
        values = data.data[number]
        row = [f"p{number + 1:03d}", int(values[0]), int(values[1]), *values[2:]]
        writer.writerow([*row, int(data.target[number] > 140)])
    return buffer.getvalue()


def job_description(project: dict[str, Any]) -> dict[str, Any]:
    known = {"name", "type", "nullable", "min", "max", "allowed"}
    label = project["data"]["label"]
    return {
        "project": project["project"],
        "run_id": "r-1",
        "entity_id": project["data"]["entity_id"],
        "label": label,
        "features": [
            column.model_dump(include=known)
            for column in read_source(PROJECT).project.model_features
        ],
        "evaluation": {**project["evaluation"], "bootstrap_samples": 200},
    }


def test_project_is_trained_evaluated_and_served_by_the_image(lab: Laboratory) -> None:
    project = yaml.safe_load((PROJECT / "project.yaml").read_text())
    columns = ["patient_id", *FEATURES, "progression_above_140"]
    prefix = unique("image")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        tar.add(PROJECT / "src", arcname=".")
    lab.put(f"{prefix}/code/code.tar.gz", archive.getvalue())
    lab.put(f"{prefix}/train/train.csv", rows_as_csv(slice(0, 200), columns))
    lab.put(f"{prefix}/heldout/heldout.csv", rows_as_csv(slice(200, 442), columns))
    lab.put(f"{prefix}/config/job.json", json.dumps(job_description(project)))
    uri = f"s3://{lab.bucket}/{prefix}"
    request = lab.training_request(HyperParameters={"sagemaker_program": "train.py", "C": "0.1"})
    request["AlgorithmSpecification"] |= {
        "TrainingImage": local_image_uri(),
        "MetricDefinitions": [{"Name": "brier", "Regex": "train_brier=([0-9.]+)"}],
    }
    template = request["InputDataConfig"][0]
    request["InputDataConfig"] = [
        {
            **template,
            "ChannelName": channel,
            "DataSource": {
                "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"{uri}/{channel}/"}
            },
        }
        for channel in ("code", "train", "config")
    ]
    lab.sagemaker.create_training_job(**request)
    trained = lab.trained(request["TrainingJobName"])
    assert trained["TrainingJobStatus"] == "Completed", trained.get("FailureReason")
    assert 0.1 < trained["FinalMetricDataList"][0]["Value"] < 0.25
    artifact = trained["ModelArtifacts"]["S3ModelArtifacts"]

    evaluation = lab.processing_request()
    evaluation["AppSpecification"]["ImageUri"] = local_image_uri()
    sample = evaluation["ProcessingInputs"][0]
    sources = {
        "candidate": artifact,
        "train": f"{uri}/train/",
        "heldout": f"{uri}/heldout/",
        "config": f"{uri}/config/",
    }
    evaluation["ProcessingInputs"] = [
        {
            "InputName": label,
            "S3Input": {
                **sample["S3Input"],
                "S3Uri": source,
                "LocalPath": f"/opt/ml/processing/{label}",
            },
        }
        for label, source in sources.items()
    ]
    lab.sagemaker.create_processing_job(**evaluation)
    evaluated = lab.processed(evaluation["ProcessingJobName"])
    assert evaluated["ProcessingJobStatus"] == "Completed", evaluated
    output = evaluation["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"]
    assert json.loads(lab.get(f"{output}/evaluation.json"))
    assert json.loads(lab.get(f"{output}/manifest.json"))

    model = unique("model")
    lab.sagemaker.create_model(
        ModelName=model,
        ExecutionRoleArn=lab.role,
        PrimaryContainer={"Image": local_image_uri(), "ModelDataUrl": artifact},
    )
    name = lab.endpoint(
        lab.config(
            {
                "VariantName": "v",
                "ModelName": model,
                "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5},
            }
        )
    )
    first = dict(
        zip(columns, rows_as_csv(slice(0, 1), columns).splitlines()[1].split(","), strict=True)
    )
    instance = {
        column: json.loads(first[column])
        for column in columns
        if column not in {"patient_id", "progression_above_140"}
    }
    answer = lab.invoke(name, {"instances": [instance]})
    assert 0 < answer["Body"]["predictions"][0]["probability"] < 1
