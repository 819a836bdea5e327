"""What the buttons do. Runs are asked for here and go on elsewhere; only a replay sends something by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

from connector.actions.figures import counted
from connector.errors import ConfigError
from connector.serve.pages.frame import said
from connector.serve.security import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from connector.api import Project
    from connector.serve.pages.frame import Frame

    Act = Callable[[Frame, str, dict[str, str]], Response]


def routes(frame: Frame) -> list[BaseRoute]:
    """The routes of everything that changes something."""

    def route(path: str, act: Act) -> BaseRoute:
        async def endpoint(request: Request) -> Response:
            form = {name: str(value) for name, value in (await request.form()).items()}
            return await run_in_threadpool(act, frame, request.path_params["name"], form)

        return Route(path, endpoint, methods=["POST"])

    return [
        route("/syncs/{name}/run", run),
        route("/syncs/{name}/withdraw", withdraw),
        route("/syncs/{name}/pause", pause),
        route("/syncs/{name}/resume", resume),
        route("/syncs/{name}/retry", retry),
        route("/syncs/{name}/release", release),
        route("/syncs/{name}/quarantine", quarantine),
        route("/runs/{name}/cancel", cancel),
        route("/calls/{name}/replay", replay),
    ]


def run(frame: Frame, name: str, form: dict[str, str]) -> Response:
    """The answer after a run was asked for; the page goes to it."""
    frame.shelf.sync(name)
    options: dict[str, Any] = {flag: True for flag in ("full_resync", "resend_events", "force") if form.get(flag)}
    if form.get("row"):
        options["row"] = form["row"]
    trigger = frame.history.triggers.ask(name, trigger="web", options=options)
    if form.get("stay"):
        return said(f"a run of {name} waits to be started")
    return Response(status_code=204, headers={"hx-redirect": f"/runs/{trigger.run_id}"})


def withdraw(frame: Frame, name: str, _form: dict[str, str]) -> Response:
    """The answer after taking back the runs that wait."""
    taken = [trigger for trigger in frame.history.triggers.waiting(name) if frame.history.triggers.withdraw(trigger.id)]
    return said(f"{counted(len(taken), 'waiting run')} of {name} taken back")


def pause(frame: Frame, name: str, _form: dict[str, str]) -> Response:
    """The answer after pausing the sync's schedule."""
    frame.shelf.sync(name)
    frame.history.pauses.pause(name)
    return said(f"{name} is paused: its schedule starts nothing")


def resume(frame: Frame, name: str, _form: dict[str, str]) -> Response:
    """The answer after the sync's schedule goes on."""
    frame.history.pauses.resume(name)
    return said(f"{name} runs by its schedule again")


def cancel(frame: Frame, name: str, _form: dict[str, str]) -> Response:
    """The answer after asking a run to stop. Raises ConfigError when it has ended."""
    found = frame.history.runs.get(name)
    if found.status != "running":
        raise ConfigError(
            f"run {name} has ended: {found.status}", slug="run-has-ended", hint="there is nothing to stop"
        )
    frame.history.cancels.ask(name)
    return said("the run stops within about a second; what was sent is settled", "cancelled")


def retry(frame: Frame, name: str, form: dict[str, str]) -> Response:
    """The answer after rows start again with no attempt counted against them."""
    with frame.serving.project() as project:
        count = project.retry(name, key=form.get("key") or None)
    return said(f"{counted(count, 'row')} will be offered by the next run")


def release(frame: Frame, name: str, form: dict[str, str]) -> Response:
    """The answer after held and quarantined rows were let go."""
    with frame.serving.project() as project:
        count = project.release(name, key=form.get("key") or None, drop=bool(form.get("drop")))
    done = "count as sent" if form.get("drop") else "will be offered by the next run"
    return said(f"{counted(count, 'row')} {done}")


def quarantine(frame: Frame, name: str, form: dict[str, str]) -> Response:
    """The answer after a rejected row was taken out of the runs to come."""
    from connector.actions.undelivered import quarantine as put_away  # noqa: PLC0415 - named like its page

    with frame.serving.project() as project:
        count = put_away(project.sync(name), project.means(), key=form.get("key") or None)
    return said(f"{counted(count, 'row')} will not be offered until released or changed", "quarantined")


def replay(frame: Frame, name: str, form: dict[str, str]) -> Response:
    """The answer after a call was made once more; the page goes to the new call. Raises ConfigError."""
    if not name.isdecimal():
        raise ConfigError(f"there is no call '{name}'", slug="unknown-call")
    with frame.serving.project() as project:
        if form.get("to") == "destination":
            call = project.replay(int(name), "destination")
        else:
            call = project.replay(int(name), "sandbox", url=_sandbox(project, int(name)))
    return Response(status_code=204, headers={"hx-redirect": f"/calls/{call.id}"})


def _sandbox(project: Project, call_id: int) -> str | None:
    """Where the call's destination already is a sandbox on this machine, its address; None for the usual one."""
    run = project.history.runs.get(project.history.calls.get(call_id).run_id)
    entry = project.definition.destinations.get(run.destination)
    address = getattr(entry.settings, "base_url", None) if entry is not None else None
    return address if address and is_loopback(urlsplit(address).hostname or "") else None
