"""The notebook's own cells, in the SDK's own environment, on the deployed stack."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.laboratory_stack import Laboratory

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "notebooks" / "training_runs.ipynb"
PYTHON = ROOT / ".tools" / "notebooks" / "bin" / "python"
PROJECT = "notebook"
# The cells one after another, then what the test asks about.
_RUN = """
import json, sys, warnings
warnings.simplefilter("ignore")
names = {"__name__": "__main__"}
for cell in json.load(open(sys.argv[1]))["cells"]:
    if cell["cell_type"] == "code":
        exec("".join(cell["source"]), names)
by_hand = names["workflow"].execute(
    name="by-hand", inputs={"project": names["PROJECT"], "run_id": "by-hand",
    "correlation_id": "by-hand", "causation_id": "by-hand", "actor": "somebody"},
)
by_hand.get_output(wait=True)
again = names["found_run"](names["ask_for_a_run"]("the same again"))
print("TOLD " + json.dumps({
    "run": names["run"]["run_id"], "states": names["states"], "output": names["output"],
    "listed": [e.name for e in names["workflow"].list_executions()],
    "by_hand": by_hand.describe()["status"], "again": again["status"], "reason": again["reason"],
}, default=str))
"""

pytestmark = pytest.mark.skipif(
    not PYTHON.is_file(), reason="the SDK's environment is not there: `make notebooks`"
)


@pytest.fixture(scope="module")
def told(lab: Laboratory) -> dict[str, Any]:
    """What the cells came to for a project whose deliveries wait for somebody to ask."""
    lab.add_project(PROJECT)
    lab.configure(PROJECT, "\ntraining:\n", "\ntraining:\n  start_on: [schedule]\n")
    lab.deliver(PROJECT)
    engine = lab.target.engine
    assert engine is not None
    environment = {
        **os.environ, **engine.environment(), "STEWARD_STACK": lab.target.stack,
        "STEWARD_PROJECT": PROJECT, "SAGEMAKER_SUPPRESS_V2_WARNING": "1",
    }  # fmt: skip
    done = subprocess.run(
        [PYTHON, "-c", _RUN, NOTEBOOK], env=environment, capture_output=True, text=True,
        check=False, timeout=240,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith("TOLD ")]
    assert lines, f"{done.stdout[-2000:]}{done.stderr[-2000:]}"
    answer: dict[str, Any] = json.loads(lines[0].removeprefix("TOLD "))
    return answer


def test_a_run_is_started_through_the_doorway_and_followed(
    told: dict[str, Any], lab: Laboratory
) -> None:
    run = lab.run(PROJECT, "succeeded", "held")

    assert told["run"] == run["run_id"]
    assert run["trigger"]["kind"] == "request"
    assert told["run"] in told["listed"]
    assert {"TrainCandidate", "EvaluateCandidate"} <= set(told["states"])


def test_what_was_started_by_hand_leaves_no_run(told: dict[str, Any], lab: Laboratory) -> None:
    assert told["by_hand"] == "FAILED"
    assert [run["run_id"] for run in lab.state.runs(PROJECT)] == [told["run"]]


def test_the_same_again_is_suppressed_with_its_reason(told: dict[str, Any]) -> None:
    assert told["again"] == "suppressed"
    assert "have been trained" in told["reason"] or "held by the gate" in told["reason"]


def test_what_the_run_created_bears_the_tags_of_cost(told: dict[str, Any], lab: Laboratory) -> None:
    sagemaker = lab.target.client("sagemaker")
    job = sagemaker.describe_training_job(TrainingJobName=f"local-{PROJECT}-{told['run']}-train")

    tags = sagemaker.list_tags(ResourceArn=job["TrainingJobArn"])["Tags"]

    known = {tag["Key"]: tag["Value"] for tag in tags}
    assert known["steward:project"] == PROJECT
    assert known["steward:stack"] == lab.target.stack
    assert known["steward:environment"] == "local"


def test_the_run_has_its_estimate_and_its_cost_beside_it(
    told: dict[str, Any], lab: Laboratory
) -> None:
    found = lab.steward("cost", "show", PROJECT)

    [line] = [line for line in found["lines"] if line["run"] == told["run"]]
    assert line["expected"] > 0
    assert line["dollars"] > 0
