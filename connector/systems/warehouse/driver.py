"""Drivers that only some projects need: imported when a query needs them, with an error that says how to get them."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from connector.errors import SourceError


def driver(module: str, *, extra: str | None, package: str) -> Any:
    """The module. Raises SourceError with the command that installs it.

    `extra` is the connector's own extra that holds the package, None where any driver may be meant.
    """
    install = f"pip install 'pendo-connector[{extra}]'" if extra is not None else f"pip install {package}"
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if not _is_part_of(error.name, module):
            raise
        message = f"the Python package {package} is not installed"
        raise SourceError(message, slug="source-driver-missing", hint=install) from None
    except ImportError as error:  # it is there, and what it is built on is not: libpq, for one
        message = f"the Python package {package} cannot be used: {str(error).splitlines()[0]}"
        raise SourceError(message, slug="source-driver-missing", hint=install) from error


def is_installed(module: str) -> bool:
    """True when the module can be imported."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a parent of it is missing
        return False


def _is_part_of(missing: str | None, module: str) -> bool:
    return missing is not None and (module == missing or module.startswith(missing + "."))
