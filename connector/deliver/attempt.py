"""One request, sent as often as the policy allows: turn, intent, call, answer, verdict, wait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from tenacity import Retrying, retry_if_result

from connector.failpoints import reach
from connector.ports import Fault, Judged, NoReply, Refused, TryAgain, Unknown
from connector.state.clock import pause

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from tenacity import RetryCallState

    from connector.deliver.policy import Policy
    from connector.ports import Clock, Destination, Journal, Limiter, Reply, Request, Route, Verdict


@dataclass(frozen=True, slots=True)
class Means:
    """What delivery works with."""

    destination: Destination
    journal: Journal
    limiter: Limiter
    clock: Clock
    random: Random
    policy: Policy


@dataclass(slots=True)
class Answer:
    """What came of a request after all its attempts.

    `reply` and `verdict` are those of the last attempt, None when none was begun. While `open`, the last call waits
    for its `Journal.settle`. `stopped`: the run ended before the attempts were used up; `exhausted`: they were.
    `in_doubt`: some attempt may have been applied. `reached`: some attempt may have arrived.
    """

    request: Request
    route: Route | None = None
    parent: int | None = None
    reply: Reply | NoReply | None = None
    verdict: Verdict | None = None
    call_id: int | None = None
    attempts: int = 0
    open: bool = False
    stopped: bool = False
    exhausted: bool = False
    in_doubt: bool = False
    reached: bool = False


class Attempts:
    """Sends requests and counts them. Each worker has its own."""

    def __init__(self, means: Means, ended: Callable[[], bool]) -> None:
        """Send until `ended()`."""
        self._destination = means.destination
        self._journal = means.journal
        self._limiter = means.limiter
        self._clock = means.clock
        self._random = means.random
        self._policy = means.policy
        self._ended = ended
        self.sent = 0
        self.retried = 0
        self.split = 0

    def make(self, request: Request, route: Route | None = None, parent: int | None = None) -> Answer:
        """The answer to `request`, its last call not settled yet. A request with a `parent` is a part of that call's.

        An exception of the destination leaves the call logged and unsettled: its rows are in doubt.
        """
        answer = Answer(request, route, parent)
        self._once(answer)
        self.pursue(answer)
        return answer

    def pursue(self, answer: Answer) -> None:
        """Nothing, after as many further attempts as are worth it; blocks while they wait."""
        if self.is_worth_another(answer):
            self._again(answer)

    def begin_all(self, answers: Sequence[Answer]) -> None:
        """Nothing, when the first attempts of all these are durable as intended; their turns have come."""
        for _ in answers:
            reach("before-intent")
        call_ids = self._journal.begin_all([answer.request for answer in answers])
        for answer, call_id in zip(answers, call_ids, strict=True):
            self._begun(answer, call_id)

    def arrived(self, answer: Answer, call_id: int, reply: Reply | NoReply) -> None:
        """Nothing, after noting what came back from the attempt under way, and what it means."""
        reach("before-answer")
        self._journal.answer(call_id, reply)
        reach("before-verdict")
        answer.reply, answer.verdict = reply, self._judge(answer, reply)

    def broke(self, call_id: int, defect: BaseException) -> None:
        """Nothing, after noting that the attempt under way ended in the connector: nobody knows what came of it."""
        reply = NoReply(f"{type(defect).__name__} in the connector", maybe_applied=True, ms=0.0)
        self._journal.answer(call_id, reply)

    def _once(self, answer: Answer) -> None:
        """Nothing, after one attempt, or after marking the answer as stopped."""
        if self._ended() or not self._limiter.acquire(answer.route) or self._ended():
            answer.stopped = True
            return
        journal, request, last_id = self._journal, answer.request, answer.call_id
        parent = answer.parent if last_id is None else last_id
        reach("before-intent")
        call_id = journal.begin(request, attempt=answer.attempts + 1, parent=parent)
        reach("before-send")
        if answer.open and answer.verdict is not None:
            # A doubt stays open until the next intent stands, so that a crash meanwhile leaves it as one.
            journal.settle(last_id, verdict_name(answer.verdict), reason_of(answer.verdict))
        self._begun(answer, call_id)
        try:
            reply = self._destination.send(request)
        except BaseException as defect:
            self.broke(call_id, defect)
            raise
        self.arrived(answer, call_id, reply)

    def _begun(self, answer: Answer, call_id: int) -> None:
        answer.call_id, answer.open = call_id, True
        answer.attempts += 1
        self.sent += 1
        self.retried += answer.attempts > 1
        self.split += answer.parent is not None

    def _judge(self, answer: Answer, reply: Reply | NoReply) -> Verdict:
        if isinstance(reply, NoReply):
            verdict: Verdict = Unknown(reply.reason) if reply.maybe_applied else TryAgain(reply.reason)
            answer.reached = answer.reached or reply.maybe_applied
        else:
            verdict = self._destination.judge(answer.request, reply)
            answer.reached = True
        match verdict:
            case Judged():
                self._limiter.went_well()
            case TryAgain(after_s=after_s, slow_down=True):
                # A wish that ends our own attempts must not park every other worker for as long.
                bearable = after_s is not None and after_s <= self._policy.max_retry_s
                self._limiter.slow_down(after_s if bearable else None)
            case Unknown():
                answer.in_doubt = True
            case TryAgain() | Refused() | Fault():
                pass
            case _:
                assert_never(verdict)
        return verdict

    def is_worth_another(self, answer: Answer) -> bool:
        """True when the last attempt settled nothing and the same request may go out again."""
        match answer.verdict:
            case TryAgain():
                return not answer.stopped
            case Unknown():
                safe = answer.route is None or answer.route.repeatable or self._policy.in_doubt == "resend"
                return safe and not answer.stopped
            case None | Judged() | Refused() | Fault():
                return False
            case _:
                assert_never(answer.verdict)

    def _again(self, answer: Answer) -> None:
        """Nothing, after further attempts; the first one has been made and is only counted here."""
        began_s = self._clock.monotonic()
        made = iter((answer,))

        def attempt() -> Answer:
            if next(made, None) is None:
                self._once(answer)
            return answer

        def is_over(state: RetryCallState) -> bool:
            spent_s = self._clock.monotonic() - began_s + state.upcoming_sleep
            return answer.attempts >= self._policy.attempts or spent_s > self._policy.max_retry_s

        def give_up(_: RetryCallState) -> Answer:
            answer.exhausted = True
            return answer

        def sleep(seconds: float) -> None:
            pause(self._clock, self._clock.monotonic() + seconds, self._ended)

        retrying = Retrying(
            sleep=sleep,
            wait=lambda _: self._wait_s(answer),
            stop=is_over,
            retry=retry_if_result(self.is_worth_another),
            before_sleep=lambda _: self._before_waiting(answer),
            retry_error_callback=give_up,
        )
        retrying(attempt)

    def _wait_s(self, answer: Answer) -> float:
        """Seconds before the next attempt: exponential with full jitter over a least wait, or what was asked for.

        Source of the least wait: pendo-api.md 1.5 (retry after at least one second).
        """
        policy = self._policy
        ceiling_s = min(policy.max_wait_s, policy.base_wait_s * 2.0**answer.attempts)
        wait_s = self._random.uniform(policy.base_wait_s, max(policy.base_wait_s, ceiling_s))
        wish_s = answer.verdict.after_s if isinstance(answer.verdict, TryAgain) else None
        return wait_s if wish_s is None else max(wait_s, wish_s)

    def _before_waiting(self, answer: Answer) -> None:
        """Nothing, when all that is certain is durable: the wait may be long."""
        # A doubt that an earlier attempt left stays open, whatever this one was told.
        if isinstance(answer.verdict, TryAgain) and not answer.in_doubt:
            self._journal.settle(answer.call_id, verdict_name(answer.verdict), answer.verdict.reason)
            answer.open = False
        self._journal.flush()


def verdict_name(verdict: Verdict) -> str:
    """What the API call log calls a verdict."""
    match verdict:
        case Judged():
            return "judged"
        case Refused():
            return "refused"
        case TryAgain():
            return "try_again"
        case Unknown():
            return "unknown"
        case Fault():
            return "fault"
        case _:
            assert_never(verdict)


def reason_of(verdict: Verdict) -> str | None:
    """Why, in words, where the verdict says so."""
    match verdict:
        case Judged():
            return verdict.note
        case Refused() | TryAgain() | Unknown():
            return verdict.reason
        case Fault():
            return verdict.message
        case _:
            assert_never(verdict)


def given_up_after(attempts: int) -> str:
    """How often was tried, in words."""
    return f"given up after {attempts} attempt{'' if attempts == 1 else 's'}"
