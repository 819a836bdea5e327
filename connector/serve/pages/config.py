"""A sync as it is on disk, what it becomes, what a run would do, and what is different since the last run."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from starlette.routing import Route

from connector.errors import ConfigError
from connector.run.fitting import fitted
from connector.run.means import Options
from connector.serve.pages.syncs import lines
from connector.serve.pages.words import pretty
from connector.state.redaction import Redaction

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from connector.project.definition import Sync
    from connector.project.settings import DestinationSettings
    from connector.serve.pages.frame import Frame

SHOWN = 5

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(:-[^{}]*)?\}")
_LOGIN = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_TELLING = re.compile(r"secret|token|password|passphrase|key(?!_path)|credential", re.IGNORECASE)
_HIDDEN = "***"
_SHORTEST = 4  # shorter texts are no secrets, and stand everywhere


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of a source or destination, as the file has it: variables stand as their names."""

    name: str
    value: str


def routes(frame: Frame) -> list[BaseRoute]:
    """The routes of a sync's configuration."""
    return [*_as_it_is(frame), *_on_request(frame)]


def _as_it_is(frame: Frame) -> list[BaseRoute]:
    """The files, and what changed in them."""

    def config(request: Request) -> Response:
        name = request.path_params["name"]
        sync = frame.shelf.sync(name)
        (line,) = lines(frame, [name])
        last = next((run for run in frame.history.runs.list(name, limit=5) if run.config), None)
        return frame.page(
            request,
            "config.html",
            line=line,
            tab="config",
            file=without_defaults((frame.serving.root / sync.file).read_text(encoding="utf-8")),
            last=last,
            difference=None if last is None else difference(frame, sync, last.config),
            source=settings_of(frame, "sources", sync.source.name),
            destination=settings_of(frame, "destinations", sync.destination.name),
        )

    return [Route("/syncs/{name}/config", config)]


def _on_request(frame: Frame) -> list[BaseRoute]:
    """What the warehouse has to be asked for."""

    def compiled(request: Request) -> Response:
        refuse_foreign(request)
        name = request.path_params["name"]
        with frame.serving.project() as project:
            sync = project.sync(name)
            with fitted(sync, Options(), project.means()) as it:
                hide = hidden(frame, sync)
                parts = [("key", it.projection.key), ("id in Pendo", it.projection.id)]
                parts += [(f"{value.name}: {value.type.value}", value.sql) for value in it.projection.values]
                parts += [("why a row cannot be sent", it.projection.problem)]
                parts += [("fingerprint", it.projection.fingerprint)]
                parts += [(f"JSON of route {route}", sql) for route, sql in it.projection.fragments.items()]
        return frame.part("compiled.html", parts=[(what, hide.text(sql)) for what, sql in parts])

    def plan(request: Request) -> Response:
        refuse_foreign(request)
        with frame.serving.project() as project:
            sync = project.sync(request.path_params["name"])
            found = project.plan(sync.name, show=SHOWN)
        hide = hidden(frame, sync)
        samples = [
            {
                "key": sample.key,
                "change": sample.change,
                "call": f"{sample.method} {hide.text(sample.url)}",
                "row": hide.text(pretty(sample.row)),
                "before": None if sample.before is None else hide.text(pretty(sample.before)),
            }
            for sample in found.sample
        ]
        return frame.part("plan.html", plan=found, rows=found.json()["rows"], samples=samples, sync=sync)

    return [Route("/syncs/{name}/compiled", compiled), Route("/syncs/{name}/plan", plan)]


def refuse_foreign(request: Request) -> None:
    """Nothing, when a page of ours asks for this: it queries a warehouse. Raises ConfigError."""
    if request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        raise ConfigError("another site's page must not do this", slug="refused")


def without_defaults(text: str) -> str:
    """The text of a file; the default of a variable may be a secret, and its name says enough."""
    return _REFERENCE.sub(r"${\1}", text)


def settings_of(frame: Frame, kind: str, name: str) -> list[Setting]:
    """The settings of one source or destination, without its secrets."""
    document = _yaml((frame.serving.root / "connector.yml").read_text(encoding="utf-8"))
    entry = (document.get(kind) or {}).get(name) or {}
    return [Setting(str(key), _shown(str(key), value)) for key, value in entry.items()]


def _shown(name: str, value: Any) -> str:
    text = without_defaults(value if isinstance(value, str) else json.dumps(value, default=str))
    if _TELLING.search(name) and not _REFERENCE.fullmatch(text):
        return _HIDDEN
    return _LOGIN.sub(_HIDDEN, text)


def hidden(frame: Frame, sync: Sync) -> Redaction:
    """What takes the secrets of the destination, and all that comes from the environment, out of a text."""
    raw = _yaml((frame.serving.root / sync.file).read_text(encoding="utf-8"))
    now = sync.settings.model_dump(mode="json", exclude_unset=True)
    values = {value for path in _references(raw) for value in _texts(_at(now, path)) if len(value) >= _SHORTEST}
    settings = cast("DestinationSettings", sync.destination.settings)
    return Redaction([*values, *getattr(settings, "secrets", ())])


def difference(frame: Frame, sync: Sync, last: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Lines with the sign they begin with: the sync as the last run used it, compared with what it is now."""
    raw = _yaml((frame.serving.root / sync.file).read_text(encoding="utf-8"))
    before = json.loads(json.dumps(last))
    now = sync.settings.model_dump(mode="json", exclude_unset=True)
    for path in _references(raw):
        same = _at(before, path) == _at(now, path)
        _put(before, path, "from the environment" if same else "from the environment, or another value")
        _put(now, path, "from the environment")
    old, new = (json.dumps(each, indent=2, ensure_ascii=False, sort_keys=True).splitlines() for each in (before, now))
    compared = difflib.unified_diff(old, new, lineterm="", n=3)
    return [(text[:1], text[1:]) for text in list(compared)[2:]]


def _yaml(text: str) -> dict[str, Any]:
    try:
        found = YAML(typ="safe").load(text)
    except YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


def _references(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where in the document a variable of the environment stands."""
    if isinstance(value, dict):
        return [found for key, inner in value.items() for found in _references(inner, (*path, key))]
    if isinstance(value, list):
        return [found for at, inner in enumerate(value) for found in _references(inner, (*path, at))]
    return [path] if isinstance(value, str) and _REFERENCE.search(value) else []


def _at(document: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        if (isinstance(document, dict) and step in document) or (
            isinstance(document, list) and isinstance(step, int) and step < len(document)
        ):
            document = document[step]
        else:
            return None
    return document


def _put(document: Any, path: tuple[Any, ...], value: str) -> None:
    parent = _at(document, path[:-1])
    if (path and isinstance(parent, dict) and path[-1] in parent) or (
        path and isinstance(parent, list) and isinstance(path[-1], int) and path[-1] < len(parent)
    ):
        parent[path[-1]] = value


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in _texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in _texts(inner)]
    return [value] if isinstance(value, str) else []
