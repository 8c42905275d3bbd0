"""What holds for every state machine file, checked without running it."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

from steward.domain import errors
from support.definitions import (
    FILES,
    State,
    caught_edges,
    declarations,
    definition,
    ends,
    normal_edges,
    reachable,
    scopes,
    states,
)
from support.linting import findings

by_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.split(".")[0])

_ERRORS = {
    name: kind
    for name, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.StewardError)
}
# Names that AWS gives to errors: of Step Functions, of Lambda's integration, of services.
_QUESTION = r"(Is|Has|Was|Are|Does|Did|May|Can|Should|Needs|What|Which)[A-Z]"
_AWS_ERROR = re.compile(
    r"^(States|Lambda|Runtime|Sandbox|SageMaker|DynamoDB|StepFunctions|DataBrew|Athena)\.\w+$"
)


def _tasks(path: Path) -> list[tuple[str, State]]:
    return [(name, state) for name, state in states(definition(path)) if state["Type"] == "Task"]


def test_the_four_machines_are_there() -> None:
    assert {path.name.split(".")[0] for path in FILES} >= {
        "train_candidate", "stage_version", "release_version", "roll_back",
    }  # fmt: skip


@by_file
def test_the_top_level_says_what_it_is_and_when_it_gives_up(path: Path) -> None:
    machine = definition(path)
    assert machine["Comment"]
    assert machine["QueryLanguage"] == "JSONata"
    assert isinstance(machine["TimeoutSeconds"], int)


@by_file
def test_every_next_exists_and_every_state_is_reached(path: Path) -> None:
    for scope in scopes(definition(path)):
        names = set(scope["States"])
        assert scope["StartAt"] in names
        for name, state in scope["States"].items():
            assert normal_edges(state) | caught_edges(state) <= names, name
        assert reachable(scope, caught=True) == names


@by_file
def test_every_path_reaches_an_end(path: Path) -> None:
    for scope in scopes(definition(path)):
        ending = {name for name, state in scope["States"].items() if ends(state)}
        grown = True
        while grown:
            before = len(ending)
            for name, state in scope["States"].items():
                if (normal_edges(state) | caught_edges(state)) & ending:
                    ending.add(name)
            grown = len(ending) > before
        assert ending == set(scope["States"])


@by_file
def test_names_are_imperatives_and_choices_are_questions(path: Path) -> None:
    for name, state in states(definition(path)):
        assert re.fullmatch(r"[A-Z][a-zA-Z]+", name), name
        if state["Type"] == "Choice":
            assert re.match(_QUESTION, name), name
            assert "Default" in state, name


@by_file
def test_every_task_has_a_timeout(path: Path) -> None:
    for name, state in _tasks(path):
        assert "TimeoutSeconds" in state, name


@by_file
def test_transient_errors_are_retried_with_backoff_and_full_jitter(path: Path) -> None:
    for name, state in _tasks(path):
        assert state.get("Retry"), name
        for retrier in state["Retry"]:
            if retrier.get("MaxAttempts") == 0:
                continue
            assert retrier["BackoffRate"] == 2, name
            assert retrier["MaxDelaySeconds"] >= retrier["IntervalSeconds"], name
            assert retrier["JitterStrategy"] == "FULL", name


@by_file
def test_own_rejections_are_not_retried(path: Path) -> None:
    for name, state in _tasks(path):
        for retrier in state["Retry"]:
            if retrier.get("MaxAttempts") == 0:
                continue
            for error in retrier["ErrorEquals"]:
                assert not issubclass(_ERRORS.get(error, Exception), errors.RejectedError), name
                assert error not in ("States.ALL", "States.TaskFailed"), name


@by_file
def test_a_failing_task_is_recorded_with_the_name_of_its_state(path: Path) -> None:
    """Each Task on a normal path catches everything and remembers which state failed.

    What records a failure, or only tidies up, may itself go straight to an end.
    """
    for scope in scopes(definition(path)):
        for name in reachable(scope, caught=False):
            state = scope["States"][name]
            if state["Type"] != "Task":
                continue
            catchers = state.get("Catch", [])
            assert catchers, name
            assert catchers[-1]["ErrorEquals"] == ["States.ALL"], name
            named = "$states.context.State.Name" in json.dumps(catchers[-1])
            assert named or ends(scope["States"][catchers[-1]["Next"]]), name


@by_file
def test_error_names_are_classes_of_ours_or_aws_names(path: Path) -> None:
    for name, state in states(definition(path)):
        for handler in [*state.get("Retry", []), *state.get("Catch", [])]:
            for error in handler["ErrorEquals"]:
                assert error in _ERRORS or _AWS_ERROR.match(error), (name, error)


@by_file
def test_judgement_and_arithmetic_are_left_to_python(path: Path) -> None:
    """JSONata picks and passes on; functions that compute statistics are a sign of misplacement."""
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\$(average|sum|sqrt|power|random|reduce|round)\(", text)


@by_file
def test_it_is_declared_once_and_substitutions_match_both_ways(path: Path) -> None:
    [(_, name, properties)] = declarations(path)
    assert name == path.name.split(".")[0].title().replace("_", "") + "Workflow"
    used = set(re.findall(r"\$\{(\w+)\}", path.read_text(encoding="utf-8")))
    assert used == set(properties.get("DefinitionSubstitutions", {}))


@by_file
def test_it_is_logged_and_traced(path: Path) -> None:
    [(_, name, properties)] = declarations(path)
    assert properties["Tracing"] == {"Enabled": True}
    assert properties["Logging"]["Level"] == "ALL"
    [destination] = properties["Logging"]["Destinations"]
    group = destination["CloudWatchLogsLogGroup"]["LogGroupArn"]["Fn::GetAtt"][0]
    assert group == f"{name}LogGroup"


@by_file
def test_cfn_lint_finds_nothing_in_it(path: Path) -> None:
    """cfn-lint is silent on SAM's DefinitionUri, so the definition is put into a template."""
    text = re.sub(
        r"\$\{(\w+)\}", "arn:aws:lambda:us-east-1:123456789012:function:name",
        path.read_text(encoding="utf-8"),
    )  # fmt: skip
    # The service takes an expression here in JSONata, cfn-lint's schema only a number.
    text = re.sub(r'"TimeoutSeconds": "\{%.*?%\}"', '"TimeoutSeconds": 60', text)
    template: dict[str, Any] = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Resources": {
            "Machine": {
                "Type": "AWS::StepFunctions::StateMachine",
                "Properties": {
                    "RoleArn": "arn:aws:iam::123456789012:role/machine",
                    "Definition": json.loads(text),
                },
            }
        },
    }
    assert findings(json.dumps(template)) == []
