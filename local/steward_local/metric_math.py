"""Metric math: expressions over time series, as alarms evaluate them.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""

import ast
import functools
import itertools
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Series = dict[int, float]
"""Values by the number of their period; a period without data is absent."""

Value = float | Series | list[Series]
_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_COMPARE: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_REDUCERS: dict[str, Callable[[Sequence[float]], float]] = {
    "SUM": sum,
    "AVG": lambda values: sum(values) / len(values),
    "MIN": min,
    "MAX": max,
}
_EACH: dict[str, Callable[[float], float]] = {
    "ABS": abs,
    "CEIL": math.ceil,
    "FLOOR": math.floor,
    "LOG": math.log,
    "LOG10": math.log10,
}


class MetricMathError(ValueError):
    """An expression that cannot be evaluated; the message names the part."""


def evaluate(expression: str, series: Mapping[str, Series], periods: Sequence[int]) -> Series:
    """Return the series of an expression over the given periods.

    Args:
        expression: For instance `IF(requests > 0, errors / requests, 0)`.
        series: The metrics and expressions that it may name, by id.
        periods: The numbers of the periods in question, ascending.

    Raises:
        MetricMathError: It is not an expression, or names what is not there.
    """
    value = _Evaluation(series, periods).run(expression)
    if isinstance(value, list):
        raise MetricMathError(f"{expression!r} gives several time series; an alarm needs one")
    if isinstance(value, dict):
        return value
    return dict.fromkeys(periods, value)


@functools.lru_cache(maxsize=512)
def _parsed(expression: str) -> ast.Expression:
    """Return an expression's tree: alarms ask for the same ones several times a second."""
    try:
        return ast.parse(_python(expression), mode="eval")
    except SyntaxError as problem:
        raise MetricMathError(f"{expression!r} is not an expression: {problem.msg}") from None


def _python(expression: str) -> str:
    """The expression in Python's grammar: `^`, `&&`, `||` and the words AND and OR."""
    text = expression.strip().replace("&&", " and ").replace("||", " or ").replace("^", "**")
    text = re.sub(r"\bAND\b", "and", text)
    return re.sub(r"\bOR\b", "or", text)


def _pairwise(left: Value, right: Value, function: Callable[[float, float], float]) -> Value:
    if isinstance(left, list) or isinstance(right, list):
        members = left if isinstance(left, list) else right
        count = len(members) if isinstance(members, list) else 0
        lefts = left if isinstance(left, list) else [left] * count
        rights = right if isinstance(right, list) else [right] * count
        pairs = zip(lefts, rights, strict=True)
        return [_as_series(_pairwise(one, other, function)) for one, other in pairs]
    if not isinstance(left, dict) and not isinstance(right, dict):
        found = _defined(function, left, right)
        return math.nan if found is None else found
    if isinstance(left, dict):
        periods = left.keys() & right.keys() if isinstance(right, dict) else left.keys()
    else:
        periods = right.keys() if isinstance(right, dict) else set()
    result: Series = {}
    for period in sorted(periods):
        one = left[period] if isinstance(left, dict) else left
        other = right[period] if isinstance(right, dict) else right
        found = _defined(function, one, other)
        if found is not None:
            result[period] = found
    return result


def _as_series(value: Value) -> Series:
    if not isinstance(value, dict):
        raise MetricMathError("An array has members that are not time series")
    return value


def _defined(function: Callable[..., float], *values: float) -> float | None:
    """The function's value, or None where it has none: that period has no data."""
    try:
        found = float(function(*values))
    except (ZeroDivisionError, ValueError, OverflowError):
        return None
    return None if math.isnan(found) else found


