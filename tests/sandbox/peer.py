"""A client that speaks Pendo's API to a sandbox under test, and a clock that stands still."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from connector.sandbox import INTEGRATION_KEY, TRACK_EVENT_SECRET

if TYPE_CHECKING:
    import httpx

    from connector.sandbox import Sandbox

NOW_S = 1_760_000_000.0
NOW_MS = int(NOW_S * 1000)
KEY = {"x-pendo-integration-key": INTEGRATION_KEY}
SECRET = {"x-pendo-integration-key": TRACK_EVENT_SECRET}


@dataclass
class StandingClock:
    """Real time, as the sandbox is told it."""

    seconds: float = NOW_S

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Peer:
    """One connection to a sandbox."""

    box: Sandbox
    http: httpx.Client
    url: str
    clock: StandingClock = field(default_factory=StandingClock)

    def get(self, path: str, **more: Any) -> httpx.Response:
        """The answer to a GET with the integration key."""
        return self.http.get(path, headers=KEY, **more)

    def post(self, path: str, document: Any, **more: Any) -> httpx.Response:
        """The answer to a POST with the integration key."""
        return self.http.post(path, json=document, headers=KEY, **more)

    def put(self, path: str, document: Any, headers: dict[str, str] | None = None) -> httpx.Response:
        """The answer to a PUT with the integration key."""
        return self.http.put(path, json=document, headers={**KEY, **(headers or {})})

    def track(self, document: Any) -> httpx.Response:
        """The answer to Track events with the right secret."""
        return self.http.post("/data/track", json=document, headers=SECRET)

    def write(
        self, values: dict[str, Any], *, kind: str = "visitor", group: str = "custom", create: bool = False
    ) -> httpx.Response:
        """The answer to a bulk write of these values by id."""
        return self.write_records(
            [{f"{kind}Id": each, "values": values[each]} for each in values], kind, group, create=create
        )

    def write_records(
        self, records: Any, kind: str = "visitor", group: str = "custom", *, create: bool = False
    ) -> httpx.Response:
        """The answer to a bulk write of these records."""
        params = {"create": "true"} if create else {}
        return self.post(f"/api/v1/metadata/{kind}/{group}/value", records, params=params)

    def delete(self, *ids: str, kind: str = "visitor") -> httpx.Response:
        """The answer to a bulk deletion."""
        return self.post(f"/api/v1/bulkdelete/{kind}", {f"{kind}s": list(ids)})

    def make_fields(self, *specs: Any, kind: str = "visitor", group: str = "custom") -> httpx.Response:
        """The answer to a schema POST."""
        return self.post(f"/api/v1/metadata/schema/{kind}/{group}", list(specs))

    def aggregate(self, *steps: Any) -> httpx.Response:
        """The answer to an aggregation."""
        return self.post("/api/v1/aggregation", {"request": {"pipeline": list(steps)}})

    def values(self, visitor_id: str, group: str = "custom") -> dict[str, Any]:
        """What the sandbox holds for a visitor."""
        return self.box.visitors[visitor_id][group]


def event(**changes: Any) -> dict[str, Any]:
    """A good event, with changes; one that is `...` is left out."""
    good = {
        "type": "track",
        "event": "Plan Upgraded",
        "visitorId": "v-1",
        "accountId": "a-1",
        "timestamp": NOW_MS,
        "properties": {"plan": "pro"},
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not ...}


def spec(name: str, type_: str = "string") -> dict[str, str]:
    """One field of a schema POST."""
    return {"name": name, "displayname": name, "type": type_}
