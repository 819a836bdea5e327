"""Traces of runs for OpenTelemetry: a span a run, one a step, and one an API call.

Off, and costing nothing, unless `telemetry: endpoint` of connector.yml or OTEL_EXPORTER_OTLP_ENDPOINT says where to.
The spans of a run are sent in one go when it has ended: a collector that is down costs a run a few seconds at its end.
"""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from connector.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import Span, Tracer

    from connector.ports import Clock, Outcome
    from connector.project.definition import Sync
    from connector.project.telemetry_settings import TelemetrySettings
    from connector.run.means import Options
    from connector.run.progress import Progress
    from connector.state.calls import Call
    from connector.state.history import History
    from connector.state.runs import Run

EXTRA = "pip install 'pendo-connector[telemetry]'"
VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
TRACES = "/v1/traces"
TIMEOUT_S = 5
BAD_STATUS = 400


def endpoint_of(settings: TelemetrySettings, environ: Mapping[str, str] | None = None) -> str | None:
    """The address that traces are posted to, or None where nobody wants any."""
    environ = os.environ if environ is None else environ
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none":
        return None
    whole = environ.get(VARIABLES[0])
    if whole:
        return whole
    base = settings.endpoint or environ.get(VARIABLES[1])
    return None if not base else base.rstrip("/").removesuffix(TRACES) + TRACES


@dataclass(slots=True)
class RunTrace:
    """The trace of one run: tell it of the steps (it is a Progress), and of the run that came of it.

    `problem` says why the trace was not sent, once it should have been.
    """

    progress: Progress
    problem: Problem | None = None
    _clock: Clock | None = None
    _tracer: Tracer | None = None
    _root: Span | None = None
    _step: Span | None = None
    _steps: list[tuple[str, float, Span]] = field(default_factory=list)

    def step(self, name: str, rows: int | None) -> None:
        """Nothing, after passing it on, and beginning the span of this step."""
        self.progress.step(name, rows)
        self.end_step()
        if self._tracer is not None and self._clock is not None and self._root is not None:
            from opentelemetry.trace import set_span_in_context  # noqa: PLC0415 - an extra

            now = self._clock.now()
            attributes = {} if rows is None else {"connector.rows": rows}
            context = set_span_in_context(self._root)
            self._step = self._tracer.start_span(name, context, start_time=_ns(now), attributes=attributes)
            self._steps.append((name, now, self._step))

    def rows(self, outcome: Outcome, count: int) -> None:
        """Nothing, after passing it on."""
        self.progress.rows(outcome, count)

    def end_step(self) -> None:
        """Nothing, after ending the span of the step that goes on, if any."""
        if self._step is not None and self._clock is not None:
            self._step.end(_ns(self._clock.now()))
            self._step = None

    def ended(self, run: Run, calls: Iterator[Call]) -> None:
        """Nothing, after noting how the run ended, and the calls it made."""
        if self._root is None or self._tracer is None:
            return
        self.end_step()
        self._root.set_attributes(_attributes(run))
        if run.error is not None:
            self._fail(f"{run.error['slug']}: {run.error['message']}")
        for call in calls:
            self._call(call)

    def refused(self, problem: Problem) -> None:
        """Nothing, after noting why there is no finished run."""
        if self._root is not None:
            self.end_step()
            self._root.set_attribute("connector.error", problem.slug)
            self._fail(f"{problem.slug}: {problem.message}")

    def _fail(self, words: str) -> None:
        from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415 - an extra

        if self._root is not None:
            self._root.set_status(Status(StatusCode.ERROR, words))

    def _call(self, call: Call) -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context  # noqa: PLC0415 - an extra

        if self._tracer is None or self._root is None:
            return
        parents = [span for _, at, span in self._steps if at <= call.started_at]
        parent = set_span_in_context(parents[-1] if parents else self._root)
        span = self._tracer.start_span(
            f"{call.method} {urlsplit(call.url).path}",
            parent,
            SpanKind.CLIENT,
            attributes=_of_call(call),
            start_time=_ns(call.started_at),
        )
        if call.status is None or call.status >= BAD_STATUS:
            span.set_status(Status(StatusCode.ERROR, call.reason or call.error))
        span.end(_ns(call.started_at + (call.ms or 0) / 1000))


