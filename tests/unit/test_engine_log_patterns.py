"""CloudWatch Logs filter patterns."""

import json

import pytest

from steward_local.log_patterns import PatternError, compile_pattern

_LINE = json.dumps({"kind": "exposure", "status": 502, "variant": {"name": "v2"}, "tags": ["a"]})


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "exposure",
        '"exposure" 502',
        "?nothing ?exposure",
        "exposure -absent",
        "%v[0-9]%",
        '{ $.kind = "exposure" }',
        "{ $.status >= 500 && $.status < 600 }",
        '{ $.variant.name = "v*" }',
        '{ ($.kind = "x") || ($.tags[0] = "a") }',
        "{ $.missing NOT EXISTS }",
        '{ $.kind != "other" }',
    ],
)
def test_line_matches(pattern: str) -> None:
    assert compile_pattern(pattern)(_LINE)


@pytest.mark.parametrize(
    "pattern",
    [
        "absent",
        "exposure -502",
        "?nothing ?neither",
        '{ $.kind = "other" }',
        "{ $.status = 500 }",
        '{ $.missing = "x" }',
        '{ $.kind = "exposure" && $.status < 500 }',
        "{ $.kind NOT EXISTS }",
    ],
)
def test_line_does_not_match(pattern: str) -> None:
    assert not compile_pattern(pattern)(_LINE)


def test_json_pattern_does_not_match_text() -> None:
    assert not compile_pattern('{ $.kind = "exposure" }')("START RequestId: 1")


@pytest.mark.parametrize("pattern", ["{ $.a }", "{ a = 1 }", "{ ($.a = 1 }", "{ $.a < x }"])
def test_broken_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        compile_pattern(pattern)
