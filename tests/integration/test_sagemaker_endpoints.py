"""Endpoints of the embedded SageMaker: inference processes behind InvokeEndpoint."""

import json
import threading
import time
from collections import Counter
from typing import Any

import pytest
from botocore.exceptions import ClientError

from steward_local.sagemaker import capacity
from support.embedded import Account, eventually, unique
from support.laboratory import IMAGE, BusTap, Laboratory, allow, instance, serverless

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def lab(account: Account) -> Laboratory:
    return Laboratory(account)


def refusal(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, str]:
    answer = error.value.response["Error"]
    return answer["Code"], answer["Message"]


def test_serverless_endpoint_answers_with_its_model(lab: Laboratory) -> None:
    name = lab.endpoint(lab.config(serverless(lab.model({"version": 1}))))
    response = lab.invoke(name, {"x": 1}, CustomAttributes="trace=7")
    assert response["Body"]["plan"] == {"version": 1}
    assert json.loads(response["Body"]["body"]) == {"x": 1}
    assert response["InvokedProductionVariant"] == "v"
    described = lab.sagemaker.describe_endpoint(EndpointName=name)
    variant = described["ProductionVariants"][0]
    assert variant["CurrentServerlessConfig"] == {"MemorySizeInMB": 1024, "MaxConcurrency": 2}


def test_container_logs_and_metrics_of_an_endpoint_are_kept(lab: Laboratory) -> None:
    name = lab.endpoint(lab.config(serverless(lab.model())))
    lab.invoke(name)
    with pytest.raises(ClientError):
        lab.invoke(name, {"status": 500})
    lines = eventually(lambda: lab.account.log_lines(f"/aws/sagemaker/Endpoints/{name}"))
    assert any("request" in line for line in lines)
    metrics = lab.account.client("cloudwatch")
    now = time.time()

    def total(metric: str) -> float:
        answer = metrics.get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName=metric,
            Dimensions=[
                {"Name": "EndpointName", "Value": name},
                {"Name": "VariantName", "Value": "v"},
            ],
            StartTime=now - 300,
            EndTime=now + 60,
            Period=60,
            Statistics=["Sum"],
        )
        return float(sum(point["Sum"] for point in answer["Datapoints"]))

    assert total("Invocations") == 2
    assert total("Invocation5XXErrors") == 1
    assert total("ModelLatency") > 0


@pytest.mark.parametrize(("status", "side"), [(400, "client"), (503, "server")])
def test_error_of_the_container_is_a_model_error(lab: Laboratory, status: int, side: str) -> None:
    name = lab.endpoint(lab.config(serverless(lab.model())))
    with pytest.raises(ClientError) as error:
        lab.invoke(name, {"status": status})
    answer = error.value.response
    assert answer["Error"]["Code"] == "ModelError"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert answer["OriginalStatusCode"] == status
    assert json.loads(answer["OriginalMessage"])["body"] == json.dumps({"status": status})
    assert answer["LogStreamArn"].endswith(f":log-group:/aws/sagemaker/Endpoints/{name}")
    assert answer["Error"]["Message"].startswith(f"Received {side} error ({status}) from primary")


def test_container_that_dies_is_started_again(lab: Laboratory) -> None:
    name = lab.endpoint(lab.config(serverless(lab.model())))
    with pytest.raises(ClientError) as error:
        lab.invoke(name, {"die": True})
    assert refusal(error)[0] == "ModelError"

    def answers() -> bool:
        try:
            return bool(lab.invoke(name)["Body"])
        except ClientError:
            return False

    eventually(answers, what="the restart")


def test_serverless_endpoint_refuses_more_than_its_concurrency(lab: Laboratory) -> None:
    name = lab.endpoint(lab.config(serverless(lab.model(), MaxConcurrency=1)))
    slow = threading.Thread(target=lab.invoke, args=(name, {"sleep": 4.0}))
    slow.start()
    time.sleep(1)
    with pytest.raises(ClientError) as error:
        lab.invoke(name)
    slow.join()
    assert refusal(error)[0] == "ThrottlingException"
    assert lab.invoke(name)["Body"]


