"""Who may import whom, where import-linter cannot look: functions are no package."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import grimp
import pytest

from support.layers import layers_of
from support.templates import CHILDREN, ROOT, load, of_type

FUNCTIONS = sorted((ROOT / "functions").glob("*/*/app.py"))
PACKAGE = ROOT / "layers" / "core" / "steward"
DOORWAY_MAY = ("bootstrap", "contracts", "domain", "entrypoint", "service")
HEAVY = ("duckdb", "numpy", "pandas", "sagemaker", "scipy", "sklearn")
CONTROL = sorted(
    ROOT / "stacks" / resource["Properties"]["CodeUri"] / "app.py"
    for path in CHILDREN
    for resource in of_type(load(path), "AWS::Serverless::Function").values()
    if layers_of(resource["Properties"]) == ("core",)
)


def imported(path: Path) -> Iterator[str]:
    """Yield the dotted names of the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def name_of(path: Path) -> str:
    return "/".join(path.resolve().parts[-3:-1])


@cache
def graph() -> grimp.ImportGraph:
    """The imports of the first-party package, those inside functions included."""
    return grimp.build_graph("steward", include_external_packages=True)


@pytest.mark.parametrize("path", FUNCTIONS, ids=name_of)
def test_a_function_knows_entrypoint_composition_root_and_use_cases_alone(path: Path) -> None:
    for module in imported(path):
        top, _, rest = module.partition(".")
        assert top == "steward" or top in sys.stdlib_module_names, f"{module} in a doorway"
        assert top != "steward" or not rest or rest.split(".")[0] in DOORWAY_MAY, module


@pytest.mark.parametrize("path", FUNCTIONS, ids=name_of)
def test_a_function_imports_no_other_domain_s_service(path: Path) -> None:
    domain = path.parts[-3]

    services = [m for m in imported(path) if m.startswith("steward.service.")]

    assert all(module.split(".")[2] == domain for module in services), services


@pytest.mark.parametrize("path", CONTROL, ids=name_of)
def test_a_control_function_never_reaches_a_heavy_package_not_even_later(path: Path) -> None:
    known = graph().modules
    reached = {module for module in imported(path) if module in known}
    for module in list(reached):
        reached |= graph().find_upstream_modules(module)

    assert not reached.intersection(HEAVY), "; ".join(
        " -> ".join(chain)
        for heavy in sorted(reached.intersection(HEAVY))
        for module in sorted(set(imported(path)) & known)
        if (chain := graph().find_shortest_chain(module, heavy))
    )


def test_every_function_is_declared_as_control_or_analytics() -> None:
    declared = {
        (ROOT / "stacks" / resource["Properties"]["CodeUri"] / "app.py").resolve()
        for path in CHILDREN
        for resource in of_type(load(path), "AWS::Serverless::Function").values()
    }

    assert declared == {path.resolve() for path in FUNCTIONS}


# The built-in model's code is packed as a project's source, and runs in jobs as any project's does.
_PACKED = PACKAGE / "domain" / "built_in"
_PURE = [
    path
    for part in ("domain", "contracts")
    for path in (PACKAGE / part).rglob("*.py")
    if _PACKED not in path.parents
]
_UNKNOWN_TO_THEM = {"os", "random", "socket", "subprocess", "time", "urllib.request"}


@pytest.mark.parametrize("path", _PURE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_domain_and_contracts_know_no_environment_clock_or_network(path: Path) -> None:
    assert not _UNKNOWN_TO_THEM.intersection(imported(path))


_USE_CASES = [*_PURE, *(PACKAGE / "service").rglob("*.py")]


@pytest.mark.parametrize("path", _USE_CASES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_use_cases_get_the_time_and_fresh_ids_from_their_ports(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            called = f"{node.value.id}.{node.attr}"
            assert called not in {
                "datetime.now", "datetime.utcnow", "date.today", "time.time", "uuid.uuid4",
                "uuid.uuid1", "os.environ", "os.getenv",
            }, f"{called} in line {node.lineno}"  # fmt: skip


_BUDGET = "steward.service.training.budget"


@pytest.mark.parametrize("path", FUNCTIONS, ids=name_of)
def test_who_may_start_a_run_is_told_where_costs_are(path: Path) -> None:
    """A run is held to its budget where it starts; that is read from the table of costs."""
    direct = {m for m in imported(path) if m in graph().modules}
    if not any(m == _BUDGET or graph().chain_exists(m, _BUDGET) for m in direct):
        return
    [declared] = [
        resource["Properties"]
        for child in CHILDREN
        for resource in of_type(load(child), "AWS::Serverless::Function").values()
        if (ROOT / "stacks" / resource["Properties"]["CodeUri"] / "app.py").resolve()
        == path.resolve()
    ]
    assert "COSTS_TABLE" in declared["Environment"]["Variables"]
