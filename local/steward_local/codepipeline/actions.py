"""What the actions of a pipeline do: fetch, build, invoke, wait for an answer.

Sources: https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference.html and
https://docs.aws.amazon.com/codepipeline/latest/userguide/limits.html
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from botocore.exceptions import ClientError

from steward_local.authority import RoleCredentials
from steward_local.codepipeline import builds, roles, store
from steward_local.codepipeline.roles import RefusedError
from steward_local.codepipeline.store import ActionRun, Execution, Job, JsonObject, Store
from steward_local.delivery import DeliveryError, Parcel, deliver_as
from steward_local.pace import real_seconds

BETWEEN_INVOCATIONS_S = 30
REPLY_WITHIN_S = 20 * 60
LAMBDA_ACTION_S = 24 * 3600
APPROVAL_S = 7 * 24 * 3600


@dataclass(frozen=True)
class Scene:
    """One action of one execution, and in whose name it works."""

    at: Store
    execution: Execution
    run: ActionRun
    credentials: RoleCredentials

    def place_of(self, artifact: str) -> tuple[str, str]:
        """A fresh place in the artifact store; CodePipeline cuts both names."""
        declared = self.execution.declaration
        name = f"{declared['name'][:20]}/{artifact[:10]}/{secrets.token_hex(4)}.zip"
        return declared["artifactStore"]["location"], name

    def encrypted(self) -> dict[str, str]:
        """How an artifact is stored."""
        key = self.execution.declaration["artifactStore"].get("encryptionKey")
        if not key:
            return {"ServerSideEncryption": "aws:kms"}
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key["id"]}


def play(scene: Scene) -> None:
    """Play an action to its end.

    Raises:
        RefusedError: It failed.
    """
    kind = scene.run.action["actionTypeId"]
    known: dict[tuple[str, str], Callable[[Scene], None]] = {
        ("Source", "S3"): _fetch,
        ("Build", "CodeBuild"): _build,
        ("Invoke", "Lambda"): _invoke,
        ("Approval", "Manual"): _wait_for_approval,
    }
    action = known.get((kind["category"], kind["provider"]))
    if action is None:
        raise RefusedError(
            "ConfigurationError",
            f"the embedded CodePipeline has no {kind['category']} action of {kind['provider']}",
        )
    action(scene)


def _fetch(scene: Scene) -> None:
    asked, run = scene.run.configuration, scene.run
    s3 = roles.client("s3", scene.credentials, scene.at.region)
    try:
        found = s3.get_object(Bucket=asked["S3Bucket"], Key=asked["S3ObjectKey"])
        content = found["Body"].read()
        [output] = run.action["outputArtifacts"]
        bucket, key = scene.place_of(output["name"])
        s3.put_object(Bucket=bucket, Key=key, Body=content, **scene.encrypted())
    except ClientError as error:
        raise RefusedError("ConfigurationError", f"The source action failed: {error}") from error
    version = str(found.get("VersionId") or "null")
    scene.execution.artifacts[output["name"]] = (bucket, key)
    scene.execution.revisions.append({
        "name": output["name"], "revisionId": version, "created": store.now(),
        "revisionSummary": f"Amazon S3 version id: {version}",
    })  # fmt: skip
    run.variables = {
        "BucketName": asked["S3Bucket"], "ObjectKey": asked["S3ObjectKey"], "VersionId": version,
        "ETag": str(found["ETag"]).strip('"'),
    }  # fmt: skip


def _build(scene: Scene) -> None:
    run, project = scene.run, scene.run.configuration["ProjectName"]
    arn = f"arn:aws:codebuild:{scene.at.region}:{scene.at.account}:project/{project}"
    denied = roles.principal(scene.credentials).denial("codebuild:StartBuild", arn)
    if denied:
        raise RefusedError("PermissionError", denied)
    [source] = run.action["inputArtifacts"]
    outputs = {one["name"]: scene.place_of(one["name"]) for one in run.action["outputArtifacts"]}
    built = builds.build(
        project, scene.execution.artifacts[source["name"]], outputs, scene.encrypted(),
        stop=scene.execution.stop,
    )  # fmt: skip
    run.external_id, run.variables = built.build_id, built.variables
    if built.failure:
        raise RefusedError("JobFailed", built.failure)
    scene.execution.artifacts |= outputs


def _invoke(scene: Scene) -> None:
    run, execution = scene.run, scene.execution
    name = run.configuration["FunctionName"]
    arn = f"arn:aws:lambda:{scene.at.region}:{scene.at.account}:function:{name}"
    deadline, token = store.now() + real_seconds(LAMBDA_ACTION_S), None
    while True:
        job_id, job = store.new_id(), Job(run)
        scene.at.jobs[job_id] = job
        try:
            sender = roles.principal(scene.credentials)
            deliver_as(sender, arn, Parcel(body=_event(scene, job_id, token), source=""))
        except DeliveryError as error:
            denied = error.code == "NO_PERMISSIONS"
            code = "PermissionError" if denied else "ConfigurationError"
            raise RefusedError(code, str(error)) from error
        answer = _answer_to(job, execution)
        if "failureDetails" in answer:
            details = answer["failureDetails"]
            run.summary = details["message"]
            raise RefusedError(details["type"], details["message"])
        run.summary = (answer.get("executionDetails") or {}).get("summary", "")
        run.updated = store.now()
        token = answer.get("continuationToken")
        if not token:
            run.variables = answer.get("outputVariables") or {}
            return
        if store.now() > deadline:
            raise RefusedError("JobFailed", "The Lambda action timed out after 24 hours")
        execution.stop.wait(real_seconds(BETWEEN_INVOCATIONS_S))


def _answer_to(job: Job, execution: Execution) -> JsonObject:
    deadline = store.now() + max(5.0, real_seconds(REPLY_WITHIN_S))
    while not job.answered.wait(0.05):
        if execution.stop.is_set():
            raise RefusedError("JobFailed", "The execution was stopped")
        if store.now() > deadline:
            raise RefusedError("JobFailed", "The function gave no answer within 20 minutes")
    return job.answer or {}


def _event(scene: Scene, job_id: str, token: str | None) -> JsonObject:
    def artifact(name: str) -> JsonObject:
        bucket, key = scene.execution.artifacts[name]
        where = {"type": "S3", "s3Location": {"bucketName": bucket, "objectKey": key}}
        return {"name": name, "revision": None, "location": where}

    own, action = scene.credentials, scene.run.action
    data: JsonObject = {
        "actionConfiguration": {"configuration": scene.run.configuration},
        "inputArtifacts": [artifact(one["name"]) for one in action.get("inputArtifacts", [])],
        "outputArtifacts": [],
        "artifactCredentials": {
            "accessKeyId": own.access_key, "secretAccessKey": own.secret_key,
            "sessionToken": own.session_token,
        },
    }  # fmt: skip
    if token:
        data["continuationToken"] = token
    return {"CodePipeline.job": {"id": job_id, "accountId": scene.at.account, "data": data}}


def _wait_for_approval(scene: Scene) -> None:
    run, minutes = scene.run, scene.run.action.get("timeoutInMinutes")
    seconds = real_seconds(minutes * 60 if minutes else APPROVAL_S)
    deadline = store.now() + seconds
    while not run.answered.wait(0.05):
        if scene.execution.stop.is_set():
            raise RefusedError("JobFailed", "The execution was stopped")
        if store.now() > deadline:
            raise RefusedError("ApprovalTimedOut", "The approval action timed out")
    if not run.approved:
        raise RefusedError("Rejected", run.summary)
