"""Airflow 3: an operator that runs a sync, here or on `connector serve`.

    SyncOperator(task_id="health", sync="account_health", project="/srv/pendo")             a child process runs it
    SyncOperator(task_id="health", sync="account_health", connection_id="connector")        the server runs it
    SyncOperator(task_id="health", sync="account_health", connection_id="connector", deferrable=True)

The return value (XCom) is the result of the run as `connector run --json` prints it; `status`, `exit_code` and
`counts` are XComs of their own, pushed for a run that failed, too.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import httpx
from airflow.sdk import BaseHook, BaseOperator  # type: ignore[import-not-found]
from airflow.sdk.exceptions import AirflowException, AirflowFailException  # type: ignore[import-not-found]
from airflow.triggers.base import BaseTrigger, TriggerEvent  # type: ignore[import-not-found]

from connector.errors import ConfigError, ConnectorError
from connector.integrations.child import CONNECTOR, ChildRun
from connector.integrations.ends import FOR_GOOD, End
from connector.integrations.server import ENDED, AwayError, Patience, Server, away, cancel_path, read, run_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

CONNECTION_ID = "connector_default"
POLL_S = 5.0


class SyncOperator(BaseOperator):  # type: ignore[misc]
    """Runs one sync and waits for its end.

    With `project`, the folder of a project on the worker, a child process runs the sync; `command` is how the connector
    is started, where it is installed elsewhere. Without it, the server behind the Airflow connection `connection_id`
    (host, port, schema; the token is the password) runs it, and with `deferrable` the triggerer waits.

    A warning (some rows were not delivered, and the next run offers them again) is a success unless `fail_on_warning`.
    A held or cancelled run fails the task for good: no retry. A task that is killed cancels its run: requests under
    way are finished, and everything is settled.
    """

    template_fields: Sequence[str] = ("sync", "project", "connection_id", "row")
    ui_color = "#f4d5e5"

    def __init__(  # noqa: PLR0913 - each is an option
        self,
        *,
        sync: str,
        project: str | Path | None = None,
        connection_id: str = CONNECTION_ID,
        deferrable: bool = False,
        full_resync: bool = False,
        row: str | None = None,
        limit: int | None = None,
        force: bool = False,
        fail_on_warning: bool = False,
        poll_s: float = POLL_S,
        command: Sequence[str] = CONNECTOR,
        **kwargs: Any,
    ) -> None:
        """Take the options of `connector run`; `row`, `limit` and `force` are for runs with `project`."""
        super().__init__(**kwargs)
        self.sync = sync
        self.project = None if project is None else str(project)
        self.connection_id = connection_id
        self.deferrable = deferrable
        self.full_resync = full_resync
        self.row = row
        self.limit = limit
        self.force = force
        self.fail_on_warning = fail_on_warning
        self.poll_s = poll_s
        self.command = list(command)
        if project is not None and deferrable:
            msg = "a run in a child process cannot be deferred: leave out project, or deferrable"
            raise ValueError(msg)
        if project is None and (row is not None or limit is not None or force):
            msg = "row, limit and force are for runs with project"
            raise ValueError(msg)
        self._child: ChildRun | None = None
        self._asked: tuple[Server, str] | None = None

    def execute(self, context: Any) -> dict[str, Any]:
        """The result of the run. Raises AirflowException when it failed."""
        try:
            if self.project is not None:
                return self._ended(context, self._run_here(self.project))
            return self._ended(context, self._run_there())
        except ConfigError as error:
            raise AirflowFailException(str(error)) from error
        except ConnectorError as error:
            raise AirflowException(str(error)) from error

    def resume(self, context: Any, event: dict[str, Any]) -> dict[str, Any]:
        """The result of the run that the triggerer has waited for. Raises AirflowException when it failed."""
        if "result" not in event:
            raise AirflowException(event["error"])
        return self._ended(context, End(event["result"]))

    def on_kill(self) -> None:
        """Nothing, after asking the run to stop; a deferred task's trigger does that itself."""
        if self._child is not None:
            self._child.interrupt()
        if self._asked is not None:
            server, number = self._asked
            server.cancel(number)

    def _run_here(self, project: str) -> End:
        self._child = ChildRun(project, self.sync, options=self._options(), say=self.log.info, command=self.command)
        return self._child.end()

    def _run_there(self) -> End:
        server = server_of(BaseHook.get_connection(self.connection_id))
        number = server.trigger(self.sync, full_resync=self.full_resync)
        self.log.info("run %s of '%s' asked for at %s", number, self.sync, server.url)
        if self.deferrable:
            self.defer(trigger=SyncTrigger(self.connection_id, number, self.poll_s), method_name=self.resume.__name__)
        self._asked = (server, number)
        patience = Patience()
        while True:
            try:
                result = server.run(number)
                patience.rest()
            except AwayError as error:
                patience.spend(error)
            else:
                if result["status"] in ENDED:
                    return End(result)
            time.sleep(self.poll_s)

    def _options(self) -> list[str]:
        flags = {"--full-resync": self.full_resync, "--force": self.force}
        values = {"--row": self.row, "--limit": self.limit}
        given = [flag for flag, wanted in flags.items() if wanted]
        return given + [f"{name}={value}" for name, value in values.items() if value is not None]

    def _ended(self, context: Any, end: End) -> dict[str, Any]:
        for key, value in (("status", end.status), ("exit_code", end.exit_code), ("counts", end.counts)):
            context["ti"].xcom_push(key=key, value=value)
        if end.is_good(fail_on_warning=self.fail_on_warning):
            self.log.info(end.sentence)
            return dict(end.result)
        raise (AirflowFailException if end.status in FOR_GOOD else AirflowException)(end.sentence)


