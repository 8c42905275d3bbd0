"""The budget's refusal and the doctor, on the deployed stack."""

from __future__ import annotations

from steward_cli.commands.doctor import examined
from steward_cli.commands.mail import letters
from support.laboratory_stack import Laboratory, eventually

PROJECT = "thrifty"
ALLOWED = "budget: { per_run_usd: 1, per_month_usd: 20 }"


def test_a_run_over_its_budget_is_refused_and_told(lab: Laboratory) -> None:
    lab.add_project(PROJECT)
    lab.configure(PROJECT, ALLOWED, "budget: { per_run_usd: 0.0001 }")
    lab.deliver(PROJECT)

    run = lab.run(PROJECT, "refused")

    assert run["refusal"]["field"] == "budget.per_run_usd"
    assert lab.steward("cost", "estimate", PROJECT, exit_code=1)["refusal"] is not None
    engine = lab.target.engine
    assert engine is not None
    subject = f"training run {run['run_id']} of {PROJECT} was refused by its budget"
    eventually(
        lambda: [m for m in letters(engine.mailbox) if subject in m.subject], f"mail: {subject}"
    )


def test_the_doctor_finds_the_stack_well(lab: Laboratory) -> None:
    states = {(f.area, f.check): f.state for f in examined(lab.choice)}

    assert states[("stack", "stack")] == "ok"
    assert states[("stack", "resources")] == "ok"
    assert states[("stack", "job image")] == "ok"
