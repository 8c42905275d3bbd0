"""A project whose dataset joins a feature group, built once on a deployed stack."""

from __future__ import annotations

from typing import Any

from support.dataset_scene import asked, lab_rows
from support.dataset_scene import lab as lab_file
from support.feature_scene import declaration, labs
from support.laboratory_stack import Laboratory, eventually


def build_joined_dataset(lab: Laboratory, name: str, **declared: Any) -> str:
    """Deliver laboratory values and visits; return the key of the manifest that a run wrote.

    The run ends at its training job, whose script gives up: nothing here is about a model.
    """
    lab.add_declared({**declaration(labs()), "project": name, **declared}, labs())
    lab.put_delivery(name, "lab/one.csv", lab_file(lab_rows(60)))

    def materialised() -> bool:
        found = lab.state.features(name, "materialisation#labs#v0001#")
        return [item["status"] for item in found] == ["done"]

    eventually(materialised, "the features")
    lab.put_delivery(name, "visits.csv", asked(1, 80))
    run = lab.run(name, "failed")
    assert run["failed_state"] == "TrainCandidate", run
    s3, bucket = lab.target.client("s3"), lab.target.output("DataBucketName")
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=f"datasets/{name}/")["Contents"]
    [key] = [found["Key"] for found in listed if found["Key"].endswith("/manifest.json")]
    return str(key)
