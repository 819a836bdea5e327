"""The client of `connector serve`, against the API on a real port."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from connector.errors import ConfigError
from connector.integrations.server import ENDED, PATIENCE_S, AwayError, Patience, Server
from tests.e2e.project import OBJECT_SYNC, Scene, scene
from tests.serve.api import Api, api

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "secret-token"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path / "p") as made:
        made.accounts(20)
        made.write("account_health", OBJECT_SYNC)
        yield made


def server_of(served: Api, token: str | None = TOKEN) -> Server:
    return Server(str(served.client.base_url), token)


def test_a_run_is_asked_for_and_followed(place: Scene) -> None:
    with api(place, token=TOKEN) as served:
        server = server_of(served)
        number = server.trigger("account_health", full_resync=True)
        waiting = server.run(number)
        served.work_off()
        done = server.run(number)

    assert (waiting["status"], done["status"]) == ("queued", "success")
    assert (waiting["status"] in ENDED, done["status"] in ENDED) == (False, True)
    assert done["rows"]["added"] == 20


def test_a_run_is_taken_back_and_one_that_ended_stays(place: Scene) -> None:
    with api(place, token=TOKEN) as served:
        server = server_of(served)
        number = server.trigger("account_health")
        server.cancel(number)
        server.cancel(number)

        assert server.run(number)["status"] == "cancelled"


def test_a_wrong_token_is_told_and_what_to_do(place: Scene) -> None:
    with api(place, token=TOKEN) as served, pytest.raises(ConfigError, match="401") as caught:
        server_of(served, "wrong").trigger("account_health")

    assert caught.value.problem.hint is not None
    assert "token" in caught.value.problem.hint


def test_a_sync_that_there_is_not_is_told(place: Scene) -> None:
    with api(place) as served, pytest.raises(ConfigError, match="no_such_sync"):
        server_of(served).trigger("no_such_sync")


def test_a_server_that_is_away_may_come_back(place: Scene) -> None:
    with api(place) as served:
        server = server_of(served)

    with pytest.raises(AwayError, match="does not answer"):
        server.run("1")


def test_a_server_may_be_away_for_five_minutes_each_time() -> None:
    now = [0.0]
    patience, error = Patience(now=lambda: now[0]), AwayError("away", slug="server-away")
    for moment in (0, PATIENCE_S / 2, PATIENCE_S):
        now[0] = moment
        patience.spend(error)
    patience.rest()
    now[0] += 10
    patience.spend(error)
    now[0] += PATIENCE_S + 1

    with pytest.raises(AwayError):
        patience.spend(error)
