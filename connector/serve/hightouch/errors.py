"""What is wrong with a request, in Hightouch's words and shape: `{"message", "details"}`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import ValidationError


class ApiError(Exception):
    """An answer other than 200. `details` is a sentence, or what is wrong by the name of the value."""

    def __init__(self, status: int, message: str, details: str | Mapping[str, Any]) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.details = details

    def response(self) -> JSONResponse:
        """The answer."""
        return JSONResponse({"message": self.message, "details": self.details}, status_code=self.status)


def bad_request(details: str) -> ApiError:
    """400: the request cannot be read."""
    return ApiError(400, "Bad request", details)


def not_found(details: str) -> ApiError:
    """404: there is none with this id."""
    return ApiError(404, "Not found", details)


def conflict(details: str) -> ApiError:
    """409: it cannot be done as things stand."""
    return ApiError(409, "Conflict", details)


def invalid(details: Mapping[str, str]) -> ApiError:
    """422: values that cannot be, by their names."""
    return ApiError(422, "Validation failed", {name: {"message": message} for name, message in details.items()})


def invalid_values(error: ValidationError, within: str) -> ApiError:
    """422 for what pydantic found; `within` is "query" or "body"."""
    details = {}
    for found in error.errors(include_url=False, include_context=False):
        name = ".".join(str(part) for part in (within, *found["loc"]))
        details[name] = {"message": found["msg"], "value": found["input"]}
    return ApiError(422, "Validation failed", details)
