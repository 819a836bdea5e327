"""A model's SQL, checked to be one query that only reads: a safety net beside a read-only login, not instead of it."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from connector.project.names import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlglot.expressions import Expr
    from sqlglot.tokenizer_core import Token

    from connector.project.grammar import Grammar

STARTS = ("SELECT", "WITH", "FROM", "VALUES")

# What a statement inside a statement starts with when it does more than read.
WRITES = frozenset(
    {"INSERT", "UPDATE", "DELETE", "MERGE", "CREATE", "DROP", "ALTER", "TRUNCATE", "COPY", "CALL", "SET"}
)

REASONS = {
    "INTO": "SELECT ... INTO makes a table",
    "FOR": "FOR UPDATE and FOR SHARE lock rows",
    "LOCK": "LOCK IN SHARE MODE locks rows",
}

SPELLINGS = {"postgresql": "postgres", "mssql": "tsql", "mariadb": "mysql", "awsathena": "athena"}


@dataclass(frozen=True, slots=True)
class Slip:
    """What is wrong with a query, and at which of its characters. When not `sure`, the warehouse may still take it."""

    message: str
    slug: str
    offset: int
    hint: str | None = None
    sure: bool = True


@dataclass(frozen=True, slots=True)
class ModelSql:
    """The query up to its last word, without semicolons and comments at the end; and the first thing wrong with it."""

    text: str
    slip: Slip | None


def dialect_of(source_type: str, url: str | None) -> str | None:
    """The name of the warehouse's SQL for sqlglot, None when there is none: by the source's type, or by its URL."""
    from sqlglot import Dialects  # noqa: PLC0415 - 0.4 s, only for those who check SQL

    known = {dialect.value for dialect in Dialects if dialect.value}
    scheme = re.split(r"[+:]", url or "", maxsplit=1)[0]
    for name in (source_type.lower(), scheme.lower()):
        spelled = SPELLINGS.get(name, name)
        if spelled in known:
            return spelled
    return None


def read_query(sql: str, dialect: str | None, grammar: Grammar) -> ModelSql:
    """The query that `sql` holds, checked as far as it can be without the warehouse."""
    from sqlglot.dialects.dialect import Dialect  # noqa: PLC0415 - as above
    from sqlglot.errors import TokenError  # noqa: PLC0415

    try:
        tokens = Dialect.get_or_raise(dialect).tokenize(sql)
    except TokenError:
        sure = dialect is not None
        slug = "bad-sql" if sure else "unchecked-sql"
        slip = Slip("a quote or a comment is not closed", slug, _unclosed(sql), sure=sure)
        return ModelSql(sql.rstrip().rstrip(";"), slip)
    words = list(tokens)
    while words and _kind(words[-1]) == "SEMICOLON":
        words.pop()
    if not words:
        hint = "write the SELECT behind the settings"
        return ModelSql("", Slip("there is no SQL in this model", "bad-sql", max(len(sql) - 1, 0), hint))
    text = sql[: words[-1].end + 1]
    found = _first_words(words) or _second_statement(words) or _unbalanced(words)
    return ModelSql(text, found or _read_only(text, words, dialect, grammar))


def _first_words(words: Sequence[Token]) -> Slip | None:
    first = next((word for word in words if _kind(word) != "L_PAREN"), words[0])
    if first.text.upper() in STARTS:
        return None
    meant = nearest(first.text, STARTS) if first.text.upper() not in WRITES else None
    message = f"a model is one SELECT, and this starts with {first.text.upper()[:40]}"
    return Slip(
        message, "not-a-select", first.start, f"did you mean {meant}?" if meant else "SELECT, WITH, FROM or VALUES"
    )


def _second_statement(words: Sequence[Token]) -> Slip | None:
    for number, word in enumerate(words):
        if _kind(word) == "SEMICOLON":
            after = next(later for later in words[number:] if _kind(later) != "SEMICOLON")
            message = "a model is one SELECT, and here a second statement starts"
            return Slip(message, "not-a-select", after.start, "make it a model of its own")
    return None


def _unbalanced(words: Sequence[Token]) -> Slip | None:
    opened: list[Token] = []
    for word in words:
        if _kind(word) == "L_PAREN":
            opened.append(word)
        elif _kind(word) == "R_PAREN":
            if not opened:
                return Slip("this parenthesis closes nothing", "bad-sql", word.start)
            opened.pop()
    return Slip("this parenthesis is not closed", "bad-sql", opened[-1].start) if opened else None


def _read_only(text: str, words: Sequence[Token], dialect: str | None, grammar: Grammar) -> Slip | None:
    tree, stopped = _tree(text, dialect)
    writes = _hidden_write(words) or (_refused(tree, words) if tree is not None else None)
    if writes is not None:
        return writes
    if dialect == "duckdb":
        # The warehouse's own parser has the last word, in both directions.
        found = grammar.select_slip(text)
        return Slip(f"DuckDB cannot read this: {found.message}", "bad-sql", found.offset) if found else None
    if tree is None:
        message = "this SQL could not be checked to be one SELECT that only reads"
        hint = "it is sent as it stands; let the source log in with a role that can only read"
        return Slip(message, "unchecked-sql", stopped, hint, sure=False)
    return None


def _hidden_write(words: Sequence[Token]) -> Slip | None:
    """The first statement in parentheses that writes; found by its words, so also where the rest is not understood."""
    for before, word, after in zip(words, words[1:], words[2:], strict=False):
        is_word = _kind(word) not in ("STRING", "IDENTIFIER")
        # `insert(a, 1)` is a function, and `(update, 1)` a column.
        is_statement = _kind(after) not in ("L_PAREN", "R_PAREN", "COMMA", "DOT", "EQ")
        if _kind(before) == "L_PAREN" and is_word and is_statement and word.text.upper() in WRITES:
            return _writes(word.text.upper(), word.start)
    return None


def _kind(word: Token) -> str:
    return word.token_type.name


def _writes(word: str, offset: int) -> Slip:
    why = REASONS.get(word, f"{word} does more than that")
    return Slip(f"a model only reads, and {why}", "not-a-select", offset)


def _tree(text: str, dialect: str | None) -> tuple[Any, int]:
    """The query as sqlglot reads it; or None, and the offset at which it stopped."""
    from sqlglot import parse  # noqa: PLC0415
    from sqlglot.errors import ParseError  # noqa: PLC0415

    # What sqlglot does not know it reports on stderr, too; here that is a warning with a place.
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    try:
        trees = parse(text, read=dialect)
    except ParseError as error:
        return None, _offset(text, error.errors[0] if error.errors else {})
    except Exception:  # noqa: BLE001 - a defect of the parser must not keep a model from the warehouse: it is a warning
        return None, 0
    return (trees[0], 0) if len(trees) == 1 else (None, 0)


def _offset(text: str, error: dict[str, Any]) -> int:
    lines = text.split("\n")
    line, last_column = error.get("line") or 1, error.get("col") or 1
    first_column = max(last_column - len(error.get("highlight") or " "), 0)
    return min(sum(len(before) + 1 for before in lines[: line - 1]) + first_column, len(text) - 1)


def _refused(tree: Expr, words: Sequence[Token]) -> Slip | None:
    from sqlglot import expressions as exp  # noqa: PLC0415

    queries = (exp.Query, exp.Values)
    for node in tree.walk():
        reads = not isinstance(node, (exp.DML, exp.DDL, exp.Into, exp.Lock, exp.Command))
        if node is tree or (isinstance(node.parent, exp.CTE) and node.arg_key == "this"):
            reads = reads and isinstance(node, queries)
        if not reads:
            word = _word_of(node, words)
            return _writes(word.text.upper(), word.start)
    return None


def _word_of(node: Expr, words: Sequence[Token]) -> Token:
    from sqlglot import expressions as exp  # noqa: PLC0415

    keys = ("FOR", "LOCK") if isinstance(node, exp.Lock) else (node.key.upper(),)
    return next((word for word in words if word.text.upper() in keys), words[0])


def _unclosed(sql: str) -> int:
    """The offset of the quote or comment that is not closed."""
    closed = re.compile(
        r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|--[^\n]*|/\*.*?\*/|(\$\w*\$).*?\1|(?P<open>/\*|['"`]|\$\w*\$)|.""",
        re.DOTALL,
    )
    return next((match.start() for match in closed.finditer(sql) if match["open"]), 0)
