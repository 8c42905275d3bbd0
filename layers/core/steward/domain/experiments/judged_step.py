"""One judgement of a release with all that it follows from, so that it can be made again.

Absolute limits (``guardrails``) and the comparison with the concurrent stable version
(``verdicts``) are judged apart; here the two become one decision.
"""

from __future__ import annotations

import json

from steward.domain.digests import canonical_json, digest_of
from steward.domain.experiments.arm_statistics import Frozen
from steward.domain.experiments.plan import ExperimentPlan, ExperimentRecord
from steward.domain.experiments.verdicts import ExperimentVerdict, replays
from steward.domain.experiments.verdicts import judge as compare
from steward.domain.guardrails import Judgement, StepStatistics
from steward.domain.guardrails import judge as limit
from steward.domain.strategies.following import Final


class Decision(Frozen):
    """The one verdict of a judgement.

    Attributes:
        numbers: Those of the comparison, and of the absolute limits under ``limits.``.
        digest: SHA-256 over the digests of everything that it follows from.
    """

    verdict: Final
    reason: str
    numbers: dict[str, float]
    digest: str


class JudgedStep(Frozen):
    """What is written of a judgement, never to be replaced.

    Attributes:
        plan: Of the phase; None where nothing answers beside.
        record: Likewise.
        verdict: Of the comparison, likewise.
        statistics: Counts, alarms and absolute limits of the step.
        judgement: By them.
        decision: What both lead to.
    """

    plan: ExperimentPlan | None
    record: ExperimentRecord | None
    verdict: ExperimentVerdict | None
    statistics: StepStatistics
    judgement: Judgement
    decision: Decision

    def content(self) -> bytes:
        """Return it as it is stored."""
        return canonical_json(self.model_dump(mode="json"))


def judged_step(
    statistics: StepStatistics, plan: ExperimentPlan | None, record: ExperimentRecord | None
) -> JudgedStep:
    """Judge a step by its limits and, where there is a plan, by comparison.

    Raises:
        RejectedError: A statistic is not what its metric's kind says.
        ValueError: As ``verdicts.judge``.
    """
    judgement = limit(statistics)
    verdict = compare(plan, record) if plan is not None and record is not None else None
    return JudgedStep(
        plan=plan,
        record=record,
        verdict=verdict,
        statistics=statistics,
        judgement=judgement,
        decision=_decided(judgement, verdict),
    )


def _decided(judgement: Judgement, verdict: ExperimentVerdict | None) -> Decision:
    """Return the decision: what either proves harmful goes back, what lacks requests waits."""
    numbers = {f"limits.{name}": value for name, value in judgement.numbers.items()}
    digests = [judgement.digest]
    decisive: Judgement | ExperimentVerdict = judgement
    if verdict is not None:
        numbers |= verdict.numbers
        digests.append(verdict.digest)
        harmful = judgement.verdict != "roll_back" and verdict.verdict == "roll_back"
        if harmful or judgement.verdict == "continue":
            decisive = verdict
    return Decision(
        verdict=decisive.verdict, reason=decisive.reason, numbers=numbers,
        digest=digest_of(digests),
    )  # fmt: skip


def differences(content: bytes) -> list[str]:
    """Judge what was written again, from its inputs alone; an empty list is agreement.

    Raises:
        RejectedError: An input is none that can be judged.
        ValueError: The content is no such judgement.
    """
    recorded = JudgedStep.model_validate(json.loads(content))
    again = judged_step(recorded.statistics, recorded.plan, recorded.record)
    differing = []
    if recorded.judgement != again.judgement:
        differing.append("judgement")
    if (recorded.verdict is None) != (again.verdict is None):
        differing.append("verdict")
    elif recorded.verdict and recorded.plan and recorded.record:
        differing += replays(recorded.verdict, recorded.plan, recorded.record)
    for name in ("verdict", "reason", "digest"):
        if getattr(recorded.decision, name) != getattr(again.decision, name):
            differing.append(f"decision.{name}")
    return differing
