"""Use case: read what a job of an integration found."""

from __future__ import annotations

import json
from typing import Any

from steward.contracts.steps.integration import JudgedIntegration, JudgeIntegration
from steward.domain.errors import (
    EvidenceIncompleteError,
    ProjectTestsFailedError,
    RehearsalFailedError,
)
from steward.ports import ObjectStore, StateStore, Table, Update

_SHOWN = 20
_NEXT = {"tests": "RehearseModel", "rehearsal": "ActivateSource"}


def judge_integration(
    command: JudgeIntegration, *, state: StateStore, objects: ObjectStore
) -> JudgedIntegration:
    """Return what was found where nothing speaks against the commit.

    Raises:
        ProjectTestsFailedError: Tests failed, hang, or there are none where some are declared.
        RehearsalFailedError: No model came out, or it breaks its contract.
        EvidenceIncompleteError: The job ended without a result.
    """
    uri = f"{command.output_uri}/{command.stage}.json"
    try:
        found: dict[str, Any] = json.loads(objects.read(uri))
        summary, passed = str(found["summary"]), found["passed"] is True
    except (ValueError, KeyError, TypeError):
        raise EvidenceIncompleteError(
            f"{uri} is no result of a job", field="output_uri", value=uri, allowed="JSON"
        ) from None
    failed = [str(name)[:300] for name in found.get("failed", [])][:_SHOWN]
    set_: dict[str, Any] = {
        command.stage: {"summary": summary[:2000], "passed": passed, "failed": failed}
    }
    if isinstance(found.get("recorded"), dict):
        set_[command.stage]["recorded"] = found["recorded"]
    if passed:
        set_["step"] = _NEXT[command.stage]
    state.commit([
        Update(
            Table.RUNS, {"project": command.project, "run_id": command.integration_id}, set=set_
        )
    ])  # fmt: skip
    if passed:
        return JudgedIntegration(stage=command.stage, summary=summary[:2000])
    kind = ProjectTestsFailedError if command.stage == "tests" else RehearsalFailedError
    raise kind(summary[:2000], field=command.stage, value=failed[:3] or None)
