"""The expressions of an aggregation, compiled to functions of a row.

A part of Pendo's language (pendo-api.md 5.2): paths, literals, comparisons, `&&`, `||`, `!`, and a few functions.
How Pendo escapes strings is not documented; here it is as in JSON.
"""

from __future__ import annotations

import json
import operator
import re
from typing import TYPE_CHECKING, Any

from connector.sandbox.calls import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Row = dict[str, Any]
if TYPE_CHECKING:
    Expression = Callable[[Row], Any]

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\]|\\.)*")|(?P<number>-?\d+(?:\.\d+)?)|(?P<name>[A-Za-z_][\w.]*)
    |(?P<sign>&&|\|\||==|!=|<=|>=|[<>!(),]))""",
    re.VERBOSE,
)
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CONSTANTS = {"true": True, "false": False, "null": None}
_SEPARATOR = "::"


def compiled(source: Any, now_ms: int) -> Expression:
    """The expression as a function of a row. Raises Refusal (400) for what cannot be read."""
    if not isinstance(source, str):
        raise Refusal(400, "an expression is not text")
    reader = _Reader(source, now_ms)
    expression = reader.either()
    if reader.tokens:
        raise Refusal(400, f"cannot read {reader.tokens[0]!r} in {source!r}")
    return expression


def at_path(row: Row, path: str) -> Any:
    """What the row holds at `a.b.c`; None where a part is missing."""
    found: Any = row
    for part in path.split("."):
        if not isinstance(found, dict):
            return None
        found = found.get(part)
    return found


class _Reader:
    """A recursive descent over the tokens of one expression."""

    def __init__(self, source: str, now_ms: int) -> None:
        self._now_ms = now_ms
        self._source = source
        self.tokens: list[str] = []
        position = 0
        while source[position:].strip():
            match = _TOKEN.match(source, position)
            if match is None:
                raise Refusal(400, f"cannot read {source[position:].strip()!r} in {source!r}")
            self.tokens.append(match.group().strip())
            position = match.end()

    def either(self) -> Expression:
        parts = [self._both()]
        while self._next("||"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else lambda row: any(part(row) for part in parts)

    def _both(self) -> Expression:
        parts = [self._negated()]
        while self._next("&&"):
            parts.append(self._negated())
        return parts[0] if len(parts) == 1 else lambda row: all(part(row) for part in parts)

    def _negated(self) -> Expression:
        if self._next("!"):
            inner = self._negated()
            return lambda row: not inner(row)
        return self._compared()

    def _compared(self) -> Expression:
        left = self._single()
        if not self.tokens or self.tokens[0] not in _COMPARE:
            return left
        sign = self.tokens.pop(0)
        right = self._single()
        return lambda row: _compare(sign, left(row), right(row))

    def _single(self) -> Expression:
        if not self.tokens:
            raise Refusal(400, f"{self._source!r} ends too early")
        if self._next("("):
            inner = self.either()
            self._expect(")")
            return inner
        token = self.tokens.pop(0)
        if token.startswith('"'):
            return _constant(self._text(token))
        if token[0].isdigit() or token[0] == "-":
            return _constant(float(token) if "." in token else int(token))
        if token in _CONSTANTS:
            return _constant(_CONSTANTS[token])
        if not (token[0].isalpha() or token[0] == "_"):
            raise Refusal(400, f"cannot read {token!r} in {self._source!r}")
        if self._next("("):
            return self._function(token)
        return lambda row: at_path(row, token)

    def _function(self, name: str) -> Expression:
        arguments: list[Expression] = []
        while not self._next(")"):
            if arguments:
                self._expect(",")
            arguments.append(self.either())
        known = _FUNCTIONS.get((name, len(arguments)))
        if name == "now" and not arguments:
            return _constant(self._now_ms)
        if known is None:
            raise Refusal(400, f"the sandbox does not know {name} with {len(arguments)} arguments")
        return lambda row: known(*(argument(row) for argument in arguments))

    def _text(self, token: str) -> str:
        try:
            return str(json.loads(token))
        except ValueError:
            raise Refusal(400, f"cannot read {token} in {self._source!r}") from None

    def _next(self, sign: str) -> bool:
        if self.tokens and self.tokens[0] == sign:
            del self.tokens[0]
            return True
        return False

    def _expect(self, sign: str) -> None:
        if not self._next(sign):
            raise Refusal(400, f"{sign!r} is missing in {self._source!r}")


def _constant(value: Any) -> Expression:
    return lambda _row: value


def _compare(sign: str, left: Any, right: Any) -> bool:
    try:
        return bool(_COMPARE[sign](left, right))
    except TypeError:  # a missing value, or two types that have no order
        return False


def _parent(account_id: Any) -> str:
    return str(account_id).split(_SEPARATOR, 1)[0]


def _child(account_id: Any) -> str:
    return str(account_id).split(_SEPARATOR, 1)[-1]


_FUNCTIONS: Mapping[tuple[str, int], Callable[..., Any]] = {
    ("contains", 2): lambda whole, part: str(part) in str(whole or ""),
    ("startsWith", 2): lambda whole, part: str(whole or "").startswith(str(part)),
    ("isNull", 1): lambda value: value is None,
    ("isEmpty", 1): lambda value: value in (None, "", []),
    ("parentAccountId", 1): _parent,
    ("childAccountId", 1): _child,
}
