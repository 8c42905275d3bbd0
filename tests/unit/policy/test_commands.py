"""``steward governance`` without AWS: files are checked, times are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from steward.domain.policy.platform import PLATFORM
from steward_cli.app import app
from steward_cli.commands.governance import read_policy, seconds_of
from steward_cli.console import CommandError
from steward_cli.schemas import policy_schema
from steward_cli.sources import read_source
from support.rendered import rendered

TABULAR = rendered("tabular-classification", training="script")


def write(folder: Path, document: Any) -> Path:
    file = folder / "policy.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    return file


def test_a_valid_policy_is_named_with_its_digest(tmp_path: Path) -> None:
    file = write(tmp_path, PLATFORM)
    run = CliRunner().invoke(app, ["governance", "policy", "check", str(file), "--json"])
    assert run.exit_code == 0, run.output
    assert json.loads(run.stdout)["policy"] == "platform"


def test_a_contradiction_is_told_with_file_field_and_what_is_allowed(tmp_path: Path) -> None:
    document = json.loads(json.dumps(PLATFORM))
    document["tiers"]["high"]["quorum"] = None
    with pytest.raises(CommandError, match=r"policy.yaml: tiers.high.quorum") as refused:
        read_policy(write(tmp_path, document))
    assert refused.value.refusal["field"] == "tiers.high.quorum"
    assert "allowed: at least 1" in str(refused.value.hint)


def test_what_is_no_yaml_is_told(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("tiers: [", encoding="utf-8")
    with pytest.raises(CommandError, match="policy"):
        read_policy(file)


@pytest.mark.parametrize(("text", "seconds"), [("36h", 129_600), ("7d", 604_800), ("90m", 5400)])
def test_a_time_is_read(text: str, seconds: int) -> None:
    assert seconds_of(text) == seconds
    with pytest.raises(CommandError):
        seconds_of(text[:-1])


def test_the_schema_takes_the_shipped_policy_and_says_what_is_stricter() -> None:
    schema = json.loads(policy_schema())
    assert schema["$defs"]["Requirements"]["properties"]["quorum"]["stricter"] == "larger"


def test_risk_yaml_beside_the_declaration_is_its_section(tmp_path: Path) -> None:
    declared = yaml.safe_load((TABULAR / "project.yaml").read_text(encoding="utf-8"))
    risk = declared.pop("risk")
    (tmp_path / "project.yaml").write_text(yaml.safe_dump(declared), encoding="utf-8")
    (tmp_path / "risk.yaml").write_text(yaml.safe_dump(risk), encoding="utf-8")
    found = read_source(tmp_path, TABULAR / "src").project
    assert found.risk is not None
    assert found.risk.answers["money"].harm == "serious"
    both = {**declared, "risk": risk}
    (tmp_path / "project.yaml").write_text(yaml.safe_dump(both), encoding="utf-8")
    with pytest.raises(CommandError, match="section risk too"):
        read_source(tmp_path, TABULAR / "src")
