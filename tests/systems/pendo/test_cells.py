from __future__ import annotations

from typing import Any

import pytest

from connector.ports import ValueType
from connector.project.settings import ValueSpec
from connector.systems.pendo.cells import constant, constant_type, is_left_out


def spec(value: Any, type_: str | None = None, nulls: str = "omit") -> ValueSpec:
    return ValueSpec.model_validate({"value": value, "type": type_, "nulls": nulls})


@pytest.mark.parametrize(
    ("written", "becomes", "sent"),
    [
        (spec("x"), None, "x"),
        (spec(3), None, 3),
        (spec(3.5), None, 3.5),
        (spec(True), None, True),
        (spec(["a"]), None, ["a"]),
        (spec("x", "string"), None, "x"),
        (spec(3, "integer"), None, 3),
        (spec(3, "float"), None, 3),
        (spec(True, "boolean"), None, True),
        (spec(["a"], "list"), None, ["a"]),
        (spec("2026-01-02", "date"), None, "2026-01-02T00:00:00Z"),
        (spec("2026-01-02T03:04:05", "time"), None, "2026-01-02T03:04:05Z"),
        (spec("2026-01-02T03:04:05+02:00", "time"), None, "2026-01-02T01:04:05Z"),
        (spec(None, nulls="empty"), None, ""),
        (spec(None, nulls="null"), None, None),
        (spec("a"), ValueType.ID, "a"),
        (spec(12), ValueType.ID, "12"),
        (spec("a"), ValueType.STRING, "a"),
        (spec("1970-01-01T00:00:01Z"), ValueType.EPOCH_MS, 1_000),
        (spec("1970-01-02"), ValueType.EPOCH_MS, 86_400_000),
    ],
)
def test_a_constant_is_sent_as_its_type_says(written: ValueSpec, becomes: ValueType | None, sent: Any) -> None:
    result = constant(written, becomes)

    assert result == sent
    assert type(result) is type(sent)


@pytest.mark.parametrize(
    ("written", "becomes"),
    [
        (spec(3, "string"), None),
        (spec("3", "integer"), None),
        (spec(3.5, "integer"), None),
        (spec(True, "integer"), None),
        (spec(True, "float"), None),
        (spec("3", "float"), None),
        (spec(1, "boolean"), None),
        (spec("a", "list"), None),
        (spec("tomorrow", "date"), None),
        (spec(20_260_102, "date"), None),
        (spec("tomorrow", "time"), None),
        (spec(1_767_225_600, "time"), None),
        (spec({"a": 1}), None),
        (spec(float("nan")), None),
        (spec(float("inf"), "float"), None),
        (spec(True), ValueType.ID),
        (spec(1.5), ValueType.ID),
        (spec(""), ValueType.ID),
        (spec(None, nulls="empty"), ValueType.ID),
        (spec("soon"), ValueType.EPOCH_MS),
    ],
)
def test_a_constant_that_does_not_fit_is_refused(written: ValueSpec, becomes: ValueType | None) -> None:
    with pytest.raises(ValueError, match=r".+"):
        constant(written, becomes)


@pytest.mark.parametrize(
    ("written", "type_"),
    [
        (spec("x"), ValueType.STRING),
        (spec(3), ValueType.INTEGER),
        (spec(3.5), ValueType.FLOAT),
        (spec(True), ValueType.BOOLEAN),
        (spec(["a"]), ValueType.LIST),
        (spec(3, "float"), ValueType.FLOAT),
        (spec(None), None),
        (spec({"a": 1}), None),
    ],
)
def test_a_constant_has_a_type_of_its_own(written: ValueSpec, type_: ValueType | None) -> None:
    assert constant_type(written) is type_


@pytest.mark.parametrize(
    ("written", "left_out"),
    [
        (spec(None), True),
        (spec(None, nulls="null"), False),
        (spec(0), False),
        (ValueSpec.model_validate("column"), False),
    ],
)
def test_only_a_null_that_is_omitted_is_never_sent(written: ValueSpec, left_out: bool) -> None:
    assert is_left_out(written) is left_out