def test_payload_above_the_limit_is_refused(lab: Laboratory) -> None:
    name = lab.endpoint(lab.config(serverless(lab.model())))
    with pytest.raises(ClientError) as error:
        lab.runtime.invoke_endpoint(EndpointName=name, Body=b"x" * (4 * 1024 * 1024 + 1))
    assert refusal(error)[0] == "ValidationError"
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413


def test_endpoint_whose_container_is_unhealthy_fails_with_the_reason(lab: Laboratory) -> None:
    name = unique("endpoint")
    dying = lab.config(instance(lab.model({"fail": "no weights"})))
    lab.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=dying)
    described = lab.settled(name)
    assert described["EndpointStatus"] == "Failed"
    assert described["FailureReason"] == (
        "The primary container for production variant v did not pass the ping health check. "
        "Please check CloudWatch logs for this endpoint."
    )
    with pytest.raises(ClientError) as error:
        lab.invoke(name)
    assert refusal(error)[0] == "ValidationError"


def test_an_endpoint_without_capacity_is_refused_or_fails_as_on_aws(lab: Laboratory) -> None:
    config = lab.config(serverless(lab.model()))
    above, without = unique("endpoint"), unique("endpoint")
    file = lab.account.engine.state_dir / capacity.FILE
    file.write_text(json.dumps({above: "limit", without: "instances"}), encoding="utf-8")
    try:
        with pytest.raises(ClientError) as error:
            lab.sagemaker.create_endpoint(EndpointName=above, EndpointConfigName=config)
        lab.sagemaker.create_endpoint(EndpointName=without, EndpointConfigName=config)
        described = lab.settled(without)
    finally:
        file.unlink()
    code, message = refusal(error)
    assert code == "ResourceLimitExceeded"
    assert message.startswith("The account-level service limit")
    assert (described["EndpointStatus"], described["FailureReason"]) == (
        "Failed", capacity.NO_INSTANCES,
    )  # fmt: skip
    lab.sagemaker.create_endpoint(EndpointName=above, EndpointConfigName=config)
    assert lab.settled(above)["EndpointStatus"] == "InService"


def test_traffic_is_shared_by_weight_and_a_variant_can_be_named(lab: Laboratory) -> None:
    name = lab.endpoint(
        lab.config(
            instance(lab.model({"version": 1}), "one", 3.0),
            instance(lab.model({"version": 2}), "two", 1.0),
        )
    )
    counts = Counter(lab.invoke(name)["InvokedProductionVariant"] for _ in range(120))
    assert 60 < counts["one"] < 115
    response = lab.invoke(name, TargetVariant="two")
    assert (response["InvokedProductionVariant"], response["Body"]["plan"]) == (
        "two",
        {"version": 2},
    )
    lab.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=name,
        DesiredWeightsAndCapacities=[{"VariantName": "one", "DesiredWeight": 0.0}],
    )
    lab.settled(name)
    assert {lab.invoke(name)["InvokedProductionVariant"] for _ in range(10)} == {"two"}
    with pytest.raises(ClientError) as error:
        lab.invoke(name, TargetVariant="three")
    assert refusal(error)[0] == "ValidationError"