class SyncTrigger(BaseTrigger):  # type: ignore[misc]
    """Waits in the triggerer for the end of a run on the server. Its event has the run's `result`, or an `error`."""

    def __init__(self, connection_id: str, number: str, poll_s: float = POLL_S) -> None:
        """Look at the run with this number every `poll_s` seconds."""
        super().__init__()
        self.connection_id = connection_id
        self.number = number
        self.poll_s = poll_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """What makes the same trigger elsewhere; the token stays in the connection."""
        values = {"connection_id": self.connection_id, "number": self.number, "poll_s": self.poll_s}
        return f"{type(self).__module__}.{type(self).__qualname__}", values

    async def run(self) -> AsyncIterator[Any]:
        """One event, when the run has ended or the server is away for too long."""
        patience = Patience()
        try:
            server = server_of(await BaseHook.aget_connection(self.connection_id))
            async with httpx.AsyncClient(**server.options()) as client:
                result = await self._look(client, patience)
                while result is None:
                    await asyncio.sleep(self.poll_s)
                    result = await self._look(client, patience)
        except ConnectorError as error:
            yield TriggerEvent({"error": str(error)})
        else:
            yield TriggerEvent({"result": result})

    async def on_kill(self) -> None:
        """Nothing, after asking the server to stop the run: a user has cleared the task or marked it as failed."""
        server = server_of(await BaseHook.aget_connection(self.connection_id))
        async with httpx.AsyncClient(**server.options()) as client:
            await client.post(cancel_path(self.number))

    async def _look(self, client: httpx.AsyncClient, patience: Patience) -> dict[str, Any] | None:
        """The run's result, or None while it goes on."""
        try:
            try:
                found = read(await client.get(run_path(self.number)))
            except httpx.TransportError as error:
                raise away(error, str(client.base_url)) from error
        except AwayError as error:
            patience.spend(error)
            return None
        patience.rest()
        return found if found["status"] in ENDED else None


def server_of(connection: Any) -> Server:
    """The server behind an Airflow connection: its host may hold `http://`, or its schema says so."""
    host = connection.host or "127.0.0.1"
    if "://" not in host:
        host = f"{connection.schema or 'http'}://{host}"
    port = f":{connection.port}" if connection.port else ""
    return Server(host.rstrip("/") + port, connection.password or None)
