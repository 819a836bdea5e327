"""What comes in and what goes out: a call, its answer, and a refusal."""

from __future__ import annotations

import base64
import binascii
import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping

BASE64_HEADER = "x-pendo-base64-encoded-params"


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it came. Header names are lower-case; `segments` are the path's parts, each decoded by itself.

    `number` is its place among all the calls the sandbox received, from 1.
    """

    number: int
    method: str
    path: str
    segments: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back. `applied`: something was written; `rows`: how many rows the call carried.

    `note` is for whoever looks at the sandbox: what it did that the answer does not say.
    """

    status: int
    body: bytes = b""
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    applied: bool = False
    rows: int = 0
    note: str | None = None


class Refusal(Exception):
    """The end of a call that is refused. `rows`, `applied` and `note` as in Answer.

    `form`: "plain" when the message is Pendo's own text, "empty" when there is no body; by default a switch decides.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        rows: int = 0,
        applied: bool = False,
        form: Literal["plain", "empty"] | None = None,
        note: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Keep what the answer is made of."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.rows = rows
        self.applied = applied
        self.form = form
        self.note = note
        self.headers = headers or {}


def json_answer(document: Any, *, status: int = 200, applied: bool = False, rows: int = 0) -> Answer:
    """The document as JSON."""
    body = json.dumps(document, separators=(",", ":")).encode()
    return Answer(status, body, "application/json", applied=applied, rows=rows)


def parse(body: bytes) -> Any:
    """The body's JSON. Raises ValueError for what strict decoders refuse: NaN, 1e999, other encodings, deep nesting."""
    try:
        return json.loads(body.decode(), parse_constant=_no_constant, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def parsed(call: Call) -> Any:
    """The call's JSON; 400 when it is none."""
    try:
        return parse(call.body)
    except ValueError:
        raise Refusal(400, "the body is not JSON") from None


def decoded_id(call: Call, written: str) -> str:
    """The id in a path: as it stands, or from `b64_` and URL-safe base64 when the header says so."""
    if not written.startswith("b64_") or call.headers.get(BASE64_HEADER, "").lower() != "true":
        return written
    text = written.removeprefix("b64_")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise Refusal(400, "the id is not URL-safe base64") from None


def _finite(written: str) -> float:
    number = float(written)
    if math.isinf(number):
        raise ValueError(f"{written} is too large")
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
