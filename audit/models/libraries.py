"""Libraries that only some loaders need."""

from __future__ import annotations

import importlib
from types import ModuleType

from audit.errors import ModelError


def library(name: str, extra: str, loader: str) -> ModuleType:
    """Import a library that is installed on request only.

    Raises
    ------
    ModelError
        It is missing, with the command that installs it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ModelError(
            f"model.loader: {loader} needs {name} ({error}); pip install 'saliency-audit[{extra}]'"
        ) from error


def installed(name: str) -> ModuleType | None:
    """Import a library where it is installed; else None."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
