"""How pages say things: the filters of the templates."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from hashlib import sha256
from importlib.resources import files
from typing import Any
from urllib.parse import quote, urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from connector.actions.figures import clock_time, counted, duration, milliseconds, moment, number, size

ASSETS = files("connector.serve") / "assets"

OUTCOME_WORDS = {
    "succeeded": "succeeded",
    "skipped": "skipped",
    "rejected": "rejected",
    "in_doubt": "in doubt",
    "quarantined": "quarantined",
    "not_attempted": "not attempted",
}
VERDICT_WORDS = {
    "judged": "accepted",
    "refused": "refused",
    "try_again": "try again",
    "unknown": "unknown",
    "fault": "fault",
}


def environment() -> Environment:
    """The templates, with every filter."""
    made = Environment(
        loader=PackageLoader("connector.serve"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    made.filters |= {
        "when": when,
        "clock": clock_time,
        "number": number,
        "counted": counted,
        "duration": duration,
        "ms": milliseconds,
        "size": size,
        "badge": badge,
        "words": lambda text: OUTCOME_WORDS.get(text, VERDICT_WORDS.get(text, text.replace("_", " "))),
        "path": path_of,
        "pretty": pretty,
        "part": lambda text: quote(text, safe=""),
        "json": lambda value: json.dumps(value, ensure_ascii=False),
        "total": lambda counts: sum(counts.values()),
    }
    made.globals["asset"] = asset_url
    return made


def when(seconds: float | None) -> Markup:
    """A time, which the page's script turns into "3 min ago"; a dash when there is none."""
    if seconds is None:
        return Markup('<span class="dim">—</span>')
    iso = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(iso, moment(seconds), moment(seconds)[:-1])


def badge(word: str | None, kind: str = "") -> Markup:
    """A word with its colour; `kind` where the colour is another word's."""
    if not word:
        return Markup("")
    shown = OUTCOME_WORDS.get(word, VERDICT_WORDS.get(word, word.replace("_", " ")))
    return Markup('<span class="badge b-{}">{}</span>').format(kind or word.replace("_", "-"), shown)


def path_of(url: str) -> str:
    """The path of an address, with its query."""
    split = urlsplit(url)
    return (split.path or "/") + (f"?{split.query}" if split.query else "")


def pretty(value: Any) -> str:
    """JSON on several lines; a text that is none as it is."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return str(value)
    return json.dumps(value, indent=2, ensure_ascii=False)


def marked(text: str, kind: str) -> Markup:
    """The text as HTML with a colour."""
    return Markup('<span class="{}">').format(kind) + escape(text) + Markup("</span>")


_stamps: dict[str, str] = {}


def asset_url(name: str) -> str:
    """The address of a file of ours, which changes with what is in it: browsers may keep it for ever."""
    if name not in _stamps:
        _stamps[name] = sha256((ASSETS / name).read_bytes()).hexdigest()[:12]
    return f"/assets/{name}?v={_stamps[name]}"
