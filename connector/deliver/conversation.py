"""The calls before the first row: the same attempts, log and limits as for rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, assert_never

from connector.deliver.attempt import Attempts, Means, given_up_after, reason_of, verdict_name
from connector.errors import DestinationError
from connector.ports import Fault, Judged, Refused, Reply, TryAgain, Unknown

if TYPE_CHECKING:
    import threading
    from collections.abc import Generator
    from random import Random

    from connector.deliver.attempt import Answer
    from connector.deliver.policy import Policy
    from connector.ports import Clock, Destination, Journal, Limiter, Request

ResultT = TypeVar("ResultT")


def converse(
    generator: Generator[Request, Reply, ResultT],
    destination: Destination,
    journal: Journal,
    limiter: Limiter,
    clock: Clock,
    random: Random,
    policy: Policy,
    stop: threading.Event,
) -> ResultT | None:
    """What the conversation comes to, or None when `stop` was set before its end.

    Each request is attempted as often as the policy allows; its reply is sent into the generator. Where none comes,
    DestinationError is thrown into it: the fault's own slug, or `destination-unavailable` after the last attempt.
    """
    attempts = Attempts(Means(destination, journal, limiter, clock, random, policy), stop.is_set)
    try:
        request = next(generator)
        while True:
            answer = attempts.make(request)
            if answer.open and answer.verdict is not None:
                journal.settle(answer.call_id, verdict_name(answer.verdict), reason_of(answer.verdict))
            if answer.stopped:
                generator.close()
                return None
            error = _error(answer)
            if error is not None:
                request = generator.throw(error)
            elif isinstance(answer.reply, Reply):
                request = generator.send(answer.reply)
    except StopIteration as end:
        result: ResultT = end.value
        return result
    finally:
        journal.flush()


def _error(answer: Answer) -> DestinationError | None:
    """Why the call has no reply to go on with."""
    verdict, purpose = answer.verdict, answer.request.purpose
    match verdict:
        case Judged() | None:
            return None
        case TryAgain() | Unknown():
            return DestinationError(
                f"{purpose}: {verdict.reason} ({given_up_after(answer.attempts)})",
                slug="destination-unavailable",
                hint="nothing was sent yet: try again later; the calls are in the API call log",
            )
        case Refused():
            return DestinationError(
                f"{purpose}: {verdict.reason}",
                slug="destination-refused",
                hint="nothing was sent yet; the call is in the API call log",
            )
        case Fault():
            return DestinationError(verdict.message, slug=verdict.slug, hint=verdict.hint)
        case _:
            assert_never(verdict)
