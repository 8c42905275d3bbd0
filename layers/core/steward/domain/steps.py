"""Steps of a run that can be reused: what they are recognised by and what is kept of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from steward.domain.digests import digest_of

StepName = Literal["dataset", "training", "evaluation"]

SCHEMAS: Mapping[StepName, int] = {"dataset": 1, "training": 1, "evaluation": 1}
"""Version of what a step reads and writes; a new one makes everything that was kept a miss."""


STEP_TAG, RUN_TAG = "steward:step", "steward:run"
"""Tags of the jobs that carry steps out: the step's key, and the run that the job is for."""


def step_key(step: StepName, inputs: Mapping[str, object]) -> str:
    """Return the SHA-256 that recognises a step: its name, its schema and all that it reads.

    Args:
        step: Which one.
        inputs: Digests of data, code and image, and the parameters; nothing that names a run.
    """
    return digest_of({"step": step, "schema": SCHEMAS[step], "inputs": dict(inputs)})


def step_item(key: str) -> str:
    """Return the sort key of a kept step in the run table."""
    return f"step#{key}"


def step_attribute(step: StepName) -> str:
    """Return the attribute of a run's item that tells of one of its steps."""
    return f"step_{step}"


@dataclass(frozen=True)
class Output:
    """An object that a step wrote.

    Attributes:
        sha256: Digest of its bytes.
        version_id: Its version where the bucket keeps versions: that one has these bytes for good.
    """

    uri: str
    sha256: str
    version_id: str | None = None


@dataclass(frozen=True)
class KeptStep:
    """A step that was carried out and may be reused.

    Attributes:
        key: Its :func:`step_key`.
        run_id: The run that carried it out.
        outputs: All objects that later steps read.
        result: What it answered, without anything that names the run's own folder.
        seconds: How long it took, or was billed.
        dollars: What it cost by the dated table; None where that has no price.
        job: Name of its job, if it was one.
    """

    step: StepName
    key: str
    run_id: str
    outputs: Sequence[Output]
    result: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    dollars: float | None = None
    job: str | None = None

    def as_item(self, project: str, at: str) -> dict[str, Any]:
        """Return the item of the run table."""
        return {"project": project, **asdict(self), "run_id": step_item(self.key),
                "kept_by": self.run_id, "kept_at": at}  # fmt: skip


def kept_step(item: Mapping[str, Any]) -> KeptStep:
    """Return what :meth:`KeptStep.as_item` wrote."""
    return KeptStep(
        step=item["step"], key=item["key"], run_id=item["kept_by"],
        outputs=[Output(**output) for output in item["outputs"]], result=item["result"],
        seconds=item.get("seconds"), dollars=item.get("dollars"), job=item.get("job"),
    )  # fmt: skip
