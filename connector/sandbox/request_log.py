"""Every call that the sandbox received, in order."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from connector.sandbox.calls import parse
from connector.sandbox.routes import KEY_HEADER, SECRET_HEADER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connector.sandbox.calls import Answer, Call

MASKED = frozenset({KEY_HEADER, SECRET_HEADER, "authorization", "proxy-authorization", "cookie"})
MASK = "***"


@dataclass(slots=True)
class Received:
    """One call and what came of it. `status` is None when no answer was sent; `at` is seconds since 1970.

    `applied`: it changed what the sandbox holds. `rows`: how many rows it carried. `fault`: the injected fault that met
    it. `body` is None when bodies are not kept; no header holds a secret.
    """

    number: int
    at: float
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes | None
    size_bytes: int
    status: int | None = None
    applied: bool = False
    rows: int = 0
    ms: float = 0.0
    fault: str | None = None
    note: str | None = None
    answer: bytes = b""
    finished: bool = False

    def json(self) -> Any:
        """The body, read as JSON; ValueError when it is none or was not kept."""
        if self.body is None:
            raise ValueError("the body was not kept")
        return parse(self.body)

    def document(self) -> dict[str, Any]:
        """The call as a JSON object."""
        return {
            "number": self.number,
            "at": self.at,
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "headers": dict(self.headers),
            "body": None if self.body is None else self.body.decode(errors="replace"),
            "size_bytes": self.size_bytes,
            "status": self.status,
            "applied": self.applied,
            "rows": self.rows,
            "ms": round(self.ms, 3),
            "fault": self.fault,
            "note": self.note,
            "answer": self.answer.decode(errors="replace"),
            "finished": self.finished,
        }


@dataclass(slots=True)
class RequestLog:
    """The calls of one sandbox, in order."""

    keep_bodies: bool = True
    calls: list[Received] = field(default_factory=list)

    def by_status(self) -> dict[str, int]:
        """How many calls got each status; "none" stands for those without an answer."""
        return dict(sorted(Counter(str(entry.status or "none") for entry in self.calls).items()))

    def received(self, call: Call, query: str, at: float) -> Received:
        """The new entry, while its answer is still to come."""
        headers = {name: MASK if name in MASKED else value for name, value in call.headers.items()}
        body = call.body if self.keep_bodies else None
        entry = Received(call.number, at, call.method, call.path, query, headers, body, len(call.body))
        self.calls.append(entry)
        return entry

    def finished(self, entry: Received, answer: Answer | None, *, sent: bool, ms: float) -> None:
        """Nothing, after noting how the call ended. `sent`: the answer goes out, as a whole."""
        if answer is not None:
            entry.applied, entry.rows, entry.note = answer.applied, answer.rows, answer.note
            entry.status = answer.status if sent else None
            entry.answer = answer.body if sent and self.keep_bodies else b""
        entry.ms, entry.finished = ms, True
