"""The people of the demo, each with an IAM identity of their own on the embedded AWS."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from steward_cli.target import Choice, Target, choose, credentials_file, write_profile

PEOPLE = {
    "theo": "DeveloperPolicyArn",
    "ana": "ApproverPolicyArn",
    "ward-app": "ClientPolicyArn",
    "olga": "ExperimentReaderPolicyArn",
}


def hire(target: Target, state_dir: Path) -> None:
    """Create theo (trains), ana (approves), ward-app (asks) and olga (on call, reads) as IAM users.

    theo may approve as far as IAM is concerned: that he may not approve his own work is
    Steward's rule, and the demo shows it.
    """
    iam = target.client("iam")
    for name, output in PEOPLE.items():
        iam.create_user(UserName=name)
        iam.attach_user_policy(UserName=name, PolicyArn=target.output(output))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        write_profile(credentials_file(state_dir), name, key["AccessKeyId"], key["SecretAccessKey"])
    iam.attach_user_policy(UserName="theo", PolicyArn=target.output("ApproverPolicyArn"))


def acting_as(choice: Choice, name: str) -> Target:
    """Return the target as one of these people."""
    return choose(replace(choice, target="local", profile=name))
