"""Traces, as a collector gets them: OpenTelemetry's own protocol over HTTP, on 127.0.0.1."""

from __future__ import annotations

import gzip
import socketserver
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from connector.errors import SourceError
from connector.project.telemetry_settings import TelemetrySettings
from connector.tracing import endpoint_of
from tests.e2e.project import OBJECT_SYNC, REPOSITORY, Scene, scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@dataclass
class Collector:
    """What came in: each request's path, headers and message."""

    url: str = ""
    status: int = 200
    received: list[tuple[str, dict[str, str], ExportTraceServiceRequest]] = field(default_factory=list)

    @property
    def spans(self) -> list[Any]:
        return [
            span
            for _, _, message in self.received
            for resource in message.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def span(self, name: str) -> Any:
        (found,) = [span for span in self.spans if span.name == name]
        return found


def values(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()

    class Receiver(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            words = self.rfile.readline().decode().split()
            headers: dict[str, str] = {}
            while line := self.rfile.readline().decode().strip():
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            body = self.rfile.read(int(headers["content-length"]))
            body = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
            collector.received.append((words[1], headers, ExportTraceServiceRequest.FromString(body)))
            self.wfile.write(
                f"HTTP/1.1 {collector.status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
            )

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Receiver) as server:
        collector.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield collector
        server.shutdown()
        thread.join()


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    for name in (ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED", "TRACEPARENT"):
        monkeypatch.delenv(name, raising=False)
    with scene(tmp_path / "project") as made:
        made.accounts(3)
        made.write("accounts", OBJECT_SYNC)
        yield made


def test_a_run_its_steps_and_its_calls_are_spans(
    place: Scene, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENDPOINT, collector.url)
    result = place.run("accounts")
    with place.project() as project:
        calls = project.calls(result.run.run_id)
    root, querying, sending = (collector.span(name) for name in ("run accounts", "querying", "sending"))
    of_calls = [span for span in collector.spans if span.name.startswith(("GET ", "POST "))]
    (resource,) = {str(message.resource_spans[0].resource) for _, _, message in collector.received}

    assert [path for path, _, _ in collector.received] == ["/v1/traces"]
    assert "connector" in resource
    assert values(root)["connector.run_id"] == result.run.run_id
    assert values(root)["connector.status"] == "success"
    assert values(root)["connector.outcomes.succeeded"] == 3
    assert values(root)["connector.rows.queried"] == 3
    assert values(sending)["connector.rows"] == 3
    assert {span.parent_span_id for span in (querying, sending)} == {root.span_id}
    assert {span.trace_id for span in collector.spans} == {root.trace_id}
    assert root.start_time_unix_nano <= querying.start_time_unix_nano <= querying.end_time_unix_nano
    assert querying.end_time_unix_nano <= sending.start_time_unix_nano <= root.end_time_unix_nano
    assert [values(span)["connector.call"] for span in of_calls] == [call.id for call in calls]
    # What is asked before the first row is sent belongs to the step before.
    assert {span.parent_span_id for span in of_calls} == {querying.span_id, sending.span_id}
    assert of_calls[-1].parent_span_id == sending.span_id
    assert values(of_calls[-1])["http.response.status_code"] == 200
    assert result.run.warnings == []


def test_a_failed_run_and_its_refused_call_are_errors(
    place: Scene, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENDPOINT, collector.url)
    place.sandbox.add_faults({"status": 403})
    result = place.run("accounts")
    root = collector.span("run accounts")

    assert result.error is not None
    assert root.status.code == 2
    assert root.status.message == f"{result.error.problem.slug}: {result.error.problem.message}"
    assert [span.status.code for span in collector.spans if span.name.startswith(("GET", "POST"))] == [2]
    assert "sandbox-integration-key" not in str(collector.received)


def test_a_run_that_cannot_begin_is_a_trace_too(
    place: Scene, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENDPOINT, collector.url)
    (place.root / "warehouse.duckdb").unlink()
    with pytest.raises(SourceError) as caught:
        place.run("accounts")

    assert values(collector.span("run accounts"))["connector.error"] == caught.value.problem.slug


def test_the_settings_say_where_to_and_with_which_login(place: Scene, collector: Collector) -> None:
    text = (place.root / "connector.yml").read_text()
    login = "telemetry: { endpoint: %s, headers: { x-login: let-me-in }, service_name: syncs, calls: 0 }\n"
    (place.root / "connector.yml").write_text(text + login % collector.url)
    place.run("accounts")
    ((path, headers, message),) = collector.received

    assert path == "/v1/traces"
    assert headers["x-login"] == "let-me-in"
    assert 'string_value: "syncs"' in str(message.resource_spans[0].resource)
    assert not [span for span in collector.spans if span.name.startswith(("GET", "POST"))]


def test_a_run_belongs_to_the_trace_of_whoever_started_it(
    place: Scene, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    monkeypatch.setenv(ENDPOINT, collector.url)
    monkeypatch.setenv("TRACEPARENT", f"00-{trace}-{parent}-01")
    place.run("accounts")
    root = collector.span("run accounts")

    assert (root.trace_id.hex(), root.parent_span_id.hex()) == (trace, parent)


def test_a_collector_that_is_down_is_a_warning_of_the_run(
    place: Scene, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENDPOINT, collector.url)
    collector.status = 400
    result = place.run("accounts")

    assert result.status == "success"
    assert [warning["slug"] for warning in result.run.warnings] == ["traces-not-sent"]


PROGRAM = """
import sys
{before}
from connector import load_project
with load_project({root!r}) as project:
    result = project.run("accounts")
print(result.status, [warning["slug"] for warning in result.run.warnings])
print(sorted(name for name in sys.modules if name.split(".")[0] == "opentelemetry" and sys.modules[name]))
"""


@pytest.mark.parametrize(
    ("before", "endpoint", "said"),
    [
        ("", "", "success []\n[]\n"),
        ("sys.modules['opentelemetry'] = None", "http://127.0.0.1:9", "success ['telemetry-missing-extra']\n[]\n"),
    ],
)
def test_without_a_collector_or_without_the_packages_nothing_is_imported(
    place: Scene, monkeypatch: pytest.MonkeyPatch, before: str, endpoint: str, said: str
) -> None:
    monkeypatch.setenv(ENDPOINT, endpoint)
    program = PROGRAM.format(before=before, root=str(place.root))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=REPOSITORY, check=True)

    assert done.stdout == said


@pytest.mark.parametrize(
    ("written", "environ", "endpoint"),
    [
        (None, {}, None),
        (None, {ENDPOINT: ""}, None),
        (None, {ENDPOINT: "http://c:4318"}, "http://c:4318/v1/traces"),
        (None, {ENDPOINT: "http://c:4318/"}, "http://c:4318/v1/traces"),
        ("http://mine", {ENDPOINT: "http://c:4318"}, "http://mine/v1/traces"),
        ("http://mine/v1/traces", {}, "http://mine/v1/traces"),
        (None, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/other"}, "http://c/other"),
        ("http://mine", {"OTEL_SDK_DISABLED": "true"}, None),
        ("http://mine", {"OTEL_TRACES_EXPORTER": "none"}, None),
    ],
)
def test_where_traces_go_to(written: str | None, environ: dict[str, str], endpoint: str | None) -> None:
    assert endpoint_of(TelemetrySettings(endpoint=written), environ) == endpoint
