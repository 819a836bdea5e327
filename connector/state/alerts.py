"""What is known of the troubles of syncs, who is to be told, and who was: durable, so that nobody is told twice.

    message: waiting ──claim──► (leased) ──sent──► sent
                ▲                  │
                └──── failed ──────┘──────────────► given up

A message that was claimed and never settled, because its process died, is claimed again when its lease is over.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

from sqlalchemy import delete, insert, select, update

from connector.state.tables import alert_messages, alert_mutes, alert_states

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from sqlalchemy import Connection

    from connector.ports import Clock
    from connector.state.database import Database

Level = Literal["ok", "warning", "critical"]
MessageState = Literal["waiting", "sent", "given up"]
KEEP_S = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class AlertState:
    """One sync and one condition. `count` is how often in a row it was found, `since` when the trouble began.

    `told` is the level that the channels were told last: while a sync is muted it stays behind. Times are seconds since
    1970; `finding` is what was found last, as JSON.
    """

    sync: str
    condition: str
    level: Level
    told: Level
    count: int
    since: float
    changed_at: float
    finding: dict[str, Any]


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to be sent to one channel. `kind` is alert, event or test; `content` is what it says, as JSON."""

    channel: str
    kind: str
    sync: str
    condition: str
    content: Mapping[str, Any]
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class AlertMessage:
    """A message as the history holds it. `delivery` is its own name for ever, so that a receiver knows it again."""

    id: int
    delivery: str
    channel: str
    kind: str
    sync: str
    condition: str
    run_id: str | None
    content: dict[str, Any]
    state: MessageState
    created_at: float
    next_at: float
    attempts: int
    leased_until: float | None
    settled_at: float | None
    error: str | None


Decision = tuple["Iterable[AlertState]", "Iterable[NewMessage]"]


