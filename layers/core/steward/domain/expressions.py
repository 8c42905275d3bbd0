"""Scalar SQL expressions of a declaration: parsed by us, and rendered anew for the engine.

Nothing that a person wrote reaches the engine as it is. What this grammar does not know, such as
another table, a subquery, a statement, a file, a setting, a clock or chance, cannot be said in
it: only literals, declared columns, operators, CASE, CAST and the functions of
:data:`FUNCTIONS`. So a value is decided by its row alone, in a batch as for one record.

Pure: functions that hold no engine check declarations with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

MAX_DEPTH = 40
MAX_CHAIN = 100

FUNCTIONS: dict[str, tuple[int, int]] = {
    **dict.fromkeys(
        (
            "abs", "acos", "asin", "atan", "cbrt", "ceil", "cos", "day", "dayofweek", "dayofyear",
            "degrees", "epoch", "epoch_ms", "exp", "floor", "hour", "isfinite", "isinf", "isnan",
            "isodow", "length", "ln", "log10", "log2", "lower", "ltrim", "minute", "month",
            "quarter", "radians", "rtrim", "second", "sha256", "sign", "sin", "sqrt", "tan",
            "to_days", "to_hours", "to_minutes", "to_seconds", "trim", "trunc", "upper", "week",
            "year",
        ),
        (1, 1),
    ),
    **dict.fromkeys(
        (
            "atan2", "contains", "date_part", "date_trunc", "ends_with", "left", "nullif", "pow",
            "power", "regexp_full_match", "regexp_matches", "right", "starts_with", "strftime",
            "strpos",
        ),
        (2, 2),
    ),
    "date_diff": (3, 3),
    "regexp_extract": (2, 3),
    "round": (1, 2),
    "substr": (2, 3),
    "substring": (2, 3),
    "coalesce": (1, 20),
    "concat": (1, 20),
    "greatest": (1, 20),
    "least": (1, 20),
}  # fmt: skip
"""Functions by name with the least and the largest number of arguments.

None reads a clock, a setting, a file, a sequence or another row, and none multiplies the length
of a text, so that a short expression cannot ask for much memory.
"""

TYPES = {
    "BIGINT": "BIGINT", "INT": "INTEGER", "INTEGER": "INTEGER", "DOUBLE": "DOUBLE",
    "VARCHAR": "VARCHAR", "TEXT": "VARCHAR", "STRING": "VARCHAR", "BOOLEAN": "BOOLEAN",
    "TIMESTAMP": "TIMESTAMP", "DATE": "DATE", "DECIMAL": "DECIMAL",
}  # fmt: skip

_TOKENS = re.compile(
    r"""\s*(?:
        (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![A-Za-z0-9_.]))
      | (?P<string>'(?:[^']|'')*')
      | (?P<quoted>"(?:[^"]|"")+")
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<symbol>::|<=|>=|<>|!=|\|\||//|[-+*/%=<>(),])
    )""",
    re.VERBOSE,
)
_WORDS = """
    ALL AND ANY ARRAY AS ATTACH BETWEEN CALL CASE CAST COPY CREATE DATE DELETE DETACH DISTINCT DROP
    ELSE END EXECUTE EXISTS EXPORT EXTRACT FALSE FILTER FROM GROUP ILIKE IMPORT IN INSERT INSTALL
    INTERVAL INTO IS LAMBDA LIKE LIMIT LOAD MAP NOT NULL OR ORDER OVER PIVOT PRAGMA QUALIFY SELECT
    SET SOME STRUCT TABLE THEN TIMESTAMP TRUE TRY_CAST UNION UNNEST UPDATE VALUES WHEN WHERE WITH
