"""What stands in the place of a value that must not be written down: a keyed hash of it, or a mask.

The key belongs to the state directory, so equal values can be told to be equal within it and nowhere else. Without the
key nobody can find a value by trying likely ones.
"""

from __future__ import annotations

import hmac
import json
import os
import re
import secrets
from contextlib import suppress
from hashlib import sha256
from itertools import product
from typing import TYPE_CHECKING

from connector.state.redaction import forms
from connector.values import joined_key, split_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import duckdb

KEY_FILE = "redaction.key"
PREFIX = "redacted:"
MASKED = "[redacted]"
_DIGITS = 16
_KEY_BYTES, _BLOCK_BYTES = 32, 64
_SHORT_CHARACTERS = 6  # a shorter text may stand by chance inside another word
_MANY_PARTS = 4
_CUT_OFF = 3  # so many characters of a value at the end of a text that was cut give it away
_CUT_SIGNS = ("…", "...")


class Hiding:
    """The texts in the place of values; `form` is hash or mask. A key is always hashed: it must stay findable."""

    def __init__(self, key: bytes, form: str = "hash") -> None:
        self._key = key
        self._form = form

    def hashed(self, text: str) -> str:
        """The keyed hash of a value, the same for equal values."""
        return PREFIX + hmac.new(self._key, text.encode(errors="surrogatepass"), sha256).hexdigest()[:_DIGITS]

    def token(self, text: str) -> str:
        """What stands in the place of a value."""
        return MASKED if self._form == "mask" else self.hashed(text)

    def define(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Nothing, after making `hashed` and `redacted` (the same as here, in SQL) known to the connection."""
        key = self._key.ljust(_BLOCK_BYTES, b"\0")
        for name, pad in (("inner", 0x36), ("outer", 0x5C)):
            connection.execute(f"SET VARIABLE redaction_{name} = ?::BLOB", [bytes(byte ^ pad for byte in key)])
        # HMAC-SHA-256, as RFC 2104 builds it.
        inner = "unhex(sha256(getvariable('redaction_inner')::BLOB || encode(x)))"
        hashed = f"'{PREFIX}' || left(sha256(getvariable('redaction_outer')::BLOB || {inner}), {_DIGITS})"
        connection.execute(f"CREATE OR REPLACE TEMP MACRO hashed(x) AS {hashed}")
        masked = f"CASE WHEN x IS NOT NULL THEN '{MASKED}' END" if self._form == "mask" else hashed
        connection.execute(f"CREATE OR REPLACE TEMP MACRO redacted(x) AS {masked}")

    def key(self, key: str, parts: Sequence[bool]) -> str:
        """The key with these of its parts hashed; a composite key is a JSON array of texts."""
        if len(parts) == 1:
            return self.hashed(key) if parts[0] else key
        texts = [self.hashed(text) if hidden else text for text, hidden in zip(json.loads(key), parts, strict=True)]
        return joined_key(texts)

    def key_forms(self, key: str) -> list[str]:
        """The key of a row in each form in which it may have been written down: as it is, and with parts hashed."""
        found = [key, self.hashed(key)]
        parts = split_key(key)
        if parts is not None and len(parts) <= _MANY_PARTS:
            found += map(joined_key, product(*((part, self.hashed(part)) for part in parts)))
        return list(dict.fromkeys(found))


def open_hiding(state_dir: Path, form: str = "hash") -> Hiding:
    """The hiding of a state directory; its key is made the first time. Raises StateError."""
    found = _read(state_dir)
    if found is None:
        path = state_dir / KEY_FILE
        try:
            # Made whole and then named: a second process that does the same at once finds one or the other.
            fresh = path.with_name(f"{KEY_FILE}.{os.getpid()}.{secrets.token_hex(4)}")
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(secrets.token_bytes(_KEY_BYTES))
            with suppress(FileExistsError):
                os.link(fresh, path)
            fresh.unlink()
            found = path.read_bytes()
        except OSError as error:
            from connector.state.sqlite_errors import state_error  # noqa: PLC0415 - start-up: sqlalchemy

            raise state_error(error, path) from error
    return Hiding(found, form)


def key_forms(state_dir: Path, key: str) -> list[str]:
    """The forms under which the rows of a key may stand in files of this state directory."""
    found = _read(state_dir)
    if found is not None:
        return Hiding(found).key_forms(key)
    parts = split_key(key)
    return [key] if parts is None else list(dict.fromkeys((key, joined_key(parts))))


def _read(state_dir: Path) -> bytes | None:
    try:
        return (state_dir / KEY_FILE).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        from connector.state.sqlite_errors import state_error  # noqa: PLC0415 - start-up: sqlalchemy

        raise state_error(error, state_dir / KEY_FILE) from error


class Echoes:
    """Those of some values that a reply repeats, and texts without them."""

    def __init__(self, hiding: Hiding, values: Iterable[str], said: str) -> None:
        """Look for `values` in what was said; only those found are remembered."""
        low = said.casefold()
        self._hiding = hiding
        self._forms: dict[str, str] = {}
        for value in values:
            # A reason is made of what was said and may write it in another form.
            found = {form.casefold() for form in (*forms(value), " ".join(value.split())) if form}
            if any(form in low for form in found):
                self._forms |= dict.fromkeys(found, value)
        longest_first = sorted(self._forms, key=len, reverse=True)
        pattern = "|".join(_pattern(form) for form in longest_first)
        self._pattern = re.compile(pattern, re.IGNORECASE) if pattern else None

    def __bool__(self) -> bool:
        """Whether there are any."""
        return self._pattern is not None

    def without(self, text: str) -> str:
        """The text with a hash or a mask in the place of each value, also of one that the text was cut off in."""
        if self._pattern is None:
            return text
        text = self._pattern.sub(self._token, text)
        sign = next((sign for sign in _CUT_SIGNS if text.endswith(sign)), None)
        return text if sign is None else self._without_a_beginning(text.removesuffix(sign)) + sign

    def _without_a_beginning(self, text: str) -> str:
        low = text.casefold()
        for form in self._forms:
            for length in range(len(form) - 1, _CUT_OFF - 1, -1):
                if low.endswith(form[:length]):
                    return text[:-length] + MASKED
        return text

    def _token(self, match: re.Match[str]) -> str:
        return self._hiding.token(self._forms.get(match[0].casefold(), match[0]))


def _pattern(form: str) -> str:
    if len(form) >= _SHORT_CHARACTERS:
        return re.escape(form)
    return rf"(?<![^\W_]){re.escape(form)}(?![^\W_])"
