"""Jobs and approvals of AWS CodePipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steward.adapters.errors import translated
from steward.domain.errors import RejectedError
from steward.domain.pipelines import MOST_OF_MESSAGE, MOST_OF_SUMMARY
from steward.ports import WaitingApproval

_ENDED = frozenset({"InvalidJobStateException", "JobNotFoundException"})
_ANSWERED = frozenset({"ApprovalAlreadyCompletedException", "InvalidApprovalTokenException"})
_GONE = frozenset({"PipelineNotFoundException"})


class CodePipelines:
    """Answers CodePipeline; an answer that comes too late is no error."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def succeed(self, job_id: str, variables: Mapping[str, str], summary: str) -> bool:
        """End a job's action as succeeded; variables without a value are left out."""
        known = {name: value for name, value in variables.items() if value}
        return self._put(
            "success", _ENDED, self._client.put_job_success_result,
            jobId=job_id, outputVariables=known, executionDetails=_details(summary),
        )  # fmt: skip

    def go_on(self, job_id: str, token: str, summary: str) -> bool:
        """Say that the action goes on; the next job of it carries ``token``."""
        return self._put(
            "continuation", _ENDED, self._client.put_job_success_result,
            jobId=job_id, continuationToken=token, executionDetails=_details(summary),
        )  # fmt: skip

    def fail(self, job_id: str, kind: str, message: str) -> bool:
        """End a job's action as failed."""
        details = {"type": kind, "message": message[:MOST_OF_MESSAGE] or "no reason is known"}
        return self._put(
            "failure", _ENDED, self._client.put_job_failure_result,
            jobId=job_id, failureDetails=details,
        )  # fmt: skip

    def waiting(self, pipeline: str, execution_id: str) -> WaitingApproval | None:
        """Return the approval that this execution of a pipeline waits for."""
        try:
            with translated(f"read pipeline {pipeline}"):
                state = self._client.get_pipeline_state(name=pipeline)
        except RejectedError as error:
            if error.value in _GONE:
                return None
            raise
        for stage in state["stageStates"]:
            if (stage.get("latestExecution") or {}).get("pipelineExecutionId") != execution_id:
                continue
            for action in stage.get("actionStates", []):
                latest = action.get("latestExecution") or {}
                if latest.get("status") == "InProgress" and latest.get("token"):
                    return WaitingApproval(
                        pipeline, stage["stageName"], action["actionName"], latest["token"]
                    )
        return None

    def answer(self, approval: WaitingApproval, approved: bool, summary: str) -> bool:
        """Answer an approval action."""
        return self._put(
            "approval", _ANSWERED, self._client.put_approval_result,
            pipelineName=approval.pipeline, stageName=approval.stage, actionName=approval.action,
            token=approval.token,
            result={
                "status": "Approved" if approved else "Rejected",
                "summary": summary[:MOST_OF_SUMMARY],
            },
        )  # fmt: skip

    @staticmethod
    def _put(what: str, late: frozenset[str], call: Any, **request: Any) -> bool:
        try:
            with translated(f"put {what} of a pipeline"):
                call(**request)
        except RejectedError as error:
            if error.value in late:
                return False
            raise
        return True


def _details(summary: str) -> dict[str, str]:
    return {"summary": summary[:2048] or "done"}
