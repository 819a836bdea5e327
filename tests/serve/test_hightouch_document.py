"""What the OpenAPI document promises holds for requests that nobody has thought of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.e2e.project import EVENT_SYNC, OBJECT_SYNC, scene
from tests.serve.api import DOCUMENT, Api, api

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with scene(tmp_path_factory.mktemp("document") / "p") as found:
        found.accounts(3)
        found.write("account_health", OBJECT_SYNC)
        found.write("plan_upgrades", EVENT_SYNC)
        found.run("account_health")
        with api(found) as served:
            yield served


@pytest.fixture(scope="module")
def document(shown: Api) -> Any:
    return schemathesis.openapi.from_url(f"{shown.client.base_url}/openapi.json")


@pytest.mark.parametrize(
    ("method", "path"),
    [(method, path) for path in DOCUMENT["paths"] if path.startswith("/api/v1/") for method in DOCUMENT["paths"][path]],
)
def test_every_answer_is_one_that_the_document_promises(document: Any, method: str, path: str) -> None:
    @settings(max_examples=8, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(document[path][method].as_strategy())
    def ask(case: Any) -> None:
        case.call_and_validate(checks=CHECKS)

    ask()
