"""Who may do what: the personas, and each action with those to whom IAM allows it.

The table of ``docs/access.md`` is written from here, and ``tests/e2e/test_access.py`` tries every
cell on the deployed stack. Who may approve is decided twice: here by IAM, and by Steward, which
refuses the author of a version whatever IAM says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Persona = Literal["scientist", "approver", "operator", "auditor", "administrator"]
PERSONAS: tuple[Persona, ...] = get_args(Persona)


@dataclass(frozen=True)
class Action:
    """Something that a person may try.

    Attributes:
        key: Name of the action; the test that tries it has it too.
        what: For people.
        how: The command or call.
        allowed: To whom IAM allows it.
    """

    key: str
    what: str
    how: str
    allowed: frozenset[Persona]


def _action(key: str, what: str, how: str, *allowed: Persona) -> Action:
    return Action(key, what, how, frozenset(allowed))


ACTIONS: tuple[Action, ...] = (
    _action("read_records", "read projects, runs, versions and routes",
            "steward versions list", *PERSONAS),
    _action("read_evidence", "read the evidence of a version", "steward report open",
            "scientist", "approver", "operator", "auditor"),
    _action("read_code", "read the code of a version", "steward versions compare",
            "scientist", "approver", "auditor"),
    _action("read_dataset", "read the rows of a training set", "s3:GetObject datasets/",
            "scientist", "auditor"),
    _action("read_capture", "read captured requests and answers", "s3:GetObject captured/"),
    _action("push_code", "push code and configuration", "steward project add --only code",
            "scientist"),
    _action("change_run", "start, resume and cancel a run", "steward runs resume", "scientist",
            "operator"),
    _action("deliver_data", "deliver data", "steward data put", "scientist"),
    _action("score_batch", "have files scored", "steward batch score", "scientist", "operator"),
    _action("decide", "approve or reject a version", "steward approve", "approver"),
    _action("print_card", "have a card made a PDF by the stack", "steward card pdf",
            "scientist", "approver"),
    _action("ask_predictions", "ask for predictions", "steward ask"),
    _action("erase_data", "delete a delivery for good", "steward data delete"),
    _action("roll_back", "roll back a release", "steward rollback", "operator"),
    _action("reap", "have idle endpoints deleted", "steward serving idle --reap", "operator"),
    _action("approve_by_event", "publish VersionApproved", "events:PutEvents"),
    _action("read_execution", "read an execution and its history", "states:GetExecutionHistory",
            "operator", "auditor"),
    _action("redrive", "take a failed execution up again", "states:RedriveExecution", "operator"),
    _action("start_release", "start a machine past its doorway", "states:StartExecution"),
    _action("read_dead_letters", "read dead letters", "sqs:ReceiveMessage", "operator"),
    _action("send_dead_letters", "put messages into queues", "sqs:SendMessage"),
    _action("read_logs", "read a function's log", "logs:FilterLogEvents", "operator"),
    _action("describe_endpoint", "see what SageMaker says of an endpoint",
            "steward serving check", "operator"),
    _action("delete_endpoint", "delete an endpoint by hand", "sagemaker:DeleteEndpoint"),
    _action("read_package", "read a model package", "sagemaker:DescribeModelPackage", "auditor"),
    _action("approve_package", "set a model package Approved by hand",
            "sagemaker:UpdateModelPackage"),
    _action("write_record", "write a version's record by hand", "dynamodb:UpdateItem"),
    _action("write_evidence", "write evidence by hand", "s3:PutObject evidence/"),
    _action("invoke_function", "invoke a function past its URL", "lambda:InvokeFunction"),
    _action("change_function", "change a function's code", "lambda:UpdateFunctionCode"),
    _action("add_project", "deploy a project's stack", "steward project add --only stack",
            "administrator"),
    _action("remove_project", "remove a project", "steward project remove", "administrator"),
    _action("delete_stack", "delete a project's stack", "cloudformation:DeleteStack",
            "administrator"),
    _action("delete_record", "delete a project's record by hand", "dynamodb:DeleteItem"),
    _action("count_ledger", "count what the ledger has", "dynamodb:Query COUNT", "auditor",
            "administrator"),
    _action("read_ledger", "read what the ledger has", "steward audit verify", "auditor"),
    _action("subscribe_mail", "subscribe people to mail", "sns:Subscribe", "administrator"),
    _action("change_policy", "change a persona's policy", "iam:CreatePolicyVersion"),
)  # fmt: skip


def matrix() -> str:
    """Return the table of actions and personas as Markdown."""
    heads = ["Action", "By", *PERSONAS]
    lines = [f"| {' | '.join(heads)} |", "|---" * 2 + "|:-:" * len(PERSONAS) + "|"]
    for action in ACTIONS:
        marks = ["yes" if persona in action.allowed else "" for persona in PERSONAS]
        lines.append(f"| {action.what} | `{action.how}` | {' | '.join(marks)} |")
    return "\n".join(lines).replace("|  |", "| |").replace("|  |", "| |")
