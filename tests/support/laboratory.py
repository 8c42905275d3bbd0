"""Builders of SageMaker resources in an embedded AWS, run by a stand-in image."""

import io
import json
import tarfile
import time
from pathlib import Path
from typing import Any

from support.embedded import Account, eventually, unique

IMAGE = "registry.test/stand-in:1"
_STAND_IN = Path(__file__).parent / "stand_in_image"


def trust(service: str) -> dict[str, Any]:
    """A trust policy for one service."""
    principal = {"Service": f"{service}.amazonaws.com"}
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}],
    }


def allow(*actions: str, resource: str | list[str] = "*") -> dict[str, Any]:
    """One allowing statement."""
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource}


class Laboratory:
    """A bucket, a job role and the stand-in image of one engine."""

    def __init__(self, account: Account) -> None:
        self.account = account
        state = account.engine.state_dir
        images = {IMAGE: {"module": "stand_in_jobs", "pythonpath": str(_STAND_IN)}}
        (state / "images.json").write_text(json.dumps(images))
        self.sagemaker = account.client("sagemaker")
        self.runtime = account.client("sagemaker-runtime")
        self.s3 = account.client("s3")
        self.bucket = unique("laboratory")
        self.s3.create_bucket(Bucket=self.bucket)
        self.role = self.job_role(allow("s3:*", "logs:*", "cloudwatch:PutMetricData"))

    def job_role(self, *statements: dict[str, Any]) -> str:
        """A role that SageMaker may take."""
        return self.account.role(list(statements), trust("sagemaker"))[1]

    def feature_group_request(self, **changes: Any) -> Any:
        """A request for a group of patients with an online and an offline store."""
        kinds = {
            "entity": "String",
            "event_time": "String",
            "age": "Integral",
            "glucose": "Fractional",
            "ward": "String",
        }
        return {
            "FeatureGroupName": unique("patients"),
            "RecordIdentifierFeatureName": "entity",
            "EventTimeFeatureName": "event_time",
            "FeatureDefinitions": [
                {"FeatureName": name, "FeatureType": kind} for name, kind in kinds.items()
            ],
            "OnlineStoreConfig": {"EnableOnlineStore": True},
            "OfflineStoreConfig": {
                "S3StorageConfig": {"S3Uri": f"s3://{self.bucket}/offline"},
                "DisableGlueTableCreation": True,
            },
            "RoleArn": self.role,
            **changes,
        }

    def feature_group(self, **changes: Any) -> str:
        """A feature group that is ready; returns its name."""
        request = self.feature_group_request(**changes)
        if request["OfflineStoreConfig"] is None:
            del request["OfflineStoreConfig"]
        self.sagemaker.create_feature_group(**request)
        name: str = request["FeatureGroupName"]
        described = self.feature_group_settled(name)
        assert described["FeatureGroupStatus"] == "Created", described
        return name

    def feature_group_settled(self, name: str) -> Any:
        """The description of a feature group that is not being made any more."""
        return eventually(
            lambda: _unless(
                self.sagemaker.describe_feature_group(FeatureGroupName=name),
                "FeatureGroupStatus",
                {"Creating"},
            ),
            what="the feature group to be made",
        )

    def put(self, key: str, body: bytes | str) -> str:
        """Write an object; returns its URI."""
        content = body.encode() if isinstance(body, str) else body
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=content)
        return f"s3://{self.bucket}/{key}"

    def get(self, uri: str) -> bytes:
        """An object's bytes."""
        key = uri.removeprefix(f"s3://{self.bucket}/")
        body: bytes = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return body

    def training_request(self, plan: dict[str, Any] | None = None, **changes: Any) -> Any:
        """A request whose job does what `plan` says (see the stand-in image)."""
        name = unique("train")
        self.put(f"{name}/train/train.csv", "a,b\n1,2\n")
        self.put(f"{name}/config/plan.json", json.dumps(plan or {}))
        channels = [
            {
                "ChannelName": channel,
                "DataSource": {
                    "S3DataSource": {
                        "S3DataType": "S3Prefix",
                        "S3Uri": f"s3://{self.bucket}/{name}/{channel}/",
                    }
                },
            }
            for channel in ("train", "config")
        ]
        return {
            "TrainingJobName": name,
            "RoleArn": self.role,
            "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            "InputDataConfig": channels,
            "OutputDataConfig": {"S3OutputPath": f"s3://{self.bucket}/out"},
            "ResourceConfig": {
                "InstanceType": "ml.m5.large",
                "InstanceCount": 1,
                "VolumeSizeInGB": 1,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            **changes,
        }

    def processing_request(self, plan: dict[str, Any] | None = None, **changes: Any) -> Any:
        """A request whose job does what `plan` says (see the stand-in image)."""
        name = unique("evaluate")
        self.put(f"{name}/heldout/heldout.csv", "id,y\np1,0\n")
        self.put(f"{name}/config/plan.json", json.dumps(plan or {}))

        def transfer(label: str) -> dict[str, Any]:
            return {
                "InputName": label,
                "S3Input": {
                    "S3Uri": f"s3://{self.bucket}/{name}/{label}/",
                    "LocalPath": f"/opt/ml/processing/{label}",
                    "S3DataType": "S3Prefix",
                    "S3InputMode": "File",
                },
            }

        return {
            "ProcessingJobName": name,
            "RoleArn": self.role,
            "AppSpecification": {
                "ImageUri": IMAGE,
                "ContainerEntrypoint": ["python", "-m", "steward_jobs", "evaluate"],
            },
            "ProcessingInputs": [transfer("heldout"), transfer("config")],
            "ProcessingOutputConfig": {
                "Outputs": [
                    {
                        "OutputName": "evaluation",
                        "S3Output": {
                            "S3Uri": f"s3://{self.bucket}/{name}/output",
                            "LocalPath": "/opt/ml/processing/output",
                            "S3UploadMode": "EndOfJob",
                        },
                    }
                ]
            },
            "ProcessingResources": {
                "ClusterConfig": {
                    "InstanceCount": 1,
                    "InstanceType": "ml.m5.large",
                    "VolumeSizeInGB": 1,
                }
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            **changes,
        }

    def trained(self, name: str) -> Any:
        """The description of a training job once it has ended."""
        return eventually(
            lambda: _unless(
                self.sagemaker.describe_training_job(TrainingJobName=name),
                "TrainingJobStatus",
                {"InProgress", "Stopping"},
            ),
            what="the end of the training job",
        )

    def processed(self, name: str) -> Any:
        """The description of a processing job once it has ended."""
        return eventually(
            lambda: _unless(
                self.sagemaker.describe_processing_job(ProcessingJobName=name),
                "ProcessingJobStatus",
                {"InProgress", "Stopping"},
            ),
            what="the end of the processing job",
        )

    def artifact(self, plan: dict[str, Any] | None = None) -> str:
        """A model artifact whose container does what `plan` says; returns its URI."""
        buffer = io.BytesIO()
        content = json.dumps(plan or {}).encode()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            member = tarfile.TarInfo("plan.json")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        return self.put(f"{unique('model')}/model.tar.gz", buffer.getvalue())

    def model(self, plan: dict[str, Any] | None = None) -> str:
        """A model; returns its name."""
        name = unique("model")
        self.sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn=self.role,
            PrimaryContainer={"Image": IMAGE, "ModelDataUrl": self.artifact(plan)},
        )
        return name

    def config(self, *variants: dict[str, Any], **options: Any) -> str:
        """An endpoint configuration; returns its name."""
        name = unique("config")
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=name, ProductionVariants=list(variants), **options
        )
        return name

    def endpoint(self, config: str) -> str:
        """An endpoint in service; returns its name."""
        name = unique("endpoint")
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
        described = self.settled(name)
        assert described["EndpointStatus"] == "InService", described
        return name

    def settled(self, name: str) -> Any:
        """The description of an endpoint that is not changing any more."""
        return eventually(
            lambda: _unless(
                self.sagemaker.describe_endpoint(EndpointName=name),
                "EndpointStatus",
                {"Creating", "Updating", "Deleting", "RollingBack"},
            ),
            what="the endpoint to settle",
        )

    def invoke(self, name: str, body: Any = None, **options: Any) -> Any:
        """Invoke an endpoint with JSON; returns the response with its body parsed."""
        content = json.dumps(body if body is not None else {})
        options = {"ContentType": "application/json", **options}
        response = self.runtime.invoke_endpoint(EndpointName=name, Body=content, **options)
        return {**response, "Body": json.loads(response["Body"].read())}


