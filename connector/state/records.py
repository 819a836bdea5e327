"""What is written down of a call: the rows of its tables, without secrets and without what a sync redacts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from connector.errors import DestinationError
from connector.ports import NoReply
from connector.state.bodies import cut, pack
from connector.state.hiding import Echoes
from connector.state.redaction import MASK, Redaction

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from connector.ports import Clock, Reply, Request, Settled
    from connector.ports.calls import Shown
    from connector.state.hiding import Hiding

Row = dict[str, Any]
REDACTED, OFF = "redacted", "off"
"""What `calls.bodies` says where the bodies are not kept as they were: redacted, or not at all. NULL: as they were."""

_KNOWN_HEADERS = 100


@dataclass(slots=True)
class Begun:
    """A call that has no id yet: the rows of its tables. `shown` is what of its rows may be written down."""

    call: Row
    body: bytes | None
    intent: Row | None
    shown: Shown | None
    id: int = 0

    def number(self, call_id: int) -> None:
        """Nothing, after giving the call its id."""
        self.id = call_id
        self.call["id"] = call_id
        if self.intent is not None:
            self.intent["call_id"] = call_id


class Records:
    """Makes the rows of a run's calls. Thread-safe.

    `hiding` is given where the sync redacts values; without `payloads` no body is kept.
    """

    def __init__(
        self,
        run_id: str,
        *,
        clock: Clock,
        secrets: Sequence[str],
        auth_header: str,
        hiding: Hiding | None,
        payloads: bool,
    ) -> None:
        self._run_id = run_id
        self._clock = clock
        self._redaction = Redaction(secrets)
        self._auth_header = auth_header
        self._hiding = hiding
        self._payloads = payloads
        self._known_headers: dict[tuple[Any, ...], str] = {}
        self._open: dict[int, Shown] = {}
        self._echoes: dict[int, Echoes] = {}

    def begun(self, request: Request, attempt: int, parent: int | None) -> Begun:
        """The call's rows; packed here, so that the thread that writes does not do it for all."""
        batch = request.batch
        first, stop = (None, None) if batch is None else (batch.first, batch.stop)
        shown = None if batch is None else batch.shown
        url = request.url
        if shown is not None and self._hiding is not None:
            url = Echoes(self._hiding, shown.texts(), url).without(url)
        call = {
            "run_id": self._run_id,
            "route": None if batch is None else batch.route.name,
            "purpose": request.purpose,
            "parent_id": parent,
            "attempt": attempt,
            "first": first,
            "stop": stop,
            "started_at": self._clock.now(),
            "method": request.method,
            "url": self.masked(url),
            "request_headers": self._headers(request.headers, request.auth),
            "request_bytes": len(request.body),
            "auth": request.auth or None,
            "bodies": None if self._payloads and shown is None else REDACTED if self._payloads else OFF,
        }
        intent = None
        if batch is not None:
            intent = {"run_id": self._run_id, "route": batch.route.name, "first": first, "stop": stop}
            intent["attempt"] = attempt
        return Begun(call, self._body(request), intent, shown)

    def _headers(self, headers: Mapping[str, str], auth: str = "") -> str:
        """The headers as JSON, without secrets. Those of one call are most often those of the call before."""
        key = (auth, *headers.items())
        text = self._known_headers.get(key)
        if text is None:
            shown = self._redaction.headers(headers)
            if auth:
                shown[self._auth_header] = MASK
            if len(self._known_headers) >= _KNOWN_HEADERS:  # as with an id in each answer
                self._known_headers.clear()
            text = self._known_headers[key] = json.dumps(shown)
        return text

    def _body(self, request: Request) -> bytes | None:
        if not request.body or not self._payloads:
            return None
        body = request.shown_body
        return None if body is None else pack(self._redaction.content(body))

    def opened(self, begun: Begun) -> None:
        """Nothing, after remembering what the answer to the call may not repeat."""
        if begun.shown is not None:
            self._open[begun.id] = begun.shown

    def answer(self, call_id: int, reply: Reply | NoReply) -> Row:
        """The columns of what came back."""
        echoes = self._echoes_of(call_id, reply)
        if isinstance(reply, NoReply):
            return {
                "ms": reply.ms,
                "status": None,
                "response_headers": None,
                "response_bytes": None,
                "error": self.masked(reply.reason, call_id),
                "response_body": None,
            }
        headers, body = reply.headers, self._redaction.content(reply.body)
        if echoes:
            headers = {name: echoes.without(value) for name, value in headers.items()}
            body = echoes.without(body.decode(errors="replace")).encode()
        return {
            "ms": reply.ms,
            "status": reply.status,
            "response_headers": self._headers(headers),
            "response_bytes": len(reply.body),
            "error": None,
            "response_body": pack(cut(body)) if self._payloads else None,
        }

    def _echoes_of(self, call_id: int, reply: Reply | NoReply) -> Echoes | None:
        """What the answer repeats of the rows' redacted values; kept, because the reasons are made of the answer."""
        shown = self._open.pop(call_id, None)
        if shown is None or self._hiding is None:
            return None
        if isinstance(reply, NoReply):
            said = reply.reason
        else:
            said = "\n".join([reply.body.decode(errors="replace"), *reply.headers.values()])
        echoes = Echoes(self._hiding, shown.texts(), said)
        if echoes:
            self._echoes[call_id] = echoes
        return echoes

    def settled(self, part: Settled, call_id: int | None) -> Row:
        """The columns of what became of rows, by the reply to the call or to another one that the rows name."""
        return {
            "run_id": self._run_id,
            "route": part.route,
            "first": part.first,
            "stop": part.stop,
            "outcome": part.outcome.value,
            "reason": self.masked(part.reason, part.call_id if call_id is None else call_id),
            "cause": part.cause,
            "call_id": part.call_id,
            "attempts": part.attempts,
        }

    def masked(self, text: str | None, call_id: int | None = None) -> str | None:
        """The text as it may be stored; without a call, whatever any reply repeated is taken out of it."""
        if text is None:
            return None
        if self._echoes:
            known = self._echoes.get(call_id) if call_id is not None else None
            for echoes in [*self._echoes.values()] if known is None else [known]:
                text = echoes.without(text)
        return storable(self._redaction.text(text))

    def cleaned(self, error: DestinationError) -> DestinationError:
        """The error without what is redacted."""
        problem = error.problem
        message = self.masked(problem.message) or problem.message
        return DestinationError(message, slug=problem.slug, at=problem.at, hint=self.masked(problem.hint))


def storable(text: str) -> str:
    """The text without what no database takes: half a surrogate pair (JSON may hold one, escaped), and NUL."""
    return text.encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
