"""CloudWatch Logs filter patterns: terms, and JSON selectors in braces.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
"""

import fnmatch
import functools
import json
import operator
import re
from collections.abc import Callable
from typing import Any

Matcher = Callable[[str], bool]
_Test = Callable[[Any], bool]

_TERM = re.compile(r'([-?]?)(?:"((?:[^"\\]|\\.)*)"|%([^%]+)%|(\S+))')
_TOKEN = re.compile(
    r"\s*(?:(?P<punctuation>\(|\)|&&|\|\|)|(?P<selector>\$[^\s=!<>()&|]*)"
    r"|(?P<operator>!=|<=|>=|=|<|>)|(?P<word>IS|NOT|EXISTS|TRUE|FALSE|NULL)\b"
    r'|"(?P<text>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s()&|]+))'
)
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CONSTANTS = {"TRUE": True, "FALSE": False, "NULL": None}
_MISSING = object()


class PatternError(ValueError):
    """A filter pattern that cannot be read."""


@functools.lru_cache(maxsize=256)
def compile_pattern(pattern: str) -> Matcher:
    """Return the test of a log message against a filter pattern.

    Raises:
        PatternError: The pattern is not one.
    """
    text = pattern.strip()
    if not text:
        return lambda _: True
    if text.startswith("{") and text.endswith("}"):
        test = _JsonPattern(text[1:-1]).parse()
        return lambda message: _match_json(test, message)
    return _compile_terms(text)


def _compile_terms(text: str) -> Matcher:
    required: list[str] = []
    optional: list[str] = []
    excluded: list[str] = []
    expressions: list[re.Pattern[str]] = []
    for sign, quoted, expression, bare in _TERM.findall(text):
        if expression:
            expressions.append(re.compile(expression))
            continue
        term = quoted.replace('\\"', '"') or bare
        {"": required, "?": optional, "-": excluded}[sign].append(term)

    def matches(message: str) -> bool:
        return (
            all(term in message for term in required)
            and not any(term in message for term in excluded)
            and (not optional or bool(required) or any(term in message for term in optional))
            and all(expression.search(message) for expression in expressions)
        )

    return matches


def _match_json(test: _Test, message: str) -> bool:
    start = message.find("{")
    if start < 0:
        return False
    try:
        document = json.loads(message[start:])
    except json.JSONDecodeError:
        return False
    return isinstance(document, dict) and test(document)


def _select(document: Any, path: str) -> Any:
    value = document
    for name, index in re.findall(r"\.([A-Za-z0-9_\-]+)|\[(\d+|'[^']+'|\"[^\"]+\")\]", path):
        if index.isdigit():
            if not isinstance(value, list) or int(index) >= len(value):
                return _MISSING
            value = value[int(index)]
        else:
            key = name or index[1:-1]
            if not isinstance(value, dict) or key not in value:
                return _MISSING
            value = value[key]
    return value


class _JsonPattern:
    """A recursive-descent reader of the expression inside the braces."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str]] = []
        position = 0
        while text[position:].strip():
            found = _TOKEN.match(text, position)
            if found is None or found.lastgroup is None:
                raise PatternError(f"Invalid filter pattern at {text[position:]!r}")
            self._tokens.append((found.lastgroup, found.group(found.lastgroup)))
            position = found.end()
        self._next = 0

    def parse(self) -> _Test:
        test = self._either()
        if self._next != len(self._tokens):
            raise PatternError(f"Invalid filter pattern {self._text!r}")
        return test

    def _peek(self) -> str:
        return self._tokens[self._next][1] if self._next < len(self._tokens) else ""

    def _take(self) -> tuple[str, str]:
        if self._next >= len(self._tokens):
            raise PatternError(f"Filter pattern {self._text!r} ends too early")
        self._next += 1
        return self._tokens[self._next - 1]

    def _either(self) -> _Test:
        tests = [self._both()]
        while self._peek() == "||":
            self._take()
            tests.append(self._both())
        return lambda document: any(test(document) for test in tests)

    def _both(self) -> _Test:
        tests = [self._one()]
        while self._peek() == "&&":
            self._take()
            tests.append(self._one())
        return lambda document: all(test(document) for test in tests)

    def _one(self) -> _Test:
        kind, value = self._take()
        if value == "(" and kind == "punctuation":
            test = self._either()
            if self._take()[1] != ")":
                raise PatternError(f"Filter pattern {self._text!r} lacks a parenthesis")
            return test
        if kind != "selector":
            raise PatternError(f"Filter pattern: expected a selector, not {value!r}")
        kind, operation = self._take()
        if operation == "IS":
            constant = _CONSTANTS[self._take()[1]]
            return lambda document: _select(document, value) is constant
        if operation == "NOT":
            self._take()
            return lambda document: _select(document, value) is _MISSING
        if operation == "EXISTS":
            return lambda document: _select(document, value) is not _MISSING
        return _comparison(value, operation, *self._take())


def _comparison(path: str, operation: str, kind: str, expected: str) -> _Test:
    compare = _COMPARISONS.get(operation)
    if compare is None:
        raise PatternError(f"Filter pattern: unknown operator {operation!r}")
    number = re.fullmatch(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", expected, re.IGNORECASE)
    if kind == "bare" and number:
        bound = float(expected)

        def numeric(document: Any) -> bool:
            found = _select(document, path)
            is_number = isinstance(found, int | float) and not isinstance(found, bool)
            return compare(found, bound) if is_number else operation == "!="

        return numeric
    if operation not in ("=", "!="):
        raise PatternError(f"Filter pattern: {operation} needs a number, not {expected!r}")

    def textual(document: Any) -> bool:
        found = _select(document, path)
        if found is _MISSING:
            return False
        shown = found if isinstance(found, str) else json.dumps(found)
        return fnmatch.fnmatchcase(shown, expected) is (operation == "=")

    return textual
