"""``test``: a project's own tests, at the commit that is to be integrated.

What the tests say is a result and not a failure of the job: ``tests.json`` and ``junit.xml`` are
kept either way.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from steward_jobs import bounded
from steward_jobs.container import JobError, base_dir, log, only_archive, unpack, write_failure

RESULT, JUNIT, OUTPUT = "tests.json", "junit.xml", "output.txt"
_LARGEST_JUNIT = 20 * 1024 * 1024
_NAMED = 20
_SAYS = {2: "the tests were interrupted", 3: "pytest failed", 4: "pytest was called wrongly"}
_NONE_FOUND = 5
_CONFIGURED = {
    "pytest.ini": "", ".pytest.ini": "", "pytest.toml": "", ".pytest.toml": "",
    "pyproject.toml": "[tool.pytest", "tox.ini": "[pytest]", "setup.cfg": "[tool:pytest]",
}  # fmt: skip


def main(_arguments: list[str]) -> int:
    """Run the tests once and return the exit code: 0 whatever they say."""
    folder = base_dir() / "processing"
    try:
        _test(folder / "input", folder / "output")
    except JobError as error:
        write_failure(str(error), "failure", "message")
        log("tests_not_run", reason=str(error))
        return 1
    return 0


def _test(given: Path, output: Path) -> None:
    told = json.loads((given / "tests.json").read_text(encoding="utf-8"))
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="project-") as scratch:
        project = Path(scratch) / "project"
        unpack(only_archive(given), project)
        _bound_configuration(project)
        junit = output / JUNIT
        command = [
            sys.executable, "-P", "-m", "pytest", str(told["tests"]), "-q", "-p",
            "no:cacheprovider", f"--junitxml={junit}",
        ]  # fmt: skip
        variables = bounded.environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", HOME=scratch)
        ending = bounded.run(command, project, variables, float(told["timeout_s"]))
    (output / OUTPUT).write_text(ending.output, encoding="utf-8")
    found = result_of(ending, junit, float(told["timeout_s"]), str(told["tests"]))
    (output / RESULT).write_text(json.dumps(found), encoding="utf-8")
    log("tests_ended", passed=found["passed"], summary=found["summary"])


def result_of(ending: bounded.Ending, junit: Path, limit_s: float, tests: str) -> dict[str, object]:
    """Return what is to be said of the tests: ``passed``, ``summary``, names that ``failed``."""
    if ending.timed_out:
        last = next((line for line in reversed(ending.output.splitlines()) if line.strip()), "")
        summary = f"the tests ran longer than {limit_s:g} s and were ended; last line: {last!r}"
        return {"passed": False, "summary": summary, "failed": []}
    ran, failed = _counted(junit)
    if ending.code == 0 and ran and not failed:
        return {"passed": True, "summary": f"{ran} tests passed", "failed": []}
    if ending.code == _NONE_FOUND or (ending.code == 0 and not ran):
        return {"passed": False, "summary": f"no test was run in {tests}", "failed": []}
    if failed:
        more = f" and {len(failed) - 3} more" if len(failed) > 3 else ""
        summary = f"{len(failed)} of {ran} tests failed: {', '.join(failed[:3])}{more}"
    else:
        why = _SAYS.get(ending.code, f"pytest ended with code {ending.code}")
        summary = f"{why}: {ending.output[-500:].strip()}"
    return {"passed": False, "summary": summary, "failed": failed[:_NAMED]}


def _bound_configuration(project: Path) -> None:
    """Let pytest look for no configuration above the project: an empty file of its own ends that.

    pytest takes the first of these files that has a section for it, in the folder and above.
    https://docs.pytest.org/en/stable/reference/customize.html
    """
    for name, section in _CONFIGURED.items():
        file = project / name
        if file.is_file() and section in file.read_text(encoding="utf-8", errors="replace"):
            return
    (project / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")


def _counted(junit: Path) -> tuple[int, list[str]]:
    """Return how many tests ran and the names of those that failed, as JUnit's file has them."""
    if not junit.is_file() or junit.stat().st_size > _LARGEST_JUNIT:
        return 0, []
    try:
        cases = list(ElementTree.parse(junit).iter("testcase"))  # noqa: S314 - of this job's pytest
    except ElementTree.ParseError:
        return 0, []
    ran = [case for case in cases if case.find("skipped") is None]
    bad = [c for c in ran if c.find("failure") is not None or c.find("error") is not None]
    return len(ran), [_name(case) for case in bad]


def _name(case: ElementTree.Element) -> str:
    place, name = case.get("classname") or "", case.get("name") or "?"
    return f"{place}::{name}" if place else name
