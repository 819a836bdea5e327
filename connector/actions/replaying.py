"""A logged call sent again: to a sandbox, or to the destination as it is configured today."""

from __future__ import annotations

import ipaddress
from contextlib import closing
from typing import TYPE_CHECKING, Literal, cast
from urllib.parse import urlsplit

from connector.errors import ConfigError
from connector.ports import Request
from connector.state.redaction import MASK
from connector.state.runs import RUNNING

if TYPE_CHECKING:
    from connector.project.definition import Definition
    from connector.project.settings import DestinationSettings
    from connector.run.means import Means
    from connector.state.calls import Call

To = Literal["sandbox", "destination"]
SANDBOX_URL = "http://127.0.0.1:8090"
PURPOSE = "replay"
TIMEOUT_S = 60.0


def replay(call: Call, definition: Definition, means: Means, *, to: To, url: str | None = None) -> Call:
    """The new call, with what came back; the log has it as a call of the same run that repeats the first one.

    To a sandbox (`url`: its address on this machine) it goes with the sandbox's own keys, never with yours. No row
    changes its outcome by it. Raises ConfigError: `replay-refused` where the log does not hold what was sent, or where
    the run still goes on, `replay-elsewhere` for an address that must not get the call.
    """
    run = means.history.runs.get(call.run_id)
    _refuse_unfit(call, running=run.status == RUNNING)
    entry = definition.destinations.get(run.destination)
    if entry is None:
        raise ConfigError(
            f"connector.yml has no destination '{run.destination}' any more, to which call {call.id} went",
            slug="replay-elsewhere",
            hint="name it again, or look at the call only",
        )
    system = means.destinations[entry.type]
    addresses = system.addresses(entry.settings)
    settings, target = entry.settings, call.url
    if to == "sandbox":
        sandbox = (url or SANDBOX_URL).rstrip("/")
        _refuse_far_away(sandbox)
        settings = system.in_sandbox(entry.settings, sandbox)
        target = sandbox + _path(call.url, addresses)
    elif not any(call.url.startswith(f"{address}/") for address in addresses):
        raise ConfigError(
            f"call {call.id} went to {_host(call.url)}, and destination '{entry.name}' is "
            f"{' and '.join(dict.fromkeys(map(_host, addresses)))} today",
            slug="replay-elsewhere",
            hint="today's key must not go to yesterday's address; replay it against a sandbox instead",
        )
    headers = {name: value for name, value in call.request_headers.items() if value != MASK}
    body = (call.request_body or "").encode()
    request = Request(call.method, target, call.auth or "", PURPOSE, body, headers, TIMEOUT_S)
    with closing(system.connect(settings)) as connection:
        journal = means.history.journal(call.run_id, secrets=connection.secrets)
        if to == "destination":
            ceiling = cast("DestinationSettings", entry.settings).max_requests_per_second
            rate = means.history.rate(entry.name, max_requests_per_second=ceiling, stop=means.stop)
            rate.acquire()
        call_id = journal.begin(request, attempt=1, parent=call.id)
        journal.answer(call_id, connection.send(request))
        journal.settle(call_id, "replayed", f"call {call.id} again, to the {to}")
        journal.flush()
    return means.history.calls.get(call_id)


def _refuse_unfit(call: Call, *, running: bool) -> None:
    """Nothing, when the log holds the call as it was sent."""
    sent = len((call.request_body or "").encode())
    if call.bodies == "redacted":
        why, hint = "its sync redacts values, so the log does not hold what was sent", "take `redact` out of the sync"
    elif sent != call.request_bytes:
        why, hint = (
            "its body is not kept as it was sent",
            "`store_payloads` of the sync decides whether bodies are kept",
        )
    elif call.auth is None and MASK in call.request_headers.values():
        why, hint = "an older connector logged it and did not note which key it was sent with", "run the sync again"
    elif running:
        why, hint = "its run still goes on", "wait until it has ended"
    else:
        return
    raise ConfigError(f"call {call.id} cannot be sent again: {why}", slug="replay-refused", hint=hint)


def _refuse_far_away(url: str) -> None:
    """Nothing, when the address is on this machine. What a call carries is not for others."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        near = host == "localhost" or ipaddress.ip_address(host).is_loopback
        port = parts.port
    except ValueError:
        near, port = False, None
    if parts.scheme in ("http", "https") and near and port != 0 and not parts.username:
        return
    raise ConfigError(
        f"'{url}' is not the address of a sandbox on this machine",
        slug="replay-elsewhere",
        hint="`connector sandbox` starts one and shows its address",
    )


def _path(url: str, addresses: tuple[str, ...]) -> str:
    """The part of the address behind the destination's own."""
    for address in addresses:
        if url.startswith(f"{address}/"):
            return url[len(address) :]
    parts = urlsplit(url)
    return parts.path + (f"?{parts.query}" if parts.query else "")


def _host(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