class AlertStore:
    """States, mutes and messages of one state directory."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    # --- states ------------------------------------------------------------------------------------------------------

    def states(self, sync: str | None = None) -> tuple[AlertState, ...]:
        """What is known of one sync or of all, by sync and condition."""
        with self._database.read() as connection:
            return tuple(_states(connection, sync))

    def decide(self, sync: str, decision: Callable[[Mapping[str, AlertState], bool], Decision]) -> None:
        """Nothing, after writing down what `decision` makes of the sync's states by condition and of its being muted.

        Nobody else changes anything in between, and states and messages are written together or not at all.
        """
        with self._database.write() as connection:
            before = {state.condition: state for state in _states(connection, sync)}
            muted = sync in self._muted(connection)
            states, messages = decision(before, muted)
            for state in states:
                where = (alert_states.c.sync == sync, alert_states.c.condition == state.condition)
                connection.execute(delete(alert_states).where(*where))
                connection.execute(insert(alert_states).values(asdict(state)))
            self._queue(connection, messages)

    def forget(self, sync: str) -> None:
        """Nothing, after forgetting what is known of a sync that there is not any more."""
        with self._database.write() as connection:
            connection.execute(delete(alert_states).where(alert_states.c.sync == sync))

    # --- mutes -------------------------------------------------------------------------------------------------------

    def mute(self, sync: str, until: float) -> None:
        """Nothing, after muting the sync until that moment: nobody is told anything of it."""
        with self._database.write() as connection:
            connection.execute(delete(alert_mutes).where(alert_mutes.c.sync == sync))
            connection.execute(insert(alert_mutes).values(sync=sync, until=until))

    def unmute(self, sync: str) -> bool:
        """Whether the sync was muted; it is not any more."""
        with self._database.write() as connection:
            muted = sync in self._muted(connection)
            connection.execute(delete(alert_mutes).where(alert_mutes.c.sync == sync))
            return muted

    def mutes(self) -> dict[str, float]:
        """Until when each muted sync is muted."""
        with self._database.read() as connection:
            return self._muted(connection)

    def _muted(self, connection: Connection) -> dict[str, float]:
        query = select(alert_mutes.c.sync, alert_mutes.c.until).where(alert_mutes.c.until > self._clock.now())
        return {str(sync): float(until) for sync, until in connection.execute(query)}

    # --- messages ----------------------------------------------------------------------------------------------------

    def queue(self, messages: Sequence[NewMessage]) -> None:
        """Nothing, after noting that these are to be sent."""
        if messages:
            with self._database.write() as connection:
                self._queue(connection, messages)

    def claim(self, lease_s: float, *, without: Collection[str] = ()) -> AlertMessage | None:
        """The oldest message that may be sent now, leased to the caller; None when there is none.

        Channels in `without` are left out. What is said of one sync and condition, or of one run, is said in its order:
        a message waits for the ones before it to the same channel.
        """
        now = self._clock.now()
        with self._database.read() as connection:
            # Nearly always there is nothing, and then nobody has to wait for the right to write.
            query = select(alert_messages.c.id).where(alert_messages.c.state == "waiting")
            if connection.execute(query.limit(1)).first() is None:
                return None
        with self._database.write() as connection:
            ahead: set[tuple[str | None, ...]] = set()
            for message in _messages(connection, alert_messages.c.state == "waiting"):
                about = message.run_id if message.kind == "event" else message.condition
                topic = (message.channel, message.kind, message.sync, about)
                leased = message.leased_until is not None and message.leased_until > now
                if message.channel in without or leased or message.next_at > now or topic in ahead:
                    ahead.add(topic)
                    continue
                taken = {"leased_until": now + lease_s, "attempts": message.attempts + 1}
                connection.execute(update(alert_messages).where(alert_messages.c.id == message.id).values(taken))
                return AlertMessage(**asdict(message) | taken)
        return None

    def sent(self, message_id: int) -> None:
        """Nothing, after noting that the message was sent now."""
        self._settle(message_id, {"state": "sent", "settled_at": self._clock.now(), "error": None})

    def failed(self, message_id: int, error: str, *, again_at: float) -> None:
        """Nothing, after noting why it was not sent, and when it is tried again."""
        self._settle(message_id, {"error": error, "next_at": again_at})

    def give_up(self, channel: str, before: float, error: str) -> int:
        """How many messages to this channel that were written before that moment are never tried again."""
        old = (alert_messages.c.channel == channel, alert_messages.c.state == "waiting")
        values = {"state": "given up", "settled_at": self._clock.now(), "error": error, "leased_until": None}
        with self._database.write() as connection:
            statement = update(alert_messages).where(*old, alert_messages.c.created_at < before)
            return connection.execute(statement.values(values)).rowcount

    def waiting(self) -> tuple[AlertMessage, ...]:
        """The messages that are still to be sent, the oldest first."""
        with self._database.read() as connection:
            return tuple(_messages(connection, alert_messages.c.state == "waiting"))

    def messages(self, *, run_id: str | None = None, limit: int = 100) -> tuple[AlertMessage, ...]:
        """The messages about one run or about all, the newest first."""
        query = select(alert_messages).order_by(alert_messages.c.id.desc()).limit(limit)
        if run_id is not None:
            query = query.where(alert_messages.c.run_id == run_id)
        with self._database.read() as connection:
            return tuple(AlertMessage(**row) for row in connection.execute(query).mappings())

    def prune(self) -> int:
        """How many messages that were settled a month ago were forgotten."""
        old = alert_messages.c.settled_at < self._clock.now() - KEEP_S
        with self._database.write() as connection:
            return connection.execute(delete(alert_messages).where(old)).rowcount

    def _settle(self, message_id: int, values: Mapping[str, Any]) -> None:
        statement = update(alert_messages).where(alert_messages.c.id == message_id)
        with self._database.write() as connection:
            connection.execute(statement.values({**values, "leased_until": None}))

    def _queue(self, connection: Connection, messages: Iterable[NewMessage]) -> None:
        now = self._clock.now()
        for message in messages:
            values = asdict(message) | {
                "content": dict(message.content),
                "delivery": f"msg_{uuid4().hex}",
                "state": "waiting",
                "created_at": now,
                "next_at": now,
                "attempts": 0,
            }
            connection.execute(insert(alert_messages).values(values))


def _states(connection: Connection, sync: str | None) -> Iterable[AlertState]:
    query = select(alert_states).order_by(alert_states.c.sync, alert_states.c.condition)
    if sync is not None:
        query = query.where(alert_states.c.sync == sync)
    return [AlertState(**row) for row in connection.execute(query).mappings()]


def _messages(connection: Connection, condition: Any) -> Iterable[AlertMessage]:
    query = select(alert_messages).where(condition).order_by(alert_messages.c.id)
    return [AlertMessage(**row) for row in connection.execute(query).mappings()]