def test_concurrency_of_a_serverless_variant_is_changed_while_it_serves(lab: Laboratory) -> None:
    config = lab.config(serverless(lab.model({"sleep": 0.0})))
    name = lab.endpoint(config)

    def set_to(endpoint: str, **wanted: int) -> None:
        lab.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=endpoint,
            DesiredWeightsAndCapacities=[{"VariantName": "v", "ServerlessUpdateConfig": wanted}],
        )

    set_to(name, MaxConcurrency=1, ProvisionedConcurrency=1)
    [variant] = lab.settled(name)["ProductionVariants"]
    assert variant["CurrentServerlessConfig"] == {
        "MemorySizeInMB": 1024, "MaxConcurrency": 1, "ProvisionedConcurrency": 1,
    }  # fmt: skip
    declared = lab.sagemaker.describe_endpoint_config(EndpointConfigName=config)
    [kept] = declared["ProductionVariants"]
    assert kept["ServerlessConfig"] == {"MemorySizeInMB": 1024, "MaxConcurrency": 2}
    slow = threading.Thread(target=lab.invoke, args=(name, {"sleep": 4.0}))
    slow.start()
    time.sleep(1)
    with pytest.raises(ClientError) as error:
        lab.invoke(name)
    slow.join()
    assert refusal(error)[0] == "ThrottlingException"
    fixed = lab.endpoint(lab.config(instance(lab.model())))
    with pytest.raises(ClientError) as error:
        set_to(fixed, MaxConcurrency=1)
    assert refusal(error)[0] == "ValidationException"


def test_shadow_variant_gets_copies_and_never_answers(lab: Laboratory) -> None:
    name = lab.endpoint(
        lab.config(
            instance(lab.model({"version": 1}), "live"),
            ShadowProductionVariants=[instance(lab.model({"version": 2}), "shadow")],
        )
    )
    answers = [lab.invoke(name)["Body"]["plan"]["version"] for _ in range(5)]
    assert answers == [1] * 5
    streams = eventually(
        lambda: [
            stream
            for stream in lab.account.client("logs").describe_log_streams(
                logGroupName=f"/aws/sagemaker/Endpoints/{name}", logStreamNamePrefix="shadow/"
            )["logStreams"]
            if stream.get("storedBytes") or stream.get("lastEventTimestamp")
        ],
        what="the shadow's log",
    )
    assert len(streams) == 1


def test_captured_data_is_json_lines_by_variant_and_hour(lab: Laboratory) -> None:
    name = lab.endpoint(
        lab.config(
            instance(lab.model()),
            DataCaptureConfig={
                "EnableCapture": True,
                "InitialSamplingPercentage": 100,
                "DestinationS3Uri": f"s3://{lab.bucket}/captured",
                "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
                "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
            },
        )
    )
    lab.invoke(name, {"x": 2}, InferenceId="p001")
    prefix = f"captured/{name}/v/{time.strftime('%Y/%m/%d/', time.gmtime())}"
    found = eventually(
        lambda: lab.s3.list_objects_v2(Bucket=lab.bucket, Prefix=prefix).get("Contents")
    )
    record = json.loads(lab.get(f"s3://{lab.bucket}/{found[0]['Key']}"))
    assert record["eventVersion"] == "0"
    assert record["eventMetadata"]["inferenceId"] == "p001"
    sides = record["captureData"]
    assert sides["endpointInput"] == {
        "observedContentType": "application/json",
        "mode": "INPUT",
        "data": '{"x": 2}',
        "encoding": "JSON",
    }
    assert sides["endpointOutput"]["mode"] == "OUTPUT"


def test_a_shadow_is_counted_and_captured_under_the_ids_of_the_request(lab: Laboratory) -> None:
    shadow = instance(lab.model({"version": 2}), "shadow")
    name = lab.endpoint(
        lab.config(
            instance(lab.model({"version": 1}), "live"),
            ShadowProductionVariants=[shadow],
            DataCaptureConfig={
                "EnableCapture": True,
                "InitialSamplingPercentage": 100,
                "DestinationS3Uri": f"s3://{lab.bucket}/captured",
                "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
            },
        )
    )
    lab.invoke(name, {"x": 2})

    def metadata(variant: str) -> dict[str, Any]:
        prefix = f"captured/{name}/{variant}/"
        found = eventually(
            lambda: lab.s3.list_objects_v2(Bucket=lab.bucket, Prefix=prefix).get("Contents")
        )
        record = json.loads(lab.get(f"s3://{lab.bucket}/{found[0]['Key']}"))
        told: dict[str, Any] = record["eventMetadata"]
        return told

    assert metadata("live")["eventId"] == metadata("shadow")["eventId"]
    dimensions = [
        {"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": "shadow"},
    ]  # fmt: skip
    now = time.time()
    queries = [
        {
            "Id": name_.lower(),
            "MetricStat": {
                "Metric": {
                    "Namespace": "AWS/SageMaker", "MetricName": name_, "Dimensions": dimensions,
                },
                "Period": 60,
                "Stat": stat,
            },
        }
        for name_, stat in (("Invocations", "Sum"), ("ModelLatency", "TC(1:)"))
    ]  # fmt: skip
    answer = lab.account.client("cloudwatch").get_metric_data(
        MetricDataQueries=queries, StartTime=now - 300, EndTime=now + 60
    )
    counts = {r["Id"]: sum(r["Values"]) for r in answer["MetricDataResults"]}
    assert counts == {"invocations": 1, "modellatency": 1}