def _unless(described: Any, member: str, busy: set[str]) -> Any:
    return None if described[member] in busy else described


def serverless(model: str, name: str = "v", **config: Any) -> dict[str, Any]:
    """A serverless production variant."""
    settings = {"MemorySizeInMB": 1024, "MaxConcurrency": 2, **config}
    return {"VariantName": name, "ModelName": model, "ServerlessConfig": settings}


def instance(model: str, name: str = "v", weight: float = 1.0) -> dict[str, Any]:
    """A production variant on an instance."""
    return {
        "VariantName": name,
        "ModelName": model,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
        "InitialVariantWeight": weight,
    }


class BusTap:
    """Everything that a rule lets through from the default bus, kept in a queue."""

    def __init__(self, account: Account, pattern: dict[str, Any]) -> None:
        self._account = account
        self._url, arn = account.queue()
        self._name = unique("tap")
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "events.amazonaws.com"},
                    "Action": "sqs:SendMessage",
                    "Resource": arn,
                }
            ],
        }
        account.client("sqs").set_queue_attributes(
            QueueUrl=self._url, Attributes={"Policy": json.dumps(policy)}
        )
        events = account.client("events")
        events.put_rule(Name=self._name, EventPattern=json.dumps(pattern))
        events.put_targets(Rule=self._name, Targets=[{"Id": "queue", "Arn": arn}])
        self.events: list[Any] = []

    def until(self, count: int) -> list[Any]:
        """At least `count` events, in the order of their arrival."""

        def read() -> list[Any] | None:
            self.events += [item["body"] for item in self._account.received(self._url)]
            return self.events if len(self.events) >= count else None

        return eventually(read, what=f"{count} events")

    def settle(self, seconds: float = 0.5) -> list[Any]:
        """What has come after waiting a while."""
        time.sleep(seconds)
        self.events += [item["body"] for item in self._account.received(self._url)]
        return self.events
