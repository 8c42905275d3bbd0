"""The people of the demo, each with an IAM identity of their own on the embedded AWS."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from steward_cli.target import Choice, Target, choose, credentials_file, write_profile

PEOPLE = {
    "ana": "ApproverPolicyArn",
    "bo": "ApproverPolicyArn",
    "ward-app": "ClientPolicyArn",
    "olga": "ExperimentReaderPolicyArn",
}


def hire(target: Target, state_dir: Path) -> None:
    """Create theo (trains), ana and bo (approve), ward-app (asks) and olga (reads) as IAM users.

    theo may approve as far as IAM is concerned, by a policy that somebody wrote by hand: the
    scientist's without its Deny. That he may not approve his own work is Steward's rule too, and
    the demo shows it.
    """
    iam = target.client("iam")
    for name in ("theo", *PEOPLE):
        iam.create_user(UserName=name)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        write_profile(credentials_file(state_dir), name, key["AccessKeyId"], key["SecretAccessKey"])
    for name, output in PEOPLE.items():
        iam.attach_user_policy(UserName=name, PolicyArn=target.output(output))
    iam.put_user_policy(
        UserName="theo", PolicyName="ByHand",
        PolicyDocument=json.dumps(_without_denials(iam, target.output("ScientistPolicyArn"))),
    )  # fmt: skip
    iam.attach_user_policy(UserName="theo", PolicyArn=target.output("ApproverPolicyArn"))


def _without_denials(iam: Any, policy: str) -> dict[str, Any]:
    version = iam.get_policy(PolicyArn=policy)["Policy"]["DefaultVersionId"]
    found = iam.get_policy_version(PolicyArn=policy, VersionId=version)["PolicyVersion"]
    document: dict[str, Any] = found["Document"]
    kept = [statement for statement in document["Statement"] if statement["Effect"] == "Allow"]
    return {**document, "Statement": kept}


def acting_as(choice: Choice, name: str) -> Target:
    """Return the target as one of these people."""
    return choose(replace(choice, target="local", profile=name))