def test_a_shadow_of_half_the_weight_gets_half_of_the_requests(lab: Laboratory) -> None:
    shadow = {**instance(lab.model(), "shadow"), "InitialVariantWeight": 0.5}
    name = lab.endpoint(
        lab.config(instance(lab.model(), "live"), ShadowProductionVariants=[shadow])
    )
    for _ in range(60):
        lab.invoke(name)
    now = time.time()
    answer = lab.account.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker", MetricName="Invocations", Statistics=["Sum"], Period=60,
        StartTime=now - 300, EndTime=now + 60,
        Dimensions=[
            {"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": "shadow"},
        ],
    )  # fmt: skip
    copied = sum(point["Sum"] for point in answer["Datapoints"])
    assert 12 <= copied <= 48


def test_a_request_that_is_under_way_outlives_an_update(lab: Laboratory) -> None:
    name = lab.endpoint(lab.config(instance(lab.model({"version": 1}))))
    answers: list[Any] = []
    slow = threading.Thread(target=lambda: answers.append(lab.invoke(name, {"sleep": 4.0})))
    slow.start()
    time.sleep(1)
    second = lab.config(instance(lab.model({"version": 2})))
    lab.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=second)
    assert lab.settled(name)["EndpointConfigName"] == second
    assert lab.invoke(name)["Body"]["plan"] == {"version": 2}
    slow.join()
    assert answers[0]["Body"]["plan"] == {"version": 1}


@pytest.mark.parametrize("feature", ["variants", "capture", "shadow"])
def test_serverless_configuration_refuses_what_only_instances_have(
    lab: Laboratory, feature: str
) -> None:
    model = lab.model()
    variants = [serverless(model)]
    options: dict[str, Any] = {}
    if feature == "variants":
        variants.append(serverless(model, "w"))
    elif feature == "capture":
        options["DataCaptureConfig"] = {
            "EnableCapture": True,
            "InitialSamplingPercentage": 100,
            "DestinationS3Uri": f"s3://{lab.bucket}/captured",
            "CaptureOptions": [{"CaptureMode": "Input"}],
        }
    else:
        options["ShadowProductionVariants"] = [serverless(model, "w")]
    with pytest.raises(ClientError) as error:
        lab.config(*variants, **options)
    assert refusal(error)[0] == "ValidationException"
    assert "not supported using the serverless configuration" in refusal(error)[1]


def test_update_swaps_the_fleet_and_a_bad_one_changes_nothing(lab: Laboratory) -> None:
    name = lab.endpoint(lab.config(serverless(lab.model({"version": 1}))))
    second = lab.config(serverless(lab.model({"version": 2})))
    lab.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=second)
    with pytest.raises(ClientError) as error:
        lab.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=second)
    assert "Cannot update in-progress endpoint" in refusal(error)[1]
    assert lab.settled(name)["EndpointConfigName"] == second
    assert lab.invoke(name)["Body"]["plan"] == {"version": 2}
    bad = lab.config(serverless(lab.model({"fail": "broken"})))
    lab.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=bad)
    described = lab.settled(name)
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", second)
    assert "ping health check" in described["FailureReason"]
    assert lab.invoke(name)["Body"]["plan"] == {"version": 2}