class _Evaluation:
    def __init__(self, series: Mapping[str, Series], periods: Sequence[int]) -> None:
        self._series = series
        self._periods = periods

    def run(self, expression: str) -> Value:
        return self._visit(_parsed(expression).body)

    def _visit(self, node: ast.expr) -> Value:  # noqa: PLR0911  (one return per kind of node)
        match node:
            case ast.Constant(value=int() | float() as number):
                return float(number)
            case ast.Name(id=name) if name in self._series:
                return self._series[name]
            case ast.BinOp(left=left, op=kind, right=right) if type(kind) in _BINARY:
                return _pairwise(self._visit(left), self._visit(right), _BINARY[type(kind)])
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return _pairwise(0.0, self._visit(operand), operator.sub)
            case ast.Compare(left=left, ops=[kind], comparators=[right]) if type(kind) in _COMPARE:
                return _pairwise(self._visit(left), self._visit(right), _COMPARE[type(kind)])
            case ast.BoolOp(op=kind, values=values):
                both = isinstance(kind, ast.And)
                return self._logic([self._visit(value) for value in values], both)
            case ast.List(elts=members):
                return [_as_series(self._visit(member)) for member in members]
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self._call(name.upper(), arguments)
        raise MetricMathError(f"{ast.unparse(node)!r} is not known in metric math here")

    def _logic(self, values: list[Value], both: bool) -> Value:
        def combine(one: float, other: float) -> float:
            return float((one and other) if both else (one or other))

        result = values[0]
        for value in values[1:]:
            result = _pairwise(result, value, lambda a, b: float(bool(combine(a, b))))
        return result

    def _call(self, name: str, arguments: list[ast.expr]) -> Value:
        if name == "IF" and len(arguments) in (2, 3):
            return self._choose(*(self._visit(argument) for argument in arguments))
        if name == "FILL" and len(arguments) == 2:
            return self._fill(self._visit(arguments[0]), arguments[1])
        if name == "METRICS":
            return list(self._series.values())
        values = [self._visit(argument) for argument in arguments]
        if len(values) == 1 and name in _REDUCERS:
            return self._reduce(name, values[0])
        if len(values) == 1 and name in _EACH:
            return _pairwise(values[0], 0.0, lambda value, _: _EACH[name](value))
        raise MetricMathError(f"The function {name} is not known in metric math here")

    def _reduce(self, name: str, value: Value) -> Value:
        reduce = _REDUCERS[name]
        if isinstance(value, dict):
            return float(reduce(list(value.values()))) if value else math.nan
        if not isinstance(value, list):
            return value
        periods = sorted({period for member in value for period in member})
        return {
            period: float(reduce([member[period] for member in value if period in member]))
            for period in periods
        }

    def _choose(self, condition: Value, then: Value, otherwise: Value | None = None) -> Value:
        periods = condition.keys() if isinstance(condition, dict) else self._periods
        result: Series = {}
        for period in periods:
            holds = condition[period] if isinstance(condition, dict) else condition
            branch = then if holds else otherwise
            value = branch.get(period) if isinstance(branch, dict) else branch
            if isinstance(value, float):
                result[period] = value
        return result

    def _fill(self, value: Value, filler: ast.expr) -> Value:
        if isinstance(value, list):
            return [_as_series(self._fill(member, filler)) for member in value]
        if not isinstance(value, dict):
            return value
        if isinstance(filler, ast.Name) and filler.id == "REPEAT":
            return self._repeat(value)
        if isinstance(filler, ast.Name) and filler.id == "LINEAR":
            return self._interpolate(value)
        constant: Any = self._visit(filler)
        filled = constant if isinstance(constant, dict) else dict.fromkeys(self._periods, constant)
        return {period: found for period, found in {**filled, **value}.items() if found is not None}

    def _repeat(self, value: Series) -> Series:
        result: Series = {}
        last: float | None = None
        for period in self._periods:
            last = value.get(period, last)
            if last is not None:
                result[period] = last
        return result

    def _interpolate(self, value: Series) -> Series:
        known = sorted(value)
        result = dict(value)
        for before, after in itertools.pairwise(known):
            step = (value[after] - value[before]) / (after - before)
            for period in range(before + 1, after):
                result[period] = value[before] + step * (period - before)
        return result
