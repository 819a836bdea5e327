"""Keeps Pendo true to the data warehouse.

`load_project` gives everything the command line can do. It is imported on first use, so that `connector --help`
does not wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from connector.api import Project, load_project

__all__ = ["Project", "load_project"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from connector import api  # noqa: PLC0415

        return getattr(api, name)
    msg = f"module 'connector' has no attribute '{name}'"
    raise AttributeError(msg)
