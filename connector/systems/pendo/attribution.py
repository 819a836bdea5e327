"""Which rows an answered metadata call failed for, and why.

Source: pendo-api.md 3.4. `missing` was seen as a list of ids; the shape of `errors` is unknown, so an entry is read
as whatever it may be, and what cannot be pinned on a row for certain is not pinned on one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from connector.ports import Failure, Judged, Outcome, Refused, Unknown
from connector.systems.pendo import facts
from connector.systems.pendo.replies import message, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from connector.ports import Batch, Verdict

KNOWN_MEMBERS = ("total", "updated", "failed", "missing", "errors")
NOT_FOUND = "not found in Pendo"
DISTINCTIVE_CHARACTERS = 4
PUNCTUATION = ".,:;!?()[]{}<>\"'`"


def metadata_verdict(batch: Batch, body: Any) -> Verdict:
    """What the body of a metadata call's 200 means for each row.

    Ids in `missing` are skipped, entries of `errors` are rejected. A failure that cannot be pinned on a row refuses
    the whole batch, so that splitting finds the row; of a single row it can only be that one.
    """
    if not isinstance(body, dict) or not any(name in body for name in KNOWN_MEMBERS):
        return Unknown("the answer does not say what became of the rows")
    missing, errors = _listed(body.get("missing")), _listed(body.get("errors"))
    failed = _number(body.get("failed"))
    if not missing and not errors and not failed:
        return Judged(note=_difference(body, len(batch), 0))
    found = _pin(batch.fragments.ids(), missing, errors)
    unsaid = (failed or 0) - len(missing) - len(errors)
    if unsaid > 0:
        found.unpinned.append(f"Pendo counts {failed} failed rows and names {len(missing) + len(errors)}")
    if not found.unpinned:
        return Judged(found.failures, note=_difference(body, len(batch), len(missing) + len(errors)))
    reason = one_line("; ".join(found.unpinned))
    if len(batch) == 1:
        is_missing = bool(missing) and not errors and unsaid <= 0  # under an id that Pendo wrote in its own way
        return Judged({0: Failure(Outcome.SKIPPED, NOT_FOUND) if is_missing else Failure(Outcome.REJECTED, reason)})
    rejected = {row: why.reason for row, why in found.failures.items() if why.outcome is Outcome.REJECTED}
    return Refused(reason, culprits=rejected)


@dataclass(slots=True)
class _Found:
    """The rows that failures were pinned on, and the failures that could not be."""

    failures: dict[int, Failure] = field(default_factory=dict)
    unpinned: list[str] = field(default_factory=list)

    def pin(self, rows: Sequence[int], outcome: Outcome, reason: str) -> None:
        for row in rows:
            before = self.failures.get(row)
            # A row that is missing and has an error is rejected: the worse of the two, with every reason.
            if before is None or (before.outcome, outcome) == (Outcome.SKIPPED, Outcome.REJECTED):
                self.failures[row] = Failure(outcome, reason)
            elif outcome is Outcome.REJECTED:
                self.failures[row] = Failure(outcome, one_line(f"{before.reason}; {reason}"))


def _pin(ids: Sequence[str], missing: Sequence[Any], errors: Sequence[Any]) -> _Found:
    rows = _Rows(ids)
    found = _Found()
    for entry in missing:
        named = rows.of_missing(entry)
        if named:
            found.pin(named, Outcome.SKIPPED, NOT_FOUND)
        else:
            found.unpinned.append(f"Pendo does not find '{one_line(message(entry))}', which was not sent")
    for entry in errors:
        reason = one_line(message(entry)) or "Pendo names no reason"
        named = rows.of_error(entry)
        if named:
            found.pin(named, Outcome.REJECTED, reason)
        else:
            found.unpinned.append(reason)
    return found


class _Rows:
    """A batch's rows by their ids. Two rows may have the same id: then both are meant."""

    def __init__(self, ids: Sequence[str]) -> None:
        self.exact: dict[str, list[int]] = {}
        self.folded: dict[str, list[int]] = {}
        for row, identifier in enumerate(ids):
            self.exact.setdefault(identifier, []).append(row)
            # A subscription can be set to keep visitor ids in lower case; it answers with what it keeps.
            self.folded.setdefault(identifier.casefold(), []).append(row)

    def of(self, value: Any) -> list[int]:
        """The rows with this id."""
        if not isinstance(value, (str, int)) or isinstance(value, bool):
            return []
        return self.exact.get(str(value)) or self.folded.get(str(value).casefold()) or []

    def of_missing(self, entry: Any) -> list[int]:
        """The rows that an entry of `missing` means: an id, or an object that holds one."""
        return self.of(entry) or self._by_member(entry)

    def of_error(self, entry: Any) -> list[int]:
        """The rows that an entry of `errors` means: what its members say, else the one id that its text names."""
        text = message(entry)
        return (
            self.of(entry)
            or self._by_member(entry)
            or self._by_any_value(entry)
            or self._by_beginning(text)
            or self._by_text(text)
        )

    def _by_member(self, entry: Any) -> list[int]:
        wanted = {name.lower() for name in facts.ERROR_ID_MEMBERS.value}
        named = [self.of(value) for name, value in _members(entry) if name.lower() in wanted]
        return next((rows for rows in named if rows), [])

    def _by_any_value(self, entry: Any) -> list[int]:
        distinct = {
            str(value): rows for _, value in _members(entry) if _is_distinctive(value) and (rows := self.of(value))
        }
        return next(iter(distinct.values())) if len(distinct) == 1 else []

    def _by_beginning(self, text: str) -> list[int]:
        """The rows of `id: reason`. A number or a plain word there may be a status or a label as well."""
        beginning = text.partition(": ")[0]
        return self.exact.get(beginning, []) if _is_mixed(beginning) else []

    def _by_text(self, text: str) -> list[int]:
        distinct = {word: rows for word in _words(text) if _is_distinctive(word) and (rows := self.exact.get(word))}
        return next(iter(distinct.values())) if len(distinct) == 1 else []


