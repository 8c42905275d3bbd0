"""Judging an experiment again from its record: does every verdict follow from what was kept?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from steward.domain.errors import RejectedError, StewardError
from steward.domain.experiments.arm_statistics import ArmStatistics
from steward.domain.experiments.cohorts import FrozenCohort
from steward.domain.experiments.judged_step import JudgedStep, differences
from steward.domain.experiments.verdicts import TOLERANCE
from steward.ports import Item, ObjectStore
from steward.service.serving.judging import assemble_record
from steward_cli.console import told
from steward_cli.experiments import Experiment, Judged

Record = dict[str, Any]

IMPOSSIBLE = (StewardError, ValueError, LookupError, ArithmeticError, TypeError)
"""What judging raises of a record that no experiment can have."""


@dataclass(frozen=True)
class Replayed:
    """What judging again showed.

    Attributes:
        verdicts: Per verdict: ``number``, ``step_id``, ``verdict``, ``differences``.
        cohorts: Per frozen cohort: ``cohort``, ``differences``.
        record: What of the experiment as a whole does not agree.
    """

    name: str
    verdicts: Sequence[Record]
    cohorts: Sequence[Record]
    record: Sequence[str]

    @property
    def agrees(self) -> bool:
        """Whether everything does."""
        return not self.record and not any(
            row["differences"] for row in (*self.verdicts, *self.cohorts)
        )

    def document(self) -> Record:
        """Return it for scripts."""
        return {
            "experiment": self.name, "agrees": self.agrees, "verdicts": list(self.verdicts),
            "cohorts": list(self.cohorts), "record": list(self.record),
        }  # fmt: skip


def replay(experiment: Experiment, objects: ObjectStore) -> Replayed:
    """Judge every verdict again from its object, and check the objects against the record.

    A verdict agrees where judging its inputs gives it again, floats to 1e-12, and where its item
    and the plan's digest of the head item say the same. A frozen cohort agrees where its digest
    is the pointer's. The newest record of each phase must be what the head item and the cohorts
    that were frozen by then add up to.
    """
    cohorts, found = [], []
    for pointer in experiment.cohorts:
        cohort, wrong = _cohort(pointer, objects)
        cohorts.append({"cohort": str(pointer["item"]).split("#cohort#")[-1], "differences": wrong})
        found += [cohort] if cohort else []
    return Replayed(
        name=experiment.name,
        verdicts=[
            {
                "number": judged.number,
                "step_id": judged.step_id,
                "verdict": judged.word,
                "differences": _verdict(judged, experiment.head),
            }
            for judged in experiment.judged
        ],
        cohorts=cohorts,
        record=[*_numbering(experiment), *_records(experiment, found)],
    )


def _verdict(judged: Judged, head: Item) -> list[str]:
    if not judged.content:
        return ["object: it is gone"]
    try:
        found = differences(judged.content)
        stored = JudgedStep.model_validate(json.loads(judged.content))
    except IMPOSSIBLE as error:
        return [f"object: {_impossible(judged.content, error)}"]
    decision, item = stored.decision, judged.item
    found += [
        f"item.{name}"
        for name in ("verdict", "reason", "digest")
        if item.get(name) != getattr(decision, name)
    ]
    numbers = item.get("numbers") or {}
    if numbers.keys() != decision.numbers.keys():
        found.append("item.numbers")
    found += [
        f"item.numbers.{name}"
        for name, value in decision.numbers.items()
        if name in numbers and not _close(float(numbers[name]), value)
    ]
    wanted = (head.get("plan_digests") or {}).get(judged.phase)
    if stored.plan is not None and stored.plan.digest != wanted:
        found.append("plan.digest")
    return found


def _impossible(content: bytes, error: Exception) -> str:
    """Return why a judgement cannot be made again, with the path of the value at fault."""
    for where, statistics in _statistics(content):
        try:
            ArmStatistics.model_validate(statistics)
        except RejectedError as refused:
            return f"{where}.{refused.field}: {_told(refused)}"
        except ValidationError:
            break
    return _told(error)


def _statistics(content: bytes) -> Iterator[tuple[str, Any]]:
    """Yield each arm's statistics of a stored record with their path."""
    try:
        steps = json.loads(content)["record"]["steps"]
        for number, step in enumerate(steps):
            for metric, arms in step["statistics"].items():
                for arm, statistics in arms.items():
                    yield f"record.steps[{number}].statistics.{metric}.{arm}", statistics
    except (ValueError, LookupError, TypeError, AttributeError):
        return


def _told(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(map(str, first['loc'])) or '$'}: {first['msg']}"
    text = " ".join(str(error).split())[:300]
    if isinstance(error, RejectedError) and (about := told(error.as_dict())):
        return f"{text} ({about})"
    return text if isinstance(error, StewardError) else f"{type(error).__name__}: {text}"


def _close(first: float, second: float) -> bool:
    return abs(first - second) <= TOLERANCE * max(1.0, abs(first), abs(second))


def _cohort(pointer: Item, objects: ObjectStore) -> tuple[FrozenCohort | None, list[str]]:
    try:
        cohort = FrozenCohort.model_validate(json.loads(objects.read(str(pointer["uri"]))))
    except IMPOSSIBLE as error:
        return None, [f"object: {_told(error)}"]
    return cohort, [] if cohort.digest == pointer["digest"] else ["digest"]


def _numbering(experiment: Experiment) -> list[str]:
    last = experiment.judged[-1].number if experiment.judged else 0
    counted = int(experiment.head.get("verdicts") or 0)
    return [] if last == counted else [f"head.verdicts is {counted}, the last verdict is {last}"]


def _records(experiment: Experiment, cohorts: Sequence[FrozenCohort]) -> list[str]:
    """Return where the newest record of a phase is not the sum of what was frozen by then."""
    newest = {judged.phase: judged for judged in experiment.judged if judged.record}
    wrong = []
    for phase, judged in newest.items():
        assert judged.record is not None
        by_then = [c for c in cohorts if c.frozen_at <= str(judged.item["at"])]
        try:
            again = assemble_record(
                experiment.head, phase, by_then,
                holds=judged.record.holds, ended=judged.record.ended,
            )  # fmt: skip
        except IMPOSSIBLE as error:
            wrong.append(f"{phase}: the frozen counts cannot be added up: {_told(error)}")
            continue
        known = {step.step_id: step for step in again.steps}
        for step in judged.record.steps:
            other = known.get(step.step_id)
            where = f"verdict {judged.number}, {step.step_id}"
            if other is None:
                wrong.append(f"{where}: step")
                continue
            wrong += [
                f"{where}: {name}"
                for name in ("propensities", "exposures", "statistics")
                if getattr(step, name) != getattr(other, name)
            ]
    return wrong