"""
_KEYWORDS = frozenset(_WORDS.split())
_COMPARISONS = ("=", "<>", "!=", "<", "<=", ">", ">=")


class ExpressionError(ValueError):
    """The text is no expression of this grammar, or reads a column that is not declared."""


@dataclass(frozen=True)
class Parsed:
    """A checked expression.

    Attributes:
        text: As it was declared.
        columns: The columns that it reads, in order of first use.
    """

    text: str
    columns: tuple[str, ...]
    _render: Callable[[str], str]

    def sql(self, relation: str = "") -> str:
        """Return it in parentheses for the engine, columns qualified by an alias if one is given.

        Args:
            relation: An identifier of ours; columns are named without one where it is empty.
        """
        return self._render(f"{relation}." if relation else "")


def parse(text: str, columns: Iterable[str] | None) -> Parsed:
    """Return a scalar expression over ``columns``; of any columns where it is None.

    Names of columns are compared as they are written; those that are no plain identifiers, or are
    words of SQL, are put in double quotes.

    Raises:
        ExpressionError: It is no such expression; the message says where and what is allowed.
    """
    reader = _Reader(text, None if columns is None else tuple(columns))
    node = reader.disjunction()
    reader.expect_end()
    return Parsed(text, tuple(dict.fromkeys(reader.used)), node)


Render = Callable[[str], str]
"""Takes the qualifier of columns."""


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int

    @property
    def upper(self) -> str:
        return self.text.upper() if self.kind == "word" else ""


class _Reader:
    """Recursive descent, a method a level of precedence; loosest first."""

    def __init__(self, text: str, columns: tuple[str, ...] | None) -> None:
        self._text = text
        self._columns = columns
        self._tokens = list(self._scan())
        self._next = 0
        self._depth = 0
        self.used: list[str] = []

    def _scan(self) -> Iterator[_Token]:
        if "\0" in self._text:
            raise ExpressionError("a NUL character is not allowed in an expression")
        at, end = 0, len(self._text.rstrip())
        while at < end:
            found = _TOKENS.match(self._text, at)
            if found is None or found.lastgroup is None:
                while self._text[at].isspace():
                    at += 1
                raise ExpressionError(
                    f"{self._text[at]!r} at character {at + 1} is not allowed in an expression"
                )
            start = found.start(found.lastgroup)
            yield _Token(found.lastgroup, found[found.lastgroup], start + 1)
            at = found.end()

    def _peek(self, ahead: int = 0) -> _Token:
        at = self._next + ahead
        end = _Token("end", "the end", len(self._text) + 1)
        return self._tokens[at] if at < len(self._tokens) else end

    def _take(self) -> _Token:
        token = self._peek()
        self._next += 1
        return token

    def _is(self, *words: str) -> bool:
        token = self._peek()
        return (token.upper or (token.text if token.kind == "symbol" else "")) in words

    def _accept(self, *words: str) -> str | None:
        if self._is(*words):
            token = self._take()
            return token.upper or token.text
        return None

    def _expect(self, word: str) -> None:
        if self._accept(word) is None:
            raise self._wrong(f"{word} is expected")

    def _wrong(self, what: str) -> ExpressionError:
        token = self._peek()
        return ExpressionError(f"{what} at character {token.at}, not {token.text!r}")

    def expect_end(self) -> None:
        """Raise unless everything was read."""
        if self._peek().kind != "end":
            raise self._wrong("an operator or the end is expected")

    def disjunction(self) -> Render:
        """Read a whole expression."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError(f"it is nested deeper than {MAX_DEPTH} levels")
        node = self._chain(("OR",), lambda: self._chain(("AND",), self._negation))
        self._depth -= 1
        return node

    def _chain(self, operators: tuple[str, ...], operand: Callable[[], Render]) -> Render:
        first = operand()
        rest: list[tuple[str, Render]] = []
        while operator := self._accept(*operators):
            rest.append((operator, operand()))
            if len(rest) > MAX_CHAIN:
                raise ExpressionError(f"more than {MAX_CHAIN} operators follow one another")
        if not rest:
            return first
        # Flat, so that a long chain makes no deep tree; the engine reads it from the left too.
        return lambda q: (
            "(" * len(rest) + first(q) + "".join(f" {name} {node(q)})" for name, node in rest)
        )

    def _negation(self) -> Render:
        count = 0
        while self._accept("NOT"):
            count += 1
            if count > MAX_CHAIN:
                raise ExpressionError(f"more than {MAX_CHAIN} operators follow one another")
        node = self._predicate()
        return node if not count else lambda q: f"{'(NOT ' * count}{node(q)}{')' * count}"

    def _predicate(self) -> Render:
        left = self._sum()
        if operator := self._accept(*_COMPARISONS):
            right = self._sum()
            return lambda q: f"({left(q)} {operator} {right(q)})"
        if self._accept("IS"):
            return self._is_test(left)
        negated = "NOT " if self._accept("NOT") else ""
        if self._accept("IN"):
            self._expect("(")
            values = self._list()
            return lambda q: f"({left(q)} {negated}IN ({', '.join(v(q) for v in values)}))"
        if self._accept("BETWEEN"):
            low = self._sum()
            self._expect("AND")
            high = self._sum()
            return lambda q: f"({left(q)} {negated}BETWEEN {low(q)} AND {high(q)})"
        if like := self._accept("LIKE", "ILIKE"):
            pattern = self._sum()
            return lambda q: f"({left(q)} {negated}{like} {pattern(q)})"
        if negated:
            raise self._wrong("IN, BETWEEN or LIKE is expected")
        return left

    def _is_test(self, left: Render) -> Render:
        negated = "NOT " if self._accept("NOT") else ""
        if self._accept("DISTINCT"):
            self._expect("FROM")
            right = self._sum()
            return lambda q: f"({left(q)} IS {negated}DISTINCT FROM {right(q)})"
        if kind := self._accept("NULL", "TRUE", "FALSE"):
            return lambda q: f"({left(q)} IS {negated}{kind})"
        raise self._wrong("NULL, TRUE, FALSE or DISTINCT FROM is expected")

    def _sum(self) -> Render:
        return self._chain(
            ("||",),
            lambda: self._chain(
                ("+", "-"), lambda: self._chain(("*", "/", "//", "%"), self._signed)
            ),
        )

    def _signed(self) -> Render:
        signs = ""
        while sign := self._accept("-", "+"):
            signs += sign
        node = self._cast()
        negative = signs.count("-") % 2
        return (lambda q: f"(- {node(q)})") if negative else node

    def _cast(self) -> Render:
        node = self._primary()
        for type_ in iter(lambda: self._type() if self._accept("::") else None, None):
            node = _as_type("CAST", node, type_)
        return node

    def _type(self) -> str:
        token = self._take()
        known = TYPES.get(token.upper)
        if known is None:
            allowed = ", ".join(sorted(TYPES))
            raise ExpressionError(
                f"{token.text!r} at character {token.at} is no type; allowed: {allowed}"
            )
        if known != "DECIMAL":
            return known
        self._expect("(")
        width = self._integer(1, 38)
        self._expect(",")
        scale = self._integer(0, width)
        self._expect(")")
        return f"DECIMAL({width}, {scale})"

    def _integer(self, low: int, high: int) -> int:
        token = self._take()
        if not token.text.isdigit() or not low <= int(token.text) <= high:
            raise ExpressionError(
                f"{token.text!r} at character {token.at} is no integer from {low} to {high}"
            )
        return int(token.text)

    def _list(self) -> list[Render]:
        values = [self.disjunction()]
        while self._accept(","):
            values.append(self.disjunction())
        self._expect(")")
        return values

    def _primary(self) -> Render:
        token = self._peek()
        if token.kind == "number":
            self._take()
            return lambda _: token.text
        if token.kind == "string":
            self._take()
            return lambda _: token.text
        if self._accept("("):
            node = self.disjunction()
            self._expect(")")
            return lambda q: f"({node(q)})"
        if token.kind == "quoted":
            self._take()
            return self._column(token.text[1:-1].replace('""', '"'), token.at)
        if token.kind == "word":
            return self._word(token)
        raise self._wrong("a value is expected")

    def _word(self, token: _Token) -> Render:
        self._take()
        node = self._construct(token.upper)
        if node is not None:
            return node
        if self._is("("):
            return self._call(token)
        if token.upper in _KEYWORDS:
            raise ExpressionError(
                f"{token.text!r} at character {token.at} is not allowed here; a column of that "
                "name is put in double quotes"
            )
        return self._column(token.text, token.at)

    def _construct(self, word: str) -> Render | None:
        """Read what begins with a word of the grammar; None where the word is none of them."""
        node: Render | None = None
        if word in ("TRUE", "FALSE", "NULL"):
            return lambda _: word
        if word == "CASE":
            return self._case()
        if word in ("CAST", "TRY_CAST"):
            self._expect("(")
            operand = self.disjunction()
            self._expect("AS")
            node = _as_type(word, operand, self._type())
            self._expect(")")
        elif word in ("DATE", "TIMESTAMP") and self._peek().kind == "string":
            node = _constant(f"{word} {self._take().text}")
        elif word == "EXTRACT":
            node = self._extract()
        return node

    def _extract(self) -> Render:
        self._expect("(")
        part = self._take()
        if part.upper not in _PARTS:
            raise ExpressionError(f"extract: {part.text!r} is none of {', '.join(_PARTS)}")
        self._expect("FROM")
        node = self.disjunction()
        self._expect(")")
        return lambda q: f"date_part('{part.upper.lower()}', {node(q)})"

    def _case(self) -> Render:
        subject = None if self._is("WHEN") else self.disjunction()
        arms: list[tuple[Render, Render]] = []
        while self._accept("WHEN"):
            condition = self.disjunction()
            self._expect("THEN")
            arms.append((condition, self.disjunction()))
        if not arms:
            raise self._wrong("WHEN is expected")
        otherwise = self.disjunction() if self._accept("ELSE") else None
        self._expect("END")

        def render(q: str) -> str:
            begin = "(CASE" if subject is None else f"(CASE {subject(q)}"
            middle = "".join(f" WHEN {when(q)} THEN {then(q)}" for when, then in arms)
            return f"{begin}{middle}{f' ELSE {otherwise(q)}' if otherwise else ''} END)"

        return render

    def _call(self, token: _Token) -> Render:
        name = token.text.lower()
        bounds = FUNCTIONS.get(name)
        if bounds is None:
            raise ExpressionError(
                f"function {token.text!r} at character {token.at} is not allowed; allowed: "
                f"{', '.join(sorted(FUNCTIONS))}"
            )
        self._expect("(")
        arguments = [] if self._accept(")") else self._list()
        low, high = bounds
        if not low <= len(arguments) <= high:
            counts = str(low) if low == high else f"{low} to {high}"
            raise ExpressionError(f"{name} takes {counts} arguments, not {len(arguments)}")
        return lambda q: f"{name}({', '.join(argument(q) for argument in arguments)})"

    def _column(self, name: str, at: int) -> Render:
        if self._columns is not None and name not in self._columns:
            raise ExpressionError(
                f"{name!r} at character {at} is no declared column; allowed: "
                f"{', '.join(self._columns)}"
            )
        self.used.append(name)
        quoted = '"' + name.replace('"', '""') + '"'
        return lambda q: f"{q}{quoted}"


_PARTS = ("YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND", "QUARTER", "WEEK", "DOW", "DOY")


def _constant(sql: str) -> Render:
    return lambda _: sql


def _as_type(kind: str, node: Render, type_: str) -> Render:
    return lambda q: f"{kind}({node(q)} AS {type_})"