def _members(entry: Any) -> Iterator[tuple[str, Any]]:
    """Every member of the entry and of what it contains, as name and value; values of lists have no name."""
    if isinstance(entry, dict):
        for name, value in entry.items():
            yield name, value
            yield from _members(value)
    elif isinstance(entry, list):
        for value in entry:
            yield "", value
            yield from _members(value)


def _is_distinctive(value: Any) -> bool:
    """True when the value can hardly be anything but an id: "12" or "plan" could be part of any message."""
    return isinstance(value, str) and len(value) >= DISTINCTIVE_CHARACTERS and _is_mixed(value)


def _is_mixed(text: str) -> bool:
    """True when the text holds letters and something else."""
    return any(character.isalpha() for character in text) and not text.isalpha()


def _words(text: str) -> Iterator[str]:
    """Whatever in the text could be an id: what stands in quotes, between spaces, or behind `name=` or `name:`."""
    for double, single in re.findall(r""""([^"]*)"|'([^']*)'""", text):
        yield double or single
    for token in text.split():
        word = token.strip(PUNCTUATION)
        yield word
        for sign in ("=", ":"):
            yield word.partition(sign)[2].strip(PUNCTUATION)


def _listed(value: Any) -> list[Any]:
    """The entries of `missing` or `errors`: a list, an object keyed by id, one entry alone, or nothing."""
    if not value:
        return []
    if isinstance(value, list):
        return value
    if isinstance(value, dict) and not any(
        name in value for name in ("message", "error", *facts.ERROR_ID_MEMBERS.value)
    ):
        return [{facts.ERROR_ID_MEMBERS.value[-1]: name, "message": inner} for name, inner in value.items()]
    return [value]


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _difference(body: Mapping[str, Any], sent: int, failed: int) -> str | None:
    """A sentence when Pendo's totals are not those of the rows sent, else None."""
    expected = {"total": sent, "failed": failed}
    said = {name: count for name in expected if (count := _number(body.get(name))) is not None}
    if all(count == expected[name] for name, count in said.items()):
        return None
    counts = ", ".join(f"{name} {count}" for name, count in said.items())
    return f"Pendo counts {counts}; {sent} rows were sent and {failed} failures listed"
