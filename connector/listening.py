"""Sockets of servers on this machine."""

from __future__ import annotations

import socket

from connector.errors import ConfigError


def listen(host: str, port: int, *, who: str, hint: str) -> socket.socket:
    """A socket that takes connections from now on, even before a server does; port 0 is any free one.

    Raises ConfigError `port-unavailable`, which says `who` cannot listen.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol left at 0, asyncio does not set TCP_NODELAY, and every answer with a body waits for 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host.strip("[]"), port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"{who} cannot listen on {host}:{port}: {error.strerror or error}", slug="port-unavailable", hint=hint
        ) from None
    return listener


def url_of(listener: socket.socket) -> str:
    """The address at which it listens, without a slash at its end."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
