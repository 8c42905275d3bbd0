"""The whole stack on one embedded AWS, deployed by SAM once for all end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from steward_cli.commands.local import start_and_deploy
from steward_cli.demo.facts import Facts
from steward_cli.demo.people import hire
from steward_cli.demo.story import Story
from steward_cli.target import Choice, Target, local_target
from steward_local import engine as engines
from support.laboratory_stack import Laboratory

TIME_SCALE = 10.0
NEXT_BUS = "arn:aws:events:us-east-1:222222222222:event-bus/steward-local-promotions"
"""The environment that versions go to: the same stack in another account of the same AWS."""
FURTHER_BUS = "arn:aws:events:eu-west-1:333333333333:event-bus/steward-staging-promotions"
"""A second one, where nothing is yet: what is for the first does not go there."""
BEFORE_BUS = "arn:aws:events:us-east-1:000000000000:event-bus/steward-dev-promotions"
"""The environment that versions come from: another one in this account, where it is deployed."""


@pytest.fixture(scope="session")
def choice(tmp_path_factory: pytest.TempPathFactory) -> Choice:
    """The options of a command that acts on this run's embedded AWS."""
    return Choice("local", state_dir=tmp_path_factory.mktemp("stack"))


@pytest.fixture(scope="session")
def stack(choice: Choice) -> Iterator[Target]:
    """The deployed stack, as its administrator; stopped whatever happens."""
    neighbours = {"PromoteTo": f"{FURTHER_BUS},{NEXT_BUS}", "PromoteFrom": BEFORE_BUS}
    engine, _ = start_and_deploy(choice, None, TIME_SCALE, neighbours)
    try:
        target = local_target(engine, choice)
        hire(target, choice.state_dir)
        yield target
    finally:
        engines.stop(choice.state_dir)


@pytest.fixture(scope="session")
def projects() -> Path:
    """The folder of the projects in this repository."""
    return Path(__file__).resolve().parents[2] / "projects"


@pytest.fixture(scope="session")
def facts(stack: Target, choice: Choice, projects: Path) -> Facts:
    """The demo's story, played once for all tests that look at what it left."""
    lines: list[str] = []
    try:
        return Story(stack, choice, projects, lines.append).play()
    except Exception as error:
        error.add_note("\n".join(lines))
        raise


@pytest.fixture(scope="session")
def lab(
    stack: Target, choice: Choice, projects: Path, tmp_path_factory: pytest.TempPathFactory
) -> Laboratory:
    """Handles on the deployed stack for fault tests."""
    return Laboratory(stack, choice, projects, tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="session")
def trained(lab: Laboratory) -> dict[str, Any]:
    """The record of a version that a whole run has trained, judged, registered and staged."""
    lab.add_project("nursery")
    lab.deliver("nursery")
    return lab.version("nursery", 1, "pending")
