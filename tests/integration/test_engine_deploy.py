"""`sam build` and `sam deploy` by the real SAM CLI into the embedded AWS."""

import json
import shutil
from pathlib import Path

import pytest

from steward_local import engine as embedded
from steward_local.deploy import deploy
from steward_local.errors import DeployError
from support.embedded import Account

pytestmark = pytest.mark.integration

_STACK = Path(__file__).parents[1] / "support" / "two_level_stack"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the two-level stack: a root, a child with SAM resources, a layer, a machine."""
    return Path(shutil.copytree(_STACK, tmp_path_factory.mktemp("deploy") / "project"))


@pytest.fixture(scope="module")
def outputs(engine: embedded.Engine, project: Path) -> dict[str, str]:
    return deploy(engine, lambda _: None, project=project)


def test_nested_sam_template_is_deployed_with_its_layer(
    account: Account, outputs: dict[str, str]
) -> None:
    body, error = account.invoke(outputs["EchoFunction"].rpartition(":")[2], {"n": 1})
    assert error is None
    assert body == {"event": {"n": 1}, "layer": "from the layer", "environment": "local"}


def test_function_url_of_a_nested_stack_answers_those_whom_the_policy_allows(
    account: Account, outputs: dict[str, str]
) -> None:
    arn = outputs["EchoFunction"]
    actions = ["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"]
    _, allowed = account.user([{"Effect": "Allow", "Action": actions, "Resource": arn}])
    _, other = account.user([])
    assert account.call_url(outputs["EchoUrl"], allowed, json.dumps({})).status == 200
    assert account.call_url(outputs["EchoUrl"], other, json.dumps({})).status == 403


def test_unchanged_sources_are_deployed_again_without_a_build(
    engine: embedded.Engine, project: Path, outputs: dict[str, str]
) -> None:
    lines: list[str] = []
    assert deploy(engine, lines.append, project=project) == outputs
    assert "Nothing changed since the last `sam build`; using it." in lines
    assert not any("Build Succeeded" in line for line in lines)


def test_changed_function_is_built_and_deployed(
    account: Account, engine: embedded.Engine, project: Path, outputs: dict[str, str]
) -> None:
    code = project / "functions" / "echo" / "app.py"
    code.write_text("def handler(event, context):\n    return 'changed'\n")
    lines: list[str] = []
    deploy(engine, lines.append, project=project)
    assert any("Build Succeeded" in line for line in lines)
    assert account.invoke(outputs["EchoFunction"].rpartition(":")[2]) == ("changed", None)


def test_failing_deploy_ends_with_what_sam_said(engine: embedded.Engine, tmp_path: Path) -> None:
    (tmp_path / "template.yaml").write_text("Resources: {}\nTransform: No-Such-Transform\n")
    (tmp_path / "samconfig.toml").write_text(
        'version = 0.1\n[local.deploy.parameters]\nstack_name = "broken"\n'
    )
    with pytest.raises(DeployError, match=r"`sam \w+` failed with exit code \d"):
        deploy(engine, lambda _: None, project=tmp_path)