@contextmanager
def traced(
    settings: TelemetrySettings, sync: Sync, options: Options, progress: Progress, clock: Clock
) -> Iterator[RunTrace | None]:
    """The trace of a run, sent at the end of the block; None where nobody wants one."""
    endpoint = endpoint_of(settings)
    if endpoint is None:
        yield None
        return
    trace = RunTrace(progress)
    try:
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import (  # noqa: PLC0415 - an extra
            InMemorySpanExporter,
        )
    except ImportError:
        message = "traces need the packages of OpenTelemetry, which are not installed"
        trace.problem = Problem(message, "telemetry-missing-extra", hint=EXTRA)
        yield trace
        return
    kept = InMemorySpanExporter()
    trace._clock, trace._tracer = clock, _tracer(settings, kept)  # noqa: SLF001 - its own maker
    trace._root = trace._tracer.start_span(  # noqa: SLF001
        f"run {sync.name}", _caller(), start_time=_ns(clock.now()), attributes=_of_sync(sync, options)
    )
    try:
        yield trace
    finally:
        trace.end_step()
        trace._root.end(_ns(clock.now()))  # noqa: SLF001
        trace.problem = _send(endpoint, settings, kept.get_finished_spans())


def calls_of(history: History, run_id: str, most: int) -> Iterator[Call]:
    """The first calls of a run, without bodies, as many as get a span."""
    if most:
        yield from history.calls.list(run_id, bodies=False, limit=most)


def _tracer(settings: TelemetrySettings, kept: Any) -> Tracer:
    from importlib.metadata import version  # noqa: PLC0415

    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: PLC0415

    number = version("pendo-connector")
    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": settings.service_name}
    # Not the global one: a program that runs syncs through Python has a provider of its own.
    provider = TracerProvider(resource=Resource.create({"service.version": number, **named}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    return provider.get_tracer("connector", number)


def _caller() -> Any:
    """The span that this run belongs to: the one that goes on in this process, or what TRACEPARENT says."""
    from opentelemetry.context import get_current  # noqa: PLC0415 - an extra
    from opentelemetry.trace import get_current_span  # noqa: PLC0415
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    if get_current_span().get_span_context().is_valid or not os.environ.get("TRACEPARENT"):
        return get_current()
    return TraceContextTextMapPropagator().extract({"traceparent": os.environ["TRACEPARENT"]})


def _send(endpoint: str, settings: TelemetrySettings, spans: tuple[ReadableSpan, ...]) -> Problem | None:
    """None when the collector took the spans, otherwise what to say about it."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.trace.export import SpanExportResult  # noqa: PLC0415

    # What the exporter logs is said here, once, as a warning of the run.
    logger = logging.getLogger("opentelemetry.exporter")
    before, logger.propagate = logger.propagate, False
    silent = logging.NullHandler()
    logger.addHandler(silent)
    try:
        headers = {name: value.get_secret_value() for name, value in settings.headers.items()} or None
        exporter = OTLPSpanExporter(endpoint, headers=headers, timeout=TIMEOUT_S)
        taken = exporter.export(spans) is SpanExportResult.SUCCESS
        exporter.shutdown()  # type: ignore[no-untyped-call]
    finally:
        logger.removeHandler(silent)
        logger.propagate = before
    if taken:
        return None
    host = urlsplit(endpoint).hostname
    hint = "the run itself is not concerned; check telemetry: endpoint, or OTEL_EXPORTER_OTLP_ENDPOINT"
    return Problem(f"the trace could not be sent to {host}", "traces-not-sent", hint=hint)


def _of_sync(sync: Sync, options: Options) -> dict[str, Any]:
    return {
        "connector.sync": sync.name,
        "connector.model": sync.model.name,
        "connector.source": sync.source.name,
        "connector.destination": sync.destination.name,
        "connector.object": sync.settings.object,
        "connector.trigger": options.trigger,
        **({"connector.run_id": options.run_id} if options.run_id else {}),
    }


def _attributes(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = {"connector.run_id": run.run_id, "connector.status": run.status}
    found |= {f"connector.rows.{name}": count for name, count in (run.rows or {}).items()}
    found |= {f"connector.outcomes.{name}": sum(counts.values()) for name, counts in (run.outcomes or {}).items()}
    found |= {f"connector.requests.{name}": count for name, count in (run.requests or {}).items()}
    found |= {f"connector.seconds.{name}": seconds for name, seconds in run.timings.items()}
    return found | ({"connector.error": run.error["slug"]} if run.error else {})


def _of_call(call: Call) -> dict[str, Any]:
    url = urlsplit(call.url)
    found = {
        "http.request.method": call.method,
        "url.path": url.path,
        "server.address": url.hostname,
        "server.port": url.port,
        "http.response.status_code": call.status,
        "http.request.body.size": call.request_bytes,
        "http.response.body.size": call.response_bytes,
        "connector.call": call.id,
        "connector.purpose": call.purpose,
        "connector.rows": call.rows,
        "connector.attempt": call.attempt,
        "connector.verdict": call.verdict,
    }
    return {name: value for name, value in found.items() if value is not None}


def _ns(seconds: float) -> int:
    return int(seconds * 1_000_000_000)
