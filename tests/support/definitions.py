"""Readers of Amazon States Language files: states of all levels, edges, integrations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.templates import CHILDREN, ROOT, load, of_type

State = dict[str, Any]
FILES = tuple(sorted((ROOT / "statemachines").glob("*/*.asl.json")))


def definition(path: Path) -> dict[str, Any]:
    """Return a parsed machine."""
    parsed = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(parsed, dict)
    return parsed


def scopes(machine: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the machine and each processor or branch inside it: what has StartAt and States."""
    yield machine
    for state in machine["States"].values():
        inner = [*state.get("Branches", [])]
        inner += [state[key] for key in ("ItemProcessor", "Iterator") if key in state]
        for scope in inner:
            yield from scopes(scope)


def states(machine: dict[str, Any]) -> Iterator[tuple[str, State]]:
    """Yield every state of every level with its name."""
    for scope in scopes(machine):
        yield from scope["States"].items()


def normal_edges(state: State) -> set[str]:
    """Return the names of the states that follow when nothing fails."""
    edges = {state[key] for key in ("Next", "Default") if key in state}
    edges |= {choice["Next"] for choice in state.get("Choices", []) if "Next" in choice}
    return edges


def caught_edges(state: State) -> set[str]:
    """Return the names of the states that follow a caught error."""
    return {catcher["Next"] for catcher in state.get("Catch", [])}


def ends(state: State) -> bool:
    """Tell whether a path may end here."""
    return state["Type"] in ("Succeed", "Fail") or state.get("End") is True


def reachable(scope: dict[str, Any], *, caught: bool) -> set[str]:
    """Return the states on a path from the start, with or without caught errors."""
    found: set[str] = set()
    waiting = [scope["StartAt"]]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        state = scope["States"][name]
        waiting += normal_edges(state) | (caught_edges(state) if caught else set())
    return found


def declarations(path: Path) -> list[tuple[Path, str, dict[str, Any]]]:
    """Return (template, logical id, properties) of the state machines made of a file."""
    uri = "../" + path.relative_to(ROOT).as_posix()
    return [
        (template, name, resource["Properties"])
        for template in CHILDREN
        for name, resource in of_type(load(template), "AWS::Serverless::StateMachine").items()
        if resource["Properties"]["DefinitionUri"] == uri
    ]