def test_deleted_endpoint_is_gone_with_its_events_told(lab: Laboratory) -> None:
    tap = BusTap(lab.account, {"detail-type": ["SageMaker Endpoint State Change"]})
    name = lab.endpoint(lab.config(serverless(lab.model())))
    lab.sagemaker.delete_endpoint(EndpointName=name)

    def gone() -> bool:
        try:
            lab.sagemaker.describe_endpoint(EndpointName=name)
        except ClientError as error:
            return "Could not find endpoint" in error.response["Error"]["Message"]
        return False

    eventually(gone)
    statuses = [
        event["detail"]["EndpointStatus"]
        for event in tap.until(3)
        if event["detail"]["EndpointName"] == name
    ]
    assert statuses == ["CREATING", "IN_SERVICE", "DELETING"]
    with pytest.raises(ClientError) as error:
        lab.invoke(name)
    assert refusal(error) == (
        "ValidationError",
        f"Endpoint {name} of account 000000000000 not found.",
    )


def test_invoking_needs_permission_on_the_lower_case_arn(lab: Laboratory) -> None:
    config = lab.config(serverless(lab.model()))
    name = f"Mixed-{unique('case')}"
    lab.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
    lab.settled(name)
    base = "arn:aws:sagemaker:us-east-1:000000000000:endpoint/"

    def invoke_as(resource: str) -> Any:
        _, keys = lab.account.user([allow("sagemaker:InvokeEndpoint", resource=resource)])
        client = lab.account.client("sagemaker-runtime", keys)
        return client.invoke_endpoint(EndpointName=name, Body=b"{}")

    assert invoke_as(base + name.lower())["ResponseMetadata"]["HTTPStatusCode"] == 200
    with pytest.raises(ClientError) as error:
        invoke_as(base + name)
    assert refusal(error)[0] == "AccessDeniedException"


def test_model_needs_an_image_and_data_that_exist(lab: Laboratory) -> None:
    def create(**container: Any) -> None:
        lab.sagemaker.create_model(
            ModelName=unique("model"), ExecutionRoleArn=lab.role, PrimaryContainer=container
        )

    with pytest.raises(ClientError) as error:
        create(Image="registry.test/other:1", ModelDataUrl=lab.artifact())
    assert "Requested image registry.test/other:1 not found" in refusal(error)[1]
    with pytest.raises(ClientError) as error:
        create(Image=IMAGE, ModelDataUrl=f"s3://{lab.bucket}/nothing/model.tar.gz")
    assert refusal(error)[1] == (
        f"Could not find model data at s3://{lab.bucket}/nothing/model.tar.gz."
    )


def test_names_in_use_and_missing_references_are_refused(lab: Laboratory) -> None:
    model = lab.model()
    config = lab.config(serverless(model))
    with pytest.raises(ClientError) as error:
        lab.sagemaker.create_endpoint_config(
            EndpointConfigName=config, ProductionVariants=[serverless(model)]
        )
    assert "Cannot create already existing endpoint configuration" in refusal(error)[1]
    with pytest.raises(ClientError) as error:
        lab.config(serverless("no-such-model"))
    assert "Could not find model" in refusal(error)[1]
    with pytest.raises(ClientError) as error:
        lab.sagemaker.create_endpoint(EndpointName=unique("e"), EndpointConfigName="nothing")
    assert "Could not find endpoint configuration" in refusal(error)[1]
    lab.sagemaker.delete_model(ModelName=model)
    with pytest.raises(ClientError) as error:
        lab.sagemaker.describe_model(ModelName=model)
    assert refusal(error)[0] == "ValidationException"
    lab.sagemaker.delete_endpoint_config(EndpointConfigName=config)
    names = [
        item["EndpointConfigName"]
        for item in lab.sagemaker.list_endpoint_configs(NameContains=config)["EndpointConfigs"]
    ]
    assert config not in names
