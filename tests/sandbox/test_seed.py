"""What a sandbox starts with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from connector.errors import ConfigError
from connector.sandbox import Sandbox, Seed

if TYPE_CHECKING:
    from pathlib import Path

SANDBOX_YML = """\
visitors: [user-0001@example.com, "0002"]
accounts:
  - acct-0001
  - id: acct-0002
    metadata: { agent: { tier: gold }, custom: { Seats: 12, ratio: 0.5, paying: true, tags: [a], name: x } }
  - { id: acct-0003, do_not_process: true }
parent_accounts: [group-01]
fields:
  visitor: { agent: { Role: string }, custom: { last_seen: time, odd: "" } }
  parent_account: { custom: { region: string } }
failing_ids:
  visitor: { user-0009@example.com: is frozen }
  parent_account: { group-09: is frozen }
  track_event: { user-0008@example.com: is poisoned }
switches: { track_arrays: single_only, track_wrong_secret: 403 }
faults:
  - { path: /data/track, first: 3, last: 5, status: 503, retry_after: 2 }
integration_key: ${SANDBOX_KEY}
track_event_secret: other-secret
write_access: false
"""


def test_a_file_fills_the_sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_KEY", "other-key")
    (tmp_path / "sandbox.yml").write_text(SANDBOX_YML)
    box = Sandbox(seed=tmp_path / "sandbox.yml")

    assert list(box.visitors) == ["user-0001@example.com", "0002"]
    assert box.accounts["acct-0002"]["agent"] == {"tier": "gold"}
    assert box.accounts["acct-0002"]["custom"]["seats"] == 12
    assert box.fields("account")["custom"] == {
        "seats": "integer",
        "ratio": "float",
        "paying": "boolean",
        "tags": "list",
        "name": "string",
    }
    assert box.fields("visitor")["agent"] == {"role": "string"}
    assert box.fields("parent_account")["custom"] == {"region": "string"}
    assert box.do_not_process("accounts") == ["acct-0003"]
    assert box.switches.track_wrong_secret == 403
    assert [rule.status for rule in box.faults.rules] == [503]
    assert (box.keys.integration_key, box.keys.track_event_secret, box.keys.write_access) == (
        "other-key",
        "other-secret",
        False,
    )
    assert box.state.failing_ids["parentAccount"] == {"group-09": "is frozen"}


def test_a_reset_plants_the_seeds_again(tmp_path: Path) -> None:
    path = tmp_path / "sandbox.json"
    path.write_text('{"visitors": ["v-1"]}')
    box = Sandbox(seed={"accounts": ["a-1"]}, faults=[{"status": 500}])
    box.seed(str(path))
    box.seed(Seed(parent_accounts=[]))
    box.add({"visitors": ["v-2"], "faults": [{"status": 503}]})
    box.reset()

    assert (list(box.visitors), list(box.accounts)) == (["v-1"], ["a-1"])
    assert [rule.status for rule in box.faults.rules] == [500]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", ["empty-file"]),
        ("- a", ["wrong-type"]),
        ("visitors: [", ["bad-yaml"]),
        ("visitors: [1]", ["wrong-type"]),
        ('visitors: [""]', ["wrong-value"]),
        ("visitros: []", ["unknown-key"]),
        ("fields: { visitor: { auto: {} } }", ["wrong-choice"]),
        ("fields: { visitor: { custom: { a: money } } }", ["wrong-choice"]),
        ("fields: { visitor: { custom: { a b: string } } }", ["bad-field-name"]),
        ("switches: { track_array: 1 }", ["unknown-switch"]),
        ("switches: { track_arrays: maybe }\nfaults: [{ status: 500 }]", ["bad-switch-value"]),
        ("faults: [{ status: 1 }, {}]", ["out-of-range", "wrong-value"]),
        ("integration_key: ${NOT_SET_ANYWHERE}", ["missing-variable"]),
    ],
)
def test_every_problem_of_a_file_is_reported_with_its_place(tmp_path: Path, text: str, problems: list[str]) -> None:
    path = tmp_path / "sandbox.yml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        Sandbox(seed=path)
    found = raised.value.problems

    assert [problem.slug for problem in found] == problems
    assert all(str(problem.at).startswith(str(path)) for problem in found)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\xff"])
def test_a_file_that_cannot_be_read_is_explained(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "sandbox.yml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        Sandbox(seed=path)

    assert raised.value.problem.slug == "unreadable-seed"


@pytest.mark.parametrize(
    ("seed", "slug"),
    [
        ({"visitors": [{"name": "x"}]}, "missing-key"),
        ({"switches": {"x": 1}}, "unknown-switch"),
        ({"a": 1}, "unknown-key"),
    ],
)
def test_a_dictionary_is_checked_like_a_file(seed: dict[str, Any], slug: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Sandbox(seed=seed)

    assert slug in [problem.slug for problem in raised.value.problems]


def test_an_unknown_kind_is_explained() -> None:
    with pytest.raises(ConfigError, match="no kind 'page'"):
        Sandbox().add_objects("page", ["x"])
